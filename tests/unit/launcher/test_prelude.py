"""The prelude as a plain process: what it sends, what it waits for, and how it becomes the command."""

# ruff: noqa: E501 - a row of a table stays one line

import json
import marshal
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.launcher import main as launcher
from orchestrator.launcher import prelude

FOLDER = Path(prelude.__file__).parent
DEADLINE_S = 30.0
ENV = {"PATH": "/usr/bin:/bin", "ANSWER": "42"}
CANARY = {"file": "/nonexistent/canary", "port": 0, "abstract": "aienv-no-such-socket"}


@contextmanager
def started(*argv: str, listen: tuple[int, ...] = (), **options: Any) -> Iterator[tuple["subprocess.Popen[bytes]", socket.socket]]:
    """The program as the launcher starts it, but in no sandbox, and our end of its channel."""
    ours, theirs = socket.socketpair()
    ours.settimeout(DEADLINE_S)
    with ours, theirs:
        task = {"env": ENV, "listen": list(listen), "canary": CANARY, "channel": theirs.fileno(), "argv": list(argv), "tty": False}
        program = launcher._memory("prelude", launcher._prelude_program(sys.executable) + marshal.dumps(task, launcher.MARSHAL_VERSION))
        extra = options.pop("pass_fds", ())
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", launcher.BOOT, str(program)],
            pass_fds=(theirs.fileno(), program, *extra), stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **options,
        )  # fmt: skip
        os.close(program)
        theirs.close()
        try:
            yield process, ours
        finally:
            process.kill()
            process.communicate()


