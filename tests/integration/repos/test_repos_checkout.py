"""The run's own clone: what it has, what it does not have, and that it works."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.errors import EnvironmentFailed
from orchestrator.repos import cache
from orchestrator.repos.contents import commit_of
from orchestrator.repos.failures import ObjectsDamaged
from orchestrator.repos.mirror import Mirror, open_mirror, release, state_of
from tests.integration.repos.support import Repo, World, new_repo


@pytest.fixture
def repo(world: World) -> Repo:
    repo = new_repo(world.base / "app")
    repo.git("tag", "-a", "v1", "-m", "one")
    repo.commit("second", second="2\n")
    repo.git("branch", "topic", "HEAD~1")
    repo.git("update-ref", "refs/remotes/origin/main", "HEAD~1")
    repo.git("update-ref", "refs/pull/1/head", "HEAD")
    repo.git("update-ref", "refs/aienv/old/head", "HEAD")
    return repo


def test_clone_of_a_path(world: World, repo: Repo) -> None:
    """Branch, history, branches and tags are there; pull requests and our own refs are not."""
    clone = world.clone(repo.path)
    assert clone.git("symbolic-ref", "HEAD") == "refs/heads/main"
    assert clone.git("rev-list", "--count", "HEAD") == "2"
    assert clone.status("--ignored") == ""
    listed = clone.git("for-each-ref", "--format=%(refname) %(objectname)").split("\n")
    assert listed == [f"{name} {oid}" for name, oid in clone.checkout.refs]
    assert [name for name, _ in clone.checkout.refs] == [
        "refs/heads/main", "refs/heads/topic", "refs/remotes/origin/main", "refs/tags/v1",
    ]  # fmt: skip
    assert clone.git("describe") == repo.git("describe")
    assert "missing" not in clone.git("fsck", "--full")


def test_git_folder_is_bare_of_everything(world: World, repo: Repo) -> None:
    """No hooks, no remote, no template, no reflog of ours; the configuration is the one that stands in the code."""
    (repo.path / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    repo.git("config", "remote.origin.url", "https://user:secret@example.org/app.git")
    repo.git("config", "alias.st", "!echo hacked")
    clone = world.clone(repo.path)
    assert list((clone.path / ".git" / "hooks").iterdir()) == []
    assert set(os.listdir(clone.path / ".git")) == {"HEAD", "config", "hooks", "index", "info", "objects", "packed-refs", "refs"}
    keys = clone.git("config", "--local", "--name-only", "--list").split("\n")
    assert keys == [
        "core.repositoryformatversion", "core.filemode", "core.bare", "core.logallrefupdates", "gc.auto",
        "advice.detachedhead", "advice.addembeddedrepo",
    ]  # fmt: skip
    assert clone.git("remote") == ""
    name, folder = clone.checkout.objects[0]
    assert (clone.path / ".git" / "objects" / "info" / "alternates").read_text() == f"/run/aienv/objects/{name}\n"
    assert folder == world.resolve(repo.path).mirror.objects


def test_work_goes_into_the_clone_alone(world: World, repo: Repo) -> None:
    """A commit inside writes into the clone's own objects; the mirror and the source stay as they were."""
    clone = world.clone(repo.path)
    folder = clone.checkout.objects[0][1]
    before = sorted(path.name for path in folder.rglob("*"))
    (clone.path / "new").write_text("x\n")
    clone.git("add", "-A")
    clone.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "inside")
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert repo.git("rev-list", "--count", "main") == "2"


def test_no_hard_links_with_the_mirror(world: World, repo: Repo) -> None:
    """Whatever the agent may write has a link count of its own."""
    clone = world.clone(repo.path)
    linked = [path for path in clone.path.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_nlink != 1]
    assert linked == []


