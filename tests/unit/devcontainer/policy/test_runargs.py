"""Options of ``docker run``: how words are read, a row for each option, and that nothing comes through which was not granted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.asks import Ask, settle
from orchestrator.devcontainer.policy.container import Verdict, judge
from orchestrator.devcontainer.policy.grants import NONE, Grants
from orchestrator.devcontainer.policy.options import MAX_WORDS, Given, Unread, read
from orchestrator.devcontainer.policy.runargs import KIND, ROWS, run_asks
from orchestrator.devcontainer.policy.verdict import WorkspaceGround

GROUND = WorkspaceGround(("/w",))


def verdict(*words: Json, grants: tuple[str, ...] = ()) -> Verdict:
    return judge((), {"runArgs": [*words]}, GROUND, Grants.of(grants))


def given_by(*words: Json) -> list[tuple[str, str] | None]:
    return [(one.name, one.value) if isinstance(one, Given) else None for one in read(words, ROWS, KIND)]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--name", "x"], [("name", "x")]),
        (["--name=x"], [("name", "x")]),
        (["--name="], [("name", "")]),
        (["--name=a=b"], [("name", "a=b")]),
        (["--name", "--privileged"], [("name", "--privileged")]),
        (["--name", "--"], [("name", "--")]),
        (["--init"], [("init", "true")]),
        (["--init", "--rm"], [("init", "true"), ("rm", "true")]),
        (["--init=0"], [("init", "false")]),
        (["--init=T"], [("init", "true")]),
        (["--init", "false"], [("init", "true"), None]),
        (["-v", "a:/b"], [("volume", "a:/b")]),
        (["-va:/b"], [("volume", "a:/b")]),
        (["-v=a:/b"], [("volume", "a:/b")]),
        (["-v="], [("volume", "=")]),
        (["-v", "--privileged"], [("volume", "--privileged")]),
        (["-it"], [("interactive", "true"), ("tty", "true")]),
        (["-itv", "x:/y"], [("interactive", "true"), ("tty", "true"), ("volume", "x:/y")]),
        (["-itvx:/y"], [("interactive", "true"), ("tty", "true"), ("volume", "x:/y")]),
        (["-itv=x:/y"], [("interactive", "true"), ("tty", "true"), ("volume", "x:/y")]),
        (["-it=false"], [("interactive", "true"), ("tty", "false")]),
        (["-hx", "-u", "1:1"], [("hostname", "x"), ("user", "1:1")]),
        (["-P=false"], [("publish-all", "false")]),
        (["--unknown=1", "--rm"], [None, ("rm", "true")]),
        (["--unknown", "--rm"], [None, ("rm", "true")]),
        (["--unknown", "1", "--rm"], [None, ("rm", "true")]),
        # What docker would end with an error, or take for the image.
        (["alpine", "--rm"], [None]),
        (["--", "--rm"], [None]),
        (["-", "--rm"], [None]),
        (["", "--rm"], [None]),
        (["--rm", "alpine"], [("rm", "true"), None]),
        (["--name"], [None]),
        (["-v"], [None]),
        (["-z", "--rm"], [None]),
        (["-iz", "--rm"], [("interactive", "true"), None]),
        (["-i=", "--rm"], [("interactive", "true"), None]),
        (["--init=maybe"], [None]),
        (["---rm"], [None]),
        (["--=x"], [None]),
        (["--NAME=x"], [None]),
        (["--cap_add=ALL"], [None]),
        ([7], [None]),
        ([None], [None]),
        ([["--rm"]], [None]),
        (["--name=\x00"], [None]),
        (["--name=\ud800"], [None]),
    ],
)
def test_read(words: list[Json], options: list[tuple[str, str] | None]) -> None:
    """As docker's own reader does. None: a word that is refused."""
    assert given_by(*words) == options


def asked(name: str, value: str) -> Ask:
    (ask,) = run_asks([f"--{name}={value}"], GROUND)
    return ask


