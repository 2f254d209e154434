"""Runs with a guarded Docker socket, on real engines: what the agent's containers can do, and that nothing of them is left."""

import json
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import engine as engines
from tests.e2e.product import Aienv, Done, branches, commit, git
from tests.engine import Engine

pytestmark = pytest.mark.docker

CLIENT = Path(__file__).with_name("dockerclient.py")
COMPOSE = "services:\n  web:\n    image: aienv-test/busybox\n  db:\n    image: registry.invalid/never-there:1\n"
INSIDE = "export PATH=$PATH:/opt/aienv/bin; "
LABEL = "dev.aienv.run"


@pytest.fixture
def docker(aienv: Aienv, any_engine: Engine, repo: Path) -> Iterator[Aienv]:
    """The product in a container of each engine; the repository has a compose file and a client. Nothing may be left afterwards."""
    name = engines.image(any_engine, "busybox")
    shutil.copy(CLIENT, repo / "client.py")
    commit(repo, {"compose.yaml": COMPOSE, ".env": "TOKEN=in-the-history\n"})
    product = replace(aienv, options=("--backend", "docker", "--image", name), environ={**aienv.environ, "DOCKER_HOST": any_engine.address})
    yield product
    assert left_in(any_engine) == []


def left_in(engine: Engine) -> list[str]:
    """Everything that bears a run's label."""
    client = engine.client()
    try:
        asked = {"label": LABEL}
        return [
            *(one["Names"][0] for one in client.containers(all=True, filters=asked)),
            *(one["Name"] for one in client.networks(filters=asked)),
            *(one["Name"] for one in client.volumes(filters=asked)["Volumes"] or ()),
            *(one["Id"] for one in client.images(filters=asked)),
        ]
    finally:
        client.close()


def calls(*lines: str) -> str:
    """A shell command that makes these calls inside."""
    return INSIDE + "python3 client.py " + " ".join(map(shlex.quote, lines))


def answers(done: Done) -> list[Any]:
    """[status, body] of each call."""
    assert done.stdout, done.errors
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"[")]


def create(name: str, command: str, host: dict[str, object] | None = None, **members: object) -> str:
    body = {"Image": "aienv-test/busybox", "Cmd": ["sh", "-c", command], "HostConfig": host or {}, **members}
    return f"POST /containers/create?name={name} {json.dumps(body)}"


def test_containers_of_a_run(docker: Aienv, repo: Path) -> None:
    """A container mounts the workspace, publishes a port inside, writes what is harvested, and is there for the checks; then it is gone."""
    (repo / "loose.env").write_text("SECRET=of-the-user\n")
    web = "cat /w/.env /w/loose.env; echo made > /w/made; mkdir /x; echo hello > /x/index.html; exec httpd -f -p 80 -h /x"
    host = {
        "Binds": ["/workspaces/app:/w"],
        "RestartPolicy": {"Name": "always"},
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]},
    }
    agent = calls(create("web", web, host, ExposedPorts={"80/tcp": {}}), "POST /containers/web/start")
    agent += "; until [ -s made ]; do sleep 0.1; done; " + calls("GET /containers/web/logs?stdout=1&stderr=1", "GET /containers/json")
    agent += "; unset http_proxy; for i in $(seq 50); do wget -q -O - http://127.0.0.1:8080/ && break; sleep 0.1; done"
    check = calls("GET /containers/web/json") + " | grep -q '\"Running\": true'"
    done = docker.run("--json", "--timeout", "60s", "--with-changes", "--check", check, "--", "sh", "-c", f"({agent}) >&2")
    assert done.code == 0, done.errors
    report = done.document
    said = done.errors
    assert [secret for secret in ("in-the-history", "of-the-user") if secret in said] == [], "masked files are empty in containers, too"
    assert "hello" in said.splitlines(), "the published port is inside, on 127.0.0.1"
    assert report["checks"][0]["exit_code"] == 0
    changed = {file["path"] for file in report["result"]["changed_files"]}
    assert changed == {"made"}, "what a container wrote is work; emptied secrets are no change"
    assert git("show", f"{report['result']['branch']}:.env", cwd=repo) == "TOKEN=in-the-history\n"
    assert report["docker"]["mode"] == "guarded"
    assert {"request": "POST /containers/create", "count": 1} in report["docker"]["allowed"]
    assert "container web" in report["teardown"]["removed"]
    assert report["teardown"]["left"] == []


