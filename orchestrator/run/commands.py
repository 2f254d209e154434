"""Commands inside: the agent, the checks, the harvest program, each as a request to the launcher."""

import math
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.backends.cgroups import Pressure, pressure
from orchestrator.backends.protocol import Environment
from orchestrator.errors import EnvironmentFailed
from orchestrator.harvest.request import HarvestLimits, harvest_command
from orchestrator.launcher.client import Prelude, Process, RunRequest, Sink, TerminalSize
from orchestrator.model.network import Phase
from orchestrator.model.plan import AgentPlan, Plan
from orchestrator.model.record import CheckResult, Outcome
from orchestrator.report.text import plural, size
from orchestrator.run.admission import admit, canaries, listening
from orchestrator.run.agent_files import agent_inputs, covers
from orchestrator.run.agent_limits import AgentWatch
from orchestrator.run.context import Context
from orchestrator.run.docker import has_containers
from orchestrator.run.environ import agent_environment, docker_environment, harvest_environment
from orchestrator.run.interrupts import Interrupts
from orchestrator.run.masked import masked_now
from orchestrator.run.network import inputs
from orchestrator.run.output import OutputSink, TailSink
from orchestrator.run.steps import Step
from orchestrator.run.terminal import Terminal
from orchestrator.run.watch import Watch, watching
from orchestrator.sandbox.argv import HARVEST_PROGRAM, USER, Confinement, guarded_paths, sandbox_arguments
from orchestrator.sandbox.seccomp import build_filter

TMPFS_SHARE = 8  # four file systems in memory, each an eighth: together half of limits.memory
SECOND_THOUGHT_S = 10.0  # after KILL the kernel needs a moment; longer than this means that the place is gone
START_S = 30.0
CHECK_GRACE_S = 2.0
LOG_FOLDERS: Mapping[Phase, str] = {"setup": "setup", "check": "checks"}

Reason = Literal["exited", "timeout", "stopped", "interrupted", "lost", "limit"]


def start(
    context: Context,
    environment: Environment,
    phase: Phase,
    argv: tuple[str, ...],
    sink: Sink,
    tty: TerminalSize | None,
    command: "Command | None" = None,
) -> Process:
    """A command as the agent sees the world. It runs when this returns, or has failed to: then its end says why.

    Raises:
        EnvironmentFailed: its sandbox does not hold; it was not started.
    """
    context.quiet()  # in a container the previous command's listeners would still have the ports
    with context.docker.still():  # bubblewrap follows what lies in the workspace, and containers could change it under its hands
        return _start(context, environment, phase, argv, sink, tty, command)


def _start(
    context: Context,
    environment: Environment,
    phase: Phase,
    argv: tuple[str, ...],
    sink: Sink,
    tty: TerminalSize | None,
    command: "Command | None",
) -> Process:
    assert context.workspace is not None
    plan, network, facts = context.plan, context.network, environment.launcher.facts
    if has_containers(plan):
        look_at_git(context.folder.workspace(plan.repo.name), context.workspace.git_dirs)
    masks = masked_now(context.folder.workspace(plan.repo.name), context.workspace.masked)  # a check comes after the agent
    confinement = Confinement(
        purpose="agent",
        workspace=plan.workspace,
        git_dirs=context.workspace.git_dirs,
        masks=masks,
        env=(),  # the command's own come with the prelude, which must start without them
        tmpfs_bytes=plan.limits.memory_bytes // TMPFS_SHARE,
        chdir=command.chdir or plan.workspace if command is not None else plan.workspace,
        inputs=(*inputs(network), *(agent_inputs(context) if phase == "agent" else ())),
        user=plan.devcontainer.user if plan.devcontainer is not None else USER,
        covers=covers(context) if phase == "agent" else (),
        keeps_home=plan.keeps_home,
        skeleton=command is not None and command.skeleton,
    )
    arguments = sandbox_arguments(confinement, facts, build_filter(facts.machine))
    extra = (*network.env(phase), *docker_environment(plan, context.folder.id), *(plan.agent.env if phase == "agent" else ()))
    env = agent_environment(plan, context.folder.id, network.plan, extra, facts.python)
    with canaries(context.folder.run) as canary:
        request = RunRequest(
            arguments.options,
            arguments.data,
            argv,
            stdin=tty is not None,
            tty=tty,
            rlimits=resource_limits(plan, facts.container),
            processors=_processors(plan),
            prelude=Prelude(env, tuple(listening(context, phase).values()), canary),
        )
        process = environment.launcher.run(request, sink)
        admit(context, phase, process, confinement, facts, canary)
    return process


def look_at_git(workspace: Path, git_dirs: tuple[str, ...]) -> None:
    """What will be mounted onto itself must be what it was: a container is not held by our mounts, and may have put a link in its place.

    Raises:
        EnvironmentFailed: it names the place.
    """
    for path, wanted in guarded_paths(git_dirs):
        place = workspace
        for name in path.split("/"):
            place = place / name
            is_last = place == workspace / path
            kind = stat.S_IFMT(place.lstat().st_mode) if place.is_symlink() or place.exists() else 0
            if kind != (wanted if is_last else stat.S_IFDIR):
                message = f"a container has replaced {str(place.relative_to(workspace))!r}, so no sandbox can be made around the workspace"
                raise EnvironmentFailed(message, remedy="the work is harvested; run the task again", code="workspace-changed")


