"""`aienv run` in the environment that the repository's devcontainer.json describes: what it takes, and what it refuses."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import engine as engines
from tests.e2e.product import Aienv, Done, commit, git
from tests.engine import Engine

pytestmark = pytest.mark.docker

FILE = ".devcontainer/devcontainer.json"
IMAGE = "aienv-test/dev:1"
SECRET = "value-of-the-host"  # of LEAK_PROBE, see conftest


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    """Busybox with a user `dev` and something in its home, imported: with a label, as images for dev containers have it."""
    base = engines.image(engine, "busybox")
    client = engine.client()
    lines = [
        f"FROM {base}",
        "RUN mkdir -p /home/dev/.config /etc && printf 'root:x:0:0::/root:/bin/sh\\ndev:x:1234:1234::/home/dev:/bin/sh\\n' > /etc/passwd"
        " && echo kept > /home/dev/.config/mine && chmod -R a+rX /home/dev",
        "ENV FROM_IMAGE=image PATH=/bin:/image",
        'LABEL devcontainer.metadata=\'[{"remoteUser": "dev", "onCreateCommand": "echo label >> order"}]\'',
    ]
    text = "\n".join(lines)
    said = [*client.build(fileobj=io.BytesIO(text.encode()), tag=IMAGE, rm=True, decode=True, network_mode="none")]
    assert not [line for line in said if "error" in line], said
    client.close()
    return IMAGE


@pytest.fixture
def docker(aienv: Aienv, engine: Engine, image: str) -> Iterator[Aienv]:
    """The product before the engine; nothing of its runs may be left there."""
    yield replace(aienv, options=("--backend", "docker"), environ={**aienv.environ, "DOCKER_HOST": engine.address})
    client = engine.client()
    left = client.containers(all=True, filters={"label": "dev.aienv.run"})
    client.close()
    assert left == []
    assert list((aienv.home / "tmp").glob("*")) == []


def configured(product: Aienv, config: Mapping[str, Any], files: Mapping[str, str] | None = None, path: str = FILE) -> None:
    commit(product.cwd, {path: json.dumps(config), **(files or {})})


def dev(product: Aienv, *words: str, script: str = "true") -> Done:
    return product.run("--devcontainer", "auto", "--json", *words, "--", "sh", "-c", script)


def shown(done: Done, name: str, cwd: Path) -> str:
    """A file of the result."""
    assert done.code == 0, done.errors
    return git("show", f"{done.document['result']['branch']}:{name}", cwd=cwd)


def test_an_image_with_environment_hooks_and_user(docker: Aienv) -> None:
    """The agent is the remote user by name and home, has the variables, and finds what the hooks did in workspace and home."""
    configured(docker, {
        "image": IMAGE,
        "containerEnv": {"BOTH": "container", "FOLDER": "${containerWorkspaceFolder}"},
        "remoteEnv": {"BOTH": "remote", "PATH": "${containerEnv:PATH}:/extra", "FROM_IMAGE": None, "HTTP_PROXY": "http://evil.example"},
        "onCreateCommand": ["sh", "-c", "echo array >> order"],
        "updateContentCommand": "echo update >> order; echo $HOME > where",
        "postCreateCommand": {"one": "echo one > one", "two": ["sh", "-c", "echo two > two"]},
        "postStartCommand": "echo start >> order; echo from a hook > ~/hooked",
        "postAttachCommand": "echo attach >> order",
        "initializeCommand": "touch initialized",
        "appPort": 3000,
        "forwardPorts": [3000],
    })  # fmt: skip
    done = dev(docker, script="env > seen; cat ~/hooked ~/.config/mine > homes; id -un > me; id -u >> me")
    assert shown(done, "order", docker.cwd).split() == ["label", "array", "update", "start"]
    seen = dict(line.split("=", 1) for line in shown(done, "seen", docker.cwd).splitlines() if "=" in line)
    assert seen["BOTH"] == "remote"
    assert seen["FOLDER"] == "/workspaces/app"
    assert seen["PATH"] == "/bin:/image:/extra"
    assert (seen["HOME"], seen["USER"]) == ("/home/dev", "dev")
    assert "FROM_IMAGE" not in seen
    assert seen["HTTP_PROXY"] == "http://127.0.0.1:3128"
    assert shown(done, "homes", docker.cwd) == "from a hook\nkept\n"
    assert shown(done, "me", docker.cwd).split()[0] == "dev"
    assert shown(done, "me", docker.cwd).split()[1] != "0"
    assert (shown(done, "one", docker.cwd), shown(done, "two", docker.cwd)) == ("one\n", "two\n")
    notes = " ".join(done.document["notes"])
    assert "initializeCommand" in notes
    assert "postAttachCommand" in notes
    assert not (docker.cwd / "initialized").exists()
    assert done.document["teardown"]["left"] == []
