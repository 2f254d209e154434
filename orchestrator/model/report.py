"""What is told: the report document, a contract that other programs parse (docs/report.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.model.guard import DockerUse
from orchestrator.model.network import NetworkUse
from orchestrator.model.record import AgentRecord, CheckResult, Delivery, Harvest, Outcome, Status, Teardown, Verified

SCHEMA = "aienv.report/1"


@dataclass(frozen=True, slots=True)
class AuditFacts:
    path: str
    head: str
    events: int


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    code: str
    message: str
    remedy: str | None
    exit_code: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, from the plan's digest to what was left. Written by the run itself or by its recovery."""

    id: str
    task: str
    status: Status
    backend: str
    isolation: str
    plan_digest: str
    repo: str
    base_commit: str | None
    docker_mode: str
    network_mode: str
    network: NetworkUse
    docker: DockerUse
    outcome: Outcome | None
    harvest: Harvest | None
    delivery: Delivery | None
    setup: tuple[CheckResult, ...]
    checks: tuple[CheckResult, ...]
    audit: AuditFacts
    timings: Mapping[str, float]
    teardown: Teardown
    error: ErrorFacts | None
    unlimited: tuple[str, ...]
    notes: tuple[str, ...]
    kept: str | None
    recovered: bool
    folder: str
    agent: AgentRecord | None = None
    verify: tuple[Verified, ...] = ()
    verifies: str | None = None


ExitCode = Literal[0, 1, 2, 3, 4, 5, 6, 7, 124, 125, 130]
