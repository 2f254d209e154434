"""Only global unicast is dialled, whatever form an address takes."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.egress.addresses import (
    LIFTABLE,
    NAMED_EXACTLY,
    REASONS,
    BadNetwork,
    Problem,
    address_problem,
    lifting_network,
    parse_network,
)

OWN = frozenset(map(ip_address, ("192.168.7.7", "93.184.215.77", "2606:2800:21f::77", "fe80::77", "127.0.0.1")))

# class, an address of it, and the nearest one that may be dialled
ROWS: list[tuple[Problem, str, str]] = [
    ("metadata", "169.254.169.254", "169.253.169.254"),
    ("metadata", "169.254.170.2", "169.255.170.2"),
    ("metadata", "100.100.100.200", "100.128.100.200"),
    ("metadata", "168.63.129.16", "168.63.129.17"),
    ("metadata", "192.0.0.192", "192.0.1.192"),
    ("metadata", "fd00:ec2::254", "2600:ec2::254"),
    ("metadata", "fd20:ce::254", "2620:ce::254"),
    ("metadata", "fd00:c1::a9fe:a9fe", "2600:c1::1"),
    ("loopback", "127.0.0.1", "128.0.0.1"),
    ("loopback", "127.255.255.254", "126.255.255.254"),
    ("loopback", "::1", "2000::1"),
    ("unspecified", "0.0.0.0", "1.0.0.0"),
    ("unspecified", "0.255.0.1", "1.255.0.1"),
    ("unspecified", "::", "2000::"),
    ("link-local", "169.254.0.1", "169.253.255.255"),
    ("link-local", "169.254.255.255", "169.255.0.0"),
    ("link-local", "fe80::1", "2a80::1"),
    ("link-local", "febf::1", "2abf::1"),
    ("site-local", "fec0::1", "2ec0::1"),
    ("multicast", "224.0.0.1", "223.255.255.255"),
    ("multicast", "239.255.255.255", "223.255.255.254"),
    ("multicast", "ff02::1", "2f02::1"),
    ("private", "10.0.0.1", "11.0.0.1"),
    ("private", "10.255.255.255", "9.255.255.255"),
    ("private", "172.16.0.1", "172.15.255.255"),
    ("private", "172.31.255.255", "172.32.0.0"),
    ("private", "192.168.0.1", "192.167.255.255"),
    ("private", "fc00::1", "2c00::1"),
    ("private", "fdff::1", "2dff::1"),
    ("shared", "100.64.0.1", "100.63.255.255"),
    ("shared", "100.127.255.255", "100.128.0.0"),
    ("documentation", "192.0.2.1", "192.0.3.1"),
    ("documentation", "198.51.100.1", "198.51.101.1"),
    ("documentation", "203.0.113.80", "203.0.114.80"),
    ("documentation", "2001:db8::1", "2001:db7::1"),
    ("documentation", "3fff::1", "3ffe::1"),
    ("benchmark", "198.18.0.1", "198.17.255.255"),
    ("benchmark", "198.19.255.255", "198.20.0.0"),
    ("benchmark", "2001:2::1", "2001:200::1"),
    ("reserved", "192.0.0.1", "192.0.1.1"),
    ("reserved", "192.88.99.1", "192.88.98.1"),
    ("reserved", "240.0.0.1", "223.0.0.1"),
    ("reserved", "255.255.255.255", "223.255.255.255"),
    ("reserved", "100::1", "2100::1"),
    ("reserved", "4000::1", "3ff0::1"),
    ("reserved", "5f00::1", "2f00::1"),
    ("reserved", "2001:10::1", "2001:210::1"),
    # IPv4 inside IPv6: what is hidden counts.
    ("loopback", "::ffff:127.0.0.1", "::ffff:128.0.0.1"),
    ("private", "::ffff:10.0.0.1", "::ffff:11.0.0.1"),
    ("metadata", "::ffff:169.254.169.254", "::ffff:169.253.169.254"),
    ("loopback", "::127.0.0.1", "2000::127.0.0.1"),
    ("reserved", "::8.8.8.8", "2000::8.8.8.8"),
    ("loopback", "64:ff9b::127.0.0.1", "64:ff9b::128.0.0.1"),
    ("private", "64:ff9b::10.0.0.1", "64:ff9b::11.0.0.1"),
    ("metadata", "64:ff9b::169.254.169.254", "64:ff9b::8.8.8.8"),
    ("loopback", "64:ff9b:1::127.0.0.1", "64:ff9b::8.8.4.4"),
    ("reserved", "64:ff9b:1::8.8.8.8", "64:ff9b::8.8.8.8"),
    ("reserved", "64:ff9b:0:1::8.8.8.8", "64:ff9b::8.8.8.8"),
    ("loopback", "2002:7f00:1::", "2003:7f00:1::"),
    ("metadata", "2002:a9fe:a9fe::1", "2003:a9fe:a9fe::1"),
    ("reserved", "2002:808:808::1", "2003:808:808::1"),
    ("loopback", "2001:0:7f00:1::f7f7:f7f7", "2001:200:7f00:1::f7f7:f7f7"),
    ("loopback", "2001:0:808:808::80ff:fffe", "2001:200:808:808::80ff:fffe"),
    ("reserved", "2001:0:808:808::f7f7:f7f7", "2001:200:808:808::f7f7:f7f7"),
    ("private", "2a00:1450::5efe:10.0.0.1", "2a00:1450::5efe:8.8.8.8"),
    ("loopback", "2a00:1450::200:5efe:127.0.0.1", "2a00:1450::200:5eff:127.0.0.1"),
    # This machine's own.
    ("own", "93.184.215.77", "93.184.215.78"),
    ("own", "192.168.7.7", "93.184.215.76"),
    ("own", "2606:2800:21f::77", "2606:2800:21f::78"),
    ("own", "::ffff:93.184.215.77", "::ffff:93.184.215.78"),
    ("own", "64:ff9b::93.184.215.77", "64:ff9b::93.184.215.78"),
    ("link-local", "fe80::77", "2a80::77"),
]


@pytest.mark.parametrize(("problem", "address", "near"), [pytest.param(*row, id=row[1]) for row in ROWS])
def test_refused(problem: str, address: str, near: str) -> None:
    """Each class is refused with its name, and the nearest address outside of it is dialled."""
    assert address_problem(ip_address(address), (), False, OWN) == problem
    assert address_problem(ip_address(near), (), False, OWN) is None


@pytest.mark.parametrize(("problem", "address", "near"), [pytest.param(*row, id=row[1]) for row in ROWS])
def test_what_a_private_rule_lifts(problem: Problem, address: str, near: str) -> None:
    """A rule for hosts with private addresses lifts the four classes that companies use, and nothing else."""
    lifted = address_problem(ip_address(address), (), True, OWN) is None
    assert lifted == (problem in LIFTABLE)


@pytest.mark.parametrize(("problem", "address", "near"), [pytest.param(*row, id=row[1]) for row in ROWS])
def test_what_everything_named_lifts(problem: Problem, address: str, near: str) -> None:
    """Wide networks that the user names lift no more than that: no loopback, no address of this machine."""
    everything = tuple(parse_network(text) for text in ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"))
    assert (address_problem(ip_address(address), everything, False, OWN) is None) == (problem in LIFTABLE)


@pytest.mark.parametrize(
    ("network", "address", "expected"),
    [
        pytest.param("10.1.0.0/16", "10.1.2.3", None, id="private"),
        pytest.param("10.1.0.0/16", "10.2.2.3", "private", id="private-beside"),
        pytest.param("10.1.0.0/16", "::ffff:10.1.2.3", None, id="mapped"),
        pytest.param("10.1.0.0/16", "64:ff9b::10.1.2.3", None, id="nat64"),
        pytest.param("10.1.0.0/16", "2002:a01:203::1", "reserved", id="6to4-stays"),
        pytest.param("fd12::/16", "fd12::1", None, id="private-ipv6"),
        pytest.param("127.0.0.1/32", "127.0.0.1", None, id="loopback-by-name"),
        pytest.param("127.0.0.0/8", "127.9.9.9", None, id="loopback-network"),
        pytest.param("127.0.0.1", "127.0.0.2", "loopback", id="loopback-beside"),
        pytest.param("126.0.0.0/7", "127.0.0.1", "loopback", id="loopback-in-a-wider-one"),
        pytest.param("::1/128", "::1", None, id="loopback-ipv6"),
        pytest.param("::1/128", "127.0.0.1", "loopback", id="loopback-other-family"),
        pytest.param("192.168.7.7/32", "192.168.7.7", None, id="own-by-name"),
        pytest.param("192.168.7.0/24", "192.168.7.7", "own", id="own-in-a-network"),
        pytest.param("192.168.7.0/24", "192.168.7.8", None, id="neighbour"),
        pytest.param("93.184.215.77", "93.184.215.77", None, id="own-public-by-name"),
    ],
)
def test_named_networks(network: str, address: str, expected: str | None) -> None:
    """A network lifts what lies in it; this machine itself only where nothing else is named."""
    assert address_problem(ip_address(address), (parse_network(network),), False, OWN) == expected


@pytest.mark.parametrize(
    ("text", "reason", "near"),
    [
        pytest.param("0.0.0.0/0", "every address", "10.0.0.0/8", id="everything"),
        pytest.param("::/0", "every address", "fd00::/8", id="everything-ipv6"),
        pytest.param("10.0.0.1/8", "perhaps 10.0.0.0/8?", "10.0.0.0/8", id="host-bits"),
        pytest.param("10.0.0.0/33", "not a network", "10.0.0.0/32", id="prefix"),
        pytest.param("10.0/16", "not a network", "10.0.0.0/16", id="short"),
        pytest.param("example.org", "not a network", "10.1.2.3", id="name"),
        pytest.param("fe80::1%eth0", "not a network", "fd80::1", id="zone"),
        pytest.param("१0.0.0.0/8", "not a network", "10.0.0.0/8", id="other-digits"),
        pytest.param("169.254.169.254", "never be allowed: the address of a cloud's", "169.0.0.1", id="metadata"),
        pytest.param("169.254.0.0/16", "never be allowed: a link-local", "169.0.0.0/16", id="link-local"),
        pytest.param("fe80::/64", "never be allowed: a link-local", "fd80::/64", id="link-local-ipv6"),
        pytest.param("224.0.0.0/4", "never be allowed: a multicast", "10.0.0.0/16", id="multicast"),
        pytest.param("0.0.0.0", "never be allowed: an unspecified", "10.0.0.0", id="unspecified"),
    ],
)
def test_networks_that_make_no_sense(text: str, reason: str, near: str) -> None:
    """An entry that could not work is refused when it is read."""
    with pytest.raises(BadNetwork, match=reason):
        parse_network(text)
    assert str(parse_network(near)).startswith(near.partition("/")[0])


def test_every_class_has_words() -> None:
    """And what can be named is told."""
    assert set(REASONS) == {row[0] for row in ROWS}
    for problem in REASONS:
        named = lifting_network(IPv4Address("10.1.2.3"), problem)
        assert named == ("10.1.2.3/32" if problem in LIFTABLE | NAMED_EXACTLY else None)
    assert lifting_network(IPv6Address("fd12::1"), "private") == "fd12::1/128"


NUMBERS = st.integers(0, 2**32 - 1)


@settings(max_examples=300)
@given(NUMBERS, st.sampled_from([0xFFFF << 32, 0x64FF9B << 96]), st.booleans())
def test_an_address_in_disguise_is_judged_like_itself(number: int, prefix: int, private: bool) -> None:
    """IPv4-mapped and NAT64 forms of an address have the very problem of the address."""
    plain = address_problem(IPv4Address(number), (), private, OWN)
    assert address_problem(IPv6Address(prefix | number), (), private, OWN) == plain


@settings(max_examples=300)
@given(NUMBERS, st.integers(0, 2**64 - 1))
def test_no_disguise_helps(number: int, low: int) -> None:
    """6to4 and Teredo lead nowhere, whatever they hide."""
    assert address_problem(IPv6Address(0x2002 << 112 | number << 80 | low), (), True, OWN) is not None
    assert address_problem(IPv6Address(0x20010000 << 96 | number << 64 | low), (), True, OWN) is not None


@settings(max_examples=300)
@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_python_agrees(address: IPv4Address | IPv6Address) -> None:
    """What Python does not call global is never dialled; the table only refuses more."""
    if not address.is_global or address.is_multicast:
        assert address_problem(address, (), False, OWN) is not None
