"""``aienv agents``: which agents there are, their programs, and the user's own ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.common import environ, here, json_option, paths, print_json
from orchestrator.errors import AienvError, EnvironmentFailed, NotFound, UsageError
from orchestrator.report.progress import Progress
from orchestrator.report.text import printable

if TYPE_CHECKING:
    from orchestrator.agents.install import Installed
    from orchestrator.model.agent import Additions, Profile

EXAMPLES = """
\b
Examples:
  aienv agents ls
  aienv agents show codex
  aienv agents test claude
  aienv agents add my-agent.yaml
  aienv agents update gemini --to latest
"""
_UNKNOWN = "-"
_PROBES = ("--version", "--help")  # the first that the program takes


@click.group(epilog=EXAMPLES)
def agents_command() -> None:
    """List, test, update and add agents (docs/agents.md).

    An agent's program is installed when a run first needs it: packages of a lock file, checked by their digests, in a read-only folder.
    """


def _built_in() -> Mapping[str, Profile]:
    from orchestrator.agents.catalog import PROFILES

    return PROFILES


def _find(name: str) -> Profile:
    """``node``, which others are run by, is one that is not listed."""
    from orchestrator.agents import install, own

    return install.NODE if name == install.NODE.name else own.find(name, environ(), _built_in())


def _names() -> list[str]:
    from orchestrator.agents import own

    return [*_built_in(), *(name for name in own.names(environ()) if name not in _built_in())]


# --- ls, show --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """``source``: where its profile comes from. ``pinned``: the user's own lock file counts. ``installed``: its folder is there."""

    name: str
    title: str
    source: str
    kind: str
    version: str
    pinned: bool
    installed: bool
    problem: str | None


def _row(name: str) -> _Row:
    from orchestrator.agents import install

    source = "built in" if name in _built_in() else "own"
    try:
        profile = _find(name)
        kind = profile.program.kind
        version = install.lock_of(profile, environ()).version if kind != "image" else ""
        pinned = install.user_lock(name, environ()).is_file()
        return _Row(name, profile.title, source, kind, version, pinned, install.installed(profile, paths().cache) is not None, None)
    except AienvError as problem:
        return _Row(name, name, source, "", "", False, False, problem.message)


@agents_command.command("ls")
@json_option
def ls_command(as_json: bool) -> None:
    """List the agents: built in ones, and your own."""
    rows = [_row(name) for name in _names()]
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for row in rows:
        where = "of the environment" if row.kind == "image" else "installed" if row.installed else "not installed"
        state = f"broken: {row.problem}" if row.problem else f"{row.version or _UNKNOWN:<10} {where:<18} {row.title}"
        click.echo(printable(f"{row.name:<16} {row.source:<9} {state}" + (" (own version)" if row.pinned and row.source != "own" else "")))


