"""What of a template is written: holes, options, paths."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer.templates.content import (
    File,
    check_path,
    choose,
    configuration_in,
    loosely,
    omitted,
    replaced,
    written,
)
from orchestrator.devcontainer.templates.manifest import TemplateOption
from orchestrator.errors import ConfigError, UsageError

OPTIONS: Mapping[str, TemplateOption] = {
    "variant": TemplateOption("string", "a", proposals=("a", "b")),
    "kind": TemplateOption("string", "x", enum=("x", "yes")),
    "extra": TemplateOption("boolean", "true"),
}
FREE: Mapping[str, TemplateOption] = {"free": TemplateOption("string", None)}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        pytest.param("debian:${templateOption:v}", "debian:12", id="plain"),
        pytest.param("${templateOption: v }${templateOption:\tv}", "1212", id="blanks around the name"),
        pytest.param("<${templateOption:unknown}>", "<>", id="an unknown name leaves nothing"),
        pytest.param("${localEnv:HOME} ${v} $v ${templateoption:v}", "${localEnv:HOME} ${v} $v ${templateoption:v}", id="others stay"),
        pytest.param("${ templateOption:v} ${templateOption:a-b}", "${ templateOption:v} ${templateOption:a-b}", id="no hole"),
        pytest.param("${templateOption:} ${templateOption:v", "${templateOption:} ${templateOption:v", id="no hole either"),
        pytest.param("${templateOption:nested}", "${templateOption:v}", id="a value is not read again"),
        pytest.param("${templateOption:slash}", r"\1\g<0>", id="nothing in a value is a pattern"),
    ],
)  # fmt: skip
def test_holes(text: str, filled: str) -> None:
    values = {"v": "12", "nested": "${templateOption:v}", "slash": r"\1\g<0>"}
    assert replaced(text.encode(), values).decode() == filled


def test_what_is_no_text_stays() -> None:
    """The reference reads it as text and writes other bytes."""
    assert replaced(b"\xff\x00${templateOption:v}", {"v": "1"}) == b"\xff\x00${templateOption:v}"


BLANKS = st.text(" \t\r\n", max_size=2)
HOLES = st.builds(lambda before, name, after: (f"${{templateOption:{before}{name}{after}}}", {"v": "VALUE"}.get(name, "")),
                  BLANKS, st.sampled_from(["v", "w", "V", "v_1"]), BLANKS)  # fmt: skip
PLAIN = st.text(st.characters(exclude_characters="$", exclude_categories=["Cs"]))
OTHERS = st.one_of(PLAIN, st.just("${localEnv:v}")).map(lambda text: (text, text))


@given(st.lists(st.one_of(HOLES, OTHERS)))
def test_holes_in_any_text(parts: list[tuple[str, str]]) -> None:
    """All that is no hole is as it was, line ends too."""
    text, filled = ("".join(column) for column in zip(*parts, strict=True)) if parts else ("", "")
    assert replaced(text.encode(), {"v": "VALUE"}).decode() == filled


@pytest.mark.parametrize(
    ("given_values", "chosen"),
    [
        pytest.param({}, {"variant": "a", "kind": "x", "extra": "true"}, id="defaults"),
        pytest.param({"variant": "zz", "extra": "false"}, {"variant": "zz", "kind": "x", "extra": "false"}, id="beyond the proposals"),
        pytest.param({"kind": "yes"}, {"variant": "a", "kind": "yes", "extra": "true"}, id="of the enum"),
        pytest.param({"variant": ""}, {"variant": "", "kind": "x", "extra": "true"}, id="empty is a value"),
    ],
)
def test_options(given_values: Mapping[str, str], chosen: Mapping[str, str]) -> None:
    assert choose(OPTIONS, given_values, "the template 't'") == chosen


@pytest.mark.parametrize(
    ("options", "given_values", "because"),
    [
        pytest.param(OPTIONS, {"varient": "a"}, "the template 't' has no option 'varient', perhaps 'variant'?", id="near miss"),
        pytest.param(OPTIONS, {"q": "a"}, "has no option 'q'; it has variant, kind, extra", id="far miss"),
        pytest.param({}, {"q": "a"}, "has no option 'q'", id="none at all"),
        pytest.param(OPTIONS, {"kind": "yess"}, "the option 'kind' is one of x, yes, not 'yess', perhaps 'yes'?", id="enum"),
        pytest.param(OPTIONS, {"extra": "True"}, "the option 'extra' is true or false, not 'True'", id="boolean"),
        pytest.param(OPTIONS, {"variant": "a\nRUN x"}, "line break", id="line break"),
        pytest.param(OPTIONS, {"variant": "a\x1b[2J"}, "control character", id="control character"),
        pytest.param(OPTIONS, {"variant": "a" * 1001}, "more than 1000", id="long"),
        pytest.param(FREE, {}, "the template 't' needs a value of the option 'free'", id="no default"),
    ],
)
def test_bad_options(options: Mapping[str, TemplateOption], given_values: Mapping[str, str], because: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(options, given_values, "the template 't'")
    assert because in caught.value.message


def test_loosely() -> None:
    """The reference takes whatever is given, names that the template has not declared, too."""
    assert loosely({**OPTIONS, **FREE}, {"kind": "zz", "q": "1"}) == {"variant": "a", "kind": "zz", "extra": "true", "q": "1"}
    with pytest.raises(UsageError, match="line break"):
        loosely(OPTIONS, {"q": "a\r\nb"})


def test_written() -> None:
    """Files that tell of the template stay behind, at its top only; modes stay."""
    names = ("README.md", "NOTES.md", "devcontainer-template.json", "a/README.md", "run.sh", ".github/x.yml", ".github/y/z.yml", ".githubx")
    files = {name: File(b"${templateOption:v}", executable=name == "run.sh") for name in names}
    found = written(files, {"v": "1"}, ["./.github/*", "absent"])
    assert list(found) == ["a/README.md", "run.sh", ".githubx"]
    assert found["run.sh"] == File(b"1", executable=True)


@pytest.mark.parametrize(
    ("path", "patterns", "left_out"),
    [
        ("a/b", ["a/b"], True), ("a/b", ["./a/b"], True), ("a/b/c", ["a/*"], True), ("a/b", ["a"], False), ("ab/c", ["a/*"], False),
        ("a", ["a/*"], False), ("a*", ["a*"], True), ("ab", ["a*"], False), ("a", [], False),
    ],
)  # fmt: skip
def test_omitted(path: str, patterns: list[str], left_out: bool) -> None:
    assert omitted(path, patterns) is left_out


@pytest.mark.parametrize(
    "path",
    ["/etc/x", "../x", "a/../../x", "a//b", "a/./b", "", ".", "..", "a/", "a\\b", "a\nb", "a\x00b", ".git/hooks/x", "a/.GIT/x", "a" * 1001],
)
def test_paths_that_lead_out(path: str) -> None:
    """And those that git would run."""
    with pytest.raises(ConfigError):
        check_path(path)
    with pytest.raises(ConfigError):
        written({path: File(b"")}, {})


@pytest.mark.parametrize("path", ["a", ".devcontainer/devcontainer.json", "a/..b/c", ".gitignore", ".github/x", "ä/b c"])
def test_paths_that_stay_inside(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["a", ".devcontainer/devcontainer.json", ".devcontainer.json"], ".devcontainer/devcontainer.json"),
        ([".devcontainer.json"], ".devcontainer.json"),
        ([".devcontainer/b/devcontainer.json", ".devcontainer/a/devcontainer.json"], ".devcontainer/a/devcontainer.json"),
        (["devcontainer.json", "a/.devcontainer.json"], None),
    ],
)
def test_which_configuration(paths: list[str], found: str | None) -> None:
    assert configuration_in(paths) == found
