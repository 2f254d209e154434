"""Options of ``docker build``: a row for each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.buildoptions import ROWS, judge, judge_paths
from orchestrator.devcontainer.policy.grants import NONE, Grants
from orchestrator.devcontainer.policy.verdict import WorkspaceGround

NEEDS = [
    ("add-host", "x:host-gateway", "build-option:--add-host"),
    ("allow", "security.insecure", "build-option:--allow"),
    ("attest", "type=sbom,generator=x", "build-option:--attest"),
    ("build-context", "x=/etc", "build-option:--build-context"),
    ("builder", "x", "build-option:--builder"),
    ("cache-from", "type=local,src=/etc", "build-option:--cache-from"),
    ("cache-from", 'type=registry,"ref=a,type=local"', "build-option:--cache-from"),
    ("cache-from", "type=registry,ref=x,type=local,src=/etc", "build-option:--cache-from"),
    ("cache-from", "type=registry,ref=x,TYPE=local,src=/etc", "build-option:--cache-from"),
    ("cache-from", "type=gha", "build-option:--cache-from"),
    ("cache-to", "type=local,dest=/x", "build-option:--cache-to"),
    ("call", "outline", None),
    ("cgroup-parent", "x", "build-option:--cgroup-parent"),
    ("check", "true", None),
    ("device", "x", "build-option:--device"),
    ("help", "true", None),
    ("iidfile", "/x", "build-option:--iidfile"),
    ("isolation", "hyperv", "build-option:--isolation"),
    ("metadata-file", "/x", "build-option:--metadata-file"),
    ("network", "host", "build-option:--network"),
    ("network", "container:x", "build-option:--network"),
    ("output", "type=local,dest=/", "build-option:--output"),
    ("policy", "filename=/x", "build-option:--policy"),
    ("provenance", "mode=max,builder-id=x", "build-option:--provenance"),
    ("push", "true", "build-option:--push"),
    ("sbom", "generator=x", "build-option:--sbom"),
    ("secret", "id=x,src=/etc/shadow", "build-option:--secret"),
    ("security-opt", "seccomp=unconfined", "build-option:--security-opt"),
    ("ssh", "default", "build-option:--ssh"),
    ("unknown-option", "1", "build-option:--unknown-option"),
]
LEFT_OUT = [
    ("build-arg", "TOKEN", "localEnv:TOKEN"),
    ("file", "/x", "build-option:--file"),
    ("label", "devcontainer.metadata=[]", "build-option:--label"),
    ("load", "false", "build-option:--load"),
    ("tag", "debian:bookworm", "build-option:--tag"),
]
HARMLESS = [
    ("annotation", "a=b"), ("build-arg", "A=b"), ("build-arg", "A="), ("cache-from", "ghcr.io/x/y:1@sha256:0"), ("cache-from", "a,b"),
    ("cache-from", "type=registry,ref=x/y:1"), ("cache-from", "ref=x/y:1,type=registry"),
    ("cache-from", "type=inline"), ("compress", "true"), ("cpu-period", "1"),
    ("cpu-quota", "1"), ("cpu-shares", "1"), ("cpuset-cpus", "0"), ("cpuset-mems", "0"), ("debug", "true"),
    ("disable-content-trust", "true"), ("force-rm", "true"), ("isolation", "default"), ("label", "a=b"), ("load", "true"),
    ("memory", "1g"), ("memory-swap", "-1"), ("network", "none"), ("network", "default"), ("no-cache", "true"), ("no-cache-filter", "x"),
    ("platform", "linux/amd64"), ("progress", "plain"), ("provenance", "false"), ("pull", "true"), ("quiet", "true"), ("rm", "true"),
    ("sbom", "false"), ("shm-size", "1g"), ("squash", "true"), ("stream", "true"), ("ulimit", "nofile=9"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "grant"), NEEDS)
def test_needs_a_grant(name: str, value: str, grant: str | None) -> None:
    word = f"--{name}={value}"
    found = judge([word], NONE)
    assert ([one.grant for one in found.findings], found.options) == ([grant], ())
    if grant is not None:
        assert judge([word], Grants.of([grant])).options == (word,)
        assert not judge([word], Grants.of([grant])).findings


@pytest.mark.parametrize(("name", "value", "grant"), LEFT_OUT)
def test_left_out_with_a_note(name: str, value: str, grant: str) -> None:
    word = f"--{name}={value}"
    found = judge([word], NONE)
    assert (found.findings, found.options) == ((), ())
    assert f"--grant {grant} gives it" in found.notes[0]
    assert judge([word], Grants.of([grant])).options == (word,)


@pytest.mark.parametrize(("name", "value"), HARMLESS)
def test_harmless(name: str, value: str) -> None:
    found = judge([f"--{name}={value}"], NONE)
    assert (found.findings, found.notes) == ((), ())


def test_each_row_is_tested() -> None:
    assert {name for name, *_ in (*NEEDS, *LEFT_OUT, *HARMLESS)} - {"unknown-option"} == set(ROWS) - {"target"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (None, ()),
        ([], ()),
        (["--no-cache", "--build-arg", "A=--secret", "-m", "1g"], ("--no-cache=true", "--build-arg=A=--secret", "--memory=1g")),
        (["-q", "--pull=false"], ("--quiet=true", "--pull=false")),
    ],
)
def test_written(options: Json, words: tuple[str, ...]) -> None:
    assert judge(options, NONE).options == words


@pytest.mark.parametrize("options", [["--target", "x"], ["--target=x"]])
def test_the_target_stands_elsewhere(options: Json) -> None:
    """Of two targets one would be judged and the other built."""
    (finding,) = judge(options, NONE).findings
    assert (finding.grant, "write build.target" in finding.why) == (None, True)


@pytest.mark.parametrize("options", [["."], ["--no-cache", "/etc"], "--no-cache", {}, 7, [7], ["--"], ["-z"], ["--target"]])
def test_unreadable(options: Json) -> None:
    assert judge(options, NONE).findings[0].grant is None


@pytest.mark.parametrize(
    ("path", "grant"),
    [("/w", None), ("/w/a/Dockerfile", None), ("/etc", "mount:/etc"), ("/w/out", "mount:/real"), ("/run", "mount:/run")],
)
def test_paths(path: str, grant: str | None) -> None:
    ground = WorkspaceGround(("/w",), {"/w/out": "/real"})
    found = judge_paths({"build.context": path}, ground, NONE)
    assert found == () if grant is None else found[0].grant == grant


@given(st.lists(st.one_of(st.text(), st.sampled_from([f"--{name}" for name in ROWS]), st.none()), max_size=6))
def test_any_words_are_answered(words: list[Json]) -> None:
    """Read again, the final words need nothing, and say the same."""
    options = judge(words, NONE).options
    again = judge([*options], NONE)
    assert (again.findings, again.options) == ((), options)
