"""Runs the corpus against a socket: a world with somebody else's things, one connection a row, and what came of it on the engine."""

# ruff: noqa: E501 - a row of a table stays one line

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker.errors

from tests import clients, engine
from tests.engine import Engine
from tests.integration.guard.corpus import Row, http

IMAGE, SECRET, FOREIGN = "aienv-test/busybox:latest", "swordfish-of-the-ledger", "ledger"
ANSWER_S, QUIET_S = 8.0, 0.25
DEFAULT_CAPS = frozenset(
    ("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",
     "AUDIT_WRITE")
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """``status`` 0: the connection ended, or nothing came in time."""

    status: int
    data: bytes

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def document(self) -> Any:
        text = self.body
        with contextlib.suppress(ValueError):
            return json.loads(text)
        with contextlib.suppress(ValueError):
            return json.loads(text.partition(b"\r\n")[2].rpartition(b"\r\n0\r\n")[0])
        return None


def ask(path: str, request: bytes, quiet_s: float | None = None) -> Answer:
    """Send bytes on a connection of their own. ``quiet_s``: the answer is over when nothing has come for so long."""
    data, limit = b"", time.monotonic() + ANSWER_S
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(ANSWER_S)
        try:
            connection.connect(path)
            connection.sendall(request)
        except OSError:
            pass  # it may have been answered, and closed, before all was sent
        while time.monotonic() < limit:
            connection.settimeout(quiet_s if quiet_s and data else min(ANSWER_S, 3.0 if quiet_s else ANSWER_S))
            try:
                piece = connection.recv(65536)
            except OSError:
                break
            if not piece:
                break
            data += piece
            if _whole(data, request.startswith(b"HEAD ")) and quiet_s is None:
                break
            if len(data) > 4 << 20:
                break
    words = data.split(b" ", 2)
    return Answer(int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0, data)


def _whole(data: bytes, head_only: bool) -> bool:
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return False
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])}
    if head_only or head.split(b" ", 2)[1] in (b"204", b"304", b"101"):
        return True
    if b"content-length" in fields:
        return len(body) >= int(fields[b"content-length"])
    return b"chunked" in fields.get(b"transfer-encoding", b"") and body.endswith(b"0\r\n\r\n")


