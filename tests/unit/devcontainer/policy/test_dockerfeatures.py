"""Features that bring Docker: no engine is started, nobody gets this machine's; the rest of them stays."""

import pytest

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.policy.container import Entry, judge
from orchestrator.devcontainer.policy.dockerfeatures import docker_feature, satisfied
from orchestrator.devcontainer.policy.grants import NONE
from orchestrator.devcontainer.policy.verdict import WorkspaceGround

INSIDE: Object = {
    "id": "ghcr.io/devcontainers/features/docker-in-docker:2",
    "privileged": True,
    "init": True,
    "entrypoint": "/usr/local/share/docker-init.sh",
    "containerEnv": {"DOCKER_BUILDKIT": "1"},
    "mounts": [{"source": "dind-var-lib-docker-x", "target": "/var/lib/docker", "type": "volume"}],
    "customizations": {"vscode": {}},
}
OUTSIDE: Object = {
    "id": "./docker-outside-of-docker",
    "entrypoint": "/usr/local/share/docker-init.sh",
    "securityOpt": ["label=disable"],
    "mounts": [{"source": "/var/run/docker.sock", "target": "/var/run/docker-host.sock", "type": "bind"}],
}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("ghcr.io/devcontainers/features/docker-in-docker:2", "docker-in-docker"),
        ("ghcr.io/devcontainers/features/docker-in-docker", "docker-in-docker"),
        ("ghcr.io/devcontainers/features/docker-in-docker@sha256:00", "docker-in-docker"),
        ("localhost:5000/x/Docker-In-Docker:2.1", "docker-in-docker"),
        ("./docker-in-docker", "docker-in-docker"),
        ("./docker-outside-of-docker/", "docker-outside-of-docker"),
        ("x/docker-from-docker:1", "docker-outside-of-docker"),
        ("ghcr.io/x/docker-in-docker/node:1", None),
        ("ghcr.io/x/my-docker-in-docker:1", None),
        (None, None),
        ("", None),
    ],
)
def test_names(written: Json, name: str | None) -> None:
    assert docker_feature(written) == name


def test_docker_in_docker() -> None:
    found = satisfied([Entry("a", INSIDE)])
    assert found.wants_docker
    assert found.sockets == ("/var/run/docker.sock",)
    kept = {key: INSIDE[key] for key in ("id", "init", "containerEnv", "customizations")}
    assert found.entries == (Entry("a", {**kept, "mounts": []}),)
    assert found.notes == ("a: Docker comes from the guard's socket; left out: privileged, entrypoint, mounts",)
    assert judge(found.entries, {}, WorkspaceGround(()), NONE).findings == ()


def test_docker_outside_of_docker() -> None:
    found = satisfied([Entry("a", OUTSIDE)])
    assert found.sockets == ("/var/run/docker.sock", "/var/run/docker-host.sock")
    assert judge(found.entries, {}, WorkspaceGround(()), NONE).findings == ()


def test_what_else_such_a_feature_asks_for_is_judged() -> None:
    more: Object = {**OUTSIDE, "capAdd": ["SYS_ADMIN"], "securityOpt": ["seccomp=unconfined"], "mounts": ["type=bind,src=/etc,dst=/x"]}
    found = satisfied([Entry("a", more)])
    grants = [one.grant for one in judge(found.entries, {}, WorkspaceGround(()), NONE).findings]
    assert grants == ["cap:SYS_ADMIN", "security-opt:seccomp=unconfined", "mount:/etc"]


def test_others_stay() -> None:
    """Also one that mounts the socket under another name: it is judged, not satisfied."""
    other: Object = {**OUTSIDE, "id": "ghcr.io/x/other:1"}
    found = satisfied([Entry("a", other), Entry("b", {"privileged": True})])
    assert (found.entries, found.sockets, found.notes) == ((Entry("a", other), Entry("b", {"privileged": True})), (), ())


@pytest.mark.parametrize("values", [{"mounts": 7}, {"mounts": ["x", None]}, {"securityOpt": "label=disable"}, {"mounts": None}, {}])
def test_odd_values(values: Object) -> None:
    """Are left for the judge."""
    assert satisfied([Entry("a", {"id": "docker-in-docker", **values})]).wants_docker
