"""What the environment hands over, judged before any git sees it: the header of a bundle and the manifest.

Pure and closed by default: what is not named here is refused. Every answer to any bytes is a value or ``HarvestFailed``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.errors import HarvestFailed

HEADER_MAX_BYTES = 4 * 1024 * 1024
MANIFEST_MAX_BYTES = 8 * 1024 * 1024
REFS_MAX = 10_000
LIST_MAX = 300_000  # artifacts: as many as the limit on files lets through
TEXT_MAX = 8192
OUT = "refs/aienv-out/"

ObjectFormat = Literal["sha1", "sha256"]

_OID = {"sha1": re.compile(r"[0-9a-f]{40}"), "sha256": re.compile(r"[0-9a-f]{64}")}
_PART = r"(?:[A-Za-z0-9_%-](?:[A-Za-z0-9_%-]|\.(?=[A-Za-z0-9_%-]))*)"
_REST = rf"{_PART}(?:/{_PART})*"
# Every ref that the harvest program may write, below refs/aienv-out/.
REF_NAMES = (
    rf"head|worktree|index|ignored|raw|lfs|conflict/[123]|stash/[0-9]{{1,6}}|heads/{_REST}|tags/{_REST}|other/{_REST}|lost/(?:[0-9]{{1,6}}|bunch-[0-9]{{1,6}}|objects)"
)
_BUNDLE_NAME = re.compile(r"nested/[0-9]{4}\.bundle")


@dataclass(frozen=True, slots=True)
class BundleHeader:
    """``refs`` maps names without ``refs/aienv-out/`` to objects; ``pack_offset`` is where the pack begins, in bytes."""

    object_format: ObjectFormat
    prerequisites: tuple[str, ...]
    refs: Mapping[str, str]
    pack_offset: int


@dataclass(frozen=True, slots=True)
class ManifestRef:
    name: str
    commit: str
    origin: str


@dataclass(frozen=True, slots=True)
class ManifestNested:
    path: str
    bundle: str | None
    note: str


@dataclass(frozen=True, slots=True)
class ManifestArtifact:
    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the harvest program says it wrote. ``complete``: everything the agent wrote is in the outbox."""

    version: int
    run_id: str
    task: str
    object_format: ObjectFormat
    base: str | None
    head: str | None
    result: str | None
    branch: str | None
    uncommitted: bool
    complete: bool
    bundle: bool
    salvage: bool
    refs: tuple[ManifestRef, ...]
    nested: tuple[ManifestNested, ...]
    artifacts: tuple[ManifestArtifact, ...]
    unreadable: tuple[str, ...]
    notes: tuple[str, ...]


def refused(why: str) -> HarvestFailed:
    return HarvestFailed(
        f"the harvest is refused: {why}", remedy="the environment's files are untrusted; look at what lies in the run folder"
    )


def parse_bundle_header(data: bytes) -> BundleHeader:
    """The header of a bundle of version 2 or 3; ``data`` is its beginning, at most ``HEADER_MAX_BYTES`` are looked at.

    Raises:
        HarvestFailed: not a bundle, unknown capability, foreign or doubled ref name, too long.
    """
    end = data.find(b"\n\n", 0, HEADER_MAX_BYTES)
    if end < 0:
        raise refused(f"the bundle has no header that ends within {HEADER_MAX_BYTES} bytes")
    try:
        lines = data[:end].decode("ascii").split("\n")
    except UnicodeDecodeError:
        lines = _with_plain_comments(data[:end])
    match lines[0]:
        case "# v2 git bundle":
            object_format: ObjectFormat = "sha1"
            rest: Sequence[str] = lines[1:]
        case "# v3 git bundle":
            object_format, rest = _capabilities(lines[1:])
        case _:
            raise refused("this is no git bundle of version 2 or 3")
    prerequisites, refs = _bundle_lines(rest, _OID[object_format])
    return BundleHeader(object_format, prerequisites, refs, end + 2)


