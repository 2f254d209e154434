"""The rules: what a row of an allow or deny list means, and what the lists make of one attempt. Closed by default, deny before allow.

The form is ``[METHOD[,METHOD] ][SCHEME://]HOST[:PORT][/PATH-PATTERN]``; docs/network.md says it in examples.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.egress import paths
from orchestrator.egress.addresses import REASONS, Problem, lifting_network, readings
from orchestrator.egress.hosts import Address, BadHost, Host, parse_authority
from orchestrator.model.network import NetRule, NetworkPlan

Scheme = Literal["connect", "http", "https", "tcp"]
RuleId = Literal[
    "allow", "mode-learn", "mode-open",  # let through
    "mode-none", "deny-rule", "address-literal", "not-allowed", "port", "scheme", "method-or-path", "address",
]  # fmt: skip

DEFAULT_PORT = 443
DEFAULT_PORTS = {"https": DEFAULT_PORT, "http": 80}
MAX_RULE_CHARACTERS = 1000
KNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

_METHOD = re.compile(r"[A-Z][A-Z-]{0,19}", re.ASCII)
_PLAIN_YAML = re.compile(r"[a-z][a-z0-9_-]*\.[a-z0-9_.-]*[a-z][a-z0-9_-]*(:[0-9]+)?", re.ASCII)
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:-]+", re.ASCII)
_MAX_SUGGESTED_PATH = 200


class BadRule(ValueError):
    """Text that is no rule. The text is the whole reason; ``remedy`` the way out."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Ask:
    """One attempt. ``connect``: a CONNECT request, of which nothing inside is known; ``tcp``: bytes are to pass as they are.

    ``method`` and ``path`` (raw, as the request line has it; the query is cut off here) where they are visible, else None.
    Ask ``connect`` first; ``tcp`` only when that is refused, or when what comes is neither TLS nor HTTP.
    """

    scheme: Scheme
    host: Host
    port: int
    method: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """``rule``: a stable word. ``reason``: for people, one line. ``flag`` and ``yaml`` would allow it; None: nothing does.

    ``matched``: the row that decided, where there is one.
    """

    allowed: bool
    rule: RuleId
    reason: str
    flag: str | None = None
    yaml: str | None = None
    matched: NetRule | None = None


def parse_rule(text: str, origin: str, *, deny: bool = False, private: bool = False) -> NetRule:
    """One item of ``network.allow``, or with ``deny`` of ``network.deny``: there, no port means every port.

    Raises:
        BadRule: it is none, it covers too much, or it could never match.
    """
    try:
        return _parsed(text, origin, deny, private)
    except BadRule:
        if "@" not in text:
            raise
        # What the message quotes may be a part of a password.
        remedy = "name the host alone, without user name and password"
        raise BadRule("holds an '@' and is no rule, so it is not repeated here", remedy) from None


def _parsed(text: str, origin: str, deny: bool, private: bool) -> NetRule:
    if len(text) > MAX_RULE_CHARACTERS:
        raise BadRule(f"is longer than {MAX_RULE_CHARACTERS} characters")
    words = text.split(" ")
    if len(words) > 2 or "" in words:
        remedy = "write it as 'GET,HEAD api.example.org/path/*': one blank, and none after commas"
        raise BadRule(f"{_shown(text)} is not a host, nor methods and a host", remedy)
    methods = _methods(words[0]) if len(words) == 2 else ()
    scheme, separator, rest = words[-1].partition("://")
    if not separator:
        scheme, rest = "", words[-1]
    elif scheme not in ("https", "http", "tcp"):
        raise BadRule(f"{_shown(scheme)} is not a scheme of rules", "choose one of https, http and tcp, or leave it out")
    authority, slash, below = rest.partition("/")
    path = _pattern(slash + below) if slash else None
    host, port = _host_and_port(authority, deny)
    if host == "*" and (methods or path):
        raise BadRule("a rule with methods or a path names its host: TLS is opened only for named hosts")
    if scheme == "tcp" and (port is None or methods or path):
        remedy = f"write it as tcp://{host}:{port or 5432}"
        raise BadRule("a tcp:// rule has a port, no methods and no path: nothing looks inside", remedy)
    if port is None and (scheme or not deny):
        port = DEFAULT_PORTS[scheme or "https"]
    return NetRule(host, () if port is None else (port,), methods, path, scheme == "tcp", private, origin)


