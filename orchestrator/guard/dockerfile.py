"""Dockerfiles of the classic builder: read, judged, and written anew, so that every builder reads them as they were judged. Pure.

What is sent has one instruction on a line, images by their ids (64 digits: the engine looks them up and can never pull them), stages by
their lower-case names, sources of ADD and COPY as JSON. Continuations, comments and directives are gone: readers differ over them.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.guard.calls import deny
from orchestrator.guard.dockerlines import (
    CLASSIC,
    HEREDOC,
    INSTRUCTIONS,
    MAX_BYTES,
    MAX_LINE,
    Instruction,
    Source,
    instruction,
    judge_line,
    parse,
    plain_line,
)
from orchestrator.guard.dockervars import expand, split_words
from orchestrator.guard.imagenames import full_id

MAX_STAGES = 64

Allowed = Callable[[str], str | None]

ONBUILD = frozenset(INSTRUCTIONS) - {"FROM", "ONBUILD", "MAINTAINER"}

_STAGE = re.compile(r"[a-z][a-z0-9._-]*", re.ASCII)
_FETCHED = re.compile(r"(?i)[\"'\s\\`]*(https?:|ftp:|git:|ssh:|git@)")
_UNPLAIN = frozenset("$'\"\\`")
_SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Judged:
    """``text``: what to send. ``images``: ids that are built on or copied from; before the build starts, the ONBUILD triggers that these
    carry go through ``judge_triggers``."""

    text: bytes
    images: tuple[str, ...]


@dataclass(slots=True)
class _Stages:
    """``done``: names of the stages before this one, None for one without; ``own``: the name of this one."""

    done: list[str | None] = field(default_factory=list)
    own: str | None = None
    count: int = 0

    def named(self, text: str) -> bool:
        return text.lower() in self.done

    def begin(self, name: str | None) -> None:
        if self.count:
            self.done.append(self.own)
        self.own, self.count = name, self.count + 1


def judge_dockerfile(data: bytes, arguments: Mapping[str, str], target: str, allowed: Allowed, mark: str = "") -> Judged:
    """The Dockerfile to send. ``arguments``: of the query's buildargs; ``target``: the stage to end with, or empty; ``allowed``: the id of
    an image that may be used, by the name that the Dockerfile gives it after substitution; it may raise, too. ``mark``: a line below each
    FROM, so that no layer of the build hangs directly below an image of others: the engine's cache would give it to everybody's builds,
    and theirs to this one.

    Raises:
        Denied: an image that is not allowed, a fetch by the engine, or what the classic builder does not have.
    """
    source = parse(data)
    ids: dict[str, None] = {}

    def pin(name: str, where: str) -> str:
        found = full_id(allowed(name) or "")
        if found is None:
            raise deny("image.not-allowed", f"the image {name[:80]!r} is not on this session's list", field=where)
        ids[found] = None
        return found.removeprefix("sha256:")

    lines = ["# escape=`"] if source.escape == "`" else []
    lines += _written(source, arguments, target, pin, mark)
    return Judged("".join(f"{line}\n" for line in lines).encode(), tuple(ids))


def images_of(data: bytes, arguments: Mapping[str, str], target: str = "") -> tuple[str, ...]:
    """The images that a build needs, as the Dockerfile names them after substitution.

    Raises:
        Denied: as ``judge_dockerfile``, but for the images.
    """
    names: dict[str, None] = {}

    def note(name: str) -> str:
        names[name] = None
        return "0" * 64

    judge_dockerfile(data, arguments, target, note)
    return tuple(names)


def rewrite(data: bytes, ids: Mapping[str, str], arguments: Mapping[str, str] | None = None, target: str = "") -> bytes:
    """As ``judge_dockerfile`` with a table in place of a question."""
    return judge_dockerfile(data, arguments or {}, target, ids.get).text


def judge_triggers(triggers: Iterable[str]) -> None:
    """The ONBUILD triggers of an image that is built on: they run in the build, as they are.

    Raises:
        Denied: one that is not allowed in an ONBUILD, or that could be read in two ways.
    """
    where = "ONBUILD of the base image"
    for trigger in triggers:
        found = parse(trigger.encode(errors="surrogatepass")).instructions
        if "\n" in trigger or len(found) != 1:
            raise deny("build.onbuild", "a trigger of the image is more than one line", field=where)
        _trigger(found[0], "\\", where)
        if found[0].word == "ADD" and any(_may_be_address(path) for path in _paths(found[0], where)[:-1]):
            raise deny("build.onbuild", "an ADD of the image has a source that is known only later", field=where)


def _written(source: Source, arguments: Mapping[str, str], target: str, pin: Callable[[str, str], str], mark: str) -> list[str]:
    lines: list[str] = []
    variables: dict[str, str] = {}
    stages, last = _Stages(), _last_stage(source, target)
    for one in source.instructions:
        where = f"Dockerfile:{one.line}"
        if one.word == "FROM":
            if last is not None and stages.count > last:
                break  # what comes after the target is not built
            lines.append(_from(one, variables, source.escape, stages, pin, where))
            if mark:
                lines.append(mark)
        elif stages.count == 0:
            if one.word != "ARG":
                raise deny("build.dockerfile", f"{one.word} stands before the first FROM", field=where, status=400)
            lines.append(plain_line(one))
            _declare(one, variables, arguments, source.escape)
        elif one.word in ("COPY", "ADD"):
            lines.append(_copy(one, stages, pin, where))
        elif one.word == "ONBUILD":
            lines.append(f"ONBUILD {_trigger(instruction(one.rest, one.line, source.escape), source.escape, where)}")
        else:
            lines.append(plain_line(one))
    if stages.count == 0:
        raise deny("build.dockerfile", "the Dockerfile has no FROM", status=400)
    for line in lines:
        if len(line.encode()) > MAX_LINE:
            raise deny("build.dockerfile-large", f"an instruction is longer than {MAX_LINE} bytes", status=413)
    return lines


def _last_stage(source: Source, target: str) -> int | None:
    """The number of the stage that ``target`` names; None: the last one."""
    if not target:
        return None
    froms = [one for one in source.instructions if one.word == "FROM"]
    names = [words[2].lower() if len(words := one.rest.split()) == 3 else "" for one in froms]
    if target.lower() in names:
        return names.index(target.lower())
    if target.isascii() and target.isdigit() and len(target) < 4 and int(target) < len(froms):
        return int(target)
    raise deny(
        "build.target", f"no stage is called {target[:80]!r}", field="target", allowed=", ".join(filter(None, names)) or None, status=400
    )


def _declare(one: Instruction, variables: dict[str, str], arguments: Mapping[str, str], escape: str) -> None:
    """ARG before the first FROM."""
    for word in split_words(one.rest, escape):
        name, given, default = word.partition("=")
        name = expand(name, {}, escape)
        if name in arguments:
            variables[name] = arguments[name]
        elif given:
            variables[name] = expand(default, variables, escape)


def _from(one: Instruction, variables: Mapping[str, str], escape: str, stages: _Stages, pin: Callable[[str, str], str], where: str) -> str:
    words = one.rest.split()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
        raise deny("build.dockerfile", "FROM takes an image, or an image and AS and a name", field=where, status=400)
    name = words[2].lower() if len(words) == 3 else None
    if name is not None and (not _STAGE.fullmatch(name) or name == _SCRATCH or stages.named(name) or name == stages.own):
        raise deny("build.dockerfile", f"{words[2][:40]!r} cannot be the name of a stage, or is one already", field=where, status=400)
    if stages.count == MAX_STAGES:
        raise deny("build.dockerfile-large", f"more than {MAX_STAGES} stages", status=413)
    base = expand(words[0], variables, escape)
    stages.begin(name)
    # --platform is left out: the image is the one that was pinned.
    written = base.lower() if stages.named(base) else base if base == _SCRATCH else pin(base, where)
    return f"FROM {written}" + (f" AS {name}" if name else "")


def _copy(one: Instruction, stages: _Stages, pin: Callable[[str, str], str], where: str) -> str:
    paths = _paths(one, where)
    flags = dict(one.flags)
    if "from" in flags:
        flags["from"] = _copied_from(flags["from"] or "", stages, pin, where)
    if one.word == "ADD":
        paths = [*(_never_fetched(path, where) for path in paths[:-1]), paths[-1]]
    return plain_line(Instruction(one.word, tuple(flags.items()), json.dumps(paths, ensure_ascii=False), one.line))


def _copied_from(text: str, stages: _Stages, pin: Callable[[str, str], str], where: str) -> str:
    if stages.named(text):
        return text.lower()
    if text.isascii() and text.isdigit() and len(text) < 4:
        if int(text) >= len(stages.done):
            raise deny("build.dockerfile", f"there is no stage {text} before this one", field=where, status=400)
        return str(int(text))
    if not text or "$" in text:
        raise deny(
            "build.flag",
            f"COPY --from={text[:80]} is not understood",
            field=where,
            allowed="a stage or an image, without variables",
            status=400,
        )
    if text == _SCRATCH:
        raise deny("build.flag", "nothing can be copied from scratch", field=where, status=400)
    return pin(text, where)


def _paths(one: Instruction, where: str) -> list[str]:
    """Sources and target, as JSON or as words."""
    paths = one.rest.split()
    if one.rest.startswith("["):
        try:
            listed = json.loads(one.rest)
        except (ValueError, RecursionError):
            listed = None
        if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
            # Engines take the list that such a line begins with, or else its words.
            raise deny("build.dockerfile", f"{one.word} begins with '[' and is no list of texts", field=where, status=400)
        paths = [str(item) for item in listed]
    if len(paths) < 2:
        raise deny("build.dockerfile", f"{one.word} takes sources and a target", field=where, status=400)
    for path in paths:
        if HEREDOC.match(path):
            raise deny("build.heredoc", "here-documents need BuildKit, which is not to be had here", field=where, allowed=CLASSIC)
        if any("\ud800" <= char <= "\udfff" or char < " " for char in path):
            raise deny("build.dockerfile", f"{path[:40]!r} is no path", field=where, status=400)
    return paths


def _never_fetched(path: str, where: str) -> str:
    """A source of ADD that the engine takes for a path, whatever its variables say: it fetches what begins with ``http``, by itself."""
    if _FETCHED.match(path) or path.lower().endswith(".git"):
        raise deny(
            "build.add-url", f"ADD {path[:80]!r}: the engine would fetch it, past the rules of the network", field=where,
            allowed="RUN curl or wget, which go through the proxy",
        )  # fmt: skip
    return f"./{path}" if _may_be_address(path) else path


def _may_be_address(path: str) -> bool:
    """Whether a variable or a quote could make an address of it. With ``./`` or ``/`` in front nothing can."""
    return not _UNPLAIN.isdisjoint(path) and not path.startswith(("./", "/"))


def _trigger(one: Instruction, escape: str, where: str) -> str:
    """The instruction of an ONBUILD."""
    if one.word not in ONBUILD:
        raise deny("build.onbuild", f"{one.word} cannot stand in an ONBUILD", field=where, status=400)
    if any(name == "from" for name, _ in one.flags):
        raise deny(
            "build.onbuild",
            "ONBUILD COPY --from would name its image later, when nobody looks",
            field=where,
            allowed="COPY --from in the Dockerfile itself",
        )
    judge_line(one, escape, where)
    if one.word not in ("COPY", "ADD"):
        return plain_line(one)

    def nothing(name: str, where: str) -> str:
        raise AssertionError(name)

    return _copy(one, _Stages(), nothing, where)


__all__ = ["MAX_BYTES", "Judged", "images_of", "judge_dockerfile", "judge_triggers", "parse", "plain_line", "rewrite"]
