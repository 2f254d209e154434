"""Fields in braces: filled once, and a word that cannot be filled is not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.words import ARGS, FIELDS, fill, fill_env, fill_file, fill_words
from orchestrator.model.agent import AgentFile

KNOWN = {"prompt": "fix it", "session": "s1", "home": "/home/agent"}


@pytest.mark.parametrize(
    ("words", "args", "filled"),
    [
        pytest.param(("-p", "{args}", "--", "{prompt}"), ("-x",), ("-p", "-x", "--", "fix it"), id="args-in-their-place"),
        pytest.param(("-p", "{prompt}"), ("-x",), ("-p", "fix it", "-x"), id="args-at-the-end"),
        pytest.param(("{args}", "--message={prompt}"), (), ("--message=fix it",), id="inside-a-word"),
        pytest.param(("{args}", "{model}"), ("-x",), ("-x",), id="no-value"),
        pytest.param(("{args}", "--", "{model}"), ("-x",), ("-x",), id="dashes-before-nothing"),
        pytest.param(("--", "{model}"), (), (), id="dashes-before-nothing-without-args"),
        pytest.param(("--", "{session}", "{model}"), (), ("--", "s1"), id="dashes-before-something"),
        pytest.param(("{args}",), ("a", "--"), ("a", "--"), id="dashes-of-the-user"),
        pytest.param(("{args}",), ("{prompt}", "{args}"), ("{prompt}", "{args}"), id="braces-of-the-user"),
        pytest.param(("{other}", "{}", "{ prompt }"), (), ("{other}", "{}", "{ prompt }"), id="no-fields"),
        pytest.param((), (), (), id="nothing"),
    ],
)
def test_words(words: tuple[str, ...], args: tuple[str, ...], filled: tuple[str, ...]) -> None:
    assert fill_words(words, KNOWN, args) == filled


@given(st.one_of(st.sampled_from(["--", "-p", "{model}", "{args}", "{prompt}", "{prompt}{model}", "\n", " "]), st.text()))
def test_a_prompt_is_one_word_as_it_is(prompt: str) -> None:
    """Whatever it looks like: an option, the end of options, a field."""
    assert fill_words(("-p", ARGS, "--", "{prompt}"), {"prompt": prompt}, ("-x",)) == ("-p", "-x", "--", prompt)


@given(st.text(), st.dictionaries(st.sampled_from(FIELDS), st.text()))
def test_any_text_is_filled_or_is_not_there(text: str, fields: dict[str, str]) -> None:
    filled = fill(text, fields)
    assert filled is not None or any(f"{{{name}}}" in text for name in FIELDS if name not in fields)


def test_variables_without_a_value_are_not_set() -> None:
    assert fill_env((("A", "{base_url}/v1"), ("B", "{home}/x"), ("C", "")), KNOWN) == (("B", "/home/agent/x"), ("C", ""))


def test_files_are_filled_in_keys_and_values() -> None:
    """A value that cannot be filled is nothing; a key that cannot stays."""
    file = AgentFile("~/x", "json", {"{home}": ["{prompt}", 1, None, True], "{model}": {"a": "{model}", "b": 0.5}})
    assert fill_file(file, KNOWN).content == {"/home/agent": ["fix it", 1, None, True], "{model}": {"a": None, "b": 0.5}}
    assert fill_file(AgentFile("~/x", "text", "{home}"), KNOWN).content == "/home/agent"
