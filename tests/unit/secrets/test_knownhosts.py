"""By which keys a host is known, against ssh-keygen on the same file."""

import base64
import os
import subprocess
from pathlib import Path

import pytest

from orchestrator.secrets.knownhosts import host_keys

ED = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))).decode()
ED2 = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(1, 33))).decode()
FIRST, SECOND = base64.b64decode(ED), base64.b64decode(ED2)


@pytest.mark.parametrize(
    ("text", "host", "port", "keys"),
    [
        pytest.param(f"git.example.org ssh-ed25519 {ED}", "git.example.org", 22, [FIRST], id="plain"),
        pytest.param(f"git.example.org ssh-ed25519 {ED} a comment\n", "git.example.org", 22, [FIRST], id="comment"),
        pytest.param(f"  GIT.example.org\tssh-ed25519\t{ED}", "git.example.org", 22, [FIRST], id="blanks-and-case"),
        pytest.param(f"a.org,git.example.org,10.0.0.1 ssh-ed25519 {ED}", "git.example.org", 22, [FIRST], id="list"),
        pytest.param(f"*.example.org ssh-ed25519 {ED}", "git.example.org", 22, [FIRST], id="wildcard"),
        pytest.param(f"g?t.example.org ssh-ed25519 {ED}", "git.example.org", 22, [FIRST], id="one-character"),
        pytest.param(f"*.example.org,!git.example.org ssh-ed25519 {ED}", "git.example.org", 22, [], id="negated"),
        pytest.param(f"[git.example.org]:2222 ssh-ed25519 {ED}", "git.example.org", 2222, [FIRST], id="port"),
        pytest.param(f"[git.example.org]:2222 ssh-ed25519 {ED}", "git.example.org", 22, [], id="other-port"),
        pytest.param(f"git.example.org ssh-ed25519 {ED}", "git.example.org", 2222, [], id="port-not-named"),
        pytest.param(f"[2001:db8::1]:2222 ssh-ed25519 {ED}", "2001:db8::1", 2222, [FIRST], id="ipv6"),
        pytest.param(
            f"git.example.org ssh-ed25519 {ED}\ngit.example.org ssh-ed25519 {ED2}", "git.example.org", 22, [FIRST, SECOND], id="two"
        ),
        pytest.param(
            f"git.example.org ssh-ed25519 {ED}\n@revoked * ssh-ed25519 {ED}\ngit.example.org ssh-ed25519 {ED2}",
            "git.example.org", 22, [SECOND], id="revoked",
        ),
        pytest.param(f"@cert-authority *.example.org ssh-ed25519 {ED}", "git.example.org", 22, [], id="authority"),
        pytest.param(f"# git.example.org ssh-ed25519 {ED}\n\n", "git.example.org", 22, [], id="commented-out"),
        pytest.param(f"evilgit.example.org ssh-ed25519 {ED}", "git.example.org", 22, [], id="longer-name"),
        pytest.param("git.example.org ssh-ed25519", "git.example.org", 22, [], id="no-key"),
        pytest.param("git.example.org ssh-ed25519 AAAA", "git.example.org", 22, [], id="another-kind"),
        pytest.param("git.example.org ssh-ed25519 !!!!", "git.example.org", 22, [], id="no-base64"),
        pytest.param(f"|1|bad ssh-ed25519 {ED}\n|1|a|b|c ssh-ed25519 {ED}\n@revoked\n@x y", "git.example.org", 22, [], id="broken"),
        pytest.param(f"git.example.org 2048 65537 {ED}", "git.example.org", 22, [], id="version-1"),
    ],
)  # fmt: skip
def test_lines(text: str, host: str, port: int, keys: list[bytes]) -> None:
    """Each form of a line, and the nearest that must not match."""
    assert list(host_keys([text], host, port)) == keys


def keygen(folder: Path, *words: str) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(("ssh-keygen", *words), cwd=folder, env=environ, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout


def test_against_ssh_keygen(tmp_path: Path) -> None:
    """Hashed by the real program, and found by both or by neither."""
    lines = f"git.example.org ssh-ed25519 {ED}\n[git.example.org]:2222 ssh-ed25519 {ED2}\nother.example.org ssh-ed25519 {ED2}\n"
    (tmp_path / "known").write_text(lines)
    keygen(tmp_path, "-H", "-f", "known")
    hashed = (tmp_path / "known").read_text()
    assert "example.org" not in hashed
    for host, port, expected in (("git.example.org", 22, [FIRST]), ("git.example.org", 2222, [SECOND]), ("x.example.org", 22, [])):
        assert list(host_keys([hashed], host, port)) == expected
        found = keygen(tmp_path, "-F", host if port == 22 else f"[{host}]:{port}", "-f", "known")
        assert [base64.b64decode(line.split()[2]) for line in found.splitlines() if not line.startswith("#")] == expected
