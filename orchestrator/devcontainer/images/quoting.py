"""Values from a repository as words of a Dockerfile, of a shell file, of a label. Pure.

Each function has one place where its answer may stand, and what cannot stand there is an error, not an approximation.
"""

import json
import re
from collections.abc import Iterable, Sequence

from orchestrator.devcontainer.jsonc import Object
from orchestrator.errors import ConfigError

MAX_LINE = 32 << 10  # the classic builder reads lines of at most 64 KiB
MAX_LABEL = 120 << 10  # a word of a command line may have 128 KiB

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\u2028\u2029]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}\$?(:[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127})?", re.ASCII)


def env_instruction(name: str, value: str, *, expand: bool) -> str:
    """``ENV NAME="value"``. ``expand``: ``$NAME`` and ``${NAME}`` in it stand for what the image has so far; all else is literal.

    Raises:
        ConfigError: it cannot be written in a Dockerfile: several lines, a control character, too long.
    """
    if not _VARIABLE.fullmatch(name):
        raise ConfigError(f"{name[:80]!r} is no name of a variable")
    if found := _CONTROL.search(value):
        raise ConfigError(f"the variable {name} has the character {found[0]!r}, which no variable of an image can hold")
    quoted = re.sub(r'(["\\])', r"\\\1", value)
    if not expand:
        quoted = quoted.replace("$", "\\$")
    if len(_bytes(quoted)) > MAX_LINE:
        raise ConfigError(f"the variable {name} has more than {MAX_LINE >> 10} KiB")
    return f'ENV {name}="{_bytes(quoted).decode()}"'


def exec_form(instruction: str, words: Sequence[str]) -> str:
    """``RUN ["a", "b"]``: no shell reads it, and no variable is replaced."""
    return f"{instruction} {json.dumps(list(words))}"


def user_instruction(user: str) -> str:
    """Raises ConfigError: it is no name or number of a user."""
    name = user or "root"
    if not _USER.fullmatch(name):
        raise ConfigError(f"the image has the user {name[:120]!r}, which is no name of one", remedy="choose another image")
    return "USER " + name.replace("$", "\\$")


def assignments(pairs: Iterable[tuple[str, str]]) -> bytes:
    """A file for ``.`` of a POSIX shell: nothing in single quotes means anything to it."""
    lines: list[str] = []
    for name, value in pairs:
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            raise ConfigError(f"{name[:80]!r} is no variable that a program can be given")
        lines.append(f"{name}={shell_word(value)}\n")
    return _bytes("".join(lines))


def shell_word(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def label_text(entries: Sequence[Object]) -> str:
    """JSON without ``'``, ``$`` and what is beyond ASCII: the classic builder puts a label into single quotes, and cannot escape there.

    Raises:
        ConfigError: it is too long.
    """
    text = json.dumps(list(entries), separators=(",", ":")).replace("'", "\\u0027").replace("$", "\\u0024")
    if len(text) > MAX_LABEL:
        raise ConfigError(
            f"the label devcontainer.metadata would have {len(text)} bytes, more than {MAX_LABEL}",
            remedy="shorten customizations or hooks of the configuration or its features",
        )
    return text


def _bytes(text: str) -> bytes:
    """A lone surrogate has no bytes; it becomes a question mark."""
    return text.encode("utf-8", "replace")
