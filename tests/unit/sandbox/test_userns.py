"""Why there is no sandbox here, and what cures it."""

# ruff: noqa: E501 - a row of a table stays one line

from collections.abc import Mapping

import pytest

from orchestrator.sandbox.userns import cause_and_cure

NOT_PERMITTED = "bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user namespaces."
UID_MAP = "bwrap: setting up uid map: Permission denied"
LOOPBACK = "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted"
PROC = "bwrap: Can't mount proc on /newroot/proc: Operation not permitted"


@pytest.mark.parametrize(
    ("complaint", "found", "cause", "cure"),
    [
        pytest.param(NOT_PERMITTED, {"kernel.unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=0", "sysctl -w kernel.unprivileged_userns_clone=1", id="debian"),
        pytest.param(NOT_PERMITTED, {"user.max_user_namespaces": "0"}, "user.max_user_namespaces=0", "sysctl -w user.max_user_namespaces=15000", id="rhel"),
        pytest.param(LOOPBACK, {"kernel.apparmor_restrict_unprivileged_userns": "1"}, "AppArmor", "apparmor_restrict_unprivileged_userns=0", id="ubuntu-loopback"),
        pytest.param(UID_MAP, {"kernel.apparmor_restrict_unprivileged_userns": "1"}, "AppArmor", "bwrap-userns-restrict", id="ubuntu-uid-map"),
        pytest.param(PROC, {"in_container": "yes"}, "container", "systempaths=unconfined", id="container-proc"),
        pytest.param(NOT_PERMITTED, {"in_container": "yes"}, "container", "DOCKER_HOST", id="container-seccomp"),
        pytest.param(NOT_PERMITTED, {"in_container": "yes", "user.max_user_namespaces": "0"}, "max_user_namespaces=0", "sysctl", id="container-with-sysctl"),
        pytest.param(
            LOOPBACK, {"in_container": "yes", "kernel.apparmor_restrict_unprivileged_userns": "1"}, "container", "container", id="container-on-ubuntu"
        ),
        pytest.param("bwrap: something new", {}, "something new", "aienv doctor", id="unknown"),
        pytest.param("", {"kernel.unprivileged_userns_clone": "1", "user.max_user_namespaces": "63000", "in_container": "no"}, "nothing", "doctor", id="silence"),
    ],
)  # fmt: skip
def test_cause_and_cure(complaint: str, found: Mapping[str, str], cause: str, cure: str) -> None:
    """Settings decide before words do; the complaint itself is always shown."""
    said, remedy = cause_and_cure(complaint, found)
    assert cause in said
    assert cure in remedy
    assert complaint in said
