"""States in which an agent leaves its repository, and what must come out of each."""

from collections.abc import Iterator

import pytest

from tests.integration.harvest.place import AGENT_UID, Place, changed, names, new_place, sh

pytestmark = pytest.mark.bwrap


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made.start()


@pytest.mark.parametrize(
    ("script", "refs", "files"),
    [
        pytest.param("true", set(), {}, id="nothing"),
        pytest.param("git status; touch a.txt; git branch same", set(), {}, id="nothing-but-touched"),
        pytest.param("echo x >> a.txt", {"worktree"}, {"a.txt": "M"}, id="unstaged"),
        pytest.param("echo x >> a.txt; git add a.txt", {"worktree"}, {"a.txt": "M"}, id="staged"),
        pytest.param("echo x > new; git add new; echo y > new", {"worktree", "index"}, {"new": "A"}, id="staged-then-changed"),
        pytest.param("echo x > new; git add new; rm new", {"index"}, {}, id="staged-then-deleted"),
        pytest.param("echo x > 'u n\tt\n.txt'", {"worktree"}, {"u n\\x09t\\x0a.txt": "A"}, id="untracked-odd-name"),
        pytest.param("echo x > $'\\xff\\xfe'", {"worktree"}, {"\\xff\\xfe": "A"}, id="untracked-bytes-name"),
        pytest.param("git commit -qm e --allow-empty", {"head", "heads/main"}, {}, id="empty-commit"),
        pytest.param("git mv a.txt c.txt", {"worktree"}, {"a.txt": "D", "c.txt": "A"}, id="rename"),
        pytest.param("rm a.txt", {"worktree"}, {"a.txt": "D"}, id="delete"),
        pytest.param("chmod +x a.txt", {"worktree"}, {"a.txt": "M"}, id="mode"),
        pytest.param("rm a.txt; ln -s src/b.txt a.txt", {"worktree"}, {"a.txt": "T"}, id="file-to-link"),
        pytest.param("rm a.txt; mkdir a.txt; echo x > a.txt/in", {"worktree"}, {"a.txt": "D", "a.txt/in": "A"}, id="file-to-folder"),
        pytest.param("rm -r src; echo x > src", {"worktree"}, {"src": "A", "src/b.txt": "D"}, id="folder-to-file"),
        pytest.param("mv src lib; ln -s lib src", {"worktree"}, {"lib/b.txt": "A", "src": "A", "src/b.txt": "D"}, id="folder-to-link"),
        pytest.param("ln -s /etc/passwd p; ln -s nowhere q", {"worktree"}, {"p": "A", "q": "A"}, id="dangling-links"),
        pytest.param(
            "echo x > f; git add f; git commit -qm c; git checkout -q --detach; echo y > f; git commit -qam d",
            {"head", "heads/main"},
            {"f": "A"},
            id="detached",
        ),
        pytest.param("git commit -q --amend -m new; echo z > a.txt", {"head", "heads/main", "worktree"}, {"a.txt": "M"}, id="amended-base"),
        pytest.param(
            "git checkout -q --orphan other; git commit -qm o; git checkout -q main",
            {"heads/other"},
            {},
            id="orphan-branch",
        ),
        pytest.param(
            "git checkout -q --orphan other; git rm -rqf .; echo o > o; git add o; git commit -qm o",
            {"head", "heads/other"},
            {"o": "A", "a.txt": "D", "src/b.txt": "D"},
            id="orphan-head",
        ),
        pytest.param("git checkout -q --orphan other", set(), {}, id="unborn-head"),
        pytest.param("git update-ref -d HEAD; rm .git/index", set(), {}, id="head-deleted"),
        pytest.param(
            "git checkout -qb s; echo s > s; git add s; git commit -qm s; git checkout -q main; git merge -q --no-ff -m m s",
            {"head", "heads/main", "heads/s"},
            {"s": "A"},
            id="merge",
        ),
        pytest.param(
            "echo x > a.txt; git stash -q; echo y > u; git stash -q -u; true",
            {"stash/0", "stash/1"},
            {},
            id="stashes",
        ),
        pytest.param("echo x > f; git add f; git commit -qm c; git reset -q --hard HEAD~1", {"lost/0"}, {}, id="reset"),
        pytest.param("echo x > f; git add f; git rm -q --cached f; rm f", {"lost/objects"}, {}, id="only-ever-staged"),
        pytest.param("echo x > a.txt; git stash -q; git stash drop -q", {"lost/0"}, {}, id="dropped-stash"),
        pytest.param("git tag t; git tag -a -m t u", {"tags/u"}, {}, id="tag-on-base"),
        pytest.param("git notes add -m hello", {"other/notes/commits"}, {}, id="notes"),
        pytest.param("git update-ref refs/x/y $(git commit-tree -m x HEAD^{tree})", {"other/x/y"}, {}, id="odd-namespace"),
        pytest.param("echo '*.log' > .gitignore; echo l > x.log", {"worktree", "ignored"}, {".gitignore": "A"}, id="ignored"),
        pytest.param("git update-index --assume-unchanged a.txt; echo x > a.txt", {"worktree"}, {"a.txt": "M"}, id="assume-unchanged"),
        pytest.param("git update-index --skip-worktree a.txt; echo x > a.txt", {"worktree"}, {"a.txt": "M"}, id="skip-worktree-edited"),
        pytest.param("git update-index --skip-worktree a.txt; rm a.txt", set(), {}, id="skip-worktree-absent"),
        pytest.param("git sparse-checkout set --cone src", set(), {}, id="sparse"),
        pytest.param("echo n > n; git add -N n", {"worktree"}, {"n": "A"}, id="intent-to-add"),
        pytest.param("git update-index --index-version 4; echo x > a.txt", {"worktree"}, {"a.txt": "M"}, id="index-v4"),
        pytest.param("git update-index --split-index; echo x > a.txt", {"worktree"}, {"a.txt": "M"}, id="split-index"),
        pytest.param(
            "echo e > e; git add e; git commit -qm e; git gc -q --prune=now; echo x > a.txt",
            {"head", "heads/main", "worktree"},
            {"a.txt": "M", "e": "A"},
            id="gc",
        ),
        pytest.param("git repack -q -a -d; git pack-refs --all", set(), {}, id="repacked-with-everything"),
    ],
)
def test_state(place: Place, script: str, refs: set[str], files: dict[str, str]) -> None:
    """Each state gives exactly these refs, and the result differs from the base in exactly these files."""
    place.agent(script)
    harvest = place.harvest()
    assert (names(harvest), changed(harvest)) == (refs, files), harvest.notes
    assert harvest.complete


