"""What rows mean, and what they make of an attempt: each refusal beside the nearest call that passes."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.egress.hosts import BadHost, canonical_host
from orchestrator.egress.rules import (
    KNOWN_METHODS,
    Ask,
    BadRule,
    Decision,
    Scheme,
    decide,
    host_matches,
    hosts_to_inspect,
    must_inspect,
    parse_rule,
    refuse_address,
    rule_text,
)
from orchestrator.model.network import CLOSED, NetRule, NetworkPlan
from orchestrator.model.task import NetworkMode

ALLOW = (
    "api.example.org",
    "*.wild.example",
    "www.example.org:80",
    "many.example:443",
    "many.example:8443",
    "GET,HEAD read.example",
    "rest.example/repos/*",
    "PUT rest.example/uploads/*",
    "GET http://plain.example/pool/*",
    "tcp://db.example:5432",
    "93.184.215.14:8080",
    "[2606:2800:21f::14]",
    "fenced.example",
    "*.fenced.example",
)
DENY = ("bad.wild.example", "www.fenced.example:443", "DELETE,POST fenced.example/admin/*", "10.9.8.7", "*:25")


def a_plan(mode: NetworkMode = "allowlist", allow: tuple[str, ...] = ALLOW, deny: tuple[str, ...] = DENY) -> NetworkPlan:
    allowed = tuple(parse_rule(text, "task.yaml:4") for text in allow)
    denied = tuple(parse_rule(text, "policy.yaml:2", deny=True) for text in deny)
    return replace(CLOSED, mode=mode, allow=allowed, deny=denied, inspect=hosts_to_inspect((*allowed, *denied)))


PLAN = a_plan()


def ask(text: str) -> Ask:
    """``connect api.example.org:443``, or ``https api.example.org:443 GET /path``."""
    scheme, authority, *request = text.split(" ")
    host, _, port = authority.rpartition(":")
    method, path = request or (None, None)
    kinds: dict[str, Scheme] = {"connect": "connect", "http": "http", "https": "https", "tcp": "tcp"}
    return Ask(kinds[scheme], canonical_host(host), int(port), method, path)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        pytest.param("api.example.org", NetRule("api.example.org", (443,), (), None, False, False, "o"), id="host"),
        pytest.param("API.Example.org.", NetRule("api.example.org", (443,), (), None, False, False, "o"), id="one-form"),
        pytest.param("https://api.example.org", NetRule("api.example.org", (443,), (), None, False, False, "o"), id="https"),
        pytest.param("http://api.example.org", NetRule("api.example.org", (80,), (), None, False, False, "o"), id="http"),
        pytest.param("http://api.example.org:8080", NetRule("api.example.org", (8080,), (), None, False, False, "o"), id="http-port"),
        pytest.param("*.example.org:8443", NetRule("*.example.org", (8443,), (), None, False, False, "o"), id="wildcard"),
        pytest.param("GET,head a.example/x/*", NetRule("a.example", (443,), ("GET", "HEAD"), "/x/*", False, False, "o"), id="request"),
        pytest.param("tcp://db.example:5432", NetRule("db.example", (5432,), (), None, True, False, "o"), id="tcp"),
        pytest.param("192.0.2.1:8080", NetRule("192.0.2.1", (8080,), (), None, False, False, "o"), id="ipv4"),
        pytest.param("[2001:DB8::1]:80", NetRule("2001:db8::1", (80,), (), None, False, False, "o"), id="ipv6"),
        pytest.param("a.example/@scope/*", NetRule("a.example", (443,), (), "/@scope/*", False, False, "o"), id="at-in-path"),
    ],
)
def test_rows(text: str, parsed: NetRule) -> None:
    """What a row says."""
    assert parse_rule(text, "o") == parsed
    assert parse_rule(rule_text(parsed), "o") == parsed


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        pytest.param("api.example.org", (), id="every-port"),
        pytest.param("api.example.org:443", (443,), id="port"),
        pytest.param("https://api.example.org", (443,), id="scheme"),
        pytest.param("*", (), id="every-host"),
        pytest.param("*:25", (25,), id="every-host-one-port"),
        pytest.param("*.org", (), id="whole-top-level"),
    ],
)
def test_rows_that_deny(text: str, ports: tuple[int, ...]) -> None:
    """Without a port a denial is for every port, and it may be as wide as one likes."""
    rule = parse_rule(text, "o", deny=True)
    assert rule.ports == ports
    assert parse_rule(rule_text(rule, deny=True), "o", deny=True) == rule


@pytest.mark.parametrize(
    ("text", "because", "near"),
    [
        pytest.param("", "not a host", "a", id="empty"),
        pytest.param("*", "covers every host", "*.example.org", id="star"),
        pytest.param("*:443", "covers every host", "*.example.org:443", id="star-with-port"),
        pytest.param("*.org", "covers too much", "*.example.org", id="top-level"),
        pytest.param("*.", "empty", "*.a.b", id="star-dot"),
        pytest.param("api.*.org", "asterisk", "*.api.org", id="star-inside"),
        pytest.param("*example.org", "asterisk", "*.example.org", id="star-without-dot"),
        pytest.param("*.*.example.org", "asterisk", "*.example.org", id="two-stars"),
        pytest.param("*.192.0.2.1", "no names below", "192.0.2.1", id="star-and-address"),
        pytest.param("127.1", "ends in a number", "127.0.0.1", id="short-address"),
        pytest.param("2001:db8::1", "not a host", "[2001:db8::1]", id="ipv6-without-brackets"),
        pytest.param("api.example.org:99999", "port is not", "api.example.org:9999", id="port"),
        pytest.param("ftp://api.example.org", "not a scheme", "http://api.example.org", id="scheme"),
        pytest.param("HTTP://api.example.org", "not a scheme", "http://api.example.org", id="scheme-in-capitals"),
        pytest.param("tcp://db.example", "has a port", "tcp://db.example:5432", id="tcp-without-port"),
        pytest.param("tcp://db.example:5432/x", "no path", "https://db.example:5432/x", id="tcp-with-path"),
        pytest.param("GET tcp://db.example:5432", "no methods", "GET https://db.example:5432", id="tcp-with-method"),
        pytest.param("GET, HEAD api.example.org", "nor methods", "GET,HEAD api.example.org", id="blank-after-comma"),
        pytest.param("GET  api.example.org", "nor methods", "GET api.example.org", id="two-blanks"),
        pytest.param("G3T api.example.org", "not a method", "GET api.example.org", id="method"),
        pytest.param(",GET api.example.org", "not a method", "GET api.example.org", id="empty-method"),
        pytest.param("CONNECT api.example.org", "only opens a tunnel", "api.example.org", id="connect"),
        pytest.param("api.example.org/", "top page alone", "api.example.org/*", id="only-slash"),
        pytest.param("api.example.org/x?y", "no query", "api.example.org/x", id="query"),
        pytest.param("api.example.org/x#y", "no query", "api.example.org/x", id="fragment"),
        pytest.param("api.example.org/a/../b", "never matches", "api.example.org/a/b", id="dot-dot"),
        pytest.param("api.example.org//b", "never matches", "api.example.org/b", id="double-slash"),
        pytest.param("api.example.org/%2fb", "never matches", "api.example.org/%20b", id="encoded-slash"),
        pytest.param("api.example.org/%", "never matches", "api.example.org/%25", id="broken-escape"),
        pytest.param("api.example.org/'x'", "holds a character", "api.example.org/x", id="quote"),
        pytest.param("api.example.org/ü", "holds a character", "api.example.org/%C3%BC", id="umlaut"),
        pytest.param("a" * 2000, "longer than", "a" * 60, id="long"),
        pytest.param("https://u:p4ss@api.example.org", "not repeated", "https://api.example.org", id="password"),
        pytest.param("https://u:p4ss/@api.example.org", "not repeated", "https://api.example.org", id="password-with-slash"),
        pytest.param("https://u:p4ss w@api.example.org", "not repeated", "https://api.example.org", id="password-with-blank"),
    ],
)
def test_no_rows(text: str, because: str, near: str) -> None:
    """Text that is no row, covers too much or could never match is refused in words; a password is not repeated."""
    with pytest.raises(BadRule, match=because) as refused:
        parse_rule(text, "o")
    assert str(refused.value).isprintable()
    assert "p4ss" not in str(refused.value)
    parse_rule(near, "o")


def test_a_star_that_denies_names_no_requests() -> None:
    """It would open the TLS of every host."""
    with pytest.raises(BadRule, match="names its host"):
        parse_rule("DELETE *", "o", deny=True)
    assert parse_rule("DELETE *.example.org", "o", deny=True).methods == ("DELETE",)


# Refused, the word for it, the flag that would allow it, and the nearest attempt that passes.
@pytest.mark.parametrize(
    ("refused", "rule", "flag", "near"),
    [
        pytest.param("connect evil.example:443", "not-allowed", "--allow-host evil.example", "connect api.example.org:443", id="unknown"),
        pytest.param("connect evilapi.example.org:443", "not-allowed", "--allow-host evilapi.example.org", "connect api.example.org:443",
                     id="longer-label"),
        pytest.param("connect x.api.example.org:443", "not-allowed", "--allow-host x.api.example.org", "connect api.example.org:443",
                     id="below-an-exact-name"),
        pytest.param("connect wild.example:443", "not-allowed", "--allow-host wild.example", "connect a.wild.example:443",
                     id="wildcard-itself"),
        pytest.param("connect evilwild.example:443", "not-allowed", "--allow-host evilwild.example", "connect a.b.wild.example:443",
                     id="wildcard-boundary"),
        pytest.param("connect wild.example.evil.example:443", "not-allowed", "--allow-host wild.example.evil.example",
                     "connect wild.example.wild.example:443", id="wildcard-in-the-middle"),
        pytest.param("connect api.example.org:8443", "port", "--allow-host api.example.org:8443", "connect many.example:8443", id="port"),
        pytest.param("http api.example.org:80 GET /", "port", "--allow-host api.example.org:80", "http www.example.org:80 GET /",
                     id="port-80"),
        pytest.param("connect www.example.org:443", "port", "--allow-host www.example.org", "connect www.example.org:80",
                     id="only-port-80"),
        pytest.param("connect 93.184.215.15:443", "address-literal", "--allow-host 93.184.215.15", "connect 93.184.215.14:8080", id="ipv4"),
        pytest.param("connect 93.184.215.14:443", "port", "--allow-host 93.184.215.14", "connect 93.184.215.14:8080", id="ipv4-port"),
        pytest.param("connect [2606:2800:21f::15]:443", "address-literal", "--allow-host '[2606:2800:21f::15]'",
                     "connect [2606:2800:21f:0::14]:443", id="ipv6"),
        pytest.param("https read.example:443 POST /x", "method-or-path", "--allow-host 'POST read.example/x'",
                     "https read.example:443 GET /x", id="method"),
        pytest.param("https read.example:443 get /x", "method-or-path", "--allow-host read.example", "https read.example:443 HEAD /x",
                     id="method-in-small-letters"),
        pytest.param("https rest.example:443 GET /users/1", "method-or-path", "--allow-host 'GET rest.example/users/1'",
                     "https rest.example:443 GET /repos/1", id="path"),
        pytest.param("https rest.example:443 GET /repos/../users", "method-or-path", "--allow-host 'GET rest.example'",
                     "https rest.example:443 GET /repos/..users", id="path-dot-dot"),
        pytest.param("https rest.example:443 GET /users/1?x=/repos/1", "method-or-path", "--allow-host 'GET rest.example/users/1'",
                     "https rest.example:443 GET /repos/1?x=/../y", id="path-in-the-query"),
        pytest.param("https rest.example:443 GET /*", "method-or-path", "--allow-host 'GET rest.example'",
                     "https rest.example:443 GET /repos/*", id="path-that-looks-like-a-pattern"),
        pytest.param("https rest.example:443 GET /", "method-or-path", "--allow-host 'GET rest.example'",
                     "https rest.example:443 GET /repos/", id="top-page"),
        pytest.param("https rest.example:443 GET /it's", "method-or-path", "--allow-host 'GET rest.example'",
                     "https rest.example:443 GET /repos/it's", id="quote-in-the-path"),
        pytest.param("https rest.example:443 POST /uploads/x", "method-or-path", "--allow-host 'POST rest.example/uploads/x'",
                     "https rest.example:443 PUT /uploads/x", id="method-of-a-path"),
        pytest.param("http plain.example:80 GET /etc", "method-or-path", "--allow-host 'GET plain.example:80/etc'",
                     "http plain.example:80 GET /pool/x", id="plain-path"),
        pytest.param("connect db.example:5432", "scheme", "--allow-host db.example:5432", "tcp db.example:5432", id="raw-rule-for-tls"),
        pytest.param("tcp api.example.org:443", "scheme", "--allow-host tcp://api.example.org:443", "connect api.example.org:443",
                     id="tls-rule-for-raw"),
        pytest.param("tcp evil.example:22", "not-allowed", "--allow-host tcp://evil.example:22", "tcp db.example:5432", id="raw-unknown"),
        pytest.param("connect bad.wild.example:443", "deny-rule", None, "connect good.wild.example:443", id="denied"),
        pytest.param("connect bad.wild.example:8443", "deny-rule", None, "connect many.example:8443", id="denied-at-every-port"),
        pytest.param("tcp bad.wild.example:22", "deny-rule", None, "tcp db.example:5432", id="denied-raw"),
        pytest.param("connect www.fenced.example:443", "deny-rule", None, "connect a.fenced.example:443", id="denied-port"),
        pytest.param("connect api.example.org:25", "deny-rule", None, "connect api.example.org:443", id="denied-everywhere"),
        pytest.param("connect 10.9.8.7:443", "deny-rule", None, "connect 93.184.215.14:8080", id="denied-address"),
        pytest.param("connect 93.184.215.14:25", "deny-rule", None, "connect 93.184.215.14:8080", id="denied-everywhere-address"),
        pytest.param("https fenced.example:443 POST /admin/x", "deny-rule", None, "https fenced.example:443 GET /admin/x",
                     id="denied-method"),
        pytest.param("https fenced.example:443 POST /%61dmin/x", "deny-rule", None, "https fenced.example:443 POST /user/x",
                     id="denied-path-in-disguise"),
        pytest.param("https fenced.example:443 POST /user/../admin/x", "deny-rule", None, "https fenced.example:443 POST /user/admin/x",
                     id="denied-path-with-two-readings"),
    ],
)  # fmt: skip
def test_decisions(refused: str, rule: str, flag: str | None, near: str) -> None:
    """The reason is one stable word and one line, the flag would help, and the near attempt passes."""
    decision = decide(PLAN, ask(refused))
    assert (decision.allowed, decision.rule, decision.flag) == (False, rule, flag)
    assert decision.reason.isprintable()
    assert decide(PLAN, ask(near)).allowed


def test_an_empty_list_allows_nothing() -> None:
    """And no mode makes it mean everything (CVE-2025-66479)."""
    empty = a_plan(allow=(), deny=())
    for scheme in ("connect", "tcp", "http", "https"):
        assert decide(empty, ask(f"{scheme} api.example.org:443")).rule == "not-allowed"
    assert decide(a_plan(), ask("connect api.example.org:443")).allowed


@pytest.mark.parametrize(
    ("mode", "attempt", "rule"),
    [
        ("none", "connect api.example.org:443", "mode-none"),
        ("learn", "connect any.example:443", "mode-learn"),
        ("learn", "connect any.example:9999", "mode-learn"),
        ("learn", "http any.example:80 POST /x", "mode-learn"),
        ("learn", "connect api.example.org:443", "allow"),
        ("learn", "tcp any.example:22", "scheme"),
        ("learn", "tcp db.example:5432", "allow"),
        ("learn", "connect bad.wild.example:443", "deny-rule"),
        ("learn", "connect 93.184.215.15:443", "address-literal"),
        ("learn", "connect 93.184.215.14:8080", "allow"),
        ("open", "connect any.example:443", "mode-open"),
        ("open", "tcp any.example:22", "mode-open"),
        ("open", "tcp read.example:443", "scheme"),  # bytes that nobody opens would pass the rules on requests
        ("open", "https read.example:443 POST /x", "mode-open"),
        ("open", "connect bad.wild.example:443", "deny-rule"),
        ("open", "https fenced.example:443 DELETE /admin/x", "deny-rule"),
        ("open", "connect 93.184.215.15:443", "address-literal"),
    ],
)
def test_modes(mode: NetworkMode, attempt: str, rule: str) -> None:
    """What each mode lets through: denials hold in all, addresses are listed in all."""
    assert decide(a_plan(mode), ask(attempt)).rule == rule


def test_rules_on_requests_need_open_tls() -> None:
    """A tunnel is let through for requests to be judged inside; where nobody looks inside, it is not, and denials hold."""
    tunnel = ask("connect read.example:443")
    assert decide(PLAN, tunnel).allowed
    assert must_inspect(PLAN, tunnel.host)
    assert decide(replace(PLAN, inspect=()), tunnel).rule == "method-or-path"
    fenced = ask("connect fenced.example:443")
    assert decide(PLAN, fenced).allowed
    assert decide(replace(PLAN, inspect=()), fenced).rule == "deny-rule"


def test_requests_without_method_or_path() -> None:
    """What cannot be seen passes no rule on requests."""
    assert not decide(PLAN, ask("https read.example:443")).allowed
    assert not decide(PLAN, ask("https rest.example:443")).allowed
    assert not decide(PLAN, ask("https fenced.example:443")).allowed
    assert decide(PLAN, ask("https api.example.org:443")).allowed


def test_what_is_inspected() -> None:
    """Hosts with rules on methods or paths, in either list."""
    assert PLAN.inspect == ("read.example", "rest.example", "plain.example", "fenced.example")
    assert not must_inspect(PLAN, canonical_host("api.example.org"))
    assert must_inspect(replace(PLAN, inspect=("*.example.org",)), canonical_host("api.example.org"))
    assert not must_inspect(replace(PLAN, inspect=("*.example.org",)), canonical_host("example.org"))


def test_a_private_row_wins() -> None:
    """Of two rows for one host, the one that may lead to a private address is told: order does not matter."""
    rows = (parse_rule("mirror.example", "a"), parse_rule("mirror.example", "b", private=True))
    for allow in (rows, rows[::-1]):
        matched = decide(replace(CLOSED, mode="allowlist", allow=allow), ask("connect mirror.example:443")).matched
        assert matched is not None
        assert matched.private


@pytest.mark.parametrize(
    ("attempt", "address", "problem", "flag"),
    [
        ("connect api.example.org:443", "10.1.2.3", "private", "--allow-private 10.1.2.3/32"),
        ("connect api.example.org:443", "fd12::1", "private", "--allow-private fd12::1/128"),
        ("connect api.example.org:443", "127.0.0.1", "loopback", "--allow-private 127.0.0.1/32"),
        ("connect api.example.org:443", "192.168.7.7", "own", "--allow-private 192.168.7.7/32"),
        ("connect 10.1.2.3:443", "10.1.2.3", "private", "--allow-private 10.1.2.3/32"),
        ("connect api.example.org:443", "169.254.169.254", "metadata", None),
        ("connect api.example.org:443", "224.0.0.1", "multicast", None),
    ],
)
def test_refused_addresses(attempt: str, address: str, problem: Any, flag: str | None) -> None:
    """The refusal says where the name leads, and how to name that; some things nothing allows."""
    decision = refuse_address(ask(attempt), ip_address(address), problem)
    assert (decision.allowed, decision.rule, decision.flag) == (False, "address", flag)
    assert address in decision.reason
    assert (decision.yaml is None) == (flag is None)
    if flag:
        assert yaml.safe_load(str(decision.yaml)) == {"network": {"private": [flag.split()[1]]}}


# --- Anything ----------------------------------------------------------------------------------------------------------------

LABELS = st.text(st.sampled_from("abcxyz019-_"), min_size=1, max_size=8).filter(lambda text: text[0] not in "-" and text[-1] not in "-")
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join).filter(lambda name: not name.rpartition(".")[2].isdigit())
ADDRESSES = st.sampled_from(["192.0.2.1", "10.0.0.1", "[2001:db8::1]", "[fd00::1]"])
PATHS = st.text(st.sampled_from("/ab.*%2e;@'\"é ?"), max_size=12).map(lambda text: "/" + text)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    host = canonical_host(draw(NAMES.filter(_is_host) | ADDRESSES))
    scheme: Scheme = draw(st.sampled_from(["connect", "http", "https", "tcp"]))
    seen = scheme in ("http", "https")
    method = draw(st.sampled_from([*KNOWN_METHODS, "M-SEARCH", "get", "WEIRD1"])) if seen else None
    return Ask(scheme, host, draw(st.sampled_from([80, 443, 8443])), method, draw(PATHS) if seen else None)


def _is_host(text: str) -> bool:
    try:
        return bool(canonical_host(text))
    except BadHost:
        return False


@st.composite
def rules(draw: st.DrawFn) -> NetRule:
    host = draw(NAMES.filter(_is_host) | ADDRESSES.map(lambda text: text.strip("[]")))
    if draw(st.booleans()) and "." in host and host[0] not in "12" and ":" not in host:
        host = "*." + host
    raw = draw(st.booleans())
    methods = () if raw else draw(st.lists(st.sampled_from(KNOWN_METHODS), max_size=2, unique=True).map(tuple))
    path = None if raw else draw(st.none() | st.text(st.sampled_from("ab*-@~"), min_size=1, max_size=6).map(lambda text: "/" + text))
    return NetRule(host, (draw(st.integers(1, 65535)),), methods, path, raw, False, "o")


@settings(max_examples=300)
@given(rules())
def test_text_and_back(rule: NetRule) -> None:
    """Every row has a text, and the text means that row, in both lists."""
    assert parse_rule(rule_text(rule), "o") == rule
    assert parse_rule(rule_text(rule, deny=True), "o", deny=True) == rule


@settings(max_examples=300)
@given(st.text(st.sampled_from("GET,HEAD :/*.@%[]0123abz\0-xn?#tcphs"), max_size=40) | st.text(max_size=60), st.booleans())
def test_any_text_is_a_row_or_refused(text: str, deny: bool) -> None:
    """Nothing but ``BadRule`` comes out, and what was read has a text of its own."""
    try:
        rule = parse_rule(text, "o", deny=deny)
    except BadRule as refused:
        assert str(refused).isprintable()  # noqa: PT017
        return
    assert parse_rule(rule_text(rule, deny=deny), "o", deny=deny) == rule


def item_of(decision: Decision) -> tuple[str, str]:
    """The item in the flag (read as a shell would, for what we write) and the one in the YAML line."""
    network = yaml.safe_load(str(decision.yaml))["network"]
    flag = str(decision.flag).removeprefix("--network allowlist ").removeprefix("--allow-host ")
    quoted = flag.startswith("'")
    assert flag.count("'") == (2 if quoted else 0)
    assert quoted or " " not in flag
    return flag.strip("'"), network["allow"][0]


@settings(max_examples=500)
@given(st.lists(rules(), max_size=6), asks(), st.sampled_from(["none", "allowlist", "learn", "open"]))
def test_the_flag_would_help(allow: list[NetRule], attempt: Ask, mode: NetworkMode) -> None:
    """Whatever is refused: what the flag and the YAML line say is one row, and with it the attempt passes."""
    plan = replace(CLOSED, mode=mode, allow=tuple(allow), inspect=hosts_to_inspect(allow))
    decision = decide(plan, attempt)
    assert decision.reason.isprintable()
    if decision.allowed:
        assert mode != "none"
        return
    flag, item = item_of(decision)
    assert flag == item
    added = parse_rule(item, "flag")
    assert not added.host.startswith("*")
    again = replace(plan, mode="allowlist" if mode == "none" else mode, allow=(*allow, added), inspect=hosts_to_inspect((*allow, added)))
    assert decide(again, attempt).allowed


@settings(max_examples=300)
@given(st.lists(rules(), max_size=6), asks(), st.sampled_from(["allowlist", "learn", "open"]))
def test_only_rows_allow(allow: list[NetRule], attempt: Ask, mode: NetworkMode) -> None:
    """What an allow list lets through, some row of it names: host and port; and one row that denies the host ends that."""
    plan = replace(CLOSED, mode=mode, allow=tuple(allow), inspect=hosts_to_inspect(allow))
    decision = decide(plan, attempt)
    if decision.rule == "allow":
        assert decision.matched in allow
        assert any(host_matches(rule.host, attempt.host) and attempt.port in rule.ports for rule in allow)
    elif mode == "allowlist":
        assert not decision.allowed
    denied = replace(plan, deny=(parse_rule(attempt.host.text, "o", deny=True),))
    assert decide(denied, attempt).rule == "deny-rule"
