"""Options of a feature: what was asked, with defaults, as variables for its install script. Pure.

Values travel as environment and never through a shell: ``$(...)`` in an option is text like any other. The reference writes them into a
file in double quotes that root then sources.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.devcontainer.features.manifest import Manifest, as_text
from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import ConfigError

MAX_OPTIONS = 256
MAX_VALUE = 64 << 10

Value = str | bool | int | float
Asked = bool | str | dict[str, Value]


@dataclass(frozen=True, slots=True)
class Users:
    """Whom the container runs as, and whom commands and editors run as."""

    container: str
    remote: str
    container_home: str
    remote_home: str


def asked(value: Json, written: str) -> Asked:
    """What a configuration has beside a feature's name: options, true, or a version.

    Raises:
        ConfigError: it is of another form.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        return _checked(as_text(value), written)
    if not isinstance(value, dict) or len(value) > MAX_OPTIONS:
        raise _bad(written, f"a version, or an object of at most {MAX_OPTIONS} options")
    found: dict[str, Value] = {}
    for key, one in value.items():
        if not isinstance(one, str | bool | int | float):
            raise _bad(written, f"options that are texts, or true or false ({key[:80]!r} is neither)")
        found[key] = _checked(one, written) if isinstance(one, str) else one
    return found


def chosen(manifest: Manifest, value: Asked) -> Mapping[str, Value]:
    """Defaults, and over them what was asked; a lone value is the option ``version``, where the feature has one."""
    defaults = {key: one.default for key, one in manifest.options.items() if one.default is not None}
    if isinstance(value, dict):
        return {**defaults, **value}
    return {**defaults, "version": value} if "version" in manifest.options else defaults


def variable(option: str) -> str:
    """The name of the variable that carries an option."""
    return re.sub(r"^[0-9_]+", "_", re.sub(r"[^A-Za-z0-9_]", "_", option)).upper()


def warnings(manifest: Manifest, value: Asked, written: str) -> tuple[str, ...]:
    """What is passed on nevertheless: whether it is a mistake, only the feature knows."""
    found: list[str] = []
    for key, one in chosen(manifest, value).items():
        option = manifest.options.get(key)
        if option is None:
            known = ", ".join(manifest.options) or "none"
            found.append(f"the feature {written!r} has no option {key[:80]!r}, only: {known}")
        elif option.kind == "boolean" and as_text(one) not in ("true", "false"):
            found.append(f"the option {key!r} of {written!r} is true or false, not {one!r}")
        elif option.choices is not None and as_text(one) not in option.choices:
            found.append(f"the option {key!r} of {written!r} is one of {', '.join(option.choices)}, not {one!r}")
    names: dict[str, str] = {}
    for key in chosen(manifest, value):
        if (other := names.setdefault(variable(key), key)) != key:
            found.append(f"the options {other!r} and {key!r} of {written!r} are one variable, {variable(key)}")
    return tuple(found)


def environment(manifest: Manifest, value: Asked, users: Users) -> tuple[tuple[str, str], ...]:
    """All variables of the install script, sorted by nothing: users first, then options in the feature's own order; no name comes twice."""
    found = {
        "_CONTAINER_USER": users.container,
        "_REMOTE_USER": users.remote,
        "_CONTAINER_USER_HOME": users.container_home,
        "_REMOTE_USER_HOME": users.remote_home,
    }
    found |= {variable(key): as_text(one) for key, one in chosen(manifest, value).items() if variable(key)}
    return tuple(found.items())


def _checked(text: str, written: str) -> str:
    if "\0" in text or len(text) > MAX_VALUE:
        raise _bad(written, f"values of at most {MAX_VALUE} characters without NUL")
    return text


def _bad(written: str, expected: str) -> ConfigError:
    return ConfigError(f"the feature {written[:120]!r} takes {expected}", code="feature-options")
