"""One harvest as it goes on: what to remember for the manifest, from all repositories together."""

import os
import struct
import time
from collections.abc import Callable
from typing import Any

from orchestrator.harvest.inside.config import Config
from orchestrator.harvest.inside.words import Trouble, below, show

NOTES = 500  # and as many unreadable paths
NOTE_CHARS = 500


class Job:
    """The state of one harvest: notes, what is incomplete, what has to be salvaged, our repositories, and the time when it must end."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ends = time.monotonic() + config.deadline_s
        self.notes: list[str] = []
        self.unreadable: list[str] = []
        self.complete = True
        self.raw: dict[bytes, dict[bytes, tuple[int, str]]] = {}  # repository -> what its ref ``raw`` will hold
        self.lfs: dict[bytes, dict[bytes, tuple[int, str]]] = {}  # the same for ref ``lfs``
        self.to_salvage: list[tuple[bytes, bytes]] = []  # (path on disk, name in salvage.tar)
        self.nested: list[dict[str, str | None]] = []
        self.taken: list[dict[str, Any]] = []
        self._scratches: list[bytes] = []

    def note(self, text: str) -> None:
        if len(self.notes) < NOTES:
            self.notes.append(text[:NOTE_CHARS])
        elif len(self.notes) == NOTES:
            self.notes.append("more notes were left out")

    def incomplete(self, text: str) -> None:
        """Something exists only in the workspace, so the workspace must stay."""
        self.complete = False
        self.note(text)

    def unreadable_path(self, where: bytes, path: bytes) -> None:
        """A path of the repository ``where`` that its owner cannot read; the host may open it and harvest once more. ``.``: all of it."""
        whole = show(b"/".join(part for part in (where, path) if part) or b".")
        if whole not in self.unreadable and len(self.unreadable) < NOTES:
            self.unreadable.append(whole)
            self.incomplete(f"{whole} cannot be read")

    def closed(self, path: bytes) -> None:
        """The same for a whole path below the workspace."""
        self.unreadable_path(b"", path[len(self.config.workspace) + 1 :])

    def salvage(self, root: bytes, path: bytes, where: bytes) -> None:
        """Keep ``root/path`` raw."""
        self.to_salvage.append((root + b"/" + path, b"workspace/" + (where + b"/" if where else b"") + path))

    def masked(self, path: bytes) -> bool:
        """Whether ``path`` below the workspace was hidden from the agent, there or where it lay before."""
        inside = path[len(self.config.workspace) + 1 :]
        if below(inside, self.config.masked):
            return True
        while self.config.masked_inodes and inside:
            try:
                if os.lstat(self.config.workspace + b"/" + inside).st_ino in self.config.masked_inodes:
                    return True
            except OSError:
                return False
            inside = inside.rpartition(b"/")[0]
        return False

    def attempt(self, what: str, step: Callable[[], Any]) -> Any:
        """What the step gives; None when it failed, which makes the harvest incomplete."""
        try:
            return step()
        except (Trouble, OSError, ValueError, struct.error) as problem:
            self.incomplete(f"{what}: {problem}")
            return None

    def scratch(self) -> bytes:
        """A name for one more repository of ours."""
        folder = self.config.outbox + b"/tmp.%d.git" % len(self._scratches)
        self._scratches.append(folder)
        return folder

    def clear(self) -> None:
        """Remove what is not part of the result."""
        import shutil

        for folder in self._scratches:
            shutil.rmtree(folder, ignore_errors=True)
