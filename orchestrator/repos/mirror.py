"""The mirror cache: one bare repository per source, fetched once for all runs, read by many.

    <mirrors>/<key>.git     the mirror; ``aienv.json`` inside says when and what was fetched last
    <mirrors>/<key>.lock    held alone by who fetches
    <mirrors>/<key>.use     held shared by who reads the files, alone by who replaces or removes the mirror
    <mirrors>/<key>.keep/   one empty file per run whose clone borrows objects

Rules: a mirror's configuration is ours alone and names no remote; nothing in it is ever pruned (no gc, and a repack keeps what is
unreachable), so a clone that borrows its objects stays whole while branches move; only ``cache.sweep`` removes a mirror, as a whole.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from orchestrator.errors import AienvError, EnvironmentFailed, NotFound
from orchestrator.repos import contents
from orchestrator.repos.contents import commit_of
from orchestrator.repos.failures import ObjectsDamaged, RemoteUnreachable
from orchestrator.repos.gitcmd import git
from orchestrator.repos.lock import locked
from orchestrator.repos.source import Source
from orchestrator.repos.transport import reach

FETCH_DEADLINE_S = 900.0
USE_DEADLINE_S = 120.0
PACKS_MAX = 40  # every lookup asks every pack; above this a fetch is followed by a merge of packs
_STATE = "aienv.json"
KEY = re.compile(r"[a-z0-9][a-z0-9-]{0,120}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Refs that cannot be stored side by side, or have no usable name, are the source's fault; the others arrive all the same.
_ODD_REFS = re.compile(
    r"cannot lock ref|unable to update local ref|could not be updated|funny name|invalid refname|refusing to (create|update)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class State:
    """What the last fetch saw. ``generation`` differs after every fetch; ``head`` is a full ref name; ``seen`` is a digest of the refs."""

    version: int
    generation: str
    fetched_at: float
    head: str | None
    head_commit: str | None
    seen: str


@dataclass(frozen=True, slots=True)
class Mirror:
    """The mirror ``key`` below ``root``. ``source`` is None where it is only read."""

    root: Path
    key: str
    source: Source | None = None

    @property
    def git_dir(self) -> Path:
        return self.root / f"{self.key}.git"

    @property
    def objects(self) -> Path:
        """What a clone borrows: mounted read-only at ``/run/aienv/objects/<key>``."""
        return self.git_dir / "objects"

    @property
    def lfs_objects(self) -> Path:
        return self.git_dir / "lfs" / "objects"

    @property
    def exists(self) -> bool:
        return (self.git_dir / _STATE).is_file()


def open_mirror(root: Path, key: str) -> Mirror:
    """The mirror that a plan names.

    Raises:
        NotFound: it is not in the cache (any more).
    """
    mirror = Mirror(root, key)
    if not KEY.fullmatch(key) or not mirror.exists:
        raise NotFound(f"no mirror {key!r} in the cache", remedy="start the run from its repository again")
    return mirror


@contextlib.contextmanager
def reading(mirror: Mirror) -> Iterator[None]:
    """While the block runs, nobody replaces or removes the mirror."""
    with locked(mirror.root / f"{mirror.key}.use", shared=True, deadline_s=USE_DEADLINE_S, doing=f"reading the mirror {mirror.key}"):
        yield


def state_of(mirror: Mirror) -> State | None:
    """What the last fetch left; None for no mirror, or one of another version."""
    try:
        plain = json.loads((mirror.git_dir / _STATE).read_bytes())
        state = State(**plain)
    except (OSError, ValueError, TypeError):
        return None
    return state if state.version == 1 else None


def refresh(mirror: Mirror, *, deadline_s: float = FETCH_DEADLINE_S) -> tuple[State, tuple[str, ...]]:
    """Bring the mirror up to date; make it first where there is none. Returns what was seen, and warnings.

    A fetch by another process that ended while we waited for it is as good as one of our own.

    Raises:
        RemoteUnreachable: the source did not answer.
        NotFound, EnvironmentFailed: it answered with a refusal, or the disk did.
    """
    source = _source(mirror)
    mirror.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = state_of(mirror)
    with locked(mirror.root / f"{mirror.key}.lock", shared=False, deadline_s=deadline_s, doing=f"fetching {source.location}"):
        now = state_of(mirror)
        # A path answers within milliseconds: it is always asked, since its owner commits and runs in one breath.
        if now is not None and source.kind == "url" and (before is None or before.generation != now.generation):
            return now, ()
        _remove_leftovers(mirror)
        head, head_commit, refs = _advertised(source, deadline_s)
        state = State(1, secrets.token_hex(8), time.time(), head, head_commit, _digest(head, head_commit, refs, source))
        if now is not None and now.seen == state.seen and _healthy(mirror):
            state = replace(state, generation=now.generation)
            _write_state(mirror.git_dir, state)
            return state, ()
        width = max((len(commit) for commit in refs.values()), default=40)
        if now is None or not _healthy(mirror):
            return state, _build(mirror, state, width, deadline_s)
        try:
            warnings = _fetch(source, mirror.git_dir, deadline_s)
        except ObjectsDamaged:
            return state, _build(mirror, state, width, deadline_s)
        _merge_packs(mirror.git_dir)
        _write_state(mirror.git_dir, state)
        return state, warnings


def rebuild(mirror: Mirror, *, deadline_s: float = FETCH_DEADLINE_S) -> tuple[str, ...]:
    """Make a damaged mirror anew from its source. Returns warnings."""
    source = _source(mirror)
    with locked(mirror.root / f"{mirror.key}.lock", shared=False, deadline_s=deadline_s, doing=f"fetching {source.location}"):
        head, head_commit, refs = _advertised(source, deadline_s)
        state = State(1, secrets.token_hex(8), time.time(), head, head_commit, _digest(head, head_commit, refs, source))
        return _build(mirror, state, max((len(commit) for commit in refs.values()), default=40), deadline_s)


def make_empty(mirror: Mirror, object_format: str, *, deadline_s: float = FETCH_DEADLINE_S) -> None:
    """Make sure that the mirror is there, without any ref of its source: for ``fetch_exact`` alone. A damaged one is made anew."""
    source = _source(mirror)
    mirror.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(mirror.root / f"{mirror.key}.lock", shared=False, deadline_s=deadline_s, doing=f"reading {source.location}"):
        _remove_leftovers(mirror)
        if state_of(mirror) is None or not _healthy(mirror):
            state = State(1, secrets.token_hex(8), time.time(), None, None, "")
            _build(mirror, state, 64 if object_format == "sha256" else 40, deadline_s, with_refs=False)


def fetch_exact(mirror: Mirror, what: str, *, deadline_s: float = FETCH_DEADLINE_S) -> str | None:
    """Fetch one commit id or full ref name that the usual fetch leaves out. The commit, or None when the source has no such thing.

    Raises:
        RemoteUnreachable: the source did not answer.
    """
    source = _source(mirror)
    landing = f"refs/aienv/fetched/{hashlib.sha256(what.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"
    with locked(mirror.root / f"{mirror.key}.lock", shared=False, deadline_s=deadline_s, doing=f"fetching {what} of {source.location}"):
        try:
            _fetch(source, mirror.git_dir, deadline_s, (f"+{what}:{landing}",))
        except RemoteUnreachable as problem:
            # A server that does not give out what it did not advertise hangs up, which looks the same.
            if problem.code == "git-timeout" or "not our ref" not in problem.message:
                raise
            return None
        except AienvError as problem:
            if problem.code in ("git-auth", "git-ownership", "git-host-key", "git-tls"):
                raise
            return None
        return commit_of(mirror.git_dir, landing)


def take_ref(mirror: Mirror, repository: Path, ref: str, *, deadline_s: float = FETCH_DEADLINE_S) -> str | None:
    """One ref of a repository of ours, with the history that it needs; its commit.

    Raises:
        EnvironmentFailed: it could not be read, or the disk is full.
    """
    landing = "refs/aienv/taken"  # the objects stay; the name is only for the moment
    with locked(mirror.root / f"{mirror.key}.lock", shared=False, deadline_s=deadline_s, doing=f"reading {repository}"):
        git(
            ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--no-show-forced-updates", "--update-shallow",
             "--", str(repository), f"+{ref}:{landing}"),
            doing=f"reading {repository}",
            git_dir=mirror.git_dir,
            cwd=Path("/"),
            config=(("protocol.file.allow", "always"),),
            deadline_s=deadline_s,
        )  # fmt: skip
        return commit_of(mirror.git_dir, landing)


def _source(mirror: Mirror) -> Source:
    if mirror.source is None:
        raise EnvironmentFailed(f"the mirror {mirror.key!r} was opened for reading only", remedy="resolve the repository again")
    return mirror.source


def _advertised(source: Source, deadline_s: float) -> tuple[str | None, str | None, dict[str, str]]:
    """HEAD's target, HEAD's commit, and the refs that a mirror holds, as the source tells them."""
    ask = ("ls-remote", "--quiet", "--symref", "--", source.location)
    listing = reach(source, ask, doing=f"reading {source.location}", deadline_s=deadline_s)
    head, refs = None, {}
    for line in listing.text.split("\n"):
        value, _, name = line.partition("\t")
        if name == "HEAD" and value.startswith("ref: refs/heads/"):
            head = value.removeprefix("ref: ")
        elif _COMMIT.fullmatch(value):
            refs[name] = value
    head_commit = refs.pop("HEAD", None)
    kept = {name: value for name, value in refs.items() if name.startswith(_prefixes(source)) and not name.endswith("^{}")}
    return head or _guess_head(head_commit, kept), head_commit, kept


def _guess_head(head_commit: str | None, refs: dict[str, str]) -> str | None:
    """Servers without the symref capability, and plain web servers, tell only where HEAD points."""
    same = sorted(name for name, commit in refs.items() if commit == head_commit and name.startswith("refs/heads/"))
    usual = [name for name in ("refs/heads/main", "refs/heads/master") if name in same]
    return (usual or same or [None])[0]


def _prefixes(source: Source) -> tuple[str, ...]:
    """A path is its owner's working place, so his remote-tracking branches are of use. Stashes and pull requests stay where they are."""
    return ("refs/heads/", "refs/tags/") if source.kind == "url" else ("refs/heads/", "refs/tags/", "refs/remotes/")


