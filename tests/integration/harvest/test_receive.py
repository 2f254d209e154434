"""The host's part against an outbox that lies, and against itself done twice."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import HarvestFailed
from tests.integration.harvest.place import Place, changed, names, new_place, sh

pytestmark = pytest.mark.bwrap


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        made.start()
        made.agent("echo x > f; git add f; git commit -qm c; echo y > g")
        made.inside()
        yield made


def edit(place: Place, change: Callable[[dict[str, Any]], None]) -> None:
    path = place.outbox / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def refs_of(place: Place) -> str:
    return sh("git for-each-ref; git status --porcelain -b; cat .git/HEAD; ls -A .git", place.user)


def set_member(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest.__setitem__(name, value)


def retarget(name: str, commit: str) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        for ref in manifest["refs"]:
            if ref["name"] == name:
                ref["commit"] = commit
        if name == "worktree":
            manifest["result"] = commit

    return change


@pytest.mark.parametrize(
    ("change", "because"),
    [
        pytest.param(set_member("version", 2), "unknown version", id="version"),
        pytest.param(set_member("base", "0" * 40), "another base", id="base"),
        pytest.param(set_member("run_id", "other"), "another run", id="run"),
        pytest.param(set_member("bundle", False), "fit together", id="no-bundle-promised"),
        pytest.param(set_member("result", "1" * 40), "none of its refs", id="result"),
        pytest.param(set_member("head", None), "head", id="head"),
        pytest.param(set_member("extra", 1), "unknown member", id="unknown-member"),
        pytest.param(set_member("refs", []), "head", id="no-refs"),
        pytest.param(retarget("worktree", "1" * 40), "not what the manifest says", id="ref-elsewhere"),
        pytest.param(
            lambda m: m["refs"].append({"name": "lost/0", "commit": "1" * 40, "origin": "x"}), "refused", id="ref-without-objects"
        ),
        pytest.param(
            lambda m: m["refs"].append({"name": "../../heads/main", "commit": "1" * 40, "origin": "x"}), "no harvest writes", id="ref-name"
        ),
        pytest.param(
            lambda m: m["refs"].append({"name": "heads/x.lock", "commit": "1" * 40, "origin": "x"}), "no harvest writes", id="lock-name"
        ),
        pytest.param(lambda m: m["nested"].append({"path": "n", "bundle": "../x", "note": ""}), "no harvest writes", id="nested-path"),
    ],
)
def test_lying_manifest(place: Place, change: Callable[[dict[str, Any]], None], because: str) -> None:
    """A manifest that does not fit to the bundle or to the run is refused, and the user's repository is as before."""
    before = refs_of(place)
    edit(place, change)
    with pytest.raises(HarvestFailed, match=because):
        place.receive()
    assert refs_of(place) == before
    assert not (place.run_dir / "result.bundle").exists()


def remake(place: Place, script: str) -> None:
    """Replace the bundle by one that ``script`` makes in a clone of the agent's repository; it may use $B."""
    env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(place.mirror / "objects"), "B": str(place.outbox / "result.bundle")}
    sh(f"chown -R 0:0 work; cd work; {script}", place.root, **env)


@pytest.mark.parametrize(
    ("script", "because"),
    [
        pytest.param("rm $B", "fit together", id="missing"),
        pytest.param(": > $B", "no header", id="empty"),
        pytest.param("truncate -s -40 $B", "refused", id="cut"),
        pytest.param("head -c 200 /dev/urandom > $B", "refused", id="garbage"),
        pytest.param("printf '\\0' | dd of=$B bs=1 seek=$(($(stat -c %s $B) - 30)) conv=notrunc status=none", "refused", id="flipped"),
        pytest.param("git bundle create -q $B HEAD", "no harvest writes", id="other-ref"),
        pytest.param("git update-ref refs/aienv-out/head HEAD; git bundle create -q $B refs/aienv-out/head", "refused", id="other-history"),
        pytest.param(
            "git update-ref refs/aienv-out/x/../head HEAD || true; sed -i 's,aienv-out/head,aienv-out/hxad,' $B",
            "no harvest writes",
            id="renamed",
        ),
        pytest.param("sed -i 's,^# v2,# v4,' $B", "no git bundle", id="version"),
        pytest.param("sed -i '1s,.*,# v3 git bundle\\n@filter=blob:none,' $B", "unknown capability", id="filter"),
    ],
)
def test_lying_bundle(place: Place, script: str, because: str) -> None:
    """A bundle that is cut, damaged or other than promised is refused; the file stays, and the message says where."""
    before = refs_of(place)
    remake(place, script)
    with pytest.raises(HarvestFailed, match=because) as caught:
        place.receive()
    assert refs_of(place) == before
    assert caught.value.remedy
    if "missing" not in caught.value.message and (place.outbox / "result.bundle").exists():
        assert (place.run_dir / "result.bundle.refused").exists()
        assert str(place.run_dir) in caught.value.message