def test_conflict_keeps_all_sides(place: Place) -> None:
    """A merge that stopped at a conflict: the marked file is the work tree's, the three sides are in refs of their own."""
    place.agent(
        "git checkout -qb o; echo theirs > a.txt; git commit -qam t; git checkout -q main; "
        "echo ours > a.txt; git commit -qam o; git merge -q o || true"
    )
    harvest = place.harvest()
    assert {"worktree", "conflict/1", "conflict/2", "conflict/3"} <= names(harvest)
    assert "<<<<<<<" in place.text("worktree", "a.txt")
    assert [place.text(f"conflict/{stage}", "a.txt") for stage in (1, 2, 3)] == ["one", "ours", "theirs"]


def test_commits_are_the_same_every_time(place: Place) -> None:
    """Two harvests of one state give the same commits."""
    place.agent(
        "echo x > f; git add f; git commit -qm c; echo y > f; git add f; echo z > f; git stash -q; echo w > w; echo v > v; git add v; rm v"
    )
    first, second = place.harvest(), place.harvest()
    assert first.refs == second.refs
    assert len(first.refs) > 3


def test_empty_repository() -> None:
    """Without a base the result is a root commit, and the patch is one against nothing."""
    with new_place() as place:
        place.start(script="true")
        place.agent("echo hello > h")
        harvest = place.harvest()
        assert (harvest.base, harvest.head, changed(harvest)) == (None, None, {"h": "A"})
        assert b"hello" in (place.run_dir / "result.patch").read_bytes()
        assert place.deliver(harvest).branch == "aienv/fix-r1"


