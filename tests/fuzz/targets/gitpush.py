"""The reader of a push, against a lenient one that sees what a server might see.

Whatever the bytes: the reader gives the same verdict however they are cut, and what it allows changes only branches below ``aienv/``, as
git's own ``receive-pack`` reads commands (it takes ``LF`` off a line, stops at the first NUL, and reads until the first flush).
"""

from orchestrator.egress.gitpush import PushReader, PushVerdict, judge_git_request
from orchestrator.model.network import GitRepo

_CREATE = (
    b"00b2"
    + b"0" * 40
    + b" "
    + b"1" * 40
    + b" refs/heads/aienv/a\0 report-status-v2 side-band-64k quiet object-format=sha1 agent=git/2.39.5"
)
_DELETE = b"0069" + b"1" * 40 + b" " + b"0" * 40 + b" refs/heads/aienv/bb"
SEEDS = (
    _CREATE + b"0000PACK",
    _CREATE + _DELETE + b"0000PACK",
    _DELETE + b"0000",
    b"0000",
    b"0035shallow " + b"2" * 40 + b"\n" + _CREATE + b"0000PACK",
    b"0014push-cert\0 quiet\n0000",
    _DELETE.replace(b"aienv/bb", b"mainmain") + b"0000",
    b"/team/app.git/info/refs?service=git-upload-pack",
    b"/team/lib/git-upload-pack",
    b"/team/app.git/git-receive-pack",
)
WORDS = (
    b"refs/heads/aienv/", b"refs/heads/main", b"shallow ", b"push-cert", b"push-options", b"object-format=sha256", b"0000", b"0001",
    b"0004", b"PACK", b"0" * 40, b"1" * 40, b"\0", b"\n", b"/../", b".git", b"%2e", b"service=git-receive-pack", b"git-upload-pack",
)  # fmt: skip

REPOS = (GitRepo("git.example.org", "team/app", True), GitRepo("git.example.org", "team/lib", False))


def one_input(data: bytes) -> None:
    whole = read(data, len(data) or 1)
    for size in (1, 3, 64):
        assert read(data, size) == whole
    if whole.allowed:
        assert all(ref.startswith(b"refs/heads/aienv/") and b".." not in ref for ref in seen_by_a_server(data)), data
        assert [ref.encode() for ref in whole.refs] == seen_by_a_server(data)
    judge(data)


def read(data: bytes, size: int) -> PushVerdict:
    """The verdict on ``data`` that comes in pieces of ``size`` bytes."""
    reader = PushReader()
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    return reader.finish()


def seen_by_a_server(data: bytes) -> list[bytes]:
    """The refs of all commands, read as carelessly as any server might."""
    refs = []
    while len(data) >= 4 and (length := int(data[:4], 16)) >= 4:
        line = data[4:length].split(b"\0")[0].rstrip(b"\n")
        data = data[length:]
        if not line.startswith(b"shallow "):
            refs.append(line.split(b" ", 2)[2])
    return refs


def judge(data: bytes) -> None:
    """The head of a request, made of the same bytes: what is allowed is one of the few forms."""
    path, _, query = data.decode("latin-1").partition("?")
    for method in ("GET", "POST"):
        verdict = judge_git_request(
            method, path, query, (("Content-Type", "application/x-git-receive-pack-request"),), REPOS, "git.example.org"
        )
        if verdict.allowed:
            assert path.startswith(("/team/app/", "/team/app.git/", "/team/lib/", "/team/lib.git/")), path
            assert (method, query) in (("GET", "service=git-upload-pack"), ("GET", "service=git-receive-pack"), ("POST", "")), query
            assert verdict.push == (method == "POST")