def harvest_request(context: Context, environment: Environment, config: bytes) -> RunRequest:
    """Our own harvest program: the workspace read-only, the outbox writable, no secret, no network."""
    facts = environment.launcher.facts
    inside = "/run/aienv/harvest.json"
    confinement = Confinement(
        purpose="harvest",
        workspace=context.plan.workspace,
        git_dirs=(),
        masks=(),
        env=harvest_environment(),
        tmpfs_bytes=context.plan.limits.memory_bytes // TMPFS_SHARE,
        chdir="/",
        inputs=((inside, config),),
    )
    arguments = sandbox_arguments(confinement, facts, build_filter(facts.machine))
    argv = harvest_command(facts.python, HARVEST_PROGRAM, inside)
    limits = {"RLIMIT_FSIZE": 2 * HarvestLimits().bundle_bytes}  # the largest file that it ever writes
    return RunRequest(arguments.options, arguments.data, argv, stdin=False, tty=None, rlimits=limits)


def resource_limits(plan: Plan, container: bool) -> Mapping[str, int]:
    """What the kernel can hold a process tree to without a cgroup; a container's engine does the rest."""
    limits = {"RLIMIT_NOFILE": plan.limits.open_files, "RLIMIT_FSIZE": plan.limits.disk_bytes}
    if container:
        return limits
    # RLIMIT_DATA and not RLIMIT_AS: Node and Go reserve far more addresses than they use.
    return limits | {"RLIMIT_NPROC": plan.limits.pids, "RLIMIT_DATA": plan.limits.memory_bytes}


def _processors(plan: Plan) -> int | None:
    """Whole processors for the local backend; a container's engine counts fractions."""
    return max(1, math.ceil(plan.limits.cpus)) if plan.backend == "local" else None


def run_agent(
    context: Context, environment: Environment, interrupts: Interrupts, sink: OutputSink, terminal: Terminal | None, budget: AgentWatch
) -> Outcome:
    """Run the agent until it ends, is stopped, or its time or ``budget`` is over; then nothing of it is alive. A stop of the budget comes
    as "budget" through the inbox."""
    with context.step(Step.AGENT, f"running {_name(context.plan.agent)}") as learned:
        begin = time.monotonic()
        process = start(context, environment, "agent", context.plan.agent.argv, sink, terminal.size() if terminal else None)
        process.on_end(lambda: interrupts.inbox.put("ended"))
        if terminal is not None:
            terminal.connect(process)
        if process.wait_started(START_S):
            context.faults.parts["AIENV_PID_AGENT"] = str(process.pid or 0)
            context.faults.running()
        try:
            with _watched(context, environment, interrupts) as watch:
                budget.start()
                reason: Reason = _supervise(context, process, interrupts, sink, watch, budget)
        finally:
            budget.close()
            context.quiet()
        context.notes.extend(_limit_notes(context, environment, watch))
        context.notes.extend([*budget.notes, *((budget.breach.text,) if budget.breach is not None and reason == "limit" else ())])
        ended = process.wait(0)
        if ended is not None and ended.failure is not None:
            raise EnvironmentFailed(f"the sandbox did not start: {ended.failure}", remedy="run aienv doctor", code="sandbox")
        lost = ended is None or ended.lost
        outcome = Outcome(
            exit_code=ended.code if ended else None,
            signal=None,
            reason="lost" if lost and reason == "exited" else reason,
            duration_s=round(time.monotonic() - begin, 3),
        )
        learned |= {"exit_code": outcome.exit_code, "reason": outcome.reason, "duration_s": outcome.duration_s}
    return outcome


def _name(agent: AgentPlan) -> str:
    return agent.argv[0] if agent.profile == "command" else f"{agent.profile} {agent.version}".strip()


def _watched(context: Context, environment: Environment, interrupts: Interrupts) -> AbstractContextManager[Watch]:
    """Disk, and what else nothing holds here, measured while a command runs."""
    plan = context.plan
    folder = context.folder.written if plan.keeps_home else context.folder.workspace(plan.repo.name)
    return watching(folder, plan.limits, plan.unlimited, environment.host_pid, lambda _: interrupts.inbox.put("limit"))


def _limit_notes(context: Context, environment: Environment, watch: Watch) -> Iterable[str]:
    """What became of the limits, for people: the one that stopped the command, and those that the kernel held."""
    limits = context.plan.limits
    if watch.breach is not None:
        yield watch.breach.text
    yield from watch.notes
    pid = environment.host_pid()
    found = pressure(pid) if pid is not None else Pressure(0, 0)
    if found.kills:
        yield f"the kernel ended {plural(found.kills, 'process')}: no memory was left, limit {size(limits.memory_bytes)} (--memory)"
    if found.refused_forks:
        yield f"the kernel refused to start {plural(found.refused_forks, 'process')}: limit {limits.pids:,} (--pids)"


