"""Variables, pass by pass; facts of the reference's own table are among the rows."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.variables import Local, base_name, container_pass, environ_of, id_pass, local_pass, substitute
from orchestrator.errors import ConfigError

LOCAL = Local({"baz": "somevalue", "EMPTY": "", "BRACE": "${localEnv:baz}"}, "/foo/bar", "/baz/${localWorkspaceFolderBasename}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("bar${env:baz}bar", "barsomevaluebar", id="env"),
        pytest.param("bar${localEnv:baz}bar", "barsomevaluebar", id="localEnv"),
        pytest.param("bar${localEnv:none}bar", "barbar", id="not set"),
        pytest.param("bar${localEnv:none:default}bar", "bardefaultbar", id="default"),
        pytest.param("bar${localEnv:baz:default}bar", "barsomevaluebar", id="set, so no default"),
        pytest.param("${localEnv:none:default:a:b:c}", "default", id="default ends at a colon"),
        pytest.param("${localEnv:U:http://h}", "http", id="so this is no address"),
        pytest.param("${localEnv:EMPTY:default}", "", id="set and empty"),
        pytest.param("${localEnv::d}", "d", id="empty name"),
        pytest.param("${localWorkspaceFolder}|${localWorkspaceFolderBasename}", "/foo/bar|bar", id="local folder"),
        pytest.param("${containerWorkspaceFolder}|${containerWorkspaceFolderBasename}", "/baz/bar|bar", id="container folder"),
        pytest.param("${localWorkspaceFolder:x}", "/foo/bar", id="words that it does not take"),
        pytest.param("${localEnv:none:${localEnv:baz}}", "${localEnv}", id="the first brace ends"),
        pytest.param("${localEnv:BRACE}", "${localEnv:baz}", id="what was put in is not read again"),
        pytest.param("${foo} ${containerEnv:A} ${devcontainerId} ${} ${ localEnv:baz}",
                     "${foo} ${containerEnv:A} ${devcontainerId} ${} ${ localEnv:baz}", id="others stay"),
        pytest.param("${localEnv:ba\nz}", "${localEnv:ba\nz}", id="not over lines"),
        pytest.param("$${localEnv:baz} $baz", "$somevalue $baz", id="dollars"),
    ],
)  # fmt: skip
def test_local_pass(text: str, expected: str) -> None:
    assert substitute(text, local_pass(LOCAL)) == expected


def test_without_a_workspace() -> None:
    text: Json = "${localWorkspaceFolder}${containerWorkspaceFolderBasename}"
    assert substitute(text, local_pass(Local({}))) == text


def test_depth_and_keys() -> None:
    value: Json = {"${env:baz}": ["${env:baz}", {"a": ["${env:baz}", 1, None, True]}]}
    assert substitute(value, local_pass(LOCAL)) == {"${env:baz}": ["somevalue", {"a": ["somevalue", 1, None, True]}]}


@pytest.mark.parametrize("text", ["${localEnv}", "${env}", "x ${localEnv} y"])
def test_no_name(text: str) -> None:
    with pytest.raises(ConfigError, match="names no variable"):
        substitute(text, local_pass(LOCAL))
    assert substitute("${localEnv:}", local_pass(LOCAL)) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("${containerEnv:P}:/x", "/bin:/x"), ("${containerEnv:N:d}", "d"), ("${containerEnv:N}", ""), ("${localEnv:P}", "${localEnv:P}")],
)
def test_container_pass(text: str, expected: str) -> None:
    assert substitute(text, container_pass({"P": "/bin"})) == expected


def test_id_pass() -> None:
    assert substitute("a-${devcontainerId}-${x}", id_pass("77")) == "a-77-${x}"


def test_environ_of() -> None:
    assert environ_of(["A=1", "B=", "C=x=y", "D"]) == {"A": "1", "B": "", "C": "x=y"}


@pytest.mark.parametrize(("path", "name"), [("/a/b", "b"), ("/a/b/", "b"), ("/", ""), ("", "")])
def test_base_name(path: str, name: str) -> None:
    assert base_name(path) == name


OLD = re.compile("\\$\\{([^\n\r\u2028\u2029]*?)\\}")


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["${", "}", "a", ":", "\n", "\u2028", "$", "{", "env:baz"]), max_size=12).map("".join))
def test_as_the_pattern_of_the_reference(text: str) -> None:
    """What counts as a variable is what the reference's own pattern finds."""
    expected = OLD.sub(lambda match: f"<{match[1]}>", text)
    assert substitute(text, lambda name, words, written: f"<{written[2:-1]}>") == expected


@pytest.mark.parametrize("text", ["${" * 500_000, "${" * 500_000 + "\n}", "${a" * 300_000 + "}"])
def test_many_openings(text: str) -> None:
    substitute(text, local_pass(LOCAL))


def test_a_long_folder_that_is_named_often() -> None:
    local = Local({}, "/w", "/" + "x" * 400_000)
    with pytest.raises(ConfigError, match="more than 16 MiB"):
        substitute(["${containerWorkspaceFolder}"] * 20_000, local_pass(local))


@given(st.text())
def test_any_text(text: str) -> None:
    """Without a brace nothing changes; and nothing ends in another exception."""
    try:
        found = substitute(text, local_pass(LOCAL))
    except ConfigError:
        return
    assert "${" in text or found == text
