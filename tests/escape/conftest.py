"""The runs are made once: one per backend and user, and one outside of any sandbox."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests import engine as engines
from tests.engine import CannotHave, Engine
from tests.escape import subjects
from tests.escape.subjects import Host, Outcome
from tests.internet import Internet


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """Things of this machine that no run may touch."""
    try:
        with subjects.host_things() as made:
            yield made
    except CannotHave as problem:
        pytest.skip(str(problem))


class Try(Protocol):
    def __call__(self, subject: str, programs: str, phase: str = "agent") -> Outcome: ...


@pytest.fixture(scope="session")
def attempt(request: pytest.FixtureRequest, host: Host, internet: Internet, test_cache: Path) -> Try:
    """What comes of a subject's run of some programs (of "": of all that go together)."""

    def outcome(subject: str, programs: str, phase: str = "agent") -> Outcome:
        request.getfixturevalue("bwrap")
        engine: Engine | None = None
        if subject.startswith("docker"):
            engine = request.getfixturevalue("engine26" if subject.startswith("docker26") else "engine")
            try:
                engines.image(engine, "base")
            except (CannotHave, TimeoutError) as problem:
                pytest.skip(str(problem))
        return subjects.try_everything(subject, programs, host, internet, engine, test_cache, phase)

    return outcome


@pytest.fixture(scope="session")
def outcomes(attempt: Try) -> Callable[[str], Outcome]:
    """What came of a subject's run; the first who asks waits for it."""
    known: dict[str, Outcome] = {}

    def outcome(subject: str) -> Outcome:
        if subject not in known:
            known[subject] = attempt(subject, "")
        return known[subject]

    return outcome


@pytest.fixture(scope="session")
def outside(host: Host, internet: Internet) -> Mapping[str, str]:
    """What the programs say where nothing holds them."""
    return subjects.try_outside(host, internet)
