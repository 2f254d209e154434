"""Keys and signatures of ssh as bytes: reading them, and verifying what a host signed. Pure, standard library alone.

The broker has to verify signatures of host keys, and runs without installed packages: what it would load from there could read every
credential. Ways not taken: ``ssh-keygen -Y verify`` takes only its own format; ``openssl`` need not be installed; the main process may be
dead when the broker works on. Verifying touches public values alone, so there is no secret that a plain implementation could leak, and
takes some milliseconds, once for each connection. Nothing here signs.

Formats: RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8332, RFC 8709. Verifying: RFC 8032 section 5.1.7, SEC 1 section 4.1.4, RFC 8017
section 8.2.2.
"""

import hashlib
from base64 import b64encode
from dataclasses import dataclass

MAX_BLOB_BYTES = 64 * 1024
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 16384


class BadBlob(ValueError):
    """Bytes that are not what they should be; the text is the reason."""


class Reader:
    """Takes values off the beginning of a byte string (RFC 4251 section 5)."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes. Raises BadBlob: there are fewer."""
        if size > len(self._data):
            raise BadBlob("ends too early")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return self.string().decode("latin-1")

    def truth(self) -> bool:
        byte = self.take(1)
        if byte not in (b"\0", b"\1"):
            raise BadBlob("has a truth value that is neither 0 nor 1")
        return byte == b"\1"

    def natural(self) -> int:
        """A multiple-precision integer that is not negative and has its shortest form."""
        data = self.string()
        if data and (data[0] & 0x80 or (data[0] == 0 and not (len(data) > 1 and data[1] & 0x80))):
            raise BadBlob("has a number that is negative or too long")
        return int.from_bytes(data, "big")

    def end(self) -> None:
        """Raises BadBlob: there is more."""
        if self._data:
            raise BadBlob("has something behind its end")


def fingerprint(blob: bytes) -> str:
    """As ``ssh-keygen -l`` shows a key."""
    return "SHA256:" + b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


def verify(key: bytes, signature: bytes, data: bytes) -> bool:
    """Whether ``signature`` over ``data`` is by ``key``; all as ssh writes them.

    Raises:
        BadBlob: one of them is malformed, or of a kind that is not taken (DSA, RSA with SHA-1, certificates, security keys).
    """
    if max(len(key), len(signature)) > MAX_BLOB_BYTES:
        raise BadBlob("is too long")
    key_reader, reader = Reader(key), Reader(signature)
    kind, algorithm = key_reader.text(), reader.text()
    if kind == algorithm == "ssh-ed25519":
        public, signed = key_reader.string(), reader.string()
        _end(key_reader, reader)
        return _verify_ed25519(public, signed, data)
    if kind == algorithm and kind in _CURVES:
        return _verify_ecdsa(_CURVES[kind], key_reader, reader, data)
    if kind == "ssh-rsa" and algorithm in _RSA_HASHES:
        exponent, modulus, signed = key_reader.natural(), key_reader.natural(), reader.string()
        _end(key_reader, reader)
        return _verify_rsa(exponent, modulus, signed, data, _RSA_HASHES[algorithm])
    raise BadBlob("is of a kind that is not taken")


def _end(*readers: Reader) -> None:
    for reader in readers:
        reader.end()


# RSA: the signature is a padded hash of exactly one form.
_RSA_HASHES = {"rsa-sha2-256": "sha256", "rsa-sha2-512": "sha512"}
_DIGEST_INFO = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


def _verify_rsa(exponent: int, modulus: int, signed: bytes, data: bytes, hash_name: str) -> bool:
    size = (modulus.bit_length() + 7) // 8
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS or not 3 <= exponent < 1 << 64 or not exponent & modulus & 1:
        raise BadBlob("is an RSA key that is not taken")
    if len(signed) > size or (number := int.from_bytes(signed, "big")) >= modulus:
        return False
    info = _DIGEST_INFO[hash_name] + hashlib.new(hash_name, data).digest()
    expected = b"\0\1" + b"\xff" * (size - len(info) - 3) + b"\0" + info
    return pow(number, exponent, modulus).to_bytes(size, "big") == expected


