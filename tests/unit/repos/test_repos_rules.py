"""The pure rules of submodules, LFS pointers, git's environment and access."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.repos.gitcmd import NEUTRAL, _environment
from orchestrator.repos.lfs import lfs_url, parse_pointer
from orchestrator.repos.source import Credentials, Source
from orchestrator.repos.submodules import judge, sections, unsound
from orchestrator.repos.transport import accesses

OID = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"


@pytest.mark.parametrize("name", ["lib", "libs/lib", "a.b", "a b", "..x", "x..", "hooks", "ä", ".git"])
def test_sound_names(name: str) -> None:
    """Names that become a folder of their own below .git/modules."""
    assert unsound(name, ("other", "libraries")) is None


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "a/../b", "a//b", "/a", "a/", "-x", "a\\b", "a\nb", "a\0b", "x" * 201, "a:b", 'a"b',
        "lib", "LIB", "lib/hooks", "li",
    ],
)  # fmt: skip
def test_unsound_names(name: str) -> None:
    """Names that climb, or that would lie in another's folder or above it."""
    assert unsound(name, ("lib", "li/x")) is not None


def test_sections() -> None:
    """A name may hold dots, a value line breaks; the first value of a key counts; other sections do not."""
    ours = b"submodule.a.b.path\nx\0submodule.a.b.path\ny\0submodule.a.b.url\nu=1\nz\0submodule.c.update\0"
    listing = ours + b"core.path\nevil\0submodule.path\nevil\0"
    assert sections(listing) == {"a.b": {"path": "x", "url": "u=1\nz"}, "c": {"update": ""}}


def test_judge() -> None:
    """Each link of the tree is either a sound wish or a note with the reason."""
    named = {
        "one": {"path": "p1", "url": "u1"},
        "../two": {"path": "p2", "url": "u2"},
        "three": {"path": "p3"},
        "unused": {"path": "px", "url": "u"},
    }
    wishes, notes = judge(named, {"p1": "c1", "p2": "c2", "p3": "c3", "p4": "c4"})
    assert [(wish.name, wish.path, wish.url, wish.commit) for wish in wishes] == [("one", "p1", "u1", "c1")]
    assert len(notes) == 3
    assert "not usable as a folder" in notes[0]
    assert all("does not say where" in note for note in notes[1:])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_any_listing(listing: bytes, links: dict[str, str]) -> None:
    """Any listing and any tree give wishes and notes that together cover every link."""
    wishes, notes = judge(sections(b"submodule." + listing), links)
    assert len(wishes) + len(notes) == len(links)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12\n", (OID, 12), id="plain"),
        pytest.param(f"version https://hawser.github.com/spec/v1\noid sha256:{OID}\nsize 0\n", (OID, 0), id="old"),
        pytest.param(f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12", (OID, 12), id="no-last-newline"),
        pytest.param(
            f"version https://git-lfs.github.com/spec/v1\next-0-foo sha256:{OID}\noid sha256:{OID}\nsize 1\n", None, id="extension"
        ),
        pytest.param("version https://git-lfs.github.com/spec/v1\noid sha256:../../etc/passwd\nsize 12\n", None, id="path-as-oid"),
        pytest.param(f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID.upper()}\nsize 12\n", None, id="upper-case"),
        pytest.param(f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize -1\n", None, id="negative"),
        pytest.param(f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 1\nmore\n", None, id="more"),
        pytest.param("", None, id="empty"),
    ],
)
def test_pointers(data: str, expected: tuple[str, int] | None) -> None:
    """Only what is a pointer down to the last byte is one."""
    assert parse_pointer(data.encode()) == expected


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("https://h/a/x.git", "https://h/a/x.git/info/lfs"),
        ("https://h/a/x", "https://h/a/x.git/info/lfs"),
        ("ssh://git@h/a/x.git", "ssh://git@h/a/x.git"),
        ("git@h:a/x.git", "ssh://git@h/a/x.git"),
    ],
)
def test_lfs_urls(location: str, url: str) -> None:
    """The place of large files follows from the place of the repository."""
    assert lfs_url(Source("url", location, "x")) == url


