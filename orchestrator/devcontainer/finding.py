"""Which container a configuration means: the one that was named, the one with the labels that were given, or the folder's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.devcontainer import ids
from orchestrator.devcontainer.engine import Docker, Unasked, container_environ, image_labels
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.load import Asked, Configuration
from orchestrator.devcontainer.variables import container_pass, environ_of, id_pass
from orchestrator.errors import UsageError

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """``container_id``, ``id_labels``: the container to look at, else the one of the folder and file."""

    file: Asked
    container_id: str | None = None
    id_labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """``container``: as the engine describes it, None if there is none; ``labels``: by which it is known."""

    container: Object | None
    labels: Mapping[str, str]

    def known(self, configuration: Configuration) -> Configuration:
        """``configuration`` with what only a container tells."""
        if self.container is None:
            return configuration
        variables = environ_of(container_environ(self.container))
        return configuration.then(id_pass(ids.devcontainer_id(self.labels))).then(container_pass(variables))


def find(wanted: Wanted, configuration: Configuration, docker: Docker, warn: Warn) -> Found:
    """The container, if there is one. Without an engine there is none, unless one was asked for.

    Raises:
        UsageError: nothing says which.
        AienvError: it was named, and there is none; or no engine answers.
    """
    named = wanted.container_id is not None or bool(wanted.id_labels)
    try:
        return look(wanted, configuration, docker)
    except Unasked as problem:
        if named:
            raise
        warn(f"no container was looked for: {problem.message}")
        return Found(None, {})


def look(wanted: Wanted, configuration: Configuration, docker: Docker) -> Found:
    """As ``find``, and an engine must answer."""
    if not wanted.id_labels:
        return _by_place(wanted, configuration, docker)
    labels = ids.labels_of(wanted.id_labels)
    if wanted.container_id is not None:
        return Found(docker.container(wanted.container_id), labels)
    return Found(_first(docker.containers(labels)), labels)


def _by_place(wanted: Wanted, configuration: Configuration, docker: Docker) -> Found:
    folder, place = wanted.file.folder, configuration.place
    labels = ids.default_labels(folder or "", place.path if place else None)
    container: Object | None
    if wanted.container_id is not None:
        container = docker.container(wanted.container_id)
    elif folder and place:
        container = _first(docker.containers(labels)) or _of_older_time(docker, folder)
    else:
        raise UsageError("Either containerId or workspaceFolder and configFile must be provided.", remedy="give --workspace-folder")
    if container is not None and not image_labels(container).get(ids.CONFIG_FILE):
        labels = ids.default_labels(folder or "", None)
    return Found(container, labels)


def _of_older_time(docker: Docker, folder: str) -> Object | None:
    """A container with the folder's label alone."""
    found = _first(docker.containers(ids.default_labels(folder, None)))
    return None if found is None or image_labels(found).get(ids.CONFIG_FILE) else found


def _first(found: Sequence[Object]) -> Object | None:
    return found[0] if found else None