def _with_plain_comments(header: bytes) -> list[str]:
    """Subjects of prerequisite commits may hold any bytes; everything else is ASCII."""
    lines = []
    for line in header.split(b"\n"):
        shown = line[:130] if line.startswith(b"-") else line
        try:
            lines.append(shown.decode("ascii", "replace" if line.startswith(b"-") else "strict"))
        except UnicodeDecodeError as problem:
            raise refused("the bundle's header is not ASCII") from problem
    return lines


def _capabilities(lines: Sequence[str]) -> tuple[ObjectFormat, Sequence[str]]:
    object_format: ObjectFormat = "sha1"
    for number, line in enumerate(lines):
        match line:
            case "@object-format=sha1":
                object_format = "sha1"
            case "@object-format=sha256":
                object_format = "sha256"
            case _ if line.startswith("@"):
                raise refused(f"the bundle asks for the unknown capability {line[1:80]!r}")
            case _:
                return object_format, lines[number:]
    return object_format, ()


def _bundle_lines(lines: Sequence[str], oid: re.Pattern[str]) -> tuple[tuple[str, ...], Mapping[str, str]]:
    prerequisites: list[str] = []
    refs: dict[str, str] = {}
    for line in lines:
        if line.startswith("-"):
            word = line[1:].split(" ", 1)[0]
            if not oid.fullmatch(word) or refs:
                raise refused(f"the bundle has the bad prerequisite {line[:80]!r}")
            prerequisites.append(word)
            continue
        word, _, name = line.partition(" ")
        if not oid.fullmatch(word) or not name.startswith(OUT) or not is_ref_name(name.removeprefix(OUT)):
            raise refused(f"the bundle has the ref line {line[:200]!r}, which no harvest writes")
        if name.removeprefix(OUT) in refs:
            raise refused(f"the bundle has the ref {name[:200]!r} twice")
        refs[name.removeprefix(OUT)] = word
        if len(refs) > REFS_MAX:
            raise refused(f"the bundle has more than {REFS_MAX} refs")
    if not refs:
        raise refused("the bundle has no refs")
    return tuple(prerequisites), refs


def is_ref_name(name: str) -> bool:
    """Whether the harvest program may write ``refs/aienv-out/<name>``."""
    return (
        len(name) <= 1000
        and re.fullmatch(REF_NAMES, name) is not None
        and all(len(part) <= 200 and not part.endswith(".lock") for part in name.split("/"))
    )


