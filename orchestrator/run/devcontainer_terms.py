"""What of a dev container a run takes, and on which terms: the rest is refused, or noted. Pure.

A run's container is the same whatever a configuration asks for: no capability, no mount, no port, no privilege. A row says what becomes
of an ask for one of these; what has no row is refused.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from orchestrator.config.values import VARIABLE_NAME
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.life.hooks import Hook, steps
from orchestrator.devcontainer.life.probing import text
from orchestrator.devcontainer.policy.container import Final
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.verdict import Finding
from orchestrator.devcontainer.variables import container_pass, substitute
from orchestrator.errors import ConfigError
from orchestrator.model.devcontainer import INSIDE_HOME, INSIDE_NAME, INSIDE_SHELL, HookCommand, HookPlan, UserPlan
from orchestrator.sandbox.argv import USER

BUILD_NETWORK = "network:build"  # the grant with which RUN instructions have the engine's network

# note: a run never does it, whoever granted it, and nothing is lost but that. acknowledged: a grant says that it may go on without.
# granted: a grant gives it.
Terms = Literal["note", "acknowledged", "granted", "never"]
TERMS: Mapping[str, Terms] = {
    "port": "note",  # nothing outside could connect; what is inside connects without
    "volume": "note",  # places to keep things for the next container; there is none
    "docker-socket": "note",  # the run's guard stands there instead
    "initializeCommand": "note",
    "cap": "acknowledged",
    "security-opt": "acknowledged",
    "localEnv": "granted",
    "build-option": "granted",
}
_INSTEAD: Mapping[str, str] = {
    "port": "a run publishes no port",
    "volume": "a run has no volumes: what it would hold is not there",
    "docker-socket": "a run has its own guard's socket, if any (--docker)",
    "initializeCommand": "it was not run: nothing of a repository runs on this machine",
    "cap": "a run has no capabilities; it goes on without",
    "security-opt": "a run keeps its own; it goes on without",
}

_NO_SHELL = re.compile(r".*/(nologin|false|true|sync)")
# Ours, or told apart by ours: what else we set is stronger by its order, see ``environ.agent_environment``.
_OURS = re.compile(r"HOME|USER|LOGNAME|AIENV.*", re.ASCII)
MAX_PASSWD = 1 << 20
MAX_HOOK = 100_000  # bytes of all words, or of the one that holds several commands: the kernel takes 128 KiB in one word
MAX_WORDS = 1000
MAX_VARIABLE = 100_000  # bytes, as for a word
MAX_ENVIRONMENT = 512 << 10  # bytes: words and variables share 2 MiB, and some stand in both
MAX_SUBSTITUTED = 16 << 20


# --- what is asked for ------------------------------------------------------------------------------------------------------------


def settle(bare: Sequence[Finding], granted: Sequence[Finding]) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """What stays refused, and notes. ``bare``: what a judge found without any grant; ``granted``: with the user's."""
    refused: list[Finding] = []
    notes: list[str] = []
    for one in dict.fromkeys((*bare, *granted)):
        kind = (one.grant or "").partition(":")[0]
        terms = TERMS.get(kind, "never")
        if terms == "note" or (terms == "acknowledged" and one not in granted):
            notes.append(f"{one.origin} asks for {one.what}: {_INSTEAD[kind]}")
        elif terms == "never":
            refused.append(_never(one) if one.grant else one)
        elif one in granted:
            refused.append(one)
    return tuple(dict.fromkeys(refused)), tuple(dict.fromkeys(notes))


def _never(one: Finding) -> Finding:
    return Finding(one.what, one.origin, f"{one.why}; the container of a run never has it, granted or not")


def left_out(final: Final, merged: Object, config: Object, folder: str) -> tuple[str, ...]:
    """Of what passed: what a run does not do all the same."""
    notes = [f"the mount {mount!r} is not made: a run has its workspace alone" for mount in final.mounts]
    if final.workspace_mount is not None:
        notes.append(f"workspaceMount does not count: the workspace of a run is at {folder}")
    if final.run_args:
        notes.append(f"runArgs do not count: {' '.join(final.run_args)}")
    if merged.get("entrypoints"):
        notes.append("entry points of features and images are not run: a hook or the agent can start what is needed")
    if any(merged.get(name) for name in ("postAttachCommands",)):
        notes.append("postAttachCommand was not run: nobody attaches to a run")
    if config.get("initializeCommand"):
        notes.append(f"initializeCommand: {_INSTEAD['initializeCommand']}")
    return tuple(notes)


def place_of(config: Object, workspace: str) -> tuple[str, tuple[str, ...]]:
    """Where hooks run: ``workspaceFolder`` where it lies in the workspace."""
    asked = config.get("workspaceFolder")
    if not isinstance(asked, str) or not asked:
        return workspace, ()
    folder = asked.rstrip("/") or "/"
    inside = (folder + "/").startswith(workspace + "/") and not {".", "..", ""} & set(folder.removeprefix("/").split("/"))
    if inside and "\0" not in folder:
        return folder, ()
    return workspace, (f"workspaceFolder {asked!r} does not count: the workspace of a run is at {workspace}",)


# --- the user ---------------------------------------------------------------------------------------------------------------------


