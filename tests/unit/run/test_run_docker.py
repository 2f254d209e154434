"""What a run gives its guard and its commands, and masked files that containers would see."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.guard.config import as_plain, parse
from orchestrator.model.guard import GuardLimits, GuardPlan
from orchestrator.model.network import CLOSED
from orchestrator.model.paths import paths_from
from orchestrator.run import folder as folders
from orchestrator.run.docker import guard_config
from orchestrator.run.environ import agent_environment, docker_environment
from orchestrator.run.masked import identities, masked_now
from orchestrator.run.workspace import empty_masked
from tests.unit.run.test_run_pieces import PLAN, REPO

GUARD = GuardPlan("guarded", "unix:///e.sock", (1, 41), (), ("db",), (), (), GuardLimits(), "freeze", None, False, ())
GUARDED = replace(PLAN, docker="guarded", guard=GUARD)


@pytest.mark.parametrize(("name", "project"), [("app", "app-0abc"), ("My.App_2", "my-app_2-0abc"), ("...", "app-0abc")])
def test_variables(name: str, project: str) -> None:
    """The socket, no BuildKit, and a project name of the run's own that compose takes."""
    env = dict(docker_environment(replace(GUARDED, repo=replace(REPO, name=name)), "0abc"))
    assert env["DOCKER_HOST"] == "unix:///run/docker.sock"
    assert (env["DOCKER_BUILDKIT"], env["COMPOSE_PROJECT_NAME"]) == ("0", project)
    assert docker_environment(PLAN, "0abc") == ()
    seen = dict(agent_environment(GUARDED, "0abc", CLOSED, docker_environment(GUARDED, "0abc")))
    assert (seen["TESTCONTAINERS_HOST_OVERRIDE"], seen["TESTCONTAINERS_CONNECTION_MODE"]) == ("127.0.0.1", "docker_host")


def test_configuration(tmp_path: Path) -> None:
    """The workspace under its name inside, the agent's own container, a way out only where the run has one; the same after the wire."""
    folder = folders.run_folder(paths_from({"AIENV_HOME": str(tmp_path)}), "0abc")
    config = guard_config(GUARDED, folder, "c" * 64, "/toolbox")
    assert [(one.inside, one.host) for one in config.session.maps] == [("/workspaces/app", f"{tmp_path}/work/0abc/workspace/app")]
    assert (config.session.proxy, config.session.own_network, config.writers, config.adopt) == (None, True, ("c" * 64,), ())
    assert parse(as_plain(config)) == config
    online = replace(GUARDED, network=replace(CLOSED, mode="allowlist"))
    session = guard_config(online, folder, None, "/toolbox").session
    assert session.proxy == "http://aienv-egress:3128"
    assert {"localhost", "db"} <= set(session.no_proxy)


def test_masked_files_are_emptied_in_place(tmp_path: Path) -> None:
    """They hold nothing, and stay the same files: also read-only ones, and those whose folder is moved later. Nothing else is touched."""
    (tmp_path / "sub").mkdir()
    for name, mode in ((".env", 0o644), ("sub/key.pem", 0o400), ("sub/open", 0o644), ("closed.pem", 0o000)):
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(mode)
    masks = (".env", "closed.pem", "sub/key.pem")
    before = {name: os.lstat(tmp_path / name) for name in masks}
    known = identities(tmp_path, masks)
    empty_masked(tmp_path, masks)
    for name in masks:
        after = os.lstat(tmp_path / name)
        assert (after.st_size, after.st_ino, stat.S_IMODE(after.st_mode)) == (0, before[name].st_ino, stat.S_IMODE(before[name].st_mode))
    assert (tmp_path / "sub/open").read_text() == "secret"
    (tmp_path / "sub").rename(tmp_path / "moved")
    assert masked_now(tmp_path, known) == (".env", "closed.pem", "moved/key.pem")


def test_a_link_is_never_followed(tmp_path: Path) -> None:
    """There should be none; then better an error than somebody else's file."""
    (tmp_path / "other").write_text("kept")
    (tmp_path / ".env").symlink_to("other")
    with pytest.raises(OSError, match="symbolic links"):
        empty_masked(tmp_path, (".env",))
    assert (tmp_path / "other").read_text() == "kept"
