"""What an archive of ``docker load`` says of its images: the table of them, and the configuration of each. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.guard.calls import Json, Object, deny
from orchestrator.guard.fold import fold
from orchestrator.guard.labels import OWN_PREFIX
from orchestrator.guard.strictjson import parse

MAX_IMAGES, MAX_LAYERS, MAX_TAGS = 64, 256, 256

_KEYS = frozenset(["Config", "RepoTags", "Layers", "Parent", "LayerSources"])


@dataclass(frozen=True, slots=True)
class Image:
    """One entry of manifest.json. ``config``, ``layers``: paths in the archive, as they are written there."""

    config: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]
    parent: str


def images_of(manifest: Json) -> list[Image]:
    """Raises Denied: it is no such table."""
    if not isinstance(manifest, list) or len(manifest) > MAX_IMAGES:
        raise deny("archive.manifest", f"manifest.json is no list of at most {MAX_IMAGES} images", status=400)
    return [_image(item) for item in manifest]


def _image(item: Json) -> Image:
    if not isinstance(item, dict) or set(item) - _KEYS:
        raise deny("archive.manifest", "manifest.json holds something that is not known here", allowed=", ".join(sorted(_KEYS)), status=400)
    config, parent = item.get("Config"), item.get("Parent") or ""
    if not isinstance(config, str) or not isinstance(parent, str):
        raise deny("archive.manifest", "manifest.json has an image without Config, or a Parent that is no text", status=400)
    return Image(config, _texts(item, "RepoTags", MAX_TAGS), _texts(item, "Layers", MAX_LAYERS), parent)


def _texts(item: Object, key: str, most: int) -> tuple[str, ...]:
    values = item.get(key) or []
    found = [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
    if not isinstance(values, list) or len(found) != len(values) or len(values) > most:
        raise deny("archive.manifest", f"manifest.json has {key} that is no list of at most {most} texts", status=400)
    return tuple(found)


def layers_of(config: bytes, own_labels: Mapping[str, str]) -> tuple[str, ...]:
    """The digests of an image's layers, from its configuration, whose bytes go on as they are. OnBuild is judged by each build that starts
    from the image.

    Raises:
        Denied: it can be read in two ways, or has labels that are ours to give.
    """
    whole = parse(config)
    _judge_spelling(whole, ("rootfs", "config", "container_config"))
    for key in ("config", "container_config"):
        part = _object(whole, key)
        _judge_spelling(part, ("Labels",))
        _judge_labels(_object(part, "Labels"), own_labels)
    rootfs = _object(whole, "rootfs")
    _judge_spelling(rootfs, ("diff_ids", "type"))
    ids = rootfs.get("diff_ids") or []
    if not rootfs or not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise deny("archive.config", "the configuration of an image does not say its layers (rootfs.diff_ids)", status=400)
    return tuple(map(str, ids))


def _object(owner: Object, key: str) -> Object:
    value = owner.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise deny("archive.config", f"the configuration of an image has a {key} that is no object", status=400)
    return value


def _judge_spelling(found: Iterable[str], known: Iterable[str]) -> None:
    """The engine takes a key for one that it only resembles."""
    folded = {fold(key): key for key in known}
    for key in found:
        if folded.get(fold(key), key) != key:
            raise deny("archive.config", f"the configuration of an image has the key {key[:80]!r}", allowed=folded[fold(key)], status=400)


def _judge_labels(labels: Object, own: Mapping[str, str]) -> None:
    for key, value in labels.items():
        if key.startswith(OWN_PREFIX) and own.get(key) != value:
            raise deny(
                "archive.labels", f"an image has the label {key[:80]!r}, which is not of this session", allowed="an image without it"
            )
