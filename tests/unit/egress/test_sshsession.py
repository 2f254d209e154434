"""The agent inside signs logins to the one host, and nothing else that a message can ask for."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.egress.sshkeys import BadBlob, fingerprint
from orchestrator.egress.sshsession import (
    EXTENSION,
    IDENTITIES_ANSWER,
    REQUEST_IDENTITIES,
    SIGN_REQUEST,
    Forward,
    Refuse,
    Session,
    signature_in,
    without_comments,
)
from tests.unit.egress.ssh import ALGORITHMS, Key, new_key, string

HOST, OTHER, MINE = new_key("ssh-ed25519"), new_key("ssh-ed25519"), new_key("ecdsa-sha2-nistp256")
SESSION = bytes(range(32))
LIST = bytes([REQUEST_IDENTITIES])
HOSTBOUND = "publickey-hostbound-v00@openssh.com"


BIND = "session-bind@openssh.com"


def bind(host: Key = HOST, session: bytes = SESSION, signature: bytes | None = None, forwarding: bytes = b"\0", name: str = BIND) -> bytes:
    signed = host.sign(session) if signature is None else signature
    return bytes([EXTENSION]) + string(name) + string(host.blob) + string(session) + string(signed) + forwarding


def login(
    *, session: bytes = SESSION, number: int = 50, service: str = "ssh-connection", method: str = "publickey", truth: bytes = b"\1",
    key: bytes = MINE.blob, more: bytes = b"",
) -> bytes:  # fmt: skip
    head = string(session) + bytes([number]) + string("git") + string(service) + string(method) + truth
    return head + string("ecdsa-sha2-nistp256") + string(key) + more


def sign(data: bytes, key: bytes = MINE.blob, flags: int = 0) -> bytes:
    return bytes([SIGN_REQUEST]) + string(key) + string(data) + flags.to_bytes(4, "big")


def bound(host: Key = HOST) -> Session:
    session = Session([host.blob])
    assert isinstance(session.judge(bind(host)), Forward)
    return session


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_login(algorithm: str) -> None:
    """Bound with the host's signature, of each kind of key, then keys are listed and a login is signed."""
    host = replace(new_key(algorithm))
    session = bound(host)
    assert session.judge(LIST) == Forward("list", LIST)
    for message in (sign(login()), sign(login(method=HOSTBOUND, more=string(host.blob))), sign(login(), flags=4)):
        assert session.judge(message) == Forward("sign", message, fingerprint(MINE.blob), "git")


@pytest.mark.parametrize(
    ("message", "because"),
    [
        pytest.param(bind(OTHER), "not among the known ones", id="other-host"),
        pytest.param(bind(signature=OTHER.sign(SESSION)), "signature is wrong", id="signed-by-another"),
        pytest.param(bind(signature=HOST.sign(SESSION + b"x")), "signature is wrong", id="another-session"),
        pytest.param(bind(signature=string("ssh-ed25519") + string(bytes(64))), "signature is wrong", id="no-signature"),
        pytest.param(bind(signature=b""), "ends too early", id="empty-signature"),
        pytest.param(bind(session=b"short"), "signature is wrong", id="short-session"),
        pytest.param(bind(session=b"x" * 65), "signature is wrong", id="long-session"),
        pytest.param(bind(forwarding=b"\1"), "not forwarded", id="forwarding"),
        pytest.param(bind(forwarding=b"\2"), "truth value", id="odd-truth"),
        pytest.param(bind(forwarding=b""), "ends too early", id="no-truth"),
        pytest.param(bind() + b"x", "behind its end", id="more"),
        pytest.param(bind(name="query"), "unknown extension", id="query"),
        pytest.param(bind(name="restrict-destination-v00@openssh.com"), "unknown extension", id="restrict"),
    ],
)
def test_bindings_refused(message: bytes, because: str) -> None:
    """Without the host's own signature over this session nothing is bound, and nothing is signed afterwards."""
    session = Session([HOST.blob])
    judged = session.judge(message)
    assert isinstance(judged, Refuse)
    assert because in judged.reason
    assert isinstance(session.judge(LIST), Refuse)
    assert isinstance(session.judge(sign(login())), Refuse)


