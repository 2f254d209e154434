"""Real ssh, sshd and ssh-agent around ours: logins to the one host work, everything else that an agent could be used for does not."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.egress.sshagent import SshAgent
from orchestrator.secrets.knownhosts import host_keys

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh-agent") is None, reason="there is no ssh server here: apt-get install openssh-server"
)
KINDS = {"ed25519": (), "ecdsa": ("-b", "256"), "rsa": ("-b", "2048")}


def call(*command: str, check: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
    there = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ}
    done = subprocess.run(command, env=there, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


@contextlib.contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def until(ready: Path | int) -> None:
    """Wait until a socket's path is there, or a port answers."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if isinstance(ready, Path) and ready.exists():
            return
        if isinstance(ready, int):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ready), 1):
                return
        time.sleep(0.05)
    raise TimeoutError(f"{ready} did not come")


@dataclass
class Place:
    """``folder`` holds the keys ``host`` and ``user``, ``known`` (the user's known hosts), ``agent`` (his) and ``inside`` (ours)."""

    folder: Path
    port: int
    login: str
    events: list[dict[str, object]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, kind: str, facts: dict[str, object]) -> None:
        with self.lock:
            self.events.append({"kind": kind, **facts})

    def ssh(self, *words: str, options: tuple[str, ...] = (), check: bool = True) -> subprocess.CompletedProcess[str]:
        """As the agent inside calls it: all that it has is our socket and the known hosts."""
        known, agent = f"-oUserKnownHostsFile={self.folder}/known", f"-oIdentityAgent={self.folder}/inside"
        fixed = (known, agent, "-oBatchMode=yes", f"-p{self.port}")
        return call("ssh", "-Fnone", *options, *fixed, f"{self.login}@127.0.0.1", *words, check=check)

    def outcomes(self) -> list[object]:
        return [event["outcome"] for event in self.events]


def new_key(folder: Path, name: str, kind: str = "ed25519", comment: str = "me@laptop") -> None:
    call("ssh-keygen", "-q", "-t", kind, *KINDS[kind], "-N", "", "-C", comment, "-f", str(folder / name))


@contextlib.contextmanager
def server(folder: Path, host_key: str, authorized: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    config = folder / f"config-{port}"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / host_key}\nAuthorizedKeysFile {folder / authorized}\nStrictModes no\n"
        "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\n"
    )
    assert SSHD is not None
    with running(SSHD, "-D", "-f", str(config)):
        until(port)
        yield port


@contextlib.contextmanager
def place(folder: Path, kind: str = "ed25519", known_as: str = "host.pub") -> Iterator[Place]:
    """``known_as``: whose public key stands in the user's known hosts."""
    for name in ("host", "other"):
        new_key(folder, name, kind)
    new_key(folder, "user", kind)
    shutil.copy(folder / "user.pub", folder / "authorized")
    login = call("id", "-un").stdout.strip()
    with contextlib.ExitStack() as undo:
        port = undo.enter_context(server(folder, "host", "authorized"))
        (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / known_as).read_text()}")
        undo.enter_context(running("ssh-agent", "-D", "-a", str(folder / "agent")))
        until(folder / "agent")
        call("ssh-add", "-q", str(folder / "user"), SSH_AUTH_SOCK=str(folder / "agent"))
        (folder / "user").unlink()
        here = Place(folder, port, login)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(folder / "inside"))
        listener.listen(16)
        keys = host_keys([(folder / "known").read_text()], "127.0.0.1", port)
        ours = SshAgent(listener, "127.0.0.1", keys, str(folder / "agent"), here.write)
        undo.callback(ours.close)
        yield here


@pytest.mark.parametrize("kind", KINDS)
def test_login(tmp_path: Path, kind: str) -> None:
    """With each kind of host key; the signature is an event that names the key and the user."""
    with place(tmp_path, kind) as here:
        assert here.ssh("echo", "hello").stdout == "hello\n"
        fingerprint = call("ssh-keygen", "-lf", str(tmp_path / "user.pub")).stdout.split()[1]
        assert here.events[-1] == {
            "kind": "cred", "name": "ssh", "host": "127.0.0.1", "outcome": "used", "key": fingerprint, "user": here.login,
        }  # fmt: skip


def test_login_without_hostbound(tmp_path: Path) -> None:
    """The older form of a login request, which does not name the host's key, is bound by its session."""
    with place(tmp_path) as here:
        assert here.ssh("echo", "hello", options=("-o", "PubkeyAuthentication=unbound")).stdout == "hello\n"
        assert here.outcomes() == ["used"]


def test_git(tmp_path: Path) -> None:
    """What it is for."""
    with place(tmp_path) as here:
        call("git", "init", "-q", "--bare", str(tmp_path / "app.git"))
        command = f"ssh -F none -o UserKnownHostsFile={tmp_path}/known -o BatchMode=yes"
        url = f"ssh://{here.login}@127.0.0.1:{here.port}{tmp_path}/app.git"
        call("git", "ls-remote", url, GIT_SSH_COMMAND=command, SSH_AUTH_SOCK=f"{tmp_path}/inside")
        assert here.outcomes() == ["used"]


