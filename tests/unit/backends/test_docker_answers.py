"""What the engine's answers are taken to mean, for the shapes that engines 20.10 to 28 give."""

import pytest

from orchestrator.backends.docker import _refuse_foreign, _refuse_unusable, engine_facts, image_facts
from orchestrator.backends.docker_endpoint import Endpoint
from orchestrator.errors import BackendUnavailable, EnvironmentFailed

HERE = Endpoint("unix:///var/run/docker.sock", None, "default")
VERSION = {"Version": "20.10.24+dfsg1", "ApiVersion": "1.41"}
INFO = {
    "NCPU": 2, "MemoryLimit": True, "SwapLimit": False, "CpuCfsQuota": True, "PidsLimit": True, "OSType": "linux",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"],
}  # fmt: skip


def test_engine_facts() -> None:
    """Security options carry their own options behind a comma."""
    facts = engine_facts(VERSION, INFO)
    assert (facts.version, facts.api, facts.cpus, facts.apparmor, facts.swap_limit) == ("20.10.24+dfsg1", "1.41", 2, True, False)
    assert not engine_facts(VERSION, {**INFO, "SecurityOptions": None}).apparmor


@pytest.mark.parametrize(
    ("version", "info", "code"),
    [
        pytest.param({"ApiVersion": "1.40"}, {}, "engine-old", id="19.03"),
        pytest.param({}, {"OSType": "windows"}, "engine-os", id="windows-containers"),
        pytest.param({}, {"Architecture": "riscv64"}, "engine-machine", id="another-processor"),
        pytest.param({}, {"SecurityOptions": ["name=apparmor"]}, "engine-seccomp", id="no-seccomp"),
        pytest.param({}, {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}, "engine-userns", id="rootless"),
        pytest.param({}, {"SecurityOptions": ["name=seccomp,profile=builtin", "name=userns"]}, "engine-userns", id="userns-remap"),
    ],
)
def test_engines_that_cannot_keep_the_promise(version: dict[str, str], info: dict[str, object], code: str) -> None:
    """They are refused before anything is made; the engine without the oddity passes."""
    with pytest.raises(BackendUnavailable) as caught:
        _refuse_unusable(HERE, engine_facts({**VERSION, **version}, {**INFO, **info}), {**INFO, **info})
    assert caught.value.code == code
    assert caught.value.remedy
    _refuse_unusable(HERE, engine_facts(VERSION, INFO), INFO)


def test_image_facts() -> None:
    """Environment words may lack a value or hold more than one equals sign; whole members may be null."""
    found = image_facts(
        {"Id": "sha256:1", "Os": "linux", "Architecture": "arm64", "Config": {"Env": ["A=b=c", "B"], "Volumes": {"/b": {}, "/a": {}}}}
    )
    assert found.env == (("A", "b=c"), ("B", ""))
    assert found.volumes == ("/a", "/b")
    assert image_facts({"Id": "sha256:1", "Config": {"Env": None, "Volumes": None}}).volumes == ()
    assert image_facts({"Id": "sha256:1", "Config": None}).env == ()


def test_image_for_another_processor() -> None:
    """It is refused with the platform that would do."""
    with pytest.raises(EnvironmentFailed, match="s390x"):
        _refuse_foreign("x", image_facts({"Id": "sha256:1", "Os": "linux", "Architecture": "s390x"}))
