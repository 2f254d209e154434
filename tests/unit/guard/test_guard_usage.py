"""What reports and explanations know of a guard comes from the log, which is bounded and may be damaged."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.explain import Wanted, denial_lines, policy_lines, wanted
from orchestrator.guard.usage import MAX_EVENTS, MAX_ROWS, SUMMARY_EVERY, Counts, DockerLog, counted, docker_use
from orchestrator.model.guard import AllowedImage, DockerDenial

LIST = {"rule": "containers.list", "request": "GET /containers/json"}
DENIAL = {
    "rule": "image.not-allowed", "request": "POST /containers/create", "field": "Image", "reason": "the image 'x:1' is not on the list",
    "allowed": "redis:7", "remedy": "--allow-image x:1, or guard.images: [x:1]",
}  # fmt: skip


class Log:
    """Keeps lines as the event log writes them."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, kind: str, facts: Mapping[str, object]) -> None:
        self.lines.append(json.dumps({"kind": kind, **facts}, separators=(",", ":")).encode())


def counts(*events: tuple[str, Mapping[str, object]]) -> Counts:
    log = Log()
    for kind, facts in events:
        log.write(kind, facts)
    return counted(log.lines)


def test_counted_from_the_log() -> None:
    """Calls by what they were, refusals by rule, field and reason, with how often."""
    found = counts(("docker.allow", LIST), ("docker.deny", DENIAL), ("docker.allow", LIST), ("docker.deny", DENIAL), ("net", {})).total()
    assert found.allowed == (("GET /containers/json", 2),)
    assert found.denied == (DockerDenial(**DENIAL, count=2),)  # type: ignore[arg-type]


@pytest.mark.parametrize("many", [1, MAX_EVENTS, MAX_EVENTS + 1, MAX_EVENTS + SUMMARY_EVERY + 7])
def test_nothing_is_lost_in_a_bounded_log(many: int) -> None:
    """However many calls there are, the log has a bounded number of lines, and the counts are whole."""
    log = Log()
    docker = DockerLog(log.write)
    for _ in range(many):
        docker.write("docker.allow", LIST)
        docker.write("docker.deny", DENIAL)
    docker.write("docker.made", {"id": "a"})
    docker.tell()
    docker.tell()
    assert len(log.lines) <= 2 * MAX_EVENTS + 2 * many // SUMMARY_EVERY + 3
    found = docker_use(log.lines)
    assert found.allowed == (("GET /containers/json", many),)
    assert [denial.count for denial in found.denied] == [many]
    assert b'"docker.made"' in b"".join(log.lines)


def test_a_full_log_is_told() -> None:
    """What the log refuses comes through, so that nothing passes unseen."""

    def full(kind: str, facts: Mapping[str, object]) -> None:
        raise OSError(28, "no space")

    with pytest.raises(OSError, match="no space"):
        DockerLog(full).write("docker.allow", LIST)


def test_rows_are_bounded() -> None:
    """An agent that thinks up reasons fills no report."""
    many = MAX_ROWS + 50
    found = counts(*(("docker.deny", {**DENIAL, "reason": str(number)}) for number in range(many))).total()
    assert len(found.denied) <= MAX_ROWS + 1
    assert sum(denial.count for denial in found.denied) == many


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([b'{"kind":"docker.deny"}', b'{"kind":"docker.summary","allowed":1}']))))
@settings(max_examples=60, deadline=None)
def test_any_log_is_read(lines: list[bytes]) -> None:
    """A damaged line is left out, whatever it is."""
    assert docker_use([*lines, b'{"kind":"docker.allow","request":"GET /info"}']).allowed == (("GET /info", 1),)


def test_explained() -> None:
    """The call, why, what passes, and what a user could do; or that nothing allows it."""
    free = DockerDenial("mounts.outside", "POST /containers/create", "HostConfig.Binds[0]", "outside", None, None, 1)
    lines = denial_lines([free, DockerDenial(**DENIAL, count=3)])  # type: ignore[arg-type]
    assert lines == [
        "refused  POST /containers/create (3 times)  [image.not-allowed]",
        "  why      the image 'x:1' is not on the list (Image)",
        "  passes   redis:7",
        "  to allow --allow-image x:1, or guard.images: [x:1]",
        "refused  POST /containers/create  [mounts.outside]",
        "  why      outside (HostConfig.Binds[0])",
        "  to allow nothing does: see docs/docker.md",
    ]


def test_the_policy_that_a_run_would_have_needed() -> None:
    """Images that were refused or learned, and of each amount the largest; what nothing allows is not in it."""
    memory = {"rule": "quota.memory", "request": "x", "reason": "memory", "remedy": "guard.memory: 9g"}
    found = wanted(
        counts(
            ("docker.deny", DENIAL),
            ("docker.learned", {"rule": "image.not-allowed", "image": "docker.io/library/redis:7"}),
            ("docker.deny", memory),
            ("docker.deny", {**memory, "reason": "more", "remedy": "guard.memory: 900m"}),
            ("docker.deny", {**memory, "reason": "c", "remedy": "guard.containers: 33"}),
            ("docker.deny", {**DENIAL, "reason": "odd", "remedy": "--allow-image ../x"}),
        )
    )
    assert found == Wanted(("redis:7", "x:1"), (("containers", "33"), ("memory", "9g")))
    had = [AllowedImage("docker.io/library/debian:12", None, "guard.images"), AllowedImage("ghcr.io/a/b:1", None, "compose compose.yaml")]
    assert policy_lines(found, had) == [
        "guard:", "  images:", '    - "debian:12"', '    - "redis:7"', '    - "x:1"', "  containers: 33", "  memory: 9g",
    ]  # fmt: skip
    assert policy_lines(Wanted((), ())) == ["# nothing that a setting could allow was refused"]
