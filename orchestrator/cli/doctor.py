"""``aienv doctor``: what this machine offers, as typed checks with cause and cure."""

import os
import sys
from dataclasses import asdict

import click

from orchestrator.cli.common import finish_interrupted, json_option, paths, print_json
from orchestrator.report.text import printable

_MARK = {"ok": "ok  ", "warning": "warn", "failed": "FAIL"}


@click.command()
@json_option
def doctor_command(as_json: bool) -> int:
    """Check what this machine offers. Exit code 0 when tasks can run here, 5 when no backend can be used."""
    from orchestrator.recovery.doctor import examine, usable

    finish_interrupted(quiet=as_json)
    checks = examine(paths(), os.environ)
    if as_json:
        print_json({"schema": "aienv.doctor/1", "usable": usable(checks), "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            click.echo(printable(f"{_MARK[check.status]}  {check.name}: {check.detail}"))
            for text in (check.cause, check.remedy) if check.status != "ok" else ():
                if text and " " in text:  # a bare word is the stable code of an error, for programs
                    click.echo(printable(f"      {text}"))
    sys.stdout.flush()
    return 0 if usable(checks) else 5