@agents_command.command("show")
@click.argument("name")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Show one agent: its program, how it is started, what is written for it and what it reaches."""
    from orchestrator.model.codec import to_plain

    profile, row = _find(name), _row(name)
    if as_json:
        print_json({**asdict(row), "profile": to_plain(profile)})
        return
    for title, lines in _shown(profile, row):
        for number, line in enumerate(lines):
            click.echo(printable(f"{title if number == 0 else '':<13} {line}"))


def _shown(profile: Profile, row: _Row) -> list[tuple[str, list[str]]]:
    program = profile.program
    state = "installed" if row.installed else "not installed"
    packaged = f"{program.package} {row.version} ({program.kind}), {state}"
    where = f"{program.entry} of the environment" if program.kind == "image" else packaged
    runs_by = {"none": "itself", "node": "node", "python": "the environment's python3"}[program.runtime]
    return [
        ("name", [f"{profile.name}   {profile.title} ({row.source})"]),
        ("program", [where, f"entry {program.entry}, run by {runs_by}"]),
        ("problem", [row.problem] if row.problem else []),
        ("headless", [_words(profile.headless)]),
        ("interactive", [_words(profile.interactive) or "(the program alone)"]),
        ("resume", [_words(words) for words in (profile.resume, profile.resume_interactive) if words]),
        ("model", [_words(profile.model)] if profile.model else []),
        *((f"mode {name}", _additions(additions) or ["nothing is added"]) for name, additions in profile.modes.items()),
        ("always", _additions(profile.base)),
        (
            "credentials",
            [
                f"{one.name}" + (f", its service told by {one.base}" if one.base else "") + (f", model {one.model}" if one.model else "")
                for one in profile.credentials
            ],
        ),
        ("hosts", list(profile.hosts)),
        ("sessions", [f"~/{one}" for one in profile.sessions]),
        ("leavings", [" ".join(profile.leavings)] if profile.leavings else []),
        ("switched off", [f"{one.glob} of the repository, unless it is granted" for one in profile.project_files]),
        ("events", [f"in the form of {profile.dialect}; settings in that of {profile.settings}"]),
    ]


def _words(words: tuple[str, ...]) -> str:
    """As on a command line; fields in braces as they are."""
    import shlex

    plain = (word.replace("{", "").replace("}", "") for word in words)
    return " ".join(word if bare and shlex.quote(bare) == bare else shlex.quote(word) for word, bare in zip(words, plain, strict=True))


def _additions(additions: Additions) -> list[str]:
    files = [f"file {one.path} ({one.format}{', read-only' if one.locked else ''})" for one in additions.files]
    words = [_words(additions.words)] if additions.words else []
    return [*words, *(f"{name}={value}" for name, value in additions.env), *files, *(f"note: {note}" for note in additions.notes)]


# --- test ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tested:
    name: str
    ok: bool
    version: str
    folder: str
    code: int | None
    said: str
    seconds: float | None
    problem: str | None
    remedy: str | None = None


@agents_command.command("test")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--backend", type=click.Choice(["auto", "docker", "local"]), default="auto", show_default=True)
@click.option("--image", metavar="REF", help="An image to start it in.  [default: that of runs]")
@json_option
def test_command(names: tuple[str, ...], backend: str, image: str | None, as_json: bool) -> None:
    """Install NAME and start it with --version in a sandbox without a network; without NAME: every agent that is installed."""
    from orchestrator.agents import install
    from orchestrator.backends.select import choose, maker

    say, found = Progress(as_json).say, paths()
    profiles = [_find(name) for name in names] or [_find(row.name) for row in map(_row, _names()) if row.installed and row.kind != "image"]
    if not profiles:
        raise UsageError("no agent is installed, so there is nothing to test", remedy="name one: aienv agents test claude")
    chosen = choose(backend, "any", image is not None, maker(found.work, found.cache, environ(), say))  # type: ignore[arg-type]
    variant: install.Variant = "container" if chosen.facts.capabilities.images else "host"

    def tried(profile: Profile) -> _Tested:
        from orchestrator.run.trial import try_out

        made: Installed | None = None
        try:
            made = install.ensure(profile, found.cache, environ(), say, variant)
            base = tuple((key, value) for key, value in profile.base.env if "{" not in value)
            for word in _PROBES:
                done = try_out(chosen.backend, found, image, (*made.entry, word), made.mounts, base)
                if done.code == 0 or not _is_there(done.code):
                    break
        except AienvError as problem:
            return _Tested(profile.name, False, made.version if made else "", "", None, "", None, problem.message, problem.remedy)
        # What the environment brings may know neither word; it is enough that it is there.
        ok = done.code == 0 or (profile.program.kind == "image" and _is_there(done.code))
        why = None if ok else "it did not end in time" if done.code is None else f"it ended with {done.code}"
        return _Tested(profile.name, ok, made.version, str(made.folder), done.code, done.said, round(done.lasted_s, 2), why)

    tests = [tried(profile) for profile in profiles]
    if as_json:
        print_json({"backend": chosen.facts.name, "agents": [asdict(test) for test in tests]})
    else:
        for test in tests:
            what = f"starts in {test.seconds} s" if test.ok else f"FAILED: {test.problem}"
            what += f": {said}" if (said := _telling(test)) else ""
            click.echo(printable(f"{test.name:<16} {test.version or _UNKNOWN:<10} {chosen.facts.name}: {what}"))
            if test.remedy:
                click.echo(printable(f"{'':<16} {test.remedy}"))
    if not all(test.ok for test in tests):
        raise click.exceptions.Exit(EnvironmentFailed.exit_code)


def _telling(test: _Tested) -> str:
    """Of its output the line with the version, of a failure the last one; of the environment's own programs nothing."""
    lines = test.said.splitlines()
    if test.ok and not test.version:
        return ""
    return next((line for line in lines if test.version and test.version in line), lines[-1] if lines else "")


def _is_there(code: int | None) -> bool:
    """A shell's codes for a program that is not there, or cannot be executed."""
    return code not in (None, 126, 127)


