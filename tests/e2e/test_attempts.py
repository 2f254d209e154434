"""The result by itself: ``--verify``; several attempts at one task: ``--attempts``."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.product import ROOT, Aienv, branches, end, git


def runs_of(aienv: Aienv, verifications: bool) -> list[dict[str, Any]]:
    """Reports of all runs, or of all verifications."""
    found = [json.loads((aienv.home / "runs" / row["id"] / "report.json").read_text()) for row in aienv.runs()]
    return [report for report in found if (report["verifies"] is not None) == verifications]


# --- --verify ---------------------------------------------------------------------------------------------------------


def test_a_verification_sees_the_result_alone(product: Aienv, repo: Path) -> None:
    """Commits and uncommitted work are there; ignored files, installed things and credentials are not. It has a record of its own."""
    commits = "echo x > made && git add made && git commit -qm made"
    work = f"{commits} && echo y > loose && echo build > .gitignore && echo z > build && touch ~/home"
    passes = "cat made loose && ! test -e build && ! test -e ~/home && test -z \"$(git status --porcelain)\" && echo later > written"
    done = product.run("--json", "--verify", passes, "--", "sh", "-c", work)
    report = done.document
    assert (done.code, report["status"]) == (0, "succeeded"), (done.errors, report)
    (verified,) = report["verify"]
    assert (verified["exit_code"], verified["status"], verified["output_tail"]) == (0, "succeeded", "x\ny\n")
    (own,) = runs_of(product, verifications=True)
    assert (own["id"], own["verifies"], own["base_commit"]) == (verified["run"], report["id"], report["result"]["commit"])
    assert own["teardown"]["left"] == []
    assert branches(repo) == [report["result"]["branch"]]
    assert "written" not in git("ls-tree", "--name-only", branches(repo)[0], cwd=repo)
    assert product("diff", "last", "--stat").text.split()[::2] == ["A", "A", "A"]  # last is the run, not its verification
    product("rm", "last")
    assert product.runs() == []


def test_a_failing_verification_fails_the_run(local: Aienv, repo: Path) -> None:
    """The code is 1, all commands have run, the branch stays."""
    done = local.run("--verify", "echo why; exit 3", "--verify", "true", "--check", "true", "--", "sh", "-c", "echo x > made")
    assert done.code == 1
    (report,) = runs_of(local, verifications=False)
    assert [(one["exit_code"], one["output_tail"]) for one in report["verify"]] == [(3, "why\n"), (0, "")]
    assert f"verify  failed (3), aienv logs {report['verify'][0]['run']}: echo why; exit 3" in done.errors
    assert branches(repo) == [report["result"]["branch"]]
    assert local("logs", report["verify"][0]["run"]).text == "why\n"


@pytest.mark.slow
def test_nothing_changed_is_verified_too(local: Aienv) -> None:
    """What passes is then the base."""
    assert local.run("--verify", "test -e README", "--", "true").code == 0
    assert local.run("--verify", "test ! -e README", "--", "true").code == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("--timeout", "2s", "--verify", "true", "--", "sleep", "30"), 124, id="timeout"),
        pytest.param(("--setup", "exit 4", "--verify", "true", "--", "true"), 3, id="setup"),
    ],
)
def test_what_has_no_result_is_not_verified(local: Aienv, words: tuple[str, ...], code: int) -> None:
    """A run that did not come to its end says how it ended, and no verification is made."""
    done = local.run("--json", *words)
    assert (done.code, done.document["verify"]) == (code, [])
    assert runs_of(local, verifications=True) == []


@pytest.mark.slow
def test_a_verification_out_of_time(local: Aienv) -> None:
    """It counts as failed."""
    done = local.run("--json", "--timeout", "3s", "--verify", "sleep 60", "--", "true")
    assert (done.code, [(one["exit_code"], one["status"]) for one in done.document["verify"]]) == (1, [(124, "timeout")])


@pytest.mark.slow
def test_a_verification_that_cannot_be_made(local: Aienv, repo: Path) -> None:
    """Its preparations fail at the result: that is no verdict, and the branch is there."""
    done = local.run("--json", "--setup", "test ! -e made", "--verify", "true", "--", "sh", "-c", "echo x > made")
    assert (done.code, done.document["error"]["code"]) == (3, "verification"), done.errors
    assert git("show", f"{branches(repo)[0]}:made", cwd=repo) == "x\n"


@pytest.mark.slow
def test_changes_of_the_user_are_part_of_the_result(local: Aienv, repo: Path) -> None:
    """What was carried in is verified as well, also in a repository without a commit."""
    (repo / "mine").write_text("mine\n")
    assert local.run("--with-changes", "--verify", "cat mine made", "--", "sh", "-c", "echo x > made").code == 0
    empty = repo.parent / "empty"
    empty.mkdir()
    git("init", "-q", cwd=empty)
    assert local.run("--verify", "cat made", "--", "sh", "-c", "echo x > made", cwd=empty).code == 0


@pytest.mark.slow
def test_a_remote_repository(local: Aienv, repo: Path, tmp_path: Path) -> None:
    """Its result is a bundle, which is as good."""
    (repo / ".git" / "hooks" / "post-update").write_text("#!/bin/sh\nexec git update-server-info\n")
    done = local.run("--json", "--repo", f"file://{repo}", "--keep", "--verify", "cat made", "--", "sh", "-c", "echo x > made")
    assert (done.code, done.document["verify"][0]["output_tail"]) == (0, "x\n")
    assert done.document["kept"]
    assert runs_of(local, verifications=True)[0]["kept"] is None


@pytest.mark.slow
def test_interrupted_during_the_verification(local: Aienv, repo: Path) -> None:
    """^C ends the verification; the run is interrupted, with its branch."""
    process = local.start("--json", "--verify", "touch started; sleep 600", "--", "sh", "-c", "echo x > made")
    wait_for(lambda: list((local.home / "work").glob("*/workspace/app/started")))
    process.send_signal(signal.SIGINT)
    done = end(process)
    assert (done.code, done.document["status"]) == (130, "interrupted")
    assert len(branches(repo)) == 1
    assert list((local.home / "active").iterdir()) == []


def wait_for(condition: Any, seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


# --- --attempts -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_attempts_are_ranked(product: Aienv, repo: Path) -> None:
    """Each is a run of its own from one commit, with a branch of its own; the table and the document have the best first."""
    work = 'seq $(($(od -An -N1 -tu1 /dev/urandom) + 3)) > "made-$AIENV_RUN_ID"; test -n "$AIENV_RUN_ID"'
    done = product.run("--json", "--attempts", "2", "--check", "cat made-*", "--", "sh", "-c", work)
    found = done.document
    assert (done.code, found["schema"], len(found["attempts"])) == (0, "aienv.attempts/1", 2), done.errors
    assert found["best"] == found["ranking"][0]["run"]
    assert found["ranking"][0]["changed_lines"] <= found["ranking"][1]["changed_lines"]
    assert {report["base_commit"] for report in found["attempts"]} == {git("rev-parse", "HEAD", cwd=repo).strip()}
    assert [(report["checks"], len(report["verify"])) for report in found["attempts"]] == [([], 1)] * 2
    assert sorted(branches(repo)) == sorted(report["result"]["branch"] for report in found["attempts"])
    assert len({report["id"] for report in found["attempts"]}) == 2


def test_attempts_for_people(local: Aienv, repo: Path) -> None:
    """A table on standard output; equal results and numbered branches are told; the next step is named."""
    done = local.run("--attempts", "2", "--branch", "aienv/mine", "--check", "cat made", "--", "sh", "-c", "echo x > made")
    head, *lines = done.text.splitlines()
    assert (done.code, head.split()[:4], len(lines)) == (0, ["RANK", "ATTEMPT", "RUN", "STATUS"], 2), done.errors
    assert sorted(branches(repo)) == ["aienv/mine-1", "aienv/mine-2"]
    assert [line.split()[4] for line in lines] == ["1/1", "1/1"]
    assert "(the same as attempt " in lines[1]
    assert f"aienv apply {lines[0].split()[2]}" in done.errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("--attempts", "21"), "1<=x<=20", id="too-many"),
        pytest.param(("--attempts", "0"), "1<=x<=20", id="none", marks=pytest.mark.slow),
        pytest.param(("--parallel", "2"), "--attempts", id="parallel-alone", marks=pytest.mark.slow),
        pytest.param(("--attempts", "2", "--push"), "--push", id="push"),
    ],
)
def test_attempts_that_are_refused(local: Aienv, words: tuple[str, ...], said: str) -> None:
    """Before anything is made."""
    done = local.run(*words, "--", "true")
    assert done.code == 2
    assert said in done.errors
    assert local.runs() == []


@pytest.mark.slow
def test_one_attempt_and_failing_ones(local: Aienv) -> None:
    """One is a table of one row; when none succeeds the code is that of all of them, or 1."""
    done = local.run("--json", "--attempts", "1", "--check", "false", "--", "sh", "-c", "echo x > made")
    assert (done.code, done.document["best"], len(done.document["ranking"])) == (1, None, 1)
    done = local.run("--json", "--attempts", "2", "--timeout", "2s", "--", "sleep", "60")
    assert (done.code, [entry["status"] for entry in done.document["ranking"]]) == (124, ["timeout"] * 2)


@pytest.mark.slow
def test_all_attempts_have_the_same_beginning(local: Aienv, repo: Path) -> None:
    """Commits and uncommitted work are those of the moment at which it began, whatever the user does meanwhile."""
    (repo / "mine").write_text("before\n")
    work = "cat mine README > made; sleep 1"
    process = local.start("--json", "--attempts", "3", "--parallel", "1", "--with-changes", "--", "sh", "-c", work)
    wait_for(lambda: list((local.home / "runs").glob("*/plan.json")) if (local.home / "runs").exists() else None)
    (repo / "mine").write_text("after\n")
    (repo / "README").write_text("after\n")
    git("commit", "-qam", "meanwhile", cwd=repo)
    found = end(process).document
    assert [git("show", f"{report['result']['branch']}:made", cwd=repo) for report in found["attempts"]] == ["before\nhello\n"] * 3
    assert len({report["plan_digest"] for report in found["attempts"]}) == 1
    assert (repo / "mine").read_text() == "after\n"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["interrupt", "kill"])
def test_ending_attempts(local: Aienv, repo: Path, number: int, code: int) -> None:
    """^C is passed on and waited for; when we are killed the attempts notice, harvest and end. Those that wait are not started."""
    process = local.start("--json", "--attempts", "3", "--", "sh", "-c", "echo x > made; echo ready; sleep 600")
    logs = local.home / "runs"
    wait_for(lambda: len([log for log in logs.glob("*/agent.log") if b"ready" in log.read_bytes()]) == 2)
    process.send_signal(number)
    if number == signal.SIGINT:
        done = end(process)
        assert (done.code, done.document["interrupted"], done.document["best"]) == (code, True, None)
        assert [entry["status"] for entry in done.document["ranking"]] == ["interrupted"] * 2
    else:
        assert process.wait(10) == code
        wait_for(lambda: not list((local.home / "active").iterdir()))
    assert [git("show", f"{branch}:made", cwd=repo) for branch in branches(repo)] == ["x\n"] * 2
    assert len(local.runs()) == 2


@pytest.mark.slow
def test_an_attempt_that_is_killed(local: Aienv, repo: Path) -> None:
    """Its broker finishes it, and the table has what became of it."""
    work = "echo x > made; echo ready; sleep 3"
    process = local.start("--json", "--attempts", "2", "--", "sh", "-c", work)
    wait_for(lambda: len([log for log in (local.home / "runs").glob("*/agent.log") if b"ready" in log.read_bytes()]) == 2)
    mark = sorted((local.home / "active").iterdir())[0]
    os.kill(int(mark.read_text().split()[0]), signal.SIGKILL)
    found = end(process).document
    assert sorted(entry["status"] for entry in found["ranking"]) == ["interrupted", "succeeded"]
    assert len(branches(repo)) == 2
    assert [report["recovered"] for report in found["attempts"] if report["status"] == "interrupted"] == [True]


@pytest.mark.slow
def test_attempts_of_an_agent(product: Aienv) -> None:
    """An agent with a profile: what its plan says of it arrives in each process."""
    assert product("agents", "add", str(ROOT / "examples/agents/note-taker.yaml")).code == 0
    words = ("--agent", "note-taker", "--attempts", "2", "--verify", "grep -q milk NOTES.md", "Remember the milk")
    done = product.run("--json", *words)
    assert done.code == 0, done.errors
    assert [(one["agent"]["profile"], one["status"]) for one in done.document["attempts"]] == [("note-taker", "succeeded")] * 2
    assert [entry["passed"] for entry in done.document["ranking"]] == [1, 1]
    assert done.document["ranking"][1]["same_as"] == done.document["ranking"][0]["attempt"]
