"""The hooks of a run's agent: what listens inside for its questions, and who answers them."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from socket import socket
from typing import Protocol

from orchestrator.agents.hookconfig import HooksConfig
from orchestrator.broker.client import Broker
from orchestrator.errors import EnvironmentFailed
from orchestrator.launcher.client import Place
from orchestrator.model.agent import HOOK_SOCKET
from orchestrator.model.network import Phase

LISTENER = "hooks"
PHASE: Phase = "agent"  # no other command has an agent that asks


class HooksSession(Protocol):
    """One run's answers to its agent. Not thread-safe."""

    def places(self, phase: Phase) -> Mapping[str, Place]:
        """What is to listen inside a command of that phase, by name; empty where nobody asks."""
        ...

    def listen(self, listener: socket) -> None:
        """Answer a command that is about to be let go. The caller closes its own copy afterwards.

        Raises:
            EnvironmentFailed: nobody will answer, so every tool call would be refused.
        """
        ...

    def notify(self, text: str) -> None:
        """Tell the agent's model with one of the next answers, where the agent passes words on. Never raises."""
        ...

    def quiet(self) -> None:
        """Close it for the last command. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class NoHooks:
    """Nobody asks."""

    def places(self, phase: Phase) -> Mapping[str, Place]:
        return {}

    def listen(self, listener: socket) -> None:
        raise AssertionError("nothing listens where there are no hooks")

    def notify(self, text: str) -> None:
        return

    def quiet(self) -> None:
        return


@dataclass(frozen=True, slots=True)
class AgentHooks:
    """Questions that the broker answers."""

    broker: Broker

    def places(self, phase: Phase) -> Mapping[str, Place]:
        return {LISTENER: HOOK_SOCKET} if phase == PHASE else {}

    def listen(self, listener: socket) -> None:
        self.broker.listen_hooks(listener.fileno())

    def notify(self, text: str) -> None:
        self.broker.notify_agent(text)

    def quiet(self) -> None:
        with contextlib.suppress(EnvironmentFailed):  # a broker that is gone has closed it; the run hears of it elsewhere
            self.broker.quiet_hooks()


def open_hooks(config: HooksConfig | None, broker: Broker) -> HooksSession:
    """``config``: None where the agent has no hooks, or the task switched them off.

    Raises:
        EnvironmentFailed: the broker cannot answer.
    """
    if config is None:
        return NoHooks()
    broker.begin_hooks(config)
    return AgentHooks(broker)
