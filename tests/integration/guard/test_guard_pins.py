"""Sources are held fast on real engines: each strategy, each kind of source, and what a crash leaves."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from orchestrator.guard import beneath
from orchestrator.guard.calls import BindAsk, Denied, Object, PathMap, Session, SocketAsk
from orchestrator.guard.masking import masks_for, secrets_of
from orchestrator.guard.pins import Pins, bind_entry, choose_pinning, clear, unmount_below
from orchestrator.model.guard import RUN, GuardLimits, GuardPlan, Pinning
from orchestrator.model.task import SandboxRules
from tests import engine as engines
from tests.engine import Engine

PLAN = GuardPlan("guarded", "", (1, 41), (), (), (), (), GuardLimits(), "freeze", None, False, ())
RULES = SandboxRules(mask=(".env",), unmask=(), expose=())

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root: run the tests as root")


def session_of(folder: Path, pinning: Pinning, uid: int = 0) -> Session:
    root = folder / "project"
    maps = (PathMap("/workspaces/app", str(root)),)
    plan = replace(PLAN, pinning=pinning)
    return Session(f"t{os.urandom(5).hex()}", plan, maps, stand_in=str(folder / "guard.sock"), uid=uid, gid=uid)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder with a project and, beside it, what nobody may see."""
    for name, text in {"project/a/mark": "inside", "project/a/.env": "secret", "project/file": "a file", "outside/mark": "canary"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "project/b").mkdir()
    yield tmp_path
    unmount_below(tmp_path)


def bound(path: str, *, make: bool = True, read_only: bool = False, target: str = "/m") -> BindAsk:
    return BindAsk(0, path, target, read_only, make)


# --- without an engine ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["freeze", "subpath", pytest.param("descriptor", marks=needs_root)])
@pytest.mark.parametrize("slow", [False, True], ids=["openat2", "by-steps"])
@pytest.mark.parametrize(
    ("path", "rule"),
    [
        pytest.param("link", "mounts.symlink", id="link"),
        pytest.param("link/mark", "mounts.symlink", id="through-a-link"),
        pytest.param("inner", "mounts.symlink", id="link-inside"),
        pytest.param("dangling", "mounts.symlink", id="dangling"),
        pytest.param("dangling/x", "mounts.symlink", id="made-below-a-link"),
        pytest.param("chain/mark", "mounts.symlink", id="chain"),
        pytest.param("file/x", "mounts.symlink", id="below-a-file"),
        pytest.param("pipe", "mounts.special", id="pipe"),
        pytest.param("socket", "mounts.special", id="socket"),
        pytest.param("a", None, id="folder"),
        pytest.param("a/mark", None, id="file"),
        pytest.param("", None, id="root"),
        pytest.param("new/deep", None, id="made"),
    ],
)
def test_what_is_a_source(
    place: Path, monkeypatch: pytest.MonkeyPatch, how: Pinning, slow: bool, path: str, rule: str | None
) -> None:
    """Files and folders that are reached through no link; with the kernel's help and without it."""
    if slow:
        monkeypatch.setattr(beneath, "_OPENAT2", 100_000)
    project = place / "project"
    (project / "link").symlink_to(place / "outside")
    (project / "inner").symlink_to("a")
    (project / "dangling").symlink_to(place / "outside/new")
    (project / "chain").symlink_to("link")
    os.mkfifo(project / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(project / "socket"))
    pins = Pins(session_of(place, how), place / "guard")
    with contextlib.ExitStack() as undo:
        undo.callback(pins.release_all)
        if rule is None:
            pins.hold(bound(path))
            pins.check(bound(path))
        else:
            for attempt in (pins.hold, pins.check):
                with pytest.raises(Denied) as caught:
                    attempt(bound(path))
                assert caught.value.denial.rule == rule
    assert sorted(os.listdir(place / "outside")) == ["mark"]


def test_missing_source(place: Path) -> None:
    """``--mount`` wants it there, ``-v`` makes it: as the session's user, whom root's rights do not help."""
    pins = Pins(session_of(place, "freeze", uid=1234 if os.geteuid() == 0 else os.geteuid()), place / "guard")
    with pytest.raises(Denied, match="bind source path does not exist: /workspaces/app/new") as caught:
        pins.hold(bound("new", make=False))
    assert (caught.value.denial.rule, caught.value.denial.status) == ("mounts.missing", 400)
    if os.geteuid() == 0:
        with pytest.raises(Denied, match=r"Permission denied.*\[mounts\.unreadable\]"):
            pins.hold(bound("new/deep"))
        os.chown(place / "project", 1234, 1234)
    before = os.umask(0o077)
    try:
        pins.hold(bound("new/deep"))
    finally:
        os.umask(before)
    for path in ("new", "new/deep"):
        facts = os.stat(place / "project" / path)
        assert (facts.st_uid, facts.st_mode & 0o777) == (pins.session.uid, 0o755)
    (place / "root-again").mkdir()
    assert os.stat(place / "root-again").st_uid == os.geteuid()


