"""The bare repository in which the host looks at a bundle for the first time, and the only one in which it reads the result.

Made by writing files, so no template gets in; the objects of the user's side are borrowed from the mirrors.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import AienvError, HarvestFailed
from orchestrator.harvest.check import OUT, BundleHeader, ObjectFormat, refused
from orchestrator.repos.gitcmd import git

EMPTY_TREE: Mapping[ObjectFormat, str] = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}

# Complaints of fsck about old or careless commits that do no harm. All others, among them hasDotgit, gitmodulesUrl and symlinked
# .gitmodules, stop the harvest; so does what a later git learns to complain about.
BENIGN: tuple[str, ...] = (
    "badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "missingEmail", "missingNameBeforeEmail", "missingSpaceBeforeDate",
    "missingSpaceBeforeEmail", "missingTaggerEntry", "multipleAuthors", "nulInCommit", "zeroPaddedDate", "zeroPaddedFilemode",
)  # fmt: skip

# No single piece of memory larger than this: a small pack can hold a commit or folder that unpacks to many gigabytes.
MEMORY = {"GIT_ALLOC_LIMIT": "1g"}

CONFIG = """\
[core]
    repositoryformatversion = {version}
    bare = true
    hooksPath = /dev/null
    attributesFile = /dev/null
    fsmonitor = false
    logAllRefUpdates = false
    bigFileThreshold = 32m
[gc]
    auto = 0
[maintenance]
    auto = false
[protocol]
    allow = never
[protocol "file"]
    allow = always
[uploadpack]
    allowAnySHA1InWant = false
{extensions}"""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """``known``: commits that the host has anyway (the base first); everything that they reach is in the borrowed objects."""

    git_dir: Path
    object_format: ObjectFormat
    known: tuple[str, ...]

    def run(self, *args: str, stdin: bytes = b"") -> bytes:
        """Output of one plumbing command in the quarantine; our own errors where git fails."""
        return git(
            args, git_dir=self.git_dir, cwd=self.git_dir, env=MEMORY, input=stdin, doing=f"reading the harvest (git {args[0]})"
        ).stdout


def make_quarantine(
    git_dir: Path, objects: Iterable[Path], known: Sequence[str], object_format: ObjectFormat, shallow: Sequence[str] = ()
) -> Quarantine:
    """A fresh quarantine; one that is left over from an earlier try goes first."""
    shutil.rmtree(git_dir, ignore_errors=True)
    for part in ("objects/info", "objects/pack", "refs"):
        (git_dir / part).mkdir(parents=True)
    sha256 = object_format == "sha256"
    extensions = "[extensions]\n    objectFormat = sha256\n" if sha256 else ""
    (git_dir / "config").write_text(CONFIG.format(version=int(sha256), extensions=extensions))
    (git_dir / "objects/info/alternates").write_bytes(b"".join(os.fsencode(one) + b"\n" for one in objects))
    if shallow:
        (git_dir / "shallow").write_text("".join(f"{oid}\n" for oid in shallow))
    (git_dir / "HEAD").write_text("ref: refs/heads/none\n")
    return Quarantine(git_dir, object_format, tuple(dict.fromkeys(known)))


def take_bundle(
    quarantine: Quarantine, bundle: Path, header: BundleHeader, refs: Mapping[str, str], max_bytes: int, deadline_s: float
) -> None:
    """Unpack a bundle whose header was judged, check every object, and set ``refs`` (names below ``refs/aienv-out/``).

    ``git fetch`` from a bundle runs no fsck before git 2.46, so the pack goes through ``index-pack --strict`` itself.

    Raises:
        HarvestFailed: prerequisites that the host does not have, a damaged or hostile object, something missing.
    """
    try:
        _only_known(quarantine, header.prerequisites, "its prerequisites")
        with bundle.open("rb", buffering=0) as file:
            os.lseek(file.fileno(), header.pack_offset, os.SEEK_SET)
            strict = "--strict=" + ",".join(f"{name}=warn" for name in BENIGN)
            git(
                ("index-pack", "--stdin", "--fix-thin", strict, f"--max-input-size={max_bytes}"),
                git_dir=quarantine.git_dir,
                cwd=quarantine.git_dir,
                env=MEMORY,
                input=file,
                deadline_s=deadline_s,
                doing="checking the bundle",
            )
        set_refs(quarantine, refs)
    except AienvError as problem:
        raise refused(problem.message) from problem


def set_refs(quarantine: Quarantine, refs: Mapping[str, str]) -> None:
    """Set ``refs``, make sure that all they need is there, and read them back.

    Raises:
        HarvestFailed: an object is missing, or is not of the type that its name promises.
    """
    wanted = "".join(f"{oid}\n" for oid in sorted(set(refs.values()))) + "".join(f"^{oid}\n" for oid in quarantine.known)
    quarantine.run("rev-list", "--objects", "--quiet", "--stdin", stdin=wanted.encode())
    lines = sorted(f"{oid} {OUT}{name}\n" for name, oid in refs.items())
    (quarantine.git_dir / "packed-refs").write_text("".join(lines))
    answer = quarantine.run("for-each-ref", "--format=%(objectname) %(objecttype) %(*objecttype) %(refname)", OUT.rstrip("/")).decode()
    found: dict[str, str] = {}
    for line in answer.splitlines():
        oid, kind, inner, name = line.split(" ", 3)
        if kind != "commit" and (inner != "commit" or name.removeprefix(OUT).split("/")[0] not in ("tags", "other", "lost")):
            raise refused(f"ref {name!r} is a {kind}, not a commit")
        found[name.removeprefix(OUT)] = oid
    if found != dict(refs):
        raise refused("the refs read back are not those that were promised")


def _only_known(quarantine: Quarantine, oids: Iterable[str], what: str) -> None:
    """Refuse unless the host's own commits reach all of ``oids``."""
    asked = sorted(set(oids) - set(quarantine.known))
    if asked:
        lines = "".join(f"{oid}\n" for oid in asked) + "".join(f"^{oid}\n" for oid in quarantine.known)
        count = quarantine.run("rev-list", "--count", "--stdin", stdin=lines.encode()).strip()
        if count != b"0":
            raise HarvestFailed(f"the bundle builds on commits that are not in the repository ({what})", remedy=None)


def keep_known(quarantine: Quarantine, refs: Mapping[str, str]) -> None:
    """Refs that are in no bundle must lie in what the host has."""
    try:
        _only_known(quarantine, refs.values(), "refs without objects")
    except AienvError as problem:
        raise refused(problem.message) from problem
