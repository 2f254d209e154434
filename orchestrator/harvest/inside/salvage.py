"""What git cannot carry, raw, as ``salvage.tar``: odd names, damaged git folders, files that somebody put into one."""

import os

from orchestrator.harvest.inside.files import CLOSED, FILE, OTHER, everything_below
from orchestrator.harvest.inside.job import Job
from orchestrator.harvest.inside.repo import Repo
from orchestrator.harvest.inside.words import show


def keep_damaged(job: Job, repo: Repo, place: bytes, name: bytes) -> None:
    """The raw git folder when something of it could not be read."""
    if os.path.lexists(place) and (repo.folder is None or repo.hurt):
        if repo.folder is not None and os.path.realpath(place) != repo.folder:
            job.to_salvage.append((repo.folder, name + b".folder"))
        job.to_salvage.append((place, name))


def write_salvage(job: Job) -> bool:
    """Everything that was put aside, without what is masked; False when there is nothing."""
    if not job.to_salvage:
        return False
    import tarfile

    left = job.config.limits.bundle_bytes
    written: set[bytes] = set()
    with tarfile.open(os.fsdecode(job.config.outbox + b"/salvage.tar"), "w", format=tarfile.PAX_FORMAT) as tar:
        for source, name in job.to_salvage:
            for path, kind in everything_below(source):
                arcname = name + path[len(source) :]
                if arcname in written or job.masked(path):
                    continue
                written.add(arcname)
                if kind == CLOSED:
                    job.closed(path)
                    continue
                try:
                    facts = os.lstat(path)
                    if facts.st_size > left:
                        job.incomplete(f"{show(arcname)} is beyond the limit of salvage.tar and stays in the workspace")
                        continue
                    if kind != OTHER:
                        tar.add(os.fsdecode(path), os.fsdecode(arcname), recursive=False)
                        left -= facts.st_size if kind == FILE else 0
                except OSError:
                    job.closed(path)
    return True
