"""Bundle headers and manifests: what passes, what is refused, and that nothing else ever happens."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import HarvestFailed
from orchestrator.harvest.check import MANIFEST_MAX_BYTES, is_ref_name, parse_bundle_header, parse_manifest
from orchestrator.harvest.executes import host_executes

A, B, S = "a" * 40, "b" * 40, "c" * 64
V2 = f"# v2 git bundle\n-{A} base commit\n{B} refs/aienv-out/head\n\nPACK..."


def test_version_2() -> None:
    """The usual header."""
    header = parse_bundle_header(V2.encode())
    assert (header.object_format, header.prerequisites, dict(header.refs)) == ("sha1", (A,), {"head": B})
    assert V2.encode()[header.pack_offset :] == b"PACK..."


def test_version_3() -> None:
    """The header of repositories with the other object format."""
    header = parse_bundle_header(f"# v3 git bundle\n@object-format=sha256\n-{S}\n{S} refs/aienv-out/heads/a/b%20c\n\n".encode())
    assert (header.object_format, header.prerequisites, dict(header.refs)) == ("sha256", (S,), {"heads/a/b%20c": S})


def test_subjects_may_hold_any_bytes() -> None:
    """What follows a prerequisite is the commit's subject, in any encoding."""
    assert parse_bundle_header(
        f"# v2 git bundle\n-{A} ".encode() + b"\xff\xfe\n" + f"{B} refs/aienv-out/head\n\n".encode()
    ).prerequisites == (A,)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        pytest.param("", "no header", id="empty"),
        pytest.param("# v4 git bundle\n\n", "version 2 or 3", id="version"),
        pytest.param("# v2 git bundle\n\n", "no refs", id="no-refs"),
        pytest.param(f"# v2 git bundle\n@object-format=sha1\n{A} refs/aienv-out/head\n\n", "no harvest writes", id="capability-in-v2"),
        pytest.param(f"# v3 git bundle\n@filter=blob:none\n{A} refs/aienv-out/head\n\n", "unknown capability", id="filter"),
        pytest.param(f"# v3 git bundle\n@object-format=sha512\n{A} refs/aienv-out/head\n\n", "unknown capability", id="format"),
        pytest.param(f"# v3 git bundle\n@object-format=sha256\n{A} refs/aienv-out/head\n\n", "no harvest writes", id="short-oid"),
        pytest.param(f"# v2 git bundle\n{A} refs/heads/main\n\n", "no harvest writes", id="foreign-ref"),
        pytest.param(f"# v2 git bundle\n{A} HEAD\n\n", "no harvest writes", id="head"),
        pytest.param(f"# v2 git bundle\n{A.upper()} refs/aienv-out/head\n\n", "no harvest writes", id="upper-case"),
        pytest.param(f"# v2 git bundle\n{A} refs/aienv-out/head\n{B} refs/aienv-out/head\n\n", "twice", id="twice"),
        pytest.param(f"# v2 git bundle\n{A} refs/aienv-out/head\n-{B}\n\n", "bad prerequisite", id="late-prerequisite"),
        pytest.param("# v2 git bundle\n-zz\n\n", "bad prerequisite", id="bad-prerequisite"),
        pytest.param(f"# v2 git bundle\n{A} refs/aienv-out/heads/ü\n\n", "not ASCII", id="not-ascii"),
        pytest.param(f"# v2 git bundle\r\n{A} refs/aienv-out/head\r\n\n\n", "version 2 or 3", id="crlf"),
        pytest.param("# v2 git bundle\n" + "".join(f"{A} refs/aienv-out/lost/{n}\n" for n in range(10_001)) + "\n", "more than", id="many"),
    ],
)
def test_refused_headers(text: str, because: str) -> None:
    """Everything that our own harvest program does not write is refused, with the reason."""
    with pytest.raises(HarvestFailed, match=because):
        parse_bundle_header(text.encode())


@pytest.mark.parametrize(
    ("name", "fine"),
    [
        ("head", True),
        ("worktree", True),
        ("conflict/1", True),
        ("conflict/4", False),
        ("stash/0", True),
        ("stash/x", False),
        ("stash/", False),
        ("heads/a", True),
        ("heads/a/b.c", True),
        ("heads", False),
        ("heads/", False),
        ("heads/.a", False),
        ("heads/a..b", False),
        ("heads/a.", False),
        ("heads/a//b", False),
        ("heads/a.lock", False),
        ("heads/a.lock/b", False),
        ("heads/%2E", True),
        ("heads/a b", False),
        ("heads/-a", True),
        ("lost/0", True),
        ("lost/bunch-1", True),
        ("lost/objects", True),
        ("lost/x", False),
        ("HEAD", False),
        ("base", False),
        ("head\n", False),
        ("heads/" + "a" * 201, False),
        ("heads/" + "/".join("a" * 600), False),
        ("heads/ä", False),
        ("other/notes/commits", True),
    ],
)
def test_ref_names(name: str, fine: bool) -> None:
    """The grammar of names, closed by default."""
    assert is_ref_name(name) is fine


def manifest(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "version": 1,
        "run_id": "r1",
        "task": "t",
        "object_format": "sha1",
        "base": A,
        "head": B,
        "result": B,
        "branch": "refs/heads/main",
        "uncommitted": False,
        "complete": True,
        "bundle": True,
        "salvage": False,
        "refs": [{"name": "head", "commit": B, "origin": "HEAD"}],
        "nested": [{"path": "n", "bundle": "nested/0001.bundle", "note": "x"}],
        "artifacts": [{"path": "a", "bytes": 1}],
        "unreadable": ["u"],
        "notes": ["n"],
    }
    return plain | changes


