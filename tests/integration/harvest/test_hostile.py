"""Repositories made to execute something, to hang git, to lead out of the workspace, or to break the harvest.

Two canaries: ``/workspaces/app/pwned`` inside (the workspace is read-only for the harvest, so a program that ran would fail loudly or
leave ``/tmp/pwned``), and a marker on the host that the host's part would leave if it ever ran something of the agent's.
"""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.harvest.place import Place, changed, names, new_place, sh

pytestmark = pytest.mark.bwrap


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made.start()


@pytest.fixture
def canary(place: Place) -> Path:
    """A folder that everybody can write; a program of the agent's leaves a file there when it runs on the host."""
    folder = place.root / "canary"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


TRAPS = {
    "fsmonitor": "git config core.fsmonitor {evil}",
    "hooks": "for h in post-checkout pre-commit post-index-change reference-transaction post-rewrite pre-push pre-auto-gc; do"
    " cp {evil} .git/hooks/$h; done; cp -r .git/hooks hooks; git config core.hooksPath hooks",
    "filter": "echo '* filter=evil' > .gitattributes; for k in clean smudge process; do git config filter.evil.$k {evil}; done;"
    "git config filter.evil.required true",
    "textconv": "echo '* diff=evil' > .gitattributes; git config diff.evil.textconv {evil}; "
    "git config diff.evil.command {evil}; git config diff.external {evil}",
    "merge-driver": "echo '* merge=evil' > .gitattributes; git config merge.evil.driver {evil}",
    "include": "printf '[core]\\n\\tfsmonitor = {evil}\\n' > inc; git config include.path ../inc; "
    "git config includeIf.gitdir:/.path ../inc",
    "aliases": "for a in status diff cat-file bundle log fetch; do git config alias.$a '!{evil}'; done",
    "programs": "for k in core.editor core.pager core.askPass core.sshCommand core.gitProxy gpg.program credential.helper sequence.editor;"
    " do git config $k {evil}; done; git config commit.gpgSign true; git config uploadpack.packObjectsHook {evil}",
    "submodule-update": "printf '[submodule \"x\"]\\n\\tpath = x\\n\\turl = ./x\\n\\tupdate = !{evil}\\n' > .git/modules-config; "
    "git config submodule.x.update '!{evil}'",
    "worktree-config": "git config extensions.worktreeConfig true; printf '[core]\\n\\tfsmonitor = {evil}\\n' > .git/config.worktree",
    "alternate-refs": "git config core.alternateRefsCommand {evil}",
    "partial-clone": "git config extensions.partialClone origin; git config remote.origin.url 'ext::{evil}'; "
    "git config remote.origin.promisor true;"
    "git config protocol.ext.allow always",
}


@pytest.mark.parametrize("trap", sorted(TRAPS))
def test_nothing_of_the_repository_runs(place: Place, canary: Path, trap: str) -> None:
    """Configuration, hooks, filters and drivers of the agent never run, neither inside nor in the host's part; the work comes out."""
    evil = place.root / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {canary}/ran /tmp/pwned /workspaces/app/pwned 2>/dev/null\ncat 2>/dev/null\n")
    evil.chmod(0o755)
    # The same path inside and outside, so that a trap that is read on either side finds its program.
    script = TRAPS[trap].format(evil=evil)
    sh(f"chown -R 0:0 .; {script}\necho x > f; echo y >> a.txt", place.work)
    for ran in canary.iterdir():
        ran.unlink()
    (place.work / "pwned").unlink(missing_ok=True)
    sh("chown -R 65533:65533 .", place.work)
    harvest = place.harvest()
    delivery = place.deliver(harvest)
    assert delivery.branch == "aienv/fix-r1"
    sh("git log -p --all > /dev/null; git diff main aienv/fix-r1 > /dev/null; git status > /dev/null", place.user)
    assert {"a.txt": "M", "f": "A"}.items() <= changed(harvest).items()
    assert os.listdir(canary) == []
    assert harvest.complete


