"""Archives of docker load: every name in them is told, in whichever table it stands; what could hide one is refused."""

# ruff: noqa: E501 - a row of a table stays one line

import hashlib
import io
import json
import tarfile

import pytest

from orchestrator.guard.archive import ArchiveReader, Loaded
from orchestrator.guard.calls import Denied
from tests.unit.guard.imagesession import denied
from tests.unit.guard.tars import file, listed, symlink, tar

CONFIG = b'{"config":{}}'
ID = hashlib.sha256(CONFIG).hexdigest()


def table(value: object) -> bytes:
    return json.dumps(value).encode()


def manifest(*tags: str, config: str = f"{ID}.json", **more: object) -> bytes:
    return table([{"Config": config, "RepoTags": list(tags) or None, "Layers": ["l/layer.tar"], **more}])


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return tar([file(f"{ID}.json", CONFIG), file("l/layer.tar", b"x" * 3000), *members])


def read(data: bytes) -> tuple[Loaded, bytes]:
    with io.BytesIO() as spool:
        reader = ArchiveReader(spool, 1 << 24)
        for start in range(0, len(data), 1000):
            reader.feed(data[start : start + 1000])
        found = reader.finish()
        out = b"".join(reader.write())
        assert len(out) == reader.length
        return found, out


def test_docker_save() -> None:
    """As an older engine writes it, with the layer of one image a link to that of another."""
    found, out = read(archive(symlink("m/layer.tar", "../l/layer.tar"), file("manifest.json", manifest("app:1", "x/y:2"))))
    assert found == Loaded(("docker.io/library/app:1", "docker.io/x/y:2"), (f"sha256:{ID}",))
    contents = dict(listed(out))
    assert contents["l/layer.tar"] == b"x" * 3000
    assert json.loads(contents["manifest.json"]) == json.loads(manifest("app:1", "x/y:2"))


def test_oci_layout() -> None:
    """As newer engines write it: names in three tables, all of them told."""
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "digest": "sha256:1",
                "annotations": {"io.containerd.image.name": "docker.io/library/b:1", "org.opencontainers.image.ref.name": "1"},
            }
        ],
    }
    found, _ = read(
        tar([
            file("blobs/sha256/" + ID, CONFIG), file("index.json", table(index)), file("manifest.json", manifest("a:1", config="blobs/sha256/" + ID)),
            file("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), file("repositories", table({"c": {"1": "x", "2": "y"}})),
        ])
    )  # fmt: skip
    assert found == Loaded(tuple(f"docker.io/library/{name}" for name in ("a:1", "c:1", "c:2", "b:1")), (f"sha256:{ID}",))


def test_without_names() -> None:
    """Loaded by id."""
    assert read(archive(file("manifest.json", manifest())))[0] == Loaded((), (f"sha256:{ID}",))


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        pytest.param([], "archive.manifest", id="no-table"),
        pytest.param([file("repositories", table({"debian": {"12": "x"}}))], "archive.manifest", id="oldest-form"),
        pytest.param([file("manifest.json", manifest("a:1")), file("./manifest.json", manifest("debian:12"))], "archive", id="two-tables"),
        pytest.param([symlink("manifest.json", "l/layer.tar")], "archive", id="table-is-a-link"),
        pytest.param([symlink("x", "."), file("x/manifest.json", manifest("debian:12")), file("manifest.json", manifest())], "archive", id="through-a-link"),
        pytest.param([file("manifest.json", b'[{"Config":"x","RepoTags":[],"RepoTags":["debian:12"]}]')], "json.duplicate", id="key-twice"),
        pytest.param([file("manifest.json", manifest(repotags=["debian:12"]))], "archive.manifest", id="key-in-another-case"),
        pytest.param([file("manifest.json", table([{"Config": f"{ID}.json", "RepoTags": "debian:12"}]))], "archive.manifest", id="tags-are-a-text"),
        pytest.param([file("manifest.json", table([{"RepoTags": ["a:1"]}]))], "archive.manifest", id="no-config"),
        pytest.param([file("manifest.json", manifest(config="other.json"))], "archive.manifest", id="config-not-there"),
        pytest.param([file("manifest.json", manifest("../x"))], "image.name", id="no-name"),
        pytest.param([file("manifest.json", manifest() + b"[]")], "json.trailing", id="trailing"),
        pytest.param([file("manifest.json", table({}))], "archive.manifest", id="no-list"),
        pytest.param([file("manifest.json", table([None]))], "archive.manifest", id="no-image"),
        pytest.param([file("manifest.json", manifest()), file("repositories", table([]))], "archive.manifest", id="repositories-are-a-list"),
        pytest.param([file("manifest.json", manifest()), file("index.json", table({"a": {"IO.containerd.image.name": 1}}))], "archive.manifest", id="name-is-a-number"),
        pytest.param([file("manifest.json", manifest()), file("index.json", table([{"org.opencontainers.image.ref.name": "debian:12"}]))], "archive.manifest", id="tag-alone"),
        pytest.param([file(f"{ID}.json", b"{}"), file("manifest.json", manifest())], "archive", id="config-twice"),
        pytest.param([symlink("m", "/etc"), file("manifest.json", manifest())], "archive", id="link-to-the-root"),
        pytest.param([symlink("m/x", "../../y"), file("manifest.json", manifest())], "archive", id="link-out"),
    ],
)  # fmt: skip
def test_refused(members: list[tuple[tarfile.TarInfo, bytes]], rule: str) -> None:
    with pytest.raises(Denied) as caught:
        read(archive(*members))
    assert denied(caught) == rule
