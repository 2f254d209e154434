"""pip: https://pip.pypa.io/en/stable/topics/configuration/ . Pure."""

import configparser
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.presets.side import Found, Setting, Side, proxy_note

_COMMANDS = ("install", "download", "wheel")
_NOTHING = "/dev/null"  # PIP_CONFIG_FILE=/dev/null: no file counts
_TRUE = ("1", "true", "yes", "on", "y", "t")

_Values = dict[tuple[str, str], Setting]  # section and option to value


def places(side: Side) -> tuple[Path, ...]:
    """From the weakest to the strongest."""
    if side.environ.get("PIP_CONFIG_FILE") == _NOTHING:
        return ()
    shared = [folder for folder in side.environ.get("XDG_CONFIG_DIRS", "").split(":") if folder] or [str(side.root / "etc/xdg")]
    return (
        *(Path(folder, "pip/pip.conf") for folder in shared),
        side.root / "etc/pip.conf",
        *_of_user(side),
        *((Path(side.environ["VIRTUAL_ENV"], "pip.conf"),) if side.environ.get("VIRTUAL_ENV") else ()),
        *((side.path(side.environ["PIP_CONFIG_FILE"]),) if side.environ.get("PIP_CONFIG_FILE") else ()),
    )


def _of_user(side: Side) -> tuple[Path, ...]:
    return side.home / ".pip/pip.conf", side.folder("XDG_CONFIG_HOME", ".config") / "pip/pip.conf"


def read(side: Side, files: Mapping[Path, str], defaults: Sequence[str]) -> Found:
    named = side.environ.get("PIP_CONFIG_FILE")
    skipped = _of_user(side) if named and side.path(named) in files else ()
    values: _Values = {}
    notes: list[str] = []
    for path, text in files.items():
        if path in skipped and path != side.path(named or ""):
            continue
        try:
            values.update(_values(text, side.shown(path)))
        except configparser.Error:
            notes.append(f"{side.shown(path)} is no configuration of pip that can be read; what it says does not count")
    for name, value in side.environ.items():
        if name.startswith("PIP_") and value:
            option = name.removeprefix("PIP_").lower().replace("_", "-")
            values.update({(command, option): Setting(value, f"{option} in ${name}") for command in _COMMANDS})
    settings = dict.fromkeys(setting for command in _COMMANDS for setting in _of_command(command, values, defaults))
    proxies = {setting.where for (_, option), setting in values.items() if option == "proxy"}
    return Found(tuple(settings), (*notes, *map(proxy_note, sorted(proxies))))


def _values(text: str, shown: str) -> _Values:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    values: _Values = {}
    for section in parser.sections():
        for key, value in parser.items(section):
            option = key.replace("_", "-").removeprefix("--")
            if value and value.strip():
                values[section, option] = Setting(value.strip(), f"{option} in {shown}")
    return values


def _of_command(command: str, values: _Values, defaults: Sequence[str]) -> list[Setting]:
    def lines(option: str) -> list[Setting]:
        setting = values.get((command, option)) or values.get(("global", option))
        return [Setting(word, setting.where) for word in setting.url.split()] if setting else []

    settings = lines("find-links")
    if not any(setting.url.lower() in _TRUE for setting in lines("no-index")):
        settings += lines("index-url") or [Setting(url, "pip's default index") for url in defaults]
        settings += lines("extra-index-url")
    return settings
