"""Compose before the guard, old (1.29, in Python) and new (2.26): a web program with PostgreSQL and Redis, from build to down."""

import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import clients
from tests.engine import Engine
from tests.guardian import UNGUARDED, Guardian, guarding

pytestmark = pytest.mark.docker


@dataclass(frozen=True)
class Application:
    """A copy of the application as a project, and a compose command before the guard."""

    guard: Guardian
    project: Path
    command: tuple[str, ...]
    extra: dict[str, str]

    def compose(self, *words: str, code: int | None = 0, stdin: str | None = None) -> str:
        return clients.client(self.guard, (*self.command, *words), cwd=self.project, code=code, stdin=stdin, **self.extra)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module", params=[pytest.param("v1", marks=pytest.mark.slow), "v2"])
def application(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    found: Engine = request.getfixturevalue("engine" if request.param == "v1" else "engine26")
    home = tmp_path_factory.mktemp("home")
    if request.param == "v1":
        command, extra = (clients.require(clients.compose_one),), {"HOME": str(home)}
    else:
        command, extra = (str(clients.require(lambda: clients.docker_cli("26.1"))), "compose"), clients.plugins(home)
    clients.require(lambda: clients.servers(found))
    with clients.scratch() as folder:
        project = folder / "shop"
        shutil.copytree(clients.APPS / "web", project)
        with guarding(found, project, "--compose", str(project / "compose.yaml")) as guard:
            yield Application(guard, project, command, {**extra, "WEB_PORT": str(free_port())})


def test_up_to_down(application: Application) -> None:
    """One life of the application: build, up, requests, run, exec, logs, ps, a second up, down with its volumes."""
    compose, port = application.compose, application.extra["WEB_PORT"]
    try:
        compose("build")
        compose("up", "-d")
        first = json.loads(clients.fetch(application.guard, port))
        assert first == {"greeting": "hello", "database": 1, "cache": 1, "page": "a page of the project"}
        assert compose("exec", "-T", "db", "psql", "-U", "app", "-tAc", "SELECT count(*) FROM visits").strip() == "1"
        assert compose("exec", "-T", "cache", "redis-cli", "get", "visits").strip() == "1"
        assert compose("exec", "-T", "db", "sh", "-c", "exit 6", code=6) is not None
        assert compose("run", "--rm", "-T", "--no-deps", "web", "python3", "-c", "print(6 * 7)").strip().endswith("42")
        linked = "import socket; print(socket.create_connection(('cache', 6379)).getpeername()[1])"
        assert compose("run", "--rm", "-T", "web", "python3", "-c", linked).strip().endswith("6379")
        assert "listening" in compose("logs", "web")
        assert "database system is ready" in compose("logs", "--tail", "50", "db")
        assert port in compose("port", "web", "8000")
        assert all(service in compose("ps") for service in ("web", "db", "cache"))
        compose("restart", "--timeout", "1", "web")
        compose("up", "-d")
        compose("stop", "--timeout", "1", "web")
        compose("start", "web")
        assert json.loads(clients.fetch(application.guard, port))["database"] == 2
        assert "GREETING" in compose("config")
    finally:
        compose("down", "--volumes", "--timeout", "2", code=None)
    assert compose("ps", "-q").strip() == ""


def test_the_database_outlives_its_container(application: Application) -> None:
    """A named volume stays over ``down`` and goes with ``down --volumes``."""
    compose = application.compose

    def psql(text: str) -> str:
        login = ("-e", "PGPASSWORD=secret", "db", "psql", "-h", "127.0.0.1", "-U", "app")
        return compose("exec", "-T", *login, "-qtAc", text).strip()

    try:
        compose("up", "-d", "db")
        wait = "until pg_isready -q -h 127.0.0.1 -U app -d app; do sleep 0.2; done"
        compose("exec", "-T", "db", "timeout", "60", "sh", "-c", wait)
        psql("CREATE TABLE kept AS SELECT 41 + 1 AS n")
        compose("down", "--timeout", "2")
        compose("up", "-d", "db")
        compose("exec", "-T", "db", "timeout", "60", "sh", "-c", wait)
        assert psql("SELECT n FROM kept") == "42"
    finally:
        compose("down", "--volumes", "--timeout", "2", code=None)


@pytest.mark.skipif(UNGUARDED, reason="the engine itself refuses nothing")
@pytest.mark.parametrize(("line", "service"), [
    ("privileged: true", "cache"), ("network_mode: host", "db"), ("pid: host", "db"), ("volumes: ['/etc:/x']", "cache"),
    ("devices: ['/dev/null:/dev/x']", "cache"), ("cap_add: [SYS_ADMIN]", "cache"), ("image: foreign/image:1", "cache"),
])  # fmt: skip
def test_what_escapes_is_refused(application: Application, line: str, service: str) -> None:
    """Also when the compose file says it: it is the repository's, and it was written after the launch."""
    override = application.project / "override.yaml"
    image = "" if line.startswith("image:") else "    image: redis:7\n"
    override.write_text(f'version: "3.8"\nservices:\n  {service}-evil:\n{image}    {line}\n')
    files = ("-f", "compose.yaml", "-f", "override.yaml")
    try:
        found = application.compose(*files, "up", "-d", "--no-deps", f"{service}-evil", code=None)
        listed = application.compose(*files, "ps", "-q", f"{service}-evil", code=None)
        assert not [word for word in listed.split() if len(word) == 64], found
    finally:
        application.compose(*files, "down", "--timeout", "1", code=None)
        override.unlink()
