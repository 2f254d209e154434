"""MCP servers in the format of the agent that runs. Each form was taken from a run of that agent; docs/agents-mcp.md names the versions."""

# ruff: noqa: E501 - a row of a table stays one line

import tomllib
from typing import cast, get_args

import pytest

from orchestrator.agents.documents import merge, render
from orchestrator.agents.mcp.read import read
from orchestrator.agents.mcp.write import HANDED_ON, mcp_additions
from orchestrator.model.agent import AgentFile, Dialect, Document, McpServer

PING = McpServer("ping", "stdio", ("python3", "p.py"), (("A", "1"), ("MY_TOKEN", "${MY_TOKEN}")))
GITHUB = McpServer("gh", "docker", ("docker", "run", "-i", "-e", "T", "img"), (("T", "${T}"),), image="img:latest")
WEB = McpServer("web", "http", url="https://x.example.org/mcp", headers=(("Authorization", "Bearer ${MY_TOKEN}"), ("X-Key", "${K}"), ("X-Team", "7")))
ALL = (PING, GITHUB, WEB)
AGENTS: tuple[Dialect, ...] = ("claude", "codex", "opencode", "gemini", "qwen")


def document(dialect: Dialect, found: tuple[McpServer, ...] = ALL) -> Document:
    (file,) = mcp_additions(dialect, found).files
    assert file.locked
    return cast(Document, file.content)


def test_claude() -> None:
    additions = mcp_additions("claude", ALL)
    assert additions.words == ("--mcp-config=/run/aienv/agent/mcp.json", "--strict-mcp-config")
    assert document("claude") == {"mcpServers": {
        "ping": {"type": "stdio", "command": "python3", "args": ["p.py"], "env": {"A": "1", "MY_TOKEN": "${MY_TOKEN}"}},
        "gh": {"type": "stdio", "command": "docker", "args": ["run", "-i", "-e", "T", "img"], "env": {"T": "${T}"}},
        "web": {"type": "http", "url": "https://x.example.org/mcp", "headers": {"Authorization": "Bearer ${MY_TOKEN}", "X-Key": "${K}", "X-Team": "7"}},
    }}  # fmt: skip


def test_claude_without_servers() -> None:
    """Then, too, no other file adds any."""
    assert mcp_additions("claude", ()).words == ("--strict-mcp-config",)
    assert mcp_additions("claude", (), project=True).words == ()


def test_codex() -> None:
    """Variables by name only: Codex gives servers none of its own environment, and fills none in."""
    assert document("codex") == {"mcp_servers": {
        "ping": {"command": "python3", "args": ["p.py"], "env": {"A": "1"}, "env_vars": [*HANDED_ON, "MY_TOKEN"], "startup_timeout_sec": 20.0},
        "gh": {"command": "docker", "args": ["run", "-i", "-e", "T", "img"], "env": {}, "env_vars": [*HANDED_ON, "T"], "startup_timeout_sec": 20.0},
        "web": {"url": "https://x.example.org/mcp", "bearer_token_env_var": "MY_TOKEN", "env_http_headers": {"X-Key": "K"}, "http_headers": {"X-Team": "7"}, "startup_timeout_sec": 20.0},
    }}  # fmt: skip
    assert mcp_additions("codex", ALL).notes == ()


@pytest.mark.parametrize(
    ("server", "note"),
    [
        (McpServer("s", "stdio", ("x",), (("A", "${B}"),)), "is without A"), (McpServer("s", "stdio", ("x", "${B}")), "fills no variables"),
        (McpServer("s", "http", url="https://x", headers=(("X", "a ${B}"),)), "is without X"), (McpServer("s", "http", url="https://x", sse=True), "newer protocol"),
    ],
)  # fmt: skip
def test_what_codex_cannot(server: McpServer, note: str) -> None:
    """It is said; a reference that nothing fills in is not written."""
    additions = mcp_additions("codex", (server,))
    assert note in additions.notes[0]
    assert "${B}" in server.command or "${B}" not in str(additions.files[0].content)


def test_opencode() -> None:
    assert document("opencode") == {"mcp": {
        "ping": {"type": "local", "command": ["python3", "p.py"], "environment": {"A": "1", "MY_TOKEN": "{env:MY_TOKEN}"}, "enabled": True, "timeout": 60000},
        "gh": {"type": "local", "command": ["docker", "run", "-i", "-e", "T", "img"], "environment": {"T": "{env:T}"}, "enabled": True, "timeout": 60000},
        "web": {"type": "remote", "url": "https://x.example.org/mcp", "headers": {"Authorization": "Bearer {env:MY_TOKEN}", "X-Key": "{env:K}", "X-Team": "7"}, "oauth": False, "enabled": True, "timeout": 60000},
    }}  # fmt: skip


@pytest.mark.parametrize(("dialect", "path"), [("gemini", "~/.gemini/settings.json"), ("qwen", "/etc/qwen-code/settings.json")])
def test_gemini(dialect: Dialect, path: str) -> None:
    assert mcp_additions(dialect, ALL).files[0].path == path
    assert document(dialect, (PING, WEB)) == {"mcpServers": {
        "ping": {"command": "python3", "args": ["p.py"], "env": {"A": "1", "MY_TOKEN": "${MY_TOKEN}"}, "timeout": 60000},
        "web": {"httpUrl": "https://x.example.org/mcp", "headers": {"Authorization": "Bearer ${MY_TOKEN}", "X-Key": "${K}", "X-Team": "7"}, "timeout": 60000},
    }}  # fmt: skip
    assert document(dialect, (McpServer("s", "http", url="https://x", sse=True),))["mcpServers"] == {"s": {"url": "https://x", "headers": {}, "timeout": 60000}}
    assert "taken for a variable" in mcp_additions(dialect, (McpServer("s", "stdio", ("x", "$5")),)).notes[0]


@pytest.mark.parametrize("dialect", ["pi", "text"])
def test_agents_without(dialect: Dialect) -> None:
    assert mcp_additions(dialect, ALL).notes == ("this agent has no MCP: left out are ping, gh, web",)
    assert mcp_additions(dialect, ()).notes == ()


@pytest.mark.parametrize("dialect", get_args(Dialect))
def test_nothing_to_write(dialect: Dialect) -> None:
    assert mcp_additions(dialect, ()).files == ()


@pytest.mark.parametrize("dialect", AGENTS)
def test_read_again(dialect: Dialect) -> None:
    """What we write, our reader understands as the same; and it goes beside another concern's settings."""
    (file,) = mcp_additions(dialect, ALL).files
    (merged,) = merge([file, AgentFile(file.path, file.format, {"other": {"x": True}})])
    assert isinstance(merged.content, dict)
    assert merged.content["other"] == {"x": True}
    again = {server.name: server for server in read([("f.toml" if file.format == "toml" else "f", render(merged))]).servers}
    assert {name: (one.command, one.url, dict(one.headers)) for name, one in again.items()} == {one.name: (one.command, one.url, dict(one.headers)) for one in ALL}
    assert all(set(one.env) <= set(again[one.name].env) for one in ALL)
    if file.format == "toml":
        assert tomllib.loads(render(file).decode()) == file.content
