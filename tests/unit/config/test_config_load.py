"""The rim: real files, variables, flags, and the meaning of TASK."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.config.load import Loaded, UserSide, load_user_side, merge, merge_settings
from orchestrator.errors import AienvError, ConfigError, NotFound, UsageError
from orchestrator.model.paths import paths_from

TASK = "version: 1\nagent: claude\nprompt: p\n"


def user_side(
    home: Path,
    *,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    task: str | None = None,
    command: tuple[str, ...] = (),
) -> UserSide:
    """The user's side with ``home`` as configuration folder, policy folder and current folder."""
    own = {"HOME": "/home/u", **(environ or {})}
    return load_user_side(paths_from({"AIENV_HOME": str(home)}), own, flags or {}, task, command, home, organisation=home / "policy.yaml")


def nothing(path: str) -> bytes | None:
    return None


def load(home: Path, files: Mapping[str, str] | None = None, **wanted: object) -> Loaded:
    side = user_side(home, **wanted)  # type: ignore[arg-type]
    return merge(side, lambda path: files[path].encode() if files and path in files else None)


def test_files_and_layers(tmp_path: Path) -> None:
    """Policy, user configuration, task file, variables and flags: each beats the one before."""
    (tmp_path / "policy.yaml").write_text("limits: {pids: 101, cpus: 1, memory: 1g, disk: 1g, open_files: 101}\n")
    (tmp_path / "config.yaml").write_text("limits: {cpus: 2, memory: 2g, disk: 2g, open_files: 102}\n")
    (tmp_path / "t.yaml").write_text(TASK + "limits: {memory: 3g, disk: 3g, open_files: 103}\n")
    got = load(
        tmp_path, task="t.yaml", environ={"AIENV_LIMITS_DISK": "4g", "AIENV_LIMITS__OPEN_FILES": "104"}, flags={"limits.open_files": "105"}
    )
    limits = got.task.limits
    assert (limits.pids, limits.cpus, limits.memory_bytes, limits.disk_bytes, limits.open_files) == (101, 2.0, 3 << 30, 4 << 30, 105)
    places = [got.settings[f"limits.{name}"].where for name in ("pids", "cpus", "memory", "disk", "open_files")]
    assert places == [f"{tmp_path}/policy.yaml:1", f"{tmp_path}/config.yaml:1", "t.yaml:4", "AIENV_LIMITS_DISK", "limits.open_files"]
    assert got.task.name == "t"


def test_flags_of_all_shapes(tmp_path: Path) -> None:
    """Text, lists, truth, numbers; what was not given is None or empty."""
    flags = {
        "limits.memory": "8g", "limits.cpus": 1.5, "limits.pids": 99, "network.allow": ["a.org", "b.org"], "env": ("A=1", "B=x=y", "TERM"),
        "with_changes": True, "keep": False, "secrets": [], "ref": None, "checks": ["make test"], "docker": "none",
    }  # fmt: skip
    got = load(tmp_path, flags=flags, command=("true",), environ={"TERM": "dumb"}).task
    assert (got.limits.memory_bytes, got.limits.cpus, got.limits.pids) == (8 << 30, 1.5, 99)
    assert (got.network.allow, got.env) == (("a.org", "b.org"), (("A", "1"), ("B", "x=y"), ("TERM", "dumb")))
    assert (got.with_changes, got.keep, got.secrets.agent, got.ref) == (True, False, (), None)
    assert (got.checks, got.docker) == (("make test",), "none")


