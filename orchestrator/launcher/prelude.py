"""The first program inside a sandbox: makes the listening sockets, tells what it can reach, waits, and becomes the command.

The launcher starts it under bubblewrap with one end of a socket pair. It sends one JSON line, with the sockets attached, and
goes on only when it reads ``go``. What it found is judged outside (``orchestrator.sandbox.selftest``): here nothing is decided,
so that what is missing is told and not passed over. The command replaces it in the same process, and finds none of its
descriptors.

It runs before anything of the agent's, with no variable of the agent's. Only modules that are built in: each other one
would cost as much as all that is done here.
"""

import _ctypes
import _signal  # type: ignore[import-not-found]
import _socket
import fcntl
import posix
import sys
from _json import encode_basestring_ascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LAST_SIGNAL = 64
BACKLOG = 128
PROBE_S = 0.5  # on a loopback the answer is there at once
CLONE_NEWUSER = 0x10000000
TIOCSTI, TIOCSCTTY = 0x5412, 0x540E
READ_BYTES = 1 << 18
ENOENT, ENOEXEC, EACCES, ENODEV, ENOTDIR, EINVAL, ETIMEDOUT, ESTALE = 2, 8, 13, 19, 20, 22, 110, 116
# Not among them: 127.0.0.1 itself. A datagram socket that is connected sends nothing; the kernel only looks for a route.
OUTSIDE = ((_socket.AF_INET, ("1.1.1.1", 53)), (_socket.AF_INET, ("169.254.169.254", 80)), (_socket.AF_INET6, ("2606:4700:4700::1111", 53)))
REFUSED_SOCKETS = {
    "alg": (38, _socket.SOCK_SEQPACKET, 0),
    "vsock": (40, _socket.SOCK_STREAM, 0),
    "packet": (17, _socket.SOCK_RAW, 0),
    "raw": (_socket.AF_INET, _socket.SOCK_RAW, 1),
    "raw6": (_socket.AF_INET6, _socket.SOCK_RAW, 58),
    "netlink-diag": (_socket.AF_NETLINK, _socket.SOCK_RAW, 4),
}
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


def main(config: "dict[str, Any]") -> None:
    """Never returns. ``config``: channel, argv, env, tty, listen (ports and paths), canary (file, port, abstract)."""
    for number in range(1, LAST_SIGNAL + 1):
        attempt(_signal.signal, number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    posix.umask(0o022)
    posix.set_inheritable(config["channel"], False)
    channel = _socket.socket(fileno=config["channel"])
    try:
        found = facts(config)
        sockets = [listening(place) for place in config["listen"]]
    except Exception as problem:  # noqa: BLE001 - whatever it was: told, and the command does not start
        send(channel, {"error": str(problem) or type(problem).__name__}, [])
        posix._exit(125)
    send(channel, found, sockets)
    for sock in sockets:
        sock.close()
    if channel.recv(16) != b"go":
        posix._exit(125)
    channel.close()
    if config["tty"]:
        posix.setsid()
        fcntl.ioctl(0, TIOCSCTTY, 0)  # --new-session took the controlling terminal away
    become(config["argv"], {**config["env"], "PWD": posix.getcwd()})


def send(channel: _socket.socket, message: "dict[str, Any]", sockets: "list[_socket.socket]") -> None:
    data = text(message).encode() + b"\n"
    numbers = b"".join(sock.fileno().to_bytes(4, sys.byteorder) for sock in sockets)
    attached = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)] if sockets else []
    if rest := data[channel.sendmsg([data], attached) :]:  # after all of it the answer comes, and the far end is gone
        channel.sendall(rest)


