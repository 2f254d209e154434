"""The keys of a compose service: which are harmless, which need a grant. Pure."""

from collections.abc import Iterator, Mapping

from orchestrator.config.node import Node
from orchestrator.devcontainer.policy import runargs
from orchestrator.devcontainer.policy.asks import Ask, Need
from orchestrator.devcontainer.policy.composebuild import build
from orchestrator.devcontainer.policy.composeplaces import published, volumes
from orchestrator.devcontainer.policy.composerules import (
    Ground,
    Rule,
    as_option,
    ask_for,
    each,
    files,
    fine,
    labels,
    map_of,
    member,
    need,
    of_kind,
    table,
    texts,
    true_needs,
)


def _devices(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    for one in node.items or (node,):
        text = member(one, "source").text if one.kind == "map" else one.text
        yield runargs.ROWS["device"].rule("device", text, ground.workspace)


def _network_mode(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    text = node.text
    if text.startswith("service:") and text.removeprefix("service:") in ground.services:
        return
    yield Ask(f"{key}: {text}", needs=runargs.network_needs(text) if node.kind not in ("list", "map") else (Need(None, "it is no text"),))


def _volumes_from(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    for text in texts(node):
        if text.partition(":")[0] not in ground.services:
            yield ask_for(f"{key}: {text}", f"compose:{key}", "it has what another container has mounted")


def _hooks(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    """Commands in the container."""
    for one in node.items or (node,):
        yield from table(key, {**dict.fromkeys(("command", "user", "working_dir", "environment"), fine), "privileged": _PRIVILEGED})(
            key, one, ground
        )


def _blkio(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    yield from table(key, {"weight": fine})(key, node, ground)


def _gpu(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    yield ask_for(key, "gpu", "a device of this machine")


_AMOUNTS: Mapping[str, Rule] = dict.fromkeys(("cpus", "memory", "pids", "generic_resources"), fine)
_DEPLOY: Mapping[str, Rule] = {
    **dict.fromkeys(("mode", "replicas", "endpoint_mode", "update_config", "rollback_config", "restart_policy", "placement"), fine),
    "labels": fine,  # of a service in a swarm
    "resources": table("deploy.resources", {
        "limits": table("deploy.resources.limits", {**_AMOUNTS, "devices": _gpu}),
        "reservations": table("deploy.resources.reservations", {**_AMOUNTS, "devices": _gpu}),
    }),
}  # fmt: skip
_LOGGING: Mapping[str, Rule] = {"driver": as_option("log-driver"), "options": as_option("log-opt")}
_SERVICE_NETWORK: Mapping[str, Rule] = dict.fromkeys((
    "aliases", "ipv4_address", "ipv6_address", "link_local_ips", "mac_address", "priority", "gw_priority", "interface_name",
), fine)  # fmt: skip


def _service_networks(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    if node.kind == "map":
        yield from map_of("networks", _SERVICE_NETWORK)(key, node, ground)


_PRIVILEGED = true_needs("privileged", "a privileged container is root on this machine")

SERVICE: Mapping[str, Rule] = {
    **dict.fromkeys((
        "attach", "cap_drop", "command", "configs", "container_name", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_shares",
        "cpus", "cpuset", "depends_on", "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "environment", "expose", "extra_hosts",
        "group_add", "healthcheck", "hostname", "image", "init", "links", "mac_address", "mem_limit", "mem_reservation",
        "mem_swappiness", "memswap_limit", "pids_limit", "platform", "profiles", "pull_policy", "pull_refresh_after", "read_only",
        "restart", "scale", "secrets", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "tmpfs", "tty", "ulimits", "user",
        "working_dir",
        "develop",  # of `watch`, which is not used
    ), fine),
    "annotations": need("annotations", "annotations steer the runtime"),
    "blkio_config": _blkio,
    "build": build,
    "cap_add": each(runargs.ask_capability),
    "cgroup": of_kind("cgroupns", "private", why="it sees this machine's control groups"),
    "cgroup_parent": need("cgroup_parent", "the container would escape the limits of its group"),
    "cpu_rt_period": need("cpu_rt_period", "time on the processor before this machine's own programs"),
    "cpu_rt_runtime": need("cpu_rt_runtime", "time on the processor before this machine's own programs"),
    "credential_spec": need("credential_spec", "it reads credentials of this machine"),
    "deploy": table("deploy", _DEPLOY),
    "device_cgroup_rules": need("device_cgroup_rules", "it opens devices of this machine"),
    "devices": _devices,
    "env_file": files,
    "external_links": need("external_links", "it reaches containers of others"),
    "gpus": _gpu,
    "ipc": of_kind("ipc", "private", "shareable", "none", why="it shares memory with this machine, or another container"),
    "isolation": need("isolation", "it chooses another kind of walls"),
    "label_file": files,
    "labels": labels,
    "logging": table("logging", _LOGGING),
    "models": need("models", "it reaches a service of this machine"),
    "network_mode": _network_mode,
    "networks": _service_networks,
    "oom_kill_disable": true_needs("compose:oom_kill_disable", "a container that uses up its memory would stop this machine"),
    "oom_score_adj": as_option("oom-score-adj"),
    "pid": of_kind("pid", why="it sees, and can end, processes of this machine or another container"),
    "ports": published,
    "post_start": _hooks,
    "pre_stop": _hooks,
    "privileged": _PRIVILEGED,
    "provider": need("provider", "it runs a program on this machine"),
    "runtime": need("runtime", "it chooses the program that makes the walls"),
    "security_opt": each(runargs.ask_security),
    "storage_opt": as_option("storage-opt"),
    "sysctls": as_option("sysctl"),
    "use_api_socket": true_needs("docker-socket", "it mounts the engine's socket and credentials"),
    "userns_mode": of_kind("userns", why="root inside would be root outside"),
    "uts": of_kind("uts", why="it can rename this machine"),
    "volumes": volumes,
    "volumes_from": _volumes_from,
}  # fmt: skip
