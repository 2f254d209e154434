"""Commands that run nothing: help, plan, config, init, completion, doctor."""

# ruff: noqa: E501 - a row of a table stays one line

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.main import COMMANDS
from tests.e2e.product import ROOT, Aienv, commit, git


@pytest.mark.parametrize(
    "words", [(), *((name,) for name in COMMANDS), ("images", "build"), ("images", "ls"), ("images", "rm")], ids=" ".join
)
def test_help(aienv: Aienv, words: tuple[str, ...]) -> None:
    """Every command explains itself, and the root lists them all."""
    done = aienv(*words, "--help")
    assert (done.code, done.stderr) == (0, b"")
    assert done.text.startswith("Usage: aienv")
    assert aienv(*words, "-h").stdout == done.stdout if not words else True
    if not words:
        assert [name for name in COMMANDS if f"\n  {name} " not in done.text] == []
        assert "recover" not in done.text


def test_run_help_has_examples_and_every_exit_code(aienv: Aienv) -> None:
    """The contract stands where people look."""
    text = aienv("run", "--help").text
    assert [code for code in ("0", "1", "2", "3", "4", "5", "6", "7", "124", "125", "130") if f"{code} " not in text] == []
    assert "Examples:" in text


def test_version(aienv: Aienv) -> None:
    done = aienv("--version")
    assert done.code == 0
    assert done.text.split()[0] == "aienv"


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("run", "--help"), ("ps",)], ids=" ".join)
def test_light_commands_import_nothing_heavy(aienv: Aienv, words: tuple[str, ...]) -> None:
    """The Docker SDK, GitPython and YAML are loaded by the commands that need them."""
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from orchestrator.cli.main import run_command_line; run_command_line(sys.argv[1:]);"
        "print([name for name in ('docker', 'git', 'requests', 'yaml', 'rich', 'urllib3') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), *words], env=dict(aienv.environ), capture_output=True, timeout=60, check=True
    )
    assert done.stderr.splitlines()[-1] == b"[]"


@pytest.mark.bwrap
def test_plans_of_the_same_inputs_are_the_same_bytes(local: Aienv, repo: Path) -> None:
    """Twice the same document with its digest; another input, another digest; nothing is made in the repository."""
    words = ("plan", "--backend", "local", "--json", "--check", "true", "--env", "B=2", "--env", "A=1", "--", "sh", "-c", "echo x")
    first, second = local(*words), local(*words)
    assert first.code == 0, first.errors
    assert first.stdout == second.stdout
    assert first.document["digest"].startswith("sha256:")
    other = local(*words[:-1], "echo y").document
    assert other["digest"] != first.document["digest"]
    assert (
        local.run("--json", "--check", "true", "--env", "B=2", "--env", "A=1", "--", "sh", "-c", "echo x").document["plan_digest"]
        == first.document["digest"]
    )
    assert "value-of-the-host" not in first.text
    people = local("plan", "--backend", "local", "--", "true").text
    assert [word for word in ("repository:", "command:", "backend:", "limits:", "digest:") if word not in people] == []
    assert git("for-each-ref", "refs/aienv", cwd=repo) == ""


def test_config_explain(aienv: Aienv, repo: Path) -> None:
    """Each layer's value with its file and line, and the winner; a name that is no key gets the nearest one."""
    (aienv.home / "config.yaml").write_text("limits: {memory: 3g}\n")
    commit(repo, {".aienv.yaml": "limits:\n  memory: 1g\n"})
    told = aienv("config", "--explain", "limits.memory", "--json").document
    assert (told["key"], told["winner"]) == ("limits.memory", "repository")
    assert ".aienv.yaml:2" in told["where"]
    layers = {line["layer"]: line["value"] for line in told["layers"]}
    assert {"built-in", "user", "repository"} <= set(layers)
    by_variable = aienv("config", "--explain", "limits.memory", "--json", env={"AIENV_LIMITS_MEMORY": "2g"}).document
    assert by_variable["winner"] == "environment"
    assert "limits.memory" in aienv("config").text
    everything = aienv("config", "--json").document
    assert everything["limits.memory"]["layer"] == "repository"


