"""One guard: listening sockets for clients in front, the engine behind, one thread that serves them all.

It is closed when it cannot be reached, when its log takes nothing, and when it ends: what its clients made ends with it.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from orchestrator.errors import AienvError
from orchestrator.guard.calls import Denied, Json, Object, Session
from orchestrator.guard.config import GuardConfig
from orchestrator.guard.daemon import Daemon, DaemonLost, parse_address
from orchestrator.guard.decide import ceiling
from orchestrator.guard.gate import GateClient, GateLost, connect_gate, start_gate
from orchestrator.guard.gate_body import BUILDS, GATE_ROLE, NO_NETWORK, gate_name, void_archive
from orchestrator.guard.imagenames import canonical
from orchestrator.guard.images import OwnImages
from orchestrator.guard.marks import Mark
from orchestrator.guard.masking import secrets_of
from orchestrator.guard.pins import Pins
from orchestrator.guard.publish import Publisher, PublishLimits, listen_here
from orchestrator.guard.services import EMPTY, Reach, Services, Write
from orchestrator.guard.session import ClientSession
from orchestrator.guard.sweep import sweep
from orchestrator.guard.watching import adopt, learn, look, routes_in_use, watch
from orchestrator.model.guard import EGRESS_PORT, IMAGE_RUN
from orchestrator.model.task import SandboxRules
from orchestrator.wire.flows import SinkLost, SourceLost, tunnel
from orchestrator.wire.listener import Listener
from orchestrator.wire.loop import FOREVER, Loop, TimedOut, pause
from orchestrator.wire.wires import Wire

ANSWER_S = 10.0
SETTLE_S = 30.0  # operations under way when the guard ends
SWEEP_S = 60.0
MAX_CONNECTIONS = 256

Removed = tuple[tuple[str, ...], tuple[str, ...]]


class GuardFailed(Exception):
    """The text is the whole reason."""


class Guard:
    """``write``: one event to the log; when it raises, nothing passes any more. ``serve_proxy`` takes the listening socket of the
    containers' way out."""

    def __init__(
        self,
        config: GuardConfig,
        write: Write,
        serve_proxy: Callable[[socket.socket], None] | None = None,
        find_toolbox: Callable[[], str] | None = None,
    ) -> None:
        """``find_toolbox``: makes the folder that the gate runs from, when the configuration has none; it may take its time.

        Raises:
            GuardFailed: the engine's address is none, or it does not answer.
        """
        self._config = config
        self._find_toolbox = find_toolbox
        self._write = write
        self._serve_proxy = serve_proxy
        self._listeners: list[Listener] = []
        self._porter: GateClient | None = None
        self._gate: GateClient | None = None
        self._build_gate: GateClient | None = None
        self._void: str | None = None
        self._loop = Loop(self._failed)
        session = config.session
        try:
            address = parse_address(session.plan.daemon)
        except ValueError as problem:
            raise GuardFailed(str(problem)) from None
        daemon = Daemon(self._loop, address, ceiling(session))
        folder = Path(config.folder)
        limits = PublishLimits()
        publisher = Publisher(self._loop, self._listen_inside, self._dial, self._address_of, limits)
        reach = Reach(self._start_gate, self._join, self._leave, self._start_for_builds, self._gate_stands)
        pins = Pins(session, folder / "binds")
        services = Services(self._loop, session, folder, write, daemon, pins, publisher, reach, config.writers, routes_in_use())
        services.registry.images = OwnImages.of(session.plan)
        if config.mask:
            (folder / EMPTY).touch(mode=0o444)
            rules = SandboxRules(config.mask, config.unmask, ())
            try:
                services.secrets = tuple(secrets_of(one.host, rules) for one in session.maps)
            except (OSError, Denied) as problem:
                raise GuardFailed(f"the project's masked files cannot be found: {problem}") from None
        self._services = services
        self._thread = threading.Thread(target=self._loop.run, name="guard", daemon=True)
        self._thread.start()
        try:
            self._do(self._begin)
        except (DaemonLost, TimedOut) as problem:
            self._end_loop()
            raise GuardFailed(str(problem) or "the engine does not answer") from None

    async def _begin(self) -> None:
        if self._services.session.plan.mode == "full":
            return
        await learn(self._services)
        await adopt(self._services, self._config.adopt)
        self._loop.spawn(watch(self._services))

    # --- for other threads

    def listen(self, phase: str, listener: socket.socket, porter: socket.socket | None = None, *, shared: bool = False) -> None:
        """Serve clients of a listening socket, ours from now on. ``porter``: makes sockets where published ports are to appear.
        ``shared``: somebody keeps a copy, and will have it served again."""
        self._loop.ask(lambda: self._add(listener, porter, shared), ANSWER_S)

    def quiet(self) -> None:
        """Close the clients' listeners and connections, and published ports: the command has ended. Containers go on; nothing that a client
        asked for is still under way afterwards."""
        with contextlib.suppress(TimedOut, DaemonLost):
            self._loop.ask(self._quiet, ANSWER_S)
            self._do(self._await_operations, SETTLE_S + ANSWER_S)

    def close(self) -> Removed:
        """End it, and remove everything that was made through it: (removed, left)."""
        self.quiet()
        with contextlib.suppress(TimedOut, DaemonLost):
            self._do(self._settle, SETTLE_S + ANSWER_S)
        self._end_loop()
        self._services.pins.release_all()
        session = self._config.session
        return sweep(session.plan.daemon, session.id, Path(self._config.folder), SWEEP_S)

    @property
    def session(self) -> Session:
        return self._services.session

    def _do(self, work: Callable[[], Coroutine[float, None, None]], deadline_s: float = SETTLE_S) -> None:
        """Have a coroutine run in the loop, and wait for it."""
        done = threading.Event()
        problems: list[Exception] = []

        async def run() -> None:
            try:
                await work()
            except Exception as problem:  # noqa: BLE001 - it is the asker's
                problems.append(problem)
            finally:
                done.set()

        self._loop.submit(lambda: self._spawn(run()))
        if not done.wait(deadline_s):
            raise TimedOut
        if problems:
            raise problems[0]

    def _spawn(self, work: Coroutine[float, None, None]) -> None:
        self._loop.spawn(work)

    def _end_loop(self) -> None:
        self._loop.submit(self._loop.stop)
        self._thread.join(ANSWER_S)

    # --- in the loop's thread

    def _add(self, listener: socket.socket, porter: socket.socket | None, shared: bool) -> None:
        if porter is not None:
            self._porter = GateClient(self._loop, porter)
            self._loop.spawn(self._publish_again())
        self._listeners.append(Listener(self._loop, listener, self._connection, lambda count: count >= MAX_CONNECTIONS, shared=shared))

    async def _publish_again(self) -> None:
        """Containers of an earlier command may still run, and had their ports in its place."""
        with contextlib.suppress(DaemonLost):
            await look(self._services)

    def _quiet(self) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        self._services.publisher.close_all()
        porter, self._porter = self._porter, None
        if porter is not None:
            porter.close()

    async def _connection(self, sock: socket.socket) -> None:
        client = Wire(self._loop, sock)
        try:
            if self._services.session.plan.mode == "full":
                await self._relay(client)
            else:
                await ClientSession(self._services, client).serve()
        finally:
            client.close()

    async def _relay(self, client: Wire) -> None:
        """Mode full: bytes both ways, and a line in the log for each connection."""
        self._services.event("docker.full", {})
        server = await self._services.daemon.dial()
        try:
            await tunnel(self._loop, client, server, FOREVER)
        except (SourceLost, SinkLost):
            client.abort()
        finally:
            server.close()

    async def _await_operations(self) -> None:
        deadline = self._loop.in_seconds(SETTLE_S)
        while self._services.under_way and self._loop.in_seconds(0) < deadline:
            with contextlib.suppress(TimedOut):
                await pause(self._loop.in_seconds(0.02))

    async def _settle(self) -> None:
        await self._await_operations()
        for gate in (self._gate, self._build_gate):
            if gate is not None:
                gate.close()
        self._services.daemon.close()

    def _failed(self, problem: BaseException) -> None:
        self._services.failed(problem)

    # --- reaching the containers

    async def _ask(self, method: str, path: str, body: Object | None) -> tuple[int, Json]:
        where, _, query = path.partition("?")
        try:
            return await self._services.daemon.ask(method, unquote(where), tuple(parse_qsl(query, keep_blank_values=True)), body)
        except DaemonLost as lost:
            raise OSError(str(lost)) from None

    async def _start_gate(self, network: str, session: Session) -> None:
        self._gate = await self._new_gate(session, network, GATE_ROLE, "0.0.0.0")

    def _gate_stands(self) -> bool:
        """An engine that was started anew has ended it."""
        return self._gate is not None and not self._gate.lost

    async def _start_for_builds(self, session: Session) -> str:
        self._build_gate = await self._new_gate(session, NO_NETWORK, BUILDS, "127.0.0.1")
        return self._build_gate.container

    async def _new_gate(self, session: Session, network: str, part: str, address: str) -> GateClient:
        """With the way out on ``address``, where there is one. Raises DaemonLost."""
        config = self._config
        toolbox = config.toolbox
        if toolbox is None and self._find_toolbox is not None:
            toolbox = await in_a_thread(self._loop, self._find_toolbox)
        if toolbox is None:
            raise DaemonLost("there is no toolbox, so nothing can stand in the containers' network")
        folder = Path(config.folder) / part
        folder.mkdir(mode=0o755, exist_ok=True)
        await self._ask("DELETE", f"/containers/{gate_name(session, part)}?force=1&v=1", None)  # one that was lost keeps its name
        try:
            image = config.gate_image or await self._void_image()
            gate = await start_gate(self._loop, self._ask, session, image, Path(toolbox), folder, network, part)
            if session.proxy is not None and self._serve_proxy is not None:
                self._serve_proxy(await gate.listen(address, EGRESS_PORT))
        except (GateLost, OSError) as lost:
            raise DaemonLost(f"the containers' network has no door: {lost}") from None
        return gate

    async def _void_image(self) -> str:
        """Made once."""
        if self._void is None:
            self._void = await _void_image(self._services)
        return self._void

    async def _join(self, network: str) -> None:
        assert self._gate is not None
        try:
            await connect_gate(self._ask, self._gate.container, network)
        except GateLost as lost:
            raise DaemonLost(str(lost)) from None

    async def _leave(self, network: str) -> None:
        assert self._gate is not None
        await self._ask("POST", f"/networks/{network}/disconnect", {"Container": self._gate.container, "Force": True})

    async def _listen_inside(self, port: int) -> socket.socket:
        if self._porter is not None:
            return await self._porter.listen("127.0.0.1", port)
        if self._config.ports_here:
            return await listen_here(port)
        raise OSError("nothing can listen inside")

    async def _dial(self, address: str, port: int) -> socket.socket:
        if self._gate is None:
            raise GateLost("there is no gate")
        return await self._gate.dial(address, port)

    async def _address_of(self, container: str) -> str | None:
        """Where a container is to be reached: in the session's network, or in any that the gate stands in, too."""
        status, answer = await self._services.daemon.ask("GET", f"/containers/{container}/json")
        settings = answer.get("NetworkSettings") if status == 200 and isinstance(answer, dict) else None
        networks = settings.get("Networks") if isinstance(settings, dict) else None
        ours = {self._services.session.network, *self._services.registry.networks}
        for one in networks.values() if isinstance(networks, dict) else ():
            if isinstance(one, dict) and one.get("NetworkID") in ours and one.get("IPAddress"):
                return str(one["IPAddress"])
        return None


