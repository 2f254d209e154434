"""What git may do with a credential: read what is on the list, push below ``aienv/``, and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.egress.gitpush import MAX_COMMANDS, MAX_HEAD_BYTES, PushReader, PushVerdict, judge_git_request, looks_like_git, valid_ref
from orchestrator.model.network import GitRepo
from tests.fuzz.targets import gitpush as fuzzed

APP = GitRepo("git.example.org", "team/app", True)
LIB = GitRepo("git.example.org", "team/sub/lib", False)
REPOS = (APP, LIB)
UPLOAD = ("Content-Type", "application/x-git-upload-pack-request")
RECEIVE = ("Content-Type", "application/x-git-receive-pack-request")

NULL, ONE, TWO = b"0" * 40, b"1" * 40, b"2" * 40
CAPABILITIES = b" report-status-v2 side-band-64k quiet object-format=sha1 agent=git/2.39.5"


def packet(line: bytes) -> bytes:
    return f"{len(line) + 4:04x}".encode() + line


def command(old: bytes, new: bytes, ref: bytes, capabilities: bytes | None = None) -> bytes:
    return packet(old + b" " + new + b" " + ref + (b"" if capabilities is None else b"\0" + capabilities))


CREATE = command(NULL, ONE, b"refs/heads/aienv/a", CAPABILITIES)


def verdict(body: bytes) -> PushVerdict:
    reader = PushReader()
    return reader.feed(body) or reader.finish()


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "push"),
    [
        pytest.param("GET", "/team/app.git/info/refs", "service=git-upload-pack", (("Git-Protocol", "version=2"),), False, id="fetch-refs"),
        pytest.param("GET", "/team/app/info/refs", "service=git-upload-pack", (), False, id="without-suffix"),
        pytest.param("POST", "/team/app.git/git-upload-pack", "", (UPLOAD,), False, id="fetch"),
        pytest.param("POST", "/team/app.git/git-upload-pack", "", (UPLOAD, ("Content-Encoding", "gzip")), False, id="fetch-gzip"),
        pytest.param("GET", "/team/sub/lib.git/info/refs", "service=git-upload-pack", (), False, id="subgroup"),
        pytest.param("POST", "/team/sub/lib/git-upload-pack", "", (UPLOAD, ("Git-Protocol", "version=2")), False, id="read-only"),
        pytest.param("GET", "/team/app.git/info/refs", "service=git-receive-pack", (), False, id="push-refs"),
        pytest.param("POST", "/team/app.git/git-receive-pack", "", (RECEIVE,), True, id="push"),
    ],
)
def test_what_git_asks(method: str, path: str, query: str, headers: tuple[tuple[str, str], ...], push: bool) -> None:
    """The requests of a fetch and of a push pass; of a push's body the commands must be read first."""
    judged = judge_git_request(method, path, query, headers, REPOS, "git.example.org")
    assert (judged.allowed, judged.reason, judged.push) == (True, "", push)
    assert judged.repo in REPOS


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "because"),
    [
        pytest.param("GET", "/team/other.git/info/refs", "service=git-upload-pack", (), "not among the repositories", id="other"),
        pytest.param("GET", "/team/App.git/info/refs", "service=git-upload-pack", (), "not among the repositories", id="case"),
        pytest.param("GET", "/team/app.git.git/info/refs", "service=git-upload-pack", (), "not among", id="suffix-twice"),
        pytest.param("GET", "/team/application/info/refs", "service=git-upload-pack", (), "not among", id="longer-name"),
        pytest.param("GET", "/x/team/app/info/refs", "service=git-upload-pack", (), "not among", id="deeper"),
        pytest.param("GET", "/team/sub/lib.git/info/refs", "service=git-receive-pack", (), "may be read, not pushed", id="push-refs"),
        pytest.param("POST", "/team/sub/lib.git/git-receive-pack", "", (RECEIVE,), "may be read, not pushed", id="push"),
        pytest.param("GET", "/team/app.git/info/refs", "", (), "only what git asks", id="dumb"),
        pytest.param("GET", "/team/app.git/info/refs", "service=git-upload-pack&x=1", (), "only what git asks", id="more-query"),
        pytest.param("GET", "/team/app.git/info/refs", "service=git-upload-archive", (), "only what git asks", id="archive"),
        pytest.param("GET", "/team/app.git/git-upload-pack", "", (), "only what git asks", id="method"),
        pytest.param("HEAD", "/team/app.git/info/refs", "service=git-upload-pack", (), "only what git asks", id="head"),
        pytest.param("GET", "/team/app", "", (), "only what git asks", id="web-page"),
        pytest.param("POST", "/team/app/settings", "", (), "only what git asks", id="settings"),
        pytest.param("POST", "/team/app.git/info/lfs/objects/batch", "", (), "only what git asks", id="lfs"),
        pytest.param("GET", "/team/app.git/HEAD", "", (), "only what git asks", id="dumb-file"),
        pytest.param("GET", "/team/x/../app.git/info/refs", "service=git-upload-pack", (), "plain names", id="dot-dot"),
        pytest.param("GET", "/team/./app.git/info/refs", "service=git-upload-pack", (), "plain names", id="dot"),
        pytest.param("GET", "//team/app.git/info/refs", "service=git-upload-pack", (), "plain names", id="two-slashes"),
        pytest.param("GET", "/team/%61pp.git/info/refs", "service=git-upload-pack", (), "plain names", id="percent"),
        pytest.param("GET", "/team/app.git;x/info/refs", "service=git-upload-pack", (), "plain names", id="semicolon"),
        pytest.param("GET", "/team/app.git/info/refs/", "service=git-upload-pack", (), "plain names", id="slash-at-end"),
        pytest.param("POST", "/team/app.git/git-receive-pack", "", (UPLOAD,), "another Content-Type", id="type"),
        pytest.param("POST", "/team/app.git/git-receive-pack", "", (), "another Content-Type", id="no-type"),
        pytest.param("POST", "/team/app.git/git-receive-pack", "", (RECEIVE, RECEIVE), "another Content-Type", id="two-types"),
        pytest.param("POST", "/team/app.git/git-receive-pack", "", (RECEIVE, ("Content-Encoding", "gzip")), "encoded", id="gzip"),
        pytest.param("POST", "/team/app.git/git-receive-pack", "", (RECEIVE, ("content-encoding", "identity")), "encoded", id="identity"),
        pytest.param("POST", "/team/app.git/git-upload-pack", "", (UPLOAD, ("Content-Encoding", "br")), "Content-Encoding", id="brotli"),
        pytest.param("GET", "/team/app/info/refs", "service=git-upload-pack", (("Git-Protocol", "version=3"),), "Git-Protocol", id="v3"),
    ],
)
def test_what_git_does_not_ask(method: str, path: str, query: str, headers: tuple[tuple[str, str], ...], because: str) -> None:
    """Everything else on that host is refused with the credential, with the reason."""
    judged = judge_git_request(method, path, query, headers, REPOS, "git.example.org")
    assert not judged.allowed
    assert because in judged.reason


