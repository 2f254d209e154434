"""What others found, each held to what was promised: builds and their cache, what users make of a session's images, quotas, archives."""

import contextlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engine as engines
from tests.engine import Engine
from tests.guardian import Guardian, guarding

pytestmark = pytest.mark.docker


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "file").write_text("hello\n")
    return folder


@pytest.fixture
def place(any_engine: Engine, project: Path) -> Iterator[tuple[Any, Any, Guardian]]:
    """(the engine as its user has it, as a client of the guard has it, the guard)."""
    name = engines.image(any_engine, "busybox")
    with contextlib.closing(any_engine.client()) as user, guarding(any_engine, project, "--allow-image", name) as guard:
        import docker

        with contextlib.closing(docker.APIClient(base_url=guard.address, version="1.41", timeout=60)) as client:
            yield user, client, guard


IMAGE = "aienv-test/busybox:latest"


def build(client: Any, dockerfile: str, tag: str | None = None, **options: Any) -> list[dict[str, Any]]:
    return list(client.build(fileobj=io.BytesIO(dockerfile.encode()), tag=tag, decode=True, rm=True, **options))


def said(lines: list[dict[str, Any]]) -> str:
    return "".join(str(line.get("stream", line.get("error", ""))) for line in lines)


def output(client: Any, image: str, command: str | None = None, **host: Any) -> str:
    config = client.create_host_config(**host) if host else None
    made = client.create_container(image, command, host_config=config)["Id"]
    client.start(made)
    client.wait(made)
    text: str = client.logs(made).decode()
    client.remove_container(made, v=True)
    return text


def test_builds_share_no_cache_with_others(place: tuple[Any, Any, Guardian]) -> None:
    """Neither is a user's layer given to a session's build, nor a session's to a user's."""
    user, client, _ = place
    secret = f"FROM {IMAGE}\nRUN head -c 16 /dev/urandom | md5sum > /random\nCMD cat /random\n"
    build(user, secret, "findings-user:1")
    try:
        built = build(client, secret, "findings-own:1")
        assert "Using cache" not in said(built)
        assert output(client, "findings-own:1") != output(user, "findings-user:1")
        poison = f"FROM {IMAGE}\nRUN cat /etc/hosts > /cfg\nRUN false\n"
        build(client, poison, extra_hosts={"deb.debian.org": "10.6.6.6"})
        honest = build(user, f"FROM {IMAGE}\nRUN cat /etc/hosts > /cfg\nCMD cat /cfg\n", "findings-user:2")
        assert "Using cache" not in said(honest)
        assert "10.6.6.6" not in output(user, "findings-user:2")
        again = build(client, secret, "findings-own:2")
        assert "Using cache" in said(again), "within a session the cache is there"
    finally:
        for tag in ("findings-user:1", "findings-user:2"):
            with contextlib.suppress(Exception):
                user.remove_image(tag, force=True)


def test_nothing_of_a_build_stays(any_engine: Engine, project: Path) -> None:
    """Stages, and what a failed build had made, too."""
    name = engines.image(any_engine, "busybox")
    with contextlib.closing(any_engine.client()) as user:
        before = {row["Id"] for row in user.images(all=True)}
        with guarding(any_engine, project, "--allow-image", name) as guard:
            import docker

            with contextlib.closing(docker.APIClient(base_url=guard.address, version="1.41", timeout=60)) as client:
                build(client, f"FROM {IMAGE} AS one\nRUN echo stage > /a\nFROM {IMAGE}\nCOPY --from=one /a /b\n", "findings-stages:1")
                build(client, f"FROM {IMAGE}\nRUN echo fails > /a\nRUN false\n")
                client.tag(IMAGE, "findings-tag", "1")
        assert {row["Id"] for row in user.images(all=True)} == before
        assert not [row for row in user.images() if any("findings-" in tag for tag in row["RepoTags"] or ())]


@pytest.mark.parametrize("any_engine", [pytest.param("20.10", marks=pytest.mark.slow), "26.1"], indirect=True)
def test_what_a_user_makes_of_an_image_is_the_users(any_engine: Engine, project: Path) -> None:
    """An image's labels are its containers' and its children's: they say nothing about whose those are."""
    name = engines.image(any_engine, "busybox")
    with contextlib.closing(any_engine.client()) as user:
        kept = ""
        try:
            with guarding(any_engine, project, "--allow-image", name) as guard:
                import docker

                with contextlib.closing(docker.APIClient(base_url=guard.address, version="1.41", timeout=60)) as client:
                    build(client, f"FROM {IMAGE}\nRUN echo own > /own\n", "findings-base:1")
                    kept = user.create_container("findings-base:1", "true", name="findings-user-keeps")["Id"]
                    build(user, "FROM findings-base:1\nRUN echo mine > /mine\n", "findings-derived:1")
                    client.prune_containers()
                    client.prune_images(filters={"dangling": False})
                    assert not [row for row in client.containers(all=True) if row["Id"] == kept]
            assert user.inspect_container(kept)["Name"] == "/findings-user-keeps"
            assert user.inspect_image("findings-derived:1")
        finally:
            with contextlib.suppress(Exception):
                user.remove_container(kept, force=True)
            for tag in ("findings-derived:1", "findings-base:1"):
                with contextlib.suppress(Exception):
                    user.remove_image(tag, force=True)


