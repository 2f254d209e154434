"""Targets have one spelling."""

import pytest

from orchestrator.guard.calls import Denied
from orchestrator.guard.target import MAX_TARGET, Target, boolean, integer, one, parse_target

LIST = ("containers", "json")


@pytest.mark.parametrize(("target", "because"), [
    pytest.param("http://docker/v1.41/containers/json", "target.form", id="absolute"),
    pytest.param("*", "target.form", id="asterisk"),
    pytest.param("docker:80", "target.form", id="authority"),
    pytest.param("", "target.characters", id="empty"),
    pytest.param("/containers/json#x", "target.form", id="fragment"),
    pytest.param("/containers/json ", "target.characters", id="blank"),
    pytest.param("/containers/json\r\nX: y", "target.characters", id="line"),
    pytest.param("/containers/j\u017fon", "target.characters", id="not-ascii"),
    pytest.param("/containers/json\x00", "target.characters", id="nul"),
    pytest.param("/", "target.path", id="root"),
    pytest.param("//containers/json", "target.path", id="double-at-front"),
    pytest.param("/containers//json", "target.path", id="double"),
    pytest.param("/containers/json/", "target.path", id="slash-at-end"),
    pytest.param("/v1.41/", "target.path", id="version-and-slash"),
    pytest.param("/containers/./json", "target.path", id="dot"),
    pytest.param("/containers/../swarm", "target.path", id="dot-dot"),
    pytest.param("/containers/%2e%2e/swarm", "target.encoding", id="dot-dot-escaped"),
    pytest.param("/containers/.%2e/swarm", "target.encoding", id="dot-dot-half"),
    pytest.param("/containers/%252e%252e/swarm/%", "target.path", id="lone-percent"),
    pytest.param("/%63ontainers/json", "target.encoding", id="letter-escaped"),
    pytest.param("/%76%31.41/containers/json", "target.encoding", id="version-escaped"),
    pytest.param("/containers%2fjson", "target.encoding", id="slash-escaped"),
    pytest.param("/containers%2Fjson", "target.encoding", id="slash-escaped-upper"),
    pytest.param("/containers%5cjson", "target.encoding", id="backslash-escaped"),
    pytest.param("/containers\\json", "target.path", id="backslash"),
    pytest.param("/containers/x%00/json", "target.encoding", id="nul-escaped"),
    pytest.param("/containers/x%0a/json", "target.encoding", id="newline-escaped"),
    pytest.param("/containers/x%7f/json", "target.encoding", id="delete-escaped"),
    pytest.param("/containers/%ff/json", "target.encoding", id="not-utf8"),
    pytest.param("/containers/x;y/json", "target.path", id="semicolon-in-path"),
    pytest.param("/containers/{id}/json", "target.path", id="brace"),
    pytest.param("/v1.41.0/containers/json", "target.version", id="three-numbers"),
    pytest.param("/V1.41/containers/json", "target.version", id="upper-version"),
    pytest.param("/v01.41/containers/json", "target.version", id="leading-zero"),
    pytest.param("/v1.041/containers/json", "target.version", id="leading-zero-behind"),
    pytest.param("/v1/containers/json", "target.version", id="one-number"),
    pytest.param("/v1./containers/json", "target.version", id="no-number"),
    pytest.param("/v2.0/containers/json", "target.version", id="two"),
    pytest.param("/v4.0.0/libpod/info", "target.version", id="libpod"),
    pytest.param("/v1.41~/containers/json", "target.version", id="tail"),
    pytest.param("/v1.23/containers/json", "target.version", id="old"),
    pytest.param("/v1.19/containers/x/copy", "target.version", id="very-old"),
    pytest.param("/containers/json?a=1;b=2", "target.query", id="semicolon"),
    pytest.param("/containers/json?a=%zz", "target.encoding", id="bad-escape"),
    pytest.param("/containers/json?a=%", "target.encoding", id="cut-escape"),
    pytest.param("/containers/json?a=%ff", "target.encoding", id="query-not-utf8"),
    pytest.param("/containers/json?a=%00", "target.encoding", id="query-nul"),
    pytest.param("/containers/json?a=%ed%a0%80", "target.encoding", id="query-surrogate"),
])  # fmt: skip
def test_refused(target: str, because: str) -> None:
    """Everything with a second spelling, or a second reading."""
    with pytest.raises(Denied) as caught:
        parse_target(target)
    assert (caught.value.denial.rule, caught.value.denial.status) == (because, 400)


