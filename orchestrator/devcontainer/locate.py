"""What lies on the disk: the file that describes the environment, and the work tree around a workspace. Nothing is run to find it."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.devcontainer.jsonc import MAX_BYTES
from orchestrator.devcontainer.workspace import Ground
from orchestrator.errors import ConfigError

FOLDER = ".devcontainer"
NAME = "devcontainer.json"
USUAL = (f"{FOLDER}/{NAME}", ".devcontainer.json")
MAX_FOLDERS = 100
MAX_GIT_FILE = 4096
MAX_WORKTREES = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """``scheme``: how the reference's output tells a path that was given from one that was found."""

    path: str
    scheme: Literal["file", "vscode-fileHost"]

    def as_json(self) -> dict[str, str | int]:
        return {"$mid": 1, "fsPath": self.path, "path": self.path, "scheme": self.scheme}


def workspace_root(path: str) -> str:
    """A ``.code-workspace`` file stands for its folder."""
    return os.path.dirname(path) if path.endswith(".code-workspace") else path


def find_config(root: str, *, fallback: bool = False) -> Place:
    """The file of the workspace ``root``. ``fallback``: its usual place will do if there is none, another file replaces it.

    Raises:
        ConfigError: there is none, or there are several and none has precedence.
    """
    for name in USUAL:
        if os.path.isfile(path := os.path.join(root, name)):
            return Place(path, "vscode-fileHost")
    others = _in_folders(root)
    if len(others) == 1:
        return Place(others[0], "vscode-fileHost")
    usual = os.path.join(root, USUAL[0])
    if fallback:
        return Place(usual, "vscode-fileHost")
    if others:
        names = ", ".join(os.path.relpath(path, root) for path in others)
        raise ConfigError(f"{root} has several dev containers: {names}", remedy="choose one with --config PATH")
    raise ConfigError(f"Dev container config ({usual}) not found.", remedy=f"write one, or name it with --config: {', '.join(USUAL)}")


def _in_folders(root: str) -> list[str]:
    """``.devcontainer/<folder>/devcontainer.json``, one level deep."""
    try:
        names = sorted(os.listdir(os.path.join(root, FOLDER)))[:MAX_FOLDERS]
    except OSError:
        return []
    paths = (os.path.join(root, FOLDER, name, NAME) for name in names)
    return [path for path in paths if os.path.isfile(path)]


def is_repository_of(common: str, tree: str) -> bool:
    """Whether the folder ``common`` is a repository that knows ``tree`` as one of its linked work trees. What the ``.git`` file of a tree
    names can be any folder; only the repository's own word makes it one."""
    if not os.path.isfile(os.path.join(common, "HEAD")) or not os.path.isdir(os.path.join(common, "objects")):
        return False
    worktrees = os.path.join(common, "worktrees")
    try:
        names = sorted(os.listdir(worktrees))[:MAX_WORKTREES]
    except OSError:
        return False
    wanted = os.path.realpath(os.path.join(tree, ".git"))
    for name in names:
        text = (read_file(os.path.join(worktrees, name, "gitdir")) or b"")[:MAX_GIT_FILE].decode("utf-8", "surrogateescape").strip()
        if text and os.path.realpath(os.path.join(worktrees, name, text)) == wanted:
            return True
    return False


def read_file(path: str) -> bytes | None:
    """None if there is none. A pipe is no file: reading it would not end.

    Raises:
        ConfigError: it cannot be read, or is too large.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return None
            data = stream.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as problem:
        raise ConfigError(f"{path} cannot be read: {problem.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
    return data


def ground(folder: str, git_root: bool) -> Ground:
    """``git_root``: look for the work tree around ``folder``."""
    root = _work_tree(folder) if git_root else folder
    if not git_root:
        return Ground(folder, root)
    if root == folder or os.path.samefile(root, folder):
        return Ground(folder, folder, _git_file(folder))
    if os.path.commonpath((folder, root)) == root:
        return Ground(folder, root, _git_file(root))
    return Ground(os.path.realpath(folder), root, _git_file(root))  # through a link: only the real paths lie in each other


def _work_tree(folder: str) -> str:
    """The nearest folder above that is a git work tree, else ``folder``. As git looks for it; but no configuration of a repository is
    believed: ``core.worktree`` would choose what is mounted."""
    try:
        device = os.stat(folder).st_dev
    except OSError:
        return folder
    real = Path(os.path.realpath(folder))
    for depth, above in enumerate((real, *real.parents)):
        if os.stat(above).st_dev != device:
            return folder  # git does not cross file systems
        git = above / ".git"
        if git.is_file():
            return _as_written(folder, depth, above) if _leads_to_git(above) else folder
        if _is_git(git):
            return _as_written(folder, depth, above)
    return folder


def _as_written(folder: str, depth: int, root: Path) -> str:
    """``root`` by the names that ``folder`` has, if they lead there: links stay."""
    written = folder
    for _ in range(depth):
        written = os.path.dirname(written)
    return written if os.path.samefile(written, root) else str(root)


def _leads_to_git(folder: Path) -> bool:
    text = _git_file(str(folder)) or ""
    target = text.removeprefix("gitdir:").strip()
    return text.startswith("gitdir:") and bool(target) and "\0" not in target and _is_git(folder / target)


def _is_git(path: Path) -> bool:
    has = (path / "HEAD").is_file() or (path / "HEAD").is_symlink()
    return has and ((path / "commondir").is_file() or ((path / "objects").is_dir() and (path / "refs").is_dir()))


def _git_file(folder: str) -> str | None:
    path = os.path.join(folder, ".git")
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        return stream.read(MAX_GIT_FILE).decode("utf-8", "surrogateescape")
