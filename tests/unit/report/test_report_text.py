"""What is told: documents, exit codes, and text that does not drive a terminal."""

# ruff: noqa: E501 - a row of a table stays one line

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.guard import DockerDenial, DockerUse
from orchestrator.model.network import Denial, HostUse, NetworkUse
from orchestrator.model.record import ChangedFile, CheckResult, Delivery, Harvest, Outcome, Status, Teardown
from orchestrator.model.report import AuditFacts, ErrorFacts, ExitCode, RunRecord
from orchestrator.report.build import exit_code, report_document, status_of
from orchestrator.report.summary import summary_lines
from orchestrator.report.text import duration, plural, printable, size
from tests.e2e.product import REPORT_MEMBERS, RESULT_MEMBERS, check_members

EVIL = "a\033]0;owned\007\r\n\u202e\u0085\x9b31m\x00\udcff"
HARVEST = Harvest(
    "b" * 40,
    "h" * 40,
    "c" * 40,
    True,
    (),
    (ChangedFile("A", EVIL, "000000", "100644", True),),
    (),
    ("x",),
    "result.bundle",
    "result.patch",
    (),
)
USE = NetworkUse(
    (HostUse("a.org", 443, 2, 10, 20),),
    (Denial(EVIL, 443, "not-allowed", EVIL, 3, f"--allow-host {EVIL}", None), Denial("b.org", 80, "address", "private", 1, None, None)),
    (("TOKEN", "a.org", 1),),
)
DOCKER = DockerUse((("GET /info", 2),), (DockerDenial("image.not-allowed", EVIL, EVIL, EVIL, EVIL, EVIL, 3),))
RECORD = RunRecord(
    id="run1", task="t", status="succeeded", backend="local", isolation="sandbox", plan_digest="sha256:0", repo="/r", base_commit="b" * 40,
    docker_mode="guarded", network_mode="none", network=USE, docker=DOCKER, outcome=Outcome(0, None, "exited", 1.0), harvest=HARVEST, delivery=Delivery("aienv/" + EVIL, (), False, None),
    setup=(CheckResult(EVIL, 0, 0.1, EVIL),), checks=(CheckResult(EVIL, 1, 0.1, EVIL),), audit=AuditFacts("/a", "0", 1), timings={"total": 1.0}, teardown=Teardown((), (EVIL,)),
    error=ErrorFacts("x", EVIL, EVIL, 3), unlimited=(), notes=(EVIL,), kept=EVIL, recovered=False, folder="/f",
)  # fmt: skip


@given(text=st.text())
def test_printable_text_is_printable(text: str) -> None:
    """No control character, no direction mark, no lone surrogate, for any text; what is printable stays as it is."""
    shown = printable(text)
    assert shown.isprintable() or not shown
    shown.encode()
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 日", "plain ü 日"),
        ("\033[2J", "\\x1b[2J"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\udcff", "\\xff"),
        ("\u202e", "\\u202e"),
        ("\x9b", "\\x9b"),
        ("", ""),
    ],
)
def test_escapes_are_visible(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_the_summary_holds_one_safe_line_per_fact() -> None:
    """Whatever stands in names, errors, notes and paths."""
    lines = summary_lines(RECORD)
    assert [line for line in lines if not line.isprintable()] == []
    assert len(lines) == len(summary_lines(replace(RECORD, notes=("plain",))))


def test_the_document_has_its_members() -> None:
    """With a harvest and without."""
    for record in (RECORD, replace(RECORD, harvest=None, delivery=None, outcome=None, error=None, base_commit=None, checks=())):
        document = report_document(record)
        check_members(document, REPORT_MEMBERS)
        check_members(document["result"], RESULT_MEMBERS)


@pytest.mark.parametrize(
    ("outcome", "passed", "status"),
    [
        (Outcome(0, None, "exited", 1), True, "succeeded"),
        (Outcome(0, None, "exited", 1), False, "failed"),
        (Outcome(1, None, "exited", 1), True, "failed"),
        (Outcome(None, None, "exited", 1), True, "failed"),
        (Outcome(0, None, "timeout", 1), True, "timeout"),
        (Outcome(0, None, "limit", 1), True, "failed"),
        (Outcome(0, None, "interrupted", 1), True, "interrupted"),
        (Outcome(0, None, "stopped", 1), True, "interrupted"),
        (Outcome(0, None, "lost", 1), True, "error"),
        (None, True, "interrupted"),
    ],
)
def test_status(outcome: Outcome | None, passed: bool, status: str) -> None:
    """An agent that flushed and left with 0 after its deadline still ran out of time."""
    assert status_of(outcome, passed) == status


def statuses() -> Iterator[Status]:
    yield from get_args(Status)


@pytest.mark.parametrize("status", list(statuses()))
@pytest.mark.parametrize("error", [None, *(ErrorFacts("c", "m", None, code) for code in (2, 3, 4, 5, 6, 7, 125, 130))], ids=str)
def test_every_record_has_a_code_of_the_contract(status: Status, error: ErrorFacts | None) -> None:
    """No status together with any error leaves the list; a failure is never 0."""
    code = exit_code(replace(RECORD, status=status, error=error))
    assert code in get_args(ExitCode)
    assert (code == 0) == (status == "succeeded")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (42, "42 s"), (60, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (3599.7, "1 h 0 min")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 20, "3.0 MiB"), (1 << 52, "4096.0 TiB")]
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown


def test_plurals() -> None:
    assert [plural(count, "file") for count in (0, 1, 2, 12000)] == ["0 files", "1 file", "2 files", "12,000 files"]


def test_what_was_blocked_has_a_line_each_with_the_way_out() -> None:
    """Most often first; what nothing can allow promises nothing; a long list is cut."""
    lines = [line for line in summary_lines(RECORD) if line.startswith("blocked")]
    assert len(lines) == 2
    assert "(3 times)" in lines[0]
    assert "--allow-host" in lines[0]
    assert lines[1] == "blocked b.org:80: private"
    many = replace(RECORD, network=NetworkUse((), tuple(Denial(f"{n}.org", 443, "r", "x", 1, None, None) for n in range(20)), ()))
    assert [line for line in summary_lines(many) if line.startswith("blocked")][-1] == "blocked 12 more places, see the report"


def test_the_report_tells_what_was_reached_and_refused() -> None:
    """Places, bytes, reasons, credentials by name."""
    network = report_document(RECORD)["network"]
    assert (network["mode"], network["allowed"][0]["host"], network["denied"][0]["count"]) == ("none", "a.org", 3)
    assert network["credentials"] == [["TOKEN", "a.org", 1]]
