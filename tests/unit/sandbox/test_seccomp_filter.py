"""The filter, run by a small interpreter of classic BPF over a table of calls, for both machines."""

# ruff: noqa: E501 - a row of a table stays one line

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.sandbox.seccomp import FilterOptions, build_filter, denied_calls, filter_digest

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS, EPROTONOSUPPORT, EAFNOSUPPORT = 1, 38, 93, 97
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X86, ARM = "x86_64", "aarch64"
NO_OPTIONS = FilterOptions()
NAMES = {ALLOW: "allow", KILL: "kill"}


def interpret(program: bytes, arch: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """The value that the filter returns."""
    filled = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(value & 0xFFFFFFFFFFFFFFFF for value in filled))
    code = [struct.unpack_from("<HBBI", program, offset) for offset in range(0, len(program), 8)]
    accumulator, at = 0, 0
    for _ in range(len(code)):
        operation, yes, no, k = code[at]
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif operation == 0x54:
            accumulator &= k
        elif operation == 0x06:
            return k
        else:
            taken = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[operation]
            at += yes if taken else no
    raise AssertionError("the program did not return")


def action(machine: str, number: int, *arguments: int, options: FilterOptions = NO_OPTIONS) -> str | int:
    """``allow``, ``kill`` or the errno."""
    value = interpret(build_filter(machine, options), ARCH[machine], number, arguments)
    return NAMES.get(value) or value - ERRNO


CLONE = {X86: 56, ARM: 220}
IOCTL = {X86: 16, ARM: 29}
FCNTL = {X86: 72, ARM: 25}
SETRLIMIT, PRLIMIT = {X86: 160, ARM: 164}, {X86: 302, ARM: 261}
DONE = 0  # said to be done, and not done
SOCKET = {X86: 41, ARM: 198}
SOCKETPAIR = {X86: 53, ARM: 199}
NEW = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)


@pytest.mark.parametrize("machine", [X86, ARM])
@pytest.mark.parametrize(
    ("table", "arguments", "wanted"),
    [
        pytest.param(CLONE, (0x1200011,), "allow", id="fork"),
        pytest.param(CLONE, (0x3D0F00,), "allow", id="thread"),
        *(pytest.param(CLONE, (bit | 17,), EPERM, id=f"clone-{bit:#x}") for bit in NEW),
        pytest.param(CLONE, (0xFFFFFFFF00000011,), "allow", id="clone-high-bits"),
        pytest.param({X86: 435, ARM: 435}, (), ENOSYS, id="clone3"),
        pytest.param(IOCTL, (0, 0x5413), "allow", id="winsize"),
        pytest.param(IOCTL, (0, 0x5412), EPERM, id="TIOCSTI"),
        pytest.param(IOCTL, (0, 0x1_0000_5412), EPERM, id="TIOCSTI-high-bits"),
        pytest.param(IOCTL, (0, 0xFFFFFFFF_00005412), EPERM, id="TIOCSTI-all-high-bits"),
        pytest.param(IOCTL, (0, 0x541C), EPERM, id="TIOCLINUX"),
        pytest.param(FCNTL, (3, 1024, 1), EPERM, id="lease"),
        pytest.param(FCNTL, (3, 0xFFFFFFFF_00000400, 1), EPERM, id="lease-high-bits"),
        pytest.param(FCNTL, (3, 1033, 1), "allow", id="seals"),
        pytest.param(SETRLIMIT, (4, 0x7000), DONE, id="core-limit"),
        pytest.param(SETRLIMIT, (0x1_0000_0004, 0x7000), DONE, id="core-limit-high-bits"),
        pytest.param(SETRLIMIT, (7, 0x7000), "allow", id="files-limit"),
        pytest.param(PRLIMIT, (0, 4, 0x7000_0000_0000, 0), DONE, id="new-core-limit"),
        pytest.param(PRLIMIT, (0, 4, 0x7000, 0x7000), DONE, id="new-core-limit-low"),
        pytest.param(PRLIMIT, (0, 4, 0, 0x7000), "allow", id="read-core-limit"),
        pytest.param(PRLIMIT, (0, 7, 0x7000, 0), "allow", id="new-files-limit"),
        pytest.param(SOCKET, (1, 1, 0), "allow", id="unix"),
        pytest.param(SOCKET, (1, 2 | 0x80000, 0), "allow", id="unix-dgram-cloexec"),
        pytest.param(SOCKET, (2, 1, 0), "allow", id="tcp"),
        pytest.param(SOCKET, (2, 1 | 0x80800, 6), "allow", id="tcp-flags"),
        pytest.param(SOCKET, (2, 2, 17), "allow", id="udp"),
        pytest.param(SOCKET, (10, 1, 6), "allow", id="tcp6"),
        pytest.param(SOCKET, (2, 2, 1), EPROTONOSUPPORT, id="ping"),
        pytest.param(SOCKET, (2, 1, 132), EPROTONOSUPPORT, id="sctp"),
        pytest.param(SOCKET, (2, 1, 262), EPROTONOSUPPORT, id="mptcp"),
        pytest.param(SOCKET, (2, 3, 255), EPERM, id="raw"),
        pytest.param(SOCKET, (2, 3 | 0x80000, 1), EPERM, id="raw-cloexec"),
        pytest.param(SOCKET, (10, 3, 58), EPERM, id="raw6"),
        pytest.param(SOCKET, (2, 10, 0), EPERM, id="packet-type"),
        pytest.param(SOCKET, (16, 3, 0), "allow", id="netlink-route"),
        pytest.param(SOCKET, (16, 3, 12), EAFNOSUPPORT, id="netlink-netfilter"),
        *(pytest.param(SOCKET, (family, 1, 0), EAFNOSUPPORT, id=f"family-{family}") for family in (0, 3, 4, 15, 17, 21, 29, 30, 31, 38, 40, 41, 43, 44, 45, 0x7FFFFFFF)),
        pytest.param(SOCKET, (0x1_0000_0001, 1, 0), "allow", id="family-high-bits"),  # the kernel takes an int: this is AF_UNIX to it too
        pytest.param(SOCKETPAIR, (1, 1, 0), "allow", id="socketpair"),
        pytest.param(SOCKETPAIR, (2, 1, 0), EAFNOSUPPORT, id="socketpair-inet"),
        pytest.param({X86: 0, ARM: 63}, (), "allow", id="read"),
        pytest.param({X86: 59, ARM: 221}, (), "allow", id="execve"),
        pytest.param({X86: 322, ARM: 281}, (), "allow", id="execveat"),
        pytest.param({X86: 319, ARM: 279}, (), "allow", id="memfd_create"),
        pytest.param({X86: 434, ARM: 434}, (), "allow", id="pidfd_open"),
        pytest.param({X86: 600, ARM: 600}, (), "allow", id="unknown"),
    ],
)  # fmt: skip
def test_calls_with_arguments(machine: str, table: dict[str, int], arguments: tuple[int, ...], wanted: str | int) -> None:
    """Each row: what the kernel would be told."""
    assert action(machine, table[machine], *arguments) == wanted


