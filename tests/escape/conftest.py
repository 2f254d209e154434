"""The runs are made once: one per backend and user, and one outside of any sandbox."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

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


@pytest.fixture(scope="session")
def alone(request: pytest.FixtureRequest, host: Host, internet: Internet, test_cache: Path) -> Callable[[str, str], Outcome]:
    """What came of a subject's run of one program (or of "", which is all of those that go together)."""

    def outcome(subject: str, program: str) -> Outcome:
        request.getfixturevalue("bwrap")
        engine: Engine | None = None
        if subject.startswith("docker"):
            engine = request.getfixturevalue("engine")
            try:
                engines.image(engine, "base")
            except (CannotHave, TimeoutError) as problem:
                pytest.skip(str(problem))
        return subjects.try_everything(subject, program, host, internet, engine, test_cache)

    return outcome


@pytest.fixture(scope="session")
def outcomes(alone: Callable[[str, str], Outcome]) -> Callable[[str], Outcome]:
    """What came of a subject's run; the first who asks waits for it."""
    known: dict[str, Outcome] = {}

    def outcome(subject: str) -> Outcome:
        if subject not in known:
            known[subject] = alone(subject, "")
        return known[subject]

    return outcome


@pytest.fixture(scope="session")
def outside(host: Host, internet: Internet) -> Mapping[str, str]:
    """What the programs say where nothing holds them."""
    return subjects.try_outside(host, internet)
