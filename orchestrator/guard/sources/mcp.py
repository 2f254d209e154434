"""MCP servers in the operator's configuration of the agents, and the images of those that are started by ``docker run``. Pure.

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


@dataclass(frozen=True, slots=True)
class Option:
    """One option of ``docker run`` with its value, which begins at character ``offset`` of word number ``word``."""

    name: str
    word: int
    offset: int
    value: str


@dataclass(frozen=True, slots=True)
class DockerRun:
    options: tuple[Option, ...]
    image: str


def images(data: bytes, source: str, project: str | None = None) -> McpFacts:
    """``source``: the file's name, for people; one that ends in ``.toml`` is TOML. ``project``: the folder whose part of ~/.claude.json
    counts.

    Raises:
        BadSource: it cannot be read.
    """
    found: dict[str, Named] = {}
    warnings: list[str] = []
    for name, entry in servers(data, source, project):
        for one in _image(entry, f"{source}: MCP server {name[:40]!r}", warnings):
            found.setdefault(one.reference, one)
        if len(found) > MAX_IMAGES:
            raise BadSource(f"names more than {MAX_IMAGES} images")
    return McpFacts(tuple(found.values()), tuple(warnings))


def servers(data: bytes, source: str, project: str | None = None) -> tuple[tuple[str, Object], ...]:
    """Name and entry, as written, of each server that is not switched off; arguments as of ``images``.

    Raises:
        BadSource: it cannot be read.
    """
    document = _read_toml(data) if source.endswith(".toml") else read_json(data)
    off = _switched_off(document, project)
    return tuple(
        (name, entry)
        for name, entry in _servers(document, project)
        if name not in off and entry.get("enabled") is not False and entry.get("disabled") is not True
    )


def words_of(entry: Object) -> tuple[str, ...] | None:
    """The command of a server, however its agent writes it; empty: it has none. None: it is no list of texts."""
    command, arguments = entry.get("command"), entry.get("args") or []
    if command is None:
        return ()
    words = [command, *arguments] if isinstance(command, str) and isinstance(arguments, list) else command
    if not isinstance(words, list) or not words or len(words) > MAX_WORDS or not all(isinstance(word, str) for word in words):
        return None
    return tuple(cast(list[str], words))


def image_of_run(words: Sequence[str]) -> str | None:
    """The image of ``docker run ...``; None: it is another command.

    Raises:
        BadSource: it is one, and an option is not known: the image could be any word after it.
    """
    run = run_of(words)
    return None if run is None else run.image


def run_of(words: Sequence[str]) -> DockerRun | None:
    """``docker run ...``, read; None: it is another command.

    Raises:
        BadSource: as ``image_of_run``.
    """
    if not words or words[0].rpartition("/")[2] != "docker":
        return None
    _, place = _options(words, 1, _GLOBAL_FLAGS, _GLOBAL_VALUES, short=False)
    place += place < len(words) and words[place] == "container"
    if place >= len(words) or words[place] not in ("run", "create"):
        return None
    options, place = _options(words, place + 1, _FLAGS, _VALUES, short=True)
    if place >= len(words):
        raise BadSource("docker run without an image")
    return DockerRun(options, words[place])


def _options(
    words: Sequence[str], place: int, flags: frozenset[str], values: frozenset[str], *, short: bool
) -> tuple[tuple[Option, ...], int]:
    """The options from ``place`` on that have a value, and where the words after all options begin."""
    found: list[Option] = []
    while place < len(words):
        word = words[place]
        if word == "--":
            return tuple(found), place + 1
        if not word.startswith("-") or word == "-":
            break
        name, equals, _ = word.partition("=")
        if name in values:
            at = (place, len(name) + 1) if equals else (place + 1, 0)
        elif name in flags:
            at = None
        elif short and not word.startswith("--"):
            name, at = _short(word, place)
        else:
            raise BadSource(f"the option {name[:40]!r} is not known")
        if at is not None and at[0] < len(words):
            found.append(Option(name, *at, words[at[0]][at[1] :]))
        place = place + 1 if at is None else at[0] + 1
    return tuple(found), place


def _short(word: str, place: int) -> tuple[str, tuple[int, int] | None]:
    """``-it``, ``-e NAME``, ``-eNAME``, ``-itp 1:1``: the option with a value, and where that stands."""
    for letter_at, letter in enumerate(word[1:], 1):
        if letter in _SHORT_VALUES:
            return f"-{letter}", (place, letter_at + 1) if word[letter_at + 1 :] else (place + 1, 0)
        if letter not in _SHORT_FLAGS:
            raise BadSource(f"the option {word[:40]!r} is not known")
    return word, None


def _image(entry: Object, origin: str, warnings: list[str]) -> tuple[Named, ...]:
    words = words_of(entry)
    if words is None:
        warnings.append(f"{origin}: its command is no list of texts")
        return ()
    try:
        image = image_of_run(words)
    except BadSource as problem:
        warnings.append(f"{origin}: {problem}")
        return ()
    return named(image, origin, warnings) if image is not None else ()


def _switched_off(document: Object, project: str | None) -> frozenset[str]:
    """Gemini's ``mcp.excluded``, and what Claude Code switched off in this project."""
    lists = [mcp.get("excluded")] if isinstance(mcp := document.get("mcp"), dict) else []
    projects = document.get("projects")
    if project is not None and isinstance(projects, dict) and isinstance(here := projects.get(project), dict):
        lists.append(here.get("disabledMcpServers"))
    return frozenset(name for names in lists if isinstance(names, list) for name in names if isinstance(name, str))


def _servers(document: Object, project: str | None) -> Iterator[tuple[str, Object]]:
    tables: list[Json] = [document.get(key) for key in ("mcpServers", "amp.mcpServers", "mcp_servers", "servers")]
    mcp = document.get("mcp")
    if isinstance(mcp, dict) and isinstance(inner := mcp.get("servers"), dict) and not {"type", "command", "url"} & inner.keys():
        tables.append(inner)
        mcp = {name: entry for name, entry in mcp.items() if name != "servers"}
    tables.append(mcp)
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
