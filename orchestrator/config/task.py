"""Settings to ``TaskSpec``, with the checks that concern more than one key."""

import re
from typing import Any, NoReturn, cast

from orchestrator.config.layers import Setting, Settings
from orchestrator.config.names import AGENTS
from orchestrator.config.schema import ENVIRONMENT_CHOICES
from orchestrator.errors import ConfigError
from orchestrator.model.agent import AgentRules, DenyRules
from orchestrator.model.guard import GuardLimits
from orchestrator.model.task import (
    EnvironmentChoice,
    GitRules,
    GuardRules,
    Limits,
    NetworkRules,
    Output,
    SandboxRules,
    SecretRules,
    TaskSpec,
)

SLUG_LENGTH = 40
OTHER_AGENTS = ", ".join(name for name in AGENTS if name != "command")


def task_from(settings: Settings, *, default_name: str | None = None, need_agent: bool = True) -> TaskSpec:
    """The task that the settings describe.

    ``default_name`` (the stem of a task file, say) counts when nobody names the task. Without ``need_agent`` a task may do
    nothing: an environment to look around in.

    Raises:
        ConfigError: two settings contradict each other, or there is nothing to do.
    """
    agent, prompt, command = _work(settings, need_agent)
    value: Any = {key: setting.value for key, setting in settings.values.items()}
    return TaskSpec(
        name=value["name"] or slug(default_name or prompt or (command[0].rpartition("/")[2] if command else "")),
        repo=value["repo"],
        ref=value["ref"],
        agent=agent,
        prompt=prompt,
        command=command,
        backend=value["backend"],
        environment=_environment(settings),
        docker=value["docker"],
        network=NetworkRules(
            value["network.mode"], value["network.presets"], value["network.allow"], value["network.deny"], value["network.private"]
        ),
        secrets=SecretRules(value["secrets"], value["setup_secrets"], value["secret_hosts"]),
        git=GitRules(value["git.read"], value["git.push"], value["git.ssh"]),
        env=value["env"],
        limits=_limits(value),
        sandbox=SandboxRules(value["sandbox.mask"], value["sandbox.unmask"], value["sandbox.expose"]),
        setup=value["setup"],
        checks=value["checks"],
        artifacts=value["artifacts"],
        output=Output(value["output.branch"], value["output.push"]),
        with_changes=value["with_changes"],
        submodules=value["submodules"],
        lfs=value["lfs"],
        keep=value["keep"],
        tty=value["tty"],
        require_isolation=value["require_isolation"],
        guard=_guard(value),
        grants=value["devcontainer.grants"],
        work=_agent(value),
    )


def slug(text: str) -> str:
    """A task name from a sentence or a file name: ``Fix the parser!`` is ``fix-the-parser``."""
    words = re.findall(r"[a-z0-9]+", text[:400].lower(), re.ASCII)
    name = "-".join(words)[: SLUG_LENGTH + 1]
    if len(name) > SLUG_LENGTH:
        name = name.rpartition("-")[0] or name[:SLUG_LENGTH]
    return name or "task"


def _limits(value: dict[str, Any]) -> Limits:
    return Limits(
        cpus=value["limits.cpus"],
        memory_bytes=value["limits.memory"],
        pids=value["limits.pids"],
        disk_bytes=value["limits.disk"],
        open_files=value["limits.open_files"],
        timeout_s=value["limits.timeout"],
        grace_s=value["limits.grace"],
        output_bytes=value["limits.output"],
    )


def _guard(value: dict[str, Any]) -> GuardRules:
    limits = GuardLimits(
        containers=value["guard.containers"],
        memory_bytes=value["guard.memory"],
        cpus=value["guard.cpus"],
        pids=value["guard.pids"],
        volumes=value["guard.volumes"],
        networks=value["guard.networks"],
        execs=value["guard.execs"],
        ports=value["guard.ports"],
        container_memory_bytes=min(GuardLimits().container_memory_bytes, value["guard.memory"]),
        container_pids=min(GuardLimits().container_pids, value["guard.pids"]),
    )
    return GuardRules(value["guard.images"], value["guard.mcp"], value["guard.compose"], value["guard.learn"], limits)


