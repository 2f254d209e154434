"""From the ``features`` of a configuration to what will be installed, in order. The way into this package.

Only what somebody asks for, or what that depends on, is looked up. What ``installsAfter`` and overrides name besides is not.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.devcontainer.features import artifact, graph, lockfile, manifest, options, order, references
from orchestrator.devcontainer.features.feature import Feature, Local, Oci, Source, Tarball, Target
from orchestrator.devcontainer.features.lockfile import LockFile
from orchestrator.devcontainer.features.manifest import FILE, LABEL_KEYS, Manifest
from orchestrator.devcontainer.features.references import LocalReference, OciReference, Reference, TarballReference
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.errors import ConfigError, NotFound

FOLDER = ".devcontainer"


class Fetch(Protocol):
    """What brings features from elsewhere: ``cache.Cache``, or a stand-in."""

    @property
    def root(self) -> Path:
        """The folder of what was fetched."""

    def manifest(self, reference: OciReference, digest: str | None) -> tuple[bytes, str]:
        """A registry's manifest and its digest, which was compared with ``digest``, or else with the reference's own.

        Raises:
            AienvError: it is not to be had, or is another.
        """

    def layer(self, reference: OciReference, digest: str, size: int) -> Path:
        """The folder with the files of a layer. Raises as ``manifest``."""

    def tarball(self, reference: TarballReference, digest: str | None) -> tuple[Path, str]:
        """The folder with the files of an archive, and the archive's digest. Raises as ``manifest``."""

    def place(self, digest: str) -> Path:
        """Where the files of a layer or an archive are, once they were fetched."""


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """``features``: in order of installation. ``additional``: those that the configuration itself does not name."""

    features: tuple[Feature, ...]
    root: Path
    places: Mapping[str, Path]
    additional: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    def configuration(self) -> Json:
        """``featuresConfiguration`` as the reference prints it; None: there are no features."""
        if not self.features:
            return None
        return {"featureSets": [self._set(one, number) for number, one in enumerate(self.features)], "dstFolder": str(self.root)}

    def metadata(self) -> list[Object]:
        """The entries of the label ``devcontainer.metadata``."""
        return [{"id": one.written, **_picked(one.manifest.values)} for one in self.features]

    def lock(self) -> LockFile:
        """What a lock file would hold."""
        return lockfile.of(self.features, self.additional)

    def _set(self, feature: Feature, number: int) -> Object:
        found: Object = {
            "sourceInformation": _source_information(feature),
            "features": [{
                **({} if isinstance(feature.source, Oci) else {"name": feature.written}),
                **feature.manifest.values,
                "id": feature.manifest.id,
                "included": True,
                "value": feature.raw,
                "cachePath": str(self._place(feature)),
                "consecutiveId": f"{feature.manifest.id}_{number}",
            }],
            "internalVersion": "2",
        }  # fmt: skip
        return found if isinstance(feature.source, Local) else {**found, "computedDigest": feature.source.digest}

    def _place(self, feature: Feature) -> Path:
        return Path(feature.source.place) if isinstance(feature.source, Local) else self.places[feature.source.digest]


def resolve_features(
    asked: Mapping[str, Json],
    *,
    config_folder: Path,
    workspace: Path,
    override_order: Sequence[str],
    additional: Mapping[str, Json],
    fetch: Fetch,
    lock: LockFile | None,
    frozen: bool,
) -> FeatureSet:
    """``additional``: of a command line; what ``asked`` names already stays as it is there. ``frozen``: the lock file must say just this.

    Raises:
        ConfigError: a name, an option, a manifest or the lock file is wrong, or features wait for each other.
        NotFound: a feature is not there.
        EnvironmentFailed: it cannot be fetched, or is not what its digest says.
    """
    whole = {**asked, **{name: value for name, value in additional.items() if name not in asked}}
    only_additional = frozenset(additional) - frozenset(asked)
    if not whole:
        return FeatureSet((), fetch.root, {})
    if frozen and lock is None:
        remedy = "write one first: aienv devcontainer build --write-lockfile"
        raise ConfigError("Lockfile does not exist.", remedy=remedy, code="feature-lock")
    finder = _Finder(Path(os.path.abspath(config_folder)), Path(os.path.abspath(workspace)), fetch, lock)
    nodes = graph.build(whole, finder.feature, finder.target)
    features = order.install_order(nodes, [finder.target(one) for one in override_order])
    places = {one.source.digest: finder.place(one.source) for one in features if not isinstance(one.source, Local)}
    found = FeatureSet(features, fetch.root, places, only_additional, tuple(dict.fromkeys(_warnings(features))))
    if frozen and lock != found.lock():
        remedy = f"it says something else of {_difference(lock, found.lock())}: write it anew, and look at what changed"
        raise ConfigError("Lockfile does not match.", remedy=remedy, code="feature-lock")
    return found


def files_of(feature: Feature, fetch: Fetch) -> Path:
    """The folder with a feature's ``install.sh``, fetched if need be. Of a local one it is the user's own folder."""
    source = feature.source
    if isinstance(source, Local):
        return Path(source.place)
    return fetch.layer(source.reference, source.layer, source.size) if isinstance(source, Oci) else fetch.place(source.digest)