def test_bound_once() -> None:
    """A connection has one host for ever: neither another session nor the same again."""
    session = bound()
    for message in (bind(session=bytes(32)), bind()):
        judged = session.judge(message)
        assert isinstance(judged, Refuse)
        assert "already" in judged.reason
    assert isinstance(session.judge(sign(login())), Forward)


@pytest.mark.parametrize(
    ("message", "because"),
    [
        pytest.param(sign(login(session=bytes(32))), "another session", id="session"),
        pytest.param(sign(login(number=51)), "no request for a login", id="message"),
        pytest.param(sign(login(service="ssh-userauth")), "another service", id="service"),
        pytest.param(sign(login(method="hostbased")), "another service or method", id="method"),
        pytest.param(sign(login(truth=b"\0")), "another service or method", id="only-asking"),
        pytest.param(sign(login(key=OTHER.blob)), "another key", id="key"),
        pytest.param(sign(login(), key=OTHER.blob), "another key", id="key-of-request"),
        pytest.param(sign(login(method=HOSTBOUND, more=string(OTHER.blob))), "another host", id="hostbound-to-another"),
        pytest.param(sign(login(method=HOSTBOUND)), "ends too early", id="hostbound-to-none"),
        pytest.param(sign(login(more=b"x")), "behind its end", id="more"),
        pytest.param(sign(b"SSHSIG" + string("git") + string(b"x" * 64)), "ends too early", id="signed-commit"),
        pytest.param(sign(b"anything"), "ends too early", id="anything"),
        pytest.param(sign(b""), "ends too early", id="nothing"),
        pytest.param(sign(login(), flags=1), "unknown form", id="flags"),
        pytest.param(sign(login()) + b"x", "behind its end", id="request-with-more"),
    ],
)
def test_signatures_refused(message: bytes, because: str) -> None:
    """Anything but a login in the bound session."""
    judged = bound().judge(message)
    assert isinstance(judged, Refuse)
    assert because in judged.reason
    assert judged.sign


def test_other_messages() -> None:
    """Adding, removing, locking, smartcards, and numbers that nobody has given a meaning."""
    session = bound()
    for number in set(range(256)) - {REQUEST_IDENTITIES, SIGN_REQUEST, EXTENSION}:
        judged = session.judge(bytes([number]) + string("x"))
        assert judged == Refuse("the agent lists keys and signs logins, nothing else"), number


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([LIST, bind(OTHER), sign(login())])), max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_messages(messages: list[bytes]) -> None:
    """Whatever comes, as long as the host has signed nothing, nothing goes to the user's agent."""
    session = Session([HOST.blob])
    assert all(isinstance(session.judge(message), Refuse) for message in messages)


def answer(*pairs: tuple[bytes, str]) -> bytes:
    return bytes([IDENTITIES_ANSWER]) + len(pairs).to_bytes(4, "big") + b"".join(string(key) + string(text) for key, text in pairs)


def test_comments_stay_outside() -> None:
    """Keys are public, what the user calls them is not."""
    listed = without_comments(answer((MINE.blob, "me@laptop"), (OTHER.blob, "/home/me/.ssh/id")))
    assert listed == answer((MINE.blob, ""), (OTHER.blob, ""))
    assert without_comments(answer()) == answer()


@pytest.mark.parametrize("data", [b"", b"\5", answer((MINE.blob, "x"))[:-1], answer() + b"x", b"\x0c\xff\xff\xff\xff", b"\x0c\0\0\0\1"])
def test_answers_that_are_none(data: bytes) -> None:
    """The user's agent is not trusted to be one."""
    with pytest.raises(BadBlob):
        without_comments(data)
    assert not signature_in(data)