def test_the_host_part_alone_runs_nothing(place: Place, canary: Path) -> None:
    """Even without a sandbox around the program, as this test's own uid, no trap fires: the defence is in the method too."""
    evil = place.root / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {canary}/ran\ncat 2>/dev/null\n")
    evil.chmod(0o755)
    sh("chown -R 0:0 .; " + "; ".join(script.format(evil=evil) for script in TRAPS.values()) + "\necho x > f; echo y >> a.txt", place.work)
    for ran in canary.iterdir():
        ran.unlink()
    place.outbox.mkdir()
    from dataclasses import replace

    from orchestrator.harvest.request import PROGRAM, config_bytes

    config = place.root / "config.json"
    config.write_bytes(
        config_bytes(
            replace(place.request(), workspace=str(place.work), outbox=str(place.outbox), objects=(str(place.mirror / "objects"),))
        )
    )
    env = {"PATH": os.environ["PATH"], "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(place.mirror / "objects")}
    subprocess.run(["/usr/bin/python3", "-I", "-S", str(PROGRAM), str(config)], env=env, check=True, timeout=60, cwd=place.work)
    harvest = place.receive()
    place.deliver(harvest)
    assert {"a.txt": "M", "f": "A"}.items() <= changed(harvest).items()
    assert os.listdir(canary) == []


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param("mv .git x; ln -s x .git", {"worktree"}, id="git-is-a-link"),
        pytest.param("mv .git /tmp/g; ln -s /tmp/g .git", {"worktree"}, id="git-links-outside"),
        pytest.param("mv .git x; echo 'gitdir: x' > .git", {"worktree"}, id="git-is-a-file"),
        pytest.param("mv .git x; echo garbage > .git", {"worktree"}, id="git-is-garbage"),
        pytest.param("mv .git x; mkdir .git", {"worktree"}, id="git-is-empty"),
        pytest.param("mv .git x; mkfifo .git", {"worktree"}, id="git-is-a-pipe"),
        pytest.param("rm -rf .git", {"worktree"}, id="git-is-gone"),
        pytest.param("rm -rf .git; git init -q; git add f; git commit -qm fresh", {"worktree", "head"}, id="git-is-new"),
        pytest.param("rm -rf .git/objects/??; rm -f .git/objects/pack/*", {"worktree"}, id="objects-removed"),
        pytest.param("rm -rf .git/objects; echo x > .git/objects", {"worktree"}, id="objects-is-a-file"),
        pytest.param("rm -rf .git/refs .git/packed-refs", {"worktree"}, id="refs-removed"),
        pytest.param("echo /etc > .git/objects/info/alternates", {"worktree", "head"}, id="alternates-outside"),
        pytest.param(
            "printf '/proc/self/root\\n../../../../../..\\n%s\\n' \"$(printf 'x%.0s' $(seq 5000))\" > .git/objects/info/alternates",
            {"worktree", "head"},
            id="alternates-odd",
        ),
        pytest.param("rm .git/objects/info/alternates; mkfifo .git/objects/info/alternates", {"worktree", "head"}, id="alternates-pipe"),
        pytest.param("echo 0123 > .git/HEAD", {"worktree"}, id="head-garbage"),
        pytest.param("echo 'ref: refs/heads/../../../etc/passwd' > .git/HEAD", {"worktree"}, id="head-escapes"),
        pytest.param("rm .git/HEAD; ln -s /etc/passwd .git/HEAD", {"worktree"}, id="head-link-outside"),
        pytest.param("rm .git/HEAD; mkfifo .git/HEAD", {"worktree"}, id="head-pipe"),
        pytest.param("echo 1234567890123456789012345678901234567890 > .git/HEAD", {"worktree"}, id="head-missing"),
        pytest.param(
            "printf 'ref: refs/heads/main' > .git/refs/heads/loop; "
            "printf 'ref: refs/heads/l2' > .git/refs/heads/l1; printf 'ref: refs/heads/l1' > .git/refs/heads/l2; "
            "echo 'ref: refs/heads/l1' > .git/HEAD",
            {"worktree"},
            id="head-loops",
        ),
        pytest.param("head -c 3000 /dev/urandom > .git/packed-refs", {"worktree"}, id="packed-refs-garbage"),
        pytest.param(
            "echo 1234567890123456789012345678901234567890 > .git/refs/heads/gone; echo x > .git/refs/heads/bad; "
            "mkfifo .git/refs/heads/pipe; head -c 100000 /dev/zero > .git/refs/heads/huge",
            {"worktree", "head"},
            id="broken-refs",
        ),
        pytest.param("head -c 3000 /dev/urandom > .git/index", {"worktree", "head"}, id="index-garbage"),
        pytest.param("truncate -s -30 .git/index", {"worktree", "head"}, id="index-cut"),
        pytest.param("rm .git/index; mkfifo .git/index", {"worktree", "head"}, id="index-pipe"),
        pytest.param("rm .git/index; ln -s /etc/passwd .git/index", {"worktree", "head"}, id="index-link"),
        pytest.param("echo ../../x > .git/commondir; mkdir -p ../x 2>/dev/null || true", {"worktree", "head"}, id="commondir"),
        pytest.param("mkdir -p cc/objects cc/refs; echo ../cc > .git/commondir", {"worktree"}, id="commondir-inside"),
        pytest.param("git config core.worktree /etc; git config core.bare true", {"worktree", "head"}, id="core-worktree"),
        pytest.param("git rev-parse HEAD > .git/shallow", {"worktree", "head"}, id="shallow-trick"),
        pytest.param(
            "git rev-parse HEAD > .git/info/grafts 2>/dev/null || true; git replace -f HEAD $(git commit-tree -m replaced HEAD^{tree})",
            {"worktree", "head"},
            id="replace-and-grafts",
        ),
        pytest.param(
            "mkdir -p .git/worktrees/x; echo /etc > .git/worktrees/x/gitdir; "
            "echo ../.. > .git/worktrees/x/commondir; echo ref: x > .git/worktrees/x/HEAD",
            {"worktree", "head"},
            id="worktrees",
        ),
        pytest.param(
            "mkdir -p .git/modules/a/objects; echo x > .git/modules/a/HEAD; ln -s / .git/modules/root", {"worktree", "head"}, id="modules"
        ),
        pytest.param("mkfifo .gitignore", {"worktree", "head"}, id="gitignore-pipe"),
        pytest.param("mkfifo .gitattributes; mkdir s; mkfifo s/.gitattributes", {"worktree", "head"}, id="gitattributes-pipe"),
        pytest.param("ln -s /dev/zero .gitignore; ln -s /dev/zero .gitattributes", {"worktree", "head"}, id="rules-link-to-zero"),
        pytest.param(
            "printf '* text=auto eol=crlf working-tree-encoding=UTF-16\\n' > .gitattributes; head -c 1000 /dev/urandom > f",
            {"worktree", "head"},
            id="encoding-fails",
        ),
        pytest.param(
            "printf '[core]\\nrepositoryformatversion = 99\\n[extensions]\\nnonsense = true\\n' >> .git/config",
            {"worktree", "head"},
            id="format-version",
        ),
        pytest.param(
            "git config extensions.refStorage reftable; mkdir .git/reftable; echo 'ref: refs/heads/.invalid' > .git/HEAD",
            {"worktree"},
            id="reftable",
        ),
        pytest.param(
            "mkdir n; mkfifo n/.git; mkdir m; ln -s /etc m/.git; mkdir o; echo 'gitdir: /etc' > o/.git",
            {"worktree", "head"},
            id="nested-git-odd",
        ),
        pytest.param(
            "mkdir n; cd n; git init -q; rm -rf .git/objects/*; echo 1234567890123456789012345678901234567890 > .git/HEAD; echo x > x",
            {"worktree", "head"},
            id="nested-broken",
        ),
        pytest.param(
            "for l in $(seq 12); do mkdir n$l; cd n$l; git init -q; echo x > f$l; done", {"worktree", "head"}, id="nested-in-nested"
        ),
        pytest.param(
            "touch .git/index.lock .git/HEAD.lock .git/refs/heads/main.lock .git/packed-refs.lock", {"worktree", "head"}, id="stale-locks"
        ),
        pytest.param(
            "mkdir -p .git/logs/refs/heads; rm -f .git/logs/HEAD; mkfifo .git/logs/HEAD; "
            "head -c 100000 /dev/urandom > .git/logs/refs/stash",
            {"worktree", "head"},
            id="logs-odd",
        ),
        pytest.param("o=$(git rev-parse HEAD:c); f=.git/objects/${o:0:2}/${o:2}; rm -f $f; mkfifo $f", {"worktree"}, id="object-is-a-pipe"),
        pytest.param(
            "mkfifo .git/objects/pack/pack-x.idx; ln -s /dev/zero .git/objects/pack/pack-y.pack", {"worktree", "head"}, id="packs-odd"
        ),
        pytest.param("mkdir -p n/.git/objects n/.git/refs; mkfifo n/.git/HEAD; echo x > n/x", {"worktree", "head"}, id="nested-head-pipe"),
        pytest.param(
            "git init -q n; ln -s /dev/zero n/.git/commondir; echo x > n/x; git init -q m; rm m/.git/config; mkfifo m/.git/config",
            {"worktree", "head"},
            id="nested-odd",
        ),
        pytest.param(
            "mkfifo .git/info/attributes .git/info/sparse-checkout; mkfifo .git/shallow .git/config.worktree",
            {"worktree", "head"},
            id="pipes",
        ),
    ],
)
def test_broken_repositories_still_give_the_files(place: Place, script: str, expected: set[str]) -> None:
    """Whatever happens to .git, the files on disk are in the result, and .git stays raw where git could not read it."""
    place.agent(f"echo c > c; git add c; git commit -qm c; echo x > f; echo y >> a.txt; {script}")
    harvest = place.harvest()
    assert expected <= names(harvest), harvest.notes
    assert {"c", "f", "a.txt"} <= changed(harvest).keys()
    assert harvest.complete, harvest.notes
    assert place.deliver(harvest).branch == "aienv/fix-r1"


