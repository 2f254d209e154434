"""What clients learn of the engine."""

import json
from typing import Any

import pytest

from orchestrator.guard.calls import Object
from orchestrator.guard.infos import ping_headers, show_info, show_version
from tests.unit.guard.captured_answers import ENGINES, Recorded, leaks, recorded, session


@pytest.fixture(params=ENGINES)
def one(request: pytest.FixtureRequest) -> Recorded:
    return recorded(str(request.param))


def test_info(one: Recorded) -> None:
    found: Any = show_info(one.answers["info"], one.view())
    assert leaks(one.answers["info"], one) != []
    assert leaks(found, one) == []
    assert (found["Containers"], found["Images"], found["OSType"], found["Name"]) == (5, 2, "linux", "aienv")
    assert found["ServerVersion"]
    assert found["NCPU"]
    assert found["MemTotal"]
    assert found["OperatingSystem"]
    assert found["CgroupVersion"]
    assert found["ID"] != one.answers["info"]["ID"]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("HttpProxy", "http://user:password@proxy.example:3128"), ("HttpsProxy", "http://user:password@proxy.example:3128"),
        ("NoProxy", "internal.example"), ("DockerRootDir", "/data/docker"), ("Name", "build-7"), ("Labels", ["rack=7"]),
        ("RegistryConfig", {"Mirrors": ["https://mirror.example/"]}), ("Swarm", {"NodeAddr": "10.1.2.3", "Cluster": {"ID": "x"}}),
        ("Plugins", {"Volume": ["local", "vendor/nfs"]}), ("Runtimes", {"kata": {"path": "/opt/kata"}}), ("CDISpecDirs", ["/etc/cdi"]),
        ("SecurityOptions", ["name=seccomp,profile=/etc/docker/own.json"]), ("GenericResources", [{"NamedResourceSpec": {"Kind": "GPU"}}]),
        ("DefaultAddressPools", [{"Base": "10.9.0.0/16"}]), ("DriverStatus", [["Pool Name", "vg0"], ["Root Dir", "/data"]]),
        ("DiscoveredDevices", ["x"]), ("Containerd", {"Address": "/run/containerd.sock"}), ("Warnings", ["/etc/x"]),
    ],
)  # fmt: skip
def test_nothing_of_the_machine(one: Recorded, member: str, value: Any) -> None:
    """One row for each member that tells of the machine, of others, or of how to get out."""
    answer: Object = {**one.answers["info"], member: value}
    assert show_info(answer, one.view()) == show_info({**one.answers["info"], member: type(value)()}, one.view())


@pytest.mark.parametrize(
    ("daemon", "expected"), [((1, 41), "1.41"), ((1, 45), "1.45"), ((1, 51), "1.51"), ((1, 52), "1.51"), ((2, 0), "1.51")]
)  # fmt: skip
def test_versions_are_capped(one: Recorded, daemon: tuple[int, int], expected: str) -> None:
    """Everywhere they are said: clients take the first that they find."""
    view = one.view(session=session(api=daemon))
    found: Any = show_version(one.answers["version"], view)
    assert (found["ApiVersion"], found["MinAPIVersion"]) == (expected, "1.24")
    details = next(part["Details"] for part in found["Components"] if part["Name"] == "Engine")
    assert (details["ApiVersion"], details["MinAPIVersion"]) == (expected, "1.24")
    assert dict(ping_headers(list(one.answers["ping headers"].items()), view))["Api-Version"] == expected


def test_version_is_otherwise_the_engines(one: Recorded) -> None:
    answer = one.answers["version"]
    found: Any = show_version(answer, one.view())
    assert {key for key in answer if found.get(key) != answer[key]} <= {"ApiVersion", "MinAPIVersion", "Components"}
    assert [part["Name"] for part in found["Components"]] == ["Engine", "containerd", "runc", "docker-init"]


def test_ping(one: Recorded) -> None:
    """The classic builder; no swarm; framing is the sender's business."""
    found = dict(ping_headers(list(one.answers["ping headers"].items()), one.view()))
    assert found["Builder-Version"] == "1"
    assert found["Docker-Experimental"] == "false"
    assert found["Ostype"] == "linux"
    assert not {"Swarm", "Content-Length", "Date", "Content-Type"} & set(found)
    again = ping_headers([("BUILDER-VERSION", "2"), ("api-version", "1.99"), ("X-Next", "/x")], one.view())
    assert again == (("api-version", "1.45"), ("Builder-Version", "1"))


@pytest.mark.parametrize("answer", [{}, {"Plugins": None, "SecurityOptions": 3, "DriverStatus": [None, []], "ContainerdCommit": "x"}])
def test_odd_answers(one: Recorded, answer: Object) -> None:
    json.dumps([show_info(answer, one.view()), show_version(answer, one.view())])
