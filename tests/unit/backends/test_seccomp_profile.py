"""The container's system call filter, row by row; what it does in a kernel is tested with real engines."""

import json

import pytest

from orchestrator.backends.seccomp_profile import ENOSYS, NEWER_NAMES, WITHOUT, default_names, profile, rules

PROFILE = json.loads(profile())


def rows(name: str) -> list[dict[str, object]]:
    """All rows that mention a call, without the list of names."""
    return [{key: value for key, value in row.items() if key != "names"} for row in PROFILE["syscalls"] if name in row["names"]]


def condition(index: int, op: str, value: int, **more: int) -> dict[str, object]:
    return {"index": index, "value": value, **more, "op": f"SCMP_CMP_{op}"}


ALLOW = "SCMP_ACT_ALLOW"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        pytest.param(
            "clone", [{"action": ALLOW, "args": [condition(0, "MASKED_EQ", 0x02000000, valueTwo=0)]}], id="all-namespaces-but-cgroup"
        ),
        pytest.param("unshare", [{"action": ALLOW, "args": [condition(0, "EQ", 0x10000000)]}], id="one-user-namespace"),
        pytest.param("mount", [{"action": ALLOW}], id="mount"),
        pytest.param("umount2", [{"action": ALLOW}], id="umount2"),
        pytest.param("pivot_root", [{"action": ALLOW}], id="pivot_root"),
        pytest.param("clone3", [{"action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}], id="clone3-falls-back"),
        pytest.param("socketpair", [{"action": ALLOW, "args": [condition(0, "EQ", 1)]}], id="socketpair-unix-only"),
        pytest.param("socket", [{"action": ALLOW, "args": [condition(0, "EQ", family)]} for family in (1, 2, 10, 16)], id="four-families"),
        pytest.param(
            "personality",
            [{"action": ALLOW, "args": [condition(0, "EQ", value)]} for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)],
            id="personality-as-the-default",
        ),
    ],
)
def test_rows_that_differ(name: str, wanted: list[dict[str, object]]) -> None:
    """Each call that differs from Docker's default has exactly the rows that were measured to be enough."""
    assert rows(name) == wanted


@pytest.mark.parametrize(
    "name",
    [
        *("io_uring_setup", "io_uring_enter", "io_uring_register", "socketcall"),
        *("setns", "chroot", "sethostname", "setdomainname", "keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd"),
        *("open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "init_module", "kexec_load", "reboot"),
        *("open_by_handle_at", "name_to_handle_at", "process_vm_readv", "pidfd_getfd", "syslog", "quotactl", "swapon", "acct"),
    ],
)
def test_stays_refused(name: str) -> None:
    """Nothing beyond the measured minimum is opened, and io_uring is closed."""
    assert rows(name) == []


@pytest.mark.parametrize("name", ["execve", "openat", "read", "seccomp", "ptrace", "futex", "landlock_create_ruleset", "prctl"])
def test_ordinary_calls_pass(name: str) -> None:
    """What every program needs is allowed without a condition, seccomp and prctl among it: bubblewrap and the recorder use them."""
    assert rows(name) == [{"action": ALLOW}]


def test_newer_calls_pass() -> None:
    """Calls that are newer than the captured default and harmless are allowed, as in newer engines."""
    assert all(rows(name) == [{"action": ALLOW}] for name in NEWER_NAMES)


def test_differs_from_the_default_by_named_rows_only() -> None:
    """Every name of Docker's own list is allowed, unless a row with a reason takes it out."""
    unconditional = {name for rule in rules() if rule.condition is None and rule.errno is None for name in rule.names}
    assert set(default_names()) - unconditional == set(WITHOUT)
    assert unconditional - set(default_names()) == {*NEWER_NAMES, "mount", "umount2", "pivot_root"}


def test_closed_by_default_and_complete() -> None:
    """What no row names is refused, on both processors."""
    assert PROFILE["defaultAction"] == "SCMP_ACT_ERRNO"
    assert [row["architecture"] for row in PROFILE["archMap"]] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]
    assert set(PROFILE) == {"defaultAction", "archMap", "syscalls"}