@pytest.mark.parametrize("what", ["blob", "tree", "commit"])
@pytest.mark.parametrize("how", ["remove", "damage", "truncate"])
def test_damaged_objects(place: Place, what: str, how: str) -> None:
    """One damaged object of the head's history: the files and the sound refs come out, .git stays raw."""
    oid = {"blob": "HEAD:victim", "tree": "HEAD:dir", "commit": "HEAD~1"}[what]
    action = {"remove": "rm -f $f", "damage": "chmod +w $f; printf garbage > $f", "truncate": "chmod +w $f; truncate -s 5 $f"}[how]
    place.agent(
        "git checkout -qb sound; echo s > s; git add s; git commit -qm s; git checkout -q main; mkdir dir; "
        "echo d > dir/d; echo victim > victim;"
        "git add .; git commit -qm v; git commit -qm v2 --allow-empty; rm victim dir/d; echo f > f;"
        f"o=$(git rev-parse {oid}); f=.git/objects/${{o:0:2}}/${{o:2}}; {action}"
    )
    harvest = place.harvest()
    assert {"worktree", "heads/sound"} <= names(harvest)
    assert changed(harvest) == {"f": "A"}
    assert harvest.complete
    # A folder object that the index still describes is made anew on the way, so nothing is missing in the end.
    assert (place.run_dir / "salvage.tar").exists() is (what != "tree")


