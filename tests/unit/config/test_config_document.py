"""Files of settings: keys, places, versions, and the words of refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.document import Form, read_document
from orchestrator.config.schema import ENVIRONMENT_CHOICES, GROUPS, KEYS, VARIABLES
from orchestrator.errors import ConfigError

TASK = """\
version: 1
name: fix-parser
repo: https://example.org/app.git
ref: main
agent: command
command: [pytest, -q]
environment: {devcontainer: auto}
docker: auto
network: {mode: allowlist, presets: [pypi], allow: [api.example.org]}
secrets: [ANTHROPIC_API_KEY]
env: {PORT: 8080, DEBUG: true}
limits:
  cpus: 2
  memory: 4g
  timeout: 30m
checks: [pytest -q]
artifacts: [dist/*]
output: {branch: aienv/fix-parser, push: false}
"""


def test_task_file() -> None:
    """The example of the manual, each value with its line."""
    values = read_document(TASK.encode(), "task.yaml", "task").values
    assert values["command"].value == ("pytest", "-q")
    assert values["env"].value == (("DEBUG", "true"), ("PORT", "8080"))
    assert (values["limits.memory"].value, values["limits.memory"].where) == (4 << 30, "task.yaml:14")
    assert (values["network.allow"].value, values["network.allow"].text) == (("api.example.org",), "[api.example.org]")
    assert values["env"].text == "{PORT, DEBUG}"
    assert values["output.push"].value is False


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("limits: {memroy: 4g}", "task.yaml:2: limits.memroy: unknown key, perhaps 'limits.memory'?", "valid here: limits.cpus"),
        ("agnet: claude", "task.yaml:2: agnet: unknown key, perhaps 'agent'?", "valid here: version, name"),
        ("sandbx:\n  mask: [x]", "task.yaml:2: sandbx: unknown key, perhaps 'sandbox'?", ""),
        ("memory: 4g", "task.yaml:2: memory: unknown key, perhaps 'limits.memory'?", ""),
        ("memroy: 4g", "task.yaml:2: memroy: unknown key, perhaps 'limits.memory'?", ""),
        ("limits.memory: 4g", "task.yaml:2: limits.memory: unknown key with a dot", "write limits: {memory: ...}"),
        ("locked: [docker]", "task.yaml:2: locked: unknown key", ""),
        ("zzzzzz: 1", "task.yaml:2: zzzzzz: unknown key", "valid here: "),
        ('"a\\nb": 1', "task.yaml:2: 'a\\nb': unknown key", ""),
        ("limits: {memory: [4g]}", "task.yaml:2: limits.memory: expected a size such as 512m or 4g, found a list", ""),
        ("limits:\n  cpus: 2\n  memory: 4 potatoes", "task.yaml:4: limits.memory: 4 potatoes is not a size", "such as 512m or 4g"),
        ("limits:", "task.yaml:2: limits: expected a map with cpus, memory", "leave the line out"),
        ("network: none", "task.yaml:2: network: expected a map with mode, presets, allow", "write network: {mode: none}"),
        ("environment: auto", "task.yaml:2: environment: expected a map with image", "write environment: {devcontainer: auto}"),
        ("docker: gaurded", "task.yaml:2: docker: unknown choice gaurded, perhaps 'guarded'?", "choose one of auto, none"),
        ("docker:", "task.yaml:2: docker: expected one of auto, none, readonly, guarded, full, found nothing", "leave the line out"),
        ("command: pytest -q", "task.yaml:2: command: expected a list of words, found text", "command: [pytest, -q]"),
        ("checks: pytest -q", "task.yaml:2: checks: expected a list, found pytest -q", "write it as a list: [pytest -q]"),
        ("prompt: 5", "task.yaml:2: prompt: expected text, found a whole number 5", 'quote it: "5"'),
        ("prompt: [a]", "task.yaml:2: prompt: expected text, found a list", ""),
        ("output: {push: yes}", "task.yaml:2: output.push: expected true or false, found yes, perhaps true?", ""),
        ("output: {branch: a..b}", "task.yaml:2: output.branch: a..b is not a branch name: it holds '..'", ""),
        ("secrets: [a-b]", "task.yaml:2: secrets: a-b is not a variable name", ""),
        ("env: A=1", "task.yaml:2: env: expected a map", "env: {NAME: value}"),
        ("env: {A: [1]}", "task.yaml:2: env: expected text, found a list", ""),
    ],
)
def test_refused_with_file_line_key_and_choice(text: str, message: str, remedy: str) -> None:
    """A refusal says where, which key, why, and what was probably meant."""
    with pytest.raises(ConfigError) as caught:
        read_document(f"version: 1\n{text}\n".encode(), "task.yaml", "task")
    assert caught.value.message.startswith(message)
    assert remedy in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("name: x\n", "task", "f:1: version: is missing"),
        ("", "task", "f:1: version: is missing"),
        ("# only\n# words\n", "task", "f:1: version: is missing"),
        ("version: 2\n", "task", "f:1: version: expected 1, found 2"),
        ("\nversion: '1'\n", "task", "f:2: version: expected 1, found 1"),
        ("version: 1.0\n", "config", "f:1: version: expected 1, found 1.0"),
        ("version: [1]\n", "policy", "f:1: version: expected 1, found a list"),
        ("- a\n", "config", "f:1: expected a map of settings, found a list"),
        ("hello\n", "task", "f:1: expected a map of settings, found text"),
        ("locked: docker\n", "policy", "f:1: locked: expected a list of keys"),
        ("locked: [dokcer]\n", "policy", "f:1: locked: unknown key 'dokcer', perhaps 'docker'?"),
        ("locked:\n- docker\n- 5\n", "policy", "f:3: locked: unknown key"),
    ],
)
def test_forms(text: str, form: Form, message: str) -> None:
    """The version is required in a task, `locked` is for the policy, and a file is a map."""
    with pytest.raises(ConfigError) as caught:
        read_document(text.encode(), "f", form)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "form"), [("", "config"), ("backend: local\n", "config"), ("version: 1\n", "task"), ("locked: []\n", "policy")]
)
def test_forms_that_pass(text: str, form: Form) -> None:
    """The nearest neighbours of the refusals above."""
    assert read_document(text.encode(), "f", form).source == "f"


def test_locked_groups() -> None:
    """A group locks its keys, and one choice of environment locks its rivals."""
    locked = read_document(b"locked: [network, environment.image, docker]\n", "f", "policy").locked
    assert locked == {"network.mode", "network.presets", "network.allow", "network.deny", "network.private", "docker", *ENVIRONMENT_CHOICES}


def test_variables_name_one_key_each() -> None:
    """No spelling of a variable stands for two keys."""
    named = [name for key in KEYS.values() if key.separator is not None for name in {f"AIENV_{key.name.upper().replace('.', '_')}"}]
    assert len(named) == len(set(named))
    assert VARIABLES["AIENV_LIMITS_OPEN_FILES"] is VARIABLES["AIENV_LIMITS__OPEN_FILES"] is KEYS["limits.open_files"]
    assert not set(GROUPS) & set(KEYS)


KEY_TEXT = st.sampled_from([*KEYS, *GROUPS, "version", "locked", "x"]).map(lambda name: name.rpartition(".")[2])
VALUE_TEXT = st.recursive(
    st.sampled_from(["1", "4g", "true", "a", "''", "~", "auto", '"\\x07"', "0x10", "1e99", "-1"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
        | st.dictionaries(KEY_TEXT, inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        )
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEY_TEXT, VALUE_TEXT, max_size=4), st.sampled_from(["task", "config", "policy"]))
def test_any_shape_gives_settings_or_a_refusal(members: dict[str, str], form: Form) -> None:
    """Right keys with wrong shapes end in our own error, which names the file."""
    text = "".join(f"{key}: {value}\n" for key, value in members.items())
    assert is_answered(text.encode(), form)


def is_answered(data: bytes, form: Form) -> bool:
    """Whether there are settings of known keys, or an error that names the file; another exception fails the test."""
    try:
        return set(read_document(data, "f", form).values) <= set(KEYS)
    except ConfigError as problem:
        return problem.message.startswith("f:")