@pytest.mark.parametrize(
    ("path", "query", "is_git"),
    [
        ("/team/app.git/info/refs", "service=git-upload-pack", True),
        ("/team/app.git/git-receive-pack", "", True),
        ("/team/app.git/Git-Receive-Pack", "", True),
        ("/team/app.git/git%2Dreceive-pack", "", True),
        ("/team/app.git/git%252dreceive-pack", "", True),
        ("/x", "service=git-receive-pack", True),
        ("/team/app.git/info/lfs/objects/batch", "", True),
        ("/api/v4/projects/1/repository/branches", "", False),
        ("/repos/team/app/git/refs", "", False),
    ],
)
def test_git_is_recognised(path: str, query: str, is_git: bool) -> None:
    """However it is written: also where no repository is on the list, a credential serves no git request unjudged."""
    assert looks_like_git(path, query) is is_git


def test_other_host_same_path() -> None:
    """A repository is a host and a path."""
    assert not judge_git_request("GET", "/team/app/info/refs", "service=git-upload-pack", (), REPOS, "git.example.com").allowed


@pytest.mark.parametrize(
    ("body", "refs"),
    [
        pytest.param(CREATE + b"0000PACK....", ("refs/heads/aienv/a",), id="create"),
        pytest.param(command(ONE, TWO, b"refs/heads/aienv/a", b"") + b"0000PACK", ("refs/heads/aienv/a",), id="update"),
        pytest.param(command(ONE, NULL, b"refs/heads/aienv/a", b"delete-refs") + b"0000", ("refs/heads/aienv/a",), id="delete"),
        pytest.param(command(ONE, TWO, b"refs/heads/aienv/x/y-1.2") + b"0000PACK", ("refs/heads/aienv/x/y-1.2",), id="no-capabilities"),
        pytest.param(command(ONE, TWO, b"refs/heads/aienv/a", b"quiet\n") + b"0000PACK", ("refs/heads/aienv/a",), id="one-newline"),
        pytest.param(
            CREATE + command(ONE, NULL, b"refs/heads/aienv/b") + b"0000PACK", ("refs/heads/aienv/a", "refs/heads/aienv/b"), id="two"
        ),
        pytest.param(packet(b"shallow " + ONE) + CREATE + b"0000PACK", ("refs/heads/aienv/a",), id="shallow"),
        pytest.param(
            command(b"0" * 64, b"3" * 64, b"refs/heads/aienv/a", b"object-format=sha256 atomic") + b"0000PACK",
            ("refs/heads/aienv/a",),
            id="sha256",
        ),
        pytest.param(command(NULL, ONE, "refs/heads/aienv/grün".encode()) + b"0000PACK", ("refs/heads/aienv/grün",), id="umlaut"),
        pytest.param(b"0000", (), id="probe"),
    ],
)
def test_pushes(body: bytes, refs: tuple[str, ...]) -> None:
    """Branches below ``aienv/`` are made, changed and removed; git's empty push that asks for permission passes."""
    assert verdict(body) == PushVerdict(True, "", refs)


