"""The workspace: the clone, the user's changes, and which of its files stay hidden."""

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.errors import EnvironmentFailed
from orchestrator.model.codec import to_plain
from orchestrator.model.plan import Plan
from orchestrator.repos import carry
from orchestrator.repos import mirror as mirrors
from orchestrator.repos.changeset import ChangeSet
from orchestrator.repos.checkout import Checkout, make
from orchestrator.repos.gitcmd import git
from orchestrator.repos.mirror import Mirror
from orchestrator.run.agent_files import left_out
from orchestrator.run.context import Context, Workspace
from orchestrator.run.masked import identities
from orchestrator.run.steps import Step
from orchestrator.sandbox.masks import masked_paths
from orchestrator.trees import walk_paths

_GUARDED = ("config", "hooks", "info")


def prepare_workspace(context: Context, mirror: Mirror, changes: ChangeSet | None) -> Workspace:
    """Make the clone and everything about it that must be known before a command runs."""
    plan = context.plan
    with context.step(Step.WORKSPACE, f"cloning {plan.repo.location}") as learned:
        mirrors.keep(mirror, context.folder.id)
        path = context.folder.workspace(plan.repo.name)
        checkout = make(mirror, plan.repo, path, plan.uid, plan.gid, run_id=context.folder.id)
        context.notes.extend(checkout.notes)
        if changes is not None and plan.repo.changes is not None:
            carry.check(changes, plan.repo.changes, plan.repo.commit)
            hidden = masked_paths((os.fsdecode(entry.path) for entry in changes.staged), plan.sandbox)
            withheld = carry.apply(changes, path, plan.uid, plan.gid, hidden=frozenset(map(os.fsencode, hidden)))
            context.notes.extend(f"{os.fsdecode(name)!r} is masked, so what you staged of it was not brought along" for name in withheld)
        workspace = _survey(plan, path, checkout)
        covered = tuple(one.path for one in left_out(path, plan.agent))
        _hide_from_git(path, replace(workspace, masks=tuple(dict.fromkeys((*workspace.masks, *covered)))), plan)
        _exclude(path, plan.agent.leavings)
        if plan.docker in ("guarded", "full"):
            empty_masked(path, workspace.masks)
        learned |= {"masked": len(workspace.masks), "_workspace": to_plain(workspace)}
    context.workspace = workspace
    return workspace


def _survey(plan: Plan, path: Path, checkout: Checkout) -> Workspace:
    git_dirs = (".git", *(f".git/modules/{name}" for name in _module_dirs(path / ".git" / "modules")))
    for git_dir in git_dirs:
        _make_guarded(path / git_dir, plan)
    masks = masked_paths(_files(path), plan.sandbox)
    shallow = (path / ".git" / "shallow").read_text().split() if (path / ".git" / "shallow").exists() else []
    objects = tuple((name, str(folder)) for name, folder in checkout.objects)
    return Workspace(objects, git_dirs, masks, identities(path, masks), checkout.refs, tuple(shallow), bool(checkout.lfs_files))


def _module_dirs(modules: Path) -> list[str]:
    """Git folders of submodules, nested ones included, as paths below ``.git/modules``."""
    found = []
    for folder, names, files in walk_paths(modules):
        if "HEAD" in files:
            found.append(str(Path(folder).relative_to(modules)))
            names[:] = [name for name in names if name == "modules"]
    return sorted(found)


def _make_guarded(git_dir: Path, plan: Plan) -> None:
    """What is bound read-only must exist."""
    for name in ("hooks", "info"):
        (git_dir / name).mkdir(exist_ok=True)
        if os.geteuid() == 0:
            os.lchown(git_dir / name, plan.uid, plan.gid)


def _files(workspace: Path) -> list[str]:
    """Every file and link below the workspace but git's own, as far as a mask could apply."""
    found = []
    prefix = len(str(workspace)) + 1
    for folder, names, files in walk_paths(workspace):
        if ".git" in names:
            names.remove(".git")
        below = folder[prefix:]
        # A link cannot be masked by a mount, and what it points to is masked itself when it lies inside.
        found += [f"{below}/{name}" if below else name for name in files if not os.path.islink(f"{folder}/{name}")]
    return found


def _hide_from_git(path: Path, workspace: Workspace, plan: Plan) -> None:
    """A masked file looks empty inside: git there must neither report nor commit that."""
    if not workspace.masks:
        return
    tracked = _tracked(path, workspace)
    names = b"".join(os.fsencode(name) + b"\0" for name in workspace.masks if name in tracked)
    if names:
        _git(path, workspace, ("update-index", "--skip-worktree", "-z", "--stdin"), names)
    excluded = [name for name in workspace.masks if name not in tracked and "\n" not in name]
    if excluded:
        with (path / ".git" / "info" / "exclude").open("a", errors="surrogateescape") as file:
            file.writelines("/" + _exclude_pattern(name) + "\n" for name in excluded)
    if os.geteuid() == 0:
        for name in ("index", "info/exclude"):
            if (path / ".git" / name).exists():
                os.lchown(path / ".git" / name, plan.uid, plan.gid)


def empty_masked(path: Path, masks: Sequence[str]) -> None:
    """Containers that mount the workspace see it without our mounts: there masked files must hold nothing.

    Only in this clone, which is thrown away. They stay the files that they are (inode, mode, owner), so they are found again and count as
    unchanged. Nothing of the agent's has run: no path has become a link.
    """
    for name in masks:
        file = path / name
        mode = stat.S_IMODE(os.lstat(file).st_mode)
        if os.geteuid() != 0 and not mode & stat.S_IWUSR:
            os.chmod(file, mode | stat.S_IWUSR)
        descriptor = os.open(file, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.close(descriptor)
        if stat.S_IMODE(os.lstat(file).st_mode) != mode:
            os.chmod(file, mode)


def _exclude(path: Path, patterns: tuple[str, ...]) -> None:
    """What an agent leaves in a work tree and nobody wants; a file that is tracked still counts."""
    if patterns:
        with (path / ".git" / "info" / "exclude").open("a") as file:
            file.writelines(f"{pattern}\n" for pattern in patterns)


def _exclude_pattern(name: str) -> str:
    return "".join("\\" + character if character in "*?[\\! #" else character for character in name)


def _tracked(path: Path, workspace: Workspace) -> set[str]:
    return set(_git(path, workspace, ("ls-files", "-z"), None).decode("utf-8", "surrogateescape").split("\0"))


def _git(path: Path, workspace: Workspace, args: tuple[str, ...], data: bytes | None) -> bytes:
    """On our own fresh clone, before anything of the agent's has run; objects are not needed."""
    result = git(
        args, git_dir=path / ".git", work_tree=path, cwd=path, input=data, config=(("safe.directory", "*"),), doing="hiding masked files"
    )
    if result.code != 0:
        raise EnvironmentFailed(f"masked files could not be hidden from git: {result.stderr}")
    return result.stdout
