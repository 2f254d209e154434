"""``up``, ``exec`` and other commands that make and use a dev container, on a real engine, beside the reference dev container CLI:
equal, but for the differences that ``up_cases`` names. Then what is ours alone: refusals, several at once, ends at any moment.
"""

import contextlib
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.engine import Engine
from tests.integration.devcontainer.up_cases import CASES, QUICK, feature
from tests.integration.devcontainer.up_sides import UP, Case, Facts, Place, Side, World, differences

pytestmark = [pytest.mark.docker, pytest.mark.xdist_group("devcontainer-up")]


class Sides:
    """Quick cases are done at once, two at a time, the others when they are wanted."""

    def __init__(self, world: World, root: Path, wanted: Sequence[Case]) -> None:
        self.world, self.root, self.pool = world, root, ThreadPoolExecutor(2)
        self.started = {case.name: self._start(case) for case in wanted if case.name in QUICK}

    def of(self, case: Case) -> dict[Side, Facts]:
        return (self.started.get(case.name) or self._start(case)).result()

    def finish(self) -> None:
        """Nothing of a case is in the engine any more."""
        for one in self.started.values():
            one.exception()

    def _start(self, case: Case) -> "Future[dict[Side, Facts]]":
        return self.pool.submit(self._both, case)

    def _both(self, case: Case) -> dict[Side, Facts]:
        """One after the other: names of compose projects, volumes and ports are the same."""
        sides: tuple[Side, Side] = ("reference", "ours")
        return {side: json.loads(json.dumps(self.world.observe(case, side, self.root / case.name))) for side in sides}


