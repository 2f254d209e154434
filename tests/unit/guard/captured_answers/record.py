"""How the answers beside this file were recorded: `python -m tests.unit.guard.captured_answers.record` from the root of the repository.

For each engine a scene is set, of things as the guard forwards them and of things that belong to others, and every answer that has rules of
its own is written down as it came, the engine's folder named ``/srv/engine``. ``scene`` says which id is whose.
"""

import contextlib
import http.client
import json
import os
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

from tests import engine as engines
from tests.engine import Engine

HERE = Path(__file__).parent
CLONE, SECRET, SOCKETS = "/srv/aienv-host/runs/r1/clone", "/srv/foreign-secret", "/srv/aienv-host/sockets"
OURS = {"dev.aienv.managed": "1", "dev.aienv.run": "r1", "dev.aienv.role": "guarded"}
GATE = {**OURS, "dev.aienv.role": "gate"}
PROXY = ["HTTP_PROXY=http://aienv-egress:3128", "NO_PROXY=localhost,web"]


class Daemon:
    def __init__(self, path: str) -> None:
        self.path = path

    def ask(self, method: str, path: str, body: Any = None) -> tuple[dict[str, str], str]:
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        with contextlib.closing(connection):
            answer = connection.getresponse()
            text = answer.read().decode()
            if answer.status >= 400:
                sys.exit(f"{method} {path}: {answer.status} {text}")
            return dict(answer.getheaders()), text

    def json(self, method: str, path: str, body: Any = None) -> Any:
        text = self.ask(method, path, body)[1]
        return json.loads(text) if text.strip() else None


def container(**more: Any) -> dict[str, Any]:
    return {"Image": "aienv-test/busybox:latest", "Cmd": ["sleep", "600"], "StopTimeout": 1, **more}


