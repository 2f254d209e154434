"""What a shell's environment gives commands."""

import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer.life.probing import (
    SHELL_OPTIONS,
    merged_path,
    parse_environ,
    probe_argv,
    probed,
    remote_environ,
)

MARK = "aienv-0"


def test_between_the_marks() -> None:
    output = b"motd\n" + MARK.encode() + b"A=1\0PWD=/x\0B=x=y\0C=two\nlines\0=no\0nothing\0" + MARK.encode() + b"bye"
    assert parse_environ(output, MARK) == {"A": "1", "B": "x=y", "C": "two\nlines"}


@pytest.mark.parametrize("output", [b"", b"A=1\0", MARK.encode() + b"A=1\0", MARK.encode() + b"A=" + b"x" * (2 << 20) + MARK.encode()])
def test_nothing_between_marks(output: bytes) -> None:
    assert parse_environ(output, MARK) is None


@given(st.binary())
def test_never_fails(output: bytes) -> None:
    parse_environ(output, MARK)


@pytest.mark.parametrize("probe", SHELL_OPTIONS)
def test_a_real_shell(probe: str) -> None:
    environ = {"A": "a b", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(probe_argv("/bin/bash", probe, MARK), env=environ, capture_output=True, timeout=20, check=False)
    found = parse_environ(done.stdout, MARK)
    assert found is not None
    assert found["A"] == "a b"


@pytest.mark.parametrize(("shell", "container", "root", "path"), [
    ("/a:/b", "/a:/b", False, "/a:/b"),
    ("/a:/b", "/x:/a:/y:/b:/z", False, "/x:/a:/y:/b:/z"),
    ("/usr/bin", "/usr/sbin:/usr/bin:/sbin", False, "/usr/bin"),
    ("/usr/bin", "/usr/sbin:/usr/bin:/sbin", True, "/usr/sbin:/usr/bin:/sbin"),
    ("/usr/bin", "/opt/sbinary:/usr/bin", False, "/opt/sbinary:/usr/bin"),
])  # fmt: skip
def test_path(shell: str, container: str, root: bool, path: str) -> None:
    assert merged_path(shell, container, root) == path


def test_path_only_where_both_have_one() -> None:
    assert probed({"A": "1"}, {"PATH": "/x"}, True) == {"A": "1"}
    assert probed({"PATH": "/a"}, {}, True) == {"PATH": "/a"}
    assert probed({"PATH": "/a"}, {"PATH": "/b"}, True) == {"PATH": "/b:/a"}


@pytest.mark.parametrize(("given_words", "configured", "found", "unset"), [
    ((), None, {"P": "1"}, ()),
    (("P=2", "E=", "X=a=b"), None, {"P": "2", "E": "", "X": "a=b"}, ()),
    (("P=2",), {"P": "3"}, {"P": "3"}, ()),
    ((), {"P": None}, {}, ("P",)),
    ((), {"Q": None}, {"P": "1"}, ("Q",)),
    ((), {"T": True, "N": 3, "S": ""}, {"P": "1", "T": "true", "N": "3", "S": ""}, ()),
    ((), "no table", {"P": "1"}, ()),
])  # fmt: skip
def test_remote(given_words: tuple[str, ...], configured: Any, found: dict[str, str], unset: tuple[str, ...]) -> None:
    assert remote_environ({"P": "1"}, given_words, configured) == (found, unset)
