"""What a guard refused, in words, and the lines of configuration that would have let it pass. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.guard.calls import Denied
from orchestrator.guard.imagenames import canonical, familiar
from orchestrator.guard.usage import Counts
from orchestrator.model.guard import AllowedImage, DockerDenial

# Remedies as the rules write them: a flag with an image, or a key with the amount that would have been enough.
_IMAGE = re.compile(r"--allow-image[ =]'?([^\s',]+)")
_AMOUNT = re.compile(r"\bguard\.([a-z]+): ([0-9]+(?:\.[0-9]+)?)([kmgt]?)\b")
_UNITS = {"": 1.0, "k": 1024.0, "m": 1024.0**2, "g": 1024.0**3, "t": 1024.0**4}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Members of ``guard`` in the user's configuration. ``limits``: (key, value as it is written)."""

    images: tuple[str, ...]
    limits: tuple[tuple[str, str], ...]


def denial_lines(denied: Iterable[DockerDenial]) -> list[str]:
    """Most frequent first; each with what passes, and who could allow it."""
    lines: list[str] = []
    for row in sorted(denied, key=lambda row: -row.count):
        times = f" ({row.count} times)" if row.count > 1 else ""
        lines.append(f"refused  {row.request}{times}  [{row.rule}]")
        lines.append(f"  why      {row.reason}" + (f" ({row.field})" if row.field else ""))
        lines += [f"  passes   {row.allowed}"] if row.allowed else []
        lines.append(f"  to allow {row.remedy}" if row.remedy else "  to allow nothing does: see docs/docker.md")
    return lines


def wanted(counts: Counts) -> Wanted:
    """What a user could grant of all that a run asked for: images that it learned or was refused, and amounts."""
    images = {name for text in counts.learned if (name := _familiar(text))}
    amounts: dict[str, tuple[float, str]] = {}
    for row in counts.denied.values():
        images |= {name for text in _IMAGE.findall(row.remedy or "") if (name := _familiar(text))}
        for key, number, unit in _AMOUNT.findall(row.remedy or ""):
            value = float(number) * _UNITS[unit]
            if value > amounts.get(key, (-1.0, ""))[0]:
                amounts[key] = value, number + unit
    return Wanted(tuple(sorted(images)), tuple((key, amounts[key][1]) for key in sorted(amounts)))


def policy_lines(found: Wanted, had: Iterable[AllowedImage] = ()) -> list[str]:
    """YAML for the user's own config.yaml. ``had``: images that the run had already, by the user's own grant: they are repeated."""
    granted = {name for image in had if image.origin == "guard.images" and (name := _familiar(image.reference))}
    images = sorted({*granted, *found.images})
    if not images and not found.limits:
        return ["# nothing that a setting could allow was refused"]
    lines = ["guard:"]
    if images:
        lines += ["  images:", *(f'    - "{name}"' for name in images)]
    return [*lines, *(f"  {key}: {value}" for key, value in found.limits)]


def _familiar(text: str) -> str | None:
    """As people write it; None: it is no name of an image, and a log may say anything."""
    try:
        return familiar(canonical(text))
    except Denied:
        return None
