"""What a command inside has of the network: a session per run, which the commands ask; the rest of ``run`` knows no more of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Protocol

from orchestrator.launcher.client import Place
from orchestrator.model.network import CLOSED, GATEWAY_PORT, PROXY_PORT, SSH_SOCKET, NetworkPlan, Phase
from orchestrator.run.environ import CONNECT_PROGRAM, needs_connect

_CONNECT = Path(__file__).resolve().parent.parent / "launcher" / "connect.py"


class NetworkSession(Protocol):
    """One run's way out. Not thread-safe."""

    @property
    def plan(self) -> NetworkPlan: ...

    def inputs(self) -> tuple[tuple[str, bytes], ...]:
        """Files for inside, read-only, as (path below /run/aienv, contents): ``environ.CA_PEM`` and ``CA_JKS`` where there is a way out."""
        ...

    def env(self, phase: Phase) -> tuple[tuple[str, str], ...]:
        """Variables for the commands of a phase, beside those that ``run.environ.proxy_environment`` makes of the plan."""
        ...

    def settle(self) -> None:
        """Wait until it can be used.

        Raises:
            AienvError: it cannot.
        """
        ...

    def listen(self, phase: Phase, sockets: Sequence[socket]) -> None:
        """Serve these: the proxy first, then the gateway (``listeners``). The caller closes its own copies afterwards.

        Raises:
            AienvError: nobody will serve them; the command must not start.
        """
        ...

    def quiet(self) -> None:
        """Close the listeners and every connection of the last command. Never raises; without a command nothing happens."""
        ...


@dataclass(frozen=True, slots=True)
class NoNetwork:
    """No way out: no listener, no variable, no file."""

    plan: NetworkPlan = CLOSED

    def inputs(self) -> tuple[tuple[str, bytes], ...]:
        return ()

    def env(self, phase: Phase) -> tuple[tuple[str, str], ...]:
        return ()

    def settle(self) -> None:
        return

    def listen(self, phase: Phase, sockets: Sequence[socket]) -> None:
        raise AssertionError("nothing listens where there is no network")

    def quiet(self) -> None:
        return


def listeners(plan: NetworkPlan) -> Mapping[str, Place]:
    """What listens inside, and where, in the order of ``NetworkSession.listen``."""
    if plan.mode == "none":
        return {}
    return {"proxy": PROXY_PORT, "gateway": GATEWAY_PORT, **({"ssh": SSH_SOCKET} if plan.ssh is not None else {})}


def inputs(network: NetworkSession) -> tuple[tuple[str, bytes], ...]:
    """The session's files, and the program for ssh where it may go somewhere."""
    connect = ((CONNECT_PROGRAM, _CONNECT.read_bytes()),) if needs_connect(network.plan) else ()
    return (*network.inputs(), *connect)
