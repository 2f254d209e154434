"""Manifests of users' own agents: examples that are taken, and each refusal with its line, key and way out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.manifest import parse_manifest
from orchestrator.errors import ConfigError
from orchestrator.model.agent import Additions, AgentFile, Credential, Profile, Program, ProjectFile

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/agents"

WHOLE = """
version: 1
title: Mine
program: {npm: "@me/agent@1.2.3", entry: node_modules/@me/agent/cli.js, runtime: node, extra: [left-pad@1.0.0]}
headless: [-p, "{prompt}", --json]
interactive: [--chat]
resume: [-r, "{session}", "{prompt}"]
resume_interactive: [-r, "{session}"]
model: [-m, "{model}"]
modes:
  bypass: {args: [--yolo]}
  ask: {args: [--ask], env: {ASK: "1"}}
credentials:
  - {name: ME_KEY, base: ME_BASE, model: best, args: [--me], env: {ME_URL: "{base_url}"}, files: [{path: ~/.me/url, content: "{base_url}"}]}
  - OTHER_KEY
args: [--quiet]
env: {ME_TELEMETRY: "0"}
files:
  - {path: ~/.me/settings.json, format: json, content: {a: [1, 1.5, true, null, "{key}"], b: {c: d}}, locked: false}
  - {path: /etc/me.conf, content: "x = 1\\n"}
