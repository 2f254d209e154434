"""The reference CLI's way with words of the command line: ``--name value``, ``--name=value``, ``--nameInHumps``. Pure.

A switch takes a following ``true`` or ``false``; there is no ``--no-name``. Unlike there a value is never left out by accident: an
option without its value, or given twice, is an error.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.errors import UsageError

Value = str | bool | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Option:
    """``kind``: what its value is; ``many``: may stand several times. ``unused``: why it changes nothing here, for a note.
    ``older_of``: today's name of what it asks for."""

    kind: Literal["text", "switch", "number"]
    help: str
    choices: tuple[str, ...] = ()
    many: bool = False
    default: bool = False
    unused: str = ""
    older_of: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """``given``: in the order of the table; ``notes``: options that have no meaning here."""

    given: Mapping[str, Value]
    notes: tuple[str, ...]

    def text(self, name: str) -> str | None:
        """None also for an empty one, which counts as not given."""
        value = self.given[name]
        return value if isinstance(value, str) and value else None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.given[name]
        return value if isinstance(value, tuple) else ()

    def switch(self, name: str) -> bool:
        return self.given[name] is True


def parse(words: Sequence[str], options: Mapping[str, Option]) -> Parsed:
    """
    Raises:
        UsageError: a word that no option accounts for, or a value that its option does not take.
    """
    parsed, rest = _parsed(words, options, command=False)
    if rest:
        raise UsageError(f"Unknown argument: {rest[0]}")
    return parsed


def parse_command(words: Sequence[str], options: Mapping[str, Option]) -> tuple[Parsed, tuple[str, ...]]:
    """Options, and the command that follows them: it begins with the first word that is none.

    Raises:
        UsageError: as ``parse``; or there is no command.
    """
    parsed, rest = _parsed(words, options, command=True)
    if not rest:
        raise UsageError("Not enough non-option arguments: got 0, need at least 1", remedy="say which command to run")
    return parsed, rest


def _parsed(words: Sequence[str], options: Mapping[str, Option], command: bool) -> tuple[Parsed, tuple[str, ...]]:
    found: dict[str, list[str | bool]] = {}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        if command and rest[0] == "--":
            del rest[0]
            break
        name, equals, given = rest.pop(0).partition("=")
        option = options.get(key := _key(name))
        if not name.startswith("--") or option is None:
            raise UsageError(f"Unknown argument: {name}{_perhaps(key, options)}")
        value: str | bool | None = given if equals else None
        if value is None and option.kind == "switch":
            value = rest.pop(0) if rest and rest[0] in ("true", "false") else "true"
        if value is None:
            if not rest or rest[0].startswith("--"):
                raise UsageError(f"--{key} has no value")
            value = rest.pop(0)
        found.setdefault(key, []).append(_value(key, option, str(value)))
    notes = _notes(found, options)
    for key in [name for name in found if options[name].older_of]:
        found.setdefault(options[key].older_of, []).extend(found.pop(key))
    given_now = {name: _final(name, option, found.get(name, [])) for name, option in options.items()}
    return Parsed(given_now, notes), tuple(rest)


def _key(word: str) -> str:
    """``--logLevel`` is ``--log-level``."""
    return re.sub(r"[A-Z]", lambda match: f"-{match[0].lower()}", word.removeprefix("--"))


def _value(name: str, option: Option, text: str) -> str | bool:
    if option.kind == "switch":
        if text not in ("true", "false"):
            raise UsageError(f"--{name} is true or false, not {text!r}")
        return text == "true"
    if option.kind == "number" and not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII):
        raise UsageError(f"--{name} is a number, not {text!r}")
    if option.choices and text not in option.choices:
        raise UsageError(f"--{name} is one of {', '.join(option.choices)}, not {text!r}")
    return text


def _final(name: str, option: Option, values: Sequence[str | bool]) -> Value:
    if option.many:
        return tuple(str(value) for value in values)
    if len(values) > 1:
        raise UsageError(f"--{name} is given twice")
    if values:
        return values[0]
    return option.default if option.kind == "switch" else None


