"""What the ssh agent inside answers: nothing but signatures for logins to one host. Pure.

OpenSSH's client (8.9 and newer) tells its agent to which host a connection leads: it passes on the host's key and the host's signature over
the session's identifier (``session-bind@openssh.com``, section 1 of https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.agent). Only the
real host can have made that signature, so a login request that names the same session can serve for nothing else: what is signed is worth
nothing at another host, and at no other time. Everything else that an agent can do fails: listing keys before that, adding, removing,
locking, signing other data, forwarding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.egress.sshkeys import BadBlob, Reader, fingerprint, verify

# Numbers of messages: draft-ietf-sshm-ssh-agent section 6.1
FAILURE, SUCCESS = 5, 6
REQUEST_IDENTITIES, IDENTITIES_ANSWER = 11, 12
SIGN_REQUEST, SIGN_RESPONSE = 13, 14
EXTENSION = 27

MAX_MESSAGE_BYTES = 256 * 1024  # as OpenSSH's own agent
MAX_IDENTITIES = 2048
_USERAUTH_REQUEST = 50  # RFC 4252
_HOSTBOUND = "publickey-hostbound-v00@openssh.com"
_RSA_FLAGS = (0, 2, 4)  # SHA-1 by the agent's choice, SHA-256, SHA-512

Kind = Literal["bind", "list", "sign"]


@dataclass(frozen=True, slots=True)
class Forward:
    """The message may go to the user's agent. ``key``: the fingerprint of what is to sign."""

    kind: Kind
    message: bytes
    key: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answered with a failure. ``sign``: somebody wanted a signature."""

    reason: str
    sign: bool = False


class Session:
    """One connection to the agent socket. ``host_keys``: those that the user knows the host by, as ssh writes them."""

    def __init__(self, host_keys: Sequence[bytes]) -> None:
        self._host_keys = frozenset(host_keys)
        self._bound: bytes | None = None
        self._host_key = b""

    def judge(self, message: bytes) -> Forward | Refuse:
        """What becomes of one message, without its length."""
        kind = message[0] if message else -1
        try:
            reader = Reader(message[1:])
            if kind == REQUEST_IDENTITIES:
                reader.end()
                return Forward("list", message) if self._bound else Refuse("keys are listed only when the connection's host is known")
            if kind == EXTENSION:
                return self._bind(reader, message)
            if kind == SIGN_REQUEST:
                return self._sign(reader, message)
        except BadBlob as problem:
            return Refuse(f"a message {problem}", sign=kind == SIGN_REQUEST)
        return Refuse("the agent lists keys and signs logins, nothing else")

    def _bind(self, reader: Reader, message: bytes) -> Forward | Refuse:
        if reader.text() != "session-bind@openssh.com":
            return Refuse("an unknown extension")
        host_key, session, signature, forwarding = reader.string(), reader.string(), reader.string(), reader.truth()
        reader.end()
        if self._bound is not None:
            return Refuse("the connection has a host already")
        if forwarding:
            return Refuse("the agent is not forwarded to other hosts")
        if host_key not in self._host_keys:
            return Refuse(f"the host's key {fingerprint(host_key)} is not among the known ones")
        if not 20 <= len(session) <= 64 or not verify(host_key, signature, session):
            return Refuse("the host's signature is wrong")
        self._bound, self._host_key = session, host_key
        return Forward("bind", message)

    def _sign(self, reader: Reader, message: bytes) -> Forward | Refuse:
        key, data, flags = reader.string(), reader.string(), reader.number()
        reader.end()
        if self._bound is None:
            return Refuse("a signature is wanted before the connection's host is known; this needs OpenSSH 8.9 or newer", sign=True)
        if flags not in _RSA_FLAGS:
            return Refuse("a signature of an unknown form is wanted", sign=True)
        try:
            user = self._login(Reader(data), key)
        except BadBlob as problem:
            return Refuse(f"what is to be signed is no login to the host: it {problem}", sign=True)
        return Forward("sign", message, fingerprint(key), user)

    def _login(self, reader: Reader, key: bytes) -> str:
        """The user name in a request for a login with ``key`` in the bound session (RFC 4252 section 7). Raises BadBlob: it is none."""
        if reader.string() != self._bound:
            raise BadBlob("is for another session")
        if reader.take(1)[0] != _USERAUTH_REQUEST:
            raise BadBlob("is no request for a login")
        user, service, method = reader.text(), reader.text(), reader.text()
        if service != "ssh-connection" or method not in ("publickey", _HOSTBOUND) or not reader.truth():
            raise BadBlob("is for another service or method")
        reader.string()  # the algorithm, which the user's agent judges
        if reader.string() != key:
            raise BadBlob("names another key")
        if method == _HOSTBOUND and reader.string() != self._host_key:
            raise BadBlob("is for another host")
        reader.end()
        return user


def without_comments(answer: bytes) -> bytes:
    """A list of keys without what the user wrote beside them, which may be names of people, machines and files.

    Raises:
        BadBlob: it is no list of keys.
    """
    if not answer or answer[0] != IDENTITIES_ANSWER:
        raise BadBlob("is no list of keys")
    reader = Reader(answer[1:])
    count = reader.number()
    if count > MAX_IDENTITIES:
        raise BadBlob("is a list of too many keys")
    keys = []
    for _ in range(count):
        keys.append(reader.string())
        reader.string()
    reader.end()
    listed = b"".join(len(key).to_bytes(4, "big") + key + bytes(4) for key in keys)
    return bytes([IDENTITIES_ANSWER]) + count.to_bytes(4, "big") + listed


def signature_in(answer: bytes) -> bool:
    """Whether the user's agent gave a signature."""
    return answer[:1] == bytes([SIGN_RESPONSE])