def test_empty_repository_untouched() -> None:
    """Nothing from nothing."""
    with new_place() as place:
        place.start(script="true")
        harvest = place.harvest()
        assert (harvest.refs, harvest.bundle, harvest.patch, harvest.commit) == ((), None, None, None)
        assert place.deliver(harvest).branch is None


def test_sha256_repository() -> None:
    """Repositories with the other object format go the same way."""
    with new_place() as place:
        place.start(form="sha256")
        place.agent("echo x > f; git add f; git commit -qm c; echo y > g")
        harvest = place.harvest()
        assert changed(harvest) == {"f": "A", "g": "A"}
        assert harvest.commit is not None
        assert len(harvest.commit) == 64
        assert place.deliver(harvest).branch == "aienv/fix-r1"


def test_masked_paths_keep_the_base(place: Place) -> None:
    """What the agent could not see does not change, whether it is gone, emptied, committed away or new."""
    sh("echo s1 > .env; mkdir sec; echo s2 > sec/key; git add .; git commit -qm secrets; git push -q ../mirror.git HEAD:main", place.user)
    place.base = sh("git rev-parse HEAD", place.user)
    sh("rm -rf work", place.root)
    place.clone()
    place.masked = (".env", "sec", "new.env")
    place.agent(
        "git rm -rq --cached .env sec; git commit -qm 'masks look deleted'; rm -r sec; : > .env; "
        "echo n > new.env; echo real > real; git add new.env"
    )
    harvest = place.harvest()
    assert changed(harvest) == {"real": "A"}
    assert place.files("worktree").keys() == {".env", "a.txt", "real", "sec/key", "src/b.txt"}


def test_masked_files_stay_masked_when_their_folder_moves(place: Place) -> None:
    """A folder with a masked file in it can be renamed by the agent; the file's contents still do not come out."""
    (place.work / "conf").mkdir()
    (place.work / "conf/key").write_text("not for the agent")
    (place.work / "conf/plain").write_text("plain")
    (place.work / "vault").mkdir()
    (place.work / "vault/deep").write_text("nor this")
    place.masked = ("conf/key", "vault")
    place.masked_inodes = tuple((place.work / name).stat().st_ino for name in place.masked)
    place.artifacts = ("**/*",)
    sh(f"chown -R {AGENT_UID}:{AGENT_UID} conf vault; mv conf moved; mv vault .GIT; echo x > .GIT2", place.work)
    harvest = place.harvest()
    assert changed(harvest) == {"moved/plain": "A", ".GIT2": "A"}
    assert not {"moved/key", ".GIT/deep"} & set(harvest.artifacts)
    assert not place.holds("not for the agent")


def test_special_files_are_named(place: Place) -> None:
    """Pipes and sockets have no bytes: they are noted and stop nothing."""
    place.agent("mkfifo p; rm a.txt; mkfifo a.txt; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'; echo x > f")
    harvest = place.harvest()
    assert changed(harvest) == {"a.txt": "D", "f": "A"}
    assert sum("pipe, socket or device" in note for note in harvest.notes) == 3


def test_unreadable_files_are_opened_for_a_second_try(place: Place) -> None:
    """A file or folder that its owner cannot read makes the harvest incomplete, until the host has opened it."""
    from orchestrator.harvest.receive import make_readable

    place.agent("mkdir d e; echo 1 > d/f; echo 2 > e/g; echo 3 > h; chmod 000 d h; chmod 600 e; echo fine > fine; chmod 000 a.txt")
    first = place.harvest()
    assert not first.complete
    assert changed(first) == {"fine": "A"}
    assert set(place.manifest().unreadable) == {"d", "e/g", "h", "a.txt"}
    assert make_readable(place.work) == 4
    second = place.harvest()
    assert second.complete
    assert changed(second) == {"d/f": "A", "e/g": "A", "h": "A", "fine": "A"}


