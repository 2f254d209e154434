"""Addresses of the web as clients' files have them, to rows of an allow list. Pure. No part of an address but its host is repeated."""

import re

from orchestrator.egress.hosts import BadHost, Host, parse_authority
from orchestrator.egress.rules import DEFAULT_PORTS
from orchestrator.model.network import NetRule
from orchestrator.presets.side import Setting

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
_AUTHORITY = re.compile(r"//([^/?#\\]*)(.*)", re.DOTALL)


class BadUrl(ValueError):
    """An address that no row can be made of. The text says what it is and the way out."""


def rule_of(setting: Setting, preset: str) -> NetRule:
    """The row that lets a client reach ``setting``; its host may have a private address, as those of companies do.

    Raises:
        BadUrl: it is no http(s) address, lies on this machine, or cannot be read in one way.
    """
    host, port = host_and_port(setting)
    return NetRule(host.name, (port,), (), None, False, True, f"preset {preset}: {setting.where}")


def host_and_port(setting: Setting) -> tuple[Host, int]:
    """Raises:
    BadUrl: as for ``rule_of``.
    """
    where, url = setting.where, setting.url.strip()
    scheme = _scheme(url)
    if scheme in ("", "file", "copy", "cdrom"):
        raise BadUrl(f"{where} is a file or folder of this machine; to let the environment read it, name its folder in sandbox.expose")
    if scheme not in DEFAULT_PORTS:
        raise BadUrl(f"{where} is neither an http nor an https address; a host that it needs goes into network.allow, as tcp://HOST:PORT")
    found = _AUTHORITY.match(url[len(scheme) + 1 :])
    user, _, authority = found[1].rpartition("@") if found else ("", "", "")
    # `https://user:pa/ss@host`: what looks like the host is not. And readers differ on brackets before an '@' and on backslashes.
    if not found or ("@" in found[2] and not user) or "[" in user or "]" in user or "\\" in url:
        raise BadUrl(f"{where} cannot be read in one way; write special characters of passwords and paths as %XX")
    try:
        host, port = parse_authority(authority, DEFAULT_PORTS[scheme])
    except BadHost as problem:
        raise BadUrl(f"{where} names no host: {problem.reason}; name the host in network.allow") from None
    if _is_this_machine(host):
        raise BadUrl(
            f"{where} lies on this machine ({host.with_port(port)}), which the environment cannot reach;"
            f" to let it, add {host.with_port(port)} to network.allow and its address to network.private"
        )
    return host, port


def _scheme(url: str) -> str:
    """In lower case; empty for a path."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def _is_this_machine(host: Host) -> bool:
    if host.address is not None:
        return host.address.is_loopback or host.address.is_unspecified
    return host.name == "localhost" or host.name.endswith(".localhost")
