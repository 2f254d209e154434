"""What the user may name as a repository, and what is refused."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.repos.source import Source, folder_name, mirror_key, parse_source, relative_location

BASE, HOME = Path("/base"), Path("/home/me")


@pytest.mark.parametrize(
    ("text", "kind", "location", "name"),
    [
        pytest.param("/srv/app", "path", "/srv/app", "app", id="absolute"),
        pytest.param("/srv/app.git/", "path", "/srv/app.git", "app", id="trailing-slash"),
        pytest.param("app", "path", "/base/app", "app", id="relative"),
        pytest.param(".", "path", "/base", "base", id="dot"),
        pytest.param("../app", "path", "/base/../app", "app", id="dot-dot"),
        pytest.param("./host:path", "path", "/base/host:path", "host-path", id="colon-after-dot-slash"),
        pytest.param("a/b:c", "path", "/base/a/b:c", "b-c", id="colon-after-slash"),
        pytest.param("~/src/app", "path", "/home/me/src/app", "app", id="home"),
        pytest.param("/srv/ä b", "path", "/srv/ä b", "b", id="not-ascii"),
        pytest.param("file:///srv/app%20x", "path", "/srv/app x", "app-x", id="file-url"),
        pytest.param("file://localhost/srv/app", "path", "/srv/app", "app", id="file-localhost"),
        pytest.param("https://example.org/a/app.git", "url", "https://example.org/a/app.git", "app", id="https"),
        pytest.param("HTTPS://Example.ORG:443/App/", "url", "https://example.org/App", "App", id="canonical-host-and-port"),
        pytest.param("http://example.org:8080/app", "url", "http://example.org:8080/app", "app", id="http-port"),
        pytest.param("https://[::1]:8443/app", "url", "https://[::1]:8443/app", "app", id="ipv6"),
        pytest.param("ssh://git@example.org/app.git", "url", "ssh://git@example.org/app.git", "app", id="ssh"),
        pytest.param("ssh://git@example.org:22/~me/app", "url", "ssh://git@example.org/~me/app", "app", id="ssh-home"),
        pytest.param("git://example.org/app", "url", "git://example.org/app", "app", id="git"),
        pytest.param("git@example.org:team/app.git", "url", "git@example.org:team/app.git", "app", id="scp"),
        pytest.param("example.org:app", "url", "example.org:app", "app", id="scp-no-login"),
        pytest.param("git@[::1]:app", "url", "git@[::1]:app", "app", id="scp-ipv6"),
    ],
)
def test_forms(text: str, kind: str, location: str, name: str) -> None:
    """Each form that is taken, with its canonical location and folder name."""
    source = parse_source(text, BASE, HOME)
    assert (source.kind, source.location, source.name, source.credentials) == (kind, location, name, None)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("  ", "empty", id="blank"),
        pytest.param("ext::sh -c id", "helper 'ext'", id="ext"),
        pytest.param("fd::3", "helper 'fd'", id="fd"),
        pytest.param("https::https://example.org/x", "helper 'https'", id="explicit-helper"),
        pytest.param("-u/x", "looks like an option", id="option"),
        pytest.param("--upload-pack=id", "looks like an option", id="long-option"),
        pytest.param("ssh://-oProxyCommand=id/x", "no usable host", id="ssh-option-host"),
        pytest.param("ssh://-o@host/x", "login name", id="ssh-option-login"),
        pytest.param("-oProxyCommand=id@host:x", "looks like an option", id="scp-option"),
        pytest.param("git@-oProxyCommand=id:x", "no usable host", id="scp-option-host"),
        pytest.param("host:-x", "looks like an option", id="scp-option-path"),
        pytest.param("https://host/a\nb", "control characters", id="newline"),
        pytest.param("git://host/x%0Aevil", "control characters", id="encoded-newline"),
        pytest.param("/srv/\x00x", "control characters", id="nul"),
        pytest.param("/srv/\ud800", "not text", id="lone-surrogate"),
        pytest.param("ftp://host/x", "unknown scheme 'ftp'", id="ftp"),
        pytest.param("rsync://host/x", "unknown scheme", id="rsync"),
        pytest.param("javascript://x/y", "unknown scheme", id="odd-scheme"),
        pytest.param("https:///path", "no usable host", id="no-host"),
        pytest.param("https://host", "no path", id="no-path"),
        pytest.param("https://host//", "no path", id="only-slashes"),
        pytest.param("https://ho st/x", "no usable host", id="blank-in-host"),
        pytest.param("https://host\\@evil/x\\y:z", "no usable host|blanks", id="backslash"),
        pytest.param("https://host:99999/x", "no usable port", id="port-too-high"),
        pytest.param("https://host:0/x", "no usable port", id="port-zero"),
        pytest.param("https://host:1x/x", "no usable host", id="port-not-a-number"),
        pytest.param("https://host/x?token=1", "no query", id="query"),
        pytest.param("https://host/x#y", "no fragment", id="fragment"),
        pytest.param("https://host/a/../b", "'..'", id="dot-dot"),
        pytest.param("https://host/a/%2e%2e/b", "'..'", id="encoded-dot-dot"),
        pytest.param("file://host/srv/x", "names a host", id="file-with-host"),
        pytest.param("file:///srv/%00", "no usable path", id="file-nul"),
        pytest.param("ssh://me:pw@host/x", "password", id="ssh-password"),
        pytest.param("git://me@host/x", "carries a user", id="git-user"),
        pytest.param("user:secret@host:path", "user:password", id="scp-password"),
    ],
)
def test_refused(text: str, because: str) -> None:
    """Forms that could make git do more than read, or that mean nothing, with the reason and a way out."""
    with pytest.raises(UsageError, match=because) as problem:
        parse_source(text, BASE, HOME)
    assert problem.value.remedy


@pytest.mark.parametrize(
    ("text", "username", "password"),
    [
        pytest.param("https://me:s%40cret@example.org/x", "me", "s@cret", id="both"),
        pytest.param("https://s@cret@example.org/x", "s@cret", None, id="at-sign-in-token"),
        pytest.param("https://tok:@example.org/x", "tok", "", id="empty-password"),
        pytest.param("https://:word@example.org/x", "", "word", id="no-user"),
    ],
)
def test_credentials(text: str, username: str, password: str | None) -> None:
    """User and password go into a value of their own, which does not show them."""
    source = parse_source(text, BASE)
    assert source.location == "https://example.org/x"
    assert source.origin == "https://example.org"
    assert source.credentials is not None
    assert (source.credentials.username, source.credentials.password) == (username, password)
    assert repr(source.credentials) == "Credentials()"


@pytest.mark.parametrize(
    "text",
    [
        "https://me:CANARY@host:1x/x", "https://me:CANARY@/x", "https://me:CANARY@host/x?y", "https://CANARY@ho st/x", "ftp://me:CANARY@h/x",
        "https://me:CANARY@host/a b", "https://me:CA/CANARY@host/x", "https://me:CANARY\n@host/x", "ssh://me:CANARY@host/x", "git://CANARY@h/x",
        "https://me:CANARY@host/..", "https://me:CANARY@host", "a:CANARY@host:x", "https://host/x?token=CANARY",
    ],
)  # fmt: skip
def test_refusals_do_not_tell_secrets(text: str) -> None:
    """A password does not come back in the message about the URL that carried it."""
    with pytest.raises(UsageError) as problem:
        parse_source(text, BASE)
    assert "CANARY" not in problem.value.message + str(problem.value.remedy)


def test_keys() -> None:
    """A mirror's key is readable, safe as a file name, the same for the same place and different for another."""
    assert re.fullmatch(r"team-app-[0-9a-f]{16}", mirror_key("https://example.org/team/app.git"))
    same = {parse_source(text, BASE).key for text in ("https://a:b@Example.org:443/x/", "https://example.org/x", "HTTPS://EXAMPLE.ORG/x")}
    assert len(same) == 1
    others = {mirror_key(text) for text in ("https://h/x", "http://h/x", "https://h/x.git", "ssh://h/x", "ssh://me@h/x", "/h/x", "h:x")}
    assert len(others) == 7


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "repo"), ("..", "repo"), ("/srv/.git", "srv"), ("/srv/-x", "x"), ("/srv/.hidden", "hidden"),
        ("a b\tc", "a-b-c"), ("x" * 200, "x" * 64),
        ("/srv/ä", "repo"), ("/srv/app.git", "app"), ("/srv/a;rm x", "a-rm-x"), ("C:\\x\\y", "y"),
    ],
)  # fmt: skip
def test_folder_names(path: str, name: str) -> None:
    """A folder name needs no quoting anywhere, and there always is one."""
    assert folder_name(path) == name


