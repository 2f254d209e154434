"""What a machine's facts mean for aienv: checks with a stable id, a cause and a cure. Pure: facts in, checks out.

``failed``: something that aienv or one of its backends stands on is missing. ``warning``: it works, with less than there could be.
"""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from orchestrator.report.text import plural, size
from orchestrator.sandbox.userns import cause_and_cure

Status = Literal["ok", "warning", "failed"]
T = TypeVar("T")

MINIMUM_GIT = (2, 31)
MINIMUM_PYTHON = (3, 11)
MINIMUM_BWRAP = (0, 8, 0)
LITTLE_SPACE, LITTLE_FILES = 2 << 30, 100_000
AHEAD_S = 86_400.0
MACHINES = ("x86_64", "aarch64")
DOCKER_ONLY = "with a container runtime, choose --backend docker"


@dataclass(frozen=True, slots=True)
class Check:
    """``id`` never changes its meaning (docs/doctor.md); ``name`` and the texts are for people.

    ``cause`` of a backend's check is the stable word of its error.
    """

    id: str
    name: str
    status: Status
    detail: str
    cause: str | None = None
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be found out, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A backend that cannot be used, in its own words."""

    code: str
    message: str
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Usable:
    """A backend that can be used. ``unlimited``: limits that it cannot hold. ``details``: (name, value) for people."""

    version: str
    isolation: str
    details: tuple[tuple[str, str], ...]
    unlimited: tuple[str, ...]


Answer = Usable | Problem


@dataclass(frozen=True, slots=True)
class Bwrap:
    """The program as it is found in PATH. ``version``: what it says, whole; ``set_uid``: whether it runs as root for everybody."""

    path: str
    version: str
    set_uid: bool


@dataclass(frozen=True, slots=True)
class Groups:
    """``version``: of the hierarchy, None without one. ``means``: what a local run is held by (``scope``, ``groups``, None)."""

    version: Literal[1, 2] | None
    means: Literal["scope", "groups"] | None
    words: str
    holds: tuple[str, ...]
    systemd: bool


@dataclass(frozen=True, slots=True)
class Disk:
    place: str
    free_bytes: int
    free_files: int | None


@dataclass(frozen=True, slots=True)
class Clock:
    """``now_s``; ``newest_s``: the youngest file of aienv's own programs. ``synchronised``: None where the kernel does not say."""

    now_s: float
    newest_s: float
    synchronised: bool | None


@dataclass(frozen=True, slots=True)
class Trust:
    """Certificates that this machine trusts, and the library that makes a run's own."""

    bundle: str | None
    certificates: int
    cryptography: str | None