def test_variables(tmp_path: Path) -> None:
    """Both spellings; lists are split; empty and reserved ones are none; an unknown one is a warning with the nearest name."""
    environ = {
        "AIENV_NETWORK_ALLOW": "a.org; GET,HEAD b.org/x", "AIENV_ENV": "A=1\nB=2",
        "AIENV_CHECKS": "make lint, all\nmake test", "AIENV_KEEP": "1",
        "AIENV_BACKEND": "", "AIENV": "1", "AIENV_HOME": "/x", "AIENV_RUN_ID": "x", "AIENV_REQUIRE": "docker", "AIENV_FAULT_X": "y",
        "AIENV_CACHE_DIR": "z", "AIENV_BAKCEND": "local", "AIENV_COMMAND": "ls", "AIENV_REQUIRE_ISOLATION": "sandbox", "PATH": "/bin",
    }  # fmt: skip
    got = load(tmp_path, environ=environ, command=("true",))
    assert (got.task.network.allow, got.task.env) == (("a.org", "GET,HEAD b.org/x"), (("A", "1"), ("B", "2")))
    assert (got.task.checks, got.task.keep, got.task.backend) == (("make lint, all", "make test"), True, "auto")
    assert got.task.require_isolation == "sandbox"
    assert got.warnings == (
        "the variable AIENV_BAKCEND is not known, perhaps 'AIENV_BACKEND'?",
        "the variable AIENV_COMMAND has no effect: this key cannot be set by a variable",
    )


@pytest.mark.parametrize(
    ("environ", "flags", "message"),
    [
        ({"AIENV_BACKEND": "dokcer"}, {}, "AIENV_BACKEND: unknown choice dokcer, perhaps 'docker'?"),
        (
            {"AIENV_LIMITS_MEMORY": "1g", "AIENV_LIMITS__MEMORY": "2g"},
            {},
            "AIENV_LIMITS_MEMORY and AIENV_LIMITS__MEMORY set limits.memory to",
        ),
        ({}, {"limits.memory": "lots"}, "--memory: lots is not a size"),
        ({}, {"limits.memroy": "1g"}, "unknown key limits.memroy, perhaps 'limits.memory'?"),
        ({}, {"env": ["NOT_THERE"]}, "--env NOT_THERE: there is no such variable here"),
        ({}, {"prompt": "a", "agent": "claude"}, "a command stands after -- and --agent claude is given"),
    ],
)
def test_bad_variables_and_flags(tmp_path: Path, environ: dict[str, str], flags: dict[str, object], message: str) -> None:
    """The message begins with the variable or flag."""
    with pytest.raises((ConfigError, UsageError)) as caught:
        load(tmp_path, environ=environ, flags=flags, command=("true",))
    assert caught.value.message.startswith(message)
    assert caught.value.exit_code == 2


def test_same_value_twice_is_fine(tmp_path: Path) -> None:
    """Both spellings with one value do not contradict each other."""
    got = load(tmp_path, environ={"AIENV_LIMITS_MEMORY": "1g", "AIENV_LIMITS__MEMORY": "1024m"}, command=("true",))
    assert got.task.limits.memory_bytes == 1 << 30


def test_task_is_a_prompt(tmp_path: Path) -> None:
    """Text with blanks in it is what the agent is told, whatever it looks like."""
    for text in ("Fix the parser", "look at src/a.py and fix it", "two\nlines", "read a.yaml", "x " * 3000):
        got = load(tmp_path, task=text, flags={"agent": "claude"})
        assert got.task.prompt == text
    assert got.settings["prompt"].where == "TASK"


def test_task_is_a_file(tmp_path: Path) -> None:
    """A path, relative or absolute, with or without a suffix; blanks in it do not matter when the file exists."""
    (tmp_path / "sub").mkdir()
    for name in ("a.yaml", "sub/b.yml", "sub/plain", "my task.yaml"):
        (tmp_path / name).write_text(TASK)
    for text in ("a.yaml", "./a.yaml", str(tmp_path / "a.yaml"), "sub/b.yml", "sub/plain", "my task.yaml"):
        got = load(tmp_path, task=text)
        assert got.settings["prompt"].layer == "task file"
        assert got.settings["prompt"].where == f"{text}:3"


