"""The main process's end of the broker: events out, the network's listeners handed over, its death noticed at once."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.agents.hookconfig import HooksConfig
from orchestrator.agents.hookconfig import as_plain as hooks_plain
from orchestrator.audit.log import AuditLog
from orchestrator.audit.record import EMPTY, Head
from orchestrator.egress.config import EgressConfig, as_plain
from orchestrator.errors import EnvironmentFailed
from orchestrator.guard.config import GuardConfig
from orchestrator.guard.config import as_plain as guard_plain
from orchestrator.model.codec import from_plain
from orchestrator.model.network import NetworkUse, Phase

PACKAGE_ROOT = Path(__file__).resolve().parent.parent.parent
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from orchestrator.broker.main import main; sys.exit(main(sys.argv[1:]))"
_DEADLINE_S = 15.0  # the broker itself gives its parts ten
_GUARD_S = 60.0  # the engine may be slow
_SWEEP_S = 120.0  # removing many containers takes its time; the guard itself gives it sixty seconds, and what is under way thirty


def self_command(*arguments: str) -> list[str]:
    """This program again, as a new process, from wherever it was imported."""
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from orchestrator.__main__ import main; main()"
    return [sys.executable, "-c", code, str(PACKAGE_ROOT), *arguments]


class Broker:
    """One broker process. ``on_lost`` is called from a thread when it dies before ``close``."""

    def __init__(self, run_id: str, folder: Path, on_lost: Callable[[], None]) -> None:
        self._run_id = run_id
        self._folder = folder
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._answers: list[dict[str, object]] = []
        self._answered = threading.Condition()
        self._closing = False
        self.lost = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock = ours
        recover = json.dumps(self_command("recover", run_id))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, str(PACKAGE_ROOT), str(theirs.fileno()), run_id, str(folder), recover],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        self._reader = threading.Thread(target=self._read, name="broker-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> None:
        """Wait until it listens.

        Raises:
            EnvironmentFailed: it did not come up.
        """
        if self._answer("ready") is None:
            raise EnvironmentFailed("the broker did not start", remedy="run aienv doctor", code="broker")

    def event(self, kind: str, facts: Mapping[str, object]) -> None:
        self._send({"event": kind, "facts": dict(facts)})

    def sync(self) -> Head:
        """Everything sent so far is on disk; where the log stands."""
        self._send({"sync": 1})
        return self._head(self._answer("events"))

    # --- the network

    def prepare(self, *parts: str) -> None:
        """Say early that ``egress``, ``guard`` or ``hooks`` will come: the broker loads what it needs meanwhile."""
        if parts:
            self._send({"prepare": list(parts)})

    def egress(self, config: EgressConfig) -> None:
        """Make the way out ready; ``listen`` opens it.

        Raises:
            EnvironmentFailed: it cannot be had.
        """
        self.begin_egress(config)
        self.await_egress()

    def begin_egress(self, config: EgressConfig) -> None:
        """The first half of ``egress``: other things can be done until ``await_egress``."""
        self._send({"egress": as_plain(config)})

    def await_egress(self) -> None:
        """The second half of ``egress``, with its errors."""
        self._expect("egress", "set up the way out")

    def listen(self, phase: Phase, sockets: Mapping[str, int]) -> None:
        """Serve a command of ``phase`` through listening sockets of its sandbox: descriptors by what they are for (proxy, gateway).

        The descriptors stay the caller's to close.

        Raises:
            EnvironmentFailed: the broker did not take them.
        """
        self._send({"phase": phase, "listen": list(sockets)}, tuple(sockets.values()))
        self._expect("phase", "take the sandbox's sockets")

    def quiet(self) -> None:
        """Close the listeners and every connection: the command has ended, and its events are in the log.

        Raises:
            EnvironmentFailed: the broker did not say that it has.
        """
        self._send({"phase": None})
        self._expect("phase", "close the sandbox's connections")

    def network_use(self) -> NetworkUse:
        """What went out and what was refused so far.

        Raises:
            EnvironmentFailed: the broker does not say.
        """
        self._send({"network": 1})
        return from_plain(NetworkUse, self._expect("network", "tell what went out")["network"])

    # --- Docker

    def begin_guard(self, config: GuardConfig) -> None:
        """Set up a guard before the Docker engine; until ``await_guard`` other things can be done."""
        self._send({"guard": guard_plain(config)})

    def await_guard(self) -> None:
        """Raises EnvironmentFailed: there is none."""
        self._expect("guard", "set up the Docker guard", _GUARD_S)

    def listen_docker(self, phase: Phase, sockets: Mapping[str, int]) -> None:
        """Serve clients of a command: ``docker``, the socket that listens inside, and ``porter`` where there is one.

        Raises:
            EnvironmentFailed: the broker did not take them.
        """
        self._send({"docker": phase, "listen": list(sockets)}, tuple(sockets.values()))
        self._expect("docker", "take the sandbox's Docker socket", _GUARD_S)

    def quiet_docker(self) -> None:
        """Close what ``listen_docker`` opened. Raises EnvironmentFailed."""
        self._send({"docker": None})
        self._expect("docker", "close the sandbox's Docker socket", _GUARD_S)

    def end_guard(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """End the guard and remove everything that was made through it: (removed, left).

        Raises:
            EnvironmentFailed: the broker does not say.
        """
        self._send({"end_guard": 1})
        answer = self._expect("removed", "remove what was made with Docker", _SWEEP_S)
        return from_plain(tuple[str, ...], answer["removed"]), from_plain(tuple[str, ...], answer["left"])

    # --- the agent's hooks

    def begin_hooks(self, config: HooksConfig) -> None:
        """Make ready what judges the agent's tool calls; ``listen_hooks`` opens it.

        Raises:
            EnvironmentFailed: it cannot be had.
        """
        self._send({"hooks": hooks_plain(config)})
        self._expect("hooks", "set up the agent's hooks")

    def listen_hooks(self, listener: int) -> None:
        """Answer the agent's questions through the socket that listens inside: a descriptor, which stays the caller's to close.

        Raises:
            EnvironmentFailed: the broker did not take it.
        """
        self._send({"calls": "listen"}, (listener,))
        self._expect("calls", "take the sandbox's socket for hooks")

    def quiet_hooks(self) -> None:
        """Close what ``listen_hooks`` opened. Raises EnvironmentFailed."""
        self._send({"calls": None})
        self._expect("calls", "close the sandbox's socket for hooks")

    def notify_agent(self, text: str) -> None:
        """Tell the agent's model with the answer to one of its next tool calls, where the agent passes words on. Not answered."""
        self._send({"notify": text})

    def _expect(self, member: str, deed: str, deadline_s: float = _DEADLINE_S) -> dict[str, object]:
        answer = self._answer(member, deadline_s)
        if answer is None:
            raise EnvironmentFailed(f"the broker did not {deed}", remedy="run aienv doctor", code="broker")
        if "failed" in answer:
            remedy = answer.get("remedy")
            raise EnvironmentFailed(
                str(answer["failed"]), remedy=None if remedy is None else str(remedy), code=str(answer.get("code", "egress"))
            )
        return answer

    def close(self) -> Head:
        """End the broker; the final head of the log."""
        self._closing = True
        self._send({"end": True})
        answer = self._answer("events", _DEADLINE_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DEADLINE_S)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._sock.close()
        return self._head(answer)

    def _head(self, answer: dict[str, object] | None) -> Head:
        if answer is not None:
            return Head(int(str(answer["events"])), str(answer["head"]))
        if not self.lost and self._process.poll() is None:
            return EMPTY
        return self._take_over()

    def _take_over(self) -> Head:
        """The broker is dead, so its lock on the log is free: say so there ourselves."""
        log = AuditLog(self._folder / "audit.jsonl", self._run_id)
        if not self.lost_noted:
            log.write("broker.lost", {})
            self.lost_noted = True
        log.close()
        return log.head

    lost_noted = False

    def _send(self, message: dict[str, object], descriptors: tuple[int, ...] = ()) -> None:
        line = json.dumps(message).encode() + b"\n"
        # A dead broker is noticed by the reader, which tells the run.
        with self._lock, contextlib.suppress(OSError):
            sent = socket.send_fds(self._sock, [line], descriptors) if descriptors else 0
            self._sock.sendall(line[sent:])

    def _answer(self, member: str, deadline_s: float = _DEADLINE_S) -> dict[str, object] | None:
        """The next answer with ``member``, or that something failed. Others are late: whoever asked for them has given up."""
        deadline = time.monotonic() + deadline_s
        with self._answered:
            while self._answered.wait_for(lambda: self._answers or self.lost, deadline - time.monotonic()) and self._answers:
                answer = self._answers.pop(0)
                if member in answer or "failed" in answer:
                    return answer
        return None

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._sock.makefile("rb") as lines:
            for line in lines:
                with self._answered:
                    self._answers.append(json.loads(line))
                    self._answered.notify_all()
        with self._answered:
            self.lost = not self._closing or self._process.poll() not in (0, None)
            self._answered.notify_all()
        if self.lost and not self._closing:
            self._on_lost()
