"""What this machine offers: each check says what it found, why, and what cures it."""

from collections.abc import Mapping

from orchestrator.model.paths import Paths
from orchestrator.recovery.diagnosis import Check, diagnose, usable
from orchestrator.recovery.machine import gather

__all__ = ["Check", "examine", "usable"]


def examine(paths: Paths, environ: Mapping[str, str]) -> list[Check]:
    """All checks, in the order of what they rest on."""
    return diagnose(gather(paths, environ))
