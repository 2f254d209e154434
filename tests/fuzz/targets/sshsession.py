"""The agent inside: no messages get a signature unless the host's own signature came first, and then only a login to it.

The input is messages with their lengths in front, as they come through the socket; some of the words below are whole good ones.
"""

import contextlib

from orchestrator.egress.sshkeys import BadBlob, Reader
from orchestrator.egress.sshsession import Forward, Session, without_comments

# Made once by OpenSSH's form with a key that is nobody's: a host key, a session and the host's signature over it.
HOST_KEY = bytes.fromhex("0000000b7373682d65643235353139000000203d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SESSION = b"r"  # too short for a session: the published vector signs one byte, so a binding fails for its length alone
USER_KEY = b"\0\0\0\x0bssh-ed25519" + b"\0\0\0\x20" + bytes(32)


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


_SIGNATURE = string(b"ssh-ed25519") + string(
    bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
)
_BIND = b"\x1b" + string(b"session-bind@openssh.com") + string(HOST_KEY) + string(SESSION) + string(_SIGNATURE) + b"\0"
_LOGIN = string(SESSION) + b"\x32" + string(b"git") + string(b"ssh-connection") + string(b"publickey") + b"\1" + string(b"ssh-ed25519")
_SIGN = b"\x0d" + string(USER_KEY) + string(_LOGIN + string(USER_KEY)) + bytes(4)
_LIST_ANSWER = b"\x0c\0\0\0\1" + string(USER_KEY) + string(b"a comment")

SEEDS = (string(_BIND), string(_BIND) + string(_SIGN), string(b"\x0b"), string(_SIGN), string(_LIST_ANSWER))
WORDS = (_BIND, _SIGN, HOST_KEY, USER_KEY, _LOGIN, b"publickey-hostbound-v00@openssh.com", b"ssh-connection", b"\0\0\0\1", b"\x0b", b"\x1b")


def one_input(data: bytes) -> None:
    unbound = Session([HOST_KEY])
    bound = Session([HOST_KEY])
    bound._bound, bound._host_key = SESSION, HOST_KEY  # as if the host had signed this session
    for message in messages(data):
        assert not isinstance(unbound.judge(message), Forward), message
        judged = bound.judge(message)
        if isinstance(judged, Forward) and judged.kind == "sign":
            assert judged.message == message
            assert string(SESSION) + b"\x32" in message, message
        assert not (isinstance(judged, Forward) and judged.kind == "bind")
        with contextlib.suppress(BadBlob):
            listed = without_comments(message)
            assert without_comments(listed) == listed
            assert len(listed) <= len(message)


def messages(data: bytes) -> list[bytes]:
    reader, found = Reader(data), []
    with contextlib.suppress(BadBlob):
        while True:
            found.append(reader.string())
    return found
