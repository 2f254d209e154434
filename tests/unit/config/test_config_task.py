"""From settings to a task: defaults, contradictions, and what wins when layers want different work."""

import json

import pytest

from orchestrator.config.document import read_document
from orchestrator.config.layers import Layer, Source, resolve
from orchestrator.config.names import AGENTS, TASK_NAME, branch_problem
from orchestrator.config.schema import GROUPS, KEYS
from orchestrator.config.starter import starter_task
from orchestrator.config.task import slug, task_from
from orchestrator.errors import ConfigError, UsageError
from orchestrator.model.codec import canonical_json, from_plain
from orchestrator.model.task import EnvironmentChoice, Limits, TaskSpec

Files = dict[Layer, str]


def task(files: Files, *, default_name: str | None = None, need_agent: bool = True) -> TaskSpec:
    sources = [Source(layer, read_document(text.encode(), layer, "config").values) for layer, text in files.items()]
    return task_from(resolve(sources), default_name=default_name, need_agent=need_agent)


def test_defaults() -> None:
    """A command alone is a task; all else is built in."""
    got = task({"flags": "command: [/usr/bin/pytest, -q]"})
    assert (got.name, got.agent, got.command, got.prompt) == ("pytest", "command", ("/usr/bin/pytest", "-q"), None)
    assert got.limits == Limits(2.0, 4 << 30, 512, 10 << 30, 4096, 1800.0, 10.0)
    assert (got.backend, got.docker, got.network.mode, got.network.allow) == ("auto", "auto", "allowlist", ())
    assert got.environment == EnvironmentChoice("auto", "")
    assert (got.output.branch, got.output.push, got.keep, got.tty, got.with_changes) == (None, False, False, False, False)
    assert {".env", "*.pem", "id_ed25519", ".npmrc", "kubeconfig"} <= set(got.sandbox.mask)
    assert {".env.example", "*.pub"} <= set(got.sandbox.unmask)


def test_a_task_travels_as_json() -> None:
    """A task survives the codec, so all its values have the types that it declares."""
    got = task({"task file": "agent: claude\nprompt: Fix it.\nenv: {B: 2, A: 1}\nlimits: {cpus: 1}\nenvironment: {image: 'python:3.12'}"})
    assert from_plain(TaskSpec, json.loads(canonical_json(got))) == got
    assert got.env == (("A", "1"), ("B", "2"))


@pytest.mark.parametrize(
    ("files", "agent", "prompt", "command"),
    [
        pytest.param({"task file": "agent: command\ncommand: [a]"}, "command", None, ("a",), id="plain-command"),
        pytest.param({"task file": "agent: claude\nprompt: p"}, "claude", "p", (), id="plain-agent"),
        pytest.param({"user": "agent: claude", "task file": "command: [a]"}, "command", None, ("a",), id="command-over-usual-agent"),
        pytest.param({"user": "agent: claude", "flags": "prompt: p"}, "claude", "p", (), id="prompt-for-usual-agent"),
        pytest.param(
            {"task file": "agent: claude\nprompt: p", "flags": "agent: command\ncommand: [a]"},
            "command",
            None,
            ("a",),
            id="command-instead",
        ),
        pytest.param(
            {"task file": "agent: command\ncommand: [a]", "flags": "agent: codex\nprompt: p"},
            "codex",
            "p",
            (),
            id="agent-instead-of-command",
        ),
        pytest.param({"task file": "agent: claude\nprompt: p", "flags": "agent: codex"}, "codex", "p", (), id="other-agent"),
        pytest.param(
            {"user": "agent: claude", "repository": "command: [a]", "flags": "prompt: p"}, "claude", "p", (), id="prompt-over-repository"
        ),
        pytest.param({"flags": "agent: claude\ntty: true"}, "claude", None, (), id="at-a-terminal"),
    ],
)
def test_work(files: Files, agent: str, prompt: str | None, command: tuple[str, ...]) -> None:
    """The strongest layer that says what to do is the one that counts."""
    got = task(files)
    assert (got.agent, got.prompt, got.command) == (agent, prompt, command)


