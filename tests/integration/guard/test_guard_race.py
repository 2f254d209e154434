"""The race that a check of names always loses: a source is swapped for a link, as fast as the kernel can, while containers start.

Beside the project lies a canary. Whatever the swapper does, no container may read it, and nothing may be made beside it. A control
shows that a plain bind does read it, so the test can tell.
"""

import contextlib
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from orchestrator.guard import beneath
from orchestrator.guard.calls import BindAsk, Denied, Object
from orchestrator.guard.pins import Pins, bind_entry, resolved
from orchestrator.model.guard import Pinning
from tests.engine import Engine
from tests.integration.guard.test_guard_pins import bound, client_of, create, engine_of, held, mounts, session_of

INSIDE, CANARY = "inside", "canary"
RENAMEAT2 = {"x86_64": 316, "aarch64": 276}[platform.machine()]

# Exchanges three pairs of names for ever, and writes down how often.
SWAPPER = f"""
my $n = 0;
open(my $count, "+<", "count") or die;
while (1) {{
    for my $name ("folder", "parent", "file") {{
        my ($one, $other) = ($name, "$name.other");
        syscall({RENAMEAT2}, -100, $one, -100, $other, 2) == 0 or die "exchange: $!";
    }}
    $n += 3;
    if ($n % 3000 == 0) {{ sysseek($count, 0, 0); syswrite($count, pack("Q", $n)) }}
}}
"""

SOURCES = ["folder", "parent/folder", "file"]
MIN_SWAPS = 1000
PATIENCE_S = 60.0  # not a number of tries: on a busy machine the swapper rests, for longer than a thousand of them take


@dataclass
class Tally:
    """What containers said."""

    inside: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    canaries: list[str] = field(default_factory=list)

    def said(self, path: str, text: str) -> None:
        if CANARY in text:
            self.canaries.append(f"{path}: {text[-200:]!r}")
        elif INSIDE in text:
            self.inside[path] = self.inside.get(path, 0) + text.count(INSIDE)


@pytest.fixture
def place() -> Iterator[Path]:
    """A project of real folders and files, beside each a link that leads out; in a folder that engines see."""
    root = Path(tempfile.mkdtemp(prefix="aienv-race-", dir="/tmp"))
    project, outside = root / "project", root / "outside"
    for top, text in ((project, INSIDE), (outside, CANARY)):
        for name in ("folder/mark", "parent/folder/mark", "file"):
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
    for name in ("folder", "parent", "file"):
        (project / f"{name}.other").symlink_to(outside / name)
    (project / "count").write_bytes(bytes(8))
    try:
        yield root
        assert mounts(root) == []
    finally:
        shutil.rmtree(root)


def swaps(place: Path) -> int:
    return int(struct.unpack("Q", (place / "project/count").read_bytes())[0])


@contextlib.contextmanager
def swapped_by_a_process(place: Path) -> Iterator[None]:
    perl = shutil.which("perl")
    if perl is None:
        pytest.skip("perl is not installed")
    with subprocess.Popen([perl, "-e", SWAPPER], cwd=place / "project", stderr=subprocess.PIPE) as swapper:
        try:
            yield
            assert swapper.poll() is None, swapper.stderr and swapper.stderr.read()
        finally:
            swapper.kill()


@contextlib.contextmanager
def swapped_by_a_container(client: Any, place: Path) -> Iterator[str]:
    """As the agent's own container would; it borrows the perl of the engine's system."""
    entries = [bind_entry(str(place / "project"), "/project", read_only=False)]
    entries += [bind_entry(name, name, read_only=True) for name in ("/usr", "/lib", "/lib64") if os.path.isdir(name)]
    name = create(client, entries, 'cd /project && exec /usr/bin/perl -e "$0" 2>&1', SWAPPER)
    try:
        client.start(name)
        yield name
        assert client.inspect_container(name)["State"]["Running"], client.logs(name)
    finally:
        client.remove_container(name, force=True)


@contextlib.contextmanager
def paused(client: Any, swapper: str | None) -> Iterator[None]:
    if swapper is None:
        yield
        return
    client.pause(swapper)
    try:
        yield
    finally:
        client.unpause(swapper)


def script(path: str) -> str:
    return "cat /m" if path == "file" else "cat /m/mark"