def test_names_that_git_cannot_hold_are_salvaged(place: Place) -> None:
    """``.GIT`` and its kin would be refused by the host's fsck, so they lie in the tar; the rest is a branch."""
    place.agent(
        "mkdir .GIT; echo evil > .GIT/config; echo x > 'git~1'; ln -s a .gitmodules; mkdir -p j/.git; echo j > j/.git/stray; echo ok > ok"
    )
    harvest = place.harvest()
    assert changed(harvest) == {"ok": "A"}
    listing = sh("tar tf run/salvage.tar", place.root).splitlines()
    assert {"workspace/.GIT/config", "workspace/git~1", "workspace/.gitmodules", "workspace/j/.git/stray"} <= set(listing)
    assert harvest.complete


def test_own_files_below_git_are_salvaged(place: Place) -> None:
    """Notes that an agent puts below .git are no part of git's own and would be lost otherwise."""
    place.agent("mkdir .git/notes-of-mine; echo plan > .git/notes-of-mine/plan.txt")
    harvest = place.harvest()
    assert harvest.complete
    assert sh("tar xOf run/salvage.tar git/notes-of-mine/plan.txt", place.root) == "plan"


def test_deep_folders(place: Place) -> None:
    """Paths up to what git can hold come out; deeper ones keep the workspace, and stop nothing."""
    place.agent("d=x; for i in $(seq 200); do d=$d/dddddddd; done; mkdir -p $d; echo deep > $d/f; echo ok > ok")
    harvest = place.harvest()
    assert {"A"} == set(changed(harvest).values())
    assert any(path.endswith("/f") for path in changed(harvest))


def test_more_folders_in_each_other_than_python_goes_down(place: Place) -> None:
    """Their paths are short enough for git, so they come out, ignored ones too."""
    place.agent("d=x; for i in $(seq 1200); do d=$d/d; done; mkdir -p $d; echo deep > $d/f; echo i > $d/hid; echo hid > .gitignore")
    harvest = place.harvest()
    assert harvest.complete
    assert sorted(path.rpartition("/")[2] for path in changed(harvest)) == [".gitignore", "f"]


def test_beyond_deep_folders(place: Place) -> None:
    """Folders deeper than a path can name cannot be read, so the workspace stays."""
    place.agent(
        "for i in $(seq 45); do n=$(printf 'd%.0s' $(seq 100)); mkdir $n; cd $n; done; echo deep > f; cd /workspaces/app; echo ok > ok"
    )
    harvest = place.harvest()
    assert changed(harvest) == {"ok": "A"}
    assert not harvest.complete


def test_huge_file_keeps_the_workspace(place: Place) -> None:
    """A file beyond the limit is named and stays; everything else comes out."""
    from orchestrator.harvest.request import HarvestLimits

    place.limits = HarvestLimits(bundle_bytes=2_000_000)
    place.agent("head -c 5000000 /dev/urandom > huge; echo small > small")
    harvest = place.harvest()
    assert (changed(harvest), harvest.complete) == ({"small": "A"}, False)
    assert any("huge" in note for note in harvest.notes)


def test_large_file_is_streamed(place: Place) -> None:
    """A file larger than what git likes to hold in memory comes out whole."""
    place.agent("head -c 40000000 /dev/urandom > large; sha256sum < large > sum")
    harvest = place.harvest()
    assert changed(harvest) == {"large": "A", "sum": "A"}
    digest = sh("git cat-file blob refs/aienv-out/worktree:large | sha256sum", place.quarantine, GIT_DIR=str(place.quarantine))
    assert digest == place.text("worktree", "sum")


def test_ignored_beyond_the_limit_is_named(place: Place) -> None:
    """Small ignored files come along, large ones are named; the workspace need not stay for them."""
    from orchestrator.harvest.request import HarvestLimits

    place.limits = HarvestLimits(ignored_bytes=10_000)
    place.agent(
        "printf 'node_modules/\\n.env\\n' > .gitignore; mkdir node_modules; head -c 50000 /dev/zero > node_modules/big; echo K=v > .env"
    )
    harvest = place.harvest()
    assert changed(harvest) == {".gitignore": "A"}
    assert place.files("ignored") == {".env": "100644"}
    assert harvest.complete
    assert any("node_modules/ (1 files, 50000 bytes)" in note for note in harvest.notes)