def test_whole(place: Path) -> None:
    """Only what nobody can swap."""
    pins = Pins(session_of(place, "whole"), place / "guard")
    assert pins.hold(bound(""))["Source"] == str(place / "project")
    for attempt in (pins.hold, pins.check):
        with pytest.raises(Denied, match=r"allowed: /workspaces/app as a whole.*\[mounts\.whole\]"):
            attempt(bound("a"))


def test_socket(place: Path) -> None:
    """The stand-in, or nothing."""
    session = session_of(place, "freeze")
    entry = Pins(session, place / "guard").hold(SocketAsk("/var/run/docker.sock"))
    assert (entry["Source"], entry["Target"]) == (str(place / "guard.sock"), "/var/run/docker.sock")
    with pytest.raises(Denied, match=r"\[mounts\.socket\]"):
        Pins(replace(session, stand_in=None), place / "guard").hold(SocketAsk("/s"))


def test_volume_of_a_map(place: Path) -> None:
    pins = Pins(session_of(place, "subpath"), place / "guard")
    body = pins.volume_body(0)
    assert (body["Name"], body["DriverOpts"]) == (pins.volume_name(0), {"type": "none", "o": "bind", "device": str(place / "project")})
    assert pins.hold(bound("a"))["VolumeOptions"] == {"NoCopy": True, "Subpath": "a"}
    assert pins.hold(bound(""))["VolumeOptions"] == {"NoCopy": True}


def mounts(folder: Path) -> list[str]:
    return engines.mounts_below(folder)


@needs_root
def test_pins_come_and_go(place: Path) -> None:
    """What is mounted shows the source for good, is renewed when the source is another, and is let go by key."""
    pins, folder = Pins(session_of(place, "descriptor"), place / "guard"), place / "guard"
    one, two = Path(str(pins.hold(bound("a"), "x")["Source"])), Path(str(pins.hold(bound("file"), "y")["Source"]))
    assert ((one / "mark").read_text(), two.read_text()) == ("inside", "a file")
    assert len(mounts(folder)) == 2
    (place / "project/a").rename(place / "project/old")
    (place / "project/a").symlink_to(place / "outside")
    assert (one / "mark").read_text() == "inside"
    with pytest.raises(Denied, match=r"\[mounts\.symlink\]"):
        pins.check(bound("a"), "x")
    (place / "project/a").unlink()
    (place / "project/a").mkdir()
    (place / "project/a/mark").write_text("checked out anew")
    (place / "project/file").unlink()
    (place / "project/file").write_text("edited")
    pins.check(bound("a"), "x")
    pins.check(bound("file"), "y")
    assert ((one / "mark").read_text(), two.read_text()) == ("checked out anew", "edited")
    assert len(mounts(folder)) == 2
    pins.release("x")
    pins.release("x")
    assert len(mounts(folder)) == 1
    pins.release_all()
    assert mounts(folder) == []
    assert not (folder / "pins").exists()
    assert (place / "project/old/mark").read_text() == "inside"


@needs_root
def test_after_a_crash(place: Path) -> None:
    """Mounts are found in the kernel's table, also stacked ones and odd names; nothing is deleted through one."""
    folder = place / "guard of\t\\40ü"
    Pins(session_of(place, "descriptor"), folder).hold(bound("a"))
    Pins(session_of(place, "descriptor"), folder).hold(bound("file"))
    subprocess.run(["mount", "--bind", place / "project/a", folder / "pins/0"], check=True)
    (folder / "pins/link").symlink_to(place / "project")
    assert len(unmount_below(folder)) >= 2
    assert unmount_below(folder) == ()
    Pins(session_of(place, "descriptor"), place / "other").hold(bound("a"))
    clear(place / "other/pins")
    clear(place / "other/pins")
    clear(folder / "pins")
    assert not (folder / "pins").exists()
    assert mounts(place) == []
    assert sorted(os.listdir(place / "project")) == ["a", "b", "file"]
    assert (place / "project/a/mark").read_text() == "inside"


