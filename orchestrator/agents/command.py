"""The plainest agent: a command, as given. Its standard output is the run's; its exit code decides."""

from orchestrator.errors import UsageError
from orchestrator.model.plan import AgentPlan
from orchestrator.model.task import TaskSpec


def plan_command(task: TaskSpec) -> AgentPlan:
    """The agent's part of the plan.

    Raises:
        UsageError: there is no command.
    """
    if not task.command:
        raise UsageError(
            "nothing to run: the task has no command",
            remedy="aienv run -- COMMAND [ARG...], or 'command: [...]' in the task file",
        )
    return AgentPlan(profile="command", argv=task.command, prompt=task.prompt, tty=task.tty)
