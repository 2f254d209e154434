"""A real registry on loopback, filled without Node; and little servers that stand where a registry would be."""

import contextlib
import hashlib
import http.client
import http.server
import io
import json
import shutil
import socket
import ssl
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.devcontainer.jsonc import Json
from tests import engine as engines
from tests.engine import CannotHave, built_once, run

START_S = 20.0
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
LAYER_TYPE = "application/vnd.devcontainers.layer.v1+tar"


def program() -> Path:
    """Debian's docker-registry 2.8."""
    if installed := shutil.which("docker-registry"):
        return Path(installed)
    if shutil.which("mmdebstrap") is None:
        raise CannotHave("mmdebstrap is not installed: apt-get install mmdebstrap")

    def build(target: Path) -> None:
        tree = target.with_name("tree")
        apt = ("--aptopt=APT::Install-Recommends false", *engines.MIRROR_OPTIONS)
        run(["mmdebstrap", "--variant=extract", *apt, "--include=docker-registry", "--format=directory", "bookworm", str(tree)])
        shutil.copy(tree / "usr/bin/docker-registry", target)

    with built_once("docker-registry-bookworm", build) as path:
        return path


@dataclass
class Registry:
    host: str
    data: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def publish(
        self,
        name: str,
        feature: Mapping[str, Json],
        *,
        tags: tuple[str, ...] = ("latest",),
        layer: bytes | None = None,
        annotated: bool = True,
    ) -> str:
        """Push a feature as ``NAMESPACE/NAME``; the digest of its manifest."""
        data = layer if layer is not None else archive(feature)
        annotations = {"annotations": {"dev.containers.metadata": json.dumps(feature)}} if annotated else {}
        manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": "application/vnd.devcontainers", "digest": self._blob(name, b"{}"), "size": 2},
            "layers": [{
                "mediaType": LAYER_TYPE, "digest": self._blob(name, data), "size": len(data),
                "annotations": {"org.opencontainers.image.title": f"devcontainer-feature-{name.rpartition('/')[2]}.tgz"},
            }],
            **annotations,
        }).encode()  # fmt: skip
        for tag in tags:
            self._ask("PUT", f"/v2/{name}/manifests/{tag}", manifest, MANIFEST_TYPE)
        return digest(manifest)

    def file_of(self, digest: str) -> Path:
        """Where the registry keeps a blob."""
        text = digest.removeprefix("sha256:")
        return self.data / "docker/registry/v2/blobs/sha256" / text[:2] / text / "data"

    def _blob(self, name: str, data: bytes) -> str:
        place = self._ask("POST", f"/v2/{name}/blobs/uploads/", b"", "application/octet-stream")
        path = place.partition(self.host)[2]
        self._ask("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest(data)}", data, "application/octet-stream")
        return digest(data)

    def _ask(self, method: str, path: str, body: bytes, kind: str) -> str:
        connection = http.client.HTTPConnection(self.host, timeout=10)
        try:
            connection.request(method, path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            said = answer.read()
            assert answer.status < 300, (method, path, answer.status, said)
            return answer.getheader("Location") or ""
        finally:
            connection.close()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def archive(feature: Mapping[str, Json]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as out:
        for name, content in {"./devcontainer-feature.json": json.dumps(feature).encode(), "./install.sh": b"#!/bin/sh\n"}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            out.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Registry]:
    """Under the name ``localhost``, which the reference speaks to without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "registry.yml"
    config.write_text(
        f'version: 0.1\nlog: {{level: error}}\nhttp: {{addr: "127.0.0.1:{port}"}}\n'
        f'storage: {{filesystem: {{rootdirectory: "{folder}/data"}}}}\n'
    )
    argv = [str(program()), "serve", str(config)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        found = Registry(f"localhost:{port}", folder / "data", process)
        try:
            _await(port, process)
            yield found
        finally:
            found.stop()


def certificate(folder: Path) -> Path:
    """A key and a certificate of ``localhost`` that speaks for itself, in one file."""
    key, path = folder / "key.pem", folder / "localhost.pem"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(path)])  # fmt: skip
    path.write_text(path.read_text() + key.read_text())
    return path


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise CannotHave("docker-registry does not start") from None
            time.sleep(0.02)


Reply = tuple[int, Mapping[str, str], bytes]
Replier = Callable[[str, Mapping[str, str]], Reply]


@contextlib.contextmanager
def little(reply: Replier, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[tuple[str, str | None]]]]:
    """``reply``: (path, headers) -> answer. The port, and what was asked with which authorization."""
    seen: list[tuple[str, str | None]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen.append((self.path, headers.get("authorization")))
            status, said, body = reply(self.path, headers)
            self.send_response(status)
            for name, value in {**said, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        server.server_close()