def user_of(asked: str, passwd: bytes, explicit: bool) -> tuple[UserPlan, tuple[str, ...]]:
    """Name, home and shell of the user ``asked`` (a name or a number, a group after a colon) in an image's /etc/passwd.

    ``explicit``: somebody asked for this user, so it is worth a note that it will not be so.
    """
    name = asked.partition(":")[0]
    if name in ("", "root", "0"):
        return USER, (f"the user is {name}: a run is never root, and is called {USER.name}",) if explicit and name else ()
    entry = _entry(name, passwd)
    if entry is None:
        return USER, (f"the image has no user {name[:40]!r}: the run's is called {USER.name}",)
    found, uid, home, shell = entry
    if uid == "0" or found == "root":
        return USER, (f"the user {found!r} is root: a run is never root, and is called {USER.name}",)
    shell = shell if INSIDE_SHELL.fullmatch(shell) and not _NO_SHELL.fullmatch(shell) else USER.shell
    if INSIDE_HOME.fullmatch(home):
        return UserPlan(found, home, shell), ()
    return UserPlan(found, f"/home/{found}", shell), (f"the home of {found} is {home[:80]!r}: in a run it is /home/{found}",)


def _entry(name: str, passwd: bytes) -> tuple[str, str, str, str] | None:
    """Name, uid, home and shell of the first line for ``name`` that makes sense."""
    for line in passwd[:MAX_PASSWD].decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) == 7 and name in (fields[0], fields[2] if name.isdigit() else fields[0]) and INSIDE_NAME.fullmatch(fields[0]):
            return fields[0], fields[2].lstrip("0") or "0", fields[5], fields[6]
    return None


# --- the environment --------------------------------------------------------------------------------------------------------------


def environment(
    merged: Object, given: Sequence[str], image: Iterable[tuple[str, str]], environ: Mapping[str, str]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...], tuple[str, ...]]:
    """Variables, names to unset, and notes. ``given``: of runArgs, a name alone is this machine's, ``environ``.

    containerEnv first; over it remoteEnv, which may name what the container has.

    Raises:
        ConfigError: they are more than a program can be given.
    """
    container: Object = dict(_table(merged, "containerEnv"))
    for word in given:
        name, equals, said = word.partition("=")
        if equals or name in environ:
            container[name] = said if equals else environ[name]
    known = {**dict(image), **{name: text(value) for name, value in container.items() if value is not None}}
    remote_env = _table(merged, "remoteEnv")
    named = sum(text(value).lower().count("${containerenv:") for value in remote_env.values())
    if named * max(map(len, known.values()), default=0) > MAX_SUBSTITUTED:
        raise _too_much("remoteEnv names variables so often that it")
    remote = substitute(remote_env, container_pass(known))
    values: dict[str, Json] = {**container, **(remote if isinstance(remote, dict) else {})}
    notes: list[str] = []
    env: dict[str, str] = {}
    for name, value in values.items():
        if not VARIABLE_NAME.fullmatch(name) or "\0" in text(value):
            notes.append(f"the variable {name[:80]!r} is none, and was left out")
        elif _OURS.fullmatch(name):
            notes.append(f"the variable {name} is the run's own, and stays as it is")
        elif value is not None:
            env[name] = text(value)
    sizes = [_bytes(name) + _bytes(value) for name, value in env.items()]
    if max(sizes, default=0) > MAX_VARIABLE or sum(sizes) + 16 * len(sizes) > MAX_ENVIRONMENT:
        raise _too_much("containerEnv or remoteEnv")
    unset = tuple(sorted(name for name, value in values.items() if value is None and VARIABLE_NAME.fullmatch(name)))
    return tuple(sorted(env.items())), unset, tuple(notes)


def _too_much(what: str) -> ConfigError:
    most = f"{MAX_VARIABLE:,} bytes in one variable and {MAX_ENVIRONMENT >> 10} KiB in all"
    return ConfigError(f"{what} is more than a program can be given: at most {most}", remedy="put it into a file", code="devcontainer")


def _bytes(word: str) -> int:
    return len(word.encode("utf-8", "surrogatepass"))


def _table(merged: Object, key: str) -> Object:
    value = merged.get(key)
    return value if isinstance(value, dict) else {}


# --- hooks ------------------------------------------------------------------------------------------------------------------------


# postAttachCommand is not among them: nobody attaches to a run.
_HOOKS: tuple[Hook, ...] = ("onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand")


def hooks(entries: Sequence[Object], origins: Sequence[str]) -> tuple[HookPlan, ...]:
    """All that a run runs, in order.

    Raises:
        ConfigError: one is no command, or too long for one.
    """
    found = [step for hook in _HOOKS for step in steps(hook, entries, origins)]
    for step in found:
        words = [word for command in step.commands for word in (command.name, *command.argv)]
        # Several are one word of JSON, see ``hooks.argv_of``.
        size = len(json.dumps(words)) if len(step.commands) > 1 or step.commands[0].name else sum(map(_bytes, words))
        if size > MAX_HOOK or len(words) > MAX_WORDS or any("\0" in word for word in words):
            raise ConfigError(f"{step.hook} of {step.origin} is too long for a command, or holds a NUL", remedy="put it into a script")
    return tuple(
        HookPlan(step.hook, step.origin, tuple(HookCommand(command.name, command.argv) for command in step.commands)) for step in found
    )


def closed_network(grants: Grants) -> str:
    """Whether a repository's features may be of this machine's own network: empty, if so; else what the user can do."""
    return "" if grants.allows(BUILD_NETWORK) else f"if it is your own registry, grant it: --grant {BUILD_NETWORK}"


def build_network(grants: Grants) -> Literal["none", "default"]:
    """What RUN instructions reach: nothing, unless somebody granted it."""
    return "default" if grants.allows(BUILD_NETWORK) else "none"
