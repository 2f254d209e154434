"""Which addresses may be dialled: global unicast, and what the user has named. Tables; what is in none of IPv6's is refused.

Sources: https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry and
the manuals of the clouds for their metadata services. Python's own ``is_global`` takes 168.63.129.16, 192.0.0.192 and fec0::1 for
public and changes between releases, so it is not asked.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Literal

from orchestrator.egress.hosts import Address

Network = IPv4Network | IPv6Network
Problem = Literal[
    "metadata", "own", "loopback", "unspecified", "link-local", "multicast", "site-local", "reserved",
    "private", "shared", "documentation", "benchmark",
]  # fmt: skip

REASONS: Mapping[Problem, str] = {
    "metadata": "the address of a cloud's metadata service",
    "own": "an address of this machine",
    "loopback": "a loopback address",
    "unspecified": "an unspecified address",
    "link-local": "a link-local address",
    "multicast": "a multicast address",
    "site-local": "a site-local address",
    "reserved": "a reserved address",
    "private": "a private address",
    "shared": "an address shared by a provider's customers",
    "documentation": "an address for documentation",
    "benchmark": "an address for benchmarks",
}

# Real services of companies and test beds live at such addresses: the user may name them.
LIFTABLE: frozenset[Problem] = frozenset(["private", "shared", "documentation", "benchmark"])
# This machine itself: only where a network is named that covers nothing else.
NAMED_EXACTLY: frozenset[Problem] = frozenset(["own", "loopback"])

_LOOPBACKS = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def _rows(*rows: tuple[Problem, str]) -> tuple[tuple[Network, Problem], ...]:
    return tuple((ip_network(text), problem) for problem, texts in rows for text in texts.split())


# The first that covers an address says what it is.
_SPECIAL: tuple[tuple[Network, Problem], ...] = _rows(
    # AWS, Azure, Google, Oracle, Alibaba: instance metadata and what hands out its credentials.
    ("metadata", "169.254.169.254 169.254.170.2 169.254.170.23 100.100.100.200 168.63.129.16 192.0.0.192"),
    ("metadata", "fd00:ec2::/32 fd20:ce::254 fd00:c1::a9fe:a9fe fd00:42::42"),
    ("loopback", "127.0.0.0/8 ::1"),
    ("unspecified", "0.0.0.0/8 ::"),
    ("link-local", "169.254.0.0/16 fe80::/10"),
    ("multicast", "224.0.0.0/4 ff00::/8"),
    ("site-local", "fec0::/10"),
    ("private", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"),
    ("shared", "100.64.0.0/10"),
    ("documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"),
    ("benchmark", "198.18.0.0/15 2001:2::/48"),
    ("reserved", "192.0.0.0/24 192.88.99.0/24 240.0.0.0/4"),
    # Ways to write an IPv4 address as an IPv6 one; what they hide is judged as well, see below.
    ("reserved", "::/96 64:ff9b:1::/48 2001::/23 2002::/16"),
)
_GLOBAL_V6 = (IPv6Network("2000::/3"), IPv6Network("64:ff9b::/96"))

_MAPPED = IPv6Network("::ffff:0:0/96")
_EMBEDDING = (  # network, and by how many bits the IPv4 address in it is shifted
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("64:ff9b:1::/48"), 0),
    (IPv6Network("2002::/16"), 80),
    (IPv6Network("2001::/32"), 64),
)
_TEREDO = IPv6Network("2001::/32")
_ISATAP = 0x0000_5EFE  # the middle of an interface identifier, with or without the "universal" bit


def class_of(address: Address, own: Collection[Address] = ()) -> Problem | None:
    """What ``address`` itself is, nothing unwrapped; None for global unicast."""
    found = next((problem for network, problem in _SPECIAL if address in network), None)
    if found is None and isinstance(address, IPv6Address) and not any(address in network for network in _GLOBAL_V6):
        found = "reserved"
    return "own" if address in own and (found is None or found in LIFTABLE) else found


def embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address stands for on its way: 6to4, NAT64, Teredo, ISATAP, IPv4-compatible."""
    if not isinstance(address, IPv6Address):
        return
    number = int(address)
    for network, shift in _EMBEDDING:
        if address in network and number > 1:  # :: and ::1 stand for themselves
            yield IPv4Address(number >> shift & 0xFFFF_FFFF)
    if address in _TEREDO:  # the client's address is stored with every bit turned over
        yield IPv4Address(~number & 0xFFFF_FFFF)
    if number >> 32 & 0xFDFF_FFFF == _ISATAP:
        yield IPv4Address(number & 0xFFFF_FFFF)


def readings(address: Address) -> tuple[Address, ...]:
    """``address``, and those that whoever dials it reaches as well: one host under several numbers."""
    if isinstance(address, IPv6Address) and address in _MAPPED:
        return address, IPv4Address(int(address) & 0xFFFF_FFFF)
    return address, *embedded(address)


def address_problem(
    address: Address, private_networks: Sequence[Network], rule_private: bool, own_addresses: Collection[Address]
) -> Problem | None:
    """Why ``address`` may not be dialled; None when it may.

    ``private_networks``: what the user has named in ``network.private``. ``rule_private``: the name comes from a rule whose hosts may
    have private addresses. Neither lifts metadata, link-local, multicast or unspecified addresses, ever.
    """
    if isinstance(address, IPv6Address) and address in _MAPPED:  # the kernel dials the IPv4 address, nothing else
        address = IPv4Address(int(address) & 0xFFFF_FFFF)
    for one in (*embedded(address), address):
        problem = class_of(one, own_addresses)
        if problem is not None and not _lifted(one, problem, private_networks, rule_private):
            return problem
    return None


def _lifted(address: Address, problem: Problem, private_networks: Sequence[Network], rule_private: bool) -> bool:
    if problem in LIFTABLE:
        return rule_private or any(address in network for network in private_networks)
    if problem == "loopback":
        return any(address in network and any(_inside(network, one) for one in _LOOPBACKS) for network in private_networks)
    if problem == "own":
        return any(network.num_addresses == 1 and address in network for network in private_networks)
    return False


def _inside(network: Network, other: Network) -> bool:
    return network.version == other.version and network.network_address in other and network.broadcast_address in other


def lifting_network(address: Address, problem: Problem) -> str | None:
    """What to write into ``network.private`` for this very address; None: nothing lifts the problem."""
    if problem not in LIFTABLE | NAMED_EXACTLY:
        return None
    return str(ip_network(address))


class BadNetwork(ValueError):
    """No network, or one that nothing can allow. The text is the whole reason."""


def parse_network(text: str) -> Network:
    """A network such as ``10.20.0.0/16``, or one address.

    Raises:
        BadNetwork: it is none; it is everything; or it lies where nothing may ever be dialled.
    """
    shown = ascii(text[:60])
    if not text.isascii() or "%" in text:
        raise BadNetwork(f"{shown} is not a network")
    try:
        network = ip_network(text.strip())
    except ValueError:
        raise BadNetwork(f"{shown} is not a network{_without_host_bits(text)}") from None
    if network.prefixlen == 0:
        raise BadNetwork(f"{shown} is every address; name the networks that are needed")
    problem = next((problem for special, problem in _SPECIAL if _inside(network, special)), None)
    if problem is not None and problem not in LIFTABLE | NAMED_EXACTLY:
        raise BadNetwork(f"{shown} can never be allowed: {REASONS[problem]}")
    return network


def _without_host_bits(text: str) -> str:
    try:
        return f", perhaps {ip_network(text.strip(), strict=False)}?"
    except ValueError:
        return "; write it as 10.20.0.0/16"
