"""Which hooks run, in which order and how far; what their values execute."""

import itertools
from typing import Any

import pytest

from orchestrator.devcontainer.life.hooks import HOOKS, Command, Hook, How, commands_of, order, schedule, steps
from orchestrator.errors import ConfigError

ON, UPDATE, CREATE, START, ATTACH = HOOKS


@pytest.mark.parametrize(("value", "found"), [
    ("echo a b", [("", ("/bin/sh", "-c", "echo a b"))]),
    (["echo", "a b"], [("", ("echo", "a b"))]),
    ({"x": "echo a", "y": ["echo", "b"], "z": ""}, [("x", ("/bin/sh", "-c", "echo a")), ("y", ("echo", "b"))]),
    ("", []),
    (None, []),
    ([], []),
    ({}, []),
    (" ", [("", ("/bin/sh", "-c", " "))]),
])  # fmt: skip
def test_commands(value: Any, found: list[tuple[str, tuple[str, ...]]]) -> None:
    assert commands_of(value, "x") == tuple(Command(name, argv) for name, argv in found)


@pytest.mark.parametrize("value", [3, True, ["a", 1], [["a"]], {"x": 3}, {"x": {"y": "z"}}, [None]])
def test_no_commands(value: Any) -> None:
    with pytest.raises(ConfigError, match="is no command"):
        commands_of(value, "postCreateCommand of devcontainer.json")


def test_steps_are_of_all_entries_in_their_order() -> None:
    found = steps(CREATE, [{CREATE: "one"}, {}, {CREATE: ""}, {CREATE: ["two"]}], ["the image", "f", "g", "devcontainer.json"])
    assert [(step.origin, step.commands[0].argv[-1]) for step in found] == [("the image", "one"), ("devcontainer.json", "two")]


NONE: frozenset[Hook] = frozenset()


@pytest.mark.parametrize(("how", "wait_for", "done", "hooks", "dotfiles", "result"), [
    (How(), None, NONE, HOOKS, True, "done"),
    (How(), None, frozenset([ON, UPDATE, CREATE]), (START, ATTACH), True, "done"),
    (How(), None, frozenset(HOOKS[:4]), (ATTACH,), True, "done"),
    (How(skip_all=True), None, NONE, (), False, "done"),
    (How(skip_post_attach=True), None, NONE, HOOKS[:4], True, "done"),
    (How(skip_non_blocking=True), None, NONE, (ON, UPDATE), False, "skipNonBlocking"),
    (How(skip_non_blocking=True), "initializeCommand", NONE, (), False, "skipNonBlocking"),
    (How(skip_non_blocking=True), ON, NONE, (ON,), False, "skipNonBlocking"),
    (How(skip_non_blocking=True), CREATE, NONE, (ON, UPDATE, CREATE), False, "skipNonBlocking"),
    (How(skip_non_blocking=True), START, NONE, (ON, UPDATE, CREATE, START), True, "skipNonBlocking"),
    (How(skip_non_blocking=True), ATTACH, NONE, HOOKS, True, "skipNonBlocking"),
    (How(skip_non_blocking=True), "nonsense", NONE, (ON, UPDATE), False, "skipNonBlocking"),
    (How(skip_non_blocking=True), 7, frozenset([ON]), (UPDATE,), False, "skipNonBlocking"),
    (How(prebuild=True), None, NONE, (ON, UPDATE), False, "prebuild"),
    (How(prebuild=True), None, frozenset(HOOKS), (UPDATE,), False, "prebuild"),
    (How(stop_for_personalization=True), None, NONE, (ON, UPDATE, CREATE), False, "stopForPersonalization"),
    (How(stop_for_personalization=True, skip_non_blocking=True), None, NONE, (ON, UPDATE), False, "skipNonBlocking"),
])  # fmt: skip
def test_schedule(how: How, wait_for: Any, done: frozenset[Hook], hooks: tuple[Hook, ...], dotfiles: bool, result: str) -> None:
    found = schedule(how, wait_for, done)
    assert (found.hooks, found.dotfiles, found.result) == (hooks, dotfiles, result)


def test_dotfiles_come_before_what_starts() -> None:
    assert list(order(schedule(How(), None, NONE))) == [ON, UPDATE, CREATE, "dotfiles", START, ATTACH]
    assert list(order(schedule(How(), None, frozenset(HOOKS)))) == ["dotfiles", ATTACH]


def test_never_out_of_order_and_never_twice() -> None:
    for flags in itertools.product([False, True], repeat=5):
        for wait_for in (None, *HOOKS):
            for size in range(len(HOOKS)):
                for done in itertools.combinations(HOOKS, size):
                    found = schedule(How(*flags), wait_for, frozenset(done)).hooks
                    assert [HOOKS.index(hook) for hook in found] == sorted({HOOKS.index(hook) for hook in found})
