"""go: https://go.dev/ref/mod#environment-variables . Pure."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.presets.side import Found, Setting, Side

_VARIABLES = ("GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GONOSUMCHECK")
_KEYWORDS = ("direct", "off", "")


def places(side: Side) -> tuple[Path, ...]:
    """The toolchain's defaults, then the file of ``go env -w``."""
    root = side.environ.get("GOROOT") or (str(side.programs["go"].parent.parent) if "go" in side.programs else "")
    named = side.environ.get("GOENV", "")
    own = () if named == "off" else (side.path(named) if named else side.folder("XDG_CONFIG_HOME", ".config") / "go/env",)
    return (*((Path(root, "go.env"),) if root else ()), *own)


def read(side: Side, files: Mapping[Path, str], defaults: Sequence[str]) -> Found:
    """``defaults``: the module proxy, then the checksum database."""
    values = _values(side, files)
    proxy, database = defaults
    settings: list[Setting] = []
    notes: list[str] = []
    listed = values.get("GOPROXY", Setting(proxy + ",direct", "go's default module proxy"))
    entries = [entry.strip() for entry in re.split(r"[,|]", listed.url)]
    settings += [Setting(entry, listed.where) for entry in entries if entry not in _KEYWORDS]
    if not settings and "direct" in entries:
        notes.append(f"{listed.where} fetches every module from its own host; name those hosts in network.allow")
    if "off" not in (values["GOSUMDB"].url if "GOSUMDB" in values else "", *entries[:1]):
        settings.append(_database(values.get("GOSUMDB", Setting(database, "go's default checksum database"))))
    private = values.get("GONOPROXY") or values.get("GOPRIVATE")
    for pattern in private.url.split(",") if private else ():
        host = pattern.strip().partition("/")[0]
        if private is None or host in ("", "none"):
            continue
        if re.fullmatch(r"[A-Za-z0-9.-]+", host):
            settings.append(Setting(f"https://{host}", private.where))
        else:
            notes.append(f"{private.where} has a pattern that names no single host; name its hosts in network.allow")
    return Found(tuple(dict.fromkeys(settings)), tuple(dict.fromkeys(notes)))


def _database(setting: Setting) -> Setting:
    """``name[+key] [URL]``: without an address, the name is the host."""
    name, _, url = setting.url.strip().partition(" ")
    return Setting(url.strip() or (name if "://" in name else f"https://{name.partition('+')[0]}"), setting.where)


def _values(side: Side, files: Mapping[Path, str]) -> dict[str, Setting]:
    found: dict[str, Setting] = {}
    for path, text in files.items():
        for line in text.splitlines():
            name, equals, value = line.strip().partition("=")
            if equals and name in _VARIABLES and value:
                found[name] = Setting(value, f"{name} in {side.shown(path)}")
    found.update({name: Setting(side.environ[name], f"${name}") for name in _VARIABLES if side.environ.get(name)})
    return found
