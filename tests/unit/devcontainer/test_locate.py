"""What lies on the disk: the file, and the work tree around a folder. The work trees are git's own."""

import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.devcontainer.locate import USUAL, find_config, ground, is_repository_of, read_file, workspace_root
from orchestrator.errors import ConfigError


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}")


A, B = ".devcontainer/a/devcontainer.json", ".devcontainer/b/devcontainer.json"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param(USUAL, USUAL[0], id="the folder comes first"),
        pytest.param(USUAL[1:], USUAL[1], id="root file"),
        pytest.param((A, *USUAL[1:]), USUAL[1], id="a usual place before folders"),
        pytest.param((A,), A, id="the only folder"),
    ],
)
def test_find(tmp_path: Path, files: tuple[str, ...], found: str) -> None:
    lay(tmp_path, *files)
    assert find_config(str(tmp_path)).path == str(tmp_path / found)


def test_several_folders_are_listed(tmp_path: Path) -> None:
    lay(tmp_path, B, A, ".devcontainer/c/deeper/devcontainer.json", ".devcontainer/Dockerfile")
    with pytest.raises(ConfigError, match=rf"several dev containers: {A}, {B}$") as caught:
        find_config(str(tmp_path))
    assert "--config" in str(caught.value.remedy)


def test_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not found"):
        find_config(str(tmp_path))
    assert find_config(str(tmp_path), fallback=True).path == str(tmp_path / USUAL[0])


def test_read_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b" " * ((1 << 20) + 1))
    lay(tmp_path, "x")
    assert read_file(str(tmp_path / "x")) == b"{}"
    for name in ("none", "fifo", "x/y", "."):
        assert read_file(str(tmp_path / name)) is None
    with pytest.raises(ConfigError, match="larger"):
        read_file(str(tmp_path / "large"))


def test_workspace_file() -> None:
    assert workspace_root("/a/b.code-workspace") == "/a"
    assert workspace_root("/a/b") == "/a/b"


def git(*words: str | Path) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *map(str, words)], check=True, timeout=60, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git("init", "-q", tmp_path / "repo")
    (tmp_path / "repo/sub/deep").mkdir(parents=True)
    git("-C", tmp_path / "repo", "commit", "-q", "--allow-empty", "-m", "x")
    return tmp_path / "repo"


def root_of(folder: Path, git_root: bool = True) -> str:
    return ground(str(folder), git_root).root


def test_work_tree(repository: Path) -> None:
    for folder in (repository, repository / "sub", repository / "sub/deep"):
        assert ground(str(folder), True).root == str(repository)
        assert ground(str(folder), True).folder == str(folder)
    assert root_of(repository / "sub", git_root=False) == str(repository / "sub")


def test_linked_work_tree(repository: Path) -> None:
    linked = repository.parent / "linked"
    git("-C", repository, "worktree", "add", "-q", linked)
    (linked / "sub").mkdir()
    found = ground(str(linked / "sub"), True)
    assert found.root == str(linked)
    assert (found.git_file or "").startswith("gitdir: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(".git/config", "", id="a folder that is no repository"),
        pytest.param(".git", "gitdir: /nowhere", id="a file that leads nowhere"),
        pytest.param(".git", "gitdir: \0", id="a file of nonsense"),
        pytest.param(".git", "", id="an empty file"),
    ],
)
def test_no_repository(tmp_path: Path, name: str, content: str) -> None:
    lay(tmp_path, f"sub/{name}", "sub/deep/x")
    (tmp_path / "sub" / name).write_text(content)
    assert root_of(tmp_path / "sub/deep") == str(tmp_path / "sub/deep")


def test_a_repository_does_not_choose_its_mount(repository: Path) -> None:
    """git itself would say that the work tree is the root of the machine."""
    git("-C", repository, "config", "core.worktree", "/")
    assert root_of(repository / "sub") == str(repository)


def test_links(repository: Path) -> None:
    """A link beside the repository keeps its name; one into the middle of it cannot."""
    beside, into = repository.parent / "beside", repository.parent / "into"
    beside.symlink_to(repository)
    into.symlink_to(repository / "sub/deep")
    assert root_of(beside / "sub") == str(beside)
    found = ground(str(into), True)
    assert (found.folder, found.root) == (str(repository / "sub/deep"), str(repository))


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    assert root_of(tmp_path / "none") == str(tmp_path / "none")


def test_a_repository_must_know_its_work_tree(tmp_path: Path) -> None:
    """What a file .git names may be any folder of this machine."""
    common, tree = tmp_path / "repo/.git", tmp_path / "tree"
    (common / "worktrees/tree").mkdir(parents=True)
    (common / "objects").mkdir()
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {common}/worktrees/tree\n")
    assert not is_repository_of(str(common), str(tree))
    (common / "HEAD").write_text("ref: refs/heads/main\n")
    assert not is_repository_of(str(common), str(tree))
    (common / "worktrees/tree/gitdir").write_text(f"{tmp_path}/other/.git\n")
    assert not is_repository_of(str(common), str(tree))
    (common / "worktrees/tree/gitdir").write_text(f"{tree}/.git\n")
    assert is_repository_of(str(common), str(tree))
    (common / "worktrees/tree/gitdir").write_text("../../../../tree/.git\n")
    assert is_repository_of(str(common), str(tree))
    assert not is_repository_of(str(tmp_path), str(tree))