def test_file_whose_blob_is_gone_is_read_again(place: Place) -> None:
    """The index says that a file is unchanged, but its object is gone: the bytes on disk are taken."""
    place.agent("echo precious > p; git add p; git commit -qm p; git status; rm -rf .git/objects/??")
    harvest = place.harvest()
    assert changed(harvest) == {"p": "A"}
    assert place.text("worktree", "p") == "precious"


def test_index_that_lies_about_a_path(place: Place) -> None:
    """Paths that lead out, forged into the index, are dropped and noted."""
    place.agent("git update-index --add --cacheinfo 100644,$(git hash-object -w a.txt),aaaa/passwd; echo x > f")
    index = place.work / ".git/index"
    forged = index.read_bytes()[:-20].replace(b"aaaa/passwd", b"../..passwd")
    index.write_bytes(forged + hashlib.sha1(forged).digest())
    harvest = place.harvest()
    assert changed(harvest) == {"f": "A"}
    assert any("impossible path" in note for note in harvest.notes)


def test_commit_with_a_hostile_tree_is_refused(place: Place) -> None:
    """A tree with a .git entry passes no fsck: nothing gets into the user's repository, the bundle stays aside."""
    from orchestrator.errors import HarvestFailed

    place.agent(
        "b=$(git hash-object -w a.txt); t=$(printf '100644 blob %s\\tconfig\\n' $b | git mktree);"
        "r=$(printf '040000 tree %s\\t.git\\n' $t | git mktree); git update-ref refs/heads/evil $(git commit-tree -m e $r)"
    )
    place.inside()
    with pytest.raises(HarvestFailed, match=r"hasDotgit|refused") as caught:
        place.receive()
    assert "result.bundle.refused" in caught.value.message
    assert (place.run_dir / "result.bundle.refused").exists()
    assert not (place.run_dir / "result.bundle").exists()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('[submodule "x"]\n\tpath = x\n\turl = --upload-pack=evil\n', id="url-option"),
        pytest.param('[submodule "../../x"]\n\tpath = x\n\turl = ./x\n', id="name-escapes"),
        pytest.param('[submodule "x"]\n\tpath = -x\n\turl = ./x\n', id="path-option"),
        pytest.param('[submodule "x"]\n\tpath = x\n\turl = ./x\n\tupdate = !touch pwned\n', id="update-command"),
    ],
)
def test_hostile_gitmodules_are_refused(place: Place, text: str) -> None:
    """A .gitmodules file that would run something at the user's next submodule command is refused."""
    from orchestrator.errors import HarvestFailed

    (place.work / ".gitmodules").write_text(text)
    place.inside()
    with pytest.raises(HarvestFailed, match="gitmodules"):
        place.receive()
    assert sh("git for-each-ref refs/aienv refs/heads/aienv", place.user) == ""


