"""What the user named as the repository. Pure: text in, a ``Source`` or a refusal out.

Git takes far more than we want to hand to it: ``ext::`` runs programs, a host that begins with ``-`` is an option for ssh. So the text is
parsed whole, and only the forms below pass.

    /path  ./path  ../path  ~/path  path      file:///path
    https://host/path   http://host/path   ssh://login@host/path   git://host/path   login@host:path
"""

import hashlib
import os.path
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from orchestrator.errors import UsageError

FORMS = "a path, file://, https://, http://, ssh://, git:// or login@host:path"
_DEFAULT_PORT = {"https": "443", "http": "80", "ssh": "22", "git": "9418"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\]")
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SCP = re.compile(r"(?:([^@/:\[\]]+)@)?(\[[^\]/]*\]|[^/:@\[\]]+):(.*)", re.DOTALL)
_PATH_START = ("/", "./", "../", "~")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What stood before the @ of an https URL. A lone ``username`` is often a token, so neither part is ever shown."""

    username: str = field(repr=False)
    password: str | None = field(repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every spelling that must not show up anywhere."""
        words = (self.username, self.password or "") if self.password is None else (self.password,)
        return tuple({form for word in words if word for form in (word, quote(word, safe=""))})


@dataclass(frozen=True, slots=True)
class Source:
    """A repository that we may read.

    ``location``: an absolute path, or a URL without user and password. The login name of ssh is part of the address and stays.
    ``name``: the last part of the path inside, ``/workspaces/<name>``.
    """

    kind: Literal["path", "url"]
    location: str
    name: str
    credentials: Credentials | None = None

    @property
    def key(self) -> str:
        return mirror_key(self.location)

    @property
    def origin(self) -> str | None:
        """``scheme://host:port`` to which credentials are bound; None for what takes none."""
        match = _URL.match(self.location)
        return f"{match[1]}://{match[2]}" if match and match[1] in ("http", "https") else None


def parse_source(text: str, base: Path, home: Path | None = None) -> Source:
    """Understand ``text``; a path that is not absolute starts at ``base``, one with ``~/`` at ``home``.

    Raises:
        UsageError: not one of the known forms, or a form that could make git do more than read.
    """
    shown = _without_userinfo(text)
    if not text or not text.strip():
        raise UsageError("the repository is empty", remedy=f"name {FORMS}")
    if _CONTROL.search(text) or not _encodable(text):
        raise UsageError(f"the repository {shown!r} holds control characters or is not text", remedy=f"name {FORMS}")
    if text.startswith("-"):
        raise UsageError(f"the repository {shown!r} looks like an option", remedy=f"write ./{shown} for a folder of that name")
    if _HELPER.match(text):
        helper = text.split("::", 1)[0]
        raise UsageError(f"the repository uses git's transport helper {helper!r}, which can run programs", remedy=f"name {FORMS}")
    if match := _URL.fullmatch(text):
        return _parse_url(match[1].lower(), match[2], match[3], shown)
    if not text.startswith(_PATH_START) and (match := _SCP.fullmatch(text)):
        return _parse_scp(match[1], match[2], match[3], shown)
    return _path_source(_expand(text, base, home, shown))


def _without_userinfo(text: str) -> str:
    """``text`` as a message may repeat it: a mistyped URL still carries its password."""
    scheme, separator, rest = text.partition("://")
    return scheme + separator + rest.rpartition("@")[2] if separator else text


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _expand(text: str, base: Path, home: Path | None, shown: str) -> str:
    if text == "~" or text.startswith("~/"):
        if home is None:
            raise UsageError(f"the repository {shown!r} starts at a home folder that is not known", remedy="write the whole path")
        return os.path.join(home, text[2:])
    return os.path.join(base, text)


def _path_source(path: str) -> Source:
    steps = [step for step in path.split("/") if step not in ("", ".")]
    tidy = "/" + "/".join(steps)
    return Source("path", tidy, folder_name(tidy))


def _parse_url(scheme: str, authority: str, rest: str, shown: str) -> Source:
    if scheme == "file":
        return _parse_file(authority, rest, shown)
    if scheme not in _DEFAULT_PORT:
        raise UsageError(f"the repository {shown!r} has the unknown scheme {scheme!r}", remedy=f"name {FORMS}")
    userinfo, _, address = authority.rpartition("@")
    host, port = _parse_address(scheme, address, shown)
    _check_path(rest, shown)
    user, colon, password = userinfo.partition(":")
    where = f"{host}:{port}" if port else host
    if scheme == "ssh":
        if colon:
            raise UsageError(f"the repository {shown!r} carries a password, which ssh does not take", remedy="use a key: see ssh-agent(1)")
        return _url_source(f"ssh://{_login(user, shown)}{where}{rest.rstrip('/')}", rest, None)
    credentials = Credentials(unquote(user), unquote(password) if colon else None) if userinfo else None
    if credentials and _CONTROL.search(credentials.username + (credentials.password or "")):
        raise UsageError(f"the user or password of {shown!r} holds control characters", remedy="check the URL")
    if credentials and scheme == "git":
        raise UsageError(
            f"the repository {shown!r} carries a user, which git:// does not take", remedy="leave it out, or use https:// or ssh://"
        )
    return _url_source(f"{scheme}://{where}{rest.rstrip('/')}", rest, credentials)