@pytest.mark.parametrize(("target", "expected"), [
    pytest.param("/containers/json", Target(None, LIST, ()), id="no-version"),
    pytest.param("/v1.41/containers/json", Target((1, 41), LIST, ()), id="version"),
    pytest.param("/v1.24/containers/json", Target((1, 24), LIST, ()), id="oldest"),
    pytest.param("/v1.99/containers/json", Target((1, 99), LIST, ()), id="the-ceiling-is-somebody-else's"),
    pytest.param("/v1.41", Target((1, 41), (), ()), id="version-alone"),
    pytest.param("/version", Target(None, ("version",), ()), id="version-call"),
    pytest.param("/volumes/v1", Target(None, ("volumes", "v1"), ()), id="name-like-a-version"),
    pytest.param("/_ping", Target(None, ("_ping",), ()), id="ping"),
    pytest.param("/containers/json?", Target(None, LIST, ()), id="empty-query"),
    pytest.param("/containers/json?&all=1&", Target(None, LIST, (("all", "1"),)), id="empty-pairs"),
    pytest.param("/containers/json?all", Target(None, LIST, (("all", ""),)), id="no-value"),
    pytest.param("/containers/json?a=b=c", Target(None, LIST, (("a", "b=c"),)), id="two-signs"),
    pytest.param("/containers/json?a=b+c%2Bd", Target(None, LIST, (("a", "b c+d"),)), id="plus"),
    pytest.param("/containers/json?a=%252e", Target(None, LIST, (("a", "%2e"),)), id="once"),
    pytest.param("/x/y?path=/a/../b", Target(None, ("x", "y"), (("path", "/a/../b"),)), id="path-in-query"),
    pytest.param('/x/y?filters={"a":["b"]}', Target(None, ("x", "y"), (("filters", '{"a":["b"]}'),)), id="raw-json"),
    pytest.param(
        "/images/docker.io/library/x:tag/json", Target(None, ("images", "docker.io", "library", "x:tag", "json"), ()), id="image"
    ),
    pytest.param("/images/x%3Atag%40sha256/json", Target(None, ("images", "x:tag@sha256", "json"), ()), id="reserved-escaped"),
    pytest.param("/networks/%C3%BC", Target(None, ("networks", "\u00fc"), ()), id="utf8"),
])  # fmt: skip
def test_read(target: str, expected: Target) -> None:
    """The nearest that pass."""
    assert parse_target(target) == expected


def test_too_long() -> None:
    with pytest.raises(Denied) as caught:
        parse_target("/" + "a" * MAX_TARGET)
    assert caught.value.denial.status == 413


def test_old_version_says_what_is_spoken() -> None:
    with pytest.raises(Denied, match=r"client version 1\.12 is too old\. Minimum supported API version is 1\.24"):
        parse_target("/v1.12/info")


def test_one() -> None:
    query = (("t", "a"), ("tag", "b"))
    assert (one(query, "t"), one(query, "tag"), one(query, "x")) == ("a", "b", None)


@pytest.mark.parametrize(("query", "because"), [
    pytest.param((("t", "a"), ("t", "b")), "query.duplicate", id="twice"),
    pytest.param((("t", "a"), ("t", "a")), "query.duplicate", id="twice-the-same"),
    pytest.param((("T", "a"),), "query.case", id="case"),
    pytest.param((("t", "a"), ("T", "b")), "query.case", id="both"),
])  # fmt: skip
def test_two_values(query: tuple[tuple[str, str], ...], because: str) -> None:
    with pytest.raises(Denied) as caught:
        one(query, "t")
    assert caught.value.denial.rule == because


@pytest.mark.parametrize(("text", "value"), [
    ("", False), ("0", False), ("no", False), ("False", False), ("NONE", False), (" false ", False), ("1", True), ("true", True),
    ("True", True),    ("yes", True), ("f", True), ("off", True), ("null", True), ("00", True), ("-1", True),
])  # fmt: skip
def test_boolean(text: str, value: bool) -> None:
    """As the daemon reads it."""
    assert boolean(text) is value


@pytest.mark.parametrize("text", ["", "1.0", "+1", "0x1", " 1", "1 ", "\u0661", "11", "-2", "9" * 40])
def test_not_an_integer(text: str) -> None:
    with pytest.raises(Denied):
        integer(text, -1, 10)
    assert integer("10", -1, 10) == 10
    assert integer("-1", -1, 10) == -1
