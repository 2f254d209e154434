"""What a compose service's build asks for. Pure."""

import posixpath
import re
from collections.abc import Iterator, Mapping

from orchestrator.config.node import Node
from orchestrator.devcontainer.policy.asks import Ask
from orchestrator.devcontainer.policy.buildoptions import CACHE
from orchestrator.devcontainer.policy.composerules import (
    Ground,
    Rule,
    ask_for,
    files,
    fine,
    labels,
    member,
    need,
    of_kind,
    table,
    texts,
    true_needs,
)

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*|git@.*|github\.com/.*|[^/]*@[^/]*:.*", re.DOTALL)


def build(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    if node.kind != "map":
        yield from _context(node.text, ground)
        return
    context, dockerfile = member(node, "context").text or ".", member(node, "dockerfile").text
    yield from _context(context, ground)
    if dockerfile and not _REMOTE.fullmatch(context):
        yield from files("build.dockerfile", Node("text", posixpath.join(context, dockerfile)), ground)
    yield from table("build", BUILD)(key, node, ground)


def _context(text: str, ground: Ground) -> Iterator[Ask]:
    if _REMOTE.fullmatch(text):
        yield ask_for(f"build.context: {text}", "compose:build.context", "it is fetched, perhaps with credentials of this machine")
    else:
        yield from files("build.context", Node("text", text), ground)


def _contexts(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    for text in texts(node):
        if text.partition("=")[2].removeprefix("service:") not in ground.services:
            yield ask_for(f"{key}: {text}", f"compose:{key}", "it may be a folder of this machine")


def _cache(key: str, node: Node, ground: Ground) -> Iterator[Ask]:
    for text in texts(node):
        if re.fullmatch(CACHE, text, re.ASCII) is None:
            yield ask_for(f"{key}: {text}", f"compose:{key}", "it reads files of this machine")


_CREDENTIALS = "it hands files or credentials of this machine to the build"
BUILD: Mapping[str, Rule] = {
    **dict.fromkeys((
        "context", "dockerfile", "dockerfile_inline", "args", "no_cache", "no_cache_filter", "platforms", "pull", "shm_size", "target",
        "ulimits",
    ), fine),
    "additional_contexts": _contexts,
    "cache_from": _cache,
    "cache_to": need("build.cache_to", "it writes files of this machine, or to a registry"),
    "entitlements": need("build.entitlements", "it gives the build rights that containers do not have"),
    "extra_hosts": need("build.extra_hosts", "it names this machine's own addresses"),
    "isolation": need("build.isolation", "it chooses another kind of walls"),
    "labels": labels,
    "network": of_kind("network", "", "none", "default", "bridge", why="it reaches this machine's own network, or other containers"),
    "privileged": true_needs("compose:build.privileged", "a privileged build is root on this machine"),
    "secrets": need("build.secrets", _CREDENTIALS),
    "ssh": need("build.ssh", _CREDENTIALS),
    "tags": need("build.tags", "it takes names of other images"),
}  # fmt: skip
