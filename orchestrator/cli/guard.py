"""``aienv guard``: the Docker guard alone, in the foreground; and what a guard refused."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.common import environ, json_option, paths, print_json
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.guard.alone import Alone
    from orchestrator.guard.launch import EngineView
    from orchestrator.model.guard import AllowedImage

EXAMPLES = """
\b
Examples:
  aienv guard --mode guarded --project . --socket /tmp/guard.sock --allow-image python:3.12
  DOCKER_HOST=unix:///tmp/guard.sock docker compose up
  aienv guard explain last
"""


@dataclass(frozen=True)
class _Given:
    """The options of ``aienv guard``, as they stand in its help."""

    mode: str
    project: Path
    daemon: str | None
    compose: tuple[str, ...]
    mcp_config: tuple[str, ...]
    allow_image: tuple[str, ...]
    maps: tuple[str, ...]
    network: str | None
    adopt: bool
    learn: bool


@click.group(epilog=EXAMPLES, invoke_without_command=True)
@click.option("--mode", type=click.Choice(["readonly", "guarded", "full"]), default="guarded", show_default=True)
@click.option("--project", type=click.Path(path_type=Path), default=Path(), help="The folder that containers may mount.  [default: here]")
@click.option("--socket", "socket_path", type=click.Path(path_type=Path), help="Where clients find the guard.")
@click.option("--daemon", metavar="ADDRESS", help="The engine behind it.  [default: the one that docker would use]")
@click.option("--compose", type=click.Path(), multiple=True, help="A compose file whose images may be used.  [default: the usual names]")
@click.option("--mcp-config", type=click.Path(), multiple=True, help="An agent's configuration; images of its MCP servers may be used.")
@click.option("--allow-image", metavar="REF", multiple=True, help="An image that may be used.")
@click.option("--map", "maps", metavar="INSIDE=HOST", multiple=True, help="Clients know folder HOST as INSIDE.")
@click.option("--network", metavar="NAME", help="The network that containers join.  [default: one of its own, without a way out]")
@click.option("--adopt/--no-adopt", default=True, show_default=True, help="Whether the project's own compose containers may be used.")
@click.option("--learn", is_flag=True, help="Let images through that could be allowed, and note them: aienv guard explain --policy.")
@click.pass_context
def guard_command(ctx: click.Context, /, socket_path: Path | None, **given: Any) -> None:
    """Serve a Docker socket that lets through what belongs to one project, and nothing else.

    One line of JSON says when clients may come. What they made is removed when the guard ends (SIGTERM, ^C).
    """
    if ctx.invoked_subcommand is not None:
        return
    if socket_path is None:
        raise UsageError("where should the guard listen?", remedy="aienv guard --socket PATH")
    from orchestrator.guard import alone

    where = paths()
    prepared = _prepared(socket_path, _Given(**given))
    alone.finish_abandoned(where, lambda text: _say(text))
    alone.forget_old(where)
    for warning in prepared.plan.warnings:
        _say(warning)

    def ready(session: str, log: Path) -> None:
        line = {"ready": True, "socket": str(prepared.socket), "id": session, "mode": prepared.plan.mode, "log": str(log)}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    left = alone.serve(prepared, where, _toolbox, ready)
    for name in left:
        _say(f"could not be removed: {name}")
    ctx.exit(3 if left else 0)


@guard_command.command("explain", epilog="\b\nExamples:\n  aienv guard explain\n  aienv guard explain last --policy")
@click.argument("run", default="last")
@click.option("--policy", is_flag=True, help="Print the lines of your config.yaml that RUN would have needed, instead.")
@json_option
def explain_command(run: str, policy: bool, as_json: bool) -> None:
    """Say what the guard of RUN refused, why, and what would allow it.

    RUN is an id, the beginning of one, or "last"; an id of ``aienv guard`` by itself will do, too.
    """
    from orchestrator.guard.explain import denial_lines, policy_lines, wanted
    from orchestrator.guard.usage import counted
    from orchestrator.model.codec import to_plain
    from orchestrator.report.text import printable

    name, log, images = _log_of(run)
    with log.open("rb") as lines:
        counts = counted(lines)
    found = wanted(counts)
    if as_json:
        denied = [to_plain(denial) for denial in counts.total().denied]
        suggested = {"images": list(found.images), "limits": dict(found.limits)}
        print_json({"schema": "aienv.guard/1", "run": name, "denied": denied, "suggested": suggested})
        return
    lines_of_text = policy_lines(found, images) if policy else denial_lines(counts.denied.values())
    if not lines_of_text:
        _say(f"the guard of {name} refused nothing")
    for line in lines_of_text:
        click.echo(printable(line))


def _log_of(wanted: str) -> tuple[str, Path, tuple[AllowedImage, ...]]:
    """Id, event log, and images of a run, or of a guard that stood alone.

    Raises:
        NotFound: there is none of that name.
    """
    from orchestrator.errors import NotFound
    from orchestrator.guard.alone import log_of
    from orchestrator.model.codec import from_plain
    from orchestrator.model.guard import GuardPlan
    from orchestrator.run import folder as folders

    where = paths()
    alone = log_of(where, wanted) if wanted.startswith("g2") or (wanted == "last" and not folders.all_ids(where)) else None
    if alone is not None:
        return alone.parent.name, alone, ()
    folder = folders.find(where, wanted)
    if not folder.audit.exists():
        raise NotFound(f"run {folder.id} has no event log", remedy="aienv show says how far it came")
    try:
        plan = from_plain(GuardPlan, json.loads(folder.plan.read_bytes())["guard"])
    except (OSError, ValueError, KeyError):
        return folder.id, folder.audit, ()  # a run without a guard, or of another version: its log may say something all the same
    return folder.id, folder.audit, plan.images


def _prepared(socket_path: Path, given: _Given) -> Alone:
    from dataclasses import replace
    from typing import cast

    from orchestrator.config.load import load_user_side, merge
    from orchestrator.guard.alone import Alone, folder_tree, has_secrets, path_maps
    from orchestrator.guard.launch import Asked, plan_guard
    from orchestrator.model.task import DockerMode, SandboxRules

    root = Path(os.path.realpath(given.project))
    if not root.is_dir():
        raise UsageError(f"{given.project} is no folder", remedy="--project names the folder that containers may mount")
    settings = merge(load_user_side(paths(), environ(), {}, None, ("true",), root), lambda path: None, lambda: ()).task
    rules = replace(
        settings.guard,
        images=(*settings.guard.images, *given.allow_image),
        compose=tuple(_below(root, name) for name in given.compose) or settings.guard.compose,
        mcp=(*settings.guard.mcp, *(os.path.abspath(name) for name in given.mcp_config)),
        learn=settings.guard.learn or given.learn,
    )
    home = Path(environ().get("HOME") or "/nonexistent")
    folders = path_maps(root, given.maps)
    masks = SandboxRules(() if given.mode == "full" else settings.sandbox.mask, settings.sandbox.unmask, ())
    secrets = given.mode == "guarded" and has_secrets(folders, masks)
    asked = Asked(cast(DockerMode, given.mode), rules, "local", dict(environ()), str(root), home, secrets)
    plan = plan_guard(asked, folder_tree(root), lambda: _engine(given.daemon))
    assert plan is not None
    return Alone(plan, folders, Path(os.path.abspath(socket_path)), given.network, masks.mask, masks.unmask, given.adopt)


def _below(root: Path, name: str) -> str:
    """A compose file by its place in the project, where it lies there."""
    path = os.path.realpath(name)
    return os.path.relpath(path, root) if path.startswith(f"{root}/") else path


def _engine(daemon: str | None) -> EngineView:
    """Raises BackendUnavailable."""
    from orchestrator.backends.docker import Engine
    from orchestrator.backends.docker_endpoint import find_endpoint
    from orchestrator.errors import BackendUnavailable, EnvironmentFailed
    from orchestrator.guard.launch import EngineView

    engine = Engine(find_endpoint(daemon, environ()))
    try:
        major, _, minor = str(engine.version()["ApiVersion"]).partition(".")
    except EnvironmentFailed as problem:
        raise BackendUnavailable(problem.message, remedy="see whether it runs: docker info", code="engine-silent") from problem

    def look(reference: str) -> str | None:
        found = engine.image(reference)
        return None if found is None else str(found["Id"])

    return EngineView(engine.endpoint.address, engine.endpoint.tls is not None, (int(major), int(minor)), look)


def _toolbox() -> str:
    from orchestrator.images import toolbox

    return str(toolbox.ensure(paths().cache, _say))


def _say(text: str) -> None:
    from orchestrator.report.text import printable

    sys.stderr.write(f"aienv: {printable(text)}\n")
    sys.stderr.flush()
