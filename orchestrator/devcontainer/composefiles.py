"""Which compose files a configuration means, where it leaves that to compose's own rules."""

import os
from collections.abc import Mapping

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.locate import read_file


def compose_files(written: Json, folder: str, workspace: str, environ: Mapping[str, str]) -> tuple[list[str], str | None]:
    """The files, and a file of variables to name. An empty list leaves the choice to compose's own rules, in the workspace."""
    listed = [one for one in (written if isinstance(written, list) else [written]) if isinstance(one, str)]
    if listed:
        return [os.path.normpath(os.path.join(folder, one)) for one in listed], None
    env_path = os.path.join(workspace, ".env")
    env_file = env_path if os.path.isfile(env_path) else None
    chosen = environ.get("COMPOSE_FILE") or environ_in(env_path).get("COMPOSE_FILE", "")
    if chosen:
        return [os.path.normpath(os.path.join(workspace, one)) for one in chosen.split(":")], env_file
    usual = [os.path.join(workspace, "docker-compose.yml"), os.path.join(workspace, "docker-compose.override.yml")]
    return [usual[0], *(path for path in usual[1:] if os.path.isfile(path))], env_file


def environ_in(path: str) -> dict[str, str]:
    """The plain ``NAME=value`` lines of a file of variables; none if there is no such file."""
    lines = (read_file(path) or b"").decode("utf-8", "replace").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in reversed([*pairs])}


# What the docker and compose commands need. All else a compose file could read by ``${NAME}``, and it is a stranger's.
_OF_CLIENTS = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION", "DOCKER_BUILDKIT", "COMPOSE_DOCKER_CLI_BUILD", "COMPOSE_HTTP_TIMEOUT",
    "BUILDX_CONFIG", "BUILDX_BUILDER", "SSH_AUTH_SOCK",
)  # fmt: skip


# A compose file can include one of elsewhere, for which compose starts git; what is set here wins over what a file of variables says.
_NOTHING_FROM_AFAR = {"COMPOSE_EXPERIMENTAL_GIT_REMOTE": "0", "COMPOSE_EXPERIMENTAL_OCI_REMOTE": "0", "COMPOSE_DISABLE_ENV_FILE": "1"}


def clients_environ(environ: Mapping[str, str], visible: Mapping[str, str]) -> dict[str, str]:
    """``visible``: what was granted besides."""
    return {**visible, **{name: environ[name] for name in _OF_CLIENTS if name in environ}, **_NOTHING_FROM_AFAR}
