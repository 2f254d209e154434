"""A throw-away repository, a state folder of its own, and the product on each backend."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import engine as engines
from tests.e2e.product import Aienv, make_repository
from tests.engine import CannotHave, Engine

NO_ENGINE = "unix:///nonexistent/engine.sock"
BACKENDS = [pytest.param("local", marks=pytest.mark.bwrap), pytest.param("docker", marks=pytest.mark.docker)]

# For what takes long and differs little: quick on one backend, a slow test on the other.
QUICK_ON_LOCAL = [pytest.param("local", marks=pytest.mark.bwrap), pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.slow])]
QUICK_ON_DOCKER = [pytest.param("local", marks=[pytest.mark.bwrap, pytest.mark.slow]), pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit and two files."""
    return make_repository(tmp_path / "app")


@pytest.fixture
def aienv(tmp_path: Path, repo: Path, test_cache: Path) -> Aienv:
    """The product with nothing configured, in the repository, with no engine in sight."""
    home = tmp_path / "home"
    (home / "cache").mkdir(parents=True)
    (test_cache / "toolbox").mkdir(exist_ok=True)
    (home / "cache" / "toolbox").symlink_to(test_cache / "toolbox")  # takes seconds to make, and is the same for all
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "user"),
        "AIENV_HOME": str(home),
        "DOCKER_HOST": NO_ENGINE,
        "LANG": "C.UTF-8",
        "LEAK_PROBE": "value-of-the-host",
    }
    (tmp_path / "user").mkdir()
    return Aienv(home, environ, cwd=repo)


@pytest.fixture
def local(aienv: Aienv, bwrap: str) -> Aienv:
    """The product on the local backend."""
    return replace(aienv, options=("--backend", "local"))


@pytest.fixture(scope="session")
def engine_with_base(engine: Engine) -> Engine:
    """The session's engine with our base image in it."""
    try:
        engines.image(engine, "base")
    except (CannotHave, TimeoutError) as problem:
        pytest.skip(str(problem))
    return engine


@pytest.fixture(params=BACKENDS)
def product(request: pytest.FixtureRequest, aienv: Aienv) -> Iterator[Aienv]:
    """The product on each backend in turn; nothing of its runs may be left in the engine afterwards."""
    if request.param == "local":
        request.getfixturevalue("bwrap")
        yield replace(aienv, options=("--backend", "local"))
        return
    engine: Engine = request.getfixturevalue("engine_with_base")
    yield replace(aienv, options=("--backend", "docker"), environ={**aienv.environ, "DOCKER_HOST": engine.address})
    client = engine.client()
    left = client.containers(all=True, filters={"label": "dev.aienv.run"})
    client.close()
    assert left == []
