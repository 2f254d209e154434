"""The Docker SDK for Python before the guard, through its high-level objects: what programs of projects do with it."""

import contextlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import clients, engine
from tests.engine import Engine
from tests.guardian import UNGUARDED, guarding

pytestmark = pytest.mark.docker

IMAGE = "aienv-test/busybox:latest"


@dataclass(frozen=True)
class Program:
    docker: Any  # docker.DockerClient
    project: Path


@pytest.fixture(scope="module", params=["20.10", "26.1"], ids=["engine20", "engine26"])
def program(request: pytest.FixtureRequest) -> Iterator[Program]:
    import docker

    found: Engine = request.getfixturevalue("engine" if request.param == "20.10" else "engine26")
    engine.image(found, "busybox")
    with clients.scratch() as project, guarding(found, project, "--allow-image", IMAGE) as guard:
        with contextlib.closing(docker.DockerClient(base_url=guard.address, version="auto", timeout=60)) as client:
            yield Program(client, project)


@pytest.fixture
def container(program: Program) -> Iterator[Any]:
    found = program.docker.containers.run(IMAGE, "sleep 600", detach=True, labels={"made-by": "test"})
    yield found
    found.remove(force=True, v=True)


def test_run(program: Program) -> None:
    import docker

    assert program.docker.containers.run(IMAGE, "echo hello", remove=True) == b"hello\n"
    volumes = {str(program.project): {"bind": "/x", "mode": "rw"}}
    assert program.docker.containers.run(IMAGE, "touch /x/made", remove=True, volumes=volumes, mem_limit="64m", network_mode="none") == b""
    assert (program.project / "made").exists()
    with pytest.raises(docker.errors.ContainerError) as failed:
        program.docker.containers.run(IMAGE, "sh -c 'echo bad >&2; exit 3'", remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"bad\n")


def test_exec(container: Any) -> None:
    assert tuple(container.exec_run("echo one")) == (0, b"one\n")
    assert container.exec_run("sh -c 'echo out; echo err >&2; exit 2'", demux=True) == (2, (b"out\n", b"err\n"))
    assert b"".join(container.exec_run("echo streamed", stream=True).output) == b"streamed\n"
    assert container.exec_run("sh -c 'echo $A; pwd'", environment={"A": "b"}, workdir="/tmp").output == b"b\n/tmp\n"


def test_exec_over_a_socket(container: Any) -> None:
    """Both directions of a tunnel, and its half close."""
    api = container.client.api
    identity = api.exec_create(container.id, "cat", stdin=True)["Id"]
    tunnel = api.exec_start(identity, socket=True)
    raw = getattr(tunnel, "_sock", tunnel)
    raw.sendall(b"there and back\n")
    raw.shutdown(1)
    received = b""
    while more := raw.recv(4096):
        received += more
    raw.close()
    assert received[8:] == b"there and back\n"
    assert api.exec_inspect(identity)["ExitCode"] == 0


def test_attach_logs_and_events(program: Program) -> None:
    found = program.docker.containers.create(IMAGE, "sh -c 'for i in 1 2 3; do echo $i; sleep 0.1; done'")
    seen: list[str] = []

    def watch() -> None:
        for event in events:
            seen.append(event["Action"])
            if seen[-1] == "destroy":
                return

    with contextlib.closing(program.docker.events(decode=True, filters={"container": found.id})) as events:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        found.start()
        assert b"".join(found.logs(stream=True, follow=True)) == b"1\n2\n3\n"
        assert found.wait()["StatusCode"] == 0
        found.remove()
        watcher.join(10)
    assert [action for action in seen if action in ("start", "die", "destroy")] == ["start", "die", "destroy"]


def test_archives(container: Any) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = 1_000_000
        archive.addfile(member, io.BytesIO(bytes(1_000_000)))
    assert container.put_archive("/tmp", stream.getvalue())
    chunks, stat = container.get_archive("/tmp/file")
    assert stat["size"] == 1_000_000
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        assert archive.getnames() == ["file"]


def test_lists_and_inspection(program: Program, container: Any) -> None:
    import docker

    assert container.id in [found.id for found in program.docker.containers.list(filters={"label": "made-by=test"})]
    container.reload()
    assert container.status == "running"
    assert container.labels["made-by"] == "test"
    assert container.stats(stream=False)["memory_stats"] is not None
    container.rename("renamed")
    assert program.docker.containers.get("renamed").id == container.id
    with pytest.raises(docker.errors.NotFound):
        program.docker.containers.get("never-made")


def test_build_tag_remove(program: Program) -> None:
    image, log = program.docker.images.build(fileobj=io.BytesIO(f"FROM {IMAGE}\nRUN echo built >/built\n".encode()), tag="sdk:1", rm=True)
    assert any("Successfully" in line.get("stream", "") for line in log)
    assert program.docker.containers.run(image.id, "cat /built", remove=True) == b"built\n"
    assert image.tag("sdk", "2")
    assert {"sdk:1", "sdk:2"} <= set(program.docker.images.get("sdk:1").tags)
    for name in ("sdk:1", "sdk:2"):
        program.docker.images.remove(name)


def test_networks_and_volumes(program: Program, container: Any) -> None:
    network, volume = program.docker.networks.create("sdk-net", driver="bridge"), program.docker.volumes.create("sdk-volume")
    try:
        network.connect(container, aliases=["here"])
        network.reload()
        assert [member.id for member in network.containers] == [container.id]
        network.disconnect(container)
        mounts = {"sdk-volume": {"bind": "/v", "mode": "rw"}}
        assert program.docker.containers.run(IMAGE, "sh -c 'echo 1 >/v/x; cat /v/x'", remove=True, volumes=mounts) == b"1\n"
        assert "sdk-volume" in [found.name for found in program.docker.volumes.list()]
    finally:
        network.remove()
        volume.remove()


@pytest.mark.skipif(UNGUARDED, reason="the engine itself refuses nothing")
@pytest.mark.parametrize("options", [
    {"privileged": True}, {"pid_mode": "host"}, {"network_mode": "host"}, {"volumes": {"/etc": {"bind": "/x"}}},
    {"cap_add": ["SYS_ADMIN"]}, {"devices": ["/dev/null"]}, {"security_opt": ["seccomp=unconfined"]},
    {"userns_mode": "host"}, {"runtime": "other"}, {"cgroup_parent": "/x"},
], ids=lambda options: next(iter(options)))  # fmt: skip
def test_what_escapes_is_refused(program: Program, options: dict[str, Any]) -> None:
    import docker

    with pytest.raises(docker.errors.APIError, match="aienv guard: ") as refused:
        program.docker.containers.create(IMAGE, "true", **options)
    assert refused.value.status_code in (400, 403)
