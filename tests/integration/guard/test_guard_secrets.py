"""Secrets of a project before the guard that stands alone: they are the user's own files, so masks must hold whatever the agent does."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest

from tests import clients, engine
from tests.engine import Engine
from tests.guardian import UNGUARDED, guarding

pytestmark = [pytest.mark.docker, pytest.mark.skipif(UNGUARDED, reason="the engine itself masks nothing")]

IMAGE = "aienv-test/busybox:latest"
SECRET = "canary-of-the-user"
STARTS = 25
# A folder without secrets and a link to the whole project change places for ever.
FLIPPER = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print("ready", flush=True)
while libc.renameat2(-100, b"data/real", -100, b"data/link", 2) == 0:
    pass
"""


@pytest.fixture
def project() -> Iterator[Path]:
    with clients.scratch() as folder:
        (folder / "data/real").mkdir(parents=True)
        (folder / "data/real/mark").write_text("inside")
        (folder / "data/link").symlink_to("../")
        (folder / ".env").write_text(SECRET)
        yield folder


@contextlib.contextmanager
def flipping(project: Path) -> Iterator[None]:
    argv = (sys.executable, "-c", FLIPPER)
    with subprocess.Popen(argv, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as flipper:
        try:
            assert flipper.stdout is not None
            assert flipper.stdout.readline() == b"ready\n"
            yield
            assert flipper.poll() is None
        finally:
            flipper.kill()


def says(client: docker.DockerClient, source: Path, script: str) -> str:
    """What a container with ``source`` under ``/m`` prints. Raises APIError."""
    box = client.containers.create(IMAGE, ["sh", "-c", script], volumes={str(source): {"bind": "/m", "mode": "rw"}})
    try:
        box.start()
        box.wait()
        return bytes(box.logs()).decode()
    finally:
        box.remove(force=True)


@contextlib.contextmanager
def client_before(any_engine: Engine, project: Path, *words: str) -> Iterator[docker.DockerClient]:
    engine.image(any_engine, "busybox")
    with guarding(any_engine, project, "--allow-image", IMAGE, *words) as guard:
        client = docker.DockerClient(base_url=guard.address, timeout=60)
        try:
            yield client
        finally:
            client.close()


def test_a_part_never_becomes_another_with_secrets(any_engine: Engine, project: Path) -> None:
    """Where the engine itself would follow a link within the project, no part of one that has secrets is mounted."""
    said: list[str] = []
    with client_before(any_engine, project) as client, flipping(project):
        for _ in range(STARTS):
            try:
                said.append(says(client, project / "data/real", "cat /m/.env /m/mark; true"))
            except docker.errors.APIError as problem:
                said.append(str(problem))
    assert not [text for text in said if SECRET in text]
    assert len(said) == STARTS


def test_the_whole_project_with_its_secrets_empty(any_engine: Engine, project: Path) -> None:
    with client_before(any_engine, project) as client:
        said = says(client, project, "cat /m/data/real/mark; wc -c </m/.env; mv /m/.env /m/x; echo x >/m/new")
    assert "inside0\n" in said
    assert "busy" in said
    assert (project / ".env").read_text() == SECRET
    assert (project / "new").read_text() == "x\n"


def test_parts_of_a_project_without_secrets(any_engine: Engine, project: Path) -> None:
    (project / ".env").unlink()
    with client_before(any_engine, project) as client:
        assert says(client, project / "data/real", "cat /m/mark") == "inside"
