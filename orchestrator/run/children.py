"""Processes of ours that each carry out one plan, a few at a time.

Each has a session of its own, so that ^C at the terminal reaches us alone and is passed on. Its standard input stays open for as long as we
live: when that ends, we are gone, and it stops as if it had been asked to (its work is harvested). One that is killed leaves what any run
leaves: a broker that finishes it, or a journal for the next command.
"""

import json
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.broker.client import self_command
from orchestrator.run.attempts import Handed, handed_document
from orchestrator.run.interrupts import Interrupts

_POLL_S = 3600.0  # somebody's end, or a signal, wakes us


@dataclass(frozen=True, slots=True)
class Child:
    """One to be started. ``number`` counts from 1."""

    number: int
    run_id: str
    handed: Handed


@dataclass(frozen=True, slots=True)
class Ended:
    """``document``: what it printed, None when it did not come to that; ``said``: the end of its standard error."""

    child: Child
    code: int
    document: dict[str, Any] | None
    said: str


@dataclass(slots=True)
class _Running:
    child: Child
    process: "subprocess.Popen[bytes]"
    folder: Path


def work_off(
    children: Sequence[Child],
    parallel: int,
    scratch: Path,
    interrupts: Interrupts,
    started: Callable[[Child], None],
    ended: Callable[[Ended], None],
) -> list[Ended]:
    """Start all, at most ``parallel`` at a time, and wait for them. After a signal none is started any more; those that run get it as TERM,
    and are waited for: a second signal makes them quicker, as it does with one run. Returns those that were started, by number."""
    waiting, running, over = deque(children), dict[int, _Running](), list[Ended]()
    try:
        while running or (waiting and not interrupts.count):
            while waiting and len(running) < parallel and not interrupts.count:
                child = waiting.popleft()
                running[child.number] = _start(child, scratch, interrupts)
                started(child)
            message = interrupts.message(_POLL_S)
            if message == "signal":
                for one in running.values():
                    _pass_on(one.process)
            for number in [number for number, one in running.items() if one.process.poll() is not None]:
                over.append(_end(running.pop(number)))
                ended(over[-1])
    finally:
        for one in running.values():  # something of ours went wrong: none may go on unseen
            _pass_on(one.process)
            one.process.wait()
    return sorted(over, key=lambda one: one.child.number)


def _start(child: Child, scratch: Path, interrupts: Interrupts) -> _Running:
    folder = scratch / str(child.number)
    folder.mkdir()
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            self_command("attempt", child.run_id), stdin=subprocess.PIPE, stdout=out, stderr=err, start_new_session=True
        )
    threading.Thread(target=_hand_over, args=(process, child.handed, interrupts), name=f"attempt-{child.number}", daemon=True).start()
    return _Running(child, process, folder)


def _hand_over(process: "subprocess.Popen[bytes]", handed: Handed, interrupts: Interrupts) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(handed_document(handed)).encode() + b"\n")
        process.stdin.flush()  # and it stays open
    except OSError:
        pass  # it ended before it read; how, is told by its end
    process.wait()
    interrupts.inbox.put("ended")


def _pass_on(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGTERM)


def _end(one: _Running) -> Ended:
    try:
        document = json.loads((one.folder / "out").read_bytes())
    except ValueError:
        document = None
    said = (one.folder / "err").read_bytes()[-4000:].decode("utf-8", "replace")
    return Ended(one.child, one.process.returncode, document if isinstance(document, dict) else None, said)
