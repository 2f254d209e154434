"""Setup commands: before the agent, in the same sandbox, with credentials of their own; when one fails the agent does not start."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.online import allow, ended_steps, finish, reports
from tests.e2e.product import Aienv, branches, end, git
from tests.internet import Internet


def phases(folder: Path, kind: str) -> list[str]:
    """The phases of the events of one kind, in their order, each once."""
    events = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    return list(dict.fromkeys(event["phase"] for event in events if event["kind"] == kind))


def test_before_the_agent_with_its_own_credentials(product: Aienv, internet: Internet, tmp_path: Path) -> None:
    """Setup, agent and check each reach the service with the credentials of their phase, and with no other.

    What the setup left behind (its stand-in in a file) is worth nothing to the agent.
    """
    online = internet.around(product)
    for name in ("setup", "agent"):
        (tmp_path / name).write_text(f"value-of-the-{name}-0123456789abcdef\n")
    ask = "curl -sS -o /dev/null -w '%{{http_code}}\\n' -H \"Authorization: Bearer {}\" https://origin.example.org/echo/{}"
    mark = internet.mark()
    run = finish(
        online, *allow("origin.example.org"),
        "--setup-secret", f"SETUP_TOKEN=file://{tmp_path}/setup", "--secret", f"AGENT_TOKEN=file://{tmp_path}/agent",
        "--secret-host", "SETUP_TOKEN=origin.example.org", "--secret-host", "AGENT_TOKEN=origin.example.org",
        "--setup", ask.format("$SETUP_TOKEN", "setup") + '; env > seen-by-setup; echo "$SETUP_TOKEN" > left',
        "--setup", "test -f left && echo second > second",
        "--check", f"test -z \"$SETUP_TOKEN\" && {ask.format('$AGENT_TOKEN', 'check')}",
        "--", "sh", "-c", f"cat second; env > seen-by-agent; {ask.format('$AGENT_TOKEN', 'agent')}; {ask.format('$(cat left)', 'stolen')}",
    )  # fmt: skip
    assert run.done.code == 0, run.done.errors
    assert run.done.text == "second\n200\n403\n"
    seen = {event["target"]: dict(event["headers"])["Authorization"] for event in internet.events(mark, "http")}
    assert seen == {
        "/echo/setup": "Bearer value-of-the-setup-0123456789abcdef",
        "/echo/agent": "Bearer value-of-the-agent-0123456789abcdef",
        "/echo/check": "Bearer value-of-the-agent-0123456789abcdef",
    }
    branch = run.report["result"]["branch"]
    by_setup, by_agent = (git("show", f"{branch}:seen-by-{phase}", cwd=online.cwd) for phase in ("setup", "agent"))
    assert "SETUP_TOKEN=" in by_setup
    assert "AGENT_TOKEN=" not in by_setup
    assert "AGENT_TOKEN=" in by_agent
    assert "SETUP_TOKEN=" not in by_agent
    assert "value-of-the" not in by_setup + by_agent
    assert (run.folder / "setup/1.log").read_text() == "200\n"
    assert [(row["exit_code"], row["output_tail"]) for row in run.report["setup"]] == [(0, "200\n"), (0, "")]
    assert phases(run.folder, "net") == ["setup", "agent", "check"]
    assert run.report["network"]["credentials"] == [["AGENT_TOKEN", "origin.example.org", 2], ["SETUP_TOKEN", "origin.example.org", 1]]
    refused = [(event["name"], event["phase"]) for event in run.events("cred") if event["outcome"] == "refused"]
    assert refused == [("SETUP_TOKEN", "agent")]


def test_a_setup_that_fails(product: Aienv) -> None:
    """Code 3, the agent is not started, what was written is on a branch, and its output is said and kept."""
    setup = ("--setup", "echo first > first", "--setup", "echo second > second; echo no luck >&2; exit 9", "--setup", "echo x > third")
    run = finish(product, *setup, "--check", "echo checked > checked", "--", "sh", "-c", "echo agent ran > agent")
    assert run.done.code == 3
    assert run.done.stdout == b""
    assert (run.report["status"], run.report["error"]["code"], run.report["exit_code"]) == ("error", "setup", None)
    assert "failed with code 9: no luck" in run.report["error"]["message"]
    assert (run.folder / "setup/2.log").read_text() == "no luck\n"
    assert str(run.folder / "setup/2.log") in run.report["error"]["remedy"]
    assert not (run.folder / "setup/3.log").exists()
    (branch,) = branches(product.cwd)
    assert git("ls-tree", "--name-only", branch, cwd=product.cwd).split() == ["README", "first", "second", "src"]
    assert [(row["exit_code"], row["output_tail"]) for row in run.report["setup"]] == [(0, ""), (9, "no luck\n")]
    assert run.report["checks"] == []
    assert run.report["teardown"]["left"] == []
    assert phases(run.folder, "sandbox.selftest") == ["setup"]
    assert list((product.home / "work").iterdir()) == []


def test_a_setup_that_hangs(local: Aienv) -> None:
    """The agent's time limit holds for each setup command too."""
    run = finish(local, "--timeout", "1s", "--setup", "echo x > made; trap '' TERM; sleep 600", "--", "sh", "-c", "echo agent ran")
    assert (run.done.code, run.done.stdout, run.report["error"]["code"]) == (3, b"", "setup")
    assert "124" in run.report["error"]["message"]
    assert len(branches(local.cwd)) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupted_while_it_is_set_up(local: Aienv, number: signal.Signals) -> None:
    """130, no agent, the work of the setup on a branch, nothing left."""
    process = local.start("--setup", "echo x > made; sleep 600", "--", "sh", "-c", "echo agent ran")
    assert process.stderr is not None
    workspace = local.home / "work"
    for line in iter(process.stderr.readline, b""):
        if b"setting up:" in line:
            break
    while not list(workspace.glob("*/workspace/app/made")):
        assert process.poll() is None
    process.send_signal(number)
    done = end(process)
    assert (done.code, done.stdout) == (130, b""), done.errors
    (report,) = [json.loads(file.read_text()) for file in reports(local)]
    assert report["status"] == "interrupted"
    assert git("show", f"{branches(local.cwd)[0]}:made", cwd=local.cwd) == "x\n"
    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize("option", ["--setup", "--check"])
