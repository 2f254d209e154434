"""Variables in the texts of a configuration, in three passes. Pure; what they may see comes in as values.

With the file: the caller's environment and the folders. Once the container is known: its id labels, then its environment. Keys are
never touched, nothing nests, and a variable that a pass does not know stays as it is, for a later one or for good.
"""

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import ConfigError

# (name, what follows it between colons, all of it as written) -> what stands there instead
Replace = Callable[[str, Sequence[str], str], str]

MAX_PUT_IN = 16 << 20  # characters: a long folder that is named often would make gigabytes of a small file

_LINE_END = re.compile("[\n\r\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Local:
    """What the first pass sees. ``workspace``: the folder on this machine; ``container_workspace``: may hold variables itself."""

    environ: Mapping[str, str]
    workspace: str | None = None
    container_workspace: str | None = None
    source: str = "devcontainer.json"


def substitute(value: Json, replace: Replace) -> Json:
    """``value`` with its texts replaced, at any depth.

    Raises:
        ConfigError: a variable that cannot be resolved.
    """
    return _each(value, _bounded(replace))


def local_pass(local: Local) -> Replace:
    """The first pass: ``localEnv``, ``env`` and the folders."""
    known = local
    if local.container_workspace:
        known = replace(local, container_workspace=_text(local.container_workspace, _bounded(_local(local))))
    return _local(known)


def id_pass(identity: str) -> Replace:
    """The second: ``devcontainerId``."""
    return lambda name, _, written: identity if name == "devcontainerId" else written


def container_pass(environ: Mapping[str, str], source: str = "devcontainer.json") -> Replace:
    """The third: ``containerEnv``."""
    return lambda name, words, written: _looked_up(environ, words, written, source) if name == "containerEnv" else written


def environ_of(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=value`` words; one without ``=`` does not count."""
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def base_name(path: str) -> str:
    """Slashes at the end do not count."""
    return posixpath.basename(path.rstrip("/"))


def _each(value: Json, replace: Replace) -> Json:
    if isinstance(value, str):
        return _text(value, replace)
    if isinstance(value, list):
        return [_each(one, replace) for one in value]
    if isinstance(value, dict):
        return {key: _each(one, replace) for key, one in value.items()}
    return value


def _bounded(replace: Replace) -> Replace:
    left = MAX_PUT_IN

    def one(name: str, words: Sequence[str], written: str) -> str:
        nonlocal left
        found = replace(name, words, written)
        left -= len(found)
        if left < 0:
            raise ConfigError(f"the variables of a configuration stand for more than {MAX_PUT_IN >> 20} MiB")
        return found

    return one


def _text(text: str, replace: Replace) -> str:
    """From ``${`` to the next ``}`` on its line. No pattern: over many openings without an end one would take minutes."""
    out: list[str] = []
    done = position = 0
    brace = line_end = -1
    while (start := text.find("${", position)) >= 0:
        position = start + 2
        if brace < position and (brace := text.find("}", position)) < 0:
            break
        if line_end < position:
            match = _LINE_END.search(text, position)
            line_end = match.start() if match else len(text)
        if line_end < brace:
            continue
        name, *words = text[position:brace].split(":")
        out += (text[done:start], replace(name, words, text[start : brace + 1]))
        done = position = brace + 1
    return "".join(out) + text[done:]


def _local(known: Local) -> Replace:
    folders = {
        "localWorkspaceFolder": known.workspace,
        "localWorkspaceFolderBasename": None if known.workspace is None else base_name(known.workspace),
        "containerWorkspaceFolder": known.container_workspace,
        "containerWorkspaceFolderBasename": None if known.container_workspace is None else base_name(known.container_workspace),
    }

    def one(name: str, words: Sequence[str], written: str) -> str:
        if name in ("localEnv", "env"):
            return _looked_up(known.environ, words, written, known.source)
        found = folders.get(name)
        return written if found is None else found

    return one


def _looked_up(environ: Mapping[str, str], words: Sequence[str], written: str, source: str) -> str:
    """``NAME`` or ``NAME:default``. The default ends at the next colon; a variable that is set and empty has no need of it."""
    if not words:
        start = written.removesuffix("}")
        remedy = f"write {start}:NAME}} or {start}:NAME:default}}"
        raise ConfigError(f"{written!r} in {source} names no variable of the environment", remedy=remedy)
    return environ.get(words[0], words[1] if len(words) > 1 else "")
