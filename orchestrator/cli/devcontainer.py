"""``aienv devcontainer``: the reference dev container CLI's own command lines, its JSON on standard output and its exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from orchestrator.cli.common import environ, here, paths
from orchestrator.errors import AienvError, UsageError

if TYPE_CHECKING:
    from orchestrator.devcontainer.jsonc import Json, Object
    from orchestrator.devcontainer.life.call import Call
    from orchestrator.devcontainer.life.whole import WholeCall
    from orchestrator.devcontainer.load import Configuration
    from orchestrator.devcontainer.options import Option, Parsed
    from orchestrator.devcontainer.readconfig import Features

EXAMPLES = """
\b
Examples:
  aienv devcontainer up --workspace-folder .
  aienv devcontainer exec --workspace-folder . make test
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
        self._hidden: tuple[str, ...] = ()

    def hide(self, values: Iterable[str]) -> None:
        """No line shows them from now on."""
        self._hidden = tuple(value for value in values if value)

    def write(self, text: str, level: str) -> None:
        from orchestrator.report.text import printable

        now = datetime.now(UTC)
        for value in self._hidden:
            text = text.replace(value, "********")
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

    table: str = ""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = _options(self.table)
        with formatter.section("Options"):
            today = {name: option for name, option in rows.items() if not option.unused and not option.older_of}
            formatter.write_dl([(f"--{name}", option.help) for name, option in today.items()])


def _options(table: str) -> Mapping[str, Option]:
    if table == "BUILD":
        from orchestrator.devcontainer.images.options import BUILD

        return BUILD
    if table == "TEMPLATES_APPLY":
        from orchestrator.devcontainer.templates.options import TEMPLATES_APPLY

        return TEMPLATES_APPLY
    from orchestrator.devcontainer import options

    found: Mapping[str, Option] = getattr(options, table)
    return found


def _long(words: Sequence[str], table: str) -> Sequence[str]:
    """What the reference takes besides long options, as these."""
    if table == "BUILD" and words and not words[0].startswith("-"):
        return ("--workspace-folder", *words)
    if table == "TEMPLATES_APPLY":
        from orchestrator.devcontainer.templates.options import long

        return long(words)
    return words


def reference_command(
    group: click.Group | None, name: str, table: str, *, command: bool = False, example: str, own_codes: bool = False
) -> Callable[[Callable[[Given], Object | None]], click.Command]:
    """A command of ``group`` with the options of ``table``; ``command``: another command follows them. ``own_codes``: see ``Given``.

    What is decorated gives what is printed. An error of ours is printed as the reference prints it.
    """

    def decorated(act: Callable[[Given], Object | None]) -> click.Command:
        @click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="COMMAND [ARGUMENT]..." if command else "")
        @click.pass_context
        def run(ctx: click.Context, words: tuple[str, ...]) -> None:
            given = Given(words, table, command, own_codes)
            code = given.run(act)
            if code:
                ctx.exit(code)

        made = (click.command if group is None else group.command)(
            name,
            cls=_Reference,
            help=act.__doc__,
            context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": ["--help"]},
            epilog=f"\b\nExamples:\n  {example}",
        )(run)
        assert isinstance(made, _Reference)
        made.table = table
        return made

    return decorated


class Given:
    """One call of a command. ``own_codes``: it ends with aienv's own exit codes, not with the reference's 0 or 1."""

    def __init__(self, words: Sequence[str], table: str, command: bool, own_codes: bool = False) -> None:
        self._words, self._table, self._is_command, self._own_codes = words, table, command, own_codes
        self.log = Log("info", "text")
        self.argv: tuple[str, ...] = ()
        self.prints_errors = True
        self.parsed: Parsed
        self._whole: WholeCall | None = None

    def run(self, act: Callable[[Given], Object | None]) -> int:
        """The exit code."""
        from orchestrator.devcontainer.options import parse, parse_command

        try:
            if self._is_command:
                self.parsed, self.argv = parse_command(self._words, _options(self._table))
            else:
                self.parsed = parse(_long(self._words, self._table), _options(self._table))
            form = self.parsed.text("log-format") if "log-format" in self.parsed.given else None  # not every command has it
            self.log = Log(self.parsed.text("log-level") or "info", form or "text")
            for note in self.parsed.notes:
                self.log.info(note)
            document = act(self)
        except AienvError as problem:
            self.log.error(problem)
            if self.prints_errors and not isinstance(problem, UsageError):
                _print(self._error(problem))
            return problem.exit_code if self._own_codes else 1
        if document is not None:
            _print(document)
        return 0

    def call(self) -> Call:
        """What the commands do with a container that is there."""
        from orchestrator.devcontainer.life.call import Call

        return Call(self.parsed, environ(), paths(), user_grants(), str(here()), self.log)

    def whole_call(self) -> WholeCall:
        """What ``up`` and ``down`` do."""
        from orchestrator.devcontainer.life.whole import WholeCall

        self._whole = WholeCall(self.parsed, environ(), paths(), user_grants(), str(here()), self.log)
        return self._whole

    def _error(self, problem: AienvError) -> Object:
        found: Object = {"outcome": "error", "message": problem.message, "description": getattr(problem, "description", problem.message)}
        if problem.remedy:
            found["remedy"] = problem.remedy
        container = self._whole.reached.container if self._whole is not None else None
        return {**found, **({"containerId": container} if container is not None else {})}


