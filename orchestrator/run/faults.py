"""Fault points: places where a test can kill something, named by the journal's steps.

``AIENV_FAULT="<step>:<begin|end>"`` (or ``agent:running``) together with ``AIENV_FAULT_COMMAND`` runs that shell command at that
point, once, with the pids and ids of the run's parts in its environment. Without the variable nothing happens. It is the user's own
environment that carries it; nothing of the repository or the agent reaches here.
"""

import os
import subprocess
from collections.abc import Mapping

from orchestrator.run.steps import Step

VARIABLE, COMMAND = "AIENV_FAULT", "AIENV_FAULT_COMMAND"
_DEADLINE_S = 120.0


class Faults:
    """``parts``: names such as AIENV_PID_BROKER, filled in by the run as they come into being."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._point = environ.get(VARIABLE)
        self._command = environ.get(COMMAND)
        self.parts: dict[str, str] = {"AIENV_PID_MAIN": str(os.getpid())}

    def running(self) -> None:
        """The agent runs: the one point that lies inside a step."""
        self.reach(Step.AGENT, "running")

    def reach(self, step: Step, state: str) -> None:
        if self._point != f"{step.value}:{state}" or not self._command:
            return
        self._point = None
        subprocess.run(
            ["/bin/sh", "-c", self._command], env={**os.environ, **self.parts}, timeout=_DEADLINE_S, check=False, stdout=subprocess.DEVNULL
        )
