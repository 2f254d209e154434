"""The real agents do their work, on both backends, and come up against what they may not do.

Each program is installed by the product itself, and talks to a scripted model through the broker. A row is one agent; what all of them must
do is one test. claude, codex, opencode, gemini and pi run always; the others, and what takes long, are slow tests.
"""

import json
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests import engine as engines
from tests.e2e.agents import BY_NAME, HELLO, SERVICE, Kind, Model, Ran, installed, run_agent, script, scripted_model
from tests.e2e.product import Aienv, branches, git
from tests.e2e.test_terminal import Screen
from tests.engine import Engine
from tests.internet import Internet

pytestmark = pytest.mark.fake_model


def slow(*names: str) -> list[ParameterSet]:
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


EVERY = ["claude", "codex", "opencode", "gemini", "pi", *slow("qwen", "aider", "mini-swe-agent")]


@pytest.fixture(scope="module")
def model(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    with scripted_model(internet, tmp_path_factory.mktemp("model") / "asked") as running:
        yield running


@pytest.fixture
def online(product: Aienv, model: Model) -> Aienv:
    return model.internet.around(product)


@pytest.fixture
def here(local: Aienv, model: Model) -> Aienv:
    return model.internet.around(local)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> Kind:
    return BY_NAME[request.param]


def ready(product: Aienv, kind: Kind, cache: Path) -> None:
    """Installed outside of the small internet, which has no registry."""
    installed(product, [kind.name], cache)


def only_the_model_was_asked(ran: Ran, besides: tuple[str, ...] = ()) -> None:
    """No other host was tried, allowed or not: what the switches of the profile promise."""
    hosts = {event["host"] for event in ran.audit("net")}
    assert hosts - {SERVICE.partition(":")[0]} <= set(besides), hosts


# Looks for a package of its own in npm's registry at each start; there is no switch, and it works without (docs/agents.md).
ASKED_BESIDES = {"opencode": ("registry.npmjs.org",), "aider": ("raw.githubusercontent.com",)}


@pytest.mark.parametrize("kind", EVERY, indirect=True)
def test_work(kind: Kind, product: Aienv, online: Aienv, test_cache: Path) -> None:
    """A file is written and committed by the agent's own tools; the transcript tells it; nobody but the model is asked."""
    ready(product, kind, test_cache)
    ran = run_agent(online, kind, HELLO)
    assert ran.done.code == 0, ran.done.errors
    report = ran.report
    branch = report["result"]["branch"]
    assert git("show", f"{branch}:hello.txt", cwd=online.cwd) == "hello from an agent\n"
    assert [file["path"] for file in report["result"]["changed_files"]] == ["hello.txt"]
    assert (report["status"], report["agent"]["profile"]) == ("succeeded", kind.name)
    if kind.name not in ("aider", "mini-swe-agent"):
        assert (report["agent"]["result"], report["agent"]["turns"]) == ("success", 3)
        assert [event["tool"] for event in ran.transcript() if event["kind"] == "tool"][-1] == "shell"
        assert report["agent"]["session"]
    only_the_model_was_asked(ran, ASKED_BESIDES.get(kind.name, ()))
    assert [use[:2] for use in report["network"]["credentials"]] == [[kind.key, SERVICE.partition(":")[0]]]


REFUSED = script(
    {"shell": "cat .env"},
    {"shell": "cp .env.production /tmp/x"},
    {"shell": "curl -sS https://other.example.org/"},
    {"shell": "python3 -c 'import urllib.request; urllib.request.urlopen(\"http://other.example.org/\")'"},
    {"shell": "echo still here > after.txt"},
    {"say": "Tried."},
)


@pytest.mark.parametrize("kind", ["claude", "codex", *slow("opencode", "gemini", "qwen")], indirect=True)
def test_denied(kind: Kind, product: Aienv, online: Aienv, test_cache: Path) -> None:
    """Secret files and denied commands are refused by the hook, in words that the model reads; a host is refused by the broker; the rest of
    the work goes on."""
    ready(product, kind, test_cache)
    (online.cwd / ".env").write_text("TOKEN=value-of-the-repository\n")
    (online.cwd / ".env.production").write_text("TOKEN=value-of-production\n")
    git("add", "-A", "-f", cwd=online.cwd)
    git("commit", "-qm", "secrets", cwd=online.cwd)
    ran = run_agent(online, kind, REFUSED)
    decisions = [(event["decision"], event.get("rule")) for event in ran.audit("agent.tool") if event["phase"] == "pre"]
    denied_by_itself = kind.name == "qwen"  # its own rules come before its hooks
    refusals = [] if denied_by_itself else ["deny", "deny", "deny"]
    assert [decision for decision, _ in decisions] == [*refusals, "allow", "allow"], decisions
    assert ran.report["agent"]["denials"] >= 3
    denied = [(one["host"], one["port"]) for one in ran.report["network"]["denied"] if "registry" not in one["host"]]
    assert denied == [("other.example.org", 80)]
    assert [file["path"] for file in ran.report["result"]["changed_files"]] == ["after.txt"]
    everything = ran.done.stdout + (ran.folder / "agent.log").read_bytes() + (ran.folder / "transcript.jsonl").read_bytes()
    assert b"value-of-" not in everything


@pytest.mark.parametrize("kind", ["claude", "codex", *slow("opencode", "gemini"), "pi"], indirect=True)
def test_an_error_of_the_service(kind: Kind, local: Aienv, here: Aienv, test_cache: Path) -> None:
    """A request that the service refuses is no success, whatever the exit code; what was done before is brought out."""
    ready(local, kind, test_cache)
    refused = {"error": {"status": 400, "message": "broken on purpose", "times": 99}}
    ran = run_agent(here, kind, script({"shell": "echo kept > kept.txt"}, refused))
    assert (ran.done.code, ran.report["status"]) == (1, "failed"), ran.done.errors
    assert ran.report["agent"]["result"] == "error"
    assert [file["path"] for file in ran.report["result"]["changed_files"]] == ["kept.txt"]


BUSY = script(*({"shell": f"echo {number} >> numbers.txt"} for number in range(12)), {"say": "done"})


@pytest.mark.parametrize("kind", ["claude", "codex", *slow("pi")], indirect=True)
def test_a_limit(kind: Kind, local: Aienv, here: Aienv, test_cache: Path) -> None:
    """Turns are counted from outside: a word before, then the end, then the harvest."""
    ready(local, kind, test_cache)
    ran = run_agent(here, kind, BUSY, "--max-turns", "3")
    assert (ran.done.code, ran.report["status"]) == (1, "failed"), ran.done.errors
    assert any("--max-turns" in note for note in ran.report["notes"])
    written = git("show", f"{ran.report['result']['branch']}:numbers.txt", cwd=here.cwd).split()
    assert 2 <= len(written) < 12


ACTS = {
    ".claude/settings.json": json.dumps({"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "touch acted.claude"}]}]}}),
    ".mcp.json": json.dumps({"mcpServers": {"evil": {"command": "touch", "args": ["acted.mcp"]}}}),
    ".gemini/settings.json": json.dumps({"mcpServers": {"evil": {"command": "touch", "args": ["acted.gemini"]}}}),
    ".opencode/plugin/evil.js": "import { writeFileSync } from 'node:fs'; writeFileSync('acted.opencode', ''); export {}\n",
    "opencode.json": json.dumps({"mcp": {"evil": {"type": "local", "command": ["touch", "acted.mcp"], "enabled": True}}}),
    ".codex/config.toml": '[mcp_servers.evil]\ncommand = "touch"\nargs = ["acted.codex"]\n',
    ".pi/extensions/evil.ts": "import { writeFileSync } from 'node:fs'; writeFileSync('acted.pi', ''); export default function () {}\n",
}


@pytest.mark.parametrize("kind", ["claude", "codex", "opencode", *slow("gemini"), "pi"], indirect=True)
def test_a_hostile_clone(kind: Kind, local: Aienv, here: Aienv, test_cache: Path) -> None:
    """Hooks, servers and plugins of the repository do not act; their files come out as they went in, and the notes name them."""
    ready(local, kind, test_cache)
    for path, text in ACTS.items():
        (here.cwd / path).parent.mkdir(parents=True, exist_ok=True)
        (here.cwd / path).write_text(text)
    git("add", "-A", "-f", cwd=here.cwd)
    git("commit", "-qm", "files that act", cwd=here.cwd)
    ran = run_agent(here, kind, script({"shell": "sleep 1; ls -a; git status --short; echo done > done.txt"}, {"say": "ok"}))
    assert ran.done.code == 0, ran.done.errors
    assert [file["path"] for file in ran.report["result"]["changed_files"]] == ["done.txt"]
    assert any("kept from the agent" in note for note in ran.report["notes"])


def test_a_granted_file_acts(local: Aienv, here: Aienv, test_cache: Path) -> None:
    """The flag that a note gives lets that content in, and no other."""
    kind = BY_NAME["claude"]
    ready(local, kind, test_cache)
    (here.cwd / ".claude").mkdir()
    hooks = {"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "touch acted.claude"}]}]}}
    (here.cwd / ".claude" / "settings.json").write_text(json.dumps(hooks))
    git("add", "-A", "-f", cwd=here.cwd)
    git("commit", "-qm", "hooks", cwd=here.cwd)
    work = script({"shell": "ls"}, {"say": "ok"})
    first = run_agent(here, kind, work)
    note = next(note for note in first.report["notes"] if "--agent-file" in note)
    assert first.report["result"]["changed_files"] == []
    granted = run_agent(here, kind, work, "--agent-file", note.rpartition(" ")[2])
    assert [file["path"] for file in granted.report["result"]["changed_files"]] == ["acted.claude"], granted.done.errors
    hooks["hooks"]["SessionStart"][0]["hooks"][0]["command"] = "touch other"
    (here.cwd / ".claude" / "settings.json").write_text(json.dumps(hooks))
    git("commit", "-qam", "other hooks", cwd=here.cwd)
    other = run_agent(here, kind, work, "--agent-file", note.rpartition(" ")[2])
    assert other.report["result"]["changed_files"] == []


@pytest.mark.parametrize("kind", ["claude", "codex", *slow("opencode")], indirect=True)
def test_resume(kind: Kind, local: Aienv, here: Aienv, test_cache: Path) -> None:
    """A second run goes on with the agent's own session, on top of the first one's result."""
    ready(local, kind, test_cache)
    work = ({"shell": "echo one > one.txt"}, {"say": "first"}, {"shell": "cat one.txt > two.txt"}, {"say": "second"})
    first = run_agent(here, kind, script(*work), "--max-turns", "50", "--deny-host", "evil.example.net", "--check", "test -f one.txt")
    assert first.done.code == 0, first.done.errors
    sessions = first.folder / "sessions"
    kept = [path for path in sessions.rglob("*") if path.is_file()]
    assert kept
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept)
    done = here("resume", "--json", first.report["id"], "Go on.", env={kind.key: "sk-test-other"})
    assert done.code == 0, done.errors
    report = done.document
    assert (report["agent"]["session"], report["agent"]["native"]) == (first.report["agent"]["session"], first.report["id"])
    assert [file["path"] for file in report["result"]["changed_files"]] == ["two.txt"]
    assert git("show", f"{report['result']['branch']}:two.txt", cwd=here.cwd) == "one\n"
    plans = [json.loads((Path(one["folder"]) / "plan.json").read_bytes()) for one in (first.report, report)]
    same = ("network", "limits", "secrets", "checks", "docker", "sandbox", "env", "setup", "verify", "image")
    assert [plans[1][member] for member in same] == [plans[0][member] for member in same]
    own = ("files", "env", "deny", "grants", "mode", "max_turns", "args", "mounts", "project_files")
    assert [plans[1]["agent"][member] for member in own] == [plans[0]["agent"][member] for member in own]
    assert git("rev-parse", f"{report['result']['branch']}~1", cwd=here.cwd).strip() == first.report["result"]["commit"]


def test_events_as_lines(local: Aienv, here: Aienv, test_cache: Path) -> None:
    """``--json --stream``: one event in each line, and the report as the last one."""
    kind = BY_NAME["claude"]
    ready(local, kind, test_cache)
    done = here.run("--json", "--stream", *kind.flags(), HELLO, env={kind.key: "sk-test"})
    lines = [json.loads(line) for line in done.text.splitlines()]
    assert [line["schema"] for line in lines] == ["aienv.event/1"] * (len(lines) - 1) + ["aienv.report/1"]
    assert [line["kind"] for line in lines[:-1]][0::len(lines) - 2] == ["start", "end"]


def test_a_repository_does_not_choose_who_pays(local: Aienv, here: Aienv, test_cache: Path) -> None:
    """An agent that only the repository named gets no credential of the user's, and no host, unless the user gives them."""
    (here.cwd / ".aienv.yaml").write_text("agent: claude\n")
    git("add", "-A", cwd=here.cwd)
    git("commit", "-qm", "an agent", cwd=here.cwd)
    key = {"ANTHROPIC_API_KEY": "sk-test"}
    done = here.run("--secret-host", f"ANTHROPIC_API_KEY={SERVICE}", HELLO, env=key)
    assert done.code == 2
    assert "the repository chose agent 'claude'" in done.errors
    assert "--agent claude" in done.errors


SERVER = """
import json, sys
for line in sys.stdin:
    ask = json.loads(line)
    if "id" not in ask:
        continue
    method, answer = ask["method"], {}
    if method == "initialize":
        answer = {"protocolVersion": ask["params"]["protocolVersion"], "capabilities": {"tools": {}}}
        answer["serverInfo"] = {"name": "pg", "version": "1"}
    elif method == "tools/list":
        answer = {"tools": [{"name": "ping", "description": "ping", "inputSchema": {"type": "object", "properties": {}}}]}
    elif method == "tools/call":
        answer = {"content": [{"type": "text", "text": "pong from " + open("/etc/hostname").read().strip()}]}
    print(json.dumps({"jsonrpc": "2.0", "id": ask["id"], "result": answer}), flush=True)
"""
TOOL = {"claude": "mcp__pg__ping", "opencode": "pg_ping", "gemini": "mcp_pg_ping"}


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["claude", *slow("opencode", "gemini")], indirect=True)
def test_a_server_in_a_container(
    kind: Kind, aienv: Aienv, model: Model, test_cache: Path, engine_with_base: Engine, tmp_path: Path
) -> None:
    """The user's own MCP server runs as a container, through the guard, with the image that the configuration names and no other."""
    ready(aienv, kind, test_cache)
    name = engines.image(engine_with_base, "base")
    one_line = f"exec({SERVER!r})"  # a text of one line
    config = {"mcpServers": {"pg": {"command": "docker", "args": ["run", "-i", "--rm", name, "python3", "-u", "-c", one_line]}}}
    (tmp_path / "mcp.json").write_text(json.dumps(config))
    online = replace(
        model.internet.around(aienv), options=("--backend", "docker"), environ={**aienv.environ, "DOCKER_HOST": engine_with_base.address}
    )
    work = script(
        {"tool": {"name": TOOL[kind.name], "input": {}}},
        {"shell": "docker run --rm alpine:3 true; echo $? > refused.txt"},
        {"say": "ok"},
    )
    ran = run_agent(online, kind, work, "--mcp-config", str(tmp_path / "mcp.json"))
    assert ran.done.code == 0, ran.done.errors
    results = [event for event in ran.transcript() if event["kind"] == "result"]
    assert results[0]["text"].startswith("pong from "), results
    assert ran.report["docker"]["mode"] == "guarded"


def test_a_server_with_a_credential(local: Aienv, here: Aienv, test_cache: Path, tmp_path: Path) -> None:
    """A literal credential in the user's configuration does not go in: the run is refused, with the way out; the value is not repeated."""
    kind = BY_NAME["claude"]
    ready(local, kind, test_cache)
    config = {"mcpServers": {"gh": {"command": "gh-mcp", "env": {"GITHUB_TOKEN": "ghp_" + "a" * 36}}}}
    (tmp_path / "mcp.json").write_text(json.dumps(config))
    done = here.run(*kind.flags(), "--mcp-config", str(tmp_path / "mcp.json"), HELLO, env={kind.key: "sk-test"})
    assert done.code == 4
    assert "--secret GITHUB_TOKEN=" in done.errors
    assert "ghp_" not in done.errors


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("claude", id="claude"),
        pytest.param("codex", marks=pytest.mark.slow, id="codex"),
        pytest.param("gemini", marks=pytest.mark.slow, id="gemini"),
    ],
    indirect=True,
)
def test_at_a_terminal(kind: Kind, local: Aienv, here: Aienv, model: Model, test_cache: Path) -> None:
    """Its own interface, without a question about folder, key or theme before the work; ended by its user, the work comes back."""
    ready(local, kind, test_cache)
    environ = {**here.environ, kind.key: "sk-test-" + "a" * 40, "TERM": "xterm-256color"}
    words = here.command("run", *here.options, "--interactive", *kind.flags(), HELLO)
    screen = Screen(words, environ, here.cwd)
    try:
        asked, end = len(model.asked()), time.monotonic() + 60
        while len(model.asked()) < asked + 3:  # what it shows of its work is the agent's own affair
            assert time.monotonic() < end, screen.seen
            screen.read(0.2)
        for _ in range(3):
            screen.read(0.7)
            screen.type(b"\x03")
        screen.until(rb"result .*branch aienv/")
        screen.end()
    finally:
        screen.close()
    (branch,) = branches(here.cwd)
    assert git("show", f"{branch}:hello.txt", cwd=here.cwd) == "hello from an agent\n"