class _Finder:
    """Looks each name up once."""

    def __init__(self, config_folder: Path, workspace: Path, fetch: Fetch, lock: LockFile | None) -> None:
        self._config_folder = config_folder
        self._inside = workspace / FOLDER
        self._fetch = fetch
        self._lock = lock
        self._known: dict[str, tuple[Source, Manifest]] = {}

    def feature(self, written: str, value: Json) -> Feature:
        if written not in self._known:
            self._known[written] = self._find(references.parse(written))
        source, found = self._known[written]
        return Feature(written, source, options.asked(value, written), found, value)

    def target(self, written: str) -> Target:
        match references.parse(written):
            case OciReference() as one:
                return Target(Oci, one.resource)
            case TarballReference(url=url):
                return Target(Tarball, url)
            case LocalReference() as one:
                return Target(Local, str(self._folder(one)))

    def place(self, source: Oci | Tarball) -> Path:
        return self._fetch.place(source.layer if isinstance(source, Oci) else source.digest)

    def _find(self, reference: Reference) -> tuple[Source, Manifest]:
        match reference:
            case OciReference():
                return self._find_oci(reference)
            case TarballReference():
                integrity = self._lock.integrity(reference.url) or self._lock.integrity(reference.written) if self._lock else None
                folder, digest = self._fetch.tarball(reference, integrity)
                return Tarball(reference.url, digest), self._read(folder, reference)
            case LocalReference():
                folder = self._folder(reference)
                return Local(str(folder)), self._read(folder, reference)

    def _find_oci(self, reference: OciReference) -> tuple[Source, Manifest]:
        integrity = self._lock.integrity(reference.written) if self._lock else None
        if integrity is not None and reference.digest not in (None, integrity):
            raise ConfigError(f"the lock file has another digest of the feature {reference.written!r}: {integrity}", code="feature-lock")
        data, digest = self._fetch.manifest(reference, integrity)
        found = artifact.read(data, reference.written)
        source = Oci(reference, digest, found.layer, found.size, found.values)
        if found.annotation is None:
            return source, self._read(self._fetch.layer(reference, found.layer, found.size), reference)
        return source, manifest.read(found.annotation, f"{FILE} of {reference.written!r}", name=reference.name)

    def _folder(self, reference: LocalReference) -> Path:
        """Lexically, as the reference does it; where links lead is seen when it is read."""
        folder = Path(os.path.normpath(self._config_folder / reference.path))
        if not folder.is_relative_to(self._inside) or folder == self._inside:
            raise ConfigError(
                f"the feature {reference.written!r} is at {folder}, which is not below {self._inside}",
                remedy=f"local features lie in {FOLDER}; name them from the folder of the configuration",
                code="feature-reference",
            )
        return folder

    def _read(self, folder: Path, reference: Reference) -> Manifest:
        path = folder / FILE
        where = f"{FILE} of {reference.written!r}"
        if isinstance(reference, LocalReference):
            inside = os.path.realpath(self._inside)
            beyond = not Path(inside).is_relative_to(os.path.realpath(self._inside.parent))  # .devcontainer itself may be a link
            if beyond or not Path(os.path.realpath(path)).is_relative_to(inside):
                raise ConfigError(f"{where} is behind a link that leads out of {inside}", code="feature-reference")
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold us
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(manifest.MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"there is no {FILE} of {reference.written!r} in {folder}", code="feature-not-found") from None
        except OSError as problem:
            raise ConfigError(f"{path} cannot be read: {problem.strerror}", code="feature") from None
        return manifest.read(data, where, name=reference.name)


def _picked(values: Object) -> Object:
    return {key: values[key] for key in LABEL_KEYS if key in values}


def _source_information(feature: Feature) -> Object:
    source = feature.source
    if isinstance(source, Local):
        return {"type": "file-path", "resolvedFilePath": source.place, "userFeatureId": feature.written}
    if isinstance(source, Tarball):
        return {"type": "direct-tarball", "tarballUri": source.place, "userFeatureId": feature.written}
    one = source.reference
    return {
        "type": "oci",
        "manifest": source.manifest,
        "manifestDigest": source.digest,
        "featureRef": {
            "scheme": one.scheme, "id": one.name, "owner": one.namespace.partition("/")[0], "namespace": one.namespace,
            "registry": one.registry, "resource": one.resource, "path": one.path, "version": one.version,
            **({"tag": one.tag} if one.digest is None else {"digest": one.digest}),
        },
        "userFeatureId": feature.written,
        "userFeatureIdWithoutVersion": one.without_version,
    }  # fmt: skip


def _warnings(features: Iterable[Feature]) -> Iterable[str]:
    for one in features:
        yield from options.warnings(one.manifest, one.value, one.written)
        if one.manifest.values.get("deprecated") is True:
            yield f"the feature {one.written!r} is deprecated by who published it"
        if one.manifest.renamed_to is not None:
            yield f"the feature {one.written!r} is called {one.manifest.renamed_to!r} now"


def _difference(lock: LockFile | None, found: LockFile) -> str:
    before = lock.features if lock is not None else {}
    names = [name for name in {**before, **found.features} if before.get(name) != found.features.get(name)]
    return ", ".join(repr(name) for name in names)
