"""What a learn run used becomes the smallest list that allows it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.egress.hosts import canonical_host
from orchestrator.egress.rules import Ask, decide, parse_rule
from orchestrator.egress.suggest import Suggestion, suggest, suggestion
from orchestrator.model.network import CLOSED, HostUse
from orchestrator.model.task import NetworkMode


def use(host: str, port: int = 443) -> HostUse:
    return HostUse(host, port, 1, 10, 10)


@pytest.mark.parametrize(
    ("uses", "items"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([use("b.example"), use("a.example"), use("b.example")], ["a.example", "b.example"], id="sorted-once"),
        pytest.param([use("a.example", 80), use("a.example")], ["a.example:80", "a.example"], id="ports"),
        pytest.param([use("a.b.example"), use("c.b.example")], ["a.b.example", "c.b.example"], id="no-wildcards"),
        pytest.param([use("192.0.2.1"), use("2001:db8::1", 80)], ["192.0.2.1", "[2001:db8::1]:80"], id="addresses"),
        pytest.param([use("bad host"), use("a.example", 0), use("*"), use("A.example")], ["a.example"], id="no-hosts"),
    ],
)
def test_suggestions(uses: list[HostUse], items: list[str]) -> None:
    """Exact hosts; a port only where it is not 443."""
    assert suggest(uses) == items


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(["a.example", "b.a.example", "192.0.2.1", "2001:db8::1"]), st.integers(1, 65535)), max_size=8))
def test_the_list_is_enough_and_no_more(pairs: list[tuple[str, int]]) -> None:
    """Each use passes with it; and with one item less, one of them does not."""
    items = suggest(use(*pair) for pair in pairs)
    plan = replace(CLOSED, mode="allowlist", allow=tuple(parse_rule(item, "o") for item in items))
    asks = [Ask("connect", canonical_host(f"[{host}]" if ":" in host else host), port) for host, port in pairs]
    assert all(decide(plan, ask).allowed for ask in asks)
    for number in range(len(items)):
        fewer = replace(plan, allow=plan.allow[:number] + plan.allow[number + 1 :])
        assert not all(decide(fewer, ask).allowed for ask in asks)


MIRROR = parse_rule("mirror.example", "preset pip: index-url of pip.conf", private=True)
PLANNED = (
    MIRROR, parse_rule("plain.example", "x"), parse_rule("tcp://db.example:5432", "x"), parse_rule("GET *.paths.example/a/*", "x"),
    parse_rule("POST plain.example/b", "x"), parse_rule("*.wild.example:8443", "x"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "uses", "presets", "allow"),
    [
        ("allowlist", [use("mirror.example"), use("plain.example")], ("pip",), ("plain.example",)),
        ("allowlist", [use("db.example", 5432)], (), ("tcp://db.example:5432",)),
        ("allowlist", [use("x.paths.example")], (), ("GET x.paths.example/a/*",)),
        ("learn", [use("x.paths.example"), use("mirror.example")], ("pip",), ("x.paths.example",)),
        ("learn", [use("db.example", 5432), use("new.example")], (), ("new.example", "tcp://db.example:5432")),
        ("allowlist", [use("a.wild.example", 8443), use("bad host")], (), ("a.wild.example:8443",)),
    ],
)
def test_what_a_host_alone_does_not_say(mode: NetworkMode, uses: list[HostUse], presets: tuple[str, ...], allow: tuple[str, ...]) -> None:
    """Presets whose hosts may be private, bare bytes, methods and paths are kept from the run's own rules; the hosts are exact."""
    plan = replace(CLOSED, mode=mode, allow=PLANNED, private=("10.1.0.0/16",))
    assert suggestion(plan, uses) == Suggestion(presets, ("10.1.0.0/16",), allow)
