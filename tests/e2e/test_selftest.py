"""A machine on which a layer of the sandbox silently does nothing: a run does not start there, and says which layer it is."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.product import Aienv, branches, git

# A bubblewrap that leaves options out, once the file beside it says which: as a wrapper for some odd machine might.
WRAPPER = """#!/usr/bin/python3 -IS
import os, sys
words = sys.argv[1:]
folder = os.path.dirname(os.path.abspath(__file__))
if "--args" in words and os.path.exists(folder + "/leave-out"):
    left_out = open(folder + "/leave-out").read().split()
    index = words.index("--args")
    options = open(int(words[index + 1]), "rb").read().split(b"\\0")[:-1]
    words[index : index + 2] = [option.decode() for option in options if option.decode() not in left_out]
os.execv("{bwrap}", ["bwrap", *words])
"""


@pytest.fixture
def wrapped(local: Aienv, bwrap: str) -> Iterator[tuple[Aienv, Path]]:
    """The product with that bubblewrap first in its PATH, and the file that says what it leaves out."""
    with tempfile.TemporaryDirectory(prefix="aienv-wrapper-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "bwrap").write_text(WRAPPER.replace("{bwrap}", bwrap))
        (folder / "bwrap").chmod(0o755)
        yield replace(local, environ={**local.environ, "PATH": f"{folder}:{local.environ['PATH']}"}), folder / "leave-out"


def events(report: dict[str, str]) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in Path(report["folder"], "audit.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "sandbox.selftest"]


@pytest.mark.parametrize(("option", "layer"), [("--unshare-net", "network"), ("--unshare-ipc", "namespaces")], ids=["network", "ipc"])
def test_a_layer_that_is_not_there(wrapped: tuple[Aienv, Path], repo: Path, option: str, layer: str) -> None:
    """Nothing of the agent runs, nothing is left, the code is that of an environment that could not be made."""
    aienv, left_out = wrapped
    assert aienv.run("-q", "--", "true").code == 0
    left_out.write_text(option)
    done = aienv.run("--json", "--", "sh", "-c", "echo x > made; echo agent ran")
    report = done.document
    assert (done.code, report["status"], report["error"]["code"]) == (3, "error", "self-test")
    assert f"layer: {layer}" in report["error"]["message"]
    assert report["error"]["remedy"]
    assert b"agent ran" not in done.stderr
    assert report["result"]["changed_files"] == []
    assert branches(repo) == []
    assert report["teardown"]["left"] == []
    assert [(event["phase"], event["missing"]) for event in events(report)] == [("agent", layer)]


def test_a_layer_that_goes_away_before_a_check(wrapped: tuple[Aienv, Path], repo: Path) -> None:
    """Every command is asked for anew: the check does not run, the agent's work is there all the same."""
    aienv, left_out = wrapped
    done = aienv.run(
        "--json", "--check", "echo x > checked", "--", "sh", "-c", "echo x > made",
        env={"AIENV_FAULT": "agent:end", "AIENV_FAULT_COMMAND": f"echo --unshare-net > {left_out}"},
    )  # fmt: skip
    report = done.document
    assert (done.code, report["error"]["code"]) == (3, "self-test")
    assert [(event["phase"], event["missing"]) for event in events(report)] == [("agent", None), ("check", "network")]
    assert git("show", f"{report['result']['branch'] or branches(repo)[0]}:made", cwd=repo) == "x\n"


def test_what_was_found_is_written_down(product: Aienv) -> None:
    """One event for each command, with the facts, on both backends."""
    report = product.report("--check", "true", "--", "true")
    assert report["status"] == "succeeded"
    found = events(report)
    assert [event["phase"] for event in found] == ["agent", "check"]
    for event in found:
        facts = event["facts"]
        assert isinstance(facts, dict)
        assert (event["missing"], facts["writable"], facts["descriptors"], facts["canary_port"]) == (None, [], [], 111)
