"""Parts that a container and a compose project are made of."""

import pytest

from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.life.making import environ_but, environ_of_merged, user_mounts
from orchestrator.devcontainer.life.override import Project, as_named
from orchestrator.errors import UsageError

TABLES: Object = {
    "data": {"name": "devcontainer_data"}, "own": {"name": "mine"}, "other": {"name": "devcontainer_other", "external": True}, "none": None,
}  # fmt: skip


def test_volumes_and_networks_are_the_projects_own() -> None:
    """What compose named after the folder of the files is renamed; what a file names, or is another project's, is not."""
    project = Project({"name": "devcontainer", "volumes": TABLES, "networks": {"default": {"name": "devcontainer_default"}}}, "app")
    assert as_named(project, "x_devcontainer").document == {
        "name": "x_devcontainer",
        "volumes": {**TABLES, "data": {"name": "x_devcontainer_data"}},
        "networks": {"default": {"name": "x_devcontainer_default"}},
    }


def test_no_name_is_added_for_an_older_compose() -> None:
    document: Object = {"services": {}, "volumes": {"data": {}}}
    assert as_named(Project(document, "app"), "x").document == document


def test_run_args_win_over_container_env() -> None:
    assert environ_but({"A": "file", "B": "file", "C": "file"}, ("A=arg", "B")) == {"C": "file"}
    assert environ_of_merged({"containerEnv": {"N": None, "T": True, "I": 1, "S": "x"}}) == {"T": "true", "I": "1", "S": "x"}


def test_mounts_of_the_command_line() -> None:
    words = ("type=volume,source=v,target=/v,external=true", "type=tmpfs,dst=/t")
    assert user_mounts(words) == words
    for word in ("source=/x", "", "nonsense", "type=volume,source=v,target=/v,external=perhaps"):
        with pytest.raises(UsageError, match="is no mount"):
            user_mounts((word,))
