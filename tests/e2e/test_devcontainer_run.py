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


FEATURE = {
    ".devcontainer/tool/devcontainer-feature.json": json.dumps({
        "id": "tool", "version": "1.0.0", "name": "Tool", "options": {"word": {"type": "string", "default": "none"}},
        "containerEnv": {"TOOL": "/opt/tool"}, "onCreateCommand": "echo feature >> order",
    }),
    ".devcontainer/tool/install.sh": 'mkdir -p /opt/tool; cd /opt/tool; echo "$WORD for $_REMOTE_USER" > word; ls /sys/class/net > nets\n',
}  # fmt: skip


def test_a_dockerfile_with_a_local_feature(docker: Aienv) -> None:
    """Both are built from the commit, without a network; a second plan is the same bytes, from the cache."""
    run = "RUN echo $WHAT > /what; ls /sys/class/net > /nets; sed -n 's/.* .dev.shm .*size=\\([0-9]*\\)k.*/\\1/p' /proc/mounts > /shm"
    lines = [f"FROM {IMAGE}", "ARG WHAT=x", "COPY . /data", run, "ENV BUILT=yes"]
    dockerfile = "".join(f"{line}\n" for line in lines)
    configured(
        docker,
        {
            "build": {
                "dockerfile": "Dockerfile",
                "context": "..",
                "args": {"WHAT": "${localWorkspaceFolderBasename}"},
                "options": ["--shm-size=512m"],
            },
            "features": {"./tool": {"word": "hi'\"$(id)"}},
            "onCreateCommand": "echo file >> order",
        },
        {".devcontainer/Dockerfile": dockerfile, ".devcontainer/data": "data\n", ".env": "KEY=masked\n", **FEATURE},
    )
    files = "/what /data/.devcontainer/data /nets /shm /opt/tool/*"
    done = dev(docker, script=f"cat {files} > got; echo $BUILT $TOOL >> got; ls -a /data > listed")
    assert shown(done, "order", docker.cwd).split() == ["label", "feature", "file"]
    assert shown(done, "got", docker.cwd).split() == ["app", "data", "lo", "65536", "lo", "hi'\"$(id)", "for", "dev", "yes", "/opt/tool"]
    assert ".env" not in shown(done, "listed", docker.cwd).split()
    assert "'.env'" in done.errors
    (docker.cwd / ".devcontainer/Dockerfile").write_text("FROM nothing\n")  # not committed: it does not count
    (docker.cwd / ".devcontainer/data").write_text("changed\n")
    (docker.cwd / ".devcontainer/tool/install.sh").write_text("exit 1\n")
    plans = [docker("plan", *docker.options, "--devcontainer", "auto", "--json", "--", "true").document for _ in range(2)]
    assert plans[0] == plans[1]
    plan = plans[0]["plan"]
    assert plan["devcontainer"]["features"][0]["digest"].startswith("git:")
    assert [hook["origin"] for hook in plan["devcontainer"]["hooks"]] == [f"image label of {IMAGE}", "feature ./tool", "devcontainer.json"]
    assert plan["devcontainer"]["network"] == "none"
    listed = docker("images", "ls", "--json").document
    assert any(one["kind"] == "devcontainer" for one in listed)


@pytest.mark.slow
def test_a_result_is_verified_in_the_dev_container_of_the_plan(docker: Aienv) -> None:
    """The same user, variables and hooks, run anew; what the result says in its devcontainer.json is not asked."""
    configured(docker, {"image": IMAGE, "remoteEnv": {"BOTH": "remote"}, "postCreateCommand": "echo hook > ~/hooked; echo hook > hooked"})
    passes = "test $(id -un) = dev && test $BOTH = remote && cat made ~/hooked ~/.config/mine && ! test -e ~/agent"
    work = f"echo x > made; rm hooked; echo hooked > .gitignore; touch ~/agent; echo '{{\"image\": \"no-such-image\"}}' > {FILE}"
    done = dev(docker, "--verify", passes, script=work)
    assert done.code == 0, (done.errors, done.document)
    assert done.document["verify"][0]["output_tail"] == "x\nhook\nkept\n"


def plan(product: Aienv, *words: str) -> Done:
    return product("plan", *product.options, "--devcontainer", "auto", *words, "--", "true")


