"""Servers from the configurations of all agents, in one form. What is not understood is left out, with a warning. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.agents.mcp import VARIABLE
from orchestrator.errors import ConfigError
from orchestrator.guard.calls import Denied, Json, Object
from orchestrator.guard.imagenames import canonical
from orchestrator.guard.sources import BadSource
from orchestrator.guard.sources.mcp import run_of, servers, words_of
from orchestrator.model.agent import McpServer

MAX_SERVERS = 100
MAX_VARIABLES = 200
MAX_CHARACTERS = 16 * 1024  # of one value

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
_SPELLINGS = re.compile(r"\$?\{env:([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)  # opencode; VS Code and Cursor
_BARE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)  # gemini, qwen
_HTTP_TYPES = frozenset(["http", "sse", "streamable-http", "streamableHttp", "streamable_http", "remote"])


@dataclass(frozen=True, slots=True)
class Read:
    servers: tuple[McpServer, ...]
    warnings: tuple[str, ...]


def read(files: Iterable[tuple[str, bytes]], project: str | None = None) -> Read:
    """The servers in (name, content) of configurations; of two with one name the first counts. ``project``: the folder whose part of
    ~/.claude.json counts. What a server's entry does not say plainly leaves it out, with a warning.

    Raises:
        ConfigError: a file cannot be read, or names too many servers.
    """
    found: dict[str, McpServer] = {}
    warnings: list[str] = []
    for source, data in files:
        try:
            entries = servers(data, source, project)
        except BadSource as problem:
            remedy = "name MCP configurations of agents: .mcp.json, settings.json, config.toml"
            raise ConfigError(f"{source} {problem}", remedy=remedy) from None
        for name, entry in entries:
            origin = f"{source}: MCP server {ascii(name)[:60]}"
            try:
                server = _server(name, entry, origin, warnings)
            except _Unclear as unclear:
                warnings.append(f"{origin} is left out: {unclear}")
                continue
            if server.name in found and found[server.name] != server:
                warnings.append(f"{origin} is left out: an earlier file has another one of this name")
            found.setdefault(server.name, server)
        if len(found) > MAX_SERVERS:
            raise ConfigError(f"{source} names more than {MAX_SERVERS} MCP servers", remedy="name a smaller configuration")
    return Read(tuple(found.values()), tuple(warnings))


class _Unclear(Exception):
    """An entry that does not say plainly what to start. The text is the reason."""


def _server(name: str, entry: Object, origin: str, warnings: list[str]) -> McpServer:
    if not _NAME.fullmatch(name):
        raise _Unclear("names have letters, digits, '_' and '-', at most 64")
    words = words_of(entry)
    if words is None:
        raise _Unclear("its command is no list of texts")
    url = next((entry[key] for key in ("url", "httpUrl", "serverUrl") if entry.get(key) is not None), None)
    if bool(words) == (url is not None):
        raise _Unclear("it has a command and an address" if words else "it has neither a command nor an address")
    for key in ("headersHelper", "cwd", "envFile", "env_file"):
        if entry.get(key):
            warnings.append(f"{origin}: {key!r} is not carried in")
    if words:
        return _local(name, tuple(_text(word) for word in words), _environment(entry), origin, warnings)
    kind = entry.get("type")
    if kind is not None and not (isinstance(kind, str) and kind in _HTTP_TYPES):
        raise _Unclear(f"its type {ascii(kind)[:40]} is none of http, sse and remote")
    return McpServer(name, "http", url=_text(url), headers=_headers(entry), sse=kind == "sse")


def _local(name: str, words: tuple[str, ...], env: tuple[tuple[str, str], ...], origin: str, warnings: list[str]) -> McpServer:
    try:
        run = run_of(words)
        image = canonical(run.image) if run else None
    except BadSource as problem:
        raise _Unclear(str(problem)) from None
    except Denied:
        raise _Unclear("the image of its docker run has no name of an image") from None
    if run and any(option.name in ("--env-file", "--label-file") for option in run.options):
        raise _Unclear("it reads a file of variables, which is not carried in; name them in its env")
    if image is None and words[0].startswith("/"):
        warnings.append(f"{origin}: its command is a path, which the environment must have")
    return McpServer(name, "stdio" if image is None else "docker", words, env, image=image)


def _environment(entry: Object) -> tuple[tuple[str, str], ...]:
    """``env`` or ``environment``, and Codex's ``env_vars``: names of variables that are handed on."""
    handed = entry.get("env_vars") or []
    if not isinstance(handed, list) or not all(isinstance(name, str) for name in handed):
        raise _Unclear("its env_vars are no list of names")
    pairs = {str(name): f"${{{name}}}" for name in handed} | _texts(entry, ("env", "environment"))
    if not all(VARIABLE.fullmatch(name) for name in pairs):
        raise _Unclear("one of its variables has no name of a variable")
    return tuple(pairs.items())


def _headers(entry: Object) -> tuple[tuple[str, str], ...]:
    """``headers`` or Codex's ``http_headers``, ``env_http_headers`` and ``bearer_token_env_var``."""
    bearer = entry.get("bearer_token_env_var")
    pairs = {"Authorization": f"Bearer ${{{bearer}}}"} if isinstance(bearer, str) else {}
    pairs |= {name: f"${{{variable}}}" for name, variable in _texts(entry, ("env_http_headers",)).items()}
    pairs |= _texts(entry, ("headers", "http_headers"))
    if not all(_HEADER.fullmatch(name) for name in pairs):
        raise _Unclear("one of its headers has no name of a header")
    return tuple(pairs.items())


def _texts(entry: Object, keys: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in keys:
        table = entry.get(key) or {}
        if not isinstance(table, dict) or len(table) > MAX_VARIABLES:
            raise _Unclear(f"its {key} is no table of texts")
        found |= {name: _text(value if isinstance(value, str) else _plain(value, key)) for name, value in table.items()}
    return found


def _plain(value: Json, key: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    raise _Unclear(f"its {key} is no table of texts")


def _text(value: Json) -> str:
    """A text with references in our spelling."""
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS or any(ord(char) < 32 or "\ud800" <= char <= "\udfff" for char in value):
        raise _Unclear("it holds what is no text of one line")
    text = _SPELLINGS.sub(r"${\1}", value)
    bare = _BARE.fullmatch(text)
    return f"${{{bare[1]}}}" if bare else text
