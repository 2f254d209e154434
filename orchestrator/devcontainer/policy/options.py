"""Options of a docker command, read as the command itself reads them, and the rules that most options have. Pure.

Each option is written anew as one word, so no value can be taken for an option. An option without a row is refused.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.asks import Ask, Need, never
from orchestrator.devcontainer.policy.mounts import truth
from orchestrator.devcontainer.policy.verdict import WorkspaceGround

MAX_WORDS = 5000  # a file of the full size in options would take seconds

# (option's long name, its value) -> what it asks for. The value of a switch is "true" or "false".
Rule = Callable[[str, str, WorkspaceGround], Ask]


@dataclass(frozen=True, slots=True)
class Row:
    """``switch``: takes no value, or one behind ``=``."""

    rule: Rule
    short: str = ""
    switch: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """``name``: long, without dashes."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A word that cannot be read; ``grant``: what lets it through all the same, ``words``: as they would be given."""

    what: str
    why: str
    grant: str | None = None
    words: tuple[str, ...] = ()


# --- reading, as docker's own reader (pflag) does --------------------------------------------------------------------------------


def read(words: Sequence[Json], rows: Mapping[str, Row], kind: str) -> Iterator[Given | Unread]:
    """The options in ``words``. ``kind``: of the grant for an option without a row, ``run-arg``. Ends at the first word that is none."""
    if len(words) > MAX_WORDS:
        yield Unread(f"{len(words)} words", f"there are more than {MAX_WORDS}")
        return
    short = {row.short: name for name, row in rows.items() if row.short}
    texts: list[str] = []
    for word in words:
        if not isinstance(word, str) or "\0" in word or any("\ud800" <= char <= "\udfff" for char in word):
            yield Unread(str(word)[:80], "it is no text that a command can be given")
            return
        texts.append(word)
    position = 0
    while position < len(texts):
        word = texts[position]
        if word.startswith("--") and len(word) > 2:
            used, found = _long(texts[position : position + 2], rows, kind)
        elif word.startswith("-") and len(word) > 1 and word != "--":
            used, found = _short(texts[position : position + 2], rows, short)
        else:
            why = "words after the options would be taken for the image and its command" if word == "--" else "it is no option"
            yield Unread(word, why)
            return
        yield from found
        if used == 0:
            return
        position += used


def _long(words: Sequence[str], rows: Mapping[str, Row], kind: str) -> tuple[int, list[Given | Unread]]:
    """How many words were used, and what they say. ``words``: the option, and the word behind it."""
    name, equals, value = words[0][2:].partition("=")
    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,60}", name, re.ASCII) is None:
        return 0, [Unread(words[0], "it is no option")]
    row = rows.get(name)
    if row is None:
        takes = not equals and len(words) > 1 and not words[1].startswith("-")  # who grants it knows its form; a guess is needed here
        used = words[:2] if takes else words[:1]
        return len(used), [Unread(f"--{name}", "it is no option that is known", f"{kind}:--{name}", ("=".join(used),))]
    if row.switch:
        return 1, [_switch(name, value if equals else "true")]
    if equals:
        return 1, [Given(name, value)]
    return (2, [Given(name, words[1])]) if len(words) > 1 else (0, [Unread(words[0], "its value is missing")])


def _short(words: Sequence[str], rows: Mapping[str, Row], short: Mapping[str, str]) -> tuple[int, list[Given | Unread]]:
    """``-it``, ``-v=x``, ``-vx``, ``-v x``, and ``-itv x``."""
    letters = words[0][1:]
    found: list[Given | Unread] = []
    while letters:
        name = short.get(letters[0])
        if name is None:
            return 0, [*found, Unread(words[0], f"-{letters[0]} is no option that is known")]
        if len(letters) > 2 and letters[1] == "=":
            return 1, [*found, _switch(name, letters[2:]) if rows[name].switch else Given(name, letters[2:])]
        if rows[name].switch:
            found.append(Given(name, "true"))
            letters = letters[1:]
        elif len(letters) > 1:
            return 1, [*found, Given(name, letters[1:])]
        elif len(words) > 1:
            return 2, [*found, Given(name, words[1])]
        else:
            return 0, [*found, Unread(words[0], "its value is missing")]
    return 1, found


def _switch(name: str, value: str) -> Given | Unread:
    state = truth(value)
    return Unread(f"--{name}={value}", "its value is neither true nor false") if state is None else Given(name, str(state).lower())


# --- rules ---------------------------------------------------------------------------------------------------------------------


def written(name: str, value: str) -> tuple[str, ...]:
    return (f"--{name}={value}",)


def fine(name: str, value: str, ground: WorkspaceGround) -> Ask:
    return Ask(f"--{name} {value}", words=written(name, value))


def needs(why: str, kind: str = "run-arg") -> Rule:
    """With the grant ``KIND:--NAME`` only."""
    return lambda name, value, ground: Ask(f"--{name} {value}", words=written(name, value), needs=(Need(f"{kind}:--{name}", why),))


def on_needs(why: str) -> Rule:
    """A switch whose harmless state is off."""
    return lambda name, value, ground: (needs(why) if value == "true" else fine)(name, value, ground)


def fine_if(pattern: str, why: str, kind: str = "run-arg") -> Rule:
    """Harmless values; others need the grant."""
    compiled = re.compile(pattern, re.ASCII)
    return lambda name, value, ground: (fine if compiled.fullmatch(value) else needs(why, kind))(name, value, ground)


def dropped(why: str, kind: str = "run-arg", *, quiet: str | None = None) -> Rule:
    """Left out, with a note, unless it is granted; ``quiet``: the value that needs no note, since it changes nothing."""

    def rule(name: str, value: str, ground: WorkspaceGround) -> Ask:
        if value == quiet:
            return Ask(f"--{name}")
        return Ask(f"--{name} {value}", words=written(name, value), needs=(Need(f"{kind}:--{name}", why),), instead=())

    return rule


def refused(why: str) -> Rule:
    return lambda name, value, ground: never(f"--{name}", why)


def of_kind(kind: str, harmless: tuple[str, ...], why: str) -> Rule:
    """A namespace: ``KIND:VALUE`` grants it."""

    def rule(name: str, value: str, ground: WorkspaceGround) -> Ask:
        needs = () if value in harmless else (Need(f"{kind}:{value}", why),)
        return Ask(f"--{name} {value}", words=written(name, value), needs=needs)

    return rule


def asks(words: Sequence[Json], ground: WorkspaceGround, rows: Mapping[str, Row], kind: str) -> Iterator[Ask]:
    """What ``words`` ask for, in their order. ``kind``: of the grants."""
    for one in read(words, rows, kind):
        if isinstance(one, Given):
            yield rows[one.name].rule(one.name, one.value, ground)
        elif one.grant is not None:
            yield Ask(one.what, words=one.words, needs=(Need(one.grant, one.why),))
        else:
            yield never(one.what, one.why)
