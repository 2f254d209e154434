"""From what the user names to one commit, with real repositories."""

import os
import subprocess

import pytest

from orchestrator.errors import AienvError, EnvironmentFailed, NotFound, UsageError
from orchestrator.repos.contents import commit_of
from orchestrator.repos.mirror import list_files, read_file, state_of
from tests.integration.repos.support import Repo, World, new_repo, snapshot


@pytest.fixture
def repo(world: World) -> Repo:
    """main with two commits, a branch, an annotated and a plain tag, and a remote-tracking branch."""
    repo = new_repo(world.base / "app")
    repo.git("tag", "plain")
    repo.git("branch", "feature/x")
    repo.commit("second", second="2\n")
    repo.git("tag", "-a", "v1.0", "-m", "release")
    repo.git("update-ref", "refs/remotes/origin/upstream", "HEAD~1")
    return repo


@pytest.mark.parametrize(
    ("ref", "commit", "branch"),
    [
        pytest.param(None, "main", "main", id="default"),
        pytest.param("HEAD", "main", "main", id="HEAD"),
        pytest.param("main", "main", "main", id="branch"),
        pytest.param("feature/x", "main~1", "feature/x", id="branch-with-slash"),
        pytest.param("refs/heads/feature/x", "main~1", "feature/x", id="full-name-of-branch"),
        pytest.param("v1.0", "main", None, id="annotated-tag"),
        pytest.param("plain", "main~1", None, id="plain-tag"),
        pytest.param("refs/tags/v1.0", "main", None, id="full-name-of-tag"),
        pytest.param("origin/upstream", "main~1", None, id="remote-branch"),
        pytest.param("HEAD~1", "main~1", None, id="step-from-HEAD"),
        pytest.param("v1.0^", "main~1", None, id="step-from-tag"),
    ],
)
def test_refs_of_a_path(world: World, repo: Repo, ref: str | None, commit: str, branch: str | None) -> None:
    """Every form of a ref leads to its commit; only a branch is a branch in the clone."""
    found = world.resolve(repo.path, ref)
    assert (found.commit, found.branch, found.default_branch) == (repo.git("rev-parse", commit), branch, "main")
    assert (found.kind, found.location, found.name, found.warnings) == ("path", str(repo.path), "app", ())


def test_commits_short_and_full(world: World, repo: Repo) -> None:
    """A commit may be named in full or by its first digits, in either case."""
    commit = repo.git("rev-parse", "main~1")
    for ref in (commit, commit[:8], commit[:8].upper()):
        assert (world.resolve(repo.path, ref).commit, world.resolve(repo.path, ref).branch) == (commit, None)


@pytest.mark.parametrize(
    ("ref", "near"),
    [
        pytest.param("mian", "perhaps 'main'", id="typo"),
        pytest.param("feature/y", "'feature/x'", id="near-branch"),
        pytest.param("v1.1", "'v1.0'", id="near-tag"),
        pytest.param("0123456789abcdef0123456789abcdef01234567", "there is", id="unknown-commit"),
        pytest.param("main~99", "", id="step-too-far"),
        pytest.param("refs/stash", "", id="missing-full-name"),
    ],
)
def test_missing_refs(world: World, repo: Repo, ref: str, near: str) -> None:
    """A ref that is not there ends with 6 and names what is near."""
    with pytest.raises(NotFound) as problem:
        world.resolve(repo.path, ref)
    assert problem.value.exit_code == 6
    assert repr(ref) in problem.value.message
    assert near in (problem.value.remedy or "")


@pytest.mark.parametrize("ref", ["", "-x", "a..b", "a b", "a:b", "@{-1}", ":/fix", "a\nb", "x?", "a//b", "a.lock"])
def test_unusable_refs(world: World, repo: Repo, ref: str) -> None:
    """What can be no ref is refused before git sees it."""
    with pytest.raises(UsageError, match="not a usable name"):
        world.resolve(repo.path, ref)


def test_branch_wins_over_tag(world: World, repo: Repo) -> None:
    """A name that is both is taken as a branch, with a warning."""
    repo.git("branch", "both", "main~1")
    repo.git("tag", "both", "main")
    found = world.resolve(repo.path, "both")
    assert (found.commit, found.branch) == (repo.git("rev-parse", "main~1"), "both")
    assert found.warnings == ("'both' names a branch and a tag; the branch was taken",)


def test_tag_of_a_file(world: World, repo: Repo) -> None:
    """A tag need not name a commit; then it cannot be worked on."""
    repo.git("tag", "file", repo.git("rev-parse", "HEAD:readme"))
    with pytest.raises(NotFound, match="names no commit"):
        world.resolve(repo.path, "file")


