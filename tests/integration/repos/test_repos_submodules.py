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


def _initialise(superproject: Path) -> None:
    """What the user does to have the submodules himself."""
    Repo(superproject).git("submodule", "update", "-q", "--init", "--recursive")


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
    """A path's relative submodules are its neighbours, when it has no remote and the user initialised them."""
    _initialise(family / "app.git")
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
    _initialise(family / "app.git")
    shutil.rmtree(family / "app.git" / ".git" / "modules" / "lib" / "modules" / "deep")
    found = world.resolve(family / "app.git")
    clone = world.make(found)
    assert [part.path for part in clone.checkout.submodules] == ["libs/lib"]
    assert "submodule 'libs/lib/deep' left empty" in clone.checkout.notes[0]
    assert clone.status() == ""
    with pytest.raises(AienvError):
        world.make(found, required=True)


def test_missing_commit(world: World, family: Path) -> None:
    """A commit that was never pushed is named, whether the URL is a server's or a folder."""
    app = Repo(family / "app.git")
    app.git("update-index", "--cacheinfo", f"160000,{'1' * 40},libs/lib")
    app.git("commit", "-q", "-m", "ahead")
    with HttpServer(family).running() as server:
        assert "does not have the commit 111111111111" in world.clone(f"{server.url}/app.git").checkout.notes[0]
    assert "no copy that you initialised has the commit 111111111111" in world.clone(app.path).checkout.notes[0]


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
    _initialise(app.path)
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


# -- the user's other repositories ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def private(world: World) -> Repo:
    """Another repository of the user's, with a branch that he published nowhere."""
    repo = new_repo(world.base / "all" / "private")
    repo.commit("private", secret="TOPSECRET\n")
    repo.git("checkout", "-q", "-b", "unpublished")
    repo.commit("unpublished", unpublished="UNPUBLISHED\n")
    repo.git("checkout", "-q", "main")
    return repo


def _wish(repo: Repo, path: str, url: str, commit: str, name: str = "p") -> None:
    """A commit on the branch ``evil`` whose tree wishes for ``commit`` at ``path``; the work tree goes back to main."""
    repo.git("checkout", "-q", "-b", "evil")
    repo.write(".gitmodules", f'[submodule "{name}"]\n\tpath = {path}\n\turl = {url}\n')
    repo.git("add", ".gitmodules")
    if (repo.path / path.split("/", 1)[0]).is_symlink():
        repo.git("rm", "-q", "--cached", path.split("/", 1)[0])
        (repo.path / path.split("/", 1)[0]).unlink()
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    repo.git("commit", "-q", "-m", "evil")
    repo.git("checkout", "-q", "-f", "main")


