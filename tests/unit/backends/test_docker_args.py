"""A container's arguments: one golden body, and for each field what it must be and what it must refuse."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.docker_args import EngineFacts, ImageFacts, create_arguments, labels_of, unlimited
from orchestrator.backends.protocol import EnvironmentRequest, Folders
from orchestrator.backends.seccomp_profile import profile
from orchestrator.errors import EnvironmentFailed
from orchestrator.model.plan import ImagePlan
from orchestrator.model.task import Limits

GOLDEN = Path(__file__).with_name("docker_create.json")
ENGINE = EngineFacts(
    "26.1.5",
    "1.45",
    "x86_64",
    cpus=4,
    apparmor=False,
    selinux=False,
    init=True,
    memory_limit=True,
    swap_limit=True,
    cpu_limit=True,
    pids_limit=True,
)
IMAGE = ImageFacts("sha256:" + "1" * 64, "linux", "amd64", (("PATH", "/evil"), ("LD_PRELOAD", "/evil.so"), ("GIT_DIR", "/x")), ())
LIMITS = Limits(cpus=2.0, memory_bytes=4 << 30, pids=512, disk_bytes=10 << 30, open_files=4096, timeout_s=60.0, grace_s=10.0)
FOLDERS = Folders(Path("/w/workspace/app"), (("main", Path("/c/mirrors/k.git/objects")),), Path("/w/outbox"), Path("/w/control"))
REQUEST = EnvironmentRequest(
    run_id="r1",
    role="task",
    workspace="/workspaces/app",
    folders=FOLDERS,
    image=ImagePlan("debian:12", IMAGE.id, IMAGE.env),
    uid=1000,
    gid=1000,
    limits=LIMITS,
    labels={"dev.aienv.task": "fix", "dev.aienv.run": "a label of ours cannot be replaced"},
    expose=(),
    deadline_s=30.0,
)  # fmt: skip
COMMAND = ("/opt/aienv/bin/python3", "-I", "-S", "/opt/aienv/lib/aienv/launcher.py", "{}")


def body(request: EnvironmentRequest = REQUEST, image: ImageFacts = IMAGE, engine: EngineFacts = ENGINE) -> dict[str, Any]:
    return create_arguments(request, image, engine, "/cache/toolbox/abc", COMMAND)


def test_golden() -> None:
    """The whole body, so that every change of it is seen in review. The filter stands there by name; it has its own test."""
    shown = json.dumps(body(), indent=1, sort_keys=True).replace(json.dumps(profile())[1:-1], "PROFILE")
    assert shown + "\n" == GOLDEN.read_text()


def test_user_is_never_root() -> None:
    """Root is refused here too, whoever asks: with an open /proc it could write the host's sysctls."""
    for ids in ({"uid": 0}, {"gid": 0}):
        with pytest.raises(EnvironmentFailed, match="never runs as root"):
            body(replace(REQUEST, **ids))  # type: ignore[arg-type]
    assert body()["User"] == "1000:1000"


def test_nothing_of_the_image_runs() -> None:
    """Entry point, command and health check of the image are replaced."""
    made = body()
    assert made["Entrypoint"] == list(COMMAND)
    assert made["Cmd"] == []
    assert made["Healthcheck"] == {"Test": ["NONE"]}


def test_image_environment_is_taken_away() -> None:
    """A name without a value removes the variable; our PATH wins over the image's."""
    names = body()["Env"]
    assert "LD_PRELOAD" in names
    assert "GIT_DIR" in names
    assert [word for word in names if word.startswith("PATH")] == ["PATH=/opt/aienv/bin"]
    assert not any("evil" in word for word in names)


def test_labels_of_ours_win() -> None:
    """What was asked for is added, what finds the container again is ours."""
    labels = body()["Labels"]
    assert labels == {"dev.aienv.managed": "1", "dev.aienv.run": "r1", "dev.aienv.role": "task", "dev.aienv.task": "fix"}


@pytest.mark.parametrize(("fact", "option"), [("apparmor", "apparmor=unconfined"), ("selinux", "label=disable")])
def test_other_security_modules(fact: str, option: str) -> None:
    """They are only named where the engine has them: naming one that is missing is an error."""
    assert option not in body()["HostConfig"]["SecurityOpt"]
    options = body(engine=replace(ENGINE, **{fact: True}))["HostConfig"]["SecurityOpt"]  # type: ignore[arg-type]
    assert option in options
    assert options[0] == "no-new-privileges"