def rule_text(rule: NetRule, *, deny: bool = False) -> str:
    """The shortest text that ``parse_rule`` reads as ``rule``. (Several ports, which no text gives, are shown with commas.)"""
    methods = ",".join(rule.methods) + " " if rule.methods else ""
    host = f"[{rule.host}]" if ":" in rule.host else rule.host
    is_default = not rule.ports or (rule.ports == (DEFAULT_PORT,) and not deny and not rule.raw)
    port = "" if is_default else ":" + ",".join(map(str, rule.ports))
    return f"{methods}{'tcp://' if rule.raw else ''}{host}{port}{rule.path or ''}"


def _methods(text: str) -> tuple[str, ...]:
    methods = tuple(dict.fromkeys(word.upper() for word in text.split(",")))
    for method in methods:
        if not _METHOD.fullmatch(method):
            raise BadRule(f"{_shown(method)} is not a method", f"use {', '.join(KNOWN_METHODS[:6])}, separated by commas")
    if "CONNECT" in methods:
        raise BadRule("CONNECT only opens a tunnel", "name the methods of the requests inside")
    return methods


def _host_and_port(authority: str, deny: bool) -> tuple[str, int | None]:
    """The canonical pattern, and the port where one is written."""
    any_host = authority.partition(":")[0] == "*"
    wildcard = authority.startswith("*.")
    if any_host and not deny:
        raise BadRule("'*' covers every host", "name a domain, such as *.example.org, or use network.mode: open")
    try:
        host, port = parse_authority("any" + authority[1:] if any_host else authority.removeprefix("*."), 0)
    except BadHost as problem:
        raise BadRule(f"{_shown(authority)} is not a host: {problem.reason}", _host_hint(authority)) from None
    if wildcard and host.address is not None:
        raise BadRule(f"{_shown(authority)}: an address has no names below it", "name the address alone")
    if wildcard and "." not in host.name and not deny:
        raise BadRule(f"'*.{host.name}' covers too much", "name a domain, such as *.example.org, or use network.mode: open")
    return "*" if any_host else authority[: 2 * wildcard] + host.name, port or None


def _host_hint(authority: str) -> str:
    if "*" in authority:
        return "'*.' in front stands for all names below: *.example.org"
    if authority.count(":") > 1 and "[" not in authority:
        return "write an IPv6 address in brackets: [2001:db8::1]"
    return "write it as api.example.org or api.example.org:8443"


def _pattern(path: str) -> str:
    """A pattern of paths, refused where it could never match."""
    if paths.without_query(path) != path:
        raise BadRule("a path pattern has no query and no fragment: they are not judged", "end it before the '?' or '#'")
    if path == "/":
        raise BadRule("the path '/' is the top page alone", "leave the '/' out for every path, or write '/*'")
    if not paths.PATTERN.fullmatch(path):
        raise BadRule(f"{_shown(path)} holds a character that no path pattern has", "write other characters as %XX")
    if paths.is_ambiguous(path.replace("*", "x")):
        raise BadRule(f"{_shown(path)} never matches: '//', '.' and '..' between slashes and escapes of them have two readings")
    return path


def host_matches(pattern: str, host: Host) -> bool:
    """``*.x`` is every name with at least one more label; an address is matched by itself, and by ``*``."""
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return host.address is None and host.name.endswith(pattern[1:])
    return host.name == pattern


def must_inspect(plan: NetworkPlan, host: Host) -> bool:
    """Whether TLS to ``host`` is terminated, so that requests inside are judged one by one."""
    return any(host_matches(pattern, host) for pattern in plan.inspect)