def told(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The one line, and the descriptors that came with it."""
    data, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, 8)
    while not data.endswith(b"\n"):
        more = channel.recv(1 << 16)
        assert more, data
        data += more
    found = json.loads(data)
    assert isinstance(found, dict)
    return found, descriptors


def finished(process: "subprocess.Popen[bytes]") -> tuple[int, bytes, bytes]:
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def free_ports(count: int) -> tuple[int, ...]:
    socks = [socket.socket() for _ in range(count)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    found = tuple(sock.getsockname()[1] for sock in socks)
    for sock in socks:
        sock.close()
    return found


def test_the_same_process_becomes_the_command() -> None:
    """Nothing runs before ``go``; then the command has the prelude's pid, its own variables alone, and no descriptor of ours."""
    script = "echo $$ $ANSWER; ls /proc/self/fd | wc -l; env | sort | tr '\\n' ' '; umask"
    with started("sh", "-c", script, cwd="/tmp", env={"LEAK": "1", "PYTHONPATH": "/x", "LD_LIBRARY_PATH": "/y"}) as (process, channel):
        found, descriptors = told(channel)
        assert (found["pid"], descriptors, process.poll()) == (process.pid, [], None)
        channel.sendall(b"go")
        code, out, err = finished(process)
        assert (code, err) == (0, b"")
        assert out.decode().split("\n")[:3] == [f"{process.pid} 42", "4", "ANSWER=42 PATH=/usr/bin:/bin PWD=/tmp 0022"]
        assert channel.recv(1) == b""  # nobody has the other end any more


def test_descriptors_that_came_along_are_told_and_closed(tmp_path: Path) -> None:
    """What a launcher, or a wrapper around bubblewrap, leaves open by mistake never reaches the command."""
    (tmp_path / "secret").write_text("x")
    with open(tmp_path / "secret") as leak, started("ls", "/proc/self/fd", pass_fds=(leak.fileno(),)) as (process, channel):
        found, _ = told(channel)
        assert found["descriptors"] == [leak.fileno()]
        channel.sendall(b"go")
        assert finished(process)[1].split() == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("answer", [b"", b"g", b"no", b"gone?"], ids=["end", "half", "no", "other"])
def test_without_go_there_is_no_command(tmp_path: Path, answer: bytes) -> None:
    """Whatever else comes, or nothing: it ends."""
    with started("touch", str(tmp_path / "made")) as (process, channel):
        told(channel)
        channel.sendall(answer)
        channel.shutdown(socket.SHUT_WR)
        assert finished(process)[0] == 125
    assert list(tmp_path.iterdir()) == []


def test_its_sockets_listen_and_are_not_kept() -> None:
    """Each is bound to the loopback alone; once our copies are closed nobody listens, whatever the command does."""
    ports = free_ports(2)
    with started("sh", "-c", "echo up; exec sleep 600", listen=ports) as (process, channel):
        _, descriptors = told(channel)
        socks = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        assert [sock.getsockname() for sock in socks] == [("127.0.0.1", port) for port in ports]
        channel.sendall(b"go")
        for sock in socks:
            with socket.create_connection(sock.getsockname(), DEADLINE_S) as client:
                with sock.accept()[0] as server:
                    server.sendall(b"served")
                assert client.recv(10) == b"served"
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        names = [sock.getsockname() for sock in socks]
        for sock in socks:
            sock.close()
        assert process.poll() is None
        for name in names:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(name, DEADLINE_S)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """Somebody listens there already: an error in words, and no command."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with started("touch", str(tmp_path / "made"), listen=(port,)) as (process, channel):
            found, descriptors = told(channel)
            assert (found, descriptors) == ({"error": f"127.0.0.1:{port} inside cannot be had: Address already in use"}, [])
            assert finished(process)[0] == 125
    assert list(tmp_path.iterdir()) == []


def test_signals_are_as_they_were_born() -> None:
    """Neither what Python ignores nor what whoever started us ignored or blocked is handed on."""

    def spoil() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])

    with started("cat", "/proc/self/status", preexec_fn=spoil) as (process, channel):
        told(channel)
        channel.sendall(b"go")
        status = dict(line.split(":\t", 1) for line in finished(process)[1].decode().splitlines())
    theirs = ~(0b11 << 31)  # 32 and 33 are the C library's own: no program can set them, and whoever starts tests may have one ignored
    assert [int(status[name], 16) & theirs for name in ("SigBlk", "SigIgn", "SigCgt")] == [0, 0, 0]


def test_it_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    """TERM before ``go`` ends it as it would end the command."""
    with started("touch", str(tmp_path / "made")) as (process, channel):
        told(channel)
        process.terminate()
        assert finished(process)[0] == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


# --- becoming the command ---------------------------------------------------------------------------------------------

BECOME = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import prelude; prelude.become({{argv!r}}, {{{{'PATH': sys.argv[1]}}}})"


def become(path: str, *argv: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """The words come in the program: on its own command line there could be no NUL byte, and not too many others."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(BECOME.format(argv=list(argv)))
        file.flush()
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-X", "utf8", file.name, path],
            capture_output=True,
            cwd=cwd,
            timeout=DEADLINE_S,
            check=False,
            env={},
        )
    return done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "surrogateescape")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Files that can be executed, and others."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    files = {
        "first/closed": ("#!/bin/sh\necho no\n", 0o644), "second/closed": ("#!/bin/sh\necho second\n", 0o755), "first/alone": ("x", 0o644),
        "first/plain": ("echo plain $1\n", 0o755), "first/lost": ("#!/no/such/interpreter\n", 0o755), "first/folder/x": ("", 0o644),
        "first/looped": (f"#!{tmp_path}/first\n", 0o755), "second/folder": ("#!/bin/sh\necho folder\n", 0o755), "here": ("#!/bin/sh\necho here\n", 0o755),
    }  # fmt: skip
    for name, (text, mode) in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "code", "out", "said"),
    [
        pytest.param(("echo", "a b", "", "$x"), 0, "a b  $x\n", "", id="found"),
        pytest.param(("echo", "nul\0byte"), 126, "", "echo: Invalid argument", id="nul-in-a-word"),
        pytest.param(("no-such-program",), 127, "", "no-such-program: No such file or directory", id="missing"),
        pytest.param(("./no/such",), 127, "", "./no/such: No such file or directory", id="missing-path"),
        pytest.param(("",), 127, "", ": No such file or directory", id="empty"),
        pytest.param(("./first",), 126, "", "./first: Permission denied", id="a-folder"),
        pytest.param(("/etc/passwd",), 126, "", "/etc/passwd: Permission denied", id="not-executable"),
        pytest.param(("alone",), 126, "", "alone: Permission denied", id="not-executable-in-path"),
        pytest.param(("./first/lost",), 127, "", "./first/lost: No such file or directory", id="interpreter-missing"),
        pytest.param(("./first/looped",), 126, "", "./first/looped: Permission denied", id="interpreter-is-a-folder"),
        pytest.param(("./here/x",), 126, "", "./here/x: Not a directory", id="below-a-file"),
        pytest.param(("closed",), 0, "second\n", "", id="goes-on-after-a-closed-file"),
        pytest.param(("folder",), 0, "folder\n", "", id="goes-on-after-a-folder"),
        pytest.param(("plain", "word"), 0, "plain word\n", "", id="no-first-line"),
        pytest.param(("here",), 0, "here\n", "", id="empty-part-of-path-is-here"),
        pytest.param(("caf\udce9",), 127, "", "caf\udce9: No such file or directory", id="no-utf-8"),
        pytest.param(("echo", "x" * (1 << 18)), 126, "", "echo: Argument list too long", id="too-long"),
    ],
)
def test_becoming(programs: Path, argv: tuple[str, ...], code: int, out: str, said: str) -> None:
    """Searched, executed and refused as the C library does it, with bubblewrap's words."""
    path = f"{programs}/none:{programs}/first:{programs}/second::/usr/bin:/bin"
    found = become(path, *argv, cwd=programs)
    assert found == (code, out, f"bwrap: execvp {said}\n" if said else "")


# --- what it says -----------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(value=VALUES)
def test_its_json_is_json(value: object) -> None:
    """What the short writer writes, a real reader reads; only true and false become numbers."""
    assert json.loads(prelude.text(value)) == value
    assert prelude.text(value).isascii()


@settings(max_examples=100, deadline=None)
@given(table=st.text(max_size=300))
def test_tables_of_the_kernel_that_are_odd(table: str) -> None:
    """Other kernels write other lines: an answer or an error that is told, nothing else."""
    for read in (prelude.in_use, prelude.writable):
        try:
            read(table)
        except (ValueError, IndexError):
            continue


def test_what_it_finds_outside_of_a_sandbox() -> None:
    """The same questions as inside, answered by this machine."""
    with started("true") as (_, channel):
        found, _ = told(channel)
    assert found["uid"] == list(os.getresuid())
    assert set(found["namespaces"]) == set(prelude.NAMESPACES)
    assert found["namespaces"]["net"] == os.readlink("/proc/self/ns/net")
    assert os.getpid() in found["processes"]
    assert "lo" in found["interfaces"]
    assert "TCP" in found["in_use"]
    assert found["canary_abstract"] == 111
    assert found["canary_file"] == 2
