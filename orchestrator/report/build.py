"""From a run's record to the report document and the exit code. Pure."""

from collections.abc import Mapping
from typing import Any

from orchestrator.model.codec import to_plain
from orchestrator.model.record import Harvest, Outcome, Status
from orchestrator.model.report import SCHEMA, RunRecord

_EXIT: Mapping[Status, int] = {"succeeded": 0, "failed": 1, "timeout": 124, "interrupted": 130, "refused": 4, "error": 125}


def report_document(record: RunRecord) -> dict[str, Any]:
    """The members that DESIGN names, and a few more."""
    harvest = record.harvest
    return {
        "schema": SCHEMA,
        "id": record.id,
        "task": record.task,
        "status": record.status,
        "exit_code": record.outcome.exit_code if record.outcome else None,
        "backend": record.backend,
        "isolation": record.isolation,
        "plan_digest": record.plan_digest,
        "repo": record.repo,
        "base_commit": record.base_commit,
        "agent": _agent(record),
        "result": _result(harvest, record),
        "setup": [to_plain(command) for command in record.setup],
        "checks": [to_plain(check) for check in record.checks],
        "verify": [to_plain(verified) for verified in record.verify],
        "verifies": record.verifies,
        "network": {"mode": record.network_mode, **to_plain(record.network)},
        "docker": _docker(record),
        "audit": to_plain(record.audit),
        "timings": {phase: round(seconds, 4) for phase, seconds in record.timings.items()},
        "teardown": to_plain(record.teardown),
        "error": {"code": record.error.code, "message": record.error.message, "remedy": record.error.remedy} if record.error else None,
        "unlimited": list(record.unlimited),
        "notes": list(record.notes),
        "kept": record.kept,
        "recovered": record.recovered,
        "folder": record.folder,
    }


def _agent(record: RunRecord) -> dict[str, Any] | None:
    return {**to_plain(record.agent), "tokens": dict(record.agent.tokens)} if record.agent is not None else None


def _docker(record: RunRecord) -> dict[str, Any]:
    allowed = [{"request": request, "count": count} for request, count in record.docker.allowed]
    return {"mode": record.docker_mode, "allowed": allowed, "denied": [to_plain(denial) for denial in record.docker.denied]}


def _result(harvest: Harvest | None, record: RunRecord) -> dict[str, Any]:
    delivery = record.delivery
    if harvest is None:
        return {"commit": None, "branch": None, "bundle": None, "patch": None, "changed_files": [], "uncommitted": False}
    return {
        "commit": harvest.commit,
        "head": harvest.head,
        "branch": delivery.branch if delivery else None,
        "refs": list(delivery.refs) if delivery else [],
        "pushed": delivery.pushed if delivery else False,
        "bundle": _in_folder(record, harvest.bundle),
        "patch": _in_folder(record, harvest.patch),
        "changed_files": [to_plain(file) for file in harvest.changed_files],
        "uncommitted": harvest.uncommitted,
        "collected": [to_plain(ref) for ref in harvest.refs],
        "nested": [to_plain(nested) for nested in harvest.nested],
        "artifacts": list(harvest.artifacts),
        "complete": harvest.complete,
    }


def _in_folder(record: RunRecord, name: str | None) -> str | None:
    return f"{record.folder}/{name}" if name else None


def status_of(outcome: Outcome | None, checks_passed: bool) -> Status:
    """What a run came to, when nothing of ours went wrong."""
    if outcome is None or outcome.reason in ("interrupted", "stopped"):
        return "interrupted"
    if outcome.reason == "timeout":
        return "timeout"
    if outcome.reason == "lost":
        return "error"
    worked = outcome.reason == "exited" and outcome.exit_code == 0 and outcome.problem is None
    return "succeeded" if worked and checks_passed else "failed"


def exit_code(record: RunRecord) -> int:
    """The command's exit code (docs/exit-codes.md)."""
    if record.error is not None and record.status in ("error", "refused"):
        return record.error.exit_code
    return _EXIT[record.status]
