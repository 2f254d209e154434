"""The manifest that a registry has of a feature: one layer, and mostly the feature's own file as an annotation. Pure."""

from dataclasses import dataclass, field

from orchestrator.devcontainer.features.references import DIGEST
from orchestrator.devcontainer.jsonc import BadJson, Json, Object, parse
from orchestrator.errors import EnvironmentFailed

MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.devcontainers"
ANNOTATION = "dev.containers.metadata"
MAX_MANIFEST = 1 << 20
MAX_LAYER = 64 << 20


@dataclass(frozen=True, slots=True)
class Artifact:
    """``annotation``: devcontainer-feature.json, where the publisher put it there: then nothing must be downloaded to know it."""

    layer: str
    size: int
    annotation: str | None
    values: Object = field(repr=False)


def read(data: bytes, written: str) -> Artifact:
    """Raises EnvironmentFailed: it is no manifest of a feature."""
    try:
        value = parse(data.decode("utf-8"), comments=False).value
    except UnicodeDecodeError:
        raise bad(written, "is not UTF-8") from None
    except BadJson as problem:
        raise bad(written, f"is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise bad(written, "is not a JSON object")
    config_type = _in(value.get("config"), "mediaType")
    if config_type != CONFIG_TYPE:
        raise bad(written, f"is of something else, {str(config_type)[:80]!r} and not {CONFIG_TYPE!r}")
    layers = value.get("layers")
    layer = layers[0] if isinstance(layers, list) and layers else None
    digest, size = _in(layer, "digest"), _in(layer, "size")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise bad(written, "names no layer by a SHA-256 digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MAX_LAYER:
        raise bad(written, f"says of its layer that it has {str(size)[:40]} bytes, not 1 to {MAX_LAYER}")
    annotation = _in(value.get("annotations"), ANNOTATION)
    return Artifact(digest, size, annotation if isinstance(annotation, str) and annotation else None, value)


def _in(value: Json, key: str) -> Json:
    return value.get(key) if isinstance(value, dict) else None


def bad(written: str, problem: str) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"the registry's manifest of the feature {written!r} {problem}",
        remedy="see whether the name is that of a feature, or ask its publisher",
        code="feature-manifest",
    )
