"""What a configuration says of its Dockerfile, and the words for ``docker build``. Pure: paths are joined and not looked at."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.errors import ConfigError

CACHE_OPTION = "--cache-from"


@dataclass(frozen=True, slots=True)
class Recipe:
    """``dockerfile``, ``context``: absolute. ``options``: as written; ``to_judge`` is what a policy must see first."""

    dockerfile: str
    context: str
    arguments: Mapping[str, str]
    target: str | None
    cache_from: tuple[str, ...]
    options: Json


def recipe(config: Object, folder: str) -> Recipe | None:
    """``folder``: of the configuration. None: it builds no Dockerfile.

    Raises:
        ConfigError: a value of the wrong type.
    """
    build = _table(config, "build")
    old = "dockerFile" in config
    name = config.get("dockerFile") if old else build.get("dockerfile")
    if name is None:
        return None
    if not isinstance(name, str) or not name or "\0" in name:
        raise _wrong("dockerFile" if old else "build.dockerfile", "the path of a file")
    path = posixpath.normpath(posixpath.join(folder, name))
    context = build.get("context", config.get("context") if old else None)
    if not isinstance(context, str | None) or "\0" in (context or ""):
        raise _wrong("build.context", "the path of a folder")
    where = posixpath.normpath(posixpath.join(folder, context)) if context else posixpath.dirname(path)
    return Recipe(path, where, _arguments(build), _text(build, "target"), _cache_from(build), build.get("options"))


def words(found: Recipe, options: Sequence[str]) -> tuple[str, ...]:
    """After ``docker build``, without what names the result. ``options``: the judged ones; they come first, so that what we must have
    is stronger."""
    return (
        *options,
        "-f", found.dockerfile,
        *(word for name, value in found.arguments.items() for word in ("--build-arg", f"{name}={value}")),
        *(("--target", found.target) if found.target else ()),
    )  # fmt: skip


def to_judge(found: Recipe) -> Json:
    """``build.options`` and the caches, which are options, too."""
    if not isinstance(found.options, list | None):
        return found.options
    caches: list[Json] = [f"{CACHE_OPTION}={name}" for name in found.cache_from]
    return [*(found.options or []), *caches]


def _arguments(build: Object) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in _table(build, "args").items():
        if not isinstance(value, str | int | float) or not name or "=" in name or "\0" in f"{name}{value}":
            raise _wrong(f"build.args.{name[:80]}", "a text")
        found[name] = ("false", "true")[value] if isinstance(value, bool) else str(value)
    return found


def _cache_from(build: Object) -> tuple[str, ...]:
    value = build.get("cacheFrom")
    listed = value if isinstance(value, list) else [] if value is None else [value]
    names = tuple(one for one in listed if isinstance(one, str) and one and "\0" not in one)
    if len(names) != len(listed):
        raise _wrong("build.cacheFrom", "the name of an image, or a list of such")
    return names


def _text(table: Object, key: str) -> str | None:
    value = table.get(key)
    if not isinstance(value, str | None) or "\0" in (value or ""):
        raise _wrong(f"build.{key}", "a text")
    return value


def _table(table: Object, key: str) -> Object:
    value = table.get(key)
    if not isinstance(value, dict | None):
        raise _wrong(key, "an object")
    return value or {}


def _wrong(key: str, expected: str) -> ConfigError:
    return ConfigError(f"{key} is not {expected}")
