"""The environment variables of a command inside: a closed list, nothing of the host's unless named. Pure."""

from orchestrator.model.plan import Plan
from orchestrator.sandbox.argv import BASE_PATH, HOME

# An image may set variables that change how a program is loaded; our own programs run beside the agent's.
_NEVER_FROM_IMAGE = ("LD_", "PYTHON", "GLIBC_", "GIT_", "MALLOC_", "DOCKER_", "AIENV")


def agent_environment(plan: Plan, run_id: str) -> tuple[tuple[str, str], ...]:
    """Image first, then ours, then what the task names; sorted by name."""
    env = {"PATH": BASE_PATH, "LANG": "C.UTF-8"}
    env |= {name: value for name, value in plan.image.env if not name.startswith(_NEVER_FROM_IMAGE)} if plan.image else {}
    env |= {
        "HOME": HOME,
        "USER": "agent",
        "LOGNAME": "agent",
        "SHELL": "/bin/sh",
        "TMPDIR": "/tmp",
        "TERM": "xterm-256color" if plan.agent.tty else "dumb",
        "CI": "1",
        "AIENV": "1",
        "AIENV_RUN_ID": run_id,
    }
    env |= dict(plan.env)
    return tuple(sorted(env.items()))


def harvest_environment() -> tuple[tuple[str, str], ...]:
    """For our own program inside the sandbox."""
    return (("HOME", HOME), ("LANG", "C.UTF-8"), ("PATH", f"/opt/aienv/bin:{BASE_PATH}"))
