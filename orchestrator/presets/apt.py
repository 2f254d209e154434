"""apt: https://manpages.debian.org/stable/apt/sources.list.5.en.html , both formats. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.presets.side import Found, Setting, Side, proxy_note

_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)  # apt ignores files with other characters in their names
_ONE_LINE = re.compile(r"deb(?:-src)?\s+(?:\[[^\]]*\]\s*)?(\S+)")
_NO = ("no", "false", "without", "off", "disable", "0")
_PROXY = re.compile(r"\bProxy(?:-Auto-Detect)?(?:::[^\s\"]+)?\s+\"([^\"]+)\"", re.IGNORECASE)
_COMMENT = re.compile(r"^\s*(?://|#).*$", re.MULTILINE)


def places(side: Side) -> tuple[Path, ...]:
    """A last part with ``*`` is a pattern."""
    own = (side.path(side.environ["APT_CONFIG"]),) if side.environ.get("APT_CONFIG") else ()
    names = ("sources.list", "sources.list.d/*.list", "sources.list.d/*.sources", "apt.conf", "apt.conf.d/*")
    return (*(side.root / "etc/apt" / name for name in names), *own)


def read(side: Side, files: Mapping[Path, str], defaults: Sequence[str]) -> Found:
    settings: list[Setting] = []
    notes: list[str] = []
    for path, text in files.items():
        shown = side.shown(path)
        if path.parent.name == "sources.list.d" and not _FILE_NAME.fullmatch(path.name):
            continue
        if path.suffix == ".sources":
            settings += [Setting(uri, f"a source in {shown}") for uri in _deb822(text)]
        elif path.suffix == ".list":
            settings += [Setting(uri, f"a source in {shown}") for uri in _one_line(text)]
        elif any(found not in ("DIRECT", "false") for found in _PROXY.findall(_COMMENT.sub("", text))):
            notes.append(proxy_note(shown))
    if not settings:
        notes.append("no sources of apt are configured on this machine, so Debian's own are allowed; add others to network.allow")
        settings = [Setting(url, "Debian's packages") for url in defaults]
    lists = [setting for setting in settings if _mirror_list(setting.url)]
    notes += [f"{one.where} is a list of mirrors; add the hosts that it names to network.allow" for one in dict.fromkeys(lists)]
    return Found(tuple(dict.fromkeys(Setting(_transport(one.url), one.where) for one in settings)), tuple(notes))


def _one_line(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if found := _ONE_LINE.match(line.partition("#")[0].strip()):
            yield found[1]


def _deb822(text: str) -> Iterator[str]:
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t") and name:
                fields[name] += " " + line.strip()
            else:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields.get("enabled", "yes").lower() not in _NO:
            yield from fields.get("uris", "").split()


def _mirror_list(uri: str) -> bool:
    return uri.lower().startswith(("mirror://", "mirror+"))


def _transport(uri: str) -> str:
    """``mirror+https://...`` is fetched as ``https://...``, ``mirror://...`` as ``http://...``."""
    lower = uri.lower()
    if lower.startswith("mirror://"):
        return "http" + uri[len("mirror") :]
    return uri[len("mirror+") :] if lower.startswith("mirror+") else uri
