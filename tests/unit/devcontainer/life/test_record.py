"""What is kept of containers on this machine."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from orchestrator.devcontainer.life.inside import User
from orchestrator.devcontainer.life.record import KEEP_S, Record, Records

ID = "a" * 64


def container(created: str = "c", started: str = "s", name: str = ID) -> Any:
    return {"Id": name, "Created": created, "State": {"StartedAt": started}}


def filled() -> Record:
    return Record("c", "s", {"dev": User("dev", "1000", "/home/dev", "/bin/sh")}, {"dev x": {"A": "b"}}, {"onCreateCommand": "c"}, True)


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    records = Records(tmp_path / "r")
    records.save(container(), filled())
    assert records.load(container()) == filled()
    assert stat.S_IMODE(os.stat(records.path(container())).st_mode) == 0o600


def test_a_start_ends_what_was_true_before_it(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.save(container(), filled())
    found = records.load(container(started="later"))
    assert (found.users, found.probes, found.hooks, found.patched) == ({}, {}, {"onCreateCommand": "c"}, True)
    assert records.load(container(created="other")) == Record("other", "s")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"users": 1}', '{"created": "c", "started": "s", "users": {"a": [1]}}', "\0"])
def test_a_broken_file_counts_as_none(tmp_path: Path, text: str) -> None:
    records = Records(tmp_path)
    records.path(container()).write_text(text)
    assert records.load(container()) == Record("c", "s")


def test_forgetting(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.save(container(), filled())
    (records.logs(container()) / "x.log").write_text("")
    records.forget(ID)
    assert list(tmp_path.iterdir()) == []


def test_sweeping(tmp_path: Path) -> None:
    """What is gone and old; neither what is there, nor what is new, nor files that are none of these."""
    records = Records(tmp_path)
    names = [letter * 64 for letter in "abc"]
    for name in names:
        records.save(container(name=name), filled())
    (tmp_path / "other.json").write_text("")
    for name in (*names[:2], "other"):
        os.utime(tmp_path / f"{name}.json", (0, 0))
    records.sweep(names[:1])
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted([names[0], names[2], "other"])
    assert KEEP_S > 86400


@pytest.mark.parametrize("name", ["../../etc/passwd", "x", "", "A" * 64])
def test_ids_are_ids(tmp_path: Path, name: str) -> None:
    with pytest.raises(AssertionError):
        Records(tmp_path).path(container(name=name))
