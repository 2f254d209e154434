"""``aienv devcontainer``: the reference dev container CLI's own command lines, its JSON on standard output and its exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from orchestrator.cli.common import environ, here, paths
from orchestrator.errors import AienvError

if TYPE_CHECKING:
    from orchestrator.devcontainer.jsonc import Json, Object
    from orchestrator.devcontainer.load import Configuration
    from orchestrator.devcontainer.options import Parsed
    from orchestrator.devcontainer.readconfig import Features

EXAMPLES = """
\b
Examples:
  aienv devcontainer read-configuration --workspace-folder .
  aienv devcontainer read-configuration --include-merged-configuration | jq .mergedConfiguration.remoteUser
"""

LEVELS = {"trace": 1, "debug": 2, "info": 3, "warning": 4, "error": 5}


class _ReferenceGroup(click.Group):
    """A command that is not there ends with 1, as all that is wrong does."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            Log("info", "text").warn(
                f"Unknown argument: {args[0]}\nof the reference's commands there are {', '.join(self.commands)} so far"
            )
            ctx.exit(1)
        return super().resolve_command(ctx, args)


@click.group(cls=_ReferenceGroup, epilog=EXAMPLES)
def devcontainer_command() -> None:
    """Take the command lines of the reference dev container CLI (docs/devcontainer.md).

    One line of JSON goes to standard output, the log to standard error; the exit code is 0 or 1.
    """


class Log:
    """Lines on standard error, in the two forms of the reference."""

    def __init__(self, level: str, form: str) -> None:
        self.least = LEVELS[level]
        self.as_json = form == "json"

    def write(self, text: str, level: str) -> None:
        from orchestrator.report.text import printable

        now = datetime.now(UTC)
        if self.as_json:
            line = json.dumps({"type": "text", "level": LEVELS[level], "timestamp": int(now.timestamp() * 1000), "text": text})
        elif LEVELS[level] >= self.least:
            stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            line = f"[{stamp}] " + "\n".join(printable(part) for part in text.split("\n"))
        else:
            return
        sys.stderr.write(line + "\n")

    def note(self, text: str) -> None:
        self.write(text, "debug")

    def info(self, text: str) -> None:
        self.write(text, "info")

    def warn(self, text: str) -> None:
        self.write(text, "warning")

    def error(self, problem: AienvError) -> None:
        self.write("\n".join(text for text in (problem.message, problem.remedy) if text), "error")


class _Reference(click.Command):
    """A command whose options are a table of ours, so that they are read as the reference reads them."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from orchestrator.devcontainer.options import READ_CONFIGURATION

        with formatter.section("Options"):
            formatter.write_dl([(f"--{name}", option.help) for name, option in READ_CONFIGURATION.items() if not option.unused])


@devcontainer_command.command(
    "read-configuration",
    cls=_Reference,
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    epilog="\b\nExamples:\n  aienv devcontainer read-configuration --workspace-folder . --include-merged-configuration",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="")
@click.pass_context
def read_configuration_command(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Print the configuration of a folder as it would be used."""
    from orchestrator.devcontainer.options import READ_CONFIGURATION, parse

    log = Log("info", "text")
    try:
        parsed = parse(words, READ_CONFIGURATION)
        log = Log(parsed.text("log-level") or "info", parsed.text("log-format") or "text")
        for note in parsed.notes:
            log.info(note)
        document = _read(parsed, log)
    except AienvError as problem:
        log.error(problem)
        ctx.exit(1)
    # Beyond ASCII as escapes: any reader of JSON reads the same, and no name from a repository drives the user's terminal.
    sys.stdout.write(json.dumps(document, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _read(parsed: Parsed, log: Log) -> Object:
    from orchestrator.devcontainer.engine import Docker
    from orchestrator.devcontainer.finding import Wanted
    from orchestrator.devcontainer.load import Asked
    from orchestrator.devcontainer.readconfig import Request, additional_features, docker_folder, read_configuration

    folder = _absolute(parsed.text("workspace-folder"))
    if folder is None and not parsed.text("container-id") and not parsed.texts("id-label"):
        folder = str(here())
    file = Asked(
        folder,
        _absolute(parsed.text("config")),
        _absolute(parsed.text("override-config")),
        parsed.switch("mount-workspace-git-root"),
        parsed.switch("mount-git-worktree-common-dir"),
    )
    request = Request(
        Wanted(file, parsed.text("container-id"), parsed.texts("id-label")),
        parsed.switch("include-features-configuration"),
        parsed.switch("include-merged-configuration"),
        additional_features(parsed.text("additional-features")),
    )
    command, compose = parsed.text("docker-path") or "docker", parsed.text("docker-compose-path") or "docker-compose"
    docker = Docker(environ(), docker_folder(file, str(here())), log.note, command, compose)

    def resolve(configuration: Configuration, additional: Mapping[str, Json]) -> Features:
        from orchestrator.devcontainer.wanted import wanted_features

        return wanted_features(configuration, additional, environ(), paths().cache / "features", log.warn)

    return read_configuration(request, environ(), docker, resolve, log.warn)


def _absolute(path: str | None) -> str | None:
    return None if path is None else os.path.normpath(os.path.join(here(), path))
