"""The broker process. Few imports: standard library, the event log; egress where the run has a network, the guard where it has Docker,
hooks where an agent asks before its tool calls.

    python -I -S -c '...' FD RUN_ID RUN_FOLDER RECOVER-COMMAND-JSON

Lines of JSON come in over FD; those that say so are answered, in their order:

    {"event": KIND, "facts": {...}}            written to the log
    {"sync": N}                                {"events", "head"}: everything before is on disk
    {"prepare": [PART...]}                     egress, guard, hooks: will be asked for, so load them while others work
    {"egress": CONFIG}                         {"egress": "ready"}: see orchestrator/egress/config.py
    {"phase": NAME, "listen": [NAME...]}       {"phase": NAME}; as many listening sockets come with the line
    {"phase": null}                            {"phase": null}: listeners and connections are closed
    {"guard": CONFIG}                          {"guard": "ready"}: see orchestrator/guard/config.py
    {"docker": NAME, "listen": [NAME...]}      {"docker": NAME}; the socket that listens inside comes with the line, and the porter's
    {"docker": null}                           {"docker": null}: clients are gone, their containers go on
    {"end_guard": 1}                           {"removed", "left"}: nothing of Docker's is left, or what
    {"hooks": CONFIG}                          {"hooks": "ready"}: see orchestrator/agents/hookconfig.py
    {"calls": "listen"}                        {"calls": "listen"}; the socket that listens inside comes with the line
    {"calls": null}                            {"calls": null}: no call is answered any more
    {"notify": TEXT}                           told to the agent's model with an answer to one of its calls
    {"network": 1}                             {"network": {...}}: what went out so far
    {"end": true}                              {"events", "head"}; then it ends

What fails is answered {"failed": MESSAGE, "remedy": ...}. The end of the stream without ``end`` means that the main process was killed.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.audit.log import AuditLog
from orchestrator.broker.lines import Lines
from orchestrator.model.codec import to_plain
from orchestrator.model.network import NO_USE

if TYPE_CHECKING:
    from orchestrator.broker.docker import DockerSide
    from orchestrator.broker.hooks import HookSide
    from orchestrator.egress.server import Egress
    from orchestrator.egress.standins import BoundSecret

_PR_SET_DUMPABLE = 4


class Service:
    """Answers the main process."""

    def __init__(self, sock: socket.socket, log: AuditLog) -> None:
        self._sock = sock
        self._log = log
        self._lines = Lines(sock)
        self._egress: Egress | None = None
        self._docker: DockerSide | None = None
        self._hooks: HookSide | None = None
        self._secrets: tuple[BoundSecret, ...] = ()  # what is taken out of what agents say

    def run(self) -> bool:
        """Do what the lines say until the end; True when the main process said goodbye."""
        while (line := self._lines.next()) is not None:
            message = json.loads(line)
            if "event" in message:
                self._log.write(message["event"], message["facts"])
                continue
            if "prepare" in message:
                self._prepare(message["prepare"])
                continue
            if "notify" in message:
                if self._hooks is not None:
                    self._hooks.notify(str(message["notify"]))
                continue
            if "end" in message:
                self.quiet()
            answer = self._answer(message)
            self._sock.sendall(json.dumps(answer).encode() + b"\n")
            if "end" in message:
                return True
        return False

    def quiet(self) -> None:
        """End hooks, guard and egress for good: what they have to tell is in the log afterwards."""
        if self._hooks is not None:
            self._hooks.quiet()
            self._hooks = None
        self._quiet_network()

    def _quiet_network(self) -> None:
        if self._docker is not None:
            self._docker.close()
            self._docker = None
        if self._egress is not None:
            self._egress.close()
            self._egress = None

    def _answer(self, message: dict[str, Any]) -> dict[str, object]:
        if "egress" in message:
            return self._begin(message["egress"])
        if "phase" in message:
            return self._set_phase(message["phase"], message.get("listen", []))
        if "guard" in message:
            return self._begin_guard(message["guard"])
        if "docker" in message:
            return self._listen_docker(message["docker"], message.get("listen", []))
        if "end_guard" in message:
            return self._end_guard()
        if "hooks" in message:
            return self._begin_hooks(message["hooks"])
        if "calls" in message:
            return self._listen_hooks(message["calls"])
        if "network" in message:
            return {"network": to_plain(NO_USE if self._egress is None else self._egress.use())}
        self._log.sync()
        return {"events": self._log.head.events, "head": self._log.head.hash}

    def _prepare(self, parts: list[str]) -> None:
        """What cannot be loaded is told when it is asked for."""
        with contextlib.suppress(ImportError):
            if "egress" in parts:
                importlib.import_module("orchestrator.egress.server")
            if "guard" in parts:
                importlib.import_module("orchestrator.broker.docker")
            if "hooks" in parts:
                importlib.import_module("orchestrator.broker.hooks")

    def _begin_guard(self, config: object) -> dict[str, object]:
        from orchestrator.broker.docker import DockerSide, GuardFailed

        try:
            self._docker = DockerSide(config, self._log.write)
        except (GuardFailed, ValueError, OSError) as problem:
            failed = f"the Docker guard could not be set up: {problem}"
            return {"failed": failed, "remedy": "see whether the engine runs: docker info; or --docker none", "code": "guard"}
        self._docker.attach(self._egress)
        return {"guard": "ready"}

    def _listen_docker(self, phase: Any, names: list[str]) -> dict[str, object]:
        try:
            sockets = dict(zip(names, self._lines.take_sockets(len(names)), strict=True))
        except ValueError as problem:
            return {"failed": f"the sandbox's Docker socket did not arrive: {problem}", "remedy": None, "code": "guard"}
        if self._docker is None:
            for sock in sockets.values():
                sock.close()
            return {"docker": None} if phase is None else {"failed": "this run has no Docker guard", "remedy": None, "code": "guard"}
        if phase is None:
            self._docker.quiet()
            return {"docker": None}
        try:
            self._docker.listen(phase, sockets)
        except (OSError, KeyError) as problem:
            return {"failed": f"the sandbox's Docker socket is not served: {problem}", "remedy": None, "code": "guard"}
        return {"docker": phase}

    def _end_guard(self) -> dict[str, object]:
        removed, left = self._docker.close() if self._docker is not None else ((), ())
        self._docker = None
        return {"removed": list(removed), "left": list(left)}

    def _begin_hooks(self, config: object) -> dict[str, object]:
        from orchestrator.agents.hookconfig import parse
        from orchestrator.broker.hooks import HookSide

        if self._hooks is not None:
            self._hooks.quiet()
            self._hooks = None
        try:
            self._hooks = HookSide(parse(config), self._log.write, self._redact)
        except ValueError as problem:
            return {"failed": f"the agent's hooks could not be set up: {problem}", "remedy": "report this", "code": "hooks"}
        return {"hooks": "ready"}

    def _listen_hooks(self, calls: object) -> dict[str, object]:
        if calls is None:
            if self._hooks is not None:
                self._hooks.quiet()
            return {"calls": None}
        try:
            (listener,) = self._lines.take_sockets(1)
        except ValueError as problem:
            return {"failed": f"the sandbox's socket for hooks did not arrive: {problem}", "remedy": None, "code": "hooks"}
        if self._hooks is None:
            listener.close()
            return {"failed": "this run's agent has no hooks", "remedy": None, "code": "hooks"}
        self._hooks.listen(listener)
        return {"calls": calls}

    def _redact(self, text: str) -> str:
        """Without the values that this process holds; an agent should have none of them."""
        if not self._secrets:
            return text
        from orchestrator.egress.standins import Scrubber

        scrubber = Scrubber(self._secrets)
        clean = scrubber.feed(text.encode("utf-8", "surrogateescape")) + scrubber.finish()
        return clean.decode("utf-8", "surrogateescape")

    def _begin(self, config: object) -> dict[str, object]:
        from orchestrator.egress.config import parse
        from orchestrator.egress.server import Egress, EgressFailed

        self._quiet_network()
        try:
            parsed = parse(config)
            self._secrets = parsed.secrets
            self._egress = Egress(parsed, self._log.write)
        except (EgressFailed, ValueError, OSError) as problem:
            return {"failed": f"the way out could not be set up: {problem}", "remedy": "run aienv doctor"}
        return {"egress": "ready"}

    def _set_phase(self, phase: Any, names: list[str]) -> dict[str, object]:
        from orchestrator.egress.server import EgressFailed

        try:
            sockets = dict(zip(names, self._lines.take_sockets(len(names)), strict=True))
        except ValueError as problem:
            return {"failed": f"the sandbox's sockets did not arrive: {problem}", "remedy": None}
        try:
            if self._egress is None and phase is not None:
                raise EgressFailed("this run has no way out")
            if self._egress is not None and phase is None:
                self._egress.quiet()
            elif self._egress is not None:
                self._egress.listen(phase, sockets)
                sockets = {}
                if self._docker is not None:
                    self._docker.attach(self._egress)
        except EgressFailed as problem:
            return {"failed": str(problem), "remedy": None}
        finally:
            for sock in sockets.values():
                sock.close()
        return {"phase": phase}


def harden() -> None:
    """No memory image of this process, which may hold credentials, is ever written or shown to others."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _note(log: AuditLog, kind: str, facts: dict[str, object]) -> None:
    """A last word, if the log takes it: on a full disk the run must be finished all the same."""
    with contextlib.suppress(OSError):
        log.write(kind, facts)


def main(arguments: list[str]) -> int:
    descriptor, run_id, folder, recover = int(arguments[0]), arguments[1], Path(arguments[2]), json.loads(arguments[3])
    # ^C and a closed terminal are the main process's to handle; we are what remains when it cannot.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    log = AuditLog(folder / "audit.jsonl", run_id)
    said_goodbye = False
    with socket.socket(fileno=descriptor) as sock:
        sock.sendall(b'{"ready": true}\n')
        harden()
        service = Service(sock, log)
        try:
            said_goodbye = service.run()
        except Exception as problem:  # noqa: BLE001 - the outermost place: whatever it is, the run is finished
            _note(log, "broker.error", {"kind_of_error": type(problem).__name__})
        service.quiet()
    if said_goodbye:
        log.close()
        return 0
    _note(log, "main.lost", {})
    with contextlib.suppress(OSError):
        log.close()
    os.execv(recover[0], recover)
    return 125


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
