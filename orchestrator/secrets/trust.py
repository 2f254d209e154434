"""What is trusted inside: the user's own authorities and the run's, as a PEM bundle and as a Java key store."""

import base64
import binascii
import contextlib
import hashlib
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path

MAX_BUNDLE_BYTES = 16 << 20
MAX_FILES = 1000
JAVA_PASSWORD = "changeit"  # Java's own default; it protects nothing, the certificates are public

# Where systems keep their trusted certificates in one file; the order is that of Go's crypto/x509 (root_linux.go), then other systems.
BUNDLES: tuple[str, ...] = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Gentoo, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL 6
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL 7 and newer
    "/etc/ssl/cert.pem",  # Alpine, macOS
    "/etc/ssl/certs/ca-bundle.crt",  # NixOS
    "/usr/local/share/certs/ca-root-nss.crt",  # FreeBSD
)
# In place of the system's; in addition to it.
_INSTEAD = ("SSL_CERT_FILE", "NIX_SSL_CERT_FILE")
_BESIDES = ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT")

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


def bundle(environ: Mapping[str, str], authority: str) -> bytes:
    """PEM of every authority that the user's own programs trust, and of the run's at the end.

    Companies that open TLS themselves name their authority in one of several variables; all of them count. Only certificates are taken:
    a private key that lies in the same file stays outside.
    """
    besides = (environ[name] for name in _BESIDES if environ.get(name))
    named = (*_base(environ), *_in_folders(environ.get("SSL_CERT_DIR", "")), *besides)
    found: dict[bytes, None] = {}
    for path in dict.fromkeys(map(os.path.realpath, named)):
        found.update(dict.fromkeys(_CERTIFICATE.findall(_read(path))))
    return b"\n".join((*found, authority.strip().encode("ascii"), b""))


def user_bundle(environ: Mapping[str, str]) -> str | None:
    """The file by which the user's programs judge servers; None: nothing on this machine says so."""
    return next(iter(_base(environ)), None)


def _base(environ: Mapping[str, str]) -> tuple[str, ...]:
    named = [environ[name] for name in _INSTEAD if environ.get(name)]
    return tuple([path for path in (*named, *BUNDLES) if os.path.isfile(path)][:1])


def _in_folders(names: str) -> list[str]:
    """The certificate files of folders, as ``SSL_CERT_DIR`` names them."""
    files: list[str] = []
    for folder in filter(None, names.split(":")):
        with contextlib.suppress(OSError):
            files += sorted(entry.path for entry in os.scandir(folder) if entry.name.endswith((".pem", ".crt", ".0")))
    return files[:MAX_FILES]


def _read(path: str) -> bytes:
    """The file's content; empty when there is none: a variable may name a file that is long gone, or something that blocks."""
    with contextlib.suppress(OSError):
        if os.path.isfile(path):
            with Path(path).open("rb") as file:
                return file.read(MAX_BUNDLE_BYTES)
    return b""


def java_trust_store(pem: bytes) -> bytes:
    """``pem`` as a key store of the old form (JKS), which every Java reads; what cannot be decoded is left out.

    Written here because ``keytool`` is no part of this machine, and takes half a second for each certificate.
    """
    certificates = [der for der in map(_der, _CERTIFICATE.findall(pem)) if der]
    entries = b"".join(_trusted_entry(number, der) for number, der in enumerate(certificates))
    body = struct.pack(">III", 0xFEEDFEED, 2, len(certificates)) + entries
    return body + hashlib.sha1(JAVA_PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()


def _trusted_entry(number: int, der: bytes) -> bytes:
    """One entry: kind 2 (trusted certificate), alias, time in ms, kind of certificate, the certificate."""
    return (
        struct.pack(">I", 2)
        + _java_text(f"aienv-{number}")
        + struct.pack(">Q", 0)
        + _java_text("X.509")
        + struct.pack(">I", len(der))
        + der
    )


def _java_text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode("ascii")


def _der(pem: bytes) -> bytes | None:
    try:
        der = base64.b64decode(b"".join(pem.split(b"\n")[1:-1]), validate=False)
    except binascii.Error:
        return None
    return der if der.startswith(b"\x30") else None
