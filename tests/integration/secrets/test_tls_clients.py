"""Real clients trust the run's authority for its hosts, each through the setting that the environment gives it, and for nothing else."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from orchestrator.egress.config import Leaf
from orchestrator.secrets import authority
from orchestrator.secrets.authority import issue
from orchestrator.secrets.trust import JAVA_PASSWORD, bundle, java_trust_store

NOW = datetime.now(UTC)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nhello!\n"
Ask = Callable[[Path, str, int], tuple[str, ...]]


def run(command: Sequence[str], folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    there = {"PATH": os.environ["PATH"], "HOME": str(folder), **environ}
    return subprocess.run(command, cwd=folder, env=there, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def serving(leaf: Leaf, folder: Path) -> Iterator[int]:
    """A TLS server on loopback that answers everything in the same way; gives its port."""
    (folder / "leaf.pem").write_text(leaf.cert + leaf.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        thread = threading.Thread(target=answer_all, args=(listener, context), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def answer_all(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            raw, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as connection:
                connection.settimeout(10)
                connection.recv(65536)
                connection.sendall(ANSWER)


def curl(folder: Path, host: str, port: int) -> tuple[str, ...]:
    return ("curl", "-sS", "--resolve", f"{host}:{port}:127.0.0.1", f"https://{host}:{port}/")


def openssl(folder: Path, host: str, port: int) -> tuple[str, ...]:
    # -x509_strict: what RFC 5280 demands of each extension
    wanted = "-verify_ip" if host[0].isdigit() else "-verify_hostname"
    verify = ("-verify_return_error", wanted, host, "-x509_strict", "-CAfile", f"{folder}/ca.pem", "-quiet")
    return ("sh", "-c", 'printf "GET / HTTP/1.0\\r\\n\\r\\n" | exec "$@"', "sh", "openssl", "s_client", "-connect", f"127.0.0.1:{port}",
            "-servername", host, *verify, "-ign_eof")  # fmt: skip


def python(folder: Path, host: str, port: int) -> tuple[str, ...]:
    code = (
        "import socket, ssl, sys\n"
        "context = ssl.create_default_context()\n"
        "context.verify_flags |= ssl.VERIFY_X509_STRICT\n"  # the default from Python 3.13 on
        "with context.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[2]))), server_hostname=sys.argv[1]) as s:\n"
        "    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n'); print(s.makefile().read())\n"
    )
    return (sys.executable, "-c", code, host, str(port))


def node(folder: Path, host: str, port: int) -> tuple[str, ...]:
    code = (
        "const [host, port] = process.argv.slice(1);"
        "const lookup = (name, options, done) => done(null, options.all ? [{address: '127.0.0.1', family: 4}] : '127.0.0.1', 4);"
        "require('https').get({host, port, path: '/', lookup}, answer => answer.pipe(process.stdout))"
        ".on('error', problem => { console.error(problem.message); process.exit(1) })"
    )
    return ("node", "-e", code, host, str(port))


JAVA = """
public class Client {
    public static void main(String[] arguments) throws Exception {
        var connection = new java.net.URL(arguments[0]).openConnection();
        System.out.println(new String(connection.getInputStream().readAllBytes()));
    }
}
"""


def java(folder: Path, host: str, port: int) -> tuple[str, ...]:
    (folder / "hosts").write_text(f"127.0.0.1 {host}\n")
    (folder / "Client.java").write_text(JAVA)
    store = (f"-Djavax.net.ssl.trustStore={folder}/ca.jks", f"-Djavax.net.ssl.trustStorePassword={JAVA_PASSWORD}")
    return ("java", f"-Djdk.net.hosts.file={folder}/hosts", *store, f"{folder}/Client.java", f"https://{host}:{port}/")


def git(folder: Path, host: str, port: int) -> tuple[str, ...]:
    # It reaches the server when it complains of the answer, which is no repository.
    return ("git", "-c", f"http.curloptResolve={host}:{port}:127.0.0.1", "ls-remote", f"https://{host}:{port}/team/app.git")


CLIENTS: dict[str, Ask] = {"curl": curl, "openssl": openssl, "python": python, "node": node, "java": java, "git": git}
# Java takes of a trusted certificate only name and key (RFC 5280, 6.2 leaves that open): there only the dropped key protects.
CONSTRAINING = [client for client in CLIENTS if client != "java"]


def settings(folder: Path) -> dict[str, str]:
    """The variables that the environment sets, for all clients alike."""
    named = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO")
    return dict.fromkeys(named, f"{folder}/ca.pem")


def connects(client: str, folder: Path, host: str, port: int) -> tuple[bool, str]:
    if client not in ("python", "openssl") and shutil.which(client) is None:
        pytest.skip(f"there is no {client} here")
    done = run(CLIENTS[client](folder, host, port), folder, **settings(folder))
    reached = "hello!" in done.stdout or "not a git repository" in done.stderr or "not valid: is this a git" in done.stderr
    return reached, done.stdout + done.stderr


def trust(folder: Path, pem: str) -> None:
    (folder / "ca.pem").write_bytes(bundle(dict(os.environ), pem))
    (folder / "ca.jks").write_bytes(java_trust_store((folder / "ca.pem").read_bytes()))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("inspected", "asked"),
    [
        pytest.param("api.example.org", "api.example.org", id="name"),
        pytest.param("*.example.org", "deep.example.org", id="wildcard"),
        pytest.param("127.0.0.1", "127.0.0.1", id="address"),
    ],
)
def test_trusted_for_its_hosts(client: str, inspected: str, asked: str, tmp_path: Path) -> None:
    """Each client accepts the leaf for a host that is inspected."""
    issued = issue([inspected, "other.example.com"], "run", NOW)
    trust(tmp_path, issued.authority)
    with serving(issued.leaves[0], tmp_path) as port:
        reached, said = connects(client, tmp_path, asked, port)
    assert reached, said


@pytest.mark.parametrize("client", CONSTRAINING)
@pytest.mark.parametrize("host", ["evil.example.net", "127.0.0.1"])
def test_worthless_for_others(client: str, host: str, tmp_path: Path) -> None:
    """Had somebody kept the authority's key, its signature under another host's certificate would be refused by each client."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = authority._authority(["api.example.org", "*.example.com"], "run", NOW, ca_key)
    trust(tmp_path, authority._pem(ca))
    stolen = Leaf((host,), authority._pem(authority._leaf(host, ca, ca_key, key, NOW)), authority._key_pem(key))
    proper = Leaf(("api.example.org",), authority._pem(authority._leaf("api.example.org", ca, ca_key, key, NOW)), authority._key_pem(key))
    with serving(stolen, tmp_path) as port:
        reached, said = connects(client, tmp_path, host, port)
    assert not reached, said
    with serving(proper, tmp_path) as port:
        reached, said = connects(client, tmp_path, "api.example.org", port)
    assert reached, said


def test_openssl_names_the_reason(tmp_path: Path) -> None:
    """The refusal above is that of the name constraints, not of something else."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = authority._authority(["api.example.org"], "run", NOW, ca_key)
    (tmp_path / "ca.pem").write_text(authority._pem(ca))
    for host, because in (("evil.example.net", "permitted subtree violation"), ("10.0.0.1", "excluded subtree violation")):
        (tmp_path / "leaf.pem").write_text(authority._pem(authority._leaf(host, ca, ca_key, key, NOW)))
        done = run(["openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", "leaf.pem"], tmp_path)
        assert done.returncode != 0
        assert because in done.stderr
