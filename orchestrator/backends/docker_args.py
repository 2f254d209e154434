"""From a request to the body of one container, as the engine's API takes it. Pure.

Every field that matters for safety is set, also where the default is the same today. Nothing comes from the image but its
files: its entry point, command, user, environment, health check and volumes are all replaced.
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.backends.protocol import EnvironmentRequest
from orchestrator.backends.seccomp_profile import profile
from orchestrator.errors import EnvironmentFailed
from orchestrator.launcher.command import CONTROL_INSIDE, EMPTY_FILE, HOME_INSIDE, TOOLBOX
from orchestrator.model.agent import AGENTS_INSIDE

MANAGED, RUN, ROLE = "dev.aienv.managed", "dev.aienv.run", "dev.aienv.role"
OBJECTS_INSIDE, OUTBOX_INSIDE = "/run/aienv/objects", "/run/aienv/outbox"
TMP_BYTES, RUN_BYTES, VOLUME_BYTES, SHM_BYTES = 64 << 20, 16 << 20, 64 << 20, 64 << 20
STOP_GRACE_S = 2  # the launcher ends its sandboxes within this; destroy kills anyway
# A fresh /proc, as bubblewrap makes it, is only allowed while nothing hides a part of the old one. For a process that is
# not root and has no capability these files hold nothing; the sandbox masks the rest. Never combine this with uid 0.
MASKED_PATHS = ("/sys/firmware", "/sys/devices/virtual/powercap")
READONLY_PATHS: tuple[str, ...] = ()
# The launcher's programs need none of the image's variables; what the agent gets is decided elsewhere.
LAUNCHER_ENV = (("PATH", f"{TOOLBOX}/bin"), ("LC_ALL", "C"), ("HOME", "/"))


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the engine can do, as far as a container's arguments depend on it. ``cpus``: how many it has."""

    version: str
    api: str
    machine: str
    cpus: int
    apparmor: bool
    selinux: bool
    init: bool
    memory_limit: bool
    swap_limit: bool
    cpu_limit: bool
    pids_limit: bool


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """``volumes``: paths that the image declares as volumes, as they stand there; ``env``: names and values."""

    id: str
    os: str
    machine: str
    env: tuple[tuple[str, str], ...]
    volumes: tuple[str, ...]


def container_name(run_id: str, role: str) -> str:
    return f"aienv-{run_id}-{role}"


def create_arguments(
    request: EnvironmentRequest, image: ImageFacts, engine: EngineFacts, toolbox: str, command: tuple[str, ...]
) -> dict[str, Any]:
    """The body of ``POST /containers/create``.

    Raises:
        EnvironmentFailed: the request would run as root, or the image declares a volume in a place that must be ours.
    """
    if request.uid == 0 or request.gid == 0:
        raise EnvironmentFailed("a task's container never runs as root or in root's group", remedy="start aienv as an ordinary user")
    return {
        "Image": image.id,
        "User": f"{request.uid}:{request.gid}",
        "Hostname": "aienv",
        "WorkingDir": "/",
        "Entrypoint": list(command),
        "Cmd": [],
        "Env": environment(image),
        "Labels": {**request.labels, MANAGED: "1", RUN: request.run_id, ROLE: request.role},
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "StopTimeout": STOP_GRACE_S,
        "Tty": False,
        "OpenStdin": False,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "NetworkDisabled": True,
        "HostConfig": host_config(request, image, engine, toolbox),
    }


def host_config(request: EnvironmentRequest, image: ImageFacts, engine: EngineFacts, toolbox: str) -> dict[str, Any]:
    """Isolation, limits and mounts."""
    return {
        "NetworkMode": "none",
        "IpcMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "UsernsMode": "",
        "Privileged": False,
        "PublishAllPorts": False,
        "CapAdd": [],
        "CapDrop": ["ALL"],
        "SecurityOpt": security_options(engine),
        "MaskedPaths": list(MASKED_PATHS),
        "ReadonlyPaths": list(READONLY_PATHS),
        "ReadonlyRootfs": True,
        "Init": engine.init,
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,  # its end must still be there to be explained
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "256k", "max-file": "1"}},
        "ShmSize": SHM_BYTES,
        "OomKillDisable": False,
        **limits(request, engine),
        "Tmpfs": temporary_folders(request, image),
        "Mounts": mounts(request, toolbox),
    }