@dataclass
class World:
    """``socket``: what is attacked; the engine itself is looked at through its own socket."""

    engine: Engine
    socket: str
    project: Path
    raw: Any
    words: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Somebody else's things, by the engine's socket, and our own, by the one that is attacked. What is there stays."""
        raw, words = self.raw, self.words
        if not raw.images(f"{FOREIGN}/image:1"):
            base = raw.create_container(IMAGE, ["sh", "-c", f"echo {SECRET} >/ledger-secret"], network_disabled=True)["Id"]
            raw.start(base)
            raw.wait(base)
            raw.commit(base, f"{FOREIGN}/image", "1", changes=[f"ENV LEDGER={SECRET}"])
            raw.remove_container(base)
        if not raw.networks(names=[f"^{FOREIGN}-net$"]):
            raw.create_network(f"{FOREIGN}-net", labels={"project": FOREIGN})
        raw.create_volume(f"{FOREIGN}-data", labels={"project": FOREIGN, "secret": SECRET})
        if not raw.containers(all=True, filters={"name": f"^/{FOREIGN}$"}):
            self._foreign_container(FOREIGN, "sleep 100000")
        if not raw.containers(all=True, filters={"name": f"^/{FOREIGN}-done$"}):
            self._foreign_container(f"{FOREIGN}-done", "true")
        found, image, network = (
            raw.inspect_container(FOREIGN),
            raw.inspect_image(f"{FOREIGN}/image:1"),
            raw.inspect_network(f"{FOREIGN}-net"),
        )
        if not found["State"]["Running"] or found["State"]["Paused"]:
            raw.restart(FOREIGN, timeout=0)
        words |= {
            "FOREIGN": found["Id"], "FOREIGNNAME": FOREIGN, "FOREIGNSHORT": found["Id"][:12], "FOREIGNTWO": found["Id"][:4], "NET": f"{FOREIGN}-net",
            "NETID": network["Id"], "VOL": f"{FOREIGN}-data", "FIMAGE": f"{FOREIGN}/image:1", "FIMAGENAME": f"{FOREIGN}/image", "FIMAGEID": image["Id"],
            "FIMAGEHEX": image["Id"][7:], "FIMAGESHORT": image["Id"][7:19], "FEXEC": raw.exec_create(FOREIGN, "id")["Id"],
            "IMAGE": IMAGE, "IMAGENAME": IMAGE.partition(":")[0], "IMAGEID": raw.inspect_image(IMAGE)["Id"], "PROJECT": str(self.project),
            "ENGINE": str(self.engine.root), "NOW": str(int(time.time()) + 1),
        }  # fmt: skip

    def _foreign_container(self, name: str, command: str) -> None:
        raw = self.raw
        host = raw.create_host_config(binds=[f"{FOREIGN}-data:/data"], network_mode=f"{FOREIGN}-net")
        made = raw.create_container(
            f"{FOREIGN}/image:1",
            command.split(),
            name=name,
            environment={"PASSWORD": SECRET},
            labels={"project": FOREIGN},
            host_config=host,
        )
        raw.start(made["Id"])

    def own(self) -> None:
        """Our own container, network and volume, through the socket that is attacked; from the engine where that lets nobody make one."""
        bodies = (
            ("/v1.41/networks/create", {"Name": "own-net", "CheckDuplicate": True}), ("/v1.41/volumes/create", {"Name": "own-volume"}),
            ("/v1.41/containers/create?name=own-box", {"Image": IMAGE, "Cmd": ["sleep", "100000"], "HostConfig": {}}),
        )  # fmt: skip
        for path, body in bodies:
            request = Row("own", "", http("POST", path, body)).render({})
            if ask(self.socket, request).status not in (200, 201, 409):
                ask(str(self.engine.root / "engine.sock"), request)
        self.raw.start("own-box")
        self.words |= {
            "OWN": self.raw.inspect_container("own-box")["Id"],
            "OWNNAME": "own-box",
            "OWNNET": "own-net",
            "OWNVOL": "own-volume",
            "EXEC": "0" * 64,
        }

    def fresh_exec(self) -> None:
        made = ask(
            self.socket,
            Row("exec", "", http("POST", f"/v1.41/containers/{self.words['OWN']}/exec", {"Cmd": ["true"], "AttachStdout": True})).render(
                {}
            ),
        )
        if isinstance(made.document, dict) and "Id" in made.document:
            self.words["EXEC"] = made.document["Id"]

    def try_row(self, row: Row) -> Answer:
        if b"@EXEC@" in row.request:
            self.fresh_exec()
        self.words["NOW"] = str(int(time.time()) + 1)
        return ask(self.socket, row.render(self.words), QUIET_S if row.wins in ("made", "tunnel") else None)

    def tidy(self, row: Row) -> None:
        """Take away the container of a row, as its client would."""
        if row.wins == "container" or b"/containers/create" in row.request[:40]:
            ask(self.socket, Row("tidy", "", http("DELETE", f"/v1.41/containers/evil-{row.id}?force=1&v=1")).render({}))
            with contextlib.suppress(Exception):
                self.raw.remove_container(f"evil-{row.id}", force=True, v=True)

    # what came of it

    def won(self, row: Row, answer: Answer) -> str | None:
        """Why an attack is a success, or None."""
        success = 200 <= answer.status < 300 or answer.status in (101, 304)
        leaked = self.leaks(row, answer)
        if leaked:
            return leaked
        if row.wins == "answer":
            return f"answered with {answer.status}" if success else None
        if row.wins == "tunnel" and answer.status == 101:
            return "a tunnel"
        if row.wins == "container":
            return self._escaped_container(answer) if success else None
        return self._made(row)

    def leaks(self, row: Row, answer: Answer) -> str | None:
        """What the answer names of somebody else's that the client did not name itself."""
        sent = row.render(self.words)
        words = {
            "a secret": SECRET,
            "a foreign id": self.words["FOREIGN"],
            "a foreign network": self.words["NETID"],
            "a foreign image": self.words["FIMAGEID"],
            "a foreign name": FOREIGN,
        }
        told = [what for what, text in words.items() if text.encode() in answer.data and text.encode() not in sent]
        return f"told {', '.join(told)}" if told and 200 <= answer.status < 300 else None

    def _escaped_container(self, answer: Answer) -> str | None:
        made = answer.document
        if not (isinstance(made, dict) and isinstance(made.get("Id"), str)):
            return None
        try:
            return escaped(self.raw.inspect_container(made["Id"]), self.words)
        except (docker.errors.APIError, OSError, ValueError) as problem:
            return f"could not be looked at: {problem}"

    def _made(self, row: Row) -> str | None:
        name, raw = f"evil-{row.id}", self.raw
        with contextlib.suppress(Exception):
            raw.remove_container(name, force=True)
            return "a privileged container was made"
        for foreign in (FOREIGN, f"{FOREIGN}-done"):
            if not raw.containers(all=True, filters={"name": f"^/{foreign}$"}):
                return f"container {foreign} is gone"
        if not raw.volumes(filters={"name": f"{FOREIGN}-data"})["Volumes"]:
            return "a foreign volume is gone"
        if raw.images(name):
            return self._foreign_content(name)
        return None

    def _foreign_content(self, image: str) -> str | None:
        raw = self.raw
        made = raw.create_container(image, ["true"])["Id"]
        try:
            for path in ("/ledger-secret", "/x/ledger-secret"):
                with contextlib.suppress(Exception):
                    raw.get_archive(made, path)
                    return "an image with foreign content was built"
            return None
        finally:
            raw.remove_container(made)
            with contextlib.suppress(Exception):
                raw.remove_image(image, force=True)