def test_another_host(tmp_path: Path) -> None:
    """A server with a key that the user does not know gets no signature, even if the agent inside chooses to trust it."""
    with place(tmp_path) as here, server(tmp_path, "other", "authorized") as port:
        trusting = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
        proper, here.port = here.port, port
        assert here.ssh("true", options=trusting, check=False).returncode == 255
        assert "used" not in here.outcomes()
        assert "not among the known ones" in str(here.events[0]["reason"])
        here.port = proper
        here.ssh("true")
        assert here.outcomes()[-1] == "used"


def test_unknown_to_the_user(tmp_path: Path) -> None:
    """Where the user knows the host by another key, there is no signature: the server may be an impostor."""
    with place(tmp_path, known_as="other.pub") as here:
        trusting = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
        assert here.ssh("true", options=trusting, check=False).returncode == 255
        assert "used" not in here.outcomes()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("ssh-add", "-l"), id="list"),
        pytest.param(("ssh-add", "-L"), id="list-public"),
        pytest.param(("ssh-add", "-D"), id="remove-all"),
        pytest.param(("ssh-add", "-d", "{user}.pub"), id="remove"),
        pytest.param(("ssh-add", "-q", "{other}"), id="add"),
        pytest.param(("ssh-add", "-T", "{user}.pub"), id="test"),
        pytest.param(("ssh-keygen", "-Y", "sign", "-n", "git", "-f", "{user}.pub", "{known}"), id="sign-a-commit"),
    ],
)
def test_other_uses(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The tools that talk to an agent get nothing, and the user's agent keeps its keys."""
    with place(tmp_path) as here:
        command = [word.format(user=tmp_path / "user", other=tmp_path / "other", known=tmp_path / "known") for word in words]
        done = call(*command, check=False, SSH_AUTH_SOCK=str(tmp_path / "inside"))
        assert done.returncode != 0
        assert "used" not in here.outcomes()
        assert "refused" in here.outcomes()
        assert "me@laptop" not in done.stdout + done.stderr
        assert call("ssh-add", "-l", SSH_AUTH_SOCK=str(tmp_path / "agent")).stdout.count("me@laptop") == 1


def test_keys_have_no_comments(tmp_path: Path) -> None:
    """A client that is bound sees the keys, and not what the user calls them."""
    with place(tmp_path) as here:
        said = here.ssh("true", options=("-vvv",)).stderr
        assert "Will attempt key" in said
        assert "me@laptop" not in said


def test_no_forwarding(tmp_path: Path) -> None:
    """The host that one logs in to cannot use the keys for a further hop."""
    with place(tmp_path) as here:
        done = here.ssh("ssh-add", "-l", options=("-A",), check=False)
        assert done.returncode != 0
        assert here.outcomes().count("used") == 1


def test_the_user_agent_ends(tmp_path: Path) -> None:
    """Without the user's agent a login fails, and ours goes on."""
    with place(tmp_path) as here:
        (tmp_path / "agent").rename(tmp_path / "away")
        assert here.ssh("true", check=False).returncode == 255
        assert "does not answer" in str(here.events[0]["reason"])
        (tmp_path / "away").rename(tmp_path / "agent")
        here.ssh("true")


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\5\x0b", b"\0\0\1\0\x1b" + b"\xff" * 255, b"GET / HTTP/1.1\r\n\r\n"]
)
def test_noise(tmp_path: Path, data: bytes) -> None:
    """Bytes that are no messages end their connection; the next one works."""
    with place(tmp_path) as here:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(tmp_path / "inside"))
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):  # for what was left unread
                assert client.recv(100) in (b"", b"\0\0\0\1\5")
        here.ssh("true")


def test_close_ends_connections(tmp_path: Path) -> None:
    """Nobody is served after the phase: waiting connections end too."""
    with socket.socket(socket.AF_UNIX) as user, socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        user.bind(str(tmp_path / "agent"))
        user.listen()
        listener.bind(str(tmp_path / "inside"))
        listener.listen()
        ours = SshAgent(listener, "git.example.org", [], str(tmp_path / "agent"), lambda *_: None)
        client.settimeout(10)
        client.connect(str(tmp_path / "inside"))
        client.sendall(b"\0\0\0\1\x0b")
        assert client.recv(100) == b"\0\0\0\1\5"
        ours.close()
        assert client.recv(100) == b""


def test_the_broker_can_load_it() -> None:
    """With the standard library alone, as the broker runs."""
    root = Path(__file__).resolve().parent.parent.parent.parent
    code = f"import sys; sys.path.insert(0, {str(root)!r}); import orchestrator.egress.sshagent as a; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
