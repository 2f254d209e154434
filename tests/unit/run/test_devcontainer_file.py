"""A devcontainer.json of a commit: which files of the commit are needed, and that its paths lead nowhere else."""

import contextlib
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config.schema import KEYS
from orchestrator.devcontainer.features.resolve import Fetch
from orchestrator.devcontainer.images.image import How
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.merge import merge
from orchestrator.devcontainer.policy.container import Entry, WorkspaceGround, judge
from orchestrator.devcontainer.policy.grants import NONE
from orchestrator.errors import AienvError, PolicyRefused
from orchestrator.model.devcontainer import INSIDE_HOME, INSIDE_NAME, INSIDE_SHELL
from orchestrator.model.task import Limits, SandboxRules
from orchestrator.repos.mirror import Mirror
from orchestrator.run import devcontainer_terms as terms
from orchestrator.run.devbuild import build_limits
from orchestrator.run.devfile import Devfile, Source, places, within

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
    assert set(places(Devfile(path, raw, ()), SOURCE)) == wanted


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
        places(Devfile(USUAL, {"build": build}, ()), SOURCE)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ({"image": "x"}, "image"),
        ({"image": "x", "build": {"dockerfile": "D"}}, "dockerfile"),
        ({"dockerFile": "D"}, "dockerfile"),
        ({"build": {}}, "image"),
        ({"build": {"dockerfile": None}}, "image"),
        ({"dockerFile": None, "build": {"dockerfile": "D"}}, "image"),
        ({"dockerComposeFile": "c", "image": "x", "build": {"dockerfile": "D"}}, "compose"),
    ],
)
def test_kinds(raw: Object, kind: str) -> None:
    """Compose before a Dockerfile, a Dockerfile before an image."""
    assert Devfile(USUAL, raw, ()).kind == kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["..", "/", "${localEnv:X}", "${env:X}/D"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["dockerfile", "context", "args", "A"]), below, max_size=3),
    max_leaves=6,
)
MEMBERS = (
    "build", "dockerFile", "context", "workspaceFolder", "containerEnv", "remoteEnv", "onCreateCommand", "mounts", "runArgs", "capAdd",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=5))
def test_any_configuration_is_answered(raw: Object) -> None:
    """With a value or an error of ours."""
    devfile = Devfile(USUAL, raw, ())
    entries, ground = [Entry("x", raw)], WorkspaceGround((SOURCE.workspace,))
    try:
        for place in places(devfile, SOURCE):
            assert not place.startswith(("/", "../"))
        within(devfile, SOURCE, Path("/export"))
    except AienvError:
        pass
    verdict = judge(entries, raw, ground, NONE)
    terms.settle(verdict.findings, verdict.findings)
    merged = merge(raw, [raw])
    terms.environment(merged, verdict.final.env, (), {})
    terms.left_out(verdict.final, merged, raw, SOURCE.workspace)
    with contextlib.suppress(AienvError):
        terms.hooks([raw], ["x"])


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=20), st.binary(max_size=200))
def test_any_user_is_answered(name: str, passwd: bytes) -> None:
    """Never root, and never with another home or shell than the plan's rules let through."""
    found, _ = terms.user_of(name, passwd, explicit=True)
    assert INSIDE_NAME.fullmatch(found.name)
    assert INSIDE_HOME.fullmatch(found.home)
    assert INSIDE_SHELL.fullmatch(found.shell)


def test_grants_are_a_list_that_only_users_extend() -> None:
    """The key of the configuration, and its flag."""
    key = KEYS["devcontainer.grants"]
    assert (key.flag, key.default, key.repository.refused(("privileged",), ())) == ("--grant", (), ("privileged",))


def test_limits_of_builds() -> None:
    """What a run may use holds for the build of its image, whatever build.options say: of two words the last counts."""
    limits = build_limits(Limits(1.5, 1 << 30, 9, 9, 9, 9, 9))
    assert limits == (
        "--memory", "1073741824", "--memory-swap", "1073741824", "--cpu-period", "100000", "--cpu-quota", "150000", "--shm-size", "64m",
    )  # fmt: skip
    assert build_limits(Limits(0.001, 1 << 30, 9, 9, 9, 9, 9))[7] == "1000"
    how = How(cache=Path("/"), grants=NONE, fetch=cast(Fetch, None), log=print, network="none", limits=limits)
    assert how.options() == ("--network", "none", *limits)
