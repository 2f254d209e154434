"""Servers in each agent's own format, at a place that it cannot change. Pure."""

import re
from collections.abc import Callable, Mapping

from orchestrator.agents.mcp import REFERENCE
from orchestrator.model.agent import FILES_INSIDE, Additions, AgentFile, Dialect, McpServer, Value

START_S = 20.0  # a server that says nothing for so long is given up; docker servers have to start a container in this time
CALL_S = 60.0  # where an agent has one limit for the start and for each call: opencode, gemini, qwen


def mcp_additions(dialect: Dialect, found: tuple[McpServer, ...], *, project: bool = False) -> Additions:
    """The servers in an agent's own format, at a place that it cannot change. ``project``: servers of the repository were granted, so an
    agent that can be told to read no others is not told so."""
    if dialect == "claude":
        return _claude(found, strict=not project)
    write = _WRITERS.get(dialect)
    if write is None:
        names = ", ".join(server.name for server in found)
        return Additions(notes=(f"this agent has no MCP: left out are {names}",) if found else ())
    return write(found)


# What the standard clients of a network or of Docker read. Codex hands on to servers only what is named.
HANDED_ON = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO",
    "DOCKER_HOST", "AIENV", "AIENV_RUN_ID", "CI",
)  # fmt: skip
CLAUDE_FILE = f"{FILES_INSIDE}/mcp.json"
OPENCODE_FILE = "/etc/opencode/opencode.json"  # wins over the project and OPENCODE_CONFIG
CODEX_FILE = "/etc/codex/managed_config.toml"  # wins over the home and the project; /etc/codex/config.toml loses to both
GEMINI_FILE = "~/.gemini/settings.json"
QWEN_FILE = "/etc/qwen-code/settings.json"


def _claude(found: tuple[McpServer, ...], *, strict: bool) -> Additions:
    """``--strict-mcp-config`` even without servers: no other file, of the repository or of the agent's own, adds any."""
    only = ("--strict-mcp-config",) if strict else ()
    table: dict[str, Value] = {}
    for server in found:
        if server.url is not None:
            table[server.name] = {"type": "sse" if server.sse else "http", "url": server.url, "headers": _map(server.headers)}
        else:
            table[server.name] = {"type": "stdio", "command": server.command[0], "args": [*server.command[1:]], "env": _map(server.env)}
    if not found:
        return Additions(words=only)
    return Additions(
        words=(f"--mcp-config={CLAUDE_FILE}", *only),
        env=(("MCP_TIMEOUT", str(int(START_S * 1000))),),
        files=(AgentFile(CLAUDE_FILE, "json", {"mcpServers": table}),),
    )


def _codex(found: tuple[McpServer, ...]) -> Additions:
    table: dict[str, Value] = {}
    notes: list[str] = []
    for server in found:
        entry: dict[str, Value] = {"startup_timeout_sec": START_S}
        if server.url is not None:
            entry |= {"url": server.url, **_codex_headers(server, notes)}
            if server.sse:
                notes.append(f"codex speaks to MCP server {server.name} by the newer protocol only")
        else:
            entry |= {"command": server.command[0], "args": [*server.command[1:]], **_codex_env(server, notes)}
        if any(REFERENCE.search(text) for text in (*server.command, server.url or "")):
            notes.append(f"codex fills no variables into the command or address of MCP server {server.name}")
        table[server.name] = entry
    files = (AgentFile(CODEX_FILE, "toml", {"mcp_servers": table}),) if found else ()
    return Additions(files=files, notes=tuple(notes))


def _codex_env(server: McpServer, notes: list[str]) -> dict[str, Value]:
    """Codex hands variables on under their own names, and fills in none."""
    handed: list[Value] = [name for name, value in server.env if value == f"${{{name}}}"]
    literal: dict[str, Value] = {name: value for name, value in server.env if not REFERENCE.search(value)}
    lost = [name for name, _ in server.env if name not in handed and name not in literal]
    if lost:
        notes.append(f"codex hands on variables only under their own names: MCP server {server.name} is without {', '.join(lost)}")
    return {"env": literal, "env_vars": [*HANDED_ON, *handed]}


def _codex_headers(server: McpServer, notes: list[str]) -> dict[str, Value]:
    literal: dict[str, Value] = {}
    handed: dict[str, Value] = {}
    entry: dict[str, Value] = {"http_headers": literal, "env_http_headers": handed}
    for name, value in server.headers:
        whole, bearer = REFERENCE.fullmatch(value), REFERENCE.fullmatch(value.removeprefix("Bearer "))
        if not REFERENCE.search(value):
            literal[name] = value
        elif whole:
            handed[name] = whole[1]
        elif bearer and name.lower() == "authorization":
            entry["bearer_token_env_var"] = bearer[1]
        else:
            notes.append(f"codex fills no variables into parts of headers: MCP server {server.name} is without {name}")
    return entry


def _opencode(found: tuple[McpServer, ...]) -> Additions:
    table: dict[str, Value] = {}
    for server in found:
        limit: dict[str, Value] = {"enabled": True, "timeout": int(CALL_S * 1000)}
        if server.url is not None:
            headers = _map(server.headers, _braced)
            table[server.name] = {"type": "remote", "url": _braced(server.url), "headers": headers, "oauth": False, **limit}
        else:
            command: list[Value] = [_braced(word) for word in server.command]
            table[server.name] = {"type": "local", "command": command, "environment": _map(server.env, _braced), **limit}
    return Additions(files=(AgentFile(OPENCODE_FILE, "json", {"mcp": table}),) if found else ())


def _gemini(path: str) -> Callable[[tuple[McpServer, ...]], Additions]:
    def write(found: tuple[McpServer, ...]) -> Additions:
        table: dict[str, Value] = {}
        for server in found:
            limit: dict[str, Value] = {"timeout": int(CALL_S * 1000)}
            if server.url is not None:
                table[server.name] = {"url" if server.sse else "httpUrl": server.url, "headers": _map(server.headers), **limit}
            else:
                command: dict[str, Value] = {"command": server.command[0], "args": [*server.command[1:]], "env": _map(server.env)}
                table[server.name] = command | limit
        return Additions(files=(AgentFile(path, "json", {"mcpServers": table}),) if found else (), notes=_dollars(found))

    return write


def _dollars(found: tuple[McpServer, ...]) -> tuple[str, ...]:
    """These take every ``$NAME`` for a variable, and know no way to write a ``$``."""
    odd = [server.name for server in found if any(map(_has_dollar, (*server.command, *dict(server.env + server.headers).values())))]
    return tuple(f"MCP server {name}: a '$' in its texts is taken for a variable" for name in odd)


def _has_dollar(text: str) -> bool:
    return bool(re.search(r"\$\w", REFERENCE.sub("", text)))


def _braced(text: str) -> str:
    return REFERENCE.sub(r"{env:\1}", text)


def _map(pairs: tuple[tuple[str, str], ...], spell: Callable[[str], str] = str) -> dict[str, Value]:
    return {name: spell(value) for name, value in pairs}


_WRITERS: Mapping[Dialect, Callable[[tuple[McpServer, ...]], Additions]] = {
    "codex": _codex,
    "opencode": _opencode,
    "gemini": _gemini(GEMINI_FILE),
    "qwen": _gemini(QWEN_FILE),
}