def test_harmless_gitmodules_pass(place: Place) -> None:
    """The nearest allowed thing: an ordinary .gitmodules."""
    (place.work / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = ../x.git\n')
    harvest = place.harvest()
    assert [(file.path, file.host_executes) for file in harvest.changed_files] == [(".gitmodules", True)]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("committer a <a@x> 99999999999999999999 +0000", id="date-overflow"),
        pytest.param("committer a a@x 1 +0000", id="no-brackets"),
        pytest.param("committer  <a@x> 1 +0700000", id="time-zone"),
    ],
)
def test_careless_commits_pass(place: Place, header: str) -> None:
    """Old tools write commits that fsck complains about; those that do no harm do not cost the harvest."""
    place.agent(
        f"printf 'tree %s\\nauthor a <a@x> 1 +0000\\n{header}\\n\\nm\\n' $(git rev-parse HEAD^{{tree}}) > /tmp/c;"
        "git update-ref refs/heads/odd $(git hash-object -t commit --literally -w /tmp/c)"
    )
    assert "heads/odd" in names(place.harvest())


def test_outbox_belongs_to_nobody_else(place: Place) -> None:
    """Links that somebody left in the outbox are not followed by the host."""
    from orchestrator.errors import HarvestFailed

    secret = place.root / "secret"
    secret.write_text("host secret")
    for name in ("manifest.json", "result.bundle", "salvage.tar"):
        place.agent("echo x > f")
        place.inside()
        (place.outbox / name).unlink(missing_ok=True)
        (place.outbox / name).symlink_to(secret)
        if name == "salvage.tar":
            text = (place.outbox / "manifest.json").read_text().replace('"salvage": false', '"salvage": true')
            (place.outbox / "manifest.json").write_text(text)
        with pytest.raises(HarvestFailed, match="cannot be opened"):
            place.receive()
    (place.outbox / "artifacts").mkdir(exist_ok=True)
    (place.outbox / "salvage.tar").unlink()
    (place.outbox / "artifacts/link").symlink_to(secret)
    os.mkfifo(place.outbox / "artifacts/pipe")
    (place.outbox / "artifacts/fine").write_text("fine")
    (place.outbox / "manifest.json").write_text((place.outbox / "manifest.json").read_text().replace('"salvage": true', '"salvage": false'))
    harvest = place.receive()
    assert harvest.artifacts == ("fine",)
    assert sum("artifact" in note for note in harvest.notes) == 2
