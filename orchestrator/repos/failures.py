"""What git's complaints mean. Pure: text in, one of our errors out.

Git has no machine-readable errors, so each row matches words that git, curl or ssh print in the C locale.
The first row that matches wins; what no row knows keeps git's own words.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.errors import AienvError, EnvironmentFailed, NotFound, UsageError

REASON_MAX_CHARS = 600
# Everything up to the last @ goes: a password may itself hold @ or /.
_USERINFO = re.compile(r"(?<=://)[^\s'\"]*@")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class RemoteUnreachable(EnvironmentFailed):
    """The other side did not answer; a copy that we have may do instead."""

    code = "git-unreachable"


class ObjectsDamaged(EnvironmentFailed):
    """Objects of a repository are missing or broken; a mirror of ours can be made anew."""

    code = "git-damaged"


@dataclass(frozen=True, slots=True)
class Complaint:
    """One row: when ``words`` match, the error is ``kind`` with ``code``, and ``remedy`` is the way out."""

    words: re.Pattern[str]
    kind: type[AienvError]
    code: str
    remedy: str


def _row(words: str, kind: type[AienvError], code: str, remedy: str) -> Complaint:
    return Complaint(re.compile(words, re.IGNORECASE), kind, code, remedy)


_CHECK_NAME = "check the path or URL, and that you may read it"

COMPLAINTS: tuple[Complaint, ...] = (
    _row(
        r"cannot use bare repository",
        UsageError,
        "bare-repository",
        "name the repository around that folder with --repo, or the bare repository itself where it lies in no other one",
    ),
    _row(r"repository not exported", NotFound, "not-found", _CHECK_NAME),
    _row(
        r"dubious ownership|unsafe repository|is owned by someone else",
        EnvironmentFailed,
        "git-ownership",
        "if you trust that folder: git config --global --add safe.directory FOLDER",
    ),
    _row(
        r"host key verification failed|no .*host key is known",
        EnvironmentFailed,
        "git-host-key",
        "connect once with ssh to that host and accept its key, then try again",
    ),
    _row(
        r"authentication failed|could not read (username|password)|permission denied \(|terminal prompts disabled"
        r"|returned error: 40[13]|invalid credentials|access denied",
        EnvironmentFailed,
        "git-auth",
        "check that 'git ls-remote URL' works in your own shell: aienv fetches with your credential helpers and ssh keys",
    ),
    _row(
        r"could not resolve host|name or service not known|temporary failure in name resolution|connection refused|connection timed out"
        r"|network is unreachable|no route to host|failed to connect|couldn't connect|connection reset|operation timed out|timed out after"
        r"|unable to connect|operation too slow|could not resolve proxy|unable to look up|connection closed by|returned error: 5\d\d"
        r"|the remote end hung up|early eof|recv failure|empty reply",
        RemoteUnreachable,
        "git-unreachable",
        "check the network and the URL, then try again",
    ),
    _row(
        r"unable to get local issuer|certificate|ssl",
        EnvironmentFailed,
        "git-tls",
        "make the server's certificate known to git: http.sslCAInfo",
    ),
    _row(
        r"repository not found|repository '[^']*' not found|returned error: 404|does not appear to be a git repository|not a git repository"
        r"|no such file or directory|could not read from remote repository|did you run git update-server-info",
        NotFound,
        "not-found",
        _CHECK_NAME,
    ),
    _row(
        r"missing (blob|tree|commit) object|unable to read (tree|sha1|[0-9a-f]{40})|bad object|is corrupt|inflate|missing object"
        r"|could not read [0-9a-f]{40}|object file .* is empty|loose object|packfile .* cannot be|unable to find [0-9a-f]{40}"
        r"|failed to read object|failed to unpack tree|pack has bad object|index file .* (is too small|corrupt)|bad tree"
        r"|remote did not send all necessary objects|lazy fetching disabled",
        ObjectsDamaged,
        "git-damaged",
        "run 'git fsck' there; a partial clone must be completed first: git fetch --refetch --no-filter",
    ),
    _row(r"no space left|disk quota", EnvironmentFailed, "disk-full", "free some space: aienv gc"),
)


def redact(text: str) -> str:
    """``text`` without what stands between :// and @."""
    return _USERINFO.sub("", text)


def calm(text: str, secrets: Iterable[str] = ()) -> str:
    """A remote's words made fit for a terminal and a log: no secrets, no control characters, not long."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    lines = [_CONTROL.sub("?", line).strip() for line in redact(text).replace("\r", "\n").splitlines()]
    short = "; ".join(line for line in lines if line)
    return short if len(short) <= REASON_MAX_CHARS else short[: REASON_MAX_CHARS // 2] + " ... " + short[-REASON_MAX_CHARS // 2 :]


def explain(doing: str, stderr: str, secrets: Iterable[str] = ()) -> AienvError:
    """The error for a git that failed while ``doing`` something, with git's own reason."""
    reason = calm(stderr, secrets) or "git gave no reason"
    message = f"{doing}: {reason}"
    for row in COMPLAINTS:
        if row.words.search(stderr):
            return row.kind(message, remedy=row.remedy, code=row.code)
    return EnvironmentFailed(message, remedy="these are git's own words; the same in a shell may tell more", code="git")
