"""Hosts: one form for each, and the form means the same to the C library and to Python's reader of URLs."""

import ipaddress
import socket
from urllib.parse import urlsplit

from orchestrator.egress.hosts import BadHost, Host, canonical_host, parse_authority

SEEDS = (
    b"example.org", b"API.Example.org.:443", b"[2001:db8::1]:443", b"[::ffff:127.0.0.1]", b"127.0.0.1:80", b"0x7f.1", b"127.1",
    b"2130706433", b"a_b.example", b"xn--mnchen-3ya.example:8443", "münchen.example".encode(), b"u:p@example.org",
    b"evil.org\0.example.org", b"[fe80::1%25eth0]",
)  # fmt: skip
WORDS = (b"[", b"]", b"::", b"ffff:", b"0x", b"0177", b"127.0.0.1", b"%25", b"@", b"xn--", b".", b":443", b"\0", "。".encode(), b"169.254")


def one_input(data: bytes) -> None:
    for text in (data.decode("latin-1"), data.decode("utf-8", "surrogateescape")):
        check_host(text)
        check_authority(text)


def check_host(text: str) -> None:
    try:
        host = canonical_host(text)
    except BadHost as refused:
        is_one_line(refused.reason)
        return
    check_form(host)
    assert canonical_host(text.upper()) == canonical_host(text.lower()) == host


def is_one_line(text: str) -> None:
    assert text.isprintable()


def check_form(host: Host) -> None:
    assert canonical_host(host.text) == host
    assert len(host.name) <= 253
    assert host.name == host.name.lower()
    assert host.name.isascii()
    if host.address is None:
        assert set(host.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
        assert all(label and len(label) <= 63 and label[0] != "-" != label[-1] for label in host.name.split("."))
        assert not is_address(host.name), "the C library takes the name for an address"
    else:
        assert ipaddress.ip_address(host.name) == host.address
        if host.address.version == 4:
            assert socket.inet_aton(host.name) == host.address.packed


def is_address(name: str) -> bool:
    try:
        socket.inet_aton(name)
    except OSError:
        return False
    return True


def check_authority(text: str) -> None:
    for default in (None, 443):
        try:
            host, port = parse_authority(text, default)
        except BadHost as refused:
            is_one_line(refused.reason)
            continue
        check_form(host)
        assert 1 <= port <= 65535
        assert parse_authority(host.with_port(port), None) == (host, port)
        split = urlsplit(f"https://{text}/path")
        assert split.path == "/path"
        assert split.username is None
        assert split.port in (port, None)
        seen = str(split.hostname)
        assert canonical_host(f"[{seen}]" if ":" in seen else seen) == host
