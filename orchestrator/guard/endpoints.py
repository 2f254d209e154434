"""Which networks a container joins, and how it is called there. Pure.

``default`` and ``bridge`` are the session's own network. Everything else is one of its own by full id, ``none``, or the network of one of
its own containers.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping

from orchestrator.guard.calls import Json, Kind, Known, Object, Reference, Session, Thing, deny
from orchestrator.guard.fields import FieldRule, each, forbidden, ignored, judge, must_be_unset, record, text, wrong_type
from orchestrator.model.guard import EGRESS_NAME

SESSION_NAMES = frozenset(["", "default", "bridge"])
SHARED = "container:"
PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))

_MISSING: Mapping[Kind, str] = {"container": "No such container: {}", "network": "network {} not found"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)


def own(known: Known, kind: Kind, name: str, path: str) -> Thing:
    """Raises Denied, in the daemon's own words: it is not there for this client."""
    thing = known.get(Reference(kind, name))
    if thing is None:
        shown = name[:128] if name.isprintable() else ascii(name[:128])
        raise deny("missing", _MISSING[kind].format(shown), field=path, status=404)
    return thing


def shared_with(mode: Json) -> str | None:
    """The container that a mode such as ``container:db`` names."""
    return mode.removeprefix(SHARED) if isinstance(mode, str) and mode.startswith(SHARED) else None


def named_network(mode: Json) -> str | None:
    """The network that a mode, or a key of EndpointsConfig, names; None for words with a meaning of their own."""
    if not isinstance(mode, str) or mode in SESSION_NAMES or mode in ("none", "host") or mode.startswith(SHARED):
        return None
    return mode


def session_network(session: Session) -> str:
    found = session.network or session.network_name
    if not found:
        raise deny("network.session", "this session has no network", allowed="NetworkMode 'none'")
    return found


def resolve_mode(mode: str, known: Known, session: Session, path: str = "HostConfig.NetworkMode") -> str:
    """The mode to forward: a full id, ``none``, or ``container:`` with a full id."""
    if mode in SESSION_NAMES:
        return session_network(session)
    if mode == "none":
        return mode
    if mode == "host":
        raise deny("create.namespace", "the machine's own network is not for containers of a session", field=path, allowed="default, none")
    if (name := shared_with(mode)) is not None:
        return SHARED + own(known, "container", name, path).id
    return own(known, "network", mode, path).id


# --- endpoints -------------------------------------------------------------------------------------------------------------------


def linked(value: Json) -> str | None:
    """The container that a link names."""
    return value.split(":")[0].removeprefix("/") if isinstance(value, str) and value else None


def link(value: Json, known: Known, path: str) -> str:
    """``name:alias``. Not the id: on networks that were made the alias stands for a name, which is asked within that network."""
    parts = str(text(512)(value, known, path)).split(":")
    name = parts[0].removeprefix("/")
    alias = parts[-1].rpartition("/")[2]
    if len(parts) > 2 or not _NAME.fullmatch(name):
        raise deny("network.link", f"{value!r} is no link", field=path, allowed="container:alias", status=400)
    _refuse_egress_name(alias, path)
    return f"{own(known, 'container', name, path).name}:{alias}"


def alias(value: Json, known: Known, path: str) -> str:
    found = str(text(256)(value, known, path))
    if not _NAME.fullmatch(found):
        raise deny("network.alias", f"{found[:80]!r} is no name", field=path, allowed="letters, digits, '_', '.', '-'", status=400)
    _refuse_egress_name(found, path)
    return found


def _refuse_egress_name(name: str, path: str) -> None:
    if is_egress_name(name):
        raise deny("network.alias", f"{name!r} is the name of the way out", field=path, allowed="another name")


def is_egress_name(name: str) -> bool:
    return name.rstrip(".").split(".")[0].lower() == EGRESS_NAME


def private_address(value: Json, known: Known, path: str) -> Json:
    found = str(text(64)(value, known, path))
    if not found:
        return None
    try:
        address = ipaddress.IPv4Address(found)
    except ValueError:
        raise deny("network.address", f"{found!r} is no IPv4 address", field=path, status=400) from None
    if not any(address in network for network in PRIVATE):
        allowed = ", ".join(map(str, PRIVATE))
        raise deny("network.address", f"{found} is not in a private network", field=path, allowed=allowed)
    return str(address)


# What the daemon fills in is dropped: clients send back what an inspect answered.
ENDPOINT: Mapping[str, FieldRule] = {
    "IPAMConfig": record({"IPv4Address": private_address, "IPv6Address": must_be_unset, "LinkLocalIPs": must_be_unset}),
    "Links": each(link, most=256),
    "Aliases": each(alias, most=256),
    "MacAddress": forbidden("network.mac", "a hardware address may not be chosen: it could be another container's"),
    "DriverOpts": forbidden("network.options", "options of the driver may not be set"),
    "GwPriority": must_be_unset,
    "NetworkID": ignored,  # what its key names
    "EndpointID": ignored,
    "Gateway": ignored,
    "IPAddress": ignored,
    "IPPrefixLen": ignored,
    "IPv6Gateway": ignored,
    "GlobalIPv6Address": ignored,
    "GlobalIPv6PrefixLen": ignored,
    "DNSNames": ignored,
}


def endpoint(value: Json, known: Known, path: str) -> Object:
    """One endpoint; null is one with nothing set."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong_type(value, "an object", path)
    return judge(ENDPOINT, value, known, path)


def endpoints(value: Json, known: Known, path: str) -> Object:
    """Of EndpointsConfig. Its keys are resolved afterwards: they depend on the mode."""
    if not isinstance(value, dict):
        raise wrong_type(value, "an object", path)
    return {name: endpoint(one, known, f"{path}[{name[:80]!r}]") for name, one in value.items()}


def link_references(endpoint: Json) -> Iterator[Reference]:
    links = endpoint.get("Links") if isinstance(endpoint, dict) else None
    for value in links if isinstance(links, list) else []:
        if name := linked(value):
            yield Reference("container", name)


def join(asked: str, mode: str, judged: Object, links: list[Json], known: Known, session: Session) -> Object:
    """EndpointsConfig with full ids. ``asked``: the client's mode; ``mode``: what it was resolved to; ``links``: of HostConfig, which the
    daemon reads on its default network alone."""
    found: Object = {}
    for name, one in judged.items():
        path = f"NetworkingConfig.EndpointsConfig[{name[:80]!r}]"
        if name == asked and (mode == "none" or mode.startswith(SHARED)):
            if any(value not in (None, [], {}) for value in one.values()) if isinstance(one, dict) else False:
                raise deny("network.conflict", f"network mode {asked!r} has no settings of its own", field=path, status=400)
            continue
        full_id = resolve_mode(name, known, session, path)
        if full_id == "none" or full_id.startswith(SHARED) or mode == "none" or mode.startswith(SHARED):
            raise deny("network.conflict", f"{name!r} does not go with network mode {asked!r}", field=path, status=400)
        if full_id in found:
            raise deny("network.conflict", f"{name!r} is named twice", field=path, status=400)
        found[full_id] = one
    if links and mode != "none" and not mode.startswith(SHARED):
        first = found.setdefault(mode, {})
        if isinstance(first, dict):
            there = first.get("Links")
            first["Links"] = [*dict.fromkeys(map(str, [*(there if isinstance(there, list) else []), *links]))]
    return found


def refuse_names(name: str | None, path: str) -> None:
    """A container may not be called like the way out: every name is one in the networks' own DNS."""
    if name and is_egress_name(name):
        _refuse_egress_name(name, path)
