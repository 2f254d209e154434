"""A command in a container that runs: nothing that the container itself may not have. Pure."""

from collections.abc import Mapping

from orchestrator.guard.calls import Object, Session, Usage, deny
from orchestrator.guard.container import ENVIRONMENT
from orchestrator.guard.fields import FieldRule, each, flag, forbidden, ignored, judge, matching, number, text, words
from orchestrator.guard.quota import admit

_KEYS = matching(r"[\x20-\x7e]{0,64}", "keys such as ctrl-p,ctrl-q")
_SIZE = each(number(0, 1 << 16), most=2)

EXEC: Mapping[str, FieldRule] = {
    "User": text(256),
    "Privileged": forbidden("exec.privileged", "a privileged command in a container is the machine itself"),
    "Tty": flag,
    "ConsoleSize": _SIZE,
    "AttachStdin": flag,
    "AttachStdout": flag,
    "AttachStderr": flag,
    "Detach": flag,
    "DetachKeys": _KEYS,
    "detachKeys": _KEYS,  # so docker-py spells it; the daemon takes it for the one above, and it is judged as that
    "Env": ENVIRONMENT,
    "WorkingDir": text(4096),
    "Cmd": words,
    "Container": ignored,  # docker-py repeats what the path says
}

START: Mapping[str, FieldRule] = {"Detach": flag, "Tty": flag, "ConsoleSize": _SIZE}


def judge_exec(body: Object, session: Session, usage: Usage) -> Object:
    """Raises Denied."""
    found = judge(EXEC, body, {})
    if not found.get("Cmd"):
        raise deny("exec.command", "no command is given", field="Cmd", status=400)
    admit(usage, Usage(execs=1), session.plan.limits)
    return _sized(found)


def judge_exec_start(body: Object) -> Object:
    """Raises Denied."""
    return _sized(judge(START, body, {}))


def _sized(found: Object) -> Object:
    """Without the size that clients send when they have no terminal."""
    return {key: value for key, value in found.items() if key != "ConsoleSize" or value not in ([], [0, 0])}
