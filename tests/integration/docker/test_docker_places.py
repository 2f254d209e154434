"""Environments from open to destroy, in real engines."""

import contextlib
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.backends.protocol import EnvironmentRequest, EnvRef
from orchestrator.errors import EnvironmentFailed
from tests import engine as engines
from tests.engine import Engine
from tests.integration.docker import places
from tests.integration.docker.places import LIMITS, Output, backend_for, environment, folders, request, run

pytestmark = pytest.mark.docker

AT_ONCE = 10


def names(engine: Engine) -> list[str]:
    with contextlib.closing(engine.client()) as client:
        return sorted(name for each in client.containers(all=True) for name in each["Names"])


def volumes(engine: Engine) -> list[str]:
    with contextlib.closing(engine.client()) as client:
        return [each["Name"] for each in client.volumes().get("Volumes") or []]


@pytest.mark.parametrize("kind", ["debian", "busybox", "musl"])
def test_commands_run_under_bubblewrap(any_engine: Engine, kind: str) -> None:
    """In an image with glibc, with musl and with no libc at all: a sandbox of its own, the workspace writable, all else not."""
    with environment(any_engine, engines.image(any_engine, kind)) as place:
        done = run(place, ("/bin/sh", "-c", "echo $$; touch made; touch /etc/x; ls /run/aienv /opt/aienv/bin; exit 3"))
        assert done.failure is None
        assert done.code == 3
        lines = done.text.split()
        assert int(lines[0]) < 10  # a process namespace of its own
        assert {"bwrap", "git", "python3", "objects"} <= set(lines)
        assert "control" not in lines
        assert "Read-only file system" in done.errors
        assert run(place, ("/bin/ls", "made")).text == "made"


def test_toolbox_git_works_in_the_sandbox(any_engine: Engine) -> None:
    """A commit and a bundle, in an image that has no git and no libc."""
    with environment(any_engine, engines.image(any_engine, "busybox")) as place:
        script = (
            "git init -q -b main . && git config user.name a && git config user.email a@b && echo 1 >f && git add f && git commit -qm one "
            "&& git bundle create -q b.bundle main && git bundle list-heads b.bundle && git fsck --strict"
        )
        done = run(place, ("/bin/sh", "-euc", script))
        assert done.code == 0, done.errors
        assert done.text.endswith("refs/heads/main")


