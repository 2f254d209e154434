"""``up`` and what follows it, done twice on one real engine: by the reference dev container CLI and by ours; and what can be seen of each.

Each side has a copy of the workspace, with the same base name below a folder of its own, so that what is seen differs in a prefix alone.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from docker.errors import APIError

from orchestrator.devcontainer import ids
from tests import clients
from tests.engine import Engine, image

Facts = dict[str, Any]
Side = Literal["reference", "ours"]
DEADLINE_S = 120.0
UP = "aienv-test/up:1"
WITH_GIT = "aienv-test/up-git:1"
LABELLED = "aienv-test/up-labelled:1"
SMALL = "aienv-test/up-small:1"
VERBS = ("up", "exec", "run-user-commands", "set-up", "read-configuration")
WITH_UID = ("--inh-caps=+dac_override,+dac_read_search", "--ambient-caps=+dac_override,+dac_read_search", "--clear-groups")

# Users whose ids are nobody's on the machine; start files of each kind of shell; an ENTRYPOINT and a CMD that leave a trace.
DOCKERFILE = r"""
FROM aienv-test/debian:latest
RUN groupadd -g 4321 devs && useradd -m -u 4242 -g 4321 -s /bin/bash dev && useradd -m -u 4243 -s /bin/sh plain && groupadd -g 4400 other \
 && useradd -m -u 4244 -s /bin/bash xdev && useradd -M -d /nowhere -u 4245 -s /bin/bash homeless \
 && echo 'export FROM_LOGIN=yes PATH=$PATH:/from/login' >/etc/profile.d/login.sh \
 && sed -i '1i export FROM_ANY=yes' /home/dev/.bashrc && echo 'export FROM_INTERACTIVE=yes' >>/home/dev/.bashrc \
 && echo 'export FROM_ROOT=yes' >>/root/.bashrc \
 && printf '#!/bin/sh\necho "entry $*" >/tmp/entry; exec "$@"\n' >/usr/local/bin/entry && chmod 755 /usr/local/bin/entry
