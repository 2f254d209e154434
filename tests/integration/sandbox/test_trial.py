"""A trial of an agent's program in the local sandbox: mounts read-only at their places, nothing left behind."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.backends.local import LocalBackend
from orchestrator.model.paths import Paths
from orchestrator.run.trial import Trial, try_out

pytestmark = [pytest.mark.bwrap, pytest.mark.usefixtures("bwrap")]
INSIDE = "/opt/aienv-agents/tool"


@pytest.fixture
def base() -> Iterator[Path]:
    found = Path(tempfile.mkdtemp(prefix="aienv-trial-", dir="/tmp"))
    (found / "tool").mkdir()
    yield found
    shutil.rmtree(found)


def tried(base: Path, script: str, *, mode: int = 0o755) -> Trial:
    (base / "tool/tool").write_text(f"#!/bin/sh\n{script}\n")
    (base / "tool/tool").chmod(mode)
    paths = Paths(base / "config", base / "state", base / "cache")
    mounts = ((str(base / "tool"), INSIDE),)
    try:
        return try_out(LocalBackend(paths.work), paths, None, (f"{INSIDE}/tool", "--version"), mounts, (("A", "b"),))
    finally:
        assert list(paths.work.iterdir()) == []


def test_starts(base: Path) -> None:
    """The words, the variables, a home and a workspace to write into; the program's folder is read-only even to its owner."""
    found = tried(base, f'echo "$1 $A" && touch ~/x ./y /tmp/z && ! touch {INSIDE}/w 2>/dev/null && echo fine')
    assert (found.code, found.said) == (0, "--version b\nfine")


def test_no_network(base: Path) -> None:
    assert tried(base, "cat /proc/net/route | wc -l").said == "1"


def test_code(base: Path) -> None:
    """A program that fails is no error of ours."""
    found = tried(base, "echo no >&2; exit 3")
    assert (found.code, found.said) == (3, "no")


def test_not_startable(base: Path) -> None:
    """A program that cannot be started does not look like one that ran well."""
    assert tried(base, "exit 0", mode=0o644).code not in (0, None)
