"""Features put into a text of JSON with comments: it means what it should, and all else is as it was."""

import json
import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.jsonc import Json, parse
from orchestrator.devcontainer.templates.edit import put, with_features
from orchestrator.errors import ConfigError

ONE: Mapping[str, Json] = {"r/n/a:1": {"v": "2"}}
BLOCK = '"features": {\n\t\t"r/n/a:1": {\n\t\t\t"v": "2"\n\t\t}\n\t}'


@pytest.mark.parametrize(
    ("text", "result"),
    [
        pytest.param('{\n\t"name": "x"\n}\n', '{\n\t"name": "x",\n\t' + BLOCK + "\n}\n", id="after the last member"),
        pytest.param('{\n\t"name": "x", // c\n}\n', '{\n\t"name": "x", // c\n\t' + BLOCK + "\n}\n", id="a trailing comma does"),
        pytest.param('{\n\t"name": "x" // c\n\t// d\n}', '{\n\t"name": "x", // c\n\t// d\n\t' + BLOCK + "\n}",
                     id="comments stay with theirs"),
        pytest.param('{\n\t"name": "x" }', '{\n\t"name": "x",\n\t' + BLOCK + "\n}", id="a bracket on the same line"),
        pytest.param("{}", "{\n\t" + BLOCK + "\n}", id="empty"),
        pytest.param("// c\n{ // d\n}", "// c\n{ // d\n\t" + BLOCK + "\n}", id="nothing but a comment"),
        pytest.param('{"image": "x"}', '{"image": "x", "features": {"r/n/a:1": {"v": "2"}}}', id="one line"),
        pytest.param('{"image": "x", /* c */ }', '{"image": "x", "features": {"r/n/a:1": {"v": "2"}} /* c */ }',
                     id="one line, comma"),
        pytest.param('{"image": "x" /* , */ , }', '{"image": "x" /* , */ , "features": {"r/n/a:1": {"v": "2"}} }',
                     id="comma in a comment"),
        pytest.param('{\r\n  "name": "x"\r\n}\r\n',
                     '{\r\n  "name": "x",\r\n  ' + BLOCK.replace("\t", "  ").replace("\n", "\r\n") + "\r\n}\r\n",
                     id="line ends and blanks as there"),
        pytest.param('\ufeff{\n\t"a": 1\n}', '\ufeff{\n\t"a": 1,\n\t' + BLOCK + "\n}", id="byte order mark"),
        pytest.param('{\n\t"features": null // n\n}', "{\n\t" + BLOCK + " // n\n}", id="null is none"),
        pytest.param('{\n\t"features": {}\n}', '{\n\t"features": {"r/n/a:1": {"v": "2"}}\n}', id="own ones, empty"),
        pytest.param('{\n\t"features": {\n\t\t"b": {} // c\n\t}, // d\n\t"x": {"b": 1}\n}',
                     '{\n\t"features": {\n\t\t"b": {}, // c\n\t\t"r/n/a:1": {\n\t\t\t"v": "2"\n\t\t}\n\t}, // d\n\t"x": {"b": 1}\n}',
                     id="own ones"),
        pytest.param('{\n\t"features": {"b": {}}\n}', '{\n\t"features": {"b": {}, "r/n/a:1": {"v": "2"}}\n}',
                     id="own ones, one line"),
        pytest.param('{\n\t"features": {"r/n/a:1": "1" /* c */}\n}', '{\n\t"features": {"r/n/a:1": {\n\t\t"v": "2"\n\t} /* c */}\n}',
                     id="replaced"),
        pytest.param('{"features": 1, "features": {}}', '{"features": 1, "features": {"r/n/a:1": {"v": "2"}}}',
                     id="of two the last counts"),
        pytest.param('{\n\t"\\u0066eatures": {}\n}', '{\n\t"\\u0066eatures": {"r/n/a:1": {"v": "2"}}\n}',
                     id="a key with escapes"),
        pytest.param('{"u": "//}{\\"", "v": "/*"}', '{"u": "//}{\\"", "v": "/*", "features": {"r/n/a:1": {"v": "2"}}}',
                     id="marks in texts"),
    ],
)  # fmt: skip
def test_added(text: str, result: str) -> None:
    found = with_features(text, ONE, "x")
    assert found == result
    parse(found)


def test_half_of_a_pair() -> None:
    """A text that UTF-8 has no bytes for stays what it was."""
    found = with_features("{}", {"a": {"v": "\ud800", "w": "ü"}}, "x")
    assert found.encode().decode() == found
    assert parse(found).value == {"features": {"a": {"v": "\ud800", "w": "ü"}}}


def test_none_to_add() -> None:
    assert with_features("not even JSON", {}, "x") == "not even JSON"


@pytest.mark.parametrize(
    ("text", "because"),
    [
        pytest.param('{"a": }', "x:1:7: expected a value", id="no JSON"),
        pytest.param("[]", "x is no JSON object", id="list"),
        pytest.param('{"features": []}', "x: features is no object", id="a list of features"),
    ],
)
def test_refused(text: str, because: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_features(text, ONE, "x")
    assert because in caught.value.message


KEYS = st.one_of(st.sampled_from(["features", "name", "a/b:1", "}", "//", "/*", '"', "\\"]), st.text(max_size=5))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 99), st.sampled_from(["", "{", "//x", "/*", ",", '"', "\\", "ü"])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=2)),
    max_leaves=5,
)
GAPS = st.sampled_from(["", "", "", " ", "\n", "\n\t", "\r\n  ", "/* c, } */", " // d {\n", "/**/", "/* \" */\n"])
COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|(//[^\n]*|/\*.*?\*/)', re.DOTALL)


@st.composite
def texts(draw: st.DrawFn, value: Json) -> str:
    """``value`` as somebody may have written it."""

    def gap() -> str:
        return draw(GAPS)

    def several(items: list[str], marks: str) -> str:
        body = f"{gap()},".join(items) + (draw(st.sampled_from(["", gap() + ","])) if items else "")
        return marks[0] + body + gap() + marks[1]

    if isinstance(value, dict):
        return several([f"{gap()}{json.dumps(key)}{gap()}:{gap()}{draw(texts(one))}" for key, one in value.items()], "{}")
    if isinstance(value, list):
        return several([gap() + draw(texts(one)) for one in value], "[]")
    return json.dumps(value)


def comments(text: str) -> list[str]:
    return [match[1].rstrip("\r") for match in COMMENT.finditer(text) if match[1]]


@settings(max_examples=300)
@given(st.data(), st.dictionaries(KEYS, VALUES, max_size=4), st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
def test_any_text(data: st.DataObject, config: dict[str, Json], features: dict[str, Json]) -> None:
    """It parses, means the same with the features in it, and no comment is lost but inside of what was replaced."""
    text = data.draw(texts(config)) + data.draw(GAPS)
    own = config.get("features")
    if own is not None and not isinstance(own, dict):
        with pytest.raises(ConfigError):
            with_features(text, features, "x")
        return
    found = with_features(text, features, "x")
    assert parse(found).value == {**config, "features": {**(own or {}), **features}}
    if own is None or not set(own) & set(features):
        assert comments(found) == comments(text)


@settings(max_examples=100)
@given(st.data(), st.dictionaries(KEYS, VALUES, max_size=4), KEYS, VALUES)
def test_any_member(data: st.DataObject, config: dict[str, Json], key: str, value: Json) -> None:
    text = data.draw(texts(config))
    assert parse(put(text, (), key, value)).value == {**config, key: value}
