"""A repository of 12,000 files and 3,000 branches: nothing takes one process per file or per ref."""

import os

import pytest

from orchestrator.repos.changes import apply, capture
from orchestrator.repos.source import parse_source
from tests.integration.repos.support import Repo, World, new_repo

FILES, BRANCHES = 12_000, 3_000


@pytest.fixture
def repo(world: World) -> Repo:
    repo = new_repo(world.base / "large")
    stream = [b"commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\ndata 5\nlarge\nfrom refs/heads/main^0\n"]
    for number in range(FILES):
        content = f"{number}\n".encode() * 20
        stream.append(b"M 100644 inline d%d/s%d/f%d\ndata %d\n%s\n" % (number % 40, number % 7, number, len(content), content))
    repo.git("fast-import", "--quiet", "--force", input=b"".join(stream))
    repo.git("reset", "-q", "--hard")
    commit = repo.git("rev-parse", "HEAD")
    repo.git("update-ref", "--stdin", input=b"".join(b"create refs/heads/b/%d %s\n" % (n, commit.encode()) for n in range(BRANCHES)))
    return repo


def test_large_repository(world: World, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clone is whole and clean, and git was started a small number of times, whatever the size."""
    trace = world.base / "trace"
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
    found = world.resolve(repo.path)
    clone = world.make(found)
    repo.write("d0/s0/f0", "changed\n")
    for number in range(500):
        repo.write(f"new/{number}", "x\n")
    changes = capture(parse_source(str(repo.path), world.base))
    apply(changes, clone.path, os.getuid(), os.getgid())
    monkeypatch.delenv("GIT_TRACE2_EVENT")
    started = sum('"event":"start"' in line for line in trace.read_text().splitlines())
    assert started < 60
    assert changes.plan().files == 501
    assert len(clone.checkout.refs) == BRANCHES + 1
    assert clone.git("ls-files").count("\n") == FILES + 1
    assert clone.status() == " M d0/s0/f0\n?? new/"
