"""Sources at the other end of a wire, each with a real server on loopback."""

import base64
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from orchestrator.errors import AienvError, EnvironmentFailed, NotFound
from orchestrator.repos.failures import RemoteUnreachable
from orchestrator.repos.mirror import state_of
from orchestrator.repos.resolve import resolve
from orchestrator.repos.source import parse_source
from tests.integration.repos.support import (
    HttpServer,
    Repo,
    World,
    free_port,
    git_daemon,
    holding,
    new_repo,
    ssh_server,
    sshd_path,
)

CANARY = "canary-7f3e/tok%en"
QUOTED = "canary-7f3e%2Ftok%25en"


@pytest.fixture
def upstream(world: World) -> Repo:
    repo = new_repo(world.base / "srv" / "app.git")
    repo.git("branch", "topic")
    repo.commit("second", second="2\n")
    repo.git("tag", "v1", "HEAD~1")
    repo.git("update-ref", "refs/pull/7/head", repo.git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "asked"))
    return repo


def test_http(world: World, upstream: Repo) -> None:
    """A URL's branches become origin/*, one of them is checked out; nothing names the remote."""
    with HttpServer(world.base / "srv").running() as server:
        found = world.resolve(f"{server.url}/app.git")
        clone = world.make(found)
    assert (found.kind, found.location, found.name) == ("url", f"{server.url}/app.git", "app")
    assert (found.commit, found.branch, found.default_branch) == (upstream.git("rev-parse", "main"), "main", "main")
    assert [name for name, _ in clone.checkout.refs] == [
        "refs/heads/main", "refs/remotes/origin/main", "refs/remotes/origin/topic", "refs/tags/v1",
    ]  # fmt: skip
    assert clone.git("log", "-1", "--format=%s", "origin/topic") == "first"
    assert clone.git("remote") == ""
    assert holding(clone.path, server.url) == []


@pytest.mark.parametrize(
    ("userinfo", "user", "password"),
    [
        pytest.param(f"me:{QUOTED}@", "me", CANARY, id="user-and-password"),
        pytest.param(f"{QUOTED}@", CANARY, "", id="token-as-user"),
        pytest.param(f"{QUOTED}:x-oauth-basic@", CANARY, "x-oauth-basic", id="token-and-word"),
    ],
)
def test_credentials_leave_no_trace(world: World, upstream: Repo, userinfo: str, user: str, password: str) -> None:
    """A token in the URL opens the door, and is afterwards in no file, no process list, no plan and no stored credential."""
    store = world.base / "home" / ".git-credentials"
    (world.base / "home" / ".gitconfig").open("a").write(f'[credential]\n\thelper = "store --file {store}"\n')
    with HttpServer(world.base / "srv", user=user, password=password, canary="canary-7f3e").running() as server:
        found = world.resolve(f"http://{userinfo}127.0.0.1:{server.port}/app.git")
        clone = world.make(found)
        assert server.seen_in_process_list == []
        assert server.fetches == 1
    assert found.commit == upstream.git("rev-parse", "main")
    for needle in ("canary-7f3e", "me:", "x-oauth-basic"):
        assert holding(world.mirrors, needle) == []
        assert holding(clone.path, needle) == []
    assert not store.exists()
    assert "canary" not in repr((found, clone.checkout, found.plan(changes=None, submodules=True, lfs=True)))


def test_wrong_password(world: World, upstream: Repo) -> None:
    """A refusal names the host and not the password, and ends at once instead of asking a terminal."""
    with HttpServer(world.base / "srv", user="me", password="right").running() as server:
        with pytest.raises(EnvironmentFailed) as problem:
            world.resolve(f"http://me:{QUOTED}@127.0.0.1:{server.port}/app.git")
        with pytest.raises(EnvironmentFailed) as unnamed:
            world.resolve(f"{server.url}/app.git")
    assert problem.value.code == unnamed.value.code == "git-auth"
    assert "canary" not in problem.value.message + (problem.value.remedy or "")
    assert f"127.0.0.1:{server.port}" in problem.value.message


def test_the_user_s_own_helper_is_asked(world: World, upstream: Repo) -> None:
    """Without credentials in the URL, and with a mere user name in it, the user's credential helper answers."""
    helper = world.base / "helper"
    helper.write_text('#!/bin/sh\ntest "$1" = get || exit 0\ngrep -q ^username=other && exit 0\necho username=me; echo password=right\n')
    helper.chmod(0o755)
    (world.base / "home" / ".gitconfig").open("a").write(f'[credential]\n\thelper = "{helper}"\n')
    with HttpServer(world.base / "srv", user="me", password="right").running() as server:
        assert world.resolve(f"{server.url}/app.git").branch == "main"
        assert world.resolve(f"http://me@127.0.0.1:{server.port}/app.git", "topic").branch == "topic"


