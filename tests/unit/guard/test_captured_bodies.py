"""Bodies that real clients sent pass, and lose nothing that matters. Each file names the program that it comes from."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from _pytest.mark.structures import ParameterSet

from orchestrator.guard import container, execs, networks, update, volumes
from orchestrator.guard.calls import Known, Object, Reference, Thing, Usage
from orchestrator.guard.mounts import parse_mounts
from orchestrator.guard.ports import parse_ports
from orchestrator.guard.strictjson import parse
from orchestrator.guard.target import parse_target
from tests.unit.guard.bodies import SESSION

CAPTURED = Path(__file__).with_name("captured")


def calls() -> Iterator[ParameterSet]:
    for path in sorted(CAPTURED.glob("*.json")):
        document = json.loads(path.read_text())
        for number, call in enumerate(document["calls"]):
            words = re.sub(r"[0-9a-f]{64}", "ID", call["call"])
            yield pytest.param(call["call"], json.dumps(call["body"]).encode(), id=f"{path.stem}-{number}-{words}")


def known(references: tuple[Reference, ...]) -> Known:
    """Everything that is named is there, and the session's."""
    return {one: Thing(one.kind, hashlib.sha256(one.text.encode()).hexdigest(), one.text) for one in references}


@pytest.mark.parametrize(("call", "data"), list(calls()))
def test_passes(call: str, data: bytes) -> None:
    method, _, target = call.partition(" ")
    segments = parse_target(target).segments
    body = parse(data)
    assert method == "POST"
    match segments:
        case ("containers", "create"):
            _create(body)
        case ("containers", _, "exec"):
            assert execs.judge_exec(body, SESSION, Usage())["Cmd"] == body["Cmd"]
        case ("exec", _, "start"):
            assert execs.judge_exec_start(body).get("Detach", False) == body.get("Detach", False)
        case ("containers", _, "update"):
            forwarded, _ = update.judge_update(body, SESSION, Usage())
            assert forwarded.get("Memory", 0) == (body.get("Memory") or 0)
        case ("networks", "create"):
            assert networks.judge_create(body, SESSION, Usage())["Name"] == body["Name"]
        case ("networks", _, "connect"):
            assert _endpoint(networks.judge_connect(body, known(networks.references(body)))) == _endpoint(body)
        case ("networks", _, "disconnect"):
            assert networks.judge_disconnect(body, known(networks.references(body)))["Force"] == bool(body.get("Force"))
        case ("volumes", "create"):
            assert volumes.judge_create(body, SESSION, Usage())["Name"] == body["Name"]
        case _:
            raise AssertionError(f"{call}: no judge")


def _endpoint(body: Object) -> object:
    return cast(Object, body.get("EndpointConfig") or {}).get("Aliases")


def _create(body: Object) -> None:
    names = known(container.references(body))
    mounts, ports = parse_mounts(body, names, SESSION), parse_ports(body)
    made, effect = container.judge_create(body, None, None, names, SESSION, Usage(), mounts, ports)
    host = cast(Object, body["HostConfig"])
    assert made["Cmd"] == body["Cmd"]
    assert cast(Object, made["Labels"]).items() >= cast(Object, body.get("Labels") or {}).items()
    assert len(effect.ports) == len(cast(Object, host.get("PortBindings") or {}))
    assert len(mounts) == sum(len(cast(Object, host.get(key) or ())) for key in ("Binds", "Mounts", "Tmpfs"))


def test_there_are_some() -> None:
    assert {path.name.partition("-")[0] for path in CAPTURED.glob("*.json")} == {"docker", "compose", "testcontainers"}
