"""A container that runs, prepared for its user: who that is, which environment commands get, which hooks are due; and they are run."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from orchestrator.devcontainer.engine import Docker, container_environ, image_labels
from orchestrator.devcontainer.finding import Found
from orchestrator.devcontainer.ids import PREBUILT
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.life import hooks
from orchestrator.devcontainer.life.hooks import Command, Hook, Step
from orchestrator.devcontainer.life.inside import User, look, patch, probe, write_markers
from orchestrator.devcontainer.life.probing import DEFAULT_PROBE, SHELL_OPTIONS, probed, remote_environ
from orchestrator.devcontainer.life.record import Moments, Record, Records, moments
from orchestrator.devcontainer.life.running import COMMAND_S, HookFailed, Place, run_step
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.merge import merge
from orchestrator.devcontainer.variables import environ_of
from orchestrator.errors import ConfigError


class Log(Protocol):
    """``info``: for people; ``note``: for who looks closely; ``warn``: what may surprise; ``hide``: values that no line shows."""

    def info(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def hide(self, values: Iterable[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Dotfiles:
    """The user's own, never the repository's. ``install``: a command, empty for the usual ones; ``target``: in the container."""

    repository: str
    install: str = ""
    target: str = "~/dotfiles"


@dataclass(frozen=True, slots=True)
class Settings:
    """``remote_env``: ``NAME=value`` words; ``secrets``: for hooks alone; ``deadline_s``: of one command of a hook."""

    how: hooks.How = field(default_factory=hooks.How)
    default_probe: str = DEFAULT_PROBE
    remote_env: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    dotfiles: Dotfiles | None = None
    deadline_s: float = COMMAND_S


@dataclass(frozen=True, slots=True)
class Ready:
    """``environ``, ``unset``: of commands in the container; ``folder``: where they start."""

    user: User
    environ: Mapping[str, str] = field(repr=False)
    unset: Sequence[str]
    folder: str


class Session:
    """``entries``: of the container's label and the file, all variables replaced, the weakest first; ``with_hooks``: the same for
    hooks; ``origins``: where each is from."""

    def __init__(
        self, docker: Docker, found: Found, configuration: Configuration, entries: Sequence[Object], with_hooks: Sequence[Object],
        origins: Sequence[str], records: Records, settings: Settings, log: Log,
    ) -> None:  # fmt: skip
        assert found.container is not None
        self.docker, self.container, self.configuration = docker, found.container, configuration
        self.merged = merge(configuration.config, entries)
        self._with_hooks, self._origins = with_hooks, origins
        self._records, self._settings, self._log = records, settings, log
        self._record = records.load(self.container)
        self._written: dict[Hook, str] = {}

    @property
    def id(self) -> str:
        return str(self.container["Id"])

    @property
    def user(self) -> str:
        """Of commands and hooks."""
        config = self.container.get("Config")
        of_container = config.get("User") if isinstance(config, dict) else None
        for value in (self.merged.get("remoteUser"), of_container):
            if isinstance(value, str) and value:
                return value
        return "root"

    @property
    def folder(self) -> str | None:
        """The workspace, in the container."""
        workspace = self.configuration.workspace
        return workspace.folder if workspace is not None and isinstance(workspace.folder, str) and workspace.folder else None

    def ready(self) -> Ready:
        """What commands need; looked up at most once for a start of the container.

        Raises:
            EnvironmentFailed: there is no such user, or no shell.
        """
        user = self._known_user()
        found = probed(self._probed(user), environ_of(container_environ(self.container)), user.is_root)
        environ, unset = remote_environ(found, self._settings.remote_env, self.merged.get("remoteEnv"))
        return Ready(user, environ, unset, self.folder or user.home)

    def run_hooks(self) -> hooks.Result:
        """Those that are due. What ran to its end is written down at once, so that the next time goes on after it.

        Raises:
            HookFailed: a command failed.
            ConfigError: a value that is no command.
        """
        now = moments(self.container)
        steps = {hook: hooks.steps(hook, self._with_hooks, self._origins) for hook in hooks.HOOKS}
        due = hooks.schedule(self._settings.how, self.merged.get("waitFor"), self._done(now))
        wanted = [hook for hook in due.hooks if steps[hook]]
        if not wanted and not (due.dotfiles and self._settings.dotfiles):
            return due.result
        ready = self.ready()
        done = self._done(now)  # the look inside may have found more
        due = hooks.schedule(self._settings.how, self.merged.get("waitFor"), done)
        secrets = tuple(value for value in self._settings.secrets.values() if value)
        place = Place(
            self.docker, self.id, ready.user.name, ready.folder, {**ready.environ, **self._settings.secrets}, ready.unset, secrets,
            self._records.logs(self.container), self._log.info, self._settings.deadline_s,
        )  # fmt: skip
        try:
            for hook in hooks.order(due):
                if hook == "dotfiles":
                    self._dotfiles(place, ready.user, now)
                    continue
                for step in steps[hook]:
                    run_step(place, step)
                if hook in hooks.ONCE and steps[hook]:
                    self._note(hook, now)
        finally:
            self._keep(replace(self._record, probes={}))  # hooks write start files of shells
            if self._written and not write_markers(self.docker, self.id, ready.user, self._written):
                self._log.note(f"{ready.user.home} cannot be written; which hooks ran is known on this machine only")
        return due.result

    # --- what is known of it ----------------------------------------------------------------------------------------------------

    def _known_user(self) -> User:
        if (known := self._record.users.get(self.user)) is not None:
            return known
        with ThreadPoolExecutor(1) as beside:
            patched = None if self._record.patched else beside.submit(patch, self.docker, self.container)
            user, markers = look(self.docker, self.id, self.user)
            if patched is not None and (said := patched.result()):
                self._log.note(f"/etc/environment or /etc/profile could not be written: {said}")
        now = moments(self.container)
        ran: dict[str, str] = {hook: stamp for hook, stamp in markers.items() if stamp == now.of(hooks.ONCE[hook])}
        record = self._record
        self._keep(replace(record, users={**record.users, self.user: user}, hooks={**ran, **record.hooks}, patched=True))
        return user

    def _probed(self, user: User) -> Mapping[str, str]:
        kind = self.merged.get("userEnvProbe") or self._settings.default_probe
        if kind == "none":
            return {}
        if not isinstance(kind, str) or kind not in SHELL_OPTIONS:
            raise ConfigError(f"userEnvProbe is none or one of {', '.join(SHELL_OPTIONS)}, not {kind!r}")
        name = f"{user.name} {kind}"
        if (known := self._record.probes.get(name)) is not None:
            return known
        found = probe(self.docker, self.id, user, kind)
        if found is None:
            self._log.warn(
                f"the environment of {user.name}'s shell {user.shell} could not be read; commands get that of the container."
                ' "userEnvProbe": "none" does not ask for it'
            )
            found = {}
        self._keep(replace(self._record, probes={**self._record.probes, name: found}))
        return found

    def _done(self, now: Moments) -> frozenset[Hook]:
        """Hooks that ran to their end in this container, or in the one that its image was made of."""
        behind = image_labels(self.container).get(PREBUILT, "").split(",")
        return self._record.done(now) | {hook for hook in hooks.HOOKS if hook in behind}

    def _note(self, hook: Hook, now: Moments) -> None:
        stamp = now.of(hooks.ONCE[hook])
        self._written[hook] = stamp
        self._keep(replace(self._record, hooks={**self._record.hooks, hook: stamp}))

    def _keep(self, record: Record) -> None:
        self._record = record
        self._records.save(self.container, record)

    def _dotfiles(self, place: Place, user: User, now: Moments) -> None:
        wanted = self._settings.dotfiles
        if wanted is None or self._record.hooks.get("dotfiles") == now.created:
            return
        target = wanted.target.replace("~", user.home, 1) if wanted.target.startswith("~") else wanted.target
        argv = ("/bin/sh", "-c", _DOTFILES, "sh", _address(wanted.repository), target, wanted.install)
        try:
            run_step(place, Step("postCreateCommand", f"dotfiles {wanted.repository}", (Command("", argv),)))
        except HookFailed as problem:  # they are a matter of taste: the work goes on without them
            self._log.warn(f"dotfiles could not be put in, the next up tries again: {problem.remedy}")
            return
        self._keep(replace(self._record, hooks={**self._record.hooks, "dotfiles": now.created}))


# The usual names of a command in the root of dotfiles; if there is none, all files with a dot are linked into the home.
_DOTFILES = r"""
command -v git >/dev/null 2>&1 || { echo "git is not in the container, dotfiles need it" >&2; exit 1; }
[ -e "$2" ] || git clone --depth 1 -- "$1" "$2" || exit
cd -- "$2" || exit
if [ -n "$3" ]; then
    case $3 in /*) file=$3 ;; *) file=./$3 ;; esac
    if [ -f "$file" ]; then chmod +x "$file"; exec "$file"; fi
    exec /bin/sh -c "$3"
fi
for one in install.sh install bootstrap.sh bootstrap script/bootstrap setup.sh setup script/setup; do
    if [ -f "$one" ]; then chmod +x "$one"; exec "./$one"; fi
done
for one in .*; do
    case $one in .|..|.git) ;; *) ln -sfn "$PWD/$one" "$HOME/$one" ;; esac
done
"""


def _address(repository: str) -> str:
    """``owner/name`` is one on GitHub."""
    parts = repository.split("/")
    is_short = len(parts) == 2 and all(part and shlex.quote(part) == part for part in parts) and ":" not in repository
    return f"https://github.com/{repository}.git" if is_short and not repository.startswith((".", "/")) else repository
