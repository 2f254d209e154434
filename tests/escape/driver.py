"""Runs the programs, inside, and writes one JSON line for each: which, what it said, how long it took.

    python3 driver.py FOLDER-OF-PROGRAMS [outside]      with "outside", those that may not run there are left out

The variable ESCAPE_ONLY holds beginnings of the names to run; with ESCAPE_STRICT only lines of those that were not held are
written, and then it ends with 1.

A program runs in a process forked from this one, which saves the start of an interpreter; a session and a process group of its own,
and a deadline, keep it from the others; outside, a table of mounts of its own besides. Those that mostly wait run side by side.
Standard library only.
"""

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GROUPS = ("files", "processes", "kernel", "namespaces", "sockets", "network", "proxy", "credentials", "resources", "git")
SIDE_BY_SIDE = {"sockets": 4, "network": 6, "proxy": 8}
ALONE = ("proxy/long_heads.py", "proxy/many_connections.py", "network/listeners_within.py")
REFUSED = "git/refused_"  # with these the whole result is refused: a run of their own, by ESCAPE_ONLY
DEADLINE_S = 30.0
WORDS = ("held", "ESCAPED", "BROKEN")
OUTSIDE = sys.argv[2:] == ["outside"]
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000


@dataclass
class Running:
    """A program that has been started. ``read``: what it writes comes from there."""

    name: str
    child: int
    read: int
    started: float
    said: bytes = b""

    @property
    def over(self) -> bool:
        return time.monotonic() > self.started + DEADLINE_S or len(self.said) > 1 << 20


def programs(folder: Path) -> list[str]:
    """Group by group: those that change the workspace come last."""
    return [f"{group}/{path.name}" for group in GROUPS for path in sorted((folder / group).glob("*.*")) if path.suffix in (".py", ".sh")]


def outside(path: Path) -> str:
    """What the program's own line says about a machine without a sandbox."""
    lines = [line.removeprefix("# outside: ") for line in path.read_text().splitlines() if line.startswith("# outside: ")]
    return lines[0] if len(lines) == 1 else "?"


def keep_mounts_apart() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        os._exit(1)


def become(path: Path, write: int) -> None:
    """In the child: the program, and nothing after it."""
    os.setsid()
    if OUTSIDE:
        keep_mounts_apart()
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(write, 1)
    os.dup2(write, 2)
    for descriptor in (nothing, write):
        os.close(descriptor)
    if path.suffix == ".sh":
        os.execv("/bin/sh", ["/bin/sh", str(path)])
    code = 0
    try:
        exec(compile(path.read_text(), str(path), "exec"), {"__name__": "__main__", "__file__": str(path)})
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - whatever it is, it is this program's
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def start(folder: Path, name: str, others: list[Running]) -> Running:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        for descriptor in (read, *(other.read for other in others)):
            os.close(descriptor)
        become(folder / name, write)
    os.close(write)
    return Running(name, child, read, time.monotonic())


def finish(program: Running) -> dict[str, object]:
    """End what is left of it; its line."""
    os.close(program.read)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(program.child, 0)[1])
    said = program.said.decode("utf-8", "replace").strip()
    lines = [line for line in said.splitlines() if line.startswith(WORDS)]
    verdict = lines[-1] if len(lines) == 1 else f"BROKEN: it said {said[-600:]!r}"
    if code != 0 and not verdict.startswith("BROKEN"):
        verdict = f"BROKEN: it ended with {code} after {verdict!r}"
    return {"program": program.name, "said": verdict, "ms": round(1000 * (time.monotonic() - program.started))}


def run(folder: Path, names: list[str], width: int) -> Iterator[dict[str, object]]:
    """So many at a time."""
    waiting, running = deque(names), list[Running]()
    while waiting or running:
        while waiting and len(running) < width:
            running.append(start(folder, waiting.popleft(), running))
        ready = select.select([program.read for program in running], [], [], 1.0)[0]
        for program in list(running):
            data = os.read(program.read, 1 << 16) if program.read in ready else None
            program.said += data or b""
            if data == b"" or program.over:
                running.remove(program)
                yield finish(program)


def batches(names: list[str]) -> Iterator[tuple[list[str], int]]:
    """In the order of the groups; those that must not be disturbed, or disturb others, by themselves."""
    for group in GROUPS:
        mine = [name for name in names if name.startswith(f"{group}/")]
        yield [name for name in mine if name not in ALONE], SIDE_BY_SIDE.get(group, 1) * (2 if OUTSIDE and group in SIDE_BY_SIDE else 1)
        yield [name for name in mine if name in ALONE], 1


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    facts = importlib.import_module("proxied").FACTS  # both modules are loaded once for all
    fresh = {Path(name): Path(name).read_bytes() for name in facts["masked"]} if OUTSIDE else {}
    os.environ |= {"ESCAPE_WITNESS": facts.get("witness", ""), "ESCAPE_HOME": facts.get("home", "")}  # for those in sh
    chosen = tuple(os.environ.get("ESCAPE_ONLY", "").split())
    names = [name for name in programs(folder) if name.startswith(chosen or GROUPS) and not (OUTSIDE and outside(folder / name) == "never")]
    strict, code = "ESCAPE_STRICT" in os.environ, 0
    for batch, width in batches([name for name in names if chosen or not name.startswith(REFUSED)]):
        for line in run(folder, batch, width):
            code |= not str(line["said"]).startswith("held")
            if not strict or not str(line["said"]).startswith("held"):
                print(json.dumps(line), flush=True)
            for path, data in fresh.items():
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
    raise SystemExit(code if strict else 0)


if __name__ == "__main__":
    main()
