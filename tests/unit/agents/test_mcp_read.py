"""MCP servers in the configuration of each agent, brought to one form."""

# ruff: noqa: E501 - a row of a table stays one line

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.mcp.read import read
from orchestrator.errors import ConfigError
from orchestrator.model.agent import McpServer

RUN = ("docker", "run", "-i", "--rm", "-e", "TOKEN", "ghcr.io/github/github-mcp-server")
GITHUB = McpServer("gh", "docker", RUN, (("TOKEN", "${TOKEN}"),), image="ghcr.io/github/github-mcp-server:latest")
PING = McpServer("ping", "stdio", ("python3", "ping.py"), (("A", "1"),))
WEB = McpServer("web", "http", url="https://mcp.example.org/x", headers=(("Authorization", "Bearer ${WEB_TOKEN}"), ("X-Team", "7")))
COMMANDS = {"gh": {"command": "docker", "args": [*RUN[1:]], "env": {"TOKEN": "${TOKEN}"}}, "ping": {"type": "stdio", "command": "python3", "args": ["ping.py"], "env": {"A": "1"}}}
HTTP = {"type": "http", "url": "https://mcp.example.org/x", "headers": {"Authorization": "Bearer ${WEB_TOKEN}", "X-Team": "7"}}
CODEX = """
[mcp_servers.gh]
command = "docker"
args = ["run", "-i", "--rm", "-e", "TOKEN", "ghcr.io/github/github-mcp-server"]
env_vars = ["TOKEN"]
[mcp_servers.ping]
command = "python3"
args = ["ping.py"]
env = { A = "1" }
[mcp_servers.web]
url = "https://mcp.example.org/x"
bearer_token_env_var = "WEB_TOKEN"
http_headers = { "X-Team" = "7" }
[mcp_servers.off]
command = "x"
enabled = false
"""
OPENCODE = {
    "gh": {"type": "local", "command": [*RUN], "environment": {"TOKEN": "{env:TOKEN}"}, "enabled": True},
    "ping": {"type": "local", "command": ["python3", "ping.py"], "environment": {"A": "1"}},
    "web": {"type": "remote", "url": "https://mcp.example.org/x", "headers": {"Authorization": "Bearer {env:WEB_TOKEN}", "X-Team": "7"}},
    "off": {"type": "local", "command": ["x"], "enabled": False},
}  # fmt: skip


def text(document: object) -> bytes:
    return document.encode() if isinstance(document, str) else json.dumps(document).encode()


@pytest.mark.parametrize(
    ("document", "source"),
    [
        pytest.param({"mcpServers": {**COMMANDS, "web": HTTP}}, ".mcp.json", id="claude-project"),
        pytest.param({"numStartups": 1, "mcpServers": COMMANDS, "projects": {"/p": {"mcpServers": {"web": HTTP}}, "/q": {"mcpServers": {"no": HTTP}}}}, ".claude.json", id="claude-user-and-local"),
        pytest.param({"mcpServers": {**COMMANDS, "web": HTTP, "off": HTTP}, "projects": {"/p": {"disabledMcpServers": ["off"]}}}, ".claude.json", id="claude-disabled"),
        pytest.param(CODEX, "config.toml", id="codex"),
        pytest.param({"mcp": OPENCODE}, "opencode.json", id="opencode"),
        pytest.param({"mcpServers": {"gh": {**COMMANDS["gh"], "env": {"TOKEN": "$TOKEN"}}, "ping": COMMANDS["ping"], "web": {"httpUrl": HTTP["url"], "headers": HTTP["headers"]}, "off": HTTP}, "mcp": {"excluded": ["off"]}}, "settings.json", id="gemini"),
        pytest.param({"amp.mcpServers": {**COMMANDS, "web": {"url": HTTP["url"], "headers": HTTP["headers"]}}}, "settings.json", id="amp"),
        pytest.param({"servers": {**COMMANDS, "web": {**HTTP, "headers": {"Authorization": "Bearer ${env:WEB_TOKEN}", "X-Team": "7"}}}, "inputs": []}, "mcp.json", id="vscode"),
        pytest.param({"mcp": {"servers": {**COMMANDS, "web": HTTP}}}, "settings.json", id="vscode-settings"),
    ],
)  # fmt: skip
def test_forms(document: object, source: str) -> None:
    assert read([(source, text(document))], "/p").servers == (GITHUB, PING, WEB)
    assert read([(source, text(document))], "/p").warnings == ()


