"""Work that an agent hides, on purpose or not: behind closed folders, forged stamps, and in git's own folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.harvest.receive import make_readable
from tests.integration.harvest.place import AGENT_UID, Place, changed, names, new_place

pytestmark = pytest.mark.bwrap


@pytest.fixture
def place() -> Iterator[Place]:
    with new_place() as made:
        yield made.start()


@pytest.mark.parametrize("mode", ["000", "111", "444"])
def test_a_closed_workspace_is_opened_by_its_owner(place: Place, mode: str) -> None:
    """The agent closes the workspace itself: no commit pretends that all files are gone, and the second try, as that user, has everything."""
    place.agent(f"echo c > c; git add c; git commit -qm c; echo f > f; chmod 000 .git; chmod {mode} .")
    first = place.harvest()
    assert not first.complete
    assert "worktree" not in names(first)
    assert "." in place.manifest().unreadable or mode == "444"
    assert _as_agent(make_readable, place.work) == 2
    second = place.harvest()
    assert (second.complete, place.manifest().unreadable) == (True, ())
    assert changed(second) == {"c": "A", "f": "A"}
    assert {"head", "worktree"} <= names(second)


def _as_agent(work: Callable[[Path], int], path: Path) -> int:
    """What ``work`` returns when an ordinary user runs it: the tests are root, whom no mode stops."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(AGENT_UID)
            os.setuid(AGENT_UID)
            os._exit(work(path))
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