def test_detached_head_that_no_ref_reaches(world: World, repo: Repo) -> None:
    """The user's checkout may stand on a commit that only HEAD knows."""
    repo.git("checkout", "-q", "--detach")
    commit = repo.commit("lonely")
    found = world.resolve(repo.path)
    assert (found.commit, found.branch) == (commit, None)
    assert commit_of(found.mirror.git_dir, commit) == commit


def test_subfolder_file_url_and_git_folder(world: World, repo: Repo) -> None:
    """A folder inside the repository, its git folder and its file:// URL all mean the repository around them."""
    repo.write("deep/er/file", "x")
    keys = {world.resolve(where).mirror.key for where in (repo.path, repo.path / "deep" / "er", repo.path / ".git", f"file://{repo.path}")}
    locations = {world.resolve(where).location for where in (repo.path / "deep" / "er", f"file://{repo.path}")}
    assert len(keys) == 1
    assert locations == {str(repo.path)}


def test_worktree_shares_the_mirror(world: World, repo: Repo) -> None:
    """A linked worktree has its own HEAD and the mirror of its repository."""
    repo.git("worktree", "add", "-q", "-b", "side", str(world.base / "side-tree"))
    commit = Repo(world.base / "side-tree").commit("on the side")
    found = world.resolve(world.base / "side-tree")
    assert (found.commit, found.branch, found.name) == (commit, "side", "side-tree")
    assert found.mirror.key == world.resolve(repo.path).mirror.key


def test_bare_repository(world: World, repo: Repo) -> None:
    """A bare repository is a path like any other."""
    repo.git("clone", "-q", "--bare", ".", str(world.base / "store.git"))
    found = world.resolve(world.base / "store.git")
    assert (found.commit, found.branch, found.name) == (repo.git("rev-parse", "main"), "main", "store")


def test_sha256_repository(world: World) -> None:
    """The newer object format works end to end."""
    repo = new_repo(world.base / "wide", object_format="sha256")
    found = world.resolve(repo.path)
    assert found.commit == repo.git("rev-parse", "HEAD")
    assert len(found.commit or "") == 64
    assert world.make(found).status() == ""


def test_empty_repository(world: World) -> None:
    """Without commits there is no commit, but there is the branch that HEAD names."""
    repo = new_repo(world.base / "empty", commit=False)
    repo.git("symbolic-ref", "HEAD", "refs/heads/trunk")
    found = world.resolve(repo.path)
    assert (found.commit, found.branch) == (None, "trunk")
    with pytest.raises(NotFound, match="'main'"):
        world.resolve(repo.path, "main")


def test_no_repository(world: World) -> None:
    """No folder, and a folder without a repository, are told apart."""
    (world.base / "plain").mkdir()
    with pytest.raises(NotFound, match="no folder at"):
        world.resolve(world.base / "nowhere")
    with pytest.raises(NotFound, match="no git repository at or around"):
        world.resolve(world.base / "plain")


def test_new_commits_are_seen_at_once(world: World, repo: Repo) -> None:
    """The owner of a path commits and runs in one breath; no copy is too fresh to be asked again."""
    for number in range(3):
        commit = repo.commit(f"again {number}")
        assert world.resolve(repo.path, "main").commit == commit


def test_moved_and_removed_branches(world: World, repo: Repo) -> None:
    """The mirror follows a rewritten history and a branch that became a folder."""
    world.resolve(repo.path)
    repo.git("commit", "-q", "--amend", "-m", "other words")
    repo.git("branch", "-D", "feature/x")
    repo.git("branch", "feature")
    assert world.resolve(repo.path, "main").commit == repo.git("rev-parse", "main")
    assert world.resolve(repo.path, "feature").branch == "feature"
    with pytest.raises(NotFound):
        world.resolve(repo.path, "feature/x")


def test_shallow_source(world: World, repo: Repo) -> None:
    """A shallow repository stays shallow, works, and becomes whole when its owner completes it."""
    repo.git("clone", "-q", "--depth=1", f"file://{repo.path}", str(world.base / "cut"))
    cut = Repo(world.base / "cut")
    clone = world.clone(cut.path)
    assert clone.git("rev-list", "--count", "HEAD") == "1"
    assert clone.status() == ""
    cut.git("fetch", "-q", "--unshallow")
    assert world.clone(cut.path).git("rev-list", "--count", "HEAD") == "2"


def test_the_user_s_repository_is_only_read(world: World, repo: Repo) -> None:
    """To resolve and to clone changes no file of the user's, not even a time."""
    repo.write("readme", "dirty\n")
    before = snapshot(repo.path)
    world.clone(repo.path)
    assert snapshot(repo.path) == before


