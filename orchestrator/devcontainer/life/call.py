"""Commands for a container that is there, from their options to what is printed: ``exec``, ``run-user-commands``, ``set-up``, ``stop``."""

import os
from collections.abc import Mapping, Sequence

from orchestrator.devcontainer.composefiles import clients_environ
from orchestrator.devcontainer.engine import Docker, image_labels
from orchestrator.devcontainer.finding import Found, Wanted, look
from orchestrator.devcontainer.ids import GUARD, PROJECT
from orchestrator.devcontainer.jsonc import BadJson, Object, parse
from orchestrator.devcontainer.life.guarded import Guards
from orchestrator.devcontainer.life.hooks import How
from orchestrator.devcontainer.life.inside import exec_of, variables_file
from orchestrator.devcontainer.life.known import Rim, configurations, read, session_of
from orchestrator.devcontainer.life.probing import DEFAULT_PROBE
from orchestrator.devcontainer.life.record import Records
from orchestrator.devcontainer.life.running import COMMAND_S
from orchestrator.devcontainer.life.session import Dotfiles, Log, Session, Settings
from orchestrator.devcontainer.load import Asked, Configuration, docker_folder
from orchestrator.devcontainer.locate import read_file
from orchestrator.devcontainer.options import Parsed
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.errors import ConfigError, EnvironmentFailed, NotFound, UsageError
from orchestrator.model.paths import Paths

STOP_S = 120.0


