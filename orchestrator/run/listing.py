"""What the run folders say: one row per run, for ``ps``, ``show`` and ``gc``."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator import trees
from orchestrator.model.paths import Paths
from orchestrator.run import folder as folders
from orchestrator.run.folder import RunFolder

State = Literal["running", "interrupted", "kept", "left", "finished"]


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. ``state``: ``running`` its owner lives; ``interrupted`` nobody looks after it; ``kept`` its workspace is still there;
    ``left`` something could not be removed; ``finished``. ``status`` as in the report, None before there is one.
    """

    id: str
    task: str
    state: State
    status: str | None
    backend: str
    repo: str
    branch: str | None
    created: float
    size_bytes: int
    folder: str
    workspace: str | None


def rows(paths: Paths) -> Iterator[RunRow]:
    """All runs, oldest first."""
    for run_id in folders.all_ids(paths):
        yield row(folders.run_folder(paths, run_id))


def row(folder: RunFolder) -> RunRow:
    report, plan = read_json(folder.report), read_json(folder.plan) or {}
    repo = plan.get("repo", {})
    workspace = folder.workspace(repo["name"]) if repo else None
    return RunRow(
        id=folder.id,
        task=plan.get("task", "?"),
        state=_state(folder, report),
        status=report["status"] if report else None,
        backend=plan.get("backend", "?"),
        repo=repo.get("location", "?"),
        branch=report["result"]["branch"] if report else None,
        created=folder.run.stat().st_ctime if report is None else _created(folder),
        size_bytes=trees.size(folder.run) + trees.size(folder.work),
        folder=str(folder.run),
        workspace=str(workspace) if workspace and workspace.exists() else None,
    )


def _created(folder: RunFolder) -> float:
    return folder.plan.stat().st_mtime


def _state(folder: RunFolder, report: dict[str, Any] | None) -> State:
    if not folder.mark.exists():
        return "finished"
    if folders.is_owned(folder):
        return "running"
    if report is None:
        return "interrupted"
    return "kept" if report["kept"] else "left"


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object of ours; None when it is not there (yet)."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


