"""What ``docker compose config`` prints, judged: all services, volumes, networks, secrets. Pure. A key without a row is refused.

What compose replaces and reads on the way (variables, ``.env``, ``env_file``) is gone from that output: it must be run with no more
environment than ``localenv.visible`` gives, and so must the commands that act on it.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from orchestrator.config.node import Node
from orchestrator.config.yamlfile import parse_yaml
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.policy import mounts, ports, runargs
from orchestrator.devcontainer.policy.asks import Ask, Need, never, settle
from orchestrator.devcontainer.policy.buildoptions import CACHE
from orchestrator.devcontainer.policy.grants import Grants, clean_path
from orchestrator.devcontainer.policy.verdict import Finding, WorkspaceGround
from orchestrator.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ComposeVerdict:
    """``ports``: of the services whose ports must be replaced (``ports: !override [...]`` in a further file), the whole list.

    ``volumes``: names as the engine will know them, as far as the output says them. ``sources``: what is mounted of this machine.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    ports: Mapping[str, tuple[str, ...]]
    volumes: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Ground:
    """``folder``: where relative paths begin. ``volumes``: keys of the file to names of the engine."""

    workspace: WorkspaceGround
    folder: str
    services: frozenset[str] = frozenset()
    volumes: Mapping[str, str] = field(default_factory=dict)

    def path(self, text: str) -> str | None:
        """An absolute, clean path; None if it is none that we could know."""
        return None if text.startswith("~") else clean_path(posixpath.join(self.folder, text))


# (what it is, its value, the ground) -> what it asks for
Rule = Callable[[str, Node, _Ground], Iterator[Ask]]


def judge(config: bytes, service: str, ground: WorkspaceGround, grants: Grants, folder: str = "/") -> ComposeVerdict:
    """``config``: the output of ``docker compose config``. ``service``: the dev container's. ``folder``: of the first compose file.

    Raises:
        ConfigError: the output cannot be read, or has no such service.
    """
    root = parse_yaml(config, "compose config", aliases=True)
    services = _members(_member(root, "services"))
    if service not in services:
        raise ConfigError(f"Service '{service}' configured in devcontainer.json not found in Docker Compose configuration.")
    known = _Ground(ground, folder, frozenset(services), _volume_names(root))
    settled = settle(_asks(root, known), grants)
    published: dict[str, tuple[str, ...]] = {}
    for name in services:
        own = tuple(ask for ask in settled.asks if ask.field == f"ports of {name}")
        if any(ask.words and ask.words[0] != ask.what for ask in own):
            published[name] = tuple(word for ask in own for word in ask.words)
    return ComposeVerdict(
        settled.findings,
        settled.notes,
        published,
        tuple(dict.fromkeys(ask.volume for ask in settled.asks if ask.volume is not None)),
        tuple(dict.fromkeys(ask.source for ask in settled.asks if ask.source is not None)),
    )


def host_paths(config: bytes, folder: str = "/") -> tuple[str, ...]:
    """Paths of this machine that are named: follow their links for ``WorkspaceGround.real``.

    Raises:
        ConfigError: the output cannot be read.
    """
    root = parse_yaml(config, "compose config", aliases=True)
    wanted: list[str] = []
    for _, ask in _asks(root, _Ground(WorkspaceGround(()), folder, volumes=_volume_names(root))):
        wanted += [need.grant.removeprefix("mount:") for need in ask.needs if need.grant is not None and need.grant.startswith("mount:")]
        wanted += [] if ask.source is None else [ask.source]
    return tuple(dict.fromkeys(wanted))


def _asks(root: Node, ground: _Ground) -> Iterator[tuple[str, Ask]]:
    for name, service in _members(_member(root, "services")).items():
        origin = f"service {name} of the compose file"
        for key, value in _members(service).items():
            for ask in _row(SERVICE, key)(key, value, ground) if _says(value) else ():
                yield origin, replace(ask, field=f"ports of {name}") if ask.field == "ports" else ask
    for key, value in root.members:
        for ask in _row(TOP, key)(key, value, ground) if _says(value) else ():
            yield "the compose file", ask


def _row(rows: "Mapping[str, Rule]", key: str, prefix: str = "") -> Rule:
    if key.startswith("x-"):
        return _fine
    return rows.get(key) or _need(f"{prefix}{key}", "it is no key that is known")


# --- reading -------------------------------------------------------------------------------------------------------------------


def _members(node: Node) -> dict[str, Node]:
    return dict(node.members)