ENV FROM_IMAGE=image PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/from/image
"""
ENTRYPOINT = 'ENTRYPOINT ["/usr/local/bin/entry"]\nCMD ["sleep", "600"]\n'
LABEL = [
    {"remoteUser": "dev", "remoteEnv": {"LABELLED": "image", "BOTH": "image"}, "onCreateCommand": "echo image-create >>log"},
    {"id": "old", "init": True, "capAdd": ["SYS_PTRACE"], "postStartCommand": "echo image-start >>log",
     "mounts": ["type=tmpfs,target=/labelled"],
     "containerEnv": {"FROM_LABEL": "yes"}, "customizations": {"vscode": {"extensions": ["a"]}}},
]  # fmt: skip

# Everything of the inside in one command. /etc/profile is changed by both in one line.
PROBE = r"""
echo "[env]"; env -0 | tr '\n\0' '\001\n' | sort
echo "[id]"; id; pwd
echo "[environment]"; cat /etc/environment 2>/dev/null | sort
echo "[profile]"; grep PATH= /etc/profile
echo "[markers]"; ls -A ~/.devcontainer 2>/dev/null | sort
"""
NOT_COMPARED = frozenset(["HOSTNAME", "PWD", "OLDPWD", "SHLVL", "_"])


@dataclass(frozen=True)
class Step:
    """A command of both CLIs, or of docker (``docker``), or a file to be written (``write PATH CONTENT``).

    In words ``{id}`` is the container, ``{folder}`` the workspace, ``{root}`` what is around it.
    """

    words: tuple[str, ...]
    stdin: bytes | None = None
    uid: int | None = None


@dataclass(frozen=True)
class Case:
    """``config``: of .devcontainer/devcontainer.json. ``folder``: which folder of the workspace is opened. ``apart``: facts that are
    meant to differ, ``why``, and what then holds of ``ours``."""

    name: str
    config: Any = None
    steps: Sequence[Step] = (Step(("up",)),)
    files: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    git: bool = False
    apart: Sequence[str] = ()
    why: str = ""
    ours: Callable[[Facts], bool] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    compose: bool = False

    @property
    def builds(self) -> bool:
        """The reference hands features over through one tag of the whole engine."""
        text = json.dumps(self.config) + json.dumps([step.words for step in self.steps])
        return any(word in text for word in ("features", "build", "ockerfile", "ockerFile", "compose"))


@dataclass
class World:
    """An engine with the images, the commands of both sides."""

    engine: Engine
    reference: Path
    environ: Mapping[str, str]
    building: threading.Lock = field(default_factory=threading.Lock)
    client: Any = None

    @classmethod
    def made(cls, engine: Engine, folder: Path) -> "World":
        reference = clients.require(clients.dev_container_cli)
        assert isinstance(reference, Path)
        new = clients.require(clients.new_clients)
        assert isinstance(new, Path)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "docker").symlink_to(new / "usr/bin/docker")
        images(engine)
        path = f"{programs}:{os.environ['PATH']}"
        environ = {
            **clients.plugins(folder / "home"),
            "PLACE": "here",
            "PATH": path,
            "DOCKER_HOST": engine.address,
            "GIT_CONFIG_NOSYSTEM": "1",
            "LANG": "C.UTF-8",
        }
        folder.chmod(0o777)
        os.chmod(engine.root / "engine.sock", 0o666)  # callers that are not root
        return cls(engine, reference, environ, client=engine.client())

    def docker(self, *words: str) -> str:
        done = subprocess.run(("docker", *words), env=dict(self.environ), capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr.strip()}"

    def argv(self, side: Side, words: Sequence[str]) -> list[str]:
        verb, *rest = words
        if side == "ours":
            grant = ["--grant", "everything"] if verb in VERBS and verb != "read-configuration" else []
            return [sys.executable, "-m", "orchestrator", "devcontainer", verb, *grant, *rest]
        return [str(self.reference), verb, *(["--buildkit", "never"] if verb == "up" else []), *rest]

    def observe(self, case: Case, side: Side, root: Path) -> Facts:
        """What both sides must agree on; nothing is left on the engine."""
        place = Place(self, case, side, root / side)
        with place.cleared():
            place.lay()
            if side == "reference" and case.builds:
                with self.building:
                    return place.facts()
            return place.facts()


def images(engine: Engine) -> None:
    image(engine, "debian")
    image(engine, "busybox", SMALL)
    label = json.dumps(json.dumps(LABEL))
    rows = {
        UP: DOCKERFILE,
        LABELLED: f"FROM {UP}\nUSER plain\nLABEL devcontainer.metadata={label}\n{ENTRYPOINT}",
        WITH_GIT: f"FROM {UP}\nCOPY git /usr/bin/git\nRUN ln -s git /usr/bin/git-upload-pack\n",
    }
    with closing(engine.client(timeout=300)) as client:
        for name, dockerfile in rows.items():
            if not client.images(name):
                _build(engine, name, dockerfile)


def _build(engine: Engine, name: str, dockerfile: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as context:
        (Path(context) / "Dockerfile").write_text(dockerfile)
        if "COPY git" in dockerfile:
            shutil.copy(shutil.which("git") or "/usr/bin/git", Path(context) / "git")
        with closing(engine.client(timeout=300)) as client:
            for line in client.build(path=context, tag=name, rm=True, decode=True):
                assert "error" not in line, line


class Place:
    """One side of a case."""

    def __init__(self, world: World, case: Case, side: Side, root: Path) -> None:
        self.world, self.case, self.side, self.root = world, case, side, root
        self.workspace = root / case.name
        self.folder = self.workspace / case.folder if case.folder else self.workspace
        self.environ = {**world.environ, **case.environ, "AIENV_HOME": str(root / "aienv"), "PYTHONPATH": str(Path(__file__).parents[3])}
        self.spoken: list[str] = []
        self.seen: set[str] = set()

    def lay(self) -> None:
        files = dict(self.case.files)
        if self.case.config is not None:
            config = self.case.config
            files[".devcontainer/devcontainer.json"] = config if isinstance(config, str) else json.dumps(config)
        for name, content in files.items():
            self.write(name, content)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.case.git:
            subprocess.run(["git", "init", "-q", str(self.workspace)], check=True, timeout=DEADLINE_S)
        self.before = frozenset(self._files())

    def write(self, name: str, content: str) -> None:
        path = self.workspace / self.filled(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.filled(content), encoding="utf-8")
        path.chmod(0o777 if content.startswith("#!") else 0o666)
        self.workspace.chmod(0o777)

    def filled(self, text: str) -> str:
        found = text.replace("{folder}", str(self.folder)).replace("{root}", str(self.root))
        return found.replace("{id}", self.container()) if "{id}" in found else found

    # --- doing

    def facts(self) -> Facts:
        found: Facts = {}
        for number, step in enumerate(self.case.steps):
            found[f"{number} {step.words[0]}"] = self.step(step)
        container = self.container()
        if not container:
            return {**found, "container": None, "files": self.files()}
        details = self.world.client.inspect_container(container)
        found["container"] = self.plain(of_container(details))
        found["others"] = sorted(self.containers().values())
        if details["State"]["Running"]:
            found |= self.inside()
        return {**found, "files": self.files()}

    def step(self, step: Step) -> Any:
        verb, *rest = (self.filled(word) for word in step.words)
        if verb == "write":
            self.write(rest[0], rest[1])
            return None
        if verb == "docker":
            said = self.world.docker(*rest)
            self.containers()
            return self.plain(said)
        if verb == "sh":
            done = subprocess.run(
                ["/bin/sh", "-c", rest[0]], cwd=self.workspace, env=self.environ, capture_output=True, timeout=DEADLINE_S, check=False
            )
            return done.returncode
        code, output = self.run([verb, *rest], step)
        self.containers()
        if verb == "exec":
            return {"code": code, "output": self.plain(output)}
        answer = {}
        lines = output.strip().splitlines()
        if lines:
            answer = self.plain(json.loads(lines[-1]))
            answer = {
                key: answer[key]
                for key in answer
                if key not in ("message", "description", "remedy", "disallowedFeatureId", "learnMoreUrl", "ociAuthDiagnostics")
            }
        return {"code": code, **answer}

    def run(self, words: Sequence[str], step: Step | None = None) -> tuple[int, str]:
        verb, *rest = words
        where = () if "--container-id" in rest or verb == "set-up" or "--no-folder" in rest else ("--workspace-folder", str(self.folder))
        argv = self.world.argv(self.side, [verb, *where, *(word for word in rest if word != "--no-folder")])
        if step is not None and step.uid is not None:
            argv = [*self.as_user(step.uid), *argv]
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL} if step is None or step.stdin is None else {"input": step.stdin}
        done = subprocess.run(argv, env=self.environ, cwd=self.root, capture_output=True, timeout=DEADLINE_S, check=False, **options)
        self.spoken.append(f"$ {' '.join(argv)}\n{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}")
        return done.returncode, done.stdout.decode(errors="replace")

    def as_user(self, uid: int) -> list[str]:
        """A user of this machine who may read what root has; node wants to know a name."""
        names = self.root / "passwd"
        names.write_text(f"{Path('/etc/passwd').read_text()}caller:x:{uid}:{uid + 1}::{self.root}:/bin/sh\n")
        script = 'mount --bind "$1" /etc/passwd && shift && exec "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(names),
                "setpriv", f"--reuid={uid}", f"--regid={uid + 1}", *WITH_UID, "--"]  # fmt: skip

    # --- seeing

    def containers(self) -> dict[str, str]:
        """Of this side: id -> name of the service, or nothing."""
        found: dict[str, str] = {}
        for one in self.world.client.containers(all=True):
            labels = one["Labels"] or {}
            places = [*labels.values(), *(str(mount.get("Source")) for mount in one["Mounts"])]
            if any(f"{self.root}/" in f"{place}/" for place in places):
                found[one["Id"]] = labels.get("com.docker.compose.service", "")
        self.seen |= set(found)
        return found

    def container(self) -> str:
        """The dev container."""
        wanted = self.case.config.get("service") if isinstance(self.case.config, dict) else None
        found = self.containers()
        return next((name for name, service in found.items() if service == (wanted or service)), "")

    def inside(self) -> Facts:
        code, output = self.run(["exec", "/bin/sh", "-c", PROBE])
        parts = dict(part.split("]\n", 1) for part in output.split("\n[") if "]\n" in part) if code == 0 else {}
        parts = {name.strip("[\n"): text for name, text in parts.items()}
        environ = dict(line.partition("=")[::2] for line in parts.get("env", "").splitlines())
        return {
            "exec": code,
            "env": self.plain({name: value for name, value in environ.items() if name not in NOT_COMPARED}),
            **{name: self.plain(parts.get(name, "").splitlines()) for name in ("id", "environment", "profile")},
            "markers": [name for name in parts.get("markers", "").splitlines() if self._is_hook(name[1:].removesuffix("Marker"))],
        }

    def _is_hook(self, name: str) -> bool:
        """The reference leaves marks of hooks that nobody wrote, too."""
        config = self.case.config
        return bool(config.get(name)) if isinstance(config, dict) and name in config else name in json.dumps(dict(self.case.files))

    def _files(self) -> Iterator[str]:
        for path in self.workspace.rglob("*"):
            if path.is_file() and ".git/" not in f"{path}":
                yield str(path.relative_to(self.workspace))

    def files(self) -> Facts:
        """What was written into the workspace."""
        new = sorted(set(self._files()) - self.before)
        return {
            name: self.plain((self.workspace / name).read_text(errors="replace").splitlines()) for name in new if "-lock.json" not in name
        }

    def plain(self, value: Any) -> Any:
        """Without what is a side's own: its folder, ids, and what is made of these."""
        text = json.dumps(value)
        text = text.replace(str(self.root), "ROOT")
        for config in (".devcontainer/devcontainer.json", ".devcontainer.json"):
            labels = {"devcontainer.local_folder": str(self.folder), "devcontainer.config_file": str(self.folder / config)}
            text = text.replace(ids.devcontainer_id(labels), "DEVCONTAINERID")
        for name in self.seen:
            text = text.replace(name, "CONTAINER").replace(name[:12], "CONTAINER")
        return json.loads(text)

    @contextmanager
    def cleared(self) -> Iterator[None]:
        self.root.mkdir(parents=True)
        self.root.chmod(0o777)
        try:
            yield
        finally:
            client = self.world.client
            for name in self.containers():
                client.remove_container(name, force=True, v=True)
            for network in client.networks() if self.case.compose else ():
                if network["Name"].startswith((f"{self.case.name}_", f"{self.case.name}-")):
                    with suppress(APIError):  # of a case whose name begins as this one's
                        client.remove_network(network["Id"])
            for volume in client.volumes()["Volumes"] or ():
                if volume["Name"].startswith(self.case.name):
                    with suppress(APIError):
                        client.remove_volume(volume["Name"])


