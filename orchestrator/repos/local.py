"""A repository on this machine: where its parts are, and what HEAD says. Nothing here writes."""

import os
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import NotFound
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
        EnvironmentFailed: git refuses the folder because of its owner.
    """
    if not path.is_dir():
        raise NotFound(f"no folder at {path}", remedy="check the path")
    start = path.parent if path.name == ".git" else path
    ask = ("rev-parse", "--path-format=absolute", *_QUESTIONS)
    answer = git(ask, cwd=start, trusted=True, check=False)
    if answer.code != 0 and "not a git repository" in answer.stderr:
        raise NotFound(f"no git repository at or around {path}", remedy="name one with --repo, or make one: git init")
    if answer.code != 0:
        raise explain(f"looking for a repository at {path}", answer.stderr)
    lines = answer.text.split("\n")
    if len(lines) != len(_QUESTIONS):
        raise NotFound(f"the repository at {path} lies below a folder with a line break in its name", remedy="rename that folder")
    git_dir, common_dir = Path(os.path.realpath(lines[0])), Path(os.path.realpath(lines[1]))
    inside = lines[2] == "true"
    root = Path(os.path.realpath(_ask(start, "--show-toplevel"))) if inside else git_dir
    return LocalRepo(root, git_dir, common_dir, not inside, _ask(start, "--show-object-format"))


def _ask(start: Path, question: str) -> str:
    return git(("rev-parse", question), cwd=start, trusted=True, doing=f"reading {start}").text
