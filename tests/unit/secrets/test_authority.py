"""The authority of a run: what it can sign, for whom, and for how long."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestrator.secrets.authority import NO_NAME, VALID, issue

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
ENCODED = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
ALL_ADDRESSES = [ip_network("0.0.0.0/0"), ip_network("::/0")]


@pytest.mark.parametrize(
    ("hosts", "permitted", "excluded"),
    [
        pytest.param(["b.example.org", "a.example.org"], ["a.example.org", "b.example.org"], ALL_ADDRESSES, id="names"),
        pytest.param(["*.example.org", "example.org"], ["example.org"], ALL_ADDRESSES, id="wildcard"),
        pytest.param(["a.example.org", "10.1.2.3"], ["a.example.org", ip_network("10.1.2.3/32")], [], id="both"),
        pytest.param(["2001:db8::1"], [NO_NAME, ip_network("2001:db8::1/128")], [], id="address"),
    ],
)
def test_constraints(hosts: list[str], permitted: list[object], excluded: list[object]) -> None:
    """Critical, exactly the hosts; the kind of name that is not used is closed too."""
    authority = x509.load_pem_x509_certificate(issue(hosts, "id", NOW).authority.encode())
    found = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert found.critical
    assert [name.value for name in found.value.permitted_subtrees or []] == permitted
    assert [name.value for name in found.value.excluded_subtrees or []] == excluded
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)


def test_leaves() -> None:
    """One for each host, with that name alone; signed by the authority; valid for a run, from an hour ago."""
    hosts = ["api.example.org", "*.example.com", "10.1.2.3"]
    issued = issue(hosts, "20300102-030405-abcd", NOW)
    authority = x509.load_pem_x509_certificate(issued.authority.encode())
    assert [leaf.hosts for leaf in issued.leaves] == [(host,) for host in hosts]
    for leaf, name in zip(issued.leaves, ["api.example.org", "*.example.com", ip_address("10.1.2.3")], strict=True):
        certificate = x509.load_pem_x509_certificate(leaf.cert.encode())
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [one.value for one in names] == [name]
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME) == []
        assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
        assert certificate.not_valid_after_utc == NOW + VALID


def test_each_run_has_its_own() -> None:
    """Two runs share no key; of the authority's key nothing remains; a ``repr`` shows no key."""
    first, second = issue(["a.example.org"], "one", NOW), issue(["a.example.org"], "two", NOW)
    keys = [x509.load_pem_x509_certificate(one.encode()).public_key() for one in (first.authority, second.authority, first.leaves[0].cert)]
    assert all(isinstance(key, ec.EllipticCurvePublicKey) for key in keys)
    assert len({key.public_bytes(*ENCODED) for key in keys if isinstance(key, ec.EllipticCurvePublicKey)}) == 3
    assert "PRIVATE KEY" not in first.authority + repr(first)
    assert first.leaves[0].key.count("PRIVATE KEY") == 2


def test_long_names() -> None:
    """A run id and a host longer than a common name may be."""
    host = ".".join(["a" * 60] * 4)
    issued = issue([host], "x" * 200, NOW)
    assert x509.load_pem_x509_certificate(issued.leaves[0].cert.encode())
