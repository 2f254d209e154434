"""Files of a commit in a folder of ours: real git, and trees that no checkout could make."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.errors import ConfigError
from orchestrator.model.task import SandboxRules
from orchestrator.repos.contents import entries_of, read_file, tree_of
from orchestrator.repos.scratch import scratch
from orchestrator.run import exported as module
from orchestrator.run.exported import MAX_DEPTH, MAX_FOLLOWED, exported, lost_links

NOTHING_HIDDEN = SandboxRules((), (), ())


class Repository:
    def __init__(self, git_dir: Path) -> None:
        self.git_dir = git_dir
        self.git("init", "-q", "--bare")

    def git(self, *words: str, data: bytes = b"") -> str:
        names = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environ = {**os.environ, **names, "GIT_DIR": str(self.git_dir)}
        return subprocess.run(["git", *words], input=data, env=environ, check=True, capture_output=True).stdout.decode().strip()

    def blob(self, data: bytes = b"x") -> str:
        return self.git("hash-object", "-w", "--stdin", data=data)

    def tree(self, *entries: tuple[str, str, str]) -> str:
        kinds = {"040000": "tree"}
        return self.git("mktree", data="".join(f"{mode} {kinds.get(mode, 'blob')} {oid}\t{name}\n" for mode, oid, name in entries).encode())

    def commit(self, tree: str) -> str:
        return self.git("commit-tree", tree, "-m", "x")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("AIENV_HOME", str(tmp_path / "home"))
    (tmp_path / "repository").mkdir()
    return Repository(tmp_path / "repository")


def out(repository: Repository, tree: str) -> tuple[Mapping[str, bytes | str], tuple[str, ...]]:
    """What was written, and the notes."""
    with exported(repository.git_dir, repository.commit(tree), ("",), NOTHING_HIDDEN) as (folder, notes):
        found: dict[str, bytes | str] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_symlink():
                found[str(path.relative_to(folder))] = str(path.readlink())
            elif path.is_file():
                found[str(path.relative_to(folder))] = path.read_bytes()
        return found, notes


def test_files_links_and_what_is_large(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 100)
    blob, large = repository.blob(), repository.blob(b"l" * 1000)
    sub = repository.tree(("100755", blob, "run"), ("120000", repository.blob(b"../large"), "up"))
    tree = repository.tree(
        ("100644", large, "large"),
        ("040000", sub, "sub"),
        ("120000", repository.blob(b"../x"), "out"),
        ("120000", repository.blob(b"me"), "me"),
    )
    found, notes = out(repository, tree)
    assert found == {"large": b"l" * 1000, "sub/run": b"x", "sub/up": "../large"}
    assert [note.split(" ")[0] for note in notes] == ["'me'", "'out'"]


def test_notes_are_few(repository: Repository) -> None:
    blob = repository.blob(b"/etc")
    notes = out(repository, repository.tree(*(("120000", blob, f"l{number:02}") for number in range(20))))[1]
    assert [note.split(" ")[0] for note in notes] == ["'l00'", "'l01'", "'l02'", "'l03'", "'l04'", "15"]


def nested(repository: Repository, depth: int) -> str:
    tree = repository.tree(("100644", repository.blob(), "x"))
    for _ in range(depth):
        tree = repository.tree(("040000", tree, "a"))
    return tree


def test_trees_that_no_folder_could_hold(repository: Repository) -> None:
    """Too deep, too long, a link and a folder of one name: said, and no traceback."""
    blob = repository.blob()
    folder = repository.tree(("100644", blob, "x"))
    for tree, said in (
        (nested(repository, MAX_DEPTH), "deep"),
        (repository.tree(("100644", blob, "b" * 256)), "more than 255 bytes"),
        (repository.tree(("120000", repository.blob(b"."), "z"), ("040000", folder, "z")), "both a file and a folder 'z'"),
        (repository.tree(("120000", repository.blob(b"y" * 5000), "z")), "has a link to more than"),
    ):
        with pytest.raises(ConfigError, match=said):
            out(repository, tree)
    assert len(out(repository, nested(repository, MAX_DEPTH - 1))[0]) == 1
    assert len(out(repository, repository.tree(("100644", blob, "b" * 255)))[0]) == 1


def test_a_tree_of_trees_is_not_listed_whole(repository: Repository) -> None:
    """Ten to the seventh files; git ends as soon as nobody listens."""
    blob = repository.blob()
    tree = repository.tree(*(("100644", blob, f"f{n}") for n in range(10)))
    for _ in range(6):
        tree = repository.tree(*(("040000", tree, f"d{n}") for n in range(10)))
    commit = repository.commit(repository.tree(("040000", tree, "z")))
    entries = entries_of(repository.git_dir, commit)
    assert next(iter(entries)).path == b"z/d0/d0/d0/d0/d0/d0/f0"
    entries.close()
    assert read_file(repository.git_dir, commit, "z") is None


def test_entries_one_by_one(repository: Repository) -> None:
    blob = repository.blob()
    commit = repository.commit(repository.tree(*(("100644", blob, f"{'n' * 200}{n}") for n in range(400))))
    assert tuple(entries_of(repository.git_dir, commit)) == tree_of(repository.git_dir, commit)
    assert tuple(entries_of(repository.git_dir, commit, "none")) == ()


def test_a_temporary_folder_of_any_depth_goes(repository: Repository) -> None:
    with scratch("test") as folder:
        at = os.open(folder, os.O_RDONLY)
        for _ in range(1200):
            os.mkdir("a", dir_fd=at)
            below = os.open("a", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        os.close(at)
    assert not folder.exists()


CHAIN = {b"l%d" % n: b"l%d" % (n + 1) for n in range(1500)}


@pytest.mark.parametrize(
    ("links", "lost"),
    [
        pytest.param({b"a": b"b/c", b"d/e": b"../a"}, set(), id="inside"),
        pytest.param({b"a": b"/etc"}, {b"a"}, id="absolute"),
        pytest.param({b"a": b"../x"}, {b"a"}, id="out"),
        pytest.param({b"a": b"b/..", b"b": b"c/../..", b"c": b"sub"}, {b"b"}, id="lexically"),
        pytest.param({b"x/up": b"..", b"a": b"x/up/up"}, set(), id="nothing-there"),
        pytest.param({b"x/y/up": b"../..", b"a": b"x/y/up/.."}, {b"a"}, id="over-another"),
        pytest.param({b"a": b"b", b"b": b"a"}, {b"a", b"b"}, id="loop"),
        pytest.param(CHAIN, {b"l%d" % n for n in range(1500 - MAX_FOLLOWED)}, id="chain"),
    ],
)
def test_links_that_lead_nowhere(links: Mapping[bytes, bytes], lost: set[bytes]) -> None:
    assert lost_links(links) == lost


def test_links_without_end() -> None:
    tangle = {b"a%d" % n: b"x/../" * 800 + b"a%d" % (n + 1) for n in range(3000)}
    with pytest.raises(ConfigError, match="without end"):
        lost_links(tangle)
