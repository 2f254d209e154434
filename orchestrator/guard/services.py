"""What all connections of one guard share. One thread has it: the loop's.

What costs (a network, the gate, its way out) is made when it is first needed, once, and registered for undo by its labels before it exists.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from orchestrator.guard.calls import BindAsk, Denial, Denied, Forward, Json, Known, Object, Reference, Session, Thing, deny
from orchestrator.guard.daemon import Daemon, DaemonLost
from orchestrator.guard.decide import Call, State
from orchestrator.guard.gate_body import NO_NETWORK
from orchestrator.guard.imagenames import canonical, is_id
from orchestrator.guard.images import image_id
from orchestrator.guard.marks import Mark, note
from orchestrator.guard.masking import Secrets
from orchestrator.guard.pins import Pins
from orchestrator.guard.publish import Publisher
from orchestrator.guard.registry import Registry
from orchestrator.guard.view import ShownContainer, View
from orchestrator.model.guard import MADE, MANAGED, ROLE, RUN, AllowedImage
from orchestrator.wire.loop import FOREVER, Loop, Task, TimedOut, pause

T = TypeVar("T")
Write = Callable[[str, Mapping[str, object]], object]

FULL_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
NAME = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}", re.ASCII)
IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_./:@-]{0,511}", re.ASCII)
DEFAULT_NETWORKS = ("bridge", "default")
INHIBIT = "com.docker.network.bridge.inhibit_ipv4"
PAUSE_S = 20.0
TURN_S = 120.0
NETWORK_ROLE, MAP_ROLE = "network", "map"
EMPTY = "empty"  # a file in the guard's folder
MAX_FAULTS = 100
MAX_LEARNED = 500
# Calls that need the session's network to be there.
ON_THE_NETWORK = frozenset(["containers.create", "build", "networks.inspect", "networks.connect", "networks.disconnect"])


class Turn:
    """Whoever comes while it is taken waits, in order."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._taken = False
        self._waiting: list[Task] = []

    @contextlib.asynccontextmanager
    async def taken(self, deadline_s: float = TURN_S) -> AsyncIterator[None]:
        """Raises DaemonLost: it is not free in time."""
        task = self._loop.current
        assert task is not None
        self._waiting.append(task)
        deadline = self._loop.in_seconds(deadline_s)
        try:
            while self._taken or self._waiting[0] is not task:
                try:
                    await pause(deadline)
                except TimedOut:
                    raise DaemonLost("the engine is busy with another call of this session") from None
            self._taken = True
        finally:
            self._waiting.remove(task)
        try:
            yield
        finally:
            self._taken = False
            if self._waiting:
                self._loop.schedule(self._waiting[0])