@pytest.mark.parametrize(
    ("parent", "relative", "location"),
    [
        ("https://host/a/app.git", "../lib.git", "https://host/a/lib.git"),
        ("https://host/a/app.git", "../../b/lib", "https://host/b/lib"),
        ("https://host/a/app.git", "./sub", "https://host/a/app.git/sub"),
        ("git@host:a/app.git", "../lib.git", "git@host:a/lib.git"),
        ("git@host:/a/app.git", "../lib.git", "git@host:/a/lib.git"),
        ("git@[::1]:a/app.git", "../lib.git", "git@[::1]:a/lib.git"),
        ("ssh://git@host:2222/a/app", "../lib", "ssh://git@host:2222/a/lib"),
        ("/srv/app", "../lib", "/srv/lib"),
    ],
)
def test_relative_locations(parent: str, relative: str, location: str) -> None:
    """Relative submodule URLs start at the repository itself, as git has it."""
    assert relative_location(parent, relative) == location


@pytest.mark.parametrize(
    ("parent", "relative"), [("https://host/app", "../../evil.example/x"), ("git@host:app", "../../x"), ("/srv", "../../etc")]
)
def test_relative_locations_stay_on_their_host(parent: str, relative: str) -> None:
    """Nothing climbs above the host: it would name another one."""
    with pytest.raises(UsageError, match="climbs above"):
        relative_location(parent, relative)


_WORDS = st.sampled_from(
    ["https://", "ssh://", "file://", "git://", "ext::", "@", ":", "/", "..", "-o", "[::1]", "%00", "%2f", "\\", "host", "~", "?", "#"]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.one_of(_WORDS, st.text(max_size=4)), max_size=8).map("".join)))
def test_any_text_is_a_source_or_a_refusal(text: str) -> None:
    """Whatever is named: our own error, or a source with nothing dangerous in it. Parsing its location again gives the same."""
    try:
        source = parse_source(text, BASE, HOME)
    except UsageError:
        return
    assert isinstance(source, Source)
    assert not source.location.startswith("-")
    assert not re.search(r"[\x00-\x1f\x7f]", source.location)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", source.name)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", source.key)
    again = parse_source(source.location, BASE, HOME)
    assert (again.location, again.key, again.credentials) == (source.location, source.key, None)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.sampled_from(["https://h/a/b", "git@h:a/b", "/a/b", "ssh://me@[::1]:5/a"]))
def test_any_relative_url(relative: str, parent: str) -> None:
    """A relative URL never leaves the parent's host."""
    try:
        location = relative_location(parent, relative)
    except UsageError:
        return
    assert location.startswith(re.match(r"https://h/|git@h:|/|ssh://me@\[::1\]:5/", parent)[0])  # type: ignore[index]
