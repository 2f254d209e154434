"""Verifying what hosts signed: every kind of key, against another library and published vectors, and nothing malformed."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.egress.sshkeys import _CURVES, BadBlob, Reader, fingerprint, verify
from tests.unit.egress.ssh import ALGORITHMS, ECDSA, Key, natural, new_key, string

DATA = b"the session's identifier: 32 byte"
KEYS = {algorithm: new_key(algorithm) for algorithm in ALGORITHMS}
ED = KEYS["ssh-ed25519"]
P256 = KEYS["ecdsa-sha2-nistp256"]
RSA = KEYS["rsa-sha2-512"]
ED_ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signatures(algorithm: str) -> None:
    """A signature of another library verifies; over other data, by another key, or with one bit changed it does not."""
    key = KEYS[algorithm]
    for data in (DATA, b"", os.urandom(100)):
        signature = key.sign(data)
        assert verify(key.blob, signature, data)
        assert not verify(key.blob, signature, data + b"x")
    signature = key.sign(DATA)
    assert not verify(new_key(algorithm).blob, signature, DATA)
    changed = signature[:-1] + bytes([signature[-1] ^ 1])
    assert not verify(key.blob, changed, DATA)


# https://www.rfc-editor.org/rfc/rfc8032#section-7.1
@pytest.mark.parametrize(
    ("public", "message", "signature"),
    [
        pytest.param(
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            id="test-1",
        ),
        pytest.param(
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            id="test-2",
        ),
        pytest.param(
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            id="test-3",
        ),
    ],
)  # fmt: skip
def test_published_ed25519(public: str, message: str, signature: str) -> None:
    """The vectors of the standard."""
    key = string("ssh-ed25519") + string(bytes.fromhex(public))
    signed = string("ssh-ed25519") + string(bytes.fromhex(signature))
    assert verify(key, signed, bytes.fromhex(message))


@pytest.mark.parametrize("name", ECDSA)
def test_curves(name: str) -> None:
    """The constants: the base is a point, and its order is the one given."""
    curve = _CURVES[name]
    x, y = curve.base
    assert (y * y - x**3 + 3 * x - curve.b) % curve.prime == 0
    assert curve.x_of_sum(curve.order, 0, (x, y, 1)) is None
    assert curve.x_of_sum(curve.order - 1, 0, (x, y, 1)) == x
    assert curve.x_of_sum(0, 2, (x, y, 1)) == curve.x_of_sum(1, 1, (x, y, 1))


def ed(signature: bytes, public: bytes | None = None) -> tuple[bytes, bytes]:
    return (ED.blob if public is None else string("ssh-ed25519") + string(public)), string("ssh-ed25519") + string(signature)


def ecdsa(r: int, s: int) -> tuple[bytes, bytes]:
    return P256.blob, string(P256.algorithm) + string(natural(r) + natural(s))


RAW = ED.raw_signature(DATA)
RSA_RAW = RSA.raw_signature(DATA)


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        pytest.param(*ed(RAW[:32] + (int.from_bytes(RAW[32:], "little") + ED_ORDER).to_bytes(32, "little")), id="s-plus-order"),
        pytest.param(*ed(bytes(64)), id="ed-zeros"),
        pytest.param(*ed(b"\xff" * 64), id="ed-ones"),
        pytest.param(*ed(RAW[:63]), id="ed-short"),
        pytest.param(*ed(RAW + b"\0"), id="ed-long"),
        pytest.param(*ecdsa(0, 0), id="ecdsa-zeros"),
        pytest.param(*ecdsa(0, 1), id="r-zero"),
        pytest.param(*ecdsa(1, 0), id="s-zero"),
        pytest.param(*ecdsa(_CURVES["ecdsa-sha2-nistp256"].order, 1), id="r-order"),
        pytest.param(*ecdsa(1, _CURVES["ecdsa-sha2-nistp256"].order + 1), id="s-order"),
        pytest.param(RSA.blob, string("rsa-sha2-512") + string(b""), id="rsa-empty"),
        pytest.param(RSA.blob, string("rsa-sha2-512") + string(b"\0" * 256), id="rsa-zeros"),
        pytest.param(RSA.blob, string("rsa-sha2-512") + string(b"\xff" * 256), id="rsa-beyond-modulus"),
        pytest.param(RSA.blob, string("rsa-sha2-512") + string(b"\0" + RSA_RAW), id="rsa-long"),
        pytest.param(RSA.blob, string("rsa-sha2-256") + string(RSA_RAW), id="rsa-other-hash"),
    ],
)
def test_wrong_signatures(key: bytes, signature: bytes) -> None:
    """Well-formed, and no signature: also those that careless implementations take."""
    assert not verify(key, signature, DATA)


P256_POINT = P256.blob[-65:]


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(ED.blob, string("ssh-ed25519"), id="no-signature"),
        pytest.param(ED.blob + b"\0", ED.sign(DATA), id="key-with-more"),
        pytest.param(ED.blob, ED.sign(DATA) + b"\0", id="signature-with-more"),
        pytest.param(ED.blob, P256.sign(DATA), id="another-algorithm"),
        pytest.param(RSA.blob, string("ssh-rsa") + string(RSA_RAW), id="sha-1"),
        pytest.param(string("ssh-dss") + string(b"x"), string("ssh-dss") + string(b"x"), id="dsa"),
        pytest.param(
            string("ssh-ed25519-cert-v01@openssh.com") + ED.blob, string("ssh-ed25519-cert-v01@openssh.com") + string(RAW), id="certificate"
        ),
        pytest.param(*ed(RAW, b"\xff" * 32), id="no-point"),
        pytest.param(*ed(RAW, b"x" * 31), id="short-key"),
        pytest.param(string(P256.algorithm) + string("nistp384") + string(P256_POINT), P256.sign(DATA), id="other-curve"),
        pytest.param(string(P256.algorithm) + string("nistp256") + string(b"\2" + P256_POINT[1:33]), P256.sign(DATA), id="compressed"),
        pytest.param(string(P256.algorithm) + string("nistp256") + string(b"\4" + bytes(64)), P256.sign(DATA), id="off-curve"),
        pytest.param(P256.blob, string(P256.algorithm) + string(string(b"\x80") + natural(1)), id="negative"),
        pytest.param(P256.blob, string(P256.algorithm) + string(string(b"\0\1") + natural(1)), id="padded-number"),
        pytest.param(new_key("rsa-sha2-256", 1024).blob, string("rsa-sha2-256") + string(b"x" * 128), id="small-rsa"),
        pytest.param(string("ssh-rsa") + natural(1) + natural(2**2048 + 1), string("rsa-sha2-256") + string(b"x"), id="exponent-one"),
        pytest.param(string("ssh-rsa") + natural(2**70 + 1) + natural(2**2048 + 1), string("rsa-sha2-256") + string(b"x"), id="exponent"),
        pytest.param(string("ssh-rsa") + natural(65537) + natural(2**20000 + 1), string("rsa-sha2-256") + string(b"x"), id="huge-rsa"),
        pytest.param(b"\xff\xff\xff\xff", ED.sign(DATA), id="length"),
        pytest.param(ED.blob, b"x" * 70000, id="too-long"),
    ],
)
def test_malformed(key: bytes, signature: bytes) -> None:
    """What is no key or no signature is our error, never another."""
    with pytest.raises(BadBlob):
        verify(key, signature, DATA)


SIGNED = [(key, key.sign(DATA)) for key in (ED, P256, RSA)]


@given(st.sampled_from(SIGNED), st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_any_change(signed: tuple[Key, bytes], changes: list[tuple[int, int]]) -> None:
    """A signature with a few bytes changed is no signature, wherever they stand."""
    key, signature = signed
    changed = bytearray(signature)
    for place, byte in changes:
        changed[place % len(changed)] = byte
    try:
        accepted = verify(key.blob, bytes(changed), DATA)
    except BadBlob:
        accepted = False
    assert accepted == (bytes(changed) == signature)


@given(st.binary(max_size=80))
@settings(max_examples=150)
def test_any_bytes(data: bytes) -> None:
    """A reader takes any bytes apart, or says why not."""
    reader = Reader(data)
    try:
        _ = reader.truth(), reader.natural(), reader.string()
        reader.end()
    except BadBlob:
        return
    assert len(data) >= 9


def test_fingerprint() -> None:
    """As ssh-keygen shows it: no padding."""
    assert fingerprint(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