def _notes(found: Mapping[str, object], options: Mapping[str, Option]) -> tuple[str, ...]:
    unused = tuple(f"--{name} changes nothing here: {options[name].unused}" for name in found if options[name].unused)
    older = tuple(f"--{name} is deprecated, use --{options[name].older_of}" for name in found if options[name].older_of)
    return (*unused, *older)


def _perhaps(name: str, options: Mapping[str, Option]) -> str:
    close = difflib.get_close_matches(name, options, n=1)
    return f", perhaps --{close[0]}?" if close else ""


_NO_TERMINAL = "output is not formatted to a width"
_PROBES = ("none", "loginInteractiveShell", "interactiveShell", "loginShell")

_PLACE: Mapping[str, Option] = {
    "workspace-folder": Option("text", "The folder.  [default: here, unless --container-id or --id-label is given]"),
    "config": Option("text", "Its file.  [default: .devcontainer/devcontainer.json or .devcontainer.json]"),
    "override-config": Option("text", "A file to read in place of that one."),
    "id-label": Option("text", "A label NAME=VALUE by which the container is found; may be repeated.", many=True),
    "mount-workspace-git-root": Option("switch", "Mount the work tree around the folder.  [default: true]", default=True),
    "mount-git-worktree-common-dir": Option("switch", "Mount the repository of a linked work tree, too."),
}
_CONTAINER = {"container-id": Option("text", "The container to look at.  [default: the one of the folder]")}
_PROGRAMS: Mapping[str, Option] = {
    "docker-path": Option("text", "The docker command."),
    "docker-compose-path": Option("text", "The docker-compose command, where docker has no compose."),
    "log-level": Option("text", "What goes to standard error.", choices=("info", "debug", "trace")),
    "log-format": Option("text", "How it is written.", choices=("text", "json")),
    "terminal-columns": Option("number", "Width.", unused=_NO_TERMINAL),
    "terminal-rows": Option("number", "Height.", unused=_NO_TERMINAL),
    "user-data-folder": Option("text", "A folder for data that last.", unused="what lasts lies in our own state folder"),
    "skip-feature-auto-mapping": Option("switch", "For tests of the reference.", unused="names without a registry are never mapped"),
    "oci-auth-hardening": Option("switch", "Be strict with registries.", unused="credentials go to the registry's own host in any case"),
    "allow-cross-origin-auth-host": Option("text", "A registry's other host.", many=True, unused="registries have no exceptions here"),
}
_ADDITIONAL = {"additional-features": Option("text", "More features, as a JSON object.")}
_GRANT = {"grant": Option("text", "Allow what a configuration may not have by itself, such as cap:SYS_PTRACE; may be repeated.", many=True)}
_INCLUDE: Mapping[str, Option] = {
    "include-configuration": Option("switch", "Add the configuration to what is printed."),
    "include-merged-configuration": Option("switch", "Add what image, container and features bring."),
}
_COMMANDS: Mapping[str, Option] = {
    "default-user-env-probe": Option("text", "userEnvProbe where nothing says it.", choices=_PROBES),
    "remote-env": Option("text", "A variable NAME=VALUE for commands in the container; may be repeated.", many=True),
    "container-data-folder": Option("text", "For data of users.", unused="nothing of ours is put into containers"),
    "container-system-data-folder": Option("text", "For data of the system.", unused="nothing of ours is put into containers"),
    "container-session-data-folder": Option("text", "For data of a session.", unused="what is learned is kept in our own state folder"),
}
_HOOKS: Mapping[str, Option] = {
    "skip-non-blocking-commands": Option("switch", "Stop after the command that waitFor names."),
    "prebuild": Option("switch", "Stop after onCreateCommand and updateContentCommand; the latter runs again."),
    "skip-post-attach": Option("switch", "Leave out postAttachCommand."),
    "secrets-file": Option("text", "A JSON file with variables for hooks; no log shows their values."),
    "command-timeout": Option("number", "Seconds that one command of a hook may take.  [default: 3600]"),
}
_DOTFILES: Mapping[str, Option] = {
    "dotfiles-repository": Option("text", "Your dotfiles: an address, or OWNER/NAME on GitHub."),
    "dotfiles-install-command": Option("text", "What to run there.  [default: install.sh, bootstrap, setup ...]"),
    "dotfiles-target-path": Option("text", "Where they go.  [default: ~/dotfiles]"),
}