def user_grants() -> tuple[str, ...]:
    """What the organisation's and the user's own configuration allow.

    Raises:
        ConfigError: a file is wrong.
    """
    from orchestrator.model.paths import ORGANISATION_POLICY

    where = paths()
    if not where.user_config.exists() and not ORGANISATION_POLICY.exists() and "AIENV_DEVCONTAINER_GRANTS" not in environ():
        return ()  # nothing to read, and reading would take longer than the command
    from orchestrator.config.load import load_user_side

    return load_user_side(where, environ(), {}, None, (), here()).grants


def _print(document: Object) -> None:
    # Beyond ASCII as escapes: any reader of JSON reads the same, and no name from a repository drives the user's terminal.
    sys.stdout.write(json.dumps(document, separators=(",", ":")) + "\n")
    sys.stdout.flush()


@reference_command(
    devcontainer_command, "read-configuration", "READ_CONFIGURATION",
    example="aienv devcontainer read-configuration --workspace-folder . --include-merged-configuration",
)  # fmt: skip
def read_configuration_command(given: Given) -> Object | None:
    """Print the configuration of a folder as it would be used."""
    given.prints_errors = False
    return _read(given.parsed, given.log)


@reference_command(devcontainer_command, "up", "UP", example="aienv devcontainer up --workspace-folder . --grant cap:SYS_PTRACE")
def up_command(given: Given) -> Object | None:
    """Make the container of a folder, or find and start it, and run its hooks."""
    return given.whole_call().up()


@reference_command(
    devcontainer_command, "exec", "EXEC", command=True, example="aienv devcontainer exec --workspace-folder . make test"
)  # fmt: skip
def exec_command(given: Given) -> Object | None:
    """Run a command in the container of a folder; its exit code is the command's."""
    given.prints_errors = False
    given.call().exec(given.argv)
    return None


@reference_command(
    devcontainer_command, "run-user-commands", "RUN_USER_COMMANDS", example="aienv devcontainer run-user-commands --workspace-folder ."
)
def run_user_commands_command(given: Given) -> Object | None:
    """Run the hooks of a container that are due."""
    return given.call().run_user_commands()


@reference_command(devcontainer_command, "set-up", "SET_UP", example="aienv devcontainer set-up --container-id NAME")
def set_up_command(given: Given) -> Object | None:
    """Make a container that runs a dev container, and run its hooks."""
    return given.call().set_up()


@reference_command(devcontainer_command, "build", "BUILD", example="aienv devcontainer build --workspace-folder . --image-name app:dev")
def build_command(given: Given) -> Object | None:
    """Build the image of a folder, with features and metadata in it."""
    from orchestrator.devcontainer.life.made import build

    return build(given.whole_call())


@devcontainer_command.group("templates", cls=_ReferenceGroup)
def templates_command() -> None:
    """Put templates into projects; aienv templates has more."""


@reference_command(
    templates_command, "apply", "TEMPLATES_APPLY", example="aienv devcontainer templates apply -w . -t python"
)  # fmt: skip
def templates_apply_command(given: Given) -> Object | None:
    """Write the files of a template into a folder."""
    from orchestrator.devcontainer.templates.apply import apply, request_of

    folder = paths().cache / "features"
    return apply(request_of(given.parsed, here()), here(), environ(), folder, given.log.warn)


@reference_command(devcontainer_command, "stop", "STOP", example="aienv devcontainer stop --workspace-folder .")
def stop_command(given: Given) -> Object | None:
    """Stop the container of a folder, or its compose project."""
    return given.call().stop()


@reference_command(devcontainer_command, "down", "DOWN", example="aienv devcontainer down --workspace-folder . --volumes")
def down_command(given: Given) -> Object | None:
    """Remove the container of a folder, or its compose project."""
    return given.whole_call().down()


def _read(parsed: Parsed, log: Log) -> Object:
    from orchestrator.devcontainer.engine import Docker
    from orchestrator.devcontainer.finding import Wanted
    from orchestrator.devcontainer.load import Asked, docker_folder
    from orchestrator.devcontainer.readconfig import Request, additional_features, read_configuration

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
