"""``aienv recover RUN``: what the broker becomes when the main process was killed. Hidden; harmless to call."""

import os

import click

from orchestrator.cli.common import paths
from orchestrator.recovery.recover import LOCK_WAIT_S, recover
from orchestrator.report.progress import Progress


@click.command(hidden=True)
@click.argument("run_id")
def recover_command(run_id: str) -> None:
    """Finish RUN if nobody else does."""
    recover(paths(), run_id, os.environ, Progress(quiet=True), wait_s=LOCK_WAIT_S)
