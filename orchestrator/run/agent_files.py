"""What an agent finds: its settings, the hook program, nothing of the repository's that acts by itself; and what it leaves: its sessions.

The home is the agent's to write, so nothing here trusts a name in it: folders are opened one below the other, links are never followed.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from orchestrator import trees
from orchestrator.agents.project import Neutral, find, neutralised
from orchestrator.egress.standins import BoundSecret
from orchestrator.errors import EnvironmentFailed, PolicyRefused
from orchestrator.launcher.command import NEUTRAL_FOLDER
from orchestrator.model.agent import DOCKER_RUN, HOOK_PROGRAM, STAND_IN_END, ProjectFile
from orchestrator.model.plan import AgentPlan
from orchestrator.report.text import plural
from orchestrator.run.context import Context
from orchestrator.run.folder import SESSIONS_FOLDER
from orchestrator.sandbox.argv import HOME

MAX_GRANTED_BYTES = 1 << 20  # of a file that can be granted
MAX_COVERED = 1000  # bubblewrap reads the list of mounts anew for each: 1,000 take 1.3 s, 2,000 take 5, on an idle machine
FEWER = "remove files by which agents act from the repository, or use an agent that does not read them"
MAX_SESSION_BYTES = 256 << 20
MAX_SESSION_FILE_BYTES = 64 << 20  # a sparse file may say any size; what lies beside it is kept
MAX_SESSION_FILES = 20_000  # and folders, in all
SCANNED_AT_MOST = 200_000  # names of one folder, which are sorted, so that a second time takes the same ones
MAX_SESSION_ROOTS = 5_000  # folders that lead to a profile's own ones
MAX_SESSION_DEPTH = 20
NOTES_SHOWN = 5
_HOOK, _DOCKER_RUN = (Path(__file__).resolve().parent.parent / "launcher" / name for name in ("hook.py", "dockerrun.py"))
_KNOWN_BY = 20  # characters by which Claude Code knows a key that was approved
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def agent_inputs(context: Context) -> tuple[tuple[str, bytes], ...]:
    """Read-only files of ours for the agent's command, as (path inside, contents)."""
    agent = context.plan.agent
    return (
        *((file.path, file.text.encode()) for file in agent.files if file.locked),
        *(((HOOK_PROGRAM, _HOOK.read_bytes()),) if agent.deny is not None else ()),
        *(((DOCKER_RUN, _DOCKER_RUN.read_bytes()),) if agent.servers else ()),
    )


def covers(context: Context) -> tuple[tuple[str, str], ...]:
    """Files of the repository that the agent does not see: (path inside, name of what stands there in the place's folder of such files).

    Raises:
        PolicyRefused: a file by which the repository could act cannot be left out.
    """
    plan, place = context.plan, context.folder.control / NEUTRAL_FOLDER
    found = left_out(context.folder.workspace(plan.repo.name), plan.agent)
    context.notes.extend(_notes(found))
    if found:
        context.recorder.event("agent.left-out", {"files": [[one.path, one.digest] for one in found[:100]], "count": len(found)})
    names = {content: str(index) for index, content in enumerate(dict.fromkeys(one.content for one in found))}
    for content, name in names.items():
        (place / name).unlink(missing_ok=True)
        (place / name).write_bytes(content.encode())
        (place / name).chmod(0o444)
    return tuple((f"{plan.workspace}/{one.path}", names[one.content]) for one in found)


def furnish(context: Context, secrets: Sequence[BoundSecret]) -> None:
    """The home as the agent finds it: its own settings, and the session that it goes on with. Before any command runs.

    Raises:
        EnvironmentFailed: that session is not there any more.
    """
    plan, home = context.plan, context.folder.home
    if plan.agent.native is not None:
        kept = context.paths.runs / plan.agent.native.run / SESSIONS_FOLDER
        if not kept.is_dir():
            message = f"run {plan.agent.native.run} has no session of its agent"
            raise EnvironmentFailed(message, remedy="run the task again", code="no-session")
        try:
            _copy(kept, home)
        except _TooMuch as problem:
            message = f"the session of run {plan.agent.native.run} is too much to go on with"
            raise EnvironmentFailed(message, remedy="run the task again", code="no-session") from problem
    user_home = plan.devcontainer.user.home if plan.devcontainer is not None else HOME
    end = next((one.stand_in[-_KNOWN_BY:] for one in secrets if one.name == plan.agent.credential), "")
    for file in plan.agent.files:
        if not file.locked:
            place = home / os.path.relpath(file.path, user_home)
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            place.write_text(file.text.replace(STAND_IN_END, end))
    if os.geteuid() == 0:
        for folder, folders, files in trees.walk(home):
            for name in (*folders, *files):
                os.chown(name, plan.uid, plan.gid, dir_fd=folder, follow_symlinks=False)