def hosts_to_inspect(rules: Iterable[NetRule]) -> tuple[str, ...]:
    """For ``NetworkPlan.inspect``: the hosts and wildcards whose rules have methods or paths."""
    return tuple(dict.fromkeys(rule.host for rule in rules if looks_inside(rule)))


def decide(plan: NetworkPlan, ask: Ask) -> Decision:
    """What the plan makes of one attempt. The address that a name resolves to is judged afterwards, see ``refuse_address``."""
    if plan.mode == "none":
        return _refusal(plan, ask, "mode-none", "this run has no network")
    inspected = must_inspect(plan, ask.host)
    for rule in plan.deny:
        if host_matches(rule.host, ask.host) and _covers_port(rule, ask) and _denies_request(rule, ask, inspected):
            reason = f"{ask.host.with_port(ask.port)} is denied by {_shown(rule_text(rule, deny=True))} ({rule.origin})"
            return Decision(False, "deny-rule", reason, matched=rule)
    for_host = [rule for rule in plan.allow if _names_host(rule, ask.host)]
    for_port = [rule for rule in for_host if _covers_port(rule, ask)]
    for_scheme = [rule for rule in for_port if rule.raw == (ask.scheme == "tcp")]
    matching = [rule for rule in for_scheme if _allows_request(rule, ask, inspected)]
    if matching:
        best = next((rule for rule in matching if rule.private), matching[0])  # of two, the one that allows more addresses
        return Decision(True, "allow", f"allowed by {_shown(rule_text(best))} ({best.origin})", matched=best)
    if plan.mode in ("learn", "open") and _open_to(plan, ask, inspected):
        return Decision(True, "mode-learn" if plan.mode == "learn" else "mode-open", f"the network mode is {plan.mode}")
    return _nearest_refusal(plan, ask, for_host, for_port, for_scheme)


def _covers_port(rule: NetRule, ask: Ask) -> bool:
    return not rule.ports or ask.port in rule.ports


def _names_host(rule: NetRule, host: Host) -> bool:
    """As ``host_matches``, but ``*`` allows no address: addresses are reached only where they are listed themselves."""
    return host_matches(rule.host, host) and (host.address is None or rule.host == host.name)


def looks_inside(rule: NetRule) -> bool:
    """Whether a row asks for methods or a path."""
    return bool(rule.methods) or rule.path is not None


def _allows_request(rule: NetRule, ask: Ask, inspected: bool) -> bool:
    """Whether methods and path let the ask through. In a tunnel they are judged later, and only where it is looked into."""
    if not looks_inside(rule):
        return True
    if ask.scheme == "connect":
        return inspected
    if rule.methods and ask.method not in rule.methods:
        return False
    return rule.path is None or (ask.path is not None and paths.allows(rule.path, paths.without_query(ask.path)))


def _denies_request(rule: NetRule, ask: Ask, inspected: bool) -> bool:
    """The same for a row that denies: what cannot be seen or has two readings counts as denied."""
    if not looks_inside(rule):
        return True
    if ask.scheme == "connect":
        return not inspected
    if rule.methods and ask.method is not None and ask.method not in rule.methods:
        return False
    return rule.path is None or ask.path is None or paths.denies(rule.path, paths.without_query(ask.path))


def _open_to(plan: NetworkPlan, ask: Ask, inspected: bool) -> bool:
    """What ``learn`` and ``open`` let through beyond the rules: any name, but no raw bytes that a learnt list could not express."""
    if ask.host.address is not None:
        return False
    return ask.scheme != "tcp" or (plan.mode == "open" and not inspected)


