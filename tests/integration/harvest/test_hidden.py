"""Work that an agent hides, on purpose or not: behind closed folders, forged stamps, and in git's own folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.harvest.receive import make_readable
from tests.integration.harvest.place import AGENT_UID, Place, changed, names, new_place, sh

pytestmark = pytest.mark.bwrap


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made.start()


@pytest.mark.parametrize("mode", ["000", "111", "444"])
def test_a_closed_workspace_is_opened_by_its_owner(place: Place, mode: str) -> None:
    """The agent closes the workspace itself: no commit says that all files are gone, and the second try has everything."""
    place.agent(f"echo c > c; git add c; git commit -qm c; echo f > f; chmod 000 .git; chmod {mode} .")
    first = place.harvest()
    assert not first.complete
    assert "worktree" not in names(first)
    assert "." in place.manifest().unreadable or mode == "444"
    assert _as_agent(make_readable, place.work) == 2
    second = place.harvest()
    assert (second.complete, place.manifest().unreadable) == (True, ())
    assert changed(second) == {"c": "A", "f": "A"}
    assert {"head", "worktree"} <= names(second)


def _as_agent(work: Callable[[Path], int], path: Path) -> int:
    """What ``work`` returns when an ordinary user runs it: the tests are root, whom no mode stops."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(AGENT_UID)
            os.setuid(AGENT_UID)
            os._exit(work(path))
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _salvaged(place: Place) -> set[str]:
    tar = place.run_dir / "salvage.tar"
    return set(sh(f"tar tf {tar}", place.root).splitlines()) if tar.exists() else set()


HIDING_PLACES = (
    "work.lock",
    "objects/mywork",
    "objects/pack/tmp_pack_x",
    "objects/pack/loose.keep",
    "objects/info/alternates.mine",
    "objects/info/commit-graph",
    "worktrees/z/w",
    "refs/heads/z.lock",
    "rebase-merge/message",
    "COMMIT_EDITMSG",
    "MERGE_MSG",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "description",
    "rr-cache/f",
    "lfs/tmp/q",
    "branches/q",
    "logs/mine",
    "logs/refs/heads/x",
    "modules/m/f",
    "commondir.mine",
    "gc.log",
)


@pytest.mark.parametrize("folder", [".git", "n/.git"])
def test_bytes_below_git_are_kept(place: Place, folder: str) -> None:
    """What is neither ref nor object, wherever it lies in git's folder, of the workspace or of a repository in it."""
    more = ("info/exclude", "info/x", "hooks/post-commit", "config") if folder != ".git" else ()
    places = " ".join(f"{folder}/{name}" for name in (*HIDING_PLACES, *more))
    place.agent(
        f"git init -q n; for f in {places}; do mkdir -p $(dirname $f); echo precious-$f >> $f; done; ln -s precious-link {folder}/link"
    )
    harvest = place.harvest()
    assert harvest.complete
    top = "git" if folder == ".git" else "nested/0001/git"
    assert _salvaged(place) >= {f"{top}/{name}" for name in (*HIDING_PLACES, *more, "link")}
    assert f"precious-{folder}/rr-cache/f" in sh(f"tar xOf run/salvage.tar {top}/rr-cache/f", place.root)
    assert any("no bundle carries" in note for note in harvest.notes)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo x > x; git add x; git commit -qm 'one' -m 'two'; git commit -q --amend -m three", id="commits"),
        pytest.param(
            "git checkout -qb o; echo x > x; git add x; git commit -qm x; git checkout -q main; echo y > y; git add y; git commit -qm y;"
            "git merge -q -m merged o; git reset -q --hard HEAD~1; git rebase -q o; git checkout -qb p HEAD~1; git cherry-pick main;"
            "git tag -am t t",
            id="merge-rebase",
        ),
        pytest.param("echo x >> a.txt; git stash -q; git stash pop -q; git commit -qam s; git revert --no-edit HEAD; git gc -q", id="gc"),
        pytest.param(
            "git commit -qm e --allow-empty; git repack -qad; git commit-graph write; git pack-refs --all; git init -q", id="repack"
        ),
        pytest.param("git worktree add -q w; cd w; echo x > x; git add x; git commit -qm inner; touch .git.lock", id="worktree"),
        pytest.param("touch .git/index.lock .git/refs/heads/main.lock", id="locks"),
    ],
)
def test_housekeeping_is_not_kept(place: Place, script: str) -> None:
    """Git's own notes to itself, which say nothing that is not in the bundle, make no salvage.tar."""
    place.agent(script)
    harvest = place.harvest()
    assert harvest.complete
    assert _salvaged(place) == set(), harvest.notes