@dataclass(slots=True)
class _Left:
    """What was not taken of session files, and what there is still room for."""

    bytes: int
    entries: int
    depth: int = MAX_SESSION_DEPTH
    large: int = 0
    beyond: int = 0
    deep: int = 0
    cut: bool = False

    def words(self) -> str:
        files = ((self.large, f"of more than {MAX_SESSION_FILE_BYTES >> 20} MiB each"), (self.beyond, "for which there was no room"))
        parts = [f"{plural(count, 'file')} {why}" for count, why in files if count]
        parts += [f"{plural(self.deep, 'folder')} more than {MAX_SESSION_DEPTH} deep"] if self.deep else []
        parts += [f"what comes after the first {MAX_SESSION_FILES:,} files and folders"] if self.cut else []
        return ", ".join(parts)


def keep_sessions(context: Context) -> str | None:
    """Copy the agent's own session files out of the home, after it has ended; may be repeated. What is no plain file is left.

    Returns the folder that they are in, None where nothing was kept.
    """
    agent, home, target = context.plan.agent, context.folder.home, context.folder.run / SESSIONS_FOLDER
    if not agent.sessions or not home.is_dir():
        return kept_sessions(context)
    left = _Left(MAX_SESSION_BYTES, MAX_SESSION_FILES)
    try:
        for below in agent.sessions:
            with suppress(FileNotFoundError, NotADirectoryError):
                _copy_out(home, below, target, left)
    except OSError as problem:
        context.notes.append(f"not all of the agent's session files were kept: {problem.strerror}")
    if said := left.words():
        room = f"{MAX_SESSION_BYTES >> 20} MiB in all"
        context.notes.append(f"of the agent's session files only a part was kept (at most {room}); left out: {said}")
    return kept_sessions(context)


def kept_sessions(context: Context) -> str | None:
    """The folder with the agent's own session files, None where there is none."""
    target = context.folder.run / SESSIONS_FOLDER
    return str(target) if target.is_dir() else None


class _TooMuch(Exception):
    """There is more than is put back."""


def _copy_out(home: Path, below: str, target: Path, left: _Left) -> None:
    """Everything of one folder of the home for which there is room."""
    root = _opened(home, below)
    try:
        _write(_files(root, (), left), target / below)
    finally:
        os.close(root)


def _write(files: Iterator[tuple[tuple[str, ...], bytes]], target: Path) -> None:
    for names, data in files:
        place = target.joinpath(*names)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.write_bytes(data)
        place.chmod(0o600)


def _opened(home: Path, below: str) -> int:
    """A folder below the home, reached without following a link."""
    here = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for name in below.split("/"):
        try:
            inner = os.open(name, _FOLDER, dir_fd=here)
        finally:
            os.close(here)
        here = inner
    return here


