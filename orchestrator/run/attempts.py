"""Several attempts at one task: their plans, what is handed to the process of each, how they compare. Pure.

All attempts are the same plan, resolved once: the same commit, image, rules and uncommitted work. Only a branch name that was asked for is
numbered. Each is an ordinary run in a process of its own.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.model.codec import from_plain, to_plain
from orchestrator.model.plan import Plan
from orchestrator.report.text import duration, plural
from orchestrator.repos.changeset import ChangeSet, from_document, to_document
from orchestrator.repos.source import Source
from orchestrator.run.verify import checks_as_verification

SCHEMA = "aienv.attempts/1"
ATTEMPTS_MAX = 20
PARALLEL = 2
ERROR_CHARACTERS = 120  # an agent may say anything
_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_STATUS_ORDER = ("succeeded", "failed", "timeout", "interrupted")


def attempt_plans(plan: Plan, count: int) -> tuple[Plan, ...]:
    """One plan for each. Checks move into clean environments: attempts are compared by their results alone.

    Raises:
        UsageError: the plan cannot be had several times.
    """
    if plan.agent.tty:
        raise UsageError("attempts have no terminal", remedy="leave out --tty, or --attempts")
    if count == 1:
        return (checks_as_verification(plan),)
    if plan.output.push:
        raise UsageError("several attempts are not pushed", remedy="leave out --push, and push the branch that you choose")
    same = checks_as_verification(plan)
    wished = plan.output.branch
    outputs = [replace(plan.output, branch=f"{wished}-{number}" if wished else None) for number in range(1, count + 1)]
    return tuple(replace(same, output=output) for output in outputs)


@dataclass(frozen=True, slots=True)
class Handed:
    """What the process of one attempt is given: nothing is looked up there but what the plan names."""

    plan: Plan
    source: Source
    changes: ChangeSet | None


def handed_document(handed: Handed) -> dict[str, Any]:
    changes = None if handed.changes is None else to_document(handed.changes)
    return {"plan": to_plain(handed.plan), "source": to_plain(handed.source), "changes": changes}


def parse_handed(document: Mapping[str, Any]) -> Handed:
    """Raises ValueError: it is none."""
    changes = document["changes"]
    return Handed(
        from_plain(Plan, document["plan"]), from_plain(Source, document["source"]), None if changes is None else from_document(changes)
    )


@dataclass(frozen=True, slots=True)
class PatchFacts:
    """``lines``: added and removed ones; ``digest``: equal for equal results."""

    lines: int
    digest: str


def patch_facts(patch: Iterable[bytes]) -> PatchFacts:
    """What a patch of git's comes to, line by line. Its hunks say how long they are, so no line of a file is taken for a header."""
    seen, lines, old, new = hashlib.sha256(), 0, 0, 0
    for line in patch:
        seen.update(line)
        if old > 0 or new > 0:
            kind = line[:1]
            lines += kind in (b"+", b"-")
            old -= kind in (b" ", b"-", b"\n")
            new -= kind in (b" ", b"+", b"\n")
        elif match := _HUNK.match(line):
            old, new = (1 if text is None else int(text[:9]) for text in match.groups())
    return PatchFacts(lines, seen.hexdigest())


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt as the table has it. ``failing``: how many of its verifications did not pass; ``lines``: None is not known;
    ``same_as``: an attempt further up with the same result."""

    attempt: int
    run: str
    status: str
    passed: int
    failing: int
    changed_files: int
    changed_lines: int | None
    duration_s: float
    cost_usd: float | None
    branch: str | None
    bundle: str | None
    error: str | None
    same_as: int | None = None

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


def row(attempt: int, run_id: str, document: Mapping[str, Any], patch: PatchFacts | None) -> Row:
    """A run's report, or the error that stands in its place, as a row."""
    result = document.get("result") or {}
    verify = document.get("verify") or ()
    passed = sum(one["status"] == "succeeded" for one in verify)
    files = len(result.get("changed_files") or ())
    return Row(
        attempt,
        run_id,
        str(document.get("status", "error")),
        passed,
        len(verify) - passed,
        files,
        patch.lines if patch is not None else 0 if files == 0 else None,
        float((document.get("timings") or {}).get("total", 0.0)),
        _cost(document),
        result.get("branch"),
        result.get("bundle"),
        _error(document),
    )