def test_manifest() -> None:
    """A manifest as the harvest program writes it."""
    parsed = parse_manifest(json.dumps(manifest()).encode())
    assert (parsed.base, parsed.result, parsed.refs[0].name, parsed.nested[0].bundle, parsed.artifacts[0].bytes) == (
        A,
        B,
        "head",
        "nested/0001.bundle",
        1,
    )


def test_manifest_at_the_base() -> None:
    """HEAD where it began is no ref of its own."""
    assert parse_manifest(json.dumps(manifest(head=A, result=A, refs=[], bundle=False)).encode()).head == A


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": "1"},
        {"version": True},
        {"extra": 1},
        {"base": "x"},
        {"base": 1},
        {"head": A},
        {"result": A},
        {"uncommitted": True},
        {"object_format": "md5"},
        {"object_format": "sha256"},
        {"complete": 1},
        {"refs": {}},
        {"refs": [1]},
        {"refs": [{"name": "head"}]},
        {"refs": [{"name": "head", "commit": B, "origin": "a\nb"}]},
        {"refs": [{"name": "head", "commit": B, "origin": "x"}] * 2},
        {"nested": [{"path": "n", "bundle": "/etc/passwd", "note": ""}]},
        {"nested": [{"path": "n", "bundle": "nested/1.bundle", "note": ""}]},
        {"artifacts": [{"path": "a", "bytes": -1}]},
        {"artifacts": [{"path": "a", "bytes": 1.5}]},
        {"notes": ["\x1b[2J"]},
        {"notes": ["x" * 9000]},
        {"notes": ["x"] * 1001},
        {"run_id": None},
        {"task": 5},
        {"branch": 5},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_refused_manifests(changes: dict[str, Any]) -> None:
    """Unknown, missing, doubled, mistyped or contradicting members are refused."""
    with pytest.raises(HarvestFailed):
        parse_manifest(json.dumps(manifest(**changes)).encode())


@pytest.mark.parametrize("name", sorted(manifest()))
def test_no_member_may_be_missing(name: str) -> None:
    """Each member is needed."""
    plain = manifest()
    del plain[name]
    with pytest.raises(HarvestFailed):
        parse_manifest(json.dumps(plain).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b'{"version": 1, "version": 1}', b"\xff", b'{"version": NaN}', b"[" * 100_000, b" " * (MANIFEST_MAX_BYTES + 1)],
    ids=["empty", "list", "null", "twice", "not-utf8", "nan", "deep", "long"],
)
def test_what_is_no_manifest(data: bytes) -> None:
    """Other documents and other bytes are refused."""
    with pytest.raises(HarvestFailed):
        parse_manifest(data)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: V2.replace("head", text, 1).encode("utf-8", "replace"))))
def test_any_bytes_as_header(data: bytes) -> None:
    """A value or our own error, for any bytes."""
    try:
        header = parse_bundle_header(data)
    except HarvestFailed:
        return
    assert header.refs
    assert all(is_ref_name(name) for name in header.refs)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.tuples(st.sampled_from(sorted(manifest())), JSON).map(lambda pair: json.dumps(manifest() | {pair[0]: pair[1]}).encode()),
    )
)
def test_any_bytes_as_manifest(data: bytes) -> None:
    """A value or our own error, for any bytes and for any member replaced by anything."""
    try:
        parsed = parse_manifest(data)
    except HarvestFailed:
        return
    assert all(is_ref_name(ref.name) for ref in parsed.refs)


@pytest.mark.parametrize(
    ("status", "path", "old", "new", "runs"),
    [
        ("A", "src/main.py", "000000", "100644", False),
        ("M", "README.md", "100644", "100644", False),
        ("A", "docs/github.md", "000000", "100644", False),
        ("A", "run.sh", "000000", "100755", True),
        ("M", "run.sh", "100644", "100755", True),
        ("M", "run.sh", "100755", "100755", False),
        ("D", "run.sh", "100755", "000000", False),
        ("A", "vendor/x", "000000", "160000", True),
        ("M", ".gitattributes", "100644", "100644", True),
        ("A", "sub/.gitmodules", "000000", "100644", True),
        ("A", ".github/workflows/ci.yml", "000000", "100644", True),
        ("A", ".GitLab-CI.yml", "000000", "100644", True),
        ("A", ".vscode/tasks.json", "000000", "100644", True),
        ("A", ".mcp.json", "000000", "100644", True),
        ("A", ".claude/settings.json", "000000", "100644", True),
        ("A", ".envrc", "000000", "100644", True),
        ("A", "x/Makefile", "000000", "100644", True),
        ("A", "makefile.am", "000000", "100644", True),
        ("A", "package.json", "000000", "100644", True),
        ("A", "package.json.bak", "000000", "100644", False),
        ("A", "pyproject.toml", "000000", "100644", True),
        ("A", "tests/conftest.py", "000000", "100644", True),
        ("A", "Dockerfile.dev", "000000", "100644", True),
        ("A", "compose.yaml", "000000", "100644", True),
        ("A", "docker-compose.override.yml", "000000", "100644", True),
        ("A", ".devcontainer/x/y.sh", "000000", "100644", True),
        ("A", ".husky/pre-commit", "000000", "100644", True),
        ("D", ".pre-commit-config.yaml", "100644", "000000", True),
        ("A", "lefthook.yml", "000000", "100644", True),
        ("A", "Justfile", "000000", "100644", True),
        ("A", "build.gradle.kts", "000000", "100644", True),
        ("A", "CMakeLists.txt", "000000", "100644", True),
        ("A", "a\nMakefile", "000000", "100644", False),
    ],
)
def test_what_the_host_would_execute(status: str, path: str, old: str, new: str, runs: bool) -> None:
    """Files that tools obey are marked, their neighbours are not."""
    assert host_executes(status, path, old, new) is runs