def test_config_outside_of_a_repository(aienv: Aienv, tmp_path: Path) -> None:
    """The user's side is all there is, and that is no error."""
    (tmp_path / "bare").mkdir()
    done = aienv("config", "--explain", "limits.timeout", "--json", cwd=tmp_path / "bare")
    assert (done.code, done.document["winner"]) == (0, "built-in")


@pytest.mark.bwrap
def test_init_then_commit_then_run(local: Aienv, repo: Path) -> None:
    """The first task file works as it is written; a second init does not overwrite it."""
    done = local("init", "hello", "--json")
    assert (done.code, done.document) == (0, {"path": ".aienv/tasks/hello.yaml"})
    again = local("init", "hello", "--json")
    assert (again.code, again.document["error"]["code"]) == (2, "usage")
    assert local("init", "hello", "--force").code == 0
    git("add", "-A", cwd=repo)
    git("commit", "-qm", "task", cwd=repo)
    report = local.run("--json", "hello").document
    assert (report["status"], report["task"]) == ("succeeded", "hello"), report


def test_init_in_a_subfolder(aienv: Aienv, repo: Path) -> None:
    """Tasks are looked for at the top: that is where the file goes."""
    assert aienv("init", "hello", cwd=repo / "src").code == 0
    assert (repo / ".aienv/tasks/hello.yaml").is_file()


def test_init_does_not_follow_a_link_out_of_the_repository(aienv: Aienv, repo: Path, tmp_path: Path) -> None:
    """A repository may hold ``.aienv`` as a link to anywhere."""
    (tmp_path / "elsewhere").mkdir()
    (repo / ".aienv").symlink_to(tmp_path / "elsewhere")
    assert aienv("init", "hello").code == 2
    assert list((tmp_path / "elsewhere").rglob("*.yaml")) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_accepted_by_their_shell(aienv: Aienv, tmp_path: Path, shell: str) -> None:
    """Printed without complaint, and syntactically right for the shell where it is installed."""
    done = aienv("completion", shell)
    assert (done.code, done.stderr) == (0, b"")
    assert "_AIENV_COMPLETE" in done.text
    script = tmp_path / f"aienv.{shell}"
    script.write_text(done.text)
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    said = subprocess.run(
        [program, "-c", f". {script}"] if shell != "zsh" else [program, "-n", str(script)], capture_output=True, timeout=30, check=False
    )
    assert (said.returncode, said.stderr) == (0, b"")


def test_completion_in_bash(aienv: Aienv) -> None:
    """What bash asks: commands by their beginning, options of a command."""
    words = aienv(env={"_AIENV_COMPLETE": "bash_complete", "COMP_WORDS": "aienv ru", "COMP_CWORD": "1"}).text
    assert words.split() == ["plain,run"]
    options = aienv(env={"_AIENV_COMPLETE": "bash_complete", "COMP_WORDS": "aienv run --ba", "COMP_CWORD": "2"}).text
    assert options.split() == ["plain,--backend"]


def test_doctor(aienv: Aienv) -> None:
    """Checks with cause and cure as one document; 0 exactly when a task can run."""
    done = aienv("doctor", "--json")
    document = done.document
    assert {check["status"] for check in document["checks"]} <= {"ok", "warning", "failed"}
    docker = next(check for check in document["checks"] if check["name"] == "backend docker")
    assert (docker["status"], bool(docker["remedy"])) == ("failed", True)
    assert done.code == (0 if document["usable"] else 5)


def test_doctor_where_nothing_works(aienv: Aienv, tmp_path: Path) -> None:
    """Neither bubblewrap nor an engine: 5, and both cures."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for program in ("git", "sh", "uname"):
        (bin_folder / program).symlink_to(shutil.which(program) or "")
    poor = replace(aienv, environ={**aienv.environ, "PATH": str(bin_folder)})
    done = poor("doctor", "--json")
    assert (done.code, done.document["usable"]) == (5, False)
    details = json.dumps(done.document)
    assert "apt install bubblewrap" in details
    run = poor("run", "--json", "--", "true")
    assert run.code == 5
    assert "bubblewrap" in run.document["error"]["message"]
    assert "engine.sock" in run.document["error"]["message"]