# Points of a curve are (X, Y, Z); what they mean differs between the two kinds of curves.
_Point = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Curve:
    """y² = x³ - 3x + b over a prime field (SEC 2), with the hash that ssh uses with it."""

    name: str
    hash_name: str
    prime: int
    b: int
    order: int
    base: tuple[int, int]

    def double(self, point: _Point) -> _Point:
        """In Jacobian coordinates: x = X/Z², y = Y/Z³; Z = 0 is the point at infinity."""
        x, y, z = point
        p = self.prime
        slope, s = 3 * (x - z * z) * (x + z * z), 4 * x * y * y
        x3 = (slope * slope - 2 * s) % p
        return x3, (slope * (s - x3) - 8 * pow(y, 4, p)) % p, 2 * y * z % p

    def add(self, one: _Point, other: _Point) -> _Point:
        if one[2] == 0 or other[2] == 0:
            return one if other[2] == 0 else other
        (x1, y1, z1), (x2, y2, z2), p = one, other, self.prime
        u1, u2 = x1 * z2 * z2 % p, x2 * z1 * z1 % p
        s1, s2 = y1 * pow(z2, 3, p) % p, y2 * pow(z1, 3, p) % p
        if u1 == u2:
            return self.double(one) if s1 == s2 else (1, 1, 0)
        h, r = u2 - u1, s2 - s1
        x3 = (r * r - h**3 - 2 * u1 * h * h) % p
        return x3, (r * (u1 * h * h - x3) - s1 * h**3) % p, h * z1 * z2 % p

    def x_of_sum(self, first: int, second: int, key: _Point) -> int | None:
        """The x of ``first`` times the base plus ``second`` times ``key``; None at infinity."""
        base = (*self.base, 1)
        both, total = self.add(base, key), (1, 1, 0)
        for bit in range(max(first.bit_length(), second.bit_length()) - 1, -1, -1):
            total = self.double(total)
            match first >> bit & 1, second >> bit & 1:
                case 1, 1:
                    total = self.add(total, both)
                case 1, 0:
                    total = self.add(total, base)
                case 0, 1:
                    total = self.add(total, key)
        return None if total[2] == 0 else total[0] * pow(total[2], -2, self.prime) % self.prime


def _curve(name: str, hash_name: str, prime: int, *numbers: str) -> _Curve:
    b, order, x, y = (int(number, 16) for number in numbers)
    return _Curve(name, hash_name, prime, b, order, (x, y))


_CURVES = {
    "ecdsa-sha2-nistp256": _curve(
        "nistp256", "sha256", 2**256 - 2**224 + 2**192 + 2**96 - 1,
        "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    ),
    "ecdsa-sha2-nistp384": _curve(
        "nistp384", "sha384", 2**384 - 2**128 - 2**96 + 2**32 - 1,
        "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
        "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
    ),
    "ecdsa-sha2-nistp521": _curve(
        "nistp521", "sha512", 2**521 - 1,
        "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
        "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
        "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
        "011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
    ),
}  # fmt: skip


def _verify_ecdsa(curve: _Curve, key: Reader, signature: Reader, data: bytes) -> bool:
    name, point, numbers = key.text(), key.string(), Reader(signature.string())
    r, s = numbers.natural(), numbers.natural()
    _end(key, signature, numbers)
    size = (curve.prime.bit_length() + 7) // 8
    if name != curve.name or len(point) != 1 + 2 * size or point[0] != 4:
        raise BadBlob("is a key of another curve or form")
    x, y = int.from_bytes(point[1 : 1 + size], "big"), int.from_bytes(point[1 + size :], "big")
    if max(x, y) >= curve.prime or (y * y - x * x * x + 3 * x - curve.b) % curve.prime:
        raise BadBlob("is no point of its curve")
    if not (0 < r < curve.order and 0 < s < curve.order):
        return False
    digest = hashlib.new(curve.hash_name, data).digest()
    inverse = pow(s, -1, curve.order)
    e = int.from_bytes(digest, "big") >> max(0, len(digest) * 8 - curve.order.bit_length())
    found = curve.x_of_sum(e * inverse % curve.order, r * inverse % curve.order, (x, y, 1))
    return found is not None and found % curve.order == r


# Ed25519: -x² + y² = 1 + d x² y²; points are (X, Y, Z, T) with x = X/Z, y = Y/Z, x y = T/Z.
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)  # of -1
_EdPoint = tuple[int, int, int, int]


def _ed_point(data: bytes) -> _EdPoint | None:
    """The point that 32 bytes mean; None: they mean none, or not in their only form."""
    number = int.from_bytes(data, "little")
    y, sign = number & ((1 << 255) - 1), number >> 255
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if (v * x * x - u) % _P:
        x = x * _ROOT % _P
    if (v * x * x - u) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _ed_add(one: _EdPoint, other: _EdPoint) -> _EdPoint:
    (x1, y1, z1, t1), (x2, y2, z2, t2) = one, other
    a, b = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * t1 * t2 * _D % _P, 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _ed_multiply(scalar: int, point: _EdPoint) -> _EdPoint:
    total: _EdPoint = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _ed_add(total, point)
        point = _ed_add(point, point)
        scalar >>= 1
    return total


_ED_BASE = _ed_point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def _verify_ed25519(public: bytes, signed: bytes, data: bytes) -> bool:
    if len(public) != 32 or (key := _ed_point(public)) is None:
        raise BadBlob("is no Ed25519 key")
    if len(signed) != 64 or (r := _ed_point(signed[:32])) is None or (s := int.from_bytes(signed[32:], "little")) >= _ORDER:
        return False
    assert _ED_BASE is not None
    k = int.from_bytes(hashlib.sha512(signed[:32] + public + data).digest(), "little") % _ORDER
    left, right = _ed_multiply(s, _ED_BASE), _ed_add(r, _ed_multiply(k, key))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0
