"""Published ports: where the asker does not say, or says all interfaces, they listen on this machine only. Pure."""

import ipaddress
import re
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.asks import Ask, Need, never

LOOPBACK = "127.0.0.1"
ALL = "0.0.0.0"
# Not what Python calls loopback: that also knows IPv4 addresses in IPv6 ones, in some versions.
_LOOPBACK_NETWORKS = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_WHY = "it would listen on other interfaces than the loopback"
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_PROTOCOLS = ("tcp", "udp", "sctp")


@dataclass(frozen=True, slots=True)
class Port:
    """``host``: a port, a range, or empty: the engine chooses; ``address``: in its one spelling."""

    address: str
    host: str
    container: str
    protocol: str = "tcp"

    def written(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.host}:{self.container}" + ("" if self.protocol == "tcp" else f"/{self.protocol}")

    @property
    def local(self) -> bool:
        return any(ipaddress.ip_address(self.address) in network for network in _LOOPBACK_NETWORKS)

    @property
    def grant(self) -> str:
        return f"port:{self.address}:{self.host or 0}"


def parse(text: str) -> Port:
    """``[[ADDRESS:][HOSTPORT]:]PORT[/PROTOCOL]``, or ``published=,target=,protocol=``.

    Raises:
        ValueError: it is neither.
    """
    if "=" in text:
        given = {"protocol": "tcp", "published": "", "target": ""} | dict(_pair(word) for word in text.split(","))
        text = f"{given['published']}:{given['target']}/{given['protocol']}"
    text, slash, protocol = text.partition("/")
    parts = text.split(":")
    container, host = parts[-1], parts[-2] if len(parts) > 1 else ""
    written = ":".join(parts[:-2])
    return Port(address(written), _ports(host, empty=True), _ports(container), protocol_of(protocol if slash else "tcp"))


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or name not in ("published", "target", "protocol", "mode"):
        raise ValueError(f"{word[:80]!r} is no part of a published port")
    return name, value


def address(text: str) -> str:
    """In its one spelling; none is all interfaces.

    Raises:
        ValueError: it is none.
    """
    if not text:
        return ALL
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if "%" in bare:
        raise ValueError("a zone has no place in a published port")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        raise ValueError(f"{text[:80]!r} is no address") from None


def protocol_of(text: str) -> str:
    if text.lower() not in _PROTOCOLS:
        raise ValueError(f"{text[:80]!r} is no protocol")
    return text.lower()


def _ports(text: str, *, empty: bool = False) -> str:
    match = _RANGE.fullmatch(text)
    if match is None:
        if empty and not text:
            return ""
        raise ValueError(f"{text[:80]!r} is no port")
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= 65535:
        raise ValueError(f"{text[:80]!r} is no range of ports")
    return f"{first}" if first == last else f"{first}-{last}"


def ask_port(text: str) -> Ask:
    """A value of ``--publish``."""
    what = f"the port {text}"
    try:
        port = parse(text)
    except ValueError as problem:
        return never(what, str(problem))
    if port.local:
        return Ask(what, "ports", (port.written(),))
    here = Port(LOOPBACK, port.host, port.container, port.protocol)
    return Ask(what, "ports", (port.written(),), (Need(port.grant, _WHY),), instead=(here.written(),))


def ask_app_port(value: Json) -> Ask:
    """An item of ``appPort``: a number is a port of this machine's loopback, a text a value of ``--publish``."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return never("appPort", "it is neither number nor text")
    return ask_port(f"{LOOPBACK}:{value}:{value}" if isinstance(value, int) else value)
