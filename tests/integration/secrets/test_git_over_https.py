"""Real git with a stand-in only: it clones, fetches and pushes what is on the list, and the broker's judgement holds for what it sends."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.egress.gitpush import PushReader
from orchestrator.egress.standins import BoundSecret, Swapper, make_stand_in
from orchestrator.model.network import GitRepo
from orchestrator.secrets.authority import issue
from orchestrator.secrets.gitconfig import GitSecret, git_environment, git_settings
from tests.integration.secrets.git_server import GitServer, git_server

TOKEN = "ghp_" + "Canary7Q" * 4 + "abcd"
STAND_IN = make_stand_in(TOKEN, os.urandom)
NAMES = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}


@dataclass
class Inside:
    """A folder in which git runs as it does in an environment: with the stand-in, in variables."""

    server: GitServer
    folder: Path
    environ: dict[str, str]

    def git(self, *words: str, cwd: str = ".", check: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
        there = self.environ | environ
        done = subprocess.run(
            ("git", *words),
            cwd=self.folder / cwd,
            env=there,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def url(self, path: str) -> str:
        return f"https://{self.server.name}/{path}"

    def commit(self, text: str, cwd: str = "app") -> str:
        (self.folder / cwd / "file").write_text(text)
        self.git("add", "file", cwd=cwd)
        self.git("commit", "-q", "-m", "change", cwd=cwd)
        return self.git("rev-parse", "HEAD", cwd=cwd).stdout.strip()


def plain_git(*words: str, cwd: Path) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_GLOBAL": os.devnull, **NAMES}
    return subprocess.run(("git", *words), cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def make_repository(root: Path, name: str) -> None:
    bare = root / f"{name}.git"
    bare.mkdir(parents=True)
    plain_git("init", "-q", "--bare", "-b", "main", cwd=bare)
    for key, value in (("http.receivepack", "true"), ("receive.advertisePushOptions", "true"), ("receive.certNonceSeed", "x")):
        plain_git("config", key, value, cwd=bare)
    tree = plain_git("hash-object", "-w", "-t", "tree", "/dev/null", cwd=bare)
    first = plain_git("commit-tree", "-m", "first", tree, cwd=bare)
    plain_git("update-ref", "refs/heads/main", plain_git("commit-tree", "-m", "second", "-p", first, tree, cwd=bare), cwd=bare)


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    root, folder = tmp_path / "served", tmp_path / "inside"
    folder.mkdir()
    for name in ("team/app", "team/lib", "team/secret", "public/tool"):
        make_repository(root, name)
    issued = issue(["git.example.org"], "run", datetime.now(UTC))
    (tmp_path / "ca.pem").write_text(issued.authority)
    with git_server(root, issued.leaves[0], TOKEN, tmp_path) as server:
        server.repos += [GitRepo(server.name, "team/app", True), GitRepo(server.name, "team/lib", False)]
        hosts = (server.name,)
        server.swapper = Swapper([BoundSecret("GITHUB_TOKEN", STAND_IN, TOKEN, hosts, ("agent",))])
        settings = git_settings(server.repos, [GitSecret("GITHUB_TOKEN", STAND_IN, hosts, ("agent",))], "agent")
        resolve = (("http.curloptResolve", f"git.example.org:{server.port}:127.0.0.1"),)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "GIT_SSL_CAINFO": f"{tmp_path}/ca.pem",
            "GIT_TERMINAL_PROMPT": "0",
            **NAMES,
        }
        yield Inside(server, folder, environ | dict(git_environment((*settings, *resolve))))


def heads(inside: Inside, repository: str = "team/app") -> dict[str, str]:
    lines = plain_git("for-each-ref", "--format=%(refname) %(objectname)", cwd=inside.server.root / f"{repository}.git")
    return dict(line.split() for line in lines.splitlines())


@pytest.mark.parametrize("version", ["0", "1", "2"])
@pytest.mark.parametrize("address", ["team/app.git", "team/app"])
def test_clone_and_fetch(inside: Inside, version: str, address: str) -> None:
    """In each protocol version, with and without the suffix; the token is seen by the server and by nobody inside."""
    inside.git("-c", f"protocol.version={version}", "clone", "-q", inside.url(address), "app")
    inside.git("-c", f"protocol.version={version}", "fetch", "-q", "--all", cwd="app")
    assert {one.outcome for one in inside.server.seen} == {"passed"}
    assert len(inside.server.seen) >= 3
    everything = b"".join(path.read_bytes() for path in inside.folder.rglob("*") if path.is_file()) + repr(inside.environ).encode()
    assert TOKEN.encode() not in everything
    assert STAND_IN.encode() not in b"".join(path.read_bytes() for path in (inside.folder / "app" / ".git").rglob("*") if path.is_file())


def test_fetch_with_a_compressed_question(inside: Inside) -> None:
    """A long list of wishes is sent compressed; that is a read, so it may be."""
    bare = inside.server.root / "team/app.git"
    tree = plain_git("hash-object", "-w", "-t", "tree", "/dev/null", cwd=bare)
    for number in range(40):
        plain_git("update-ref", f"refs/heads/b{number}", plain_git("commit-tree", "-m", f"{number}", tree, cwd=bare), cwd=bare)
    inside.git("clone", "-q", inside.url("team/app.git"), "app")
    assert any(("Content-Encoding", "gzip") in one.headers for one in inside.server.seen)
    assert {one.outcome for one in inside.server.seen} == {"passed"}


@pytest.mark.parametrize(
    "address", ["git@git.example.org:team/app.git", "ssh://git@git.example.org/team/app", "git@git.example.org:team/app"]
)
def test_ssh_addresses(inside: Inside, address: str) -> None:
    """An ssh address of a repository on the list means the same repository over https."""
    inside.git("ls-remote", address)
    assert inside.server.seen[0].outcome == "passed"


def test_public_neighbours(inside: Inside) -> None:
    """Another repository of the same host is fetched as anybody fetches it: without the stand-in."""
    inside.git("clone", "-q", inside.url("public/tool.git"), "tool")
    assert {one.outcome for one in inside.server.seen} == {"passed"}
    assert not [one for one in inside.server.seen for name, _ in one.headers if name.lower() == "authorization"]


@pytest.mark.parametrize("address", ["team/secret.git", "team/app2.git"])
def test_private_neighbours(inside: Inside, address: str) -> None:
    """A repository that is not on the list is refused; git asks nobody for a password."""
    done = inside.git("clone", "-q", inside.url(address), "x", check=False)
    assert done.returncode != 0
    assert "passed" not in {one.outcome for one in inside.server.seen}


def test_stand_in_for_another_repository(inside: Inside) -> None:
    """An agent that sends its stand-in for a repository that is not on the list gets nothing."""
    url = inside.url("team/secret.git").replace("https://", f"https://x-access-token:{STAND_IN}@")
    done = inside.git("clone", "-q", url, "x", check=False)
    assert done.returncode != 0
    assert any("not among the repositories" in one.outcome for one in inside.server.seen)


def test_push(inside: Inside) -> None:
    """Create, change by force and delete a branch below ``aienv/``."""
    inside.git("clone", "-q", inside.url("team/app.git"), "app")
    made = inside.commit("one")
    inside.git("push", "-q", "origin", "HEAD:refs/heads/aienv/work", cwd="app")
    assert heads(inside)["refs/heads/aienv/work"] == made
    inside.git("reset", "-q", "--hard", "HEAD~1", cwd="app")
    made = inside.commit("two")
    inside.git("push", "-q", "--atomic", "origin", "+HEAD:aienv/work", "HEAD:refs/heads/aienv/more/deep", cwd="app")
    assert heads(inside)["refs/heads/aienv/work"] == heads(inside)["refs/heads/aienv/more/deep"] == made
    inside.git("push", "-q", "origin", ":aienv/work", cwd="app")
    assert set(heads(inside)) == {"refs/heads/main", "refs/heads/aienv/more/deep"}
    assert {one.outcome for one in inside.server.seen} == {"passed"}


def test_large_push(inside: Inside) -> None:
    """More than fits one buffer: git asks with an empty push first, then sends in chunks."""
    inside.git("clone", "-q", inside.url("team/app.git"), "app")
    (inside.folder / "app" / "big").write_bytes(os.urandom(3_000_000))
    inside.git("add", "big", cwd="app")
    made = inside.commit("big")
    inside.git("push", "-q", "origin", "HEAD:aienv/big", cwd="app")
    assert heads(inside)["refs/heads/aienv/big"] == made
    assert [one.outcome for one in inside.server.pushes()] == ["passed", "passed"]
    assert inside.server.pushes()[0].body == b"0000"
    assert ("Transfer-Encoding", "chunked") in inside.server.pushes()[1].headers


def test_push_from_a_shallow_clone(inside: Inside) -> None:
    """A shallow clone says which of its commits have no parents; that is allowed."""
    inside.git("clone", "-q", "--depth", "1", inside.url("team/app.git"), "app")
    made = inside.commit("shallow")
    inside.git("push", "-q", "origin", "HEAD:aienv/shallow", cwd="app")
    assert heads(inside)["refs/heads/aienv/shallow"] == made
    assert inside.server.pushes()[0].body[4:].startswith(b"shallow ")


@pytest.mark.parametrize(
    ("words", "because"),
    [
        pytest.param(("origin", "HEAD:main"), "refs/heads/main is not below", id="main"),
        pytest.param(("origin", "HEAD:aienv/ok", "HEAD:main"), "refs/heads/main is not below", id="one-of-two"),
        pytest.param(("origin", ":main"), "refs/heads/main is not below", id="delete-main"),
        pytest.param(("origin", "HEAD:refs/tags/v1"), "refs/tags/v1 is not below", id="tag"),
        pytest.param(("--mirror", "origin"), "is not below", id="mirror"),
        pytest.param(("origin", "HEAD:refs/heads/aienv"), "is not below", id="the-folder"),
        pytest.param(("-o", "merge_request.create", "origin", "HEAD:aienv/ok"), "push options", id="push-option"),
    ],
)
def test_pushes_that_are_refused(inside: Inside, words: tuple[str, ...], because: str) -> None:
    """Nothing of such a push reaches the server, not even the part that would be allowed; git shows a failure."""
    inside.git("clone", "-q", inside.url("team/app.git"), "app")
    inside.commit("one")
    before = heads(inside)
    done = inside.git("push", "-q", *words, cwd="app", check=False)
    assert done.returncode != 0
    assert because in inside.server.pushes()[-1].outcome
    assert heads(inside) == before


def test_push_to_what_may_be_read(inside: Inside) -> None:
    """A repository of git.read takes no push, to no branch."""
    inside.git("clone", "-q", inside.url("team/lib.git"), "app")
    inside.commit("one")
    done = inside.git("push", "-q", "origin", "HEAD:aienv/work", cwd="app", check=False)
    assert done.returncode != 0
    assert "may be read, not pushed to" in inside.server.seen[-1].outcome
    assert set(heads(inside, "team/lib")) == {"refs/heads/main"}


def test_signed_push(inside: Inside) -> None:
    """A push certificate hides its commands in a signed text: refused, whatever it says."""
    inside.git("clone", "-q", inside.url("team/app.git"), "app")
    inside.commit("one")
    signer = inside.folder / "signer"
    signer.write_text("#!/bin/sh\ncat >/dev/null\necho '[GNUPG:] SIG_CREATED ' >&2\necho '-----BEGIN PGP SIGNATURE-----'\n")
    signer.chmod(0o755)
    done = inside.git("-c", f"gpg.program={signer}", "push", "-q", "--signed", "origin", "HEAD:aienv/signed", cwd="app", check=False)
    assert done.returncode != 0
    assert "signed push" in inside.server.pushes()[-1].outcome


def test_real_bodies_in_any_pieces(inside: Inside) -> None:
    """What real git sent gives the same verdict byte by byte as in one piece."""
    inside.git("clone", "-q", inside.url("team/app.git"), "app")
    inside.commit("one")
    inside.git("push", "-q", "origin", "HEAD:aienv/a", "HEAD:aienv/b", cwd="app")
    inside.git("push", "-q", "origin", ":aienv/b", cwd="app")
    bodies = [one.body for one in inside.server.pushes()]
    assert len(bodies) == 2
    for body in bodies:
        whole, pieces = PushReader(), PushReader()
        for byte in body:
            pieces.feed(bytes([byte]))
        assert (whole.feed(body) or whole.finish()) == pieces.finish()
        assert pieces.finish().allowed