@pytest.mark.bwrap
def test_from_inside(world: World, repo: Repo) -> None:
    """With the objects mounted where the clone says, git inside works without any variable, read-only mirror and all."""
    if shutil.which("bwrap") is None:
        pytest.skip("install bubblewrap to run this test")
    clone = world.clone(repo.path)
    name, folder = clone.checkout.objects[0]
    script = (
        "set -e; git status --porcelain; git fsck --full; echo x > new; git add new; git -c user.name=a -c user.email=a@b commit -qm in;"
        f"git log --oneline | wc -l; git tag; ! touch /run/aienv/objects/{name}/x 2>/dev/null"
    )
    argv = (
        "bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--tmpfs", "/run", "--ro-bind", str(folder), f"/run/aienv/objects/{name}",
        "--bind", str(clone.path), str(clone.path), "--chdir", str(clone.path), "--unsetenv", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "sh", "-c", script,
    )  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["3", "v1"]), done.stderr


def test_detached(world: World, repo: Repo) -> None:
    """A tag or commit gives a detached HEAD."""
    clone = world.clone(repo.path, "v1")
    assert clone.git("rev-parse", "HEAD") == repo.git("rev-parse", "v1^{commit}")
    assert clone.git("rev-parse", "--abbrev-ref", "HEAD") == "HEAD"


def test_empty_repository(world: World) -> None:
    """Without commits there is an unborn branch, and the first commit can be made."""
    repo = new_repo(world.base / "empty", commit=False)
    clone = world.clone(repo.path)
    assert clone.git("status", "--porcelain", "--branch") == "## No commits yet on main"
    (clone.path / "a").write_text("a")
    clone.git("add", "a")
    clone.git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    assert clone.git("rev-list", "--count", "main") == "1"


def test_odd_names_links_and_bits(world: World, repo: Repo) -> None:
    """File names are bytes; links stay links; bits stay bits."""
    names = [
        b"with space",
        b"new\nline",
        b"-dash",
        b"caf\xc3\xa9",
        b"latin\xe9",
        b'quo"te',
        b"back\\slash",
        b"UPPER",
        b"upper",
        b":colon",
        b"*?",
    ]
    for name in names:
        repo.write(name, name)
    repo.write("tool", "#!/bin/sh\n", executable=True)
    os.symlink("/etc/passwd", repo.path / "absolute")
    os.symlink("../../..", repo.path / "upwards")
    os.symlink("missing", repo.path / "dangling")
    repo.commit("odd")
    clone = world.clone(repo.path)
    assert clone.status() == ""
    for name in names:
        assert Path(os.fsdecode(os.fsencode(clone.path) + b"/" + name)).read_bytes() == name
    assert os.access(clone.path / "tool", os.X_OK)
    assert not os.access(clone.path / "second", os.X_OK)
    assert [os.readlink(clone.path / name) for name in ("absolute", "upwards", "dangling")] == ["/etc/passwd", "../../..", "missing"]


def test_attributes_of_the_repository_start_nothing(world: World, repo: Repo) -> None:
    """Filters, diff drivers and merge drivers that only a configuration could define are not defined anywhere."""
    mark = world.base / "ran"
    (world.base / "home" / ".gitconfig").open("a").write(
        f'[filter "evil"]\n\tsmudge = touch {mark}\n\tclean = touch {mark}\n\trequired = true\n'
    )
    repo.write(".gitattributes", "* filter=evil\n*.crlf eol=crlf\n")
    repo.git("config", "filter.evil.smudge", f"touch {mark}.own")
    repo.write("x.crlf", "a\n")
    repo.git("-c", "filter.evil.clean=cat", "-c", "filter.evil.smudge=cat", "add", "-A")
    repo.git("-c", "filter.evil.clean=cat", "commit", "-qm", "attributes")
    mark.unlink(missing_ok=True)
    clone = world.clone(repo.path)
    assert not mark.exists()
    assert not Path(f"{mark}.own").exists()
    assert (clone.path / "x.crlf").read_bytes() == b"a\r\n"