@pytest.fixture(scope="module")
def world(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The engine's socket is open to all for as long: others' tests share the engine."""
    sock = engine.root / "engine.sock"
    mode = stat.S_IMODE(sock.stat().st_mode)
    try:
        yield World.made(engine, tmp_path_factory.mktemp("world"))
    finally:
        sock.chmod(mode)


@pytest.fixture(scope="module")
def sides(world: World, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    asked = {item.name.partition("[")[2].rstrip("]") for item in request.session.items if item.fspath == request.node.fspath}
    made = Sides(world, tmp_path_factory.mktemp("up"), [case for case in CASES if case.name in asked])
    yield made
    made.pool.shutdown(cancel_futures=True)


def parameters() -> list[Any]:
    return [pytest.param(case, id=case.name, marks=[] if case.name in QUICK else [pytest.mark.slow]) for case in CASES]


@pytest.mark.parametrize("case", parameters())
def test_as_the_reference(case: Case, sides: Sides) -> None:
    facts = sides.of(case)
    found = list(differences(facts["reference"], facts["ours"]))
    meant = [one for one in found if one.startswith(tuple(f"/{fact}" for fact in case.apart))] if case.apart else []
    assert "\n".join(one for one in found if one not in meant) == ""
    assert bool(case.apart) == bool(case.why)
    assert meant or not case.apart, "no difference any more"
    assert case.ours is None or case.ours(facts["ours"])


def test_cases_are_cases() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 100
    assert {case.name for case in CASES} >= QUICK
    assert len(QUICK) <= 15


# --- ours alone ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def lay(world: World, tmp_path: Path) -> Iterator[Callable[..., Place]]:
    """Workspaces that ours alone works in."""
    with contextlib.ExitStack() as undo:

        def laid(name: str = "own", files: dict[str, str] | None = None, **config: Any) -> Place:
            place = Place(world, Case(name, config, files=files or {}), "ours", tmp_path / f"side-{name}")
            undo.enter_context(place.cleared())
            place.lay()
            return place

        yield laid


def start(place: Place, *words: str) -> "subprocess.Popen[bytes]":
    argv = place.world.argv("ours", ["up", "--workspace-folder", str(place.folder), *words])
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, env=place.environ, cwd=place.root, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)


def without_grants(place: Place) -> tuple[int, dict[str, Any]]:
    words = place.world.argv("ours", ["up", "--workspace-folder", str(place.folder)])
    argv = [one for one in words if one not in ("--grant", "everything")]
    done = subprocess.run(argv, env=place.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)


def answer(process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    output, said = process.communicate(timeout=120)
    lines = output.decode().splitlines()
    assert len(lines) == 1, said.decode()
    found: dict[str, Any] = json.loads(lines[0])
    return found


def log(place: Place) -> list[str]:
    path = place.workspace / "log"
    return path.read_text().splitlines() if path.exists() else []


def wait(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def there_is(place: Place) -> list[set[str]]:
    client = place.world.client
    volumes, networks = client.volumes()["Volumes"] or (), client.networks()
    return [{one["Id"] for one in client.images()}, {one["Name"] for one in volumes}, {one["Id"] for one in networks}]


def top(place: Place) -> str:
    """What runs in the container."""
    return place.world.docker("top", place.container(), "-o", "pid,args")


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("privileged", {"privileged": True}, "privileged"),
    ("capability", {"capAdd": ["SYS_ADMIN"]}, "cap:SYS_ADMIN"),
    ("security", {"securityOpt": ["seccomp=unconfined"]}, "security-opt:seccomp=unconfined"),
    ("mount", {"mounts": ["type=bind,source=/etc,target=/host"]}, "mount:/etc"),
    ("mount-object", {"mounts": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/s"}]}, "docker-socket"),
    ("run-args", {"runArgs": ["--pid=host"]}, "pid:host"),
    ("run-args-network", {"runArgs": ["--network", "host"]}, "network:host"),
    ("run-args-volume", {"runArgs": ["-v", "/:/host"]}, "mount:/"),
    ("run-args-device", {"runArgs": ["--device=/dev/kvm"]}, "device:/dev/kvm"),
    ("initialize", {"initializeCommand": "touch made"}, "initializeCommand"),
    ("workspace-mount", {"workspaceMount": "type=bind,source=/root,target=/w", "workspaceFolder": "/w"}, "mount:/root"),
]


@pytest.mark.parametrize(("config", "grant"), [pytest.param(config, grant, id=name) for name, config, grant in REFUSED])
def test_refused(sides: Sides, lay: Callable[..., Place], config: dict[str, Any], grant: str) -> None:
    """Nothing is made, and the words that would allow it are told."""
    sides.finish()
    place = lay(image=UP, **config)
    before = there_is(place)
    code, found = without_grants(place)
    assert (code, found["outcome"]) == (1, "error")
    assert f"--grant {grant}" in found["remedy"].replace("'", ""), found
    assert place.containers() == {}
    assert there_is(place) == before
    assert place.files() == {}


@pytest.mark.slow
@pytest.mark.parametrize("port", ["0.0.0.0:18099:80", "18099:80"])
def test_ports_are_of_this_machine_alone(lay: Callable[..., Place], port: str) -> None:
    """Without a grant: what others could reach is bound to the loopback address."""
    place = lay(image=UP, appPort=port)
    assert without_grants(place)[0] == 0
    bindings = place.world.client.inspect_container(place.container())["HostConfig"]["PortBindings"]
    assert bindings == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18099"}]}


@pytest.mark.slow
def test_refused_of_images_features_and_compose(lay: Callable[..., Place]) -> None:
    for name, config, files, grant in (
        ("by-feature", {"image": UP, "features": {"./f": {}}}, feature("f", privileged=True), "privileged"),
        ("by-compose", {"dockerComposeFile": "c.yml", "service": "app"},
         {".devcontainer/c.yml": f"services:\n  app:\n    image: {UP}\n  other:\n    image: {UP}\n    privileged: true\n"}, "privileged"),
        ("by-label", {"image": "aienv-test/up-labelled:1", "remoteEnv": {"A": "${localEnv:PLACE}"}}, {}, "cap:SYS_PTRACE"),
    ):  # fmt: skip
        place = lay(name, files, **config)
        code, found = without_grants(place)
        assert code == 1
        assert f"--grant {grant}" in found["remedy"].replace("'", ""), found
        assert place.containers() == {}


# --- several at once -----------------------------------------------------------------------------------------------------------


def test_two_of_one_folder(lay: Callable[..., Place]) -> None:
    """One container, and its hooks ran once."""
    hooks = {"onCreateCommand": "echo create >>log; sleep 1", "postStartCommand": "echo start >>log", "postAttachCommand": "echo at >>log"}
    place = lay(image=UP, **hooks)
    found = [answer(one) for one in [start(place), start(place), start(place)]]
    assert {one["outcome"] for one in found} == {"success"}
    assert {one["containerId"] for one in found} == set(place.containers())
    assert len(place.containers()) == 1
    assert sorted(log(place)) == ["at"] * 3 + ["create", "start"]


@pytest.mark.slow
def test_features_of_two_folders(lay: Callable[..., Place]) -> None:
    """Features of one name and one base, other content: never mixed."""
    config = {"image": UP, "features": {"./f": {}}, "postCreateCommand": "cat /number >log"}
    places = [lay(f"feature-{number}", feature("f", f"echo {number} >/number; sleep 0.5"), **config) for number in range(4)]
    assert [answer(one)["outcome"] for one in [start(place) for place in places]] == ["success"] * 4
    assert [log(place) for place in places] == [[str(number)] for number in range(4)]


# --- ends at any moment --------------------------------------------------------------------------------------------------------

SLOWLY = {f"{name}Command": f"sleep 0.3; echo {name} >>log" for name in ("onCreate", "postCreate", "postStart", "postAttach")}
NAMES = {name.removesuffix("Command") for name in SLOWLY}


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0])
def test_killed(lay: Callable[..., Place], after_s: float) -> None:
    """The next ``up`` makes one container of it, and each hook ran."""
    place = lay(image=UP, **SLOWLY)
    first = start(place)
    time.sleep(after_s)
    first.kill()
    first.wait(60)
    assert answer(start(place))["outcome"] == "success"
    assert len(place.containers()) == 1
    assert set(log(place)) == NAMES
    assert log(place)[-1] == "postAttach"
    before = log(place)
    assert answer(start(place))["outcome"] == "success"
    assert log(place) == [*before, "postAttach"]


@pytest.mark.slow
def test_killed_in_a_hook(lay: Callable[..., Place]) -> None:
    """What was left running does not run beside its second time."""
    place = lay(image=UP, onCreateCommand="echo create >>log", postCreateCommand="echo begun >>log; sleep 8; echo done >>log")
    first = start(place)
    wait(lambda: "begun" in log(place), "the hook")
    first.kill()
    first.wait(60)
    assert answer(start(place))["outcome"] == "success"
    assert log(place) == ["create", "begun", "begun", "done"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_in_a_hook(lay: Callable[..., Place], number: signal.Signals) -> None:
    """The hook ends in the container, too."""
    place = lay(image=UP, postCreateCommand={"a": "echo begun >>log; sleep 987 & wait", "b": "sleep 986"})
    first = start(place)
    wait(lambda: "begun" in log(place), "the hook")
    assert "sleep 987" in top(place)
    first.send_signal(number)
    first.wait(20)
    assert first.returncode != 0
    wait(lambda: "sleep 98" not in top(place), "the hook's end", 10)


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["postStartCommand", "postAttachCommand"])
def test_server_in_the_foreground(lay: Callable[..., Place], hook: str) -> None:
    """``up`` does not wait for ever, and it is left running."""
    place = lay(image=UP, **{hook: "echo serving; exec sleep 985"})
    begin = time.monotonic()
    assert answer(start(place))["outcome"] == "success"
    assert time.monotonic() - begin < 40
    assert "sleep 985" in top(place)


@pytest.mark.slow
def test_hook_that_floods(lay: Callable[..., Place]) -> None:
    """It is stopped by what it may write."""
    place = lay(image=UP, postCreateCommand="yes 'some words of no use' & wait")
    found = answer(start(place, "--log-format", "json"))
    assert found["outcome"] == "error"
    assert "MiB" in found["message"]
    wait(lambda: "some words" not in top(place), "the hook's end", 10)


@pytest.mark.slow
def test_hook_that_reads(lay: Callable[..., Place]) -> None:
    """There is nobody to ask; the reference waits for ever."""
    place = lay(image=UP, postCreateCommand="cat >got; echo $? >>log", postStartCommand=["sh", "-c", "read x; echo \"$x|$?\" >>log"])
    assert answer(start(place))["outcome"] == "success"
    assert log(place) == ["0", "|1"]


@pytest.mark.slow
def test_hook_that_takes_too_long(lay: Callable[..., Place]) -> None:
    place = lay(image=UP, postCreateCommand="sleep 984")
    found = answer(start(place, "--command-timeout", "2"))
    assert found["outcome"] == "error"
    assert "2 seconds" in found["message"]
    wait(lambda: "sleep 984" not in top(place), "the hook's end", 10)


@pytest.mark.slow
def test_secrets_are_in_no_log(lay: Callable[..., Place]) -> None:
    place = lay(image=UP, postCreateCommand="echo $TOKEN; echo $TOKEN >&2; exit 3")
    (place.root / "s.json").write_text(json.dumps({"TOKEN": "very-secret-word"}))
    process = start(place, "--secrets-file", str(place.root / "s.json"), "--log-level", "trace")
    output, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"very-secret-word" not in output + said
    kept = [path for path in (place.root / "aienv").rglob("*") if path.is_file() and b"very-secret-word" in path.read_bytes()]
    assert kept == []


@pytest.mark.slow
def test_made_anew_after_what_could_not_start(lay: Callable[..., Place]) -> None:
    """A port that is taken, a user that is not there: corrected, the next ``up`` succeeds."""
    place = lay(image=UP, containerUser="nobody-such")
    assert answer(start(place))["outcome"] == "error"
    assert place.containers() == {}
    place.write(".devcontainer/devcontainer.json", json.dumps({"image": UP}))
    assert answer(start(place))["outcome"] == "success"


def test_stop_and_down(lay: Callable[..., Place]) -> None:
    place = lay(image=UP, mounts=["type=volume,source=own-volume,target=/v"], postStartCommand="echo start >>log")
    assert answer(start(place))["outcome"] == "success"
    assert place.run(["stop"])[0] == 0
    assert answer(start(place))["outcome"] == "success"
    assert log(place) == ["start", "start"]
    code, output = place.run(["down", "--volumes"])
    assert (code, json.loads(output)["outcome"]) == (0, "success")
    assert place.containers() == {}
    assert "own-volume" not in place.world.docker("volume", "ls", "-q").split()
    assert place.run(["down"])[0] == 0
    assert os.listdir(place.root / "aienv")
