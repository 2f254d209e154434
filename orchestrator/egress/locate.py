"""Where a request goes, told in three ways: by the whole address (proxy), by the tunnel around it, by the service in its path (gateway)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orchestrator.egress.denials import Refusal, Refused, unknown_service
from orchestrator.egress.hosts import Host, canonical_host
from orchestrator.egress.judge import Judge, Place
from orchestrator.egress.paths import is_ambiguous
from orchestrator.egress.rules import DEFAULT_PORTS, Scheme
from orchestrator.model.network import Gateway
from orchestrator.wire.http1 import RequestHead, parse_target


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that is answered here, and goes nowhere."""

    answer: bytes


Locate = Callable[[RequestHead], Place | Answered]


def by_address(judge: Judge) -> Locate:
    """``GET http://host:port/path``. Some clients ask for ``https://`` in this way, too."""

    def locate(head: RequestHead) -> Place:
        target = parse_target(head, "absolute")
        scheme: Scheme = "https" if target.scheme == "https" else "http"
        if target.scheme != scheme:
            raise Refused(Refusal(403, "scheme", "only http:// and https:// addresses are known here"))
        host, port = judge.authority(target.authority, DEFAULT_PORTS[scheme])
        return Place(scheme, host, port, target.path + target.query, target.path)

    return locate


def inside_tunnel(judge: Judge, scheme: Scheme, host: Host, port: int) -> Locate:
    """``GET /path`` in a tunnel to ``host``: the Host header has to say the same."""

    def locate(head: RequestHead) -> Place:
        target = parse_target(head, "origin")
        if head.host is None or judge.authority(head.host, port) != (host, port):
            reason = f"a request in the tunnel to {host.with_port(port)} is for another host"
            raise Refused(Refusal(403, "host-header", reason, host.name, port))
        return Place(scheme, host, port, target.path + target.query, target.path)

    return locate


def by_service(gateways: tuple[Gateway, ...], judge: Judge) -> Locate:
    """``GET /<service>/path``."""
    services: Mapping[str, tuple[Gateway, Host]] = {
        one.name: (one, canonical_host(f"[{one.host}]" if ":" in one.host else one.host)) for one in gateways
    }

    def locate(head: RequestHead) -> Place | Answered:
        target = parse_target(head, "origin")
        name, _, below = target.path[1:].partition("/")
        if name not in services:
            return Answered(unknown_service(name, judge.plan, close=True))
        gateway, host = services[name]
        path = f"{gateway.base_path.rstrip('/')}/{below}"
        if gateway.base_path.strip("/") and is_ambiguous(path):
            reason = f"a path that could lead out of {gateway.base_path}"
            raise Refused(Refusal(403, "method-or-path", reason, host.name, gateway.port))
        return Place("http" if gateway.port == 80 else "https", host, gateway.port, path + target.query, path)

    return locate
