"""The base image and the list of images, in a real engine; the Dockerfiles too, where the test brings the network."""

import contextlib
import http.client
import http.server
import json
import os
import shutil
import socketserver
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.backends.docker import DockerBackend
from orchestrator.backends.docker import Engine as Rim
from orchestrator.backends.docker_endpoint import Endpoint
from orchestrator.errors import EnvironmentFailed, NotFound, UsageError
from orchestrator.images import base, store, toolbox
from tests import engine as engines
from tests.engine import Engine

pytestmark = pytest.mark.docker

REPOSITORY = Path(__file__).resolve().parents[3]


def rim(engine: Engine) -> Rim:
    return Rim(Endpoint(engine.address, None, "test"))


def quiet(line: str) -> None:
    """Nobody listens."""


def proved(engine: Engine, script: str, *arguments: str) -> None:
    """Run an image's own test.sh."""
    done = subprocess.run(
        ["sh", str(REPOSITORY / script), *arguments], env=engine.environ(), capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout


@pytest.mark.parametrize("any_engine", ["20.10", pytest.param("26.1", marks=pytest.mark.slow)], indirect=True)
def test_base_image(any_engine: Engine) -> None:
    """It is what its README says, and the default of a task that names none."""
    name = engines.image(any_engine, "base")
    proved(any_engine, "images/base/test.sh", name)
    plan = DockerBackend(Path("/nonexistent"), {"DOCKER_HOST": any_engine.address}, quiet).resolve_image(None)
    assert plan is not None
    assert plan.reference == name
    assert plan.id.startswith("sha256:")
    assert dict(plan.env)["LANG"] == "C.UTF-8"


def test_toolbox_in_small_images(any_engine: Engine, test_cache: Path) -> None:
    """The toolbox's own proof, in images with glibc, with musl and without any libc."""
    tree = toolbox.ensure(test_cache, quiet)
    proved(any_engine, "images/toolbox/test.sh", str(tree), *(engines.image(any_engine, kind) for kind in ("debian", "musl", "busybox")))


def test_list_and_remove(engine: Engine, tmp_path: Path) -> None:
    """Only images with our label are shown, and only they can be removed."""
    (tmp_path / "x").write_text("x")
    engines.import_image(engine, "aienv/mine:1", tmp_path, changes=("LABEL dev.aienv.image=base",))
    engines.import_image(engine, "someone/else:1", tmp_path)
    listed = store.list_images(rim(engine))
    assert "aienv/mine:1" in [image.name for image in listed]
    assert "someone/else:1" not in [image.name for image in listed]
    mine = next(image for image in listed if image.name == "aienv/mine:1")
    assert mine.kind == "base"
    assert mine.created > 1_600_000_000
    with pytest.raises(NotFound, match="someone/else:1"):
        store.remove("someone/else:1", rim(engine))
    assert store.remove("aienv/mine:1", rim(engine)).name == "aienv/mine:1"
    with pytest.raises(NotFound):
        store.remove("aienv/mine:1", rim(engine))


def test_unknown_image_to_build(engine: Engine, tmp_path: Path) -> None:
    """The names that there are stand in the answer."""
    with pytest.raises(UsageError) as caught:
        store.build("bsae", rim(engine), tmp_path, quiet)
    assert caught.value.remedy == "there are: base, toolbox"


def test_neither_registry_nor_mmdebstrap(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both causes are in one message."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailed, match="mmdebstrap, which would do without a registry, is not installed") as caught:
        base.build(rim(engine), tmp_path, quiet)
    assert "pull" in caught.value.message


def test_failing_build_is_explained(engine: Engine) -> None:
    """A Dockerfile that fails ends in our error with the engine's words, and leaves no container."""
    parent = engines.image(engine, "busybox")
    with pytest.raises(EnvironmentFailed, match="returned a non-zero code: 7"):
        rim(engine).build(base.context(), f"FROM {parent}\nRUN exit 7\n", "aienv/broken:1", {}, quiet)
    with contextlib.closing(engine.client()) as client:
        assert client.containers(all=True) == []


# --- the Dockerfiles, with a way to Debian's packages ----------------------------------------------------------------


class Forward(http.server.BaseHTTPRequestHandler):
    """A plain HTTP proxy for GET: what apt needs, and no more."""

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        with contextlib.closing(http.client.HTTPConnection(url.netloc, timeout=60)) as upstream:
            upstream.request("GET", url.path, headers={"Host": url.netloc})
            answer = upstream.getresponse()
            body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""

    def address_string(self) -> str:
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


INSIDE = """
import socket, sys, threading
def copy(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
server = socket.create_server((sys.argv[1], 3128))
print("ready", flush=True)
while True:
    client, _ = server.accept()
    upstream = socket.socket(socket.AF_UNIX)
    upstream.connect(sys.argv[2])
    for pair in ((client, upstream), (upstream, client)):
        threading.Thread(target=copy, args=pair, daemon=True).start()
"""


@pytest.fixture
def way_out(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A proxy in the engine's network namespace, on its bridge, that this process forwards; builds are told by docker's own settings."""
    with contextlib.closing(engine.client()) as client:
        gateway = client.inspect_network("bridge")["IPAM"]["Config"][0]
    address = gateway.get("Gateway") or gateway["Subnet"].replace("0.0/16", "0.1")
    path = engine.root / "proxy.sock"
    with Server(str(path), Forward) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        inner = subprocess.Popen([*engine._enter(), sys.executable, "-c", INSIDE, address, str(path)], stdout=subprocess.PIPE, text=True)
        try:
            assert inner.stdout is not None
            assert inner.stdout.readline() == "ready\n"
            (tmp_path / "config.json").write_text(json.dumps({"proxies": {"default": {"httpProxy": f"http://{address}:3128"}}}))
            monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
            yield
        finally:
            inner.kill()
            inner.wait()
            server.shutdown()
    os.unlink(path)


@pytest.mark.slow
@pytest.mark.usefixtures("way_out")
def test_base_dockerfile(engine: Engine) -> None:
    """The Dockerfile makes the same image as the way without a registry, from a parent that the test provides."""
    parent = engines.image(engine, "debian")
    text = base.dockerfile().replace(base.parent(base.dockerfile()), parent)
    rim(engine).build(base.context(), text, "aienv-test/base-by-dockerfile:1", base.LABELS, quiet)
    proved(engine, "images/base/test.sh", "aienv-test/base-by-dockerfile:1")


@pytest.mark.slow
@pytest.mark.usefixtures("way_out")
def test_toolbox_dockerfile(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without apt on the machine the engine makes the toolbox; nothing of the build stays in the engine."""
    parent = engines.image(engine, "debian")
    text = toolbox.dockerfile()
    monkeypatch.setattr(toolbox, "dockerfile", lambda: text.replace(base.parent(text), parent))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    before = every_image(engine)
    tree = toolbox.ensure(tmp_path / "cache", quiet, engine=rim(engine))
    assert every_image(engine) == before
    with contextlib.closing(engine.client()) as client:
        assert client.containers(all=True) == []
    monkeypatch.undo()
    proved(engine, "images/toolbox/test.sh", str(tree), engines.image(engine, "busybox"))


def every_image(engine: Engine) -> set[str]:
    with contextlib.closing(engine.client()) as client:
        return {str(image["Id"]) for image in client.images(all=True)}