def test_what_is_refused_is_told(docker: Aienv) -> None:
    """An image that nobody named, and what is no container of the run: refused to the agent, told to the user, and explained."""
    lines = ('POST /containers/create {"Image": "debian:12"}', create("bad", "true", {"Binds": ["/etc:/x"]}), "GET /containers/none/json")
    done = docker.run("--", "sh", "-c", calls(*lines))
    assert [status for status, _ in answers(done)] == [403, 403, 404]
    assert "2 calls refused" in done.errors
    assert "--allow-image debian:12" in done.errors
    explained = docker("guard", "explain").text
    assert "[image.not-allowed]" in explained
    assert "/etc" in explained
    assert docker("guard", "explain", "last", "--policy").text == 'guard:\n  images:\n    - "debian:12"\n'
    (report,) = [json.loads(path.read_text()) for path in docker.home.glob("runs/*/report.json")]
    assert sorted(denial["count"] for denial in report["docker"]["denied"]) == [1, 1]


def test_the_mode_comes_from_the_base_commit(docker: Aienv, repo: Path) -> None:
    """A compose file that the agent writes allows nothing; without one at launch there are no containers at all."""
    git("rm", "-q", "compose.yaml", cwd=repo)
    commit(repo, {"note": "no compose file any more"})
    done = docker.run("--", "sh", "-c", f"printf {shlex.quote(COMPOSE)} > compose.yaml; " + calls("GET /_ping", create("web", "true")))
    assert [status for status, _ in answers(done)] == [200, 403]
    assert "mode.readonly" in done.text


def test_without_docker(docker: Aienv) -> None:
    """``--docker none``: no socket, no variable."""
    done = docker.run("--docker", "none", "--", "sh", "-c", "ls /run/docker.sock; env | grep -E 'DOCKER|COMPOSE'; true")
    assert (done.code, done.stdout) == (0, b""), done.text


def test_without_a_network(docker: Aienv) -> None:
    """The socket is there without a way out, too."""
    done = docker.run("--network", "none", "--", "sh", "-c", calls("GET /_ping", "GET /containers/json?all=1"))
    assert answers(done) == [[200, "OK"], [200, []]]


def test_a_kept_plan_says_what_passes(docker: Aienv) -> None:
    """``aienv plan`` shows the images, each with its id and who named it."""
    text = docker("plan", *docker.options, "--allow-image", "aienv-test/debian:latest", "--", "true").text
    assert "docker:      guarded" in text
    assert "docker.io/aienv-test/busybox:latest = " in text
    assert "(compose compose.yaml)" in text
    assert "registry.invalid/never-there:1 = to be pulled  (compose compose.yaml)" in text
    assert "(guard.images)" in text


def test_two_runs_do_not_see_each_other(docker: Aienv, repo: Path) -> None:
    """Setup makes a container, the agent uses it by name; another run's agent of the same repository finds nothing of it."""
    first = docker.run("--setup", calls(create("shared", "sleep 100"), "POST /containers/shared/start") + "; true", "--", "sh", "-c",
                       calls("GET /containers/shared/json"))  # fmt: skip
    assert [status for status, _ in answers(first)] == [200], first.errors
    second = docker.run("--", "sh", "-c", calls("GET /containers/shared/json", "GET /containers/json?all=1"))
    assert [status for status, _ in answers(second)] == [404, 200]
    assert answers(second)[1][1] == []
    assert len(branches(repo)) == 0


def test_full_only_by_the_flag(docker: Aienv, any_engine: Engine, repo: Path) -> None:
    """Named in a task file it is refused; by the flag the agent speaks with the engine itself, and the user is warned."""
    (repo / "task.yaml").write_text("version: 1\ncommand: [true]\ndocker: full\n")
    assert docker.run("task.yaml").code == 4
    done = docker.run("--docker", "full", "--", "sh", "-c", calls("GET /containers/json?all=1"))
    ((status, containers),) = answers(done)
    assert status == 200
    assert any(LABEL in one["Labels"] for one in containers), "it sees its own container, as nobody guarded does"
    assert "root on this machine" in done.errors
    assert "full access" in done.errors
