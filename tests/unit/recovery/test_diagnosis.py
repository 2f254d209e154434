"""What a machine's facts mean: tables of machines, and the facts of this one."""

# ruff: noqa: E501 - a row of a table stays one line

import errno
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.model.paths import paths_from
from orchestrator.recovery import machine
from orchestrator.recovery.diagnosis import (
    ROWS,
    Bwrap,
    Check,
    Clock,
    Disk,
    Facts,
    Groups,
    Problem,
    SshAgent,
    Trust,
    Unknown,
    Usable,
    diagnose,
    usable,
)

ROOT = Path(__file__).parents[3]
WORKS = dict.fromkeys(
    (
        "memfd",
        "pidfd",
        "close_range",
        "seccomp_notify",
        "seccomp_filter",
        "user_namespace",
        "id_maps",
        "namespaces",
        "loopback",
        "mount",
        "overlay",
    ),
    0,
)
LOCAL = Usable("0.8.0", "sandbox", (("bwrap", "/usr/bin/bwrap"), ("runs as uid", "1000")), ())
DOCKER = Usable("20.10.24", "container+sandbox", (("address", "unix:///var/run/docker.sock"), ("api", "1.41")), ())
NO_DOCKER = Problem(
    "engine-missing",
    "no Docker engine at unix:///var/run/docker.sock (default): there is no such socket",
    "install and start Docker, set DOCKER_HOST, or choose --backend local",
)
NO_SANDBOX = Problem("no-user-namespaces", "bubblewrap cannot make a sandbox here: it was refused", "see the remedy")

DEBIAN_12 = Facts(
    uid=1000,
    python=("3.11.2", "/usr/bin/python3"),
    machine="x86_64",
    release="6.1.0-28-amd64",
    container=False,
    settings={"kernel.unprivileged_userns_clone": "1", "user.max_user_namespaces": "63000"},
    kernel={**WORKS, "landlock": 2},
    apparmor="unconfined",
    selinux=None,
    seccomp_actions=("kill_process", "kill_thread", "trap", "errno", "user_notif", "trace", "log", "allow"),
    bwrap=Bwrap("/usr/bin/bwrap", "bubblewrap 0.8.0", False),
    local=LOCAL,
    docker=DOCKER,
    groups=Groups(2, "scope", "systemd scope", ("memory", "pids"), True),
    git="2.39.5",
    git_lfs="3.3.0",
    disk=Disk("/home/ann/.local/state", 40 << 30, 2_000_000),
    clock=Clock(1_750_000_000.0, 1_740_000_000.0, True),
    trust=Trust("/etc/ssl/certs/ca-certificates.crt", 142, "43.0.0"),
    ssh_agent=SshAgent("/run/user/1000/ssh", 1),
    unfinished=(),
)  # fmt: skip
UBUNTU_24 = replace(
    DEBIAN_12,
    release="6.8.0-50-generic",
    settings={"kernel.apparmor_restrict_unprivileged_userns": "1", "user.max_user_namespaces": "63000"},
    kernel={**WORKS, "landlock": 4, "namespaces": errno.EPERM, "loopback": errno.EPERM},
    local=NO_SANDBOX,
)
UBUNTU_24_WITH_PROFILE = replace(UBUNTU_24, local=LOCAL)
IN_CONTAINER = replace(
    DEBIAN_12,
    uid=0,
    container=True,
    apparmor="docker-default (enforce)",
    kernel={**WORKS, "landlock": -errno.EPERM, "user_namespace": errno.EPERM},
    local=NO_SANDBOX,
    docker=NO_DOCKER,
    groups=Groups(2, None, "", (), False),
    ssh_agent=None,
)
FEDORA = replace(
    DEBIAN_12, apparmor=None, selinux="enforcing", settings={"user.max_user_namespaces": "63000"}, release="6.11.4-301.fc41.x86_64"
)
OLD_KERNEL = replace(
    DEBIAN_12,
    release="4.19.0",
    kernel={
        **WORKS,
        "pidfd": errno.ENOSYS,
        "close_range": errno.ENOSYS,
        "landlock": -errno.ENOSYS,
        "seccomp_notify": errno.EOPNOTSUPP,
        "overlay": errno.EPERM,
    },
    groups=Groups(1, None, "", (), True),
    docker=replace(DOCKER, unlimited=("memory",)),
)


