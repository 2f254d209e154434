"""--with-changes: what is not committed is inside as it is outside, and outside nothing moves."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import NotFound, UsageError
from orchestrator.repos.changes import ChangeSet, apply, capture, check
from orchestrator.repos.source import parse_source
from tests.integration.repos.support import Clone, Repo, World, lfs_pointer, new_repo, snapshot


@pytest.fixture
def repo(world: World) -> Repo:
    repo = new_repo(world.base / "app")
    repo.write(".gitignore", "*.log\n/build/\n")
    repo.write("dir/inner", "inner\n")
    repo.write("dir/second", "second\n")
    os.symlink("readme", repo.path / "link")
    repo.commit("second", a="a\n", b="b\n", c="c\n")
    return repo


def _capture(repo: Repo) -> ChangeSet:
    return capture(parse_source(str(repo.path), Path("/")))


def _carry(world: World, repo: Repo, uid: int | None = None) -> tuple[ChangeSet, Clone]:
    before = snapshot(repo.path)
    changes = _capture(repo)
    clone = world.make(world.resolve(repo.path), uid=uid)
    owner = os.getuid() if uid is None else uid
    apply(changes, clone.path, owner, owner)
    assert snapshot(repo.path) == before
    return changes, clone


def _files(folder: Path) -> dict[bytes, tuple[str, bytes]]:
    """Every file of a work tree that is not ignored by name, with its kind and bytes."""
    found: dict[bytes, tuple[str, bytes]] = {}
    top = os.fsencode(folder)
    for base, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in (b".git", b"build")]
        for name in (*names, *[name for name in folders if os.path.islink(os.path.join(base, name))]):
            path = os.path.join(base, name)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                found[os.path.relpath(path, top)] = ("link", os.readlink(path))
            elif stat.S_ISREG(status.st_mode) and not name.endswith(b".log"):
                kind = "executable" if status.st_mode & 0o100 else "file"
                found[os.path.relpath(path, top)] = (kind, Path(os.fsdecode(path)).read_bytes())
    return found


def _stage(repo: Repo) -> None:
    repo.write("a", "staged\n")
    repo.git("add", "a")


def _stage_then_edit(repo: Repo) -> None:
    _stage(repo)
    repo.write("a", "edited after staging\n")


def _stage_then_revert(repo: Repo) -> None:
    _stage(repo)
    repo.write("a", "a\n")


def _link_instead_of_file(repo: Repo) -> None:
    (repo.path / "a").unlink()
    os.symlink("/etc/passwd", repo.path / "a")


def _file_instead_of_link(repo: Repo) -> None:
    (repo.path / "link").unlink()
    repo.write("link", "now a file\n")
    repo.git("add", "link")


def _file_instead_of_folder(repo: Repo) -> None:
    shutil.rmtree(repo.path / "dir")
    repo.write("dir", "now a file\n")


def _staged_file_instead_of_folder(repo: Repo) -> None:
    _file_instead_of_folder(repo)
    repo.git("add", "-A")


def _folder_instead_of_file(repo: Repo) -> None:
    (repo.path / "a").unlink()
    repo.write("a/deep/er", "in a folder\n")


def _folder_instead_of_link(repo: Repo) -> None:
    (repo.path / "link").unlink()
    repo.write("link/x", "behind\n")
    repo.git("add", "-A")


def _link_instead_of_folder(repo: Repo) -> None:
    shutil.rmtree(repo.path / "dir")
    os.symlink("/etc", repo.path / "dir")


def _added_then_gone(repo: Repo) -> None:
    repo.write("fresh", "x")
    repo.git("add", "fresh")
    (repo.path / "fresh").unlink()


def _odd_names(repo: Repo) -> None:
    for name in (b"new\nline", b"-dash", b"latin\xe9", b'quo"te', b"back\\slash", b" blank ", b"caf\xc3\xa9/\xff", b"tab\there"):
        repo.write(name, name)
    repo.write(b"staged\xe9\n", b"x")
    repo.git("add", "--", os.fsdecode(b"staged\xe9\n"))


def _same_size_same_second(repo: Repo) -> None:
    status = os.stat(repo.path / "a")
    repo.write("a", "z\n")
    os.utime(repo.path / "a", ns=(status.st_atime_ns, status.st_mtime_ns))


CASES: dict[str, Callable[[Repo], object]] = {
    "unstaged": lambda repo: repo.write("a", "changed\n"),
    "staged": _stage,
    "staged-and-edited": _stage_then_edit,
    "staged-and-reverted-in-the-tree": _stage_then_revert,
    "untracked": lambda repo: repo.write("new", "new\n"),
    "untracked-in-folders": lambda repo: repo.write("x/y/z", "new\n"),
    "untracked-executable": lambda repo: repo.write("tool", "#!/bin/sh\n", executable=True),
    "untracked-link": lambda repo: os.symlink("/etc/passwd", repo.path / "outside"),
    "untracked-link-to-folder": lambda repo: os.symlink("dir", repo.path / "shortcut"),
    "deleted": lambda repo: (repo.path / "a").unlink(),
    "deleted-staged": lambda repo: repo.git("rm", "-q", "a"),
    "deleted-from-index-only": lambda repo: repo.git("rm", "-q", "--cached", "a"),
    "deleted-folder": lambda repo: shutil.rmtree(repo.path / "dir"),
    "renamed-staged": lambda repo: repo.git("mv", "a", "renamed"),
    "renamed-unstaged": lambda repo: (repo.path / "a").rename(repo.path / "renamed"),
    "mode": lambda repo: (repo.path / "a").chmod(0o755),
    "mode-staged": lambda repo: repo.git("update-index", "--chmod=+x", "a"),
    "intent-to-add": lambda repo: (repo.write("later", "later\n"), repo.git("add", "-N", "later")),
    "added-staged": lambda repo: (repo.write("fresh", "fresh\n"), repo.git("add", "fresh")),
    "added-staged-then-gone": _added_then_gone,
    "link-instead-of-file": _link_instead_of_file,
    "file-instead-of-link": _file_instead_of_link,
    "file-instead-of-folder": _file_instead_of_folder,
    "file-instead-of-folder-staged": _staged_file_instead_of_folder,
    "folder-instead-of-file": _folder_instead_of_file,
    "folder-instead-of-link": _folder_instead_of_link,
    "link-instead-of-folder": _link_instead_of_folder,
    "empty-file": lambda repo: repo.write("empty", ""),
    "binary": lambda repo: repo.write("a", bytes(range(256)) * 100),
    "odd-names": _odd_names,
    "same-size-same-time": _same_size_same_second,
    "touched-only": lambda repo: os.utime(repo.path / "a", (1, 1)),
    "ignored-only": lambda repo: (repo.write("x.log", "secret"), repo.write("build/out", "secret")),
    "ignored-but-added": lambda repo: (repo.write("kept.txt", "x"), repo.write("x.log", "y"), repo.git("add", "-f", "x.log")),
    "nothing": lambda repo: None,
}


@pytest.mark.parametrize("case", CASES)
def test_inside_is_as_outside(world: World, repo: Repo, case: str) -> None:
    """Status, staged diff, unstaged diff and files agree; the user's checkout is untouched, down to its times."""
    CASES[case](repo)
    changes, clone = _carry(world, repo)
    for command in (
        ("status", "--porcelain=v2", "-z", "--untracked-files=all"),
        ("diff", "--cached", "--binary", "--no-renames"),
        ("diff", "--binary", "--no-renames"),
        ("ls-files", "--stage", "-z"),
    ):
        assert clone.git(*command) == repo.git(*command), command
    assert _files(clone.path) == _files(repo.path)
    listed = repo.git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
    expected = {record[3:] for record in listed.split("\0") if record}
    assert changes.plan().files == len(expected)
    assert changes.empty == (not expected)
    assert changes.warnings == ()
    assert not (clone.path / "x.log").exists() or case == "ignored-but-added"


