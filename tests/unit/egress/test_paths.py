"""Paths with two readings never pass a list of paths, in either direction."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.egress import paths


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        pytest.param("/repos/*", "/repos/a/b", True, id="below"),
        pytest.param("/repos/*", "/repos/", True, id="nothing-below"),
        pytest.param("/repos/*", "/repos", False, id="without-slash"),
        pytest.param("/repos/*", "/reposx/a", False, id="longer-word"),
        pytest.param("/repos/*", "/x/repos/a", False, id="not-at-the-beginning"),
        pytest.param("/repos", "/repos", True, id="exact"),
        pytest.param("/repos", "/repos/", False, id="exact-and-slash"),
        pytest.param("/repos", "/Repos", False, id="capitals"),
        pytest.param("/*/tags", "/a/b/tags", True, id="star-in-front"),
        pytest.param("/*/tags", "/tags", False, id="star-needs-its-slash"),
        pytest.param("/a*b*c", "/a1b2c", True, id="two-stars"),
        pytest.param("/a*b*c", "/abc", True, id="two-empty-stars"),
        pytest.param("/a*b*c", "/acb", False, id="wrong-order"),
        pytest.param("/ab*ba", "/aba", False, id="no-overlap"),
        pytest.param("/a**b", "/ab", True, id="double-star"),
        pytest.param("/v1/x.y", "/v1/xzy", False, id="dot-is-a-dot"),
        pytest.param("/a%20b", "/a%20b", True, id="escape-as-written"),
        pytest.param("/100%25", "/100%25", True, id="percent-sign"),
        pytest.param("/@scope/*", "/@scope/package", True, id="at"),
        pytest.param("/x/*", "/x/%C3%BC", True, id="utf-8"),
    ],
)
def test_matching(pattern: str, path: str, expected: bool) -> None:
    """A star is any characters; the rest is itself."""
    assert paths.allows(pattern, path) is expected
    assert paths.denies(pattern, path) or not expected


# Each with the nearest path that passes.
@pytest.mark.parametrize(
    ("path", "near"),
    [
        pytest.param("/open/../secret", "/open/..secret", id="dot-dot"),
        pytest.param("/open/..", "/open/...", id="dot-dot-last"),
        pytest.param("/open/./x", "/open/.x", id="dot"),
        pytest.param("/open/%2e%2e/secret", "/open/%2e%2esecret", id="encoded-dot-dot"),
        pytest.param("/open/.%2E/secret", "/open/.%2Esecret", id="half-encoded"),
        pytest.param("/open/%252e%252e/secret", "/open/%252e%252esecret", id="encoded-twice"),
        pytest.param("/open/%25252e%25252e/secret", "/open/%25252esecret", id="encoded-thrice"),
        pytest.param("/open/%2525252525252e", "/open/%252e-", id="encoded-very-often"),
        pytest.param("/open/..%2fsecret", "/open/..secret", id="encoded-slash"),
        pytest.param("/open/x%2Fy", "/open/x%2Dy", id="encoded-slash-alone"),
        pytest.param("/open/x%252Fy", "/open/x%252Dy", id="slash-encoded-twice"),
        pytest.param("/open/..;/secret", "/open/..x;/secret", id="dot-dot-with-parameter"),
        pytest.param("/open/..;a=b/secret", "/open/a;a=b/secret", id="dot-dot-with-value"),
        pytest.param("/open/..%3b/secret", "/open/a%3b/secret", id="dot-dot-with-encoded-parameter"),
        pytest.param("/open/..\\secret", "/open/..secret", id="backslash"),
        pytest.param("/open/..%5csecret", "/open/..secret", id="encoded-backslash"),
        pytest.param("/open//secret", "/open/secret", id="double-slash"),
        pytest.param("//evil.example/x", "/evil.example/x", id="double-slash-first"),
        pytest.param("/open/%", "/open/%25", id="broken-escape"),
        pytest.param("/open/%2", "/open/%20", id="short-escape"),
        pytest.param("/open/%u002e%u002e/secret", "/open/u002e/secret", id="percent-u"),
        pytest.param("/open/%c0%ae%c0%ae/secret", "/open/%c2%ae/secret", id="overlong"),
        pytest.param("/open/%25c0%25ae%25c0%25ae/secret", "/open/%25c2%25ae/secret", id="overlong-encoded-twice"),
        pytest.param("/open/%e0%80%ae%e0%80%ae/secret", "/open/%e0%a0%ae/secret", id="overlong-of-three"),
        pytest.param("/open/%f0%80%80%af/secret", "/open/%f0%90%80%af/secret", id="overlong-of-four"),
        pytest.param("/open/%25u002e%25u002e/secret", "/open/%25z002e/secret", id="percent-u-encoded-twice"),
        pytest.param("/open/..%20/secret", "/open/%20/secret", id="dot-dot-and-blank"),
        pytest.param("/open/%00", "/open/%20", id="encoded-nul"),
        pytest.param("/open/%0d%0ax", "/open/%20x", id="encoded-newline"),
        pytest.param("/open/\u2024\u2024/secret", "/open/%E2%80%A4/secret", id="other-script"),
        pytest.param("/open/\x7f", "/open/~", id="delete"),
    ],
)
def test_two_readings(path: str, near: str) -> None:
    """No pattern allows such a path, and every pattern that denies covers it."""
    assert not paths.allows("/*", path)
    assert not paths.allows("/open/*", path)
    assert paths.denies("/elsewhere", path)
    assert paths.allows("/open/*", near) or paths.allows("/*", near)
    assert not paths.denies("/elsewhere", near)


@pytest.mark.parametrize("path", ["", "*", "open/x", "http://example.org/open/x", "example.org:443"])
def test_other_targets(path: str) -> None:
    """What does not begin with a slash is no path that a pattern could mean."""
    assert not paths.allows("/*", path)
    assert paths.denies("/elsewhere", path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        pytest.param("/admin/*", "/admin/x", id="plain"),
        pytest.param("/admin/*", "/%61dmin/x", id="encoded-letter"),
        pytest.param("/admin/*", "/%2561dmin/x", id="encoded-letter-twice"),
        pytest.param("/admin/*", "/Admin/x", id="capitals"),
        pytest.param("/admin/*", "/%41DMIN/x", id="encoded-capitals"),
        pytest.param("/%61dmin/*", "/admin/x", id="encoded-pattern"),
        pytest.param("/admin/*", "/admin;x=y/x", id="parameter"),
        pytest.param("/admin/*", "/admin%3bx/x", id="encoded-parameter"),
        pytest.param("/admin/*", "/;x/admin/x", id="nothing-but-a-parameter"),
        pytest.param("/admin/*", "/admin./x", id="dot-at-the-end"),
        pytest.param("/admin/*", "/admin%20/x", id="blank-at-the-end"),
        pytest.param("/admin/*", "/admin", id="without-slash"),
        pytest.param("/admin", "/admin/", id="with-slash"),
    ],
)
def test_spellings_that_are_denied(pattern: str, path: str) -> None:
    """A server may take these for the path that is denied."""
    assert paths.denies(pattern, path)
    assert not paths.denies(pattern, "/adminx/x")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        pytest.param("/pub/*.json", "/pub/secret;.json", False, id="ending"),
        pytest.param("/pub/*.json", "/pub/secret%3b.json", False, id="encoded-ending"),
        pytest.param("/a/*/b", "/a/;x/b", False, id="part-that-vanishes"),
        pytest.param("/pub/*.json", "/pub/x.json;v=1.json", True, id="both-ways"),
        pytest.param("/pub/*", "/pub/x;y=z/1", True, id="below"),
        pytest.param("/a%20b/*", "/a%20b/x;y", True, id="escaped-pattern"),
        pytest.param("/pub/x;y/*", "/pub/x;y/1", True, id="pattern-with-parameter"),
    ],
)
def test_parameters_some_servers_cut_off(pattern: str, path: str, expected: bool) -> None:
    """A path is allowed where it is with its parameters and without."""
    assert paths.allows(pattern, path) is expected


def test_the_query_is_cut_off() -> None:
    """Together with what browsers would not send."""
    assert paths.without_query("/a?b=/../c") == "/a"
    assert paths.without_query("/a#b") == "/a"
    assert paths.without_query("?") == ""


HOSTILE = st.text(st.sampled_from("/.%2eEfF5c;aA\\\0 u"), max_size=30).map(lambda text: "/" + text)
PATTERNS = st.text(st.sampled_from("/*a.2e%5"), max_size=12).map(lambda text: "/" + text)


@settings(max_examples=500)
@given(PATTERNS, HOSTILE)
def test_allowed_paths_stay_below(pattern: str, path: str) -> None:
    """What a pattern allows, it would deny too; and no decoding of it climbs or gains a slash."""
    if not paths.allows(pattern, path):
        return
    assert paths.denies(pattern, path)
    for spelling in paths.spellings(path) or ():
        assert ".." not in spelling.split("/")
        assert spelling.count("/") == path.count("/")
        assert spelling.startswith(pattern.partition("*")[0]) or spelling != path


@settings(max_examples=200, deadline=2000)
@given(st.integers(1, 400), st.integers(1, 4000))
def test_many_stars_end(stars: int, length: int) -> None:
    """Matching takes no longer than it should; the deadline is generous."""
    assert not paths.matches("/" + "a*" * stars + "b", "/" + "a" * length)
