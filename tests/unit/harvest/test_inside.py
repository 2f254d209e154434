"""The pure parts of the harvest program: names, the index, logs, pack indexes. Any bytes give a value or ``Trouble``."""

import hashlib
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.harvest.check import is_ref_name
from orchestrator.harvest.deliver import free_name
from orchestrator.harvest.inside.artifacts import matches
from orchestrator.harvest.inside.config import config_from
from orchestrator.harvest.inside.conversion import restores
from orchestrator.harvest.inside.gitfolder import read_git_folder
from orchestrator.harvest.inside.index import build_index, parse_index
from orchestrator.harvest.inside.objects import pack_names, parse_tree
from orchestrator.harvest.inside.words import Trouble, group_of, holdable, safe_ref, show, unique
from orchestrator.harvest.request import PROGRAM, HarvestRequest, config_bytes

ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


def git(folder: Path, *args: str) -> bytes:
    return subprocess.run(["git", *args], cwd=folder, env=ENV, capture_output=True, check=True, timeout=30).stdout


def test_program_needs_only_the_standard_library() -> None:
    """It is copied to places where nothing of ours is, and where ssl and sqlite may be missing."""
    modules = {path.stem: path.read_text() for path in PROGRAM.glob("*.py")}
    names = {name for text in modules.values() for name in re.findall(r"^\s*(?:import|from) ([a-z_.]+)", text, re.MULTILINE)}
    own = {name for name in names if name.startswith("orchestrator")}
    assert own <= {f"orchestrator.harvest.inside.{module}" for module in modules}
    imports = {name.partition(".")[0] for name in names - own}
    assert imports <= {
        "collections",
        "fnmatch",
        "hashlib",
        "json",
        "os",
        "re",
        "shutil",
        "stat",
        "struct",
        "subprocess",
        "sys",
        "tarfile",
        "time",
        "types",
        "typing",
        "zlib",
    }
    assert len(modules) > 10
    assert {"json", "subprocess"} <= imports


def test_no_module_hides_one_of_the_standard_library() -> None:
    """Python puts the folder that it starts first on its path, and imports something before the program can take it off."""
    names = {path.stem for path in PROGRAM.glob("*.py")} - {"__init__", "__main__"}
    assert "words" in names
    assert names & sys.stdlib_module_names == set()


def test_request_and_program_agree() -> None:
    """What the host writes is what the program reads, odd names included."""
    request = HarvestRequest(
        "/w",
        "/o",
        "a" * 40,
        ("/x",),
        "r",
        "t\nx",
        5,
        masked=("/a\udcff/",),
        known_refs=(("refs/heads/\udcfe", "b" * 40),),
        author=("A <x>\n", ""),
    )
    config = config_from(config_bytes(request))
    assert (config.masked, config.known_refs, config.author) == ((b"a\xff",), {b"refs/heads/\xfe": "b" * 40}, ("A x", "aienv"))
    assert config.limits.files == request.limits.files


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        (b"main", "main"),
        (b"a/b", "a/b"),
        (b"a b", "a%20b"),
        (b".x", "%2Ex"),
        (b"x.", "x%2E"),
        (b"a..b", "a%2E.b"),
        (b"a.lock", "a%2Elock"),
        (b"a//b/", "a/b"),
        (b"%41", "%2541"),
        (b"\xff", "%FF"),
        (b"", "%"),
        (b"x@{1}", "x%40%7B1%7D"),
        (b"-", "-"),
    ],
)
def test_safe_ref(raw: bytes, safe: str) -> None:
    """Known names and their safe forms."""
    assert safe_ref(raw) == safe


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_every_safe_ref_passes_the_host(raw: bytes) -> None:
    """Whatever the agent calls a ref, the host's grammar takes its safe form."""
    assert is_ref_name(group_of(b"refs/heads/" + raw)) or not raw.strip(b"/")
    assert is_ref_name("other/" + safe_ref(raw))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("ab/", min_size=1, max_size=6), max_size=30))
def test_unique_names_never_collide(wishes: list[str]) -> None:
    """Of the names given out none equals another or lies below one."""
    taken: set[str] = set()
    folders: set[str] = set()
    given_out = [unique("heads/" + safe_ref(wish.encode()), taken, folders) for wish in wishes]
    assert len(set(given_out)) == len(wishes)
    assert not any(one != other and other.startswith(one + "/") for one in given_out for other in given_out)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_shown_names_are_printable_and_differ(raw: bytes) -> None:
    """The shown form is one printable line, and gives the bytes back."""
    text = show(raw)
    assert text.isprintable()
    back = re.sub(
        r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(\\))",
        lambda m: "\\" if m[4] else chr(int(m[1], 16) + (0xDC00 if int(m[1], 16) > 127 else 0)) if m[1] else chr(int(m[2] or m[3], 16)),
        text,
    )
    assert back.encode("utf-8", "surrogateescape") == raw