def test_what_a_run_never_gives(docker: Aienv) -> None:
    """Privilege, mounts, devices, capabilities, namespaces: refused with who asks; a grant helps only where a run can go on without."""
    asks = {
        "privileged": True,
        "mounts": ["source=/,target=/host,type=bind"],
        "runArgs": ["--device=/dev/kvm", "--network", "host", "--pid=host"],
        "capAdd": ["SYS_PTRACE"],
        "securityOpt": ["seccomp=unconfined"],
    }
    configured(docker, {"image": IMAGE, **asks})
    done = plan(docker)
    assert done.code == 4
    assert done.errors.count("granted or not") == 5
    assert "--grant cap:SYS_PTRACE --grant security-opt:seccomp=unconfined" in done.errors
    done = plan(docker, "--grant", "everything")
    assert (done.code, done.errors.count("granted or not")) == (4, 5), done.errors
    configured(docker, {"image": IMAGE, "capAdd": ["SYS_PTRACE"], "securityOpt": ["seccomp=unconfined"]})
    done = dev(docker, "--grant", "cap:SYS_PTRACE", "--grant", "security-opt:seccomp=unconfined", script="cat /proc/self/status > status")
    assert "CapEff:\t0000000000000000" in shown(done, "status", docker.cwd)
    assert "Seccomp:\t2" in shown(done, "status", docker.cwd)
    assert any("goes on without" in note for note in done.document["notes"])


def test_a_variable_of_this_machine_needs_a_grant(docker: Aienv) -> None:
    """Neither the environment, nor a build, nor a hook sees it otherwise; with the grant it is there."""
    configured(docker, {"image": IMAGE, "containerEnv": {"TAKEN": "[${localEnv:LEAK_PROBE}]"}, "onCreateCommand": "echo $TAKEN > hook"})
    done = dev(docker, script="echo $TAKEN > agent")
    assert shown(done, "hook", docker.cwd) + shown(done, "agent", docker.cwd) == "[]\n[]\n"
    assert "--grant localEnv:LEAK_PROBE" in " ".join(done.document["notes"])
    assert SECRET not in Path(done.document["folder"], "plan.json").read_text()
    granted = plan(docker, "--grant", "localEnv:LEAK_PROBE", "--json").document
    assert granted["plan"]["devcontainer"]["env"] == [["TAKEN", f"[{SECRET}]"]]
    assert granted["plan"]["devcontainer"]["granted"] == ["localEnv:LEAK_PROBE"]


BUILDS = [
    pytest.param({"dockerfile": "../../outside"}, None, 4, "is not in the repository", id="outside"),
    pytest.param({"dockerfile": "Dockerfile"}, f"FROM {IMAGE}\nADD http://10.0.0.1/x /x\n", 4, "the engine would fetch it", id="add"),
    pytest.param({"dockerfile": "Dockerfile"}, f"FROM {IMAGE}\nRUN --mount=type=cache,target=/x true\n", 4, "BuildKit", id="buildkit"),
    pytest.param({"dockerfile": "Dockerfile"}, f"FROM {IMAGE}\nRUN exit 7\n", 3, "--grant network:build", id="fails"),
    pytest.param({"dockerfile": "link"}, "FROM scratch\n", 6, "no Dockerfile", id="link"),
]


def test_builds_that_are_refused(docker: Aienv) -> None:
    """What leads out of the commit, what the engine would fetch, what only BuildKit does; and a RUN that fails says what it lacked."""
    link = docker.cwd / ".devcontainer/link"
    link.parent.mkdir()
    link.symlink_to("/etc/hostname")
    for param in BUILDS:
        build, dockerfile, code, said = param.values
        configured(docker, {"build": build}, {".devcontainer/Dockerfile": str(dockerfile)} if dockerfile else {})
        done = plan(docker)
        assert (done.code, str(said) in done.errors) == (code, True), (param.id, done.errors)
    configured(docker, {"image": IMAGE, "features": {"./tool": {}}}, {**FEATURE, ".devcontainer/tool/install.sh": "exit 9\n"})
    done = plan(docker)
    assert (done.code, "--grant network:build" in done.errors) == (3, True), done.errors
    git("rm", "-rqf", "--ignore-unmatch", ".devcontainer/link", cwd=docker.cwd)
    configured(docker, {"image": IMAGE, "features": {"../../outside": {}}})
    assert plan(docker).code == 2