def test_credentials_from_the_environment(world: World, upstream: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """CI systems hand over a header by GIT_CONFIG_COUNT; it reaches the server and no file."""
    header = "Authorization: Basic " + base64.b64encode(b"me:canary-7f3e").decode()
    with HttpServer(world.base / "srv", user="me", password="canary-7f3e").running() as server:
        for name, value in (("COUNT", "1"), ("KEY_0", f"http.{server.url}/.extraheader"), ("VALUE_0", header)):
            monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
        found = world.resolve(f"{server.url}/app.git")
    assert found.branch == "main"
    assert holding(world.mirrors, "canary-7f3e") == []
    assert holding(world.mirrors, header.split()[-1]) == []


def test_redirect_elsewhere_gets_no_credentials(world: World, upstream: Repo) -> None:
    """The password is for the host that the user named; another host that asks for one gets nothing."""
    with HttpServer(world.base / "srv", user="me", password="right").running() as elsewhere:
        with HttpServer(world.base / "srv", redirect_to=elsewhere.url).running() as server:
            with pytest.raises(AienvError):
                world.resolve(f"http://me:right@127.0.0.1:{server.port}/app.git")
        assert elsewhere.refused > 0
        assert elsewhere.authorizations == []


def test_refs_beyond_branches_and_tags(world: World, upstream: Repo) -> None:
    """A pull request by its full name, or a commit by its id, is fetched when it is asked for."""
    asked = upstream.git("rev-parse", "refs/pull/7/head")
    with HttpServer(world.base / "srv").running() as server:
        found = world.resolve(f"{server.url}/app.git", "refs/pull/7/head")
        assert (found.commit, found.branch) == (asked, None)
        other = upstream.git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "unreachable")
        assert world.resolve(f"{server.url}/app.git", other).commit == other
        clone = world.make(found)
        with pytest.raises(NotFound):
            world.resolve(f"{server.url}/app.git", "0" * 39 + "1")
    assert clone.git("rev-parse", "HEAD") == asked
    assert not any("aienv" in name or "pull" in name for name, _ in clone.checkout.refs)


def test_known_commit_needs_no_network(world: World, upstream: Repo) -> None:
    """A full commit id that the mirror has is resolved without asking anybody."""
    with HttpServer(world.base / "srv").running() as server:
        url = f"{server.url}/app.git"
        commit = world.resolve(url).commit
        listings = server.listings
        assert world.resolve(url, commit).commit == commit
        assert server.listings == listings
    assert world.resolve(url, commit).warnings == ()


def test_offline(world: World, upstream: Repo) -> None:
    """When nobody answers, what the mirror has is used, with a warning; what it does not have is not found."""
    with HttpServer(world.base / "srv").running() as server:
        url = f"{server.url}/app.git"
        commit = world.resolve(url).commit
    for found in (world.resolve(url), world.resolve(url, "main"), world.resolve(url, "v1"), world.resolve(url, offline=True)):
        assert "using the copy" in found.warnings[0]
        assert found.commit in (commit, upstream.git("rev-parse", "v1"))
    with pytest.raises(NotFound):
        world.resolve(url, "new-branch")


def test_never_seen_and_not_reachable(world: World) -> None:
    """Without a mirror there is nothing to fall back to."""
    with pytest.raises(RemoteUnreachable) as problem:
        world.resolve(f"http://127.0.0.1:{free_port()}/app.git")
    assert problem.value.exit_code == 3
    with pytest.raises(RemoteUnreachable, match="never fetched"):
        world.resolve("https://example.org/app.git", offline=True)


def test_missing_repository(world: World, upstream: Repo) -> None:
    """A server without that repository is told apart from no server."""
    with HttpServer(world.base / "srv").running() as server:
        with pytest.raises(NotFound) as problem:
            world.resolve(f"{server.url}/other.git")
    assert problem.value.exit_code == 6
    assert list(world.mirrors.glob("*.git*")) == []


def test_slow_server_meets_the_deadline(world: World, upstream: Repo) -> None:
    """A fetch that does not end is ended; no half mirror stays."""
    with HttpServer(world.base / "srv", delay_s=6).running() as server:
        with pytest.raises(RemoteUnreachable, match="no end after 1 s"):
            resolve(world.mirrors, parse_source(f"{server.url}/app.git", world.base), deadline_s=1)
    assert list(world.mirrors.glob("*.git*")) == []


def test_empty_remote(world: World) -> None:
    """A remote without commits gives an unborn branch."""
    repo = new_repo(world.base / "srv" / "empty.git", commit=False)
    with HttpServer(world.base / "srv").running() as server:
        found = world.resolve(f"{server.url}/empty.git")
        assert (found.commit, found.branch) == (None, "main")
        assert world.make(found).git("symbolic-ref", "HEAD") == "refs/heads/main"
        commit = repo.commit("now")
        assert world.resolve(f"{server.url}/empty.git").commit == commit


