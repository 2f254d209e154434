"""The agent's hooks as they are: our program, a socket, a broker process, the log."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.agents.hookconfig import HooksConfig, as_plain, parse
from orchestrator.broker import hooks
from orchestrator.broker.client import PACKAGE_ROOT, Broker
from orchestrator.broker.hooks import HookSide
from orchestrator.launcher import hook
from orchestrator.model.agent import HOOK_SOCKET, DenyRules

PROGRAM = PACKAGE_ROOT / "orchestrator" / "launcher" / "hook.py"
CONFIG = HooksConfig("claude", "claude", DenyRules(read=(".env",), run=("curl",), fetch=True))


def call(command: str, number: int = 1, **more: object) -> dict[str, object]:
    return {"hook_event_name": "PreToolUse", "cwd": "/w", "tool_name": "Bash", "tool_use_id": f"t{number}",
            "tool_input": {"command": command}, **more}  # fmt: skip


def run(path: Path, phase: str, document: object, agent: str = "claude") -> subprocess.CompletedProcess[str]:
    """The program as an agent starts it, at another place than inside."""
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); import hook; sys.exit(hook.main(sys.argv[2:], sys.argv[1]))"
    data = document if isinstance(document, str) else json.dumps(document)
    command = [sys.executable, "-I", "-S", "-c", code, str(PROGRAM.parent), str(path), agent, phase]
    return subprocess.run(command, input=data, capture_output=True, text=True, timeout=60, check=False)


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(path))
        sock.listen(16)
        yield sock


@contextlib.contextmanager
def serving(folder: Path, config: HooksConfig = CONFIG) -> Iterator[tuple[Broker, Path]]:
    broker = Broker("run1", folder, on_lost=lambda: None)
    try:
        broker.ready()
        broker.begin_hooks(config)
        with listening(folder / "hook.sock") as sock:
            broker.listen_hooks(sock.fileno())
        yield broker, folder / "hook.sock"
    finally:
        broker.close()


def events(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "audit.jsonl").read_bytes().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"].startswith("agent.")]


def test_a_call_is_judged_and_written_down(tmp_path: Path) -> None:
    """Allowed, refused, and what came of the allowed one."""
    with serving(tmp_path) as (_, path):
        good = run(path, "pre", call("make test"))
        bad = run(path, "pre", call("cd /x && curl y", 2))
        after = run(path, "post", call("make test", duration_ms=12, tool_response={"stdout": "ok"}))
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    assert bad.returncode == 2
    assert "'curl' is denied by this run's policy" in bad.stderr
    assert after.returncode == 0
    first, second, third = events(tmp_path)
    assert {"kind": "agent.tool", "agent": "claude", "tool": "Bash", "phase": "pre", "decision": "allow", "call": "t1",
            "input": '{"command": "make test"}'}.items() <= first.items()  # fmt: skip
    assert (second["decision"], second["rule"], second["call"]) == ("deny", "curl", "t2")
    assert (third["phase"], third["ok"], third["duration_s"]) == ("post", True, 0.012)


def test_a_notice_is_told_once(tmp_path: Path) -> None:
    """With the next answer, in the agent's own form; a refusal carries it too."""
    with serving(tmp_path) as (broker, path):
        broker.notify_agent("one minute is left")
        told = run(path, "pre", call("ls"))
        silent = run(path, "pre", call("ls", 2))
        broker.notify_agent("stop now")
        refused = run(path, "pre", call("curl x", 3))
    answer = {"hookSpecificOutput": {"hookEventName": "PreToolUse", "additionalContext": "one minute is left"}}
    assert json.loads(told.stdout) == answer
    assert silent.stdout == ""
    assert "stop now" in refused.stderr


def test_a_notice_waits_for_an_answer_that_carries_it(tmp_path: Path) -> None:
    """Gemini passes words on after a call only."""
    with serving(tmp_path, replace(CONFIG, agent="gemini", dialect="gemini")) as (broker, path):
        broker.notify_agent("one minute is left")
        before = run(path, "pre", {**call("ls"), "tool_name": "run_shell_command", "hook_event_name": "BeforeTool"})
        after = run(path, "post", {**call("ls"), "tool_name": "run_shell_command", "hook_event_name": "AfterTool"})
    assert before.stdout == ""
    assert "one minute is left" in after.stdout