def security_options(engine: EngineFacts) -> list[str]:
    # AppArmor's profile for containers forbids every mount, and so bubblewrap; naming it where it is missing is an error.
    apparmor = ["apparmor=unconfined"] if engine.apparmor else []
    # SELinux's would forbid the same, and reading the caller's folders; giving those another label would change the host.
    selinux = ["label=disable"] if engine.selinux else []
    return ["no-new-privileges", f"seccomp={profile()}", *apparmor, *selinux]


def limits(request: EnvironmentRequest, engine: EngineFacts) -> dict[str, Any]:
    """What the kernel of this engine can enforce; the rest is reported by ``unlimited``."""
    wanted = request.limits
    found: dict[str, Any] = {
        "Ulimits": [
            {"Name": "nofile", "Soft": wanted.open_files, "Hard": wanted.open_files},
            {"Name": "core", "Soft": 1, "Hard": 1},  # at 0 a program that core_pattern names is still started, outside and as root
        ]
    }
    if engine.memory_limit:
        found["Memory"] = wanted.memory_bytes
    if engine.memory_limit and engine.swap_limit:
        found["MemorySwap"] = wanted.memory_bytes  # memory and swap together: no swap at all
    if engine.pids_limit:
        found["PidsLimit"] = wanted.pids
    if engine.cpu_limit:
        found["NanoCpus"] = int(min(wanted.cpus, float(engine.cpus)) * 1e9)  # more than there are is an error
    return found


def unlimited(engine: EngineFacts) -> tuple[str, ...]:
    """The limits that this engine cannot enforce. The workspace is a folder of the host: it is watched by the run itself."""
    missing = {"memory": engine.memory_limit, "pids": engine.pids_limit, "cpus": engine.cpu_limit}
    return tuple(name for name, there in missing.items() if not there)


def environment(image: ImageFacts) -> list[str]:
    """Our variables, and the image's names without a value, which removes them (LD_PRELOAD, PYTHONPATH, GIT_DIR...)."""
    ours = dict(LAUNCHER_ENV)
    theirs = dict.fromkeys(name for name, _ in image.env if name and name not in ours)
    return [*(f"{name}={value}" for name, value in ours.items()), *theirs]


def temporary_folders(request: EnvironmentRequest, image: ImageFacts) -> dict[str, str]:
    """In memory: /tmp, /run, and an empty folder over every volume of the image, which would stay behind otherwise."""
    reserved = (TOOLBOX, AGENTS_INSIDE, "/run/aienv", request.workspace)
    covers: dict[str, str] = {}
    for volume in image.volumes:
        path = posixpath.normpath("/" + volume.lstrip("/"))
        if path == "/" or any(_within(path, place) for place in reserved):
            raise EnvironmentFailed(
                f"the image declares a volume at {volume!r}, in a place that aienv needs", remedy="choose another image"
            )
        covers[path] = f"rw,nosuid,nodev,size={VOLUME_BYTES},mode=1777"
    return {
        **covers,
        "/tmp": f"rw,nosuid,nodev,size={TMP_BYTES},mode=1777",
        "/run": f"rw,nosuid,nodev,size={RUN_BYTES},mode=755",
    }


def mounts(request: EnvironmentRequest, toolbox: str) -> list[dict[str, Any]]:
    """Folders of the host; of type bind, because then the engine refuses a source that it does not have."""
    folders = request.folders
    return [
        _bind(toolbox, TOOLBOX, writable=False),
        *(_bind(source, target, writable=False) for source, target in request.mounts),
        _bind(str(folders.workspace), request.workspace, writable=True),
        *(_bind(str(path), f"{OBJECTS_INSIDE}/{name}", writable=False) for name, path in folders.objects),
        _bind(str(folders.outbox), OUTBOX_INSIDE, writable=True),
        *((_bind(str(folders.home), HOME_INSIDE, writable=True),) if folders.home is not None else ()),
        _bind(str(folders.control), CONTROL_INSIDE, writable=False),  # connecting to a socket needs no writable mount
        # The toolbox's loader does not read it; everything else in the container should find nothing there either.
        _bind(str(folders.control / EMPTY_FILE), "/etc/ld.so.preload", writable=False),
    ]


def _bind(source: str, target: str, *, writable: bool) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": not writable,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def labels_of(labels: Mapping[str, str]) -> tuple[str, str] | None:
    """(run id, role) of a container of ours; None for anything else, which is not ours to remove."""
    run, role = labels.get(RUN), labels.get(ROLE)
    return (run, role) if labels.get(MANAGED) == "1" and run and role in ("task", "harvest") else None