def test_ten_at_once(engine: Engine) -> None:
    """Ten environments are opened, used and removed in parallel, and nothing is left."""
    image = engines.image(engine, "busybox")
    answers: dict[str, str] = {}

    def one(index: int) -> None:
        with environment(engine, image, f"many{index}") as place:
            answers[f"many{index}"] = run(place, ("/bin/echo", str(index))).text

    threads = [threading.Thread(target=one, args=(index,)) for index in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert answers == {f"many{index}": str(index) for index in range(AT_ONCE)}
    assert names(engine) == []


def test_destroy_twice_and_survey(any_engine: Engine) -> None:
    """What exists is found by its labels, goes once, and going again is no error."""
    backend, image = backend_for(any_engine), engines.image(any_engine, "busybox")
    with environment(any_engine, image, "one"):
        refs = list(backend.survey())
        assert [(ref.run_id, ref.role, ref.backend) for ref in refs] == [("one", "task", "docker")]
        assert backend.destroy(EnvRef("one", "harvest", "docker", None)) == ()
        assert backend.destroy(refs[0]) == ("container aienv-one-task",)
        assert backend.destroy(refs[0]) == ()
    assert list(backend.survey()) == []


def test_two_destroy_the_same(engine: Engine) -> None:
    """The broker and the main process may both clean up: neither fails."""
    image = engines.image(engine, "busybox")
    failures: list[BaseException] = []
    with environment(engine, image, "both") as place:

        def destroy() -> None:
            try:
                backend_for(engine).destroy(place.ref)
            except EnvironmentFailed as problem:
                failures.append(problem)

        threads = [threading.Thread(target=destroy) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert failures == []
    assert names(engine) == []


def test_paused_container_is_removed(any_engine: Engine) -> None:
    """A run that died while its containers were frozen leaves no frozen container behind."""
    with environment(any_engine, engines.image(any_engine, "busybox"), "frozen") as place:
        with contextlib.closing(any_engine.client()) as client:
            client.pause(place.ref.native_id)
        assert backend_for(any_engine).destroy(place.ref) == ("container aienv-frozen-task",)


def test_foreign_containers_stay(engine: Engine) -> None:
    """A container with our name and without our labels is not ours: opening fails, destroying leaves it."""
    image, backend = engines.image(engine, "busybox"), backend_for(engine)
    with contextlib.closing(engine.client()) as client, folders() as place:
        foreign = client.create_container_from_config({"Image": image, "Cmd": ["/bin/sh"]}, name="aienv-taken-task")["Id"]
        try:
            with pytest.raises(EnvironmentFailed, match="already in use"):
                backend.open(request(backend, place, image, "taken"))
            assert backend.destroy(EnvRef("taken", "task", "docker", None)) == ()
            assert names(engine) == ["/aienv-taken-task"]
        finally:
            client.remove_container(foreign, force=True)


def test_volumes_of_the_image_leave_nothing(any_engine: Engine) -> None:
    """A VOLUME line makes no volume, and the folder is there and empty."""
    name = engines.image(
        any_engine, "busybox", "aienv-test/volumes:1", changes=("VOLUME /data /tmp", 'ENTRYPOINT ["/bin/false"]', "USER root")
    )
    with environment(any_engine, name) as place:
        assert volumes(any_engine) == []
        assert run(place, ("/bin/sh", "-c", "ls -a /data; id -u")).text.split() == [".", "..", "1000"]
    assert volumes(any_engine) == []


def test_volume_over_the_toolbox_is_refused(engine: Engine) -> None:
    """An image must not lay its own files over our programs."""
    name = engines.image(engine, "busybox", "aienv-test/volume-over:1", changes=("VOLUME /opt/aienv/lib",))
    with pytest.raises(EnvironmentFailed, match="declares a volume"), environment(engine, name):
        pass
    assert names(engine) == []


@pytest.mark.parametrize(
    ("target", "because"),
    [
        pytest.param("srv/elsewhere", "/opt is a link", id="to-another-folder"),
        # The engine mounts one over the other, in an order of its own: either nothing of ours is found, or the launcher finds the link.
        pytest.param("workspaces/app/away", "/opt/aienv/bin/python3|/opt is a link", id="into-the-workspace"),
    ],
)
def test_linked_folder_is_refused(engine: Engine, tmp_path: Path, target: str, because: str) -> None:
    """Where /opt leads elsewhere, perhaps to where the agent writes, the toolbox could be swapped for other programs."""
    engines.busybox_tree(tmp_path)
    (tmp_path / target).mkdir(parents=True)
    (tmp_path / "opt").symlink_to(target)
    name = f"aienv-test/linked:{target.replace('/', '-')}"
    engines.import_image(engine, name, tmp_path)
    backend = backend_for(engine)
    with folders() as place:
        (place.workspace / "away").mkdir()
        with pytest.raises(EnvironmentFailed, match=because):
            backend.open(request(backend, place, name, "linked"))
        backend.destroy(EnvRef("linked", "task", "docker", None))
    assert names(engine) == []


def test_out_of_memory_is_named(engine: Engine) -> None:
    """When the kernel ends the place for its memory, the words say so."""
    limits = replace(LIMITS, memory_bytes=48 << 20)
    with environment(engine, engines.image(engine, "busybox"), "oom", limits) as place:
        # The launcher itself is made to grow, by a line that never ends: whatever dies first, the container's end is explained.
        done = run(place, ("/opt/aienv/bin/python3", "-c", "x = bytearray(64 << 20); print(len(x))"))
        assert done.code != 0 or done.failure is not None
        with contextlib.closing(engine.client()) as client:
            client.kill(place.ref.native_id)
        assert place.launcher.lost.wait(20)
        assert "memory" in place.describe_end() or "ended with code 137" in place.describe_end()


def test_killed_from_outside_is_named(any_engine: Engine) -> None:
    """A container that someone kills ends the command as lost, and says how it ended; one that is removed says that."""
    backend = backend_for(any_engine)
    with environment(any_engine, engines.image(any_engine, "busybox"), "killed") as place:
        output = Output()
        assert place.describe_end() == "the container still runs, but its launcher has gone"
        with contextlib.closing(any_engine.client()) as client:
            client.kill(place.ref.native_id)
        assert place.launcher.lost.wait(20)
        assert place.describe_end() == "the container ended with code 137"
        backend.destroy(place.ref)
        assert "someone else removed it" in place.describe_end()
        assert output.code is None


def test_folder_that_the_engine_does_not_see(engine: Engine) -> None:
    """A remote engine is told by its missing folder, not by an empty workspace."""
    backend = backend_for(engine)
    with folders() as place:
        wanted = request(backend, place, engines.image(engine, "busybox"), "unseen")
        missing: EnvironmentRequest = replace(wanted, folders=replace(place, outbox=Path("/tmp/aienv-no-such-folder")))
        with pytest.raises(EnvironmentFailed, match="does not see this machine's folder /tmp/aienv-no-such-folder") as caught:
            backend.open(missing)
        backend.destroy(EnvRef("unseen", "task", "docker", None))
    assert caught.value.code == "engine-remote"
    assert names(engine) == []


def test_launcher_that_cannot_start_is_explained(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container's own last words are in the error."""
    backend = backend_for(engine)
    monkeypatch.setattr(
        "orchestrator.backends.docker.container_command", lambda config: ("/opt/aienv/bin/python3", "-c", "raise SystemExit('no, thanks')")
    )
    with folders() as place:
        with pytest.raises(EnvironmentFailed, match="ended with code 1: no, thanks"):
            backend.open(request(backend, place, engines.image(engine, "busybox"), "mute"))
        assert backend.destroy(EnvRef("mute", "task", "docker", None)) == ("container aienv-mute-task",)


def test_control_folder(engine: Engine) -> None:
    """It is read-only inside, yet the launcher's socket in it can be connected to, once; the agent's uid is the launcher's."""
    backend = backend_for(engine)
    with folders() as place, contextlib.ExitStack() as undo:
        undo.callback(backend.destroy, EnvRef("control", "task", "docker", None))
        opened = backend.open(request(backend, place, engines.image(engine, "busybox"), "control"))
        assert (opened.launcher.facts.uid, opened.launcher.facts.gid) == (places.UID, places.GID)
        assert sorted(os.listdir(place.control)) == ["empty", "neutral"]