def _agent(value: dict[str, Any]) -> AgentRules:
    lifted = frozenset(value["deny.except"])
    read, run = (tuple(item for item in value[key] if item not in lifted) for key in ("deny.read", "deny.run"))
    return AgentRules(
        model=value["model"],
        args=value["agent_args"],
        mode=value["permission_mode"],
        deny=DenyRules(read, run, value["deny.fetch"]),
        hooks=value["hooks"],
        mcp=value["mcp"],
        grants=value["agent_files"],
        max_cost_usd=value["limits.cost"],
        max_turns=value["limits.turns"],
        idle_s=value["limits.idle"],
        verify=value["verify"],
    )


def _environment(settings: Settings) -> EnvironmentChoice:
    """The one choice of the strongest layer that makes one."""
    made = [settings[key] for key in ENVIRONMENT_CHOICES if settings[key].value is not None]
    if not made:
        return EnvironmentChoice("auto", "")
    best = max(made, key=lambda setting: setting.rank)
    rivals = [setting for setting in made if setting.rank == best.rank]
    if len(rivals) > 1:
        names = " and ".join(setting.key for setting in rivals)
        raise ConfigError(f"{rivals[-1].where}: {names} exclude each other", remedy="keep one of them")
    kind = best.key.partition(".")[2]
    return EnvironmentChoice(cast(Any, kind), cast(str, best.value))


def _work(settings: Settings, need_agent: bool) -> tuple[str, str | None, tuple[str, ...]]:
    """Agent, prompt and command. Where layers disagree about what is to be done, the strongest one that says anything wins."""
    agent, prompt, command = settings["agent"], settings["prompt"], settings["command"]
    named = agent.value not in (None, "command")
    both = prompt.value is not None and bool(command.value) and prompt.rank == command.rank
    if command.value and named and (both or agent.rank == command.rank):
        raise ConfigError(
            f"{command.where}: command: is for agent: command, and agent is {agent.value!r}",
            remedy="write agent: command, or a prompt instead of the command",
        )
    if command.value and (prompt.value is None or command.rank > prompt.rank) and not (named and agent.rank > command.rank):
        return "command", None, cast(tuple[str, ...], command.value)
    if prompt.value is None:
        return _idle(settings, need_agent), None, ()
    if not named:
        _refuse_prompt(prompt, is_command=agent.value == "command" or both)
    return cast(str, agent.value), cast(str, prompt.value), ()


def _refuse_prompt(prompt: Setting, is_command: bool) -> NoReturn:
    choose = f"choose an agent that reads it: --agent {OTHER_AGENTS.replace(', ', '|')}"
    if is_command:
        message = f"{prompt.where}: a prompt is for an agent, and agent: command runs a command"
        raise ConfigError(message, remedy=f"drop the prompt, or {choose}")
    raise ConfigError(f"{prompt.where}: there is a prompt but no agent", remedy=choose)


def _idle(settings: Settings, need_agent: bool) -> str:
    """The agent of a task with neither prompt nor command: fine at a terminal, or where no agent is wanted."""
    agent = settings["agent"]
    named = agent.value not in (None, "command")
    if named and (settings["tty"].value or not need_agent):
        return cast(str, agent.value)
    if not need_agent:
        return "command"
    if agent.value == "command":
        raise ConfigError(f"{agent.where}: agent: command needs a command", remedy="add command: [pytest, -q], or give it after --")
    if agent.value is not None:
        raise ConfigError(f"{agent.where}: agent {agent.value!r} has nothing to do", remedy="add prompt: ..., or give it as TASK in quotes")
    raise ConfigError("there is nothing to do: no prompt and no command", remedy="give a prompt in quotes, a task, or a command after --")
