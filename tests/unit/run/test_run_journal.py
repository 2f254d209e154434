"""The journal: what a reader makes of any file."""

# ruff: noqa: E501 - a row of a table stays one line

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.run.journal import Journal, read_journal
from orchestrator.run.steps import Step


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Begun, ended, facts (the last entry wins), closed."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.begin(Step.HARVEST, at=1)
    journal.begin(Step.AGENT)
    journal.end(Step.AGENT, exit_code=3)
    state = read_journal(path)
    assert (state.begun, state.ended, state.closed) == (frozenset({Step.HARVEST, Step.AGENT}), frozenset({Step.AGENT}), False)
    assert (state.facts[Step.HARVEST]["at"], state.facts[Step.AGENT]["exit_code"]) == (1, 3)
    journal.close()
    assert read_journal(path).closed


def test_no_file_is_an_empty_journal(tmp_path: Path) -> None:
    state = read_journal(tmp_path / "none")
    assert (state.begun, state.ended, dict(state.facts), state.closed) == (frozenset(), frozenset(), {}, False)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\xff\xfe", b"null", b"3", b"[]", b'"x"', b"{}", b'{"step": "agent"}', b'{"state": "begin"}', b'{"step": "no-such-step", "state": "begin"}',
        b'{"step": ["agent"], "state": "begin"}', b'{"step": null, "state": "end"}', b'{"step": "agent", "state": 7}', b'{"step": "agent", "state": ["begin"]}',
        b'{"step": "agent", "state": "begi', b"[" * 3000,
    ],
)  # fmt: skip
def test_a_line_that_says_nothing_is_passed_over(tmp_path: Path, line: bytes) -> None:
    """A disk that was full, a machine that lost power, a newer version: what can be read counts."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(line + b'\n{"step": "agent", "state": "begin", "time": 1}\n')
    state = read_journal(path)
    assert state.begun == {Step.AGENT}
    assert state.ended == frozenset()


ENTRIES = st.one_of(
    st.binary(max_size=30),
    st.fixed_dictionaries(
        {
            "step": st.sampled_from([*(step.value for step in Step), "other", None, 1]),
            "state": st.sampled_from(["begin", "end", "closed", "x", None]),
        }
    ).map(lambda entry: json.dumps(entry).encode()),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(ENTRIES, max_size=8), cut=st.integers(0, 20))
def test_any_file_has_a_state(tmp_path: Path, lines: list[bytes], cut: int) -> None:
    """Garbage in any order, cut anywhere: a state, never an exception."""
    data = b"\n".join(lines)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(data[: max(0, len(data) - cut)])
    state = read_journal(path)
    assert state.begun | state.ended <= set(Step)


def test_a_full_disk_takes_the_reserve(tmp_path: Path) -> None:
    """The end of a run is written down even then: the space that was set aside is given back."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    reserve = tmp_path / "reserve"
    reserve.write_bytes(b"x")
    journal = Journal(tmp_path / "journal.jsonl", reserve)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._file)
    with pytest.raises(OSError) as problem:
        journal.end(Step.AGENT)
    assert problem.value.errno == errno.ENOSPC
    assert not reserve.exists()
    os.close(full)


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    """Where a link stands instead of the journal, nothing is opened."""
    (tmp_path / "journal.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        Journal(tmp_path / "journal.jsonl")
    assert not (tmp_path / "elsewhere").exists()
