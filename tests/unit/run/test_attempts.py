"""Several attempts: their plans, what is handed over, patches counted, tables ranked."""

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.model.task import Output
from orchestrator.repos.changeset import Carried, ChangeSet, Staged
from orchestrator.repos.source import Credentials, Source
from orchestrator.run.attempts import (
    HEAD,
    Handed,
    Row,
    attempt_plans,
    best,
    document,
    exit_code,
    handed_document,
    parse_handed,
    patch_facts,
    ranked,
    row,
    table,
)
from tests.unit.run.test_run_pieces import PLAN


@pytest.mark.parametrize(
    ("count", "branch", "expected"),
    [
        pytest.param(1, None, [None], id="one"),
        pytest.param(1, "aienv/x", ["aienv/x"], id="one-named"),
        pytest.param(3, None, [None, None, None], id="three"),
        pytest.param(3, "aienv/x", ["aienv/x-1", "aienv/x-2", "aienv/x-3"], id="three-named"),
    ],
)
def test_plans(count: int, branch: str | None, expected: list[str | None]) -> None:
    """The same plan, from one commit; a name that was asked for is numbered; checks are verifications."""
    plans = attempt_plans(replace(PLAN, output=Output(branch, False), checks=("make",), verify=("lint",)), count)
    assert [plan.output.branch for plan in plans] == expected
    assert {(plan.repo, plan.checks, plan.verify) for plan in plans} == {(PLAN.repo, (), ("make", "lint"))}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        pytest.param(replace(PLAN, output=Output(None, True)), "--push", id="push"),
        pytest.param(replace(PLAN, agent=replace(PLAN.agent, tty=True)), "--tty", id="tty"),
    ],
)
def test_plans_that_cannot_be_had_twice(plan: Any, said: str) -> None:
    """Refused, with what to leave out; one attempt may be pushed."""
    with pytest.raises(UsageError) as raised:
        attempt_plans(plan, 2)
    assert said in str(raised.value.remedy)
    assert attempt_plans(replace(plan, agent=PLAN.agent), 1)[0].output == plan.output


CHANGES = ChangeSet(
    Path("/r"), Path("/r/.git"), "c" * 40,
    (Staged(b"caf\xe9", "100644", "d" * 40),), (b"new",), (Carried(b"a b\n", "file", "0" * 64, 3),), (),
)  # fmt: skip


@pytest.mark.parametrize("changes", [None, CHANGES], ids=["clean", "changes"])
def test_what_is_handed_over_arrives(changes: ChangeSet | None) -> None:
    """Through JSON, names that are no UTF-8 included; a URL's password stays off every screen."""
    handed = Handed(PLAN, Source("url", "https://example.org/a.git", "a", Credentials("ann", "secret-word")), changes)
    arrived = parse_handed(json.loads(json.dumps(handed_document(handed))))
    assert arrived == handed
    assert changes is None or (arrived.changes is not None and arrived.changes.plan() == changes.plan())
    assert "secret-word" not in repr(arrived)


@pytest.mark.parametrize("text", ["{}", '{"plan": {}, "source": {}, "changes": null}', '{"plan": 1, "source": 2, "changes": 3}'])
def test_what_is_no_plan(text: str) -> None:
    """Refused before anything else is done."""
    with pytest.raises((ValueError, KeyError)):
        parse_handed(json.loads(text))


# --- patches ----------------------------------------------------------------------------------------------------------

PATCHES = [
    pytest.param({"a": "1\n2\n"}, {"a": "1\n3\n4\n"}, 3, id="changed"),
    pytest.param({"a": "1\n"}, {}, 1, id="removed"),
    pytest.param({}, {"a": "++ b\n-- c\n@@ -1 +1 @@\n"}, 3, id="lines-like-headers"),
    pytest.param({"a": "-- x\n"}, {"a": "++ x\n"}, 2, id="changed-like-headers"),
    pytest.param({}, {"a": "no newline"}, 1, id="no-newline"),
    pytest.param({"a": "\n\n\n1\n\n\n"}, {"a": "\n\n\n2\n\n\n"}, 2, id="empty-lines-around"),
    pytest.param({}, {"a": "x\0y"}, 0, id="binary"),
    pytest.param({}, {"a": ""}, 0, id="empty-file"),
]


@pytest.mark.parametrize(("before", "after", "lines"), PATCHES)
def test_lines_of_a_patch(tmp_path: Path, before: dict[str, str], after: dict[str, str], lines: int) -> None:
    """What git itself counts, of patches that git itself wrote."""
    for name, files in (("a", before), ("b", after)):
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    done = subprocess.run(
        ["git", "diff", "--no-index", "--binary", "a", "b"], cwd=tmp_path, capture_output=True, timeout=30, check=False
    )
    facts = patch_facts(done.stdout.splitlines(keepends=True))
    assert (facts.lines, facts.digest) == (lines, hashlib.sha256(done.stdout).hexdigest())


@given(st.lists(st.one_of(st.binary(), st.sampled_from([b"@@ -1,99999999999 +1 @@\n", b"@@ -1 +1 @@\n", b"+x\n", b"-x\n"]))))
def test_any_bytes_are_a_patch(lines: list[bytes]) -> None:
    """Whatever an agent makes of it, it has a number of lines."""
    assert 0 <= patch_facts(lines).lines <= len(lines)