def test_many_refs(place: Place) -> None:
    """More branches than a bundle should have: their commits come out under a few names, their names in the raw copy."""
    place.agent(
        "t=$(git rev-parse HEAD^{tree}); for i in $(seq 3000); "
        'do echo "create refs/heads/b$i $(git commit-tree -p HEAD -m $i $t)"; done | git update-ref --stdin; '
        "git pack-refs --all"
    )
    harvest = place.harvest()
    assert {name for name in names(harvest) if name.startswith("lost/bunch-")} == {f"lost/bunch-{n}" for n in range(6)}
    assert len(place.git("rev-list", "--glob=refs/aienv-out/*").splitlines()) == 3000 + 6 + 1
    assert "refs/heads/b2999" in sh("tar xOf run/salvage.tar git/packed-refs", place.root)


@pytest.mark.parametrize("count", [100_000])
def test_a_hundred_thousand_refs_to_one_commit(place: Place, count: int) -> None:
    """Numbers alone do not break it."""
    place.agent(f'c=$(git commit-tree -m x HEAD^{{tree}}); seq {count} | sed "s|.*|$c refs/heads/n&|" >> .git/packed-refs; echo x > f')
    harvest = place.harvest()
    assert {"worktree", "lost/bunch-0"} <= names(harvest)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        pytest.param("a@{b", None, id="git-refuses"),
        pytest.param("a'b;$(id)", "a%27b%3B%24%28id%29", id="shell"),
        pytest.param("ünï", "%C3%BCn%C3%AF", id="utf-8"),
        pytest.param("x.lockx", "x.lockx", id="lock-inside"),
        pytest.param("-dash", "-dash", id="dash"),
        pytest.param("a" * 230, "a" * 120 + "-", id="long"),
    ],
)
def test_odd_branch_names(place: Place, name: str, safe: str | None) -> None:
    """Names travel in a form that every file system and shell takes; the manifest has the original."""
    quoted = "'" + name.replace("'", "'\\''") + "'"
    place.agent(f"git update-ref refs/heads/{quoted} $(git commit-tree -m x HEAD^{{tree}}) || true")
    harvest = place.harvest()
    found = [ref for ref in harvest.refs if ref.name.startswith("heads/")]
    assert len(found) == (0 if safe is None else 1)
    assert all(ref.name.startswith(f"heads/{safe}") and ref.origin == f"refs/heads/{name}" for ref in found)


def test_names_that_collide_once_made_safe(place: Place) -> None:
    """Branches a and a/b cannot be refs at once, but packed-refs can say so: both commits come out."""
    place.agent(
        "t=$(git rev-parse HEAD^{tree}); x=$(git commit-tree -m x $t); y=$(git commit-tree -m y $t);"
        "printf '%s refs/heads/a\\n%s refs/heads/a/b\\n%s refs/heads/a/b/c\\n' $x $y $x >> .git/packed-refs"
    )
    harvest = place.harvest()
    assert sum(ref.name.startswith("heads/") for ref in harvest.refs) == 3
    assert len({ref.commit for ref in harvest.refs}) == 2


def test_artifacts(place: Place) -> None:
    """Named files come out as plain copies, ignored or not; links and what lies outside do not."""
    place.artifacts = ("dist/*", "**/*.log", "missing/*", "../*", "deep")
    place.agent(
        "echo dist > .gitignore; mkdir -p dist/sub deep/er; echo w > dist/w.whl; echo s > dist/sub/s; "
        "ln -s /etc/passwd dist/p; ln -s /etc out;"
        "echo l > src/x.log; echo l > y.log; echo d > deep/er/d; mkfifo dist/pipe"
    )
    harvest = place.harvest()
    assert set(harvest.artifacts) == {"dist/w.whl", "dist/sub/s", "src/x.log", "y.log", "deep/er/d"}
    assert (place.run_dir / "artifacts/dist/w.whl").read_text() == "w\n"
    assert any("missing/*" in note for note in harvest.notes)