def test_after_quiet_every_call_is_refused(tmp_path: Path) -> None:
    """Nobody listens: closed, and said so."""
    with serving(tmp_path) as (broker, path):
        assert run(path, "pre", call("ls")).returncode == 0
        broker.quiet_hooks()
        done = run(path, "pre", call("ls"))
        with listening(tmp_path / "second.sock") as sock:  # the next command of the agent
            broker.listen_hooks(sock.fileno())
        again = run(tmp_path / "second.sock", "pre", call("ls"))
    assert done.returncode == 2
    assert "the run's policy does not answer" in done.stderr
    assert again.returncode == 0


@pytest.mark.parametrize(
    "document",
    [
        pytest.param("", id="nothing"),
        pytest.param("{", id="half"),
        pytest.param("[" * 100_000, id="nested"),
        pytest.param("[]", id="a-list"),
        pytest.param({"tool_name": "Bash"}, id="no-arguments"),
        pytest.param({"tool_name": "Bash", "tool_input": {"command": "x" * (5 << 20)}}, id="too-long"),
        pytest.param({"tool_name": "Read", "tool_input": {"file_path": ["x"] * 5000}}, id="many-files"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, document: object) -> None:
    """By the program or by the broker, never with another exit code."""
    with serving(tmp_path) as (_, path):
        done = run(path, "pre", document)
    assert done.returncode == 2
    assert done.stderr.startswith("aienv")


def test_a_long_answer_of_a_tool_is_no_reason_to_complain(tmp_path: Path) -> None:
    """After the call its bulk is left out."""
    with serving(tmp_path) as (_, path):
        done = run(path, "post", call("cat big", tool_response={"stdout": "x" * (6 << 20), "interrupted": False}))
    assert done.returncode == 0
    assert events(tmp_path)[0]["ok"] is True


@pytest.mark.parametrize("answer", [b"", b"{}\n", b"null\n", b'{"decision": "allow"}', b'{"decision": 1}\n', b"x" * 70_000 + b"\n"])
def test_garbage_from_the_socket_refuses(tmp_path: Path, answer: bytes) -> None:
    """Whoever listens there: only a whole line that says allow allows."""
    with listening(tmp_path / "hook.sock") as sock:

        def serve() -> None:
            client, _ = sock.accept()
            with client, contextlib.suppress(OSError):
                client.recv(65536)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        done = run(tmp_path / "hook.sock", "pre", call("ls"))
        thread.join()
    assert done.returncode == 2
    assert done.stderr.strip()


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"\xff\n", b'{"phase": "mid"}\n', b"[" * 5000 + b"\n", b"x" * 100 + b"\n"])
def test_garbage_from_inside_is_refused(tmp_path: Path, line: bytes) -> None:
    """The socket is open to everything inside; what comes is a claim, answered with a refusal."""
    with serving(tmp_path) as (_, path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(path))
            client.sendall(line)
            answer = client.recv(65536)
        assert run(path, "pre", call("ls")).returncode == 0
    assert json.loads(answer)["decision"] == "deny"


@pytest.mark.parametrize("said", [b"", b'{"phase": '], ids=["nothing", "half-a-line"])
def test_silent_clients_do_not_keep_others_out(tmp_path: Path, said: bytes) -> None:
    """More than are served at once: the oldest lose their places; and closing does not wait for them."""
    with serving(tmp_path) as (broker, path), contextlib.ExitStack() as undo:
        for _ in range(40):
            silent = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            silent.connect(str(path))
            with contextlib.suppress(OSError):
                silent.sendall(said)
        assert run(path, "pre", call("ls")).returncode == 0
        broker.quiet_hooks()