def escaped(found: Mapping[str, Any], words: Mapping[str, str]) -> str | None:
    """Why a container, as the engine has it, is more than a session's may be."""
    host, config = found["HostConfig"], found["Config"]
    project, state = words["PROJECT"], ("/tmp/aienv-", "/run/", "/var/lib/aienv")
    own = (f"container:{words.get('OWN', '-')}", f"container:{words.get('OWNNAME', '-')}")
    caps = {str(cap).upper().removeprefix("CAP_") for cap in host.get("CapAdd") or []}
    mounts = [mount["Source"] for mount in found["Mounts"] if mount["Type"] == "bind"]
    modes = [str(host.get(name) or "") for name in ("PidMode", "NetworkMode", "IpcMode", "UTSMode", "UsernsMode", "Cgroup")]
    networks = found["NetworkSettings"]["Networks"] or {}
    ports = [bound.get("HostIp", "") for many in (host.get("PortBindings") or {}).values() for bound in many or []]
    volumes = [mount for mount in host.get("Mounts") or [] if mount.get("Type") == "volume"]
    findings = {
        "privileged": host.get("Privileged"),
        "capabilities": caps - DEFAULT_CAPS,
        "unconfined": [option for option in host.get("SecurityOpt") or [] if "no-new-privileges" not in option or "false" in option],
        "host namespace": "host" in modes,
        "foreign namespace": [mode for mode in modes if mode.startswith("container:") and mode not in own],
        "bind outside": [source for source in mounts if not (source == project or source.startswith((f"{project}/", *state)) or _ours(source, project))],
        "bind by option": [mount for mount in volumes if ((mount.get("VolumeOptions") or {}).get("DriverConfig") or {}).get("Options")],
        "foreign volume": [mount for mount in found["Mounts"] if mount.get("Name") == words["VOL"]],
        "volumes from": [name for name in host.get("VolumesFrom") or [] if words["FOREIGN"].startswith(name.split(":")[0]) or FOREIGN in name],
        "devices": host.get("Devices") or host.get("DeviceCgroupRules") or host.get("DeviceRequests"),
        "unmasked": host.get("MaskedPaths") == [] or host.get("ReadonlyPaths") == [],
        "sysctls": host.get("Sysctls"), "runtime": host.get("Runtime") not in ("runc", "io.containerd.runc.v2", "", None),
        "control group": host.get("CgroupParent") and not str(host["CgroupParent"]).startswith("/aienv"),
        "log driver": host["LogConfig"]["Type"] not in ("json-file", "local", "none"), "links": host.get("Links"),
        "foreign network": [name for name, value in networks.items() if name == words["NET"] or value.get("NetworkID") == words["NETID"]] or host.get("NetworkMode") in (words["NET"], words["NETID"]),
        "open port": [ip for ip in ports if ip not in ("127.0.0.1", "::1")] or host.get("PublishAllPorts"),
        "foreign image": found["Image"] == words["FIMAGEID"] or FOREIGN in str(config.get("Image")),
        "limits": (host.get("Memory") or 0) > 1 << 40 or (host.get("PidsLimit") or 0) < 0 or (host.get("NanoCpus") or 0) > 10**12,
        "oom": (host.get("OomScoreAdj") or 0) < 0 or host.get("OomKillDisable"), "dns": [name for name in host.get("Dns") or [] if name != "127.0.0.1"],
        "propagation": [mount for mount in found["Mounts"] if mount.get("Propagation") not in ("", "rprivate", "private", None)],
        "forged labels": (config.get("Labels") or {}).get("dev.aienv.run") == "other", "annotations": host.get("Annotations"),
        "storage": host.get("StorageOpt") or host.get("BlkioDeviceReadBps"), "id file": host.get("ContainerIDFile"),
        "gateway": [entry for entry in host.get("ExtraHosts") or [] if "host-gateway" in entry], "volume driver": host.get("VolumeDriver") not in ("", None, "local"),
        "realtime": host.get("CpuRealtimeRuntime"), "ulimits": [entry for entry in host.get("Ulimits") or [] if entry.get("Name") == "rtprio"],
        "init": host.get("InitPath"), "restart": (host.get("RestartPolicy") or {}).get("Name") == "always" and not any(label.startswith("dev.aienv.") for label in config.get("Labels") or {}),
    }  # fmt: skip
    return ", ".join(f"{what}: {value}" for what, value in findings.items() if value) or None


def _ours(source: str, project: str) -> bool:
    """Whether a pinned source is the project itself, or in it, under another path."""
    with contextlib.suppress(OSError):
        there = os.stat(source)
        return any(
            (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino) for found in (os.stat(folder) for folder, _, _ in os.walk(project))
        )
    return False


@contextlib.contextmanager
def project_with_links() -> Any:
    """A project with links that lead out of it."""
    with clients.scratch() as project:
        (project / "folder").mkdir()
        for name, target in {
            "link-etc": "/etc", "link-link": "link-etc", "link-up": "../../../etc", "link-proc": "/proc", "link-socket": "/var/run/docker.sock"
        }.items():  # fmt: skip
            (project / name).symlink_to(target)
        yield project


@contextlib.contextmanager
def world(target: Engine, path: str, project: Path) -> Any:
    """A prepared world before ``path``."""
    engine.image(target, "busybox")
    with contextlib.closing(target.client(timeout=60)) as raw:
        made = World(target, path, project, raw)
        made.prepare()
        yield made
