"""What git cannot carry, raw, as ``salvage.tar``: odd names, damaged git folders, files that somebody put into one."""

import os

from orchestrator.harvest.inside.files import CLOSED, FILE, FOLDER, OTHER, everything_below, kind_at
from orchestrator.harvest.inside.job import Job
from orchestrator.harvest.inside.repo import Repo
from orchestrator.harvest.inside.words import show

# What git itself keeps in its folder. Anything else there was put there by hand and goes into salvage.tar.
GIT_OWN = frozenset(
    (
        b"HEAD index refs packed-refs objects logs config config.worktree hooks info description branches COMMIT_EDITMSG "
        b"ORIG_HEAD FETCH_HEAD MERGE_HEAD MERGE_MSG MERGE_MODE MERGE_RR MERGE_AUTOSTASH AUTO_MERGE CHERRY_PICK_HEAD REVERT_HEAD "
        b"REBASE_HEAD SQUASH_MSG TAG_EDITMSG NOTES_EDITMSG EDIT_DESCRIPTION modules worktrees lfs shallow rr-cache gc.log gc.pid "
        b"fsmonitor--daemon fsmonitor--daemon.ipc BISECT_LOG BISECT_NAMES BISECT_START BISECT_TERMS BISECT_EXPECTED_REV "
        b"BISECT_ANCESTORS_OK rebase-merge rebase-apply sequencer commondir gitdir reftable "
    ).split()
)


def keep_git(job: Job, repo: Repo, place: bytes, name: bytes) -> None:
    """The raw git folder when something of it could not be read, else what is in it that is not git's."""
    if os.path.lexists(place) and (repo.folder is None or repo.hurt):
        if repo.folder is not None and os.path.realpath(place) != repo.folder:
            job.to_salvage.append((repo.folder, name + b".folder"))
        job.to_salvage.append((place, name))
    elif repo.folder is not None and not repo.linked:
        for entry in sorted(os.listdir(repo.folder)):
            if entry not in GIT_OWN and not entry.endswith(b".lock") and kind_at(repo.folder, entry) in (FILE, FOLDER):
                job.to_salvage.append((repo.folder + b"/" + entry, name + b"/" + entry))
                repo.note(f".git/{show(entry)} is not git's own and lies in salvage.tar")


def own_settings(folder: bytes) -> list[bytes]:
    """Files of a nested git folder that somebody may have written by hand."""
    names = [b"config"] if kind_at(folder, b"config") == FILE else []
    hooks = folder + b"/hooks"
    if os.path.isdir(hooks) and not os.path.islink(hooks):
        names.extend(b"hooks/" + name for name in sorted(os.listdir(hooks)) if not name.endswith(b".sample"))
    return names


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
