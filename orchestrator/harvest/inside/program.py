"""The whole harvest, in order; its manifest comes last, so that it says that the rest is there."""

import json
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.harvest.inside.artifacts import copy_artifacts
from orchestrator.harvest.inside.bundle import bring_out
from orchestrator.harvest.inside.config import config_from
from orchestrator.harvest.inside.files import git_folder_of
from orchestrator.harvest.inside.job import Job
from orchestrator.harvest.inside.leftovers import Leftover, keep_leftovers
from orchestrator.harvest.inside.nested import nested_repositories
from orchestrator.harvest.inside.repo import Repo
from orchestrator.harvest.inside.salvage import keep_damaged, write_salvage
from orchestrator.harvest.inside.words import Trouble, show

MANIFEST_VERSION = 1


def main(arguments: Sequence[str]) -> int:
    with open(arguments[0], "rb") as file:
        config = config_from(file.read())
    os.umask(0o077)
    job = Job(config)
    try:
        write_manifest(config.outbox, run(job))
    except (Trouble, OSError, ValueError, struct.error, RecursionError, MemoryError) as problem:
        print(f"harvest: {problem}", file=sys.stderr)
        return 1
    finally:
        job.clear()
    return 0


def run(job: Job) -> dict[str, Any]:
    """Everything in order; the manifest."""
    config = job.config
    root = config.workspace
    folder = git_folder_of(root)
    if folder is None and os.access(root, os.X_OK):
        job.note(".git is missing or no repository: the files alone are brought out")
    main = Repo(job, root, folder, config.base, b"", job.scratch(), linked=False)
    bundle = bring_out(job, main, config.outbox + b"/result.bundle")
    keep_damaged(job, main, root + b"/.git", b"git")
    opened = [Leftover(main, b"git"), *nested_repositories(job, main)]
    job.attempt("leftovers of git", lambda: keep_leftovers(job, opened))
    job.attempt("artifacts", lambda: copy_artifacts(job))
    salvaged = bool(job.attempt("salvage.tar", lambda: write_salvage(job)))
    result = main.worktree or main.head or config.base
    return {
        "version": MANIFEST_VERSION,
        "run_id": config.run_id,
        "task": config.task,
        "object_format": "sha256" if main.git.width == 32 else "sha1",
        "base": config.base,
        "head": main.head,
        "result": result,
        "branch": show(main.found.head_name) if main.found.head_name else None,
        "uncommitted": main.uncommitted,
        "complete": job.complete,
        "bundle": bundle,
        "salvage": salvaged,
        "refs": [
            {
                "name": ref.name,
                "commit": ref.oid,
                "origin": show(os.fsencode(ref.origin)) if not ref.origin.isprintable() else ref.origin,
            }
            for ref in main.refs
        ],
        "nested": job.nested,
        "artifacts": job.taken,
        "unreadable": job.unreadable,
        "notes": job.notes,
    }


def write_manifest(outbox: bytes, manifest: Mapping[str, Any]) -> None:
    """Last of all, so that its presence says that the rest is there."""
    path = outbox + b"/manifest.json"
    with open(path + b".new", "w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(manifest, file, sort_keys=True, ensure_ascii=True)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + b".new", path)
