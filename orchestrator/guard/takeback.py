"""Taking back what containers of a run made in its workspace as root, or as users of their own.

Before the harvest, so that everything can be read; before the work folder goes, so that it can be removed. Root does it itself; for an
ordinary user a container of the engine's does, with nothing but the workspace in it.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from orchestrator.guard.gate_body import VOID_IMAGE, VOID_IMPORT, void_archive
from orchestrator.guard.plain import PlainEngine, Silent, message_of
from orchestrator.guard.takeback_program import is_foreign, take_back
from orchestrator.launcher.command import TOOLBOX
from orchestrator.model.guard import MANAGED, ROLE, RUN

INSIDE = "/workspace"
MEMORY_BYTES, PIDS = 256 << 20, 16
BOOT = f"import sys; sys.path.insert(0, '{TOOLBOX}/lib/aienv'); import takeback; takeback.main()"
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER")


class NotTaken(Exception):
    """Something still belongs to others. The text is the whole reason."""


@dataclass(frozen=True, slots=True)
class Means:
    """``image``: by id; None: an empty one is made. ``toolbox``: the folder that our programs run from."""

    daemon: str
    session: str
    image: str | None
    toolbox: str | None


def reclaim(workspace: Path, uid: int, gid: int, means: Means, deadline_s: float) -> None:
    """Everything below ``workspace`` is ``uid``'s afterwards. Nothing of the run may be writing there. Nothing foreign is fine.

    Raises:
        NotTaken
    """
    try:
        if os.geteuid() == 0:
            take_back(workspace, uid, gid)
            return
        if not is_foreign(workspace, uid):
            return
    except OSError as problem:
        raise NotTaken(f"{workspace}: {problem.strerror or problem}") from None
    if means.toolbox is None:
        raise NotTaken("there is no toolbox to do it with")
    engine = PlainEngine(means.daemon, time.monotonic() + deadline_s)
    try:
        _by_container(engine, workspace, uid, gid, means, deadline_s)
    except (Silent, ValueError) as problem:
        raise NotTaken(str(problem)) from None
    finally:
        engine.close()


def _by_container(engine: PlainEngine, workspace: Path, uid: int, gid: int, means: Means, deadline_s: float) -> None:
    image = means.image
    if image is None:
        _expect(engine.call("POST", VOID_IMPORT, void_archive()), "making an empty image")
        image = VOID_IMAGE
    name = f"aienv-{means.session}-takeback"
    engine.call("DELETE", f"/containers/{name}?force=1&v=1")  # of one that was killed
    body = container_body(image, str(workspace), means.toolbox or "", means.session, (INSIDE, str(uid), str(gid)))
    made = _expect(engine.call("POST", f"/containers/create?{urlencode({'name': name})}", body), "making a container")
    key = str(made["Id"])
    try:
        _expect(engine.call("POST", f"/containers/{key}/start"), "starting a container")
        ended = _expect(engine.call("POST", f"/containers/{key}/wait", call_s=deadline_s), "waiting for a container")
        if ended.get("StatusCode") != 0:
            raise NotTaken(f"the container that takes files back ended with code {ended.get('StatusCode')}")
    finally:
        engine.call("DELETE", f"/containers/{key}?force=1&v=1")


def container_body(image: str, workspace: str, toolbox: str, session: str, arguments: tuple[str, ...]) -> dict[str, object]:
    """Root in it, since nobody else may give files away; with four capabilities, no network, and a read-only root."""
    return {
        "Image": image,
        "User": "0:0",
        "WorkingDir": "/",
        "Entrypoint": [f"{TOOLBOX}/bin/python3", "-I", "-S", "-c", BOOT, *arguments],
        "Cmd": [],
        "Env": [f"PATH={TOOLBOX}/bin"],
        "Labels": {MANAGED: "1", RUN: session, ROLE: "gate"},
        "Healthcheck": {"Test": ["NONE"]},
        "NetworkDisabled": True,
        "HostConfig": {
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "CapAdd": list(CAPABILITIES),
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "none", "Config": {}},
            "Memory": MEMORY_BYTES,
            "PidsLimit": PIDS,
            "Mounts": [_bind(toolbox, TOOLBOX, read_only=True), _bind(workspace, INSIDE, read_only=False)],
        },
    }


def _bind(source: str, target: str, *, read_only: bool) -> dict[str, object]:
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only, "BindOptions": {"Propagation": "rprivate"}}


def _expect(answer: tuple[int, object], what: str) -> dict[str, object]:
    """Raises NotTaken."""
    status, said = answer
    if status not in (200, 201, 204, 304):
        raise NotTaken(f"{what} failed ({status}): {message_of(said)}")
    return said if isinstance(said, dict) else {}