# --- ranking ----------------------------------------------------------------------------------------------------------


def one(attempt: int, status: str = "succeeded", **more: Any) -> Row:
    plain = Row(attempt, f"r{attempt}", status, 1, 0, 1, 10, 5.0, None, f"aienv/t-{attempt}", None, None)
    return replace(plain, **more)


@pytest.mark.parametrize(
    ("rows", "order"),
    [
        pytest.param([one(1, "failed", changed_lines=1), one(2)], [2, 1], id="passing-first"),
        pytest.param([one(1, "error"), one(2, "interrupted"), one(3, "timeout"), one(4, "failed")], [4, 3, 2, 1], id="by-status"),
        pytest.param([one(1, "failed", failing=2), one(2, "failed", failing=1, changed_lines=99)], [2, 1], id="fewer-failures"),
        pytest.param([one(1, changed_files=0, changed_lines=0), one(2, changed_lines=99)], [2, 1], id="nothing-changed-comes-after"),
        pytest.param([one(1, changed_lines=11), one(2)], [2, 1], id="fewer-lines"),
        pytest.param([one(1, changed_lines=None), one(2, changed_lines=10**6)], [2, 1], id="unknown-lines-are-many"),
        pytest.param([one(1, changed_files=2), one(2)], [2, 1], id="fewer-files"),
        pytest.param([one(1, duration_s=6), one(2)], [2, 1], id="sooner"),
        pytest.param([one(1, cost_usd=2.0), one(2, cost_usd=1.0), one(3)], [2, 1, 3], id="cheaper"),
        pytest.param([one(2), one(1)], [1, 2], id="else-the-first"),
    ],
)
def test_ranking(rows: list[Row], order: list[int]) -> None:
    """From the best to the worst."""
    assert [found.attempt for found in ranked(rows, {})] == order


def test_equal_results_are_told() -> None:
    """The one further up is named; what has no patch is equal to nothing."""
    rows = ranked([one(1, duration_s=9), one(2), one(3), one(4)], {1: "x", 2: "x", 3: "y"})
    assert [(found.attempt, found.same_as) for found in rows] == [(2, None), (3, None), (4, None), (1, 2)]
    assert table(rows)[4][-1] == "aienv/t-1 (the same as attempt 2)"


@pytest.mark.parametrize(
    ("statuses", "codes", "interrupted", "code"),
    [
        pytest.param(["failed", "succeeded"], [1, 0], False, 0, id="one-succeeded"),
        pytest.param(["failed", "timeout"], [1, 124], False, 1, id="different"),
        pytest.param(["error", "error"], [3, 3], False, 3, id="all-the-same"),
        pytest.param(["timeout"], [124], False, 124, id="one"),
        pytest.param(["succeeded", "interrupted"], [0, 130], True, 130, id="interrupted"),
        pytest.param([], [], True, 130, id="interrupted-before-any"),
        pytest.param(["error"], [0], False, 1, id="an-end-without-a-report"),
    ],
)
def test_exit_code(statuses: list[str], codes: list[int], interrupted: bool, code: int) -> None:
    """0 with one that succeeded."""
    rows = ranked([one(number, status) for number, status in enumerate(statuses, start=1)], {})
    assert exit_code(rows, codes, interrupted) == code
    assert (best(rows) is not None) == ("succeeded" in statuses)


REPORT = {
    "schema": "aienv.report/1", "id": "r1", "status": "failed", "error": None, "timings": {"total": 3.0},
    "result": {"branch": "aienv/t-r1", "bundle": None, "changed_files": [{"path": "a"}]},
    "verify": [{"status": "succeeded"}, {"status": "failed"}],
}  # fmt: skip


def test_rows_of_reports() -> None:
    """A run, one without a patch, and one that never was."""
    first = row(1, "r1", REPORT, None)
    assert (first.passed, first.failing, first.changed_files, first.changed_lines, first.branch) == (1, 1, 1, None, "aienv/t-r1")
    failed = row(2, "r2", {"schema": "aienv.error/1", "status": "error", "error": {"message": "no space"}}, None)
    assert (failed.status, failed.changed_lines, failed.error) == ("error", 0, "no space")
    assert [len(line) for line in table(ranked([first, failed], {}))] == [len(HEAD)] * 3
    agent = row(3, "r3", {**REPORT, "agent": {"cost_usd": 0.25, "error": "502 " + "x" * 999}}, None)
    assert (agent.cost_usd, agent.error) == (0.25, "502 " + "x" * 116)


def test_the_document() -> None:
    """Reports by number, ranking by merit, the best by its run."""
    rows = ranked([one(1, "failed"), one(2)], {})
    found = document(PLAN, rows, [REPORT, REPORT], interrupted=False)
    assert (found["schema"], found["best"], [entry["attempt"] for entry in found["ranking"]]) == ("aienv.attempts/1", "r2", [2, 1])
    assert found["attempts"] == [REPORT, REPORT]
    assert json.dumps(found)
