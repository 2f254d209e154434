"""Keys, signatures and agent messages as ssh writes them, made with a library that is not ours."""

import base64
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
ECDSA: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "ecdsa-sha2-nistp256": (ec.SECP256R1(), hashes.SHA256()),
    "ecdsa-sha2-nistp384": (ec.SECP384R1(), hashes.SHA384()),
    "ecdsa-sha2-nistp521": (ec.SECP521R1(), hashes.SHA512()),
}
RSA: dict[str, hashes.HashAlgorithm] = {"rsa-sha2-256": hashes.SHA256(), "rsa-sha2-512": hashes.SHA512()}
ALGORITHMS = ("ssh-ed25519", *ECDSA, *RSA)


def string(data: bytes | str) -> bytes:
    raw = data.encode("latin-1") if isinstance(data, str) else data
    return len(raw).to_bytes(4, "big") + raw


def natural(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big") if number else b"")


@dataclass(frozen=True)
class Key:
    """``blob``: the public key."""

    algorithm: str
    private: Private
    blob: bytes

    def sign(self, data: bytes) -> bytes:
        return string(self.algorithm) + string(self.raw_signature(data))

    def raw_signature(self, data: bytes) -> bytes:
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(data)
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), RSA[self.algorithm])
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(ECDSA[self.algorithm][1])))
        return natural(r) + natural(s)


def new_key(algorithm: str, bits: int = 2048) -> Key:
    private: Private
    if algorithm in ECDSA:
        private = ec.generate_private_key(ECDSA[algorithm][0])
    else:
        private = rsa.generate_private_key(65537, bits) if algorithm in RSA else ed25519.Ed25519PrivateKey.generate()
    text = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return Key(algorithm, private, base64.b64decode(text.split()[1]))