def _member(node: Node, name: str) -> Node:
    """Nothing if it is not there, or null."""
    return next((value for key, value in node.members if key == name and value.kind != "nothing"), Node("nothing"))


def _says(node: Node) -> bool:
    """Whether a value says something: nothing, "" and empty lists and maps do not."""
    return node.kind != "nothing" and bool(node.items or node.members or node.text)


def _is_true(node: Node) -> bool:
    """What is not plainly false counts as true."""
    return _says(node) and node.text not in ("false", "False", "FALSE")


def _texts(node: Node) -> list[str]:
    """A list of texts, a map as ``NAME=value``, or one text."""
    if node.kind == "map":
        return [f"{key}={value.text}" for key, value in node.members]
    return [item.text for item in node.items] if node.kind == "list" else [node.text]


def _is_plain(node: Node) -> bool:
    """A text, or a list or map of texts."""
    inner = (*node.items, *(value for _, value in node.members))
    return all(one.kind not in ("list", "map") for one in inner)


def _volume_names(root: Node) -> dict[str, str]:
    """The engine's names: that of the file, or the project's with the key behind it."""
    project = _member(root, "name").text
    return {
        key: _member(value, "name").text or (f"{project}_{key}" if project else key)
        for key, value in _members(_member(root, "volumes")).items()
    }


# --- rules ---------------------------------------------------------------------------------------------------------------------


