"""Port bindings: what is read, what is refused, and how they are shown."""

# ruff: noqa: E501 - a row of a table stays one line

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.calls import Denied, Json, Object, PortAsk
from orchestrator.guard.ports import listed_ports, network_ports, parse_ports, port_bindings, publish_all


def body(bindings: Json, **others: Json) -> Object:
    return {"HostConfig": {"PortBindings": bindings, **others}}


def ask(port: int, host_port: int = 0, host_ip: str = "", last_port: int = 0) -> PortAsk:
    return PortAsk(port, "tcp", host_ip, host_port, last_port)


@pytest.mark.parametrize(
    ("bindings", "asks"),
    [
        pytest.param(None, [], id="null"),
        pytest.param({}, [], id="none"),
        pytest.param({"80/tcp": None}, [], id="null-rows"),
        pytest.param({"80/tcp": []}, [], id="no-rows"),
        pytest.param({"53/udp": []}, [], id="udp-that-is-not-published"),
        pytest.param({"53/udp": None}, [], id="udp-null"),
        pytest.param({"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, [ask(80, 8080)], id="cli"),
        pytest.param({"80/tcp": [{"HostPort": ""}]}, [ask(80)], id="testcontainers"),
        pytest.param({"80/tcp": [{}]}, [ask(80)], id="empty-row"),
        pytest.param({"80/tcp": [{"HostIp": None, "HostPort": None}]}, [ask(80)], id="nulls"),
        pytest.param({"80/tcp": [{"HostPort": "0"}]}, [ask(80)], id="zero"),
        pytest.param({"80": [{"HostPort": "1"}]}, [ask(80, 1)], id="no-protocol"),
        pytest.param({"65535/tcp": [{"HostIp": "127.0.0.1", "HostPort": "65535"}]}, [ask(65535, 65535, "127.0.0.1")], id="highest"),
        pytest.param({"80/tcp": [{"HostIp": "::", "HostPort": "80"}]}, [ask(80, 80, "::")], id="ipv6"),
        pytest.param({"80/tcp": [{"HostPort": "8000-8010"}]}, [ask(80, 8000, "", 8010)], id="range"),
        pytest.param({"80/tcp": [{"HostPort": "8000-8000"}]}, [ask(80, 8000)], id="range-of-one"),
        pytest.param({"80/tcp": [{"HostPort": "1"}, {"HostPort": "2"}], "81/tcp": [{}]}, [ask(80, 1), ask(80, 2), ask(81)], id="several"),
    ],
)  # fmt: skip
def test_read(bindings: Json, asks: list[PortAsk]) -> None:
    """In the order of the client's."""
    assert parse_ports(body(bindings)) == tuple(asks)


@pytest.mark.parametrize(
    ("bindings", "rule", "field"),
    [
        pytest.param([], "ports.malformed", "HostConfig.PortBindings", id="list"),
        pytest.param("80", "ports.malformed", "HostConfig.PortBindings", id="text"),
        pytest.param({"": [{}]}, "ports.malformed", "HostConfig.PortBindings['']", id="no-port"),
        pytest.param({"http/tcp": [{}]}, "ports.malformed", "HostConfig.PortBindings['http/tcp']", id="name"),
        pytest.param({"0/tcp": [{}]}, "ports.malformed", "HostConfig.PortBindings['0/tcp']", id="port-0"),
        pytest.param({"65536/tcp": [{}]}, "ports.malformed", "HostConfig.PortBindings['65536/tcp']", id="too-high"),
        pytest.param({"-1/tcp": [{}]}, "ports.malformed", "HostConfig.PortBindings['-1/tcp']", id="negative"),
        pytest.param({"80-90/tcp": [{}]}, "ports.malformed", "HostConfig.PortBindings['80-90/tcp']", id="range-inside"),
        pytest.param({"٨٠/tcp": [{}]}, "ports.malformed", "HostConfig.PortBindings['٨٠/tcp']", id="other-digits"),
        pytest.param({"80/tcp\n": [{}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp\\n']", id="newline"),
        pytest.param({"80/TCP": [{}]}, "ports.malformed", "HostConfig.PortBindings['80/TCP']", id="capitals"),
        pytest.param({"53/udp": [{"HostPort": "53"}]}, "ports.protocol", "HostConfig.PortBindings['53/udp']", id="udp"),
        pytest.param({"53/sctp": [{}]}, "ports.protocol", "HostConfig.PortBindings['53/sctp']", id="sctp"),
        pytest.param({"80/tcp": {}}, "ports.malformed", "HostConfig.PortBindings['80/tcp']", id="rows-object"),
        pytest.param({"80/tcp": ["8080"]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0]", id="row-text"),
        pytest.param({"80/tcp": [None]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0]", id="row-null"),
        pytest.param({"80/tcp": [{"HostPort": "1"}, {"hostport": "2"}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][1]", id="other-key"),
        pytest.param({"80/tcp": [{"HostPort": 8080}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0].HostPort", id="number"),
        pytest.param({"80/tcp": [{"HostPort": "http"}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0].HostPort", id="service"),
        pytest.param({"80/tcp": [{"HostPort": "65536"}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0].HostPort", id="host-too-high"),
        pytest.param({"80/tcp": [{"HostPort": "9-8"}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0].HostPort", id="backwards"),
        pytest.param({"80/tcp": [{"HostPort": "0-8"}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0].HostPort", id="range-from-0"),
        pytest.param({"80/tcp": [{"HostPort": "8-"}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0].HostPort", id="half-range"),
        pytest.param({"80/tcp": [{"HostPort": " 80"}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0].HostPort", id="blank"),
        pytest.param({"80/tcp": [{"HostIp": "localhost"}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0].HostIp", id="host-name"),
        pytest.param({"80/tcp": [{"HostIp": "127.1"}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0].HostIp", id="short-address"),
        pytest.param({"80/tcp": [{"HostIp": 1}]}, "ports.malformed", "HostConfig.PortBindings['80/tcp'][0].HostIp", id="address-number"),
    ],
)  # fmt: skip
def test_refused(bindings: Json, rule: str, field: str) -> None:
    """Each names where."""
    with pytest.raises(Denied) as refused:
        parse_ports(body(bindings))
    assert (refused.value.denial.rule, refused.value.denial.field) == (rule, field)
    assert refused.value.denial.status == (403 if rule == "ports.protocol" else 400)


def test_no_host_config() -> None:
    assert parse_ports({}) == parse_ports({"HostConfig": None}) == ()


@pytest.mark.parametrize(
    ("given_body", "image", "ports"),
    [
        pytest.param({}, {"80/tcp": {}}, [], id="not-asked"),
        pytest.param({"HostConfig": {"PublishAllPorts": False}}, {"80/tcp": {}}, [], id="false"),
        pytest.param({"HostConfig": {"PublishAllPorts": True}}, {}, [], id="nothing-exposed"),
        pytest.param({"HostConfig": {"PublishAllPorts": True}}, {"80/tcp": {}, "53/udp": {}, "81": {}}, [80, 81], id="image"),
        pytest.param({"HostConfig": {"PublishAllPorts": True}, "ExposedPorts": {"90/tcp": {}}}, {"80/tcp": {}}, [90, 80], id="both"),
        pytest.param({"HostConfig": {"PublishAllPorts": True}, "ExposedPorts": {"80/tcp": {}}}, {"80/tcp": {}}, [80], id="once"),
        pytest.param({"HostConfig": {"PublishAllPorts": True}, "ExposedPorts": None}, {"80/tcp": {}}, [80], id="null"),
        pytest.param({"HostConfig": {"PublishAllPorts": True, "PortBindings": {"80/tcp": [{"HostPort": "1"}]}}}, {"80/tcp": {}, "81/tcp": {}}, [81], id="bound"),
    ],
)  # fmt: skip
def test_publish_all(given_body: Object, image: dict[str, object], ports: list[int]) -> None:
    """Any free port for each that is exposed and not bound."""
    assert publish_all(given_body, image) == tuple(ask(port) for port in ports)


@pytest.mark.parametrize("exposed", [[], {"x": {}}, {"0/tcp": {}}, {"80-81/tcp": {}}], ids=["list", "name", "zero", "range"])
def test_publish_all_refused(exposed: Json) -> None:
    with pytest.raises(Denied, match=r"ports\.malformed"):
        publish_all({"HostConfig": {"PublishAllPorts": True}, "ExposedPorts": exposed}, {})


def test_shown_again_as_asked() -> None:
    """What a client wrote comes back; the engine itself gets the loopback."""
    bindings: Json = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "", "HostPort": ""}], "81/tcp": [{"HostIp": "", "HostPort": "1-3"}]}
    asks = parse_ports(body(bindings))
    assert port_bindings(asks) == bindings
    assert port_bindings(asks[:1], "127.0.0.1") == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}


def test_shown_where_they_are() -> None:
    published = {80: (("127.0.0.1", 8080), ("127.0.0.1", 49153))}
    assert network_ports(published) == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "49153"}]}
    assert listed_ports({80: (("127.0.0.1", 8080),)}) == [{"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.text(max_size=6) | st.sampled_from(["80/tcp", "8000-8010", "127.0.0.1", "53/udp"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["HostIp", "HostPort", "80/tcp", "80", "x"]), below, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(bindings=ANY_JSON, exposed=ANY_JSON)
def test_anything_is_read_or_refused(bindings: Json, exposed: Json) -> None:
    """Nothing else is raised; what is read can be written and read again."""
    given_body = body(bindings, PublishAllPorts=True) | {"ExposedPorts": exposed}
    try:
        asks = parse_ports(given_body)
        more = publish_all(given_body, {})
    except Denied:
        return
    assert parse_ports(body(port_bindings(asks))) == tuple(sorted(asks, key=lambda one: list(dict.fromkeys(a.port for a in asks)).index(one.port)))
    assert not {one.port for one in asks} & {one.port for one in more}
    assert all(1 <= one.port <= 65535 and 0 <= one.host_port <= 65535 for one in (*asks, *more))
