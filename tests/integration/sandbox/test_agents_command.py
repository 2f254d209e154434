"""``aienv agents test`` as a program calls it: an agent of the user's own, from a registry of ours, in the local sandbox."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.agents.lock import Lock
from orchestrator.cli.main import run_command_line
from tests.unit.agents.test_install import Machine, Registry, registry
from tests.unit.agents.test_unpack import archive

pytestmark = [pytest.mark.bwrap, pytest.mark.usefixtures("bwrap")]
__all__ = ["registry"]

MANIFEST = """
version: 1
program: {npm: tool@1.0.0, entry: node_modules/tool/tool}
headless: ["{prompt}"]
env: {TOOL_QUIET: "1", TOOL_URL: "{base_url}"}
"""


@pytest.fixture
def machine(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Reachable for whom root becomes."""
    base = Path(tempfile.mkdtemp(prefix="aienv-agents-", dir="/tmp"))
    found = Machine(base, registry)
    for name, value in found.environ.items():
        monkeypatch.setenv(name, value)
    yield found
    shutil.rmtree(base)


def prepare(machine: Machine, script: str) -> None:
    data = archive(("package/tool", f"#!/bin/sh\n{script}\n".encode(), {"mode": 0o755}))
    machine.lock("tool", Lock("npm", "tool", "1.0.0", npm=(machine.publish("tool", "1.0.0", data),)))
    (machine.home / "aienv/agents/tool.yaml").write_text(MANIFEST)


def outcome(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    """The exit code, and the one agent of the one document on standard output."""
    code = run_command_line(["agents", "test", "tool", "--backend", "local", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["backend"] == "local"
    (agent,) = document["agents"]
    return code, agent


def test_starts(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """It is installed and started with its own variables; those that need a credential are left out."""
    prepare(machine, 'echo "tool 1.0.0 $TOOL_QUIET ${TOOL_URL-none} $1"')
    code, agent = outcome(capsys)
    assert (code, agent["ok"], agent["said"], agent["problem"]) == (0, True, "tool 1.0.0 1 none --version", None)
    assert run_command_line(["agents", "test", "--backend", "local"]) == 0
    assert "tool 1.0.0 1 none --version" in capsys.readouterr().out


def test_does_not_start(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(machine, "echo broken >&2; exit 4")
    code, agent = outcome(capsys)
    assert (code, agent["ok"], agent["code"], agent["said"], agent["problem"]) == (3, False, 4, "broken", "it ended with 4")


def test_cannot_be_installed(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(machine, "exit 0")
    machine.registry.files.clear()
    code, agent = outcome(capsys)
    assert (code, agent["ok"]) == (3, False)
    assert "it does not have it" in str(agent["problem"])
    assert "aienv agents update" in str(agent["remedy"])


def test_only_help(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that takes --help and not --version starts, too."""
    prepare(machine, '[ "$1" = --help ] && echo usage')
    code, agent = outcome(capsys)
    assert (code, agent["ok"], agent["said"]) == (0, True, "usage")