class Services:
    """``writers``: containers that can write the project and are in no registry: the agent's own. ``taken``: networks in use here."""

    def __init__(
        self,
        loop: Loop,
        session: Session,
        folder: Path,
        write: Write,
        daemon: Daemon,
        pins: Pins,
        publisher: Publisher,
        reach: "Reach",
        writers: Sequence[str],
        taken: tuple[str, ...],
    ) -> None:
        self.loop = loop
        self.session = session
        self.folder = folder
        self.daemon = daemon
        self.pins = pins
        self.publisher = publisher
        self.reach = reach
        self.registry = Registry()
        self._write = write
        self._writers = tuple(writers)
        self._taken = taken
        self._faults = 0
        self._network_turn, self._gate_turn, self.freeze_turn = Turn(loop), Turn(loop), Turn(loop)
        self._log_broken = False
        self.map_volumes: set[str] = set()
        self.secrets: tuple[Secrets, ...] = ()  # of each map; none where masked files are empty themselves
        self.hidden: tuple[str, ...] = ()  # folders of the engine
        self.builds = NO_NETWORK
        self.build_turn = Turn(loop)
        self._keys = 0
        self.under_way = 0  # operations that run to their end

    # --- the log

    def check_log(self) -> None:
        """Nothing passes that could not be written down. Raises Denied."""
        if self._log_broken:
            raise deny("log", "the log takes nothing more, so nothing is let through", status=503)

    def event(self, kind: str, facts: Mapping[str, object]) -> None:
        try:
            self._write(kind, facts)
        except OSError:
            self._log_broken = True

    def allowed(self, rule: str, asked: str) -> None:
        self.event("docker.allow", {"rule": rule, "request": asked})
        self.check_log()  # of this very call, too

    def denied(self, denial: Denial, asked: str) -> None:
        if denial.rule == "missing":
            return  # clients ask for what is not there all the time
        facts = {"rule": denial.rule, "request": asked, "field": denial.field, "reason": denial.reason[:1000]}
        self.event("docker.deny", {**facts, "allowed": denial.allowed, "remedy": denial.remedy})

    def failed(self, problem: BaseException) -> None:
        """A fault of ours, by its kind and place alone: its text may hold what came over the wire."""
        self._faults += 1
        if self._faults > MAX_FAULTS:
            return
        place, trace = "", problem.__traceback__
        while trace is not None:
            place, trace = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}", trace.tb_next
        self.event("docker.error", {"kind_of_error": type(problem).__name__, "place": place})

    # --- what decisions see

    def state(self) -> State:
        return State(self.session, self.registry, self._taken, builds=self.builds)

    def view(self) -> View:
        registry = self.registry
        shown = {key: ShownContainer(one.shown, self.publisher.shown(key)) for key, one in registry.containers.items()}
        networks = dict(registry.networks)
        return View(
            session=self.session,
            containers=shown,
            adopted=frozenset(registry.adopted),
            networks=networks,
            internal=frozenset(registry.internal),
            volumes=frozenset(registry.volumes),
            images=frozenset([*registry.images.pinned.values(), *registry.images.ids, *registry.images.tags.values()]),
            tags=frozenset([*(image.reference for image in self.session.plan.images), *registry.images.tags]),
            gone=frozenset(registry.gone),
            hidden=(str(self.folder), *self.hidden),
        )

    async def prepare(self, call: Call) -> None:
        """Raises DaemonLost, Denied."""
        if call.route.id in ON_THE_NETWORK and self.session.plan.mode == "guarded":
            await self.network()
        if call.route.id == "build" and self.session.own_network:
            await self.build_place()
        if call.route.id in ("exec.create", "exec.start") and len(self.registry.running) >= self.session.plan.limits.execs:
            for command in list(self.registry.running):
                await self.look_at_exec(command)

    async def look_at_exec(self, command: str) -> None:
        """Whether it still runs. Raises DaemonLost."""
        status, answer = await self.daemon.ask("GET", f"/exec/{command}/json")
        if status != 200 or not isinstance(answer, dict) or not answer.get("Running"):
            self.registry.running.discard(command)

    async def to_the_end(self, work: Coroutine[float, None, T]) -> T:
        """Have it done whole, also when the client's connection ends meanwhile."""
        caller = self.loop.current
        results: list[T] = []
        problems: list[Exception] = []

        async def run() -> None:
            try:
                results.append(await work)
            except Exception as problem:  # noqa: BLE001 - it is the caller's
                problems.append(problem)
            finally:
                self.under_way -= 1
                self.loop.schedule(caller)

        self.under_way += 1
        self.loop.spawn(run())
        while not results and not problems:
            await pause(FOREVER)
        if problems:
            raise problems[0]
        return results[0]

    def in_background(self, work: Coroutine[float, None, None]) -> None:
        async def run() -> None:
            with contextlib.suppress(DaemonLost):
                await work

        self.loop.spawn(run())

    def forget_container(self, full_id: str, *, volumes: bool = True) -> None:
        """It is gone, with its anonymous ``volumes`` or without."""
        self.publisher.close(full_id)
        gone = self.registry.forget_container(full_id)
        if gone is not None:
            self.registry.volumes -= gone.anonymous if volumes else frozenset()
            self.pins.release(gone.key)
            self.event("docker.removed", {"kind": "container", "id": full_id})

    # --- what is named

    async def find(self, call: Call, references: Sequence[Reference]) -> Known:
        """What each reference leads to, asked anew. Raises DaemonLost."""
        own_only = call.route.id == "containers.create"  # a container that was there before lends nothing of its own
        known: dict[Reference, Thing | None] = {}
        for reference in references:
            thing = await _FINDERS[reference.kind](self, reference.text)
            if thing is not None and own_only and thing.id in self.registry.adopted:
                thing = None
            known[reference] = thing
        return known

    async def _container(self, text: str) -> Thing | None:
        if not NAME.fullmatch(text):
            return None
        if FULL_ID.fullmatch(text) and text in self.registry.containers:
            return Thing("container", text, self.registry.containers[text].name)
        status, answer = await self.daemon.ask("GET", f"/containers/{text.lstrip('/')}/json")
        if status != 200 or not isinstance(answer, dict):
            return None
        full_id = str(answer.get("Id"))
        return Thing("container", full_id, str(answer.get("Name", "")).lstrip("/")) if self.registry.owns_container(full_id) else None

    async def _network(self, text: str) -> Thing | None:
        """By our own list: an engine may have several networks of one name."""
        if text in DEFAULT_NETWORKS or text in (self.session.network, self.session.network_name):
            return Thing("network", self.session.network, "bridge") if self.session.network else None
        own = self.registry.networks
        named = [key for key, name in own.items() if name == text] or [key for key in own if key == text]
        begun = named or ([key for key in own if key.startswith(text)] if len(text) >= 4 else [])
        return Thing("network", begun[0], own[begun[0]]) if len(begun) == 1 else None

    async def _volume(self, text: str) -> Thing | None:
        if text not in self.registry.volumes or not NAME.fullmatch(text):
            return None
        status, answer = await self.daemon.ask("GET", f"/volumes/{text}")
        return Thing("volume", text, text) if status == 200 and is_ours(answer, self.session) else None

    async def image(self, text: str) -> Thing | None:
        """The daemon says what a name means now; whether that may be used is decided by its id."""
        if not IMAGE.fullmatch(text):
            return None
        try:
            wanted = text if is_id(text) else canonical(text)
        except Denied:
            return None
        status, answer = await self.daemon.ask("GET", f"/images/{wanted}/json")
        if status != 200 and is_id(text):
            status, answer = await self._by_name(text)
        if status != 200 or not isinstance(answer, dict):
            return None
        found = image_id(text, str(answer.get("Id")), self.session, self.registry.images)
        means_it = not is_id(text) and answer.get("Id") == found
        tags = answer.get("RepoTags")
        names = tuple(str(tag) for tag in tags) if isinstance(tags, list) else ()
        return None if found is None else Thing("image", found, wanted if means_it else "", names)

    async def _by_name(self, text: str) -> tuple[int, Json]:
        """Hex digits may be a name, too."""
        try:
            return await self.daemon.ask("GET", f"/images/{canonical(text)}/json")
        except Denied:
            return 404, None

    async def _exec(self, text: str) -> Thing | None:
        return Thing("exec", text, "") if text in self.registry.execs else None

    # --- what is made when it is needed

    async def network(self) -> str:
        """The id of the session's network. Raises DaemonLost."""
        if self.session.network is not None:
            return self.session.network
        async with self._network_turn.taken():
            if self.session.network is None:
                name = self.session.network_name or f"aienv-{self.session.id}"
                found = await (self._make_network(name) if self.session.own_network else self._given_network(name))
                self.session = replace(self.session, network=found, network_name=name)
        network = self.session.network
        assert network is not None
        return network

    async def _make_network(self, name: str) -> str:
        body: Object = {
            "Name": name,
            "Driver": "bridge",
            "Internal": True,
            "Attachable": False,
            "EnableIPv6": False,
            "Options": {INHIBIT: "true"},
            "Labels": self.labels(NETWORK_ROLE),
        }
        status, answer = await self.daemon.ask("POST", "/networks/create", body=body)
        if status != 201 or not isinstance(answer, dict):
            raise DaemonLost(f"the session's network could not be made: {said(answer)}")
        return str(answer["Id"])

    async def _given_network(self, name: str) -> str:
        status, answer = await self.daemon.ask("GET", f"/networks/{name}")
        if status != 200 or not isinstance(answer, dict):
            raise DaemonLost(f"there is no network {name!r} (--network)")
        return str(answer["Id"])

    def note_images(self, marks: Sequence[Mark]) -> None:
        """Raises Denied: they could not be written down, so they must not be made."""
        try:
            note(self.folder, marks)
        except OSError as problem:
            raise deny("log", f"what is to be made cannot be written down: {problem.strerror}", status=503) from None

    def mounts_project(self, forward: Forward) -> bool:
        """Whether the container of a call has a part of the project, its own or another one's."""
        parts = forward.path.split("/")
        made = self.registry.containers.get(parts[2]) if len(parts) > 2 else None
        return made is None or made.inherits or any(isinstance(ask, BindAsk) for ask in made.mounts)

    def new_key(self) -> str:
        """For what a container holds before it has an id."""
        self._keys += 1
        return str(self._keys)

    def labels(self, role: str = MADE) -> Object:
        return {MANAGED: "1", RUN: self.session.id, ROLE: role}

    async def build_place(self) -> None:
        """Where builds run: with nothing but a loopback, and the way out on it. Not in the containers' network: a build keeps the right to
        send raw packets, and its questions for names may be carried outside by the daemon (CVE-2024-29018). Raises DaemonLost."""
        if self.session.proxy is None or self.builds != NO_NETWORK:
            return
        async with self._gate_turn.taken():
            if self.builds == NO_NETWORK:
                self.builds = f"container:{await self.reach.start_for_builds(self.session)}"

    async def gate(self) -> None:
        """Have the gate, in every network of the session. Raises DaemonLost."""
        if self.reach.stands or not self.session.own_network:
            return
        network = await self.network()
        async with self._gate_turn.taken():
            if not self.reach.stands:
                await self.reach.start(network, self.session)
                for other in self.registry.networks:
                    await self.reach.join(other)

    # --- the symlink race, where nothing else holds a source fast

    @contextlib.asynccontextmanager
    async def frozen(self, asks: Sequence[BindAsk], but: str | None) -> AsyncIterator[None]:
        """Nobody who can write the project runs inside this block. ``but``: the container that is about to start.

        Raises:
            DaemonLost, Denied: a writer could not be stopped.
        """
        if not asks or self.session.plan.pinning != "freeze":
            yield
            return
        async with self.freeze_turn.taken():
            paused: list[str] = []
            try:
                for writer in (*self._writers, *(key for key in self.registry.containers if key != but and self._writes(key))):
                    status, answer = await self.daemon.ask("POST", f"/containers/{writer}/pause", deadline_s=PAUSE_S)
                    if status == 204:
                        paused.append(writer)
                    elif status not in (404, 409):  # gone, not running, or paused already
                        reason = f"a container that can write the project could not be paused: {said(answer)}"
                        raise deny("mounts.freeze", reason, status=500)
                yield
            finally:
                for writer in reversed(paused):
                    with contextlib.suppress(DaemonLost):
                        await self.daemon.ask("POST", f"/containers/{writer}/unpause", deadline_s=PAUSE_S)

    def _writes(self, key: str) -> bool:
        return any(isinstance(ask, BindAsk) and not ask.read_only for ask in self.registry.containers[key].mounts)

    # --- learning

    async def learn_image(self, text: str, rule: str) -> bool:
        """Let an image through that the user could allow, and note it. False: nobody asked to learn, or it is known. Raises DaemonLost."""
        plan = self.session.plan
        try:
            reference = canonical(text)
        except Denied:
            return False
        if not plan.learn or any(image.reference == reference for image in plan.images) or len(plan.images) >= MAX_LEARNED:
            return False
        status, answer = await self.daemon.ask("GET", f"/images/{reference}/json")
        found = str(answer["Id"]) if status == 200 and isinstance(answer, dict) else None
        self.session = replace(self.session, plan=replace(plan, images=(*plan.images, AllowedImage(reference, found, "learned"))))
        if found is not None:
            self.registry.images.pin(reference, found)
        self.event("docker.learned", {"rule": rule, "image": reference})
        return True


class Reach:
    """How the guard reaches the containers' network: the gate, when it stands. Replaced in tests."""

    def __init__(
        self,
        start: Callable[[str, Session], Awaitable[None]],
        join: Callable[[str], Awaitable[None]],
        leave: Callable[[str], Awaitable[None]],
        start_for_builds: Callable[[Session], Awaitable[str]],
        alive: Callable[[], bool],
    ) -> None:
        self.start, self.join, self.leave, self.start_for_builds, self._alive = start, join, leave, start_for_builds, alive

    @property
    def stands(self) -> bool:
        return self._alive()


def is_ours(answer: Json, session: Session) -> bool:
    """Whether a thing of the engine bears this session's label."""
    labels = answer.get("Labels") if isinstance(answer, dict) else None
    return isinstance(labels, dict) and labels.get(RUN) == session.id


def said(answer: Json) -> str:
    """The daemon's message."""
    return str(answer.get("message", ""))[:500] if isinstance(answer, dict) else ""


_FINDERS: Mapping[str, Callable[[Services, str], Awaitable[Thing | None]]] = {
    "container": Services._container,
    "network": Services._network,
    "volume": Services._volume,
    "image": Services.image,
    "exec": Services._exec,
}
