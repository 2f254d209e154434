"""Builds, loads and commits as the guard sends them, on real engines: what was judged is what happens."""

import contextlib
import gzip
import http.client
import io
import json
import os
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from orchestrator.guard.archive import ArchiveReader, Loaded
from orchestrator.guard.builds import judge_build
from orchestrator.guard.calls import Denied, Session
from orchestrator.guard.context import ContextReader
from orchestrator.guard.dockerfile import judge_dockerfile, judge_triggers
from orchestrator.guard.images import OwnImages, judge_commit, labels, pull_pairs
from orchestrator.guard.putfiles import PlainFiles
from orchestrator.model.guard import IMAGE_RUN, AllowedImage
from tests import engine as engines
from tests.engine import Engine
from tests.integration.guard.recording import recording
from tests.unit.guard.imagesession import session
from tests.unit.guard.tars import file, folder, hardlink, listed, other, symlink, tar

pytestmark = pytest.mark.docker

ALLOWED = "docker.io/aienv-test/busybox:latest"
TAG = "docker.io/library/guard-build:1"


class Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Place:
    """An engine with one allowed image, and what a session knows of it."""

    engine: Engine
    session: Session
    own: OwnImages

    def call(
        self, method: str, path: str, query: tuple[tuple[str, str], ...] = (), body: bytes | None = None, kind: str = "application/x-tar"
    ) -> tuple[int, str]:
        with contextlib.closing(Unix(self.engine.address.removeprefix("unix://"))) as connection:
            connection.request(method, f"/v1.41{path}?{urlencode(query)}", body, {"Content-Type": kind} if body is not None else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    def build(self, context: bytes, *query: tuple[str, str]) -> str:
        """Through every judge, as the guard does it; the stream of the answer."""
        pairs, effect = judge_build((("t", TAG), *query), self.session, self.own)
        with io.BytesIO() as sent:
            reader = ContextReader(effect.dockerfile, sent)
            for _ in reader.feed(context):
                pass
            judged = judge_dockerfile(reader.finish(), effect.arguments, effect.target, self.own.usable)
            for image in judged.images:
                judge_triggers(self.inspect(image)["Config"].get("OnBuild") or ())
            status, answer = self.call("POST", "/build", pairs, sent.getvalue() + reader.tail(judged.text))
        lines = [json.loads(line) for line in answer.splitlines() if line]
        said = "".join(str(line.get("stream") or line.get("error") or line.get("message") or "") for line in lines)
        return said if status == 200 else f"{status}: {said}"

    def inspect(self, image: str) -> dict[str, Any]:
        status, answer = self.call("GET", f"/images/{image}/json")
        assert status == 200, answer
        found: dict[str, Any] = json.loads(answer)
        return found


@contextlib.contextmanager
def place_on(engine: Engine) -> Iterator[Place]:
    engines.image(engine, "busybox")
    with contextlib.closing(engine.client()) as client:
        image = client.inspect_image("aienv-test/busybox:latest")["Id"]
    made = session(network="none")
    plan = replace(made.plan, images=(AllowedImage(ALLOWED, image, "test"),))
    try:
        yield Place(engine, replace(made, plan=plan), OwnImages.of(plan))
    finally:
        with contextlib.closing(engine.client()) as client:
            for name in (TAG, "theirs:1", "snap:1"):
                with contextlib.suppress(Exception):
                    client.remove_image(name, force=True)


@pytest.fixture
def place(any_engine: Engine) -> Iterator[Place]:
    with place_on(any_engine) as found:
        yield found


NAME = "aienv-test/busybox"


def test_build(place: Place) -> None:
    """Arguments, stages, copies from stages and images, comments, labels: the ordinary things work, and the labels are ours."""
    text = f"""# syntax=docker/dockerfile:1
ARG BASE={NAME}
FROM --platform=$BUILDPLATFORM ${{BASE}}:latest AS First
RUN echo one > /one \\
    # with a comment

    && echo two > /two
FROM {NAME}
LABEL a=b
COPY --from=first /one /two /from/
COPY --from=0 /one /zero
COPY --from={NAME} /bin/busybox /copied
COPY ["a b", "."]
ADD $NOTHING/c.tar /added/
ONBUILD COPY . /later
RUN cat /from/one /from/two /zero "/a b" && ls /added && ls -l /copied
"""
    said = place.build(
        tar([file("Dockerfile", text.encode()), file("a b", b"blank\n"), file("c.tar", tar([file("inner", b"1")]))]),
        ("labels", '{"c":"d"}'),
    )
    assert "Successfully tagged guard-build:1" in said, said
    assert "one\ntwo\none\nblank\ninner\n" in said
    config = place.inspect(TAG)["Config"]
    labels = config["Labels"]
    assert isinstance(labels, dict)
    assert (labels["a"], labels["c"], labels[IMAGE_RUN]) == ("b", "d", "s1")
    assert config["OnBuild"] == ['COPY [".", "/later"]']


HELD = "FROM aienv-test/busybox\nRUN echo the judged one\n"
ELSE = b"FROM aienv-test/busybox\nRUN echo another one\n"


@pytest.mark.parametrize(
    ("members", "query"),
    [
        pytest.param([file("Dockerfile", ELSE), file("./Dockerfile", HELD.encode())], (), id="last-wins"),
        pytest.param([file("dockerfile", HELD.encode())], (), id="lower-case"),
        pytest.param([file("dockerfile", ELSE), file("Dockerfile", HELD.encode())], (), id="both-cases"),
        pytest.param([file("Dockerfile", HELD.encode()), hardlink("h", "Dockerfile"), file("h", ELSE)], (), id="hardlink-to-it"),
        pytest.param([file("Dockerfile", HELD.encode()), symlink("s", "Dockerfile"), symlink("dockerfile", "s")], (), id="symlinks-to-it"),
        pytest.param([file("Dockerfile", HELD.encode()), file(".dockerignore", b"*\n")], (), id="ignored"),
        pytest.param([folder("d"), file("d/D", HELD.encode()), file("Dockerfile", ELSE)], (("dockerfile", "./d//D"),), id="named"),
    ],
)
def test_the_judged_one_is_built(place: Place, members: list[tuple[tarfile.TarInfo, bytes]], query: tuple[tuple[str, str], ...]) -> None:
    said = place.build(tar(members), ("nocache", "1"), *query)
    assert "the judged one" in said, said
    assert "another one" not in said


def test_raw_engine_is_led_astray(place: Place) -> None:
    """What the guard refuses does work on the engine: a member below a symlink takes the Dockerfile's place."""
    members = [file("Dockerfile", HELD.encode()), symlink("x", "."), file("x/Dockerfile", ELSE)]
    _, answer = place.call("POST", "/build", (("rm", "1"), ("nocache", "1"), ("networkmode", "none")), tar(members))
    assert "another one" in answer
    with pytest.raises(Denied):
        place.build(tar(members))


def test_repointed_name(place: Place) -> None:
    """A name of the list that leads elsewhere in the middle of the session still means its old image, in FROM and in COPY."""
    with contextlib.closing(place.engine.client()) as client:
        other = client.import_image_from_data(tar([file("evil", b"1")]), repository="theirs", tag="1")
        assert other
        client.tag("theirs:1", NAME, "latest", force=True)
        try:
            said = place.build(
                tar(
                    [
                        file(
                            "Dockerfile",
                            f"FROM {NAME}\nCOPY --from={NAME} /bin/busybox /x\nRUN ls / | grep -c evil || echo clean\n".encode(),
                        )
                    ]
                )
            )
        finally:
            client.tag(place.own.pinned[ALLOWED], NAME, "latest", force=True)
    assert "clean" in said, said


def test_an_id_is_never_pulled(place: Place) -> None:
    """An image that has gone is an error; the engine does not ask a registry for it."""
    lost = replace(place, own=OwnImages(pinned={ALLOWED: "sha256:" + "9" * 64}))
    with pytest.raises(AssertionError, match="No such image"):
        lost.build(tar([file("Dockerfile", HELD.encode())]))
    text = judge_dockerfile(HELD.encode(), {}, "", lost.own.usable).text
    _, answer = place.call("POST", "/build", (("networkmode", "none"),), tar([file("Dockerfile", text)]))
    assert "64-byte hexadecimal" in answer
    assert "registry" not in answer


def test_add_fetches_nothing(place: Place) -> None:
    """A variable that becomes an address only in the build is a path that is not there."""
    said = place.build(tar([file("Dockerfile", f"FROM {NAME}\nENV U=http://127.0.0.1:1/x\nADD $U /x\n".encode())]))
    assert "file not found" in said or "no such file" in said, said
    assert "dial" not in said


def test_triggers_of_a_base(place: Place) -> None:
    """An image of the session with a trigger that the guard would not have written is not built on."""
    with contextlib.closing(place.engine.client()) as client:
        client.import_image_from_data(
            tar([file("a", b"1")]), repository="theirs", tag="1", changes=["ONBUILD COPY --from=aienv-test/busybox / /stolen"]
        )
        place.own.made(client.inspect_image("theirs:1")["Id"], ("docker.io/library/theirs:1",))
    with pytest.raises(Denied) as caught:
        place.build(tar([file("Dockerfile", b"FROM theirs:1\n")]))
    assert caught.value.denial.rule == "build.onbuild"


def loaded(place: Place, archive: bytes) -> tuple[Loaded, str]:
    """Through the judge and into the engine."""
    with io.BytesIO() as sent:
        reader = ArchiveReader(sent, labels(place.session))
        for _ in reader.feed(archive):
            pass
        found = reader.finish()
        status, answer = place.call("POST", "/images/load", (("quiet", "1"),), sent.getvalue() + reader.tail())
    assert status == 200, answer
    return found, answer


def saved(place: Place) -> tuple[str, bytes]:
    """The id of an image of three layers, two of them the same, and its archive; it is gone."""
    dockerfile = f"FROM {NAME}\nCOPY --chown=7:7 a /l\nRUN rm /l\nCOPY --chown=7:7 a /l\nRUN cat /l\n"
    place.build(tar([file("Dockerfile", dockerfile.encode()), file("a", b"loaded\n")]), ("nocache", "1"))
    identifier = str(place.inspect(TAG)["Id"])
    with contextlib.closing(place.engine.client()) as client:
        archive = b"".join(client.get_image("guard-build:1"))
        client.remove_image("guard-build:1", force=True)
    return identifier, archive


def test_load_what_was_saved(place: Place) -> None:
    """An archive of the engine's own is read, written anew, and loaded under its name, with all that it had."""
    identifier, archive = saved(place)
    found, answer = loaded(place, archive)
    assert found == Loaded((TAG,), (identifier,))
    assert "Loaded image: guard-build:1" in answer, answer
    assert place.inspect(TAG)["Id"] == identifier
    with contextlib.closing(place.engine.client()) as client:
        container = client.create_container("guard-build:1", ["true"])["Id"]
        try:
            stream, _ = client.get_archive(container, "/l")
            assert listed(b"".join(stream)) == [("l", b"loaded\n")]
        finally:
            client.remove_container(container, force=True)


def test_load_what_others_packed(place: Place) -> None:
    """Other tools pack each layer."""
    identifier, archive = saved(place)
    members = []
    with tarfile.open(fileobj=io.BytesIO(archive)) as inner:
        for info in inner:
            opened = inner.extractfile(info) if info.isreg() else None
            data = opened.read() if opened else b""
            if data[257:262] == b"ustar":
                data = gzip.compress(data, 1)
                info.size = len(data)
            members.append((info, data))
    assert loaded(place, tar(members))[0].ids == (identifier,)
    assert place.inspect(TAG)["Id"] == identifier


def test_foreign_layers_are_not_loaded(place: Place) -> None:
    """The engine takes a layer that it has by its digest alone, whatever stands in the archive (the raw engine does, still)."""
    foreign = place.inspect(place.own.pinned[ALLOWED])["RootFS"]["Layers"][0]
    config = json.dumps(
        {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": [foreign]}}
    ).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["theirs:1"], "Layers": ["l"]}]).encode()
    archive = tar([file("c.json", config), file("l", b"not that layer"), file("manifest.json", manifest)])
    status, answer = place.call("POST", "/images/load", (("quiet", "1"),), archive)
    assert status == 200
    assert "Loaded image: theirs:1" in answer, answer
    with pytest.raises(Denied) as caught:
        loaded(place, archive)
    assert caught.value.denial.rule == "archive.layers"


