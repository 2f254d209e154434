"""Submodules: filled from the user's own copy or from their URL, and never in another's place."""

import os
import shutil
from pathlib import Path

import pytest

from orchestrator.errors import AienvError, PolicyRefused
from tests.integration.repos.support import Clone, HttpServer, Repo, World, new_repo, snapshot


@pytest.fixture
def family(world: World) -> Path:
    """srv/app.git holds libs/lib (from ../lib.git), which holds deep (from ./../deep.git)."""
    srv = world.base / "srv"
    deep = new_repo(srv / "deep.git")
    deep.commit("deep", deep="deep\n")
    lib = new_repo(srv / "lib.git")
    _add(lib, "../deep.git", "deep", "deep")
    app = new_repo(srv / "app.git")
    _add(app, "../lib.git", "libs/lib", "lib")
    return srv


def _add(repo: Repo, url: str, path: str, name: str) -> None:
    """A submodule as the tree and .gitmodules hold it, without a copy in this repository."""
    target = Repo(Path(os.path.normpath(repo.path / url)))
    repo.git("config", "--file", ".gitmodules", f"submodule.{name}.path", path)
    repo.git("config", "--file", ".gitmodules", f"submodule.{name}.url", url)
    repo.git("add", ".gitmodules")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{target.git('rev-parse', 'HEAD')},{path}")
    repo.git("commit", "-q", "-m", f"add {name}")


def _check_whole(clone: Clone) -> None:
    assert [(part.path, part.git_dir) for part in clone.checkout.submodules] == [
        ("libs/lib", ".git/modules/lib"), ("libs/lib/deep", ".git/modules/lib/modules/deep"),
    ]  # fmt: skip
    assert clone.checkout.notes == ()
    assert (clone.path / "libs" / "lib" / "deep" / "deep").read_text() == "deep\n"
    assert (clone.path / "libs" / "lib" / ".git").read_text() == "gitdir: ../../.git/modules/lib\n"
    assert clone.status("--ignored") == ""
    assert clone.git("status", "--porcelain", cwd="libs/lib/deep") == ""
    states = clone.git("submodule", "status", "--recursive").split("\n")
    assert [line[0] for line in states] == [" ", " "]
    assert len(clone.checkout.objects) == 3
    for part in clone.checkout.submodules:
        alternates = (clone.path / part.git_dir / "objects" / "info" / "alternates").read_text()
        assert alternates == f"/run/aienv/objects/{part.mirror}\n"
        assert part.mirror in dict(clone.checkout.objects)
        assert "url" not in (clone.path / part.git_dir / "config").read_text()


def test_from_a_url(world: World, family: Path) -> None:
    """Relative URLs are relative to the repository's own, level by level; credentials reach the same server only."""
    with HttpServer(family, user="me", password="canary-9a").running() as server:
        clone = world.clone(f"http://me:canary-9a@127.0.0.1:{server.port}/app.git")
    _check_whole(clone)
    assert not any(b"canary-9a" in content for _, _, content in snapshot(clone.path).values())


def test_from_a_path(world: World, family: Path) -> None:
    """A path's relative submodules are its neighbours, when it has no remote."""
    _check_whole(world.clone(family / "app.git"))


def test_from_the_user_s_own_copy(world: World, family: Path) -> None:
    """What the user has fetched is taken from him, also when the origin is gone and his commits were never pushed."""
    mine = world.base / "mine"
    Repo(world.base).git("clone", "-q", "--recurse-submodules", str(family / "app.git"), str(mine))
    own = Repo(mine / "libs" / "lib")
    commit = own.commit("not pushed", extra="x\n")
    Repo(mine).commit("use it")
    shutil.rmtree(family)
    before = snapshot(mine)
    clone = world.clone(mine)
    assert snapshot(mine) == before
    _check_whole(clone)
    assert clone.git("rev-parse", "HEAD", cwd="libs/lib") == commit


def test_from_a_worktree(world: World, family: Path) -> None:
    """A linked worktree keeps its submodules elsewhere; they are found as well."""
    mine = Repo(world.base / "mine")
    Repo(world.base).git("clone", "-q", str(family / "app.git"), str(mine.path))
    mine.git("worktree", "add", "-q", str(world.base / "side"))
    Repo(world.base / "side").git("submodule", "update", "-q", "--init", "--recursive")
    shutil.rmtree(family)
    _check_whole(world.clone(world.base / "side"))


def test_not_wished(world: World, family: Path) -> None:
    """Without submodules the folders stay empty, and a note says so."""
    clone = world.make(world.resolve(family / "app.git"), submodules=False)
    assert list((clone.path / "libs" / "lib").iterdir()) == []
    assert clone.checkout.notes == ("1 submodules left empty, as was wished",)
    assert clone.status() == ""