def _parse_file(authority: str, rest: str, shown: str) -> Source:
    path = unquote(rest, errors="surrogateescape")
    if authority not in ("", "localhost"):
        raise UsageError(f"the repository {shown!r} names a host, but file:// is this machine", remedy="write file:///path")
    if not path.startswith("/") or _CONTROL.search(path) or not _encodable(path):
        raise UsageError(f"the repository {shown!r} has no usable path", remedy="write file:///path")
    return _path_source(path)


def _parse_address(scheme: str, address: str, shown: str) -> tuple[str, str]:
    host, port = address, ""
    if (match := re.fullmatch(r"(.*?):(\d{0,5})", address)) and (":" not in match[1] or match[1].endswith("]")):
        host, port = match[1], match[2]
    if not _HOST.fullmatch(host):
        raise UsageError(f"the repository {shown!r} has no usable host name", remedy="use letters, digits, dots and dashes, or [IPv6]")
    if port and not 0 < int(port) < 65536:
        raise UsageError(f"the repository {shown!r} has no usable port", remedy="use 1 to 65535")
    return host.lower(), "" if port.lstrip("0") == _DEFAULT_PORT[scheme] else port.lstrip("0")


def _check_path(path: str, shown: str) -> None:
    if not path.strip("/"):
        raise UsageError(f"the repository {shown!r} has no path", remedy="name the repository after the host")
    if "?" in path or "#" in path:
        raise UsageError("a repository's URL has no query and no fragment", remedy="leave out what follows ? or #")
    if any(character.isspace() or character == "\\" for character in path) or _CONTROL.search(unquote(path)):
        raise UsageError(f"the path of {shown!r} holds blanks, backslashes or control characters", remedy="write a blank as %20")
    if not _plain(path):
        raise UsageError(f"the path of {shown!r} is not text", remedy="percent-encode it")
    if ".." in unquote(path).split("/"):
        raise UsageError(f"the path of {shown!r} holds '..'", remedy="write the path without it")


def _plain(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _parse_scp(login: str | None, host: str, path: str, shown: str) -> Source:
    if not _HOST.fullmatch(host) or host.startswith("-"):
        raise UsageError(f"the repository {shown!r} has no usable host name", remedy=f"for a path write ./{shown}; else name {FORMS}")
    if path.startswith("-"):
        raise UsageError(f"the path of {shown!r} looks like an option", remedy="use ssh://host/path")
    if "@" in path.split("/", 1)[0] and ":" in path.split("/", 1)[0]:
        raise UsageError("the repository looks like user:password@host:path, which ssh does not take", remedy="use a key: see ssh-agent(1)")
    _check_path(path, shown)
    return _url_source(f"{_login(login or '', shown)}{host.lower()}:{path.rstrip('/')}", path, None)


def _login(user: str, shown: str) -> str:
    if user and not _LOGIN.fullmatch(user):
        raise UsageError(f"the login name in {shown!r} is not usable", remedy="use letters, digits, dots, dashes and underscores")
    return f"{user}@" if user else ""


def _url_source(location: str, path: str, credentials: Credentials | None) -> Source:
    return Source("url", location, folder_name(unquote(path)), credentials)


def folder_name(path: str) -> str:
    """The last part of ``path`` as a folder name that needs no quoting anywhere: letters, digits, ``._-``, at most 64."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if parts and parts[-1] == ".git":
        parts.pop()
    last = parts[-1].removesuffix(".git") if parts else ""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.")[:64].strip("-.") or "repo"


def mirror_key(location: str) -> str:
    """The name of the mirror of ``location``: readable, and with no two locations alike."""
    tail = "-".join(re.split(r"[/:]", location.removesuffix(".git"))[-2:])
    slug = re.sub(r"[^a-z0-9]+", "-", tail.lower()).strip("-")[-40:].strip("-") or "repo"
    return f"{slug}-{hashlib.sha256(location.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"


def relative_location(parent: str, relative: str) -> str:
    """A submodule's ``./x`` or ``../x`` as seen from ``parent``, a location of ours.

    Raises:
        UsageError: it climbs above the host, or above the root.
    """
    head, separator, path = _split(parent)
    parts = [part for part in path.split("/") if part]
    for part in relative.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise UsageError(f"the relative URL {relative!r} climbs above {parent!r}", remedy="correct .gitmodules")
    return head + separator + "/".join(parts)


def _split(location: str) -> tuple[str, str, str]:
    if match := _URL.fullmatch(location):
        return f"{match[1]}://{match[2]}", "/", match[3]
    if location.startswith("/"):
        return "", "/", location
    head, _, path = location.partition("]:" if "[" in location.split("/", 1)[0] else ":")
    return (head + "]" if "[" in head else head), ":/" if path.startswith("/") else ":", path