hosts: [api.example.org]
sessions: [.me/sessions, ~/.me/more/]
leavings: [.me.*]
project_files: [{glob: .me/hooks.json, neutral: "{}"}]
dialect: claude
settings: gemini
"""


def manifest(text: str, name: str = "mine") -> Profile:
    return parse_manifest(text.encode(), "mine.yaml", name)


def test_whole() -> None:
    """Every key at its place."""
    assert manifest(WHOLE) == Profile(
        name="mine",
        title="Mine",
        program=Program("npm", "@me/agent", "1.2.3", "node_modules/@me/agent/cli.js", "node", ("left-pad@1.0.0",)),
        headless=("-p", "{prompt}", "--json"),
        interactive=("--chat",),
        resume=("-r", "{session}", "{prompt}"),
        resume_interactive=("-r", "{session}"),
        model=("-m", "{model}"),
        modes={"bypass": Additions(("--yolo",)), "ask": Additions(("--ask",), (("ASK", "1"),))},
        credentials=(
            Credential(
                "ME_KEY", "ME_BASE", "best",
                Additions(("--me",), (("ME_URL", "{base_url}"),), (AgentFile("~/.me/url", "text", "{base_url}"),)),
            ),
            Credential("OTHER_KEY"),
        ),
        base=Additions(
            words=("--quiet",),
            env=(("ME_TELEMETRY", "0"),),
            files=(
                AgentFile("~/.me/settings.json", "json", {"a": [1, 1.5, True, None, "{key}"], "b": {"c": "d"}}, locked=False),
                AgentFile("/etc/me.conf", "text", "x = 1\n"),
            ),
        ),
        hosts=("api.example.org",),
        sessions=(".me/sessions", ".me/more"),
        leavings=(".me.*",),
        project_files=(ProjectFile(".me/hooks.json", "{}"),),
        dialect="claude",
        settings="gemini",
    )  # fmt: skip


SMALL = "version: 1\nprogram: {image: my-agent}\nheadless: ['{prompt}']\n"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        pytest.param(SMALL, Program("image", "", "", "my-agent"), id="image"),
        pytest.param(
            "version: 1\nprogram: {pypi: aider-chat==0.86.2, entry: aider}\nheadless: ['{prompt}']",
            Program("pypi", "aider-chat", "0.86.2", "aider", "python"), id="pypi",
        ),
        pytest.param(
            "version: 1\nprogram: {npm: 'tool-{arch}@1.0.0', entry: 'node_modules/tool-{arch}/tool'}\nheadless: ['--prompt={prompt}']",
            Program("npm", "tool-{arch}", "1.0.0", "node_modules/tool-{arch}/tool"), id="npm-per-processor",
        ),
    ],
)  # fmt: skip
def test_programs(text: str, program: Program) -> None:
    """The smallest ones; the title is the name."""
    found = manifest(text)
    assert (found.program, found.title) == (program, "mine")


def test_braces_of_the_program() -> None:
    """Only what is almost a field is taken for a mistake."""
    text = """version: 1\nprogram: {image: sh}\nheadless: [-c, "awk '{print}' x; echo ${HOME} {arch}", "{prompt}"]"""
    assert manifest(text).headless[1] == "awk '{print}' x; echo ${HOME} {arch}"


def small(**lines: str) -> str:
    keys = {"version": "1", "program": "{image: my-agent}", "headless": "['{prompt}']"} | lines
    return "".join(f"{key}: {value}\n" for key, value in keys.items() if value)


@pytest.mark.parametrize(
    ("text", "because", "remedy"),
    [
        pytest.param("", "mine.yaml:1: expected a map", None, id="empty"),
        pytest.param(small(version="2"), "mine.yaml:1: version: is not 1", "version: 1", id="version"),
        pytest.param(small(version=""), "mine.yaml:1: version: is not 1", "version: 1", id="no-version"),
        pytest.param(small(headles="[x]"), "mine.yaml:4: headles: unknown key, perhaps 'headless'?", "valid here", id="unknown-key"),
        pytest.param(small(program=""), "program: is missing", "npm: NAME@VERSION", id="no-program"),
        pytest.param(small(headless=""), "headless: is missing", "{prompt}", id="no-headless"),
        pytest.param(small(headless="[--go]"), "mine.yaml:3: headless: does not hold {prompt}", "{prompt}", id="no-prompt"),
        pytest.param(small(headless="my-agent '{prompt}'"), "headless: expected a list of words", None, id="text"),
        pytest.param(small(headless="['{promt}', '{prompt}']"), "unknown field {promt}, perhaps 'prompt'?", "{session}", id="field"),
        pytest.param(small(program="{}"), "program: needs one of npm, pypi and image", None, id="no-kind"),
        pytest.param(small(program="{image: a, npm: b@1}"), "needs one of", None, id="two-kinds"),
        pytest.param(small(program="{imge: a}"), "program.imge: unknown key, perhaps 'image'?", None, id="kind"),
        pytest.param(small(program="{image: a, entry: b}"), "mine.yaml:2: program.entry: has no meaning beside image", None, id="entry"),
        pytest.param(small(program="{image: ./a}"), "program.image: ./a is no name", None, id="path"),
        pytest.param(small(program="{image: --help}"), "program.image: --help is no name", None, id="dash"),
        pytest.param(small(program="{npm: tool, entry: x}"), "program.npm: tool names no package in one", "NAME@1.2.3", id="unpinned"),
        pytest.param(small(program="{npm: 'git+https://x/y@1', entry: x}"), "names no package", None, id="git"),
        pytest.param(small(program="{npm: a@1}"), "program.entry: is missing", None, id="no-entry"),
        pytest.param(small(program="{npm: a@1, entry: ../x}"), "program.entry: ../x is no path below", None, id="climbs"),
        pytest.param(small(program="{npm: a@1, entry: x, runtime: nodejs}"), "unknown choice nodejs, perhaps 'node'?", None, id="runtime"),
        pytest.param(small(program="{pypi: a==1, entry: x, runtime: node}"), "has no meaning beside pypi", None, id="runtime-of-pypi"),
        pytest.param(small(program="{pypi: a>=1, entry: x}"), "names no package in one version", "NAME==1.2.3", id="pypi-range"),
        pytest.param(small(modes="{bypas: {}}"), "modes.bypas: unknown key, perhaps 'bypass'?", None, id="mode"),
        pytest.param(small(modes="{}"), "modes: has no mode", None, id="no-mode"),
        pytest.param(small(credentials="[{base: X}]"), "credentials.0.name: is missing", None, id="credential"),
        pytest.param(small(credentials="[sk-123]"), "credentials.0: sk-123 is not a variable name", None, id="a-key-itself"),
        pytest.param(small(env="{AIENV_X: '1'}"), "env: AIENV_X is not a variable name", None, id="our-variable"),
        pytest.param(small(hosts="['*']"), "hosts: ", None, id="every-host"),
        pytest.param(small(files="[{path: x, content: y}]"), "files.0.path: x is neither", "~/", id="relative-file"),
        pytest.param(small(files="[{path: ~/../x, content: y}]"), "files.0.path: ~/../x is neither", None, id="file-climbs"),
        pytest.param(small(files="[{path: ~/x, format: json, content: y}]"), "files.0.content: expected a map", None, id="text-for-json"),
        pytest.param(small(files="[{path: ~/x, content: {a: 1}}]"), "files.0.content: expected text", None, id="map-for-text"),
        pytest.param(small(files="[{path: ~/x, format: yaml, content: {}}]"), "unknown choice yaml", "json, toml, text", id="format"),
        pytest.param(small(sessions="[/var]"), "sessions: /var is no folder below the home", None, id="session-folder"),
        pytest.param(small(project_files="[{glob: ../x}]"), "project_files.0.glob: ../x leaves", None, id="project-file"),
        pytest.param(small(dialect="claud"), "mine.yaml:4: dialect: unknown choice claud, perhaps 'claude'?", None, id="dialect"),
        pytest.param(small(headless="&x ['{prompt}']"), "anchors and aliases", None, id="anchor"),
    ],
)
def test_refused(text: str, because: str, remedy: str | None) -> None:
    """With file, line and key."""
    with pytest.raises(ConfigError) as caught:
        manifest(text)
    assert because in caught.value.message
    assert caught.value.message.startswith("mine.yaml:")
    assert (remedy or "") in (caught.value.remedy or "")


@pytest.mark.parametrize("name", ["command", "node", "Mine", "../x", "", "a.b", "x" * 41])
def test_names(name: str) -> None:
    """A name becomes that of folders, and must not be taken."""
    with pytest.raises(ConfigError, match="no name for an agent"):
        manifest(SMALL, name)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    """What we show is taken."""
    assert parse_manifest(path.read_bytes(), path.name, path.stem).headless


KEYS = st.sampled_from(["version", "program", "headless", "modes", "files", "env", "image", "npm", "path", "content", "bypass"])
VALUES = st.recursive(
    st.sampled_from(["1", "'{prompt}'", "[]", "{}", "~", "x@1", "-1", ".inf"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    | st.dictionaries(KEYS, inner, max_size=3).map(lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"),
    max_leaves=8,
)


@given(st.binary(max_size=100) | st.dictionaries(KEYS, VALUES).map(lambda lines: small(**lines).encode()))
def test_any_bytes(data: bytes) -> None:
    """A profile, or our own error."""
    try:
        found = parse_manifest(data, "x.yaml", "x")
    except ConfigError:
        return
    assert found.name == "x"