@pytest.mark.parametrize(
    "path", [".git/config", ".git/hooks/pre-commit", ".GIT/hooks/pre-commit", "a/../../escape", "sub/.git/config", "git~1/config"]
)
def test_hostile_trees(world: World, repo: Repo, path: str) -> None:
    """A tree that would write into a git folder, or outside, is refused by git's own checks, with git's own reason."""
    blob = repo.git("hash-object", "-w", "--stdin", input=b"evil")
    tree = blob
    mode = "100644 blob"
    for part in reversed(path.split("/")):
        entry = f"{mode} {tree}\t{part}\0".encode()
        tree = _raw_tree(repo, mode, part, tree) if part in ("..", ".git", ".GIT", "git~1") else repo.git("mktree", "-z", input=entry)
        mode = "040000 tree"
    commit = repo.git("commit-tree", tree, "-m", "evil")
    repo.git("update-ref", "refs/heads/evil", commit)
    with pytest.raises(
        EnvironmentFailed, match=r"invalid path|Untracked working tree file|cannot create directory|unable to create|malformed"
    ):
        world.clone(repo.path, "evil")
    assert not (world.base / "escape").exists()


def _raw_tree(repo: Repo, mode: str, name: str, oid: str) -> str:
    content = f"{mode.split()[0].removeprefix('0')} {name}\0".encode() + bytes.fromhex(oid)
    return repo.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", input=content)


def test_link_and_file_behind_it(world: World, repo: Repo) -> None:
    """A tree with a link and a file of the same folder name cannot be checked out through the link."""
    blob = repo.git("hash-object", "-w", "--stdin", input=b"evil")
    link = repo.git("hash-object", "-w", "--stdin", input=str(world.base).encode())
    inner = repo.git("mktree", input=f"100644 blob {blob}\tpwned".encode())
    content = b"120000 a\0" + bytes.fromhex(link) + b"40000 a\0" + bytes.fromhex(inner)
    tree = repo.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", input=content)
    repo.git("update-ref", "refs/heads/evil", repo.git("commit-tree", tree, "-m", "evil"))
    with contextlib.suppress(EnvironmentFailed):
        world.clone(repo.path, "evil")
    assert not (world.base / "pwned").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_ownership(world: World, repo: Repo) -> None:
    """Everything belongs to the agent, links themselves included, and the index knows it: nothing looks touched."""
    os.symlink("/etc/passwd", repo.path / "link")
    repo.commit("link")
    clone = world.make(world.resolve(repo.path), uid=12345)
    assert {os.lstat(path).st_uid for path in (clone.path, *clone.path.rglob("*"))} == {12345}
    assert os.stat("/etc/passwd").st_uid == 0
    assert clone.git("diff-files") == ""


def test_branch_gone_since_the_plan(world: World, repo: Repo) -> None:
    """Between plan and run the source moves on; the clone is what was planned."""
    found = world.resolve(repo.path, "topic")
    repo.git("branch", "-D", "topic")
    repo.git("branch", "topic/deeper")
    world.resolve(repo.path)
    clone = world.make(found)
    assert clone.git("rev-parse", "refs/heads/topic") == found.commit
    assert "refs/heads/topic/deeper" not in dict(clone.checkout.refs)


def test_workspace_in_use(world: World, repo: Repo) -> None:
    """An existing workspace is somebody's work and is never cloned over."""
    from orchestrator.repos.checkout import make

    found = world.resolve(repo.path)
    (world.base / "taken").mkdir()
    (world.base / "taken" / "work").write_text("precious")
    with pytest.raises(EnvironmentFailed, match="not empty"):
        make(found.mirror, found.plan(changes=None, submodules=True, lfs=True), world.base / "taken", 0, 0)
    assert (world.base / "taken" / "work").read_text() == "precious"


# -- the mirror's life ---------------------------------------------------------------------------------------------------------------------


def _break_pack(mirror: Mirror) -> None:
    for path in mirror.objects.rglob("*"):
        if path.is_file() and path.name not in ("packs", "commit-graph"):
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_mirror_is_made_anew(world: World, repo: Repo) -> None:
    """Broken objects are found by the next fetch, and everything works."""
    first = world.resolve(repo.path)
    _break_pack(first.mirror)
    assert world.clone(repo.path).git("rev-list", "--count", "HEAD") == "2"