@pytest.mark.parametrize(
    ("path", "fine"),
    [
        (b"a", True),
        (b".gitignore", True),
        (b"x.git", True),
        (b"a/.github/b", True),
        (b".git2", True),
        (b"git~2", True),
        (b"", False),
        (b"/a", False),
        (b"a/", False),
        (b"a//b", False),
        (b".", False),
        (b"a/../b", False),
        (b".git", False),
        (b"a/.git/b", False),
        (b".GIT", False),
        (b".Git ", False),
        (b".git.", False),
        (b".git. .", False),
        (b"git~1", False),
        (b"GIT~1", False),
        (b".git::$INDEX_ALLOCATION", False),
        (b"a\\.git\\b", False),
        (".g\u200cit".encode(), False),
        ("\ufeff.git".encode(), False),
        (b"a\0b", False),
        (b"x" * 5000, False),
        (b"\xff.git", True),
    ],
)
def test_holdable(path: bytes, fine: bool) -> None:
    """Names that git's own check would refuse are kept out of trees; their neighbours are not."""
    assert holdable(path) is fine


@pytest.mark.parametrize("version", [2, 3, 4])
def test_index_as_git_writes_it(tmp_path: Path, version: int) -> None:
    """All versions of the index give the same entries, with flags and stages."""
    git(tmp_path, "init", "-q")
    for name in ("a", "dir-" + "x" * 240, "b c", "ü"):
        (tmp_path / name).write_text(name)
    git(tmp_path, "add", ".")
    (tmp_path / "planned").write_text("p")
    git(tmp_path, "add", "-N", "planned")
    git(tmp_path, "update-index", "--skip-worktree", "a")
    git(tmp_path, "update-index", "--index-version", str(version))
    entries = parse_index((tmp_path / ".git/index").read_bytes(), 20)
    listed = git(tmp_path, "ls-files", "-s", "-z").decode().split("\0")[:-1]
    assert [f"{entry.mode:o} {entry.oid} {entry.stage}\t{entry.path.decode()}" for entry in entries] == listed
    assert {entry.path.decode(): (entry.absent_ok, entry.planned) for entry in entries if entry.absent_ok or entry.planned} == {
        "a": (True, False),
        "planned": (False, True),
    }


def test_index_as_we_write_it(tmp_path: Path) -> None:
    """Git reads our index, whatever the lengths of the names."""
    git(tmp_path, "init", "-q")
    oid = git(tmp_path, "hash-object", "-w", "--stdin").decode().strip()
    entries = {b"x" * length: (0o100644, oid) for length in [*range(1, 20), 4095]}
    (tmp_path / ".git/index").write_bytes(build_index(entries, 20))
    assert git(tmp_path, "ls-files", "-s", "-z").count(b"\0") == len(entries)
    assert [entry.path for entry in parse_index((tmp_path / ".git/index").read_bytes(), 20)] == sorted(entries)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 5), st.integers(0, 2**32 - 1), st.booleans())
def test_any_bytes_as_index(body: bytes, version: int, count: int, sealed: bool) -> None:
    """Damage of any kind is Trouble, also with a right checksum."""
    data = b"DIRC" + struct.pack(">II", version, count % 5 if sealed else count) + body
    if sealed:
        data += hashlib.sha1(data).digest()
    try:
        entries = parse_index(data, 20)
    except Trouble:
        return
    assert len(entries) <= 5


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes_as_tree_and_pack_index(data: bytes) -> None:
    """Trees and pack indexes of the agent's are untrusted too."""
    parsers: tuple[Callable[[], Sequence[object]], ...] = (
        lambda: list(parse_tree(data, 20)),
        lambda: list(pack_names(data, 20)),
    )
    for parse in parsers:
        try:
            found = parse()
        except Trouble:
            continue
        assert len(found) <= len(data)


