"""What git may do over https with a credential: read named repositories, and push to branches below ``aienv/``. Pure.

``judge_git_request`` looks at the head of a request, ``PushReader`` at the beginning of the body of a push: the commands that say which
refs change. Both are closed by default. The forms are those of https://git-scm.com/docs/http-protocol and
https://git-scm.com/docs/pack-protocol, taken strictly: what a server might read in another way is refused.

Not understood, so refused: large files (``info/lfs``), the dumb protocol, signed pushes, push options (a server acts on them: it may open
or even merge a request).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from orchestrator.model.network import GitRepo
from orchestrator.wire.http1 import overriding

BRANCHES = "refs/heads/aienv/"
MAX_HEAD_BYTES = 256 * 1024  # of all commands of one push
MAX_COMMANDS = 1000
_MAX_REPORTED = 20
_MAX_PACKET = 65520  # including its four digits: "pkt-line format" in git's documentation

_READ, _PUSH = "git-upload-pack", "git-receive-pack"
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~+-]+(?:/[A-Za-z0-9._~+-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class GitVerdict:
    """``push``: the body is a push's, and ``PushReader`` has to allow it before any of it goes on. ``reason``: why not, for people."""

    allowed: bool
    reason: str = ""
    repo: GitRepo | None = None
    push: bool = False


def judge_git_request(
    method: str, path: str, query: str, headers: Sequence[tuple[str, str]], repos: Sequence[GitRepo], host: str
) -> GitVerdict:
    """Whether a request with a credential is one that git makes for a repository on the list.

    ``path`` without, ``query`` only what follows the question mark; both as sent. ``host`` as in ``repos``.
    """
    if not _PLAIN_PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        return GitVerdict(False, "the path of a git request holds nothing but plain names")
    for end, wanted_method, wanted_query, service in (
        ("/info/refs", "GET", f"service={_READ}", _READ),
        ("/info/refs", "GET", f"service={_PUSH}", _PUSH),
        (f"/{_READ}", "POST", "", _READ),
        (f"/{_PUSH}", "POST", "", _PUSH),
    ):
        if path.endswith(end) and (method, query) == (wanted_method, wanted_query):
            return _for_repository(path.removesuffix(end), service, method == "POST", headers, repos, host)
    return GitVerdict(False, "with a credential only what git asks for in a fetch or a push may be sent to this host")


def looks_like_git(path: str, query: str) -> bool:
    """Whether some server may take the request for one of git's, however it is written. With a credential such a request is judged, also on
    hosts where no repository is named."""
    text = f"{path}?{query}"
    for _ in range(3):
        text = unquote(text)
    return any(word in text.lower() for word in ("git-upload-pack", "git-receive-pack", "/info/refs", "/info/lfs"))


def _for_repository(
    path: str, service: str, post: bool, headers: Sequence[tuple[str, str]], repos: Sequence[GitRepo], host: str
) -> GitVerdict:
    name = path[1:].removesuffix(".git")
    repo = next((one for one in repos if (one.host, one.path) == (host, name)), None)
    if repo is None:
        return GitVerdict(False, f"{host}/{name} is not among the repositories that git may reach (git.read, git.push)")
    push = service == _PUSH
    if push and not repo.push:
        return GitVerdict(False, f"{host}/{name} may be read, not pushed to (git.push)", repo)
    if problem := _header_problem(headers, service, post):
        return GitVerdict(False, problem, repo)
    return GitVerdict(True, "", repo, push and post)


def _header_problem(headers: Sequence[tuple[str, str]], service: str, post: bool) -> str | None:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value.strip())
    if changer := overriding(headers, ""):
        return f"{changer} makes another request of it for some servers"
    if not set(values.get("git-protocol", [])) <= {"version=0", "version=1", "version=2"}:
        return "an unknown Git-Protocol"
    if post and values.get("content-type") != [f"application/x-{service}-request"]:
        return f"the body of {service} has another Content-Type than git's"
    encodings = values.get("content-encoding", [])
    if service == _PUSH and encodings:
        return "the body of a push is encoded, so its commands cannot be read"
    return None if encodings in ([], ["gzip"]) else "an unknown Content-Encoding"