@pytest.mark.parametrize(
    ("files", "message", "remedy"),
    [
        pytest.param({}, "there is nothing to do", "a command after --", id="nothing"),
        pytest.param(
            {"task file": "agent: command"}, "task file:1: agent: command needs a command", "command: [pytest, -q]", id="no-command"
        ),
        pytest.param({"task file": "agent: claude"}, "task file:1: agent 'claude' has nothing to do", "prompt: ...", id="no-prompt"),
        pytest.param({"task file": "prompt: p"}, "task file:1: there is a prompt but no agent", "--agent claude|codex", id="no-agent"),
        pytest.param(
            {"task file": "agent: claude\ncommand: [a]"},
            "task file:2: command: is for agent: command",
            "agent: command",
            id="command-of-claude",
        ),
        pytest.param(
            {"task file": "agent: claude\nprompt: p\ncommand: [a]"}, "task file:3: command: is for agent: command", "", id="both-of-claude"
        ),
        pytest.param(
            {"task file": "agent: command\nprompt: p\ncommand: [a]"},
            "task file:2: a prompt is for an agent",
            "drop the prompt",
            id="both-of-command",
        ),
        pytest.param(
            {"task file": "agent: command\nprompt: p"}, "task file:2: a prompt is for an agent", "--agent claude|", id="prompt-of-command"
        ),
        pytest.param(
            {"task file": "prompt: p\ncommand: [a]"}, "task file:1: a prompt is for an agent", "drop the prompt", id="both-of-nobody"
        ),
        pytest.param(
            {"user": "agent: claude", "flags": "prompt: p\ncommand: [a]"}, "flags:2: command: is for", "", id="both-of-usual-agent"
        ),
        pytest.param(
            {"repository": "agent: command\ncommand: [a]", "flags": "prompt: p"},
            "flags:1: a prompt is for an agent",
            "choose an agent",
            id="prompt",
        ),
        pytest.param(
            {"task file": "agent: command\ncommand: [a]", "flags": "agent: claude"},
            "flags:1: agent 'claude' has nothing",
            "prompt: ...",
            id="agent",
        ),
        pytest.param(
            {"flags": "command: [a]\nenvironment: {image: a, template: b}"},
            "flags:2: environment.image and environment.template exclude",
            "keep one",
            id="two-environments",
        ),
    ],
)
def test_contradictions(files: Files, message: str, remedy: str) -> None:
    """What cannot both hold is refused, with the place and what to do."""
    with pytest.raises(ConfigError) as caught:
        task(files)
    assert caught.value.message.startswith(message)
    assert remedy in (caught.value.remedy or "")


@pytest.mark.parametrize("files", [{}, {"user": "agent: claude"}, {"user": "agent: command"}])
def test_a_place_to_look_around_needs_no_work(files: Files) -> None:
    """`aienv up` has nothing to run."""
    got = task(files, need_agent=False)
    assert (got.prompt, got.command, got.name) == (None, (), "task")


def test_the_stronger_environment_replaces_the_weaker() -> None:
    """Image, template and devcontainer are one choice, over all layers."""
    files: Files = {"user": "environment: {image: a}", "task file": "command: [a]\nenvironment: {template: b}"}
    assert task(files).environment == EnvironmentChoice("template", "b")
    assert task({**files, "flags": "environment: {devcontainer: auto}"}).environment == EnvironmentChoice("devcontainer", "auto")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Fix the parser!", "fix-the-parser"), ("", "task"), ("???", "task"), ("été", "t"), ("a" * 90, "a" * 40),
        ("Please make all the tests of the parser pass again", "please-make-all-the-tests-of-the-parser"), ("my task (2)", "my-task-2"),
    ],
)  # fmt: skip
def test_slug(text: str, name: str) -> None:
    """A name that people recognise and git takes."""
    assert slug(text) == name
    assert TASK_NAME.fullmatch(name)
    assert branch_problem(f"aienv/{name}-0123") is None


def test_names_come_from_the_nearest_source() -> None:
    """An explicit name, else the file's, else the prompt's first words."""
    prompt = "agent: claude\nprompt: Do it well"
    assert task({"flags": prompt}).name == "do-it-well"
    assert task({"flags": prompt}, default_name="file.v2").name == "file-v2"
    assert task({"flags": f"name: X.y\n{prompt}"}, default_name="file").name == "X.y"


@pytest.mark.parametrize("agent", AGENTS)
def test_starter_task_parses(agent: str) -> None:
    """What `aienv init` writes is a valid task, and stays valid when its comments are taken off."""
    text = starter_task("my-task", agent)
    got = task({"task file": text})
    assert (got.name, got.agent) == ("my-task", agent)
    keys = {*KEYS, *GROUPS}
    lines = [line[2:] if line.startswith("# ") and line[2:].partition(":")[0] in keys else line for line in text.splitlines()]
    opened = task({"task file": "\n".join(lines)})
    assert (opened.checks, opened.artifacts, opened.output.branch) == (("pytest -q",), ("dist/*",), "aienv/my-task")


@pytest.mark.parametrize(
    ("name", "agent"), [("../../etc/x", "claude"), ("a b", "claude"), ("", "claude"), ("a..b", "command"), ("ok", "clod")]
)
def test_starter_task_refuses_bad_names(name: str, agent: str) -> None:
    """The name becomes the name of a file."""
    with pytest.raises(UsageError, match=r"^(name|agent): "):
        starter_task(name, agent)


def test_a_starter_name_may_end_like_a_lock() -> None:
    """Names that are fine for a task but not for the end of a branch name leave the file valid, too."""
    assert task({"task file": starter_task("x.lock", "command")}).name == "x.lock"
