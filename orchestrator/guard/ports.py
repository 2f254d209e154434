"""Published ports: from what a client asks for to what is opened on the sandbox's own loopback, and back to what is shown. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Mapping

from orchestrator.guard.calls import Json, Object, PortAsk, deny

BINDINGS = "HostConfig.PortBindings"
OPENED_ON = "127.0.0.1"  # of the sandbox, or of the guard where there is none: nobody else gets there
_KEY = re.compile(r"([0-9]{1,5})(?:/([a-z]{1,8}))?", re.ASCII)
_HOST_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)

Published = Mapping[int, tuple[tuple[str, int], ...]]  # port of the container -> where it can be reached


def parse_ports(body: Object) -> tuple[PortAsk, ...]:
    """What HostConfig.PortBindings asks for, in its order. A port with no bindings is not published, and left out.

    Raises:
        Denied: malformed, or of a protocol that is not carried.
    """
    bindings = _host_config(body).get("PortBindings")
    if bindings is None:
        return ()
    if not isinstance(bindings, dict):
        raise _malformed("port bindings are an object", BINDINGS)
    return tuple(ask for key, rows in bindings.items() for ask in _of_port(key, rows))


def publish_all(body: Object, image_exposed: Mapping[str, object]) -> tuple[PortAsk, ...]:
    """For HostConfig.PublishAllPorts: any free port for each TCP port that image or body expose and no binding names.

    Raises:
        Denied: as ``parse_ports``.
    """
    if _host_config(body).get("PublishAllPorts") is not True:
        return ()
    exposed = body.get("ExposedPorts")
    if exposed is not None and not isinstance(exposed, dict):
        raise _malformed("exposed ports are an object", "ExposedPorts")
    named = {ask.port for ask in parse_ports(body)}
    # Others than TCP are left out and not refused: nobody asked for that very port, an image names it.
    found = {port: None for key in [*(exposed or {}), *image_exposed] for port in _exposed(key) if port not in named}
    return tuple(PortAsk(port, "tcp", "", 0) for port in found)


def port_bindings(asks: Iterable[PortAsk], host_ip: str | None = None) -> Object:
    """As HostConfig.PortBindings has them. ``host_ip``: instead of what the client wrote, where the engine itself publishes."""
    found: dict[str, list[Json]] = {}
    for ask in asks:
        row: Object = {"HostIp": ask.host_ip if host_ip is None else host_ip, "HostPort": _host_port_text(ask)}
        found.setdefault(f"{ask.port}/tcp", []).append(row)
    return dict(found)


def network_ports(published: Published) -> Object:
    """As NetworkSettings.Ports has them: where they really are."""
    return {f"{port}/tcp": [{"HostIp": ip, "HostPort": str(number)} for ip, number in places] for port, places in published.items()}


def listed_ports(published: Published) -> list[Json]:
    """As a list of containers has them."""
    return [
        {"IP": ip, "PrivatePort": port, "PublicPort": number, "Type": "tcp"} for port, places in published.items() for ip, number in places
    ]


# --- one port -------------------------------------------------------------------------------------------------------------------


def _host_config(body: Object) -> Object:
    found = body.get("HostConfig")
    return found if isinstance(found, dict) else {}


def _of_port(key: str, rows: Json) -> list[PortAsk]:
    field = f"{BINDINGS}[{key!r}]"
    match = _KEY.fullmatch(key)
    if match is None:
        raise _malformed(f"{key!r} is no port", field)
    port = _number(match[1], field)
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise _malformed("the bindings of a port are a list", field)
    if (match[2] or "tcp") != "tcp" and rows:
        raise deny(
            "ports.protocol",
            f"{match[2]} ports cannot be published: only streams are carried to the containers' network",
            field=field,
            allowed=f"{match[1]}/tcp; containers of one network reach each other by every protocol",
        )
    return [_binding(port, row, f"{field}[{index}]") for index, row in enumerate(rows)]


def _binding(port: int, row: Json, field: str) -> PortAsk:
    if not isinstance(row, dict) or not set(row) <= {"HostIp", "HostPort"}:
        raise _malformed("a binding is an object of HostIp and HostPort", field)
    host_ip, host_port = _text(row, "HostIp", field), _text(row, "HostPort", field)
    if host_ip:
        try:
            ipaddress.ip_address(host_ip)
        except ValueError:
            raise _malformed(f"{host_ip!r} is no address", f"{field}.HostIp") from None
    first, last = _host_ports(host_port, f"{field}.HostPort")
    return PortAsk(port, "tcp", host_ip, first, last)


def _text(row: Object, name: str, field: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _malformed(f"{name} is a text", f"{field}.{name}")
    return value


def _host_ports(text: str, field: str) -> tuple[int, int]:
    """(first, last of a range or 0). Nothing, or 0: any."""
    if text in ("", "0"):
        return 0, 0
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise _malformed(f"{text!r} is no port and no range of ports", field)
    first, last = _number(match[1], field), _number(match[2] or match[1], field)
    if last < first:
        raise _malformed(f"the range {text!r} ends before it begins", field)
    return first, last if last > first else 0


def _number(text: str, field: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise _malformed(f"port {text} is not between 1 and 65535", field)
    return number


def _exposed(key: str) -> list[int]:
    """The TCP port of a key of ExposedPorts; nothing for other protocols."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise _malformed(f"{key!r} is no port", "ExposedPorts")
    return [_number(match[1], "ExposedPorts")] if (match[2] or "tcp") == "tcp" else []


def _host_port_text(ask: PortAsk) -> str:
    if ask.last_port:
        return f"{ask.host_port}-{ask.last_port}"
    return str(ask.host_port) if ask.host_port else ""


def _malformed(reason: str, field: str) -> Exception:
    return deny("ports.malformed", reason, field=field, status=400)