def test_digest(repo: Repo) -> None:
    """Equal content gives an equal digest, whatever the times; any other content, mode, name or staging another."""
    digests = {}
    empty = _capture(repo).plan().digest
    for name in (
        "unstaged",
        "staged",
        "mode",
        "deleted",
        "deleted-staged",
        "untracked",
        "untracked-executable",
        "untracked-link",
        "intent-to-add",
    ):
        CASES[name](repo)
        digests[name] = _capture(repo).plan().digest
        os.utime(repo.path / "b", (5, 5))
        assert _capture(repo).plan().digest == digests[name], name
        repo.git("reset", "-q", "--hard")
        repo.git("clean", "-qfd")
        assert _capture(repo).plan().digest == empty, name
    assert len({*digests.values(), empty}) == len(digests) + 1


def test_changed_between_plan_and_run(world: World, repo: Repo) -> None:
    """What was planned is what is brought along; anything else ends the run before it starts."""
    repo.write("a", "one\n")
    repo.write("new", "new\n")
    changes = _capture(repo)
    planned = changes.plan()
    check(_capture(repo), planned, repo.git("rev-parse", "HEAD"))
    repo.write("a", "two\n")
    with pytest.raises(UsageError, match="not those that were planned"):
        check(_capture(repo), planned, repo.git("rev-parse", "HEAD"))
    clone = world.clone(repo.path)
    with pytest.raises(UsageError, match="'a' changed while it was brought along"):
        apply(changes, clone.path, os.getuid(), os.getgid())