def test_prerequisites_that_the_host_lacks(place: Place) -> None:
    """A bundle that builds on commits outside the repository is refused before it is unpacked."""
    tips = {ref["name"]: ref["commit"] for ref in json.loads((place.outbox / "manifest.json").read_text())["refs"]}
    remake(
        place,
        f"git fetch -q $B 'refs/aienv-out/*:refs/aienv-out/*'; git update-ref -d refs/aienv-out/heads/main; "
        f"git update-ref -d refs/aienv-out/head;"
        f"git bundle create -q $B refs/aienv-out/worktree ^{tips['head']}",
    )
    with pytest.raises(HarvestFailed, match=r"not in the repository|refused"):
        place.receive()


def test_ref_that_is_no_commit(place: Place) -> None:
    """Refs must be what their names promise: a branch that is a blob is refused."""
    remake(
        place,
        "git fetch -q $B 'refs/aienv-out/*:refs/aienv-out/*'; "
        "git update-ref refs/aienv-out/lost/0 $(echo blob | git hash-object -w --stdin);"
        "git bundle create -q $B --glob=refs/aienv-out/* ^main~1 2>/dev/null || git bundle create -q $B --glob=refs/aienv-out/*",
    )
    blob = sh("echo blob | git hash-object --stdin", place.root)
    edit(place, lambda m: m["refs"].append({"name": "lost/0", "commit": blob, "origin": "x"}))
    with pytest.raises(HarvestFailed, match="blob, not a commit"):
        place.receive()


def test_receiving_twice(place: Place) -> None:
    """A second time, after a crash, gives the same value and leaves nothing half."""
    first = place.receive()
    shutil.rmtree(place.quarantine / "refs")
    assert place.receive() == first
    assert sorted(path.name for path in place.run_dir.iterdir()) == ["result.bundle", "result.patch"]


def test_no_manifest(place: Place) -> None:
    """A harvest program that died says so."""
    (place.outbox / "manifest.json").unlink()
    with pytest.raises(HarvestFailed, match="left no manifest"):
        place.receive()


def test_bundle_beyond_the_limit(place: Place) -> None:
    """The host does not copy more than it allows, whatever the inside says."""
    from orchestrator.harvest.request import HarvestLimits

    place.limits = HarvestLimits(bundle_bytes=100)
    with pytest.raises(HarvestFailed, match="larger than 100 bytes"):
        place.receive()