def test_questions_that_are_asked_keep_their_places(tmp_path: Path) -> None:
    """As many as there are places wait for their answers: the next one waits, and none of them is dropped."""
    answering = threading.Semaphore(0)
    asked = threading.Semaphore(0)

    def answer(line: bytes) -> bytes:
        asked.release()
        answering.acquire()
        return line + b"!\n"

    def connected() -> socket.socket:
        client = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        client.connect(str(tmp_path / "hook.sock"))
        client.sendall(b"x\n")
        client.settimeout(60)
        return client

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(tmp_path / "hook.sock"))
    sock.listen(64)
    listener = hooks.Listener(sock, answer)
    with contextlib.ExitStack() as undo:
        undo.callback(listener.close)
        clients = [connected() for _ in range(hooks.MAX_CLIENTS)]
        for _ in clients:
            asked.acquire()
        clients.append(connected())
        answering.release(len(clients))
        assert [client.recv(10) for client in clients] == [b"x!\n"] * len(clients)


def side(written: list[dict[str, object]], config: HooksConfig = CONFIG) -> HookSide:
    return HookSide(config, lambda kind, facts: written.append({"kind": kind, **facts}), lambda text: text.replace("s3cret", "*****"))


def question(command: str, phase: str = "pre") -> bytes:
    return json.dumps({"agent": "somebody", "phase": phase, "document": call(command)}).encode()


def test_values_of_secrets_are_not_written() -> None:
    """Also where the call is refused; and the agent is the run's, whoever asks."""
    written: list[dict[str, object]] = []
    one = side(written)
    one.answer(question("echo s3cret"))
    one.answer(question("curl -H s3cret x"))
    assert [row["agent"] for row in written] == ["claude", "claude"]
    assert "s3cret" not in json.dumps(written)
    assert "*****" in str(written[0]["input"])


def test_events_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent decides how many calls there are: beyond a number they are counted, and long inputs are cut."""
    monkeypatch.setattr(hooks, "MAX_EVENTS", 2)
    written: list[dict[str, object]] = []
    one = side(written)
    for number in range(5):
        one.answer(question(("curl " if number == 4 else "echo ") + "x" * 9000))
    one.quiet()
    assert [row["kind"] for row in written] == ["agent.tool", "agent.tool", "agent.tool.more"]
    assert len(str(written[0]["input"])) == hooks.MAX_INPUT
    assert (written[2]["allow"], written[2]["deny"]) == (2, 1)


def test_the_size_of_all_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it calls are judged as before, and counted."""
    monkeypatch.setattr(hooks, "MAX_EVENT_BYTES", 5000)
    written: list[dict[str, object]] = []
    one = side(written)
    answers = [json.loads(one.answer(question(("curl " if number > 7 else "echo ") + "x" * 9000)))["decision"] for number in range(10)]
    one.quiet()
    assert answers == ["allow"] * 8 + ["deny"] * 2
    assert [row["kind"] for row in written] == ["agent.tool", "agent.tool", "agent.tool.more"]
    assert sum(len(json.dumps(row)) for row in written[:2]) < 5200
    assert (written[2]["allow"], written[2]["deny"]) == (6, 2)


def test_a_log_that_takes_nothing_refuses() -> None:
    """What cannot be recorded does not happen."""

    def full(kind: str, facts: dict[str, object]) -> None:
        raise OSError(28, "No space left on device")

    answer = json.loads(HookSide(CONFIG, full, str).answer(question("ls")))
    assert answer["decision"] == "deny"
    assert "log takes nothing" in answer["reason"]


def test_the_program_stands_alone() -> None:
    """Nothing of ours is where it runs; its numbers are those of the others."""
    done = subprocess.run([sys.executable, "-I", "-S", str(PROGRAM), "claude", "pre"], input="{}", capture_output=True, text=True,
                          timeout=60, check=False, cwd="/", env={})  # fmt: skip
    assert done.returncode == 2
    assert "orchestrator" not in "".join(line for line in PROGRAM.read_text().splitlines() if "import " in line)
    assert (hook.SOCKET, hook.MAX_LINE) == (HOOK_SOCKET, hooks.MAX_LINE)
    assert not os.access(HOOK_SOCKET, os.F_OK)


def test_the_config_survives_its_line() -> None:
    assert parse(json.loads(json.dumps(as_plain(CONFIG)))) == CONFIG
    with pytest.raises(ValueError, match="missing"):
        parse({"agent": 1})
