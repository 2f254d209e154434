"""Host names and ports, brought into one form once. Whatever has two readings is refused.

Programs disagree on what `0x7f.1`, `127.1`, `host%00.example.org` or a full-width dot mean; a list of names is worth nothing when
the one who judges and the one who connects may read a name differently. Rules: RFC 1123 and RFC 952 names (and the underscore that
real names have), addresses as RFC 4291 and the URL standard's "ends in a number" test have them (https://url.spec.whatwg.org/#host-parsing).
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

Address = IPv4Address | IPv6Address

MAX_NAME_OCTETS = 253
MAX_LABEL_OCTETS = 63

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_DOTTED = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_IPV6_CHARACTERS = frozenset("0123456789abcdef:.")
_IPV4_IN_IPV6 = ip_network("::ffff:0:0/96")

# Each is named in the message: they are what attempts to be read in two ways are made of.
_NAMED_CHARACTERS = {
    "\0": "a NUL character",
    "%": "a percent sign",
    "@": "a user name or password",
    "/": "a slash",
    "\\": "a backslash",
    "?": "a question mark",
    "#": "a number sign",
    ":": "a colon",
    "*": "an asterisk",
    "[": "a bracket",
    "]": "a bracket",
}


class BadHost(ValueError):
    """No host, or one that could be read in two ways. ``reason`` says which; it never repeats the text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Host:
    """A host in its one form: ``name`` is lower case, without a dot at the end; an address is in its shortest form, without brackets.

    ``address``: None for a name, which is yet to be resolved.
    """

    name: str
    address: Address | None = None

    @property
    def text(self) -> str:
        """As URLs and ``Host`` headers have it: IPv6 in brackets. ``canonical_host`` reads it back."""
        return f"[{self.name}]" if isinstance(self.address, IPv6Address) else self.name

    def with_port(self, port: int) -> str:
        return f"{self.text}:{port}"


def canonical_host(text: str) -> Host:
    """The one form of a host as URLs write it (IPv6 in brackets).

    Raises:
        BadHost: it is none, or programs could disagree on what it means.
    """
    if not text:
        raise BadHost("the host is empty")
    if len(text) > MAX_NAME_OCTETS + 1:
        raise BadHost(f"the host is longer than {MAX_NAME_OCTETS} characters")
    if not text.isascii():
        raise BadHost("the host holds characters that are not ASCII" + _ascii_form(text))
    text = text.lower()
    if text.startswith("["):
        return _bracketed(text)
    name = text.removesuffix(".")
    if problem := _name_problem(name):
        raise BadHost(problem)
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _dotted(name)
    return Host(name)


def parse_port(text: str) -> int:
    """A port from 1 to 65535 in plain decimal.

    Raises:
        BadHost: it is none.
    """
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise BadHost("the port is not a decimal number from 1 to 65535")
    return int(text)


def parse_authority(text: str, default_port: int | None) -> tuple[Host, int]:
    """Host and port of ``host:port``; ``default_port`` where none is written, None: it has to be.

    Raises:
        BadHost: the host or the port is none; or there is a user name.
    """
    if "@" in text:  # before anything is cut off: `a:b@c` has two readings
        raise BadHost(f"the host holds {_NAMED_CHARACTERS['@']}")
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        host, colon, port = host + bracket, rest[:1], rest[1:]
        if colon not in ("", ":"):
            raise BadHost("something other than a port follows the bracket")
    else:
        host, colon, port = text.partition(":")
    if colon:
        return canonical_host(host), parse_port(port)
    if default_port is None:
        raise BadHost("the port is missing")
    return canonical_host(host), default_port


def _name_problem(name: str) -> str | None:
    """Why a lower-case text is no name; None when it is one (or a dotted address)."""
    for char in name:
        if char in _NAMED_CHARACTERS:
            return f"the host holds {_NAMED_CHARACTERS[char]}"
        if char.isspace():
            return "the host holds a blank"
        if not char.isprintable():
            return "the host holds a control character"
    if len(name) > MAX_NAME_OCTETS:
        return f"the host is longer than {MAX_NAME_OCTETS} characters"
    for label in name.split("."):
        if not label:
            return "the host has an empty part between dots"
        if len(label) > MAX_LABEL_OCTETS:
            return f"a part of the host is longer than {MAX_LABEL_OCTETS} characters"
        if not _LABEL.fullmatch(label):
            return "the host holds a character other than letters, digits, '-' and '_', or a part begins or ends with '-'"
    return None


def _dotted(name: str) -> Host:
    """An IPv4 address of four plain decimal numbers; other ways to write one mean different addresses to different programs."""
    if not _DOTTED.fullmatch(name):
        raise BadHost("the host ends in a number and is not an IPv4 address of four decimal numbers")
    try:
        return Host(name, IPv4Address(name))
    except ValueError:
        raise BadHost("the host is not an IPv4 address: a number is above 255") from None


def _bracketed(text: str) -> Host:
    inner = text[1:-1]
    if not text.endswith("]"):
        raise BadHost("the bracket of the IPv6 address is not closed at the end")
    if "%" in inner:
        raise BadHost("the IPv6 address has a zone")
    if not _IPV6_CHARACTERS.issuperset(inner):
        raise BadHost("the brackets hold no IPv6 address")
    try:
        address = IPv6Address(inner)
    except ValueError:
        raise BadHost("the brackets hold no IPv6 address") from None
    if address in _IPV4_IN_IPV6:  # a second way to write the same address would pass a list that names the first
        raise BadHost("the brackets hold an IPv4 address in IPv6 form; write it as four decimal numbers")
    return Host(str(address), address)


def _ascii_form(text: str) -> str:
    """``; write it as xn--...`` where Python's encoder knows one. Only a hint: encoders disagree, so none of them decides."""
    try:
        name = text.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return ""
    return f"; write it as {name}" if "xn--" in name and _name_problem(name) is None else ""
