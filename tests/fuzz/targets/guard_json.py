"""Bodies, against Python's own lenient reader and what Go's rules would find: only Denied is raised, and what passes has one reading."""

import contextlib
import json

from orchestrator.guard import execs, networks, volumes
from orchestrator.guard.calls import Denied, Known, Object, Thing, Usage
from orchestrator.guard.container import judge_create, references
from orchestrator.guard.strictjson import encode, parse
from orchestrator.guard.update import judge_update
from tests.unit.guard.bodies import SESSION

SEEDS = (
    b'{"Image":"app","HostConfig":{"Privileged":false,"CapAdd":null,"MemorySwappiness":-1,"ConsoleSize":[0,0]}}',
    b'{"Image":"app","HostConfig":{"NetworkMode":"default","Memory":1024,"NanoCpus":500000000,"Links":["db:x"]}}',
    b'{"Image":"app","Env":["A=b"],"Labels":{"a":"b"},"NetworkingConfig":{"EndpointsConfig":{"default":{"Aliases":["x"]}}}}',
    b'{"Name":"n","Driver":"bridge","IPAM":{"Config":[{"Subnet":"10.1.0.0/24","Gateway":"10.1.0.1"}]},"Options":{}}',
    b'{"Cmd":["x"],"Privileged":true,"User":"0"}',
    b'{"HostConfig":{"Privileged":true},"HostConfig":{}}',
)
WORDS = (
    b'"HostConfig":{', b'"hostconfig":', b'"Ho\\u017ftConfig":', b'"Privileged":true', b'"CapAdd":["ALL"]', b'"NetworkMode":"host"',
    b'"PidMode":"container:db"', b'"Devices":[{}]', b"null", b"[]", b"{}", b'"\\ud800"', b"1e5", b"-1", b"99999999999999999999", b",", b"}",
    b'"Sysctls":{', b'"LogConfig":{"Type":"gelf"}', b'"Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}]', b'"ExtraHosts":["a:1.2.3.4"]',
)  # fmt: skip


def one_input(data: bytes) -> None:
    refused = None
    try:
        body = parse(data)
    except Denied as caught:
        refused = caught.denial
    if refused is not None:
        assert refused.message.isprintable()
        return
    assert parse(encode(body)) == body == json.loads(data)
    known = {reference: Thing(reference.kind, "0" * 64, reference.text) for reference in references(body) if "z" not in reference.text}
    for judged in (create, update, command, network, volume):
        with contextlib.suppress(Denied):
            judged(body, known)


def create(body: Object, known: Known) -> None:
    made, _ = judge_create(body, None, None, known, SESSION, Usage(), (), ())
    host = made["HostConfig"]
    assert isinstance(host, dict)
    assert not {"Privileged", "Devices", "DeviceCgroupRules", "Runtime", "Binds", "Mounts", "MaskedPaths"} & set(host)
    assert encode(made)


def update(body: Object, known: Known) -> None:
    judge_update(body, SESSION, Usage())


def command(body: Object, known: Known) -> None:
    assert "Privileged" not in execs.judge_exec(body, SESSION, Usage())


def network(body: Object, known: Known) -> None:
    assert networks.judge_create(body, SESSION, Usage(), ("10.0.0.0/16",))["Internal"] is True


def volume(body: Object, known: Known) -> None:
    assert "DriverOpts" not in volumes.judge_create(body, SESSION, Usage())
