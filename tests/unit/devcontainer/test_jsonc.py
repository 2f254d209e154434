"""JSON with comments: what is read, and where an error is."""

import contextlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.jsonc import MAX_DEPTH, BadJson, Json, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("{}", {}, id="empty"),
        pytest.param(" [1, -2, 1.5, 1e3, true, false, null] ", [1, -2, 1.5, 1000, True, False, None], id="scalars"),
        pytest.param("1.0", 1, id="a whole number is one"),
        pytest.param("-0", 0, id="no negative zero"),
        pytest.param('\ufeff{"a": 1}', {"a": 1}, id="byte order mark"),
        pytest.param('// c\r\n{ /* d\n */ "a": 1, // e\n "b": [1, 2,], }', {"a": 1, "b": [1, 2]}, id="comments and trailing commas"),
        pytest.param('{"u": "http://x/*y*/", /* " */ "v": "a,}"}', {"u": "http://x/*y*/", "v": "a,}"}, id="no comments in texts"),
        pytest.param('"\\ud83d\\ude00\\n\\/\\"\\\\"', '😀\n/"\\', id="escapes"),
        pytest.param("[/**/]//", [], id="comment at the end of the file"),
        pytest.param("12345678901234567890", 12345678901234567890, id="all digits stay"),
    ],
)
def test_read(text: str, value: Json) -> None:
    found = parse(text)
    assert found.value == value
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1, column 1: is empty"),
        ("// x\n", "line 2, column 1: is empty"),
        ('{"a": 1', "line 1, column 8: expected ',' or '}', found the end of the file"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: expected ',' or '}', found '\"b\"'"),
        ("{'a': 1}", "line 1, column 2: texts and keys stand in double quotes"),
        ("{a: 1}", "line 1, column 2: expected a key in double quotes or '}', found 'a'"),
        ('{"a": 1, 5: 2}', "line 1, column 10: expected a key in double quotes, found '5'"),
        ("{,}", "line 1, column 2: expected a key in double quotes or '}', found ','"),
        ('{"a": 1,,}', "line 1, column 9: expected a key in double quotes, found ','"),
        ("[,]", "line 1, column 2: expected a value, found ','"),
        ("[1,,]", "line 1, column 4: expected a value, found ','"),
        ('{"a" 1}', "line 1, column 6: expected ':', found '1'"),
        ('{"a": }', "line 1, column 7: expected a value, found '}'"),
        ('{"a": NaN}', "line 1, column 7: expected a value, found 'NaN'"),
        ("[01]", "line 1, column 2: expected a value, found '01'"),
        ("[+1]", "line 1, column 2: expected a value, found '+1'"),
        ("[1e999]", "line 1, column 2: the number is too large"),
        ('["a\nb"]', "line 1, column 2: a text that does not end on its line"),
        ('["\\x"]', "line 1, column 2: a text with a bad escape (invalid \\escape)"),
        ("{} {}", "line 1, column 4: expected the end, found '{'"),
        ("{} /* x", "line 1, column 4: a comment that does not end"),
        ("\n\n #", "line 3, column 2: '#' has no place here"),
        ("[" * (MAX_DEPTH + 2), f"line 1, column {MAX_DEPTH + 2}: is nested deeper than {MAX_DEPTH} levels"),
        ("[" * 100_000, f"line 1, column {MAX_DEPTH + 2}: is nested deeper than {MAX_DEPTH} levels"),
        ("9" * 5000, "line 1, column 1: expected a value, found '99999999999999999999...'"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(BadJson) as caught:
        parse(text)
    assert str(caught.value) == reason


def test_the_last_of_equal_keys_counts() -> None:
    found = parse('{"a": 1,\n "b": {"c": 1, "c": 2}, "a": 3}')
    assert found.value == {"a": 3, "b": {"c": 2}}
    assert [(one.key, str(one.place)) for one in found.repeated] == [("c", "line 2, column 16"), ("a", "line 2, column 25")]


@pytest.mark.parametrize("text", ['{"a": 1,}', "[1,]", "[1] // x", "/**/ 1"])
def test_without_comments(text: str) -> None:
    parse(text)
    with pytest.raises(BadJson):
        parse(text, comments=False)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.booleans())
def test_what_json_writes_is_read(value: Json, escaped: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=escaped), comments=False).value == value


PIECES = st.sampled_from(
    ['{"a":', "1", ",", "}", "[", "]", "//", "/*", "*/", "\n", '"', "\\", '"x"', "{", " ", "null", "\ud800", "-", "e9"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=20).map("".join) | st.text(max_size=30))
def test_any_text(text: str) -> None:
    """A value or our own error; and what Python's reader takes, ours takes."""
    with contextlib.suppress(BadJson):
        parse(text)
        return
    with pytest.raises(ValueError):
        json.loads(text, parse_constant=refuse, parse_float=finite)


def refuse(word: str) -> None:
    raise ValueError(word)


def finite(word: str) -> float:
    if math.isinf(value := float(word)):
        refuse(word)
    return value
