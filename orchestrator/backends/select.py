"""Which backend: the one that was asked for, or the best that is here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.backends.protocol import Backend, BackendFacts
from orchestrator.errors import AienvError, BackendUnavailable
from orchestrator.model.plan import BackendName
from orchestrator.model.task import BackendChoice, IsolationFloor


@dataclass(frozen=True, slots=True)
class Chosen:
    """``passed_over``: why a better backend was not taken, for people."""

    backend: Backend
    facts: BackendFacts
    passed_over: tuple[str, ...]


def candidates(choice: BackendChoice, floor: IsolationFloor, needs_image: bool) -> tuple[BackendName, ...]:
    """The backends to try, best first. Pure.

    Raises:
        BackendUnavailable: what was asked for contradicts itself.
    """
    if choice == "local" and (floor == "container" or needs_image):
        why = "--require-isolation container" if floor == "container" else "an image"
        raise BackendUnavailable(
            f"the local backend cannot give what {why} asks for", remedy="choose --backend docker, or leave that out", code="contradiction"
        )
    if choice == "auto":
        return ("docker",) if floor == "container" or needs_image else ("docker", "local")
    return (choice,)


def choose(choice: BackendChoice, floor: IsolationFloor, needs_image: bool, make: Callable[[BackendName], Backend]) -> Chosen:
    """The first candidate that can be used.

    Raises:
        BackendUnavailable: none; the message has every cause.
    """
    problems: list[BackendUnavailable] = []
    for name in candidates(choice, floor, needs_image):
        backend = make(name)
        try:
            return Chosen(backend, backend.check(), tuple(problem.message for problem in problems))
        except BackendUnavailable as problem:
            problems.append(problem)
    if len(problems) == 1:
        raise problems[0]
    raise BackendUnavailable(
        "no backend can be used here: " + "; ".join(problem.message for problem in problems),
        remedy=" -- or: ".join(problem.remedy for problem in problems if problem.remedy) or None,
    )


def maker(work: Path, cache: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> Callable[[BackendName], Backend]:
    """How to make a backend by its name; nothing heavy is imported for the one that is not used."""

    def make(name: BackendName) -> Backend:
        if name == "docker":
            from orchestrator.backends.docker import DockerBackend

            return DockerBackend(cache, environ, say)
        from orchestrator.backends.local import LocalBackend

        return LocalBackend(work)

    return make


def harvester(name: BackendName, make: Callable[[BackendName], Backend]) -> Backend:
    """A backend that can harvest a run of backend ``name`` now: its own, or else the local sandbox (the workspace is on this disk).

    Raises:
        AienvError: neither can be used.
    """
    backend = make(name)
    try:
        backend.check()
    except AienvError:
        if name == "local":
            raise
        backend = make("local")
        backend.check()
    return backend
