"""devcontainer-feature.json: what a feature says of itself. Pure.

Whoever published the feature wrote it, so sizes and types are checked, and what is of the wrong type is an error and not a surprise
later. Unknown keys are kept, for whoever reads the configuration that we print.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.devcontainer.jsonc import BadJson, Json, Object, parse
from orchestrator.errors import ConfigError

FILE = "devcontainer-feature.json"
MAX_BYTES = 512 << 10
MAX_ENTRIES = 256  # of options, dependencies, ids
MAX_TEXT = 64 << 10

LIFECYCLE = ("onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand")
LABEL_KEYS = (*LIFECYCLE, "init", "privileged", "capAdd", "securityOpt", "entrypoint", "mounts", "customizations")
"""What of a feature goes into the label ``devcontainer.metadata``, in this order."""

OURS = frozenset(["value", "included", "cachePath", "consecutiveId"])
"""Keys of the printed configuration that speak of the resolution. A feature that sets them would change what the user asked for."""

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Option:
    """``default``: None where there is none. ``choices``: of an enum, which is closed; proposals are not."""

    kind: Literal["string", "boolean"]
    default: str | bool | None
    choices: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """``values``: the whole object, as it was written, without ``OURS`` and with old properties in their new place."""

    id: str
    version: str
    options: Mapping[str, Option]
    depends_on: Mapping[str, Json]
    installs_after: tuple[str, ...]
    aliases: tuple[str, ...]
    container_env: Mapping[str, str]
    values: Object = field(repr=False)

    @property
    def renamed_to(self) -> str | None:
        """Set where this is the old name of a feature that has another now."""
        return self.aliases[0] if self.aliases[0] != self.id else None


def read(data: bytes | str, where: str, *, name: str) -> Manifest:
    """The manifest in ``data``. ``name``: of the reference, for one that has no id.

    Raises:
        ConfigError: it is too large, no JSON, or says something of a wrong type.
    """
    if len(data) > MAX_BYTES:
        raise _bad(where, f"has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value = parse(text).value
    except UnicodeDecodeError:
        raise _bad(where, "is not UTF-8") from None
    except BadJson as problem:
        raise _bad(where, f"is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise _bad(where, "is not a JSON object")
    return of(value, where, name=name)


def of(value: Object, where: str, *, name: str) -> Manifest:
    """Raises ConfigError: something is of a wrong type."""
    found = _renewed({key: one for key, one in value.items() if key not in OURS}, where)
    identity = _text(found, "id", where, name)
    if not _ID.fullmatch(identity) or ".." in identity:
        raise _bad(where, f"has the id {identity[:80]!r}, which is no name of a feature")
    current = _text(found, "currentId", where, identity)
    _check_types(found, where)
    return Manifest(
        id=identity,
        version=_text(found, "version", where, ""),
        options={key: _option(key, one, where) for key, one in _object(found, "options", where).items()},
        depends_on=_object(found, "dependsOn", where),
        installs_after=_texts(found, "installsAfter", where),
        aliases=(current, *_texts(found, "legacyIds", where)),
        container_env=_environment(found, where),
        values=found,
    )


_FLAGS = ("init", "privileged", "deprecated")
_LISTS = ("capAdd", "securityOpt")


def _check_types(found: Object, where: str) -> None:
    for key in _FLAGS:
        if not isinstance(found.get(key), bool | None):
            raise _wrong(where, key, "true or false")
    for key in _LISTS:
        _texts(found, key, where)
    for key in ("name", "entrypoint", "description", "documentationURL", "licenseURL"):
        _text(found, key, where, "")
    _object(found, "customizations", where)
    mounts = found.get("mounts")
    if mounts is not None and not (isinstance(mounts, list) and all(isinstance(one, str | dict) for one in mounts)):
        raise _wrong(where, "mounts", "a list of texts and objects")
    for key in LIFECYCLE:
        if not isinstance(found.get(key), str | list | dict | None):
            raise _wrong(where, key, "a text, a list or an object")


def _renewed(found: Object, where: str) -> Object:
    """``extensions`` and ``settings`` of the first features stand in ``customizations.vscode`` today."""
    extensions, settings = found.get("extensions"), found.get("settings")
    if not (extensions or settings):
        return found
    if not isinstance(extensions, list | None) or not isinstance(settings, dict | None):
        raise _bad(where, "has 'extensions' or 'settings' of a wrong type")
    customizations = dict(_object(found, "customizations", where))
    vscode = dict(_object(customizations, "vscode", where))
    if extensions:
        before = vscode.get("extensions")
        vscode["extensions"] = [*(before if isinstance(before, list) else []), *extensions]
    if settings:
        vscode["settings"] = {**settings, **_object(vscode, "settings", where)}
    customizations["vscode"] = vscode
    kept = {key: one for key, one in found.items() if not (key in ("extensions", "settings") and one)}
    return {**kept, "customizations": customizations}


def _option(key: str, value: Json, where: str) -> Option:
    if not isinstance(value, dict):
        raise _wrong(where, f"options.{key[:80]}", "an object")
    kind: Literal["string", "boolean"] = "boolean" if value.get("type") == "boolean" else "string"
    default = value.get("default")
    if isinstance(default, int | float) and not isinstance(default, bool):
        default = as_text(default)
    if not isinstance(default, str | bool | None):
        raise _wrong(where, f"options.{key[:80]}.default", "a text, or true or false")
    choices = _texts(value, "enum", where) if isinstance(value.get("enum"), list) else None
    return Option(kind, default, choices)


def _environment(found: Object, where: str) -> Mapping[str, str]:
    """Each name becomes a word of a Dockerfile's ENV, so it is a plain name."""
    variables: dict[str, str] = {}
    for key, one in _object(found, "containerEnv", where).items():
        if not _VARIABLE.fullmatch(key):
            raise _bad(where, f"sets {key[:80]!r}, which is no name of a variable")
        if not isinstance(one, str | int | float) or (isinstance(one, str) and "\0" in one):
            raise _wrong(where, f"containerEnv.{key[:80]}", "a text")
        variables[key] = as_text(one)
    return variables


def as_text(value: str | bool | int | float) -> str:
    """As the reference writes it into a variable."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _text(found: Object, key: str, where: str, otherwise: str) -> str:
    value = found.get(key)
    if value is None:
        return otherwise
    if not isinstance(value, str) or "\0" in value or len(value) > MAX_TEXT:
        raise _wrong(where, key, "a text")
    return value


def _texts(found: Object, key: str, where: str) -> tuple[str, ...]:
    value = found.get(key)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise _wrong(where, key, f"a list of at most {MAX_ENTRIES} texts")
    texts = tuple(one for one in value if isinstance(one, str) and "\0" not in one)
    if len(texts) != len(value):
        raise _wrong(where, key, "a list of texts")
    return texts


def _object(found: Object, key: str, where: str) -> Object:
    value = found.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_ENTRIES:
        raise _wrong(where, key, f"an object of at most {MAX_ENTRIES} entries")
    return value


def _wrong(where: str, key: str, expected: str) -> ConfigError:
    return _bad(where, f"has {key!r}, which is not {expected}")


def _bad(where: str, problem: str) -> ConfigError:
    return ConfigError(f"{where} {problem}", remedy="tell who wrote the feature, or leave it out", code="feature")
