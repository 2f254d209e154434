"""What a verification's plan holds, and how its end counts."""

from dataclasses import replace

import pytest

from orchestrator.errors import EnvironmentFailed, Interrupted
from orchestrator.model.guard import NO_DOCKER_USE
from orchestrator.model.network import NO_USE, Gateway, GitRepo, NetRule, NetworkPlan, SecretPlan
from orchestrator.model.plan import ChangesPlan, Plan
from orchestrator.model.record import CheckResult, Harvest, Outcome, Status, Teardown, Verified
from orchestrator.model.report import AuditFacts, ErrorFacts, RunRecord
from orchestrator.model.task import Output
from orchestrator.report.summary import summary_lines
from orchestrator.run.verify import checks_as_verification, passed, tip, verification_plan, verified
from tests.unit.run.test_run_pieces import PLAN

RULE = NetRule("api.example.org", (443,), ("GET",), "/a/*", False, False, "network.allow")
FULL: Plan = replace(
    PLAN,
    repo=replace(PLAN.repo, changes=ChangesPlan("sha256:1", 3)),
    network=NetworkPlan(
        "allowlist", (),
        (
            RULE,
            replace(RULE, host="plain.example.org", methods=(), path=None),
            replace(RULE, host="model.example.org", origin="agent claude"),
        ),
        (), (),
        ("api.example.org", "bound.example.org"), (Gateway("s", "bound.example.org", 443, "", ()),),
        (GitRepo("git.example.org", "a/b", True),), "ssh.example.org", (),
    ),
    secrets=(SecretPlan("TOKEN", "env://TOKEN", ("bound.example.org",), ("agent", "check")),),
    setup=("make deps",),
    checks=("true",),
    verify=("make test", "make lint"),
    artifacts=("dist/*",),
    output=Output("aienv/mine", True),
    keep=True,
)  # fmt: skip


def test_a_verification_has_the_place_and_nothing_of_the_agent() -> None:
    """The result's commit, the same environment, preparations and hosts; no credential, no branch, no verification of its own."""
    plan = verification_plan(FULL, "run0000001", "d" * 40, "make test")
    assert (plan.repo.commit, plan.repo.changes, plan.repo.branch) == ("d" * 40, None, "main")
    assert plan.agent.argv == ("/bin/sh", "-c", "make test")
    assert (plan.secrets, plan.network.gateways, plan.network.git, plan.network.ssh) == ((), (), (), None)
    assert (plan.network.allow, plan.network.inspect) == (FULL.network.allow[:2], ("api.example.org",))
    assert (plan.setup, plan.checks, plan.verify, plan.artifacts) == (("make deps",), (), (), ())
    assert (plan.output, plan.keep, plan.verifies) == (Output(None, False), False, "run0000001")
    same = ("backend", "isolation", "image", "uid", "limits", "sandbox", "guard", "devcontainer", "env", "workspace", "require_isolation")
    assert [name for name in same if getattr(plan, name) != getattr(FULL, name)] == []


@pytest.mark.parametrize(("task", "expected"), [("fix", "fix-verify"), ("a" * 63, "a" * 56 + "-verify")])
def test_its_name(task: str, expected: str) -> None:
    """It stays a name, however long the task's is."""
    assert verification_plan(replace(FULL, task=task), "r", None, "true").task == expected


def test_checks_become_verifications() -> None:
    """Each once, the checks first."""
    plan = checks_as_verification(replace(FULL, checks=("make test", "a"), verify=("b", "a")))
    assert (plan.checks, plan.verify) == ((), ("make test", "a", "b"))


HARVEST = Harvest("b" * 40, "c" * 40, "c" * 40, False, (), (), (), (), None, None, ())


@pytest.mark.parametrize(
    ("harvest", "expected"),
    [
        pytest.param(HARVEST, "refs/aienv-out/head", id="commits"),
        pytest.param(replace(HARVEST, commit="d" * 40, uncommitted=True), "refs/aienv-out/worktree", id="uncommitted"),
        pytest.param(replace(HARVEST, commit="b" * 40, head="b" * 40), None, id="nothing"),
        pytest.param(replace(HARVEST, base=None, head=None, commit=None), None, id="no-commit-at-all"),
    ],
)
def test_which_ref_is_the_result(harvest: Harvest, expected: str | None) -> None:
    """The tip with everything in it; the base needs no taking."""
    assert tip(harvest) == expected


def record(status: Status, outcome: Outcome | None = None, error: ErrorFacts | None = None, **more: object) -> RunRecord:
    plain = RunRecord(
        id="r", task="t", status=status, backend="local", isolation="sandbox", plan_digest="d", repo="/r", base_commit=None,
        docker_mode="none", network_mode="none", network=NO_USE, docker=NO_DOCKER_USE, outcome=outcome, harvest=None, delivery=None,
        setup=(), checks=(), audit=AuditFacts("a", "h", 0), timings={}, teardown=Teardown((), ()), error=error, unlimited=(), notes=(),
        kept=None, recovered=False, folder="/f",
    )  # fmt: skip
    return replace(plain, **more)  # type: ignore[arg-type]


def exited(code: int | None, reason: str = "exited") -> Outcome:
    return Outcome(code, None, reason, 1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        pytest.param(record("succeeded", exited(0)), 0, id="passed"),
        pytest.param(record("failed", exited(3)), 3, id="failed"),
        pytest.param(record("timeout", exited(143, "timeout")), 124, id="timeout"),
        pytest.param(record("failed", exited(0, "limit")), 1, id="over-a-limit"),
        pytest.param(record("failed"), 124, id="never-started"),
    ],
)
def test_how_it_ended(ended: RunRecord, code: int) -> None:
    """Its exit code is never 0 unless it passed."""
    done = verified("make", ended, "tail")
    assert (done.exit_code, done.status, done.run, done.output_tail) == (code, ended.status, "r", "tail")
    assert passed([done]) == (code == 0)


def test_an_environment_that_could_not_be_had_is_no_verdict() -> None:
    """Ours to say, with the cause; an interruption stays one."""
    with pytest.raises(EnvironmentFailed, match="'make': no space") as raised:
        verified("make", record("error", error=ErrorFacts("disk-full", "no space", "free some", 3)), "")
    assert (raised.value.remedy, raised.value.code) == ("free some", "verification")
    with pytest.raises(Interrupted):
        verified("make", record("interrupted", exited(143, "interrupted")), "")


def test_the_summary_names_each() -> None:
    """One line each, behind the checks; a failure names the run whose log says why."""
    results = (
        Verified("make", 0, 1.0, "", "a1", "succeeded"),
        Verified("mak\x1b[2Je", 2, 1.0, "", "b2", "failed"),
        Verified("slow", 124, 1.0, "", "c3", "timeout"),
    )
    lines = summary_lines(record("failed", exited(0), checks=(CheckResult("c", 0, 1.0, ""),), verify=results))
    assert [line for line in lines if line.startswith(("check", "verify"))] == [
        "check   passed: c",
        "verify  passed: make",
        "verify  failed (2), aienv logs b2: mak\\x1b[2Je",
        "verify  ran out of time, aienv logs c3: slow",
    ]
