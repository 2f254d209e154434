"""Compose projects that are there: started as they were made."""

from orchestrator.devcontainer.engine import Docker, image_labels
from orchestrator.devcontainer.ids import PROJECT
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.life.record import Records

UP_S = 1800.0
FOLDER = "com.docker.compose.project.working_dir"


def start_project(name: str, container: Object, docker: Docker, records: Records) -> None:
    """All of a project that was stopped, as it was made.

    Raises:
        EnvironmentFailed: it could not be started.
    """
    place = records.project(name)
    labels = image_labels(container)
    if place.path.exists():
        words = (*records.compose(docker, name, place), "--project-directory", labels.get(FOLDER, "/"))
        docker.ask(*words, "up", "-d", "--no-recreate", *place.services(), deadline_s=UP_S)
        return
    others = [str(one["Id"]) for one in docker.containers({PROJECT: name}) if one["Id"] != container["Id"]]
    docker.ask(docker.command, "start", *others, str(container["Id"]), deadline_s=UP_S)