def test_shallow_mirror() -> None:
    """A mirror whose history is cut: the bundle builds on the base, the cut does no harm."""
    with new_place() as place:
        place.start(script="for i in 1 2 3; do echo $i > f; git add f; git commit -qm $i; done")
        sh(f"rm -rf mirror.git work; git clone -q --bare --depth 1 file://{place.user} mirror.git", place.root)
        place.shallow = (place.base or "",)
        place.clone()
        place.agent("echo x > x; git add x; git commit -qm x; git checkout -q --orphan n; echo y > y")
        harvest = place.harvest()
        assert harvest.base is not None
        assert changed(harvest) == {"x": "A", "y": "A"}
        assert place.deliver(harvest).branch == "aienv/fix-r1"


def test_branches_of_the_clone_are_not_brought_back() -> None:
    """Refs that the clone began with are the user's own; what the agent merges of them is not packed again."""
    with new_place() as place:
        place.start(
            script="echo 1 > f; git add f; git commit -qm 1; git checkout -qb big; head -c 300000 /dev/urandom > big; "
            "git add big; git commit -qm big; git tag old; git checkout -q main"
        )
        place.agent("git merge -q --no-ff -m m big; git branch mine big~1")
        harvest = place.harvest()
        assert names(harvest) == {"head", "heads/main"}
        assert (place.run_dir / "result.bundle").stat().st_size < 5000
        assert changed(harvest) == {"big": "A"}


def test_head_moved_back(place: Place) -> None:
    """Going back behind the base is a result too, although there is nothing to pack."""
    sh("echo 2 > a.txt; git commit -qam two; git push -q ../mirror.git main", place.user)
    place.base = sh("git rev-parse HEAD", place.user)
    sh("rm -rf work", place.root)
    place.clone()
    place.agent("git reset -q --hard HEAD~1")
    harvest = place.harvest()
    assert (harvest.bundle, changed(harvest)) == (None, {"a.txt": "M"})
    delivery = place.deliver(harvest)
    assert sh(f"git rev-parse {delivery.branch}", place.user) == harvest.head


@pytest.mark.parametrize(
    ("attributes", "write", "converted", "raw"),
    [
        pytest.param("* text=auto", "printf 'a\\r\\nb\\r\\n' > t", "a\nb", True, id="auto-normalises"),
        pytest.param("* text=auto", "printf 'a\\nb\\n' > t", "a\nb", False, id="auto-nothing-to-do"),
        pytest.param("*.t eol=crlf\nt eol=crlf", "printf 'a\\r\\nb\\r\\n' > t", "a\nb", False, id="crlf-round-trip"),
        pytest.param("t eol=crlf", "printf 'a\\r\\nb\\n' > t", "a\nb", True, id="mixed-ends"),
        pytest.param("t -text", "printf 'a\\r\\n' > t", "a\r", False, id="binary"),
        pytest.param("t ident", "echo '$Id: x$' > t", "$Id$", True, id="ident"),
        pytest.param("t text working-tree-encoding=UTF-16LE", "printf 'a\\0\\n\\0' > t", "a", False, id="encoding-round-trip"),
        pytest.param("t text working-tree-encoding=UTF-8x", "echo q > t", "q", False, id="encoding-unknown"),
        pytest.param("t filter=evil", "echo q > t", "q", False, id="filter-never-runs"),
    ],
)
def test_text_conversion_loses_no_byte(place: Place, attributes: str, write: str, converted: str, raw: bool) -> None:
    """The branch follows .gitattributes as git add would; where that cannot be undone, ref raw has the bytes."""
    quoted = attributes.replace("\n", "\\n")
    place.agent(
        f"printf '{quoted}\\n' > .gitattributes; {write}; cp t /tmp/t; git config filter.evil.clean 'touch /workspaces/app/pwned; cat'"
    )
    on_disk = (place.work / "t").read_bytes()
    harvest = place.harvest()
    assert ("raw" in names(harvest)) is raw, harvest.notes
    assert place.text("worktree", "t") == converted
    if raw:
        assert place.git("cat-file", "-s", "refs/aienv-out/raw:t") == str(len(on_disk))
    assert "pwned" not in changed(harvest)