def cut_off(place: Place, target: str, body: bytes) -> str:
    """What the engine answers to a body that breaks off after these bytes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(place.engine.address.removeprefix("unix://"))
        head = f"POST /v1.41{target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"%x\r\n%b\r\n" % (len(body), body))
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode(errors="replace")


def test_what_is_cut_off_is_not_used(place: Place) -> None:
    """What streaming rests on: a context or an archive that breaks off before its end, even between two members, does nothing."""
    context = tar([file("Dockerfile", HELD.encode())])
    answer = cut_off(place, "/build?networkmode=none&nocache=1", context[: context.index(bytes(1024)) // 512 * 512 + 512])
    assert " 500 " in answer.splitlines()[0], answer
    assert "unexpected EOF" in answer
    assert "Step" not in answer
    identifier, archive = saved(place)
    with tarfile.open(fileobj=io.BytesIO(archive)) as inner:
        last = inner.getmembers()[-1]
    end = last.offset_data + -(-last.size // 512) * 512
    answer = cut_off(place, "/images/load?quiet=1", archive[:end])
    assert "unexpected EOF" in answer, answer
    status, _ = place.call("GET", f"/images/{identifier}/json")
    assert status == 404
    assert loaded(place, archive)[0].ids == (identifier,)


def test_put_files(place: Place) -> None:
    """What goes into a container comes out of it as it was, but for the bits that make programs run as others; devices do not go in."""
    long = "d/" + "n" * 90 + "/" + "é" * 90
    members = [
        folder("d"), file("d/a", b"x" * 70_000, mode=0o750, uid=3_000_000, gid=7, mtime=99), symlink("d/s", "../x"),
        symlink("abs", "/etc/x"), hardlink("h", "d/a"), file(long, b"1"), file("empty"), file("set", b"1", mode=0o6755),
    ]  # fmt: skip
    members[0][0].mode = 0o2775
    members[4][0].uid, members[4][0].gid = 3_000_000, 7  # the engine sets it of the file that both are
    files = PlainFiles()
    sent = files.feed(tar(members, tarfile.GNU_FORMAT)) + files.finish()
    with contextlib.closing(place.engine.client()) as client:
        container = client.create_container(NAME, ["true"])["Id"]
        try:
            client.put_archive(container, "/", tar([folder("put")]))
            status, answer = place.call("PUT", f"/containers/{container}/archive", (("path", "/put"),), sent)
            assert status == 200, answer
            stream, _ = client.get_archive(container, "/put/.")
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as out:
                got = {one.name.removeprefix("./"): one for one in out}
        finally:
            client.remove_container(container, force=True)
    assert (got["d"].mode & 0o7777, got["set"].mode & 0o7777) == (0o2775, 0o755)  # older engines write the kind beside it
    one = got["d/a"]
    assert (one.mode & 0o7777, one.uid, one.gid, one.mtime, one.size) == (0o750, 3_000_000, 7, 99, 70_000)
    assert (got["h"].type, got["h"].linkname.removeprefix("./")) == (tarfile.LNKTYPE, "d/a")
    assert (got["d/s"].linkname, got["abs"].linkname) == ("../x", "/etc/x")
    assert (got[long].size, got["empty"].size) == (1, 0)
    for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
        with pytest.raises(Denied) as caught:
            PlainFiles().feed(tar([other("x", kind)]))
        assert caught.value.denial.rule == "archive.device"


def test_commit(place: Place) -> None:
    """The engine takes our query and our empty body, and the labels stick."""
    with contextlib.closing(place.engine.client()) as client:
        container = client.create_container(NAME, ["true"])["Id"]
        try:
            query = (("container", "x"), ("repo", "snap"), ("tag", "1"), ("changes", 'CMD ["a", "b"]\nENV A="c d"'))
            pairs, body, reference = judge_commit(query, None, container, place.session, place.own)
            status, answer = place.call("POST", "/commit", pairs, json.dumps(body).encode(), "application/json")
            assert status == 201, answer
            config = client.inspect_image(reference)["Config"]
            assert config["Cmd"] == ["a", "b"]
            assert "A=c d" in config["Env"]
            assert config["Labels"][IMAGE_RUN] == "s1"
        finally:
            client.remove_container(container, force=True)


def test_pull_asks_for_one_tag(place: Place) -> None:
    """There is no registry here; the engine understood which image was meant."""
    _, answer = place.call("POST", "/images/create", pull_pairs("127.0.0.1:9/a/b:1"))
    assert "127.0.0.1:9" in answer


def test_real_client(engine: Engine, tmp_path: Path) -> None:
    """The context that Docker's own client sends is one that is read: links, long and odd names, empty folders."""
    source = tmp_path / "context"
    deep = source / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    (source / "Dockerfile").write_text(f"FROM {NAME}\nCOPY . /c\nRUN find /c -type f | wc -l\n")
    (source / "empty").mkdir()
    (deep / "é\n x").write_text("1")
    (source / "link").symlink_to("Dockerfile")
    (source / "same").hardlink_to(deep / "é\n x")
    caught: list[bytes] = []
    environ = {"DOCKER_BUILDKIT": "0", "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with recording(caught, str(tmp_path)) as path:
        argv = ["docker", "-H", f"unix://{path}", "build", "-q", str(source)]
        subprocess.run(argv, env=environ, capture_output=True, timeout=60, check=False)
    assert caught
    with place_on(engine) as place:
        said = place.build(caught[0])
    assert "Successfully built" in said, said