def text(value: object) -> str:
    """As JSON: the module of that name takes longer to load than all of this to run."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{encode_basestring_ascii(name)}:{text(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(text(one) for one in value) + "]"
    return encode_basestring_ascii(value) if isinstance(value, str) else str(int(value))  # type: ignore[call-overload]


def listening(place: "int | str") -> _socket.socket:
    """On a port of the loopback, or at a path."""
    address: str | tuple[str, int] = place if isinstance(place, str) else ("127.0.0.1", place)
    sock = _socket.socket(_socket.AF_UNIX if isinstance(address, str) else _socket.AF_INET, _socket.SOCK_STREAM)
    # The previous command's connections may still be dying; two that listen on one port are refused all the same.
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as problem:
        where = address if isinstance(address, str) else f"127.0.0.1:{place}"
        raise OSError(f"{where} inside cannot be had: {problem.strerror}") from problem
    return sock


# --- what can be reached ----------------------------------------------------------------------------------------------


def facts(config: "dict[str, Any]") -> "dict[str, Any]":
    """What there is, in plain values. Where something is tried, the errno that came of it; 0 means that it worked."""
    canary = config["canary"]
    status = dict(line.split(":\t", 1) for line in read("/proc/self/status").split("\n") if ":\t" in line)
    return {
        "uid": posix.getresuid(),
        "gid": posix.getresgid(),
        "status": {name: value for name, value in status.items() if name.startswith(("Cap", "NoNewPrivs", "Seccomp"))},
        "namespaces": {name: attempt_text(posix.readlink, f"/proc/self/ns/{name}") for name in NAMESPACES},
        "processes": [int(name) for name in posix.listdir("/proc") if name.isdigit()],
        "pid": posix.getpid(),
        "descriptors": strangers(config["channel"]),
        "interfaces": [line.split(":")[0].strip() for line in read("/proc/self/net/dev").split("\n")[2:] if ":" in line],
        "routes": read("/proc/self/net/route").count("\n") - 1,
        "routes6": sum(not line.endswith(" lo") for line in read("/proc/self/net/ipv6_route").split("\n") if line),
        "in_use": in_use(read("/proc/self/net/sockstat") + read("/proc/self/net/sockstat6")),
        "outside": [attempt(route, *one) for one in OUTSIDE],
        "resolver": attempt(posix.stat, "/etc/resolv.conf"),
        "canary_file": attempt(posix.stat, canary["file"]),
        "canary_port": attempt(reach, _socket.AF_INET, ("127.0.0.1", canary["port"])) if canary["port"] else -1,
        "canary_abstract": attempt(reach, _socket.AF_UNIX, "\0" + canary["abstract"]),
        "sockets": {name: attempt(_socket.socket, *kind) for name, kind in REFUSED_SOCKETS.items()},
        "user_namespace": unshare_user(),
        "terminal_injection": inject(),
        "writable": writable(read("/proc/self/mountinfo")),
        "root_file": make("/.aienv-selftest"),
        "sysctl": attempt(posix.open, "/proc/sys/kernel/core_pattern", posix.O_WRONLY | posix.O_CLOEXEC),
        "run": posix.listdir("/run"),
    }


def attempt(act: "Callable[..., object]", *arguments: object) -> int:
    """0 when it works, else the errno."""
    try:
        act(*arguments)
    except OSError as problem:
        return problem.errno or -1
    except ValueError:
        return -1
    return 0


def attempt_text(act: "Callable[..., str]", argument: str) -> str:
    try:
        return act(argument)
    except OSError:
        return ""


def read(path: str) -> str:
    """The file as text; empty when it is not there. What is longer than all that is expected is cut."""
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    parts = []
    while data := posix.read(descriptor, READ_BYTES):
        parts.append(data)
    posix.close(descriptor)
    return b"".join(parts).decode("utf-8", "surrogateescape")


def strangers(channel: int) -> "list[int]":
    """Descriptors that nobody gave us on purpose. They are told, and closed."""
    found = [int(name) for name in posix.listdir("/proc/self/fd")]
    return [one for one in found if one > 2 and one != channel and attempt(posix.close, one) == 0]


def in_use(table: str) -> "dict[str, int]":
    """How many sockets of each kind this network has. The tables of the sockets themselves take milliseconds to read."""
    rows = [line.split() for line in table.split("\n")]
    return {row[0].rstrip(":"): int(row[2]) for row in rows if len(row) > 2 and row[1] == "inuse"}


def route(family: int, address: "tuple[str, int]") -> None:
    sock = _socket.socket(family, _socket.SOCK_DGRAM)
    try:
        sock.connect(address)
    finally:
        sock.close()


def reach(family: int, address: "tuple[str, int] | str") -> None:
    sock = _socket.socket(family, _socket.SOCK_STREAM)
    sock.settimeout(PROBE_S)
    try:
        sock.connect(address)
    finally:
        sock.close()


def writable(mounts: str) -> "list[str]":
    """Mount points that are not read-only, as mountinfo writes them."""
    rows = [line.split(" ") for line in mounts.split("\n") if line]
    return [row[4] for row in rows if row[5].split(",")[0] != "ro"]


def make(path: str) -> int:
    try:
        posix.close(posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600))
    except OSError as problem:
        return problem.errno or -1
    posix.unlink(path)
    return 0


def inject() -> int:
    """On a device that is no terminal: the filter's answer differs from the device's."""
    null = posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
    failed = attempt(fcntl.ioctl, null, TIOCSTI, b"x")
    posix.close(null)
    return failed


def unshare_user() -> int:
    """By the C library alone, without the package ``ctypes``, which takes a millisecond or more."""

    class Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
        _type_ = "i"

    class Function(_ctypes.CFuncPtr):
        _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
        _restype_ = Int

    libc = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
    unshare = Function(_ctypes.dlsym(libc, "unshare"))
    return 0 if unshare(CLONE_NEWUSER) == 0 else _ctypes.get_errno()


# --- the command ------------------------------------------------------------------------------------------------------


def become(argv: "list[str]", env: "dict[str, str]") -> None:
    """As ``execvp`` does it, with its words and codes: 127 not found, 126 found and not to be executed. Never returns."""
    failed = execute(argv, env)
    posix.write(2, f"bwrap: execvp {argv[0]}: {posix.strerror(failed)}\n".encode("utf-8", "surrogateescape"))
    posix._exit(127 if failed == ENOENT else 126)


def execute(argv: "list[str]", env: "dict[str, str]") -> int:
    """The errno that the search along PATH ends with."""
    closed = False
    failed = ENOENT
    if any("\0" in word for word in argv):
        return EINVAL
    for path in candidates(argv[0], env.get("PATH", "/bin:/usr/bin")):
        failed = attempt(posix.execve, path, argv, env)
        if failed == ENOEXEC:  # a script without a first line that says for whom
            failed = attempt(posix.execve, "/bin/sh", ["/bin/sh", path, *argv[1:]], env)
        closed = closed or failed == EACCES
        if failed not in (EACCES, ENOENT, ESTALE, ENOTDIR, ENODEV, ETIMEDOUT):
            return failed
    return EACCES if closed else failed


def candidates(name: str, path: str) -> "list[str]":
    if "/" in name or not name:
        return [name] if name else []
    return [f"{folder}/{name}" if folder else name for folder in path.split(":")]
