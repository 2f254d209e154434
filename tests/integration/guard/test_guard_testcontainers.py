"""testcontainers-python before the guard, with a stand-in for its reaper that talks to the daemon's socket inside of a container."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import clients, engine
from tests.engine import Engine
from tests.guardian import Guardian, guarding

pytestmark = pytest.mark.docker

PROGRAMS = clients.APPS / "testcontainers"


@pytest.fixture(scope="module", params=["20.10", "26.1"], ids=["engine20", "engine26"])
def guard(request: pytest.FixtureRequest) -> Iterator[Guardian]:
    found: Engine = request.getfixturevalue("engine" if request.param == "20.10" else "engine26")
    clients.require(clients.testcontainers)
    names = clients.require(lambda: clients.servers(found))
    engine.image(found, "busybox")
    with clients.scratch() as project:
        words = [word for name in (*names, "aienv-test/busybox:latest") for word in ("--allow-image", name)]
        with guarding(found, project, *words) as started:
            yield started


def program(guard: Guardian, name: str, tmp_path: Path, code: int = 0, **environ: str) -> str:
    """Run one of the programs as a test suite would be run: a Python of its own with testcontainers."""
    words = {
        "PYTHONPATH": str(clients.testcontainers()), "HOME": str(tmp_path), "RYUK_RECONNECTION_TIMEOUT": "1s", "TC_POOLING_INTERVAL": "0.2",
        # On a machine that is a container itself, it would look for the way to mapped ports in the containers' networks.
        "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1", "TESTCONTAINERS_CONNECTION_MODE": "docker_host", **environ,
    }  # fmt: skip
    return clients.client(guard, ("/usr/bin/env", "python3", "-W", "ignore", PROGRAMS / f"{name}.py"), cwd=tmp_path, code=code, **words)


@pytest.mark.parametrize("name", ["generic", "postgres", "network"])
def test_containers_for_a_test(guard: Guardian, tmp_path: Path, name: str) -> None:
    """Started, waited for, reached on a mapped port, used, stopped."""
    assert program(guard, name, tmp_path).splitlines()[-1] == "passed"


def test_the_reaper_removes_what_a_killed_test_left(guard: Guardian, tmp_path: Path) -> None:
    """The reaper's container mounts the socket that DOCKER_HOST names, and finds the session's containers through it, not others'."""
    keep = clients.client(guard, ("docker", "run", "-d", "--label", "x=y", "aienv-test/busybox:latest", "sleep", "600")).strip()
    left = program(guard, "killed", tmp_path, code=9).split()[0]
    limit = time.monotonic() + 30
    while left in (found := clients.client(guard, ("docker", "ps", "-aq", "--no-trunc")).split()):
        assert time.monotonic() < limit, clients.client(guard, ("docker", "ps", "-a"))
        time.sleep(0.2)
    assert keep in found
    clients.client(guard, ("docker", "rm", "-f", keep))
