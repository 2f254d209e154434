"""Configuration that came with a repository is never the user's: a bare repository can be committed, and git would take it by its looks."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import AienvError, HarvestFailed, UsageError
from orchestrator.harvest.apply import apply
from orchestrator.repos.changes import capture
from orchestrator.repos.gitcmd import git
from orchestrator.repos.local import locate
from orchestrator.repos.source import parse_source
from tests.integration.repos.support import Repo, World, new_repo


@pytest.fixture
def victim(world: World) -> Path:
    """The user's clone of a repository that holds a bare one in ``sub``, whose configuration runs a program."""
    hostile = new_repo(world.base / "hostile")
    commit = hostile.git("rev-parse", "HEAD")
    for name, text in {
        "HEAD": "ref: refs/heads/main\n",
        "config": f"[core]\n\trepositoryformatversion = 0\n\tbare = true\n\talternateRefsCommand = touch {world.base}/ran; true\n",
        "objects/info/alternates": "../../.git/objects\n",
        "refs/heads/main": f"{commit}\n",
        "hooks/reference-transaction": f"#!/bin/sh\ntouch {world.base}/ran\n",
    }.items():
        hostile.write(f"sub/{name}", text, executable=name.startswith("hooks"))
    hostile.git("add", "-f", "sub")
    hostile.git("commit", "-q", "-m", "embed")
    Repo(world.base).git("clone", "-q", str(hostile.path), str(world.base / "victim"))
    assert (world.base / "victim" / "sub" / "HEAD").exists()
    return world.base / "victim"


@pytest.mark.parametrize("where", ["sub", "sub/refs", "sub/objects/info", "sub/../sub", "linked"])
@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda world, path: world.clone(path), id="clone"),
        pytest.param(lambda world, path: locate(path), id="locate"),
        pytest.param(lambda world, path: capture(parse_source(str(path), world.base)), id="capture"),
    ],
)
def test_an_embedded_bare_repository_is_refused(world: World, victim: Path, where: str, use: Callable[[World, Path], object]) -> None:
    """Nobody meant that one: it is refused with the way out, and nothing of it runs."""
    os.symlink("sub", victim / "linked")
    with pytest.raises(UsageError) as caught:
        use(world, victim / where)
    assert caught.value.code == "bare-repository"
    assert "--repo" in (caught.value.remedy or "")
    assert not (world.base / "ran").exists()


def test_even_where_the_user_stops_the_search_above_it(world: World, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ceiling for git's search hides no work tree from us."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(victim))
    with pytest.raises(UsageError, match="inside the work tree"):
        locate(victim / "sub")


def test_nothing_is_applied_from_inside_it(world: World, victim: Path) -> None:
    """``aienv apply`` there finds no work tree."""
    (world.base / "result.patch").write_text("")
    with pytest.raises(HarvestFailed, match="no work tree"):
        apply(world.base, victim / "sub")


def test_the_repository_around_it_is_fine(world: World, victim: Path) -> None:
    """A repository that holds one, and folders of it beside that one, are used as ever."""
    (victim / "beside").mkdir()
    assert locate(victim / "beside").root == victim
    clone = world.clone(victim)
    assert (clone.path / "sub" / "HEAD").exists()
    assert not (world.base / "ran").exists()


@pytest.mark.parametrize("place", ["store.git", "deep/er/store", "proj/.git", "outer/.git/modules/x"])
def test_a_named_bare_repository_is_fine(world: World, place: str) -> None:
    """A bare repository in a place of its own, or below a ``.git``, is the user's."""
    repo = new_repo(world.base / "repo")
    target = world.base / place
    if place.startswith("outer"):
        new_repo(world.base / "outer")
    target.parent.mkdir(parents=True, exist_ok=True)
    repo.git("clone", "-q", "--bare", ".", str(target))
    found = locate(target)
    assert (found.bare, found.git_dir, found.root) == (True, target, target)
    assert world.clone(target).git("rev-parse", "HEAD") == repo.git("rev-parse", "HEAD")
    if place == "proj/.git":
        assert locate(target.parent).git_dir == target


def test_alternates_run_no_program(world: World) -> None:
    """A fetch into a repository that borrows objects asks no program for the refs of the lender."""
    lender = new_repo(world.base / "lender")
    Repo(world.base).git("clone", "-q", "--shared", str(lender.path), str(world.base / "mine"))
    mine = Repo(world.base / "mine")
    mine.git("config", "core.alternateRefsCommand", f"touch {world.base}/ran; true")
    other = new_repo(world.base / "other")
    other.commit("more", more="more\n")
    git(("fetch", "-q", str(other.path), "main:refs/heads/theirs"), cwd=mine.path, trusted=True)
    assert mine.git("log", "-1", "--format=%s", "theirs") == "more"
    assert not (world.base / "ran").exists()
    mine.git("fetch", "-q", str(other.path), "main:refs/heads/again")
    assert (world.base / "ran").exists()  # so git would have run it


def test_an_old_git_is_refused_too(world: World, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git that does not know ``safe.bareRepository`` finds the folder from below; what it found is looked at again."""
    plain = os.environ["PATH"]
    tools = world.base / "bin"
    tools.mkdir()
    script = """#!/bin/sh
for n in 0 1 2; do
    eval "key=\\$GIT_CONFIG_KEY_$n"
    if [ "$key" = safe.bareRepository ]; then export GIT_CONFIG_KEY_$n=x.y; fi
done
"""
    (tools / "git").write_text(f'{script}PATH={plain}\nexec git "$@"\n')
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{plain}")
    with pytest.raises(AienvError, match="inside the work tree"):
        locate(victim / "sub" / "refs")
    assert locate(victim).root == victim
