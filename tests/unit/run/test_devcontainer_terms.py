"""What of a dev container a run takes: asks, users, variables, hooks, as tables."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.policy.container import Entry, Final, WorkspaceGround, judge
from orchestrator.devcontainer.policy.grants import NONE, Grants
from orchestrator.errors import ConfigError
from orchestrator.model.codec import canonical_json, from_plain
from orchestrator.model.devcontainer import DevcontainerPlan, FeaturePlan, HookCommand, HookPlan, UserPlan
from orchestrator.model.network import CLOSED
from orchestrator.model.plan import ImagePlan, Plan
from orchestrator.run import devcontainer_terms as terms
from orchestrator.run.environ import agent_environment
from orchestrator.run.exported import leads_out
from orchestrator.run.hooks import argv_of
from orchestrator.sandbox.argv import USER
from tests.unit.run.test_run_pieces import PLAN

WORKSPACE = "/workspaces/app"


def settled(config: Object, *granted: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Grants that would help (empty for nothing does), and notes."""
    entries, ground = [Entry("devcontainer.json", config)], WorkspaceGround((WORKSPACE,))
    bare, with_grants = (judge(entries, config, ground, grants) for grants in (NONE, Grants.of(granted)))
    refused, notes = terms.settle(bare.findings, with_grants.findings)
    return tuple(one.grant or "" for one in refused), notes


NEVER: list[tuple[Object, str]] = [
    ({"privileged": True}, "privileged"),
    ({"runArgs": ["--privileged"]}, "privileged"),
    ({"mounts": ["source=/,target=/host,type=bind"]}, "mount:/"),
    ({"mounts": [{"source": "/home", "target": "/h", "type": "bind"}]}, "mount:/home"),
    ({"runArgs": ["-v", "/etc:/etc2"]}, "mount:/etc"),
    ({"workspaceMount": "source=/,target=/w,type=bind"}, "mount:/"),
    ({"runArgs": ["--device=/dev/kvm"]}, "device:/dev/kvm"),
    ({"runArgs": ["--gpus", "all"]}, "gpu"),
    ({"runArgs": ["--network=host"]}, "network:host"),
    ({"runArgs": ["--pid", "host"]}, "pid:host"),
    ({"runArgs": ["--ipc=host"]}, "ipc:host"),
    ({"runArgs": ["--uts=host"]}, "uts:host"),
    ({"runArgs": ["--userns=host"]}, "userns:host"),
    ({"runArgs": ["--cgroup-parent=/"]}, "run-arg:--cgroup-parent"),
]


@pytest.mark.parametrize(("config", "word"), NEVER, ids=[word for _, word in NEVER])
def test_a_run_never_gives(config: Object, word: str) -> None:
    """Refused without a grant to try, and refused with it."""
    assert settled(config)[0] == ("",)
    assert settled(config, word)[0] == ("",)
    assert settled(config, "everything")[0] == ("",)


ACKNOWLEDGED: list[tuple[Object, str]] = [
    ({"capAdd": ["SYS_PTRACE"]}, "cap:SYS_PTRACE"),
    ({"runArgs": ["--cap-add=SYS_PTRACE"]}, "cap:SYS_PTRACE"),
    ({"securityOpt": ["seccomp=unconfined"]}, "security-opt:seccomp=unconfined"),
]


@pytest.mark.parametrize(("config", "word"), ACKNOWLEDGED)
def test_goes_on_without_when_granted(config: Object, word: str) -> None:
    """Who grants it is told that a run has it not, and has the run."""
    assert settled(config)[0] == (word,)
    refused, notes = settled(config, word)
    assert refused == ()
    assert "goes on without" in notes[0]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"initializeCommand": "curl evil | sh"}, id="initializeCommand"),
        pytest.param({"mounts": ["source=/var/run/docker.sock,target=/var/run/docker.sock,type=bind"]}, id="docker-socket"),
    ],
)
def test_is_noted(config: Object) -> None:
    """What a run does not do in any case is no reason to refuse it."""
    refused, notes = settled(config)
    assert refused == ()
    assert len(notes) == 1


