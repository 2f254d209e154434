"""The sweep on real engines: everything of one session goes, however it resists; nothing of anybody else's does."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.guard.marks import Mark, note
from orchestrator.guard.sweep import freeze, sessions, sweep, thaw
from orchestrator.model.guard import IMAGE_RUN, MANAGED, ROLE, RUN
from tests.engine import Engine, image

pytestmark = pytest.mark.docker


@pytest.fixture
def client(any_engine: Engine) -> Iterator[Any]:
    with contextlib.closing(any_engine.client()) as found:
        yield found


def labels(session: str, role: str = "guarded") -> dict[str, str]:
    return {MANAGED: "1", RUN: session, ROLE: role}


def run(client: Any, name: str, command: list[str], marked: dict[str, str], **host: Any) -> str:
    body = {"Image": name, "Cmd": command, "Labels": marked, "HostConfig": {"NetworkMode": "none", **host}}
    key = str(client.create_container_from_config(body, name=None)["Id"])
    client.start(key)
    return key


def all_keys(client: Any) -> set[str]:
    return {one["Id"] for one in client.containers(all=True)}


def test_everything_of_one_session_goes(client: Any, any_engine: Engine, tmp_path: Path) -> None:
    """Restarting, paused, stopped and deaf containers, networks with members, volumes in use, images with tags; others' stay."""
    name = image(any_engine, "busybox")
    mine, other = labels("sweepone"), labels("sweeptwo")
    always = {"RestartPolicy": {"Name": "always"}}
    client.create_volume("sweep-data", labels=mine)
    network = client.create_network("sweep-net", labels=mine, internal=True)["Id"]
    paused = run(client, name, ["sleep", "600"], mine, Binds=["sweep-data:/d"], **always)
    client.pause(paused)
    run(client, name, ["sh", "-c", "exit 1"], mine, **always)
    run(client, name, ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], mine, **always)
    run(client, name, ["true"], labels("sweepone", "gate"))
    task = run(client, name, ["sleep", "600"], labels("sweepone", "task"))
    stranger = run(client, name, ["sleep", "600"], other, NetworkMode="sweep-net")
    unmarked = run(client, name, ["sleep", "600"], {RUN: "sweepone"})
    marked = [f'LABEL {key}=""' for key in mine] + [f"LABEL {IMAGE_RUN}=sweepone"]  # as the guard has them made
    note(tmp_path, [Mark("docker.io/sweep/built:1", "")])
    built = client.commit(paused, repository="sweep/built", tag="1", changes=marked)["Id"]
    users = client.commit(paused, repository="sweep/users", tag="1", changes=[*marked, "ENV OF=user"])["Id"]
    try:
        assert {"sweepone", "sweeptwo"} <= set(sessions(any_engine.address, 10.0))
        removed, left = sweep(any_engine.address, "sweepone", tmp_path, 60.0)
        assert left == ()
        assert {"network sweep-net", "volume sweep-data", "image sweep/built:1"} <= set(removed)
        assert {task, stranger, unmarked} <= all_keys(client), "an environment of the run, another session's, one without our mark"
        assert client.networks(ids=[network]) == []
        assert {one["Id"] for one in client.images()} & {built, users} == {users}, "a user built on it, and gave a name of his own"
        assert sweep(any_engine.address, "sweepone", tmp_path, 10.0) == ((), ()), "again: already gone is success"
    finally:
        for key in (task, stranger, unmarked):
            client.remove_container(key, force=True)
        client.remove_image(users, force=True)


def test_what_is_made_meanwhile_goes_too(client: Any, any_engine: Engine, tmp_path: Path) -> None:
    """A call that was under way makes one more while the others go."""
    name, marked = image(any_engine, "busybox"), labels("sweeprace")
    over = threading.Event()

    def make() -> None:
        with contextlib.closing(any_engine.client()) as own:
            for _ in range(5):
                with contextlib.suppress(docker.errors.APIError):  # it may be gone before it is started
                    run(own, name, ["sleep", "600"], marked)
        over.set()

    worker = threading.Thread(target=make)
    worker.start()
    while not over.is_set():
        sweep(any_engine.address, "sweeprace", tmp_path, 30.0)
    worker.join()
    assert sweep(any_engine.address, "sweeprace", tmp_path, 30.0)[1] == ()
    assert client.containers(all=True, filters={"label": f"{RUN}=sweeprace"}) == []


def test_frozen_and_thawed(client: Any, any_engine: Engine, tmp_path: Path) -> None:
    """Every running container of the session stands still, and goes on afterwards; another's never stops."""
    name = image(any_engine, "busybox")
    key = run(client, name, ["sleep", "600"], labels("sweepcold"))
    run(client, name, ["true"], labels("sweepcold"))
    stranger = run(client, name, ["sleep", "600"], labels("sweepwarm"))
    try:
        held = freeze(any_engine.address, "sweepcold", 20.0)
        assert held.problems == ()
        assert key in held.paused
        assert client.inspect_container(key)["State"]["Paused"]
        assert not client.inspect_container(stranger)["State"]["Paused"]
        thaw(any_engine.address, held, 20.0)
        assert not client.inspect_container(key)["State"]["Paused"]
        freeze(any_engine.address, "sweepcold", 20.0)
    finally:
        for session in ("sweepcold", "sweepwarm"):
            assert sweep(any_engine.address, session, tmp_path, 30.0)[1] == ()


def test_a_silent_engine_is_left(tmp_path: Path) -> None:
    """Nothing is said to be gone that nobody could ask about; and nobody waits longer than the deadline."""
    began = time.monotonic()
    removed, left = sweep(f"unix://{tmp_path}/none.sock", "silent", tmp_path, 2.0)
    assert (removed, len(left)) == ((), 1)
    assert "does not answer" in left[0]
    assert sweep("ssh://x", "silent", tmp_path, 2.0)[1] != ()
    assert sessions(f"unix://{tmp_path}/none.sock", 2.0) == ()
    assert time.monotonic() - began < 60
