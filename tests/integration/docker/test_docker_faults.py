"""Engines that are missing, closed, silent, killed and started again; images that cannot be had."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.backends.docker import DockerBackend
from orchestrator.backends.protocol import EnvRef
from orchestrator.errors import AienvError, BackendUnavailable, EnvironmentFailed
from tests import engine as engines
from tests.engine import Engine
from tests.integration.docker.places import backend_for, environment, folders, request, run

pytestmark = pytest.mark.docker


def backend_at(address: str) -> DockerBackend:
    return DockerBackend(engines.cache_dir(), {"DOCKER_HOST": address}, lambda line: None)


def test_no_engine(tmp_path: Path) -> None:
    """No socket: said with the address and who named it."""
    with pytest.raises(BackendUnavailable, match=r"no such socket") as caught:
        backend_at(f"unix://{tmp_path}/none.sock").check()
    assert caught.value.code == "engine-missing"
    assert "DOCKER_HOST" in caught.value.message


def test_engine_that_went_away(tmp_path: Path) -> None:
    """A socket file without anyone behind it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(BackendUnavailable, match="Connection refused") as caught:
        backend_at(f"unix://{tmp_path}/dead.sock").check()
    assert caught.value.code == "engine-down"


def test_closed_to_this_user(engine: Engine) -> None:
    """Another user is told about the group."""
    backend_at(engine.address).check()  # what is imported on the way may lie where that user cannot read
    with contextlib.suppress(AienvError):
        backend_at("unix:///nonexistent/engine.sock").check()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            backend_at(engine.address).check()
        except AienvError as problem:
            os.write(writer, json.dumps(problem.as_json()).encode())
        except BaseException as problem:  # noqa: BLE001 - told by the parent, which would see nothing else
            os.write(writer, json.dumps({"code": repr(problem), "remedy": ""}).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, "rb") as said:
        found = json.loads(said.read())
    assert found["code"] == "engine-permission"
    assert "usermod -aG docker" in found["remedy"]


def test_image_that_is_nowhere(engine: Engine) -> None:
    """Neither local nor to be had: the name, the cause, the way out."""
    with pytest.raises(
        EnvironmentFailed, match=r"'registry\.invalid/team/app:1' is not in the Docker engine, and cannot be pulled"
    ) as caught:
        backend_for(engine).resolve_image("registry.invalid/team/app:1")
    assert caught.value.code == "image-missing"
    assert caught.value.remedy


def test_odd_image_names(engine: Engine) -> None:
    """Names that are none, and ids that are not there, end in errors of ours."""
    for name in ("", "UPPER", "a b", "../../containers/json", "\x00", "sha256:" + "0" * 64):
        with pytest.raises(EnvironmentFailed):
            backend_for(engine).resolve_image(name)


def test_image_removed_after_the_plan(engine: Engine, tmp_path: Path) -> None:
    """The plan pinned an id that is no longer there."""
    backend = backend_for(engine)
    (tmp_path / "bin").mkdir()
    engines.import_image(engine, "aienv-test/gone:1", tmp_path)
    with folders() as place:
        wanted = request(backend, place, "aienv-test/gone:1", "gone")
        with contextlib.closing(engine.client()) as client:
            client.remove_image("aienv-test/gone:1")
        with pytest.raises(EnvironmentFailed, match="no longer in the Docker engine"):
            backend.open(wanted)


@pytest.fixture
def frozen(own_engine: Engine) -> Iterator[Engine]:
    """An engine that accepts connections and never answers."""
    own_engine.suspend()
    yield own_engine
    own_engine.resume()


def test_silent_engine(frozen: Engine) -> None:
    """Nothing waits for ever: every verb ends with an error of ours. The test's own time limit is the proof."""
    with pytest.raises(BackendUnavailable, match="does not answer") as caught:
        backend_at(frozen.address).check()
    assert caught.value.code == "engine-broken"
    with pytest.raises(EnvironmentFailed, match="could not be removed within 2 s"):
        backend_at(frozen.address).destroy(EnvRef("r", "task", "docker", None), deadline_s=2)


def test_engine_killed_and_started_again(own_engine: Engine) -> None:
    """The loss is explained, removal fails while the engine is away and works when it is back; a new environment can be opened."""
    image = engines.image(own_engine, "busybox")
    backend = backend_for(own_engine)
    with folders() as folder:
        place = backend.open(request(backend, folder, image, "lost"))
        assert run(place, ("/bin/true",)).code == 0
        own_engine.kill()
        with pytest.raises(EnvironmentFailed, match="could not be removed within 2 s") as caught:
            backend.destroy(place.ref, deadline_s=2)
        assert caught.value.code == "left-behind"
        assert "does not answer" in place.describe_end()
        own_engine.restart()
        assert [ref.run_id for ref in backend.survey()] == ["lost"]
        assert backend.destroy(place.ref) == ("container aienv-lost-task",)
        assert place.launcher.lost.wait(20)
    with environment(own_engine, image, "next") as place:
        assert run(place, ("/bin/echo", "again")).text == "again"


def test_engine_comes_back_during_removal(own_engine: Engine) -> None:
    """Removal goes on trying until its deadline."""
    image, backend = engines.image(own_engine, "busybox"), backend_for(own_engine)
    with folders() as folder:
        place = backend.open(request(backend, folder, image, "retry"))
        own_engine.kill()
        removed: list[tuple[str, ...]] = []
        thread = threading.Thread(target=lambda: removed.append(backend.destroy(place.ref, deadline_s=60)))
        thread.start()
        own_engine.restart()
        thread.join(90)
    assert removed == [("container aienv-retry-task",)]


def test_engine_without_init() -> None:
    """Where the engine has no docker-init, the launcher is process 1 itself, and nothing of the first attempt is left."""
    try:
        with engines.running(options=("--init-path", "/nonexistent/docker-init")) as bare:
            with environment(bare, engines.image(bare, "busybox"), "noinit") as place:
                assert place.launcher.pid == 1
                assert run(place, ("/bin/echo", "up")).text == "up"
                with contextlib.closing(bare.client()) as client:
                    assert len(client.containers(all=True)) == 1
    except engines.CannotHave as problem:
        pytest.skip(str(problem))
