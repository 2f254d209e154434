"""A result checked by itself: what a verification's plan is, and how its end counts. Pure.

A plan of its own, made from the run's: the same image, limits and network, at the commit of the result, with nothing that the agent left,
installed or was given. Nothing is looked up again: what the result says about its environment is the agent's word, and is not asked.
"""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.egress.rules import hosts_to_inspect
from orchestrator.errors import AienvError, EnvironmentFailed, Interrupted
from orchestrator.model.network import AGENT_ORIGIN, NetworkPlan
from orchestrator.model.plan import AgentPlan, Plan
from orchestrator.model.record import Harvest, Outcome, Status, Verified
from orchestrator.model.report import RunRecord
from orchestrator.model.task import Output

TASK_NAME_LENGTH = 63
TIME_IS_OVER = 124  # as of a check
TAIL_BYTES = 4096  # as of a check


def checks_as_verification(plan: Plan) -> Plan:
    """The same plan with every check in a clean environment."""
    return replace(plan, checks=(), verify=tuple(dict.fromkeys((*plan.checks, *plan.verify))))


def verification_plan(plan: Plan, run_id: str, commit: str | None, command: str) -> Plan:
    """``command``, at the result ``commit`` of the run ``run_id``."""
    ending = "-verify"
    return replace(
        plan,
        task=plan.task[: TASK_NAME_LENGTH - len(ending)] + ending,
        repo=replace(plan.repo, ref=commit, commit=commit, changes=None),  # uncommitted work is in the result's commit
        agent=AgentPlan("command", ("/bin/sh", "-c", command), None, False),
        network=without_credentials(plan.network),
        secrets=(),
        checks=(),
        verify=(),
        artifacts=(),
        output=Output(None, False),
        keep=False,
        verifies=run_id,
    )


def without_credentials(network: NetworkPlan) -> NetworkPlan:
    """The hosts of the task, without those that only its agent needs, and nothing that would identify us to one of them."""
    allow = tuple(rule for rule in network.allow if not rule.origin.startswith(AGENT_ORIGIN))
    return replace(network, allow=allow, inspect=tuple(sorted(hosts_to_inspect((*allow, *network.deny)))), gateways=(), git=(), ssh=None)


def tip(harvest: Harvest) -> str | None:
    """Which ref of the run's quarantine the result is; None: it is the base, which is here already."""
    if harvest.commit is None or harvest.commit == harvest.base:
        return None
    return "refs/aienv-out/worktree" if harvest.uncommitted else "refs/aienv-out/head"


def verified(command: str, record: RunRecord, tail: str) -> Verified:
    """What a verification came to.

    Raises:
        Interrupted: it was. EnvironmentFailed: it says nothing about the result, because its environment could not be had.
    """
    if record.status == "interrupted":
        raise Interrupted("interrupted during the verification")
    if record.error is not None:
        raise unverified(command, record.error.message, record.error.remedy)
    duration_s = record.outcome.duration_s if record.outcome else 0.0
    return Verified(command, _exit_code(record.status, record.outcome), duration_s, tail, record.id, record.status)


def unverified(command: str, message: str, remedy: str | None) -> AienvError:
    return EnvironmentFailed(f"the result could not be verified by {command!r}: {message}", remedy=remedy, code="verification")


def _exit_code(status: Status, outcome: Outcome | None) -> int:
    if status == "succeeded":
        return 0
    return TIME_IS_OVER if status == "timeout" or outcome is None else outcome.exit_code or 1


def passed(results: Sequence[Verified]) -> bool:
    return all(one.status == "succeeded" for one in results)
