"""What a feature is once it was found, and when it is what another one speaks of. Pure."""

from dataclasses import dataclass, field

from orchestrator.devcontainer.features.manifest import Manifest
from orchestrator.devcontainer.features.options import Asked
from orchestrator.devcontainer.features.references import OciReference
from orchestrator.devcontainer.jsonc import Json, Object


@dataclass(frozen=True, slots=True)
class Local:
    """``place``: the folder, absolute."""

    place: str


@dataclass(frozen=True, slots=True)
class Oci:
    """``digest``: of the manifest. ``layer``: where the files are, ``size`` bytes."""

    reference: OciReference
    digest: str
    layer: str
    size: int
    manifest: Object = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tarball:
    """``place``: the address. ``digest``: of the archive."""

    place: str
    digest: str


Source = Local | Oci | Tarball


@dataclass(frozen=True, slots=True)
class Feature:
    """``written``: how the user, or the feature that depends on it, named it. ``raw``: what stood beside the name, unchanged."""

    written: str
    source: Source
    value: Asked
    manifest: Manifest = field(repr=False)
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """What ``installsAfter`` or an override names: looked up nowhere, since only what somebody asked for can be meant.

    ``place``: the resource without a version, the folder, or the address.
    """

    kind: type[Source]
    place: str

    def is_exactly(self, feature: Feature) -> bool:
        return self.kind is type(feature.source) and self.place == place_of(feature.source)


@dataclass(frozen=True, slots=True)
class Node:
    """A feature that will be installed; ``needs``: before it, in any case; ``follows``: before it, if they are installed at all."""

    feature: Feature
    needs: tuple[Feature, ...]
    follows: tuple[Target, ...]


def place_of(source: Source) -> str:
    return source.reference.resource if isinstance(source, Oci) else source.place


def satisfies(feature: Feature, target: Target) -> bool:
    """Whether ``target`` means this feature, by its name or by one that it had: who renames a feature publishes it under all of them."""
    if target.is_exactly(feature):
        return True
    if target.kind is not Oci or not isinstance(feature.source, Oci):
        return False
    home = feature.source.reference.resource.rpartition("/")[0]
    return target.place in {f"{home}/{alias}" for alias in feature.manifest.aliases}