@dataclass(frozen=True, slots=True)
class SshAgent:
    """``keys``: None when it does not answer as an agent does."""

    socket: str
    keys: int | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the checks look at. ``kernel``: names of the probe with their errno; ``settings``: sysctl names with values.

    ``container``: whether this process is in one. ``bwrap``, ``git``, ``git_lfs``, ``ssh_agent``: None where there is none.
    """

    uid: int
    python: tuple[str, str]
    machine: str
    release: str
    container: bool
    settings: Mapping[str, str]
    kernel: Mapping[str, int] | Unknown
    apparmor: str | None
    selinux: Literal["enforcing", "permissive"] | None
    seccomp_actions: tuple[str, ...]
    bwrap: Bwrap | Unknown | None
    local: Answer | Unknown
    docker: Answer | Unknown
    groups: Groups | Unknown
    git: str | Unknown | None
    git_lfs: str | Unknown | None
    disk: Disk | Unknown
    clock: Clock
    trust: Trust | Unknown
    ssh_agent: SshAgent | Unknown | None
    unfinished: tuple[str, ...] | Unknown


@dataclass(frozen=True, slots=True)
class Finding:
    """What one row says; the row adds its id and name."""

    status: Status
    detail: str
    cause: str | None = None
    remedy: str | None = None


def ok(detail: str) -> Finding:
    return Finding("ok", detail)


def warn(detail: str, cause: str, remedy: str) -> Finding:
    return Finding("warning", detail, cause, remedy)


def fail(detail: str, cause: str, remedy: str) -> Finding:
    return Finding("failed", detail, cause, remedy)


# --- programs ---------------------------------------------------------------------------------------------------------


def _python(facts: Facts) -> Finding:
    version, program = facts.python
    if _numbers(version)[:2] < MINIMUM_PYTHON:
        return fail(f"{version} ({program})", "aienv is written for 3.11 and newer", "install Python 3.11 or newer")
    return ok(f"{version} ({program})")


def _git(facts: Facts) -> Finding:
    if facts.git is None:
        return fail("not installed", "git is not in PATH", "apt install git")
    if isinstance(facts.git, Unknown):
        return fail("does not work", facts.git.why, "see what git version says")
    if _numbers(facts.git)[:2] < MINIMUM_GIT:
        wanted = ".".join(map(str, MINIMUM_GIT))
        return fail(f"{facts.git} is too old", f"{wanted} is the oldest that has what aienv uses", f"install git {wanted} or newer")
    return ok(facts.git)


def _git_lfs(facts: Facts) -> Finding:
    if facts.git_lfs is None:
        return warn("not installed: LFS files stay pointers in the clone", "git-lfs is not in PATH", "apt install git-lfs")
    if isinstance(facts.git_lfs, Unknown):
        return warn("does not work: LFS files stay pointers in the clone", facts.git_lfs.why, "see what git lfs version says")
    return ok(facts.git_lfs)


def _processor(facts: Facts) -> Finding:
    if facts.machine not in MACHINES:
        return fail(facts.machine, f"no table of system calls for {facts.machine}", f"{' and '.join(MACHINES)} are supported")
    return ok(f"{facts.machine}, kernel {facts.release}")


def _bwrap(facts: Facts) -> Finding:
    found = facts.bwrap
    if found is None:
        remedy = "install it: apt install bubblewrap (Debian, Ubuntu), dnf install bubblewrap (Fedora)"
        return fail("not installed: no local backend", "bwrap is not in PATH", remedy)
    if isinstance(found, Unknown):
        return fail("does not work", found.why, "install bubblewrap anew")
    if found.set_uid:
        cause = "set-uid root, which has a history of escapes (CVE-2020-5291)"
        return fail(found.path, cause, f"chmod u-s {found.path}, and allow unprivileged user namespaces instead")
    version = found.version.split()[-1] if found.version.split() else "?"
    if _numbers(version) < MINIMUM_BWRAP:
        wanted = ".".join(map(str, MINIMUM_BWRAP))
        return fail(f"{version} ({found.path})", f"--disable-userns and --size need {wanted}", "install a newer one (Debian 12 has 0.8)")
    return ok(f"{version} ({found.path})")


# --- the kernel -------------------------------------------------------------------------------------------------------

NAMESPACE_STEPS = {
    "user_namespace": "making one",
    "id_maps": "writing its maps of users",
    "namespaces": "making mount, network, ipc and uts namespaces in it",
    "loopback": "setting the loopback interface up in it",
    "mount": "mounting in it",
}


def _user_namespaces(facts: Facts) -> Finding:
    if isinstance(facts.kernel, Unknown):
        return _unknown(facts.kernel)
    failed = [(step, facts.kernel[step]) for step in NAMESPACE_STEPS if facts.kernel.get(step)]
    if not failed:
        return ok("an ordinary process can make one, with mounts and a network of its own")
    step, number = failed[0]
    said = f"{NAMESPACE_STEPS[step]}: {_name(number)}"
    if isinstance(facts.local, Usable):
        return ok(f"closed to programs in general ({said}), but open for bwrap")
    cause, cure = cause_and_cure(said, {**facts.settings, "in_container": "yes" if facts.container else "no"})
    if cause.startswith("bwrap said"):
        cause, cure = f"the kernel refused: {said}", f"see what restricts namespaces here (a sandbox around this process?); {DOCKER_ONLY}"
    return fail(said, cause.replace("bwrap said", "the kernel said"), cure)


def _apparmor(facts: Facts) -> Finding:
    if facts.apparmor is None:
        return ok("not in this kernel")
    if facts.settings.get("kernel.apparmor_restrict_unprivileged_userns") != "1":
        return ok(f"there ({facts.apparmor}); it does not restrict user namespaces")
    cause = "kernel.apparmor_restrict_unprivileged_userns=1 (Ubuntu 24.04 and newer): only programs with a profile get user namespaces"
    cure = (
        "install an AppArmor profile for bwrap with 'userns,' (package apparmor-profiles: bwrap-userns-restrict), or "
        "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    )
    if not isinstance(facts.local, Usable):
        return fail(f"there ({facts.apparmor}); it restricts user namespaces, and bwrap has no profile that works", cause, cure)
    if isinstance(facts.docker, Usable):
        detail = f"there ({facts.apparmor}); bwrap has a profile on this machine, but not inside of containers"
        return warn(detail, cause, "if a run with --backend docker fails: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0")
    return ok(f"there ({facts.apparmor}); it restricts user namespaces, and bwrap has a profile that allows them")


def _selinux(facts: Facts) -> Finding:
    if facts.selinux is None:
        return ok("not in this kernel, or switched off")
    if facts.selinux == "permissive" or isinstance(facts.local, Usable) or not isinstance(facts.bwrap, Bwrap):
        return ok(f"{facts.selinux}; containers of aienv run without a label of their own")
    cause = "SELinux is enforcing and bwrap does not work: a rule may forbid it"
    return warn("enforcing", cause, "look for denials: sudo ausearch -m avc -c bwrap")


def _seccomp(facts: Facts) -> Finding:
    missing = [action for action in ("kill_process", "errno", "allow") if action not in facts.seccomp_actions]
    if missing:
        cause = f"the kernel has no {', '.join(missing)}" if facts.seccomp_actions else "the kernel has no seccomp filters"
        return fail("no system call filter", cause, "a kernel with CONFIG_SECCOMP_FILTER, 4.14 or newer")
    return ok(f"filters with {', '.join(facts.seccomp_actions)}")


FEATURES: Mapping[str, tuple[str, str]] = {
    "memfd": ("memory files", "3.17"),
    "pidfd": ("process descriptors", "5.3"),
    "close_range": ("close_range", "5.9"),
    "seccomp_notify": ("seccomp user notification", "5.0"),
}


def _kernel(facts: Facts) -> Finding:
    if isinstance(facts.kernel, Unknown):
        return _unknown(facts.kernel)
    found = facts.kernel
    missing = [(name, words, since) for name, (words, since) in FEATURES.items() if found.get(name, errno.ENOSYS)]
    landlock = f"landlock version {found['landlock']}" if found.get("landlock", -1) > 0 else "no landlock"
    there = [words for name, (words, _) in FEATURES.items() if not found.get(name, errno.ENOSYS)]
    detail = ", ".join([*there, landlock])
    if not missing:
        return ok(detail)
    cause = "; ".join(f"{words}: {_name(found.get(name, errno.ENOSYS))} (Linux {since})" for name, words, since in missing)
    status: Status = "failed" if found.get("memfd", errno.ENOSYS) else "warning"
    return Finding(status, detail, cause, "a newer kernel, or a container that allows these calls")


def _overlay(facts: Facts) -> Finding:
    if isinstance(facts.kernel, Unknown):
        return _unknown(facts.kernel)
    number = facts.kernel.get("overlay")
    if number is None:
        return warn("could not be tried", "there are no namespaces to try it in", "see user namespaces")
    if number:
        cause = f"mounting one in a user namespace: {_name(number)} (Linux 5.11 and newer can)"
        return warn("not for ordinary users: workspaces are plain checkouts", cause, "a newer kernel; nothing depends on it")
    return ok("ordinary users can mount one")


def _cgroups(facts: Facts) -> Finding:
    found = facts.groups
    if isinstance(found, Unknown):
        return _unknown(found)
    if found.version is None:
        cause = "no cgroup file system is mounted"
        return warn("none: memory of a local run is watched, not held", cause, "mount one at /sys/fs/cgroup")
    return ok(f"version {found.version}")


def _control_groups(facts: Facts) -> Finding:
    """Delegation: whether a local run can be held as a whole."""
    found = facts.groups
    if isinstance(found, Unknown):
        return _unknown(found)
    if found.means == "scope":
        return ok("a local run gets a systemd scope: memory, processes and processor time are held")
    if found.means == "groups" and "memory" in found.holds:
        return ok(f"a local run gets groups of its own: {found.words}")
    detail = "memory of a local run is held for each process, and watched for the whole"
    if facts.container:
        return warn(detail, "control groups are read-only in this container", "limit the container itself, or " + DOCKER_ONLY)
    if found.version == 2 and found.systemd:
        cause = "systemd gives this user no scope: there is no session with a manager of its own (XDG_RUNTIME_DIR, the bus)"
        return warn(detail, cause, "log in as this user (not by su or sudo), or: sudo loginctl enable-linger $USER")
    if found.version == 2:
        return warn(detail, "no folder of the hierarchy is delegated to this user, and there is no systemd to ask", DOCKER_ONLY)
    cause = "version 1 lets only root make groups" if facts.uid else "the hierarchies with memory and pids cannot be written"
    return warn(detail, cause, "boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1); " + DOCKER_ONLY)


# --- backends ---------------------------------------------------------------------------------------------------------


def _backend(answer: Answer | Unknown) -> Finding:
    if isinstance(answer, Unknown):
        return fail("no answer", answer.why, "see what keeps it; aienv asked only for its version")
    if isinstance(answer, Problem):
        return Finding("failed", answer.message, answer.code, answer.remedy)
    details = "; ".join(f"{name}: {value}" for name, value in answer.details)
    return ok(f"{answer.version} ({answer.isolation}); {details}")


def _engine_limits(facts: Facts) -> Finding:
    if not isinstance(facts.docker, Usable):
        return ok("no engine, nothing to hold")
    if facts.docker.unlimited:
        names = ", ".join(facts.docker.unlimited)
        cause = f"the engine's kernel cannot limit {names} of a container"
        return warn(f"not held in containers: {names}", cause, "boot with cgroup v2, or with cgroup_enable=memory swapaccount=1")
    return ok("memory, processes and processor time of containers are held")


# --- surroundings -----------------------------------------------------------------------------------------------------


def _disk(facts: Facts) -> Finding:
    found = facts.disk
    if isinstance(found, Unknown):
        return fail("cannot be used", found.why, "move aienv's files with AIENV_HOME")
    detail = f"{size(found.free_bytes)} free at {found.place}"
    if found.free_bytes < LITTLE_SPACE:
        return warn(detail, "a clone, its result and its bundle have to fit", "aienv gc frees space")
    if found.free_files is not None and found.free_files < LITTLE_FILES:
        return warn(f"{detail}, but room for only {found.free_files:,} files", "the file system is out of inodes", "aienv gc frees some")
    return ok(detail)


def _clock(facts: Facts) -> Finding:
    clock = facts.clock
    if clock.newest_s > clock.now_s + AHEAD_S:
        cause = "aienv's own files are younger than the clock says it is: certificates will not be valid"
        return fail(f"{(clock.newest_s - clock.now_s) / 86_400:.0f} days behind", cause, "set the clock: timedatectl set-ntp true")
    words = {True: "synchronised", False: "runs by itself", None: "not known whether it is synchronised"}
    return ok(words[clock.synchronised])


def _trust(facts: Facts) -> Finding:
    found = facts.trust
    if isinstance(found, Unknown):
        return warn("cannot be read", found.why, "apt install ca-certificates")
    if not found.certificates:
        cause = f"no certificates in {found.bundle}" if found.bundle else "this machine has no bundle of certificates"
        return warn("none: https repositories and hosts cannot be verified", cause, "apt install ca-certificates")
    return ok(f"{plural(found.certificates, 'certificate')} ({found.bundle})")


def _cryptography(facts: Facts) -> Finding:
    if isinstance(facts.trust, Unknown):
        return _unknown(facts.trust)
    if facts.trust.cryptography is None:
        cause = "the Python package cryptography is not installed"
        return warn("no certificates of a run's own: secrets over https and rules on paths are refused", cause, "pip install cryptography")
    return ok(facts.trust.cryptography)


def _ssh_agent(facts: Facts) -> Finding:
    found = facts.ssh_agent
    if found is None:
        return ok("none; only git.ssh needs one")
    if isinstance(found, Unknown):
        return warn("does not answer", found.why, "start it again, or unset SSH_AUTH_SOCK; only git.ssh needs one")
    if found.keys is None:
        return warn(found.socket, "what answers there is no ssh agent", "check SSH_AUTH_SOCK; only git.ssh needs one")
    if not found.keys:
        return warn(f"{found.socket}, without a key", "nothing was added to it", "ssh-add; only git.ssh needs one")
    return ok(f"{plural(found.keys, 'key')} ({found.socket})")


def _runs(facts: Facts) -> Finding:
    if isinstance(facts.unfinished, Unknown):
        return _unknown(facts.unfinished)
    if facts.unfinished:
        cause = "their aienv was killed, or their place could not be removed"
        return warn(f"not finished: {', '.join(facts.unfinished)}", cause, "aienv ps shows them, aienv gc finishes what can be finished")
    return ok("none is left unfinished")


# --- all of it --------------------------------------------------------------------------------------------------------

# In the order of what they rest on.
ROWS: tuple[tuple[str, str, Callable[[Facts], Finding]], ...] = (
    ("python", "python", _python),
    ("git", "git", _git),
    ("git-lfs", "git-lfs", _git_lfs),
    ("processor", "processor", _processor),
    ("kernel", "kernel features", _kernel),
    ("seccomp", "seccomp", _seccomp),
    ("user-namespaces", "user namespaces", _user_namespaces),
    ("apparmor", "apparmor", _apparmor),
    ("selinux", "selinux", _selinux),
    ("overlayfs", "overlayfs", _overlay),
    ("cgroups", "cgroups", _cgroups),
    ("control-groups", "control groups", _control_groups),
    ("bwrap", "bwrap", _bwrap),
    ("backend-local", "backend local", lambda facts: _backend(facts.local)),
    ("backend-docker", "backend docker", lambda facts: _backend(facts.docker)),
    ("engine-limits", "limits of containers", _engine_limits),
    ("disk", "disk", _disk),
    ("clock", "clock", _clock),
    ("certificates", "certificates", _trust),
    ("cryptography", "cryptography", _cryptography),
    ("ssh-agent", "ssh agent", _ssh_agent),
    ("runs", "runs", _runs),
)


def diagnose(facts: Facts) -> list[Check]:
    """Every check, always all of them."""
    return [_check(number, name, row(facts)) for number, name, row in ROWS]


def usable(checks: list[Check]) -> bool:
    """Whether tasks can run: Python and git are there, and one backend."""
    found = {check.id: check.status for check in checks}
    needed = all(found[name] != "failed" for name in ("python", "git", "processor"))
    return needed and "ok" in (found["backend-local"], found["backend-docker"])


def _check(number: str, name: str, finding: Finding) -> Check:
    return Check(number, name, finding.status, finding.detail, finding.cause, finding.remedy)


def _unknown(fact: Unknown) -> Finding:
    return warn("could not be found out", fact.why, "run aienv doctor again; if it stays so, please report it")


def _name(number: int) -> str:
    return errno.errorcode.get(number, str(number))


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: ``2.39.5-rc1`` is 2, 39, 5."""
    numbers: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)
