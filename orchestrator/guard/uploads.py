"""Build contexts and archives of images: read whole into a file, judged, and only then sent, as they were written anew.

A file on disk, not memory: contexts of gigabytes are ordinary.
"""

import contextlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestrator.guard.archive import ArchiveReader
from orchestrator.guard.calls import Build, Forward, Load, Reference, deny
from orchestrator.guard.context import ContextReader
from orchestrator.guard.daemon import DaemonLost, read_head
from orchestrator.guard.decide import IMAGE_RULE, usable_image
from orchestrator.guard.dockerfile import images_of, judge_dockerfile, judge_triggers
from orchestrator.guard.imagenames import canonical
from orchestrator.guard.images import free_tag, is_allowed_name, judge_existing, judge_room, pull_pairs
from orchestrator.guard.marks import Mark
from orchestrator.guard.services import Services
from orchestrator.wire.bodies import ChunkReader, LengthReader, Reader
from orchestrator.wire.http1 import RequestHead, ResponseHead
from orchestrator.wire.loop import FOREVER
from orchestrator.wire.wires import Wire

IN_MEMORY_BYTES = 1 << 20
SILENT_S = 120.0  # a client that sends nothing more of its body
PULL_S = 3600.0
MAX_LINE_BYTES = 1 << 20
LOOK_BYTES, LEAST_FREE_BYTES = 64 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Upload:
    """``pieces``: of ``length`` bytes in all."""

    pieces: Iterator[bytes]
    length: int


def spool(folder: Path) -> IO[bytes]:
    """Small ones stay in memory; the others lie, without a name, where the guard's own things do."""
    return tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(folder))


async def receive(client: Wire, head: RequestHead, forward: Forward, services: Services, file: IO[bytes]) -> Upload:
    """Read the client's body and judge it. Raises Denied, DaemonLost, BadMessage, OSError, TimedOut."""
    if isinstance(forward.effect, Build):
        return await _context(client, head, forward.effect, services, file)
    assert isinstance(forward.effect, Load)
    reader = ArchiveReader(file)
    async for piece in _Body(client, head, services.folder):
        reader.feed(piece)
    loaded = reader.finish()
    own = services.registry.images
    judge_room(services.session, own, len(loaded.names))
    for full_id in loaded.ids:
        if own.usable(full_id) is None and await _id_of(services, full_id) is not None:
            reason = "the engine has this image already, from outside this session: loading it would take it over without having its layers"
            raise deny("image.load-exists", reason, remedy="--allow-image with its name", status=409)
    for name in loaded.names:
        free_tag(name, services.session, own, await _id_of(services, name))
    new = [full_id for full_id in loaded.ids if own.usable(full_id) is None]
    named = [Mark(name, full_id) for name in loaded.names for full_id in loaded.ids]
    services.note_images([*(Mark("", full_id) for full_id in new), *named])
    return Upload(reader.write(), reader.length)


async def _context(client: Wire, head: RequestHead, effect: Build, services: Services, file: IO[bytes]) -> Upload:
    reader = ContextReader(effect.dockerfile, file)
    async for piece in _Body(client, head, services.folder):
        reader.feed(piece)
    text = reader.finish()
    for tag in effect.tags:
        judge_existing(tag, await _id_of(services, tag), services.registry.images)
    ids = {name: await _base(services, name) for name in images_of(text, effect.arguments, effect.target)}
    judged = judge_dockerfile(text, effect.arguments, effect.target, ids.get)
    return Upload(reader.write(judged.text), reader.length(judged.text))


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
    judge_triggers([str(trigger) for trigger in triggers] if isinstance(triggers, list) else [])
    return found.id


async def _pull(services: Services, reference: str) -> None:
    status, answer = await services.daemon.ask_lines("POST", "/images/create", pull_pairs(reference), deadline_s=PULL_S)
    seen = Observer()
    seen.see(answer)
    if status != 200 or seen.failed:
        raise DaemonLost(f"{reference} could not be pulled: {seen.problem}")
    full_id = await _id_of(services, reference)
    if full_id is not None:
        services.registry.images.pin(reference, full_id)


async def _id_of(services: Services, reference: str) -> str | None:
    status, answer = await services.daemon.ask("GET", f"/images/{reference}/json")
    return str(answer["Id"]) if status == 200 and isinstance(answer, dict) else None


async def send(server: Wire, upload: Upload, method: str = "POST") -> ResponseHead:
    """Send the body and read the head of the answer. Raises DaemonLost, OSError."""
    with contextlib.suppress(OSError):  # a daemon that refuses stops reading, and has answered
        for piece in upload.pieces:
            await server.send_all(piece)
    return await read_head(server, method, FOREVER)


class _Body:
    """The payload of a client's request, piece by piece."""

    def __init__(self, client: Wire, head: RequestHead, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._came, self._look_at = 0, 0
        self._reader: Reader = ChunkReader(plain=True) if head.body.kind == "chunked" else LengthReader(head.body.length)

    def __aiter__(self) -> "_Body":
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
            self._came += len(piece)
            if self._came >= self._look_at:
                self._look_at = self._came + LOOK_BYTES
                _judge_space(self._folder)
            if reader.done:
                client.kept = reader.rest
            if piece:
                return piece
        raise StopAsyncIteration


def _judge_space(folder: Path) -> None:
    """Raises Denied: the machine's disk must not fill up."""
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
        raise deny("quota.disk", f"less than {LEAST_FREE_BYTES >> 20} MiB are free on this machine", status=413)


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