@dataclass(frozen=True, slots=True)
class PushVerdict:
    """``refs``: what the push would create, update or delete. ``report``: a refusal in the words of git's own server, which git shows;
    empty where git would not read it."""

    allowed: bool
    reason: str = ""
    refs: tuple[str, ...] = ()
    report: bytes = b""


class PushReader:
    """Reads the commands at the beginning of a push, in pieces of any size.

    Nothing of the body may be passed on before ``feed`` or ``finish`` gave a verdict that allows it; after that, all of it.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._push = _Push()
        self._verdict: PushVerdict | None = None

    def feed(self, data: bytes) -> PushVerdict | None:
        """The verdict once there is one; None: more is needed."""
        if self._verdict is None:
            self._data += data
            self._step(ended=False)
        return self._verdict

    def finish(self) -> PushVerdict:
        """The verdict at the end of the body."""
        if self._verdict is None:
            self._step(ended=True)
        if self._verdict is None:
            self._verdict = PushVerdict(False, "the push ends in the middle of its commands")
        return self._verdict

    def _step(self, ended: bool) -> None:
        try:
            done = self._push.read(self._data, ended)
        except _Refused as problem:
            report = _report(str(problem), [*self._push.refs, *problem.refs]) if self._push.hears_reports else b""
            self._verdict = PushVerdict(False, str(problem), tuple(self._push.refs), report)
        else:
            self._verdict = PushVerdict(True, "", tuple(self._push.refs)) if done else None


class _Refused(Exception):
    """Why a push is refused. ``refs``: because of this one, where it is one."""

    def __init__(self, reason: str, *refs: str) -> None:
        super().__init__(reason)
        self.refs = refs


def _report(reason: str, refs: Sequence[str]) -> bytes:
    """What ``git receive-pack`` answers when it takes none of ``refs``: "report-status" and "side-band-64k" in git's documentation."""
    lines = [b"unpack ok\n", *(f"ng {ref} {reason}\n".encode() for ref in refs[-_MAX_REPORTED:])]
    return _packet(b"\1" + b"".join(map(_packet, lines)) + b"0000") + b"0000"


def _packet(content: bytes) -> bytes:
    return b"%04x" % (len(content) + 4) + content


_CAPABILITIES = frozenset(
    ["report-status", "report-status-v2", "side-band-64k", "quiet", "atomic", "ofs-delta", "delete-refs", "no-thin", "object-format=sha1",
     "object-format=sha256"]
)  # fmt: skip
_FREE_TEXT = re.compile(r"(agent|session-id)=[!-~]*", re.ASCII)
_COMMAND = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) ([^\0\n ]+)")
_SHALLOW = re.compile(rb"shallow ([0-9a-f]{40}|[0-9a-f]{64})")


