"""Limits of local runs: the scope's command line, and what is said where there is none."""

from pathlib import Path

import pytest

from orchestrator.backends.cgroups import Groups, Home
from orchestrator.backends.local import Means
from orchestrator.backends.scope import Scope, bus_environment
from orchestrator.model.task import Limits

LIMITS = Limits(cpus=1.5, memory_bytes=4 << 30, pids=512, disk_bytes=1 << 30, open_files=1024, timeout_s=60.0, grace_s=1.0)


@pytest.mark.parametrize(("user", "manager"), [(True, ("--user",)), (False, ())])
def test_scope_command(user: bool, manager: tuple[str, ...]) -> None:
    """All three limits, for the whole tree, with the command after ``--``."""
    words = Scope("/usr/bin/systemd-run", user).command("aienv-x-task", LIMITS)
    assert words[: 1 + len(manager)] == ("/usr/bin/systemd-run", *manager)
    assert [words[at + 1] for at, word in enumerate(words) if word == "-p"] == [
        "MemoryMax=4294967296", "MemorySwapMax=0", "TasksMax=512", "CPUQuota=150%",
    ]  # fmt: skip
    assert words[-1] == "--"


def home(controller: str) -> Home:
    return Home(controller, 1, Path("/sys/fs/cgroup") / controller)


@pytest.mark.parametrize(
    ("means", "unlimited", "words"),
    [
        (Means(Scope("systemd-run", True), None), (), "systemd scope"),
        (Means(None, Groups((home("memory"), home("pids"), home("cpu")))), (), "control groups (cgroup v1): memory, pids, cpu"),
        (Means(None, Groups((home("memory"), home("pids")))), ("cpus",), "control groups (cgroup v1): memory, pids; whole processors"),
        (Means(None, Groups((home("pids"),))), ("memory", "cpus"), "control groups (cgroup v1): pids"),
        (Means(None, None), ("memory", "cpus"), "the whole is watched"),
    ],
)
def test_what_is_not_limited_is_named(means: Means, unlimited: tuple[str, ...], words: str) -> None:
    """Memory that is only watched may be over its limit for a moment, processors can be taken back; the workspace is watched everywhere."""
    assert means.unlimited == unlimited
    assert words in means.words


def test_only_the_bus_is_passed_on() -> None:
    """The launcher's environment gets nothing else of the user's."""
    assert bus_environment({"XDG_RUNTIME_DIR": "/run/user/1", "SECRET": "x"}) == {"XDG_RUNTIME_DIR": "/run/user/1"}