def test_one_that_cannot_be_had(world: World, family: Path) -> None:
    """A missing submodule is a note; with the explicit wish it is an error."""
    shutil.rmtree(family / "deep.git")
    found = world.resolve(family / "app.git")
    clone = world.make(found)
    assert [part.path for part in clone.checkout.submodules] == ["libs/lib"]
    assert "submodule 'libs/lib/deep' left empty" in clone.checkout.notes[0]
    assert clone.status() == ""
    with pytest.raises(AienvError):
        world.make(found, required=True)


def test_missing_commit(world: World, family: Path) -> None:
    """A commit that was never pushed is named."""
    app = Repo(family / "app.git")
    app.git("update-index", "--cacheinfo", f"160000,{'1' * 40},libs/lib")
    app.git("commit", "-q", "-m", "ahead")
    clone = world.clone(app.path)
    assert "does not have the commit 111111111111" in clone.checkout.notes[0]


@pytest.mark.parametrize(
    ("name", "path", "url", "why"),
    [
        pytest.param("lib", "lib", "/etc", "a path on this machine", id="absolute-path"),
        pytest.param("lib", "lib", "file:///etc", "a path on this machine", id="file-url"),
        pytest.param("lib", "lib", "ext::sh -c 'touch pwned'", "transport helper", id="helper"),
        pytest.param("lib", "lib", "-uoption", "looks like an option", id="option"),
        pytest.param("lib", "lib", "ssh://-oProxyCommand=x/y", "no usable host", id="ssh-option"),
        pytest.param("lib", "lib", "../../../../../../../../../../x", "climbs above", id="above-the-root"),
        pytest.param("../../hooks", "lib", "../lib.git", "not usable as a folder", id="name-climbs"),
        pytest.param("a/../../x", "lib", "../lib.git", "not usable as a folder", id="name-climbs-inside"),
        pytest.param("/abs", "lib", "../lib.git", "not usable as a folder", id="name-absolute"),
        pytest.param("-n", "lib", "../lib.git", "not usable as a folder", id="name-option"),
    ],
)
def test_hostile_gitmodules(world: World, family: Path, name: str, path: str, url: str, why: str) -> None:
    """Names and URLs that lead elsewhere leave the folder empty, with the reason."""
    commit = Repo(family / "lib.git").git("rev-parse", "HEAD")
    app = Repo(family / "app.git")
    app.write(".gitmodules", f'[submodule "{name}"]\n\tpath = {path}\n\turl = "{url}"\n')
    app.git("add", ".gitmodules")
    app.git("rm", "-q", "--cached", "libs/lib")
    app.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    app.git("commit", "-q", "-m", "hostile")
    clone = world.clone(app.path)
    assert clone.checkout.submodules == ()
    assert why in clone.checkout.notes[0]
    assert list((clone.path / "lib").iterdir()) == []
    with pytest.raises(AienvError) if "folder" not in why else pytest.raises(AssertionError):
        world.make(world.resolve(app.path), required=True)
        raise AssertionError


def test_one_inside_the_git_folder_of_another(world: World, family: Path) -> None:
    """A name below another's name would put files into that one's git folder (its hooks, for example)."""
    commit = Repo(family / "lib.git").git("rev-parse", "HEAD")
    app = Repo(family / "app.git")
    for name, path in (("lib/hooks", "x"), ("LIB", "y")):
        app.git("config", "--file", ".gitmodules", f"submodule.{name}.path", path)
        app.git("config", "--file", ".gitmodules", f"submodule.{name}.url", "../lib.git")
        app.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    app.git("add", ".gitmodules")
    app.git("commit", "-q", "-m", "hostile")
    clone = world.clone(app.path)
    assert [part.path for part in clone.checkout.submodules] == ["libs/lib", "libs/lib/deep"]
    assert [note for note in clone.checkout.notes if "would share the git folder" in note] == list(clone.checkout.notes)
    assert len(clone.checkout.notes) == 2


def test_local_path_of_a_remote_repository(world: World, family: Path) -> None:
    """A repository from the network cannot name folders of this machine, even existing ones."""
    app = Repo(family / "app.git")
    app.git("config", "--file", ".gitmodules", "submodule.lib.url", str(family / "lib.git"))
    app.git("commit", "-q", "-m", "hostile", ".gitmodules")
    with HttpServer(family).running() as server:
        found = world.resolve(f"{server.url}/app.git")
        clone = world.make(found)
        assert "a path on this machine" in clone.checkout.notes[0]
        with pytest.raises(PolicyRefused):
            world.make(found, required=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_ownership(world: World, family: Path) -> None:
    """Submodules belong to the agent too, and look untouched."""
    clone = world.make(world.resolve(family / "app.git"), uid=12345)
    assert {os.lstat(path).st_uid for path in clone.path.rglob("*")} == {12345}
    assert clone.git("diff-files", cwd="libs/lib") == ""