@pytest.mark.parametrize("replacement", ["gone", "link", "pipe", "folder"])
def test_file_replaced_while_it_is_brought_along(world: World, repo: Repo, replacement: str) -> None:
    """A file that became a link to elsewhere is not followed; a pipe is not waited for."""
    repo.write("a", "one\n")
    changes = _capture(repo)
    clone = world.clone(repo.path)
    path = repo.path / "a"
    path.unlink()
    if replacement == "link":
        os.symlink("/etc/passwd", path)
    elif replacement == "pipe":
        os.mkfifo(path)
    elif replacement == "folder":
        path.mkdir()
    with pytest.raises(UsageError, match="changed while"):
        apply(changes, clone.path, os.getuid(), os.getgid())


def test_other_base(world: World, repo: Repo) -> None:
    """Changes lie on top of HEAD; with another start they would mean something else."""
    repo.write("a", "x\n")
    changes = _capture(repo)
    with pytest.raises(UsageError, match="on top of HEAD") as problem:
        check(changes, changes.plan(), repo.git("rev-parse", "HEAD~1"))
    assert problem.value.remedy
    clone = world.clone(repo.path, "HEAD~1")
    with pytest.raises(UsageError, match="on top of HEAD"):
        apply(changes, clone.path, os.getuid(), os.getgid())


def test_unresolved_conflict(repo: Repo) -> None:
    """A checkout in the middle of a conflict is refused, with the ways out."""
    repo.git("checkout", "-q", "-b", "other", "HEAD~1")
    repo.commit("theirs", a="theirs\n")
    subprocess.run(("git", "merge", "-q", "main"), cwd=repo.path, capture_output=True, check=False)
    with pytest.raises(UsageError, match="unresolved conflicts in 1 files, for example 'a'") as problem:
        _capture(repo)
    assert "merge --abort" in (problem.value.remedy or "")


def test_resolved_but_not_concluded_merge(repo: Repo) -> None:
    """A resolved merge brings its files; that it is a merge stays behind, and is said."""
    repo.git("checkout", "-q", "-b", "other", "HEAD~1")
    repo.commit("theirs", theirs="theirs\n")
    repo.git("merge", "-q", "--no-commit", "main")
    changes = _capture(repo)
    assert changes.plan().files > 0
    assert "a merge is in progress" in changes.warnings[0]


def test_no_commit_yet(world: World) -> None:
    """In a repository without commits everything is a change."""
    repo = new_repo(world.base / "empty", commit=False)
    repo.write("staged", "s")
    repo.git("add", "staged")
    repo.write("new", "n")
    changes, clone = _carry(world, repo)
    assert changes.base is None
    assert clone.status() == "A  staged\n?? new"


def test_from_a_subfolder_and_a_worktree(world: World, repo: Repo) -> None:
    """The whole checkout counts, wherever in it the user stands; a linked worktree has its own index."""
    repo.write("a", "x\n")
    assert capture(parse_source("dir", repo.path)).plan() == _capture(repo).plan()
    repo.git("worktree", "add", "-q", str(world.base / "side"))
    side = Repo(world.base / "side")
    side.write("side", "s")
    side.git("add", "side")
    _, clone = _carry(world, side)
    assert clone.status() == "A  side"


def test_sources_without_a_checkout(world: World, repo: Repo) -> None:
    """A URL, a bare repository and no repository have no changes to bring."""
    repo.git("clone", "-q", "--bare", ".", str(world.base / "store.git"))
    with pytest.raises(UsageError, match="no work tree"):
        capture(parse_source("store.git", world.base))
    with pytest.raises(UsageError, match="is remote"):
        capture(parse_source("https://example.org/x.git", world.base))
    with pytest.raises(NotFound):
        capture(parse_source(".", world.base))


def test_too_large(repo: Repo) -> None:
    """Generated files that nobody ignores are named instead of copied."""
    repo.write("data", b"x" * 3_000_000)
    with pytest.raises(UsageError, match="exceed 2 MiB, at 'data'"):
        capture(parse_source(str(repo.path), Path("/")), max_bytes=2 * 1024**2)


def test_filters_and_hooks_do_not_run(world: World, repo: Repo) -> None:
    """No filter of the user's or the repository's configuration, no hook and no monitor starts; bytes are carried as they are."""
    mark = world.base / "ran"
    repo.write(".gitattributes", "*.enc filter=crypt\n")
    repo.write("x.enc", "cipher\n")
    repo.commit("attributes")
    for key in ("clean", "smudge", "process"):
        repo.git("config", f"filter.crypt.{key}", f"touch {mark}; cat")
    repo.git("config", "filter.crypt.required", "true")
    repo.git("config", "core.fsmonitor", f"touch {mark}; false")
    hook = repo.path / ".git" / "hooks" / "post-index-change"
    hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
    hook.chmod(0o755)
    repo.write("x.enc", "plain\n")
    _, clone = _carry(world, repo)
    assert not mark.exists()
    assert (clone.path / "x.enc").read_bytes() == b"plain\n"


