"""Real answers of two engines, recorded by ``record.py``, and what the guard would have known while they were given."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.guard.calls import PathMap, Session, Shown
from orchestrator.guard.view import ShownContainer, View
from orchestrator.model.guard import GuardLimits, GuardPlan

HOST, INSIDE = "/srv/aienv-host/runs/r1/clone", "/workspaces/app"
STAND_IN = "/srv/aienv-host/sockets/guard.sock"
PROXY = ("HTTP_PROXY=http://aienv-egress:3128", "NO_PROXY=localhost,web")
ENGINES = ("dockerd-20.10.24", "dockerd-26.1.5")
# What only somebody else's things and the machine have in the scene.
FOREIGN = (
    "somebody-else", "other-db", "foreign-password", "other_data", "other_net", "other/private", "somebody/stolen", "45432",
    "foreign-secret",
)  # fmt: skip
MACHINE = ("/srv/", "the-host", "aienv-gate", "dev.aienv", "aienv-egress")


def session(*, own_network: bool = True, network: str | None = None, api: tuple[int, int] = (1, 45)) -> Session:
    plan = GuardPlan("guarded", "unix:///run/engine.sock", api, (), (), (), (), GuardLimits(), "freeze", None, False, ())
    return Session(
        "r1", plan, (PathMap(INSIDE, HOST),), ("/var/run/docker.sock",), STAND_IN, 1000, 1000, network, "aienv-r1", own_network
    )  # fmt: skip


@dataclass(frozen=True)
class Recorded:
    """``scene``: what is which id, by the names in ``record.py``."""

    engine: str
    scene: dict[str, str]
    answers: dict[str, Any]

    def view(self, **changes: Any) -> View:
        """As a guard that made the scene would have it: ``web`` asked for ports, mounts and no network."""
        scene = self.scene
        web = Shown(
            network_mode="default",
            port_bindings={"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
            binds=(f"{INSIDE}/src:/src:ro", "/var/run/docker.sock:/var/run/docker.sock", "app_data:/data"),
            mounts=(
                {"Type": "bind", "Source": f"{INSIDE}/conf", "Target": "/conf"},
                {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 1048576}},
            ),
            env=PROXY,
            image="busybox",
        )
        others = {
            scene["published"]: ShownContainer(Shown(network_mode="app_default")),
            scene["joined"]: ShownContainer(Shown(network_mode="container:web")),
            scene["created"]: ShownContainer(Shown()),
            scene["brief"]: ShownContainer(Shown(network_mode="none")),
        }
        anonymous = [one["Name"] for one in self.answers["container web"]["Mounts"] if one["Destination"] == "/anonymous"]
        known: dict[str, Any] = {
            "session": session(network=scene["session"]),
            "containers": {scene["web"]: ShownContainer(web, {80: (("127.0.0.1", 8080),)}), **others},
            "networks": {scene["app"]: "app_default"},
            "volumes": frozenset(["app_data", *anonymous]),
            "images": frozenset([scene["image"], scene["built"]]),
            "tags": frozenset(["docker.io/aienv-test/busybox:latest", "docker.io/library/app_web:latest"]),
            "hidden": ("/srv/engine", "/srv/aienv-host"),
        }
        return View(**(known | changes))


@cache
def recorded(engine: str) -> Recorded:
    found = json.loads((Path(__file__).parent / f"{engine}.json").read_text())
    return Recorded(engine, found["scene"], found["answers"])


def leaks(shown: object, one: Recorded) -> list[str]:
    """What is in an answer, be it key or value, that the client must not see."""
    text = json.dumps(shown)
    ids = [value for key, value in one.scene.items() if key.startswith("foreign") or key == "gate"]
    return [word for word in (*FOREIGN, *MACHINE, *ids, *(one_id.removeprefix("sha256:")[:12] for one_id in ids)) if word in text]
