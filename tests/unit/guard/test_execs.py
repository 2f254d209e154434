"""Commands in containers."""

import pytest

from orchestrator.guard.calls import Denied, Object, Usage
from orchestrator.guard.execs import judge_exec, judge_exec_start
from tests.unit.guard.bodies import LIMITS, SESSION, sent


def refused(body: Object) -> str:
    with pytest.raises(Denied) as caught:
        judge_exec(sent({"Cmd": ["x"], **body}), SESSION, Usage())
    return caught.value.denial.rule


@pytest.mark.parametrize(("body", "because"), [
    pytest.param({"Privileged": True}, "exec.privileged", id="privileged"),
    pytest.param({"Privileged": "yes"}, "exec.privileged", id="privileged-text"),
    pytest.param({"privileged": True}, "body.case", id="privileged-case"),
    pytest.param({"privileged": False}, "body.case", id="privileged-case-false"),
    pytest.param({"Privi\u017feged": True}, "body.unknown", id="not-a-fold"),
    pytest.param({"Cmd": []}, "exec.command", id="no-command"),
    pytest.param({"Cmd": None}, "exec.command", id="null-command"),
    pytest.param({"Cmd": {"a": "b"}}, "body.type", id="command-object"),
    pytest.param({"Env": ["=x"]}, "body.value", id="env"),
    pytest.param({"DetachKeys": "\n"}, "body.value", id="keys"),
    pytest.param({"detachKeys": "\n"}, "body.value", id="keys-of-docker-py"),
    pytest.param({"DETACHKEYS": "a"}, "body.case", id="keys-case"),
    pytest.param({"ConsoleSize": [1, 2, 3]}, "body.long", id="size"),
    pytest.param({"CapAdd": ["ALL"]}, "body.unknown", id="unknown"),
])  # fmt: skip
def test_refused(body: Object, because: str) -> None:
    assert refused(body) == because


def test_passes() -> None:
    """What the docker command sends, and what docker-py does."""
    body: Object = {
        "User": "1000", "Privileged": False, "Tty": True, "ConsoleSize": [24, 80], "AttachStdin": True, "AttachStderr": True,
        "Detach": False,
        "AttachStdout": True, "DetachKeys": "ctrl-p", "Env": ["A=b"], "WorkingDir": "/x", "Cmd": ["ls"],
    }  # fmt: skip
    judged = judge_exec(sent(body), SESSION, Usage())
    assert judged == {key: value for key, value in body.items() if key != "Privileged"}
    assert judge_exec({"Container": "x", "Cmd": "ls", "Env": None, "detachKeys": "a"}, SESSION, Usage()) == {
        "Cmd": ["ls"],
        "detachKeys": "a",
    }


def test_quota() -> None:
    with pytest.raises(Denied, match=r"guard\.execs: 65"):
        judge_exec({"Cmd": ["x"]}, SESSION, Usage(execs=LIMITS.execs))
    assert judge_exec({"Cmd": ["x"]}, SESSION, Usage(execs=LIMITS.execs - 1))


@pytest.mark.parametrize(("body", "expected"), [
    pytest.param({}, {}, id="empty"),
    pytest.param({"Detach": True, "Tty": False}, {"Detach": True, "Tty": False}, id="detached"),
    pytest.param({"ConsoleSize": [0, 0], "Tty": True}, {"Tty": True}, id="no-size"),
    pytest.param({"ConsoleSize": [1, 2]}, {"ConsoleSize": [1, 2]}, id="size"),
])  # fmt: skip
def test_start(body: Object, expected: Object) -> None:
    assert judge_exec_start(body) == expected


@pytest.mark.parametrize("body", [{"detach": True}, {"Detach": "true"}, {"Detach": 1}, {"Privileged": True}, {"Cmd": ["x"]}])
def test_start_refused(body: Object) -> None:
    """How it is answered depends on these: a second reading would be a tunnel for whatever follows."""
    with pytest.raises(Denied):
        judge_exec_start(body)