def test_the_broker_is_killed_meanwhile(local: Aienv, option: str) -> None:
    """That is no failure of the command: the run says what happened, with code 3."""
    process = local.start(option, "echo x > made; sleep 600", "--", "sh", "-c", "echo by the agent > agent")
    while not list(local.home.glob("work/*/workspace/app/made")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(ended_steps(local)["broker"]["pid"], signal.SIGKILL)
    done = end(process)
    (report,) = [json.loads(file.read_text()) for file in reports(local)]
    assert (done.code, report["status"], report["error"]["code"]) == (3, "error", "environment-lost"), done.errors
    assert "the broker was killed" in report["error"]["message"]
    assert git("ls-tree", "--name-only", branches(local.cwd)[0], cwd=local.cwd).split()[-2] == ("made" if option == "--setup" else "agent")
    assert list((local.home / "work").iterdir()) == []


def test_setup_of_a_task_file(local: Aienv, tmp_path: Path) -> None:
    """In a file: ``setup`` and ``setup_secrets``; the plan shows both, and that the agent gets none of them."""
    (tmp_path / "token").write_text("value-0123456789abcdef\n")
    task = tmp_path / "task.yaml"
    task.write_text(
        f"version: 1\nsetup: [echo one > one, 'test -n \"$API_TOKEN\"']\nsetup_secrets: ['API_TOKEN=file://{tmp_path}/token']\n"
        "secret_hosts: [API_TOKEN=api.example.org]\nnetwork: {allow: [api.example.org]}\n"
    )
    shown = local("plan", *local.options, str(task), "--", "true").text
    assert "setup:       echo one > one" in shown
    assert "API_TOKEN from" in shown
    assert "(setup)" in shown
    run = finish(local, str(task), "--", "sh", "-c", 'cat one; echo "[$API_TOKEN]"')
    assert (run.done.code, run.done.text) == (0, "one\n[]\n"), run.done.errors