def _digest(head: str | None, head_commit: str | None, refs: dict[str, str], source: Source) -> str:
    boundary = b""
    if source.kind == "path":
        for folder in (Path(source.location) / ".git", Path(source.location)):
            with contextlib.suppress(OSError):
                boundary += (folder / "shallow").read_bytes()
    content = json.dumps([head, head_commit, sorted(refs.items())]).encode() + boundary
    return hashlib.sha256(content).hexdigest()


def _fetch(source: Source, git_dir: Path, deadline_s: float, refspecs: tuple[str, ...] = ()) -> tuple[str, ...]:
    wanted = refspecs or tuple(f"+{prefix}*:{prefix}*" for prefix in _prefixes(source))
    args = (
        "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc", "--no-show-forced-updates", "--update-shallow",
        *(("--prune",) if not refspecs else ()),
        *(("--unshallow",) if (git_dir / "shallow").exists() else ()),
        "--", source.location, *wanted,
    )  # fmt: skip
    try:
        reach(source, args, doing=f"fetching {source.location}", deadline_s=deadline_s, git_dir=git_dir)
    except AienvError as problem:
        if problem.code == "git-timeout" or not _ODD_REFS.search(problem.message):
            raise
        return (f"some refs of {source.location} could not be stored: {problem.message}",)
    return ()


