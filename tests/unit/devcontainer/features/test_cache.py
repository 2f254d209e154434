"""The cache: by digest, whole or not at all, and in place of a registry that is silent."""

import hashlib
import os
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from orchestrator.devcontainer.features import references
from orchestrator.devcontainer.features.cache import Cache
from orchestrator.devcontainer.features.oci import Registry
from orchestrator.devcontainer.features.references import OciReference, TarballReference
from orchestrator.devcontainer.features.transport import Transport, Unreachable
from orchestrator.errors import EnvironmentFailed
from tests.unit.devcontainer.features.test_unpack import tar

MANIFEST = b'{"a": 1}'
LAYER = tar(("devcontainer-feature.json", b"{}"), ("install.sh", b"x"))
URL = "https://example.org/devcontainer-feature-x.tgz"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def ref(written: str) -> OciReference:
    found = references.parse(written)
    assert isinstance(found, OciReference)
    return found


A = ref("r.io/ns/a:1")
ARCHIVE = TarballReference(URL, URL, "x")


class Shelf(Registry):
    """Has one of each; ``silent``: nobody answers."""

    def __init__(self) -> None:
        super().__init__(Transport({}))
        self.manifests = {"1": MANIFEST, digest(MANIFEST): MANIFEST}
        self.layer = self.archive = LAYER
        self.silent = False
        self.asked: list[str] = []

    def _answer_to(self, what: str) -> None:
        self.asked.append(what)
        if self.silent:
            raise Unreachable("r.io cannot be reached: no route")

    def manifest(self, reference: OciReference, version: str) -> bytes:
        self._answer_to(version)
        return self.manifests[version]

    def blob(self, reference: OciReference, digest: str, size: int, into: BinaryIO) -> None:
        self._answer_to(digest)
        into.write(self.layer)

    def tarball(self, reference: TarballReference, into: BinaryIO) -> None:
        self._answer_to(reference.url)
        into.write(self.archive)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, shelf: Shelf, told: list[str]) -> Cache:
    return Cache(tmp_path / "features", shelf, told.append)


def test_a_tag_is_asked_for_each_time(cache: Cache, shelf: Shelf) -> None:
    assert cache.manifest(A, None) == cache.manifest(A, None) == (MANIFEST, digest(MANIFEST))
    shelf.manifests["1"] = b"{}"
    assert cache.manifest(A, None) == (b"{}", digest(b"{}"))
    assert shelf.asked == ["1", "1", "1"]


def test_a_digest_once(cache: Cache, shelf: Shelf) -> None:
    for _ in range(2):
        assert cache.manifest(A, digest(MANIFEST))[0] == MANIFEST
        assert cache.manifest(ref(f"r.io/ns/a@{digest(MANIFEST)}"), None)[0] == MANIFEST
    assert shelf.asked == [digest(MANIFEST)]


def test_a_layer_once(cache: Cache, shelf: Shelf) -> None:
    for _ in range(2):
        folder = cache.layer(A, digest(LAYER), len(LAYER))
        assert sorted(path.name for path in folder.iterdir()) == ["devcontainer-feature.json", "install.sh"]
        assert folder == cache.place(digest(LAYER))
    assert shelf.asked == [digest(LAYER)]


def test_silent_registry(cache: Cache, shelf: Shelf, told: list[str]) -> None:
    cache.manifest(A, None)
    cache.tarball(ARCHIVE, None)
    shelf.silent = True
    assert cache.manifest(A, None) == (MANIFEST, digest(MANIFEST))
    assert cache.tarball(ARCHIVE, None) == (cache.place(digest(LAYER)), digest(LAYER))
    assert len(told) == 2
    assert all("as it was last" in one for one in told)


def test_nobody_is_asked(tmp_path: Path, cache: Cache) -> None:
    cache.manifest(A, None)
    alone = Cache(tmp_path / "features", None, lambda words: None)
    assert alone.manifest(A, None)[0] == MANIFEST
    with pytest.raises(Unreachable, match="not in the cache"):
        alone.manifest(ref("r.io/ns/b"), None)


def test_silent_and_not_here(cache: Cache, shelf: Shelf) -> None:
    """Of another tag, another name, another digest nothing is known."""
    cache.manifest(A, None)
    shelf.silent = True
    for one in ("r.io/ns/a:2", "r.io/ns/b:1", "r2.io/ns/a:1", f"r.io/ns/a@sha256:{'0' * 64}"):
        with pytest.raises(Unreachable):
            cache.manifest(ref(one), None)
    with pytest.raises(Unreachable):
        cache.tarball(ARCHIVE, None)


def test_not_what_its_digest_says(cache: Cache, shelf: Shelf, tmp_path: Path) -> None:
    shelf.manifests[digest(MANIFEST)] = b"other"
    shelf.layer = shelf.archive = b"other"
    with pytest.raises(EnvironmentFailed, match="has the digest"):
        cache.manifest(A, digest(MANIFEST))
    with pytest.raises(EnvironmentFailed, match="has the digest"):
        cache.layer(A, digest(LAYER), 10)
    with pytest.raises(EnvironmentFailed, match="has the digest"):
        cache.tarball(ARCHIVE, digest(LAYER))
    assert not list((tmp_path / "features/content").iterdir())
    assert not list((tmp_path / "features/tmp").iterdir())


def test_what_was_changed_on_disk_is_fetched_again(cache: Cache, shelf: Shelf, tmp_path: Path) -> None:
    cache.manifest(A, digest(MANIFEST))
    path = tmp_path / "features/blobs" / digest(MANIFEST).removeprefix("sha256:")
    path.write_bytes(b"other")
    assert cache.manifest(A, digest(MANIFEST))[0] == MANIFEST
    assert path.read_bytes() == MANIFEST


@pytest.mark.parametrize("content", ["", "[]", '{"of": "r.io/ns/a:2", "digest": "x"}', '{"of": "r.io/ns/a:1", "digest": "sha256:../../x"}'])
def test_a_damaged_tag_is_none(cache: Cache, shelf: Shelf, tmp_path: Path, content: str) -> None:
    cache.manifest(A, None)
    next((tmp_path / "features/tags").iterdir()).write_text(content)
    shelf.silent = True
    with pytest.raises(Unreachable):
        cache.manifest(A, None)


def test_a_hostile_archive_leaves_nothing(cache: Cache, shelf: Shelf, tmp_path: Path) -> None:
    shelf.layer = tar(("../../../x", b""))
    with pytest.raises(EnvironmentFailed, match="leads out"):
        cache.layer(A, digest(shelf.layer), len(shelf.layer))
    assert not list((tmp_path / "features/content").iterdir())
    assert not (tmp_path / "x").exists()


def test_two_at_once_fetch_once(cache: Cache, shelf: Shelf) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(cache.layer(A, digest(LAYER), len(LAYER)))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 4
    assert shelf.asked == [digest(LAYER)]


def test_what_killed_processes_left_is_swept(tmp_path: Path, shelf: Shelf, cache: Cache) -> None:
    old, new = tmp_path / "features/tmp/old", tmp_path / "features/tmp/new"
    for path in (old, new):
        path.mkdir()
        (path / "x").write_text("x")
    os.utime(old, (0, 0))
    Cache(tmp_path / "features", shelf, lambda words: None)
    assert (old.exists(), new.exists()) == (False, True)
