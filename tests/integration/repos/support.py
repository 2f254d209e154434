"""Real repositories and real servers for the tests of ``orchestrator.repos``."""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from orchestrator.model.plan import RepoPlan
from orchestrator.repos.checkout import Checkout, make
from orchestrator.repos.mirror import keep
from orchestrator.repos.resolve import Resolved, resolve
from orchestrator.repos.source import parse_source


@dataclass(frozen=True)
class Repo:
    """A repository on disk, driven by the git program as a user would."""

    path: Path

    def git(self, *args: str, input: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            ("git", *args), cwd=self.path, input=input, capture_output=True, env={**os.environ, **(env or {})}, check=False
        )
        assert done.returncode == 0, (args, done.stderr.decode())
        return os.fsdecode(done.stdout).removesuffix("\n")

    def write(self, name: str | bytes, content: str | bytes = "", *, executable: bool = False) -> bytes:
        path = os.path.join(os.fsencode(self.path), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(path, 0o755 if executable else 0o644)
        return path

    def commit(self, message: str = "change", **files: str) -> str:
        for name, content in files.items():
            self.write(name, content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


def new_repo(path: Path, *, commit: bool = True, object_format: str = "sha1") -> Repo:
    path.mkdir(parents=True)
    repo = Repo(path)
    repo.git("init", "-q", "-b", "main", f"--object-format={object_format}")
    if commit:
        repo.write("run.sh", "#!/bin/sh\n", executable=True)
        repo.commit("first", readme="hello\n")
    return repo


@dataclass(frozen=True)
class World:
    """One test's folders: mirrors and workspaces of aienv, and whatever the test makes."""

    base: Path

    @property
    def mirrors(self) -> Path:
        return self.base / "mirrors"

    def resolve(self, where: object, ref: str | None = None, *, offline: bool = False) -> Resolved:
        return resolve(self.mirrors, parse_source(str(where), self.base), ref, deadline_s=60, offline=offline)

    def make(
        self, resolved: Resolved, *, submodules: bool = True, lfs: bool = True, uid: int | None = None, required: bool = False
    ) -> "Clone":
        plan: RepoPlan = resolved.plan(changes=None, submodules=submodules, lfs=lfs)
        number = len(list(self.base.glob("work-*")))
        workspace = self.base / f"work-{number}" / plan.name
        owner = os.getuid() if uid is None else uid
        keep(resolved.mirror, f"run-{number}")
        return Clone(workspace, make(resolved.mirror, plan, workspace, owner, owner, run_id=f"run-{number}", require_submodules=required))

    def clone(self, where: object, ref: str | None = None) -> "Clone":
        return self.make(self.resolve(where, ref))


@dataclass(frozen=True)
class Clone:
    """A clone as the agent would see it."""

    path: Path
    checkout: Checkout

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Let git find borrowed objects where they are on the host, in submodules too; inside a mount does that."""
        folders = dict(self.checkout.objects)
        files = [self.path / ".git" / "objects" / "info" / "alternates"]
        files += [self.path / part.git_dir / "objects" / "info" / "alternates" for part in self.checkout.submodules]
        kept = {file: file.read_text() for file in files}
        for file, text in kept.items():
            assert text.startswith("/run/aienv/objects/")
            file.write_text(f"{folders[text.strip().rpartition('/')[2]]}\n")
        try:
            yield
        finally:
            for file, text in kept.items():
                file.write_text(text)

    def git(self, *args: str, cwd: str = ".", check: bool = True) -> str:
        env = {**os.environ, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        with self.lent():
            done = subprocess.run(("git", *args), cwd=self.path / cwd, capture_output=True, env=env, check=False)
        assert not check or done.returncode == 0, (args, done.stderr.decode())
        return os.fsdecode(done.stdout).removesuffix("\n")

    def status(self, *args: str) -> str:
        return self.git("status", "--porcelain", *args)


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file below ``folder`` with mode, time and content: to prove that nothing was touched."""
    found = {}
    for base, _, files in os.walk(os.fsencode(folder)):
        for name in files:
            path = os.path.join(base, name)
            status = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(status.st_mode) else b""
            if stat.S_ISREG(status.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
            # Git itself renews the time of a shared index whenever it reads one, so that nobody expires it.
            time_ns = 0 if name.startswith(b"sharedindex.") else status.st_mtime_ns
            found[os.fsdecode(path)] = (status.st_mode, time_ns, content)
    return found


def holding(folder: Path, needle: str) -> list[str]:
    """Files below ``folder`` that hold ``needle``, plain or in base64."""
    needles = (needle.encode(), base64.b64encode(needle.encode()).rstrip(b"="))
    return [
        name for name, (_, _, content) in snapshot(folder).items() if any(word in content or word in os.fsencode(name) for word in needles)
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# -- http ----------------------------------------------------------------------------------------------------------------------------------


@dataclass
class HttpServer:
    """``git http-backend`` behind a small web server, which counts and may ask for a password or be slow. Also serves LFS objects."""

    root: Path
    user: str | None = None
    password: str = ""
    delay_s: float = 0.0
    canary: str = ""
    port: int = 0
    fetches: int = 0
    listings: int = 0
    refused: int = 0
    seen_in_process_list: list[str] = field(default_factory=list)
    redirect_to: str | None = None
    authorizations: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator["HttpServer"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                owner.answer(self, b"")

            def do_POST(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b""
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                owner.answer(self, body)

        return Handler

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        if self.canary:
            self._look_for_canary()
        if given := request.headers.get("Authorization"):
            self.authorizations.append(given)
        if self.redirect_to:
            return _reply(request, 302, b"", {"Location": self.redirect_to + request.path})
        if self.user is not None:
            wanted = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            if request.headers.get("Authorization") != wanted:
                self.refused += 1
                return _reply(request, 401, b"", {"WWW-Authenticate": 'Basic realm="test"'})
        if "/lfs-object/" in request.path or request.path.endswith("/objects/batch"):
            return self._lfs(request, body)
        return self._git(request, body)

    def _look_for_canary(self) -> None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = entry.read_bytes()
                if self.canary.encode() in line:
                    self.seen_in_process_list.append(line.decode("utf-8", "replace"))

    def _git(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        path, _, query = request.path.partition("?")
        if b"command=fetch" in body or b"want " in body:
            self.fetches += 1
            time.sleep(self.delay_s)
        if path.endswith("/info/refs"):
            self.listings += 1
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": request.command,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(len(body)),
        }
        out = subprocess.run(("git", "http-backend"), input=body, env=env, capture_output=True, check=False).stdout
        head, _, content = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200 OK").split()[0])
        _reply(request, status, content, headers)

    def _lfs(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        if request.command == "GET":
            content = (self.root / "lfs-store" / request.path.rpartition("/")[2]).read_bytes()
            return _reply(request, 200, content, {"Content-Type": "application/octet-stream"})
        objects = []
        for wanted in json.loads(body)["objects"]:
            entry: dict[str, object] = {"oid": wanted["oid"], "size": wanted["size"]}
            if (self.root / "lfs-store" / wanted["oid"]).exists():
                entry["actions"] = {"download": {"href": f"{self.url}/lfs-object/{wanted['oid']}"}}
            else:
                entry["error"] = {"code": 404, "message": "not here"}
            objects.append(entry)
        answer = json.dumps({"transfer": "basic", "objects": objects}).encode()
        return _reply(request, 200, answer, {"Content-Type": "application/vnd.git-lfs+json"})


def _reply(request: BaseHTTPRequestHandler, status: int, content: bytes, headers: Mapping[str, str]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


def lfs_pointer(content: bytes) -> tuple[str, str]:
    """(oid, text of the pointer file) for ``content``."""
    oid = hashlib.sha256(content).hexdigest()
    return oid, f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


# -- daemons -------------------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _process(argv: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, f"{argv[0]} ended with {process.returncode}"
                assert time.monotonic() < end, f"{argv[0]} does not listen"
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def git_daemon(root: Path) -> Iterator[str]:
    port = free_port()
    argv = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={root}", "--export-all", str(root)]
    with _process(argv, port):
        yield f"git://127.0.0.1:{port}"


def sshd_path() -> str | None:
    return shutil.which("sshd") or next((path for path in ("/usr/sbin/sshd",) if os.path.exists(path)), None)


@contextlib.contextmanager
def ssh_server(base: Path) -> Iterator[tuple[str, str]]:
    """(ssh URL of the machine, an ssh command that knows its key) for a server of this test alone."""
    base.mkdir()
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(base / name)), check=True)
    shutil.copy(base / "user.pub", base / "authorized")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    config = base / "config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {base}/host\nAuthorizedKeysFile {base}/authorized\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
    )
    known = base / "known"
    known.write_text(f"[127.0.0.1]:{port} {(base / 'host.pub').read_text()}")
    command = f"ssh -F none -i {base}/user -o IdentitiesOnly=yes -o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes"
    login = subprocess.run(("id", "-un"), capture_output=True, text=True, check=True).stdout.strip()
    with _process([sshd_path() or "sshd", "-D", "-f", str(config)], port):
        yield f"ssh://{login}@127.0.0.1:{port}", command
