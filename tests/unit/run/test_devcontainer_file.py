"""A devcontainer.json of a commit: which files of the commit are needed, and that its paths lead nowhere else."""

from pathlib import Path

import pytest

from orchestrator.config.schema import KEYS
from orchestrator.devcontainer.jsonc import Object
from orchestrator.errors import PolicyRefused
from orchestrator.model.task import SandboxRules
from orchestrator.repos.mirror import Mirror
from orchestrator.run import devcontainer
from orchestrator.run.devcontainer import Devfile, Source

SOURCE = Source(Mirror(Path("/nowhere"), "key"), "0" * 40, "/home/me/app", "/workspaces/app", SandboxRules((), (), ()))
USUAL = ".devcontainer/devcontainer.json"
LOCK = ".devcontainer/devcontainer-lock.json"


@pytest.mark.parametrize(
    ("path", "raw", "wanted"),
    [
        (USUAL, {"image": "x"}, {USUAL, LOCK, ".devcontainer"}),
        (".devcontainer.json", {"image": "x"}, {".devcontainer.json", ".devcontainer-lock.json", ".devcontainer"}),
        (USUAL, {"build": {"dockerfile": "Dockerfile"}}, {USUAL, LOCK, ".devcontainer", ".devcontainer/Dockerfile"}),
        (USUAL, {"dockerFile": "../Dockerfile"}, {USUAL, LOCK, ".devcontainer", "Dockerfile", ""}),
        (USUAL, {"build": {"dockerfile": "D", "context": ".."}}, {USUAL, LOCK, ".devcontainer", ".devcontainer/D", ""}),
        (USUAL, {"build": {"dockerfile": "../a/b", "context": "../c"}}, {USUAL, LOCK, ".devcontainer", "a/b", "c"}),
        (USUAL, {"build": {"dockerfile": "${localWorkspaceFolder}/D", "context": "."}}, {USUAL, LOCK, ".devcontainer", "D"}),
        (USUAL, {"build": {"dockerfile": "${containerWorkspaceFolder}/D", "context": "."}}, {USUAL, LOCK, ".devcontainer", "D"}),
    ],
)
def test_what_a_build_reads(path: str, raw: Object, wanted: set[str]) -> None:
    """The configuration's folder, the lock file, the Dockerfile, the context."""
    assert set(devcontainer._places(Devfile(path, raw, ()), SOURCE)) == wanted


@pytest.mark.parametrize(
    "build",
    [
        {"dockerfile": "../../outside"},
        {"dockerfile": "/etc/passwd"},
        {"dockerfile": "${localEnv:HOME}/Dockerfile"},
        {"dockerfile": "${localWorkspaceFolder}/../x"},
        {"dockerfile": "Dockerfile", "context": "../.."},
        {"dockerfile": "Dockerfile", "context": "/"},
        {"dockerfile": "Dockerfile", "context": "/workspaces/app2"},
    ],
    ids=str,
)
def test_what_is_not_in_the_repository(build: Object) -> None:
    """No path leads to this machine's files, whatever its variables say."""
    with pytest.raises(PolicyRefused, match="is not in the repository"):
        devcontainer._places(Devfile(USUAL, {"build": build}, ()), SOURCE)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ({"image": "x"}, "image"),
        ({"image": "x", "build": {"dockerfile": "D"}}, "dockerfile"),
        ({"dockerFile": "D"}, "dockerfile"),
        ({"build": {}}, "image"),
        ({"dockerComposeFile": "c", "image": "x", "build": {"dockerfile": "D"}}, "compose"),
    ],
)
def test_kinds(raw: Object, kind: str) -> None:
    """Compose before a Dockerfile, a Dockerfile before an image."""
    assert Devfile(USUAL, raw, ()).kind == kind


def test_grants_are_a_list_that_only_users_extend() -> None:
    """The key of the configuration, and its flag."""
    key = KEYS["devcontainer.grants"]
    assert (key.flag, key.default, key.repository.refused(("privileged",), ())) == ("--grant", (), ("privileged",))
