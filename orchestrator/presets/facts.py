"""What no configuration of the user says: where clients look by default, and which hosts an index leads on to. From ``data/*.json``.

Each fact has the page it was taken from. Hosts that an index leads to are keyed by the index, so that a company's mirror does not
bring the public one's along.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from orchestrator.model.codec import from_plain


@dataclass(frozen=True, slots=True)
class Fact:
    """``items``: addresses (of ``defaults``), or rows as in ``network.allow``. ``source``: the page that says so."""

    items: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Preset:
    """``defaults``: where a package manager looks when nothing is configured. ``leads_to``: more hosts, by the host of an index.

    ``allow``: all of a service's rows. ``aliases``: other names.
    """

    name: str
    aliases: tuple[str, ...]
    about: str
    defaults: Fact | None
    leads_to: Mapping[str, Fact]
    allow: tuple[Fact, ...]


@cache
def presets() -> Mapping[str, Preset]:
    """All presets by name."""
    folder = resources.files("orchestrator.presets") / "data"
    documents = [json.loads(file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".json")]
    found = [_preset(document) for document in documents]
    return {preset.name: preset for preset in sorted(found, key=lambda preset: preset.name)}


@cache
def names() -> Mapping[str, str]:
    """Every name that a user may write, to that of the preset."""
    return {word: preset.name for preset in presets().values() for word in (preset.name, *preset.aliases)}


def _preset(plain: dict[str, object]) -> Preset:
    leads_to = plain.pop("leads_to", {})
    assert isinstance(leads_to, dict)
    defaults = plain.pop("defaults", None)
    allow = plain.pop("allow", [])
    assert isinstance(allow, list)
    words = from_plain(_Words, plain)
    return Preset(
        words.name,
        words.aliases,
        words.about,
        None if defaults is None else from_plain(Fact, defaults),
        {host: from_plain(Fact, fact) for host, fact in leads_to.items()},
        tuple(from_plain(Fact, fact) for fact in allow),
    )


@dataclass(frozen=True, slots=True)
class _Words:
    name: str
    aliases: tuple[str, ...]
    about: str
