"""Other limits for a container that is there: within the session's. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from orchestrator.guard.calls import Object, Session, Usage, deny
from orchestrator.guard.fields import FieldRule, judge
from orchestrator.guard.host_config import RESOURCES, RESTART, processors
from orchestrator.guard.quota import admit

UPDATE: Mapping[str, FieldRule] = {**RESOURCES, "RestartPolicy": RESTART}


def judge_update(body: Object, session: Session, usage_without_it: Usage, share: Usage | None = None) -> tuple[Object, Usage]:
    """The body to forward, and the container's new share. What is zero stays as it is. ``share``: its share now; None: that of a container
    that asked for nothing.

    Raises:
        Denied: a field that is not allowed, or more than the session may have.
    """
    limits = session.plan.limits
    found = judge(UPDATE, body, {})
    _refuse_restarts(found, session)
    cpu, cpus = processors(found)
    memory, swap, pids = (_int(found, key) for key in ("Memory", "MemorySwap", "PidsLimit"))
    if memory and not swap:
        swap = memory  # a limit of both together that stays lower would refuse it
    if swap and not memory:
        raise deny("update.memory", "MemorySwap goes with Memory", field="MemorySwap", allowed="both together", status=400)
    if swap < memory:
        raise deny("update.memory", "MemorySwap is less than Memory", field="MemorySwap", allowed=f"at least {memory}", status=400)
    now = share or Usage(1, limits.container_memory_bytes, 0.0, limits.container_pids)
    new = replace(now, memory_bytes=swap or now.memory_bytes, pids=pids or now.pids, cpus=cpus or now.cpus)
    _admit(usage_without_it, now, new, session)
    kept = {key: value for key, value in found.items() if key not in ("NanoCpus", "CpuPeriod", "CpuQuota")}
    return {**kept, **cpu, **({"MemorySwap": swap} if swap else {})}, new


def _admit(usage: Usage, now: Usage, new: Usage, session: Session) -> None:
    """What does not grow is not asked about: it is there."""
    grown = Usage(
        memory_bytes=new.memory_bytes if new.memory_bytes > now.memory_bytes else 0,
        pids=new.pids if new.pids > now.pids else 0,
        cpus=new.cpus if new.cpus > now.cpus else 0.0,
    )
    admit(usage, grown, session.plan.limits)


def _refuse_restarts(found: Object, session: Session) -> None:
    """Where sources are held by freezing, the engine may not start a container by itself."""
    policy = found.get("RestartPolicy")
    name = policy.get("Name") if isinstance(policy, dict) else None
    if session.plan.pinning == "freeze" and name not in (None, "", "no"):
        raise deny("update.restart", "on this engine a container is not restarted by itself", field="RestartPolicy.Name", allowed="no")


def _int(found: Object, key: str) -> int:
    value = found.get(key)
    return value if isinstance(value, int) else 0
