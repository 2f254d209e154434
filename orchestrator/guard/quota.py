"""What a session may have at once, over all its containers. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.guard.calls import Usage, deny
from orchestrator.model.guard import GuardLimits

MIB, GIB = 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class _Quota:
    """``name``: of the rule and of the key below ``guard``; ``show``: an amount as the configuration writes it."""

    name: str
    used: Callable[[Usage], float]
    limit: Callable[[GuardLimits], float]
    show: Callable[[float], str]


def admit(usage: Usage, add: Usage, limits: GuardLimits) -> None:
    """Raises Denied: ``usage`` and ``add`` together are more than ``limits``. What is not added to is not looked at."""
    for quota in _QUOTAS:
        has, more, limit = quota.used(usage), quota.used(add), quota.limit(limits)
        if more > 0 and has + more > limit:
            show = quota.show
            raise deny(
                f"quota.{quota.name}",
                f"{quota.name}: this session has {show(has)} of {show(limit)}, and {show(more)} more is asked for",
                allowed=f"{show(max(limit - has, 0))} more",
                remedy=f"guard.{quota.name}: {show(has + more)}",
            )


def memory_text(amount: float) -> str:
    """Rounded up, so that a limit of that size would be enough."""
    if amount % GIB == 0:
        return f"{int(amount) // GIB}g"
    return f"{-(-int(amount) // MIB)}m"


def _count(amount: float) -> str:
    return str(int(amount))


def _cpus(amount: float) -> str:
    return f"{amount:.3f}".rstrip("0").rstrip(".")


_QUOTAS = (
    _Quota("containers", lambda usage: usage.containers, lambda limits: limits.containers, _count),
    _Quota("memory", lambda usage: usage.memory_bytes, lambda limits: limits.memory_bytes, memory_text),
    _Quota("cpus", lambda usage: round(usage.cpus, 3), lambda limits: limits.cpus, _cpus),
    _Quota("pids", lambda usage: usage.pids, lambda limits: limits.pids, _count),
    _Quota("volumes", lambda usage: usage.volumes, lambda limits: limits.volumes, _count),
    _Quota("networks", lambda usage: usage.networks, lambda limits: limits.networks, _count),
    _Quota("execs", lambda usage: usage.execs, lambda limits: limits.execs, _count),
    _Quota("ports", lambda usage: usage.ports, lambda limits: limits.ports, _count),
    _Quota("images", lambda usage: usage.images, lambda limits: limits.images, _count),
)