def _build(mirror: Mirror, state: State, width: int, deadline_s: float, *, with_refs: bool = True) -> tuple[str, ...]:
    """Make the mirror under another name, then put it in place."""
    source = _source(mirror)
    fresh = mirror.root / f"{mirror.key}.git.new-{secrets.token_hex(4)}"
    try:
        initialise(fresh, bare=True, object_format="sha256" if width == 64 else "sha1", shared=os.geteuid() == 0)
        warnings = _fetch(source, fresh, deadline_s) if with_refs else ()
        _write_state(fresh, state)
        _put_in_place(mirror, fresh)
    except BaseException:  # ^C too: what is half made goes, and the reason goes on
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return warnings


def _put_in_place(mirror: Mirror, fresh: Path) -> None:
    with locked(mirror.root / f"{mirror.key}.use", shared=False, deadline_s=USE_DEADLINE_S, doing=f"replacing the mirror {mirror.key}"):
        if mirror.git_dir.exists():
            # Clones may still borrow from it; sweep removes it when no run is left.
            mirror.git_dir.rename(mirror.root / f"{mirror.key}.git.old-{secrets.token_hex(4)}")
        fresh.rename(mirror.git_dir)


def initialise(git_dir: Path, *, bare: bool, object_format: str, shared: bool = False, extra: str = "") -> None:
    """An empty git folder without templates, whose configuration is exactly what stands here."""
    git_dir.mkdir(parents=True)
    options = ("--quiet", "--template=", "--bare", "--initial-branch=main", f"--object-format={object_format}")
    git(("init", *options, "--", str(git_dir)), cwd=git_dir)
    other = object_format != "sha1"
    (git_dir / "config").write_text(
        f"[core]\n\trepositoryformatversion = {int(other)}\n\tfilemode = true\n\tbare = {str(bare).lower()}\n"
        + ("" if bare else "\tlogallrefupdates = true\n")
        # An agent that runs under another uid reads the objects, whatever the umask was.
        + ("\tsharedrepository = 0644\n" if shared else "")
        + (f"[extensions]\n\tobjectformat = {object_format}\n" if other else "")
        + "[gc]\n\tauto = 0\n"
        + extra
    )
    if shared:
        for folder in (git_dir, git_dir / "objects", git_dir / "objects" / "pack", git_dir / "objects" / "info"):
            folder.chmod(0o755)


