"""The final arguments of a dev container, judged: what entries and file ask for becomes findings, notes and arguments of ours. Pure."""

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.policy import runargs
from orchestrator.devcontainer.policy.asks import Ask, Need, never, settle
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.mounts import ask_mount, host_path, parse
from orchestrator.devcontainer.policy.ports import ask_app_port
from orchestrator.devcontainer.policy.verdict import Finding, WorkspaceGround, refuse

__all__ = ["Entry", "Final", "Verdict", "WorkspaceGround", "host_paths", "judge", "refuse"]

FILE = "devcontainer.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the merged metadata, variables replaced; ``origin``: who asks, for people: ``feature ghcr.io/x/y:1``."""

    origin: str
    values: Object


@dataclass(frozen=True, slots=True)
class Final:
    """Arguments for ``docker run`` that hold nothing that was not granted. They replace those of the configuration and of the entries.

    ``run_args``: of runArgs what no other field has. ``ports``: values of ``--publish``. ``mounts``: values of ``--mount``, without the
    workspace's; ``workspace_mount``: the file's own, None if it has none, empty for no mount. ``env``: of runArgs, ``NAME=value``, or
    ``NAME`` alone for one of this machine that was granted; ``labels``, ``user``: of runArgs. ``volumes``: names of all volumes that are
    mounted: whose they are is to be looked at. ``sources``: paths of this machine that are mounted. ``initialize``: whether
    initializeCommand may run.
    """

    run_args: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    workspace_mount: str | None = None
    volumes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    privileged: bool = False
    init: bool = False
    cap_add: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    gpus: str | None = None
    user: str | None = None
    env: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    initialize: bool = False

    def words(self) -> tuple[str, ...]:
        """All of it as options of ``docker run``, without the workspace's mount. Behind the ones of ours that they may override: labels,
        containerEnv, user."""
        return (
            *(f"--publish={one}" for one in self.ports),
            *(f"--mount={one}" for one in self.mounts),
            *(f"--env={one}" for one in self.env),
            *(f"--label={one}" for one in self.labels),
            *((f"--user={self.user}",) if self.user is not None else ()),
            *self.run_args,
            *((f"--gpus={self.gpus}",) if self.gpus is not None else ()),
            *(("--init",) if self.init else ()),
            *(("--privileged",) if self.privileged else ()),
            *(f"--cap-add={one}" for one in self.cap_add),
            *(f"--security-opt={one}" for one in self.security_opt),
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """``findings``: what is refused; ``final`` holds what is left, and is only to be used without any. ``notes``: what was taken away, and
    the line that would give it."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    final: Final


def host_paths(entries: Sequence[Entry], config: Object) -> tuple[str, ...]:
    """Paths of this machine that are asked for as mounts: follow their links for ``WorkspaceGround.real``."""
    paths = [host_path(mount) for entry in entries for mount in _items(entry.values.get("mounts"))]
    paths += [host_path(config.get("workspaceMount")), *runargs.host_paths(_items(config.get("runArgs")))]
    return tuple(dict.fromkeys(path for path in paths if path is not None))


def judge(entries: Sequence[Entry], config: Object, ground: WorkspaceGround, grants: Grants) -> Verdict:
    """``entries``: the weakest first; ``config``: the file, variables replaced: its runArgs, appPort, workspaceMount and
    initializeCommand count here, the rest of it is an entry.

    Never raises for what is asked: what cannot be read is a finding.
    """
    settled = settle((*_of_entries(entries, ground), *((FILE, ask) for ask in _of_file(config, ground))), grants)
    words = settled.words
    workspace = words("workspace_mount")
    final = Final(
        run_args=words("run_args"),
        ports=words("ports"),
        mounts=words("mounts"),
        workspace_mount=workspace[-1] if workspace else None,
        volumes=tuple(dict.fromkeys(ask.volume for ask in settled.asks if ask.volume is not None)),
        sources=tuple(dict.fromkeys(ask.source for ask in settled.asks if ask.source is not None)),
        privileged=bool(words("privileged")),
        init=bool(words("init")),
        cap_add=tuple(dict.fromkeys(words("cap_add"))),
        security_opt=tuple(dict.fromkeys(words("security_opt"))),
        gpus=_last(words("gpus")),
        user=_last(words("user")),
        env=words("env"),
        labels=words("labels"),
        initialize=bool(words("initialize")),
    )
    return Verdict(settled.findings, settled.notes, final)


def _last(words: tuple[str, ...]) -> str | None:
    return words[-1] if words else None


def _of_entries(entries: Sequence[Entry], ground: WorkspaceGround) -> Iterator[tuple[str, Ask]]:
    for entry in entries:
        values = entry.values
        if _counts(values.get("privileged")):
            yield entry.origin, runargs.ask_privileged()
        if _counts(values.get("init")):
            yield entry.origin, Ask("init", "init", ("true",))
        for key, rule in (("capAdd", runargs.ask_capability), ("securityOpt", runargs.ask_security)):
            for item in _items(values.get(key)):
                yield entry.origin, rule(item) if isinstance(item, str) else never(key, "it holds what is no text")
    for origin, mount in _last_of_each_target(entries):
        yield origin, ask_mount(mount, ground)


def _of_file(config: Object, ground: WorkspaceGround) -> Iterator[Ask]:
    if _counts(config.get("initializeCommand")):
        why = "it is run on this machine, outside of any container"
        yield Ask("initializeCommand", "initialize", ("true",), (Need("initializeCommand", why),))
    yield from (ask_app_port(port) for port in _items(config.get("appPort")))
    mount = config.get("workspaceMount")
    if mount == "":
        yield Ask("workspaceMount", "workspace_mount", ("",))
    elif mount is not None:
        yield ask_mount(mount, ground, "workspace_mount")
    arguments = config.get("runArgs")
    if arguments is not None and not isinstance(arguments, list):
        yield never("runArgs", "it is no list")
    yield from runargs.run_asks(_items(arguments), ground)


def _last_of_each_target(entries: Sequence[Entry]) -> list[tuple[str, Json]]:
    """Origin and mount, the last one of each target; where a target cannot be read the mount stays, to be refused."""
    found: list[tuple[str, Json]] = []
    seen: set[str] = set()
    for entry in reversed(entries):
        for mount in reversed(_items(entry.values.get("mounts"))):
            target = _target(mount)
            if target is None or target not in seen:
                found.append((entry.origin, mount))
            seen |= {target} if target is not None else set()
    return found[::-1]


def _target(mount: Json) -> str | None:
    try:
        return posixpath.normpath(parse(mount).target)
    except ValueError:
        return None


def _items(value: Json) -> list[Json]:
    """The items of a list; what is none is one itself, as in the merge."""
    return (value if isinstance(value, list) else [value]) if _counts(value) else []


def _counts(value: Json) -> bool:
    return isinstance(value, (list, dict)) or bool(value)
