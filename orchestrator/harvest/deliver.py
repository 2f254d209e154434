"""The checked result goes into the user's repository: as a new branch, and as refs below ``refs/aienv/<id>/``.

Never touched: checkout, index, FETCH_HEAD, reflogs, tags, configuration, and any branch that is there already. The user's hooks do not run.
Git runs with the user's configuration here, because it is the user's repository; none of it comes from the agent.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from orchestrator.errors import AienvError, HarvestFailed, UsageError
from orchestrator.model.plan import Plan
from orchestrator.model.record import Delivery, Harvest
from orchestrator.repos.gitcmd import git
from orchestrator.repos.local import git_dir_of

OUR_REFS = "refs/aienv"
NAMES_TRIED = 1000
PUSH_DEADLINE_S = 300.0
FETCH_DEADLINE_S = 600.0

# Against what a user's configuration may ask of a fetch. The objects were checked in the quarantine, more strictly than fetch does.
CALM: tuple[tuple[str, str], ...] = (
    ("core.logAllRefUpdates", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("fetch.fsckObjects", "false"),
    ("fetch.output", "compact"),
    ("protocol.file.allow", "always"),
)


class RunPlace(Protocol):
    """What ``push`` needs to know of a run."""

    @property
    def id(self) -> str: ...

    @property
    def quarantine(self) -> Path: ...


def deliver(harvest: Harvest, run_dir: Path, quarantine: Path, user_repo: Path, run_id: str, branch: str) -> Delivery:
    """Put a harvest into ``user_repo``. Doing it again is harmless.

    ``branch`` is the wished name; when it is taken by something else, a number is added. Without any change there is no branch.

    Raises:
        HarvestFailed: the repository cannot take it; the bundle in ``run_dir`` has everything, and the message says how to fetch it.
    """
    if not harvest.refs:
        return Delivery(None, (), False, "nothing changed")
    try:
        _check_branch(branch)
        _fetch(quarantine, user_repo, run_id)
        written = _set_base(harvest, user_repo, run_id)
        named = _make_branch(harvest, user_repo, branch)
        notes = [f"branch {branch!r} was taken, so it is {named!r}"] if named is not None and named != branch else []
        if any(ref.name == "lfs" for ref in harvest.refs):
            notes.extend(_install_lfs(quarantine, user_repo))
    except (AienvError, OSError) as problem:
        raise _undelivered(problem, harvest, run_dir, user_repo, branch) from problem
    refs = (*written, *(f"{OUR_REFS}/{run_id}/{ref.name}" for ref in harvest.refs))
    return Delivery(named, refs, False, "; ".join(notes) or None)


def _undelivered(problem: AienvError | OSError, harvest: Harvest, run_dir: Path, user_repo: Path, branch: str) -> HarvestFailed:
    message = problem.message if isinstance(problem, AienvError) else str(problem)
    if harvest.bundle is None:
        return HarvestFailed(f"the result cannot be put into {user_repo}: {message}", remedy="see the report for the commits by name")
    tip = "worktree" if harvest.uncommitted else "head"
    bundle = run_dir / harvest.bundle
    return HarvestFailed(
        f"the result cannot be put into {user_repo}: {message}; it lies in {bundle}",
        remedy=f"git -C {user_repo} fetch {bundle} refs/aienv-out/{tip}:refs/heads/{branch}",
    )


def _user_git(user_repo: Path, *args: str, stdin: bytes = b"", doing: str, deadline_s: float = 120.0) -> bytes:
    return git(
        args, cwd=user_repo, git_dir=git_dir_of(user_repo), input=stdin, config=CALM, trusted=True, doing=doing, deadline_s=deadline_s
    ).stdout


def _check_branch(branch: str) -> None:
    if branch.startswith("-") or git(("check-ref-format", f"refs/heads/{branch}"), check=False).code != 0:
        raise UsageError(f"{branch!r} is no branch name that git takes", remedy="choose another one with --branch")


def _fetch(quarantine: Path, user_repo: Path, run_id: str) -> None:
    _user_git(
        user_repo,
        "fetch", "--quiet", "--force", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-auto-maintenance",
        "--no-recurse-submodules", "--no-show-forced-updates", "--refmap=", str(quarantine), f"refs/aienv-out/*:{OUR_REFS}/{run_id}/*",
        doing=f"fetching into {user_repo}",
        deadline_s=FETCH_DEADLINE_S,
    )  # fmt: skip


def _set_base(harvest: Harvest, user_repo: Path, run_id: str) -> tuple[str, ...]:
    if harvest.base is None:
        return ()
    name = f"{OUR_REFS}/{run_id}/base"
    where = git_dir_of(user_repo)
    done = git(("update-ref", "--no-deref", name, harvest.base), cwd=user_repo, git_dir=where, config=CALM, trusted=True, check=False)
    # A repository that has been rewritten since may not have the base any more; nothing depends on the ref.
    return (name,) if done.code == 0 else ()


def _make_branch(harvest: Harvest, user_repo: Path, branch: str) -> str | None:
    """Create the branch, never move one; its name."""
    if harvest.commit is None or harvest.commit == harvest.base:
        return None
    for _ in range(3):  # somebody else may take the name in between
        heads = _heads(user_repo)
        name = free_name(branch, harvest.commit, heads, _checked_out(user_repo))
        if heads.get(name) == harvest.commit:
            return name
        command = f"create refs/heads/{name} {harvest.commit}\n".encode()
        where = git_dir_of(user_repo)
        args = ("update-ref", "--stdin", "--no-deref")
        done = git(args, cwd=user_repo, git_dir=where, input=command, config=CALM, trusted=True, check=False)
        if done.code == 0:
            return name
    raise HarvestFailed(f"branch {branch!r} cannot be made: {done.stderr.strip()[:300]}", remedy="choose another name with --branch")


def _heads(user_repo: Path) -> Mapping[str, str]:
    lines = _user_git(user_repo, "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads", doing="reading the branches")
    return {name: oid for oid, _, name in (line.partition(" ") for line in lines.decode("utf-8", "surrogateescape").splitlines())}


def _checked_out(user_repo: Path) -> frozenset[str]:
    """Branches that some worktree stands on, also those that have no commit yet: making one of these would change a checkout."""
    lines = (
        _user_git(user_repo, "worktree", "list", "--porcelain", doing="reading the worktrees")
        .decode("utf-8", "surrogateescape")
        .splitlines()
    )
    return frozenset(line.removeprefix("branch refs/heads/") for line in lines if line.startswith("branch refs/heads/"))


def free_name(wished: str, commit: str, heads: Mapping[str, str], checked_out: Iterable[str]) -> str:
    """``wished``, or the first numbered form of it that neither collides with a branch nor with the folder of one. Pure.

    A name that already points to ``commit`` is the right one. When a branch stands where the name needs a folder, ``/`` becomes ``-``.
    """
    parents = {wished[:cut] for cut in range(len(wished)) if wished[cut] == "/"}
    stem = wished.replace("/", "-") if parents & (set(heads) | set(checked_out)) else wished
    folders = {head[:cut] for head in heads for cut in range(len(head)) if head[cut] == "/"}
    for number in range(1, NAMES_TRIED):
        name = stem if number == 1 else f"{stem}-{number}"
        if heads.get(name) == commit:
            return name
        if name not in heads and name not in folders and name not in checked_out:
            return name
    raise HarvestFailed(
        f"{NAMES_TRIED} branches with the name {wished!r} exist", remedy="remove some, or choose another name with --branch"
    )


def undeliver(user_repo: Path, run_id: str) -> tuple[str, ...]:
    """Remove ``refs/aienv/<run_id>/*``; branches stay. Returns what was removed; nothing there is no error.

    Raises:
        AienvError: the repository cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]+", run_id):
        raise UsageError(f"{run_id!r} is no run id")
    if not user_repo.is_dir():
        return ()
    lines = _user_git(user_repo, "for-each-ref", "--format=%(refname)", f"{OUR_REFS}/{run_id}/", doing="reading our refs")
    names = tuple(lines.decode("utf-8", "surrogateescape").splitlines())
    if names:
        commands = "".join(f"delete {name}\n" for name in names).encode("utf-8", "surrogateescape")
        _user_git(user_repo, "update-ref", "--stdin", "--no-deref", stdin=commands, doing="removing our refs")
    return names


def push(harvest: Harvest, delivery: Delivery | None, plan: Plan, place: RunPlace) -> Delivery:
    """Push the result branch, and nothing else, with the user's rights: to the remote of his repository, or to the task's URL.

    Raises:
        HarvestFailed: the remote refuses, or cannot be reached. The branch is still where ``deliver`` put it.
    """
    delivery = delivery or Delivery(None, (), False, None)
    if harvest.commit is None or harvest.commit == harvest.base:
        return replace(delivery, note=_joined(delivery.note, "nothing to push"))
    if plan.repo.kind == "path":
        where, remote, name = Path(plan.repo.location), _remote_of(Path(plan.repo.location)), delivery.branch
    else:
        where, remote, name = place.quarantine, plan.repo.location, plan.output.branch or f"aienv/{plan.task}-{place.id}"
    if name is None:
        raise HarvestFailed("there is no branch to push", remedy="see aienv show for what was delivered")
    try:
        git(
            (
                "push",
                "--quiet",
                "--no-verify",
                "--no-follow-tags",
                "--recurse-submodules=no",
                "--",
                remote,
                f"{harvest.commit}:refs/heads/{name}",
            ),
            cwd=where,
            git_dir=git_dir_of(where),
            config=(("push.gpgSign", "false"), ("push.autoSetupRemote", "false")),
            trusted=True,
            deadline_s=PUSH_DEADLINE_S,
            doing=f"pushing {name!r}",
        )
    except AienvError as problem:
        raise HarvestFailed(problem.message, remedy=f"push it yourself: git push {remote} {name}") from problem
    return replace(delivery, branch=name, pushed=True)


def _joined(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None


def _remote_of(user_repo: Path) -> str:
    """The remote that a plain ``git push`` of a new branch would take."""
    remotes = _user_git(user_repo, "remote", doing="reading the remotes").decode("utf-8", "surrogateescape").splitlines()
    ask = ("config", "--get", "remote.pushDefault")
    wished: str = git(ask, cwd=user_repo, git_dir=git_dir_of(user_repo), trusted=True, check=False).text
    for name in (wished, "origin", *(remotes if len(remotes) == 1 else ())):
        if name in remotes:
            return str(name)
    raise HarvestFailed(f"{user_repo} has no remote to push to", remedy="add one (git remote add origin URL), or leave out --push")


def _install_lfs(quarantine: Path, user_repo: Path) -> list[str]:
    """Copy LFS contents to where the user's git-lfs looks for them, so that a checkout of the branch finds them. Notes on what failed."""
    common = _user_git(user_repo, "rev-parse", "--path-format=absolute", "--git-common-dir", doing="finding the git folder").rstrip(b"\n")
    store = Path(os.fsdecode(common)) / "lfs" / "objects"
    listing = git(("ls-tree", "-r", "-z", "--full-tree", "refs/aienv-out/lfs"), git_dir=quarantine, cwd=quarantine).stdout
    notes = []
    for line in listing.split(b"\0"):
        match = re.fullmatch(rb"100644 blob ([0-9a-f]+)\t([0-9a-f]{2})/([0-9a-f]{2})/([0-9a-f]{64})", line)
        if match is None:
            continue
        oid = match[4].decode()
        target = store / oid[:2] / oid[2:4] / oid
        if not target.exists() and not _copy_lfs(quarantine, match[1].decode(), oid, target):
            notes.append(f"LFS content {oid} is not what its name says and was left out")
    return notes


def _copy_lfs(quarantine: Path, blob: str, oid: str, target: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(target.parent) as (path, handle):
        with os.fdopen(handle, "wb") as file:
            git(("cat-file", "blob", blob), git_dir=quarantine, cwd=quarantine, output=file, doing="copying LFS contents")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != oid:
                return False
        path.chmod(0o444)
        path.replace(target)
    return True


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[tuple[Path, int]]:
    handle, name = tempfile.mkstemp(prefix=".aienv-", dir=folder)
    try:
        yield Path(name), handle
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
