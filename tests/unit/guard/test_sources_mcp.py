"""MCP servers that are docker images, in the form of each agent."""

# ruff: noqa: E501 - a row of a table stays one line

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.sources import BadSource
from orchestrator.guard.sources.mcp import image_of_run, images

RUN = ["run", "-i", "--rm", "-e", "TOKEN", "ghcr.io/github/github-mcp-server"]
ENTRY = {"command": "docker", "args": RUN, "env": {"TOKEN": "x"}}
GITHUB = "ghcr.io/github/github-mcp-server:latest"
CODEX = """
[mcp_servers.gh]
command = "docker"
args = ["run", "-i", "--rm", "-e", "TOKEN", "ghcr.io/github/github-mcp-server"]
[mcp_servers.gh.env]
TOKEN = "x"
[mcp_servers.off]
command = "docker"
args = ["run", "off"]
enabled = false
"""


def found(document: object, source: str = "f.json", project: str | None = None) -> list[str]:
    data = document.encode() if isinstance(document, str) else json.dumps(document).encode()
    return [one.reference for one in images(data, source, project).images]


@pytest.mark.parametrize(
    ("document", "source"),
    [
        pytest.param({"mcpServers": {"gh": {"type": "stdio", **ENTRY}}}, ".mcp.json", id="claude-project"),
        pytest.param({"numStartups": 1, "mcpServers": {"gh": ENTRY}, "projects": {}}, ".claude.json", id="claude-user"),
        pytest.param({"projects": {"/p": {"mcpServers": {"gh": ENTRY}}, "/q": {"mcpServers": {"x": {**ENTRY, "args": ["run", "q"]}}}}}, ".claude.json", id="claude-local"),
        pytest.param(CODEX, "config.toml", id="codex"),
        pytest.param({"mcp": {"gh": {"type": "local", "command": ["docker", *RUN], "environment": {"A": "1"}, "enabled": True}}}, "opencode.json", id="opencode"),
        pytest.param({"security": {}, "mcpServers": {"gh": ENTRY}}, "settings.json", id="gemini"),
        pytest.param({"amp.mcpServers": {"gh": ENTRY}}, "settings.json", id="amp"),
        pytest.param({"servers": {"gh": ENTRY}}, "mcp.json", id="vscode"),
        pytest.param({"mcp": {"servers": {"gh": ENTRY}}}, "settings.json", id="vscode-settings"),
        pytest.param('{"mcpServers": {"gh": ' + json.dumps(ENTRY) + "}, // c\n}", ".cursor/mcp.json", id="comments"),
    ],
)  # fmt: skip
def test_forms(document: object, source: str) -> None:
    assert found(document, source, "/p") == [GITHUB]


def test_other_projects_do_not_count() -> None:
    document = {"projects": {"/p": {"mcpServers": {"gh": ENTRY}}}}
    assert found(document, project="/other") == found(document) == []


@pytest.mark.parametrize(
    ("words", "image"),
    [
        ("docker run img", "img"), ("docker run img --rm -e A cmd", "img"), ("/usr/bin/docker run -it --name x --network=host -v /a:/b img:1 sh", "img:1"),
        ("docker container run -p8080:80 -itd -eA=1 img", "img"), ("docker -H unix:///x --context c --debug run -i img", "img"), ("docker run -- img", "img"),
        ("docker run --init --cpus 2 -ite A img", "img"), ("docker run --rm=true --pull always img", "img"), ("docker create -i img", "img"),
        ("podman run img", None), ("sh -c", None), ("npx -y x", None), ("docker", None), ("docker ps", None), ("docker mcp gateway run", None), ("", None),
    ],
)  # fmt: skip
def test_words(words: str, image: str | None) -> None:
    assert image_of_run(words.split()) == image


@pytest.mark.parametrize(
    "words",
    ["docker run", "docker run -i --rm", "docker run --new-option img", "docker run -X img", "docker --new run img", "docker run -e"],
)
def test_words_that_leave_it_open(words: str) -> None:
    """An option that may take a value: the image could be any word."""
    with pytest.raises(BadSource):
        image_of_run(words.split())


@pytest.mark.parametrize(
    ("entry", "warns"),
    [
        ({"command": "docker", "args": ["run", "${input:image}"]}, True),
        ({"command": "docker", "args": ["run", "--what", "img"]}, True),
        ({"command": "docker", "args": ["run", 1]}, True),
        ({"command": 5}, True),
        ({"command": "docker", "args": RUN, "disabled": True}, False),
        ({"command": "sh", "args": ["-c", "docker run img"]}, False),
        ({"url": "https://mcp.example.org"}, False),
    ],
)
def test_what_names_none(entry: dict[str, object], warns: bool) -> None:
    facts = images(json.dumps({"mcpServers": {"x": entry}}).encode(), "f.json")
    assert facts.images == ()
    assert bool(facts.warnings) is warns


@pytest.mark.parametrize(
    ("data", "source"), [(b"x = [", "a.toml"), (b"\xff", "a.toml"), (b"[", "a.json"), (b"a = " + b"[" * 5000, "a.toml")]
)
def test_unreadable(data: bytes, source: str) -> None:
    with pytest.raises(BadSource):
        images(data, source)


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.sampled_from(["docker", "run", "-i", "img", "command"]), lambda inner: st.lists(inner, max_size=3)
                      | st.dictionaries(st.sampled_from(["mcpServers", "mcp", "servers", "command", "args", "projects", "/p"]), inner, max_size=3), max_leaves=12)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["mcpServers", "mcp", "servers", "amp.mcpServers", "projects"]), VALUES, max_size=3))
def test_any_document(document: object) -> None:
    found(document, project="/p")