# --- add, update, rm -------------------------------------------------------------------------------------------------


@agents_command.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace an agent of yours with the same name.")
@json_option
def add_command(file: Path, force: bool, as_json: bool) -> None:
    """Add the agent that the manifest FILE describes; the file's name, without .yaml, becomes the agent's."""
    from orchestrator.agents import own
    from orchestrator.agents.install import user_lock
    from orchestrator.agents.lock import dump
    from orchestrator.agents.relock import relock

    given = Path(os.path.normpath(here() / file))
    if not given.is_file():
        raise NotFound(f"there is no file {given}")
    if not given.name.endswith(own.ENDING):
        raise UsageError(f"a manifest's name ends with {own.ENDING}, and {given.name!r} does not")
    profile = own.read(given)
    target = own.folder(environ()) / given.name
    if profile.name in _built_in():
        raise UsageError(f"{profile.name!r} is a built-in agent", remedy="give the file another name")
    if target.exists() and not force and target.read_bytes() != given.read_bytes():
        raise UsageError(f"there is an agent {profile.name!r} already", remedy="replace it: --force; or: aienv agents rm " + profile.name)
    lock = relock(profile, environ(), Progress(as_json).say) if profile.program.kind != "image" else None
    if lock is not None:
        _write(user_lock(profile.name, environ()), dump(lock))
    _write(target, given.read_bytes())
    if as_json:
        print_json({"name": profile.name, "manifest": str(target), "version": lock.version if lock else ""})
    else:
        click.echo(printable(f"added {profile.name}; see whether it starts: aienv agents test {profile.name}"))


@agents_command.command("update")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--to", metavar="VERSION", default="latest", show_default=True, help="A version, or 'latest'.")
@click.option("--reset", is_flag=True, help="Go back to the version that came with aienv.")
@json_option
def update_command(names: tuple[str, ...], to: str, reset: bool, as_json: bool) -> None:
    """Give NAME another version, for your runs alone; without NAME: every agent whose version is your own.

    npm or pip resolves the packages; no script of theirs is run. Your own lock file then counts, until --reset.
    """
    from orchestrator.agents import install
    from orchestrator.agents.lock import dump
    from orchestrator.agents.relock import relock

    known = [_find(name) for name in names] or [
        _find(name) for name in _names() if not _row(name).problem and install.user_lock(name, environ()).is_file()
    ]
    done = []
    for profile in known:
        if profile.program.kind == "image":
            raise UsageError(f"the program of {profile.name!r} is the environment's own", remedy="take another image")
        path = install.user_lock(profile.name, environ())
        if reset and profile.name not in _built_in():
            why = f"{profile.name!r} is an agent of yours, no version of it came with aienv"
            raise UsageError(why, remedy=f"aienv agents update {profile.name} --to VERSION")
        if reset:
            path.unlink(missing_ok=True)
        else:
            _write(path, dump(relock(profile, environ(), Progress(as_json).say, version=to)))
        version = install.lock_of(profile, environ()).version
        removed = install.remove(profile.name, paths().cache, unused_s=install.UNUSED_S)
        done.append({"name": profile.name, "version": version, "removed": list(removed)})
    if as_json:
        print_json(done)
        return
    for one in done:
        click.echo(printable(f"{one['name']} is now {one['version']}"))
    if not done:
        click.echo("no agent has a version of your own; name one: aienv agents update claude")


@agents_command.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def rm_command(names: tuple[str, ...], as_json: bool) -> None:
    """Remove the installed programs of NAME; of an agent of yours also its manifest and lock file. No run must be using it."""
    from orchestrator.agents import install, own

    gone: list[str] = []
    for name in names:
        is_own = name in own.names(environ())
        if not is_own:
            _find(name)
        gone += install.remove(name, paths().cache)
        if is_own:
            for path in (own.folder(environ()) / f"{name}{own.ENDING}", install.user_lock(name, environ())):
                if path.exists():
                    path.unlink()
                    gone.append(path.name)
    if as_json:
        print_json({"removed": gone})
    else:
        click.echo(printable(f"removed {', '.join(gone)}") if gone else "nothing was installed")


def _write(path: Path, data: bytes) -> None:
    """Whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".new-{os.getpid()}-{path.name}")
    try:
        new.write_bytes(data)
        new.rename(path)
    finally:
        new.unlink(missing_ok=True)