@needs_root
def test_a_folder_that_is_a_link_is_left_alone(place: Path) -> None:
    pins = Pins(session_of(place, "descriptor"), place / "guard")
    pins.hold(bound("a"))
    (place / "link").symlink_to(place / "guard")
    assert unmount_below(place / "link") == ()
    assert len(mounts(place / "guard")) == 1


@needs_root
def test_nested_file_system(place: Path) -> None:
    """A volume would not show what is mounted in the project; a pin does."""
    subprocess.run(["mount", "-t", "tmpfs", "none", place / "project/b"], check=True)
    pins = Pins(session_of(place, "descriptor"), place / "guard")
    assert os.path.ismount(str(pins.hold(bound("b"))["Source"]))
    with pytest.raises(Denied, match=r"\[mounts\.nested\]"):
        Pins(session_of(place, "subpath"), place / "guard").hold(bound("b"))


# --- on engines ----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def client_of(engine: Engine) -> Iterator[Any]:
    engines.image(engine, "busybox")
    with contextlib.closing(engine.client()) as client:
        yield client


@contextlib.contextmanager
def held(client: Any, place: Path, how: Pinning) -> Iterator[Pins]:
    """Pins for one test, with the map's volume where they need it."""
    pins = Pins(session_of(place, how), place / "guard")
    with contextlib.ExitStack() as undo:
        undo.callback(pins.release_all)
        if how == "subpath":
            made = client._result(client._post_json(client._url("/volumes/create"), data=pins.volume_body(0)), True)
            assert made["Labels"][RUN] == pins.session.id
            undo.callback(client.remove_volume, pins.volume_name(0), force=True)
        yield pins


def create(client: Any, entries: list[Object], script: str, *words: str) -> str:
    body = {
        "Image": "aienv-test/busybox:latest", "Cmd": ["sh", "-c", script, *words], "HostConfig": {"NetworkMode": "none", "Mounts": entries},
    }  # fmt: skip
    return str(client._result(client._post_json(client._url("/containers/create"), data=body), True)["Id"])


def says(client: Any, entries: list[Object], script: str) -> str:
    """What a container with these mounts prints."""
    name = create(client, entries, script)
    try:
        client.start(name)
        client.wait(name)
        return str(client.logs(name).decode())
    finally:
        client.remove_container(name, force=True)


WAYS = [
    pytest.param("20.10", "descriptor", id="engine20-descriptor"),
    pytest.param("20.10", "freeze", id="engine20-freeze"),
    pytest.param("26.1", "subpath", id="engine26-subpath"),
    pytest.param("26.1", "freeze", id="engine26-freeze"),
]


def engine_of(request: pytest.FixtureRequest, version: str) -> Engine:
    found = request.getfixturevalue("engine" if version == "20.10" else "engine26")
    assert isinstance(found, Engine)
    return found


@pytest.mark.docker
@pytest.mark.parametrize(("version", "how"), [pytest.param("20.10", "descriptor"), pytest.param("26.1", "subpath")])
def test_choice(request: pytest.FixtureRequest, version: str, how: Pinning) -> None:
    """By the version, and by whether the daemon lives in our mount namespace: engine 26.1 has one of its own here."""
    engine = engine_of(request, version)
    api = (1, 45) if version == "26.1" else (1, 41)
    assert choose_pinning(api, engine.address, euid=0) == how
    assert choose_pinning(api, engine.address, euid=0, secrets=True) == how
    assert choose_pinning(api, engine.address, euid=1000) == ("subpath" if version == "26.1" else "freeze")
    assert choose_pinning((1, 44), engine.address, euid=0) == ("freeze" if version == "26.1" else "descriptor")
    assert choose_pinning((1, 44), "tcp://127.0.0.1:2375", euid=0) == "freeze"
    assert choose_pinning((1, 44), "unix:///nowhere/engine.sock", euid=0) == "freeze"


@pytest.mark.docker
@pytest.mark.parametrize(("version", "how"), WAYS)
def test_mounted(request: pytest.FixtureRequest, place: Path, version: str, how: Pinning) -> None:
    """A folder, a file, the root, one that is made; written through, and read-only."""
    with client_of(engine_of(request, version)) as client, held(client, place, how) as pins:
        entries = [
            pins.hold(bound("a", target="/a")), pins.hold(bound("file", target="/file")),
            pins.hold(bound("", target="/all", read_only=True)), pins.hold(bound("new", target="/new")),
        ]  # fmt: skip
        script = "cat /a/mark /file /all/a/mark; echo x > /new/x; echo y > /a/y; echo z > /all/z; echo z > /all/a/z"
        said = says(client, entries, script)
    assert said.endswith("insidea fileinside")
    assert said.count("Read-only file system") == 2
    assert ((place / "project/new/x").read_text(), (place / "project/a/y").read_text()) == ("x\n", "y\n")
    assert not (place / "project/z").exists()