def found(facts: Facts) -> dict[str, Check]:
    return {check.id: check for check in diagnose(facts)}


@pytest.mark.parametrize(
    ("facts", "not_ok", "may_run"),
    [
        pytest.param(DEBIAN_12, {}, True, id="debian-12"),
        pytest.param(UBUNTU_24, {"user-namespaces": "failed", "apparmor": "failed", "backend-local": "failed"}, True, id="ubuntu-24.04"),
        pytest.param(UBUNTU_24_WITH_PROFILE, {"apparmor": "warning"}, True, id="ubuntu-24.04-with-a-profile-for-bwrap"),
        pytest.param(replace(UBUNTU_24_WITH_PROFILE, docker=NO_DOCKER), {"backend-docker": "failed"}, True, id="the-same-without-docker"),
        pytest.param(IN_CONTAINER, {"user-namespaces": "failed", "backend-local": "failed", "backend-docker": "failed", "control-groups": "warning"}, False, id="in-a-container"),
        pytest.param(FEDORA, {}, True, id="selinux"),
        pytest.param(replace(FEDORA, local=NO_SANDBOX), {"selinux": "warning", "backend-local": "failed"}, True, id="selinux-and-no-sandbox"),
        pytest.param(OLD_KERNEL, {"kernel": "warning", "overlayfs": "warning", "control-groups": "warning", "engine-limits": "warning"}, True, id="linux-4.19-and-cgroup-v1"),
    ],
)  # fmt: skip
def test_machines(facts: Facts, not_ok: dict[str, str], may_run: bool) -> None:
    """Every check that is not fine, and whether a task can run."""
    checks = diagnose(facts)
    assert {check.id: check.status for check in checks if check.status != "ok"} == not_ok
    assert usable(checks) is may_run


