"""Volumes that clients make."""

import pytest

from orchestrator.guard.calls import Denied, Object, Usage
from orchestrator.guard.volumes import judge_create
from tests.unit.guard.bodies import LIMITS, SESSION, sent

LABELS = {"dev.aienv.managed": "1", "dev.aienv.run": "run1", "dev.aienv.role": "guarded"}


@pytest.mark.parametrize(("body", "because"), [
    pytest.param({"DriverOpts": {"type": "none", "o": "bind", "device": "/"}}, "volume.options", id="bind"),
    pytest.param({"DriverOpts": {"type": "overlay", "o": "lowerdir=/", "device": "x"}}, "volume.options", id="overlay"),
    pytest.param({"DriverOpts": {"type": "ext4", "device": "/dev/vda"}}, "volume.options", id="block-device"),
    pytest.param({"DriverOpts": {"type": "nfs", "o": "addr=1.2.3.4", "device": ":/"}}, "volume.options", id="nfs"),
    pytest.param({"DriverOpts": {"type": "tmpfs", "device": "tmpfs"}}, "volume.options", id="tmpfs"),
    pytest.param({"DriverOpts": ["x"]}, "volume.options", id="list"),
    pytest.param({"driveropts": {}}, "body.case", id="case"),
    pytest.param({"DriverOpt\u017f": {"type": "none"}}, "body.case", id="long-s"),
    pytest.param({"Driver": "nfs"}, "volume.driver", id="driver"),
    pytest.param({"Driver": "local2"}, "volume.driver", id="near-driver"),
    pytest.param({"ClusterVolumeSpec": {"Group": "x"}}, "volume.driver", id="cluster"),
    pytest.param({"Name": "../x"}, "body.value", id="path"),
    pytest.param({"Name": "/x"}, "body.value", id="absolute"),
    pytest.param({"Name": "aienv-map-run1-0"}, "volume.name", id="of-the-guard"),
    pytest.param({"Labels": {"a": None}}, "body.type", id="label"),
    pytest.param({"Next": 1}, "body.unknown", id="unknown"),
])  # fmt: skip
def test_refused(body: Object, because: str) -> None:
    with pytest.raises(Denied) as caught:
        judge_create(sent(body), SESSION, Usage())
    assert caught.value.denial.rule == because


@pytest.mark.parametrize(("body", "expected"), [
    pytest.param({}, {"Driver": "local", "Labels": LABELS}, id="anonymous"),
    pytest.param({"Name": "data", "Driver": ""}, {"Name": "data", "Driver": "local", "Labels": LABELS}, id="name"),
    pytest.param({"Name": "", "DriverOpts": {}, "ClusterVolumeSpec": None}, {"Driver": "local", "Labels": LABELS}, id="zeros"),
    pytest.param({"Labels": {"a": "b", "dev.aienv.run": "x"}}, {"Driver": "local", "Labels": {"a": "b", **LABELS}}, id="labels"),
])  # fmt: skip
def test_passes(body: Object, expected: Object) -> None:
    assert judge_create(sent(body), SESSION, Usage()) == expected


def test_quota() -> None:
    with pytest.raises(Denied, match=r"guard\.volumes: 33"):
        judge_create({}, SESSION, Usage(volumes=LIMITS.volumes))
