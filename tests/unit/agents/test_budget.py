"""Limits of cost, turns and silence: once a notice, then a stop."""

import pytest

from orchestrator.agents.budget import Budget, Finding, Meter, check
from orchestrator.agents.events import AgentEvent, Tokens
from orchestrator.errors import UsageError
from orchestrator.model.agent import Dialect


def used(cost_usd: float | None = None, turns: int | None = None) -> AgentEvent:
    return AgentEvent("usage", tokens=Tokens(10, 1), cost_usd=cost_usd, turns=turns)


@pytest.mark.parametrize(
    ("budget", "steps", "kinds"),
    [
        pytest.param(Budget(), [used(1e6, 10**6)], "ok", id="no-limit"),
        pytest.param(Budget(max_cost_usd=1.0), [used(cost) for cost in (0.79, 0.8, 0.9, 1.0, 1.1)], "ok notice ok stop stop", id="cost"),
        pytest.param(Budget(max_cost_usd=1.0), [used(None), used(2.0)], "ok stop", id="cost-at-the-end"),
        pytest.param(Budget(max_cost_usd=1.0), [used(0.0), used(0.0)], "notice ok", id="no-price"),
        pytest.param(Budget(max_turns=5), [used(None, n) for n in (1, 3, 4, 5, 6)], "ok ok notice ok stop", id="turns"),
        pytest.param(Budget(max_turns=1), [used(None, 1), used(None, 2)], "notice stop", id="one-turn"),
        pytest.param(Budget(1.0, 10), [used(0.9, 1), used(0.9, 9)], "notice notice", id="once-for-each"),
        pytest.param(Budget(1.0, 10), [AgentEvent("text", "hello")], "ok", id="text"),
    ],
)
def test_what_an_agent_used(budget: Budget, steps: list[AgentEvent], kinds: str) -> None:
    meter = Meter(budget, 0.0)
    assert " ".join(meter.take(event, 0.0).kind for event in steps) == kinds


def test_silence() -> None:
    """Any byte ends it; the notice comes once."""
    meter = Meter(Budget(idle_s=100.0), 1000.0)
    assert [meter.silence(now).kind for now in (1000.0, 1079.0, 1080.0, 1099.0)] == ["ok", "ok", "notice", "ok"]
    meter.heard(1099.0)
    assert [meter.silence(now).kind for now in (1100.0, 1198.9, 1199.0)] == ["ok", "ok", "stop"]
    assert Meter(Budget(), 0.0).silence(1e9) == Finding("ok")


def test_texts_name_the_flag() -> None:
    """What was used, of how much, and where the limit comes from."""
    assert Meter(Budget(max_cost_usd=2.5), 0.0).take(used(2.61), 0.0).text == "the agent has used $2.61 of $2.50 (--max-cost)"
    assert Meter(Budget(max_turns=30), 0.0).take(used(turns=31), 0.0).text == "the agent has begun more than 30 turns (--max-turns)"
    assert Meter(Budget(idle_s=600), 0.0).silence(600.0).text == "the agent has said nothing for 600 s (--idle-timeout)"


@pytest.mark.parametrize(
    ("dialect", "budget", "refused"),
    [
        ("claude", Budget(max_cost_usd=1.0), None),
        ("pi", Budget(max_cost_usd=1.0), None),
        ("opencode", Budget(max_cost_usd=1.0), None),
        ("codex", Budget(max_cost_usd=1.0), "does not report what it costs"),
        ("gemini", Budget(max_cost_usd=1.0), "does not report what it costs"),
        ("qwen", Budget(max_cost_usd=1.0), "does not report what it costs"),
        ("codex", Budget(max_turns=5, idle_s=60.0), None),
        ("text", Budget(max_turns=5), "does not report its turns"),
        ("text", Budget(idle_s=60.0), None),
    ],
)
def test_a_limit_that_cannot_be_held_is_refused(dialect: Dialect, budget: Budget, refused: str | None) -> None:
    if refused is None:
        check(budget, dialect, dialect)
        return
    with pytest.raises(UsageError, match=refused):
        check(budget, dialect, dialect)
