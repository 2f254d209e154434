"""What the commands on the command line do, from their options to what is printed: ``up``, ``exec`` and the others."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, cast

from orchestrator.devcontainer.composefiles import clients_environ
from orchestrator.devcontainer.engine import Docker, image_labels
from orchestrator.devcontainer.features.resolve import FeatureSet
from orchestrator.devcontainer.finding import Found, Wanted, look
from orchestrator.devcontainer.images.image import How as ImagesHow
from orchestrator.devcontainer.jsonc import BadJson, Json, Object, parse
from orchestrator.devcontainer.life.composition import PROJECT
from orchestrator.devcontainer.life.hooks import How
from orchestrator.devcontainer.life.inside import exec_of, variables_file
from orchestrator.devcontainer.life.making import OF_FOLDER, Making, folder_label
from orchestrator.devcontainer.life.probing import DEFAULT_PROBE
from orchestrator.devcontainer.life.record import Records
from orchestrator.devcontainer.life.running import COMMAND_S
from orchestrator.devcontainer.life.session import Dotfiles, Log, Session, Settings
from orchestrator.devcontainer.life.up import Reached, Request, Rim, configurations, read, remove, session_of, up
from orchestrator.devcontainer.load import Asked, Configuration
from orchestrator.devcontainer.locate import read_file
from orchestrator.devcontainer.options import Parsed
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.readconfig import additional_features, docker_folder
from orchestrator.devcontainer.wanted import feature_cache, wanted_features
from orchestrator.errors import EnvironmentFailed, NotFound, UsageError
from orchestrator.model.paths import Paths

STOP_S = 120.0


class Commands:
    """``granted``: words of the user's own configuration; ``here``: the folder of the caller."""

    def __init__(self, parsed: Parsed, environ: Mapping[str, str], paths: Paths, granted: Sequence[str], here: str, log: Log) -> None:
        self._parsed, self._environ, self._paths, self._here, self._log = parsed, environ, paths, here, log
        self.reached = Reached()
        self._grants = Grants.of((*granted, *self._texts("grant")))
        self._wanted = self._wanted_container()
        command, compose = parsed.text("docker-path") or "docker", parsed.text("docker-compose-path") or "docker-compose"
        own = clients_environ(environ, {})  # a repository's compose file and build see no more of it
        folder = docker_folder(self._wanted.file, here)
        self._rim = Rim(
            environ, Docker(own, folder, log.note, command, compose), Records(paths.state / "devcontainers"), self._resolve, log
        )

    def up(self) -> Object:
        """See ``life.up``."""
        self._log_grants()
        return up(
            Request(
                self._wanted,
                self._making(),
                self._settings(How(
                    self._switch("skip-post-create"), self._switch("skip-non-blocking-commands"), self._switch("skip-post-attach"),
                    self._switch("prebuild"),
                )),
                self._switch("remove-existing-container"),
                self._switch("expect-existing-container"),
                self._switch("include-configuration"),
                self._switch("include-merged-configuration"),
            ),
            self._rim,
            self.reached,
        )  # fmt: skip

    def run_user_commands(self) -> Object:
        """The hooks of a container that runs.

        Raises:
            NotFound: there is none.
            HookFailed: a command failed.
        """
        how = How(
            False, self._switch("skip-non-blocking-commands"), self._switch("skip-post-attach"), self._switch("prebuild"),
            self._switch("stop-for-personalization"),
        )  # fmt: skip
        return {"outcome": "success", "result": self._session(self._settings(how)).run_hooks()}

    def set_up(self) -> Object:
        """A container that somebody else made, prepared as its label, and a file, say.

        Raises:
            NotFound: there is none.
            HookFailed: a command failed.
        """
        if not self._parsed.text("container-id"):
            raise UsageError("Missing required argument: container-id")
        how = How(self._switch("skip-post-create"), self._switch("skip-non-blocking-commands"), False, self._switch("prebuild"))
        session = self._session(self._settings(how))
        session.run_hooks()
        session.ready()
        plain, merged = self._switch("include-configuration"), self._switch("include-merged-configuration")
        return {"outcome": "success", **configurations(session, plain, merged)}

    def exec(self, argv: Sequence[str]) -> None:
        """Become a command in the container. Returns only by an error.

        Raises:
            NotFound: there is no container.
            EnvironmentFailed: it does not run, or docker cannot be run.
        """
        session = self._session(self._settings(How()))
        ready = session.ready()
        flags = ("-i", "-t") if os.isatty(0) and os.isatty(1) else ("-i",)
        docker = self._rim.docker
        command = exec_of(
            docker, session.id, argv, user=ready.user.name, environ=ready.environ, unset=ready.unset, folder=ready.folder, flags=flags
        )
        descriptor = variables_file(command.variables)
        os.set_inheritable(descriptor, True)
        words = command.with_file(descriptor)
        try:
            os.execvpe(words[0], words, dict(self._environ))
        except OSError as problem:
            raise EnvironmentFailed(f"{words[0]} cannot be run: {problem.strerror}", remedy="name it with --docker-path") from None

    def stop(self) -> Object:
        """The container, or all of its compose project; nothing is removed.

        Raises:
            NotFound: there is none.
        """
        found, _, _ = self._found()
        docker = self._rim.docker
        docker.ask(docker.command, "stop", *self._all_of(found), deadline_s=STOP_S)
        return {"outcome": "success", "containerId": _id(found)}

    def down(self) -> Object:
        """The container, or all of its compose project, removed; networks too, and volumes that were made for it where that is asked.
        It is no error if there is none: then what was left of it is removed."""
        configuration, labels = read(self._wanted, self._grants, self._rim)
        found = look(self._wanted, configuration, self._rim.docker)
        docker, removed = self._rim.docker, [*self._all_of(found)] if found.container is not None else []
        if removed:
            docker.ask(docker.command, "rm", "-f", "-v", *removed, deadline_s=STOP_S)
        for one in removed:
            self._rim.records.forget(one)
        folder = folder_label(replace(self._making(), labels=labels))
        volumes = {f"label={OF_FOLDER}={folder}"}
        if found.container is not None and (project := image_labels(found.container).get(PROJECT)):
            self._remove("network", f"label={PROJECT}={project}")
            volumes.add(f"label={PROJECT}={project}")
            self._rim.records.project(project).remove()
        if self._switch("volumes"):
            for one in volumes:
                self._remove("volume", one)
        return {"outcome": "success", "removed": list(removed)}

    # --- of several commands ----------------------------------------------------------------------------------------------------

    def _wanted_container(self) -> Wanted:
        folder = self._absolute("workspace-folder")
        if folder is None and not self._parsed.text("container-id") and not self._texts("id-label"):
            folder = self._here
        file = Asked(
            folder,
            self._absolute("config"),
            self._absolute("override-config"),
            self._switch("mount-workspace-git-root", True),
            self._switch("mount-git-worktree-common-dir"),
        )
        return Wanted(file, self._text("container-id"), self._texts("id-label"))

    def _found(self) -> tuple[Found, Configuration, Mapping[str, str]]:
        configuration, labels = read(self._wanted, self._grants, self._rim)
        found = look(self._wanted, configuration, self._rim.docker)
        if found.container is None:
            raise NotFound("Dev container not found.", remedy="aienv devcontainer up makes it")
        return found, configuration, labels

    def _session(self, settings: Settings) -> Session:
        found, configuration, _ = self._found()
        assert found.container is not None
        state = found.container.get("State")
        if isinstance(state, dict) and state.get("Status") != "running":
            raise EnvironmentFailed(f"the container is {state.get('Status')}, it does not run", remedy="aienv devcontainer up starts it")
        return session_of(found, configuration, settings, self._rim)

    def _all_of(self, found: Found) -> list[str]:
        """The container, and the others of its project; first."""
        assert found.container is not None
        project = image_labels(found.container).get(PROJECT)
        others = [str(one["Id"]) for one in self._rim.docker.containers({PROJECT: project})] if project else []
        return [_id(found), *(one for one in others if one != _id(found))]

    def _remove(self, kind: str, wanted: str) -> None:
        docker = self._rim.docker
        if names := docker.ask(docker.command, kind, "ls", "-q", "--filter", wanted).split():
            docker.ask(docker.command, kind, "rm", *names, deadline_s=STOP_S)

    def _making(self) -> Making:
        images = ImagesHow(
            cache=self._paths.cache / "devcontainer",
            grants=self._grants,
            fetch=feature_cache(self._environ, self._paths.cache / "features", self._log.warn),
            log=self._log.info,
            no_cache=self._switch("build-no-cache"),
            cache_from=self._texts("cache-from"),
            cache_to=self._text("cache-to"),
            buildkit=cast(Literal["auto", "never"], self._text("buildkit") or "auto"),
        )
        return Making(
            {},
            self._grants,
            images,
            self._texts("mount"),
            None,
            cast(Literal["never", "on", "off"], self._text("update-remote-user-uid-default") or "on"),
            cast(Literal["all", "detect", "none"], self._text("gpu-availability") or "detect"),
        )

    def _settings(self, how: How) -> Settings:
        repository = self._text("dotfiles-repository")
        dotfiles = None
        if repository is not None:
            target = self._text("dotfiles-target-path") or "~/dotfiles"
            dotfiles = Dotfiles(repository, self._text("dotfiles-install-command") or "", target)
        for word in self._texts("remote-env"):
            if not word.partition("=")[0] or "=" not in word:
                raise UsageError(f"--remote-env {word!r} is not of the form name=value")
        return Settings(
            how, self._text("default-user-env-probe") or DEFAULT_PROBE, self._texts("remote-env"), self._secrets(), dotfiles,
            float(self._text("command-timeout") or COMMAND_S),
        )  # fmt: skip

    def _secrets(self) -> Mapping[str, str]:
        path = self._absolute("secrets-file")
        if path is None:
            return {}
        try:
            value = parse((read_file(path) or b"").decode("utf-8", "replace")).value
        except BadJson as problem:
            raise UsageError(f"--secrets-file {path} is no JSON: {problem}") from None
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            raise UsageError(f"--secrets-file {path} is no JSON object of texts")
        return {name: str(text) for name, text in value.items()}

    def _resolve(self, configuration: Configuration) -> FeatureSet | None:
        additional: Mapping[str, Json] = additional_features(self._text("additional-features"))
        if not configuration.config.get("features") and not additional:
            return None
        return wanted_features(configuration, additional, self._environ, self._paths.cache / "features", self._log.warn)

    def _log_grants(self) -> None:
        if self._grants.words:
            self._log.note(f"granted: {', '.join(sorted(self._grants.words))}")

    def _text(self, name: str) -> str | None:
        return self._parsed.text(name) if name in self._parsed.given else None

    def _texts(self, name: str) -> tuple[str, ...]:
        return self._parsed.texts(name) if name in self._parsed.given else ()

    def _switch(self, name: str, default: bool = False) -> bool:
        return self._parsed.switch(name) if name in self._parsed.given else default

    def _absolute(self, name: str) -> str | None:
        path = self._text(name)
        return None if path is None else os.path.normpath(os.path.join(self._here, path))


def _id(found: Found) -> str:
    assert found.container is not None
    return str(found.container["Id"])