def test_remote_head_without_branch(world: World, upstream: Repo) -> None:
    """A remote whose HEAD names nothing asks for a choice, and shows some."""
    upstream.git("symbolic-ref", "HEAD", "refs/heads/gone")
    with HttpServer(world.base / "srv").running() as server:
        with pytest.raises(NotFound, match="names no branch that exists") as problem:
            world.resolve(f"{server.url}/app.git")
        assert "main, topic" in (problem.value.remedy or "")
        assert world.resolve(f"{server.url}/app.git", "topic").branch == "topic"


def test_other_default_branch(world: World, upstream: Repo) -> None:
    """The remote's HEAD decides, and is followed when it changes although no commit did."""
    with HttpServer(world.base / "srv").running() as server:
        assert world.resolve(f"{server.url}/app.git").branch == "main"
        upstream.git("symbolic-ref", "HEAD", "refs/heads/topic")
        assert world.resolve(f"{server.url}/app.git").branch == "topic"


def _resolve_at_once(mirrors: str, location: str, base: str, barrier: object, answers: object) -> None:
    barrier.wait(60)  # type: ignore[attr-defined]
    try:
        found = resolve(Path(mirrors), parse_source(location, Path(base)), deadline_s=120)
        answers.put((found.commit, state_of(found.mirror).generation))  # type: ignore[attr-defined, union-attr]
    except AienvError as problem:
        answers.put((problem.message, ""))  # type: ignore[attr-defined]


def _ten(world: World, location: str) -> set[tuple[str, str]]:
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(10), context.Queue()
    args = (str(world.mirrors), location, str(world.base), barrier, answers)
    processes = [context.Process(target=_resolve_at_once, args=args) for _ in range(10)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(30)
    assert len(found) == 10
    return set(found)


def test_ten_at_once_fetch_a_url_once(world: World, upstream: Repo) -> None:
    """Ten processes that start together share one fetch, at first and after a change."""
    with HttpServer(world.base / "srv", delay_s=1.5).running() as server:
        first = _ten(world, f"{server.url}/app.git")
        assert {commit for commit, _ in first} == {upstream.git("rev-parse", "main")}
        assert (server.fetches, len(first)) == (1, 1)
        commit = upstream.commit("third")
        second = _ten(world, f"{server.url}/app.git")
        assert {commit for commit, _ in second} == {commit}
        assert (server.fetches, len(second)) == (2, 1)


def test_ten_at_once_fetch_a_path_once(world: World, upstream: Repo) -> None:
    """Ten processes on one path write one mirror, once."""
    found = _ten(world, str(upstream.path))
    assert {commit for commit, _ in found} == {upstream.git("rev-parse", "main")}
    assert len({generation for _, generation in found}) == 1
    assert len(list(world.mirrors.glob("*.git"))) == 1


def test_git_daemon(world: World, upstream: Repo) -> None:
    """git:// works; a repository that is not there is not found."""
    with git_daemon(world.base / "srv") as url:
        clone = world.clone(f"{url}/app.git", "topic")
        assert clone.git("symbolic-ref", "HEAD") == "refs/heads/topic"
        with pytest.raises(NotFound):
            world.resolve(f"{url}/other.git")


@pytest.mark.skipif(sshd_path() is None, reason="install openssh-server to run this test")
def test_ssh(world: World, upstream: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """ssh uses the user's own keys and known hosts, in both spellings; without them it fails, and never asks."""
    with ssh_server(world.base / "ssh") as (url, command):
        with pytest.raises(EnvironmentFailed) as unknown:
            world.resolve(f"{url}{upstream.path}")
        assert unknown.value.code == "git-host-key"
        monkeypatch.setenv("GIT_SSH_COMMAND", command)
        found = world.resolve(f"{url}{upstream.path}")
        assert found.commit == upstream.git("rev-parse", "main")
        assert world.make(found).status() == ""
        login, _, port = url.removeprefix("ssh://").partition("@127.0.0.1:")
        monkeypatch.setenv("GIT_SSH_COMMAND", f"{command} -p {port}")
        assert world.resolve(f"{login}@127.0.0.1:{upstream.path}").commit == found.commit
        monkeypatch.setenv("GIT_SSH_COMMAND", command.replace(f"-i {world.base}/ssh/user", "-i /nonexistent"))
        upstream.commit("third")
        with pytest.raises(EnvironmentFailed) as refused:
            world.resolve(f"{url}{upstream.path}")
        assert refused.value.code == "git-auth"
        monkeypatch.setenv("GIT_SSH_COMMAND", command)
        with pytest.raises(NotFound):
            world.resolve(f"{url}/nowhere/app.git")


def test_program_missing(world: World, upstream: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git the error says to install it."""
    empty = world.base / "empty-path"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    assert shutil.which("git") is None
    with pytest.raises(EnvironmentFailed) as problem:
        resolve(world.mirrors, parse_source(os.fspath(upstream.path), world.base))
    assert (problem.value.code, problem.value.remedy) == ("git-missing", "install git")
