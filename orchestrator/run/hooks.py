"""The hooks of a dev container, each as a command of the setup: the first that fails ends the run.

All commands of a dev container's run share a home, which begins as the image's own. Nothing else that a hook starts outlives it.
"""

import json

from orchestrator.backends.protocol import Environment
from orchestrator.errors import EnvironmentFailed, Interrupted
from orchestrator.model.devcontainer import DevcontainerPlan, HookPlan
from orchestrator.model.record import CheckResult
from orchestrator.run.commands import Command, run_command
from orchestrator.run.context import Context
from orchestrator.run.interrupts import Interrupts
from orchestrator.sandbox.argv import SKELETON

SERVES_S = 10.0  # what a start hook serves is ended after this: nothing of it goes on beside the agent
HOME_S = 300.0
MAY_SERVE = frozenset(["postStartCommand"])

# Run inside, by an interpreter that is there in any case.
_COPY = """
import os, shutil, sys
source, target = sys.argv[1:]
if os.path.isdir(source):
    try:
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    except shutil.Error as problem:
        for _, path, why in problem.args[0]:
            print(f"{path}: {why}")
        sys.exit(1)
    except OSError as problem:
        sys.exit(str(problem))
"""
_SIDE_BY_SIDE = """
import json, subprocess, sys
running, codes = [], []
for name, words in json.loads(sys.argv[1]):
    try:
        running.append((name, subprocess.Popen(words)))
    except OSError as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        codes.append(127)
for name, process in running:
    code = process.wait()
    if code:
        print(f"{name} failed with code {code}", file=sys.stderr)
    codes.append(code if code >= 0 else 128 - code)
sys.exit(max(codes, default=0))
"""


def fill_home(context: Context, environment: Environment, plan: DevcontainerPlan, interrupts: Interrupts) -> None:
    """Copy the image's home, as the agent: what it may not read stays behind, with a note.

    Raises:
        EnvironmentFailed: broker or environment ended under it. Interrupted: a signal came.
    """
    if not plan.user.skeleton:
        return
    python = environment.launcher.facts.python
    argv = (python, "-I", "-S", "-c", _COPY, SKELETON, plan.user.home)
    command = Command("setup", "setup/home.log", f"copy of {plan.user.home}", argv, HOME_S, skeleton=True)
    done = run_command(context, environment, command, interrupts).result
    if interrupts.count:
        raise Interrupted("interrupted during the setup")
    if done.exit_code != 0:
        context.notes.append(f"not all of the image's {plan.user.home} could be copied: {context.folder.run / command.log} says what")


def run_hook(
    context: Context, environment: Environment, plan: DevcontainerPlan, hook: HookPlan, number: int, interrupts: Interrupts
) -> CheckResult:
    """All its commands, side by side, to their end.

    Raises:
        EnvironmentFailed: broker or environment ended under it.
    """
    serves = hook.hook in MAY_SERVE
    deadline_s = min(SERVES_S, context.plan.limits.timeout_s) if serves else context.plan.limits.timeout_s
    argv = argv_of(hook, environment.launcher.facts.python)
    command = Command("setup", f"setup/{number}.log", hook.words, argv, deadline_s, chdir=plan.folder)
    ran = run_command(context, environment, command, interrupts)
    if serves and not ran.in_time:
        log = context.folder.run / command.log
        context.notes.append(f"{hook.words} still ran after {deadline_s:g} s and was ended; the agent goes on without it ({log})")
        return CheckResult(ran.result.command, 0, ran.result.duration_s, ran.result.output_tail)
    return ran.result


def argv_of(hook: HookPlan, python: str) -> tuple[str, ...]:
    """Several run at once: a program of ours starts them and waits. Pure."""
    if len(hook.commands) == 1 and not hook.commands[0].name:
        return hook.commands[0].argv
    return (python, "-I", "-S", "-c", _SIDE_BY_SIDE, json.dumps([[one.name, list(one.argv)] for one in hook.commands]))


def failed(what: str, done: CheckResult, log: str) -> EnvironmentFailed:
    """Why the run ends here."""
    said = done.output_tail[-500:].strip()
    return EnvironmentFailed(
        f"{what} failed with code {done.exit_code}" + (f": {said}" if said else ""), remedy=f"its whole output is in {log}", code="setup"
    )