@pytest.mark.docker
@pytest.mark.parametrize(("version", "how"), WAYS)
def test_secrets_stay_masked(request: pytest.FixtureRequest, place: Path, version: str, how: Pinning) -> None:
    """A container sees an empty file that it can neither write, nor remove, nor move away; what is beside it is as it was."""
    (place / "project/.env").write_text("secret")
    (place / "empty").write_text("")
    secrets = secrets_of(str(place / "project"), RULES)
    asks = (bound("", target="/all"), bound("a"))
    with client_of(engine_of(request, version)) as client, held(client, place, how) as pins:
        masks = [mask for ask in asks for mask in masks_for(ask, pins.session, secrets, str(place / "empty"))]
        assert [mask["Target"] for mask in masks] == ["/all/.env", "/all/a/.env", "/m/.env"]
        entries = [*(pins.hold(ask) for ask in asks), *masks]
        script = "cat /*/.env /all/a/.env; rm -f /m/.env; mv /all/.env /all/x; echo x > /m/.env; umount /m/.env; cat /m/mark /m/.env"
        said = says(client, entries, script)
        assert "secret" not in said
        assert said.endswith("inside")
    assert (place / "project/a/.env").read_text() == "secret"


@pytest.mark.docker
@pytest.mark.parametrize(("version", "how"), [one for one in WAYS if "freeze" not in one.values])
def test_copies_resolve_anew(request: pytest.FixtureRequest, place: Path, version: str, how: Pinning) -> None:
    """An engine mounts the sources of a container that runs once more to copy from it: by a plain bind that leads out."""
    with client_of(engine_of(request, version)) as client, held(client, place, how) as pins:
        plain = bind_entry(str(place / "project/a"), "/plain", read_only=False)
        name = create(client, [plain, pins.hold(bound("a"))], "sleep 100")
        try:
            client.start(name)
            (place / "project/a").rename(place / "project/old")
            (place / "project/a").symlink_to(place / "outside")
            if how == "subpath":
                with pytest.raises(docker.errors.APIError, match="escapes the base directory"):
                    client.get_archive(name, "/m/mark")
            else:
                assert b"canary" in b"".join(client.get_archive(name, "/plain/mark")[0])
                assert b"inside" in b"".join(client.get_archive(name, "/m/mark")[0])
        finally:
            client.remove_container(name, force=True)


@pytest.mark.docker
def test_what_engine26_does_with_a_subpath(engine26: Engine, place: Path) -> None:
    """The facts that ``subpath`` rests on. A link within the volume is followed, one that leaves it is an error, at each start."""
    project = place / "project"
    (project / "b/mark").write_text("other")
    with client_of(engine26) as client, held(client, place, "subpath") as pins:
        name = create(client, [pins.hold(bound("a"))], "cat /m/mark")
        try:
            client.start(name)
            client.wait(name)  # to start one that runs still is no error
            (project / "a").rename(project / "old")
            for link, because in [(str(place / "outside"), "escapes"), ("/", "escapes"), ("../outside", "no such file"), ("..", "escapes")]:
                (project / "a").symlink_to(link)
                for attempt in (client.start, client.restart, lambda one: client.get_archive(one, "/m/mark")):
                    with pytest.raises(docker.errors.APIError, match=because):
                        attempt(name)
                (project / "a").unlink()
            with pytest.raises(docker.errors.APIError, match="no such file or directory"):
                client.start(name)
            (project / "a").symlink_to("b")
            client.start(name)
            client.wait(name)
            assert client.logs(name) == b"insideother"
            with pytest.raises(Denied, match=r"\[mounts\.symlink\]"):
                pins.check(bound("a"))
        finally:
            client.remove_container(name, force=True)
        entry = pins.hold(bound("b"))
        with contextlib.closing(docker.APIClient(engine26.address, version="1.44")) as older:
            with pytest.raises(docker.errors.APIError, match=r"needs API v1\.45"):  # so it cannot be taken for the whole volume
                create(older, [entry], "true")
