"""The container's system call filter: Docker's default, and the rows below that differ from it. Pure.

Bubblewrap needs four calls that the default refuses (measured on engine 20.10 and 26.1). The agent does not get them: its
commands run below bubblewrap's own, tighter filter, see ``orchestrator.sandbox.seccomp``.

An unknown call must answer ENOSYS, or newer C libraries break instead of falling back. runc sees to that for every call that is
newer than the newest one named here; older ones that libraries try first are named in ``ENOSYS_NAMES``.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUSER = 0x10000000
ENOSYS = 38

ARCHITECTURES = (
    ("SCMP_ARCH_X86_64", ("SCMP_ARCH_X86", "SCMP_ARCH_X32")),
    ("SCMP_ARCH_AARCH64", ("SCMP_ARCH_ARM",)),
)

# Allowed by the default without a condition, and not by us; the reason is part of the row.
WITHOUT: dict[str, str] = {
    "io_uring_setup": "its operations pass every filter; newer engines leave it out too",
    "io_uring_enter": "as io_uring_setup",
    "io_uring_register": "as io_uring_setup",
    "socket": "allowed per address family below",
    "socketpair": "allowed per address family below",
    "socketcall": "the old 32-bit entry to the same calls hides the family behind a pointer",
}

# Newer than the list; engines since 24 allow them. Where a library does not know the name, the engine skips it.
NEWER_NAMES = (
    *("cachestat", "fchmodat2", "futex_requeue", "futex_wait", "futex_wake", "getxattrat", "listxattrat"),
    *("map_shadow_stack", "mseal", "pkey_alloc", "pkey_free", "pkey_mprotect", "removexattrat", "setxattrat"),
)

# Refused in a way that makes callers fall back: clone3 has its flags behind a pointer, so no filter can judge them.
ENOSYS_NAMES = (
    "clone3",
    "file_getattr",
    "file_setattr",
    "listmount",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "open_tree_attr",
    "statmount",
)

# Everything else (AF_VSOCK, AF_ALG, AF_PACKET, Bluetooth...) is not covered by the network namespace or has a history of holes.
FAMILIES = (("AF_UNIX", 1), ("AF_INET", 2), ("AF_INET6", 10), ("AF_NETLINK", 16))
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Condition:
    """On argument ``index``; for MASKED_EQ, (argument & ``value``) == ``other``."""

    index: int
    op: Literal["EQ", "MASKED_EQ"]
    value: int
    other: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    names: tuple[str, ...]
    condition: Condition | None = None
    errno: int | None = None  # None: allow


def rules() -> tuple[Rule, ...]:
    """All rows, in the order in which they stand in the profile."""
    return (
        Rule(tuple(name for name in default_names() if name not in WITHOUT)),
        Rule(NEWER_NAMES),
        *(Rule(("personality",), Condition(0, "EQ", value)) for value in PERSONALITIES),
        *(Rule(("socket",), Condition(0, "EQ", family)) for _, family in FAMILIES),
        Rule(("socketpair",), Condition(0, "EQ", 1)),
        # What bubblewrap needs beyond the default: namespaces but a cgroup's, one nested user namespace, a root of its own.
        Rule(("clone",), Condition(0, "MASKED_EQ", CLONE_NEWCGROUP, 0)),
        Rule(("unshare",), Condition(0, "EQ", CLONE_NEWUSER)),
        Rule(("mount", "umount2", "pivot_root")),
        Rule(ENOSYS_NAMES, errno=ENOSYS),
    )


@cache
def default_names() -> tuple[str, ...]:
    """Docker's own list."""
    text = resources.files("orchestrator.backends").joinpath("data/default-syscalls.json").read_text()
    return tuple(json.loads(text)["names"])


@cache
def profile() -> str:
    """The profile as the one JSON word that the engine takes."""
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "archMap": [{"architecture": name, "subArchitectures": list(sub)} for name, sub in ARCHITECTURES],
            "syscalls": [_row(rule) for rule in rules()],
        },
        separators=(",", ":"),
    )


def _row(rule: Rule) -> dict[str, Any]:
    row: dict[str, Any] = {"names": list(rule.names), "action": "SCMP_ACT_ALLOW"}
    if rule.errno is not None:
        row |= {"action": "SCMP_ACT_ERRNO", "errnoRet": rule.errno}
    if rule.condition is not None:
        row["args"] = [_condition(rule.condition)]
    return row


def _condition(condition: Condition) -> dict[str, Any]:
    # MASKED_EQ takes the mask as "value" and what must come out as "valueTwo".
    second = {"valueTwo": condition.other} if condition.op == "MASKED_EQ" else {}
    return {"index": condition.index, "value": condition.value, **second, "op": f"SCMP_CMP_{condition.op}"}
