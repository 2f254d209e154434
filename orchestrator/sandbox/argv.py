"""Bubblewrap's options for one command: one literal per place, read from top to bottom.

Later mounts cover earlier ones, so the order carries the meaning. The builder is pure: what exists at the place comes
in as ``PlaceFacts``, which the launcher reports.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from orchestrator.model.devcontainer import UserPlan

HOME = "/home/agent"
USER = UserPlan("agent", HOME, "/bin/sh")
OURS = "/run/aienv"
OURS_BYTES = 1 << 20
OBJECTS = f"{OURS}/objects"
SKELETON = f"{OURS}/skeleton"
OUTBOX = f"{OURS}/outbox"
HARVEST_PROGRAM = f"{OURS}/harvest"  # a folder, started as a whole
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What a program needs from /etc on a host; never the whole folder, which holds the host's names and keys.
HOST_ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "debian_version", "java-17-openjdk", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "magic", "mime.types", "nsswitch.conf", "os-release", "pki", "profile", "protocols", "python3",
    "python3.11", "python3.12", "python3.13", "services", "ssl", "timezone",
)  # fmt: skip
HOST_ROOTS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr", "nix")
# In a container the image's own root is what the task asked for; these are made fresh or are ours.
IMAGE_FRESH = ("dev", "proc", "sys", "tmp", "run", "home", "workspaces", ".dockerenv")
PROC_MASKS = ("keys", "timer_list")

Option = str | tuple[Literal["fd"], str]  # ("fd", NAME): the launcher puts the number of a descriptor that holds data NAME


@dataclass(frozen=True, slots=True)
class RootEntry:
    """One name directly below ``/`` (or ``/etc``): a folder, a file, or a link to ``target``."""

    name: str
    kind: Literal["dir", "file", "link"]
    target: str


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """What the launcher found at the place, before any command runs.

    ``sources``: where the named folders are for the launcher (workspace, objects/NAME, outbox, empty, neutral, python, harvest).
    ``python``, ``git``: programs for the harvest. ``visible``: extra read-only folders as (source, path inside).
    """

    container: bool
    root: tuple[RootEntry, ...]
    etc: tuple[RootEntry, ...]
    proc: tuple[str, ...]
    sources: Mapping[str, str]
    visible: tuple[tuple[str, str], ...]
    python: str
    git: str
    uid: int
    gid: int
    machine: str


@dataclass(frozen=True, slots=True)
class Confinement:
    """What one command gets. ``git_dirs`` and ``masks`` are paths below the workspace.

    ``tmpfs_bytes`` is the size of each of /tmp, the home, /run and /dev/shm. ``inputs``: files made inside, read-only. ``user``: who the
    command is called. ``covers``: (path inside, name of a file in the place's folder ``neutral`` that is seen there), read-only: one
    content for many paths, where ``inputs`` would need a descriptor for each. ``keeps_home``: its home is the place's folder ``home``,
    which all commands share, in place of a fresh one. ``skeleton``: the image's own home, which is then seen at ``SKELETON``.
    """

    purpose: Literal["agent", "harvest"]
    workspace: str
    git_dirs: tuple[str, ...]
    masks: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    tmpfs_bytes: int
    chdir: str
    inputs: tuple[tuple[str, bytes], ...]
    user: UserPlan = USER
    covers: tuple[tuple[str, str], ...] = ()
    keeps_home: bool = False
    skeleton: bool = False


@dataclass(frozen=True, slots=True)
class SandboxArguments:
    """Options for bubblewrap, and the data that its descriptors must hold."""

    options: tuple[Option, ...]
    data: Mapping[str, bytes]


def sandbox_arguments(confinement: Confinement, place: PlaceFacts, seccomp: bytes) -> SandboxArguments:
    """All options up to the command."""
    writable = confinement.purpose == "agent"
    size = str(confinement.tmpfs_bytes)
    workspace = place.sources["workspace"]
    inside = confinement.workspace
    options: tuple[Option, ...] = (
        *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
        # In a container the engine already gave a network of its own, and its filter forbids a cgroup namespace and sethostname.
        *(() if place.container else ("--unshare-net", "--unshare-cgroup-try", "--hostname", "aienv")),
        *("--uid", str(place.uid), "--gid", str(place.gid)),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--disable-userns"),
        *("--clearenv", *_setenv(confinement.env)),
        *(_image_root(place, _placed_in_etc(confinement)) if place.container else _host_root(place)),
        *_files(place, confinement.user),
        # Settings of the kernel: those of our own namespaces would be ours to change, and with them what memory queues may take.
        *("--proc", "/proc", *_each(PROC_MASKS, place.proc), "--ro-bind", "/proc/sys", "/proc/sys"),
        *("--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm"),
        *("--size", size, "--perms", "1777", "--tmpfs", "/tmp"),
        *_home(confinement, place, size),
        *("--size", size, "--perms", "0755", "--tmpfs", "/run"),
        *("--size", str(OURS_BYTES), "--perms", "0755", "--tmpfs", OURS),
        *(("--ro-bind-try", confinement.user.home, SKELETON) if confinement.skeleton else ()),
        *(() if place.container else ("--symlink", "../run", "/var/run", "--symlink", "../tmp", "/var/tmp")),
        *_visible(place),
        *_objects(place),
        *(("--bind" if writable else "--ro-bind"), workspace, inside),
        *(_git_guards(confinement, workspace) if writable else ()),
        # Masks come last: whatever was mounted before, these files stay hidden.
        *(word for path in confinement.masks for word in ("--ro-bind", place.sources["empty"], f"{inside}/{path}")),
        *(word for path, name in confinement.covers for word in ("--ro-bind", f"{place.sources['neutral']}/{name}", path)),
        *(() if writable else _harvest(place)),
        *(word for index, (path, _) in enumerate(confinement.inputs) for word in ("--ro-bind-data", ("fd", f"input{index}"), path)),
        *("--remount-ro", OURS),  # only mount points: nobody puts another file in the place of one of ours
        *("--remount-ro", "/dev", "--remount-ro", "/"),  # the unsized tmpfs below them must not take the host's memory
        *("--chdir", confinement.chdir, "--seccomp", ("fd", "seccomp")),
    )
    inputs = {f"input{index}": data for index, (_, data) in enumerate(confinement.inputs)}
    return SandboxArguments(options, {"seccomp": seccomp, **_etc_files(place, confinement.user), **inputs})


def _setenv(env: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(word for name, value in env for word in ("--setenv", name, value))


def _placed_in_etc(confinement: Confinement) -> frozenset[str]:
    """Names below /etc under which a file of ours stands: what an image has there would be in its way."""
    return frozenset(path.split("/")[2] for path, _ in confinement.inputs if path.startswith("/etc/"))


def _host_root(place: PlaceFacts) -> tuple[str, ...]:
    """An empty root, and of the host only what programs are made of."""
    roots = [entry for entry in place.root if entry.name in HOST_ROOTS]
    etc = [entry for entry in place.etc if entry.name in HOST_ETC]
    return (*_entries(roots, ""), *_entries(etc, "/etc"))


def _image_root(place: PlaceFacts, ours: frozenset[str]) -> tuple[str, ...]:
    """The image's root, read-only: it holds nothing of the host. ``ours``: names below /etc that are not the image's."""
    roots = [entry for entry in place.root if entry.name not in IMAGE_FRESH and entry.name != "etc"]
    etc = [entry for entry in place.etc if entry.name not in _ETC_OURS and entry.name not in ours]
    return (*_entries(roots, ""), *_entries(etc, "/etc"))


def _entries(entries: list[RootEntry], below: str) -> tuple[str, ...]:
    words: list[str] = []
    for entry in entries:
        path = f"{below}/{entry.name}"
        words += ("--symlink", entry.target, path) if entry.kind == "link" else ("--ro-bind", path, path)
    return tuple(words)


_ETC_OURS = ("passwd", "group", "hosts", "resolv.conf", "hostname", "ld.so.preload", "shadow", "gshadow", "mtab")


def _files(place: PlaceFacts, user: UserPlan) -> tuple[Option, ...]:
    """One user, one host name, no resolver: the same everywhere, and nothing of the host's."""
    return tuple(word for name in _etc_files(place, user) for word in ("--perms", "0444", "--ro-bind-data", ("fd", name), f"/etc/{name}"))


def _home(confinement: Confinement, place: PlaceFacts, size: str) -> tuple[str, ...]:
    if confinement.keeps_home:
        return ("--bind", place.sources["home"], confinement.user.home)
    return ("--size", size, "--perms", "0700", "--tmpfs", confinement.user.home)


def _etc_files(place: PlaceFacts, user: UserPlan) -> dict[str, bytes]:
    own = f"{user.name}:x:{place.uid}:{place.gid}:{user.name}:{user.home}:{user.shell}"
    return {
        "passwd": f"{own}\nnobody:x:65534:65534:nobody:/:/bin/false\n".encode(),
        "group": f"{user.name}:x:{place.gid}:\nnogroup:x:65534:\n".encode(),
        "hosts": b"127.0.0.1\tlocalhost aienv\n::1\tlocalhost\n",
    }


def _each(names: tuple[str, ...], present: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for name in names if name in present for word in ("--ro-bind", "/dev/null", f"/proc/{name}"))


def _visible(place: PlaceFacts) -> tuple[str, ...]:
    return tuple(word for source, path in place.visible for word in ("--ro-bind", source, path))


def _objects(place: PlaceFacts) -> tuple[str, ...]:
    names = sorted(name for name in place.sources if name.startswith("objects/"))
    return tuple(word for name in names for word in ("--ro-bind", place.sources[name], f"{OURS}/{name}"))


_GUARDED = ("config", "hooks", "info")


def writable_mounts(confinement: Confinement) -> frozenset[str]:
    """Mount points below which an agent's command may write, beside the temporary folders."""
    inside = confinement.workspace
    home = (confinement.user.home,) if confinement.keeps_home or confinement.user.home != HOME else ()
    return frozenset([inside, *home, *(f"{inside}/{git_dir}" for git_dir in _with_parents(confinement.git_dirs))])


def _git_guards(confinement: Confinement, workspace: str) -> tuple[str, ...]:
    """Git folders stay where they are, and what makes git run programs stays as it was.

    Binding a folder onto itself first makes ``mv .git x`` fail (EBUSY); without it, a read-only config is replaced by
    moving its folder away. The folders between ``.git`` and a submodule's are bound too: moved away and replaced by a link,
    they would make the next command's sandbox mount whatever of the host the link names.
    """
    words: list[str] = []
    for git_dir in _with_parents(confinement.git_dirs):
        words += ("--bind", f"{workspace}/{git_dir}", f"{confinement.workspace}/{git_dir}")
    for git_dir in confinement.git_dirs:
        source, target = f"{workspace}/{git_dir}", f"{confinement.workspace}/{git_dir}"
        for name in _GUARDED:
            words += ("--ro-bind", f"{source}/{name}", f"{target}/{name}")
    return tuple(words)


def guarded_paths(git_dirs: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """What ``_git_guards`` mounts, below the workspace, and what each is: a kind of ``stat``."""
    inside = [(f"{git_dir}/{name}", stat.S_IFREG if name == "config" else stat.S_IFDIR) for git_dir in git_dirs for name in _GUARDED]
    return (*((path, stat.S_IFDIR) for path in _with_parents(git_dirs)), *inside)


def _with_parents(git_dirs: tuple[str, ...]) -> tuple[str, ...]:
    """The folders and all that they lie in below the workspace, parents first."""
    found = {"/".join(parts[:end]) for parts in (git_dir.split("/") for git_dir in git_dirs) for end in range(1, len(parts) + 1)}
    return tuple(sorted(found))


def _harvest(place: PlaceFacts) -> tuple[str, ...]:
    return ("--bind", place.sources["outbox"], OUTBOX, "--ro-bind", place.sources["harvest"], HARVEST_PROGRAM)
