"""Networks of a session: bridges with no way out and no address of the machine in them. Pure."""

import ipaddress
import re
from collections.abc import Mapping, Sequence

from orchestrator.guard.calls import Json, Known, Object, Reference, Session, Usage, deny
from orchestrator.guard.endpoints import PRIVATE, endpoint, link_references, own, private_address
from orchestrator.guard.fields import FieldRule, each, flag, forbidden, judge, mapping, matching, must_be_unset, one_of, record, text
from orchestrator.guard.labels import LABELS, with_own_labels
from orchestrator.guard.quota import admit

# The engine gives an internal network's gateway address to the machine: every service of the machine would be reachable at it.
OPTIONS: Object = {"com.docker.network.bridge.inhibit_ipv4": "true"}
SMALLEST, LARGEST = 30, 12  # bits of a subnet
RESERVED = frozenset(["bridge", "host", "none", "default", "ingress"])

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
_ID_LIKE = re.compile(r"[0-9a-f]{12,64}", re.ASCII)  # would stand before a network whose id begins so
# What clients write and what is so, or means nothing, in our networks. Dropped.
_HARMLESS: Mapping[str, tuple[str, ...]] = {
    "com.docker.network.bridge.enable_icc": ("true",),
    "com.docker.network.bridge.enable_ip_masquerade": ("true", "false"),
    "com.docker.network.bridge.inhibit_ipv4": ("true",),
    "com.docker.network.enable_ipv4": ("true",),
    "com.docker.network.enable_ipv6": ("false",),
}
_MTU = "com.docker.network.driver.mtu"
_MTU_VALUE = matching(r"[1-9][0-9]{2,3}", "100 to 9999")


def _network(value: Json, known: Known, path: str) -> Json:
    """A private subnet."""
    found = str(text(64)(value, known, path))
    if not found:
        return None
    try:
        subnet = ipaddress.IPv4Network(found, strict=False)
    except ValueError:
        raise deny("network.subnet", f"{found!r} is no IPv4 network", field=path, allowed="such as 172.28.0.0/16", status=400) from None
    if not any(subnet.subnet_of(one) for one in PRIVATE) or not LARGEST <= subnet.prefixlen <= SMALLEST:
        allowed = f"/{LARGEST} to /{SMALLEST} within {', '.join(map(str, PRIVATE))}"
        raise deny("network.subnet", f"{found} is not a private network", field=path, allowed=allowed)
    return str(subnet)


def _option(value: Json, known: Known, path: str) -> str:
    return str(text(256)(value, known, path))


def _options(value: Json, known: Known, path: str) -> Json:
    """What is left of them."""
    found = mapping(_option, text(128), most=32)(value, known, path)
    kept: Object = {}
    for key, one in found.items() if isinstance(found, dict) else ():
        if key == _MTU:
            kept[key] = _MTU_VALUE(one, known, f"{path}[{key!r}]")
        elif str(one).lower() not in _HARMLESS.get(key, ()):
            field = f"{path}[{key[:80]!r}]"
            raise deny("network.options", f"the option {key[:80]}={str(one)[:40]} may not be set", field=field, allowed="leaving it out")
    return kept or None


POOL: FieldRule = record({
    "Subnet": _network,
    "IPRange": _network,
    "Gateway": private_address,
    "AuxiliaryAddresses": mapping(private_address, text(128), most=64),
})  # fmt: skip

IPAM: FieldRule = record(
    {
        "Driver": one_of("", "default", rule="network.ipam"),
        "Options": forbidden("network.ipam", "options for giving addresses may not be set"),
        "Config": each(POOL, most=1),
    }
)

NETWORK: Mapping[str, FieldRule] = {
    "Name": text(128),
    "Driver": one_of("", "default", "bridge", rule="network.driver", reason="it would reach the machine's own network"),
    "Scope": one_of("", "local", rule="network.scope"),
    "CheckDuplicate": flag,
    "Internal": flag,  # it is, whatever was asked
    "Attachable": flag,
    "Ingress": must_be_unset,
    "ConfigOnly": must_be_unset,
    "ConfigFrom": must_be_unset,
    "EnableIPv4": flag,
    "EnableIPv6": forbidden("network.ipv6", "networks of a session have no IPv6"),
    "IPAM": IPAM,
    "Options": _options,
    "Labels": LABELS,
}


