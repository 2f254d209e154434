"""What several commands share: the folders, JSON on standard output, the sweep."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from orchestrator.model.paths import Paths, paths_from
from orchestrator.report.progress import Progress

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on standard output; all else goes to standard error."
)


def paths() -> Paths:
    return paths_from(os.environ)


def environ() -> Mapping[str, str]:
    return os.environ


def print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def finish_interrupted(quiet: bool = False) -> None:
    """Runs whose processes are gone are finished by whatever command comes next."""
    found = paths()
    if not found.active.is_dir():
        return
    from orchestrator.run.folder import active_ids

    if active_ids(found):
        from orchestrator.recovery.recover import sweep

        sweep(found, os.environ, Progress(quiet))


def here() -> Path:
    return Path.cwd()