def parse_manifest(data: bytes) -> Manifest:
    """The manifest, every member checked.

    Raises:
        HarvestFailed: not JSON, an unknown or missing member, a wrong type, a name that no harvest writes, too long.
    """
    if len(data) > MANIFEST_MAX_BYTES:
        raise refused(f"the manifest has {len(data)} bytes, more than {MANIFEST_MAX_BYTES}")
    try:
        plain = json.loads(data.decode("utf-8"), object_pairs_hook=_members_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise refused(f"the manifest is no JSON: {str(problem)[:200]}") from problem
    return _manifest(plain)


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands there twice")
    return members


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


class _Reader:
    """Takes the members of one object, each of the type asked for, and refuses what is left over."""

    def __init__(self, plain: object, where: str) -> None:
        if not isinstance(plain, dict):
            raise refused(f"the manifest's {where} is no object")
        self._members = dict(plain)
        self._where = where

    def _take(self, name: str, kind: type) -> Any:
        value = self._members.pop(name, None)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise refused(f"the manifest's {self._where}.{name} is missing or of a wrong type")
        return value

    def text(self, name: str) -> str:
        value: str = self._take(name, str)
        if len(value) > TEXT_MAX or not value.isprintable():
            raise refused(f"the manifest's {self._where}.{name} is too long or has control characters")
        return value

    def flag(self, name: str) -> bool:
        value: bool = self._take(name, bool)
        return value

    def number(self, name: str) -> int:
        value: int = self._take(name, int)
        if not 0 <= value < 2**63:
            raise refused(f"the manifest's {self._where}.{name} is out of range")
        return value

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self._members.get(name, "") is not None else self._members.pop(name)

    def items(self, name: str, most: int) -> list[Any]:
        value: list[Any] = self._take(name, list)
        if len(value) > most:
            raise refused(f"the manifest's {self._where}.{name} has more than {most} entries")
        return value

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        return tuple(_Reader({"item": item}, f"{self._where}.{name}").text("item") for item in self.items(name, most))

    def end(self) -> None:
        if self._members:
            raise refused(f"the manifest's {self._where} has the unknown member {min(self._members)[:80]!r}")


def _manifest(plain: object) -> Manifest:
    top = _Reader(plain, "top")
    if top.number("version") != 1:
        raise refused("the manifest has an unknown version")
    object_format: ObjectFormat = "sha256" if (found := top.text("object_format")) == "sha256" else "sha1"
    if found != object_format:
        raise refused(f"the manifest has the unknown object format {found[:40]!r}")
    oid = _OID[object_format]
    refs = tuple(_ref(item, oid) for item in top.items("refs", REFS_MAX))
    if len({ref.name for ref in refs}) != len(refs):
        raise refused("the manifest has a ref twice")
    manifest = Manifest(
        version=1,
        run_id=top.text("run_id"),
        task=top.text("task"),
        object_format=object_format,
        base=_optional_oid(top, "base", oid),
        head=_optional_oid(top, "head", oid),
        result=_optional_oid(top, "result", oid),
        branch=top.optional_text("branch"),
        uncommitted=top.flag("uncommitted"),
        complete=top.flag("complete"),
        bundle=top.flag("bundle"),
        salvage=top.flag("salvage"),
        refs=refs,
        nested=tuple(_nested(item) for item in top.items("nested", 10_000)),
        artifacts=tuple(_artifact(item) for item in top.items("artifacts", LIST_MAX)),
        unreadable=top.texts("unreadable", 10_000),
        notes=top.texts("notes", 1000),
    )
    top.end()
    return _consistent(manifest)


def _optional_oid(reader: _Reader, name: str, oid: re.Pattern[str]) -> str | None:
    value = reader.optional_text(name)
    if value is not None and not oid.fullmatch(value):
        raise refused(f"the manifest's {name} is no object name")
    return value


def _ref(plain: object, oid: re.Pattern[str]) -> ManifestRef:
    reader = _Reader(plain, "refs")
    ref = ManifestRef(reader.text("name"), reader.text("commit"), reader.text("origin"))
    reader.end()
    if not is_ref_name(ref.name) or not oid.fullmatch(ref.commit):
        raise refused(f"the manifest has the ref {ref.name[:200]!r}, which no harvest writes")
    return ref


def _nested(plain: object) -> ManifestNested:
    reader = _Reader(plain, "nested")
    nested = ManifestNested(reader.text("path"), reader.optional_text("bundle"), reader.text("note"))
    reader.end()
    if nested.bundle is not None and not _BUNDLE_NAME.fullmatch(nested.bundle):
        raise refused(f"the manifest has the nested bundle {nested.bundle[:80]!r}, which no harvest writes")
    return nested


def _artifact(plain: object) -> ManifestArtifact:
    reader = _Reader(plain, "artifacts")
    artifact = ManifestArtifact(reader.text("path"), reader.number("bytes"))
    reader.end()
    return artifact


def _consistent(manifest: Manifest) -> Manifest:
    """The result is the work tree's commit, else the head, else the base; a result that is not the base is among the refs."""
    tips = {ref.name: ref.commit for ref in manifest.refs}
    if tips.get("head", manifest.base if manifest.head is not None else None) != manifest.head:
        raise refused("the manifest's head is not the commit of ref head")
    if manifest.result != tips.get("worktree", tips.get("head", manifest.base)):
        raise refused("the manifest's result is none of its refs")
    if manifest.uncommitted != ("worktree" in tips):
        raise refused("the manifest's uncommitted does not fit to its refs")
    return manifest
