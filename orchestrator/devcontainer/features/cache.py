"""Features that were fetched before, by digest: manifests, archives, unpacked folders; and which digest a tag had last.

    blobs/HEX   content/HEX/   tags/HEX.json   locks/HEX   tmp/       below ``$XDG_CACHE_HOME/aienv/features``

A digest that is here is not asked for again, so what is pinned needs no network. A tag is asked for each time; where the registry is
silent, its last digest stands in, with a warning. Files are made beside their place and renamed; what is read is hashed again.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from orchestrator.devcontainer.features import artifact
from orchestrator.devcontainer.features.oci import Registry
from orchestrator.devcontainer.features.references import DIGEST, OciReference, TarballReference
from orchestrator.devcontainer.features.transport import Unreachable
from orchestrator.devcontainer.features.unpack import unpack
from orchestrator.errors import EnvironmentFailed
from orchestrator.repos.lock import locked

LOCK_S = 300.0
STALE_S = 86400.0  # after that nobody works on a temporary file any more
STEP = 1 << 20


class Cache:
    """A ``Fetch``. ``registry``: None asks nobody. ``tell``: where warnings go."""

    def __init__(self, root: Path, registry: Registry | None, tell: Callable[[str], None]) -> None:
        self._root = root
        self._registry = registry
        self._tell = tell
        for name in ("blobs", "content", "tags", "locks", "tmp"):
            (root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()

    @property
    def root(self) -> Path:
        return self._root

    def manifest(self, reference: OciReference, digest: str | None) -> tuple[bytes, str]:
        """The manifest and its digest. ``digest``: which it must be; else the reference's own, else what its tag leads to now.

        Raises:
            NotFound, EnvironmentFailed: it is not to be had, or is another.
        """
        wanted = digest or reference.digest
        if wanted is not None:
            return self._pinned(reference, wanted), wanted
        key = f"{reference.registry}/{reference.path}:{reference.tag}"
        try:
            data = self._asked(reference.written).manifest(reference, reference.version)
        except Unreachable as problem:
            known = self._remembered(key)
            before = self._blob(known) if known is not None else None
            if known is None or before is None:
                raise
            self._tell(f"{problem}; the feature {reference.written!r} is taken from the cache as it was last ({known[:19]}...)")
            return before, known
        found = self._store(data)
        self._remember(key, found)
        return data, found

    def layer(self, reference: OciReference, digest: str, size: int) -> Path:
        """The folder with a layer's files."""

        def fetch(file: BinaryIO) -> None:
            self._asked(reference.written).blob(reference, digest, size, file)

        return self._folder(digest, fetch, reference.written)

    def tarball(self, reference: TarballReference, digest: str | None) -> tuple[Path, str]:
        """The folder with an archive's files, and the archive's digest. ``digest``: which it must be."""

        def fetch(file: BinaryIO) -> None:
            self._asked(reference.written).tarball(reference, file)

        if digest is None:
            try:
                digest = self._download(fetch, reference.written, None)
            except Unreachable as problem:
                digest = self._remembered(reference.url)
                if digest is None or not self._whole(digest):
                    raise
                self._tell(f"{problem}; the feature {reference.written!r} is taken from the cache as it was last ({digest[:19]}...)")
            else:
                self._remember(reference.url, digest)
        return self._folder(digest, fetch, reference.written), digest

    def place(self, digest: str) -> Path:
        """Where the files of a layer lie once they are here."""
        return self._root / "content" / digest.removeprefix("sha256:")

    def _asked(self, written: str) -> Registry:
        if self._registry is None:
            raise Unreachable(f"the feature {written!r} is not in the cache, and nobody is asked", remedy="fetch it once with a network")
        return self._registry

    def _pinned(self, reference: OciReference, digest: str) -> bytes:
        with self._held(digest):
            data = self._blob(digest)
            if data is None:
                data = self._asked(reference.written).manifest(reference, digest)
                found = self._store(data)
                if found != digest:
                    raise _other(reference.written, digest, found)
        return data

    def _folder(self, digest: str, fetch: Callable[[BinaryIO], None], written: str) -> Path:
        target = self.place(digest)
        with self._held(digest):
            if not target.is_dir():
                if not self._whole(digest):
                    self._download(fetch, written, digest)
                with self._scratch() as folder:
                    new = folder / "new"
                    new.mkdir()
                    unpack(self._file(digest), new, f"the archive of the feature {written!r}")
                    new.rename(target)
        return target

    def _download(self, fetch: Callable[[BinaryIO], None], written: str, digest: str | None) -> str:
        with self._scratch() as folder:
            path = folder / "new"
            with path.open("wb") as file:
                fetch(file)
            found = _digest_of(path)
            if digest is not None and found != digest:
                raise _other(written, digest, found)
            path.rename(self._file(found))
        return found

    def _store(self, data: bytes) -> str:
        found = "sha256:" + hashlib.sha256(data).hexdigest()
        with self._scratch() as folder:
            (folder / "new").write_bytes(data)
            (folder / "new").rename(self._file(found))
        return found

    def _file(self, digest: str) -> Path:
        return self._root / "blobs" / digest.removeprefix("sha256:")

    def _whole(self, digest: str) -> bool:
        try:
            return _digest_of(self._file(digest)) == digest
        except OSError:
            return False

    def _blob(self, digest: str) -> bytes | None:
        try:
            with self._file(digest).open("rb") as file:
                data = file.read(artifact.MAX_MANIFEST + 1)
        except OSError:
            return None
        return data if "sha256:" + hashlib.sha256(data).hexdigest() == digest else None

    def _tag(self, key: str) -> Path:
        return self._root / "tags" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _remember(self, key: str, digest: str) -> None:
        with self._scratch() as folder:
            (folder / "new").write_text(json.dumps({"of": key, "digest": digest}))
            (folder / "new").rename(self._tag(key))

    def _remembered(self, key: str) -> str | None:
        try:
            value = json.loads(self._tag(key).read_text())
        except (OSError, ValueError):
            return None
        digest = value.get("digest") if isinstance(value, dict) and value.get("of") == key else None
        return digest if isinstance(digest, str) and DIGEST.fullmatch(digest) else None

    @contextlib.contextmanager
    def _held(self, digest: str) -> Iterator[None]:
        """Of two that want the same, one fetches and the other finds."""
        path = self._root / "locks" / digest.removeprefix("sha256:")
        with locked(path, shared=False, deadline_s=LOCK_S, doing="fetching a feature"):
            yield

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp(dir=self._root / "tmp"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """What killed processes left."""
        for path in (self._root / "tmp").iterdir():
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > STALE_S:
                    shutil.rmtree(path)


def _digest_of(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(STEP):
            found.update(data)
    return "sha256:" + found.hexdigest()


def _other(written: str, wanted: str, found: str) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"what came for the feature {written!r} has the digest {found}, not {wanted}",
        remedy="somebody changed it: look at it before you take the new digest",
        code="feature-digest",
    )
