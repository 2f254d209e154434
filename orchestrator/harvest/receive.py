"""The host's side of the harvest: copy, judge, unpack, read back.

First everything is copied into the run folder, so that it is safe whatever the judgement says. Then the bundle is unpacked in a quarantine
repository; the user's repository is not touched here. No git runs in anything that the agent wrote.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from orchestrator import trees
from orchestrator.errors import AienvError, HarvestFailed
from orchestrator.harvest import outbox as boxes
from orchestrator.harvest.check import HEADER_MAX_BYTES, MANIFEST_MAX_BYTES, Manifest, parse_bundle_header, parse_manifest, refused
from orchestrator.harvest.executes import host_executes
from orchestrator.harvest.quarantine import EMPTY_TREE, MEMORY, Quarantine, keep_known, make_quarantine, set_refs, take_bundle
from orchestrator.harvest.request import HarvestLimits
from orchestrator.model.record import ChangedFile, Harvest, HarvestedRef, NestedRepo
from orchestrator.repos.gitcmd import git

BUNDLE, PATCH, SALVAGE, REFUSED = "result.bundle", "result.patch", "salvage.tar", "result.bundle.refused"
PATCH_BLOBS_MAX_BYTES = 256 * 1024 * 1024  # of the changed files, unpacked: a small bundle can hold a file of many gigabytes
CHANGED_FILES_MAX = 200_000
UNPACK_DEADLINE_S = 600.0


def read_manifest(outbox: Path) -> Manifest:
    """What the harvest program says it wrote.

    Raises:
        HarvestFailed: it wrote nothing, or nothing that can be believed.
    """
    with boxes.opened(outbox) as folder:
        data = boxes.read(folder, "manifest.json", MANIFEST_MAX_BYTES)
    if data is None:
        raise HarvestFailed("the harvest program left no manifest", remedy="the workspace is kept; see aienv ps")
    return parse_manifest(data)


def receive(
    outbox: Path,
    run_dir: Path,
    quarantine: Path,
    *,
    run_id: str,
    base: str | None,
    objects: Sequence[Path],
    known_refs: Sequence[tuple[str, str]] = (),
    shallow: Sequence[str] = (),
    limits: HarvestLimits = HarvestLimits(),  # noqa: B008  frozen
) -> Harvest:
    """Take over one harvest. Doing it again is harmless.

    ``objects``: object folders of the mirrors on the host; ``base`` and ``known_refs``: what the clone began with. ``quarantine`` is made
    here, and stays for ``deliver``.

    Raises:
        HarvestFailed: with the cause. What was brought out lies in ``run_dir`` even so; a refused bundle as ``result.bundle.refused``.
    """
    manifest = read_manifest(outbox)
    if (manifest.run_id, manifest.base) != (run_id, base):
        raise refused("the manifest is that of another run or another base commit")
    run_dir.mkdir(parents=True, exist_ok=True)
    with boxes.opened(outbox) as folder:
        present = boxes.copy(folder, BUNDLE, run_dir / REFUSED, limits.bundle_bytes) is not None
        nested, nested_notes = _copy_nested(folder, run_dir, manifest, limits)
        salvaged = manifest.salvage and boxes.copy(folder, SALVAGE, run_dir / SALVAGE, 2 * limits.bundle_bytes) is not None
        artifacts, artifact_notes = boxes.copy_tree(folder, "artifacts", run_dir / "artifacts", limits.artifact_bytes, limits.files)
    boxes.sync_folder(run_dir)
    try:
        if present != manifest.bundle:
            raise refused("bundle and manifest do not fit together")
        place = _unpack(run_dir, quarantine, manifest, objects, tuple(oid for _, oid in known_refs), shallow, limits)
    except AienvError as problem:
        raise _with_place(problem, run_dir, present) from problem
    if present:
        (run_dir / REFUSED).replace(run_dir / BUNDLE)
    changed, patch, patch_notes = _read_changes(place, manifest, run_dir)
    boxes.sync_folder(run_dir)
    return Harvest(
        base=base,
        head=manifest.head,
        commit=manifest.result,
        uncommitted=manifest.uncommitted,
        refs=tuple(HarvestedRef(ref.name, ref.commit, ref.origin) for ref in manifest.refs),
        changed_files=changed,
        nested=nested,
        artifacts=tuple(_shown(name) for name in artifacts),
        bundle=BUNDLE if present else None,
        patch=patch,
        notes=(
            *manifest.notes,
            *((f"parts that git cannot carry lie in {SALVAGE}",) if salvaged else ()),
            *nested_notes,
            *(_shown(note) for note in artifact_notes),
            *patch_notes,
        ),
        complete=manifest.complete,
    )


def _shown(text: str) -> str:
    """Names that are not UTF-8 as escapes: records must be JSON and fit for a terminal."""
    return "".join(char if char.isprintable() else f"\\x{ord(char) & 0xFF:02x}" for char in text)


def _with_place(problem: AienvError, run_dir: Path, present: bool) -> HarvestFailed:
    where = f"the bundle lies unopened in {run_dir / REFUSED}" if present else f"what was brought out lies in {run_dir}"
    return HarvestFailed(f"{problem.message}; {where}", remedy="the workspace is kept as well (aienv ps); open either only in a sandbox")


def _copy_nested(folder: int, run_dir: Path, manifest: Manifest, limits: HarvestLimits) -> tuple[tuple[NestedRepo, ...], tuple[str, ...]]:
    """Bundles of nested repositories: copied and their headers judged; no git of ours opens them."""
    nested, notes = [], []
    for item in manifest.nested:
        bundle = item.bundle
        if bundle is not None:
            target = run_dir / bundle
            target.parent.mkdir(exist_ok=True)
            try:
                if boxes.copy(folder, bundle, target, limits.bundle_bytes) is None:
                    raise refused(f"{bundle!r} is missing")
                with target.open("rb") as file:
                    parse_bundle_header(file.read(HEADER_MAX_BYTES))
            except HarvestFailed as problem:
                notes.append(f"nested repository {item.path}: {problem.message}")
                if target.exists():
                    target.replace(target.with_name(target.name + ".refused"))
                bundle = None
        nested.append(NestedRepo(item.path, bundle, item.note))
    return tuple(nested), tuple(notes)


def _unpack(
    run_dir: Path,
    git_dir: Path,
    manifest: Manifest,
    objects: Sequence[Path],
    known: Sequence[str],
    shallow: Sequence[str],
    limits: HarvestLimits,
) -> Quarantine:
    known = ((manifest.base, *known) if manifest.base else known) if objects else ()
    place = make_quarantine(git_dir, objects, known, manifest.object_format, shallow)
    promised = {ref.name: ref.commit for ref in manifest.refs}
    if not manifest.bundle:
        keep_known(place, promised)
        set_refs(place, promised)
        return place
    bundle = run_dir / REFUSED
    with bundle.open("rb") as file:
        header = parse_bundle_header(file.read(HEADER_MAX_BYTES))
    if header.object_format != manifest.object_format:
        raise refused("bundle and manifest have different object formats")
    lies = [name for name, oid in header.refs.items() if promised.get(name) != oid]
    if lies:
        raise refused(f"the bundle's ref {lies[0]!r} is not what the manifest says")
    take_bundle(place, bundle, header, promised, limits.bundle_bytes, UNPACK_DEADLINE_S)
    keep_known(place, {name: oid for name, oid in promised.items() if name not in header.refs and oid not in header.refs.values()})
    return place


def _read_changes(place: Quarantine, manifest: Manifest, run_dir: Path) -> tuple[tuple[ChangedFile, ...], str | None, tuple[str, ...]]:
    """The changed files, the patch's name (None: no change, or too large), and notes."""
    (run_dir / PATCH).unlink(missing_ok=True)
    if manifest.result is None or manifest.result == manifest.base:
        return (), None, ()
    start = manifest.base or EMPTY_TREE[place.object_format]
    raw = place.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", start, manifest.result)
    changed, blobs = parse_raw_diff(raw)
    notes: list[str] = []
    if len(changed) > CHANGED_FILES_MAX:
        notes.append(f"{len(changed)} files changed; the first {CHANGED_FILES_MAX} are listed")
    if _total_size(place, blobs) > PATCH_BLOBS_MAX_BYTES:
        return changed[:CHANGED_FILES_MAX], None, (*notes, f"the changed files are too large for {PATCH}; the bundle has them")
    if changed:
        _write_patch(place, start, manifest.result, run_dir / PATCH)
    return changed[:CHANGED_FILES_MAX], PATCH if changed else None, tuple(notes)