CALLER = {
    "PATH": "/bin", "HOME": "/home/me", "LANG": "de_DE.UTF-8", "LANGUAGE": "de", "SECRET": "s",
    "GIT_DIR": "/x", "GIT_INDEX_FILE": "/x", "GIT_CONFIG_PARAMETERS": "'a=b'", "GIT_EXTERNAL_DIFF": "evil", "GIT_OBJECT_DIRECTORY": "/x",
    "GIT_SSH_COMMAND": "ssh -i key", "GIT_ASKPASS": "/ask", "SSH_AUTH_SOCK": "/agent",
    "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "http.extraheader", "GIT_CONFIG_VALUE_0": "token", "GIT_CONFIG_KEY_1": "core.hooksPath",
    "GIT_CONFIG_VALUE_1": "/evil",
}  # fmt: skip


def test_environment_for_our_own_repositories() -> None:
    """Nothing of the caller's but where programs are; no configuration file at all."""
    environ = _environment(CALLER, trusted=False, config=(("a.b", "c"),))
    assert {name for name in environ if name in CALLER and environ[name] == CALLER[name]} == {"PATH"}
    assert (environ["GIT_CONFIG_GLOBAL"], environ["GIT_CONFIG_NOSYSTEM"], environ["LC_ALL"]) == ("/dev/null", "1", "C")
    assert environ["GIT_CONFIG_COUNT"] == str(len(NEUTRAL) + 1)
    assert "token" not in environ.values()


def test_environment_for_the_user_s_errands() -> None:
    """His ways to reach a server stay; what names a repository goes; our neutral settings come last, so they win."""
    environ = _environment(CALLER, trusted=True, config=())
    for gone in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_CONFIG_PARAMETERS", "GIT_EXTERNAL_DIFF", "GIT_OBJECT_DIRECTORY", "LANGUAGE"):
        assert gone not in environ
    for kept in ("GIT_SSH_COMMAND", "GIT_ASKPASS", "SSH_AUTH_SOCK", "HOME"):
        assert environ[kept] == CALLER[kept]
    settings = [(environ[f"GIT_CONFIG_KEY_{n}"], environ[f"GIT_CONFIG_VALUE_{n}"]) for n in range(int(environ["GIT_CONFIG_COUNT"]))]
    assert settings[:3] == [("http.extraheader", "token"), ("core.hooksPath", "/evil"), NEUTRAL[0]]
    assert dict(settings)["core.hooksPath"] == "/dev/null"


@pytest.mark.parametrize("count", ["x", "-1", "", "99999999999"])
def test_odd_counts(count: str) -> None:
    """A broken count of the caller's gives no settings of his, and no endless loop."""
    environ = _environment({"GIT_CONFIG_COUNT": count}, trusted=True, config=())
    assert environ["GIT_CONFIG_COUNT"] == str(len(NEUTRAL))


def test_access() -> None:
    """Credentials are bound to their host, travel in the environment, and are never remembered by the user's own helpers."""
    (way,) = accesses(Source("url", "https://h:8443/x", "x", Credentials("me", "pw")))
    assert way.config[0] == ("credential.helper", "")
    assert way.config[1][0] == "credential.https://h:8443.helper"
    assert "pw" not in str(way.config)
    assert dict(way.env) == {"AIENV_FETCH_USERNAME": "me", "AIENV_FETCH_PASSWORD": "pw"}
    first, second = accesses(Source("url", "https://h/x", "x", Credentials("token", None)))
    assert first.config == (("credential.https://h.username", "token"),)
    assert second.env[1] == ("AIENV_FETCH_PASSWORD", "")
    assert accesses(Source("path", "/x", "x"))[0].config == ()
