"""Runs with a guarded Docker socket, on real engines: what the agent's containers can do, and that nothing of them is left."""

import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import engine as engines
from tests.e2e.product import Aienv, Done, branches, commit, git
from tests.engine import Engine
from tests.internet import SERVED, Internet

pytestmark = pytest.mark.docker

CLIENT = Path(__file__).with_name("dockerclient.py")
COMPOSE = "services:\n  web:\n    image: aienv-test/busybox\n  db:\n    image: registry.invalid/never-there:1\n"
INSIDE = "export PATH=$PATH:/opt/aienv/bin; "
LABEL = "dev.aienv.run"


def guarded(aienv: Aienv, engine: Engine, repo: Path) -> Iterator[Aienv]:
    """The product in a container; the repository has a compose file and a client. Nothing may be left afterwards."""
    name = engines.image(engine, "busybox")
    shutil.copy(CLIENT, repo / "client.py")
    commit(repo, {"compose.yaml": COMPOSE, ".env": "TOKEN=in-the-history\n"})
    yield replace(aienv, options=("--backend", "docker", "--image", name), environ={**aienv.environ, "DOCKER_HOST": engine.address})
    assert left_in(engine) == []


@pytest.fixture
def docker(aienv: Aienv, engine: Engine, repo: Path) -> Iterator[Aienv]:
    yield from guarded(aienv, engine, repo)


@pytest.fixture
def either(aienv: Aienv, any_engine: Engine, repo: Path) -> Iterator[Aienv]:
    """With each engine in turn: where they differ."""
    yield from guarded(aienv, any_engine, repo)


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


def create(name: str, command: str, host: Mapping[str, object] | None = None, **members: object) -> str:
    body = {"Image": "aienv-test/busybox", "Cmd": ["sh", "-c", command], "HostConfig": host or {}, **members}
    return f"POST /containers/create?name={name} {json.dumps(body)}"


def test_containers_of_a_run(either: Aienv, repo: Path) -> None:
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
    check = "unset http_proxy; for i in $(seq 50); do wget -q -O - http://127.0.0.1:8080/ && exit; sleep 0.1; done; exit 1"
    done = either.run("--json", "--timeout", "60s", "--with-changes", "--check", check, "--", "sh", "-c", f"({agent}) >&2")
    assert done.code == 0, done.errors
    report = done.document
    said = done.errors
    assert [secret for secret in ("in-the-history", "of-the-user") if secret in said] == [], "masked files are empty in containers, too"
    assert "hello" in said.splitlines(), "the published port is inside, on 127.0.0.1"
    assert (report["checks"][0]["exit_code"], report["checks"][0]["output_tail"].splitlines()[-1:]) == (0, ["hello"])
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


def test_full_only_by_the_flag(docker: Aienv, repo: Path) -> None:
    """Named in a task file it is refused; by the flag the agent speaks with the engine itself, and the user is warned."""
    (repo / "task.yaml").write_text("version: 1\ncommand: [true]\ndocker: full\n")
    assert docker.run("task.yaml").code == 4
    done = docker.run("--docker", "full", "--", "sh", "-c", calls("GET /containers/json?all=1"))
    ((status, containers),) = answers(done)
    assert status == 200
    assert any(LABEL in one["Labels"] for one in containers), "it sees its own container, as nobody guarded does"
    assert "root on this machine" in done.errors
    assert "full access" in done.errors


def test_containers_have_the_runs_own_way_out(docker: Aienv, engine: Engine) -> None:
    """In a container the same proxy and the same rules: what is not allowed is refused there, and told as the run's; in each phase."""
    name = engines.image(engine, "debian")
    ask = 'place=${http_proxy#http://}; exec 3<>"/dev/tcp/${place%:*}/${place#*:}"; '
    ask += 'printf "GET http://blocked.example.org/ HTTP/1.0\\r\\n\\r\\n" >&3; '
    body = {"Image": name, "Cmd": ["bash", "-c", ask + "cat <&3; (exec 4<>/dev/tcp/192.0.2.1/80) || echo no route; sleep 600"]}
    made = (f"POST /containers/create?name=out {json.dumps(body)}", "POST /containers/out/start")
    told = calls("GET /containers/out/logs?stdout=1&stderr=1")
    wait = f"for i in $(seq 100); do {told} | grep -q 'no route' && break; sleep 0.2; done; "
    done = docker.run("--json", "--allow-image", name, "--setup", calls(*made), "--", "sh", "-c", f"({wait}{told}) >&2")
    assert "403" in done.errors, done.errors
    denied = {denial["host"]: denial["count"] for denial in done.document["network"]["denied"]}
    assert denied == {"blocked.example.org": 1}
    again = calls("POST /containers/out/restart?t=0") + " >&2; sleep 2"
    done = docker.run("--json", "--allow-image", name, "--setup", f"{calls(*made)}; {wait}", "--", "sh", "-c", again)
    assert [denial["count"] for denial in done.document["network"]["denied"]] == [2], done.errors