def _objects(world: World, clone: Clone) -> set[str]:
    """Every object that somebody in the environment could read, named or not."""
    found: set[str] = set()
    for _, folder in clone.checkout.objects:
        listed = Repo(folder.parent).git("--git-dir=.", "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
        found |= set(listed.split("\n"))
    return found


def _check_refused(world: World, clone: Clone, private: Repo, path: str) -> None:
    assert clone.checkout.submodules == ()
    assert any(f"submodule {path!r} left empty" in note for note in clone.checkout.notes), clone.checkout.notes
    assert list((clone.path / path).iterdir()) == []
    theirs = {private.git("rev-parse", f"{branch}:{name}") for branch, name in (("main", "secret"), ("unpublished", "unpublished"))}
    assert not theirs & _objects(world, clone)


@pytest.mark.parametrize("url", ["../private", "./../private", "../../all/private"])
def test_a_neighbour_that_was_not_initialised(world: World, private: Repo, url: str) -> None:
    """A repository without a remote cannot name its neighbours: not every folder beside it is its own."""
    hostile = new_repo(world.base / "all" / "hostile")
    _wish(hostile, "p", url, private.git("rev-parse", "main"))
    _check_refused(world, world.clone(hostile.path, "evil"), private, "p")


@pytest.mark.parametrize("initialised", [False, True])
def test_through_a_symlink_of_the_checkout(world: World, private: Repo, initialised: bool) -> None:
    """A link that is checked out leads to no repository elsewhere, whatever the branch that runs has in its place."""
    hostile = new_repo(world.base / "hostile")
    hostile.git("remote", "add", "origin", "http://127.0.0.1:9/hostile.git")
    os.symlink(world.base / "all", hostile.path / "a")
    hostile.commit("link")
    _wish(hostile, "a/private", "http://127.0.0.1:9/p.git", private.git("rev-parse", "main"))
    if initialised:
        hostile.git("config", "submodule.p.url", "http://127.0.0.1:9/p.git")
    assert (hostile.path / "a" / "private" / ".git").exists()
    _check_refused(world, world.clone(hostile.path, "evil"), private, "a/private")


@pytest.mark.parametrize("initialised", [False, True])
def test_a_private_repository_in_an_ignored_folder(world: World, private: Repo, initialised: bool) -> None:
    """What the user cloned into the work tree for himself is no submodule, even where a branch says so."""
    hostile = new_repo(world.base / "hostile")
    hostile.git("remote", "add", "origin", "http://127.0.0.1:9/hostile.git")
    hostile.commit("ignore", **{".gitignore": "notes\n"})
    hostile.git("clone", "-q", str(private.path), "kept")
    _wish(hostile, "notes", "http://127.0.0.1:9/p.git", private.git("rev-parse", "main"))
    shutil.rmtree(hostile.path / "notes", ignore_errors=True)  # git leaves an empty folder
    (hostile.path / "kept").rename(hostile.path / "notes")
    if initialised:
        hostile.git("config", "submodule.p.url", "http://127.0.0.1:9/p.git")
    _check_refused(world, world.clone(hostile.path, "evil"), private, "notes")


def test_an_initialised_name_with_another_folder(world: World, family: Path, private: Repo) -> None:
    """A branch that gives an initialised submodule the URL of another folder gets neither."""
    _initialise(family / "app.git")
    app = Repo(family / "app.git")
    app.git("checkout", "-q", "-b", "evil")
    app.git("config", "--file", ".gitmodules", "submodule.lib.url", "../../all/private")
    app.git("update-index", "--cacheinfo", f"160000,{private.git('rev-parse', 'main')},libs/lib")
    app.git("add", ".gitmodules")
    app.git("commit", "-q", "-m", "evil")
    app.git("checkout", "-q", "-f", "main")
    _check_refused(world, world.clone(app.path, "evil"), private, "libs/lib")


def test_of_an_own_copy_only_what_was_wished(world: World) -> None:
    """The user's other branches of a submodule stay with him; what was wished for is there with its history."""
    lib = new_repo(world.base / "lib")
    app = new_repo(world.base / "app")
    app.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", "../lib", "lib")
    app.git("commit", "-q", "-m", "lib")
    own = Repo(app.path / "lib")
    wished = own.git("rev-parse", "HEAD")
    own.git("checkout", "-q", "-b", "mine")
    own.commit("mine", mine="MINE\n")
    mine = own.git("rev-parse", "HEAD:mine")
    own.git("checkout", "-q", wished)
    shutil.rmtree(lib.path)
    for _ in range(2):
        clone = world.clone(app.path)
        assert [(part.path, part.commit) for part in clone.checkout.submodules] == [("lib", wished)]
        assert (clone.path / "lib" / "readme").read_text() == "hello\n"
        assert clone.git("for-each-ref", cwd="lib") == ""
        assert clone.git("log", "--format=%s", cwd="lib") == "first"
        assert clone.status() == ""
        assert mine not in _objects(world, clone)
        # The mirror of the copy as a repository of its own has all its branches: it is another one.
        assert mine in _objects(world, world.clone(own.path))
    ahead = own.commit("ahead", ahead="x\n")
    app.git("commit", "-q", "-am", "ahead")
    assert world.clone(app.path).git("rev-parse", "HEAD", cwd="lib") == ahead


def test_a_submodule_with_a_git_folder_of_its_own(world: World) -> None:
    """As older gits made them, and as ``git submodule add`` of a clone that is there: a real folder, in the index, initialised."""
    lib = new_repo(world.base / "lib")
    app = new_repo(world.base / "app")
    app.git("clone", "-q", str(lib.path), "lib")
    app.git("submodule", "add", "-q", str(lib.path), "lib")
    app.git("commit", "-q", "-m", "lib")
    assert (app.path / "lib" / ".git").is_dir()
    shutil.rmtree(lib.path)
    commit = Repo(app.path / "lib").commit("mine", mine="x\n")
    app.git("commit", "-q", "-am", "mine")
    clone = world.clone(app.path)
    assert [(part.path, part.commit) for part in clone.checkout.submodules] == [("lib", commit)]
    app.git("config", "--unset", "submodule.lib.url")
    assert "submodule 'lib' left empty" in world.clone(app.path).checkout.notes[0]
