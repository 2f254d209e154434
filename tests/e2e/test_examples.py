"""The examples do what their pages say, on both backends, through their own scripts."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.product import ROOT, Aienv, Done

EXAMPLES = ROOT / "examples"
DEADLINE_S = 120.0


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def command(tmp_path: Path, product: Aienv) -> str:
    """The product as one file, as the scripts want it."""
    file = tmp_path / "aienv"
    file.write_text(f'#!/bin/sh\nexec {shlex.join(product.command())} "$@"\n')
    file.chmod(0o755)
    return str(file)


def run_example(name: str, product: Aienv, command: str, scratch: Path, **more: str) -> Done:
    """``examples/NAME/run.sh`` on the product's backend; its scratch folders are made in ``scratch``."""
    environ = {**product.environ, "AIENV": command, "TMPDIR": str(scratch), **more}
    script = str(EXAMPLES / name / "run.sh")
    done = subprocess.run([script, *product.options], env=environ, cwd="/", capture_output=True, timeout=DEADLINE_S, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def reports(product: Aienv) -> list[Any]:
    """The reports of all runs, oldest first."""
    return [json.loads(file.read_text()) for file in sorted((product.home / "runs").glob("*/report.json"))]


def assert_nothing_left(product: Aienv, scratch: Path) -> None:
    assert product("ps", "--json").document == []
    assert os.listdir(product.home / "work") == []
    assert list(scratch.iterdir()) == []


def test_hello(product: Aienv, command: str, scratch: Path) -> None:
    """The command's output and its file come out, and the checkout stays as it was."""
    done = run_example("hello", product, command, scratch)
    assert done.code == 0, done.errors
    (report,) = reports(product)
    assert f"Hello from agent, run {report['id']}.\n" in done.text
    assert f"+Hello from agent, run {report['id']}." in done.text
    assert report["result"]["branch"] in done.text
    assert [file["path"] for file in report["result"]["changed_files"]] == ["hello.txt"]
    assert_nothing_left(product, scratch)


def assert_fixed(done: Done, product: Aienv) -> None:
    assert done.code == 0, done.errors
    (report,) = reports(product)
    assert report["status"] == "succeeded"
    assert [(check["command"], check["exit_code"]) for check in report["checks"]] == [("python3 -m unittest -q", 0)]
    assert [(file["status"], file["path"]) for file in report["result"]["changed_files"]] == [("M", "durations.py")]
    assert not report["result"]["uncommitted"]
    assert "FAILED (failures=3)" in done.text, "the bug is there before the agent comes"
    assert "+    if re.fullmatch" in done.text


def test_fix_bug(product: Aienv, command: str, scratch: Path) -> None:
    """The agent plays its script: the failing tests pass afterwards, in a commit of the agent's own."""
    done = run_example("fix-bug", product, command, scratch)
    assert_fixed(done, product)
    assert_nothing_left(product, scratch)


@pytest.fixture(scope="session")
def fake_model() -> str:
    """The folder of the scripted model's server."""
    folder = Path(os.environ.get("AIENV_FAKE_MODEL") or ROOT.parent / "shared" / "fake_model").absolute()
    if not (folder / "fake_model.py").exists():
        pytest.skip("no scripted model server: set AIENV_FAKE_MODEL to the folder that holds fake_model.py")
    return str(folder)


@pytest.mark.fake_model
def test_fix_bug_over_http(product: Aienv, command: str, scratch: Path, fake_model: str) -> None:
    """The same agent with a real endpoint: a server that plays the same script, over HTTP on a socket in the sandbox."""
    done = run_example("fix-bug", product, command, scratch, AIENV_FAKE_MODEL=fake_model)
    assert_fixed(done, product)
    assert "--model unix:/tmp/model.sock" in done.errors
    assert_nothing_left(product, scratch)


def test_ci(product: Aienv, command: str, scratch: Path) -> None:
    """A check decides: the first task ends with 0, the second with 1, and neither loses its branch."""
    done = run_example("ci", product, command, scratch)
    assert done.code == 0, done.errors
    assert 'exit code 0, "status": "succeeded"\nexit code 1, "status": "failed"\n' in done.text
    first, second = reports(product)
    assert first["checks"][0]["exit_code"] == 0
    assert (second["exit_code"], second["checks"][0]["exit_code"]) == (0, 1), "the agent was content, the check was not"
    assert first["result"]["branch"] in done.text
    assert second["result"]["branch"] in done.text
    assert_nothing_left(product, scratch)


def test_ci_notices_a_wrong_exit_code(product: Aienv, command: str, scratch: Path) -> None:
    """The script itself fails when a run ends otherwise than it says."""
    wrong = Path(command)
    wrong.write_text(f"{wrong.read_text().rstrip()} || exit 0\n".replace("exec ", ""))
    done = run_example("ci", product, command, scratch)
    assert done.code == 1
    assert "expected 1" in done.errors


MANIFESTS = "agents"  # no tasks: tests/e2e/test_own_agents.py has them


@pytest.mark.parametrize("example", sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir() and folder.name != MANIFESTS))
def test_every_example_is_whole(example: str) -> None:
    """A page, a script that can be started, and a task file."""
    folder = EXAMPLES / example
    assert (folder / "README.md").is_file()
    assert os.access(folder / "run.sh", os.X_OK)
    assert (folder / "task.yaml").is_file() or list(folder.glob("repository/.aienv/tasks/*.yaml"))
