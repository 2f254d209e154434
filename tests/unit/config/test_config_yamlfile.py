"""Strict YAML: the places of values, what is refused, and that no bytes break the reader."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.node import SIZE_LIMIT_BYTES, Node
from orchestrator.config.yamlfile import parse_yaml
from orchestrator.errors import ConfigError

HEAD = b"version: 1\nname: x\n"


def refusal(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(data, "task.yaml")
    return caught.value.message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(HEAD + b"name: y\n", "task.yaml:3: name: given twice, first on line 2", id="duplicate"),
        pytest.param(
            HEAD + b"limits:\n  cpus: 1\n  cpus: 2\n", "task.yaml:5: limits.cpus: given twice, first on line 4", id="duplicate-inside"
        ),
        pytest.param(HEAD + b'"name": y\n', "task.yaml:3: name: given twice", id="duplicate-quoted"),
        pytest.param(HEAD + b"a: &x 1\n", "task.yaml:3: anchors and aliases", id="anchor"),
        pytest.param(HEAD + b"a: *x\n", "task.yaml:3: anchors and aliases", id="alias"),
        pytest.param(HEAD + b"1: a\n", "task.yaml:3: a key must be text, and 1 is not", id="number-key"),
        pytest.param(HEAD + b"true: a\n", "task.yaml:3: a key must be text, and true is not", id="truth-key"),
        pytest.param(HEAD + b"? [a]\n: b\n", "task.yaml:3: a key must be text", id="list-key"),
        pytest.param(HEAD + b"env: {null: a}\n", "task.yaml:3: env: a key must be text", id="nothing-key"),
        pytest.param(HEAD + b"a: !!python/object/apply:os.system [id]\n", "task.yaml:3: a: the tag", id="python-tag"),
        pytest.param(HEAD + b"a: !!binary aGk=\n", "task.yaml:3: a: the tag", id="binary-tag"),
        pytest.param(HEAD + b"a: !!set {b}\n", "task.yaml:3: a: the tag", id="set-tag"),
        pytest.param(HEAD + b"a: !mine b\n", "task.yaml:3: a: the tag '!mine' is not supported".replace("'", ""), id="own-tag"),
        pytest.param(HEAD + b"a: !!int x\n", "task.yaml:3: a: x does not fit its tag", id="lying-tag"),
        pytest.param(b"a: " + b"[" * 40 + b"]" * 40, "task.yaml:1: nested deeper than", id="deep"),
        pytest.param(b"a: [" + b"1," * 30000 + b"]", "task.yaml:1: more than 20000 values", id="many"),
        pytest.param(b"a: 1\n" + b"#" * SIZE_LIMIT_BYTES, "task.yaml:1: is larger than 256 KiB", id="large"),
        pytest.param(b"a: 1\nb: \x00\n", "task.yaml:2: holds the character U+0000", id="nul"),
        pytest.param(b"a: 1\nb: \x1b[0m\n", "task.yaml:2: holds the character U+001B", id="escape"),
        pytest.param(b'a: 1\nb: "x\\0y"\n', "task.yaml:2: b: holds a NUL", id="escaped-nul"),
        pytest.param(b'a: "\\ud800"\n', "task.yaml:1: a: holds a NUL character or half", id="surrogate"),
        pytest.param(b'a: 1\nb: "\\U00110000"\n', "task.yaml:2: an escape names a character", id="no-such-character"),
        pytest.param(b"a: 1\nb: \xff\n", "task.yaml:2: is not valid UTF-8", id="not-utf8"),
        pytest.param("a: 1\n".encode("utf-16"), "task.yaml:1: is not valid UTF-8", id="utf16"),
        pytest.param(b"a: 1\n---\nb: 2\n", "task.yaml:2: expected a single document", id="two-documents"),
        pytest.param(b"a: 1\n\tb: 2\n", "task.yaml:2: ", id="tab"),
        pytest.param(b"a: [1, 2\n", "task.yaml:2: ", id="open-list"),
        pytest.param(b"a: b: c\n", "task.yaml:1: mapping values are not allowed", id="two-colons"),
    ],
)
def test_refused_with_the_line(data: bytes, message: str) -> None:
    """What is not plain data is refused where it stands."""
    assert refusal(data).startswith(message)


@pytest.mark.parametrize(
    ("scalar", "kind"),
    [
        ("512", "integer"),
        ("-1", "integer"),
        ("0x1F", "integer"),
        ("1.5", "number"),
        ("1e3", "number"),
        (".inf", "number"),
        ("4g", "text"),
        ("yes", "text"),
        ("off", "text"),
        ("none", "text"),
        ("true", "truth"),
        ("FALSE", "truth"),
        ("~", "nothing"),
        ("", "nothing"),
        ("null", "nothing"),
        ("'512'", "text"),
        ('"true"', "text"),
        ("1:30", "text"),
        ("2024-01-01", "text"),
        ("1_000", "text"),
        ("!!str 5", "text"),
        ("<<", "text"),
    ],
)
def test_scalars_follow_the_core_schema(scalar: str, kind: str) -> None:
    """YAML 1.2: `no` is a country, `1:30` is text."""
    assert dict(parse_yaml(f"a: {scalar}\n".encode(), "f").members)["a"].kind == kind


def test_places() -> None:
    """A member's line is its key's, also where a map begins on the next line."""
    root = parse_yaml(b"\xef\xbb\xbf# hello\nlimits:\n  memory: 4g\n\n  cpus: 2\n", "f")
    limits = dict(root.members)["limits"]
    assert limits.line == 2
    assert {name: (node.line, node.text) for name, node in limits.members} == {"memory": (3, "4g"), "cpus": (5, "2")}


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# only words\n", b"---\n"])
def test_empty_files_hold_nothing(data: bytes) -> None:
    """An empty file is not an error of the language."""
    assert parse_yaml(data, "f").kind == "nothing"


def test_almost_too_much_passes() -> None:
    """The nearest neighbours of the limits: twelve levels, thousands of values, a file of the full size."""
    assert parse_yaml(b"a: " + b"[" * 10 + b"]" * 10, "f").kind == "map"
    many = dict(parse_yaml(b"a: [" + b"1," * 5000 + b"]", "f").members)["a"]
    assert len(many.items) == 5000
    assert parse_yaml(b"a: 1\n".ljust(SIZE_LIMIT_BYTES, b"#").replace(b"\n#", b"\n#"), "f").kind == "map"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    """Any bytes give a value or our own error."""
    assert is_answered(data)


SIGNS = [
    "a",
    ":",
    " ",
    "\n",
    "-",
    "[",
    "]",
    "{",
    "}",
    ",",
    "?",
    "&x",
    "*x",
    "!",
    "!!int",
    "|",
    ">",
    '"',
    "'",
    "\\U",
    "#",
    "%",
    "@",
    "---",
    "1",
    "~",
]
YAMLISH = st.lists(st.sampled_from([*SIGNS, "\u2028", "\t"]), max_size=25)


@settings(max_examples=400, deadline=None)
@given(YAMLISH)
def test_any_signs_of_yaml(signs: list[str]) -> None:
    """The same with bytes that get further into the parser."""
    assert is_answered("".join(signs).encode())


def is_answered(data: bytes) -> bool:
    """Whether there is a value, or an error that names the file; another exception passes through and fails the test."""
    try:
        return isinstance(parse_yaml(data, "f"), Node)
    except ConfigError as problem:
        return problem.message.startswith("f:")