CASES = [
    ("python", {"python": ("3.10.4", "/p")}, "failed", "3.11"),
    ("git", {"git": None}, "failed", "apt install git"),
    ("git", {"git": "2.17.1"}, "failed", "2.31 or newer"),
    ("git", {"git": "2.39.5.windows.1"}, "ok", "2.39.5"),
    ("git", {"git": Unknown("git ended with 1: boom")}, "failed", "boom"),
    ("git-lfs", {"git_lfs": None}, "warning", "apt install git-lfs"),
    ("processor", {"machine": "riscv64"}, "failed", "x86_64 and aarch64"),
    ("bwrap", {"bwrap": None}, "failed", "apt install bubblewrap"),
    ("bwrap", {"bwrap": Bwrap("/usr/bin/bwrap", "bubblewrap 0.4.0", False)}, "failed", "0.8.0"),
    ("bwrap", {"bwrap": Bwrap("/usr/bin/bwrap", "bubblewrap 0.11.0", False)}, "ok", "0.11.0"),
    ("bwrap", {"bwrap": Bwrap("/usr/bin/bwrap", "", True)}, "failed", "chmod u-s /usr/bin/bwrap"),
    ("bwrap", {"bwrap": Bwrap("/usr/bin/bwrap", "", False)}, "failed", "0.8.0"),
    ("bwrap", {"bwrap": Unknown("exec format error")}, "failed", "exec format error"),
    ("user-namespaces", {"settings": {"user.max_user_namespaces": "0"}, "kernel": {**WORKS, "user_namespace": errno.ENOSPC}, "local": NO_SANDBOX}, "failed", "sysctl -w user.max_user_namespaces"),
    ("user-namespaces", {"settings": {"kernel.unprivileged_userns_clone": "0"}, "kernel": {**WORKS, "user_namespace": errno.EPERM}, "local": NO_SANDBOX}, "failed", "unprivileged_userns_clone=1"),
    ("user-namespaces", {"settings": {}, "kernel": {**WORKS, "user_namespace": errno.EPERM}, "local": NO_SANDBOX}, "failed", "the kernel refused: making one: EPERM"),
    ("user-namespaces", {"kernel": Unknown("no answer within 20 s")}, "warning", "no answer within 20 s"),
    ("apparmor", {"apparmor": None}, "ok", "not in this kernel"),
    ("seccomp", {"seccomp_actions": ()}, "failed", "CONFIG_SECCOMP_FILTER"),
    ("kernel", {"kernel": {**WORKS, "landlock": 7, "memfd": errno.ENOSYS}}, "failed", "memory files: ENOSYS (Linux 3.17)"),
    ("kernel", {"kernel": {}}, "failed", "ENOSYS"),
    ("overlayfs", {"kernel": {**WORKS, "overlay": errno.EPERM}}, "warning", "5.11"),
    ("cgroups", {"groups": Groups(None, None, "", (), False)}, "warning", "/sys/fs/cgroup"),
    ("cgroups", {"groups": Groups(1, None, "", (), True)}, "ok", "version 1"),
    ("control-groups", {"groups": Groups(2, None, "", (), True)}, "warning", "enable-linger"),
    ("control-groups", {"groups": Groups(2, None, "", (), False)}, "warning", "no systemd to ask"),
    ("control-groups", {"groups": Groups(1, None, "", (), True)}, "warning", "only root"),
    ("control-groups", {"groups": Groups(1, "groups", "version 1: memory, pids", ("memory", "pids"), True), "uid": 0}, "ok", "memory, pids"),
    ("control-groups", {"groups": Groups(1, "groups", "version 1: pids", ("pids",), True), "uid": 0}, "warning", "cannot be written"),
    ("backend-docker", {"docker": NO_DOCKER}, "failed", "engine-missing"),
    ("backend-docker", {"docker": Unknown("no answer within 20 s")}, "failed", "no answer within 20 s"),
    ("backend-local", {"local": NO_SANDBOX}, "failed", "see the remedy"),
    ("engine-limits", {"docker": replace(DOCKER, unlimited=("memory", "cpus"))}, "warning", "memory, cpus"),
    ("disk", {"disk": Disk("/s", 1 << 30, None)}, "warning", "aienv gc"),
    ("disk", {"disk": Disk("/s", 1 << 40, 1000)}, "warning", "inodes"),
    ("disk", {"disk": Disk("/s", 1 << 40, None)}, "ok", "1.0 TiB"),
    ("disk", {"disk": Unknown("Permission denied")}, "failed", "AIENV_HOME"),
    ("clock", {"clock": Clock(1_000_000_000.0, 1_740_000_000.0, False)}, "failed", "timedatectl"),
    ("clock", {"clock": Clock(1_740_000_000.0, 1_740_000_100.0, False)}, "ok", "runs by itself"),
    ("certificates", {"trust": Trust(None, 0, "43")}, "warning", "apt install ca-certificates"),
    ("certificates", {"trust": Trust("/b", 0, "43")}, "warning", "no certificates in /b"),
    ("cryptography", {"trust": Trust("/b", 3, None)}, "warning", "pip install cryptography"),
    ("ssh-agent", {"ssh_agent": None}, "ok", "only git.ssh"),
    ("ssh-agent", {"ssh_agent": SshAgent("/s", 0)}, "warning", "ssh-add"),
    ("ssh-agent", {"ssh_agent": SshAgent("/s", None)}, "warning", "no ssh agent"),
    ("ssh-agent", {"ssh_agent": Unknown("Connection refused")}, "warning", "Connection refused"),
    ("runs", {"unfinished": ("0abc", "0abd")}, "warning", "0abc, 0abd"),
]  # fmt: skip