# Option, a value, and what grants it: () harmless, None nothing does. A row that has "left out" is not refused, only left out.
NEEDS = [
    ("annotation", "a=b", "run-arg:--annotation"),
    ("blkio-weight-device", "/dev/sda:1", "run-arg:--blkio-weight-device"),
    ("cap-add", "SYS_PTRACE", "cap:SYS_PTRACE"),
    ("cap-add", "cap_sys_admin", "cap:SYS_ADMIN"),
    ("cap-add", "all", "cap:ALL"),
    ("cap-add", "NOT A NAME", None),
    ("cgroup-parent", "/x", "run-arg:--cgroup-parent"),
    ("cgroupns", "host", "cgroupns:host"),
    ("cidfile", "/x", "run-arg:--cidfile"),
    ("cpu-rt-period", "1", "run-arg:--cpu-rt-period"),
    ("cpu-rt-runtime", "1", "run-arg:--cpu-rt-runtime"),
    ("device", "/dev/kvm", "device:/dev/kvm"),
    ("device", "/dev/x/../kvm:/dev/y:rwm", "device:/dev/kvm"),
    ("device", "nvidia.com/gpu=all", "device:nvidia.com/gpu=all"),
    ("device", "", None),
    ("device-cgroup-rule", "a *:* rwm", "run-arg:--device-cgroup-rule"),
    ("device-read-bps", "/dev/sda:1", "run-arg:--device-read-bps"),
    ("device-read-iops", "/dev/sda:1", "run-arg:--device-read-iops"),
    ("device-write-bps", "/dev/sda:1", "run-arg:--device-write-bps"),
    ("device-write-iops", "/dev/sda:1", "run-arg:--device-write-iops"),
    ("env-file", ".env", "run-arg:--env-file"),
    ("gpus", "all", "gpu"),
    ("help", "true", None),
    ("ipc", "host", "ipc:host"),
    ("ipc", "container:x", "ipc:container:x"),
    ("isolation", "hyperv", "run-arg:--isolation"),
    ("label-file", "x", "run-arg:--label-file"),
    ("link", "other", "run-arg:--link"),
    ("log-driver", "syslog", "run-arg:--log-driver"),
    ("log-opt", "syslog-address=tcp://x", "run-arg:--log-opt"),
    ("mount", "type=bind,source=/etc,target=/x", "mount:/etc"),
    ("mount", "x", None),
    ("net", "host", "network:host"),
    ("network", "host", "network:host"),
    ("network", "container:x", "network:container:x"),
    ("network", "other", "network:other"),
    ("network", "name=host", "network:host"),
    ("network", "alias=x,NAME=bridge", "run-arg:--network"),
    ("network", "name=bridge,driver-opt=a=b", "run-arg:--network"),
    ("network", "alias=x", None),
    ("network", 'name=a"b', None),
    ("oom-kill-disable", "true", "run-arg:--oom-kill-disable"),
    ("oom-score-adj", "-1", "run-arg:--oom-score-adj"),
    ("pid", "host", "pid:host"),
    ("pid", "container:x", "pid:container:x"),
    ("privileged", "true", "privileged"),
    ("publish", "x", None),
    ("runtime", "x", "run-arg:--runtime"),
    ("security-opt", "seccomp=unconfined", "security-opt:seccomp=unconfined"),
    ("security-opt", "seccomp:unconfined", "security-opt:seccomp:unconfined"),
    ("security-opt", "seccomp=/etc/passwd", "security-opt:seccomp=/etc/passwd"),
    ("security-opt", "apparmor=unconfined", "security-opt:apparmor=unconfined"),
    ("security-opt", "label=disable", "security-opt:label=disable"),
    ("security-opt", "systempaths=unconfined", "security-opt:systempaths=unconfined"),
    ("security-opt", "proc-opts=x", "security-opt:proc-opts=x"),
    ("security-opt", "no-new-privileges=false", "security-opt:no-new-privileges=false"),
    ("security-opt", "", None),
    ("storage-opt", "dm.x=y", "run-arg:--storage-opt"),
    ("sysctl", "kernel.core_pattern=|/x", "run-arg:--sysctl"),
    ("sysctl", "net.core.rmem_max=1", "run-arg:--sysctl"),
    ("unknown-option", "1", "run-arg:--unknown-option"),
    ("use-api-socket", "true", "docker-socket"),
    ("userns", "host", "userns:host"),
    ("uts", "host", "uts:host"),
    ("volume", "/etc:/x", "mount:/etc"),
    ("volume", "/var/run/docker.sock:/x", "docker-socket"),
    ("volume", "~:/x", None),
    ("volume-driver", "nfs", "run-arg:--volume-driver"),
    ("volumes-from", "x", "run-arg:--volumes-from"),
]
LEFT_OUT = [
    ("attach", "stdin", "run-arg:--attach"),
    ("detach", "false", "run-arg:--detach"),
    ("detach-keys", "x", "run-arg:--detach-keys"),
    ("env", "SECRET", "localEnv:SECRET"),
    ("interactive", "true", "run-arg:--interactive"),
    ("label", "devcontainer.local_folder=/x", "run-arg:--label"),
    ("label", "dev.aienv.run=x", "run-arg:--label"),
    ("label", "com.docker.compose.project=x", "run-arg:--label"),
    ("publish-all", "true", "run-arg:--publish-all"),
    ("pull", "always", "run-arg:--pull"),
    ("sig-proxy", "true", "run-arg:--sig-proxy"),
    ("tty", "true", "run-arg:--tty"),
]
HARMLESS = [
    ("add-host", "x:1.2.3.4"), ("blkio-weight", "10"), ("cap-add", "CHOWN"), ("cap-add", "CAP_NET_RAW"), ("cap-drop", "ALL"),
    ("cgroupns", "private"), ("cpu-count", "1"), ("cpu-percent", "1"), ("cpu-period", "1"), ("cpu-quota", "1"), ("cpu-shares", "1"),
    ("cpus", "1"), ("cpuset-cpus", "0"), ("cpuset-mems", "0"), ("detach", "true"), ("disable-content-trust", "true"), ("dns", "1.1.1.1"),
    ("dns-opt", "x"), ("dns-option", "x"), ("dns-search", "x"), ("domainname", "x"), ("entrypoint", "x"), ("env", "A=b"), ("env", "A="),
    ("expose", "80"), ("group-add", "x"), ("health-cmd", "x"), ("health-interval", "1s"), ("health-retries", "1"),
    ("health-start-interval", "1s"), ("health-start-period", "1s"), ("health-timeout", "1s"), ("hostname", "x"), ("init", "true"),
    ("init", "false"), ("interactive", "false"), ("io-maxbandwidth", "1"), ("io-maxiops", "1"), ("ip", "172.17.0.9"), ("ip6", "::9"),
    ("ipc", "private"), ("ipc", "shareable"), ("ipc", "none"), ("isolation", "default"), ("kernel-memory", "1g"), ("label", "a=b"),
    ("label", "development=x"), ("link-local-ip", "169.254.1.1"), ("log-driver", "none"), ("log-driver", "json-file"),
    ("log-opt", "max-size=1m"), ("mac-address", "x"), ("memory", "1g"), ("memory-reservation", "1g"), ("memory-swap", "-1"),
    ("memory-swappiness", "0"), ("mount", "type=bind,source=/w/a,target=/x"), ("mount", "source=cache,target=/x"), ("name", "x"),
    ("net", "bridge"), ("net-alias", "x"), ("network", "none"), ("network", "default"), ("network", ""), ("network", "name=bridge,alias=x"),
    ("network-alias", "x"), ("no-healthcheck", "true"), ("oom-kill-disable", "false"), ("oom-score-adj", "500"), ("pid", ""),
    ("pids-limit", "10"), ("platform", "linux/amd64"), ("privileged", "false"), ("publish", "127.0.0.1:80:80"), ("publish-all", "false"),
    ("quiet", "true"), ("read-only", "true"), ("restart", "no"), ("rm", "true"), ("security-opt", "no-new-privileges"),
    ("security-opt", "no-new-privileges:true"), ("security-opt", "apparmor=docker-default"),
    ("shm-size", "1g"), ("stop-signal", "TERM"), ("stop-timeout", "1"), ("storage-opt", "size=10G"), ("sysctl", "net.core.somaxconn=9"),
    ("sysctl", "net.ipv4.ip_unprivileged_port_start=0"), ("sysctl", "kernel.shmmax=1"), ("tmpfs", "/run:exec"), ("tty", "false"),
    ("ulimit", "nofile=9"), ("use-api-socket", "false"), ("user", "1000:1000"), ("userns", ""), ("uts", ""), ("volume", "/w:/x:ro"),
    ("volume", "cache:/x"), ("volume", "/x"), ("volume-driver", "local"), ("workdir", "/x"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "grant"), NEEDS)
