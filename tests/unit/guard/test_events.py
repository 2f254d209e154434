"""Events, as two engines tell them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.events import MAX_EVENT_BYTES, EventFilter, Objects, show_event
from tests.unit.guard.captured_answers import ENGINES, HOST, INSIDE, Recorded, leaks, recorded


@pytest.fixture(params=ENGINES)
def one(request: pytest.FixtureRequest) -> Recorded:
    return recorded(str(request.param))


def shown(one: Recorded, **changes: Any) -> list[Any]:
    """All events of the scene, as a client sees them that waits from its beginning."""
    view = one.view(**changes)
    out = EventFilter(lambda: view).feed("".join(line + "\n" for line in one.answers["events"]).encode())
    return [json.loads(line) for line in out.splitlines()]


def test_own_things_only(one: Recorded) -> None:
    found = shown(one)
    told = [json.loads(line) for line in one.answers["events"]]
    assert leaks(told, one) != []
    assert leaks(found, one) == []
    kinds = {(event["Type"], event["Action"].split(":")[0]) for event in found}
    assert kinds >= {
        ("container", "create"), ("container", "start"), ("container", "die"), ("container", "exec_create"), ("container", "health_status"),
        ("container", "destroy"), ("network", "connect"), ("network", "disconnect"), ("network", "create"), ("volume", "create"),
        ("volume", "mount"), ("volume", "destroy"), ("image", "tag"), ("image", "delete"),
    }  # fmt: skip
    assert ("container", "prune") not in kinds  # everybody's


def test_every_own_container_event_is_told(one: Recorded) -> None:
    """None is lost: what counts is whose it is."""
    own = {value for key, value in one.scene.items() if key in ("web", "published", "joined", "created", "brief")}
    told = [json.loads(line) for line in one.answers["events"]]
    wanted = [event["Action"] for event in told if event["Type"] == "container" and event["Actor"]["ID"] in own]
    assert [event["Action"] for event in shown(one) if event["Type"] == "container"] == wanted


def test_old_members_are_kept(one: Recorded) -> None:
    """docker-py and docker-compose 1 read status, id and from."""
    event = next(event for event in shown(one) if event.get("status") == "start" and event["id"] == one.scene["web"])
    assert event["from"] == "busybox"
    assert event["Actor"]["Attributes"] == {"com.docker.compose.service": "web", "image": "busybox", "name": "web"}
    assert event["time"]
    assert event["timeNano"]
    assert event["scope"] == "local"


def test_known_by_the_label_before_the_answer(one: Recorded) -> None:
    """The engine tells of a container before it has answered who made it."""
    found = shown(one, containers={}, volumes=frozenset(), networks={}, images=frozenset(), tags=frozenset())
    assert {event["Type"] for event in found} == {"container", "network"}
    assert one.scene["web"] in {event["Actor"]["ID"] for event in found}
    assert one.scene["gate"] not in json.dumps(found)


def test_events_of_what_is_gone(one: Recorded) -> None:
    found = shown(one, networks={}, gone=frozenset([one.scene["app"]]))
    destroyed = [event["Actor"] for event in found if (event["Type"], event["Action"]) == ("network", "destroy")]
    assert {"ID": one.scene["app"], "Attributes": {"name": "app_default", "type": "bridge"}} in destroyed


def test_strangers_in_an_own_network(one: Recorded) -> None:
    """Who joins is nobody's business; not even that somebody does."""
    attributes = {"container": one.scene["foreign"]}
    event: Any = {"Type": "network", "Action": "connect", "Actor": {"ID": one.scene["app"], "Attributes": attributes}}
    assert show_event(event, one.view()) is None
    attributes["container"] = one.scene["web"]
    assert show_event(event, one.view()) is not None


def test_a_commit_by_others(one: Recorded) -> None:
    """That it was made is told; what it was called is not."""
    made = {"imageID": one.scene["foreign_image"], "imageRef": "other/private:1", "name": "web"}
    event: Any = {"Type": "container", "Action": "commit", "Actor": {"ID": one.scene["web"], "Attributes": made}}
    found: Any = show_event(event, one.view())
    assert found["Actor"]["Attributes"] == {"name": "web"}
    made |= {"imageID": one.scene["built"], "imageRef": "app_web:latest"}
    found = show_event(event, one.view())
    assert found["Actor"]["Attributes"] == made


def test_names_that_others_give(one: Recorded) -> None:
    event: Any = {"Type": "image", "Action": "tag", "Actor": {"ID": one.scene["image"], "Attributes": {"name": "secret/project:1"}}}
    assert show_event(event, one.view()) is None


@pytest.mark.parametrize("kind", ["daemon", "plugin", "node", "service", "secret", "config", "builder", "", None, 3])
def test_kinds_that_are_nobodys(one: Recorded, kind: object) -> None:
    event: Any = {"Type": kind, "Action": "reload", "Actor": {"ID": one.scene["web"], "Attributes": {}}}
    assert show_event(event, one.view()) is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"Type":"container"}', b'{"Type":"container","Actor":{"ID":[]}}', b"\xff"])
def test_what_is_no_event(one: Recorded, data: bytes) -> None:
    assert EventFilter(one.view).line(data) is None


def test_a_refusal_keeps_its_length(one: Recorded) -> None:
    """The engine gave it a length; the client waits for that."""
    body = json.dumps({"message": f"no {HOST}/x in {one.scene['foreign']}"}).encode() + b"\n"
    out = EventFilter(one.view).feed(body)
    assert len(out) == len(body)
    assert json.loads(out)["message"] == f"no {INSIDE}/x in (hidden)"


def test_pieces(one: Recorded) -> None:
    """Whatever the pieces, the same events."""
    data = "".join(line + "\n" for line in one.answers["events"]).encode()
    whole, cut = EventFilter(one.view), EventFilter(one.view)
    assert b"".join(cut.feed(data[at : at + 7]) for at in range(0, len(data), 7)) == whole.feed(data)


TEXTS = st.dictionaries(st.text(max_size=4), st.one_of(st.text(max_size=6), st.just('{"}\\"'), st.just({"a": "}"})), max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, max_size=5), st.integers(1, 9), st.sampled_from(["", "\n", "\r\n \n"]), st.booleans())
def test_objects_are_cut(values: list[Any], size: int, between: str, ascii_only: bool) -> None:
    data = between.join(json.dumps(value, ensure_ascii=ascii_only) for value in values).encode("utf-8", "surrogatepass")
    cutter = Objects(1000)
    found = [one for at in range(0, len(data), size) for one in cutter.feed(data[at : at + size])]
    assert [json.loads(one.decode("utf-8", "surrogatepass")) for one in found] == values


def test_what_is_too_long_is_left_out() -> None:
    cutter = Objects(MAX_EVENT_BYTES)
    long = b'{"a":"' + b"x" * MAX_EVENT_BYTES + b'"}'
    assert cutter.feed(long[:1000]) + cutter.feed(long[1000:]) == []
    assert cutter.feed(b'{"b":1}') == [b'{"b":1}']


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    EventFilter(recorded(ENGINES[0]).view).feed(data)