def test_small_bundle_with_a_huge_commit() -> None:
    """A commit that unpacks to gigabytes is refused before it fills the host's memory."""
    import hashlib
    import struct
    import zlib

    with new_place() as place:
        place.start()
        place.agent("echo x > f; git add f; git commit -qm c")
        place.inside()
        size = 1_200_000_000
        head, chunk = b"tree " + b"0" * 40 + b"\n", bytes(10_000_000)
        packer, parts = zlib.compressobj(1), []
        parts.append(packer.compress(head))
        parts.extend(packer.compress(chunk) for _ in range(size // len(chunk)))
        parts.append(packer.flush())
        total, number = size // len(chunk) * len(chunk) + len(head), []
        first, rest = total & 15, total >> 4
        number.append((1 << 4) | first | (128 if rest else 0))
        while rest:
            number.append((rest & 127) | (128 if rest >> 7 else 0))
            rest >>= 7
        pack = b"PACK" + struct.pack(">II", 2, 1) + bytes(number) + b"".join(parts)
        bundle = (place.outbox / "result.bundle").read_bytes()
        header = bundle[: bundle.index(b"\n\n") + 2]
        (place.outbox / "result.bundle").write_bytes(header + pack + hashlib.sha1(pack).digest())
        with pytest.raises(HarvestFailed, match="over limit"):
            place.receive()


def test_small_bundle_with_a_huge_file() -> None:
    """A file that unpacks to hundreds of megabytes is in the bundle, not in the patch."""
    with new_place() as place:
        place.start()
        place.agent("truncate -s 300M zeros; echo x > x")
        harvest = place.harvest()
        assert harvest.patch is None
        assert changed(harvest) == {"x": "A", "zeros": "A"}
        assert any("too large for result.patch" in note for note in harvest.notes)


def test_bundle_can_be_used_without_aienv(place: Place) -> None:
    """Plain git takes the bundle and the patch: leaving aienv costs nothing."""
    harvest = place.receive()
    sh(f"git fetch -q {place.run_dir}/result.bundle refs/aienv-out/worktree:refs/heads/by-hand", place.user)
    assert sh("git rev-parse by-hand", place.user) == harvest.commit
    sh(f"git apply --index {place.run_dir}/result.patch", place.user)
    assert sh("git write-tree", place.user) == sh("git rev-parse by-hand^{tree}", place.user)


def test_host_executes_is_reported() -> None:
    """Files that tools on the host would run are marked."""
    with new_place() as place:
        place.start()
        place.agent(
            "mkdir -p .vscode .github/workflows; echo 1 | "
            "tee .vscode/tasks.json .github/workflows/ci.yml Makefile plain.txt > src/run.sh; chmod +x src/run.sh"
        )
        marked = {file.path for file in place.harvest().changed_files if file.host_executes}
        assert marked == {".vscode/tasks.json", ".github/workflows/ci.yml", "Makefile", "src/run.sh"}


# ---- delivery


def snapshot(repo: Path) -> dict[str, bytes]:
    """Everything in a repository that a delivery must not touch: files, index, HEAD, config, logs, FETCH_HEAD."""
    found = {}
    for path in sorted(repo.rglob("*")):
        inside = path.relative_to(repo)
        if path.is_file() and inside.parts[:2] not in ((".git", "objects"), (".git", "refs")):
            found[str(inside)] = path.read_bytes()
    return found


def test_delivery_touches_nothing_else(place: Place) -> None:
    """Checkout, index, HEAD, configuration, logs and tags are as before; hooks did not run, no FETCH_HEAD appears."""
    sh(
        "for h in reference-transaction post-merge post-checkout update; "
        "do printf '#!/bin/sh\\ntouch ran\\n' > .git/hooks/$h; chmod +x .git/hooks/$h; done",
        place.user,
    )
    sh(
        "git config fetch.prune true; git config gc.auto 1; git config fetch.writeCommitGraph true; echo dirty >> a.txt; echo u > u",
        place.user,
    )
    before = snapshot(place.user)
    delivery = place.deliver(place.receive())
    assert snapshot(place.user) == before
    assert delivery.branch == "aienv/fix-r1"
    assert sh("git for-each-ref '--format=%(refname)' refs/aienv refs/heads", place.user).split() == [
        "refs/aienv/r1a2b3/base",
        "refs/aienv/r1a2b3/head",
        "refs/aienv/r1a2b3/heads/main",
        "refs/aienv/r1a2b3/worktree",
        "refs/heads/aienv/fix-r1",
        "refs/heads/main",
    ]
    assert set(delivery.refs) == {f"refs/aienv/r1a2b3/{name}" for name in ("base", "head", "heads/main", "worktree")}


def test_delivering_twice_is_the_same(place: Place) -> None:
    """The branch is there already and right: nothing new."""
    harvest = place.receive()
    assert place.deliver(harvest) == place.deliver(harvest)


@pytest.mark.parametrize(
    ("prepare", "branch", "note"),
    [
        pytest.param("git branch aienv/fix-r1", "aienv/fix-r1-2", "taken", id="taken"),
        pytest.param("git branch aienv/fix-r1; git branch aienv/fix-r1-2", "aienv/fix-r1-3", "taken", id="taken-twice"),
        pytest.param("git branch aienv", "aienv-fix-r1", "taken", id="file-where-folder"),
        pytest.param("git branch aienv/fix-r1/sub", "aienv/fix-r1-2", "taken", id="folder-where-file"),
        pytest.param("git checkout -qb aienv/fix-r1", "aienv/fix-r1-2", "taken", id="checked-out"),
        pytest.param("git checkout -q --orphan aienv/fix-r1", "aienv/fix-r1-2", "taken", id="checked-out-unborn"),
        pytest.param("git worktree add -q ../wt -b aienv/fix-r1", "aienv/fix-r1-2", "taken", id="checked-out-elsewhere"),
        pytest.param("git pack-refs --all; git tag aienv/fix-r1", "aienv/fix-r1", None, id="tag-of-that-name"),
        pytest.param("git checkout -q --detach", "aienv/fix-r1", None, id="detached"),
    ],
)
def test_branch_names(place: Place, prepare: str, branch: str, note: str | None) -> None:
    """A branch that is there already never moves; the next free name is taken."""
    sh(prepare, place.user)
    before = sh("git for-each-ref refs/heads refs/tags", place.user)
    harvest = place.receive()
    delivery = place.deliver(harvest)
    assert delivery.branch == branch
    assert (note is None) is (delivery.note is None)
    assert sh(f"git rev-parse refs/heads/{branch}", place.user) == harvest.commit
    after = sh("git for-each-ref refs/heads refs/tags", place.user).splitlines()
    assert set(before.splitlines()) <= set(after)
    assert place.deliver(harvest).branch == branch


def test_bare_user_repository(place: Place) -> None:
    """A bare repository takes the result as well."""
    sh("rm -rf user; git clone -q --bare mirror.git user", place.root)
    assert place.deliver(place.receive()).branch == "aienv/fix-r1"


def test_user_repository_that_cannot_be_written(place: Place) -> None:
    """The message says where the bundle is, and the line that fetches it by hand works."""
    harvest = place.receive()
    shutil.rmtree(place.user)
    with pytest.raises(HarvestFailed, match=r"result\.bundle") as caught:
        place.deliver(harvest)
    sh("git clone -q mirror.git user", place.root)
    assert caught.value.remedy is not None
    sh(caught.value.remedy, place.root)
    assert sh("git rev-parse aienv/fix-r1", place.user) == harvest.commit


@pytest.mark.parametrize("branch", ["-x", "a..b", "a b", "", "x.lock", "@{-1}"])
def test_bad_branch_names(place: Place, branch: str) -> None:
    """A name that git does not take is refused before anything is fetched."""
    harvest = place.receive()
    with pytest.raises(HarvestFailed, match="no branch name"):
        place.deliver(harvest, branch)
    assert sh("git for-each-ref refs/aienv", place.user) == ""


def test_only_stashes_make_no_branch() -> None:
    """Something besides the result is kept under our own refs only."""
    with new_place() as place:
        place.start()
        place.agent("echo x > a.txt; git stash -q")
        delivery = place.deliver(place.harvest())
        assert delivery.branch is None
        assert "refs/aienv/r1a2b3/stash/0" in delivery.refs


def test_undeliver_removes_only_its_own(place: Place) -> None:
    """The run's refs go, its branch and other runs stay; once more is no error."""
    from orchestrator.harvest.deliver import undeliver

    place.deliver(place.receive())
    sh("git update-ref refs/aienv/r1a2b34/base main", place.user)
    assert len(undeliver(place.user, "r1a2b3")) == 4
    assert undeliver(place.user, "r1a2b3") == ()
    assert undeliver(place.root / "gone", "r1a2b3") == ()
    assert sh("git for-each-ref '--format=%(refname)'", place.user).split() == [
        "refs/aienv/r1a2b34/base",
        "refs/heads/aienv/fix-r1",
        "refs/heads/main",
    ]


def test_push_takes_only_the_branch(place: Place) -> None:
    """The remote gets one branch; an existing one there that is different stays."""
    from types import SimpleNamespace

    from orchestrator.harvest.deliver import push

    sh("git clone -q --bare user remote.git; git -C user remote add origin ../remote.git", place.root)
    harvest = place.receive()
    delivery = place.deliver(harvest)
    plan: Any = SimpleNamespace(
        repo=SimpleNamespace(kind="path", location=str(place.user)), output=SimpleNamespace(branch=None), task="fix"
    )
    folder: Any = SimpleNamespace(id="r1a2b3", quarantine=place.quarantine)
    assert push(harvest, delivery, plan, folder).pushed
    assert sh("git for-each-ref '--format=%(refname)'", place.root / "remote.git").split() == ["refs/heads/aienv/fix-r1", "refs/heads/main"]
    url: Any = SimpleNamespace(
        repo=SimpleNamespace(kind="url", location=str(place.root / "remote.git")), output=SimpleNamespace(branch="b"), task="fix"
    )
    assert push(harvest, None, url, folder).branch == "b"
    sh(
        "git update-ref refs/heads/b main; git update-ref refs/heads/aienv/fix-r1 $(git commit-tree -m other main^{tree})",
        place.root / "remote.git",
    )
    with pytest.raises(HarvestFailed, match="pushing"):
        push(harvest, delivery, plan, folder)


# ---- apply


@pytest.mark.parametrize(
    ("prepare", "fits"),
    [
        pytest.param("true", True, id="clean"),
        pytest.param("echo unstaged >> src/b.txt; echo u > untracked", True, id="other-work-unstaged"),
        pytest.param("echo staged >> src/b.txt; git add .", True, id="other-work-staged"),
        pytest.param("echo more > more; git add .; git commit -qm more", True, id="moved-on"),
        pytest.param("echo other > f; git add f; git commit -qm f", False, id="conflicting-commit"),
        pytest.param("echo mine > f", False, id="untracked-in-the-way"),
        pytest.param("echo mine > g; git add g", False, id="staged-in-the-way"),
        pytest.param(
            "git checkout -qb o; echo 1 > a.txt; git commit -qam 1; git checkout -q main; echo 2 > a.txt; "
            "git commit -qam 2; git merge -q o || true",
            False,
            id="in-a-merge",
        ),
    ],
)
def test_apply(place: Place, prepare: str, fits: bool) -> None:
    """The result is staged next to the user's own work, or nothing at all is changed."""
    from orchestrator.harvest.apply import apply

    place.receive()
    sh(prepare, place.user)
    before = sh("git status --porcelain; git diff; git diff --cached; cat untracked f g 2>/dev/null || true", place.user)
    if not fits:
        with pytest.raises(HarvestFailed, match="nothing was changed") as caught:
            apply(place.run_dir, place.user, branch="aienv/fix-r1")
        assert caught.value.remedy
        assert sh("git status --porcelain; git diff; git diff --cached; cat untracked f g 2>/dev/null || true", place.user) == before
        return
    applied = apply(place.run_dir, place.user)
    assert {file.path for file in applied.files} == {"f", "g"}
    status = sh("git status --porcelain", place.user).splitlines()
    assert {"A  f", "A  g"} <= set(status)
    if "unstaged" in prepare:
        assert {" M src/b.txt", "?? untracked"} <= {f" {line}" if line.startswith("M src") else line for line in status}
    assert apply(place.run_dir, place.user).files == ()


def test_apply_unstaged_work_in_the_same_file() -> None:
    """A file with unstaged work of the user's is never overwritten."""
    from orchestrator.harvest.apply import apply

    with new_place() as place:
        place.start()
        place.agent("echo agent >> a.txt")
        place.harvest()
        sh("sed -i 1iuser a.txt", place.user)
        with pytest.raises(HarvestFailed, match=r"a\.txt"):
            apply(place.run_dir, place.user)
        assert (place.user / "a.txt").read_text() == "user\none\n"
        sh("git checkout -q a.txt; sed -i 1iuser a.txt; seq 9 >> a.txt; git commit -qam mine", place.user)


def test_diff_for_a_terminal_is_harmless() -> None:
    """The patch comes as it is for a pipe; for a terminal it has colours, and no control characters of the agent's."""
    import io

    from orchestrator.harvest.apply import diff

    with new_place() as place:
        place.start()
        place.agent("printf 'one\\033]0;evil\\007\\n' > a.txt")
        place.harvest()
        plain, coloured = io.BytesIO(), io.BytesIO()
        assert diff(place.run_dir, plain)
        assert diff(place.run_dir, coloured, colour=True)
        assert plain.getvalue() == (place.run_dir / "result.patch").read_bytes()
        assert b"\x1b]" in plain.getvalue()
        assert b"\x1b]" not in coloured.getvalue()
        assert b"\x1b[32m+one?]0;evil?\x1b[0m" in coloured.getvalue()
        assert not diff(place.root, plain)


def test_a_full_disk_leaves_the_user_repository_alone(place: Place) -> None:
    """No room for the copy: the failure says so, the outbox still has everything."""
    mount = place.root / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(mount)], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        remake(place, "head -c 100000 /dev/urandom > r; git add r; git commit -qm r")
        sh("chown -R 65533:65533 work", place.root)
        place.inside()
        from orchestrator.harvest.receive import receive

        with pytest.raises(HarvestFailed, match="No space left"):
            receive(place.outbox, mount / "run", place.quarantine, run_id="r1a2b3", base=place.base, objects=(place.mirror / "objects",))
        assert os.listdir(mount / "run") == []
        assert names(place.receive())
    finally:
        subprocess.run(["umount", str(mount)], check=True)