def _error(document: Mapping[str, Any]) -> str | None:
    """What went wrong: of ours, or by the agent's own account."""
    own, agent = document.get("error"), document.get("agent")
    if own:
        return str(own["message"])
    said = agent.get("error") if isinstance(agent, dict) else None
    return str(said)[:ERROR_CHARACTERS] if said else None


def _cost(document: Mapping[str, Any]) -> float | None:
    """What the agent says that it cost, where it says so."""
    agent = document.get("agent")
    found = agent.get("cost_usd") if isinstance(agent, dict) else None
    return float(found) if isinstance(found, (int, float)) else None


def ranked(rows: Iterable[Row], digests: Mapping[int, str]) -> tuple[Row, ...]:
    """The best first: what passed, with as little change as possible, soon and at little cost. A result that changed nothing comes after
    those that did: it passed because the base does. ``digests``: of the patches, by attempt."""
    order = sorted(rows, key=_merit)
    first: dict[str, int] = {}
    for one in order:
        if one.attempt in digests:
            first.setdefault(digests[one.attempt], one.attempt)
    same = {one.attempt: first.get(digests.get(one.attempt, "")) for one in order}
    return tuple(replace(one, same_as=same[one.attempt] if same[one.attempt] != one.attempt else None) for one in order)


def _merit(one: Row) -> tuple[Any, ...]:
    endless = float("inf")
    return (
        _STATUS_ORDER.index(one.status) if one.status in _STATUS_ORDER else len(_STATUS_ORDER),
        one.failing,
        one.changed_files == 0,
        endless if one.changed_lines is None else one.changed_lines,
        one.changed_files,
        one.duration_s,
        endless if one.cost_usd is None else one.cost_usd,
        one.attempt,
    )


def best(rows: Sequence[Row]) -> Row | None:
    """The first of a ranked table, where it is one to take."""
    return rows[0] if rows and rows[0].succeeded else None


def exit_code(rows: Sequence[Row], codes: Iterable[int], interrupted: bool) -> int:
    """0 with at least one that succeeded; what all of them ended with; else 1. An interruption is one whatever had been done by then."""
    if interrupted:
        return 130
    if best(rows) is not None:
        return 0
    found = set(codes)
    return found.pop() if len(found) == 1 and 0 not in found else 1


def document(plan: Plan, rows: Sequence[Row], reports: Sequence[Mapping[str, Any]], interrupted: bool) -> dict[str, Any]:
    """The one document of ``--json``: ``attempts`` in the order of their numbers, ``ranking`` in that of the table."""
    first = best(rows)
    return {
        "schema": SCHEMA,
        "task": plan.task,
        "repo": plan.repo.location,
        "base_commit": plan.repo.commit,
        "interrupted": interrupted,
        "best": first.run if first is not None else None,
        "ranking": [to_plain(one) for one in rows],
        "attempts": list(reports),
    }


HEAD = ("RANK", "ATTEMPT", "RUN", "STATUS", "VERIFIED", "FILES", "LINES", "TIME", "COST", "RESULT")


def table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Cells for people, with a head."""
    return [HEAD, *(_cells(rank, one) for rank, one in enumerate(rows, start=1))]


def _cells(rank: int, one: Row) -> tuple[str, ...]:
    verified = f"{one.passed}/{one.passed + one.failing}" if one.passed + one.failing else "-"
    return (
        str(rank),
        str(one.attempt),
        one.run,
        one.status,
        verified,
        str(one.changed_files),
        "?" if one.changed_lines is None else str(one.changed_lines),
        duration(one.duration_s),
        "-" if one.cost_usd is None else f"${one.cost_usd:.4f}",
        _result_words(one),
    )


def _result_words(one: Row) -> str:
    if one.same_as is not None:
        return f"{one.branch or one.bundle or '-'} (the same as attempt {one.same_as})"
    if one.changed_files == 0 and one.branch is None:
        return one.error or "no changes"
    return one.branch or one.bundle or one.error or "-"


def ended_words(attempt: int, count: int, one: Row) -> str:
    """One line when an attempt has ended."""
    return f"attempt {attempt} of {count} ({one.run}): {one.status}, {plural(one.changed_files, 'changed file')}"