def _write_state(git_dir: Path, state: State) -> None:
    temporary = git_dir / f"{_STATE}.new"
    temporary.write_text(json.dumps(asdict(state)))
    temporary.rename(git_dir / _STATE)


def _healthy(mirror: Mirror) -> bool:
    """Whether every ref leads to an object that can be read. What lies deeper shows when it is checked out, see ``rebuild``."""
    return git(("for-each-ref", "--format=%(objecttype) %(tree) %(*tree)"), git_dir=mirror.git_dir, check=False).code == 0


def _remove_leftovers(mirror: Mirror) -> None:
    """What a killed fetch left. We hold the only lock that counts, so every lock file of git is stale."""
    for stale in mirror.root.glob(f"{mirror.key}.git.new-*"):
        shutil.rmtree(stale, ignore_errors=True)
    for folder in (mirror.git_dir, mirror.git_dir / "objects" / "pack"):
        for stale in (*folder.glob("*.lock"), *folder.glob("tmp_*")):
            stale.unlink(missing_ok=True)
    for stale in (mirror.git_dir / "refs").rglob("*.lock"):
        stale.unlink(missing_ok=True)


def _merge_packs(git_dir: Path) -> None:
    """Few large packs in place of many small ones; a geometric repack keeps unreachable objects too."""
    if len(list((git_dir / "objects" / "pack").glob("*.pack"))) > PACKS_MAX:
        git(("repack", "--geometric=2", "-d", "-q"), git_dir=git_dir, check=False, deadline_s=FETCH_DEADLINE_S)


def keep(mirror: Mirror, run_id: str) -> None:
    """From now on a clone of ``run_id`` borrows from the mirror: it stays, also when this process dies."""
    folder = mirror.root / f"{mirror.key}.keep"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / _run_name(run_id)).touch()


def release(root: Path, run_id: str) -> None:
    """``run_id`` has no clone any more. Nothing to release is fine."""
    for marker in root.glob(f"*.keep/{_run_name(run_id)}"):
        marker.unlink(missing_ok=True)


def _run_name(run_id: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", run_id):
        raise ValueError(f"not a run id: {run_id!r}")
    return run_id


def read_file(mirror: Mirror, commit: str, path: str, *, max_bytes: int = contents.FILE_MAX_BYTES) -> bytes | None:
    """The regular file ``path`` as it is in ``commit``, see ``contents.read_file``."""
    with reading(mirror):
        return contents.read_file(mirror.git_dir, commit, path, max_bytes=max_bytes)


def list_files(mirror: Mirror, commit: str, prefix: str = "") -> tuple[str, ...]:
    """Names of the regular files of ``commit`` below the folder ``prefix``, see ``contents.list_files``."""
    with reading(mirror):
        return contents.list_files(mirror.git_dir, commit, prefix)


def which(mirror: Mirror, commit: str, paths: Sequence[str]) -> frozenset[str]:
    """Those of ``paths`` that are regular files of ``commit``, see ``contents.which``."""
    with reading(mirror):
        return contents.which(mirror.git_dir, commit, paths)
