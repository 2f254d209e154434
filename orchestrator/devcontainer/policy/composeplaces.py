"""Ports and volumes of a compose service, in the short and the long form. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from orchestrator.config.node import Node
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.policy import mounts, ports
from orchestrator.devcontainer.policy.asks import Ask, never
from orchestrator.devcontainer.policy.composerules import Ground, ask_for, in_words, member, members, says


def published(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    for one in node.items or (node,):
        yield _port(one)


_PORT_KEYS = ("target", "published", "host_ip", "protocol", "mode", "name", "app_protocol")


def _port(node: Node) -> Ask:
    """``what`` is how the port would be written if nothing were changed of it."""
    try:
        port = _long_port(node) if node.kind == "map" else ports.parse(node.text)
    except ValueError as problem:
        return never(f"the port {in_words(node)}", str(problem))
    ask = ports.ask_port(port.written())
    return replace(ask, what=port.written())


def _long_port(node: Node) -> ports.Port:
    given = members(node)
    if unknown := [key for key in given if key not in _PORT_KEYS]:
        raise ValueError(f"{unknown[0]!r} is no key of a port")
    host, container = member(node, "published").text, member(node, "target").text
    protocol = ports.protocol_of(member(node, "protocol").text or "tcp")
    plain = ports.parse(f"{host}:{container}/{protocol}")
    return replace(plain, address=ports.address(member(node, "host_ip").text))


def volumes(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    for one in node.items or (node,):
        yield from _long_volume(one, ground) if one.kind == "map" else (_short_volume(one.text, ground),)


def _short_volume(text: str, ground: Ground) -> Ask:
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


def _long_volume(node: Node, ground: Ground) -> Iterator[Ask]:
    kind, source, target = (member(node, key).text for key in ("type", "source", "target"))
    what = f"the volume {source}:{target}"
    wanted: Object = {"type": kind, "target": target}
    if source and kind == "bind":
        wanted["source"] = ground.path(source)
    elif source:
        wanted["source"] = ground.volumes.get(source, source)
    yield replace(mounts.ask_mount(wanted, ground.workspace), what=what, words=())
    for key, value in node.members:
        if key in ("type", "source", "target", "read_only", "consistency") or not says(value):
            continue
        harmless = _MOUNT_OPTIONS.get(key, ()) if key == kind else ()
        odd = [f"{key}.{name}" for name, one in value.members if name not in harmless and not _is_private(name, one)] or (
            [key] if value.kind != "map" or key not in _MOUNT_OPTIONS else []
        )
        yield from (ask_for(f"{what}, {one}", "compose:volumes", "it is no harmless option of a mount") for one in odd)


def _is_private(name: str, node: Node) -> bool:
    return name == "propagation" and node.text in ("", "private", "rprivate")