@dataclass(slots=True)
class _Push:
    """What was read so far. ``taken``: bytes of whole packets. ``flushed``: all commands are known. ``hears_reports``: git shows them."""

    refs: list[str] = field(default_factory=list)
    taken: int = 0
    id_length: int | None = None
    brings_pack: bool = False
    flushed: bool = False
    hears_reports: bool = False

    def read(self, data: bytearray, ended: bool) -> bool:
        """Take whole packets off ``data``; True when the push is known to be allowed.

        Raises:
            _Refused: it is not.
        """
        while not self.flushed:
            packet = _take_packet(data)
            if packet is None:
                return False
            self.taken += 4 + len(packet)
            if self.taken > MAX_HEAD_BYTES:
                raise _Refused(f"the commands of the push are longer than {MAX_HEAD_BYTES} bytes")
            if packet:
                self._line(packet)
            else:
                self.flushed = True
        return self._after_flush(bytes(data[:4]), ended)

    def _after_flush(self, rest: bytes, ended: bool) -> bool:
        """Commands are followed by a pack, or by nothing; the empty push that git probes with by nothing."""
        if self.brings_pack and len(rest) < 4 and b"PACK".startswith(rest):
            if ended:
                raise _Refused("the pack of the push is missing")
            return False
        if self.brings_pack:
            if rest != b"PACK":
                raise _Refused("something other than a pack follows the commands of the push")
            return True
        if rest:
            raise _Refused("something follows a push that brings nothing")
        return ended

    def _line(self, packet: bytes) -> None:
        line, nul, capabilities = packet.removesuffix(b"\n").partition(b"\0")
        if nul and self.refs:
            raise _Refused("capabilities stand at another command than the first")
        if nul:
            self._capabilities(capabilities)
        if shallow := _SHALLOW.fullmatch(line):
            if nul or self.refs:
                raise _Refused("a shallow line is not where it belongs")
            self._length(shallow[1])
        elif command := _COMMAND.fullmatch(line):
            self._command(command[1], command[2], command[3])
        else:
            raise _Refused("a signed push cannot be read" if line.startswith(b"push-cert") else "a line of the push is no command")

    def _command(self, old: bytes, new: bytes, name: bytes) -> None:
        self._length(old)
        self._length(new)
        ref = _branch(name)
        if ref in self.refs or len(self.refs) >= MAX_COMMANDS:
            raise _Refused("a ref is named twice" if ref in self.refs else f"the push changes more than {MAX_COMMANDS} refs")
        self.refs.append(ref)
        if set(new) != {ord("0")}:
            self.brings_pack = True
        elif set(old) == {ord("0")}:
            raise _Refused("a command of the push does nothing")

    def _length(self, object_id: bytes) -> None:
        if self.id_length not in (None, len(object_id)):
            raise _Refused("object ids of two lengths")
        self.id_length = len(object_id)

    def _capabilities(self, text: bytes) -> None:
        words = text.decode("latin-1").split(" ")
        if "push-options" in words:
            raise _Refused("push options are not allowed: a server acts on them")
        if unknown := [word for word in words if word and word not in _CAPABILITIES and not _FREE_TEXT.fullmatch(word)]:
            raise _Refused(f"the push asks for something unknown: {unknown[0][:40]!a}")
        formats = {word for word in words if word.startswith("object-format=")}
        if len(formats) > 1:
            raise _Refused("two object formats")
        self.hears_reports = "side-band-64k" in words and bool({"report-status", "report-status-v2"} & set(words))
        self._length(b"0" * (64 if "object-format=sha256" in formats else 40))


def _take_packet(data: bytearray) -> bytes | None:
    """The content of the packet that ``data`` begins with, taken off it; empty for a flush, None when it is not all there."""
    if not re.fullmatch(rb"[0-9a-f]{0,4}", bytes(data[:4])):
        raise _Refused("the push does not begin with commands")
    if len(data) < 4:
        return None
    length = int(data[:4], 16)
    if length in (1, 2, 3, 4) or length > _MAX_PACKET:
        raise _Refused("a packet of the push has an impossible length")
    if len(data) < length:
        return None
    packet = bytes(data[4 : max(length, 4)])
    del data[: max(length, 4)]
    return packet


def _branch(name: bytes) -> str:
    """The name of a ref that may be pushed to.

    Raises:
        _Refused: it is another.
    """
    try:
        ref = name.decode("utf-8")
    except UnicodeDecodeError:
        raise _Refused("a ref's name is not UTF-8") from None
    if not valid_ref(ref):
        raise _Refused("a ref's name is not valid")
    if not ref.startswith(BRANCHES):
        raise _Refused(f"{ref[:200]} is not below {BRANCHES}", ref)
    return ref


def valid_ref(ref: str) -> bool:
    """Whether git takes ``ref`` as a full name (https://git-scm.com/docs/git-check-ref-format), and a terminal can show it."""
    parts = ref.split("/")
    return (
        ref.isprintable()
        and len(ref.encode()) <= 1024
        and not set(ref) & set(" ~^:?*[\\")
        and ".." not in ref
        and "@{" not in ref
        and not ref.endswith(".")
        and len(parts) > 1
        and all(part and not part.startswith(".") and not part.endswith(".lock") for part in parts)
    )
