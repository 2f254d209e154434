"""Each kind of answer finds its rules; nothing of others comes through any of them."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard import answers
from orchestrator.guard.calls import Answer
from orchestrator.guard.events import EventFilter
from tests.unit.guard.captured_answers import ENGINES, HOST, INSIDE, STAND_IN, Recorded, leaks, recorded

FREE = ("as-is", "stream", "hijack", "events", "ping", "progress")
# Which recorded answers are of which kind; those about somebody else's things are 404 before anything is shown.
KINDS: tuple[tuple[Answer, tuple[str, ...]], ...] = (
    ("container", ("container web", "container published", "container joined", "container created", "container brief")),
    ("containers", ("containers",)),
    ("network", ("network session", "network app")),
    ("networks", ("networks",)),
    ("volume", ("volume app_data",)),
    ("volumes", ("volumes",)),
    ("image", ("image image", "image built")),
    ("images", ("images",)),
    ("history", ("history",)),
    ("exec", ("exec exec",)),
    ("info", ("info",)),
    ("version", ("version",)),
    ("df", ("df",)),
    ("prune", ("prune containers", "prune networks", "prune volumes", "prune images")),
)


@pytest.fixture(params=ENGINES)
def one(request: pytest.FixtureRequest) -> Recorded:
    return recorded(str(request.param))


@pytest.mark.parametrize(("kind", "keys"), KINDS)
def test_no_answer_tells_of_others(one: Recorded, kind: Answer, keys: tuple[str, ...]) -> None:
    for key in keys:
        shown = answers.show(kind, one.answers[key], one.view())
        assert leaks(shown, one) == []
        assert type(shown) is type(one.answers[key])


@pytest.mark.parametrize(("kind", "keys"), [row for row in KINDS if row[0] not in ("info", "version", "image", "history")])
def test_a_session_without_anything(one: Recorded, kind: Answer, keys: tuple[str, ...]) -> None:
    """Lists are empty of all that was made in the scene."""
    empty = one.view(containers={}, networks={}, volumes=frozenset(), images=frozenset(), tags=frozenset())
    for key in keys if kind in ("containers", "networks", "volumes", "images", "df", "prune") else ():
        text = json.dumps(answers.show(kind, one.answers[key], empty))
        assert not any(value in text for name, value in one.scene.items() if name != "session")


def test_every_kind_is_known(one: Recorded) -> None:
    for kind in get_args(Answer):
        bodies: tuple[Any, ...] = (None, {}, [], "text")
        for body in bodies:
            shown = answers.show(kind, body, one.view())
            assert shown == body or kind not in FREE


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param(f"invalid mount config: {HOST}/src: no such file", f"invalid mount config: {INSIDE}/src: no such file", id="project"),
        pytest.param(f"{HOST}-evil/x", "(hidden)", id="sibling"),
        pytest.param("error in /srv/engine/data/overlay2/x: full", "error in (hidden): full", id="engine-folder"),
        pytest.param("open /var/lib/docker/tmp/x: no space", "open (hidden): no space", id="usual-folder"),
        pytest.param(f'mount "{STAND_IN}" failed', 'mount "(hidden)" failed', id="socket"),
        pytest.param("stat /usr/bin/foo: no such file", "stat /usr/bin/foo: no such file", id="path-in-the-container"),
        pytest.param("dial unix /run/docker.sock: refused", "dial unix /run/docker.sock: refused", id="socket-inside"),
        pytest.param('name "/web" is in use by container "' + "ef" * 32 + '"', 'name "/web" is in use by container "(hidden)"', id="id"),
        pytest.param("container 0123456789ab is using it", "container (hidden) is using it", id="short-id"),
        pytest.param("sha256:" + "ef" * 32 + " in use", "(hidden) in use", id="image"),
        pytest.param("network aienv-r1 is internal", "network bridge is internal", id="network"),
        pytest.param("No such container: deadbeef", "No such container: deadbeef", id="short-word"),
    ],
)  # fmt: skip
def test_sentences_of_the_engine(one: Recorded, said: str, shown: str) -> None:
    assert answers.scrub(said, one.view()) == shown


def test_own_ids_stay(one: Recorded) -> None:
    for said in (one.scene["web"], one.scene["web"][:12], one.scene["built"], one.scene["built"][7:19], one.scene["session"]):
        assert answers.scrub(f"id {said}.", one.view()) == f"id {said}."


def test_events_are_filtered(one: Recorded) -> None:
    assert isinstance(answers.stream_filter("events", one.view), EventFilter)
    assert answers.stream_filter("stream", one.view) is None


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_shape_raises(data: st.DataObject) -> None:
    """Members of a real answer replaced by anything: an answer comes out, and still nothing of others."""
    one = recorded(data.draw(st.sampled_from(ENGINES)))
    kind, keys = data.draw(st.sampled_from(KINDS))
    body: Any = json.loads(json.dumps(one.answers[data.draw(st.sampled_from(keys))]))
    place = body
    while isinstance(place, dict | list) and place:
        key: Any = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
        if not isinstance(place[key], dict | list) or data.draw(st.integers(0, 3)) == 0:
            place[key] = data.draw(VALUES)
            break
        place = place[key]
    assert leaks(answers.show(kind, body, one.view()), one) == []
