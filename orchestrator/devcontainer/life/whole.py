"""``up`` and ``down``, from their options to what is printed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, cast

from orchestrator.backends.processes import alive, identify, parse
from orchestrator.devcontainer.engine import image_labels
from orchestrator.devcontainer.features.cache import Cache
from orchestrator.devcontainer.features.resolve import FeatureSet
from orchestrator.devcontainer.finding import look
from orchestrator.devcontainer.ids import MAKER, PROJECT
from orchestrator.devcontainer.images.command import build, how_of, lock_of
from orchestrator.devcontainer.images.image import How as ImagesHow
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.life import prebuilt
from orchestrator.devcontainer.life.call import STOP_S, Call
from orchestrator.devcontainer.life.composition import base_of_service
from orchestrator.devcontainer.life.hooks import How
from orchestrator.devcontainer.life.known import read
from orchestrator.devcontainer.life.making import OF_FOLDER, Making, folder_label
from orchestrator.devcontainer.life.prebuilt import Prebuilds
from orchestrator.devcontainer.life.session import Log
from orchestrator.devcontainer.life.up import Reached, Request, up
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.options import Parsed
from orchestrator.devcontainer.readconfig import additional_features
from orchestrator.devcontainer.wanted import feature_cache, wanted_features
from orchestrator.errors import UsageError
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
                self._making(),
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
            self._resolve,
            self.reached,
        )  # fmt: skip

    def down(self) -> Object:
        """The container, or all of its compose project, removed; networks too, and volumes that were made for it where that is asked.
        It is no error if there is none: then what was left of it is removed."""
        configuration, labels = read(self.wanted, self.grants, self.rim)
        found = look(self.wanted, configuration, self.rim.docker)
        docker, removed = self.rim.docker, [*self.all_of(found)] if found.container is not None else []
        if removed:
            docker.ask(docker.command, "rm", "-f", "-v", *removed, deadline_s=STOP_S)
        for one in removed:
            self.rim.records.forget(one)
        self.rim.guards.sweep(docker)
        folder = folder_label(replace(self._making(), labels=labels))
        volumes = {f"label={OF_FOLDER}={folder}"}
        if found.container is not None and (project := image_labels(found.container).get(PROJECT)):
            self._remove("network", f"label={PROJECT}={project}")
            volumes.add(f"label={PROJECT}={project}")
            self.rim.records.project(project).remove()
        if self.switch("volumes"):
            for one in volumes:
                self._remove("volume", one)
        return {"outcome": "success", "removed": list(removed)}

    def build(self) -> Object:
        """The image, and its names.

        Raises:
            PolicyRefused: something was not granted.
            AienvError: it could not be built.
        """
        configuration, _ = read(self.wanted, self.grants, self.rim)
        how = how_of(self.parsed, self.paths.cache / "devcontainer", self.grants, self._fetch(), self.log.info)
        service = None
        if "dockerComposeFile" in configuration.config:
            making = replace(self._making(), images=how)

            def service() -> str:
                return base_of_service(configuration, self.rim.docker, self.environ, making, self.rim.records, self.log).image

        return build(configuration, self._resolve(configuration), self.rim.docker, how, self.parsed, service)

    def prebuild(self) -> Object:
        """An image with features and the first hooks behind it, which ``up`` takes from then on.

        Raises:
            UsageError: for compose there is none.
            PolicyRefused: something was not granted.
            AienvError: it could not be built, or a hook failed.
        """
        docker = self.rim.docker
        self._sweep_makers()
        me = identify(os.getpid())
        assert me is not None
        maker = me.as_text().strip().replace(" ", "-")
        file = replace(self.wanted, id_labels=(f"{MAKER}={maker}",))
        configuration, _ = read(file, self.grants, self.rim)
        if "dockerComposeFile" in configuration.config:
            raise UsageError("there are no prebuilds of compose projects", remedy="build the service's image with compose")
        request = Request(file, replace(self._making(), prebuilds=None), self.settings(How(prebuild=True)))
        try:
            up(request, self.rim, self._resolve, self.reached)
            assert self.reached.container is not None
            assert self.reached.merged is not None
            container = docker.inspect("container", self.reached.container)[0]
            config = container.get("Config")
            user = str(config.get("User") or "") if isinstance(config, dict) else ""
            name = prebuilt.name_of(str(container["Image"]), self.reached.merged, user)
            prebuilt.commit(docker, self.reached.container, name)
        finally:
            if self.reached.container is not None:
                docker.ask(docker.command, "rm", "-f", "-v", self.reached.container, deadline_s=STOP_S)
                self.rim.records.forget(self.reached.container)
        return {"outcome": "success", "imageName": [name]}

    def prebuilds(self) -> Prebuilds:
        """Those that there are."""
        return Prebuilds(self.rim.docker, self.paths.state / "devcontainers" / "prebuilds")

    def _sweep_makers(self) -> None:
        """Containers of prebuilds whose makers were killed."""
        docker = self.rim.docker
        for one in docker.containers_with(f"label={MAKER}"):
            maker = parse(image_labels(one).get(MAKER, "").replace("-", " "))
            if maker is not None and not alive(maker):
                docker.ask(docker.command, "rm", "-f", "-v", str(one["Id"]), deadline_s=STOP_S)

    def _fetch(self) -> Cache:
        return feature_cache(self.environ, self.paths.cache / "features", self.log.warn)

    def _making(self) -> Making:
        images = ImagesHow(
            cache=self.paths.cache / "devcontainer",
            grants=self.grants,
            fetch=self._fetch(),
            log=self.log.info,
            no_cache=self.switch("build-no-cache"),
            cache_from=self.texts("cache-from"),
            cache_to=self.text("cache-to"),
            buildkit=cast(Literal["auto", "never"], self.text("buildkit") or "auto"),
        )
        return Making(
            {},
            self.grants,
            images,
            self.texts("mount"),
            cast(Literal["never", "on", "off"], self.text("update-remote-user-uid-default") or "on"),
            cast(Literal["all", "detect", "none"], self.text("gpu-availability") or "detect"),
            self.rim.guards,
            self.prebuilds(),
        )

    def _resolve(self, configuration: Configuration) -> FeatureSet | None:
        additional: Mapping[str, Json] = additional_features(self.text("additional-features"))
        if not configuration.config.get("features") and not additional:
            return None
        return wanted_features(configuration, additional, self.environ, self.paths.cache / "features", self.log.warn, lock_of(self.parsed))

    def _remove(self, kind: str, wanted: str) -> None:
        docker = self.rim.docker
        if names := docker.ask(docker.command, kind, "ls", "-q", "--filter", wanted).split():
            docker.ask(docker.command, kind, "rm", *names, deadline_s=STOP_S)

    def _log_grants(self) -> None:
        if self.grants.words:
            self.log.note(f"granted: {', '.join(sorted(self.grants.words))}")