class Call:
    """``granted``: words of the user's own configuration; ``here``: the folder of the caller."""

    def __init__(self, parsed: Parsed, environ: Mapping[str, str], paths: Paths, granted: Sequence[str], here: str, log: Log) -> None:
        self.parsed, self.environ, self.paths, self.here, self.log = parsed, environ, paths, here, log
        self.grants = Grants.of((*granted, *self.texts("grant")))
        self.wanted = self._wanted()
        command, compose = parsed.text("docker-path") or "docker", parsed.text("docker-compose-path") or "docker-compose"
        own = clients_environ(environ, {})  # a repository's compose file and build see no more of it
        folder = docker_folder(self.wanted.file, here)
        folder_of_ours = paths.state / "devcontainers"
        guards = Guards(folder_of_ours / "guards", environ)
        self.rim = Rim(environ, Docker(own, folder, log.note, command, compose), Records(folder_of_ours), guards, log)

    def run_user_commands(self) -> Object:
        """The hooks of a container that runs.

        Raises:
            NotFound: there is none.
            HookFailed: a command failed.
        """
        how = How(
            False, self.switch("skip-non-blocking-commands"), self.switch("skip-post-attach"), self.switch("prebuild"),
            self.switch("stop-for-personalization"),
        )  # fmt: skip
        return {"outcome": "success", "result": self.session(self.settings(how)).run_hooks()}

    def set_up(self) -> Object:
        """A container that somebody else made, prepared as its label, and a file, say.

        Raises:
            NotFound: there is none.
            HookFailed: a command failed.
        """
        if not self.text("container-id"):
            raise UsageError("Missing required argument: container-id")
        how = How(self.switch("skip-post-create"), self.switch("skip-non-blocking-commands"), False, self.switch("prebuild"))
        session = self.session(self.settings(how))
        session.run_hooks()
        session.ready()
        plain, merged = self.switch("include-configuration"), self.switch("include-merged-configuration")
        return {"outcome": "success", **configurations(session, plain, merged)}

    def exec(self, argv: Sequence[str]) -> None:
        """Become a command in the container. Returns only by an error.

        Raises:
            NotFound: there is no container.
            EnvironmentFailed: it does not run, or docker cannot be run.
        """
        session = self.session(self.settings(How()))
        ready = session.ready()
        flags = ("-i", "-t") if os.isatty(0) and os.isatty(1) else ("-i",)
        docker = self.rim.docker
        command = exec_of(
            docker, session.id, argv, user=ready.user.name, environ=ready.environ, unset=ready.unset, folder=ready.folder, flags=flags
        )
        descriptor = variables_file(command.variables)
        os.set_inheritable(descriptor, True)
        words = command.with_file(descriptor)
        try:
            os.execvpe(words[0], words, dict(self.environ))
        except OSError as problem:
            raise EnvironmentFailed(f"{words[0]} cannot be run: {problem.strerror}", remedy="name it with --docker-path") from None

    def stop(self) -> Object:
        """The container, or all of its compose project; nothing is removed.

        Raises:
            NotFound: there is none.
        """
        found = self.found()
        docker = self.rim.docker
        docker.ask(docker.command, "stop", *self.all_of(found), deadline_s=STOP_S)
        if key := image_labels(found.container or {}).get(GUARD):
            self.rim.guards.end(key)
        return {"outcome": "success", "containerId": id_of(found)}

    # --- of several commands ----------------------------------------------------------------------------------------------------

    def _wanted(self) -> Wanted:
        folder = self._absolute("workspace-folder")
        if folder is None and not self.text("container-id") and not self.texts("id-label"):
            folder = self.here
        file = Asked(
            folder,
            self._absolute("config"),
            self._absolute("override-config"),
            self.switch("mount-workspace-git-root", True),
            self.switch("mount-git-worktree-common-dir"),
        )
        return Wanted(file, self.text("container-id"), self.texts("id-label"))

    def found(self) -> Found:
        """
        Raises:
            NotFound: there is none.
        """
        return self._known()[1]

    def _known(self) -> tuple[Configuration, Found]:
        configuration, _ = read(self.wanted, self.grants, self.rim)
        found = look(self.wanted, configuration, self.rim.docker)
        if found.container is None:
            raise NotFound("Dev container not found.", remedy="aienv devcontainer up makes it")
        return configuration, found

    def session(self, settings: Settings) -> Session:
        """Of a container that runs.

        Raises:
            NotFound: there is none.
            EnvironmentFailed: it does not run.
        """
        configuration, found = self._known()
        assert found.container is not None
        state = found.container.get("State")
        if isinstance(state, dict) and state.get("Status") != "running":
            raise EnvironmentFailed(f"the container is {state.get('Status')}, it does not run", remedy="aienv devcontainer up starts it")
        return session_of(found, configuration, settings, self.rim)

    def all_of(self, found: Found) -> list[str]:
        """The container, and the others of its project; first."""
        assert found.container is not None
        project = image_labels(found.container).get(PROJECT)
        others = [str(one["Id"]) for one in self.rim.docker.containers({PROJECT: project})] if project else []
        return [id_of(found), *(one for one in others if one != id_of(found))]

    def settings(self, how: How) -> Settings:
        repository = self.text("dotfiles-repository")
        dotfiles = None
        if repository is not None:
            target = self.text("dotfiles-target-path") or "~/dotfiles"
            dotfiles = Dotfiles(repository, self.text("dotfiles-install-command") or "", target)
        for word in self.texts("remote-env"):
            if not word.partition("=")[0] or "=" not in word:
                raise UsageError(f"--remote-env {word!r} is not of the form name=value")
        return Settings(
            how, self.text("default-user-env-probe") or DEFAULT_PROBE, self.texts("remote-env"), self._secrets(), dotfiles,
            float(self.text("command-timeout") or COMMAND_S),
        )  # fmt: skip

    def _secrets(self) -> Mapping[str, str]:
        path = self._absolute("secrets-file")
        if path is None:
            return {}
        data = read_file(path)
        if data is None:
            raise ConfigError(f"there is no --secrets-file {path}")
        try:
            value = parse(data.decode("utf-8", "replace")).value
        except BadJson as problem:
            raise ConfigError(f"--secrets-file {path} is no JSON: {problem}") from None
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            raise ConfigError(f"--secrets-file {path} is no JSON object of texts", remedy='write {"NAME": "value"}')
        self.log.hide(str(text) for text in value.values())
        return {name: str(text) for name, text in value.items()}

    def text(self, name: str) -> str | None:
        """Of an option; of one that the command does not know, too."""
        return self.parsed.text(name) if name in self.parsed.given else None

    def texts(self, name: str) -> tuple[str, ...]:
        return self.parsed.texts(name) if name in self.parsed.given else ()

    def switch(self, name: str, default: bool = False) -> bool:
        return self.parsed.switch(name) if name in self.parsed.given else default

    def _absolute(self, name: str) -> str | None:
        path = self.text(name)
        return None if path is None else os.path.normpath(os.path.join(self.here, path))


def id_of(found: Found) -> str:
    assert found.container is not None
    return str(found.container["Id"])
