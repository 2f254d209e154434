"""Images of MCP servers that agents start by ``docker run``, from the operator's configuration of the agents. Pure.

| file | where the servers stand |
| --- | --- |
| .mcp.json, Claude Desktop, Gemini, Qwen, Cursor | ``mcpServers`` |
| ~/.claude.json | ``mcpServers``, and ``projects[folder].mcpServers`` of this project |
| Codex config.toml | ``mcp_servers`` |
| opencode.json | ``mcp`` |
| Amp settings.json | ``amp.mcpServers`` |
| .vscode/mcp.json, VS Code settings.json | ``servers``, ``mcp.servers`` |
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from orchestrator.guard.calls import Json, Object
from orchestrator.guard.sources import MAX_BYTES, MAX_IMAGES, BadSource, Named, named, read_json

MAX_WORDS = 512

# Before ``run``.
_GLOBAL_VALUES = frozenset(["--config", "-c", "--context", "-H", "--host", "-l", "--log-level", "--tlscacert", "--tlscert", "--tlskey"])
_GLOBAL_FLAGS = frozenset(["-D", "--debug", "--tls", "--tlsverify"])
# After it: docker run of 20.10 to 28. What is in neither table leaves it open where the image stands.
_FLAGS = frozenset([
    "--detach", "--disable-content-trust", "--help", "--init", "--interactive", "--no-healthcheck", "--oom-kill-disable",
    "--privileged", "--publish-all", "--quiet", "--read-only", "--rm", "--sig-proxy", "--tty", "--use-api-socket",
])  # fmt: skip
_VALUES = frozenset([
    "--add-host", "--annotation", "--attach", "--blkio-weight", "--blkio-weight-device", "--cap-add", "--cap-drop",
    "--cgroup-parent", "--cgroupns", "--cidfile", "--cpu-count", "--cpu-percent", "--cpu-period", "--cpu-quota", "--cpu-rt-period",
    "--cpu-rt-runtime", "--cpu-shares", "--cpus", "--cpuset-cpus", "--cpuset-mems", "--detach-keys", "--device",
    "--device-cgroup-rule", "--device-read-bps", "--device-read-iops", "--device-write-bps", "--device-write-iops", "--dns",
    "--dns-opt", "--dns-option", "--dns-search", "--domainname", "--entrypoint", "--env", "--env-file", "--expose", "--gpus",
    "--group-add", "--health-cmd", "--health-interval", "--health-retries", "--health-start-interval", "--health-start-period",
    "--health-timeout", "--hostname", "--io-maxbandwidth", "--io-maxiops", "--ip", "--ip6", "--ipc", "--isolation",
    "--kernel-memory", "--label", "--label-file", "--link", "--link-local-ip", "--log-driver", "--log-opt", "--mac-address",
    "--memory", "--memory-reservation", "--memory-swap", "--memory-swappiness", "--mount", "--name", "--net", "--net-alias",
    "--network", "--network-alias", "--oom-score-adj", "--pid", "--pids-limit", "--platform", "--publish", "--pull", "--restart",
    "--runtime", "--security-opt", "--shm-size", "--stop-signal", "--stop-timeout", "--storage-opt", "--sysctl", "--tmpfs",
    "--ulimit", "--user", "--userns", "--uts", "--volume", "--volume-driver", "--volumes-from", "--workdir",
])  # fmt: skip
_SHORT_FLAGS, _SHORT_VALUES = frozenset("ditPq"), frozenset("acehlmpuvw")


@dataclass(frozen=True, slots=True)
class McpFacts:
    images: tuple[Named, ...]
    warnings: tuple[str, ...]


def images(data: bytes, source: str, project: str | None = None) -> McpFacts:
    """``source``: the file's name, for people; one that ends in ``.toml`` is TOML. ``project``: the folder whose part of ~/.claude.json
    counts.

    Raises:
        BadSource: it cannot be read.
    """
    document = _read_toml(data) if source.endswith(".toml") else read_json(data)
    found: dict[str, Named] = {}
    warnings: list[str] = []
    for name, entry in _servers(document, project):
        origin = f"{source}: MCP server {name[:40]!r}"
        if entry.get("enabled") is False or entry.get("disabled") is True:
            continue
        for one in _image(entry, origin, warnings):
            found.setdefault(one.reference, one)
        if len(found) > MAX_IMAGES:
            raise BadSource(f"names more than {MAX_IMAGES} images")
    return McpFacts(tuple(found.values()), tuple(warnings))


def image_of_run(words: Sequence[str]) -> str | None:
    """The image of ``docker run ...``; None: it is another command.

    Raises:
        BadSource: it is one, and an option is not known: the image could be any word after it.
    """
    if not words or words[0].rpartition("/")[2] != "docker":
        return None
    rest = _after_options(list(words[1:]), _GLOBAL_FLAGS, _GLOBAL_VALUES, short=False)
    rest = rest[1:] if rest[:1] == ["container"] else rest
    if rest[:1] not in (["run"], ["create"]):
        return None
    rest = _after_options(rest[1:], _FLAGS, _VALUES, short=True)
    if not rest:
        raise BadSource("docker run without an image")
    return rest[0]


def _after_options(words: list[str], flags: frozenset[str], values: frozenset[str], *, short: bool) -> list[str]:
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return words[position + 1 :]
        if not word.startswith("-") or word == "-":
            break
        name, equals, _ = word.partition("=")
        if name in values:
            position += 1 if equals else 2
        elif name in flags:
            position += 1
        elif short and not word.startswith("--"):
            position += _short(word)
        else:
            raise BadSource(f"the option {name[:40]!r} is not known")
    return words[position:]


def _short(word: str) -> int:
    """``-it``, ``-e NAME``, ``-eNAME``, ``-itp 1:1``: how many words it takes."""
    for place, letter in enumerate(word[1:], 1):
        if letter in _SHORT_VALUES:
            return 1 if word[place + 1 :] else 2
        if letter not in _SHORT_FLAGS:
            raise BadSource(f"the option {word[:40]!r} is not known")
    return 1


def _image(entry: Object, origin: str, warnings: list[str]) -> tuple[Named, ...]:
    command, arguments = entry.get("command"), entry.get("args") or []
    words = [command, *arguments] if isinstance(command, str) and isinstance(arguments, list) else command
    if not isinstance(words, list) or len(words) > MAX_WORDS or not all(isinstance(word, str) for word in words):
        if command is not None:
            warnings.append(f"{origin}: its command is no list of texts")
        return ()
    try:
        image = image_of_run(cast(list[str], words))
    except BadSource as problem:
        warnings.append(f"{origin}: {problem}")
        return ()
    return named(image, origin, warnings) if image is not None else ()


def _servers(document: Object, project: str | None) -> Iterator[tuple[str, Object]]:
    tables: list[Json] = [document.get(key) for key in ("mcpServers", "amp.mcpServers", "mcp_servers", "servers")]
    mcp = document.get("mcp")
    tables.append(mcp)
    if isinstance(mcp, dict) and isinstance(mcp.get("servers"), dict):
        tables.append(mcp["servers"])
    projects = document.get("projects")
    if project is not None and isinstance(projects, dict) and isinstance(here := projects.get(project), dict):
        tables.append(here.get("mcpServers"))
    for table in tables:
        if isinstance(table, dict):
            yield from ((name, entry) for name, entry in table.items() if isinstance(entry, dict))


def _read_toml(data: bytes) -> Object:
    if len(data) > MAX_BYTES:
        raise BadSource(f"is larger than {MAX_BYTES >> 10} KiB")
    try:
        return cast(Object, tomllib.loads(data.decode("utf-8")))
    except (ValueError, RecursionError):
        raise BadSource("is no TOML") from None