def test_what_is_allowed_is_reached_from_containers_and_builds(docker: Aienv, engine: Engine, internet: Internet) -> None:
    """By the same rules: the host that is on the list, by name, and no other one; while it is built, and when it runs."""
    online = internet.around(docker)
    fetch = "wget -q -O - http://origin.example.org/echo; wget -q -O - http://other.example.org/echo 2>&1 | tail -1"
    dockerfile = f"FROM aienv-test/busybox\nRUN ({fetch}) > /built\nCMD cat /built; {fetch}\n"
    script = f"""
{INSIDE}
python3 - <<'END'
import io, sys, tarfile
data = {dockerfile!r}.encode()
with tarfile.open("/tmp/context.tar", "w") as archive:
    member = tarfile.TarInfo("Dockerfile")
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
END
python3 client.py 'POST /build?t=fetcher @/tmp/context.tar' >&2
{
        calls(
            'POST /containers/create?name=fetcher {"Image": "fetcher"}',
            "POST /containers/fetcher/start",
            "POST /containers/fetcher/wait",
            "GET /containers/fetcher/logs?stdout=1&stderr=1",
        )
    } >&2
"""
    mark = internet.mark()
    done = online.run("--json", "--allow-host", "origin.example.org:80", "--", "sh", "-c", script)
    assert done.errors.count('\\"origin\\": \\"origin.example.org\\"') == 2, done.errors
    assert {event["server"] for event in internet.events(mark, "http")} <= set(SERVED["origin.example.org"])
    assert {row["host"]: row["requests"] for row in done.document["network"]["allowed"]} == {"origin.example.org": 2}
    assert {row["host"]: row["count"] for row in done.document["network"]["denied"]} == {"other.example.org": 2}


def test_work_of_containers_is_harvested(either: Aienv, repo: Path) -> None:
    """What a container wrote as root for nobody else, and what it put into a file that was emptied for it, is brought back."""
    (repo / "loose.env").write_text("SECRET=of-the-user\n")
    write = "umask 077; mkdir /w/deep; echo mine > /w/deep/private; chmod 0 /w/deep/private; chmod 0 /w/deep; echo NEW=1 > /w/.env"
    made = (create("writer", write, {"Binds": ["/workspaces/app:/w"]}), "POST /containers/writer/start", "POST /containers/writer/wait")
    done = either.run("--json", "--", "sh", "-c", calls(*made) + " >&2")
    assert done.code == 0, done.errors
    branch = done.document["result"]["branch"]
    assert git("show", f"{branch}:deep/private", cwd=repo) == "mine\n"
    assert git("show", f"{branch}:.env", cwd=repo) == "NEW=1\n"
    assert done.document["teardown"]["left"] == []
    assert [path.name for path in either.home.glob("runs/*/workspace")] == []


def test_a_container_does_not_choose_where_mounts_go(docker: Aienv, repo: Path) -> None:
    """It is not held by the sandbox's mounts; a link that it puts in the place of one ends the run before a program is started there."""
    write = "rm -r /w/.git/hooks; ln -s /etc /w/.git/hooks; echo kept > /w/kept"
    made = (create("writer", write, {"Binds": ["/workspaces/app:/w"]}), "POST /containers/writer/start", "POST /containers/writer/wait")
    done = docker.run("--json", "--check", "touch ran; true", "--", "sh", "-c", calls(*made) + " >&2")
    assert done.code != 0
    assert "'.git/hooks'" in done.text + done.errors, (done.text, done.errors)
    assert done.document["teardown"]["left"] == []
    assert (repo / ".git" / "hooks").is_symlink() is False


@pytest.mark.bwrap
def test_on_this_machine(local: Aienv, engine: Engine, repo: Path) -> None:
    """Without a container around the agent the guard is there when it is asked for; its containers and their ports are inside, too."""
    engines.image(engine, "busybox")
    shutil.copy(CLIENT, repo / "client.py")
    commit(repo, {"compose.yaml": COMPOSE})
    product = replace(local, environ={**local.environ, "DOCKER_HOST": engine.address})
    host = {"Binds": ["/workspaces/app:/w"], "PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}
    command = "echo made > /w/made; mkdir /x; echo hello > /x/index.html; exec httpd -f -p 80 -h /x"
    web = create("web", command, host, ExposedPorts={"80/tcp": {}})
    fetch = (
        "import time, urllib.request as u; time.sleep(1); print(u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8080').read())"
    )
    agent = f"{calls(web, 'POST /containers/web/start')}; python3 -c {shlex.quote(fetch)}; cat made"
    done = product.run("--docker", "guarded", "--", "sh", "-c", agent)
    assert done.text.splitlines()[-2:] == ["b'hello\\n'", "made"], (done.text, done.errors)
    assert product.run("--", "sh", "-c", "ls /run/docker.sock").code == 1, "not by itself"
    assert left_in(engine) == []
