"""Large files: content in the work tree, pointers in the commit, and no filter in between."""

import os
import shutil
from pathlib import Path

import pytest

from tests.integration.repos.support import HttpServer, Repo, World, lfs_pointer, new_repo

BIG = b"\0big\r\n" * 50_000
OTHER = b"other content\n" * 20


def _put(repo: Repo, store: Path, name: str, content: bytes, *, nested: bool = True) -> str:
    oid, pointer = lfs_pointer(content)
    repo.write(name, pointer)
    place = store / oid[:2] / oid[2:4] / oid if nested else store / oid
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return oid


@pytest.fixture
def repo(world: World) -> Repo:
    """big.bin and sub/other.bin lie in LFS; text.txt is a pointer without the attribute."""
    repo = new_repo(world.base / "srv" / "app.git")
    repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    store = repo.path / ".git" / "lfs" / "objects"
    _put(repo, store, "big.bin", BIG)
    _put(repo, store, "sub/other.bin", OTHER)
    repo.write("text.txt", lfs_pointer(BIG)[1])
    repo.commit("large")
    return repo


def _check(clone_path: Path) -> None:
    assert (clone_path / "big.bin").read_bytes() == BIG
    assert (clone_path / "sub" / "other.bin").read_bytes() == OTHER
    assert (clone_path / "text.txt").read_text() == lfs_pointer(BIG)[1]


def test_from_a_path(world: World, repo: Repo) -> None:
    """The user's own objects fill the work tree; git inside sees no change, with and without git-lfs."""
    clone = world.clone(repo.path)
    _check(clone.path)
    assert set(clone.checkout.lfs_files) == {"big.bin", "sub/other.bin"}
    assert clone.checkout.notes == ()
    assert clone.status() == ""
    if shutil.which("git-lfs"):
        lfs = ("-c", "filter.lfs.clean=git-lfs clean -- %f", "-c", "filter.lfs.required=true")
        os.utime(clone.path / "big.bin")
        assert clone.git(*lfs, "status", "--porcelain") == ""
        (clone.path / "big.bin").write_bytes(BIG + b"more")
        assert clone.git(*lfs, "status", "--porcelain") == " M big.bin"


def test_index_is_still_right_after_other_work(world: World, repo: Repo) -> None:
    """When the agent's own git rewrites the index, the large files still look clean."""
    clone = world.clone(repo.path)
    (clone.path / "new").write_text("x")
    clone.git("add", "new")
    clone.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "inside")
    assert clone.status() == ""
    assert clone.git("diff", "--stat", "HEAD~1", "HEAD").split("\n")[-1] == " 1 file changed, 1 insertion(+)"


def test_what_only_looks_like_a_pointer(world: World, repo: Repo) -> None:
    """A file with the attribute that is no sound pointer stays as it is in the commit."""
    looks = "version https://git-lfs.github.com/spec/v1\noid sha256:../../../etc/passwd\nsize 1\n" + "x" * 100
    repo.write("notes.bin", looks)
    repo.git("-c", "filter.lfs.clean=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false", "add", "-A")
    repo.git("commit", "-q", "-m", "looks like one")
    clone = world.clone(repo.path)
    assert (clone.path / "notes.bin").read_text() == looks
    assert "notes.bin" not in clone.checkout.lfs_files


def test_missing_and_wrong_objects(world: World, repo: Repo) -> None:
    """An object that is not there, or not what its name says, leaves the pointer, and a note says which."""
    store = repo.path / ".git" / "lfs" / "objects"
    oid, _ = lfs_pointer(BIG)
    (store / oid[:2] / oid[2:4] / oid).write_bytes(b"x" * len(BIG))
    other, _ = lfs_pointer(OTHER)
    (store / other[:2] / other[2:4] / other).unlink()
    clone = world.clone(repo.path)
    assert (clone.path / "big.bin").read_text() == lfs_pointer(BIG)[1]
    assert clone.checkout.lfs_files == ()
    assert "LFS pointers left as they are (2 files, for example 'big.bin')" in clone.checkout.notes[0]
    assert clone.status() == ""


def test_storage_elsewhere(world: World, repo: Repo) -> None:
    """The user may keep his objects in another folder."""
    shutil.move(repo.path / ".git" / "lfs", world.base / "store")
    repo.git("config", "lfs.storage", str(world.base / "store"))
    _check(world.clone(repo.path).path)


def test_not_wished(world: World, repo: Repo) -> None:
    """Without LFS the pointers are what is checked out."""
    clone = world.make(world.resolve(repo.path), lfs=False)
    assert (clone.path / "big.bin").read_text() == lfs_pointer(BIG)[1]
    assert clone.status() == ""


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="install git-lfs to run this test")
def test_from_a_url(world: World, repo: Repo) -> None:
    """git-lfs fetches into the mirror from the URL's own server, whatever .lfsconfig says, with the URL's credentials."""
    for content in (BIG, OTHER):
        (repo.path.parent / "lfs-store").mkdir(exist_ok=True)
        (repo.path.parent / "lfs-store" / lfs_pointer(content)[0]).write_bytes(content)
    with HttpServer(repo.path.parent).running() as elsewhere:
        repo.write(".lfsconfig", f"[lfs]\n\turl = {elsewhere.url}/stolen\n")
        repo.commit("divert")
        with HttpServer(repo.path.parent, user="me", password="canary-5b", canary="canary-5b").running() as server:
            found = world.resolve(f"http://me:canary-5b@127.0.0.1:{server.port}/app.git")
            clone = world.make(found)
            assert server.seen_in_process_list == []
        assert elsewhere.authorizations == []
    _check(clone.path)
    assert clone.status() == ""
    assert clone.checkout.notes == ()
    assert not any(b"canary-5b" in path.read_bytes() for path in world.mirrors.rglob("*") if path.is_file())
    assert list(found.mirror.git_dir.glob("hooks/*")) == []


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="install git-lfs to run this test")
def test_server_without_the_objects(world: World, repo: Repo) -> None:
    """A server that lacks them leaves pointers and a note; the run goes on."""
    (repo.path.parent / "lfs-store").mkdir()
    with HttpServer(repo.path.parent).running() as server:
        clone = world.clone(f"{server.url}/app.git")
    assert (clone.path / "big.bin").read_text() == lfs_pointer(BIG)[1]
    assert clone.checkout.notes[0].startswith("LFS pointers left as they are")


def test_git_lfs_not_installed(world: World, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL's objects need git-lfs on the host; without it a note says so."""
    tools = world.base / "tools"
    tools.mkdir()
    for name in ("git", "sh", "cat"):
        (tools / name).symlink_to(shutil.which(name) or name)
    with HttpServer(repo.path.parent).running() as server:
        found = world.resolve(f"{server.url}/app.git")
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(tools))
            clone = world.make(found)
    assert clone.checkout.notes == ("LFS pointers left as they are: git-lfs is not installed",)
    assert clone.status() == ""
