"""The egress of one run: listeners of the environment's own, and one thread that serves what comes through them."""

import base64
import binascii
import contextlib
import resource
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from orchestrator.egress.addresses import BadNetwork, parse_network
from orchestrator.egress.attempts import Deadlines, Services
from orchestrator.egress.config import EgressConfig
from orchestrator.egress.connect import connect
from orchestrator.egress.credentials import Vault
from orchestrator.egress.hosts import Address
from orchestrator.egress.judge import Judge
from orchestrator.egress.locate import Locate, by_address, by_service
from orchestrator.egress.own_addresses import own_addresses
from orchestrator.egress.resolver import Lookup, Resolver, system_lookup
from orchestrator.egress.session import Session
from orchestrator.egress.upstream import Dialled, Dialler, as_it_is
from orchestrator.egress.usage import Usage, Write
from orchestrator.model.network import NetworkUse, Phase
from orchestrator.wire.listener import Listener
from orchestrator.wire.loop import Loop, TimedOut
from orchestrator.wire.wires import Wire

if TYPE_CHECKING:
    from orchestrator.egress.sshagent import SshAgent
    from orchestrator.egress.tls import Authorities

MAX_CONNECTIONS = 512  # at once; more wait in the backlog
DESCRIPTORS_EACH = 2
DESCRIPTORS_BESIDES = 256  # pipes, look-ups, the log
ANSWER_S = 5.0
MAX_FAULTS = 100  # of ours that are told of


class EgressFailed(Exception):
    """The text is the whole reason."""


class Egress:
    """``write``: one event to the log. The rest are for tests, which have neither public names nor public addresses."""

    def __init__(
        self,
        config: EgressConfig,
        write: Write,
        *,
        lookup: Lookup = system_lookup,
        place: Dialled = as_it_is,
        own: Callable[[], frozenset[Address]] = own_addresses,
        deadlines: Deadlines = Deadlines(),  # noqa: B008 - frozen
    ) -> None:
        """Raises EgressFailed."""
        self._config = config
        self._write = write
        plan = config.network
        try:
            private = tuple(parse_network(text) for text in plan.private)
            own()
        except (BadNetwork, OSError) as problem:
            raise EgressFailed(str(problem)) from None
        self._host_keys = _host_keys(config)
        self._loop = Loop(self._failed)
        self._judge = Judge(plan)
        self._usage = Usage(write)
        self._dialler = Dialler(self._loop, Resolver(self._loop, private, own, lookup), plan, place)
        self._vault = Vault(config.secrets, plan.git)
        self._locators: Mapping[str, Locate] = {"proxy": by_address(self._judge), "gateway": by_service(plan.gateways, self._judge)}
        self._authorities: Authorities | None = None
        self._listeners: list[Listener] = []
        self._services: Services | None = None  # of the present phase
        self._ssh_agent: SshAgent | None = None
        self._deadlines = deadlines
        self._faults = 0
        self._limit = _connection_limit()
        self._thread = threading.Thread(target=self._loop.run, name="egress", daemon=True)
        self._thread.start()

    def listen(self, phase: Phase, listeners: Mapping[str, socket.socket]) -> None:
        """Serve these listening sockets, which are ours from now on, until ``quiet``.

        Raises:
            EgressFailed: a listener is of no known kind.
        """
        ssh = self._config.ssh
        unknown = set(listeners) - set(self._locators) - ({ssh.listener} if ssh else set())
        if unknown:
            raise EgressFailed(f"unknown listeners {sorted(unknown)}")
        self.quiet()
        self._ask(lambda: self._begin(phase, {name: sock for name, sock in listeners.items() if name in self._locators}))
        if ssh is not None and ssh.listener in listeners:
            from orchestrator.egress.sshagent import SshAgent

            self._ssh_agent = SshAgent(listeners[ssh.listener], ssh.host, self._host_keys, ssh.agent_socket, self._write)

    def add(self, listener: socket.socket) -> None:
        """Serve one more proxy in the present phase: a listening socket, ours from now on; somebody else keeps a copy for the next.

        Between phases, or when nothing answers, it is not served. Never raises.
        """
        with contextlib.suppress(EgressFailed):
            self._ask(lambda: self._add(listener))

    def quiet(self) -> None:
        """Close all listeners and connections; their events are written."""
        agent, self._ssh_agent = self._ssh_agent, None
        if agent is not None:
            agent.close()
        self._ask(self._end)

    def use(self) -> NetworkUse:
        return self._usage.total()

    def close(self) -> None:
        with contextlib.suppress(EgressFailed):
            self.quiet()
        self._loop.submit(self._loop.stop)
        self._thread.join(ANSWER_S)

    def _ask(self, call: Callable[[], None]) -> None:
        try:
            self._loop.ask(call, ANSWER_S)
        except TimedOut:
            raise EgressFailed(f"egress does not answer within {ANSWER_S:.0f} s") from None

    # --- in the loop's thread

    def _begin(self, phase: Phase, listeners: Mapping[str, socket.socket]) -> None:
        services = Services(
            self._loop, self._judge, self._dialler, self._usage, self._vault, phase, self._make_authorities, self._failed, self._deadlines
        )
        self._services = services
        self._usage.begin(phase)
        for name, sock in listeners.items():
            self._listeners.append(self._listener(services, sock, name, shared=False))

    def _add(self, sock: socket.socket) -> None:
        if self._services is None:
            sock.close()
            return
        self._listeners.append(self._listener(self._services, sock, "proxy", shared=True))

    def _listener(self, services: Services, sock: socket.socket, name: str, *, shared: bool) -> Listener:
        locate = self._locators[name]
        return Listener(
            self._loop, sock, lambda client: _serve(services, client, locate, tunnels=name == "proxy"), lambda count: count >= self._limit,
            shared=shared,
        )  # fmt: skip

    def _end(self) -> None:
        self._services = None
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        self._usage.end_phase()

    def _make_authorities(self) -> "Authorities":
        if self._authorities is None:
            from orchestrator.egress.tls import Authorities

            leaves = () if self._config.tls is None else self._config.tls.leaves
            self._authorities = Authorities(leaves, self._config.upstream_ca)
        return self._authorities

    def _failed(self, problem: BaseException) -> None:
        """A fault of ours, by its kind and place alone: its text may hold what came over the wire."""
        self._faults += 1
        if self._faults > MAX_FAULTS:
            return
        last = traceback.extract_tb(problem.__traceback__)[-1:]
        place = f"{last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""
        with contextlib.suppress(OSError):
            self._write("egress.error", {"kind_of_error": type(problem).__name__, "place": place})


def _host_keys(config: EgressConfig) -> tuple[bytes, ...]:
    try:
        return () if config.ssh is None else tuple(base64.b64decode(key, validate=True) for key in config.ssh.host_keys)
    except binascii.Error:
        raise EgressFailed("a key of the ssh host is not base64") from None


async def _serve(services: Services, sock: socket.socket, locate: Locate, *, tunnels: bool) -> None:
    client = Wire(services.loop, sock)
    try:
        head = await Session(services, client, locate, tunnels=tunnels).serve()
        if head is not None:
            await connect(services, client, head)
    finally:
        client.close()


def _connection_limit() -> int:
    """As many connections as there are descriptors for; the ordinary limit of 1024 is a courtesy to ``select``, which we do not use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS * DESCRIPTORS_EACH + DESCRIPTORS_BESIDES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(16, min(MAX_CONNECTIONS, (soft - DESCRIPTORS_BESIDES) // (2 * DESCRIPTORS_EACH)))
