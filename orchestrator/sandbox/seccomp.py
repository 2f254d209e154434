"""The system call filter of the sandbox, assembled by hand: a table, an assembler, no dependency.

Namespaces do not cover everything: sockets of other families (AF_VSOCK, AF_ALG), keyrings, io_uring, the new mount
interface and terminal injection pass them by. What is named here is refused with an errno; a foreign architecture and
the x32 calls are killed, because their numbers mean something else.

Sources: the kernel's unistd tables; Docker's and flatpak's published lists for what to deny; CVE-2017-5226 and
CVE-2019-10063 (terminal ioctls are compared on the low 32 bits only).
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

EPERM, ENOSYS, EPROTONOSUPPORT, EAFNOSUPPORT = 1, 38, 93, 97

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_LOAD, _JEQ, _JGE, _JSET, _AND, _RET = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_AT_NR, _AT_ARCH, _AT_ARGS = 0, 4, 16

_AUDIT_ARCH: Mapping[str, int] = MappingProxyType({"x86_64": 0xC000003E, "aarch64": 0xC00000B7})
_COLUMN: Mapping[str, int] = MappingProxyType({"x86_64": 0, "aarch64": 1})
_X32_BIT = 0x40000000

# Numbers for (x86_64, aarch64); None: the call does not exist there.
_NUMBERS: Mapping[str, tuple[int | None, int | None]] = MappingProxyType(
    {
        # looking into or steering other processes
        "ptrace": (101, 117),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "process_madvise": (440, 440),
        "kcmp": (312, 272),
        "pidfd_getfd": (438, 438),
        # kernel interfaces with a history of escapes, and which no namespace covers
        "keyctl": (250, 219),
        "add_key": (248, 217),
        "request_key": (249, 218),
        "bpf": (321, 280),
        "userfaultfd": (323, 282),
        "perf_event_open": (298, 241),
        "io_uring_setup": (425, 425),
        "io_uring_enter": (426, 426),
        "io_uring_register": (427, 427),
        # mounts, roots, namespaces
        "mount": (165, 40),
        "umount2": (166, 39),
        "pivot_root": (155, 41),
        "chroot": (161, 51),
        "setns": (308, 268),
        "unshare": (272, 97),
        "open_tree": (428, 428),
        "move_mount": (429, 429),
        "fsopen": (430, 430),
        "fsconfig": (431, 431),
        "fsmount": (432, 432),
        "fspick": (433, 433),
        "mount_setattr": (442, 442),
        "open_tree_attr": (467, 467),
        # the machine
        "init_module": (175, 105),
        "finit_module": (313, 273),
        "delete_module": (176, 106),
        "kexec_file_load": (320, 294),
        "kexec_load": (246, 104),
        "reboot": (169, 142),
        "swapon": (167, 224),
        "swapoff": (168, 225),
        "acct": (163, 89),
        "syslog": (103, 116),
        "quotactl": (179, 60),
        "quotactl_fd": (443, 443),
        "ioperm": (173, None),
        "iopl": (172, None),
        "name_to_handle_at": (303, 264),
        "open_by_handle_at": (304, 265),
        "fanotify_init": (300, 262),
        "lookup_dcookie": (212, 18),
        "nfsservctl": (180, 42),
        "uselib": (134, None),
        "sethostname": (170, 161),
        "setdomainname": (171, 162),
        "settimeofday": (164, 170),
        "clock_settime": (227, 112),
        "clock_adjtime": (305, 266),
        "adjtimex": (159, 171),
        "modify_ldt": (154, None),
        "vhangup": (153, 58),
        # memory that outlives or crosses the limits
        "move_pages": (279, 239),
        "mbind": (237, 235),
        "migrate_pages": (256, 238),
        "set_mempolicy": (238, 237),
        "set_mempolicy_home_node": (450, 450),
        "vmsplice": (278, 75),
        "memfd_secret": (447, 447),
    }
)
_CLONE: Mapping[str, int] = MappingProxyType({"x86_64": 56, "aarch64": 220})
_CLONE3 = 435
_IOCTL: Mapping[str, int] = MappingProxyType({"x86_64": 16, "aarch64": 29})
_FCNTL: Mapping[str, int] = MappingProxyType({"x86_64": 72, "aarch64": 25})
_SOCKET: Mapping[str, int] = MappingProxyType({"x86_64": 41, "aarch64": 198})
_SOCKETPAIR: Mapping[str, int] = MappingProxyType({"x86_64": 53, "aarch64": 199})

_CLONE_NEW = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x00000080
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_SETRLIMIT: Mapping[str, int] = MappingProxyType({"x86_64": 160, "aarch64": 164})
_PRLIMIT: Mapping[str, int] = MappingProxyType({"x86_64": 302, "aarch64": 261})
_RLIMIT_CORE = 4
_F_SETLEASE = 1024  # on a file that is shared read-only it makes its next reader outside wait for most of a minute
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_TYPE_MASK, _SOCK_STREAM, _SOCK_DGRAM = 0xF, 1, 2
_PROTOCOLS = (0, 6, 17)  # by type, TCP, UDP: no ping sockets, no SCTP, no MPTCP


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """Switches for programs that need more: debuggers, and agents with a sandbox of their own."""

    allow_ptrace: bool = False
    allow_user_namespaces: bool = False


@dataclass(frozen=True, slots=True)
class _Jump:
    """One instruction whose targets are labels; an empty label is the next instruction."""

    code: int
    k: int
    yes: str = ""
    no: str = ""


_Item = _Jump | tuple[int, int] | str  # a jump, (code, k), or a label


def denied_calls(machine: str, options: FilterOptions = FilterOptions()) -> Mapping[str, int]:
    """Name -> number of each call that is refused whatever its arguments."""
    freed = {"ptrace", "process_vm_readv", "process_vm_writev"} if options.allow_ptrace else set()
    freed |= {"unshare", "mount", "umount2", "pivot_root", "chroot"} if options.allow_user_namespaces else set()
    column = _COLUMN[machine]
    return {
        name: number for name, numbers in _NUMBERS.items() if name not in freed and (number := numbers[column]) is not None
    }


def build_filter(machine: str, options: FilterOptions = FilterOptions()) -> bytes:
    """The filter as ``struct sock_filter[]`` for ``bwrap --seccomp``.

    Raises:
        KeyError: no table for this machine (x86_64 and aarch64 have one).
    """
    return _assemble(_program(machine, options))


def filter_digest(machine: str, options: FilterOptions = FilterOptions()) -> str:
    """``sha256:<hex>`` of the filter: it goes into the plan."""
    return "sha256:" + hashlib.sha256(build_filter(machine, options)).hexdigest()


def _program(machine: str, options: FilterOptions) -> list[_Item]:
    new_bits = 0 if options.allow_user_namespaces else _CLONE_NEW
    return [
        (_LOAD, _AT_ARCH),
        _Jump(_JEQ, _AUDIT_ARCH[machine], "", "kill"),
        (_LOAD, _AT_NR),
        *([_Jump(_JGE, _X32_BIT, "kill", "")] if machine == "x86_64" else []),
        _Jump(_JEQ, _CLONE3, "enosys", ""),  # its flags lie behind a pointer: libc falls back to clone
        _Jump(_JEQ, _CLONE[machine], "clone", ""),
        _Jump(_JEQ, _IOCTL[machine], "ioctl", ""),
        _Jump(_JEQ, _FCNTL[machine], "fcntl", ""),
        _Jump(_JEQ, _SETRLIMIT[machine], "setrlimit", ""),
        _Jump(_JEQ, _PRLIMIT[machine], "prlimit", ""),
        _Jump(_JEQ, _SOCKET[machine], "socket", ""),
        _Jump(_JEQ, _SOCKETPAIR[machine], "socketpair", ""),
        *(_Jump(_JEQ, number, "eperm", "") for number in denied_calls(machine, options).values()),
        (_RET, _ALLOW),
        "clone",
        (_LOAD, _argument(0)),
        _Jump(_JSET, new_bits, "eperm", "allow"),
        "ioctl",
        (_LOAD, _argument(1)),
        _Jump(_JEQ, _TIOCSTI, "eperm", ""),
        _Jump(_JEQ, _TIOCLINUX, "eperm", "allow"),
        "fcntl",
        (_LOAD, _argument(1)),
        _Jump(_JEQ, _F_SETLEASE, "eperm", "allow"),
        # The launcher set the limit of core dumps to 1, at which the kernel starts no program for them. At 0 it would, outside and
        # as root. Programs that set it to 0 mean well (gpg, ssh-agent end when they cannot), so they are told that it was done.
        "setrlimit",
        (_LOAD, _argument(0)),
        _Jump(_JEQ, _RLIMIT_CORE, "pretend", "allow"),
        "prlimit",
        (_LOAD, _argument(1)),
        _Jump(_JEQ, _RLIMIT_CORE, "", "allow"),
        (_LOAD, _argument(2)),  # the new limit: a pointer, of which both halves are zero when it is only asked for
        _Jump(_JEQ, 0, "", "pretend"),
        (_LOAD, _argument(2) + 4),
        _Jump(_JEQ, 0, "allow", "pretend"),
        "socket",
        (_LOAD, _argument(0)),
        _Jump(_JEQ, _AF_UNIX, "allow", ""),
        _Jump(_JEQ, _AF_INET, "inet", ""),
        _Jump(_JEQ, _AF_INET6, "inet", ""),
        _Jump(_JEQ, _AF_NETLINK, "netlink", "eafnosupport"),
        "inet",
        (_LOAD, _argument(1)),
        (_AND, _SOCK_TYPE_MASK),
        _Jump(_JEQ, _SOCK_STREAM, "protocol", ""),
        _Jump(_JEQ, _SOCK_DGRAM, "protocol", "eperm"),
        "protocol",
        (_LOAD, _argument(2)),
        *(_Jump(_JEQ, protocol, "allow", "") for protocol in _PROTOCOLS),
        (_RET, _errno(EPROTONOSUPPORT)),
        "netlink",  # route only: getifaddrs, Node and Go list interfaces with it
        (_LOAD, _argument(2)),
        _Jump(_JEQ, 0, "allow", "eafnosupport"),
        "socketpair",
        (_LOAD, _argument(0)),
        _Jump(_JEQ, _AF_UNIX, "allow", "eafnosupport"),
        "allow",
        (_RET, _ALLOW),
        "pretend",
        (_RET, _errno(0)),
        "eperm",
        (_RET, _errno(EPERM)),
        "enosys",
        (_RET, _errno(ENOSYS)),
        "eafnosupport",
        (_RET, _errno(EAFNOSUPPORT)),
        "kill",
        (_RET, _KILL),
    ]


def _argument(index: int) -> int:
    # Little-endian: the low half of a 64-bit argument comes first. The kernel reads these arguments as 32-bit ints.
    return _AT_ARGS + 8 * index


def _errno(number: int) -> int:
    return 0x00050000 | number


def _assemble(program: list[_Item]) -> bytes:
    labels: dict[str, int] = {}
    instructions: list[_Jump | tuple[int, int]] = []
    for item in program:
        if isinstance(item, str):
            labels[item] = len(instructions)
        else:
            instructions.append(item)
    return b"".join(_encode(item, at, labels) for at, item in enumerate(instructions))


def _encode(item: _Jump | tuple[int, int], at: int, labels: Mapping[str, int]) -> bytes:
    if isinstance(item, tuple):
        return struct.pack("<HBBI", item[0], 0, 0, item[1])
    offsets = [labels[label] - at - 1 if label else 0 for label in (item.yes, item.no)]
    if not all(0 <= offset <= 255 for offset in offsets):
        raise ValueError(f"jump out of reach at {at}: {offsets}")
    return struct.pack("<HBBI", item.code, *offsets, item.k)
