"""What of a template is written, and with which values in it. Pure.

    ${templateOption:NAME}     blanks around NAME may stand there; a name that nobody knows leaves nothing
    ${localEnv:HOME}           and all other variables stay, they are for whoever starts the container
"""

import difflib
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.templates import manifest
from orchestrator.devcontainer.templates.manifest import Manifest, TemplateOption
from orchestrator.errors import ConfigError, UsageError

# They describe the template, not the project that it is put into; only at its top.
ABOUT = (manifest.NAME, "README.md", "NOTES.md")
MAX_VALUE = 1000
MAX_PATH = 1000

_HOLE = re.compile(r"\$\{templateOption:\s*(\w+)\s*\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a template, as it is there."""

    data: bytes
    executable: bool = False


def choose(options: Mapping[str, TemplateOption], given: Mapping[str, str], what: str) -> Mapping[str, str]:
    """A value for every option. ``what``: the template, for errors.

    Raises:
        UsageError: an option that it has not, a value that the option does not take, or none where there is no default.
    """
    for name in given:
        if name not in options:
            raise UsageError(f"{what} has no option {name!r}{_nearest(name, options)}")
    chosen: dict[str, str] = {}
    for name, option in options.items():
        value = given.get(name, option.default)
        if value is None:
            raise UsageError(f"{what} needs a value of the option {name!r}", remedy=f"--option {name}=VALUE, {option.takes()}")
        _check(name, option, value)
        chosen[name] = value
    return chosen


def loosely(options: Mapping[str, TemplateOption], given: Mapping[str, str]) -> Mapping[str, str]:
    """As the reference chooses: whatever is given counts, an option without a default is empty.

    Raises:
        UsageError: a value that has no place in any file.
    """
    for name, value in given.items():
        _printable(name, value)
    return {**{name: option.default for name, option in options.items() if option.default is not None}, **given}


def replaced(data: bytes, values: Mapping[str, str]) -> bytes:
    """``data`` with its holes filled; what is no text stays as it is."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return data
    return _HOLE.sub(lambda hole: values.get(hole[1], ""), text).encode("utf-8")


def written(files: Mapping[str, File], values: Mapping[str, str], omit: Sequence[str] = ()) -> Mapping[str, File]:
    """What comes into the project: path -> content, in the order of ``files``.

    Raises:
        ConfigError: a path leads out of the project.
    """
    for path in files:
        check_path(path)
    kept = {path: file for path, file in files.items() if path not in ABOUT and not omitted(path, omit)}
    return {path: File(replaced(file.data, values), file.executable) for path, file in kept.items()}


def omitted(path: str, patterns: Sequence[str]) -> bool:
    """``folder/*`` is all below the folder; else it is one file."""
    return any(path.startswith(pattern[:-1]) if pattern.endswith("/*") else path == pattern for pattern in map(_plain, patterns))


def check_path(path: str) -> None:
    """
    Raises:
        ConfigError: it is absolute, goes back, or is written in a way that could mean something else elsewhere.
    """
    parts = path.split("/")
    odd = not path.isprintable() or "\\" in path or len(path) > MAX_PATH
    if odd or posixpath.isabs(path) or any(part in ("", ".", "..") for part in parts):
        raise ConfigError(f"the template has a file {path[:80]!r}, which is no plain path inside of it")
    if any(part.lower() == ".git" for part in parts):
        raise ConfigError(f"the template has a file {path[:80]!r}: what lies there, git would run")


def configuration_in(paths: Sequence[str]) -> str | None:
    """The devcontainer.json among ``paths``."""
    usual = (".devcontainer/devcontainer.json", ".devcontainer.json")
    below = sorted(path for path in paths if re.fullmatch(r"\.devcontainer/[^/]+/devcontainer\.json", path))
    return next((path for path in (*usual, *below) if path in paths), None)


def which(template: Manifest, name: str) -> str:
    """For errors: the name that the user gave, and the template's own where that is another."""
    return f"the template {name!r}" + ("" if template.id == name else f" ({template.id[:60]!r})")


def _plain(pattern: str) -> str:
    return pattern.removeprefix("./")


def _check(name: str, option: TemplateOption, value: str) -> None:
    _printable(name, value)
    if option.kind == "boolean" and value not in ("true", "false"):
        raise UsageError(f"the option {name!r} is true or false, not {value[:60]!r}")
    if option.enum and value not in option.enum:
        raise UsageError(f"the option {name!r} is one of {', '.join(option.enum)}, not {value[:60]!r}{_nearest(value, option.enum)}")


def _printable(name: str, value: str) -> None:
    if not value.isprintable() or len(value) > MAX_VALUE:
        raise UsageError(f"the value of {name!r} holds a line break or a control character, or has more than {MAX_VALUE} characters")


def _nearest(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    if close:
        return f", perhaps {close[0]!r}?"
    return f"; it has {', '.join(known)}" if known and isinstance(known, Mapping) else ""