def test_damage_below_the_tips_is_found_at_checkout(world: World, repo: Repo) -> None:
    """A blob that is gone shows only when it is needed; then the mirror is made anew, once."""
    found = world.resolve(repo.path)
    generation = getattr(state_of(found.mirror), "generation", None)
    blob = repo.git("rev-parse", "HEAD:second")
    subprocess.run(("git", "unpack-objects", "-q"), cwd=found.mirror.git_dir, input=_packs(found.mirror), check=False)
    shutil.rmtree(found.mirror.objects / "pack", ignore_errors=True)
    (found.mirror.objects / blob[:2] / blob[2:]).unlink()
    clone = world.make(found)
    assert clone.status() == ""
    assert getattr(state_of(found.mirror), "generation", None) != generation


def _packs(mirror: Mirror) -> bytes:
    moved = [path.rename(mirror.root / path.name) for path in (mirror.objects / "pack").glob("*.pack")]
    for path in (mirror.objects / "pack").glob("*"):
        path.unlink()
    return b"".join(path.read_bytes() for path in moved)


def test_damage_without_a_source(world: World, repo: Repo) -> None:
    """A mirror that is only read cannot be repaired; the error says what it is."""
    from orchestrator.repos.checkout import make

    found = world.resolve(repo.path)
    _break_pack(found.mirror)
    read_only = open_mirror(world.mirrors, found.mirror.key)
    with pytest.raises((ObjectsDamaged, EnvironmentFailed)):
        make(read_only, found.plan(changes=None, submodules=True, lfs=True), world.base / "w", 0, 0)


def test_killed_fetch_leaves_nothing_in_the_way(world: World, repo: Repo) -> None:
    """Lock files, half packs and half mirrors of a killed process are cleared by the next fetch."""
    mirror = world.resolve(repo.path).mirror
    for name in ("packed-refs.lock", "shallow.lock", "config.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_abc"):
        path = mirror.git_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    half = world.mirrors / f"{mirror.key}.git.new-0000"
    half.mkdir()
    commit = repo.commit("third")
    assert world.resolve(repo.path).commit == commit
    assert not half.exists()
    assert list(mirror.git_dir.rglob("*.lock")) == []


def test_nothing_is_pruned_while_a_run_may_need_it(world: World, repo: Repo) -> None:
    """History that the source rewrote stays in the mirror, through many fetches and merges of packs."""
    old = world.resolve(repo.path)
    assert old.commit is not None
    clone = world.make(old)
    for number in range(45):
        repo.git("commit", "-q", "--amend", "--allow-empty", "-m", f"again {number}")
        for extra in range(3):
            repo.write(f"f{number}-{extra}", str(number))
        repo.git("add", "-A")
        world.resolve(repo.path)
    packs = list((old.mirror.objects / "pack").glob("*.pack"))
    assert len(packs) <= 42
    assert commit_of(old.mirror.git_dir, old.commit) == old.commit
    assert "missing" not in clone.git("fsck", "--full")


def test_sweep(world: World, repo: Repo) -> None:
    """A mirror goes when no live run borrows from it and nobody fetched it lately; never before."""
    clone = world.clone(repo.path)
    state = state_of(world.resolve(repo.path).mirror)
    assert state is not None
    later = state.fetched_at + 1000
    assert cache.sweep(world.mirrors, lambda run: True, unused_s=100, now=later) == ()
    assert cache.sweep(world.mirrors, lambda run: False, unused_s=10_000, now=later) == ()
    assert "missing" not in clone.git("fsck")
    key = clone.checkout.objects[0][0]
    assert cache.sweep(world.mirrors, lambda run: False, unused_s=100, now=later) == (key,)
    assert not list(world.mirrors.glob("*.git*"))


def test_release(world: World, repo: Repo) -> None:
    """A released run holds nothing; to release twice, or what never was, is fine."""
    from orchestrator.repos.mirror import keep

    mirror = world.resolve(repo.path).mirror
    keep(mirror, "r1")
    assert [path.name for path in world.mirrors.glob("*.keep/*")] == ["r1"]
    for _ in range(2):
        release(world.mirrors, "r1")
    assert list(world.mirrors.glob("*.keep/*")) == []
    with pytest.raises(ValueError, match="not a run id"):
        keep(mirror, "../x")
