"""Which commands of the life cycle run, in which order, and how far. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.errors import ConfigError

Hook = Literal["onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand"]
HOOKS: tuple[Hook, ...] = ("onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand")

# After which of its starts a hook is due again; postAttach always is.
ONCE: Mapping[Hook, Literal["created", "started"]] = {
    "onCreateCommand": "created", "updateContentCommand": "created", "postCreateCommand": "created", "postStartCommand": "started",
}  # fmt: skip
# Nobody waits for these for ever: what serves in the foreground is left running.
MAY_SERVE: frozenset[Hook] = frozenset(["postStartCommand", "postAttachCommand"])
WAIT_FOR = ("initializeCommand", *HOOKS)
DEFAULT_WAIT_FOR = "updateContentCommand"

Result = Literal["done", "skipNonBlocking", "prebuild", "stopForPersonalization"]


@dataclass(frozen=True, slots=True)
class Command:
    """``name``: its key in an object of commands that run side by side, empty for a lone one. ``argv``: what is executed."""

    name: str
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """The commands of one hook that came from one place; they run side by side."""

    hook: Hook
    origin: str
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class How:
    """What of it the caller wants."""

    skip_all: bool = False
    skip_non_blocking: bool = False
    skip_post_attach: bool = False
    prebuild: bool = False
    stop_for_personalization: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """``hooks``: which are due, in order. ``dotfiles``: whether they are put in, before the hook that follows postCreate."""

    hooks: tuple[Hook, ...]
    dotfiles: bool
    result: Result


def commands_of(value: Json, source: str) -> tuple[Command, ...]:
    """What a hook's value runs. A text goes to a shell, a list is executed as it is, an object runs all its members side by side.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(value, dict):
        pairs = [(name, _argv(one, f"{source}.{name}")) for name, one in value.items()]
    else:
        pairs = [("", _argv(value, source))]
    return tuple(Command(name, argv) for name, argv in pairs if argv)


def steps(hook: Hook, entries: Sequence[Object], origins: Sequence[str]) -> tuple[Step, ...]:
    """Of the entries that have the hook, the weakest first: what an image or a feature brings is not replaced by the file's.

    Raises:
        ConfigError: a value that is no command.
    """
    found = (
        Step(hook, origin, commands_of(entry[hook], f"{hook} of {origin}"))
        for entry, origin in zip(entries, origins, strict=True)
        if hook in entry
    )
    return tuple(step for step in found if step.commands)


def schedule(how: How, wait_for: Json, done: Collection[Hook]) -> Schedule:
    """``done``: hooks that ran to their end since the container was made, or for postStart since it was started."""
    if how.skip_all:
        return Schedule((), False, "done")
    last = wait_for if wait_for in WAIT_FOR else DEFAULT_WAIT_FOR
    due: list[Hook] = []
    if how.skip_non_blocking and last == "initializeCommand":
        return Schedule((), False, "skipNonBlocking")
    for hook in HOOKS:
        if hook == "postStartCommand" and how.stop_for_personalization:
            return Schedule(tuple(due), False, "stopForPersonalization")
        again = hook == "updateContentCommand" and how.prebuild
        if (hook not in done or hook not in ONCE or again) and not (hook == "postAttachCommand" and how.skip_post_attach):
            due.append(hook)
        if hook == "updateContentCommand" and how.prebuild:
            return Schedule(tuple(due), False, "prebuild")
        if how.skip_non_blocking and hook == last:
            dotfiles = HOOKS.index(hook) >= HOOKS.index("postStartCommand")
            return Schedule(tuple(due), dotfiles, "skipNonBlocking")
    return Schedule(tuple(due), True, "done")


def order(due: Schedule) -> Iterator[Hook | Literal["dotfiles"]]:
    """The hooks, and between them the moment for dotfiles."""
    before = [hook for hook in due.hooks if hook not in MAY_SERVE]
    yield from before
    if due.dotfiles:
        yield "dotfiles"
    yield from due.hooks[len(before) :]


def _argv(value: Json, source: str) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return ("/bin/sh", "-c", value)
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(str(word) for word in value)
    raise ConfigError(f"{source} is no command: {value!r}", remedy="write a text, a list of texts, or an object of these")