def test_needs_a_grant(name: str, value: str, grant: str | None) -> None:
    word = f"--{name}={value}"
    refused = verdict(word)
    assert [one.grant for one in refused.findings] == [grant]
    assert not refused.notes
    assert refused.final.words() == ()
    if grant is not None:
        granted = verdict(word, grants=(grant,))
        assert not granted.findings
        assert granted.final.words()
    assert bool(verdict(word, grants=("everything",)).findings) is (grant is None)


@pytest.mark.parametrize(("name", "value", "grant"), LEFT_OUT)
def test_left_out_with_a_note(name: str, value: str, grant: str) -> None:
    word = f"--{name}={value}"
    without = verdict(word)
    assert not without.findings
    assert without.final.words() == ()
    assert f"--grant {grant} gives it" in without.notes[0]
    assert verdict(word, grants=(grant,)).final.words() == (word,)


@pytest.mark.parametrize(("name", "value"), HARMLESS)
def test_harmless(name: str, value: str) -> None:
    found = verdict(f"--{name}={value}")
    assert (found.findings, found.notes) == ((), ())


def test_each_row_is_tested() -> None:
    assert {name for name, *_ in (*NEEDS, *LEFT_OUT, *HARMLESS)} - {"unknown-option"} == set(ROWS)


def test_where_words_go() -> None:
    """What has a field of its own does not stay among the rest."""
    final = verdict(
        "-it", "--rm", "-e", "A=b", "-l", "c=d", "-u", "me", "--user=you", "-p", "80:81", "--init", "--name", "x", "-v", "v1:/v",
        "--mount", "src=v2,dst=/t", "--cap-add", "chown", "--security-opt=no-new-privileges:true", "--gpus=all", grants=("gpu",),
    ).final  # fmt: skip
    assert final.run_args == ("--rm=true", "--name=x", "--volume=v1:/v")
    assert (final.env, final.labels, final.user, final.ports) == (("A=b",), ("c=d",), "you", ("127.0.0.1:80:81",))
    assert (final.mounts, final.volumes) == (("type=volume,source=v2,target=/t",), ("v1", "v2"))
    assert (final.init, final.cap_add, final.security_opt, final.gpus) == (True, ("CHOWN",), ("no-new-privileges=true",), "all")
    assert "--privileged" not in final.words()


