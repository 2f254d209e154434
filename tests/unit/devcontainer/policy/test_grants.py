"""The words of grants: their one spelling, what they allow, and the refusal that names them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.config.node import word
from orchestrator.config.values import BadValue
from orchestrator.devcontainer.policy.grants import NONE, Grants, canonical, parse_grant
from orchestrator.devcontainer.policy.verdict import Finding, WorkspaceGround, refuse
from orchestrator.errors import PolicyRefused, UsageError


@pytest.mark.parametrize(
    ("written", "spelling"),
    [
        ("privileged", "privileged"),
        ("everything", "everything"),
        ("cap:cap_sys_ptrace", "cap:SYS_PTRACE"),
        ("cap:sys_ptrace", "cap:SYS_PTRACE"),
        ("device:/dev//kvm/", "device:/dev/kvm"),
        ("device:nvidia.com/gpu=all", "device:nvidia.com/gpu=all"),
        ("mount:/a/./b/../c/", "mount:/a/c"),
        ("mount:/", "mount:/"),
        ("mount://a", "mount:/a"),
        ("volume:cache", "volume:cache"),
        ("security-opt:seccomp:unconfined", "security-opt:seccomp=unconfined"),
        ("network:host", "network:host"),
        ("network:container:x", "network:container:x"),
        ("port:0.0.0.0:8080", "port:0.0.0.0:8080"),
        ("port:[::]:08080", "port::::8080"),
        ("port:10.0.0.1:80-90", "port:10.0.0.1:80-90"),
        ("run-arg:--sysctl", "run-arg:--sysctl"),
        ("build-option:--secret", "build-option:--secret"),
        ("compose:volumes.driver_opts", "compose:volumes.driver_opts"),
        ("localEnv:HOME", "localEnv:HOME"),
    ],
)
def test_one_spelling(written: str, spelling: str) -> None:
    assert canonical(written) == spelling


@pytest.mark.parametrize(
    ("written", "because"),
    [
        ("", "unknown grant"),
        ("privilegd", "perhaps 'privileged'?"),
        ("mounts:/a", "perhaps 'mount'?"),
        ("Privileged", "perhaps 'privileged'?"),
        ("cap", "lacks a value, such as 'cap:SYS_PTRACE'"),
        ("privileged:true", "unknown grant"),
        ("cap:", "has a value that is none"),
        ("cap:A B", "has a value that is none"),
        ("mount:a", "has a value that is none"),
        ("mount:/a\n", "has a value that is none"),
        ("volume:../a", "has a value that is none"),
        ("port:8080", "has a value that is none"),
        ("port:0.0.0.0:70000", "has a value that is none"),
        ("port:999.0.0.0:80", "has a value that is none"),
        ("run-arg:sysctl", "has a value that is none"),
        ("run-arg:--a=b", "has a value that is none"),
        ("localEnv:A=b", "has a value that is none"),
        ("localEnv:", "has a value that is none"),
    ],
)
def test_malformed(written: str, because: str) -> None:
    with pytest.raises(UsageError) as refused:
        Grants.of([written])
    assert because in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("granted", "asked", "allowed"),
    [
        ("privileged", "privileged", True),
        ("privileged", "cap:SYS_ADMIN", False),
        ("cap:ALL", "cap:SYS_ADMIN", True),
        ("cap:SYS_ADMIN", "cap:ALL", False),
        ("mount:/a", "mount:/a", True),
        ("mount:/a", "mount:/a/b/c", True),
        ("mount:/a", "mount:/ab", False),
        ("mount:/a/b", "mount:/a", False),
        ("mount:/a", "mount:/a/../etc", False),
        ("mount:/", "mount:/etc", True),
        ("device:/dev/dri", "device:/dev/dri/card0", False),
        ("volume:a", "volume:b", False),
        ("security-opt:seccomp=unconfined", "security-opt:seccomp:unconfined", True),
        ("security-opt:seccomp=unconfined", "security-opt:apparmor=unconfined", False),
        ("network:host", "network:container:x", False),
        ("port:0.0.0.0:80", "port:0.0.0.0:81", False),
        ("everything", "privileged", True),
        ("everything", "no such word", True),
        ("mount:/", "no such word", False),
    ],
)
def test_allows(granted: str, asked: str, allowed: bool) -> None:
    assert Grants.of([granted]).allows(asked) is allowed
    assert not NONE.allows(asked)


def test_key_of_the_configuration() -> None:
    assert parse_grant(word("cap:sys_ptrace")) == "cap:SYS_PTRACE"
    with pytest.raises(BadValue, match="perhaps 'mount'"):
        parse_grant(word("mounts:/a"))


def test_refusal_names_everything() -> None:
    """Who asked, for what, why not, and one line to type."""
    found = [
        Finding("privileged", "feature x:1", "it is root", "privileged"),
        Finding("the mount /a b", "devcontainer.json", "foreign", "mount:/a b"),
        Finding("privileged", "feature x:1", "it is root", "privileged"),
    ]
    refuse([])
    with pytest.raises(PolicyRefused) as refused:
        refuse(found)
    assert refused.value.exit_code == 4
    assert refused.value.message.startswith("2 things are not granted:\n  feature x:1 asks for privileged: it is root")
    assert "devcontainer.json asks for the mount /a b" in refused.value.message
    assert refused.value.remedy == "--grant privileged --grant 'mount:/a b'"


def test_what_nothing_allows_is_said() -> None:
    with pytest.raises(PolicyRefused) as refused:
        refuse([Finding("x", "y", "z"), Finding("x", "y", "z", "gpu")])
    assert refused.value.remedy == "--grant gpu, and take out what nothing allows"
    with pytest.raises(PolicyRefused) as refused:
        refuse([Finding("x", "y", "z")])
    assert refused.value.remedy == "take it out of the configuration"


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    with pytest.raises(PolicyRefused) as refused:
        refuse([Finding("\x1b[2J", "\u202e", "z", "mount:/\u202e")])
    assert (refused.value.message + (refused.value.remedy or "")).isprintable()


@pytest.mark.parametrize(
    ("path", "held"),
    [("/w", True), ("/w/a", True), ("/wa", False), ("/", False), ("/real", True), ("/real/x", True), ("/git/common", True)],
)
def test_ground(path: str, held: bool) -> None:
    ground = WorkspaceGround(("/w", "/link", "/git/common"), {"/link": "/real"})
    assert ground.holds(path) is held


@given(st.text())
def test_any_word_is_answered(text: str) -> None:
    """With a spelling that stays itself, or our own error."""
    try:
        found = canonical(text)
    except UsageError:
        assert not Grants.of(["mount:/"]).allows(text)
    else:
        assert canonical(found) == found
        assert Grants.of([text]).allows(text)