def test_task_is_a_name(tmp_path: Path) -> None:
    """A bare word names a task of the repository, also where a file of the checkout is called so."""
    (tmp_path / "fix").write_text(TASK + "docker: full\n")
    side = user_side(tmp_path, task="fix")
    assert (side.task_name, side.default_name) == ("fix", "fix")
    got = merge(side, {".aienv/tasks/fix.yaml": TASK.encode()}.get)
    assert (got.task.name, got.task.prompt, got.task.docker) == ("fix", "p", "auto")
    assert got.settings["prompt"].where == ".aienv/tasks/fix.yaml:3"


def test_a_repository_task_named_by_its_path_is_still_the_repositorys(tmp_path: Path) -> None:
    """A path into `.aienv/tasks` does not turn an ask into a grant, a copy elsewhere does."""
    folder = tmp_path / ".aienv" / "tasks"
    folder.mkdir(parents=True)
    (folder / "fix.yaml").write_text(TASK + "secrets: [TOKEN]\n")
    (tmp_path / "link.yaml").symlink_to(folder / "fix.yaml")
    for text in (".aienv/tasks/fix.yaml", "link.yaml"):
        got = load(tmp_path, task=text)
        assert [violation.remedy for violation in got.violations] == ["--secret TOKEN"]
        assert got.task.secrets.agent == ()
    (tmp_path / "copy.yaml").write_text(TASK + "secrets: [TOKEN]\n")
    assert load(tmp_path, task="copy.yaml").task.secrets.agent == ("TOKEN",)


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        ("missing.yaml", NotFound, "there is no task file missing.yaml"),
        ("no/such", NotFound, "there is no task file no/such"),
        (".", UsageError, ". is no task file, no task name and no prompt"),
        ("", UsageError, "TASK is empty"),
        ("  ", UsageError, "TASK is empty"),
        ("-x", UsageError, "-x is no task file"),
        ("x" * 5000, UsageError, "xxx"),
        ("a\0b", UsageError, "'a\\x00b' is no task file"),
        ("a/" + "x" * 5000, NotFound, "there is no task file a/xxx"),
        ("/", NotFound, "there is no task file /"),
    ],
)
def test_task_is_nothing(tmp_path: Path, task: str, error: type[AienvError], message: str) -> None:
    """Neither file nor name nor prompt."""
    with pytest.raises(error) as caught:
        user_side(tmp_path, task=task)
    assert caught.value.message.startswith(message)
    assert caught.value.remedy


def test_a_missing_repository_task_lists_the_others(tmp_path: Path) -> None:
    """The names that exist, and the nearest of them."""
    side = user_side(tmp_path, task="fix-praser")
    with pytest.raises(NotFound) as caught:
        merge(side, nothing, lambda: ["lint", "fix-parser"])
    assert caught.value.message == (
        "the repository has no task 'fix-praser', perhaps 'fix-parser'? (it has fix-parser, lint, at its base commit)"
    )
    assert caught.value.exit_code == 6
    with pytest.raises(NotFound, match="it has none"):
        merge(side, nothing)


def test_command_after_dashes(tmp_path: Path) -> None:
    """A command instead of an agent, also instead of the task file's agent."""
    (tmp_path / "t.yaml").write_text(TASK)
    got = load(tmp_path, task="t.yaml", command=("sh", "-c", "exit 3"))
    assert (got.task.agent, got.task.prompt, got.task.command) == ("command", None, ("sh", "-c", "exit 3"))
    with pytest.raises(ConfigError, match="a prompt is for an agent"):
        load(tmp_path, task="do this", command=("ls",))
    with pytest.raises(UsageError, match="two prompts"):
        load(tmp_path, task="do this", flags={"prompt": "do that", "agent": "claude"})


