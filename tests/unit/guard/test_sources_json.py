"""JSON with comments, as editors write it, and no more than that."""

# ruff: noqa: E501 - a row of a table stays one line

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.calls import Json
from orchestrator.guard.sources import MAX_DEPTH, BadSource, read_json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        ('\ufeff{"a": [1, 2]}', {"a": [1, 2]}),
        ('// c\n{ /* d */ "a": 1, // e\n "b": [1, 2,], }', {"a": 1, "b": [1, 2]}),
        ('{"u": "http://x/*y*/", /* " */ "v": "a,}"}', {"u": "http://x/*y*/", "v": "a,}"}),
        ('{"a": "\\"//", "b": [ ], "c": {"d": null , } /**/ , }', {"a": '"//', "b": [], "c": {"d": None}}),
    ],
)
def test_read(text: str, expected: Json) -> None:
    assert read_json(text.encode()) == expected


@pytest.mark.parametrize(
    "text",
    ["", "[]", "1", "null", "{,}", '{"a":,}', '{"a": [,]}', '{"a": 1,,}', '{"a": 1} {}', '{"a": NaN}', '{"a": 1, "a": 2}', "{a: 1}", "{'a': 1}", '{"a": "\n"}',
     '{"a": 1} /* open', "{" * 5 + '"a"', '{"a":' + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1) + "}", "[" * 100_000, '{"a":' * 100_000],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(BadSource):
        read_json(text.encode())


def test_not_utf8() -> None:
    with pytest.raises(BadSource):
        read_json(b'{"a": "\xff"}')


PIECES = st.sampled_from(['{"a":', "1", ",", "}", "[", "]", "//", "/*", "*/", "\n", '"', "\\", '"x"', "{", " ", "null"])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=20).map("".join))
def test_any_text(text: str) -> None:
    """A document or our own error."""
    with contextlib.suppress(BadSource):
        assert isinstance(read_json(text.encode()), dict)
