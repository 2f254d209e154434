"""How the layers of configuration become one value per key, and who decided it.

built-in < organisation < user < repository < repository task < task file < environment < flags < the organisation's locked keys

The two repository layers are asks of somebody we do not trust: what goes beyond that which the layers below them grant is a
``Violation`` and takes no effect. A layer above them that sets the same plain key has already answered the ask.
"""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

from orchestrator.config.document import Given
from orchestrator.config.node import shown
from orchestrator.config.schema import KEYS, Key, key_named
from orchestrator.config.values import BadValue
from orchestrator.errors import UsageError

Layer = Literal[
    "built-in", "organisation", "user", "repository", "repository task", "task file", "environment", "flags", "locked"
]  # fmt: skip
LAYERS: tuple[Layer, ...] = (
    "built-in", "organisation", "user", "repository", "repository task", "task file", "environment", "flags", "locked",
)  # fmt: skip
REPOSITORY_LAYERS: frozenset[Layer] = frozenset({"repository", "repository task"})

_Pairs = tuple[tuple[str, str], ...]
EntryStatus = Literal["wins", "joined", "overridden", "refused"]


@dataclass(frozen=True, slots=True)
class Source:
    """One layer: what it sets."""

    layer: Layer
    values: Mapping[str, Given]


@dataclass(frozen=True, slots=True)
class Policy:
    """The organisation's file and the keys that it keeps to itself."""

    path: str
    locked: frozenset[str]


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that is asked for and not granted. ``remedy`` is the flag or configuration line that would grant it."""

    key: str
    asked: str
    have: str
    where: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.where} asks for {self.asked}, granted is {self.have}"


@dataclass(frozen=True, slots=True)
class Entry:
    """What one layer said about a key, and what became of it."""

    layer: Layer
    given: Given
    status: EntryStatus


@dataclass(frozen=True, slots=True)
class Setting:
    """The value that holds for one key; ``entries`` from the weakest layer to the strongest, ``layer`` is the winner's."""

    key: str
    value: object
    layer: Layer
    where: str
    entries: tuple[Entry, ...]

    @property
    def rank(self) -> int:
        return LAYERS.index(self.layer)

    @property
    def text(self) -> str:
        return value_text(KEYS[self.key], self.value)