def test_pack_without_index(place: Place) -> None:
    """The index of a pack is made again; a pack that is not whole is kept raw and named."""
    place.agent(
        "echo packed > f; git add f; git commit -qm x; git repack -adq; git reset -q --hard HEAD~1;"
        "git reflog expire --all --expire=now; rm -f .git/objects/pack/*.idx; echo precious > .git/objects/pack/pack-broken.pack"
    )
    harvest = place.harvest()
    assert harvest.complete
    assert place.holds("packed\n")
    assert _salvaged(place) == {"git/objects/pack/pack-broken.pack"}
    assert any("pack-broken has no index" in note for note in harvest.notes)


FORGE = """
import hashlib, os, struct, time
index = bytearray(open(".git/index", "rb").read())
facts = os.stat("a.txt")
at = index.find(b"a.txt\\0") - 62
struct.pack_into(">4I", index, at, *divmod(facts.st_ctime_ns, 10**9), *divmod(facts.st_mtime_ns, 10**9))
struct.pack_into(">I", index, at + 20, facts.st_ino & 0xFFFFFFFF)
struct.pack_into(">3I", index, at + 28, facts.st_uid, facts.st_gid, facts.st_size)
index[-20:] = hashlib.sha1(index[:-20]).digest()
open(".git/index", "wb").write(index)
os.utime(".git/index", (time.time() + 1000, time.time() + 1000))
"""


@pytest.mark.parametrize("written", ["eno", "longer"])
def test_forged_stamp_hides_nothing(place: Place, written: str) -> None:
    """The agent's index says that a changed file, even one of the same length, is what it was: its bytes come out all the same."""
    place.agent(f"echo {written} > a.txt; python3 -c '{FORGE}'")
    assert place.agent("git status --porcelain") == ""
    harvest = place.harvest()
    assert changed(harvest) == {"a.txt": "M"}
    assert place.text("worktree", "a.txt") == written


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        pytest.param("*.txt text eol=crlf", "one\\ntwo\\n", id="line-ends"),
        pytest.param("*.txt ident", "$Id$\\n", id="ident"),
        pytest.param("*.txt working-tree-encoding=UTF-16", "text\\n", id="encoding"),
    ],
)
def test_untouched_converted_files_are_no_change(rule: str, text: str) -> None:
    """A checkout whose bytes differ from its objects is hashed too, and still is what it was."""
    with new_place() as place:
        encode = "| iconv -t UTF-16" if "encoding" in rule else ""
        place.start(f"echo '{rule}' > .gitattributes; printf '{text}' {encode} > c.txt; git add .; git commit -qm base")
        harvest = place.harvest()
        assert (names(harvest), changed(harvest), harvest.notes) == (set(), {}, ())


def test_too_many_object_folders_are_told(place: Place) -> None:
    """Alternates beyond those that are searched may hold something: the workspace stays, and a note says why."""
    place.agent("for i in $(seq 20); do mkdir -p .git/stores/$i; echo /workspaces/app/.git/stores/$i >> .git/objects/info/alternates; done")
    harvest = place.harvest()
    assert not harvest.complete
    assert any("object folders are not searched" in note for note in harvest.notes)


def test_more_submodules_than_are_opened(place: Place) -> None:
    """Git folders without work trees beyond the hundredth are kept raw and told."""
    place.agent("git init -q --template= m; echo x > m/x; mkdir .git/modules; for i in $(seq 102); do cp -r m/.git .git/modules/m$i; done")
    place.agent("echo precious > .git/modules/m102/f; echo precious > .git/modules/m99/f; rm -rf m")
    harvest = place.harvest()
    assert not harvest.complete
    kept = _salvaged(place)
    assert "git/modules/m99/f" in kept
    assert any("more than 100 nested" in note for note in harvest.notes)
    assert len({name for name in kept if name.endswith("/f")}) == 2