def references(body: Object) -> tuple[Reference, ...]:
    """Of the bodies of connect and disconnect."""
    container = body.get("Container")
    named = (Reference("container", container),) if isinstance(container, str) and container else ()
    return (*named, *link_references(body.get("EndpointConfig")))


def judge_create(body: Object, session: Session, usage: Usage, taken: Sequence[str] = ()) -> Object:
    """The body to forward. ``taken``: networks (CIDR) that the machine uses: one of the same addresses would lead their traffic away.

    Raises:
        Denied: a field that is not allowed, an address that is taken, or one network too many.
    """
    found = judge(NETWORK, body, {})
    name = _free_name(str(found.get("Name", "")))
    if found.get("EnableIPv4") is False:
        raise deny("network.ipv4", "a network without IPv4 has no addresses", field="EnableIPv4", allowed="true", status=400)
    ipam = found.get("IPAM")
    pools = ipam.get("Config") if isinstance(ipam, dict) else None
    for index, pool in enumerate(pools if isinstance(pools, list) else []):
        if isinstance(pool, dict):
            _judge_pool(pool, taken, f"IPAM.Config[{index}]")
    admit(usage, Usage(networks=1), session.plan.limits)
    options = found.get("Options")
    return {
        "Name": name,
        "Driver": "bridge",
        "CheckDuplicate": True,  # two networks of one name: engines before 25 make them, and then neither is found by it
        "Internal": True,
        "EnableIPv6": False,
        "Attachable": found.get("Attachable", False),
        "Options": {**(options if isinstance(options, dict) else {}), **OPTIONS},
        "Labels": with_own_labels(found.get("Labels"), session),
        **({"IPAM": {"Driver": "default", "Config": pools}} if pools else {}),
    }


def judge_connect(body: Object, known: Known) -> Object:
    """Raises Denied."""
    found = judge({"Container": text(256), "EndpointConfig": endpoint}, body, known)
    settings = found.get("EndpointConfig")
    return {"Container": _container(found, known), **({"EndpointConfig": settings} if settings else {})}


def judge_disconnect(body: Object, known: Known) -> Object:
    """Raises Denied."""
    found = judge({"Container": text(256), "Force": flag}, body, known)
    return {"Container": _container(found, known), "Force": found.get("Force", False)}


def _container(found: Object, known: Known) -> str:
    name = str(found.get("Container", ""))
    if not name:
        raise deny("network.container", "which container?", field="Container", status=400)
    return own(known, "container", name, "Container").id


def _free_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise deny("network.name", f"{name[:80]!r} is no name", field="Name", allowed="letters, digits, '_', '.', '-'", status=400)
    if name in RESERVED or _ID_LIKE.fullmatch(name):
        raise deny("network.name", f"the name {name!r} stands for something else", field="Name", allowed="another name")
    return name


def _judge_pool(pool: Object, taken: Sequence[str], path: str) -> None:
    """Every address lies in the subnet, and the subnet is free."""
    if not pool.get("Subnet"):
        if any(pool.values()):
            raise deny("network.subnet", "addresses without a subnet", field=path, allowed="a Subnet", status=400)
        return
    subnet = ipaddress.IPv4Network(str(pool["Subnet"]))
    for one in taken:
        other = ipaddress.ip_network(one, strict=False)
        if isinstance(other, ipaddress.IPv4Network) and other.overlaps(subnet) and other.prefixlen:
            raise deny("network.overlap", f"{subnet} overlaps {other}, which is in use", field=f"{path}.Subnet", allowed="a free subnet")
    if pool.get("IPRange") and not ipaddress.IPv4Network(str(pool["IPRange"])).subnet_of(subnet):
        raise deny("network.subnet", f"{pool['IPRange']} is no part of {subnet}", field=f"{path}.IPRange", status=400)
    more = pool.get("AuxiliaryAddresses")
    for address in (pool.get("Gateway"), *(more.values() if isinstance(more, dict) else ())):
        if address and ipaddress.IPv4Address(str(address)) not in subnet:
            raise deny("network.subnet", f"{address} is not in {subnet}", field=path, status=400)