@pytest.mark.parametrize(("number", "change", "status", "said"), CASES)
def test_one_check(number: str, change: dict[str, object], status: str, said: str) -> None:
    """What is lacking is named with its cause and its cure; the nearest that is fine passes."""
    check = found(replace(DEBIAN_12, **change))[number]  # type: ignore[arg-type]
    assert check.status == status
    assert said in " | ".join(text or "" for text in (check.detail, check.cause, check.remedy))
    if status != "ok":
        assert (bool(check.cause), bool(check.remedy)) == (True, True)


def test_every_check_has_a_case() -> None:
    """A new check is tried with a machine that lacks what it looks at, or stands in one of the machines above."""
    in_machines = {"user-namespaces", "apparmor", "selinux"}
    assert {number for number, _, _ in ROWS} == {case[0] for case in CASES} | in_machines


def test_the_manual_has_every_check() -> None:
    """In their order; ids are a contract."""
    text = (ROOT / "docs" / "doctor.md").read_text().partition("| Check |")[2]
    assert re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE) == [number for number, _, _ in ROWS]


def test_without_git_nothing_runs() -> None:
    """Whatever the backends say."""
    assert not usable(diagnose(replace(DEBIAN_12, git=None)))
    assert usable(diagnose(replace(DEBIAN_12, docker=NO_DOCKER)))
    assert usable(diagnose(replace(DEBIAN_12, local=NO_SANDBOX)))


# --- this machine -----------------------------------------------------------------------------------------------------


def environ_of(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": "unix:///nonexistent", **more}


def test_facts_of_this_machine(tmp_path: Path) -> None:
    """Whatever machine this is: every part is found, and every check says something."""
    environ = environ_of(tmp_path)
    facts = machine.gather(paths_from(environ), environ)
    assert isinstance(facts.kernel, dict)
    assert {*facts.kernel} >= {"memfd", "pidfd", "close_range", "landlock", "user_namespace"}
    assert isinstance(facts.git, str)
    assert isinstance(facts.docker, Problem)
    assert isinstance(facts.disk, Disk)
    assert isinstance(facts.groups, Groups)
    checks = diagnose(facts)
    assert [check.id for check in checks] == [number for number, _, _ in ROWS]
    assert [check.id for check in checks if not check.detail] == []
    assert found(facts)["clock"].status == "ok"


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[str]:
    """A socket that takes connections and never says a word."""
    path = tmp_path / "mute.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(path))
        sock.listen(8)
        yield str(path)


def test_an_agent_that_is_mute(tmp_path: Path, mute: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given up after its own deadline."""
    monkeypatch.setattr(machine, "AGENT_S", 0.2)
    with pytest.raises(TimeoutError):
        machine._ssh_agent({"SSH_AUTH_SOCK": mute})


@pytest.mark.parametrize(
    ("answer", "keys"),
    [(b"\0\0\0\5\x0c\0\0\0\3", 3), (b"\0\0\0\5\x0c\0\0\0\0", 0), (b"\0\0\0\1\5", None), (b"HTTP/1.1 400 Bad Request\r\n", None), (b"", None)],
)  # fmt: skip
def test_what_an_agent_answers(tmp_path: Path, answer: bytes, keys: int | None) -> None:
    """The number of its keys; anything else is no agent."""
    path = str(tmp_path / "agent.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(path)
        sock.listen(1)

        def serve() -> None:
            connection, _ = sock.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert machine._ssh_agent({"SSH_AUTH_SOCK": path}) == SshAgent(path, keys)
        thread.join()


def test_a_part_that_never_ends() -> None:
    """Its thread is left behind; the answer says so."""
    over = threading.Event()
    part = machine.Part(lambda: over.wait(30))
    assert isinstance(part.get(0.0), Unknown)
    over.set()


def test_a_part_that_fails() -> None:
    """Its words are the cause."""

    def broken() -> int:
        raise OSError(errno.EACCES, "Permission denied")

    assert machine.Part(broken).get(machine.time.monotonic() + 10) == Unknown("[Errno 13] Permission denied")
