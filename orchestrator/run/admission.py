"""Before a command starts: what its sandbox can reach is asked from inside, and judged here. Closed by default.

Baits are laid while a command starts: a file in the run's folder, a port on the host's loopback, an abstract socket. None may be
reached from inside.
"""

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from orchestrator.errors import EnvironmentFailed
from orchestrator.launcher.client import Canary, Place, Process, Ready
from orchestrator.model.network import Phase
from orchestrator.run.context import Context
from orchestrator.run.network import listeners
from orchestrator.sandbox.argv import Confinement, PlaceFacts, writable_mounts
from orchestrator.sandbox.selftest import Expected, Missing, problem, summary

READY_S = 30.0  # the launcher gives up sooner
END_S = 5.0
MAX_EVENT = 64 << 10


@contextlib.contextmanager
def canaries(folder: Path) -> Iterator[Canary]:
    """The baits, for as long as the block lasts."""
    with ExitStack() as undo:
        file = folder / "canary"
        undo.callback(file.unlink, missing_ok=True)
        file.touch(mode=0o444)  # empty: there is room for it on a full disk too
        abstract = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        name = f"aienv-canary-{secrets.token_hex(8)}"
        abstract.bind("\0" + name)
        abstract.listen(1)
        yield Canary(os.path.abspath(file), _loopback_port(undo), name)


def _loopback_port(undo: ExitStack) -> int:
    """A port that answers; 0 where this host's own loopback cannot be used (then there is nothing to reach either)."""
    sock = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    try:
        sock.bind(("127.0.0.1", 0))
        sock.listen(1)
    except OSError:
        return 0
    port: int = sock.getsockname()[1]
    return port


def listening(context: Context, phase: Phase) -> Mapping[str, Place]:
    """What the prelude makes inside, in this order."""
    return {**listeners(context.network.plan), **context.docker.places(), **context.hooks.places(phase)}


def expected_of(context: Context, confinement: Confinement, facts: PlaceFacts, canary: Canary, ready: Ready) -> Expected:
    """What this command's sandbox must be like."""
    below_run = {path.split("/")[2] for _, path in facts.visible if path.startswith("/run/")}
    return Expected(
        uid=context.plan.uid,
        gid=context.plan.gid,
        container=facts.container,
        writable=writable_mounts(confinement),
        run=frozenset(["aienv", *below_run]),
        canary_port=canary.port != 0,
        place=ready.place,
    )


def admit(context: Context, phase: Phase, process: Process, confinement: Confinement, facts: PlaceFacts, canary: Canary) -> None:
    """Let the command start if its sandbox holds. One that ended before it could tell is left to the caller.

    Raises:
        EnvironmentFailed: a layer is missing, or nothing was told in time. AienvError: nobody serves its sockets. The command
        is dead then.
    """
    ready = process.wait_ready(READY_S)
    if ready is None:
        if process.wait(0) is None:
            process.kill()
            raise EnvironmentFailed("the sandbox did not tell in time what it can reach", remedy="run aienv doctor", code="sandbox")
        return
    admitted = False
    try:
        expected = expected_of(context, confinement, facts, canary, ready)
        missing = problem(ready.facts, expected)
        context.recorder.event("sandbox.selftest", _event(phase, summary(ready.facts, expected), missing))
        if missing is not None:
            raise EnvironmentFailed(
                f"the sandbox does not hold: {missing.found} (layer: {missing.layer}); the command was not started",
                remedy=missing.remedy,
                code="self-test",
            )
        named = dict(zip(listening(context, phase), ready.sockets, strict=True))
        docker = [named.pop(name) for name in context.docker.places()]
        for name in context.hooks.places(phase):
            context.hooks.listen(named.pop(name))
        if named:
            context.network.listen(phase, tuple(named.values()))
        process.go()
        for listener in docker:  # after it, for a porter needs a command that runs; until then clients wait in the backlog
            context.docker.listen(phase, listener, process)
        admitted = True
    finally:
        for sock in ready.sockets:
            sock.close()
        if not admitted:
            process.kill()
            process.wait(END_S)


def _event(phase: Phase, facts: dict[str, object], missing: Missing | None) -> dict[str, object]:
    known = {"phase": phase, "missing": missing.layer if missing else None}
    # What comes from a place may be anything; an event is one line of bounded length.
    return {**known, "facts": facts} if len(json.dumps(facts)) <= MAX_EVENT else {**known, "facts": {}}
