"""The label ``devcontainer.metadata``: what an image or a container remembers of the configurations and features that made it. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import BadJson, Json, Object, parse

LABEL = "devcontainer.metadata"

# What of a configuration goes into an entry; the rest says how one container is made, and is not inherited.
OF_CONFIG = (
    "onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand", "waitFor",
    "customizations", "mounts", "containerEnv", "containerUser", "init", "privileged", "capAdd", "securityOpt",
    "remoteUser", "userEnvProbe", "remoteEnv", "overrideCommand", "portsAttributes", "otherPortsAttributes", "forwardPorts",
    "shutdownAction", "updateRemoteUserUID", "hostRequirements",
)  # fmt: skip
# What of the current configuration still counts for a container that was made with an earlier one.
OF_CONFIG_LATER = ("remoteUser", "userEnvProbe", "remoteEnv")


@dataclass(frozen=True, slots=True)
class Label:
    """``problem``: why the label counts as none, or empty."""

    entries: tuple[Object, ...]
    problem: str = ""


def read_label(labels: Mapping[str, str]) -> Label:
    """The entries of an image's or container's label, the weakest first. A lone object is an entry; what is no JSON counts as none."""
    text = labels.get(LABEL, "")
    if not text:
        return Label(())
    try:
        value = parse(text, comments=False).value
    except BadJson as problem:
        return Label((), f"the label {LABEL} is no JSON: {problem}")
    listed = value if isinstance(value, list) else [value]
    entries = tuple(one for one in listed if isinstance(one, dict))
    return Label(entries, "" if len(entries) == len(listed) else f"the label {LABEL} holds what is no object")


def entries_for_new(base: Sequence[Object], features: Sequence[Object], config: Object) -> tuple[Object, ...]:
    """Those of a container that is made now, the weakest first."""
    return _filled(*base, *features, pick(config, OF_CONFIG))


def entries_for_existing(
    labels: Mapping[str, str], own: Sequence[Object], config: Object, id_labels: Mapping[str, str], features: Sequence[Object] = ()
) -> tuple[Object, ...]:
    """Those of a container that exists. ``own``: of its label, variables replaced. One with our id labels was made by such a command,
    and its label holds the whole configuration; another one brings what its image says."""
    if not labels.get(LABEL):
        return entries_for_new((), features, config)
    if all(labels.get(name) for name in id_labels):
        return _filled(*own, pick(config, OF_CONFIG_LATER))
    return entries_for_new(own, features, config)


def as_label(entries: Sequence[Object]) -> str:
    """The text of the label, as the reference writes it."""
    return json.dumps(list(entries), separators=(",", ":"), ensure_ascii=False)


def pick(config: Object, keys: Sequence[str]) -> Object:
    return {key: config[key] for key in keys if key in config}


def without(entry: Object, key: str) -> Object:
    return {name: value for name, value in entry.items() if name != key}


def _filled(*entries: Object) -> tuple[Object, ...]:
    return tuple(entry for entry in entries if entry)


def texts(value: Json) -> Mapping[str, str]:
    """The labels of an answer of the engine."""
    return {key: text for key, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}