@pytest.mark.parametrize(
    ("name", "entry", "because"),
    [
        ("a b", {"command": "x"}, "names have"), ("x" * 65, {"command": "x"}, "names have"), ("", {"command": "x"}, "names have"), ("a\x1b", {"command": "x"}, "names have"),
        ("x", {}, "neither"), ("x", {"command": "x", "url": "https://x"}, "a command and an address"), ("x", {"command": 5}, "no list of texts"), ("x", {"command": []}, "no list of texts"),
        ("x", {"command": "x", "args": ["a", 1]}, "no list of texts"), ("x", {"command": "x", "args": ["a\nb"]}, "no text of one line"), ("x", {"command": "x", "env": ["A=1"]}, "no table of texts"),
        ("x", {"command": "x", "env": {"A": [1]}}, "no table of texts"), ("x", {"command": "x", "env": {"A=B": "1"}}, "no name of a variable"), ("x", {"command": "x", "env": {"A": "y" * 20_000}}, "no text of one line"),
        ("x", {"command": "x", "env_vars": "A"}, "no list of names"), ("x", {"url": "https://x", "headers": {"A: B": "1"}}, "no name of a header"), ("x", {"url": 1}, "no text of one line"),
        ("x", {"type": "websocket", "url": "https://x"}, "its type"), ("x", {"command": "docker", "args": ["run", "--what", "img"]}, "not known"), ("x", {"command": "docker", "args": ["run", "A B"]}, "no name of an image"),
        ("x", {"command": "docker", "args": ["run"]}, "without an image"), ("x", {"command": "docker", "args": ["run", "--env-file", "/x", "img"]}, "a file of variables"),
    ],
)  # fmt: skip
def test_left_out(name: str, entry: object, because: str) -> None:
    """What does not say plainly what to start is left out, with the reason; its neighbour stays."""
    found = read([(".mcp.json", text({"mcpServers": {name: entry, "ping": COMMANDS["ping"]}}))])
    assert found.servers == (PING,)
    assert len(found.warnings) == 1
    assert because in found.warnings[0]
    assert found.warnings[0].isprintable()


def test_first_wins() -> None:
    """Over files; the same thing twice is no warning."""
    one, other = text({"mcpServers": {"ping": COMMANDS["ping"]}}), text({"mcpServers": {"ping": {"command": "other"}}})
    assert read([("a", one), ("b", one)]) == read([("a", one)])
    found = read([("a", one), ("b", other)])
    assert found.servers == (PING,)
    assert "b: MCP server 'ping' is left out: an earlier file" in found.warnings[0]


def test_sse_is_kept() -> None:
    (server,) = read([("f", text({"mcpServers": {"x": {"type": "sse", "url": "https://x.example.org/sse"}}}))]).servers
    assert server.sse


@pytest.mark.parametrize(("key", "value"), [("cwd", "/x"), ("headersHelper", "/bin/x"), ("envFile", ".env")])
def test_what_is_not_carried(key: str, value: str) -> None:
    assert key in read([("f", text({"mcpServers": {"x": {"command": "y", key: value}}}))]).warnings[0]


@pytest.mark.parametrize(
    "data", [b"[]", b"{", b"\xff", b'{"mcpServers": {"x": {}, "x": {}}}', text({"mcpServers": {f"s{n}": {"command": "x"} for n in range(101)}})]
)
def test_unreadable(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"my\.json"):
        read([("my.json", data)])


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["docker", "run", "-e", "A=$B", "${X}", "img", "http", "\ud800"])
KEYS = st.sampled_from(["mcpServers", "mcp", "mcp_servers", "command", "args", "env", "env_vars", "url", "headers", "type", "projects", "/p"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=3))
def test_any_document(document: object) -> None:
    """Any document is read, or refused by an error of ours."""
    with contextlib.suppress(ConfigError):
        read([("f.json", text(document))], "/p")
