"""What one run of an agent may cost, how many turns it may take and how long it may be silent. Pure: events and clock values in.

A cost is what the agent itself reports. There is no table of prices here: they change by the month, and the agents that report tokens
without a cost do so at their end, when a price would stop nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.agents.schema import AgentEvent, dollars
from orchestrator.errors import UsageError
from orchestrator.model.agent import Dialect

NOTICE_SHARE = 0.8

CostReport = Literal["live", "end", "never"]
COSTS: Mapping[Dialect, CostReport] = {
    "opencode": "live",
    "pi": "live",
    "claude": "end",  # it holds itself to --max-budget-usd while it runs
    "codex": "never",
    "gemini": "never",
    "qwen": "never",
    "text": "never",
}


@dataclass(frozen=True, slots=True)
class Budget:
    """None is no limit."""

    max_cost_usd: float | None = None
    max_turns: int | None = None
    idle_s: float | None = None

    @property
    def is_unlimited(self) -> bool:
        return self.max_cost_usd is None and self.max_turns is None and self.idle_s is None


@dataclass(frozen=True, slots=True)
class Finding:
    """``notice``: people should know; ``stop``: it had all of it. ``text`` is empty when all is well."""

    kind: Literal["ok", "notice", "stop"]
    text: str = ""


FINE = Finding("ok")


def check(budget: Budget, dialect: Dialect, agent: str) -> None:
    """A limit that could not be held is refused before anything starts.

    Raises:
        UsageError: the agent does not report what is to be limited.
    """
    if budget.max_cost_usd is not None and COSTS[dialect] == "never":
        able = ", ".join(sorted(name for name, report in COSTS.items() if report != "never"))
        raise UsageError(
            f"agent {agent!r} does not report what it costs, so its cost cannot be limited",
            remedy=f"limit its turns and its time instead (--max-turns, --timeout); agents that report a cost: {able}",
        )
    if budget.max_turns is not None and dialect == "text":
        raise UsageError(
            f"agent {agent!r} does not report its turns, so they cannot be limited",
            remedy="limit its time instead (--timeout, --idle-timeout)",
        )


class Meter:
    """Says once for each limit that four fifths of it are used, and, from then on whenever it is asked, that all of it is."""

    def __init__(self, budget: Budget, now_s: float) -> None:
        self._budget = budget
        self._heard_s = now_s
        self._told: set[str] = set()

    def heard(self, now_s: float) -> None:
        """A byte of output came."""
        self._heard_s = max(self._heard_s, now_s)

    def take(self, event: AgentEvent, now_s: float) -> Finding:
        """An event came; what it says about cost and turns."""
        self.heard(now_s)
        budget = self._budget
        if budget.max_cost_usd is not None and event.cost_usd is not None:
            text = f"the agent has used {dollars(event.cost_usd)} of {dollars(budget.max_cost_usd)} (--max-cost)"
            if event.cost_usd >= budget.max_cost_usd:
                return Finding("stop", text)
            if event.cost_usd >= NOTICE_SHARE * budget.max_cost_usd and self._first("cost"):
                return Finding("notice", text)
            if not event.cost_usd and event.tokens is not None and event.tokens.all and self._first("free"):
                return Finding("notice", "the agent has no price for its model and reports a cost of 0: --max-cost cannot hold it")
        if budget.max_turns is not None and event.turns is not None:
            if event.turns > budget.max_turns:  # not at the last one allowed: with it the agent may be done
                return Finding("stop", f"the agent has begun more than {budget.max_turns:,} turns (--max-turns)")
            if event.turns >= NOTICE_SHARE * budget.max_turns and self._first("turns"):
                return Finding("notice", f"the agent has taken {event.turns:,} of {budget.max_turns:,} turns (--max-turns)")
        return FINE

    def silence(self, now_s: float) -> Finding:
        """Time passed."""
        limit = self._budget.idle_s
        if limit is None:
            return FINE
        silent = now_s - self._heard_s
        if silent >= limit:
            return Finding("stop", f"the agent has said nothing for {limit:.0f} s (--idle-timeout)")
        if silent >= NOTICE_SHARE * limit and self._first("idle"):
            return Finding("notice", f"the agent has said nothing for {silent:.0f} s, the limit is {limit:.0f} s (--idle-timeout)")
        return FINE

    def _first(self, limit: str) -> bool:
        new = limit not in self._told
        self._told.add(limit)
        return new