def of_container(details: dict[str, Any]) -> Facts:
    config, host = details["Config"], details["HostConfig"]
    labels = {name: value for name, value in (config["Labels"] or {}).items() if name.startswith("devcontainer.")}
    if "devcontainer.metadata" in labels:
        labels["devcontainer.metadata"] = json.loads(labels["devcontainer.metadata"])
    if not labels.get("devcontainer.metadata"):  # nothing is said in two ways
        labels.pop("devcontainer.metadata", None)
    mounts = [
        (one["Type"], one.get("Name", "") if len(one.get("Name", "")) < 64 else "anonymous", one["Source"] if one["Type"] == "bind" else "",
         one["Destination"], one["RW"])
        for one in details["Mounts"]
    ]  # fmt: skip
    return {
        "user": config["User"] or "root",
        "env": sorted(config["Env"] or []),
        "labels": labels,
        "mounts": sorted(mounts),
        "tmpfs": host.get("Tmpfs") or {},
        "init": bool(host.get("Init")),
        "privileged": host["Privileged"],
        "caps": sorted({one.upper() for one in host["CapAdd"] or ()}),
        "dropped": sorted(host["CapDrop"] or []),
        "security": sorted(host["SecurityOpt"] or []),
        "ports": {port: [_published(one) for one in ways] for port, ways in (host["PortBindings"] or {}).items()},
        "network": host["NetworkMode"],
        "hosts": host["ExtraHosts"] or [],
        "shm": host["ShmSize"],
        "restart": host["RestartPolicy"]["Name"],
        "hostname": config["Hostname"] if config["Hostname"] != details["Id"][:12] else "",
        "entrypoint": _script(config["Entrypoint"]),
        "cmd": _script(config["Cmd"]),
        "directory": config["WorkingDir"],
        "running": details["State"]["Running"],
    }


def _script(words: Sequence[str] | None) -> list[str]:
    """In its override file for compose the reference has a space before each line."""
    return [re.sub(r"\n +", "\n", word) for word in words or ()]


def _published(binding: Mapping[str, str]) -> str:
    return f"{binding['HostIp'] or '0.0.0.0'}:{binding['HostPort']}"


def differences(theirs: Any, found: Any, path: str = "") -> Iterator[str]:
    """For people."""
    if isinstance(theirs, dict) and isinstance(found, dict):
        for key in sorted({*theirs, *found}):
            yield from differences(theirs.get(key, "-"), found.get(key, "-"), f"{path}/{key}")
    elif theirs != found:
        yield f"{path}\n  reference {theirs!r}\n  ours      {found!r}"