READ_CONFIGURATION: Mapping[str, Option] = {
    **_PLACE,
    **_CONTAINER,
    "include-merged-configuration": Option("switch", "Add what image, container and features bring."),
    "include-features-configuration": Option("switch", "Add the features, resolved."),
    **_ADDITIONAL,
    **_PROGRAMS,
}
UP: Mapping[str, Option] = {
    **_PLACE,
    **_GRANT,
    "mount": Option("text", "One more mount, as for docker run --mount; may be repeated.", many=True),
    "workspace-mount-consistency": Option(
        "text", "Of the workspace's mount.", choices=("consistent", "cached", "delegated"), unused="Linux knows one kind only"
    ),
    "gpu-availability": Option("text", "Whether there is a GPU.", choices=("all", "detect", "none")),
    "remove-existing-container": Option("switch", "Remove the container if there is one, and make it anew."),
    "expect-existing-container": Option("switch", "Fail if there is none."),
    "build-no-cache": Option("switch", "Build without a cache."),
    "cache-from": Option("text", "An image to take layers from; may be repeated.", many=True),
    "cache-to": Option("text", "Where BuildKit puts its cache."),
    "buildkit": Option("text", "Whether BuildKit is used.", choices=("auto", "never")),
    "update-remote-user-uid-default": Option("text", "updateRemoteUserUID where nothing says it.", choices=("never", "on", "off")),
    "skip-post-create": Option("switch", "Run no hook, and put in no dotfiles."),
    **_HOOKS,
    **_COMMANDS,
    **_DOTFILES,
    **_ADDITIONAL,
    "no-lockfile": Option("switch", "Look at no lock file."),
    "frozen-lockfile": Option("switch", "Take just what the lock file says, or fail."),
    "omit-config-remote-env-from-metadata": Option("switch", "Leave the file's remoteEnv out of the label."),
    "skip-persisting-customizations-from-features": Option("switch", "Leave features' customizations out of the label."),
    "experimental-lockfile": Option("switch", "An older name.", unused="a lock file that is there is honoured, and none is written"),
    "experimental-frozen-lockfile": Option("switch", "An older name.", older_of="frozen-lockfile"),
    **_INCLUDE,
    **_PROGRAMS,
}
EXEC: Mapping[str, Option] = {**_PLACE, **_CONTAINER, **_GRANT, **_COMMANDS, **_PROGRAMS}
RUN_USER_COMMANDS: Mapping[str, Option] = {
    **_PLACE,
    **_CONTAINER,
    **_GRANT,
    **_HOOKS,
    "stop-for-personalization": Option("switch", "Stop before dotfiles are put in."),
    **_COMMANDS,
    **_DOTFILES,
    **_PROGRAMS,
}
SET_UP: Mapping[str, Option] = {
    **_CONTAINER,
    "config": Option("text", "A file that describes it."),
    **_GRANT,
    "skip-post-create": Option("switch", "Run no hook, and put in no dotfiles."),
    **{name: option for name, option in _HOOKS.items() if name != "skip-post-attach"},
    **_COMMANDS,
    **_DOTFILES,
    **_INCLUDE,
    **_PROGRAMS,
}
STOP: Mapping[str, Option] = {**_PLACE, **_CONTAINER, **_PROGRAMS}
DOWN: Mapping[str, Option] = {**STOP, "volumes": Option("switch", "Remove the volumes that were made for it, too.")}

_OF_ONE_CONTAINER = frozenset([
    "id-label", "remove-existing-container", "expect-existing-container", "skip-post-create", "skip-non-blocking-commands", "prebuild",
    "skip-post-attach", *_INCLUDE, *_DOTFILES,
])  # fmt: skip
PREBUILD: Mapping[str, Option] = {name: option for name, option in UP.items() if name not in _OF_ONE_CONTAINER}
