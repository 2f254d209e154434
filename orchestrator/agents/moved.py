"""An agent's programs in any image: the same files, but programs that name glibc's loader name the toolbox's (``images/toolbox.py``).

Where a loader stands in a file, the new one has room; nothing else in it changes.
"""

import mmap
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchestrator.errors import EnvironmentFailed
from orchestrator.images import elf
from orchestrator.images.toolbox import AGENT_LIBRARIES, LOADER

# glibc's loader by processor, as programs name it. What names another one (musl's) is left as it is.
LOADERS: Mapping[str, str] = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}


def find_programs(folder: Path, loader: str) -> list[str]:
    """The programs in ``folder`` that name ``loader`` and need nothing beside what the toolbox has, by their paths below it."""
    libraries = {*AGENT_LIBRARIES, os.path.basename(loader)}
    found = []
    for path in files_in(folder):
        with path.open("rb") as file:
            if not elf.is_elf(file.read(8)):
                continue
            try:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    program = elf.parse(data)
            except (elf.ElfError, ValueError):
                continue  # for another processor, or cut: nothing that we could start
        if program.interpreter is not None and program.interpreter[2] == loader and libraries.issuperset(program.needed):
            found.append(str(path.relative_to(folder)))
    return sorted(found)


def copy_moved(source: Path, target: Path, programs: Iterable[str]) -> None:
    """``source`` into the empty folder ``target``, with the loader of ``programs`` changed; all other files are the same ones.

    Raises:
        EnvironmentFailed: a program is not as expected.
    """
    moved = {str(source / name) for name in programs}

    def put(old: str, new: str) -> None:
        if old in moved:
            shutil.copyfile(old, new)
            shutil.copymode(old, new)
            _change_loader(Path(new))
            return
        try:
            os.link(old, new, follow_symlinks=False)
        except OSError:  # a file system without hard links
            shutil.copy2(old, new)

    shutil.copytree(source, target, symlinks=True, copy_function=put, dirs_exist_ok=True)
    settle_modes(target)


def _change_loader(program: Path) -> None:
    program.chmod(0o755)
    with program.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                offset, new = elf.interpreter_change(elf.parse(data), LOADER)
            except elf.ElfError as problem:
                raise EnvironmentFailed(f"{program.name} cannot be moved into an image: {problem}", code="agent-install") from None
        file.seek(offset)
        file.write(new)


def files_in(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            if not path.is_symlink():
                yield path


def settle_modes(folder: Path) -> None:
    """Nobody writes here any more, not even the owner by mistake."""
    for where, _, names in os.walk(folder):
        os.chmod(where, 0o755)
        for name in names:
            path = Path(where, name)
            if not path.is_symlink():
                path.chmod(0o555 if path.stat().st_mode & 0o111 else 0o444)
