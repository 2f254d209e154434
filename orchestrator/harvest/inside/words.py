"""Names and paths as bytes of a stranger's: shown, checked, and made safe for git and for file systems. Pure."""

import hashlib
import re
from collections.abc import Iterable


class Trouble(Exception):
    """One step failed; the text becomes a note."""


def plain_name(text: str) -> str:
    """A name or address that cannot end its field in a commit header."""
    return re.sub(r"[<>\x00-\x1f\x7f]", "", text).strip() or "aienv"


def show(raw: bytes) -> str:
    """Bytes as one printable line: valid UTF-8 stays, control characters, backslashes and other bytes become escapes. Reversible."""
    out = []
    for char in raw.decode("utf-8", "surrogateescape"):
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char == "\\":
            out.append("\\\\")
        elif char.isprintable():
            out.append(char)
        else:
            out.append(f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return "".join(out)


def safe_ref(raw: bytes) -> str:
    """A ref name that every program and file system takes: ``[A-Za-z0-9._/-]``, all else as ``%XX``; long parts end in a digest."""
    return "/".join(_safe_part(part) for part in raw.split(b"/") if part)[:900].rstrip("/.") or "%"


def _safe_part(part: bytes) -> str:
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    out = "".join(
        chr(c) if c in plain or (c == 46 and 0 < i < len(part) - 1 and part[i + 1] != 46) else f"%{c:02X}" for i, c in enumerate(part)
    )
    if out.endswith(".lock"):
        out = out[:-5] + "%2Elock"
    return out if len(out) <= 180 else out[:120].rstrip("%.") + "-" + hashlib.sha256(part).hexdigest()[:24]


def group_of(name: bytes) -> str:
    """``refs/heads/x`` -> ``heads/x``; refs that are neither branch nor tag go below ``other``."""
    rest = name[len(b"refs/") :]
    return safe_ref(rest) if rest.startswith((b"heads/", b"tags/")) else "other/" + safe_ref(rest)


def unique(name: str, taken: set[str], folders: set[str]) -> str:
    """``name``, changed until it neither equals nor encloses nor lies below a name that was given out before."""
    group, _, rest = name.partition("/")
    number = 1
    while name in taken or name in folders or not taken.isdisjoint(folders_of(name)):
        number += 1
        name = f"{group}/{rest.replace('/', '%2F')}-{number}"
    taken.add(name)
    folders.update(folders_of(name))
    return name


def folders_of(name: str) -> list[str]:
    return [name[:cut] for cut in range(len(name)) if name[cut] == "/"]


# Characters that HFS+ leaves out when it compares names; git refuses ``.g<one of them>it`` in trees.
_HFS_UNSEEN = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_NTFS_DOTGIT = re.compile(rb"(?:\.git|git~1)[ .]*(?:$|[\\:])", re.IGNORECASE)


def holdable(path: bytes) -> bool:
    """Whether a tree of git can hold ``path`` and the host's ``fsck`` will let it pass."""
    return 0 < len(path) < 4096 and b"\0" not in path and all(_holdable_part(part) for part in path.split(b"/"))


def _holdable_part(part: bytes) -> bool:
    if part in (b"", b".", b".."):
        return False
    if len(part) < 4 or (b"git" not in (low := part.lower()) and low.isascii()):
        return True
    if _HFS_UNSEEN.sub("", part.decode("utf-8", "replace")).lower() == ".git":
        return False
    return not any(_NTFS_DOTGIT.match(piece) for piece in part.split(b"\\"))


def looks_like_gitmodules(path: bytes) -> bool:
    """A symlink of this name is refused by every git that checks what it receives."""
    name = _HFS_UNSEEN.sub("", path.rsplit(b"/", 1)[-1].decode("utf-8", "replace")).lower()
    return name.split(":")[0].rstrip(" .") == ".gitmodules" or re.match(r"(gitmod|gi7eba)~[0-9]", name) is not None


def below(path: bytes, parents: Iterable[bytes]) -> bool:
    """Whether ``path`` is one of ``parents`` or lies below one."""
    return any(path == parent or path.startswith(parent + b"/") for parent in parents)


def quoted(path: bytes) -> bytes:
    """A path for git's line-based inputs."""
    return b'"' + b"".join(bytes((c,)) if 32 <= c < 127 and c not in b'"\\' else b"\\%03o" % c for c in path) + b'"'


def is_oid(text: bytes) -> bool:
    return re.fullmatch(rb"[0-9a-f]{40}|[0-9a-f]{64}", text) is not None
