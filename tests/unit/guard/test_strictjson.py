"""JSON with one reading, and names that a daemon takes for the same one."""

import pytest

from orchestrator.guard.calls import Denied, Json
from orchestrator.guard.fold import fold
from orchestrator.guard.strictjson import MAX_BYTES, MAX_DEPTH, encode, parse


def rule(data: bytes) -> tuple[str, int]:
    with pytest.raises(Denied) as caught:
        parse(data)
    return caught.value.denial.rule, caught.value.denial.status


@pytest.mark.parametrize(("data", "because"), [
    pytest.param(b'{"a":1,"a":2}', "json.duplicate", id="duplicate"),
    pytest.param(b'{"HostConfig":{"Privileged":true},"HostConfig":{}}', "json.duplicate", id="duplicate-object"),
    pytest.param(b'{"a":1,"\\u0061":2}', "json.duplicate", id="duplicate-escaped"),
    pytest.param(b'{"x":[{"a":1,"a":1}]}', "json.duplicate", id="duplicate-inside"),
    pytest.param(b'{"a":1}{"b":2}', "json.trailing", id="two-documents"),
    pytest.param(b'{"a":1}\n{"b":2}', "json.trailing", id="lines"),
    pytest.param(b'{"a":1}x', "json.trailing", id="trailing"),
    pytest.param(b'{"a":1}\0', "json.trailing", id="trailing-nul"),
    pytest.param(b'{"a":1}\xc2\xa0', "json.trailing", id="trailing-wide-blank"),
    pytest.param(b'\xef\xbb\xbf{"a":1}', "json.syntax", id="mark-of-order"),
    pytest.param(b'{"a":"\xff"}', "json.utf8", id="not-utf8"),
    pytest.param(b'{"a":"\xed\xa0\x80"}', "json.utf8", id="surrogate-raw"),
    pytest.param(b'{"a":"\\ud800"}', "json.surrogate", id="surrogate-escaped"),
    pytest.param(b'{"\\udc00":1}', "json.surrogate", id="surrogate-in-key"),
    pytest.param(b'{"a":NaN}', "json.number", id="nan"),
    pytest.param(b'{"a":-Infinity}', "json.number", id="infinity"),
    pytest.param(b'{"a":1e999}', "json.number", id="float-too-large"),
    pytest.param(b'{"a":9223372036854775808}', "json.number", id="above-int64"),
    pytest.param(b'{"a":-9223372036854775809}', "json.number", id="below-int64"),
    pytest.param(b'{"a":' + b"9" * 5000 + b"}", "json.number", id="thousands-of-digits"),
    pytest.param(b'{"a":01}', "json.syntax", id="leading-zero"),
    pytest.param(b'{"a":+1}', "json.syntax", id="plus"),
    pytest.param(b'{"a":0x10}', "json.syntax", id="hex"),
    pytest.param("{\"a\":\u0661}".encode(), "json.syntax", id="other-digits"),
    pytest.param(b"{'a':1}", "json.syntax", id="single-quotes"),
    pytest.param(b'{"a":1,}', "json.syntax", id="last-comma"),
    pytest.param(b'{"a":"\n"}', "json.syntax", id="raw-newline"),
    pytest.param(b'{"a":1/**/}', "json.syntax", id="comment"),
    pytest.param(b'{"a":"x', "json.syntax", id="cut"),
    pytest.param(b"", "json.syntax", id="nothing"),
    pytest.param(b"[]", "json.top", id="list"),
    pytest.param(b"null", "json.top", id="null"),
    pytest.param(b'"text"', "json.top", id="text"),
    pytest.param(b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "json.depth", id="depth"),
    pytest.param(b"[" * 200_000, "json.depth", id="very-deep"),
])  # fmt: skip
def test_refused(data: bytes, because: str) -> None:
    """What two readers could read in two ways has no reading."""
    assert rule(data) == (because, 400)


def test_too_large() -> None:
    assert rule(b'{"a":"' + b"x" * MAX_BYTES + b'"}') == ("json.size", 413)


@pytest.mark.parametrize(("data", "value"), [
    pytest.param(b' \t\r\n{"a" : 1 }\n', {"a": 1}, id="blanks"),
    pytest.param(b'{"a":[1,2.5,true,null,"x",{}]}', {"a": [1, 2.5, True, None, "x", {}]}, id="all-kinds"),
    pytest.param(b'{"a":9223372036854775807,"b":-9223372036854775808}', {"a": 2**63 - 1, "b": -(2**63)}, id="int64"),
    pytest.param(b'{"\\u0050":"\\ud83d\\ude00\\/"}', {"P": "\U0001f600/"}, id="escapes"),
    pytest.param(b'{"a":{"x":1},"b":{"x":1}}', {"a": {"x": 1}, "b": {"x": 1}}, id="same-key-elsewhere"),
    pytest.param(b'{"a":1,"A":2}', {"a": 1, "A": 2}, id="case-is-judged-later"),
    pytest.param(b'{"a":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[{{{{{{{{"}', {"a": "[" * 40 + "{" * 8}, id="brackets-in-a-text"),
    pytest.param(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}", None, id="just-deep-enough"),
])  # fmt: skip
def test_read(data: bytes, value: Json) -> None:
    """The nearest that pass."""
    found = parse(data)
    assert value is None or found == value
    assert parse(encode(found)) == found


def test_any_top() -> None:
    assert parse(b"[1]", any_top=True) == [1]


def test_hard_text_is_read_once() -> None:
    """Quotes that never end, a hundred thousand times: their number may not count twice."""
    assert rule(b'{"a":"' + b'\\"' * 400_000)[0] == "json.syntax"
    assert rule(b'"' + b'\\"' * 400_000 + b"\\")[0] == "json.syntax"


def test_canonical() -> None:
    """One value, one text."""
    assert encode({"b": [1, None], "a": "\u00e9\u2028"}) == '{"a":"\u00e9\u2028","b":[1,null]}'.encode()


@pytest.mark.parametrize(("one", "other", "same"), [
    pytest.param("HostConfig", "hostconfig", True, id="ascii"),
    pytest.param("HostConfig", "Ho\u017ftConfig", True, id="long-s"),
    pytest.param("NetworkMode", "Networ\u212aMode", True, id="kelvin"),
    pytest.param("HostConfig", "HostConflg", False, id="near"),
    pytest.param("Binds", "B\u0131nds", False, id="dotless-i"),
    pytest.param("Binds", "B\u0130nds", False, id="dotted-i"),
    pytest.param("ss", "\u00df", False, id="sharp-s-is-one-letter"),
    pytest.param("\u1e9e", "\u00df", True, id="capital-sharp-s"),
    pytest.param("\u00b5", "\u03bc", True, id="micro"),
    pytest.param("\u03c2", "\u03a3", True, id="final-sigma"),
    pytest.param("fi", "\ufb01", False, id="ligature"),
    pytest.param("\uff21", "\uff41", True, id="full-width"),
    pytest.param("A", "\uff21", False, id="full-width-is-another"),
    pytest.param("\u1f80", "\u1f88", True, id="greek-with-iota"),
])  # fmt: skip
def test_fold(one: str, other: str, same: bool) -> None:
    """As Go's EqualFold has it."""
    assert (fold(one) == fold(other)) is same
