"""What only the guard that stands alone has: containers that were there before it, and its own log."""

import json
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors
import pytest

from tests import clients, engine
from tests.engine import Engine
from tests.guardian import UNGUARDED, guarding

pytestmark = [pytest.mark.docker, pytest.mark.skipif(UNGUARDED, reason="there is no guard")]

IMAGE = "aienv-test/busybox:latest"


@pytest.fixture
def project() -> Iterator[Path]:
    with clients.scratch() as folder:
        yield folder


@pytest.mark.parametrize("words", [(), ("--no-adopt",)], ids=["adopted", "no-adopt"])
def test_containers_that_were_there(engine: Engine, project: Path, words: tuple[str, ...]) -> None:
    """Those of the project's compose are taken in, and left alone; with ``--no-adopt`` they are not there."""
    load(engine)
    owner = docker.DockerClient(base_url=engine.address, timeout=60)
    label = {"com.docker.compose.project.working_dir": str(project)}
    before = owner.containers.run(IMAGE, ["sleep", "600"], detach=True, labels=label)
    try:
        with guarding(engine, project, "--allow-image", IMAGE, *words) as guard:
            client = docker.DockerClient(base_url=guard.address, timeout=60)
            seen = [one.id for one in client.containers.list(all=True)]
            log = [json.loads(line) for line in Path(str(guard.ready["log"])).read_text().splitlines()]
            client.close()
        assert seen == ([] if words else [before.id])
        assert [one["id"] for one in log if one["kind"] == "docker.adopted"] == seen
        before.reload()
        assert before.status == "running"
    finally:
        before.remove(force=True)
        owner.close()


def test_the_log_is_bounded(engine: Engine, project: Path) -> None:
    """A client that polls does not fill the disk: what comes later is counted, and told at the end."""
    with guarding(engine, project) as guard:
        client = docker.APIClient(base_url=guard.address, timeout=60)
        for _ in range(2100):
            client.ping()
        client.close()
        log = Path(str(guard.ready["log"]))
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["kind"] for one in events[-2:]] == ["docker.summary", "guard.end"]
    assert dict(events[-2]["allowed"]).keys() == {"GET /_ping"}
    assert sum(one["kind"] == "docker.allow" for one in events) == 2000


def test_what_old_clients_send(any_engine: Engine, project: Path) -> None:
    """Flags without a meaning, names that could be ids, the build cache, and which columns ``ps`` may show."""
    load(any_engine)
    with guarding(any_engine, project, "--allow-image", IMAGE) as guard:
        client = docker.APIClient(base_url=guard.address, timeout=60)
        assert client.containers(trunc=True, quiet=True) == []
        assert len(client.images(quiet=True)) == 1
        assert client.prune_builds() == {"CachesDeleted": None, "SpaceReclaimed": 0}
        with pytest.raises(docker.errors.APIError, match=r"name\.id-like"):
            client.create_container(IMAGE, ["sleep", "600"], name="deadbeefcafe")
        box = client.create_container(IMAGE, ["sleep", "600"], name="deadbeef")
        client.start(box)
        with pytest.raises(docker.errors.APIError, match=r"query\.value"):
            client.top(box, "-eo args,pid")
        if any_engine.version == "20.10":  # the other one's tree has no ps
            assert client.top(box, "-eo pid,user,args")["Processes"][0][2] == "sleep 600"
        client.close()


def load(where: Engine) -> None:
    engine.image(where, "busybox")