@dataclass(frozen=True, slots=True)
class Settings:
    """All keys. ``violations`` are the asks that were refused; ``warnings`` are for people."""

    values: Mapping[str, Setting]
    violations: tuple[Violation, ...]
    warnings: tuple[str, ...]

    def __getitem__(self, key: str) -> Setting:
        return self.values[key]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer of ``aienv config --explain KEY``. ``lines``: layer, place, value, status; strongest first."""

    key: str
    doc: str
    value: str
    winner: Layer
    where: str
    repository: str
    lines: tuple[tuple[Layer, str, str, EntryStatus], ...]


@dataclass(frozen=True, slots=True)
class _Verdict:
    setting: Setting
    violations: tuple[Violation, ...] = ()
    warnings: tuple[str, ...] = ()


def resolve(sources: Iterable[Source], policy: Policy | None = None, user_config: str = "the user configuration") -> Settings:
    """One value per key from all layers. ``user_config`` is the file that remedies name.

    The order of ``sources`` does not matter, but within a layer: there the later is the stronger.
    """
    ordered = sorted(sources, key=lambda source: LAYERS.index(source.layer))
    verdicts = []
    for key in KEYS.values():
        built_in = Entry("built-in", Given(key.name, key.default_value(), "", "built in"), "wins")
        said = [Entry(source.layer, source.values[key.name], "wins") for source in ordered if key.name in source.values]
        if policy is not None and key.name in policy.locked:
            verdicts.append(_locked(key, built_in, said, policy))
        else:
            verdicts.append(_judged(key, [built_in, *said], user_config))
    return Settings(
        {verdict.setting.key: verdict.setting for verdict in verdicts},
        tuple(violation for verdict in verdicts for violation in verdict.violations),
        tuple(warning for verdict in verdicts for warning in verdict.warnings),
    )


def explain(settings: Settings, name: str) -> Explanation:
    """Where a value comes from.

    Raises:
        UsageError: there is no such key; with the nearest one.
    """
    try:
        key = key_named(name)
    except BadValue as problem:
        raise UsageError(str(problem), remedy=problem.remedy) from problem
    setting = settings[key.name]
    lines = tuple((entry.layer, entry.given.where, value_text(key, entry.given.value), entry.status) for entry in reversed(setting.entries))
    return Explanation(key.name, key.doc, setting.text, setting.layer, setting.where, key.repository.words, lines)


def value_text(key: Key, value: object) -> str:
    """A parsed value for people, on one line. Of a map only the names."""
    if value is None or (value == () and not key.is_list):
        return "unset"
    if key.merge == "map":
        return "{" + ", ".join(name for name, _ in cast(tuple[tuple[str, str], ...], value)) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(shown(str(item)) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return shown(key.format(value))


def _judged(key: Key, said: Sequence[Entry], user_config: str) -> _Verdict:
    """The value of a key that nobody has locked."""
    granted = _combine(key, [entry for entry in said if entry.layer not in REPOSITORY_LAYERS])
    entries: list[Entry] = []
    violations: list[Violation] = []
    for entry in said:
        refused = _refused_parts(key, entry, granted, said) if entry.layer in REPOSITORY_LAYERS else ()
        violations += [_violation(key, part, granted, entry.given, user_config) for part in refused]
        entries.append(_without(key, entry, refused))
    return _Verdict(_setting(key, entries), tuple(violations))


def _refused_parts(key: Key, ask: Entry, granted: object, said: Sequence[Entry]) -> tuple[object, ...]:
    """What of an ask goes too far and has not been answered by a trusted layer above it, which overrides it anyway."""
    rank = LAYERS.index(ask.layer)
    above = [entry.given.value for entry in said if LAYERS.index(entry.layer) > rank and entry.layer not in REPOSITORY_LAYERS]
    refused = key.repository.refused(ask.given.value, granted)
    if key.merge == "replace":
        return () if above else refused
    if key.merge == "append":
        return refused
    answered = {name for value in above for name, _ in cast(_Pairs, value)}
    return tuple(pair for pair in cast(_Pairs, refused) if pair[0] not in answered)


def _without(key: Key, entry: Entry, refused: tuple[object, ...]) -> Entry:
    """The entry without its refused parts; ``refused`` where nothing is left."""
    if not refused:
        return entry
    if key.merge == "replace":
        return replace(entry, status="refused")
    kept = tuple(item for item in cast(tuple[object, ...], entry.given.value) if item not in refused)
    return replace(entry, given=replace(entry.given, value=kept), status="wins" if kept else "refused")


def _setting(key: Key, entries: Sequence[Entry]) -> Setting:
    """Combine what was not refused, and note what became of each entry."""
    counted = [entry for entry in entries if entry.status != "refused"]
    winner = counted[-1]
    rest: EntryStatus = "overridden" if key.merge == "replace" else "joined"
    noted = tuple(entry if entry.status == "refused" or entry is winner else replace(entry, status=rest) for entry in entries)
    return Setting(key.name, _combine(key, counted), winner.layer, winner.given.where, noted)


def _combine(key: Key, entries: Sequence[Entry]) -> object:
    values = [entry.given.value for entry in entries]
    if key.merge == "replace":
        return values[-1]
    items = [item for value in values for item in cast(tuple[object, ...], value)]
    if key.merge == "map":
        return tuple(sorted(dict(cast(list[tuple[str, str]], items)).items()))
    return tuple(dict.fromkeys(items))


def _locked(key: Key, built_in: Entry, said: Sequence[Entry], policy: Policy) -> _Verdict:
    """The organisation's value (or the built-in one) holds. A flag that wants another is refused, a file only told."""
    own = [entry for entry in said if entry.layer == "organisation"]
    value = _combine(key, [built_in, *own])
    holds = Entry("locked", Given(key.name, value, "", own[-1].given.where if own else policy.path), "wins")
    entries = [replace(built_in, status="overridden")]
    violations: list[Violation] = []
    warnings: list[str] = []
    for entry in said:
        parts = () if entry.layer == "organisation" else _beyond(key, entry.given.value, value)
        entries.append(replace(entry, status="refused" if parts else "overridden"))
        asks = key.repository.refused(entry.given.value, value) if entry.layer in REPOSITORY_LAYERS else parts
        if asks and entry.layer in ("flags", *REPOSITORY_LAYERS):
            remedy = f"leave {key.name} out: {policy.path} locks it"
            violations += [Violation(key.name, _part_text(key, part), value_text(key, value), entry.given.where, remedy) for part in asks]
        elif parts:
            warnings.append(f"{entry.given.where}: {key.name} has no effect: {policy.path} locks it to {value_text(key, value)}")
    return _Verdict(Setting(key.name, value, "locked", holds.given.where, (*entries, holds)), tuple(violations), tuple(warnings))


def _beyond(key: Key, asked: object, have: object) -> tuple[object, ...]:
    """The parts of ``asked`` that a locked value does not hold."""
    if key.merge == "replace":
        return () if asked == have else (asked,)
    return tuple(item for item in cast(tuple[object, ...], asked) if item not in cast(tuple[object, ...], have))


def _violation(key: Key, part: object, granted: object, asked: Given, user_config: str) -> Violation:
    single = part if key.merge == "replace" else (part,)
    return Violation(key.name, _part_text(key, part), value_text(key, granted), asked.where, remedy_for(key, single, user_config))


def _part_text(key: Key, part: object) -> str:
    if key.merge == "map":
        return shown(cast(tuple[str, str], part)[0])
    return value_text(key, part) if key.merge == "replace" else shown(str(part))


def remedy_for(key: Key, value: object, user_config: str) -> str:
    """The flag, or else the line of the user's configuration, that grants ``value``."""
    if key.merge == "map":
        return _variable_remedy(key, cast(_Pairs, value), user_config)
    if key.flag is None:
        return f"add {_config_line(key, value)} to {user_config}"
    if isinstance(value, bool):
        return key.flag
    items = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{key.flag} {shlex.quote(key.format(item))}" for item in items)


def _config_line(key: Key, value: object) -> str:
    text = json.dumps(value if isinstance(value, (bool, tuple)) else key.format(value))
    group, dot, name = key.name.partition(".")
    return f"{group}: {{{name}: {text}}}" if dot else f"{group}: {text}"


def _variable_remedy(key: Key, pairs: _Pairs, user_config: str) -> str:
    # The value comes from the repository: what a terminal would interpret, or what fills a screen, is not repeated.
    name, text = pairs[0]
    if len(text) < 100 and text.isascii() and text.isprintable():
        return f"{key.flag} {shlex.quote(f'{name}={text}')}"
    return f"set {name} under {key.name}: in {user_config}"