def test_git_folder_full_of_nonsense(tmp_path: Path) -> None:
    """Reading refs never fails; what is damaged is named."""
    folder = tmp_path / "g"
    (folder / "refs/heads/deep").mkdir(parents=True)
    (folder / "objects/info").mkdir(parents=True)
    (folder / "logs/refs").mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "refs/heads/main").write_text("a" * 40 + "\n")
    (folder / "refs/heads/bad").write_bytes(b"\xff\x00")
    (folder / "refs/heads/sym").write_text("ref: refs/heads/main")
    (folder / "refs/heads/deep/ü").write_text("b" * 40)
    (folder / "packed-refs").write_text(f"# x\n{'c' * 40} refs/heads/p\n^{'d' * 40}\nnonsense\n")
    (folder / "logs/refs/stash").write_text(f"{'0' * 40} {'e' * 40} a <a> 1 +0\tone\n{'e' * 40} {'f' * 40} a <a> 1 +0\ttwo\nnonsense\n")
    (folder / "objects/info/alternates").write_text("/nowhere\n../objects\n#x\n")
    said: list[str] = []
    found = read_git_folder(os.fsencode(folder), said.append)
    assert (found.head_name, found.head) == (b"refs/heads/main", "a" * 40)
    assert found.refs == {
        b"refs/heads/main": "a" * 40,
        b"refs/heads/sym": "a" * 40,
        b"refs/heads/p": "c" * 40,
        "refs/heads/deep/ü".encode(): "b" * 40,
    }
    assert found.stash == ["f" * 40, "e" * 40]
    assert found.stores == [os.fsencode(folder / "objects")]
    assert len(said) == 2


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a.txt", ["a.txt"]),
        ("*.txt", ["a.txt"]),
        ("**/*.txt", ["a.txt", "d/b.txt", "d/e/c.txt"]),
        ("d", ["d/b.txt", "d/e/c.txt"]),
        ("d/*", ["d/b.txt", "d/e/c.txt"]),
        ("d/**", ["d/b.txt", "d/e/c.txt"]),
        ("d/*/c.txt", ["d/e/c.txt"]),
        ("/a.txt", ["a.txt"]),
        ("./a.txt", ["a.txt"]),
        ("../x", []),
        ("", []),
        ("l/*", []),
        ("link", []),
        (".git/*", []),
        ("**/e/*", ["d/e/c.txt"]),
        ("[a]*", ["a.txt"]),
    ],
)
def test_artifact_patterns(tmp_path: Path, pattern: str, found: list[str]) -> None:
    """Patterns match regular files below the workspace, never through a link, never git's own."""
    for path in ("a.txt", "d/b.txt", "d/e/c.txt", ".git/config"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    (tmp_path / "l").symlink_to("d")
    (tmp_path / "link").symlink_to("a.txt")
    assert sorted(set(matches(os.fsencode(tmp_path), pattern.encode()))) == [path.encode() for path in found]


@pytest.mark.parametrize(
    ("blob", "disk", "attributes", "same"),
    [
        (b"a\n", b"a\n", {}, True),
        (b"a\n", b"a\r\n", {b"eol": b"crlf"}, True),
        (b"a\n", b"a\r\n", {b"eol": b"lf"}, False),
        (b"a", "a".encode("utf-16-le"), {b"working-tree-encoding": b"UTF-16LE"}, True),
        (b"\xff", b"\xff", {b"working-tree-encoding": b"UTF-16LE"}, False),
        (b"a", b"a", {b"working-tree-encoding": b"no-such"}, False),
        (b"a\r\nb\n", b"a\r\nb\r\n", {b"eol": b"crlf"}, True),
        (b"$Id$", b"$Id$", {b"ident": b"set"}, False),
        (b"$Id$", b"$Id: b3f5ebfb5843bc43ceecff6d4f26bb37c615beb1 $", {b"ident": b"set"}, True),
        (b"$Id$", b"$Id: mine $", {b"ident": b"set"}, False),
    ],
)
def test_restores(blob: bytes, disk: bytes, attributes: dict[bytes, bytes], same: bool) -> None:
    """Only a conversion that gives the bytes back counts as undone."""
    assert restores(blob, disk, attributes) is same


@pytest.mark.parametrize(
    ("heads", "checked_out", "name"),
    [
        ({}, [], "aienv/x"),
        ({"aienv/x": "c"}, [], "aienv/x"),
        ({"aienv/x": "d"}, [], "aienv/x-2"),
        ({"aienv/x": "d", "aienv/x-2": "c"}, [], "aienv/x-2"),
        ({"aienv": "d"}, [], "aienv-x"),
        ({"aienv/x/y": "d"}, [], "aienv/x-2"),
        ({}, ["aienv/x"], "aienv/x-2"),
        ({}, ["aienv"], "aienv-x"),
    ],
)
def test_free_name(heads: dict[str, str], checked_out: list[str], name: str) -> None:
    """The first name that neither moves nor hides a branch."""
    assert free_name("aienv/x", "c", heads, checked_out) == name
