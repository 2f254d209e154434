"""The container of a session's gate, as the engine's API takes it; and the empty image that it runs from where there is no other. Pure.

All its program needs is in the toolbox, loader and libraries too. Whatever the image brings besides files is replaced or refused.
"""

import io
import posixpath
import tarfile
from urllib.parse import urlencode

from orchestrator.guard.calls import Json, Object, Session
from orchestrator.launcher.command import TOOLBOX
from orchestrator.model.guard import EGRESS_NAME, MANAGED, ROLE, RUN

GATE_ROLE, BUILDS = "gate", "builds"
NO_NETWORK = "none"
GATE_FOLDER, GATE_SOCKET = "/run/aienv/gate", "gate.sock"
GATE_PROGRAM = f"{TOOLBOX}/lib/aienv/gate.py"
NOBODY = 65534
MEMORY_BYTES, PIDS, OPEN_FILES = 64 << 20, 16, 1024
STOP_GRACE_S = 1
ENV = (("PATH", f"{TOOLBOX}/bin"), ("LC_ALL", "C"), ("HOME", "/"))

VOID_IMAGE = "aienv/void:1"
VOID_IMPORT = "/images/create?" + urlencode(
    {"fromSrc": "-", "repo": "aienv/void", "tag": "1", "changes": f'LABEL {MANAGED}="1" dev.aienv.image="void"'}
)
VOID_FOLDERS = ("dev", "etc", "opt", "proc", "run", "sys", "tmp")


class BadImage(Exception):
    """The image cannot carry the gate. The text is the whole reason."""


def gate_name(session: Session, part: str = GATE_ROLE) -> str:
    return f"aienv-{session.id}-{part}"


def gate_user(session: Session) -> tuple[int, int]:
    """The session's, so that it reaches its folder; never root."""
    return (session.uid, session.gid or NOBODY) if session.uid else (NOBODY, NOBODY)


def gate_body(session: Session, image: str, toolbox: str, folder: str, network: str, inspected: Object) -> Object:
    """The body of ``POST /containers/create``. ``inspected``: what the engine says about the image. ``network``: a full id, or ``none``.

    Raises:
        BadImage: it declares a volume at a place of ours.
    """
    config = inspected.get("Config")
    config = config if isinstance(config, dict) else {}
    _judge_volumes(config)
    uid, gid = gate_user(session)
    return {
        "Image": image,
        "User": f"{uid}:{gid}",
        "Hostname": EGRESS_NAME,
        "WorkingDir": "/",
        "Entrypoint": [f"{TOOLBOX}/bin/python3", "-I", "-S", GATE_PROGRAM, f"{GATE_FOLDER}/{GATE_SOCKET}"],
        "Cmd": [],
        "Env": _environment(config),
        "Labels": {MANAGED: "1", RUN: session.id, ROLE: GATE_ROLE},
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM",
        "StopTimeout": STOP_GRACE_S,
        "Tty": False,
        "OpenStdin": False,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "HostConfig": _host_config(session, toolbox, folder, network),
        **({"NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": [EGRESS_NAME]}}}} if network != NO_NETWORK else {}),
    }


def _host_config(session: Session, toolbox: str, folder: str, network: str) -> Object:
    return {
        "NetworkMode": network,
        "IpcMode": "none",
        "PidMode": "",
        "UTSMode": "",
        "UsernsMode": "",
        "Privileged": False,
        "PublishAllPorts": False,
        "CapAdd": [],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "Sysctls": {"net.ipv4.ip_forward": "0"},  # it stands in several networks, and is the way between none of them
        "Dns": ["127.0.0.1"],  # it looks nothing up
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,  # its end must still be there to be explained
        "LogConfig": {"Type": "none", "Config": {}},
        "OomKillDisable": False,
        "Memory": MEMORY_BYTES,
        "MemorySwap": MEMORY_BYTES,
        "PidsLimit": PIDS,
        "Ulimits": [
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
            {"Name": "core", "Soft": 1, "Hard": 1},  # at 0 a program that core_pattern names is still started, outside and as root
        ],
        "Mounts": [_bind(toolbox, TOOLBOX), _bind(folder, GATE_FOLDER)],  # connecting to a socket needs no writable mount
        **({"CgroupParent": session.plan.cgroup_parent} if session.plan.cgroup_parent else {}),
    }


def _bind(source: str, target: str) -> Object:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": True, "BindOptions": {"Propagation": "rprivate"}}


def _environment(config: Object) -> list[Json]:
    """Our variables, and the image's names without a value, which removes them (LD_PRELOAD, PYTHONPATH...)."""
    given = config.get("Env")
    names = [one.partition("=")[0] for one in given if isinstance(one, str)] if isinstance(given, list) else []
    ours = dict(ENV)
    return [*(f"{name}={value}" for name, value in ours.items()), *(name for name in dict.fromkeys(names) if name and name not in ours)]


def _judge_volumes(config: Object) -> None:
    """A volume below a place of ours would be mounted over what is there."""
    volumes = config.get("Volumes")
    for volume in volumes if isinstance(volumes, dict) else ():
        path = posixpath.normpath("/" + volume.lstrip("/"))
        if path == "/" or any(path == place or path.startswith(f"{place}/") for place in (TOOLBOX, "/run/aienv")):
            raise BadImage(f"the image declares a volume at {volume!r}, in a place that aienv needs")


def void_archive() -> bytes:
    """The file system of ``VOID_IMAGE``: empty folders. The same bytes each time."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in VOID_FOLDERS:
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
    return stream.getvalue()