def _supervise(
    context: Context, process: Process, interrupts: Interrupts, sink: OutputSink, watch: Watch, budget: AgentWatch
) -> Reason:
    """Wait for the end. The first signal, the deadline or a limit asks it to stop; a second signal, or taking yet more, ends it."""
    limits = context.plan.limits
    reason: Reason = "exited"
    end = time.monotonic() + limits.timeout_s
    while (message := interrupts.message(end - time.monotonic())) != "ended":
        if message == "limit" and watch.breach is None:
            continue  # it was about a command before this one
        if message == "budget" and (budget.breach is None or reason != "exited"):
            continue  # it is being stopped already
        sink.detach()
        if message == "limit" and watch.breach is not None and reason == "exited":
            reason = "limit"
            context.progress.say(watch.breach.text)
            process.stop(limits.grace_s)
            end = time.monotonic() + limits.grace_s + SECOND_THOUGHT_S
        elif message == "budget" and budget.breach is not None:
            reason = "limit"
            context.progress.say(budget.breach.text)
            process.stop(limits.grace_s)
            end = time.monotonic() + limits.grace_s + SECOND_THOUGHT_S
        elif message == "limit":
            process.kill()  # it goes on taking more while it should end
        elif reason == "exited" and message != "broker-lost":
            reason = "interrupted" if message == "signal" else "timeout"
            context.progress.say("stopping the agent" if message == "signal" else f"the agent's {limits.timeout_s:.0f} s are over")
            process.stop(limits.grace_s)
            end = time.monotonic() + limits.grace_s + SECOND_THOUGHT_S
        elif message == "broker-lost":
            reason = "lost"
            process.stop(limits.grace_s)
            end = time.monotonic() + limits.grace_s + SECOND_THOUGHT_S
        elif message == "signal":
            context.progress.say("ending the agent now; its work is still harvested")
            process.kill()
        else:
            break
    return reason


@dataclass(frozen=True, slots=True)
class Command:
    """One that runs to its end beside no other. ``log``: its file, below the run's folder; ``words``: what it is, for people; ``chdir``:
    None: the workspace. ``skeleton``: it sees the image's own home."""

    phase: Phase
    log: str
    words: str
    argv: tuple[str, ...]
    deadline_s: float
    chdir: str | None = None
    skeleton: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """``in_time``: it ended by itself."""

    result: CheckResult
    in_time: bool


def run_shell(
    context: Context, environment: Environment, phase: Phase, number: int, command: str, interrupts: Interrupts
) -> CheckResult:
    """One setup command or check, through the shell, in the same confinement as the agent's.

    Raises:
        EnvironmentFailed: broker or environment ended under it, so its exit code says nothing about the command.
    """
    log = f"{LOG_FOLDERS[phase]}/{number}.log"
    shell = ("/bin/sh", "-c", command)
    return run_command(context, environment, Command(phase, log, command, shell, context.plan.limits.timeout_s), interrupts).result


def run_command(context: Context, environment: Environment, command: Command, interrupts: Interrupts) -> Ran:
    """As ``run_shell``."""
    log = context.folder.run / command.log
    log.parent.mkdir(exist_ok=True)
    sink = TailSink(log, context.plan.limits.output_bytes)
    broker_lost = False
    begin = time.monotonic()
    with ExitStack() as undo:
        undo.callback(context.quiet)
        undo.callback(sink.close)
        process = start(context, environment, command.phase, command.argv, sink, None, command)
        process.on_end(lambda: interrupts.inbox.put("ended"))
        end = begin + command.deadline_s
        with _watched(context, environment, interrupts) as watch:
            while (message := interrupts.message(end - time.monotonic())) not in ("ended", None):
                if message == "limit" and watch.breach is None:
                    continue  # it was the agent's, which ended before it was heard
                broker_lost |= message == "broker-lost"
                process.stop(CHECK_GRACE_S)
                end = time.monotonic() + CHECK_GRACE_S + SECOND_THOUGHT_S
            if message is None:
                process.stop(CHECK_GRACE_S)
                end = time.monotonic() + CHECK_GRACE_S + SECOND_THOUGHT_S
                while (late := interrupts.message(end - time.monotonic())) not in ("ended", None):  # the next command's end is another
                    broker_lost |= late == "broker-lost"
        ended = process.wait(0)
    if broker_lost or (ended is not None and ended.lost):
        why = "the broker was killed" if broker_lost else environment.describe_end()
        message = f"the environment ended while {command.phase} command {command.words!r} ran: {why}"
        raise EnvironmentFailed(message, remedy="run the task again", code="environment-lost")
    code = 124 if message is None else ended.code if ended and ended.code is not None else 125
    text = (ended.failure or "") if ended and ended.failure else sink.tail.decode("utf-8", "backslashreplace")
    if watch.breach is not None:
        context.notes.append(f"{command.phase} {command.words!r}: {watch.breach.text}")
        code = code or 1
    return Ran(CheckResult(command.words, code, round(time.monotonic() - begin, 3), text), message is not None)