def parse_raw_diff(raw: bytes) -> tuple[tuple[ChangedFile, ...], frozenset[str]]:
    """``git diff-tree -r -z --raw``: the files, and the objects on both sides."""
    words = raw.split(b"\0")
    changed: list[ChangedFile] = []
    blobs: set[str] = set()
    for facts, path in zip(words[0::2], words[1::2], strict=False):
        old_mode, new_mode, old, new, status = facts.decode("ascii").lstrip(":").split(" ")
        name = _shown(path.decode("utf-8", "surrogateescape"))
        changed.append(ChangedFile(status[:1], name, old_mode, new_mode, host_executes(status[:1], name, old_mode, new_mode)))
        blobs.update(oid for oid, mode in ((old, old_mode), (new, new_mode)) if mode != "160000" and oid.strip("0"))
    return tuple(changed), frozenset(blobs)


def _total_size(place: Quarantine, blobs: frozenset[str]) -> int:
    listing = "".join(f"{oid}\n" for oid in sorted(blobs)).encode()
    sizes = place.run("cat-file", "--batch-check=%(objectsize)", "--buffer", stdin=listing).split(b"\n") if blobs else []
    return sum(int(size) for size in sizes if size.isdigit())


def _write_patch(place: Quarantine, start: str, end: str, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    options = (
        "-p",
        "--binary",
        "--full-index",
        "--no-renames",
        "--no-textconv",
        "--no-ext-diff",
        "--no-color",
        "--src-prefix=a/",
        "--dst-prefix=b/",
    )
    with part.open("wb") as file:
        git(
            ("diff-tree", *options, start, end),
            git_dir=place.git_dir,
            cwd=place.git_dir,
            env=MEMORY,
            output=file,
            doing="writing the patch",
        )
        os.fsync(file.fileno())
    part.replace(target)


def make_readable(workspace: Path) -> int:
    """Give the owner back the right to read what the agent has closed (mode 000 and the like); how many entries were changed.

    Needed when ``Manifest.unreadable`` is not empty, before the harvest is done again. Nothing of the agent's may run any more. Links are
    not followed; only permission bits of the owner are added.
    """
    changed = int(_open_up(None, str(workspace)))  # the walk opens what lies in a folder, so it cannot open its own beginning
    for here, folders, files in trees.walk(workspace):
        changed += sum(_open_up(here, name) for name in (*folders, *files))
    return changed


def _open_up(folder: int | None, name: str) -> bool:
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        mode = os.fstat(handle).st_mode
        wanted = 0o700 if stat.S_ISDIR(mode) else 0o400 if stat.S_ISREG(mode) else 0
        if mode & wanted == wanted:
            return False
        os.chmod(f"/proc/self/fd/{handle}", stat.S_IMODE(mode) | wanted)  # O_PATH needs no right to read
        return True
    finally:
        os.close(handle)
