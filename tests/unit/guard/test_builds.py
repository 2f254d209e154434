"""Parameters of /build: a row for each that is refused, and what is forced."""

# ruff: noqa: E501 - a row of a table stays one line

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.builds import judge_build
from orchestrator.guard.calls import Build, Denied
from orchestrator.guard.images import OwnImages
from orchestrator.model.guard import GuardLimits
from tests.unit.guard.imagesession import BUILT, DEBIAN, denied, session

SESSION = session()
OWN = OwnImages.of(SESSION.plan)

# Docker's own client 28.2 with DOCKER_BUILDKIT=0: everything, mostly empty.
CLI = (
    ("buildargs", "{}"), ("cachefrom", "[]"), ("cgroupparent", ""), ("cpuperiod", "0"), ("cpuquota", "0"), ("cpusetcpus", ""), ("cpusetmems", ""),
    ("cpushares", "0"), ("dockerfile", "Dockerfile"), ("labels", "{}"), ("memory", "0"), ("memswap", "0"), ("networkmode", "default"), ("rm", "1"),
    ("shmsize", "0"), ("t", "app"), ("target", ""), ("ulimits", "null"), ("version", "1"),
)  # fmt: skip
DOCKER_PY = (
    ("t", "app:1"),
    ("remote", "None"),
    ("q", "False"),
    ("nocache", "False"),
    ("rm", "True"),
    ("forcerm", "False"),
    ("pull", "False"),
)


def build(*query: tuple[str, str]) -> tuple[dict[str, str], Build]:
    pairs, effect = judge_build(query, SESSION, OWN)
    once = [key for key, _ in pairs if key not in ("t", "extrahosts")]
    assert len(once) == len(set(once))
    return dict(pairs), effect


def test_cli() -> None:
    """Our network, our labels, our limits; nothing is left behind, nothing is pulled."""
    sent, effect = build(*CLI)
    assert effect == Build("Dockerfile", ("docker.io/library/app:latest",), {}, "")
    assert (sent["rm"], sent["forcerm"], sent["pull"], sent["networkmode"]) == ("1", "1", "0", SESSION.network)
    labels = json.loads(sent["labels"])
    assert (labels["dev.aienv.run"], labels["dev.aienv.image-run"]) == ("", "s1")
    assert sent["memory"] == sent["memswap"] == str(8 << 30)
    assert (sent["cpuperiod"], sent["cpuquota"]) == ("100000", "400000")
    assert "version" not in sent


def test_docker_py() -> None:
    sent, effect = build(*DOCKER_PY)
    assert effect.tags == ("docker.io/library/app:1",)
    assert (sent["q"], sent["nocache"], sent["t"]) == ("0", "0", "docker.io/library/app:1")


def test_nothing_asked() -> None:
    """A build without a name: its id is learnt from the answer."""
    assert build()[1] == Build("Dockerfile", (), {}, "")


def test_values_that_pass() -> None:
    sent, effect = build(
        ("t", "a"), ("t", "b:2"), ("t", "a:latest"), ("dockerfile", "./docker/web.Dockerfile"), ("target", "web"), ("networkmode", "none"),
        ("buildargs", '{"A":"1","B":null}'), ("labels", '{"x":"y","dev.aienv.run":"other","DEV.AIENV.x":"1"}'), ("memory", "1000000"), ("cpuquota", "5000"),
        ("memswap", "-1"), ("shmsize", "1000"), ("cpushares", "512"), ("cpusetcpus", "0-1"), ("platform", "linux/amd64"), ("extrahosts", "db:10.0.0.2"),
        ("extrahosts", "v6:::1"), ("ulimits", '[{"Name":"nofile","Soft":1024,"Hard":2048}]'), ("nocache", "1"), ("pull", "1"), ("rm", "0"),
        ("cachefrom", f'["debian:12","redis","{DEBIAN}"]'), ("outputs", "[]"), ("session", ""), ("new", ""),
    )  # fmt: skip
    assert effect == Build("docker/web.Dockerfile", ("docker.io/library/a:latest", "docker.io/library/b:2"), {"A": "1"}, "web")
    assert json.loads(sent["buildargs"]) == {"A": "1", "B": None}
    labels = json.loads(sent["labels"])
    assert (labels["x"], labels["dev.aienv.run"], labels["dev.aienv.image-run"]) == ("y", "", "s1")
    assert "DEV.AIENV.x" not in labels
    assert json.loads(sent["cachefrom"]) == [DEBIAN, DEBIAN]
    assert (sent["memory"], sent["memswap"], sent["networkmode"], sent["pull"], sent["rm"]) == ("1000000", "1000000", "none", "0", "1")
    assert json.loads(sent["ulimits"]) == [{"Name": "nofile", "Soft": 1024, "Hard": 2048}]


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("version", "2", "build.buildkit"), ("version", "3", "build.buildkit"), ("session", "abc", "build.buildkit"), ("buildid", "x", "build.buildkit"),
        ("outputs", '[{"Type":"local"}]', "build.buildkit"), ("remote", "https://x/y.git", "build.remote"), ("remote", "client-session", "build.remote"),
        ("squash", "1", "build.squash"), ("squash", "yes", "build.squash"), ("securityopt", "seccomp=unconfined", "build.security"),
        ("isolation", "process", "build.isolation"), ("networkmode", "host", "build.network"), ("networkmode", "container:x", "build.network"),
        ("networkmode", "other", "build.network"), ("networkmode", "HOST", "build.network"), ("cgroupparent", "/", "build.cgroup"),
        ("dockerfile", "../Dockerfile", "build.dockerfile"), ("dockerfile", "/etc/passwd", "build.dockerfile"), ("dockerfile", "a/../b", "build.dockerfile"),
        ("dockerfile", "a\nb", "build.dockerfile"), ("t", "debian:12", "image.tag-allowed"), ("t", "aienv/base", "image.tag-reserved"), ("t", "A", "image.name"),
        ("t", f"x@{DEBIAN}", "image.name"), ("target", "a b", "query.value"), ("buildargs", '{"A":1}', "query.value"), ("buildargs", "[]", "query.value"),
        ("buildargs", '{"A":"1","A":"2"}', "json.duplicate"), ("buildargs", '{"A":"1"}{}', "json.trailing"), ("buildargs", '{"":"1"}', "query.value"),
        ("labels", '{"a":null}', "query.value"), ("labels", "x", "json.syntax"), ("memory", str(9 << 30), "quota.memory"), ("memory", "-1", "quota.memory"),
        ("memswap", str(9 << 30), "quota.memory"), ("memory", "1e3", "query.value"), ("cpuquota", "500000", "quota.cpus"), ("cpuquota", "-1", "query.value"),
        ("cpuperiod", "1", "query.value"), ("shmsize", str(9 << 30), "quota.memory"), ("shmsize", "-1", "quota.memory"), ("cpusetcpus", "a", "query.value"),
        ("platform", "windows/amd64", "query.value"), ("extrahosts", "x:host-gateway", "build.hosts"), ("extrahosts", "x:y", "query.value"),
        ("ulimits", '[{"Name":"memlock","Soft":-1,"Hard":-1}]', "build.ulimits"), ("ulimits", '[{"Name":"nofile","Soft":"1","Hard":1}]', "build.ulimits"),
        ("ulimits", '[{"name":"nofile","Soft":1,"Hard":1}]', "build.ulimits"), ("ulimits", "{}", "query.value"), ("cachefrom", "{}", "query.value"),
        ("entitlements", "network.host", "query.unknown"), ("T", "x", "query.unknown"), ("NetworkMode", "host", "query.unknown"),
    ],
)  # fmt: skip
def test_refused(name: str, value: str, rule: str) -> None:
    with pytest.raises(Denied) as caught:
        build((name, value))
    assert denied(caught) == rule


