"""A Dockerfile, as far as it says on which image it builds. Pure.

Not a judge, see ``guard.dockerfile`` for one: what cannot be read here has no base, and its builder will say why.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MAX_LENGTH = 4096

_FROM = re.compile(r'[ \t]*FROM[ \t]+(?:--platform=\S+[ \t]+)?(?P<image>"?[^\s]+"?)(?:[ \t]+AS[ \t]+(?P<name>\S+))?', re.IGNORECASE)
_SETS = re.compile(r'[ \t]*(?P<word>ARG|ENV)[ \t]+(?P<name>[^\s=]+)(?:[ =]+(?:"(?P<quoted>\S+)"|(?P<plain>\S+)))?', re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{?(?P<name>[a-zA-Z0-9_]+)(?::(?P<option>[-+])(?P<word>[^}]+))?\}?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Stage:
    image: str
    name: str | None


def base_image(text: str, arguments: Mapping[str, str], target: str | None = None, platform: Mapping[str, str] | None = None) -> str | None:
    """The image that the stage ``target``, or the last one, stands on in the end. ``arguments``: of the build; ``platform``: values
    that builders set by themselves, such as TARGETARCH. None: there is no such stage, or the stages go in a circle."""
    values, stages = _read(text, arguments, platform or {})
    named = {stage.name: stage for stage in stages if stage.name is not None}
    stage = named.get(target) if target else (stages[-1] if stages else None)
    seen: set[int] = set()
    while stage is not None:
        if id(stage) in seen:
            return None
        seen.add(id(stage))
        image = _expand(stage.image, values)
        if image not in named:
            return image
        stage = named[image]
    return None


def platform_arguments(system: str, machine: str) -> dict[str, str]:
    """Those of a build for the machine it runs on."""
    found = {"OS": system, "ARCH": machine, "VARIANT": "", "PLATFORM": f"{system}/{machine}"}
    return {f"{side}{name}": value for side in ("BUILD", "TARGET") for name, value in found.items()}


def _read(text: str, arguments: Mapping[str, str], platform: Mapping[str, str]) -> tuple[Mapping[str, str], Sequence[Stage]]:
    """The values of ARG before the first FROM, which is where FROM finds them; and the stages."""
    values = dict(platform)
    stages: list[Stage] = []
    for line in _lines(text):
        if match := _FROM.match(line):
            stages.append(Stage(re.sub(r"^['\"]|['\"]$", "", match["image"]), match["name"]))
        elif not stages and (match := _SETS.match(line)):
            name, default = match["name"], match["quoted"] or match["plain"]
            given = arguments.get(name) if match["word"].upper() == "ARG" else None
            if given is not None or default is not None:
                values[name] = _expand(given if given is not None else default, values)
    return values, stages


def _lines(text: str) -> Iterator[str]:
    """Continued ones in one; comments between them do not end them."""
    held = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        if line.rstrip().endswith("\\"):
            held += line.rstrip()[:-1] + " "
            continue
        yield held + line
        held = ""
    if held:
        yield held


def _expand(text: str, values: Mapping[str, str]) -> str:
    def one(match: re.Match[str]) -> str:
        value = values.get(match["name"], "")
        if match["option"] is None:
            return value
        chosen = match["word"] if bool(value) == (match["option"] == "+") else value
        return re.sub(r"^['\"]|['\"]$", "", chosen)

    return _VARIABLE.sub(one, text[:MAX_LENGTH])[:MAX_LENGTH]
