"""devcontainer-template.json: what is read of it, and what is no template."""

import pytest

from orchestrator.devcontainer.templates.manifest import Manifest, TemplateOption, read
from orchestrator.errors import ConfigError


def test_read() -> None:
    """With comments, as editors write them."""
    found = read(
        b"""{ // ours
            "id": "web", "version": "1.2.0", "name": "Web", "description": "d", "documentationURL": "https://example.org",
            "options": {
                "variant": {"type": "string", "proposals": ["a", "b"], "default": "a", "description": "v"},
                "kind": {"type": "string", "enum": ["x", "y"], "default": "y"},
                "extra": {"type": "boolean", "default": "true"},
                "unquoted": {"type": "boolean", "default": false},
                "free": {"type": "string"},
            },
            "optionalPaths": ["a/*"], "platforms": ["Any"], "whatever": 1 }""",
        "x",
    )
    assert found == Manifest(
        "web", "1.2.0", "Web", "d",
        {
            "variant": TemplateOption("string", "a", "v", ("a", "b")),
            "kind": TemplateOption("string", "y", enum=("x", "y")),
            "extra": TemplateOption("boolean", "true"),
            "unquoted": TemplateOption("boolean", "false"),
            "free": TemplateOption("string", None),
        },
        ("a/*",), "https://example.org",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "because"),
    [
        pytest.param(b"\xff", "w/t.json is not valid UTF-8", id="bytes"),
        pytest.param(b'{"id": }', "w/t.json:1:8: expected a value", id="no JSON"),
        pytest.param(b"[]", "w/t.json is no JSON object", id="list"),
        pytest.param(b"{}", "id is missing", id="no id"),
        pytest.param(b'{"id": 5}', "id is no text", id="id of another type"),
        pytest.param(b'{"id": "a", "version": 1}', "version is no text", id="version"),
        pytest.param(b'{"id": "a", "options": []}', "options is no object", id="options"),
        pytest.param(b'{"id": "a", "options": {"o": 1}}', "options.o is no object", id="option"),
        pytest.param(b'{"id": "a", "options": {"o": {"type": "number"}}}', "options.o.type is 'number'", id="type"),
        pytest.param(b'{"id": "a", "options": {"o": {"type": "boolean", "default": "yes"}}}', "options.o.default is 'yes'", id="boolean"),
        pytest.param(b'{"id": "a", "options": {"o": {"type": "string", "default": 1}}}', "options.o.default is no text", id="default"),
        pytest.param(b'{"id": "a", "options": {"o": {"type": "string", "enum": ["x"], "default": "y"}}}', "enum has not", id="enum"),
        pytest.param(b'{"id": "a", "options": {"o": {"type": "string", "proposals": [1]}}}', "proposals is no list", id="proposals"),
        pytest.param(b'{"id": "a", "optionalPaths": "x"}', "optionalPaths is no list of texts", id="paths"),
    ],
)
def test_no_template(text: bytes, because: str) -> None:
    with pytest.raises(ConfigError, match=r"w/t\.json") as caught:
        read(text, "w/t.json")
    assert because in caught.value.message


@pytest.mark.parametrize(
    ("option", "takes"),
    [
        (TemplateOption("boolean", "true"), "true or false"),
        (TemplateOption("string", "a", enum=("a", "b")), "one of a, b"),
        (TemplateOption("string", "a", proposals=("a", "b")), "such as a, b"),
        (TemplateOption("string", "a"), "any text"),
    ],
)
def test_what_an_option_takes(option: TemplateOption, takes: str) -> None:
    assert option.takes() == takes