def test_configuration_of_the_caller_is_not_followed(world: World, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIT_DIR and its kin, as a hook or an alias sets them, do not divert us; a hook and a monitor of the repository do not run."""
    other = new_repo(world.base / "other")
    mark = world.base / "ran"
    script = world.base / "script"
    script.write_text(f"#!/bin/sh\ntouch {mark}\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "core.sshCommand", "core.askPass", "core.pager", "uploadpack.packObjectsHook"):
        repo.git("config", key, str(script))
    for hook in ("reference-transaction", "post-checkout", "post-index-change"):
        (repo.path / ".git" / "hooks" / hook).write_text(script.read_text())
        (repo.path / ".git" / "hooks" / hook).chmod(0o755)
    for name, value in (("GIT_DIR", other.path / ".git"), ("GIT_WORK_TREE", other.path), ("GIT_INDEX_FILE", other.path / "x")):
        monkeypatch.setenv(name, str(value))
    found = world.resolve(repo.path)
    monkeypatch.delenv("GIT_DIR")
    assert found.location == str(repo.path)
    world.make(found)
    assert not mark.exists()


def test_odd_refs_of_a_source_do_not_stop_us(world: World, repo: Repo) -> None:
    """Refs that cannot stand side by side, and names that look like options, are the source's own trouble."""
    commit = repo.git("rev-parse", "HEAD")
    names = [
        "refs/heads/-x",
        "refs/heads/HEAD",
        "refs/heads/a",
        "refs/heads/a/b",
        "refs/heads/main",
        "refs/heads/@",
        "refs/tags/--upload-pack=x",
    ]
    (repo.path / ".git" / "packed-refs").write_text("".join(f"{commit} {name}\n" for name in sorted(names)))
    found = world.resolve(repo.path, "main")
    assert found.commit == commit
    clone = world.make(found)
    assert clone.git("rev-parse", "HEAD") == commit
    assert clone.status() == ""


def test_partial_clone_is_named_as_the_cause(world: World, repo: Repo) -> None:
    """A source that lacks objects cannot be copied; the remedy says how to complete it, and no network is used on its behalf."""
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git("clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{repo.path}", str(world.base / "thin"))
    with pytest.raises(AienvError) as problem:
        world.resolve(world.base / "thin")
    assert "partial clone" in (problem.value.remedy or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a folder of another owner")
def test_dubious_ownership(world: World, repo: Repo) -> None:
    """Git's own refusal of another owner's folder is passed on with its remedy."""
    (world.base / "home" / ".gitconfig").write_text("")
    subprocess.run(("chown", "-R", "12345", str(repo.path)), check=True)
    with pytest.raises(EnvironmentFailed) as problem:
        world.resolve(repo.path)
    assert problem.value.code == "git-ownership"
    assert "safe.directory" in (problem.value.remedy or "")


def test_reading_configuration_from_a_commit(world: World, repo: Repo) -> None:
    """Files come from the commit, not from the work tree; links, folders and large files are not read."""
    repo.write(".aienv/tasks/a.yaml", "version: 1\n")
    repo.write(".aienv/tasks/deep/b.yaml", "")
    repo.write("-dash", "x")
    os.symlink("/etc/passwd", repo.path / ".aienv" / "link.yaml")
    repo.commit("config", big="x" * 2000)
    repo.write(".aienv/tasks/a.yaml", "dirty")
    found = world.resolve(repo.path)
    assert found.commit is not None
    assert read_file(found.mirror, found.commit, ".aienv/tasks/a.yaml") == b"version: 1\n"
    assert read_file(found.mirror, found.commit, "-dash") == b"x"
    for nothing in (".aienv/link.yaml", ".aienv", "missing", "../x", "", "/etc/passwd", ":(glob)**", "a\0b"):
        assert read_file(found.mirror, found.commit, nothing) is None, nothing
    with pytest.raises(AienvError, match="at most 1000"):
        read_file(found.mirror, found.commit, "big", max_bytes=1000)
    assert list_files(found.mirror, found.commit, ".aienv/tasks") == (".aienv/tasks/a.yaml", ".aienv/tasks/deep/b.yaml")
    assert "readme" in list_files(found.mirror, found.commit)
    assert list_files(found.mirror, found.commit, "nowhere") == ()


def test_state_records_head(world: World, repo: Repo) -> None:
    """The mirror knows what the source's HEAD was, and keeps its generation while nothing changes."""
    first = state_of(world.resolve(repo.path).mirror)
    second = state_of(world.resolve(repo.path).mirror)
    assert first is not None
    assert second is not None
    assert (first.head, first.generation) == ("refs/heads/main", second.generation)