def test_what_an_image_would_have_the_builder_do(docker: Aienv, engine: Engine) -> None:
    """Triggers of an image run in builds of ours, and by the engine: judged as those of a Dockerfile's base are."""
    client = engine.client()
    for tag, trigger in (("fetch", "ADD http://127.0.0.1:9/x /x"), ("copy", "COPY --from=private/app:1 /x /x"), ("fine", "RUN true")):
        text = f"FROM {IMAGE}\nONBUILD {trigger}\n"
        [*client.build(fileobj=io.BytesIO(text.encode()), tag=f"aienv-test/onbuild:{tag}", rm=True, decode=True)]
        configured(docker, {"image": f"aienv-test/onbuild:{tag}", "features": {"./tool": {}}}, FEATURE)
        done = plan(docker, "--json")
        assert done.code == (0 if tag == "fine" else 4), (tag, done.errors)
        assert ("ONBUILD of the base image" in done.errors) == (tag != "fine"), (tag, done.errors)
    client.close()
    configured(docker, {"image": done.document["plan"]["image"]["reference"]})
    done = plan(docker)
    assert (done.code, "a repository cannot use" in done.errors) == (4, True), done.errors


def test_a_home_that_is_a_link(docker: Aienv) -> None:
    """An image cannot have the workspace copied past its masks, or a folder of ours, by a link in its home's place."""
    dockerfile = f"FROM {IMAGE}\nRUN rm -r /home/dev && ln -s /workspaces/app /home/dev\n"
    configured(docker, {"build": {"dockerfile": "Dockerfile"}}, {".devcontainer/Dockerfile": dockerfile, "secret.pem": "masked\n"})
    done = dev(docker, script="test -s /workspaces/app/secret.pem || echo empty > seen; ls -A ~ >> seen; ls /run/aienv >> seen")
    assert shown(done, "seen", docker.cwd).split()[:1] == ["empty"]
    assert not {"secret.pem", "README", "skeleton"} & set(shown(done, "seen", docker.cwd).split())


def test_a_hook_that_fails_and_one_that_serves(docker: Aienv) -> None:
    """The first ends the run, named, before the agent; a start hook that serves in the foreground is ended after its time."""
    configured(docker, {"image": IMAGE, "postCreateCommand": {"good": "true", "bad": "echo no luck; exit 9"}})
    done = dev(docker, script="touch agent")
    assert (done.code, done.document["error"]["code"]) == (3, "setup")
    assert "postCreateCommand of devcontainer.json failed with code 9" in done.document["error"]["message"]
    assert "bad failed" in done.document["error"]["message"]
    configured(docker, {"image": IMAGE, "postStartCommand": "echo up > up; sleep 600"})
    done = dev(docker, "--timeout", "3s", script="cat up > agent")
    assert shown(done, "agent", docker.cwd) == "up\n"
    assert "postStartCommand of devcontainer.json still ran after 3 s" in " ".join(done.document["notes"])


def test_places_of_the_file(docker: Aienv, aienv: Aienv) -> None:
    """Several are listed, one is named; none in the usual places is no failure; compose, and a place without images, are refused."""
    commit(docker.cwd, {f".devcontainer/{name}/devcontainer.json": json.dumps({"image": IMAGE}) for name in ("one", "two")})
    done = plan(docker)
    assert done.code == 2
    assert "choose one: --devcontainer .devcontainer/one/devcontainer.json" in done.errors
    for named in (".devcontainer/two/devcontainer.json", ".devcontainer/two"):
        done = docker("plan", *docker.options, "--devcontainer", named, "--json", "--", "true")
        assert done.document["plan"]["devcontainer"]["path"] == ".devcontainer/two/devcontainer.json"
    assert docker("plan", *docker.options, "--devcontainer", "nowhere", "--", "true").code == 6
    done = aienv("plan", "--backend", "local", "--devcontainer", ".devcontainer/two", "--", "true")
    assert (done.code, "the local backend has no container" in done.errors) == (5, True), done.errors
    commit(docker.cwd, {".aienv.yaml": "environment: {devcontainer: .devcontainer/two}\n"})
    for backend in ("auto", "local"):
        done = aienv("plan", "--backend", backend, "--", "true")
        assert (done.code, "--devcontainer none" in done.errors) == (5, True), done.errors
        assert aienv("plan", "--backend", backend, "--devcontainer", "none", "--", "true").code == 0
    configured(docker, {"dockerComposeFile": "compose.yaml", "service": "app"})
    done = plan(docker)
    assert (done.code, "starts no services" in done.errors) == (5, True), done.errors
    git("rm", "-rq", ".devcontainer", cwd=docker.cwd)
    git("commit", "-qm", "none", cwd=docker.cwd)
    configured_not = docker.cwd / FILE
    configured_not.parent.mkdir(exist_ok=True)
    configured_not.write_text(json.dumps({"image": "not-committed", "privileged": True}))
    done = aienv("plan", "--backend", "local", "--devcontainer", "auto", "--json", "--", "true")
    assert (done.code, done.document["plan"]["devcontainer"]) == (0, None), done.errors
    assert "devcontainer" not in done.errors
