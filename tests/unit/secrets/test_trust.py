"""What is trusted inside: everything that the user's programs trust, nothing private, and a key store that Java reads."""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.secrets.authority import issue
from orchestrator.secrets.trust import JAVA_PASSWORD, bundle, java_trust_store, user_bundle

NOW = datetime(2030, 1, 1, tzinfo=UTC)
OURS = issue(["api.example.org"], "run", NOW).authority


def certificates(count: int) -> list[str]:
    return [issue([f"host{number}.example.org"], "other", NOW).authority.strip() for number in range(count)]


def test_instead_and_besides(tmp_path: Path) -> None:
    """SSL_CERT_FILE replaces the system's bundle, the others add to it; nothing comes twice; the run's own authority is the last."""
    base, extra, shared = certificates(3)
    (tmp_path / "base.pem").write_text(f"# a comment\n{base}\n{shared}\n")
    (tmp_path / "extra.pem").write_text(f"{shared}\n{extra}\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one.crt").write_text(base)
    environ = {
        "SSL_CERT_FILE": f"{tmp_path}/base.pem",
        "NODE_EXTRA_CA_CERTS": f"{tmp_path}/extra.pem",
        "REQUESTS_CA_BUNDLE": f"{tmp_path}/gone.pem",
        "SSL_CERT_DIR": f"{tmp_path}/folder:/nonexistent",
    }
    assert bundle(environ, OURS).decode() == "\n".join([base, shared, extra, OURS.strip(), ""])
    assert user_bundle(environ) == f"{tmp_path}/base.pem"


def test_nothing_private(tmp_path: Path) -> None:
    """A key beside a certificate, a file that is none, and one that would block."""
    issued = issue(["api.example.org"], "run", NOW)
    (tmp_path / "both.pem").write_text(issued.leaves[0].key + issued.leaves[0].cert)
    os.mkfifo(tmp_path / "fifo")
    environ = {"SSL_CERT_FILE": f"{tmp_path}/both.pem", "CURL_CA_BUNDLE": f"{tmp_path}/fifo", "PIP_CERT": str(tmp_path)}
    assert bundle(environ, OURS).decode() == issued.leaves[0].cert + OURS
    assert b"PRIVATE" not in bundle(environ, OURS)


def test_this_machine(tmp_path: Path) -> None:
    """Without a variable, the system's bundle; a variable that names nothing changes nothing."""
    system = user_bundle({})
    if system is None:
        pytest.skip("this machine has no bundle of certificates")
    assert bundle({}, OURS).count(b"BEGIN CERTIFICATE") == len(set(Path(system).read_bytes().split(b"-----BEGIN ")))
    assert user_bundle({"SSL_CERT_FILE": f"{tmp_path}/missing"}) == system


@pytest.mark.skipif(shutil.which("keytool") is None, reason="keytool reads the store; apt-get install openjdk-17-jre-headless")
def test_java_reads_it(tmp_path: Path) -> None:
    """Every certificate is there, under its fingerprint; what is no certificate is left out; the store has no flaw."""
    pem = bundle({}, OURS) + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    (tmp_path / "ca.jks").write_bytes(java_trust_store(pem))
    command = ["keytool", "-list", "-rfc", "-keystore", str(tmp_path / "ca.jks"), "-storepass", JAVA_PASSWORD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("BEGIN CERTIFICATE") == pem.count(b"BEGIN CERTIFICATE") - 1
    assert "".join(OURS.split("\n")[1:-2]) in "".join(done.stdout.split("\n"))


def test_empty_store() -> None:
    """No certificate makes a store without entries, not a broken one."""
    assert len(java_trust_store(b"")) == 12 + 20
