"""Where the workspace stands, after the reference's own table, for Linux."""

# ruff: noqa: E501 - a row of a table stays one line

import pytest

from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.workspace import Ground, Workspace, workspace
from orchestrator.errors import ConfigError

P = "/home/user/project"


@pytest.mark.parametrize(
    ("config", "ground", "expected"),
    [
        pytest.param({}, Ground(P, P), Workspace("/workspaces/project", f"type=bind,source={P},target=/workspaces/project"), id="plain"),
        pytest.param({}, Ground(f"{P}/a/b", P),
                     Workspace("/workspaces/project/a/b", f"type=bind,source={P},target=/workspaces/project"), id="below the git root"),
        pytest.param({"workspaceFolder": "/x"}, Ground(P, P), Workspace("/x", f"type=bind,source={P},target=/workspaces/project"), id="folder"),
        pytest.param({"workspaceMount": "m"}, Ground(P, P), Workspace("/workspaces/project", "m"), id="mount"),
        pytest.param({"workspaceMount": ""}, Ground(P, P), Workspace("/workspaces/project", ""), id="no mount"),
        pytest.param({"workspaceFolder": "/x", "workspaceMount": "m"}, Ground(P, P), Workspace("/x", "m"), id="both"),
        pytest.param({"workspaceFolder": "/x"}, None, Workspace("/x", None), id="no workspace"),
        pytest.param({"dockerComposeFile": "c"}, Ground(P, P), Workspace("/", None), id="compose"),
        pytest.param({"dockerComposeFile": "c", "workspaceFolder": "/x"}, Ground(P, P), Workspace("/x", None), id="compose with folder"),
        pytest.param({}, Ground("/a,b", "/a,b"), Workspace("/workspaces/a,b", 'type=bind,"source=/a,b","target=/workspaces/a,b"'), id="comma"),
        pytest.param({}, Ground("/", "/"), Workspace("/workspaces", "type=bind,source=/,target=/workspaces"), id="root"),
    ],
)  # fmt: skip
def test_workspace(config: Object, ground: Ground | None, expected: Workspace) -> None:
    assert workspace(config, ground) == expected


@pytest.mark.parametrize(
    ("folder", "root", "git_file", "target", "common"),
    [
        pytest.param("/h/worktrees/feature", "/h/worktrees/feature", "gitdir: ../../repo/.git/worktrees/feature\n",
                     "/workspaces/worktrees/feature", ("/h/repo/.git", "/workspaces/repo/.git"), id="two up"),
        pytest.param("/h/repo-worktree", "/h/repo-worktree", "gitdir: ../repo/.git/worktrees/worktree",
                     "/workspaces/repo-worktree", ("/h/repo/.git", "/workspaces/repo/.git"), id="one up"),
        pytest.param("/p/worktrees/f/packages/app", "/p/worktrees/f", "gitdir: ../../repos/main/.git/worktrees/f",
                     "/workspaces/worktrees/f", ("/p/repos/main/.git", "/workspaces/repos/main/.git"), id="workspace below"),
        pytest.param("/h/w", "/h/w", "gitdir: /abs/.git/worktrees/w", "/workspaces/w", None, id="absolute: not to be had"),
        pytest.param("/h/w", "/h/w", None, "/workspaces/w", None, id="no file"),
        pytest.param("/h/w", "/h/w", "nonsense", "/workspaces/w", None, id="nonsense"),
    ],
)  # fmt: skip
def test_linked_work_tree(folder: str, root: str, git_file: str | None, target: str, common: tuple[str, str] | None) -> None:
    found = workspace({}, Ground(folder, root, git_file), worktree_common_dir=True)
    assert found.mount == f"type=bind,source={root},target={target}"
    assert found.folder == target + folder.removeprefix(root)
    assert found.also == (f"type=bind,source={common[0]},target={common[1]}" if common else None)
    assert workspace({}, Ground(folder, root, git_file)).also is None


@pytest.mark.parametrize("config", [{"workspaceFolder": 5}, {"workspaceMount": ["x"]}, {"dockerComposeFile": "c", "workspaceFolder": {}}])
def test_no_text(config: Object) -> None:
    with pytest.raises(ConfigError, match="is no text"):
        workspace(config, Ground(P, P))


def test_as_json() -> None:
    assert Workspace("/x", "m", "a").as_json() == {"workspaceFolder": "/x", "workspaceMount": "m", "additionalMountString": "a"}
    assert Workspace("/x", None).as_json() == {"workspaceFolder": "/x"}