def _fine(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    yield from ()


def _need(word: str, why: str) -> Rule:
    """With the grant ``compose:WORD`` only."""

    def rule(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", word)[:120]
        yield Ask(f"{word}: {_shown(node)}", needs=(Need(f"compose:{name}", why),))

    return rule


def _shown(node: Node) -> str:
    return " ".join(_texts(node))[:200]


def _word(what: str, grant: str, why: str) -> Ask:
    return Ask(what, needs=(Need(grant, why),))


def _true_needs(grant: str, why: str) -> Rule:
    def rule(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
        if _is_true(node):
            yield _word(key, grant, why)

    return rule


def _each(ask: Callable[[str], Ask]) -> Rule:
    """Each text of a list by the rule that ``docker run`` has for it."""

    def rule(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
        if not _is_plain(node):
            yield never(key, "it is no list of texts")
            return
        yield from (ask(text) for text in _texts(node))

    return rule


def _as_option(option: str) -> Rule:
    """As the option of ``docker run`` has it; what it needs is granted as ``compose:KEY``."""

    def rule(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
        if not _is_plain(node):
            yield from _need(key, "it is no text")(key, node, ground)
            return
        for text in _texts(node):
            ask = runargs.ROWS[option].rule(option, text, ground.workspace)
            needs = tuple(replace(need, grant=f"compose:{key}") for need in ask.needs)
            yield Ask(f"{key}: {text}", needs=needs)

    return rule


def _of_kind(kind: str, *harmless: str, why: str) -> Rule:
    """A namespace: ``KIND:VALUE`` grants it. That of another service of the project is its own."""

    def rule(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
        text = node.text
        if node.kind in ("list", "map"):
            yield never(key, "it is no text")
        elif text not in harmless and text.removeprefix("service:") not in ground.services - {text}:
            yield _word(f"{key}: {text}", f"{kind}:{text}", why)

    return rule


def _table(prefix: str, rows: "Mapping[str, Rule]") -> Rule:
    """A map of which each key has a row; another key needs ``compose:PREFIX.KEY``."""

    def rule(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
        if node.kind != "map":
            yield never(key, "it is no map")
            return
        for name, value in node.members:
            if _says(value):
                yield from _row(rows, name, f"{prefix}.")(f"{prefix}.{name}", value, ground)

    return rule


def _map_of(prefix: str, rows: "Mapping[str, Rule]") -> Rule:
    """Names, each with such a map or nothing."""
    table = _table(prefix, rows)

    def rule(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
        if node.kind != "map":
            yield never(key, "it is no map")
            return
        for name, value in node.members:
            if _says(value):
                yield from table(f"{prefix} {name}", value, ground)

    return rule


def _file(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    """Files that compose reads: a text, a list of texts, or of maps with a ``path``."""
    for one in node.items or (node,):
        text = _member(one, "path").text if one.kind == "map" else one.text
        path = ground.path(text) if text else None
        if path is None:
            yield never(f"{key}: {text}", "it is no path that could be judged")
        else:
            yield Ask(f"{key}: {text}", needs=mounts.read_needs(path, ground.workspace))


def _labels(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    for text in _texts(node):
        name = text.partition("=")[0]
        if runargs.is_ours(name) and not name.startswith("com.docker."):  # compose sets its own over whatever a file says
            yield _word(f"{key}: {name}", f"compose:{key}", "containers are found by such labels")


def _devices(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    for one in node.items or (node,):
        text = _member(one, "source").text if one.kind == "map" else one.text
        yield runargs.ROWS["device"].rule("device", text, ground.workspace)


def _network_mode(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    text = node.text
    if text.startswith("service:") and text.removeprefix("service:") in ground.services:
        return
    yield Ask(f"{key}: {text}", needs=runargs.network_needs(text) if node.kind not in ("list", "map") else (Need(None, "it is no text"),))


def _volumes_from(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    for text in _texts(node):
        if text.partition(":")[0] not in ground.services:
            yield _word(f"{key}: {text}", f"compose:{key}", "it has what another container has mounted")


def _hooks(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    """Commands in the container."""
    for one in node.items:
        yield from _table(key, {**dict.fromkeys(("command", "user", "working_dir", "environment"), _fine), "privileged": _PRIVILEGED})(
            key, one, ground
        )


# --- ports and volumes ---------------------------------------------------------------------------------------------------------


def _ports(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    for one in node.items or (node,):
        yield _port(one)


_PORT_KEYS = ("target", "published", "host_ip", "protocol", "mode", "name", "app_protocol")


def _port(node: Node) -> Ask:
    """``what`` is how the port would be written if nothing were changed of it."""
    try:
        port = _long_port(node) if node.kind == "map" else ports.parse(node.text)
    except ValueError as problem:
        return never(f"the port {_shown(node)}", str(problem))
    ask = ports.ask_port(port.written())
    return replace(ask, what=port.written())


def _long_port(node: Node) -> ports.Port:
    given = _members(node)
    if unknown := [key for key in given if key not in _PORT_KEYS]:
        raise ValueError(f"{unknown[0]!r} is no key of a port")
    host, container = _member(node, "published").text, _member(node, "target").text
    protocol = ports.protocol_of(_member(node, "protocol").text or "tcp")
    plain = ports.parse(f"{host}:{container}/{protocol}")
    return replace(plain, address=ports.address(_member(node, "host_ip").text))


def _volumes(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    for one in node.items or (node,):
        yield from _long_volume(one, ground) if one.kind == "map" else (_short_volume(one.text, ground),)


def _short_volume(text: str, ground: _Ground) -> Ask:
    """``SOURCE:TARGET[:OPTIONS]``, where a source may be relative, or a key of the file."""
    source, colon, rest = text.partition(":")
    if colon and source.startswith("."):
        source = ground.path(source) or source
    elif colon and not source.startswith("/"):
        source = ground.volumes.get(source, source)
    ask = mounts.ask_volume(f"{source}{colon}{rest}", ground.workspace)
    return replace(ask, what=f"the volume {text}", words=())


_MOUNT_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "bind": ("create_host_path", "selinux", "recursive"),
    "volume": ("nocopy", "subpath"),
    "tmpfs": ("size", "mode"),
}


def _long_volume(node: Node, ground: _Ground) -> Iterator[Ask]:
    kind, source, target = (_member(node, key).text for key in ("type", "source", "target"))
    what = f"the volume {source}:{target}"
    wanted: Object = {"type": kind, "target": target}
    if source and kind == "bind":
        wanted["source"] = ground.path(source)
    elif source:
        wanted["source"] = ground.volumes.get(source, source)
    yield replace(mounts.ask_mount(wanted, ground.workspace), what=what, words=())
    for key, value in node.members:
        if key in ("type", "source", "target", "read_only", "consistency") or not _says(value):
            continue
        harmless = _MOUNT_OPTIONS.get(key, ()) if key == kind else ()
        odd = [f"{key}.{name}" for name, one in value.members if name not in harmless and not _is_private(name, one)] or (
            [key] if value.kind != "map" or key not in _MOUNT_OPTIONS else []
        )
        yield from (_word(f"{what}, {one}", "compose:volumes", "it is no harmless option of a mount") for one in odd)


def _is_private(name: str, node: Node) -> bool:
    return name == "propagation" and node.text in ("", "private", "rprivate")


# --- builds --------------------------------------------------------------------------------------------------------------------

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*|git@.*|github\.com/.*|[^/]*@[^/]*:.*", re.DOTALL)


def _build(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    if node.kind != "map":
        yield from _context(node.text, ground)
        return
    context, dockerfile = _member(node, "context").text or ".", _member(node, "dockerfile").text
    yield from _context(context, ground)
    if dockerfile and not _REMOTE.fullmatch(context):
        yield from _file("build.dockerfile", Node("text", posixpath.join(context, dockerfile)), ground)
    yield from _table("build", BUILD)(key, node, ground)


def _context(text: str, ground: _Ground) -> Iterator[Ask]:
    if _REMOTE.fullmatch(text):
        yield _word(f"build.context: {text}", "compose:build.context", "it is fetched, perhaps with credentials of this machine")
    else:
        yield from _file("build.context", Node("text", text), ground)


def _contexts(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    for text in _texts(node):
        if text.partition("=")[2].removeprefix("service:") not in ground.services:
            yield _word(f"{key}: {text}", f"compose:{key}", "it may be a folder of this machine")


def _cache(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    for text in _texts(node):
        if re.fullmatch(CACHE, text, re.ASCII) is None:
            yield _word(f"{key}: {text}", f"compose:{key}", "it reads files of this machine")


_CREDENTIALS = "it hands files or credentials of this machine to the build"
BUILD: Mapping[str, Rule] = {
    **dict.fromkeys((
        "context", "dockerfile", "dockerfile_inline", "args", "no_cache", "no_cache_filter", "platforms", "pull", "shm_size", "target",
        "ulimits",
    ), _fine),
    "additional_contexts": _contexts,
    "cache_from": _cache,
    "cache_to": _need("build.cache_to", "it writes files of this machine, or to a registry"),
    "entitlements": _need("build.entitlements", "it gives the build rights that containers do not have"),
    "extra_hosts": _need("build.extra_hosts", "it names this machine's own addresses"),
    "isolation": _need("build.isolation", "it chooses another kind of walls"),
    "labels": _labels,
    "network": _of_kind("network", "", "none", "default", "bridge", why="it reaches this machine's own network, or other containers"),
    "privileged": _true_needs("compose:build.privileged", "a privileged build is root on this machine"),
    "secrets": _need("build.secrets", _CREDENTIALS),
    "ssh": _need("build.ssh", _CREDENTIALS),
    "tags": _need("build.tags", "it takes names of other images"),
}  # fmt: skip


# --- the rest of a service -----------------------------------------------------------------------------------------------------


def _blkio(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    yield from _table(key, {"weight": _fine})(key, node, ground)


def _gpu(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    yield _word(key, "gpu", "a device of this machine")


_AMOUNTS: Mapping[str, Rule] = dict.fromkeys(("cpus", "memory", "pids", "generic_resources"), _fine)
_DEPLOY: Mapping[str, Rule] = {
    **dict.fromkeys(("mode", "replicas", "endpoint_mode", "update_config", "rollback_config", "restart_policy", "placement"), _fine),
    "labels": _fine,  # of a service in a swarm
    "resources": _table("deploy.resources", {
        "limits": _table("deploy.resources.limits", {**_AMOUNTS, "devices": _gpu}),
        "reservations": _table("deploy.resources.reservations", {**_AMOUNTS, "devices": _gpu}),
    }),
}  # fmt: skip
_LOGGING: Mapping[str, Rule] = {"driver": _as_option("log-driver"), "options": _as_option("log-opt")}
_SERVICE_NETWORK: Mapping[str, Rule] = dict.fromkeys((
    "aliases", "ipv4_address", "ipv6_address", "link_local_ips", "mac_address", "priority", "gw_priority", "interface_name",
), _fine)  # fmt: skip


def _service_networks(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    if node.kind == "map":
        yield from _map_of("networks", _SERVICE_NETWORK)(key, node, ground)


_PRIVILEGED = _true_needs("privileged", "a privileged container is root on this machine")

SERVICE: Mapping[str, Rule] = {
    **dict.fromkeys((
        "attach", "cap_drop", "command", "configs", "container_name", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_shares",
        "cpus", "cpuset", "depends_on", "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "environment", "expose", "extra_hosts",
        "group_add", "healthcheck", "hostname", "image", "init", "links", "mac_address", "mem_limit", "mem_reservation",
        "mem_swappiness", "memswap_limit", "pids_limit", "platform", "profiles", "pull_policy", "pull_refresh_after", "read_only",
        "restart", "scale", "secrets", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "tmpfs", "tty", "ulimits", "user",
        "working_dir",
        "develop",  # of `watch`, which is not used
    ), _fine),
    "annotations": _need("annotations", "annotations steer the runtime"),
    "blkio_config": _blkio,
    "build": _build,
    "cap_add": _each(runargs.ask_capability),
    "cgroup": _of_kind("cgroupns", "private", why="it sees this machine's control groups"),
    "cgroup_parent": _need("cgroup_parent", "the container would escape the limits of its group"),
    "cpu_rt_period": _need("cpu_rt_period", "time on the processor before this machine's own programs"),
    "cpu_rt_runtime": _need("cpu_rt_runtime", "time on the processor before this machine's own programs"),
    "credential_spec": _need("credential_spec", "it reads credentials of this machine"),
    "deploy": _table("deploy", _DEPLOY),
    "device_cgroup_rules": _need("device_cgroup_rules", "it opens devices of this machine"),
    "devices": _devices,
    "env_file": _file,
    "external_links": _need("external_links", "it reaches containers of others"),
    "gpus": _gpu,
    "ipc": _of_kind("ipc", "private", "shareable", "none", why="it shares memory with this machine, or another container"),
    "isolation": _need("isolation", "it chooses another kind of walls"),
    "label_file": _file,
    "labels": _labels,
    "logging": _table("logging", _LOGGING),
    "models": _need("models", "it reaches a service of this machine"),
    "network_mode": _network_mode,
    "networks": _service_networks,
    "oom_kill_disable": _true_needs("compose:oom_kill_disable", "a container that uses up its memory would stop this machine"),
    "oom_score_adj": _as_option("oom-score-adj"),
    "pid": _of_kind("pid", why="it sees, and can end, processes of this machine or another container"),
    "ports": _ports,
    "post_start": _hooks,
    "pre_stop": _hooks,
    "privileged": _PRIVILEGED,
    "provider": _need("provider", "it runs a program on this machine"),
    "runtime": _need("runtime", "it chooses the program that makes the walls"),
    "security_opt": _each(runargs.ask_security),
    "storage_opt": _as_option("storage-opt"),
    "sysctls": _as_option("sysctl"),
    "use_api_socket": _true_needs("docker-socket", "it mounts the engine's socket and credentials"),
    "userns_mode": _of_kind("userns", why="root inside would be root outside"),
    "uts": _of_kind("uts", why="it can rename this machine"),
    "volumes": _volumes,
    "volumes_from": _volumes_from,
}  # fmt: skip


# --- the top of the file -------------------------------------------------------------------------------------------------------


def _is_external(node: Node) -> bool:
    return _is_true(_member(node, "external"))


def _top_volumes(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    for name, value in node.members:
        known = ground.volumes.get(name, name)
        yield Ask(f"the volume {known}", volume=known)
        if _is_external(value):
            yield _word(f"the volume {known}", f"volume:{known}", "it is another project's")
        yield from _table("volumes", {
            "name": _fine, "labels": _labels, "external": _fine, "driver": _as_option("volume-driver"),
            "driver_opts": _need("volumes.driver_opts", "a driver can mount anything from anywhere"),
        })(f"volume {name}", value, ground) if _says(value) else ()  # fmt: skip


def _top_networks(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    for name, value in node.members:
        if _is_external(value):
            external = _member(value, "name").text or _member(_member(value, "external"), "name").text or name
            yield Ask(f"the network {external}", needs=runargs.network_needs(external))
        yield from _table("networks", {
            **dict.fromkeys(("name", "internal", "attachable", "enable_ipv4", "enable_ipv6", "ipam", "external"), _fine), "labels": _labels,
            "driver": _of_kind("network", "bridge", "overlay", "none", why="it reaches the network of this machine"),
            "driver_opts": _need("networks.driver_opts", "it steers the network of this machine"),
        })(f"network {name}", value, ground) if _says(value) else ()  # fmt: skip


def _given(prefix: str) -> Rule:
    """Configs and secrets."""

    def rule(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
        yield from _map_of(prefix, {
            **dict.fromkeys(("name", "content", "labels"), _fine),
            "file": _file,
            "environment": _variable,
        })(key, node, ground)  # fmt: skip

    return rule


def _variable(key: str, node: Node, ground: _Ground) -> Iterator[Ask]:
    yield _word(f"{key}: {node.text}", f"localEnv:{node.text}", "it is a variable of this machine")


TOP: Mapping[str, Rule] = {
    "name": _fine,
    "version": _fine,
    "services": _fine,
    "volumes": _top_volumes,
    "networks": _top_networks,
    "configs": _given("configs"),
    "secrets": _given("secrets"),
}
