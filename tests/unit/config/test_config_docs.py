"""The manual tells what the table of keys does: every row, every example."""

import re
from pathlib import Path

import pytest

from orchestrator.config.document import Form, read_document
from orchestrator.config.layers import LAYERS
from orchestrator.config.schema import DENIED_COMMANDS, HARMLESS_FILES, KEYS, SECRET_FILES, Key, variable_names

MANUAL = Path(__file__).parents[3] / "docs" / "configuration.md"
TEXT = MANUAL.read_text(encoding="utf-8")


def row(key: Key) -> str:
    """One line of the manual's table."""
    default = dict.fromkeys(("sandbox.mask", "sandbox.unmask", "deny.read", "deny.run"), "see below").get(key.name)
    if default is None:
        default = f"`{key.default}`" if isinstance(key.default, str) else "none" if key.is_list else "unset"
    option = f"`{key.flag}`" if key.flag else "`-- ...`" if key.name == "command" else "`TASK`" if key.name == "prompt" else "no"
    return f"| `{key.name}` | {key.shape} | {default} | {option} | {key.repository.words} | {key.doc} |"


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_key_has_its_row(key: str) -> None:
    """Shape, default, option, the repository's right and meaning stand in the manual as in the table of keys."""
    assert row(KEYS[key]) in TEXT.splitlines()


def test_no_row_is_left_over() -> None:
    """The manual describes no key that does not exist."""
    assert set(re.findall(r"^\| `([a-z][a-z_.]*)` \|", TEXT, re.MULTILINE)) == set(KEYS)


def test_the_lists_of_files() -> None:
    """What is masked and what is not, whole."""
    for pattern in (*SECRET_FILES, *HARMLESS_FILES, *DENIED_COMMANDS):
        assert f"`{pattern}`" in TEXT


def test_the_layers_in_their_order() -> None:
    """The numbered list is the order of the merge."""
    numbered = re.findall(r"^\d\. \*\*([a-z -]+)\*\*", TEXT, re.MULTILINE)
    assert tuple(numbered) == LAYERS


EXAMPLES = re.findall(r"<!-- (task|config|policy) -->\n```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize(("form", "text"), EXAMPLES)
def test_examples_are_valid(form: Form, text: str) -> None:
    """Each example can be copied into a file."""
    assert read_document(text.encode(), "example.yaml", form).values


def test_there_are_examples_of_each_form() -> None:
    """So that the test above cannot be empty."""
    assert {form for form, _ in EXAMPLES} == {"task", "config", "policy"}


def test_variable_example() -> None:
    """The spelling that the manual shows."""
    for name in variable_names(KEYS["limits.open_files"]):
        assert name in TEXT
