"""One form for every host, and no text that two programs could read as two hosts."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.egress.hosts import BadHost, canonical_host, parse_authority, parse_port

LABEL_63 = "a" * 63
NAME_253 = ".".join([LABEL_63, LABEL_63, LABEL_63, "a" * 61])


@pytest.mark.parametrize(
    ("text", "name", "is_address"),
    [
        pytest.param("api.example.org", "api.example.org", False, id="name"),
        pytest.param("API.Example.ORG", "api.example.org", False, id="capitals"),
        pytest.param("example.org.", "example.org", False, id="one-dot-at-the-end"),
        pytest.param("localhost", "localhost", False, id="one-label"),
        pytest.param("a_b._tcp.example.org", "a_b._tcp.example.org", False, id="underscores"),
        pytest.param("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", False, id="encoded"),
        pytest.param("a--b.example", "a--b.example", False, id="two-hyphens-inside"),
        pytest.param("1.example", "1.example", False, id="number-first"),
        pytest.param("127.0.0.1.example", "127.0.0.1.example", False, id="address-first"),
        pytest.param("example.1e3", "example.1e3", False, id="no-number"),
        pytest.param("0x7f.example", "0x7f.example", False, id="hex-first"),
        pytest.param(LABEL_63 + ".example", LABEL_63 + ".example", False, id="longest-label"),
        pytest.param(NAME_253, NAME_253, False, id="longest"),
        pytest.param(NAME_253 + ".", NAME_253, False, id="longest-with-dot"),
        pytest.param("192.0.2.1", "192.0.2.1", True, id="ipv4"),
        pytest.param("192.0.2.1.", "192.0.2.1", True, id="ipv4-with-dot"),
        pytest.param("255.255.255.255", "255.255.255.255", True, id="ipv4-highest"),
        pytest.param("[2001:DB8:0:0:0:0:0:1]", "2001:db8::1", True, id="ipv6"),
        pytest.param("[2001:0db8::0001]", "2001:db8::1", True, id="ipv6-zeros"),
        pytest.param("[::1]", "::1", True, id="ipv6-loopback"),
        pytest.param("[64:ff9b::192.0.2.1]", "64:ff9b::c000:201", True, id="ipv6-with-ipv4-in-it"),
    ],
)
def test_one_form(text: str, name: str, is_address: bool) -> None:
    """Every spelling of a host gives the same name, and that gives itself."""
    host = canonical_host(text)
    assert (host.name, host.address is not None) == (name, is_address)
    assert canonical_host(host.text) == host
    assert host.with_port(443) == f"{host.text}:443"


# Beside each stands a near text that is a host.
@pytest.mark.parametrize(
    ("text", "reason", "near"),
    [
        pytest.param("", "empty", "a", id="empty"),
        pytest.param(".", "empty part", "a.", id="dot"),
        pytest.param("a..b", "empty part", "a.b", id="empty-label"),
        pytest.param(".example.org", "empty part", "example.org", id="dot-first"),
        pytest.param("example.org..", "empty part", "example.org.", id="two-dots-at-the-end"),
        pytest.param("evil.org\0.example.org", "NUL", "evil.org.example.org", id="nul"),
        pytest.param("evil.org%00.example.org", "percent", "evil.org.00.example.org", id="percent"),
        pytest.param("a%2eb", "percent", "a.2eb", id="encoded-dot"),
        pytest.param("user@example.org", "user name", "user.example.org", id="at"),
        pytest.param("example.org/x", "slash", "example.org", id="slash"),
        pytest.param("example.org\\x", "backslash", "example.org", id="backslash"),
        pytest.param("example.org?x", "question mark", "example.org", id="query"),
        pytest.param("example.org#x", "number sign", "example.org", id="fragment"),
        pytest.param("*.example.org", "asterisk", "x.example.org", id="wildcard"),
        pytest.param("example.org:443", "colon", "example.org", id="port"),
        pytest.param("::1", "colon", "[::1]", id="ipv6-without-brackets"),
        pytest.param(" example.org", "blank", "example.org", id="blank"),
        pytest.param("example.org\t", "blank", "example.org", id="tab"),
        pytest.param("example.org\r\nhost:x", "blank", "example.org", id="newline"),
        pytest.param("example\x7f.org", "control", "example.org", id="delete"),
        pytest.param("example\x1b.org", "control", "example.org", id="escape"),
        pytest.param("-oproxycommand.example", "begins or ends", "oproxycommand.example", id="hyphen-first"),
        pytest.param("a-.example", "begins or ends", "a.example", id="hyphen-last"),
        pytest.param("a!b.example", "character other", "ab.example", id="sign"),
        pytest.param("a" * 64 + ".example", "longer than 63", LABEL_63 + ".example", id="long-label"),
        pytest.param(NAME_253 + "a", "longer than 253", NAME_253, id="long"),
        pytest.param("a" * 5000, "longer than 253", "a" * 63, id="very-long"),
        # Other scripts. The encoder's form is a hint, never the decision.
        pytest.param("münchen.example", "write it as xn--mnchen-3ya.example", "xn--mnchen-3ya.example", id="umlaut"),
        pytest.param("example。org", "not ASCII", "example.org", id="ideographic-dot"),
        pytest.param("ｅxample.org", "not ASCII", "example.org", id="full-width"),
        pytest.param("example.org\u00ad", "not ASCII", "example.org", id="soft-hyphen"),
        pytest.param("\u212aelvin.example", "not ASCII", "kelvin.example", id="kelvin-sign"),
        pytest.param("１２７.0.0.1", "not ASCII", "127.0.0.1", id="full-width-digits"),
        pytest.param("\udcff.example", "not ASCII", "ff.example", id="surrogate"),
        # Addresses in other clothes: https://url.spec.whatwg.org/#concept-ipv4-parser reads all of these as addresses.
        pytest.param("2130706433", "ends in a number", "a2130706433", id="ipv4-decimal"),
        pytest.param("0x7f000001", "ends in a number", "x7f000001", id="ipv4-hex"),
        pytest.param("017700000001", "ends in a number", "o17700000001", id="ipv4-octal"),
        pytest.param("127.1", "ends in a number", "127.0.0.1", id="ipv4-short"),
        pytest.param("127.0.1", "ends in a number", "127.0.0.1", id="ipv4-three"),
        pytest.param("0177.0.0.1", "ends in a number", "177.0.0.1", id="ipv4-octal-part"),
        pytest.param("0x7f.0.0.1", "ends in a number", "127.0.0.1", id="ipv4-hex-part"),
        pytest.param("127.0.0.0x1", "ends in a number", "127.0.0.1", id="ipv4-hex-last"),
        pytest.param("127.0.0.01", "ends in a number", "127.0.0.1", id="ipv4-leading-zero"),
        pytest.param("256.0.0.1", "above 255", "255.0.0.1", id="ipv4-too-large"),
        pytest.param("1.2.3.4.5", "ends in a number", "1.2.3.4", id="ipv4-five"),
        pytest.param("example.123", "ends in a number", "123.example", id="number-last"),
        pytest.param("example.0x", "ends in a number", "0x.example", id="hex-last"),
        # IPv6.
        pytest.param("[fe80::1%eth0]", "zone", "[fe80::1]", id="zone"),
        pytest.param("[fe80::1%25eth0]", "zone", "[fe80::1]", id="encoded-zone"),
        pytest.param("[::1", "not closed", "[::1]", id="open-bracket"),
        pytest.param("[::1].", "not closed", "[::1]", id="bracket-and-dot"),
        pytest.param("[]", "no IPv6", "[::]", id="empty-brackets"),
        pytest.param("[", "not closed", "[::]", id="only-a-bracket"),
        pytest.param("[127.0.0.1]", "no IPv6", "127.0.0.1", id="ipv4-in-brackets"),
        pytest.param("[1::2::3]", "no IPv6", "[1::2:3]", id="two-gaps"),
        pytest.param("[12345::]", "no IPv6", "[1234::]", id="long-group"),
        pytest.param("[::ffff:127.0.0.1]", "IPv4 address in IPv6 form", "127.0.0.1", id="mapped"),
        pytest.param("[::ffff:7f00:1]", "IPv4 address in IPv6 form", "[::fffe:7f00:1]", id="mapped-hex"),
        pytest.param("[v1.x]", "no IPv6", "[::1]", id="future"),
        pytest.param("[ ::1]", "no IPv6", "[::1]", id="blank-in-brackets"),
    ],
)
def test_refused(text: str, reason: str, near: str) -> None:
    """What is no host, or has two readings, is refused with a reason that does not repeat it."""
    with pytest.raises(BadHost) as refused:
        canonical_host(text)
    assert reason in refused.value.reason
    assert refused.value.reason.isprintable()
    canonical_host(near)


@pytest.mark.parametrize(
    ("text", "default", "expected"),
    [
        pytest.param("Example.org:8443", None, ("example.org", 8443), id="port"),
        pytest.param("example.org", 443, ("example.org", 443), id="default"),
        pytest.param("[2001:db8::1]:443", None, ("2001:db8::1", 443), id="ipv6"),
        pytest.param("[2001:db8::1]", 80, ("2001:db8::1", 80), id="ipv6-default"),
        pytest.param("example.org.:1", None, ("example.org", 1), id="dot-and-port"),
        pytest.param("example.org:65535", None, ("example.org", 65535), id="highest"),
    ],
)
def test_authority(text: str, default: int | None, expected: tuple[str, int]) -> None:
    """Host and port of what stands in a CONNECT line or a Host header."""
    host, port = parse_authority(text, default)
    assert (host.name, port) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("example.org", "port is missing", id="none"),
        pytest.param("example.org:", "port is not", id="empty"),
        pytest.param("example.org:0", "port is not", id="zero"),
        pytest.param("example.org:65536", "port is not", id="too-large"),
        pytest.param("example.org:0443", "port is not", id="leading-zero"),
        pytest.param("example.org:+443", "port is not", id="plus"),
        pytest.param("example.org:-1", "port is not", id="minus"),
        pytest.param("example.org:4_4", "port is not", id="underscore"),
        pytest.param("example.org:0x1bb", "port is not", id="hex"),
        pytest.param("example.org: 443", "port is not", id="blank"),
        pytest.param("example.org:443\n", "port is not", id="newline"),
        pytest.param("example.org:４４３", "port is not", id="full-width"),
        pytest.param("example.org:443:443", "port is not", id="two"),
        pytest.param("example.org:443@evil.org:443", "user name", id="user"),
        pytest.param("evil.org@example.org:443", "user name", id="user-first"),
        pytest.param(":443", "empty", id="no-host"),
        pytest.param("[::1]443", "follows the bracket", id="after-bracket"),
        pytest.param("[::1].evil.org:443", "follows the bracket", id="name-after-bracket"),
        pytest.param("::1:443", "empty", id="no-brackets"),
    ],
)
def test_refused_authority(text: str, reason: str) -> None:
    """A port is strict, and nothing may hide before or behind the host."""
    with pytest.raises(BadHost, match=reason):
        parse_authority(text, None)
    assert parse_authority("example.org:443", None)[1] == parse_port("443")


HOSTILE = st.text(st.sampled_from("aZ0179.:-_%@/[]x*\0 \n\\ü\u3002f"), max_size=40) | st.text(max_size=300)


@settings(max_examples=400)
@given(HOSTILE)
@example("xn--")
@example("ß" * 250)
def test_any_text(text: str) -> None:
    """Every text is a host in its one form, or refused: nothing else happens."""
    try:
        host = canonical_host(text)
    except BadHost:
        return
    assert canonical_host(host.text) == host
    assert canonical_host(text.upper()) == host
    assert host.name == host.name.lower()
    assert len(host.name) <= 253
    assert host.address is not None or set(host.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")


@settings(max_examples=200)
@given(HOSTILE, st.none() | st.just(443))
def test_any_authority(text: str, default: int | None) -> None:
    """Likewise host and port; and what was read is what is written back."""
    try:
        host, port = parse_authority(text, default)
    except BadHost:
        return
    assert parse_authority(host.with_port(port), None) == (host, port)


@settings(max_examples=100)
@given(st.ip_addresses(v=6))
def test_every_address_has_one_form(address: object) -> None:
    """Long and short forms of an IPv6 address are one host."""
    exploded, short = f"[{address.exploded}]", f"[{address}]"  # type: ignore[attr-defined]
    try:
        assert canonical_host(exploded) == canonical_host(short)
    except BadHost as refused:
        assert "IPv4 address in IPv6 form" in refused.reason  # noqa: PT017
