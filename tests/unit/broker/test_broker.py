"""The broker as a process: events go down in order, its death is noticed, its end gives the head."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator.audit.record import verify
from orchestrator.broker.client import _BOOT, PACKAGE_ROOT, Broker, self_command

WAIT_S = 20.0


def kinds(folder: Path) -> list[str]:
    return [json.loads(line)["kind"] for line in (folder / "audit.jsonl").read_bytes().splitlines()]


def test_events_sync_close(tmp_path: Path) -> None:
    """What was sent is in the log, chained; the head is the log's."""
    broker = Broker("run1", tmp_path, on_lost=lambda: None)
    broker.ready()
    for number in range(50):
        broker.event("test", {"n": number, "text": "ü\udc80\n" * 10})
    assert broker.sync().events == 50
    head = broker.close()
    assert verify((tmp_path / "audit.jsonl").read_bytes().splitlines()) == head
    assert head.events == 50
    assert not broker.lost


def test_a_killed_broker_is_noticed_and_the_log_goes_on(tmp_path: Path) -> None:
    """The run is told at once; the main process writes the rest of the log itself."""
    lost = threading.Event()
    broker = Broker("run1", tmp_path, on_lost=lost.set)
    broker.ready()
    broker.event("one", {})
    broker.sync()
    os.kill(broker.pid, signal.SIGKILL)
    assert lost.wait(WAIT_S)
    broker.event("after", {})
    head = broker.close()
    assert kinds(tmp_path)[:2] == ["one", "broker.lost"]
    assert verify((tmp_path / "audit.jsonl").read_bytes().splitlines()) == head


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_signals_of_the_terminal_do_not_end_it(tmp_path: Path, number: signal.Signals) -> None:
    """^C is the main process's to handle; the broker is what remains."""
    broker = Broker("run1", tmp_path, on_lost=lambda: None)
    broker.ready()
    os.kill(broker.pid, number)
    broker.event("still-here", {})
    assert broker.sync().events == 1
    assert broker.close().events == 1


def test_it_has_none_of_our_descriptors(tmp_path: Path) -> None:
    """Standard streams to nowhere, its socket, its log: nothing that keeps a reader of ours waiting."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    broker = Broker("run1", tmp_path, on_lost=lambda: None)
    broker.ready()
    broker.sync()  # after "ready" it may still load a module, whose file is open for a moment
    links = [os.readlink(f"/proc/{broker.pid}/fd/{name}") for name in os.listdir(f"/proc/{broker.pid}/fd")]
    broker.close()
    os.close(reader)
    os.close(writer)
    assert sorted(link.split(":")[0] for link in links if link != "/dev/null") == sorted([str(tmp_path / "audit.jsonl"), "socket"])


def test_our_own_command_again() -> None:
    """From wherever this package was imported."""
    import subprocess

    done = subprocess.run([*self_command("--version")], capture_output=True, text=True, timeout=30, check=True, cwd="/")
    assert done.stdout.startswith("aienv ")


def test_a_log_that_takes_nothing_does_not_keep_it_from_finishing_the_run(tmp_path: Path) -> None:
    """The disk is full and the main process was killed: its last words are lost, the recovery begins all the same."""
    ours, theirs = socket.socketpair()
    recover = json.dumps(["/bin/touch", str(tmp_path / "finished")])
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT, str(PACKAGE_ROOT), str(theirs.fileno()), "run1", str(tmp_path), recover],
            pass_fds=(theirs.fileno(),),
        )
    with ours:
        assert b"ready" in ours.recv(100)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))
    assert process.wait(WAIT_S) == 0
    assert (tmp_path / "finished").exists()
    assert (tmp_path / "audit.jsonl").read_bytes() == b""
