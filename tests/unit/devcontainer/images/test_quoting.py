"""Values of strangers as words of a Dockerfile, a shell file and a label."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.images.quoting import (
    MAX_LABEL,
    assignments,
    env_instruction,
    exec_form,
    label_text,
    shell_word,
    user_instruction,
)
from orchestrator.errors import ConfigError

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
NASTY = ["$(touch /pwned)", "`id`", "'", '"', "\\", "a\nb", "é😀", "${X}", "' ; id ; '", "\\'", "\r\n", "a b\t", "\x81\x82", "!x", "*"]


def through_sh(data: bytes, names: list[str], tmp_path: Path) -> list[bytes]:
    """What a real shell has in the variables after it read the file."""
    file = tmp_path / "values"
    file.write_bytes(data)
    script = 'set -a; . "$0"; set +a; exec cat /proc/self/environ'
    done = subprocess.run(["/bin/sh", "-c", script, file], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True, timeout=20)
    found = dict(pair.split(b"=", 1) for pair in done.stdout.split(b"\0") if pair)
    return [found[name.encode()] for name in names]


def test_nasty_values_come_through_a_shell_unchanged(tmp_path: Path) -> None:
    names = [f"V{number}" for number in range(len(NASTY))]
    found = through_sh(assignments(zip(names, NASTY, strict=True)), names, tmp_path)
    assert found == [text.encode() for text in NASTY]
    assert not Path("/pwned").exists()


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=20))
def test_any_values_come_through_a_shell_unchanged(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    names = [f"V{number}" for number in range(len(values))]
    found = through_sh(assignments(zip(names, values, strict=True)), names, tmp_path_factory.mktemp("v"))
    assert found == [text.encode() for text in values]


@pytest.mark.parametrize("name", ["", "1A", "A B", "A;id", "A-B", "Ä"])
def test_what_is_no_name_is_no_assignment(name: str) -> None:
    with pytest.raises(ConfigError):
        assignments([(name, "x")])
    with pytest.raises(ConfigError):
        env_instruction(name, "x", expand=True)


def test_a_surrogate_alone_is_a_question_mark() -> None:
    assert assignments([("A", "x\ud800")]) == b"A='x?'\n"


def test_shell_word() -> None:
    assert shell_word("it's") == "'it'\\''s'"


@pytest.mark.parametrize(
    ("value", "expand", "written"),
    [
        ("a b", True, 'ENV A="a b"'),
        ("/x:${PATH}", True, 'ENV A="/x:${PATH}"'),
        ("/x:${PATH}", False, 'ENV A="/x:\\${PATH}"'),
        ('say "x"', True, 'ENV A="say \\"x\\""'),
        ("a\\b", True, 'ENV A="a\\\\b"'),
        ("\\$A", True, 'ENV A="\\\\$A"'),
        ("\\$A", False, 'ENV A="\\\\\\$A"'),
        ("it's\té", True, 'ENV A="it\'s\té"'),
        ("", True, 'ENV A=""'),
    ],
)
def test_env(value: str, expand: bool, written: str) -> None:
    assert env_instruction("A", value, expand=expand) == written


@pytest.mark.parametrize("value", ["a\nRUN id", "a\r", "\0", "\x1b[0m", "x" * 40000])
def test_env_that_no_dockerfile_can_hold(value: str) -> None:
    with pytest.raises(ConfigError, match="the variable A has"):
        env_instruction("A", value, expand=True)


@given(TEXTS)
def test_an_env_instruction_is_one_line(value: str) -> None:
    try:
        found = env_instruction("A", value, expand=False)
    except ConfigError:
        return
    assert len(found.splitlines()) == 1 or "\x85" in value or "\x0b" in value


@pytest.mark.parametrize(
    ("user", "written"),
    [("", "USER root"), ("dev", "USER dev"), ("1000:1000", "USER 1000:1000"), ("a.b-c", "USER a.b-c"), ("machine$", "USER machine\\$")],
)
def test_user(user: str, written: str) -> None:
    assert user_instruction(user) == written


@pytest.mark.parametrize("user", ["a b", "a\nRUN id", "$X", "-a", "a:b:c", "a\\", '"a"'])
def test_what_is_no_user(user: str) -> None:
    with pytest.raises(ConfigError):
        user_instruction(user)


@given(st.text(max_size=50))
def test_a_label_reads_back_and_needs_no_quotes(text: str) -> None:
    found = label_text([{"postCreateCommand": text, "x": [text]}])
    assert json.loads(found) == [{"postCreateCommand": text, "x": [text]}]
    assert found.isascii()
    assert not {"'", "$", "\n"} & set(found)


def test_a_label_has_an_end() -> None:
    assert len(label_text([{"a": "x" * (64 << 10)}])) > 64 << 10
    with pytest.raises(ConfigError, match=r"devcontainer\.metadata"):
        label_text([{"a": "x" * MAX_LABEL}])


def test_exec_form_is_one_line() -> None:
    assert exec_form("RUN", ("/bin/sh", "-c", "a\n'b' \"c\"")) == 'RUN ["/bin/sh", "-c", "a\\n\'b\' \\"c\\""]'
