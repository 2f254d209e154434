"""Environments in a real engine, and commands in them, in the fewest words that a test needs."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.backends import docker_args
from orchestrator.backends.docker import DockerBackend, DockerEnvironment, image_facts
from orchestrator.backends.protocol import EnvironmentRequest, EnvRef, Folders, Role
from orchestrator.images import toolbox
from orchestrator.launcher.client import RunRequest
from orchestrator.model.task import Limits
from orchestrator.sandbox.argv import Confinement, sandbox_arguments
from orchestrator.sandbox.seccomp import build_filter
from tests import engine as engines
from tests.engine import Engine

UID = GID = 1000
WORKSPACE = "/workspaces/app"
LIMITS = Limits(
    cpus=1.0, memory_bytes=256 << 20, pids=64, disk_bytes=1 << 30, open_files=1024, timeout_s=60.0, grace_s=2.0
)  # fmt: skip
COMMAND_S = 60.0


@dataclass
class Output:
    """What a command wrote, and how it ended."""

    stdout_bytes: bytearray = field(default_factory=bytearray)
    stderr_bytes: bytearray = field(default_factory=bytearray)
    code: int | None = None
    failure: str | None = None

    def stdout(self, data: bytes) -> None:
        self.stdout_bytes += data

    def stderr(self, data: bytes) -> None:
        self.stderr_bytes += data

    @property
    def text(self) -> str:
        return self.stdout_bytes.decode().strip()

    @property
    def errors(self) -> str:
        return self.stderr_bytes.decode().strip()


def backend_for(engine: Engine) -> DockerBackend:
    """Ours, on that engine, with a toolbox that is kept between test runs."""
    cache = engines.cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    return DockerBackend(cache, {"DOCKER_HOST": engine.address, "HOME": "/nonexistent"}, lambda line: None)


@contextmanager
def folders() -> Iterator[Folders]:
    """A run's folders, owned by the agent where it may write."""
    base = Path(tempfile.mkdtemp(prefix="aienv-place-", dir="/tmp"))
    base.chmod(0o755)
    try:
        for name in ("workspace", "outbox", "control", "objects"):
            (base / name).mkdir()
        for name in ("workspace", "outbox"):
            os.chown(base / name, UID, GID)
        yield Folders(base / "workspace", (("main", base / "objects"),), base / "outbox", base / "control")
    finally:
        shutil.rmtree(base)


def request(
    backend: DockerBackend, place: Folders, image: str, run_id: str = "r1", role: Role = "task", limits: Limits = LIMITS
) -> EnvironmentRequest:
    return EnvironmentRequest(
        run_id=run_id,
        role=role,
        workspace=WORKSPACE,
        folders=place,
        image=backend.resolve_image(image),
        uid=UID,
        gid=GID,
        limits=limits,
        labels={"dev.aienv.test": "1"},
        expose=(),
        deadline_s=60.0,
    )


@contextmanager
def environment(engine: Engine, image: str, run_id: str = "r1", limits: Limits = LIMITS) -> Iterator[DockerEnvironment]:
    """An environment that is up, and gone after the block."""
    backend = backend_for(engine)
    with folders() as place:
        try:
            yield backend.open(request(backend, place, image, run_id, limits=limits))
        finally:
            backend.destroy(EnvRef(run_id, "task", "docker", None))


def run(environment: DockerEnvironment, argv: tuple[str, ...], env: Mapping[str, str] | None = None) -> Output:
    """One command under bubblewrap, as an agent's."""
    facts = environment.launcher.facts
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin:/opt/aienv/bin", "HOME": "/home/agent", **(env or {})}
    confinement = Confinement("agent", WORKSPACE, (), (), tuple(variables.items()), 16 << 20, WORKSPACE, ())
    arguments = sandbox_arguments(confinement, facts, build_filter(facts.machine))
    output = Output()
    process = environment.launcher.run(RunRequest(arguments.options, arguments.data, argv, stdin=False, tty=None, rlimits={}), output)
    ended = process.wait(COMMAND_S)
    assert ended is not None, f"{argv} did not end within {COMMAND_S} s"
    output.code, output.failure = ended.code, ended.failure
    return output


def container_output(engine: Engine, image: str, argv: tuple[str, ...], limits: Limits = LIMITS, script: str | None = None) -> str:
    """What a command prints in the container itself, outside of bubblewrap, where the launcher runs."""
    backend = backend_for(engine)
    backend.check()
    facts = backend._facts
    assert facts is not None
    tree = toolbox.ensure(engines.cache_dir(), lambda line: None)
    with folders() as place, contextlib.closing(engine.client()) as client:
        (place.control / "empty").touch()
        if script is not None:
            (place.workspace / "script.py").write_text(script)
        wanted = request(backend, place, image, "raw", limits=limits)
        body = docker_args.create_arguments(wanted, image_facts(client.inspect_image(image)), facts, str(tree), argv)
        container = client.create_container_from_config(body, name="aienv-raw-task")["Id"]
        try:
            client.start(container)
            code = client.wait(container, timeout=COMMAND_S)["StatusCode"]
            text = bytes(client.logs(container)).decode()
        finally:
            client.remove_container(container, force=True, v=True)
    assert code == 0, text
    return text


def python_output(engine: Engine, image: str, script: str) -> dict[str, Any]:
    """The JSON object that a script prints there."""
    argv = ("/opt/aienv/bin/python3", "-I", "-S", f"{WORKSPACE}/script.py")
    found = json.loads(container_output(engine, image, argv, script=script))
    assert isinstance(found, dict)
    return found