def _files(folder: int, names: tuple[str, ...], left: _Left) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Plain files at and below an open folder, with the names that lead there. ``left`` learns what is not among them."""
    with os.scandir(folder) as entries:
        found = sorted(entry.name for entry in islice(entries, SCANNED_AT_MOST))
    for name in found:
        if left.entries <= 0:
            left.cut = True
            return
        left.entries -= 1
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and len(names) >= left.depth:
            left.deep += 1
        elif stat.S_ISDIR(mode):
            with suppress(PermissionError):  # what it closed to itself, an agent does not go on with either
                inner = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    yield from _files(inner, (*names, name), left)
                finally:
                    os.close(inner)
        elif stat.S_ISREG(mode) and (data := _read(name, folder, left)) is not None:
            left.bytes -= len(data)
            yield (*names, name), data


def _read(name: str, folder: int, left: _Left) -> bytes | None:
    """None: it is closed to us, too large, or no plain file any more."""
    try:
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except PermissionError:
        return None
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return None
        room = min(MAX_SESSION_FILE_BYTES, left.bytes)
        data = file.read(room + 1) if facts.st_size <= room else b""
    if facts.st_size > MAX_SESSION_FILE_BYTES or len(data) > MAX_SESSION_FILE_BYTES:
        left.large += 1
    elif facts.st_size > room or len(data) > room:
        left.beyond += 1
    else:
        return data
    return None


def _copy(source: Path, target: Path) -> None:
    """Of our own run folder, where only plain files are, and never more than was kept: the folders that lead there come on top.

    Raises:
        _TooMuch: somebody has put more there.
    """
    left = _Left(MAX_SESSION_BYTES, MAX_SESSION_FILES + MAX_SESSION_ROOTS, 2 * MAX_SESSION_DEPTH)
    root = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _write(_files(root, (), left), target)
    finally:
        os.close(root)
    if left.words():
        raise _TooMuch


def left_out(workspace: Path, agent: AgentPlan) -> tuple[Neutral, ...]:
    """Files of the workspace by which it could act, and that the user did not grant.

    Raises:
        PolicyRefused: one of them is a link that leads elsewhere, or there are too many.
    """
    rows = tuple(ProjectFile(glob, neutral) for glob, neutral in agent.project_files)
    if not rows:
        return ()
    first = {row.glob.partition("/")[0] for row in rows}
    everywhere = any(set(name) & set("*?[") for name in first)  # of a user's own agent
    files, links = _listed(workspace, None if everywhere else first)
    if links and not everywhere:  # they may lead anywhere in it
        files, links = _listed(workspace, None)
    search = find(files, links, rows)
    if search.refused:
        raise PolicyRefused(
            f"the repository cannot be given to agent {agent.profile!r}: {'; '.join(search.refused)}",
            remedy=FEWER if search.crowded else "remove the link from the repository, or use another agent",
        )
    found = neutralised(search.found, lambda path: _content(workspace / path), agent.grants)
    if len(found) > MAX_COVERED:
        message = f"the repository cannot be given to agent {agent.profile!r}: {len(found):,} of its files would act by themselves"
        raise PolicyRefused(f"{message}, and {MAX_COVERED:,} can be kept from it", remedy=FEWER, code="agent-files")
    return found


def _listed(workspace: Path, first: set[str] | None) -> tuple[list[str], dict[str, str]]:
    """Plain files and links of the workspace; ``first``: only what is, or lies below, one of these names at its top."""
    files: list[str] = []
    links: dict[str, str] = {}
    prefix = len(str(workspace)) + 1
    for folder, folders, others in trees.walk_paths(workspace):
        below = folder[prefix:]
        if not below:
            folders[:] = [name for name in folders if name != ".git" and (first is None or name in first)]
            others = [name for name in others if first is None or name in first]
        for names, are_files in ((folders, False), (others, True)):
            for name in names:
                path = f"{below}/{name}" if below else name
                if os.path.islink(f"{folder}/{name}"):
                    links[path] = os.readlink(f"{folder}/{name}")
                elif are_files:
                    files.append(path)
    return files, links


def _content(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, _FILE)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = file.read(MAX_GRANTED_BYTES + 1)
    return data if len(data) <= MAX_GRANTED_BYTES else None


def _notes(covered: Iterable[Neutral]) -> Iterator[str]:
    found = list(covered)
    for one in found[:NOTES_SHOWN]:
        way = f"; to let it in: --agent-file {one.grant_text}" if one.grant_text else ""
        yield f"{one.path} of the repository was kept from the agent, for it would act by itself{way}"
    if len(found) > NOTES_SHOWN:
        yield f"{plural(len(found) - NOTES_SHOWN, 'more file')} of the repository that would act by themselves were kept from the agent"
