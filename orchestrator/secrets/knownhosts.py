"""By which keys the user knows a host: ``known_hosts`` files as sshd(8) describes them. Pure."""

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable

FILES = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
SSH_PORT = 22


def host_keys(texts: Iterable[str], host: str, port: int = SSH_PORT) -> tuple[bytes, ...]:
    """The keys of ``host`` (canonical) in the contents of such files, as ssh writes keys.

    Keys that any line revokes are left out. Authorities (``@cert-authority``) are no host's keys, so they are passed over.
    """
    name = host if port == SSH_PORT else f"[{host}]:{port}"
    known: dict[bytes, None] = {}
    revoked: set[bytes] = set()
    for line in (line for text in texts for line in text.splitlines()):
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or not _matches(words[0], name):
            continue
        key = _key(words[1], words[2])
        if key and marker == "@revoked":
            revoked.add(key)
        elif key and not marker:
            known[key] = None
    return tuple(key for key in known if key not in revoked)


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|1|"):
        return _hash_matches(patterns, name)
    listed = patterns.lower().split(",")
    if any(pattern.startswith("!") and _like(pattern[1:], name) for pattern in listed):
        return False
    return any(_like(pattern, name) for pattern in listed if not pattern.startswith("!"))


def _like(pattern: str, name: str) -> bool:
    """``*`` and ``?`` as ssh has them; brackets stand for themselves."""
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def _hash_matches(hashed: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hashed[3:].split("|"))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode("ascii", "replace"), hashlib.sha1), digest)


def _key(kind: str, text: str) -> bytes | None:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    head = len(kind).to_bytes(4, "big") + kind.encode("ascii", "replace")
    return key if key.startswith(head) else None
