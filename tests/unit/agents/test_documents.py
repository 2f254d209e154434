"""Files that several concerns write."""

import json
import tomllib

import pytest

from orchestrator.agents.documents import merge, render
from orchestrator.errors import AienvError
from orchestrator.model.agent import AgentFile, Document


def file(content: Document | str, path: str = "/f", *, locked: bool = True) -> AgentFile:
    return AgentFile(path, "text" if isinstance(content, str) else "json", content, locked)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        pytest.param({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, id="maps-are-joined"),
        pytest.param({"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}, id="at-any-depth"),
        pytest.param({"a": [1]}, {"a": [2, 1]}, {"a": [1, 2]}, id="lists-are-appended"),
        pytest.param({"a": True}, {"a": True}, {"a": True}, id="the-same-twice"),
        pytest.param("x", "x", "x", id="one-text"),
    ],
)
def test_merged(one: Document | str, other: Document | str, both: Document | str) -> None:
    assert merge([file(one), file(other)]) == (file(both),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"a": 1}, {"a": 2}, id="scalars"),
        pytest.param({"a": 1}, {"a": True}, id="one-is-not-true"),
        pytest.param({"a": [1]}, {"a": {"x": 1}}, id="kinds"),
        pytest.param("x", "y", id="texts"),
        pytest.param({"a": 1}, "a", id="formats"),
    ],
)
def test_disagreement(one: Document | str, other: Document | str) -> None:
    """Two concerns of ours that say different things: a mistake of ours, never decided by order."""
    with pytest.raises(AienvError, match="disagree") as caught:
        merge([file(one), file(other)])
    assert caught.value.code == "internal"


def test_order_and_lock() -> None:
    """First mention decides the place; one that is locked locks."""
    merged = merge([file({"a": 1}, "/one", locked=False), file({}, "/two", locked=False), file({"b": 1}, "/one")])
    assert [(one.path, one.locked) for one in merged] == [("/one", True), ("/two", False)]


def test_inputs_stay() -> None:
    content: Document = {"a": {"x": [1]}}
    merge([file(content), file({"a": {"x": [2], "y": 1}})])
    assert content == {"a": {"x": [1]}}


DOCUMENT: Document = {"a": 1, "t": {'key "x"\n': "line\nü", "l": [{"x": True}, {"y": 1.5}]}, "e": {}, "f": []}


def test_json() -> None:
    assert json.loads(render(file(DOCUMENT))) == DOCUMENT


def test_toml() -> None:
    """What no writer of our own should have to get right: quoting of keys, tables in lists."""
    rendered = render(AgentFile("/c", "toml", {**DOCUMENT, "n": None, "m": {"n": None}}))
    assert tomllib.loads(rendered.decode()) == {**DOCUMENT, "m": {}}


def test_text() -> None:
    assert render(file("ü\n")) == "ü\n".encode()
