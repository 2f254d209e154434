"""Rules: lines are rows (``!`` in front denies), the last one is the attempt: ``scheme host port method path``."""

import posixpath
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import unquote

from orchestrator.egress.addresses import BadNetwork, address_problem, parse_network
from orchestrator.egress.hosts import BadHost, canonical_host
from orchestrator.egress.rules import Ask, BadRule, Decision, Scheme, decide, hosts_to_inspect, parse_rule, refuse_address, rule_text
from orchestrator.model.network import CLOSED, NetRule, NetworkPlan
from orchestrator.model.task import NetworkMode

SEEDS = (
    b"api.example.org\nconnect api.example.org 443",
    b"*.example.org:8443\n!bad.example.org\nconnect bad.example.org 8443",
    b"GET,HEAD a.example/repos/*\nhttps a.example 443 GET /repos/%2e%2e/x?y",
    b"tcp://db.example:5432\ntcp db.example 5432",
    b"10.0.0.0/8\n[2001:db8::1]:80\nhttp [2001:db8::1] 80 GET /",
    b"a.example\n!POST a.example/admin/*\nhttps a.example 443 POST /%61dmin/x",
    b"http://a.example/pool/*\nhttp a.example 80 GET /pool/..;/x",
    b"!*:25\n192.0.2.1:25\nconnect 192.0.2.1 25",
)
WORDS = (
    b"GET ", b"POST,", b"tcp://", b"https://", b"http://", b"*.", b"/*", b"%2e", b"%2f", b"%252e", b"/../", b"//", b"..;/", b"\n!",
    b"\nconnect ", b"\nhttps ", b" 443 GET /", b":8443", b".example", b"[::1]", b"@", b"'", b"%c0%ae", b"\\",
)  # fmt: skip
SCHEMES: dict[str, Scheme] = {"connect": "connect", "http": "http", "https": "https", "tcp": "tcp"}
MODES: tuple[NetworkMode, ...] = ("allowlist", "learn", "open", "none")


def one_input(data: bytes) -> None:
    *rows, attempt = data.decode("utf-8", "replace").split("\n")
    allow: list[NetRule] = []
    deny: list[NetRule] = []
    for row in rows[:20]:
        check_network(row)
        if rule := read(row.removeprefix("!"), row.startswith("!")):
            (deny if row.startswith("!") else allow).append(rule)
    plan = replace(CLOSED, mode=MODES[len(data) % 4], allow=tuple(allow), deny=tuple(deny), inspect=hosts_to_inspect((*allow, *deny)))
    for ask in (read_ask(attempt), *near(allow)):
        if ask is not None:
            check_decision(plan, ask, decide(plan, ask))


def near(rules: list[NetRule]) -> Iterator[Ask]:
    """Attempts at names that differ little from those in the rules."""
    for rule in rules[:4]:
        suffix = rule.host.removeprefix("*")
        for name in (suffix.removeprefix("."), f"x{suffix}", f"x.{suffix.removeprefix('.')}", f"x{suffix.removeprefix('.')}"):
            ask = read_ask(f"connect {name} {rule.ports[0]}")
            if ask is not None:
                yield ask


def read(text: str, deny: bool) -> NetRule | None:
    try:
        rule = parse_rule(text, "here", deny=deny)
    except BadRule as refused:
        is_one_line(str(refused))
        return None
    assert parse_rule(rule_text(rule, deny=deny), "here", deny=deny) == rule
    assert rule_text(rule, deny=deny).isprintable()
    assert deny or rule.host != "*"
    return rule


def is_one_line(text: str) -> None:
    assert text.isprintable()


def check_network(text: str) -> None:
    try:
        network = parse_network(text)
    except BadNetwork as refused:
        is_one_line(str(refused))
        return
    assert parse_network(str(network)) == network
    problem = address_problem(network.network_address, (network,), False, ())
    assert problem in (None, "loopback", "unspecified", "link-local", "metadata", "reserved", "multicast", "site-local")


def read_ask(text: str) -> Ask | None:
    scheme, host, port, method, path, *_ = (*text.split(" ", 4), "", "", "", "", "")
    try:
        name = canonical_host(host)
    except BadHost:
        return None
    if scheme not in SCHEMES or not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        return None
    seen = scheme in ("http", "https")
    return Ask(SCHEMES[scheme], name, int(port), method if seen and method else None, path if seen and path else None)


def check_decision(plan: NetworkPlan, ask: Ask, decision: Decision) -> None:
    assert decision.reason.isprintable()
    assert (decision.flag is None) == (decision.yaml is None)
    if decision.rule == "allow":
        check_allowed(plan, ask, decision.matched)
    elif decision.allowed:
        assert plan.mode in ("learn", "open")
        assert ask.host.address is None
    elif decision.rule == "deny-rule":
        assert decision.matched in plan.deny
        assert decision.flag is None
    else:
        check_way_out(plan, ask, str(decision.flag))
    if ask.host.address is not None and (problem := address_problem(ask.host.address, (), False, ())):
        assert refuse_address(ask, ask.host.address, problem).reason.isprintable()


def check_allowed(plan: NetworkPlan, ask: Ask, rule: NetRule | None) -> None:
    """Said in other words than the subject's: host, port, method, and where the path leads."""
    assert rule in plan.allow
    assert rule is not None
    suffix = rule.host.removeprefix("*")
    assert ask.host.name == rule.host or (rule.host != suffix and ask.host.name.endswith(suffix) and ask.host.name != suffix[1:])
    assert ask.port in rule.ports
    assert rule.raw == (ask.scheme == "tcp")
    if ask.scheme in ("http", "https"):
        assert not rule.methods or ask.method in rule.methods
        if rule.path is not None:
            check_path(rule.path.partition("*")[0], str(ask.path).partition("?")[0].partition("#")[0])


def check_path(prefix: str, path: str) -> None:
    """However often a server decodes, and when it resolves dots after that, the path stays below what the pattern begins with."""
    for _ in range(4):
        below = posixpath.normpath(path) + ("/" if path.endswith("/") and path != "/" else "")
        assert below.startswith(prefix), (below, prefix)
        path, prefix = unquote(path, "latin-1"), unquote(prefix, "latin-1")


def check_way_out(plan: NetworkPlan, ask: Ask, flag: str) -> None:
    """What the refusal suggests is one word for a shell, names the very host, and helps."""
    item = flag.removeprefix("--network allowlist ").removeprefix("--allow-host ")
    assert item.count("'") in (0, 2)
    added = parse_rule(item.strip("'"), "flag")
    assert added.host == ask.host.name
    allow = (*plan.allow, added)
    mode = "allowlist" if plan.mode == "none" else plan.mode
    again = decide(replace(plan, mode=mode, allow=allow, inspect=hosts_to_inspect((*allow, *plan.deny))), ask)
    assert again.allowed or again.rule == "deny-rule"
