"""``up`` and ``down``, from their options to what is printed."""

from collections.abc import Mapping, Sequence

from orchestrator.devcontainer.engine import image_labels
from orchestrator.devcontainer.finding import look
from orchestrator.devcontainer.ids import OF_FOLDER, PROJECT, folder_label
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.life.call import STOP_S, Call
from orchestrator.devcontainer.life.hooks import How
from orchestrator.devcontainer.life.known import read
from orchestrator.devcontainer.life.session import Log
from orchestrator.devcontainer.life.up import Reached, Request, up
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.options import Parsed
from orchestrator.model.paths import Paths


class WholeCall(Call):
    """A call that may make a container, or remove one. ``reached``: how far it came."""

    def __init__(self, parsed: Parsed, environ: Mapping[str, str], paths: Paths, granted: Sequence[str], here: str, log: Log) -> None:
        super().__init__(parsed, environ, paths, granted, here, log)
        self.reached = Reached()

    def up(self) -> Object:
        """See ``life.up``."""
        self._log_grants()
        return up(
            Request(
                self.wanted,
                self.grants,
                self._make,
                self.settings(How(
                    self.switch("skip-post-create"), self.switch("skip-non-blocking-commands"), self.switch("skip-post-attach"),
                    self.switch("prebuild"),
                )),
                self.switch("remove-existing-container"),
                self.switch("expect-existing-container"),
                self.switch("include-configuration"),
                self.switch("include-merged-configuration"),
            ),
            self.rim,
            self.reached,
        )  # fmt: skip

    def down(self) -> Object:
        """The container, or all of its compose project, removed; networks too, and volumes that were made for it where that is asked.
        It is no error if there is none: then what was left of it is removed."""
        configuration, labels = read(self.wanted, self.grants, self.rim)
        with self.rim.records.alone(labels, self.log.info):
            return self._down(configuration, labels)

    def _down(self, configuration: Configuration, labels: Mapping[str, str]) -> Object:
        found = look(self.wanted, configuration, self.rim.docker)
        docker, removed = self.rim.docker, [*self.all_of(found)] if found.container is not None else []
        if removed:
            docker.ask(docker.command, "rm", "-f", "-v", *removed, deadline_s=STOP_S)
        for one in removed:
            self.rim.records.forget(one)
        self.rim.guards.sweep(docker)
        folder = folder_label(labels)
        volumes = {f"label={OF_FOLDER}={folder}"}
        if found.container is not None and (project := image_labels(found.container).get(PROJECT)):
            self._remove("network", f"label={PROJECT}={project}")
            self.rim.records.project(project).remove()
        if self.switch("volumes"):
            for one in volumes:
                self._remove("volume", one)
        return {"outcome": "success", "removed": list(removed)}

    def _make(self, configuration: Configuration, labels: Mapping[str, str]) -> str:
        from orchestrator.devcontainer.life.made import make  # a fifth of a second that a container which is there does not need

        return make(self, configuration, labels)

    def _remove(self, kind: str, wanted: str) -> None:
        docker = self.rim.docker
        if names := docker.ask(docker.command, kind, "ls", "-q", "--filter", wanted).split():
            docker.ask(docker.command, kind, "rm", *names, deadline_s=STOP_S)

    def _log_grants(self) -> None:
        if self.grants.words:
            self.log.note(f"granted: {', '.join(sorted(self.grants.words))}")