def test_quotas_hold_when_many_ask_at_once(any_engine: Engine, project: Path) -> None:
    import docker

    name = engines.image(any_engine, "busybox")
    counts: list[str] = []
    with guarding(any_engine, project, "--allow-image", name) as guard:

        def ask() -> None:
            with contextlib.closing(docker.APIClient(base_url=guard.address, version="1.41", timeout=60)) as client:
                for number in range(6):
                    with contextlib.suppress(docker.errors.APIError):
                        client.create_volume(f"findings-{threading.get_ident()}-{number}")
                        counts.append("volume")

        askers = [threading.Thread(target=ask) for _ in range(8)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        assert len(counts) == 32, "48 were asked for"


def test_the_whole_project_starts_and_its_secrets_are_empty(any_engine: Engine, project: Path) -> None:
    import docker

    (project / ".env").write_text("TOKEN=realsecret\n")
    name = engines.image(any_engine, "busybox")
    with guarding(any_engine, project, "--allow-image", name) as guard:
        with contextlib.closing(docker.APIClient(base_url=guard.address, version="1.41", timeout=60)) as client:
            text = output(client, IMAGE, "sh -c 'cat /p/file /p/.env; ls -a /p'", binds=[f"{project}:/p"])
    assert text.split() == ["hello", ".", "..", ".env", "data", "file"]
    assert (project / ".env").read_text() == "TOKEN=realsecret\n"


def test_a_load_cannot_borrow_layers(place: tuple[Any, Any, Guardian]) -> None:
    """An archive without layers, whose configuration names those of somebody else's image."""
    user, client, _ = place
    build(user, f"FROM {IMAGE}\nRUN echo FOREIGN-SECRET > /secret\n", "findings-foreign:1")
    try:
        layers = user.inspect_image("findings-foreign:1")["RootFS"]["Layers"]
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": layers}}).encode()
        manifest = [{"Config": "config.json", "RepoTags": ["findings-smuggled:1"], "Layers": ["x"] * len(layers)}]
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, data in (("config.json", config), ("manifest.json", json.dumps(manifest).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        import docker

        with pytest.raises(docker.errors.APIError, match="aienv guard"):
            list(client.load_image(archive.getvalue()))
        assert user.images("findings-smuggled:1") == []
    finally:
        user.remove_image("findings-foreign:1", force=True)


def test_no_device_comes_into_the_project(place: tuple[Any, Any, Guardian], project: Path) -> None:
    _, client, _ = place
    made = client.create_container(IMAGE, "true", host_config=client.create_host_config(binds=[f"{project}/data:/p"]))["Id"]
    for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member = tarfile.TarInfo("node")
            member.type, member.mode, member.devmajor, member.devminor = kind, 0o666, 1, 5
            tar.addfile(member)
        import docker

        with pytest.raises((docker.errors.APIError, OSError)):
            client.put_archive(made, "/p", archive.getvalue())
        assert not (project / "data" / "node").exists()
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        member = tarfile.TarInfo("tool")
        member.mode, member.size = 0o4755, 2
        tar.addfile(member, io.BytesIO(b"ok"))
    assert client.put_archive(made, "/p", plain.getvalue())
    assert (project / "data" / "tool").read_text() == "ok"
    assert (project / "data" / "tool").stat().st_mode & 0o7777 == 0o755
    client.remove_container(made)


def test_only_harmless_containers_are_taken_in(any_engine: Engine, project: Path) -> None:
    """Of those that a compose file of the project had started before: none that is more than a container."""
    name = engines.image(any_engine, "busybox")
    labels = {"com.docker.compose.project.working_dir": str(project)}
    with contextlib.closing(any_engine.client()) as user:
        hosts = {
            "plain": {}, "inside": {"binds": [f"{project}/data:/d"]}, "outside": {"binds": ["/etc:/d:ro"]}, "pid": {"pid_mode": "host"},
            "host": {"network_mode": "host"}, "capable": {"cap_add": ["SYS_ADMIN"]}, "once": {"auto_remove": True},
        }  # fmt: skip
        made = []
        try:
            for key, options in hosts.items():
                host = user.create_host_config(**options)
                made.append(
                    user.create_container(
                        name, "sleep 600", name=f"findings-{key}", labels=labels, host_config=host, environment={"PASSWORD": "hunter2"}
                    )["Id"]
                )
            with guarding(any_engine, project, mode="readonly") as guard:
                import docker

                with contextlib.closing(docker.APIClient(base_url=guard.address, version="1.41", timeout=60)) as client:
                    seen = {row["Names"][0] for row in client.containers(all=True)}
                    assert seen == {"/findings-plain", "/findings-inside"}
                    assert "hunter2" not in json.dumps(client.inspect_container("findings-plain"))
        finally:
            for one in made:
                user.remove_container(one, force=True, v=True)