@pytest.mark.parametrize(
    ("files", "exit_message"),
    [
        ({".aienv.yaml": "limits: {memory: 4q}\n"}, ".aienv.yaml:1: limits.memory: 4q is not a size"),
        ({".aienv.yaml": "locked: [docker]\n"}, ".aienv.yaml:1: locked: unknown key"),
        ({".aienv.yaml": "", ".aienv/tasks/t.yaml": "prompt: x\n"}, ".aienv/tasks/t.yaml:1: version: is missing"),
        ({".aienv.yaml": "a: &x [*x]\n"}, ".aienv.yaml:1: anchors"),
    ],
)
def test_bad_files_of_the_repository(tmp_path: Path, files: dict[str, str], exit_message: str) -> None:
    """They are refused like everybody's."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, files, task="t")
    assert caught.value.message.startswith(exit_message)


def test_the_policy_cannot_be_overlooked(tmp_path: Path) -> None:
    """A policy that is there and cannot be read is not the same as no policy."""
    (tmp_path / "policy.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"policy\.yaml: is not a file|policy\.yaml: cannot be read"):
        user_side(tmp_path)
    (tmp_path / "policy.yaml").rmdir()
    assert user_side(tmp_path).policy is None
    (tmp_path / "policy.yaml").write_text("docker: none\nlocked: [docker]\n")
    got = load(tmp_path, flags={"docker": "full"}, command=("ls",))
    assert [str(violation) for violation in got.violations] == ["docker: --docker asks for full, granted is none"]
    assert got.violations[0].remedy == f"leave docker out: {tmp_path}/policy.yaml locks it"
    assert got.task.docker == "none"


def test_a_fifo_is_no_configuration(tmp_path: Path) -> None:
    """Opening it must not wait for a writer."""
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="is not a file"):
        user_side(tmp_path)


def test_a_large_file_is_refused_without_being_read(tmp_path: Path) -> None:
    """A sparse file of a gigabyte costs nothing."""
    with (tmp_path / "config.yaml").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ConfigError, match="is larger than 256 KiB"):
        user_side(tmp_path)


@pytest.mark.parametrize(
    ("repo", "meant"),
    [
        ("sub/app", "{cwd}/sub/app"),
        ("../app", "{parent}/app"),
        (".", "{cwd}"),
        ("/srv/app.git", "/srv/app.git"),
        ("~/app", "/home/u/app"),
        ("https://example.org/app.git", "https://example.org/app.git"),
        ("git@example.org:a.git", "git@example.org:a.git"),
        ("host:a", "host:a"),
    ],
)
def test_repo_paths_become_absolute(tmp_path: Path, repo: str, meant: str) -> None:
    """A flag counts from the current folder, a task file from its own; URLs stay."""
    assert user_side(tmp_path, flags={"repo": repo}).repo == meant.format(cwd=tmp_path, parent=tmp_path.parent)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "t.yaml").write_text(f"{TASK}repo: {repo}\n")
    assert user_side(tmp_path, task="tasks/t.yaml").repo == meant.format(cwd=tmp_path / "tasks", parent=tmp_path)


def test_repo_and_ref_are_known_before_the_repository_is_read(tmp_path: Path) -> None:
    """The base commit decides what the repository says, so the repository cannot decide the base commit."""
    side = user_side(tmp_path, flags={"ref": "v1"}, command=("ls",))
    assert (side.repo, side.ref) == (None, "v1")
    got = merge(side, {".aienv.yaml": b"repo: /elsewhere\n"}.get)
    assert (got.task.repo, got.task.ref) == (None, "v1")
    assert [violation.key for violation in got.violations] == ["repo"]


def test_settings_without_a_task(tmp_path: Path) -> None:
    """`aienv config` explains keys where there is nothing to do."""
    settings = merge_settings(user_side(tmp_path), {".aienv.yaml": b"limits: {pids: 99}\n"}.get)
    assert (settings["limits.pids"].value, settings["limits.pids"].layer) == (99, "repository")
    assert merge(user_side(tmp_path), nothing, need_agent=False).task.agent == "command"
