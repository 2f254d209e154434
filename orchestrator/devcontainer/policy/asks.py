"""One thing that somebody asks for, what it needs, and what becomes of it. Pure.

Rules turn options, keys and mounts into asks; here they meet the grants. Nothing else decides.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.config.node import shown
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import Finding, grant_line


@dataclass(frozen=True, slots=True)
class Need:
    """``grant``: the word that gives it, None: nothing does; ``why``: what could happen."""

    grant: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Ask:
    """``what``: for people. ``words`` go into ``field`` of the result if all needs are granted; else ``instead``, or it is refused.

    ``volume``, ``source``: what of this machine it would mount.
    """

    what: str
    field: str = "run_args"
    words: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    instead: tuple[str, ...] | None = None
    volume: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """``asks``: those that hold, with the words that hold."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    asks: tuple[Ask, ...]

    def words(self, field: str) -> tuple[str, ...]:
        return tuple(word for ask in self.asks if ask.field == field for word in ask.words)


def never(what: str, why: str) -> Ask:
    """What cannot be had at all, also because it cannot be read."""
    return Ask(what, needs=(Need(None, why),))


def settle(asked: Iterable[tuple[str, Ask]], grants: Grants) -> Settled:
    """``asked``: origin and ask, in the order of the words."""
    findings: list[Finding] = []
    notes: list[str] = []
    kept: list[Ask] = []
    for origin, ask in asked:
        missing = [need for need in ask.needs if need.grant is None or not grants.allows(need.grant)]
        if not missing:
            kept.append(ask)
        elif ask.instead is None:
            findings += [Finding(ask.what, origin, need.why, need.grant) for need in missing]
        else:
            kept.append(Ask(ask.what, ask.field, ask.instead))
            notes.append(_note(origin, ask, missing))
    return Settled(tuple(dict.fromkeys(findings)), tuple(dict.fromkeys(notes)), tuple(kept))


def _note(origin: str, ask: Ask, missing: list[Need]) -> str:
    why = "; ".join(need.why for need in missing)
    line = grant_line(need.grant for need in missing if need.grant is not None)
    became = f"became {shown(' '.join(ask.instead))}" if ask.instead else "was left out"
    return f"{shown(origin, 120)}: {shown(ask.what, 200)} {became}: {why}" + (f" ({line} gives it)" if line else "")