@pytest.mark.parametrize("name", ["dockerfile", "networkmode", "target", "version", "buildargs", "labels", "memory", "rm", "pull", "q"])
def test_twice(name: str) -> None:
    """The engine takes the first, others the last."""
    with pytest.raises(Denied) as caught:
        build((name, ""), (name, ""))
    assert denied(caught) == "query.duplicate"


def test_way_out() -> None:
    """Where there is one, it is told to builds, unless the client says another."""
    pairs, effect = judge_build((("buildargs", '{"http_proxy":"http://mine"}'),), session(proxy="http://aienv-egress:3128"), OWN)
    arguments = json.loads(dict(pairs)["buildargs"])
    assert arguments["HTTPS_PROXY"] == arguments["HTTP_PROXY"] == "http://aienv-egress:3128"
    assert arguments["http_proxy"] == effect.arguments["http_proxy"] == "http://mine"
    assert arguments["no_proxy"] == arguments["NO_PROXY"] == "localhost,127.0.0.1,::1,web,db"
    assert json.loads(build()[0]["buildargs"]) == {}


def test_other_places() -> None:
    """A control group of the session's; a network without an id yet; the engine's platform; room for images."""
    assert dict(judge_build((), session(cgroup="/aienv/s1"), OWN)[0])["cgroupparent"] == "/aienv/s1"
    assert dict(judge_build((), session(network=None), OWN)[0])["networkmode"] == "aienv-s1"
    assert dict(judge_build((("networkmode", ""),), SESSION, OWN, network="container:1")[0])["networkmode"] == "container:1"
    assert dict(judge_build((("networkmode", "none"),), SESSION, OWN, network="container:1")[0])["networkmode"] == "none"
    assert dict(judge_build((("platform", "linux/arm64"),), SESSION, OWN, "linux/arm64")[0])["platform"] == "linux/arm64"
    with pytest.raises(Denied) as caught:
        judge_build((("platform", "linux/arm64"),), SESSION, OWN, "linux/amd64")
    assert denied(caught) == "build.platform"
    with pytest.raises(Denied) as caught:
        judge_build((), session(limits=GuardLimits(images=0)), OWN)
    assert denied(caught) == "quota.images"


def test_own_names_again() -> None:
    mine = OwnImages()
    mine.made(BUILT, ("docker.io/library/app:latest",))
    assert judge_build((("t", "app"),), SESSION, mine)[1].tags == ("docker.io/library/app:latest",)


NAMES = st.sampled_from(sorted({name for name, _ in (*CLI, *DOCKER_PY)} | {"session", "squash", "extrahosts", "platform", "Squash", "x"}))
VALUES = st.sampled_from(["", "0", "1", "host", "container:x", "{}", "[]", '{"A":"b"}', "debian:12", "app", "2", "-1", "null"]) | st.text(
    max_size=8
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_whatever_is_asked(query: list[tuple[str, str]]) -> None:
    """A refusal, or a query in which nothing that is forced says something else."""
    try:
        pairs, effect = judge_build(tuple(query), SESSION, OWN)
    except Denied:
        return
    sent = dict(pairs)
    assert sent["networkmode"] in (SESSION.network, "none")
    assert (sent["pull"], sent["rm"], sent["forcerm"]) == ("0", "1", "1")
    labels = json.loads(sent["labels"])
    assert (labels["dev.aienv.run"], labels["dev.aienv.image-run"]) == ("", "s1")
    assert not {"remote", "session", "squash", "outputs", "version", "cgroupparent", "securityopt"} & set(sent)
    assert all("debian:12" not in tag for tag in effect.tags)