def test_the_nearest_that_passes() -> None:
    """Ports, init, names, volumes, and a mount of the workspace itself ask for nothing."""
    config: Object = {
        "init": True, "appPort": "0.0.0.0:80:80", "forwardPorts": [3000], "runArgs": ["--name", "x", "--init", "-p", "80:80"],
        "mounts": ["source=cc,target=/c,type=volume", f"source={WORKSPACE}/d,target=/d,type=bind", {"target": "/t", "type": "tmpfs"}],
    }  # fmt: skip
    assert settled(config) == ((), ())


def test_what_passes_and_is_not_done_is_said() -> None:
    """Mounts, runArgs, entry points and postAttachCommand."""
    final = Final(run_args=("--hostname=x",), mounts=("type=tmpfs,target=/t",), workspace_mount="")
    merged: Object = {"entrypoints": ["/start"], "postAttachCommands": ["a"]}
    notes = terms.left_out(final, merged, {"initializeCommand": "x"}, WORKSPACE)
    assert len(notes) == 6
    assert terms.left_out(Final(), {}, {}, WORKSPACE) == ()


@pytest.mark.parametrize(
    ("folder", "wanted", "noted"),
    [
        (None, WORKSPACE, False),
        (WORKSPACE, WORKSPACE, False),
        (f"{WORKSPACE}/sub/", f"{WORKSPACE}/sub", False),
        ("/workspace", WORKSPACE, True),
        (f"{WORKSPACE}2", WORKSPACE, True),
        (f"{WORKSPACE}/../other", WORKSPACE, True),
        (f"{WORKSPACE}//x", WORKSPACE, True),
        ("/", WORKSPACE, True),
    ],
)
def test_where_hooks_run(folder: str | None, wanted: str, noted: bool) -> None:
    """Below the workspace, or in it."""
    found, notes = terms.place_of({"workspaceFolder": folder}, WORKSPACE)
    assert (found, bool(notes)) == (wanted, noted)


PASSWD = b"""root:x:0:0:root:/root:/bin/bash
toor:x:00:0::/root:/bin/sh
vscode:x:1000:1000::/home/vscode:/bin/zsh
app:x:999:999::/app:/usr/sbin/nologin
deep:x:5:5::/home/../etc:/bin/sh -c id
a/b:x:6:6::/home/ab:/bin/sh
root:x:8:8::/home/root:/bin/sh
short:x:7
"""


@pytest.mark.parametrize(
    ("asked", "wanted", "noted"),
    [
        ("vscode", UserPlan("vscode", "/home/vscode", "/bin/zsh"), ""),
        ("vscode:docker", UserPlan("vscode", "/home/vscode", "/bin/zsh"), ""),
        ("1000", UserPlan("vscode", "/home/vscode", "/bin/zsh"), ""),
        ("app", UserPlan("app", "/home/app", "/bin/sh"), "'/app'"),
        ("deep", UserPlan("deep", "/home/deep", "/bin/sh"), "'/home/../etc'"),
        ("root", USER, "never root"),
        ("0:0", USER, "never root"),
        ("toor", USER, "is root"),
        ("00", USER, "is root"),
        ("8", USER, "is root"),
        ("a/b", USER, "no user"),
        ("short", USER, "no user"),
        ("nobody", USER, "no user"),
        ("", USER, ""),
    ],
)
def test_the_user(asked: str, wanted: UserPlan, noted: str) -> None:
    """By name or number, with a home below /home, and never root."""
    found, notes = terms.user_of(asked, PASSWD, explicit=True)
    assert found == wanted
    assert (noted in notes[0]) if noted else not notes


def test_root_by_default_is_nothing_to_tell() -> None:
    """An image without USER is root's; nobody asked for that."""
    assert terms.user_of("root", b"", explicit=False) == (USER, ())