@pytest.mark.parametrize(
    ("lacking", "field", "word"),
    [
        pytest.param("memory_limit", "Memory", "memory", id="memory"),
        pytest.param("swap_limit", "MemorySwap", None, id="swap"),
        pytest.param("pids_limit", "PidsLimit", "pids", id="pids"),
        pytest.param("cpu_limit", "NanoCpus", "cpus", id="cpus"),
    ],
)
def test_limits_that_the_kernel_lacks(lacking: str, field: str, word: str | None) -> None:
    """A limit that cannot be enforced is left out and declared, the others stay."""
    poor = replace(ENGINE, **{lacking: False})  # type: ignore[arg-type]
    assert field in body()["HostConfig"]
    assert field not in body(engine=poor)["HostConfig"]
    assert unlimited(poor) == ((word,) if word else ())


def test_more_cpus_than_there_are() -> None:
    """The engine would refuse more than it has."""
    assert body(engine=replace(ENGINE, cpus=1))["HostConfig"]["NanoCpus"] == 1_000_000_000


@pytest.mark.parametrize(
    "volume",
    [
        pytest.param("/opt/aienv/lib", id="toolbox"),
        pytest.param("/opt/./aienv/../aienv/lib/", id="toolbox-spelled-oddly"),
        pytest.param("/opt/aienv-agents/claude", id="agents"),
        pytest.param("//run/aienv", id="control"),
        pytest.param("/workspaces/app/.git", id="workspace"),
        pytest.param("/", id="root"),
    ],
)
def test_volumes_in_our_places(volume: str) -> None:
    """The engine would fill such a volume with the image's files and mount it over ours."""
    with pytest.raises(EnvironmentFailed, match="declares a volume"):
        body(image=replace(IMAGE, volumes=(volume,)))


def test_other_volumes_become_empty_folders() -> None:
    """They are covered in memory, so that no anonymous volume stays behind; near misses of our places pass."""
    tmpfs = body(image=replace(IMAGE, volumes=("/var/lib/data/", "/opt/aienvx", "/workspaces", "/tmp")))["HostConfig"]["Tmpfs"]
    assert set(tmpfs) == {"/var/lib/data", "/opt/aienvx", "/workspaces", "/tmp", "/run"}
    assert tmpfs["/tmp"].endswith("mode=1777")
    assert all("size=" in options for options in tmpfs.values())


def test_programs_of_agents_are_read_only() -> None:
    """They are shared by all runs."""
    mounts = body(replace(REQUEST, mounts=(("/c/agents/claude-1", "/opt/aienv-agents/claude"),)))["HostConfig"]["Mounts"]
    assert [(mount["Source"], mount["ReadOnly"]) for mount in mounts if mount["Target"] == "/opt/aienv-agents/claude"] == [
        ("/c/agents/claude-1", True)
    ]


def test_what_is_writable() -> None:
    """Only the workspace and the outbox; and every bind must exist on the engine's side."""
    shared = body(replace(REQUEST, folders=replace(FOLDERS, home=Path("/w/home"))))["HostConfig"]["Mounts"]
    assert [mount["Target"] for mount in shared if mount["Source"] == "/w/home" and not mount["ReadOnly"]] == ["/run/aienv/home"]
    mounts = body()["HostConfig"]["Mounts"]
    assert [mount["Target"] for mount in mounts if not mount["ReadOnly"]] == ["/workspaces/app", "/run/aienv/outbox"]
    assert {mount["Type"] for mount in mounts} == {"bind"}


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        pytest.param({"dev.aienv.managed": "1", "dev.aienv.run": "a", "dev.aienv.role": "task"}, ("a", "task"), id="ours"),
        pytest.param({"dev.aienv.managed": "1", "dev.aienv.run": "a", "dev.aienv.role": "other"}, None, id="another-role"),
        pytest.param({"dev.aienv.managed": "1", "dev.aienv.role": "task"}, None, id="no-run"),
        pytest.param({"dev.aienv.run": "a", "dev.aienv.role": "task"}, None, id="not-managed"),
        pytest.param({}, None, id="foreign"),
    ],
)
def test_labels_of(labels: dict[str, str], wanted: tuple[str, str] | None) -> None:
    """Only what carries all of our labels is ours."""
    assert labels_of(labels) == wanted