def test_a_granted_variable_of_this_machine() -> None:
    assert verdict("-e", "TOKEN", grants=("localEnv:TOKEN",)).final.env == ("TOKEN",)
    assert verdict("-e", "TOKEN", grants=("localEnv:OTHER",)).final.env == ()


def test_an_unknown_option_with_its_value() -> None:
    assert verdict("--new", "1", "--rm", grants=("run-arg:--new",)).final.run_args == ("--new=1", "--rm=true")
    assert [one.grant for one in verdict("--new", "1", "--privileged").findings] == ["run-arg:--new", "privileged"]


_OPTIONS = [f"--{name}" for name in ROWS] + [f"-{row.short}" for row in ROWS.values() if row.short]
_VALUES = [
    "", "host", "true", "false", "x", "/etc:/x", "/w:/x", "type=bind,source=/etc,target=/x", "80:80", "A=b", "A", "ALL", "CHOWN", "--",
    "seccomp=unconfined", "name=host", "/dev/kvm", "-1", "--privileged", "container:x",
]  # fmt: skip
_WORD = st.one_of(
    st.sampled_from(_OPTIONS),
    st.sampled_from(_VALUES),
    st.builds("=".join, st.tuples(st.sampled_from(_OPTIONS), st.sampled_from(_VALUES))),
    st.builds("".join, st.tuples(st.sampled_from(_OPTIONS), st.sampled_from(_VALUES))),
    st.text(max_size=8),
)


@settings(max_examples=300)
@given(st.lists(_WORD, max_size=8), st.sampled_from([(), ("privileged",), ("mount:/etc",), ("network:host", "cap:ALL")]))
def test_nothing_comes_through_that_was_not_granted(words: list[str], granted: tuple[str, ...]) -> None:
    """Read again, the final words need nothing beyond the grants, and say the same."""
    grants = Grants.of(granted)
    final = judge((), {"runArgs": [*words]}, GROUND, grants).final
    again = judge((), {"runArgs": [*final.words()]}, GROUND, grants)
    assert again.findings == ()
    assert sorted(again.final.words()) == sorted(final.words())
    for ask in run_asks([*final.words()], GROUND):
        assert all(need.grant is not None and grants.allows(need.grant) for need in ask.needs)


@given(st.lists(st.one_of(_WORD, st.none(), st.integers(), st.lists(st.text(), max_size=1)), max_size=5))
def test_any_words_are_answered(words: list[Json]) -> None:
    for one in read(words, ROWS, KIND):
        assert isinstance(one, (Given, Unread))
    settle((("x", ask) for ask in run_asks(words, GROUND)), NONE)


def test_there_are_not_too_many_words() -> None:
    assert len(verdict(*["-i"] * MAX_WORDS).notes) == 1
    assert [one.grant for one in verdict(*["-i"] * (MAX_WORDS + 1), grants=("everything",)).findings] == [None]