# Numbers from the kernel's own tables, not from ours.
FROM_THE_KERNEL = {
    "ptrace": (101, 117), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "setns": (308, 268), "unshare": (272, 97),
    "keyctl": (250, 219), "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241), "io_uring_setup": (425, 425),
    "open_by_handle_at": (304, 265), "kexec_load": (246, 104), "init_module": (175, 105), "process_vm_readv": (310, 270), "chroot": (161, 51),
    "fsopen": (430, 430), "move_mount": (429, 429), "mount_setattr": (442, 442), "reboot": (169, 142), "syslog": (103, 116), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "add_key": (248, 217), "quotactl": (179, 60), "sethostname": (170, 161), "fanotify_init": (300, 262),
}  # fmt: skip


@pytest.mark.parametrize(("name", "numbers"), FROM_THE_KERNEL.items(), ids=FROM_THE_KERNEL)
def test_denied_calls(name: str, numbers: tuple[int, int]) -> None:
    """Refused with EPERM whatever the arguments, under the number that each machine gives it."""
    for machine, number in zip((X86, ARM), numbers, strict=True):
        assert denied_calls(machine)[name] == number
        assert action(machine, number, 1, 2, 3, 4, 5, 6) == EPERM


@pytest.mark.parametrize(
    ("machine", "arch", "number"),
    [
        (X86, 0x40000003, 11),  # i386: execve has another number there
        (X86, 0xC00000B7, 221),
        (X86, 0, 0),
        (ARM, 0x40000028, 11),  # 32-bit arm
        (ARM, 0xC000003E, 59),
    ],
)
def test_a_foreign_architecture_is_killed(machine: str, arch: int, number: int) -> None:
    """Its numbers mean something else."""
    assert interpret(build_filter(machine), arch, number) == KILL


@pytest.mark.parametrize("number", [0x40000000, 0x40000000 | 59, 0x40000208, 0x7FFFFFFF, 0xFFFFFFFF])
def test_x32_calls_are_killed(number: int) -> None:
    """The same kernel entry with a bit set is another table."""
    assert interpret(build_filter(X86), ARCH[X86], number) == KILL


@settings(max_examples=200, deadline=None)
@given(machine=st.sampled_from([X86, ARM]), number=st.integers(0, 2**32 - 1), arguments=st.tuples(*[st.integers(0, 2**64 - 1)] * 6))
def test_every_call_gets_an_answer(machine: str, number: int, arguments: tuple[int, ...]) -> None:
    """No input runs past the end, and a denied number is never allowed."""
    value = interpret(build_filter(machine), ARCH[machine], number, arguments)
    assert value in (ALLOW, KILL) or value & 0xFFFF0000 == ERRNO
    if number in denied_calls(machine).values():
        assert value == ERRNO | EPERM


def test_switches_free_only_what_they_name() -> None:
    """A debugger's filter frees ptrace and nothing else."""
    free = set(denied_calls(X86)) - set(denied_calls(X86, FilterOptions(allow_ptrace=True)))
    assert free == {"ptrace", "process_vm_readv", "process_vm_writev"}
    assert action(X86, 101, options=FilterOptions(allow_ptrace=True)) == "allow"
    assert action(X86, 56, 0x10000011, options=FilterOptions(allow_user_namespaces=True)) == "allow"
    assert action(X86, 250, options=FilterOptions(allow_user_namespaces=True)) == EPERM


def test_digests_tell_filters_apart() -> None:
    """The digest stands in the plan: it is the filter's, and the same each time."""
    digests = {filter_digest(X86), filter_digest(ARM), filter_digest(X86, FilterOptions(allow_ptrace=True))}
    assert len(digests) == 3
    assert filter_digest(X86) == filter_digest(X86)


def test_an_unknown_machine() -> None:
    """No table, no filter."""
    with pytest.raises(KeyError):
        build_filter("riscv64")


def test_the_programs_are_within_the_kernels_limit() -> None:
    """At most 4096 instructions."""
    assert all(len(build_filter(machine)) // 8 < 4096 for machine in (X86, ARM))