def scene(daemon: Daemon, subpath: bool) -> dict[str, str]:
    """Set it; returns the ids by what they are here."""
    made: dict[str, str] = {}

    def network(key: str, name: str, labels: dict[str, str], **more: Any) -> None:
        made[key] = daemon.json("POST", "/networks/create", {"Name": name, "Labels": labels, **more})["Id"]

    def create(key: str, name: str, start: bool, body: dict[str, Any]) -> None:
        made[key] = daemon.json("POST", f"/containers/create?name={name}", body)["Id"]
        if start:
            daemon.ask("POST", f"/containers/{made[key]}/start")

    bare = {"com.docker.network.bridge.inhibit_ipv4": "true"}
    network("session", "aienv-r1", GATE, Internal=True, Options=bare)
    network("app", "app_default", {**OURS, "com.docker.compose.project": "app"}, Internal=True, Options=bare)
    network("foreign_network", "other_net", {"owner": "somebody-else"})
    daemon.ask("POST", "/volumes/create", {"Name": "app_data", "Labels": {**OURS, "com.docker.compose.volume": "data"}})
    daemon.ask("POST", "/volumes/create", {"Name": "other_data", "Labels": {"owner": "somebody-else"}})
    daemon.ask("POST", "/volumes/create", {"Name": "aienv-r1-project", "Labels": GATE})
    create("foreign", "other-db", True, container(
        Env=["PASSWORD=foreign-password"], Labels={"owner": "somebody-else"}, ExposedPorts={"5432/tcp": {}},
        HostConfig={"Binds": [f"{SECRET}:/secret", "other_data:/data"], "NetworkMode": "other_net",
                    "PortBindings": {"5432/tcp": [{"HostIp": "0.0.0.0", "HostPort": "45432"}]}},
    ))  # fmt: skip
    made["foreign_image"] = daemon.json("POST", f"/commit?container={made['foreign']}&repo=other/private&tag=1", {})["Id"]
    create("gate", "aienv-gate-r1", True, container(Labels=GATE, HostConfig={"NetworkMode": made["session"]}))
    daemon.ask("POST", f"/networks/{made['app']}/connect", {"Container": made["gate"]})
    create("web", "web", True, container(
        Env=["APP=1", *PROXY], Labels={**OURS, "com.docker.compose.service": "web"}, ExposedPorts={"80/tcp": {}, "53/udp": {}},
        Healthcheck={"Test": ["CMD", "true"], "Interval": 1_000_000_000}, Volumes={"/anonymous": {}},
        HostConfig={
            "Binds": [f"{CLONE}/src:/src:ro", f"{SOCKETS}/guard.sock:/var/run/docker.sock", "app_data:/data"],
            "Mounts": [
                *([{"Type": "volume", "Source": "aienv-r1-project", "Target": "/conf", "VolumeOptions": {"Subpath": "conf"}}]
                  if subpath else [{"Type": "bind", "Source": f"{CLONE}/conf", "Target": "/conf"}]),
                {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 1048576}},
            ],
            "NetworkMode": made["session"], "CapDrop": ["NET_RAW"], "SecurityOpt": ["no-new-privileges"], "Dns": ["127.0.0.1"],
            "Memory": 1 << 26, "PidsLimit": 64, "RestartPolicy": {"Name": "no"},
        },
        NetworkingConfig={"EndpointsConfig": {made["session"]: {"Aliases": ["www"]}}},
    ))  # fmt: skip
    create("published", "published", True, container(
        Labels=OURS, HostConfig={"NetworkMode": made["app"], "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "48080"}]}}
    ))  # fmt: skip
    create("joined", "joined", True, container(Labels=OURS, HostConfig={"NetworkMode": f"container:{made['web']}"}))
    create("created", "created", False, container(Labels=OURS, HostConfig={"NetworkMode": made["session"]}))
    create("brief", "brief", True, container(Labels=OURS, Cmd=["true"], HostConfig={"NetworkMode": "none"}))
    made["image"] = daemon.json("GET", "/images/aienv-test/busybox:latest/json")["Id"]
    made["built"] = daemon.json("POST", f"/commit?container={made['brief']}&repo=app_web&tag=latest", {"Labels": OURS})["Id"]
    daemon.ask("POST", f"/images/{made['built']}/tag?repo=somebody/stolen&tag=2")
    body = {"Cmd": ["sh", "-c", "sleep 60"], "AttachStdout": True, "Env": ["TOKEN=x", *PROXY]}
    made["exec"] = daemon.json("POST", f"/containers/{made['web']}/exec", body)["Id"]
    daemon.ask("POST", f"/exec/{made['exec']}/start", {"Detach": True})
    made["foreign_exec"] = daemon.json("POST", f"/containers/{made['foreign']}/exec", {"Cmd": ["cat", "/secret/key"]})["Id"]
    daemon.ask("POST", f"/exec/{made['foreign_exec']}/start", {"Detach": True})
    time.sleep(2)  # the health check has been made
    return made


INSPECTED = ("web", "published", "joined", "created", "brief", "foreign", "gate")


def answers(daemon: Daemon, ids: dict[str, str], since: float) -> dict[str, Any]:
    got: dict[str, Any] = {f"container {key}": daemon.json("GET", f"/containers/{ids[key]}/json") for key in INSPECTED}
    got["container web sized"] = daemon.json("GET", f"/containers/{ids['web']}/json?size=1")
    got["containers"] = daemon.json("GET", "/containers/json?all=1&size=1")
    got |= {f"exec {key}": daemon.json("GET", f"/exec/{ids[key]}/json") for key in ("exec", "foreign_exec")}
    got |= {f"network {key}": daemon.json("GET", f"/networks/{ids[key]}?verbose=1") for key in ("session", "app", "foreign_network")}
    got["networks"] = daemon.json("GET", "/networks")
    got["volumes"] = daemon.json("GET", "/volumes")
    got |= {f"volume {name}": daemon.json("GET", f"/volumes/{name}") for name in ("app_data", "other_data")}
    got["images"] = daemon.json("GET", "/images/json?all=1&digests=1")
    got |= {f"image {key}": daemon.json("GET", f"/images/{ids[key]}/json") for key in ("image", "built", "foreign_image")}
    got["history"] = daemon.json("GET", f"/images/{ids['built']}/history")
    got["info"], got["version"], got["df"] = (daemon.json("GET", path) for path in ("/info", "/version", "/system/df"))
    got["ping headers"] = daemon.ask("GET", "/_ping")[0]
    for path in ("/containers/prune", "/networks/prune", "/volumes/prune", "/images/prune"):
        got[f"prune {path.split('/')[1]}"] = daemon.json("POST", path)
    for key in ("web", "published", "joined", "foreign", "gate"):
        daemon.ask("DELETE", f"/containers/{ids[key]}?force=1&v=1")
    for key in ("app", "foreign_network", "session"):
        with contextlib.suppress(SystemExit):
            daemon.ask("DELETE", f"/networks/{ids[key]}")
    for name in ("app_data", "other_data"):
        with contextlib.suppress(SystemExit):
            daemon.ask("DELETE", f"/volumes/{name}")
    daemon.ask("DELETE", f"/images/{ids['built']}?force=1")
    got["events"] = daemon.ask("GET", f"/events?since={since:.0f}&until={time.time() + 1:.0f}")[1].splitlines()
    return got


def record(engine: Engine) -> None:
    """Write the file of one engine."""
    since = time.time() - 1
    for folder in (f"{CLONE}/src", f"{CLONE}/conf", SECRET, SOCKETS):
        Path(folder).mkdir(parents=True, exist_ok=True)
    Path(f"{SOCKETS}/guard.sock").touch()
    engines.image(engine, "busybox")
    daemon = Daemon(f"{engine.root}/engine.sock")
    if subpath := engine.version != "20.10":
        daemon.ask("POST", "/volumes/create", {"Name": "aienv-r1-project", "Labels": GATE, "DriverOpts": {
            "type": "none", "o": "bind", "device": CLONE}})  # fmt: skip
    ids = scene(daemon, subpath)
    got = answers(daemon, ids, since)
    version = got["version"]["Version"]
    text = json.dumps({"program": "dockerd", "version": version, "scene": ids, "answers": got}, indent=1, ensure_ascii=False)
    kernel, hostname = os.uname().release, f'"{socket.gethostname()}"'
    text = text.replace(str(engine.root), "/srv/engine").replace(hostname, '"the-host"').replace(kernel, "6.12.0-1-amd64")
    for folder in ("/srv/aienv-host", SECRET):
        shutil.rmtree(folder)
    (HERE / f"dockerd-{version.split('+')[0]}.json").write_text(text + "\n")


if __name__ == "__main__":
    for wanted in engines.SUITES:
        with engines.running(wanted) as running:
            record(running)