def test_checkout_with_conversion_is_no_change() -> None:
    """A clean checkout under eol=crlf and a file that git-lfs has filled do not show up as changed, even when git has to look."""
    with new_place(lfs=True) as place:
        oid = "98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4"  # of b"hi\\n"
        pointer = f"version https://git-lfs.github.com/spec/v1\\noid sha256:{oid}\\nsize 3\\n"
        place.start(
            script=f"printf '*.txt eol=crlf\\n*.bin filter=lfs\\n' > .gitattributes; printf 'a\\n' > a.txt; printf '{pointer}' > b.bin;"
            "git -c filter.lfs.process= add .; git commit -qm base"
        )
        assert (place.work / "a.txt").read_bytes() == b"a\r\n"
        place.agent("printf 'hi\\n' > b.bin; touch a.txt")
        assert changed(place.harvest()) == {}
        place.agent("printf 'ho\\n' > b.bin; printf 'new\\n' > c.bin")
        harvest = place.harvest()
        assert changed(harvest) == {"b.bin": "M", "c.bin": "A"}
        assert place.text("worktree", "c.bin").startswith("version https://git-lfs.github.com/spec/v1\noid sha256:")
        assert len(place.files("lfs")) == 2
        place.deliver(harvest)
        assert sorted(path.read_text() for path in (place.user / ".git/lfs/objects").rglob("*") if path.is_file()) == ["ho\n", "new\n"]


def test_lfs_contents_that_the_agent_committed() -> None:
    """Contents that the agent's own git-lfs put aside come out with the commit."""
    with new_place(lfs=True) as place:
        place.start(script="echo '*.bin filter=lfs diff=lfs merge=lfs -text' > .gitattributes; git add .; git commit -qm base")
        place.agent(
            "git lfs install --skip-repo >/dev/null; echo content > x.bin; git add x.bin; git commit -qm lfs; "
            "rm x.bin; git commit -qam gone"
        )
        harvest = place.harvest()
        assert "lfs" in names(harvest)
        assert place.holds("content\n")


@pytest.mark.parametrize("script", ["git init -q n; cd n; echo f > f; git add f; git commit -qm n; echo d > d; git stash -qu; echo e > e"])
def test_nested_repository(place: Place, script: str) -> None:
    """A repository that the agent made inside has its own bundle; the outer one is not disturbed."""
    place.agent(f"echo outer > o; {script}; cd ..; git init -q empty; mkdir deep; git init -q deep/er; echo x > deep/er/file")
    harvest = place.harvest()
    assert changed(harvest) == {"o": "A"}
    nested = {repo.path: repo for repo in harvest.nested}
    assert nested.keys() == {"n", "empty", "deep/er"}
    assert nested["empty"].bundle is None
    sh(
        f"git clone -q --mirror {place.run_dir / (nested['n'].bundle or '')} n.git; "
        f"git clone -q --mirror {place.run_dir / (nested['deep/er'].bundle or '')} d.git",
        place.root,
    )
    assert sh(
        "git show refs/aienv-out/worktree:e; git show refs/aienv-out/stash/0^3:d; git show refs/aienv-out/head:f", place.root / "n.git"
    ).split() == ["e", "d", "f"]
    assert sh("git show refs/aienv-out/worktree:file", place.root / "d.git") == "x"


def test_repository_made_around_tracked_files(place: Place) -> None:
    """git init in a folder of the outer repository: its tracked files stay the outer one's, the rest has its own bundle."""
    place.agent("cd src; git init -q; echo changed > b.txt; echo new > new")
    harvest = place.harvest()
    assert changed(harvest) == {"src/b.txt": "M"}
    assert [(repo.path, repo.bundle) for repo in harvest.nested] == [("src", "nested/0001.bundle")]
    assert "new" in sh(
        f"git clone -q --mirror {place.run_dir}/nested/0001.bundle s.git; git -C s.git ls-tree --name-only refs/aienv-out/worktree",
        place.root,
    )