async def in_a_thread(loop: Loop, work: Callable[[], str]) -> str:
    """What takes long and would hold up everybody. Raises DaemonLost."""
    task = loop.current
    results: list[str] = []
    problems: list[str] = []

    def run() -> None:
        try:
            results.append(work())
        except (AienvError, OSError) as problem:
            problems.append(str(problem))
        loop.submit(lambda: loop.schedule(task))

    threading.Thread(target=run, name="guard-work", daemon=True).start()
    while not results and not problems:
        await pause(FOREVER)
    if problems:
        raise DaemonLost(problems[0])
    return results[0]


async def _void_image(services: Services) -> str:
    """An image of nothing, under a name of the session's own: the gate's programs come from the toolbox. Raises DaemonLost."""
    name = f"aienv/void:{services.session.id.lower()}"
    services.note_images([Mark(canonical(name), "")])
    repository, _, tag = name.partition(":")
    changes = (("changes", f"LABEL {IMAGE_RUN}={services.session.id}"),)
    query = (("fromSrc", "-"), ("repo", repository), ("tag", tag), *changes)
    status, answer = await services.daemon.ask_lines("POST", "/images/create", query, void_archive(), "application/x-tar")
    if status != 200 or b'"error' in answer:
        raise DaemonLost(f"an empty image could not be made: {answer[:200].decode('utf-8', 'replace')}")
    return name
