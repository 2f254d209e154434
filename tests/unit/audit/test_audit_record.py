"""The chain of the event log: whatever is changed, it shows."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.audit.log import AuditLog
from orchestrator.audit.record import EMPTY, Damage, Head, append, verify


def chain(count: int = 5) -> list[bytes]:
    lines, head = [], EMPTY
    for number in range(count):
        line, head = append(head, float(number), "run", "kind", {"n": number})
        lines.append(line.rstrip(b"\n"))
    return lines


def edited(line: bytes, **changes: object) -> bytes:
    return json.dumps({**json.loads(line), **changes}, sort_keys=True, separators=(",", ":")).encode()


def test_a_whole_chain_verifies() -> None:
    """As many events as lines, and the head that the writer had."""
    lines, head = [], EMPTY
    for number in range(3):
        line, head = append(head, 1.0, "r", "k", {"n": number, "text": "ü\udcff\n"})
        assert line.count(b"\n") == 1
        lines.append(line[:-1])
    assert verify(lines) == head
    assert verify([]) == EMPTY


@pytest.mark.parametrize(
    ("tamper", "line"),
    [
        pytest.param(lambda lines: [lines[0], edited(lines[1], n=9), *lines[2:]], 3, id="edit"),
        pytest.param(lambda lines: [edited(lines[0], time=5), *lines[1:]], 2, id="edit-first"),
        pytest.param(lambda lines: [*lines[:2], *lines[3:]], 3, id="remove"),
        pytest.param(lambda lines: lines[1:], 1, id="remove-first"),
        pytest.param(lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2, id="swap"),
        pytest.param(lambda lines: [*lines[:2], lines[1], *lines[2:]], 3, id="repeat"),
        pytest.param(lambda lines: [*lines[:3], edited(lines[3], seq=9), lines[4]], 4, id="renumber"),
        pytest.param(lambda lines: [*lines[:3], edited(lines[3], prev="0" * 64), lines[4]], 4, id="relink"),
        pytest.param(lambda lines: [lines[0], b"", *lines[1:]], 2, id="blank"),
        pytest.param(lambda lines: [lines[0], b"[]", *lines[1:]], 2, id="list"),
        pytest.param(lambda lines: [lines[0], b"\xff", *lines[1:]], 2, id="bytes"),
        pytest.param(lambda lines: [lines[0] + b" ", *lines[1:]], 2, id="one-blank-more"),
        pytest.param(lambda lines: [lines[0], b"[" * 100_000, *lines[1:]], 2, id="deep"),
        pytest.param(lambda lines: [edited(lines[0], seq=True), *lines[1:]], 2, id="true-is-not-one"),
    ],
)
def test_tampering_shows_with_its_line(tamper: Callable[[list[bytes]], list[bytes]], line: int) -> None:
    """The first line that does not fit is named."""
    damage = verify(tamper(chain()))
    assert isinstance(damage, Damage)
    assert damage.line == line


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 4), offset=st.integers(0, 500), value=st.integers(0, 255))
def test_any_changed_byte_changes_the_head(position: int, offset: int, value: int) -> None:
    """The last line has no successor: there the head tells."""
    lines = chain()
    line = bytearray(lines[position])
    line[offset % len(line)] = value
    whole = verify(lines)
    changed = verify([*lines[:position], bytes(line), *lines[position + 1 :]])
    assert (changed == whole) == (bytes(line) == lines[position])


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.binary(max_size=40), max_size=5))
def test_any_lines_have_an_answer(lines: list[bytes]) -> None:
    """A head or a damage, never an exception."""
    assert isinstance(verify(lines), Head | Damage)


def test_a_log_goes_on_where_it_stood(tmp_path: Path) -> None:
    """Half a line of a killed writer is cut off, and the cut is an event."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, "run", clock=lambda: 1.0)
    log.write("one", {})
    log.close()
    log.close()
    with path.open("ab") as file:
        file.write(b'{"half')
    again = AuditLog(path, "run", clock=lambda: 2.0)
    again.write("two", {})
    again.close()
    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["one", "log.cut", "two"]
    assert json.loads(lines[1])["bytes"] == 6
    assert verify(lines) == again.head


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        AuditLog(tmp_path / "audit.jsonl", "run")
    assert not (tmp_path / "elsewhere").exists()
