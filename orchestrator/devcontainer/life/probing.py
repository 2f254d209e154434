"""The environment that a user's shell makes, and what commands in a container get of it. Pure."""

import re
from collections.abc import Mapping, Sequence

from orchestrator.devcontainer.jsonc import Json

# userEnvProbe -> options of the shell
SHELL_OPTIONS: Mapping[str, str] = {"loginInteractiveShell": "-lic", "interactiveShell": "-ic", "loginShell": "-lc"}
DEFAULT_PROBE = "loginInteractiveShell"

MAX_ENVIRON = 1 << 20  # bytes
_SBIN = re.compile(r"/sbin(/|$)")


def probe_argv(shell: str, probe: str, mark: str) -> tuple[str, ...]:
    """Start files may print what they like: what counts stands between two marks."""
    return (shell, SHELL_OPTIONS[probe], f"printf %s {mark}; cat /proc/self/environ; printf %s {mark}")


def parse_environ(output: bytes, mark: str) -> dict[str, str] | None:
    """The variables between the marks; None if there are none. The folder in which the shell stood is no part of it."""
    parts = output.split(mark.encode())
    if len(parts) < 3 or len(parts[1]) > MAX_ENVIRON:
        return None
    pairs = (word.decode("utf-8", "surrogateescape").partition("=") for word in parts[1].split(b"\0") if b"=" in word)
    found = {name: value for name, _, value in pairs if name and "\n" not in name}
    found.pop("PWD", None)
    return found


def merged_path(shell: str, container: str, root: bool) -> str:
    """The shell's PATH, and what the container's has besides: start files often set it anew and lose what the image put there.

    Folders of an administrator are not given to others.
    """
    found = shell.split(":")
    at = 0
    for folder in container.split(":"):
        if folder in found:
            at = found.index(folder) + 1
        elif root or not _SBIN.search(folder):
            found.insert(at, folder)
            at += 1
    return ":".join(found)


def probed(environ: Mapping[str, str], container: Mapping[str, str], root: bool) -> dict[str, str]:
    """What a probe found, its PATH completed."""
    found = dict(environ)
    if "PATH" in found and "PATH" in container:
        found["PATH"] = merged_path(found["PATH"], container["PATH"], root)
    return found


def remote_environ(probe: Mapping[str, str], given: Sequence[str], configured: Json) -> tuple[dict[str, str], tuple[str, ...]]:
    """For commands: the probe's variables, over them ``NAME=value`` words of the command line, over these ``remoteEnv``.

    Also the names that are unset: those whose value is null.
    """
    found = dict(probe)
    found |= {name: value for name, _, value in (word.partition("=") for word in given)}
    unset: list[str] = []
    for name, value in configured.items() if isinstance(configured, dict) else ():
        if value is None:
            found.pop(name, None)
            unset.append(name)
        else:
            found[name] = text(value)
    return found, tuple(unset)


def text(value: Json) -> str:
    """A value as a variable has it: true and 3 without quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
