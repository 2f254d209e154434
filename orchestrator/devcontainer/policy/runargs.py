"""Options of ``docker run``, of engines 20.10 to 28: which are harmless, which need a grant. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.asks import Ask, Need, never
from orchestrator.devcontainer.policy.csvline import BadLine, join, split
from orchestrator.devcontainer.policy.grants import capability, clean_path, security_option
from orchestrator.devcontainer.policy.mounts import ask_mount, ask_volume, host_path, host_path_of_volume
from orchestrator.devcontainer.policy.options import (
    Given,
    Row,
    asks,
    dropped,
    fine,
    fine_if,
    needs,
    of_kind,
    on_needs,
    read,
    refused,
    written,
)
from orchestrator.devcontainer.policy.ports import ask_port
from orchestrator.devcontainer.policy.verdict import WorkspaceGround

KIND = "run-arg"

_NETWORKS = ("", "default", "bridge", "none")
_OTHER_NETWORK = "other containers, or this machine's own services, can be reached there"
_NETWORK_FIELDS = ("name", "alias", "mac-address", "ip", "ip6", "link-local-ip")


def network_needs(name: str) -> tuple[Need, ...]:
    return () if name in _NETWORKS else (Need(f"network:{name}", _OTHER_NETWORK),)


def _network(name: str, value: str, ground: WorkspaceGround) -> Ask:
    what = f"--network {value}"
    if "=" not in value:
        return Ask(what, words=written("network", value), needs=network_needs(value))
    try:
        fields = [field.partition("=") for field in split(value)]
    except BadLine as problem:
        return never(what, f"it {problem}")
    names = [text.strip().lower() for key, _, text in fields if key.strip().lower() == "name"]
    odd = [key for key, equals, _ in fields if not equals or key not in _NETWORK_FIELDS]
    if len(names) != 1 or not names[0]:
        return never(what, "it does not name one network")
    needs = (*network_needs(names[0]), *(Need("run-arg:--network", f"{key[:80]!r} is no harmless option of a network") for key in odd))
    return Ask(what, words=written("network", join([f"{key}{equals}{text}" for key, equals, text in fields])), needs=needs)


def _publish(name: str, value: str, ground: WorkspaceGround) -> Ask:
    return ask_port(value)


def _volume(name: str, value: str, ground: WorkspaceGround) -> Ask:
    return ask_volume(value, ground)


def _mount(name: str, value: str, ground: WorkspaceGround) -> Ask:
    return ask_mount(value, ground)


def _privileged(name: str, value: str, ground: WorkspaceGround) -> Ask:
    return ask_privileged() if value == "true" else Ask("--privileged=false")


def ask_privileged() -> Ask:
    return Ask("privileged", "privileged", ("true",), (Need("privileged", "a privileged container is root on this machine"),))


def _init(name: str, value: str, ground: WorkspaceGround) -> Ask:
    return Ask("init", "init", ("true",) if value == "true" else ())


# What every container has.
_USUAL_CAPABILITIES = frozenset([
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
])  # fmt: skip


def ask_capability(text: str) -> Ask:
    name = capability(text)
    if name is None:
        return never(f"the capability {text}", "it is no name of a capability")
    needs = () if name in _USUAL_CAPABILITIES else (Need(f"cap:{name}", "a right over this machine's kernel that containers do not have"),)
    return Ask(f"the capability {text}", "cap_add", (name,), needs)


def _capability(name: str, value: str, ground: WorkspaceGround) -> Ask:
    return ask_capability(value)


_HARMLESS_SECURITY = frozenset([
    "no-new-privileges", "no-new-privileges=true", "apparmor=docker-default",
])  # fmt: skip


def ask_security(text: str) -> Ask:
    what = f"the security option {text}"
    found = security_option(text)
    if found is None:
        return never(what, "it is none")
    needs = () if found in _HARMLESS_SECURITY else (Need(f"security-opt:{text}", "it takes away a part of the container's walls"),)
    return Ask(what, "security_opt", (found,), needs)


def _security(name: str, value: str, ground: WorkspaceGround) -> Ask:
    return ask_security(value)


def _device(name: str, value: str, ground: WorkspaceGround) -> Ask:
    host = value.split(":", 1)[0] if value.startswith("/") else value
    path = clean_path(host) if value.startswith("/") else value
    if not path:
        return never(f"--device {value}", "it names no device")
    why = "a device of this machine"
    return Ask(f"--device {value}", words=written(name, path + value[len(host) :]), needs=(Need(f"device:{path}", why),))


def _gpus(name: str, value: str, ground: WorkspaceGround) -> Ask:
    return Ask(f"--gpus {value}", "gpus", (value,), (Need("gpu", "a device of this machine"),))


def _user(name: str, value: str, ground: WorkspaceGround) -> Ask:
    return Ask(f"--user {value}", "user", (value,))


def _env(name: str, value: str, ground: WorkspaceGround) -> Ask:
    variable, equals, _ = value.partition("=")
    if not variable:
        return never(f"--env {value}", "it names no variable")
    if equals:
        return Ask(f"--env {value}", "env", (value,))
    why = "a variable without a value has this machine's"
    return Ask(f"--env {value}", "env", (value,), (Need(f"localEnv:{variable}", why),), instead=())


# By these we, editors and compose find what is ours: a container that claims to be another's would be taken for it.
_OUR_LABELS = re.compile(r"(dev\.)?(aienv|devcontainer|containers)(\..*)?|com\.docker\..*|desktop\.docker\..*")


def is_ours(label: str) -> bool:
    return _OUR_LABELS.fullmatch(label) is not None


def _label(name: str, value: str, ground: WorkspaceGround) -> Ask:
    key = value.partition("=")[0]
    if not key:
        return never(f"--label {value}", "it names no label")
    if not is_ours(key):
        return Ask(f"--label {value}", "labels", (value,))
    why = "containers are found by such labels"
    return Ask(f"--label {value}", "labels", (value,), (Need("run-arg:--label", why),), instead=())


def _api_socket(name: str, value: str, ground: WorkspaceGround) -> Ask:
    if value == "false":
        return Ask("--use-api-socket=false")
    return Ask(f"--{name}", words=written(name, value), needs=(Need("docker-socket", "it mounts the engine's socket and credentials"),))


def _restart(name: str, value: str, ground: WorkspaceGround) -> Ask:
    """A mount is resolved again at each start, and what runs in the workspace can put a link there before; so we alone start it."""
    if value in ("no", ""):
        return Ask(f"--{name}={value}")
    why = "the engine would resolve its mounts again when nobody looks"
    return Ask(f"--{name}={value}", words=written(name, value), needs=(Need("run-arg:--restart", why),), instead=())


_READS = needs("it reads a file of this machine, wherever it is")
_WRITES = needs("it writes a file of this machine, wherever it is")
_THROTTLE = needs("it names a device of this machine")
_REALTIME = needs("time on the processor before this machine's own programs")
_OURS = "aienv attaches and detaches by itself"
_LOG_OPTION = r"(max-size|max-file|compress|mode|max-buffer-size|labels|labels-regex|env|env-regex|tag)=.*"
_SYSCTL = r"(net\.(core\.somaxconn|(?!core\.).+)|kernel\.(msg(max|mnb|mni)|sem|shm(all|max|mni|_rmid_forced))|fs\.mqueue\.[a-z_]+)=.*"

ROWS: Mapping[str, Row] = {
    "add-host": Row(fine),
    "annotation": Row(needs("annotations steer the runtime")),
    "attach": Row(dropped(_OURS), "a"),
    "blkio-weight": Row(fine),
    "blkio-weight-device": Row(_THROTTLE),
    "cap-add": Row(_capability),
    "cap-drop": Row(fine),
    "cgroup-parent": Row(needs("the container would escape the limits of its group")),
    "cgroupns": Row(of_kind("cgroupns", ("", "private"), "it sees this machine's control groups")),
    "cidfile": Row(_WRITES),
    "cpu-count": Row(fine),
    "cpu-percent": Row(fine),
    "cpu-period": Row(fine),
    "cpu-quota": Row(fine),
    "cpu-rt-period": Row(_REALTIME),
    "cpu-rt-runtime": Row(_REALTIME),
    "cpu-shares": Row(fine, "c"),
    "cpus": Row(fine),
    "cpuset-cpus": Row(fine),
    "cpuset-mems": Row(fine),
    "detach": Row(dropped(_OURS, quiet="true"), "d", switch=True),
    "detach-keys": Row(dropped(_OURS)),
    "device": Row(_device),
    "device-cgroup-rule": Row(needs("it opens devices of this machine")),
    "device-read-bps": Row(_THROTTLE),
    "device-read-iops": Row(_THROTTLE),
    "device-write-bps": Row(_THROTTLE),
    "device-write-iops": Row(_THROTTLE),
    "disable-content-trust": Row(fine, switch=True),
    "dns": Row(fine),
    "dns-opt": Row(fine),
    "dns-option": Row(fine),
    "dns-search": Row(fine),
    "domainname": Row(fine),
    "entrypoint": Row(fine),
    "env": Row(_env, "e"),
    "env-file": Row(_READS),
    "expose": Row(fine),
    "gpus": Row(_gpus),
    "group-add": Row(fine),
    "health-cmd": Row(fine),
    "health-interval": Row(fine),
    "health-retries": Row(fine),
    "health-start-interval": Row(fine),
    "health-start-period": Row(fine),
    "health-timeout": Row(fine),
    "help": Row(refused("nothing would be started"), switch=True),
    "hostname": Row(fine, "h"),
    "init": Row(_init, switch=True),
    "interactive": Row(dropped(_OURS, quiet="false"), "i", switch=True),
    "io-maxbandwidth": Row(fine),
    "io-maxiops": Row(fine),
    "ip": Row(fine),
    "ip6": Row(fine),
    "ipc": Row(of_kind("ipc", ("", "private", "shareable", "none"), "it shares memory with this machine, or another container")),
    "isolation": Row(fine_if("|default", "it chooses another kind of walls")),
    "kernel-memory": Row(fine),
    "label": Row(_label, "l"),
    "label-file": Row(_READS),
    "link": Row(needs("it reaches another container, and sees its variables")),
    "link-local-ip": Row(fine),
    "log-driver": Row(fine_if("|none|json-file|local", "others speak from the engine's place")),
    "log-opt": Row(fine_if(_LOG_OPTION, "it can make the engine speak to others")),
    "mac-address": Row(fine),
    "memory": Row(fine, "m"),
    "memory-reservation": Row(fine),
    "memory-swap": Row(fine),
    "memory-swappiness": Row(fine),
    "mount": Row(_mount),
    "name": Row(fine),
    "net": Row(_network),
    "net-alias": Row(fine),
    "network": Row(_network),
    "network-alias": Row(fine),
    "no-healthcheck": Row(fine, switch=True),
    "oom-kill-disable": Row(on_needs("a container that uses up its memory would stop this machine"), switch=True),
    "oom-score-adj": Row(fine_if(r"\+?[0-9]{1,9}|-0+", "this machine's own programs would be ended first")),
    "pid": Row(of_kind("pid", ("", "private"), "it sees, and can end, processes of this machine or another container")),
    "pids-limit": Row(fine),
    "platform": Row(fine),
    "privileged": Row(_privileged, switch=True),
    "publish": Row(_publish, "p"),
    "publish-all": Row(dropped("all ports of the image would listen on all interfaces", quiet="false"), "P", switch=True),
    "pull": Row(dropped("the image was judged before: another one must not take its place")),
    "quiet": Row(fine, "q", switch=True),
    "read-only": Row(fine, switch=True),
    "restart": Row(_restart),
    "rm": Row(fine, switch=True),
    "runtime": Row(needs("it chooses the program that makes the walls")),
    "security-opt": Row(_security),
    "shm-size": Row(fine),
    "sig-proxy": Row(dropped(_OURS), switch=True),
    "stop-signal": Row(fine),
    "stop-timeout": Row(fine),
    "storage-opt": Row(fine_if(r"size=[0-9.]+[A-Za-z]{0,3}", "it steers the engine's storage")),
    "sysctl": Row(fine_if(_SYSCTL, "it is no setting of the container's own namespaces")),
    "tmpfs": Row(fine),
    "tty": Row(dropped(_OURS, quiet="false"), "t", switch=True),
    "ulimit": Row(fine),
    "use-api-socket": Row(_api_socket, switch=True),
    "user": Row(_user, "u"),
    "userns": Row(of_kind("userns", ("", "private"), "root inside would be root outside")),
    "uts": Row(of_kind("uts", ("", "private"), "it can rename this machine")),
    "volume": Row(_volume, "v"),
    "volume-driver": Row(fine_if("|local", "a driver can mount anything from anywhere")),
    "volumes-from": Row(needs("it has what another container has mounted")),
    "workdir": Row(fine, "w"),
}


def run_asks(words: Sequence[Json], ground: WorkspaceGround) -> Iterator[Ask]:
    """What ``runArgs`` ask for, in their order."""
    return asks(words, ground, ROWS, KIND)


def host_paths(words: Sequence[Json]) -> Iterator[str]:
    """Paths of this machine that ``words`` would mount."""
    for one in read(words, ROWS, KIND):
        if isinstance(one, Given) and one.name in ("mount", "volume"):
            path = host_path(one.value) if one.name == "mount" else host_path_of_volume(one.value)
            if path is not None:
                yield path
