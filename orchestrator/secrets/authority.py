"""A certificate authority of one run, for the hosts whose TLS is opened, and for nothing else.

Its key exists while ``issue`` runs and is dropped then: nobody can make a further certificate. The name constraints say the same to
clients; OpenSSL and what is built on it apply them to a trusted root, Java does not. The authority is trusted inside the environment only;
what it signed is worthless elsewhere, and everywhere in eight days.

``cryptography`` is imported when TLS is terminated, and only here: most runs need none of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from orchestrator.egress.config import Leaf

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

BEFORE = timedelta(hours=1)  # clocks in containers and virtual machines lag
VALID = timedelta(days=8)  # the longest run and its kept environment
NO_NAME = "aienv.invalid"  # a name that no one can have (RFC 2606), for an authority that signs only addresses


@dataclass(frozen=True, slots=True)
class Issued:
    """``authority``: the certificate that is to be trusted inside, PEM."""

    authority: str
    leaves: tuple[Leaf, ...]


def issue(hosts: Sequence[str], run_id: str, now: datetime) -> Issued:
    """An authority for ``hosts`` (canonical; ``*.x`` for one more label; addresses without brackets) and a certificate for each.

    ``now`` has a time zone.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    authority_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _authority(hosts, run_id, now, authority_key)
    leaves = tuple(Leaf((host,), _pem(_leaf(host, authority, authority_key, leaf_key, now)), _key_pem(leaf_key)) for host in hosts)
    return Issued(_pem(authority), leaves)


def _authority(hosts: Sequence[str], run_id: str, now: datetime, key: "ec.EllipticCurvePrivateKey") -> "x509.Certificate":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "aienv")
    name = x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, f"aienv run {run_id}"[:64])])
    return (
        _begun(name, name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_constraints(hosts), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    host: str, authority: "x509.Certificate", authority_key: "ec.EllipticCurvePrivateKey", key: "ec.EllipticCurvePrivateKey", now: datetime
) -> "x509.Certificate":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    address = _address(host)
    san = x509.SubjectAlternativeName([x509.DNSName(host) if address is None else x509.IPAddress(address)])
    # No common name: it would be read as a host's, and is limited to 64 characters.
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "aienv")])
    return (
        _begun(name, authority.subject, key.public_key(), now)
        .add_extension(san, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _begun(subject: "x509.Name", issuer: "x509.Name", key: "ec.EllipticCurvePublicKey", now: datetime) -> "x509.CertificateBuilder":
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + VALID)
    )


def _usage(*, signs_certificates: bool) -> "x509.KeyUsage":
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _constraints(hosts: Sequence[str]) -> "x509.NameConstraints":
    """Exactly these names (and, as RFC 5280 has it, those below them) and addresses. A kind that is not named would be free."""
    from cryptography import x509

    addresses = [ip_network(host) for host in hosts if _address(host) is not None]
    names = sorted({host.removeprefix("*.") for host in hosts if _address(host) is None}) or [NO_NAME]
    permitted: list[x509.GeneralName] = [*map(x509.DNSName, names), *map(x509.IPAddress, addresses)]
    excluded = [] if addresses else [x509.IPAddress(ip_network("0.0.0.0/0")), x509.IPAddress(ip_network("::/0"))]
    return x509.NameConstraints(permitted, excluded or None)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _pem(certificate: "x509.Certificate") -> str:
    from cryptography.hazmat.primitives import serialization

    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _key_pem(key: "ec.EllipticCurvePrivateKey") -> str:
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode("ascii")