def entry_of(pins: Pins, ask: BindAsk, key: str) -> Object:
    """As a client that tries again until it wins: every other time a link stands there."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(Denied):
            return pins.hold(ask, key)
        time.sleep(0)  # the swapper may need this processor
    raise AssertionError("the source is never what it should be")


def allowed(pins: Pins, ask: BindAsk, key: str, patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while True:
        with contextlib.suppress(Denied):
            pins.check(ask, key)
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0)


def read_out(client: Any, name: str) -> str:
    return b"".join(client.get_archive(name, "/m")[0]).decode(errors="replace")


def look(client: Any, pins: Pins, path: str, tally: Tally, swapper: str | None) -> None:
    """One container that is read from before it runs, started, started again, and restarted; all that twice."""
    ask, key = bound(path, make=False), os.urandom(4).hex()
    patience_s = 0.0 if swapper else PATIENCE_S  # what is paused does not change
    try:
        name = create(client, [entry_of(pins, ask, key)], script(path))
    except docker.errors.APIError:  # an engine looks whether the source is there, and just then it was not
        tally.refused += 1
        return
    try:
        for act in 2 * (read_out, type(client).start, type(client).start, lambda client, name: client.restart(name, timeout=0)):
            try:
                with paused(client, swapper):
                    answer = act(client, name) if allowed(pins, ask, key, patience_s) else "refused"
            except docker.errors.APIError:
                answer = "refused"
            tally.refused += answer == "refused"
            tally.said(path, answer or "")
            if answer is None:  # it was started
                client.wait(name)
        tally.said(path, client.logs(name).decode())
    finally:
        client.remove_container(name, force=True)
        pins.release(key)


def race(client: Any, pins: Pins, place: Path, containers: int, tally: Tally, swapper: str | None = None) -> None:
    """So many containers; and more, where those won nothing."""
    end = time.monotonic() + PATIENCE_S
    number = 0
    while number < containers or (time.monotonic() < end and not tally.canaries and not (tally.inside and swaps(place) >= MIN_SWAPS)):
        look(client, pins, SOURCES[number % len(SOURCES)], tally, swapper)
        number += 1


def run(engine: Engine, place: Path, how: Pinning, containers: int) -> Tally:
    """Race against one engine, and say how it went."""
    tally = Tally()
    with client_of(engine) as client, held(client, place, how) as pins:
        if how == "freeze":
            with swapped_by_a_container(client, place) as swapper:
                race(client, pins, place, containers, tally, swapper)
        else:
            with swapped_by_a_process(place):
                race(client, pins, place, containers, tally)
    print(f"{engine.version} {how}: {swaps(place)} swaps, {tally.inside} saw the inside, {tally.refused} refused", file=sys.stderr)
    return tally


WAYS = [
    pytest.param("20.10", "descriptor", id="engine20-descriptor"),
    pytest.param("20.10", "freeze", id="engine20-freeze"),
    pytest.param("26.1", "subpath", id="engine26-subpath"),
    pytest.param("26.1", "freeze", id="engine26-freeze"),
]


@pytest.mark.docker
@pytest.mark.parametrize(("version", "how"), WAYS)
def test_no_escape(request: pytest.FixtureRequest, place: Path, version: str, how: Pinning) -> None:
    """At create, start, restart, and when a stopped container is read from."""
    tally = run(engine_of(request, version), place, how, containers=3)
    assert tally.canaries == []
    assert tally.inside
    assert swaps(place) >= MIN_SWAPS


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.parametrize(("version", "how"), WAYS)
def test_no_escape_for_long(request: pytest.FixtureRequest, place: Path, version: str, how: Pinning) -> None:
    """The same with hundreds of starts."""
    tally = run(engine_of(request, version), place, how, containers=45)
    assert tally.canaries == []
    assert set(tally.inside) == set(SOURCES)


@pytest.mark.docker
@pytest.mark.parametrize("version", ["20.10", "26.1"], ids=["engine20", "engine26"])
@pytest.mark.parametrize("path", SOURCES)
def test_a_plain_bind_does_escape(request: pytest.FixtureRequest, place: Path, version: str, path: str) -> None:
    """The control: the path is judged as strictly, but only when the container is made."""
    tally = Tally()
    with client_of(engine_of(request, version)) as client, held(client, place, "freeze") as pins, swapped_by_a_process(place):
        for _ in range(40):
            look(client, pins, path, tally, None)
            if tally.canaries:
                break
    assert tally.canaries


@pytest.mark.parametrize("slow", [False, True], ids=["openat2", "by-steps"])
def test_resolving_wins(place: Path, monkeypatch: pytest.MonkeyPatch, slow: bool) -> None:
    """Without an engine: what is opened is the real thing or nothing, and what is made is made below it or not at all."""
    if slow:
        monkeypatch.setattr(beneath, "_OPENAT2", 100_000)
    session = session_of(place, "freeze")
    real = {"folder": beneath.identity_of(os.stat(place / "project/folder")), "file": beneath.identity_of(os.stat(place / "project/file")),
            "parent/folder": beneath.identity_of(os.stat(place / "project/parent/folder"))}  # fmt: skip
    opened = made = refused = 0
    with swapped_by_a_process(place):
        while (min(opened, made, refused) < 100 or swaps(place) < 3000) and opened + refused < 200_000:
            for path, identity in real.items():
                try:
                    with resolved(bound(path, make=False), session) as source:
                        assert beneath.identity_of(os.fstat(source)) == identity
                        opened += 1
                except Denied:
                    refused += 1
            with contextlib.suppress(Denied), resolved(bound(f"parent/new-{made}/deep"), session):
                made += 1
    assert min(opened, made, refused) >= 100
    assert sorted(os.listdir(place / "outside/parent")) == ["folder"]
    assert sorted(os.listdir(place / "outside")) == ["file", "folder", "parent"]
