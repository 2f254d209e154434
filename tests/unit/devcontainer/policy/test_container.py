"""The container's final arguments: who asked, what is refused, what is left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.policy.container import Entry, Final, Verdict, host_paths, judge
from orchestrator.devcontainer.policy.grants import NONE, Grants
from orchestrator.devcontainer.policy.verdict import WorkspaceGround

GROUND = WorkspaceGround(("/w",), {"/w/out": "/etc"})


def of(*entries: Object, grants: tuple[str, ...] = (), **config: Json) -> Verdict:
    named = [Entry(f"entry {number}", values) for number, values in enumerate(entries)]
    return judge(named, config, GROUND, Grants.of(grants))


def test_nothing_is_nothing() -> None:
    assert of() == Verdict((), (), Final())
    assert of().final.words() == ()


@pytest.mark.parametrize(
    ("values", "grants"),
    [
        ({"privileged": True}, ["privileged"]),
        ({"privileged": "false"}, ["privileged"]),  # the merge takes it for true
        ({"privileged": False}, []),
        ({"privileged": None}, []),
        ({"init": True}, []),
        ({"capAdd": ["SYS_PTRACE", "CHOWN"]}, ["cap:SYS_PTRACE"]),
        ({"capAdd": "SYS_PTRACE"}, ["cap:SYS_PTRACE"]),
        ({"capAdd": [7]}, [None]),
        ({"capAdd": [None, ""]}, [None, None]),
        ({"securityOpt": ["seccomp=unconfined", "no-new-privileges"]}, ["security-opt:seccomp=unconfined"]),
        ({"securityOpt": [{}]}, [None]),
        ({"mounts": ["source=/etc,target=/x,type=bind"]}, ["mount:/etc"]),
        ({"mounts": [{"type": "bind", "source": "/w", "target": "/x"}]}, []),
        ({"mounts": [{"type": "bind", "source": "/w/out", "target": "/x"}]}, ["mount:/etc"]),
        ({"mounts": "source=/var/run/docker.sock,target=/x,type=bind"}, ["docker-socket"]),
        ({"mounts": [7]}, [None]),
        ({"entrypoint": "rm -rf /", "containerEnv": {"A": "b"}, "remoteEnv": {"A": None}, "postCreateCommand": "x"}, []),
        ({"hostRequirements": {"gpu": True}}, []),
        ({"runArgs": ["--privileged"], "initializeCommand": "x", "appPort": "80:80"}, []),  # of the file alone
    ],
)
def test_entries(values: Object, grants: list[str | None]) -> None:
    found = of(values).findings
    assert [one.grant for one in found] == grants
    assert all(one.origin == "entry 0" for one in found)
    if None not in grants:
        assert not of(values, grants=tuple(str(one) for one in grants)).findings


@pytest.mark.parametrize(
    ("config", "grants"),
    [
        ({"initializeCommand": "x"}, ["initializeCommand"]),
        ({"initializeCommand": ["x"]}, ["initializeCommand"]),
        ({"initializeCommand": {"a": "x"}}, ["initializeCommand"]),
        ({"initializeCommand": ""}, []),
        ({"initializeCommand": None}, []),
        ({"runArgs": ["--privileged"]}, ["privileged"]),
        ({"runArgs": "--privileged"}, [None, "privileged"]),
        ({"runArgs": None}, []),
        ({"runArgs": []}, []),
        ({"workspaceMount": "type=bind,source=/w,target=/x"}, []),
        ({"workspaceMount": "type=bind,source=/,target=/x"}, ["mount:/", "docker-socket"]),
        ({"workspaceMount": "type=volume,source=v1,target=/x"}, []),
        ({"workspaceMount": 7}, [None]),
        ({"workspaceMount": ""}, []),
        ({"workspaceMount": None}, []),
        ({"appPort": [3000, "127.0.0.1:1:1"]}, []),
        ({"appPort": True}, [None]),
        ({"privileged": True, "capAdd": ["ALL"]}, []),  # the file is one of the entries too
    ],
)
def test_file(config: Object, grants: list[str | None]) -> None:
    found = judge((), config, GROUND, NONE).findings
    assert [one.grant for one in found] == grants
    assert all(one.origin == "devcontainer.json" for one in found)


def test_the_same_finding_is_told_of_each_who_asks() -> None:
    found = of({"privileged": True}, {"privileged": True}, runArgs=["--privileged"]).findings
    assert [one.origin for one in found] == ["entry 0", "entry 1", "devcontainer.json"]


def test_mounts_of_one_target() -> None:
    """The last counts, in its place; one that cannot be read is refused in any case."""
    found = of({"mounts": ["type=bind,source=/etc,target=/t", "src=v1,dst=/u"]}, {"mounts": ["src=v2,dst=/t/", "x"]})
    assert found.final.mounts == ("type=volume,source=v1,target=/u", "type=volume,source=v2,target=/t/")
    assert [one.grant for one in found.findings] == [None]


def test_final() -> None:
    found = of(
        {"privileged": True, "init": True, "capAdd": ["SYS_PTRACE"], "securityOpt": ["seccomp=unconfined"]},
        {"capAdd": ["cap_sys_ptrace"], "mounts": ["type=bind,src=/w/a,dst=/a", "src=v1,dst=/b"]},
        grants=("privileged", "cap:SYS_PTRACE", "security-opt:seccomp=unconfined", "initializeCommand", "port:0.0.0.0:81"),
        appPort=[80, "81:81", "82:82"],
        workspaceMount="type=bind,src=/w/x,dst=/x",
        initializeCommand="true",
    )
    assert not found.findings
    assert len(found.notes) == 1
    assert found.final == Final(
        ports=("127.0.0.1:80:80", "0.0.0.0:81:81", "127.0.0.1:82:82"),
        mounts=("type=bind,source=/w/a,target=/a", "type=volume,source=v1,target=/b"),
        workspace_mount="type=bind,source=/w/x,target=/x",
        volumes=("v1",),
        sources=("/w/a", "/w/x"),
        privileged=True,
        init=True,
        cap_add=("SYS_PTRACE",),
        security_opt=("seccomp=unconfined",),
        initialize=True,
    )
    assert found.final.words() == (
        "--publish=127.0.0.1:80:80", "--publish=0.0.0.0:81:81", "--publish=127.0.0.1:82:82",
        "--mount=type=bind,source=/w/a,target=/a", "--mount=type=volume,source=v1,target=/b",
        "--init", "--privileged", "--cap-add=SYS_PTRACE", "--security-opt=seccomp=unconfined",
    )  # fmt: skip


def test_no_workspace_mount_is_not_an_empty_one() -> None:
    assert of().final.workspace_mount is None
    assert of(workspaceMount="").final.workspace_mount == ""


def test_host_paths() -> None:
    """What the rim has to follow, wherever it is named."""
    mounts: list[Json] = ["type=bind,src=/a/../b,dst=/x", {"type": "bind", "source": "/c", "target": "/x"}, "src=v1,dst=/x", 7]
    entries = [Entry("x", {"mounts": mounts})]
    config: Object = {"workspaceMount": "type=bind,src=/d,dst=/x", "runArgs": ["-v", "/e:/x", "--mount=type=bind,src=/f,dst=/x", "-vv1:/x"]}
    assert host_paths(entries, config) == ("/b", "/c", "/d", "/e", "/f")


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=6,
)
_ENTRY = st.dictionaries(st.sampled_from(["privileged", "init", "capAdd", "securityOpt", "mounts", "entrypoint"]), _JSON)
_CONFIG = st.dictionaries(st.sampled_from(["runArgs", "appPort", "workspaceMount", "initializeCommand"]), _JSON)


@given(st.lists(_ENTRY, max_size=3), _CONFIG)
def test_anything_is_answered(entries: list[Object], config: Object) -> None:
    """And what is left holds nothing that was refused."""
    named = [Entry("x", values) for values in entries]
    host_paths(named, config)
    final = judge(named, config, GROUND, NONE).final
    assert not final.privileged
    assert not final.initialize
    again = judge((), {"runArgs": [*final.words()]}, GROUND, NONE)
    assert again.findings == ()
