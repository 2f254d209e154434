"""A repository on this machine: where its parts are, and what HEAD says. Nothing here writes.

Rule: what git finds through a ``.git`` is the user's own, for nobody can commit an entry of that name. A bare repository is a folder like
any other; one that lies in a work tree may have come with it, and its configuration too. So a bare one counts only where it is named itself
and lies in no work tree.
"""

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from orchestrator.errors import NotFound, UsageError
from orchestrator.repos.failures import explain
from orchestrator.repos.gitcmd import GitResult, git
from orchestrator.repos.source import Source, folder_name

_QUESTIONS = ("--git-dir", "--git-common-dir", "--is-inside-work-tree")


@dataclass(frozen=True, slots=True)
class LocalRepo:
    """``root``: top of the work tree, or the git folder of a bare repository.

    ``git_dir`` differs from ``common_dir`` in a linked worktree.
    """

    root: Path
    git_dir: Path
    common_dir: Path
    bare: bool
    object_format: str

    @property
    def source(self) -> Source:
        """The repository under the name that its mirror has: all worktrees of one repository share one."""
        where = self.common_dir.parent if self.common_dir.name == ".git" else self.common_dir
        return Source("path", str(where), folder_name(str(self.root)))

    @property
    def shallow(self) -> bool:
        return (self.common_dir / "shallow").exists()

    def run(self, *args: str, check: bool = True) -> GitResult:
        """A command that only reads, with the user's own configuration (safe.directory is the user's to say)."""
        return git(args, git_dir=self.git_dir, cwd=self.root, trusted=True, check=check, doing=f"reading {self.root}")

    def head(self) -> tuple[str | None, str | None]:
        """(branch, commit) of the user's checkout: no branch when detached, no commit when nothing is committed."""
        symbolic = self.run("symbolic-ref", "-q", "HEAD", check=False)
        branch = symbolic.text.removeprefix("refs/heads/") if symbolic.code == 0 and symbolic.text.startswith("refs/heads/") else None
        commit = self.run("rev-parse", "-q", "--verify", "HEAD^{commit}", check=False)
        return branch, commit.text if commit.code == 0 else None


def locate(path: Path) -> LocalRepo:
    """The repository at or around ``path``.

    Raises:
        NotFound: there is no such folder, or no repository around it.
        UsageError: it is a bare repository inside the work tree of another.
        EnvironmentFailed: git refuses the folder because of its owner.
    """
    if not path.is_dir():
        raise NotFound(f"no folder at {path}", remedy="check the path")
    start = path.parent if path.name == ".git" else path
    named = git_dir_of(start)
    if named is not None:
        _refuse_embedded(named)
    ask = ("rev-parse", "--path-format=absolute", *_QUESTIONS)
    answer = git(ask, cwd=start, git_dir=named, trusted=True, check=False)
    if answer.code != 0 and "not a git repository" in answer.stderr:
        raise NotFound(f"no git repository at or around {path}", remedy="name one with --repo, or make one: git init")
    if answer.code != 0:
        raise explain(f"looking for a repository at {path}", answer.stderr)
    lines = answer.text.split("\n")
    if len(lines) != len(_QUESTIONS):
        raise NotFound(f"the repository at {path} lies below a folder with a line break in its name", remedy="rename that folder")
    git_dir, common_dir = Path(os.path.realpath(lines[0])), Path(os.path.realpath(lines[1]))
    inside = lines[2] == "true" and named is None
    root = Path(os.path.realpath(_ask(start, named, "--show-toplevel"))) if inside else git_dir
    if not (inside and os.path.lexists(root / ".git")):
        _refuse_embedded(git_dir)  # a git that does not know safe.bareRepository found it
    return LocalRepo(root, git_dir, common_dir, not inside, _ask(start, named, "--show-object-format"))


def git_dir_of(folder: Path) -> Path | None:
    """``folder`` where it is a git folder itself, which git takes only when it is named; None where git finds one through ``.git``."""
    looks_so = os.path.lexists(folder / "HEAD") and (folder / "objects").is_dir() and (folder / "refs").is_dir()
    return folder.absolute() if looks_so and not os.path.lexists(folder / ".git") else None


def _refuse_embedded(git_dir: Path) -> None:
    """A git folder that lies in a work tree may have been committed there. Below a ``.git`` everything is the user's own."""
    real = Path(os.path.realpath(git_dir))
    for inner, outer in pairwise((real, *real.parents)):
        if inner.name == ".git":
            return
        if os.path.lexists(outer / ".git"):
            raise UsageError(
                f"{git_dir} is a bare repository inside the work tree of {outer}, so its configuration may not be your own",
                remedy=f"name {outer} with --repo, or clone the bare repository to a place of its own first",
                code="bare-repository",
            )


def _ask(start: Path, git_dir: Path | None, question: str) -> str:
    return git(("rev-parse", question), cwd=start, git_dir=git_dir, trusted=True, doing=f"reading {start}").text
