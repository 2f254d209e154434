"""Build contexts and archives of images: written anew while they pass, and their end held back until they have been judged."""

import json
import re
import time
from collections.abc import Iterator
from typing import cast

from orchestrator.guard.archive import ArchiveReader
from orchestrator.guard.calls import Build, Load, Reference, deny
from orchestrator.guard.context import ContextReader
from orchestrator.guard.daemon import DaemonLost
from orchestrator.guard.decide import IMAGE_RULE, usable_image
from orchestrator.guard.dockerfile import images_of, judge_dockerfile, judge_triggers
from orchestrator.guard.imagenames import canonical
from orchestrator.guard.images import free_tag, is_allowed_name, judge_existing, judge_room, labels, pull_pairs
from orchestrator.guard.marks import Mark
from orchestrator.guard.services import Services
from orchestrator.model.guard import IMAGE_RUN
from orchestrator.wire.bodies import ChunkReader, LengthReader, Reader
from orchestrator.wire.http1 import RequestHead
from orchestrator.wire.loop import Loop, pause
from orchestrator.wire.wires import Wire

SILENT_S = 120.0  # a client that sends nothing more of its body, a daemon that takes nothing more
PULL_S = 3600.0
MAX_LINE_BYTES = 1 << 20
DRAIN_BYTES = 1 << 18