def _nearest_refusal(
    plan: NetworkPlan, ask: Ask, for_host: Sequence[NetRule], for_port: Sequence[NetRule], for_scheme: Sequence[NetRule]
) -> Decision:
    """Why no rule allows it, told by the rule that came nearest."""
    where = ask.host.with_port(ask.port)
    if not for_host and ask.host.address is not None:
        return _refusal(plan, ask, "address-literal", f"{where}: addresses are reached only where they are listed themselves")
    if not for_scheme and ask.scheme == "tcp" and plan.mode != "allowlist":
        return _refusal(plan, ask, "scheme", f"bytes other than TLS and HTTP may not pass to {where}")
    if not for_host:
        return _refusal(plan, ask, "not-allowed", f"{where} is not on the list of allowed hosts")
    if not for_port:
        ports = sorted({port for rule in for_host for port in rule.ports})
        return _refusal(plan, ask, "port", f"{ask.host.text} is allowed at port {', '.join(map(str, ports[:10]))}, not at {ask.port}")
    if not for_scheme:
        kind = "bytes other than TLS and HTTP" if ask.scheme == "tcp" else "TLS and HTTP: its rule is a tcp:// one"
        return _refusal(plan, ask, "scheme", f"{where} is not allowed for {kind}")
    kind = f"this {ask.method} request" if ask.method in KNOWN_METHODS else "this request"
    return _refusal(plan, ask, "method-or-path", f"{where} is allowed for some methods or paths, not for {kind}")


def refuse_address(ask: Ask, address: Address, problem: Problem) -> Decision:
    """The decision where ``ask`` is allowed by its name, and that leads to ``address``, which may not be dialled."""
    leads = f"{ask.host.text} is" if ask.host.address is not None else f"{ask.host.text} resolves to {address},"
    network = lifting_network(address, problem)
    if network is None:
        return Decision(False, "address", f"{leads} {REASONS[problem]}, which is never dialled")
    yaml = f"network: {{private: [{_yaml_word(network)}]}}"
    return Decision(False, "address", f"{leads} {REASONS[problem]}", f"--allow-private {network}", yaml)


def refuse_denied(plan: NetworkPlan, ask: Ask, address: Address) -> Decision | None:
    """The decision where ``ask`` is allowed by its name, and that leads to an address that a row denies; None where none does."""
    names = {str(one) for one in readings(address)}
    inspected = must_inspect(plan, ask.host)
    for rule in plan.deny:
        if rule.host in names and _covers_port(rule, ask) and _denies_request(rule, ask, inspected):
            leads = f"{ask.host.text} resolves to {address}"
            return Decision(False, "deny-rule", f"{leads}, denied by {_shown(rule_text(rule, deny=True))} ({rule.origin})", matched=rule)
    return None


def _refusal(plan: NetworkPlan, ask: Ask, rule: RuleId, reason: str) -> Decision:
    item = rule_text(_rule_for(ask, narrow=rule == "method-or-path"))
    flag, key = ("--network allowlist ", "mode: allowlist, ") if plan.mode == "none" else ("", "")
    return Decision(False, rule, reason, f"{flag}--allow-host {_shell_word(item)}", f"network: {{{key}allow: [{_yaml_word(item)}]}}")


def _rule_for(ask: Ask, *, narrow: bool) -> NetRule:
    """The smallest row that allows ``ask``. ``narrow``: with method and path, where a row can express them."""
    rule = NetRule(ask.host.name, (ask.port,), (), None, ask.scheme == "tcp", False, "")
    if not narrow or ask.method is None or not _METHOD.fullmatch(ask.method) or ask.method == "CONNECT":
        return rule
    path = paths.without_query(ask.path or "")
    expressible = (
        len(path) <= _MAX_SUGGESTED_PATH
        and path != "/"
        and "*" not in path
        and paths.PATTERN.fullmatch(path) is not None
        and not paths.is_ambiguous(path)
    )
    return replace(rule, methods=(ask.method,), path=path if expressible else None)


def _shell_word(text: str) -> str:
    return text if _PLAIN_WORD.fullmatch(text) else f"'{text}'"  # the text of a rule holds no single quote


def _yaml_word(text: str) -> str:
    return text if _PLAIN_YAML.fullmatch(text) else f'"{text}"'  # nor a double quote, nor a backslash


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:77] + "...")
