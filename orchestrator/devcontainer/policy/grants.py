"""The words with which somebody allows what dev containers may not have by themselves. Pure.

``cap:SYS_PTRACE``, ``mount:/home/me/data``, ``privileged``...: from ``--grant`` or the user's configuration, never from a repository.
"""

import ipaddress
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from orchestrator.config.node import Node, shown
from orchestrator.config.values import BadValue, nearest, one_line
from orchestrator.errors import UsageError

EVERYTHING = "everything"
PLAIN = ("privileged", "initializeCommand", "gpu", "docker-socket", EVERYTHING)

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_CAPABILITY = re.compile(r"[A-Z][A-Z0-9_]{0,40}", re.ASCII)
_OPTION = re.compile(r"--[a-z0-9][a-z0-9-]{0,60}", re.ASCII)
_COMPOSE_KEY = re.compile(r"[A-Za-z0-9_.-]{1,120}", re.ASCII)
_ENVIRONMENT = re.compile(r"[^=:}\x00-\x20]{1,200}")
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", re.ASCII)
_PORT = re.compile(r"(?P<address>\[?[0-9A-Fa-f:.]+\]?):(?P<first>[0-9]{1,5})(-(?P<last>[0-9]{1,5}))?", re.ASCII)


# --- the value behind the colon: each reader gives its one spelling, or None ----------------------------------------------------


def capability(text: str) -> str | None:
    """As the engine reads it: case does not matter, ``CAP_`` in front may be left out."""
    name = text.upper().removeprefix("CAP_")
    return name if _CAPABILITY.fullmatch(name) else None


def clean_path(text: str) -> str | None:
    """An absolute path without ``.``, ``..``, doubled slashes and one at the end; None if it is none."""
    if not text.startswith("/") or _CONTROL.search(text):
        return None
    return "/" + posixpath.normpath(text).lstrip("/")


def security_option(text: str) -> str | None:
    """``seccomp=unconfined``; engines also take a colon there."""
    if not text or _CONTROL.search(text):
        return None
    return text if "=" in text else text.replace(":", "=", 1)


def published(text: str) -> str | None:
    """``ADDRESS:HOSTPORT``, or ``ADDRESS:FIRST-LAST``; port 0 is one that the engine chooses."""
    match = _PORT.fullmatch(text)
    if match is None:
        return None
    try:
        address = ipaddress.ip_address(match["address"].strip("[]"))
    except ValueError:
        return None
    ports = [int(one) for one in (match["first"], match["last"]) if one is not None]
    return f"{address}:{'-'.join(map(str, dict.fromkeys(ports)))}" if max(ports) <= 65535 else None


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    return lambda text: text if pattern.fullmatch(text) else None


def _any_text(text: str) -> str | None:
    return text if text and len(text) <= 300 and not _CONTROL.search(text) else None


def _device(text: str) -> str | None:
    """A path, or the name of a device of a vendor (``vendor.com/class=name``)."""
    return clean_path(text) if text.startswith("/") else _any_text(text)


KINDS: Mapping[str, Callable[[str], str | None]] = {
    "cap": capability,
    "device": _device,
    "mount": clean_path,
    "volume": _matching(_VOLUME),
    "security-opt": security_option,
    "network": _any_text,
    "pid": _any_text,
    "ipc": _any_text,
    "uts": _any_text,
    "userns": _any_text,
    "cgroupns": _any_text,
    "port": published,
    "run-arg": _matching(_OPTION),
    "build-option": _matching(_OPTION),
    "compose": _matching(_COMPOSE_KEY),
    "localEnv": _matching(_ENVIRONMENT),
}
_EXAMPLES: Mapping[str, str] = {
    "cap": "cap:SYS_PTRACE", "device": "device:/dev/kvm", "mount": "mount:/home/me/data", "volume": "volume:cache",
    "security-opt": "security-opt:seccomp=unconfined", "network": "network:host", "pid": "pid:host", "ipc": "ipc:host",
    "uts": "uts:host", "userns": "userns:host", "cgroupns": "cgroupns:host", "port": "port:0.0.0.0:8080",
    "run-arg": "run-arg:--sysctl", "build-option": "build-option:--secret", "compose": "compose:runtime", "localEnv": "localEnv:NAME",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grants:
    """``words``: in their one spelling, see ``canonical``."""

    words: frozenset[str] = frozenset()

    @classmethod
    def of(cls, words: Iterable[str]) -> "Grants":
        """The grants that ``words`` give.

        Raises:
            UsageError: one is malformed, or of no known kind; with the nearest one.
        """
        return cls(frozenset(canonical(word) for word in words))

    def allows(self, word: str) -> bool:
        """Whether ``word`` was granted: itself, a folder above it (``mount``), all capabilities (``cap:ALL``), or everything.

        A word that is malformed is not allowed by anything but ``everything``.
        """
        if EVERYTHING in self.words:
            return True
        try:
            asked = canonical(word)
        except UsageError:
            return False
        kind, _, value = asked.partition(":")
        if kind == "mount":
            return any(f"mount:{one}" in self.words for one in _with_parents(value))
        return asked in self.words or (kind == "cap" and "cap:ALL" in self.words)


NONE = Grants()


def canonical(word: str) -> str:
    """The one spelling of a grant.

    Raises:
        UsageError: it is malformed, or of no known kind; with the nearest one.
    """
    if word in PLAIN:
        return word
    kind, colon, value = word.partition(":")
    if kind not in KINDS or not colon:
        lists = ", ".join((*PLAIN, *_EXAMPLES.values()))
        lacks = f"the grant {shown(word)} lacks a value, such as {_EXAMPLES[kind]!r}" if kind in KINDS else ""
        near = nearest(kind, (*PLAIN, *KINDS))
        raise UsageError(lacks or f"unknown grant {shown(word)}{near}", remedy=f"grants are {lists}")
    found = KINDS[kind](value)
    if found is None:
        raise UsageError(f"the grant {shown(word)} has a value that is none", remedy=f"write it as {_EXAMPLES[kind]}")
    return f"{kind}:{found}"


def parse_grant(node: Node) -> str:
    """One item of the key ``devcontainer.grants``: a ``values.Parser``."""
    try:
        return canonical(one_line(node, "a grant"))
    except UsageError as problem:
        raise BadValue(problem.message, problem.remedy) from problem


def _with_parents(path: str) -> Iterable[str]:
    while path != "/":
        yield path
        path = posixpath.dirname(path)
    yield "/"