def _with_submodule(place: Place) -> None:
    sh(
        "git init -q -b main sub; cd sub; git config user.name u; git config user.email u@x; echo s > s; git add s; git commit -qm s",
        place.root,
    )
    place.start(script="git -c protocol.file.allow=always submodule --quiet add ../sub vendor/sub; git commit -qm base")
    sh(f"git fetch -q {place.root}/sub main:refs/sub/main", place.mirror)
    sh(
        "rm -rf vendor/sub; mkdir -p .git/modules; git clone -q --bare --no-hardlinks ../sub .git/modules/sub; mkdir vendor/sub;"
        "echo 'gitdir: ../../.git/modules/sub' > vendor/sub/.git; git config -f .git/modules/sub/config core.bare false;"
        f"git config -f .git/modules/sub/config core.worktree ../../../vendor/sub; cd vendor/sub; "
        f"git reset -q --hard; cd ../..; chown -R {AGENT_UID}:{AGENT_UID} .",
        place.work,
        GIT_ALTERNATE_OBJECT_DIRECTORIES=str(place.mirror / "objects"),
    )


@pytest.mark.parametrize(
    ("script", "files", "bundles"),
    [
        pytest.param("true", {}, [], id="untouched"),
        pytest.param("echo x > s", {}, [("vendor/sub", "nested/0001.bundle")], id="dirty"),
        pytest.param("echo x > s; git commit -qam x", {"vendor/sub": "M"}, [("vendor/sub", "nested/0001.bundle")], id="committed"),
        pytest.param("cd ..; rm -rf sub", {"vendor/sub": "D"}, [], id="deleted"),
        pytest.param(
            "echo x > s; git commit -qam x; cd ..; rm -rf sub",
            {"vendor/sub": "D"},
            [(".git/modules/sub", "nested/0001.bundle")],
            id="committed-deleted",
        ),
        pytest.param("rm -rf .git s", {}, [], id="emptied"),
    ],
)
def test_submodule(script: str, files: dict[str, str], bundles: list[tuple[str, str | None]]) -> None:
    """A submodule's commit moves in the outer tree; its own work is in a bundle of its own."""
    with new_place() as place:
        _with_submodule(place)
        place.agent(f"cd vendor/sub; {script}")
        harvest = place.harvest()
        assert changed(harvest) == files
        assert [(repo.path, repo.bundle) for repo in harvest.nested if repo.bundle] == bundles
        assert harvest.complete


def test_linked_worktree(place: Place) -> None:
    """A worktree that the agent added inside: its files have a bundle, its commits come with the main repository."""
    place.agent("git worktree add -q wt -b side; cd wt; echo c > c; git add c; git commit -qm c; echo d > d")
    harvest = place.harvest()
    assert changed(harvest) == {}
    assert {"heads/side"} <= names(harvest)
    assert [repo.path for repo in harvest.nested] == ["wt"]
    assert (
        sh(
            f"git clone -q --mirror {place.run_dir}/nested/0001.bundle w.git 2>&1 || "
            f"git bundle list-heads {place.run_dir}/nested/0001.bundle",
            place.root,
        )
        is not None
    )


def test_commits_of_ours_say_where_they_come_from() -> None:
    """The run id, task, author and time are in the commits of ours, so a reader can tell where they came from."""
    with new_place() as place:
        place.start()
        place.agent("echo x > f")
        place.harvest()
        assert place.git("log", "-1", "--format=%an|%ae|%at|%s|%(trailers:only,unfold)", "refs/aienv-out/worktree") == (
            "aienv|aienv@localhost|1700000000|Uncommitted work of run r1a2b3|AIenv-Run: r1a2b3\nAIenv-Task: fix it\n"
        )
