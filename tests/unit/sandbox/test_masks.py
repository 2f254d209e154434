"""Which files are hidden."""

# ruff: noqa: E501 - a row of a table stays one line

import fnmatch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.schema import HARMLESS_FILES, SECRET_FILES
from orchestrator.model.task import SandboxRules
from orchestrator.sandbox.masks import masked_paths

DEFAULT = SandboxRules(SECRET_FILES, HARMLESS_FILES, ())


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        (".env", True), ("a/b/.env", True), (".ENV", True), (".env.production", True), ("prod.env", True), (".env.example", False), ("sub/.env.sample", False),
        ("environment", False), ("x.env.py", False), ("id_rsa", True), ("keys/id_ed25519", True), ("id_rsa.pub", False), ("server.pem", True), ("a.key", True),
        ("keyboard.py", False), ("monkey", False), (".npmrc", True), ("web/.npmrc", True), (".aws/credentials", True), ("x/.aws/credentials", True),
        ("aws/credentials", False), (".ssh/config", True), (".ssh/deep/config", False), (".kube/config", True), ("kube/config", False),
        ("credentials.json", True), ("terraform.tfstate", True), ("src/main.py", False), ("", False), (".git-credentials", True), ("a\nb/.env", True),
        (".env\n", False), ("service-account-prod.json", True), (".docker/config.json", True), ("docker/config.json", False),
    ],
)  # fmt: skip
def test_default_patterns(path: str, hidden: bool) -> None:
    """Names that hold credentials are hidden wherever they lie; their harmless neighbours are not."""
    assert (masked_paths([path], DEFAULT) == (path,)) is hidden


@pytest.mark.parametrize(
    ("pattern", "path", "hidden"),
    [
        ("*.txt", "a.txt", True), ("*.txt", "d/a.txt", True), ("d/*.txt", "d/a.txt", True), ("d/*.txt", "d/e/a.txt", False), ("d/**/a.txt", "d/e/f/a.txt", True),
        ("./top.txt", "top.txt", True), ("d/**", "d/e/f", True), ("?.x", "a.x", True), ("?.x", "ab.x", False), ("[ab].x", "a.x", True), ("[!ab].x", "a.x", False),
        ("[!ab].x", "c.x", True), ("[", "[", True), ("a[", "a[", True), ("[]]", "]", True), ("a.b", "aXb", False), ("a+b", "a+b", True), ("(x)", "(x)", True),
        ("*", "anything", True), ("**", "d/anything", True), ("\\d", "\\d", True), ("\\d", "1", False), ("[a-c]", "b", True), ("[a-c]", "d", False),
        ("É", "é", True), ("secrets/", "secrets/a/b", True), ("secrets/", "x/secrets/a", True), ("secrets/", "secrets", False), ("d//a", "d/a", True), ("[z-a]", "z", False),
        ("[!ab]x", "/x", False), ("d[!x]a", "d/a", False), ("[a-]", "-", True), ("[[:x]", ":", True), ("[a&&b]", "&", True),
    ],
)  # fmt: skip
def test_patterns(pattern: str, path: str, hidden: bool) -> None:
    """Globs mean what people expect, and every other sign means itself."""
    assert (masked_paths([path], SandboxRules((pattern,), (), ())) == (path,)) is hidden


NAME = st.text(st.characters(blacklist_characters="\0/", blacklist_categories=("Cs",)), min_size=1, max_size=8).filter(
    lambda text: text not in (".", "..")
)


@settings(max_examples=150, deadline=None)
@given(pattern=st.text("ab*?[]!-^\\.+(){}|$", min_size=1, max_size=10), name=NAME)
def test_no_pattern_breaks_the_matcher(pattern: str, name: str) -> None:
    """A pattern that is accepted never ends in an exception, and a plain name matches itself."""
    masked_paths([name, f"d/{name}"], SandboxRules((pattern,), (), ()))
    if not set("*?[]!\\") & set(name):
        assert masked_paths([name], SandboxRules((name,), (), ())) == (name,)


@settings(max_examples=100, deadline=None)
@given(
    pattern=st.text("ab*?.", min_size=1, max_size=6).filter(lambda text: "**" not in text and text != "."),
    name=st.text("ab.", min_size=1, max_size=6),
)
def test_name_patterns_agree_with_fnmatch(pattern: str, name: str) -> None:
    """For simple patterns the standard library is the judge."""
    assert bool(masked_paths([name], SandboxRules((pattern,), (), ()))) == fnmatch.fnmatchcase(name.lower(), pattern.lower())


@settings(max_examples=50, deadline=None)
@given(paths=st.lists(NAME, max_size=8), mask=st.lists(st.sampled_from(["a*", "*b", ".env"]), max_size=3))
def test_unmask_wins_and_nothing_is_invented(paths: list[str], mask: list[str]) -> None:
    """The result is a sorted part of what came in; what is unmasked is not in it."""
    hidden = masked_paths(paths, SandboxRules(tuple(mask), (), ()))
    assert list(hidden) == sorted(hidden)
    assert set(hidden) <= set(paths)
    assert masked_paths(paths, SandboxRules(tuple(mask), ("*",), ())) == ()


@pytest.mark.parametrize(
    "pattern", ["**a" * 9 + "**b", "*a" * 40 + "b", "/".join(["**", "a"] * 12) + "/b", "x/" + "*a" * 30 + "b", "/".join(["*a*"] * 20) + "/b"]
)
def test_no_pattern_takes_long(pattern: str) -> None:
    """Patterns come from repositories: each of these took for ever with a backtracking matcher."""
    paths = ["a" * 200, "/".join(["a"] * 100), "x/" + "a" * 250, "/".join(["a" * 30] * 60)]
    assert masked_paths(paths, SandboxRules((pattern,), (), ())) == ()
