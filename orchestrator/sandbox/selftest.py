"""Whether a sandbox holds, judged by what its first program found out inside it. Pure.

A row per layer, and a run does not start when one is missing: also when a question was not answered. Where the prelude
(``orchestrator.launcher.prelude``) tried something, the fact is the errno that came of it; 0 means that it worked.
"""

import errno
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]

# The kernel makes these in every network namespace once their module is loaded; they are down and lead nowhere.
IDLE_INTERFACES = frozenset(
    ["lo", "tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0", "ip6_vti0", "ip6erspan0"]
)
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
NO_ROUTE = (errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
NOBODY_LISTENS = (errno.ECONNREFUSED, errno.ENETUNREACH)
SOCKETS = ("alg", "vsock", "packet", "raw", "raw6", "netlink-diag")
# Mount points of every sandbox of an agent that can be written, beside its workspace; each is fresh, or a device of no memory.
ALWAYS_WRITABLE = frozenset(
    ["/proc", "/tmp", "/run", "/home/agent", "/dev/shm", "/dev/pts", "/dev/console"]
    + [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be found. ``writable``: mount points of the workspace. ``run``: the names that may be in /run.

    ``canary_port``: whether there was a port of the host to knock at. ``place``: the launcher's own facts, from outside of the sandbox.
    """

    uid: int
    gid: int
    container: bool
    writable: frozenset[str]
    run: frozenset[str]
    canary_port: bool
    place: Facts


@dataclass(frozen=True, slots=True)
class Missing:
    """A layer that does not hold. ``found`` says how that showed, ``remedy`` what to do."""

    layer: str
    found: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Row:
    """``wrong`` gives words when the layer does not hold, and raises LookupError, TypeError or ValueError for a missing answer."""

    layer: str
    wrong: Callable[[Facts, Expected], str | None]
    remedy: str


def problem(facts: Facts, expected: Expected) -> Missing | None:
    """The first layer that is missing; None when all hold."""
    for row in ROWS:
        try:
            found = row.wrong(facts, expected)
        except (LookupError, TypeError, ValueError, AttributeError):
            found = "the sandbox did not answer what was asked"
        if found is not None:
            return Missing(row.layer, found, row.remedy)
    return None


def summary(facts: Facts, expected: Expected) -> dict[str, object]:
    """For the event log: as they are, but of the mount points only those that should not be writable."""
    try:
        return {**facts, "writable": _beyond(facts, expected)}
    except (LookupError, TypeError, ValueError, AttributeError):
        return dict(facts)


# --- the rows ---------------------------------------------------------------------------------------------------------


def _user(facts: Facts, expected: Expected) -> str | None:
    uids, gids = set(facts["uid"]), set(facts["gid"])
    if uids == {expected.uid} and gids == {expected.gid} and 0 not in uids | gids:
        return None
    return f"it runs as uid {sorted(uids)}, gid {sorted(gids)} instead of {expected.uid}, {expected.gid}"


def _privileges(facts: Facts, expected: Expected) -> str | None:
    return None if facts["status"]["NoNewPrivs"] == "1" else "programs may gain privileges (no_new_privs is off)"


def _capabilities(facts: Facts, expected: Expected) -> str | None:
    held = {name: facts["status"][name] for name in CAPABILITY_SETS if int(facts["status"][name], 16) != 0}
    return f"it has capabilities: {held}" if held else None


def _filter(facts: Facts, expected: Expected) -> str | None:
    """By what it does: a container's own filter shows as the same mode."""
    if facts["status"]["Seccomp"] != "2":
        return "there is no filter of system calls"
    allowed = [name for name in ("user_namespace", "terminal_injection") if _errno(facts[name]) != errno.EPERM]
    return f"the filter of system calls is not ours: {', '.join(allowed)} was not refused by it" if allowed else None


def _socket_families(facts: Facts, expected: Expected) -> str | None:
    made = [name for name in SOCKETS if _errno(facts["sockets"][name]) == 0]
    return f"sockets of kind {', '.join(made)} can be made" if made else None


def _namespaces(facts: Facts, expected: Expected) -> str | None:
    names = ("user", "mnt", "pid", "ipc", "uts", *(() if expected.container else ("net",)))
    shared = [
        name for name in names if not facts["namespaces"][name] or facts["namespaces"][name] == expected.place["namespaces"][name]
    ]
    return f"it shares namespaces with what is outside: {', '.join(shared)}" if shared else None


def _processes(facts: Facts, expected: Expected) -> str | None:
    others = sorted(set(_list(facts["processes"])) - {1, int(facts["pid"])})
    return f"other processes can be seen: {others[:5]}" if others or 1 not in facts["processes"] else None


def _canary_file(facts: Facts, expected: Expected) -> str | None:
    # An image may have a closed folder of the same name; on the host there is none at all.
    unseen = (*NOT_THERE, *((errno.EACCES,) if expected.container else ()))
    return None if _errno(facts["canary_file"]) in unseen else "a file of the run's own folder can be seen"


def _run_folder(facts: Facts, expected: Expected) -> str | None:
    others = sorted(set(_list(facts["run"])) - expected.run)
    return f"/run holds what is not ours: {', '.join(others[:5])}" if others else None


def _read_only(facts: Facts, expected: Expected) -> str | None:
    beyond = _beyond(facts, expected)
    if beyond:
        return f"it can write to {', '.join(beyond[:5])}"
    return "it can make files in /" if _errno(facts["root_file"]) == 0 else None


def _beyond(facts: Facts, expected: Expected) -> list[str]:
    found = {re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point) for point in _list(facts["writable"])}
    return sorted(found - ALWAYS_WRITABLE - expected.writable)


def _sysctl(facts: Facts, expected: Expected) -> str | None:
    return "the kernel's settings can be written" if _errno(facts["sysctl"]) == 0 else None


def _interfaces(facts: Facts, expected: Expected) -> str | None:
    others = sorted(set(_list(facts["interfaces"])) - IDLE_INTERFACES)
    if others:
        return f"there are network interfaces: {', '.join(others[:5])}"
    return "there are routes" if int(facts["routes"]) > 0 or int(facts["routes6"]) > 0 else None


def _outside(facts: Facts, expected: Expected) -> str | None:
    tried = [_errno(one) for one in _list(facts["outside"])]
    return None if len(tried) >= 3 and all(one in NO_ROUTE for one in tried) else f"addresses outside have a route ({tried})"


def _host_loopback(facts: Facts, expected: Expected) -> str | None:
    if expected.canary_port and _errno(facts["canary_port"]) not in NOBODY_LISTENS:
        return "a port of the host's loopback can be reached"
    # A container's network has seen the commands before: what is left of their connections may still be on its way out.
    kinds = ("UDP", "UDP6") if expected.container else ("TCP", "TCP6", "UDP", "UDP6")
    others = [kind for kind in kinds if int(facts["in_use"].get(kind, 0)) > 0]
    return f"somebody else has sockets in its network: {', '.join(others)}" if others or "TCP" not in facts["in_use"] else None


def _abstract(facts: Facts, expected: Expected) -> str | None:
    refused = (errno.ECONNREFUSED, errno.EPERM, errno.EACCES)
    return None if _errno(facts["canary_abstract"]) in refused else "an abstract socket of the host can be reached"


def _names(facts: Facts, expected: Expected) -> str | None:
    return "names may be looked up: there is an /etc/resolv.conf" if _errno(facts["resolver"]) == 0 else None


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("no list")
    return value


def _errno(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("no errno")
    return value


_DOCTOR = "run aienv doctor; another bubblewrap, kernel or engine than those that aienv knows may be the cause"
_NETWORK = "see what gives the sandbox a network (a wrapper around bwrap, an engine's plugin), and run aienv doctor"
_FOLDERS = "expose no folder in which aienv keeps its state (sandbox.expose, AIENV_HOME), and run aienv doctor"

ROWS: tuple[Row, ...] = (
    Row("user", _user, "start aienv as an ordinary user, or let its root drop its rights: run aienv doctor"),
    Row("no new privileges", _privileges, _DOCTOR),
    Row("capabilities", _capabilities, _DOCTOR),
    Row("system call filter", _filter, _DOCTOR),
    Row("socket families", _socket_families, _DOCTOR),
    # The network first: a shared one shows in the namespaces too, but is better called by its name.
    Row("network", _interfaces, _NETWORK),
    Row("network", _outside, _NETWORK),
    Row("host's loopback", _host_loopback, _NETWORK),
    Row("abstract sockets", _abstract, _NETWORK),
    Row("name resolution", _names, _NETWORK),
    Row("namespaces", _namespaces, _DOCTOR),
    Row("processes", _processes, _DOCTOR),
    Row("files outside", _canary_file, _FOLDERS),
    Row("files outside", _run_folder, _FOLDERS),
    Row("read-only root", _read_only, _DOCTOR),
    Row("kernel settings", _sysctl, _DOCTOR),
)
