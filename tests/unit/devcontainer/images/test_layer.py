"""The Dockerfile of features, and what a build that failed tells of them."""

import json
import subprocess

import pytest

from orchestrator.devcontainer.features.feature import Feature, Local
from orchestrator.devcontainer.features.manifest import read
from orchestrator.devcontainer.images.layer import BEGIN, dockerfile, env_of, failed_feature, failure_lines, steps_of, values
from orchestrator.devcontainer.images.remoteuid import SCRIPT
from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import ConfigError


def feature(name: str, asked: dict[str, str | bool | int | float] | None = None, **manifest: Json) -> Feature:
    return Feature(f"./{name}", Local(f"/{name}"), asked or {}, read(json.dumps({"id": name, **manifest}), "x", name=name), {})


def test_features_in_order_as_root() -> None:
    steps = steps_of([feature("a", containerEnv={"P": "/x:${PATH}"}), feature("b")])
    assert dockerfile("aienv/base:1", steps, "dev", env_of({"Q": "$HOME"}).lines).splitlines() == [
        "FROM aienv/base:1",
        "USER 0",
        'ENV P="/x:${PATH}"',
        "COPY 0/ /tmp/dev-container-features/",
        'RUN ["/bin/sh", "/tmp/dev-container-features/begin.sh", "a_0", "[aienv feature 0] \\"./a\\""]',
        "COPY 1/ /tmp/dev-container-features/",
        'RUN ["/bin/sh", "/tmp/dev-container-features/begin.sh", "b_1", "[aienv feature 1] \\"./b\\""]',
        'ENV Q="\\$HOME"',
        "USER dev",
    ]


@pytest.mark.parametrize("user", ["", "root", "0"])
def test_an_image_of_root_needs_no_user(user: str) -> None:
    assert "USER" not in dockerfile("x", steps_of([feature("a")]), user, ())


def test_a_label_alone() -> None:
    assert dockerfile("x", (), "dev", ()) == "FROM x\n"


def test_a_variable_that_no_dockerfile_can_hold_names_its_feature() -> None:
    with pytest.raises(ConfigError, match=r"containerEnv of the feature './a'"):
        dockerfile("x", steps_of([feature("a", containerEnv={"P": "a\nRUN id"})]), "", ())


def test_values() -> None:
    one = feature("a", {"x": "$(id)", "on": True}, options={"version": {"type": "string", "default": "lts"}})
    assert values(one, "dev:staff", "").decode().splitlines() == [
        "_CONTAINER_USER='dev'", "_REMOTE_USER='root'", "VERSION='lts'", "X='$(id)'", "ON='true'",
    ]  # fmt: skip


CLASSIC = [
    "Step 4/9 : RUN [\"/bin/sh\", \"/tmp/dev-container-features/begin.sh\", \"a_0\", \"[aienv feature 0] \\\"./a\\\"\"]",
    " ---> Using cache",
    "Step 6/9 : RUN [\"/bin/sh\", \"/tmp/dev-container-features/begin.sh\", \"b_1\", \"[aienv feature 1] \\\"./b\\\"\"]",
    " ---> Running in 0123",
    '[aienv feature 1] "./b"',
    "looking",
    "ouch",
    "Removing intermediate container 0123",
    "The command '/bin/sh ...' returned a non-zero code: 3",
]  # fmt: skip
BUILDKIT = [
    '#8 [4/6] RUN ["/bin/sh", "/tmp/dev-container-features/begin.sh", "b_1", "[aienv feature 1] \\"./b\\""]',
    '#8 0.202 [aienv feature 1] "./b"',
    "#8 0.210 looking",
    "#8 0.220 ouch",
    "#8 ERROR: process did not complete successfully: exit code: 3",
    "------",
    ' > [4/6] RUN ["/bin/sh"]:',
    '0.202 [aienv feature 1] "./b"',
    "------",
]


@pytest.mark.parametrize("lines", [CLASSIC, BUILDKIT], ids=["classic", "buildkit"])
def test_which_feature_failed(lines: list[str]) -> None:
    steps = steps_of([feature("a"), feature("b")])
    assert failed_feature(lines, steps) == (steps[1], ("looking", "ouch"))


@pytest.mark.parametrize("lines", [[], CLASSIC[:4], ["[aienv feature 7] x"], ["x [aienv feature 0]"]])
def test_no_feature_failed(lines: list[str]) -> None:
    assert failed_feature(lines, steps_of([feature("a"), feature("b")])) is None


def test_last_lines_only() -> None:
    assert failure_lines([f"#1 0.1 {number}" for number in range(100)])[0] == "80"


def test_variables_of_a_configuration() -> None:
    found = env_of({"A": "x", "B": True, "C": 3, "D": None, "E": {}, "F": "a\nb", "G-H": "x"})
    assert found.lines == ('ENV A="x"', 'ENV B="true"', 'ENV C="3"')
    assert len(found.problems) == 2
    assert env_of(None).lines == ()


@pytest.mark.parametrize("script", [BEGIN, SCRIPT], ids=["begin", "uid"])
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_scripts_are_posix(script: str, shell: str) -> None:
    words = {"busybox": ["busybox", "sh"], "bash": ["bash", "--posix"], "dash": ["dash"]}[shell]
    try:
        done = subprocess.run([*words, "-n", "-c", script], capture_output=True, timeout=20, check=False)
    except FileNotFoundError:
        pytest.skip(f"{shell} is not installed")
    assert (done.returncode, done.stderr) == (0, b"")