class Outgoing:
    """What a reader has written anew, until it is sent."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        self._pieces.append(bytes(data))
        self.size += len(data)
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return data


class Upload:
    """A build context or an archive of images on its way: members pass on as they come, written anew; what decides about it (Dockerfile,
    manifest) and the end are held back until all of it has been judged. The daemon begins only when it has the end.
    """

    def __init__(self, services: Services, effect: Build | Load) -> None:
        self.out = Outgoing()
        self._services = services
        self._effect = effect
        self._context = ContextReader(effect.dockerfile, self.out) if isinstance(effect, Build) else None
        self._archive = None if isinstance(effect, Build) else ArchiveReader(self.out, labels(services.session))

    def feed(self, data: bytes) -> Iterator[None]:
        """Raises Denied."""
        return (self._context or cast(ArchiveReader, self._archive)).feed(data)

    async def finish(self) -> bytes:
        """The rest, judged. Raises Denied, DaemonLost."""
        if self._context is not None:
            return await self._judge_context(self._context, cast(Build, self._effect))
        return await self._judge_archive(cast(ArchiveReader, self._archive))

    async def _judge_context(self, reader: ContextReader, effect: Build) -> bytes:
        services = self._services
        text = reader.finish()
        for tag in effect.tags:
            judge_existing(tag, await id_of(services, tag), services.registry.images)
        ids = {name: await _base(services, name) for name in images_of(text, effect.arguments, effect.target)}
        mark = f'LABEL {IMAGE_RUN}="{services.session.id}"'
        judged = judge_dockerfile(text, effect.arguments, effect.target, ids.get, mark)
        services.note_images([Mark(tag, "") for tag in effect.tags])
        return reader.tail(judged.text)

    async def _judge_archive(self, reader: ArchiveReader) -> bytes:
        services = self._services
        loaded = reader.finish()
        own = services.registry.images
        judge_room(services.session, own, len(loaded.names))
        for full_id in loaded.ids:
            if own.usable(full_id) is None and await id_of(services, full_id) is not None:
                reason = "the engine has this image already, from outside this session"
                raise deny("image.load-exists", reason, remedy="--allow-image with its name", status=409)
        for name in loaded.names:
            free_tag(name, services.session, own, await id_of(services, name))
        new = [full_id for full_id in loaded.ids if own.usable(full_id) is None]
        named = [Mark(name, full_id) for name in loaded.names for full_id in loaded.ids]
        services.note_images([*(Mark("", full_id) for full_id in new), *named])
        return reader.tail()


async def _base(services: Services, name: str) -> str:
    """The id of an image that is built on; one of the list that is not here is fetched, as the daemon would. Raises Denied, DaemonLost."""
    reference = Reference("image", name)
    thing = await services.image(name)
    if thing is None and await services.learn_image(name, IMAGE_RULE):
        thing = await services.image(name)
    if thing is None and is_allowed_name(name, services.session, services.registry.images):
        await _pull(services, canonical(name))
        thing = await services.image(name)
    found = usable_image({reference: thing}, name, services.state())
    status, answer = await services.daemon.ask("GET", f"/images/{found.id}/json")
    config = answer.get("Config") if status == 200 and isinstance(answer, dict) else None
    triggers = config.get("OnBuild") if isinstance(config, dict) else None
    if triggers and isinstance(triggers, list):
        judge_triggers([str(trigger) for trigger in triggers])
        if found.id not in services.registry.images.ids:  # they run before our mark: their layers would be everybody's
            reason = f"the image {name!r} has ONBUILD triggers"
            raise deny("build.onbuild", reason, field="FROM", allowed="an image without, or one that was built here")
    return found.id


async def _pull(services: Services, reference: str) -> None:
    status, answer = await services.daemon.ask_lines("POST", "/images/create", pull_pairs(reference), deadline_s=PULL_S)
    seen = Observer()
    seen.see(answer)
    if status != 200 or seen.failed:
        raise DaemonLost(f"{reference} could not be pulled: {seen.problem}")
    full_id = await id_of(services, reference)
    if full_id is not None:
        services.registry.images.pin(reference, full_id)


async def id_of(services: Services, reference: str) -> str | None:
    status, answer = await services.daemon.ask("GET", f"/images/{reference}/json")
    return str(answer["Id"]) if status == 200 and isinstance(answer, dict) else None


async def send(server: Wire, data: bytes, loop: Loop) -> bool:
    """False: the daemon has answered already, or takes nothing more; its answer is to be read. Raises TimedOut."""
    view = memoryview(data)
    try:
        while view:
            view = view[server.send(view) :]
            if view and server.readable:
                return False
            if view and not server.writable:
                await pause(loop.in_seconds(SILENT_S))
    except OSError:
        return False
    return True


class Body:
    """The payload of a client's request, piece by piece."""

    def __init__(self, client: Wire, head: RequestHead) -> None:
        self._client = client
        self._reader: Reader = ChunkReader(plain=True) if head.body.kind == "chunked" else LengthReader(head.body.length)

    def __aiter__(self) -> "Body":
        return self

    async def __anext__(self) -> bytes:
        """Raises BadMessage, OSError, TimedOut."""
        reader, client = self._reader, self._client
        while not reader.done:
            data, client.kept = client.kept, b""
            data = data or await client.receive(time.monotonic() + SILENT_S)
            if not data:
                raise OSError("the client is gone")
            piece = reader.feed(data)
            if reader.done:
                client.kept = reader.rest
            if piece:
                return piece
        raise StopAsyncIteration


class Observer:
    """Lines of JSON about something that gets made: whether it failed, and what it is."""

    def __init__(self) -> None:
        self.failed = False
        self.problem = ""
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self._line = b""

    def see(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > MAX_LINE_BYTES:
            self._line = b""
        for line in lines:
            self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        if "error" in message or "errorDetail" in message:
            self.failed, self.problem = True, str(message.get("error", ""))[:300]
        aux = message.get("aux")
        if isinstance(aux, dict) and isinstance(aux.get("ID"), str):
            self.ids = [aux["ID"]]  # the last one: those of stages may be somebody's, from the cache
        text = str(message.get("stream", ""))
        if re.fullmatch(r"sha256:[0-9a-f]{64}", text.strip()):  # all that a quiet build says
            self.ids = [text.strip()]
        if text.startswith(("Loaded image: ", "Loaded image ID: ")):
            self.loaded.append(text.partition(": ")[2].strip())