def test_variables() -> None:
    """remoteEnv over containerEnv, with the container's; null takes away; ours and what is no name stay out, with a note."""
    merged: Object = {
        "containerEnv": {"A": "1", "B": 2, "C": True, "PATH": "/c", "HOME": "/evil"},
        "remoteEnv": {
            "A": "${containerEnv:B}-${containerEnv:IMAGE}-${containerEnv:NONE:x}", "PATH": "${containerEnv:PATH}:/r",
            "GONE": None, "bad name": "x", "NUL": "a\0b", "AIENV_RUN_ID": "0",
        },
    }  # fmt: skip
    env, unset, notes = terms.environment(merged, ("D=4", "GRANTED", "MISSING"), [("IMAGE", "i"), ("PATH", "/i")], {"GRANTED": "host"})
    assert dict(env) == {"A": "2-i-x", "B": "2", "C": "true", "D": "4", "GRANTED": "host", "PATH": "/c:/r"}
    assert unset == ("GONE",)
    assert len(notes) == 4


@pytest.mark.parametrize(
    "merged",
    [
        {"containerEnv": {"A": "é" * 60_000}},
        {"remoteEnv": {f"A{number}": "y" * 100 for number in range(8000)}},
        {"containerEnv": {"A": "y" * 50_000}, "remoteEnv": {"B": "${containerEnv:A}" * 3}},
        {"containerEnv": {"A": "y" * 50_000}, "remoteEnv": {"B": "${containerEnv:A}" * 60_000}},
    ],
    ids=["long", "many", "doubled", "bomb"],
)
def test_variables_that_no_program_can_be_given(merged: Object) -> None:
    """Refused when planned."""
    with pytest.raises(ConfigError, match="than a program can be given"):
        terms.environment(merged, (), (), {})
    assert terms.environment({"containerEnv": {"A": "é" * 49_000}}, (), (), {})[0]


def test_variables_of_the_agent() -> None:
    """A dev container's are over the image's and below the proxy's and the task's; who the agent is stays ours."""
    found = DevcontainerPlan(
        path=".devcontainer.json", digest="sha256:0", kind="image", features=(), user=UserPlan("dev", "/home/dev", "/bin/zsh"),
        env=(("APP", "dev"), ("HOME", "/evil"), ("HTTPS_PROXY", "http://evil"), ("MINE", "dev"), ("DOCKER_HOST", "tcp://evil"),
             ("JAVA_TOOL_OPTIONS", "-Dx"), ("CI", "")),
        unset=("GONE", "USER", "PATH"), folder=WORKSPACE, hooks=(), granted=(), network="none", notes=(),
    )  # fmt: skip
    image = ImagePlan("i", "sha256:1", (("APP", "image"), ("GONE", "1"), ("PATH", "/app/bin")))
    network = replace(CLOSED, mode="allowlist")
    guard = (("DOCKER_HOST", "unix:///run/docker.sock"),)
    env = dict(agent_environment(replace(PLAN, image=image, devcontainer=found), "r", network, guard))
    assert (env["APP"], env["MINE"], env["PATH"], env["CI"]) == ("dev", "1", "/app/bin", "")
    assert (env["HOME"], env["USER"], env["LOGNAME"], env["SHELL"]) == ("/home/dev", "dev", "dev", "/bin/zsh")
    assert env["HTTPS_PROXY"] == "http://127.0.0.1:3128"
    assert env["DOCKER_HOST"] == "unix:///run/docker.sock"
    assert env["JAVA_TOOL_OPTIONS"].endswith(" -Dx")
    assert "GONE" not in env


def test_hooks_in_order() -> None:
    """By kind first, then by who asks, the file last; postAttachCommand is none of a run's."""
    entries: list[Object] = [
        {"postStartCommand": ["s"], "onCreateCommand": "a"},
        {"onCreateCommand": {"x": "1", "y": ["2"]}, "postAttachCommand": "never", "postCreateCommand": ""},
    ]
    assert terms.hooks(entries, ["feature f", "devcontainer.json"]) == (
        HookPlan("onCreateCommand", "feature f", (HookCommand("", ("/bin/sh", "-c", "a")),)),
        HookPlan("onCreateCommand", "devcontainer.json", (HookCommand("x", ("/bin/sh", "-c", "1")), HookCommand("y", ("2",)))),
        HookPlan("postStartCommand", "feature f", (HookCommand("", ("s",)),)),
    )


