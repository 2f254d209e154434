"""npm: https://docs.npmjs.com/cli/v11/configuring-npm/npmrc . Pure. The project's own ``.npmrc`` is the repository's and is not read."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.presets.side import Found, Setting, Side, proxy_note

_VARIABLE = re.compile(r"(?<!\\)(\\*)\$\{([^${}?]+)(\?)?\}")
_SCOPED = re.compile(r"@[^:/\s]+:registry")
_PROXIES = ("proxy", "https-proxy", "http-proxy")


def places(side: Side) -> tuple[Path, ...]:
    """From the weakest to the strongest: built in, global, the user's."""
    prefixes = [Path(side.environ["PREFIX"])] if side.environ.get("PREFIX") else []
    if "node" in side.programs:
        prefixes.append(side.programs["node"].parent.parent)
    built_in = [prefix / "lib/node_modules/npm/npmrc" for prefix in prefixes] + [side.root / "usr/share/nodejs/npm/npmrc"]
    named = _variables(side).get("globalconfig")
    shared = [side.path(named.url)] if named else [prefix / "etc/npmrc" for prefix in prefixes[:1]]
    own = _variables(side).get("userconfig")
    return (*built_in, *shared, side.path(own.url) if own else side.home / ".npmrc")


def values(side: Side, files: Mapping[Path, str]) -> dict[str, Setting]:
    """All settings by key, also those that are no address; the strongest wins."""
    found: dict[str, Setting] = {}
    for path, text in files.items():
        found.update({key: Setting(one.url, f"{key} in {side.shown(path)}") for key, one in _values(text, side).items()})
    found.update(_variables(side))
    return found


def read(side: Side, files: Mapping[Path, str], defaults: Sequence[str]) -> Found:
    given = values(side, files)
    settings = [given["registry"]] if "registry" in given else [Setting(url, "npm's default registry") for url in defaults]
    settings += [setting for key, setting in given.items() if _SCOPED.fullmatch(key)]
    notes = [proxy_note(given[key].where) for key in _PROXIES if key in given and given[key].url not in ("null", "false")]
    return Found(tuple(dict.fromkeys(settings)), tuple(notes))


def _variables(side: Side) -> dict[str, Setting]:
    """Settings from variables; npm takes them in capitals or not."""
    found = {}
    for name, value in side.environ.items():
        if name.lower().startswith("npm_config_") and value:
            key = name[len("npm_config_") :].lower()
            key = key[:1] + key[1:].replace("_", "-")
            found[key] = Setting(value, f"{key} in ${name}")
    return found


def _values(text: str, side: Side) -> dict[str, Setting]:
    """``key = value`` lines up to the first section, as https://github.com/npm/ini has them."""
    found = {}
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            break
        if not line or line[0] in ";#":
            continue
        key, _, value = line.partition("=")
        found[_plain(key, side)] = Setting(_plain(value, side), "")
    return {key: setting for key, setting in found.items() if setting.url}


def _plain(text: str, side: Side) -> str:
    """Without quotes and comments, variables filled in."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = _unquoted(text)
    else:
        text = re.split(r"(?<!\\)[;#]", text, maxsplit=1)[0].strip()
    return _VARIABLE.sub(lambda found: _filled(found, side.environ), text)


def _unquoted(text: str) -> str:
    try:
        value = json.loads(text) if text[0] == '"' else text[1:-1]
    except ValueError:
        return text[1:-1]
    return value if isinstance(value, str) else text[1:-1]


def _filled(found: re.Match[str], environ: Mapping[str, str]) -> str:
    if len(found[1]) % 2:  # the dollar sign is escaped
        return found[0]
    return environ.get(found[2], "" if found[3] else found[0])