def test_large_files_are_no_changes(world: World) -> None:
    """Content in place of an LFS pointer is not a change, even when git itself would have to ask LFS to know; a real change is."""
    repo = new_repo(world.base / "large")
    content = b"big" * 10_000
    oid, pointer = lfs_pointer(content)
    repo.write(".gitattributes", "*.bin filter=lfs -text\n")
    repo.write("big.bin", pointer)
    repo.commit("pointer")
    repo.write("big.bin", content)
    assert _capture(repo).plan().files == 0
    repo.write("big.bin", content + b"more")
    assert [entry.path for entry in _capture(repo).files] == [b"big.bin"]
    assert oid not in str(_capture(repo).plan())


def test_nested_repository_and_dirty_submodule(world: World, repo: Repo) -> None:
    """What cannot be brought along is said: repositories inside, and a submodule's own changes."""
    lib = new_repo(world.base / "lib")
    repo.git("submodule", "--quiet", "add", str(lib.path), "lib")
    repo.commit("with a submodule")
    assert _capture(repo).warnings == ()
    new_repo(repo.path / "nested")
    Repo(repo.path / "lib").write("readme", "dirty\n")
    Repo(repo.path / "lib").write("untracked", "")
    changes = _capture(repo)
    assert changes.files == ()
    assert changes.warnings == (
        "the repository 'nested/' inside the work tree is not brought along",
        "submodule 'lib' has uncommitted changes; they are not brought along",
    )
    Repo(repo.path / "lib").commit("moved on")
    assert "submodule 'lib' is at another commit" in _capture(repo).warnings[1]


def test_split_index(world: World, repo: Repo) -> None:
    """A split index is read, and no part of it is written beside the original."""
    repo.git("config", "core.splitIndex", "true")
    repo.git("update-index", "--split-index")
    _stage_then_edit(repo)
    before = set(os.listdir(repo.path / ".git"))
    _, clone = _carry(world, repo)
    assert set(os.listdir(repo.path / ".git")) == before
    assert clone.status() == "MM a"


def test_pipe_in_the_work_tree(world: World, repo: Repo) -> None:
    """What git cannot hold is passed over, and not waited for."""
    os.mkfifo(repo.path / "pipe")
    changes, clone = _carry(world, repo)
    assert changes.empty
    assert not (clone.path / "pipe").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_ownership(world: World, repo: Repo) -> None:
    """All that was brought along belongs to the agent."""
    _stage_then_edit(repo)
    repo.write("x/y", "new")
    _, clone = _carry(world, repo, uid=12345)
    assert {os.lstat(path).st_uid for path in clone.path.rglob("*")} == {12345}
    assert clone.status() == "MM a\n?? x/"


@pytest.mark.parametrize("on_disk", ["same", "newer", "gone"])
def test_what_was_staged_of_a_hidden_file_stays_behind(world: World, repo: Repo, on_disk: str) -> None:
    """A cover hides a file, not an object: neither a new secret nor the new content of an old one is in the clone's index or store."""
    for name in (".env", "a", "conf/key"):
        repo.write(name, f"SECRET of {name}\n")
    repo.write("plain", "plain\n")
    repo.git("add", ".env", "a", "conf/key", "plain")
    repo.git("rm", "-q", "--cached", "b")
    secrets = {repo.git("rev-parse", f":{name}") for name in (".env", "a", "conf/key")}
    for name in (".env", "a", "conf/key"):
        if on_disk == "gone":
            (repo.path / name).unlink()
        elif on_disk == "newer":
            repo.write(name, "NEWER\n")
    changes = _capture(repo)
    clone = world.make(world.resolve(repo.path))
    withheld = apply(changes, clone.path, os.getuid(), os.getgid(), hidden=frozenset((b".env", b"a", b"b", b"conf/key", b"no-such")))
    assert withheld == (b".env", b"a", b"conf/key")
    objects = clone.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split("\n")
    assert not secrets & set(objects)
    assert repo.git("rev-parse", ":plain") in objects
    assert clone.git("diff", "--cached", "--name-status") == "D\tb\nA\tplain"
    assert (clone.path / ".env").exists() == (on_disk != "gone")
    if on_disk != "gone":
        assert _files(clone.path) == _files(repo.path)
    assert clone.git("fsck", "--no-dangling") == ""
