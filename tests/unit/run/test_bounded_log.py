"""A log that keeps its beginning and its end."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.run.bounded_log import BoundedLog, join_parts

LIMIT = 4000


def numbered(count: int) -> bytes:
    return b"".join(b"%08d\n" % number for number in range(count))


@pytest.mark.parametrize("size", [0, 1, 1999, 2000, 2001, 3000, 3999, 4000])
@pytest.mark.parametrize("piece", [1, 7, 999, 10_000])
def test_what_fits_is_kept_byte_by_byte(tmp_path: Path, size: int, piece: int) -> None:
    """Whatever the pieces it comes in; no line of ours, no file beside it."""
    data = os.urandom(size)
    log = BoundedLog(tmp_path / "log", LIMIT)
    for at in range(0, size, piece):
        log.write(data[at : at + piece])
    log.close()
    assert (tmp_path / "log").read_bytes() == data
    assert os.listdir(tmp_path) == ["log"]
    assert (log.note, log.dropped) == (None, 0)


@pytest.mark.parametrize("piece", [9, 100, 1000, 123_456])
def test_a_flood_keeps_its_beginning_and_its_end(tmp_path: Path, piece: int) -> None:
    """Half of the limit from the beginning, at least a quarter from the end, and two lines that say so."""
    data = numbered(10_000)
    log = BoundedLog(tmp_path / "log", LIMIT)
    for at in range(0, len(data), piece):
        log.write(data[at : at + piece])
        on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert on_disk <= LIMIT + 200
    log.close()
    text = (tmp_path / "log").read_bytes()
    assert len(text) <= LIMIT + 200
    assert text.startswith(data[:2000] + b"\n[aienv: the output is longer than limits.output")
    assert text.endswith(data[-1000:])
    assert f"{log.dropped / 1024:.1f} KiB of output were cut here" in text.decode()
    assert log.note is not None
    assert "limits.output" in log.note
    assert os.listdir(tmp_path) == ["log"]


@given(pieces=st.lists(st.integers(0, 700), max_size=40), limit=st.integers(1, 600))
@settings(max_examples=100, deadline=None)
def test_nothing_is_lost_but_what_is_counted(tmp_path_factory: pytest.TempPathFactory, pieces: list[int], limit: int) -> None:
    """What was written is the beginning, what was cut, and the end."""
    folder = tmp_path_factory.mktemp("log")
    data = numbered(4000)[: sum(pieces)]
    log, at = BoundedLog(folder / "log", limit), 0
    for piece in pieces:
        log.write(data[at : at + piece])
        at += piece
    log.close()
    text = (folder / "log").read_bytes()
    ours = [line for line in text.split(b"\n") if line.startswith(b"[aienv: ")]
    head = max(1, limit - 2 * max(1, limit // 4))
    assert len(ours) == (2 if log.dropped else 0)
    if not log.dropped:
        assert text == data
    else:
        end = text.partition(b"were cut here]\n")[2]
        assert text.startswith(data[:head])
        assert data == data[:head] + data[head : head + log.dropped] + end


def test_a_killed_writer_leaves_what_can_be_joined(tmp_path: Path) -> None:
    """Whoever finishes the run puts it together; a second time there is nothing to do."""
    data = numbered(10_000)
    log = BoundedLog(tmp_path / "log", LIMIT)
    log.write(data)
    assert sorted(os.listdir(tmp_path))[0] == "log"
    assert len(os.listdir(tmp_path)) == 3
    join_parts(tmp_path / "log")
    join_parts(tmp_path / "log")
    text = (tmp_path / "log").read_bytes()
    assert text.startswith(data[:2000])
    assert text.endswith(data[-1000:])
    assert os.listdir(tmp_path) == ["log"]


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    """A run that was killed before its agent started has none."""
    join_parts(tmp_path / "log")
    assert os.listdir(tmp_path) == []


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    """Nor is a part of another log taken for one of ours."""
    (tmp_path / "log.end-x").touch()
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        BoundedLog(tmp_path / "log", LIMIT)
    (tmp_path / "log").unlink()
    log = BoundedLog(tmp_path / "log", LIMIT)
    log.write(b"x")
    log.close()
    assert (tmp_path / "log.end-x").exists()