@pytest.mark.parametrize(
    ("body", "because"),
    [
        pytest.param(command(NULL, ONE, b"refs/heads/main", b"") + b"0000PACK", "refs/heads/main is not below", id="main"),
        pytest.param(command(ONE, NULL, b"refs/heads/main", b"") + b"0000", "is not below", id="delete-main"),
        pytest.param(CREATE + command(NULL, ONE, b"refs/heads/main") + b"0000PACK", "is not below", id="second"),
        pytest.param(command(NULL, ONE, b"refs/tags/aienv/a") + b"0000PACK", "is not below", id="tag"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv") + b"0000PACK", "is not below", id="the-folder"),
        pytest.param(command(NULL, ONE, b"refs/heads/AIENV/a") + b"0000PACK", "is not below", id="case"),
        pytest.param(command(NULL, ONE, b"HEAD") + b"0000PACK", "not valid", id="head"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv/") + b"0000PACK", "not valid", id="empty-name"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv/../main") + b"0000PACK", "not valid", id="dot-dot"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv//main") + b"0000PACK", "not valid", id="two-slashes"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv/a.lock") + b"0000PACK", "not valid", id="lock"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv/a\x1b[2J") + b"0000PACK", "not valid", id="escape"),
        pytest.param(command(NULL, ONE, "refs/heads/aienv/a\u200cb".encode()) + b"0000PACK", "not valid", id="invisible"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv/\xff") + b"0000PACK", "not UTF-8", id="latin-1"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv/a refs/heads/main") + b"0000PACK", "no command", id="two-refs"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv/a\nx") + b"0000PACK", "no command", id="newline-inside"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv/a\n\n") + b"0000PACK", "no command", id="two-newlines"),
        pytest.param(CREATE + command(NULL, ONE, b"refs/heads/aienv/b", b"x") + b"0000PACK", "another command", id="late-capabilities"),
        pytest.param(command(ONE, TWO, b"refs/heads/aienv/a\n", b"quiet") + b"0000PACK", "no command", id="newline-before-nul"),
        pytest.param(packet(NULL + b" " + ONE) + b"0000PACK", "no command", id="no-ref"),
        pytest.param(CREATE + command(ONE, TWO, b"refs/heads/aienv/a") + b"0000PACK", "named twice", id="twice"),
        pytest.param(command(NULL, NULL, b"refs/heads/aienv/a") + b"0000", "does nothing", id="nothing"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv/a", b" push-options") + b"0000PACK", "push options", id="push-options"),
        pytest.param(command(NULL, ONE, b"refs/heads/aienv/a", b" frob=1") + b"0000PACK", "something unknown: 'frob=1'", id="capability"),
        pytest.param(packet(b"push-cert\0report-status\n") + b"0000", "signed push", id="push-cert"),
        pytest.param(CREATE + packet(b"shallow " + ONE) + b"0000PACK", "shallow", id="late-shallow"),
        pytest.param(command(NULL, b"3" * 64, b"refs/heads/aienv/a") + b"0000PACK", "two lengths", id="mixed-ids"),
        pytest.param(command(b"0" * 64, b"3" * 64, b"refs/heads/aienv/a", b"object-format=sha1") + b"0000PACK", "two lengths", id="format"),
        pytest.param(command(NULL, b"A" * 40, b"refs/heads/aienv/a") + b"0000PACK", "no command", id="capital-id"),
        pytest.param(CREATE + b"0000", "pack of the push is missing", id="no-pack"),
        pytest.param(CREATE + b"0000JUNK", "other than a pack", id="junk"),
        pytest.param(CREATE + b"0000" + CREATE + b"0000PACK", "other than a pack", id="second-list"),
        pytest.param(command(ONE, NULL, b"refs/heads/aienv/a") + b"0000PACK", "brings nothing", id="pack-for-delete"),
        pytest.param(b"0000PACK", "brings nothing", id="probe-with-pack"),
        pytest.param(b"0000" + command(NULL, ONE, b"refs/heads/main") + b"0000PACK", "brings nothing", id="behind-probe"),
        pytest.param(b"0001" + CREATE + b"0000PACK", "impossible length", id="delimiter"),
        pytest.param(b"0004" + CREATE + b"0000PACK", "impossible length", id="empty-packet"),
        pytest.param(b"fff1" + b"x" * 65521, "impossible length", id="too-long"),
        pytest.param(CREATE[:4].upper() + CREATE[4:] + b"0000PACK", "does not begin with commands", id="capital-length"),
        pytest.param(b" 0b2", "does not begin with commands", id="blank-length"),
        pytest.param(b"+0b2", "does not begin with commands", id="sign-length"),
        pytest.param(b"\x1f\x8b\x08\0", "does not begin with commands", id="gzip"),
        pytest.param(b"", "ends in the middle", id="nothing-at-all"),
        pytest.param(CREATE, "ends in the middle", id="no-flush"),
        pytest.param(CREATE + b"000", "ends in the middle", id="half-flush"),
        pytest.param(
            b"".join(command(NULL, ONE, b"refs/heads/aienv/%d" % n) for n in range(MAX_COMMANDS + 1)) + b"0000PACK", "more than", id="many"
        ),
        pytest.param(packet(b"shallow " + ONE) * (MAX_HEAD_BYTES // 52 + 1) + CREATE + b"0000PACK", "longer than", id="long"),
    ],
)
def test_refused_pushes(body: bytes, because: str) -> None:
    """Another ref, another form, or something a server could read otherwise."""
    judged = verdict(body)
    assert not judged.allowed
    assert because in judged.reason


def test_a_refusal_that_git_shows() -> None:
    """For each ref known so far and the one it is about, as git's server says it; where git asked for no report, nothing."""
    body = CREATE + command(NULL, ONE, b"refs/heads/main")
    reason = b"refs/heads/main is not below refs/heads/aienv/\n"
    lines = (b"unpack ok\n", b"ng refs/heads/aienv/a " + reason, b"ng refs/heads/main " + reason)
    assert verdict(body).report == packet(b"\1" + b"".join(map(packet, lines)) + b"0000") + b"0000"
    assert verdict(command(NULL, ONE, b"refs/heads/main", b" report-status")).report == b""
    assert verdict(CREATE + b"0000PACK").report == b""


def test_a_verdict_stays() -> None:
    """After a refusal nothing that follows helps."""
    reader = PushReader()
    assert (reader.feed(b"zzzz") or PushVerdict(True)).allowed is False
    assert (reader.feed(CREATE + b"0000PACK") or PushVerdict(True)).allowed is False
    assert reader.finish().allowed is False


def test_nothing_before_the_end() -> None:
    """A push without a pack is allowed only once it has ended: something might still follow."""
    reader = PushReader()
    assert reader.feed(command(ONE, NULL, b"refs/heads/aienv/a") + b"0000") is None
    assert reader.finish().allowed


@pytest.mark.parametrize("ref", ["refs/heads/aienv/a", "refs/heads/aienv/a.b/c-d_e", "refs/heads/aienv/@", "refs/heads/aienv/a@b"])
def test_valid_refs(ref: str) -> None:
    """What git takes."""
    assert valid_ref(ref)


@pytest.mark.parametrize(
    "ref",
    ["a", "refs/heads/.a", "refs/heads/a..b", "refs/heads/a.", "refs/heads/a/", "refs//a", "refs/a.lock/b", "refs/a~b", "refs/a^b",
     "refs/a:b", "refs/a?b", "refs/a*b", "refs/a[b", "refs/a\\b", "refs/a b", "refs/a@{b", "refs/a\x7f", "refs/a\tb", "refs/" + "a" * 1025],
)  # fmt: skip
def test_invalid_refs(ref: str) -> None:
    """What git does not take, and what is longer than any name."""
    assert not valid_ref(ref)


PIECES = st.one_of(
    st.sampled_from(
        [CREATE, b"0000", b"PACK", packet(b"shallow " + ONE), command(ONE, TWO, b"refs/heads/main"), b"0001", b"\0", b"\n", b"0"]
    ),
    st.builds(
        command, st.sampled_from([NULL, ONE]), st.sampled_from([NULL, TWO]), st.binary(max_size=30).map(b"refs/heads/aienv/".__add__)
    ),
    st.binary(max_size=40).map(packet),
    st.binary(max_size=12),
)


@given(st.lists(PIECES, max_size=6).map(b"".join))
@settings(max_examples=400)
def test_any_bytes(body: bytes) -> None:
    """The fuzz target on what looks like a push: one verdict however it is cut, and no other ref gets through."""
    fuzzed.one_input(body)
