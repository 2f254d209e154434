"""An authority for tests, made once: it signs the servers, and plays the run's own."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.egress.config import Leaf


@dataclass(frozen=True)
class Authority:
    """``ca``: its certificate (PEM file)."""

    folder: Path
    ca: Path

    def files(self, *names: str) -> tuple[Path, Path]:
        """Certificate and key for names."""
        stem = names[0].replace("*", "any")
        cert, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        if not cert.exists():
            wanted = ",".join(f"DNS:{name}" for name in names)
            _openssl(
                "-subj", f"/CN={stem}", "-addext", f"subjectAltName={wanted}", "-addext", "basicConstraints=CA:FALSE",
                "-CA", str(self.ca), "-CAkey", str(self.folder / "ca.key"), "-out", str(cert), "-keyout", str(key),
            )  # fmt: skip
        return cert, key

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.files(*names))
        return context

    def leaf(self, *names: str) -> Leaf:
        cert, key = self.files(*names)
        return Leaf(names, cert.read_text() + self.ca.read_text(), key.read_text())

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))


def _openssl(*arguments: str) -> None:
    words = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    subprocess.run([*words, *arguments], check=True, capture_output=True, timeout=60)


def _authority(folder: Path) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    ca = folder / "ca.pem"
    _openssl("-subj", "/CN=Test authority", "-addext", "keyUsage=critical,keyCertSign", "-out", str(ca), "-keyout", str(folder / "ca.key"))
    return Authority(folder, ca)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the servers."""
    return _authority(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Plays the run's own authority, by which inspected TLS is terminated."""
    return _authority(tmp_path_factory.mktemp("own"))
