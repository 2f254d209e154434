"""Filters: a row for each key, the nearest one that must pass, and no exception but a refusal."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.calls import Denied, Reference, Thing
from orchestrator.guard.filters import NOBODY, RULES, Listed, judge_filters, strict_references, with_ids, with_own_label
from tests import engine as engines
from tests.engine import Engine
from tests.unit.guard.captured_answers import session

FULL = "ab" * 32


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        pytest.param(None, "container", {}, id="none"),
        pytest.param("", "container", {}, id="empty"),
        pytest.param("{}", "container", {}, id="no-key"),
        pytest.param('{"label":["a","b=c"]}', "container", {"label": ["a", "b=c"]}, id="list"),
        pytest.param('{"label":{"a":true,"b=c":true}}', "container", {"label": ["a", "b=c"]}, id="map"),
        pytest.param('{"label":[],"id":{},"name":null}', "container", {}, id="no-values"),
        pytest.param('{"next":[],"later":{}}', "container", {}, id="unknown-and-empty"),
        pytest.param('{"label":["a","a"]}', "container", {"label": ["a"]}, id="twice"),
        pytest.param('{"status":{"running":true},"exited":["0"],"health":["healthy"]}', "container",
                     {"status": ["running"], "exited": ["0"], "health": ["healthy"]}, id="state"),
        pytest.param('{"expose":["80/tcp"],"publish":["8000-8080"],"is-task":["false"]}', "container",
                     {"expose": ["80/tcp"], "publish": ["8000-8080"], "is-task": ["false"]}, id="ports"),
        pytest.param('{"label":["com.docker.compose.project=app","com.docker.compose.oneoff=False"]}', "container",
                     {"label": ["com.docker.compose.project=app", "com.docker.compose.oneoff=False"]}, id="compose"),
        pytest.param('{"dangling":["true"],"reference":["app*"],"until":["24h"]}', "image",
                     {"dangling": ["true"], "reference": ["app*"], "until": ["24h"]}, id="images"),
        pytest.param('{"type":["custom"],"driver":["bridge"],"scope":["local"],"name":["^app_default$"]}', "network",
                     {"type": ["custom"], "driver": ["bridge"], "scope": ["local"], "name": ["^app_default$"]}, id="networks"),
        pytest.param('{"dangling":{"1":true},"name":["app_data"],"driver":["local"]}', "volume",
                     {"dangling": ["1"], "name": ["app_data"], "driver": ["local"]}, id="volumes"),
        pytest.param('{"type":["container"],"event":["health_status: healthy","die"]}', "events",
                     {"type": ["container"], "event": ["health_status: healthy", "die"]}, id="events"),
        pytest.param('{"until":["2024-01-01T00:00:00Z"],"all":["1"],"dangling":["0"],"label!":["keep"]}', "prune",
                     {"until": ["2024-01-01T00:00:00Z"], "all": ["1"], "dangling": ["0"], "label!": ["keep"]}, id="prune"),
        pytest.param('{"label":["dev.aienvironment=x"]}', "container", {"label": ["dev.aienvironment=x"]}, id="nearly-our-label"),
    ],
)  # fmt: skip
def test_passes(text: str | None, kind: Listed, expected: object) -> None:
    """Both forms are read, and one is written."""
    assert judge_filters(text, kind)[0] == expected


@pytest.mark.parametrize(
    ("text", "kind", "rule"),
    [
        pytest.param('{"next":["x"]}', "container", "filters.key", id="unknown"),
        pytest.param('{"Label":["x"]}', "container", "filters.key", id="other-spelling"),
        pytest.param('{"label!":["x"]}', "container", "filters.key", id="not-for-containers"),
        pytest.param('{"name":["x"]}', "prune", "filters.key", id="not-for-prune"),
        pytest.param('{"label":["dev.aienv.run=r2"]}', "container", "filters.label", id="our-label"),
        pytest.param('{"label":{"dev.aienv.role":true}}', "network", "filters.label", id="our-label-in-a-map"),
        pytest.param('{"label!":["dev.aienv.run=r1"]}', "prune", "filters.label", id="not-our-label"),
        pytest.param('{"label":{"a":false}}', "container", "filters.form", id="false"),
        pytest.param('{"label":{"a":1}}', "container", "filters.form", id="number-in-a-map"),
        pytest.param('{"label":"a"}', "container", "filters.form", id="text"),
        pytest.param('{"label":[["a"]]}', "container", "filters.form", id="nested"),
        pytest.param(json.dumps({"label": [str(n) for n in range(65)]}), "container", "filters.form", id="too-many"),
        pytest.param(json.dumps({"label": ["x" * 513]}), "container", "filters.form", id="too-long"),
        pytest.param('{"label":["a\\n"]}', "container", "filters.value", id="line-break"),
        pytest.param('{"exited":["0x1"]}', "container", "filters.value", id="no-number"),
        pytest.param('{"status":["RUNNING; x"]}', "container", "filters.value", id="no-word"),
        pytest.param('{"dangling":["maybe"]}', "image", "filters.value", id="no-boolean"),
        pytest.param('{"until":["1h; x"]}', "prune", "filters.value", id="no-time"),
        pytest.param('{"publish":["all"]}', "container", "filters.value", id="no-port"),
    ],
)  # fmt: skip
def test_refused(text: str, kind: Listed, rule: str) -> None:
    with pytest.raises(Denied) as refused:
        judge_filters(text, kind)
    assert refused.value.denial.rule == rule


@pytest.mark.parametrize(
    "text",
    ['{"label":["a"],"label":["b"]}', "[]", "null", '{"label":["a"]}x', "{", '{"label":["\\ud800"]}', '{"a":NaN}', '{"label":["\ud800"]}'],
)
def test_malformed_json(text: str) -> None:
    with pytest.raises(Denied):
        judge_filters(text, "container")


def test_what_is_named() -> None:
    """``before`` and ``since`` must be there; the others match nothing where they are not."""
    filters, named = judge_filters('{"before":["web"],"ancestor":["app:1"],"network":["bridge"],"id":["ab"],"name":["w"]}', "container")
    before, ancestor, network = Reference("container", "web"), Reference("image", "app:1"), Reference("network", "bridge")
    assert named == (before, ancestor, network)
    assert strict_references(filters, "container") == (before,)
    known = {before: Thing("container", FULL, "web"), ancestor: None, network: Thing("network", "cd" * 32, "bridge")}
    assert with_ids(filters, "container", known, session()) == {
        "before": [FULL], "ancestor": [NOBODY], "network": ["cd" * 32], "id": ["ab"], "name": ["w"],
    }  # fmt: skip


def test_events_wait_for_what_is_not_there_yet() -> None:
    filters, named = judge_filters('{"container":["later"]}', "events")
    assert with_ids(filters, "events", dict.fromkeys(named), session()) == {"container": ["later"]}


def test_bridge_is_the_sessions_network() -> None:
    """Docker looks for its real name."""
    filters, _ = judge_filters('{"name":["bridge","app"]}', "network")
    assert with_ids(filters, "network", {}, session()) == {"name": ["aienv-r1", "app"]}


def test_own_label_comes_beside_the_clients() -> None:
    assert with_own_label({"label": ["a"]}, session()) == {"label": ["a", "dev.aienv.run=r1"]}
    assert with_own_label({}, session()) == {"label": ["dev.aienv.run=r1"]}


SAMPLES = {
    "label": ["a=b", "c"], "before": [], "since": [], "until": ["24h"], "dangling": ["true"], "exited": ["0"], "expose": ["80/tcp"],
    "publish": ["8000-8080/tcp"], "health": ["healthy"], "status": ["running"], "isolation": ["default"], "is-task": ["false"],
    "driver": ["bridge"], "scope": ["local"], "type": ["custom"], "reference": ["app*"],
    "ancestor": [NOBODY], "network": [NOBODY],
}  # fmt: skip
LISTS: tuple[tuple[Listed, str], ...] = (
    ("container", "/containers/json"), ("image", "/images/json"), ("network", "/networks"), ("volume", "/volumes"),
)  # fmt: skip


@pytest.mark.docker
@pytest.mark.parametrize(("kind", "path"), LISTS)
def test_engines_take_every_key(any_engine: Engine, kind: Listed, path: str) -> None:
    """In the form that we write. What no engine here knows is not in the table."""
    newer = {("image", "until")} if any_engine.version == "20.10" else set()
    with contextlib.closing(any_engine.client()) as client:
        for key in RULES[kind]:
            values = SAMPLES.get(key, ["x"])
            answer = client.get(client.base_url + f"/v1.41{path}", params={"filters": json.dumps({key: values})}) if values else None
            assert answer is None or answer.status_code == (400 if (kind, key) in newer else 200), (key, answer.text)


@pytest.mark.docker
def test_what_is_not_there_matches_nothing(any_engine: Engine) -> None:
    """On an engine that has a container, of the image and in the network that are asked for under names of nobody."""
    image = engines.image(any_engine, "busybox")
    with contextlib.closing(any_engine.client()) as client:
        made = client.create_container(image, ["true"], labels={"dev.aienv.run": "r1", "a": "b"})
        try:
            for filters, count in [
                ({"ancestor": [NOBODY]}, 0), ({"network": [NOBODY]}, 0), ({"label": ["a=b"]}, 1),
                ({"ancestor": [client.inspect_image(image)["Id"]]}, 1),
                (with_own_label({"label": ["a=b"]}, session()), 1), (with_own_label({"label": ["a=c"]}, session()), 0),
            ]:  # fmt: skip
                params = {"filters": json.dumps(filters), "all": "1"}
                found = client.get(client.base_url + "/v1.41/containers/json", params=params).json()
                assert len([one for one in found if one["Id"] == made["Id"]]) == count, filters
        finally:
            client.remove_container(made["Id"], force=True)


LEAF = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.sampled_from(["dev.aienv.run", "80/tcp", "true"]))
VALUE = st.one_of(LEAF, st.lists(LEAF, max_size=3), st.dictionaries(st.text(max_size=8), LEAF, max_size=3))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(RULES)), st.dictionaries(st.one_of(st.text(max_size=6), st.sampled_from(["label", "before", "id"])), VALUE))
def test_anything_is_judged_or_refused(kind: Any, given_filters: dict[str, Any]) -> None:
    """What passes has only known keys, lists of texts, no label of ours, and is judged alike a second time."""
    try:
        filters, _ = judge_filters(json.dumps(given_filters), kind)
    except Denied:
        return
    assert set(filters) <= set(RULES[kind])
    assert "dev.aienv" not in json.dumps(filters.get("label", []))
    assert judge_filters(json.dumps(filters), kind)[0] == filters


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    with contextlib.suppress(Denied):
        judge_filters(text, "container")