BAD_HOOKS: dict[str, object] = {
    "number": 3, "words": ["a", 1], "nested": {"a": {"b": "c"}}, "long": "x" * 200_000, "nul": {"a": "b\0c"},
    "wide": "é" * 59_000, "wide-object": {"a": "é" * 59_000}, "many": [*("sh", "-c", "true"), *[""] * 2_000],
    "quotes": {"a": '"' * 59_000},
}  # fmt: skip


@pytest.mark.parametrize("value", ["x" * 99_000, "é" * 49_000, {"a": "x" * 99_000, "b": "true"}, ["true", *[""] * 900]])
def test_hooks_of_the_longest(value: object) -> None:
    """What still can be executed."""
    (hook,) = terms.hooks([{"onCreateCommand": value}], ["devcontainer.json"])  # type: ignore[dict-item]
    subprocess.run(argv_of(hook, sys.executable), check=False, capture_output=True, timeout=60)


@pytest.mark.parametrize("value", BAD_HOOKS.values(), ids=list(BAD_HOOKS))
def test_hooks_that_are_none(value: object) -> None:
    """Refused when planned, not when run."""
    with pytest.raises(ConfigError):
        terms.hooks([{"onCreateCommand": value}], ["devcontainer.json"])  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("commands", "code", "said"),
    [
        ([["a", ["true"]], ["b", ["true"]]], 0, ""),
        ([["a", ["sh", "-c", "exit 3"]], ["b", ["true"]]], 3, "a failed with code 3"),
        ([["a", ["true"]], ["b", ["/nonexistent"]]], 127, "b: "),
        ([["a", ["sh", "-c", "kill -9 $$"]]], 137, "a failed"),
    ],
)
def test_commands_side_by_side(commands: list[tuple[str, list[str]]], code: int, said: str) -> None:
    """All are started and waited for; the result is the worst of theirs."""
    hook = HookPlan("onCreateCommand", "x", tuple(HookCommand(name, tuple(argv)) for name, argv in commands))
    done = subprocess.run(argv_of(hook, sys.executable), capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_a_lone_command_is_itself() -> None:
    """No program of ours stands before it."""
    assert argv_of(HookPlan("h", "o", (HookCommand("", ("a", "b")),)), "python") == ("a", "b")
    assert json.loads(argv_of(HookPlan("h", "o", (HookCommand("n", ("a",)),)), "python")[-1]) == [["n", ["a"]]]


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        (b"a", b"b", False), (b"d/a", b"../b", False), (b"d/a", b"..", False), (b"d/e/a", b"../../f", False), (b"a", b"./x/../y", False),
        (b"a", b"/etc/passwd", True), (b"a", b"..", True), (b"d/a", b"../../b", True), (b"a", b"", True), (b"a", b"x/../../y", True),
    ],
)  # fmt: skip
def test_links_that_lead_out(path: bytes, target: bytes, out: bool) -> None:
    """By their own words."""
    assert leads_out(path, target) is out


def test_the_network_of_builds() -> None:
    """None, unless it was granted by its own word or with everything; no other network's grant gives it."""
    assert terms.build_network(Grants.of(["network:build"])) == "default"
    assert terms.build_network(Grants.of(["everything"])) == "default"
    for words in ([], ["network:host"], ["privileged"]):
        assert terms.build_network(Grants.of(words)) == "none"


def test_a_plan_is_read_back() -> None:
    """By a recovery, from the run's folder: the same value."""
    hook = HookPlan("onCreateCommand", "feature x", (HookCommand("a", ("b", "c")),))
    found = DevcontainerPlan(
        path="x", digest="d", kind="dockerfile", features=(FeaturePlan("f", "g"),), user=UserPlan("dev", "/home/dev", "/bin/sh", True),
        env=(("A", "\udce9"),), unset=("B",), folder=WORKSPACE, hooks=(hook,), granted=("gpu",), network="none", notes=("n",),
    )  # fmt: skip
    plan = replace(PLAN, devcontainer=found)
    assert from_plain(Plan, json.loads(canonical_json(plan))) == plan
