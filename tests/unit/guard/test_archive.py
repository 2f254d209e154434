"""Archives of docker load: every name is told, every layer is there, and only what was judged goes on."""

# ruff: noqa: E501 - a row of a table stays one line

import bz2
import gzip
import hashlib
import io
import json
import tarfile

import pytest

from orchestrator.guard.archive import ArchiveReader, Loaded
from orchestrator.guard.calls import Denied
from tests.unit.guard.imagesession import denied
from tests.unit.guard.tars import file, folder, hardlink, listed, other, symlink, tar

LAYER = b"x" * 3000
OWN = {"dev.aienv.run": "s1"}
Members = list[tuple[tarfile.TarInfo, bytes]]


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def table(value: object) -> bytes:
    return json.dumps(value).encode()


def config(*layers: bytes, **more: object) -> bytes:
    return table({"rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}, "os": "linux", **more})


CONFIG = config(LAYER)
ID = hashlib.sha256(CONFIG).hexdigest()


def manifest(*tags: str, config: str = f"{ID}.json", layers: object = ("l/layer.tar",), **more: object) -> bytes:
    return table([{"Config": config, "RepoTags": list(tags) or None, "Layers": layers, **more}])


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return tar([file(f"{ID}.json", CONFIG), file("l/layer.tar", LAYER), *members])


def image(text: bytes, *layers: tuple[tarfile.TarInfo, bytes], **more: object) -> bytes:
    """An archive of one image."""
    names = [info.name for info, _ in layers]
    return tar([file("c.json", text), *layers, file("manifest.json", manifest("a:1", config="c.json", layers=names, **more))])


def read(data: bytes) -> tuple[Loaded, bytes]:
    with io.BytesIO() as sent:
        reader = ArchiveReader(sent, OWN, 1 << 24)
        for start in range(0, len(data), 1000):
            for _ in reader.feed(data[start : start + 1000]):
                pass
        return reader.finish(), sent.getvalue() + reader.tail()


def refusal(data: bytes) -> str:
    with pytest.raises(Denied) as caught:
        read(data)
    return denied(caught)


def test_docker_save() -> None:
    """As an older engine writes it, with the layer of one image a link to that of another: plain files and one table go on."""
    two = config(LAYER, LAYER)
    rows = [*json.loads(manifest("app:1", "x/y:2")), *json.loads(manifest("z:1", config="two.json", layers=["m/layer.tar", "n/layer.tar"]))]
    found, out = read(
        archive(symlink("m/layer.tar", "../l/layer.tar"), hardlink("n/layer.tar", "l/layer.tar"), file("two.json", two), folder("e"), file("manifest.json", table(rows)))
    )  # fmt: skip
    assert found == Loaded(("docker.io/library/app:1", "docker.io/x/y:2", "docker.io/library/z:1"), (f"sha256:{ID}", digest(two)))
    contents = dict(listed(out))
    assert contents.pop("l/layer.tar") == LAYER
    assert json.loads(contents.pop("manifest.json")) == [
        {"Config": f"{ID}.json", "RepoTags": ["docker.io/library/app:1", "docker.io/x/y:2"], "Layers": ["l/layer.tar"]},
        {"Config": "two.json", "RepoTags": ["docker.io/library/z:1"], "Layers": ["l/layer.tar", "l/layer.tar"]},
    ]
    assert contents == {f"{ID}.json": CONFIG, "two.json": two, "e": b""}


def test_oci_layout() -> None:
    """As newer engines write it: what repeats the table in other words, or says something else, does not go on."""
    index = {
        "schemaVersion": 2,
        "manifests": [{"digest": "sha256:1", "annotations": {"io.containerd.image.name": "docker.io/library/b:1"}}],
    }
    path = "blobs/sha256/" + ID
    sources = {digest(LAYER): {"mediaType": "application/vnd.oci.image.layer.v1.tar", "urls": ["http://127.0.0.1/"]}}
    found, out = read(
        archive(
            file(path, CONFIG), file("index.json", table(index)), file("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'),
            file("manifest.json", manifest("a:1", config=path, LayerSources=sources)), file("repositories", b"{"),
        )
    )  # fmt: skip
    assert found == Loaded(("docker.io/library/a:1",), (f"sha256:{ID}",))
    assert {name for name, _ in listed(out)} == {path, f"{ID}.json", "l/layer.tar", "manifest.json"}
    assert b"127.0.0.1" not in out


def test_without_names() -> None:
    """Loaded by id."""
    assert read(archive(file("manifest.json", manifest())))[0] == Loaded((), (f"sha256:{ID}",))


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, __import__("lzma").compress, lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])]
)
def test_packed_layers(pack: object) -> None:
    """Other tools pack them; the engine unpacks."""
    assert callable(pack)
    packed = pack(LAYER)
    assert dict(listed(read(image(CONFIG, file("l", packed)))[1]))["l"] == packed
    assert refusal(image(CONFIG, file("l", pack(LAYER + b"1")))) == "archive.layers"
    assert refusal(image(CONFIG, file("l", packed[:-9]))) == "archive"


@pytest.mark.parametrize(
    ("text", "layers", "rule"),
    [
        pytest.param(CONFIG, [], "archive.layers", id="no-layer"),
        pytest.param(CONFIG, [file("l", b"")], "archive.layers", id="empty-layer"),
        pytest.param(CONFIG, [file("l", LAYER + b"1")], "archive.layers", id="another-layer"),
        pytest.param(CONFIG, [folder("l")], "archive.layers", id="folder"),
        pytest.param(CONFIG, [symlink("l", "nowhere")], "archive.layers", id="symlink-to-nothing"),
        pytest.param(CONFIG, [hardlink("l", "nowhere")], "archive.layers", id="link-to-nothing"),
        pytest.param(CONFIG, [file("l", LAYER), file("m", LAYER)], "archive.layers", id="one-more"),
        pytest.param(config(LAYER, b"2"), [file("l", LAYER)], "archive.layers", id="one-less"),
        pytest.param(config(LAYER, b"2"), [file("l", b"2"), file("m", LAYER)], "archive.layers", id="order"),
        pytest.param(config(LAYER).replace(b"sha256:", b"sha512:"), [file("l", LAYER)], "archive.layers", id="another-hash"),
        pytest.param(CONFIG, [file("l", b"\x28\xb5\x2f\xfd" + LAYER)], "archive", id="zstd"),
        pytest.param(CONFIG, [file("l", gzip.compress(bytes(70 << 20)))], "archive", id="bomb"),
        pytest.param(table({}), [], "archive.config", id="no-rootfs"),
        pytest.param(table({"rootfs": {"diff_ids": "x"}}), [], "archive.config", id="ids-are-a-text"),
        pytest.param(table({"rootfs": {"diff_ids": [1]}}), [], "archive.config", id="id-is-a-number"),
        pytest.param(table({"rootfs": {"type": "layers"}, "RootFS": {"diff_ids": ["sha256:0"]}}), [], "archive.config", id="rootfs-in-another-case"),
        pytest.param(table({"rootfs": {"diff_ids": [], "Diff_IDs": ["sha256:0"]}}), [], "archive.config", id="ids-in-another-case"),
        pytest.param(b'{"rootfs":{"diff_ids":[]},"rootfs":{"diff_ids":["x"]}}', [], "json.duplicate", id="rootfs-twice"),
        pytest.param(config() + b"{}", [], "json.trailing", id="trailing"),
        pytest.param(b"[]", [], "archive.manifest", id="a-list"),
        pytest.param(config(config={"Labels": {"dev.aienv.run": "s2"}}), [], "archive.labels", id="label-of-another-session"),
        pytest.param(config(config={"Labels": {"dev.aienv.other": ""}}), [], "archive.labels", id="label-of-ours"),
        pytest.param(config(container_config={"Labels": {"dev.aienv.run": "s2"}}), [], "archive.labels", id="label-of-the-container"),
        pytest.param(config(config={"labels": {"dev.aienv.run": "s2"}}), [], "archive.config", id="labels-in-another-case"),
        pytest.param(config(Config={"Labels": {}}), [], "archive.config", id="config-in-another-case"),
        pytest.param(config(config=[]), [], "archive.config", id="config-is-a-list"),
    ],
)  # fmt: skip
def test_images_refused(text: bytes, layers: Members, rule: str) -> None:
    assert refusal(image(text, *layers)) == rule


@pytest.mark.parametrize(
    "text",
    [
        config(),
        config(config={"Labels": {"a": "b", "dev.aienv.run": "s1"}, "OnBuild": ["RUN x"]}, container_config=None),
        config(config={"Labels": None}),
        table({"rootfs": {"type": "layers"}}),
    ],
)
def test_images_pass(text: bytes) -> None:
    assert read(image(text))[0].ids == (digest(text),)


def test_parents() -> None:
    """An image of the same archive, which docker save writes where both are saved, or none. It does not go on."""
    assert refusal(image(config(), Parent="sha256:" + "1" * 64)) == "archive.parent"
    assert read(image(config(), Parent=""))[0].names
    rows = [*json.loads(manifest(config="c.json", layers=None)), *json.loads(manifest("b:1", Parent=digest(config())))]
    _, out = read(archive(file("c.json", config()), file("manifest.json", table(rows))))
    assert b"Parent" not in out


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        pytest.param([], "archive.manifest", id="no-table"),
        pytest.param([file("repositories", table({"debian": {"12": "x"}}))], "archive.manifest", id="oldest-form"),
        pytest.param([file("manifest.json", manifest("a:1")), file("./manifest.json", manifest("debian:12"))], "archive", id="two-tables"),
        pytest.param([symlink("manifest.json", "l/layer.tar")], "archive.manifest", id="table-is-a-link"),
        pytest.param([symlink("x", "."), file("x/manifest.json", manifest("debian:12")), file("manifest.json", manifest())], "archive", id="through-a-link"),
        pytest.param([symlink("l", "m"), file("manifest.json", manifest())], "archive", id="folder-becomes-a-link"),
        pytest.param([file("l", b"m"), file("manifest.json", manifest())], "archive", id="folder-becomes-a-file"),
        pytest.param([symlink("l/layer.tar", "m"), file("manifest.json", manifest())], "archive", id="layer-becomes-a-link"),
        pytest.param([other("p", tarfile.FIFOTYPE), file("manifest.json", manifest())], "archive", id="pipe"),
        pytest.param([file("a/" * 9 + "b"), file("manifest.json", manifest())], "archive", id="deep"),
        pytest.param([file("a" * 513), file("manifest.json", manifest())], "archive", id="long"),
        pytest.param([file("manifest.json", b'[{"Config":"x","RepoTags":[],"RepoTags":["debian:12"]}]')], "json.duplicate", id="key-twice"),
        pytest.param([file("manifest.json", manifest(repotags=["debian:12"]))], "archive.manifest", id="key-in-another-case"),
        pytest.param([file("manifest.json", table([{"Config": f"{ID}.json", "RepoTags": "debian:12"}]))], "archive.manifest", id="tags-are-a-text"),
        pytest.param([file("manifest.json", table([{"Config": f"{ID}.json", "RepoTags": [1]}]))], "archive.manifest", id="tag-is-a-number"),
        pytest.param([file("manifest.json", manifest(layers="l/layer.tar"))], "archive.manifest", id="layers-are-a-text"),
        pytest.param([file("manifest.json", manifest(layers=["../l/layer.tar"]))], "archive", id="layer-outside"),
        pytest.param([file("manifest.json", manifest(Parent=1))], "archive.manifest", id="parent-is-a-number"),
        pytest.param([file("manifest.json", table([{"RepoTags": ["a:1"]}]))], "archive.manifest", id="no-config"),
        pytest.param([file("manifest.json", manifest(config="other.json"))], "archive.manifest", id="config-not-there"),
        pytest.param([file("manifest.json", manifest(config="l/layer.tar"))], "archive.manifest", id="config-is-a-layer"),
        pytest.param([file("manifest.json", manifest("../x"))], "image.name", id="no-name"),
        pytest.param([file("manifest.json", manifest() + b"[]")], "json.trailing", id="trailing"),
        pytest.param([file("manifest.json", b" " * (2 << 20))], "archive", id="large"),
        pytest.param([file("manifest.json", table({}))], "archive.manifest", id="no-list"),
        pytest.param([file("manifest.json", table([None]))], "archive.manifest", id="no-image"),
        pytest.param([file(f"{ID}.json", b"{}"), file("manifest.json", manifest())], "archive", id="config-twice"),
        pytest.param([symlink("m", "/etc"), file("manifest.json", manifest())], "archive", id="link-to-the-root"),
        pytest.param([symlink("m/x", "../../y"), file("manifest.json", manifest())], "archive", id="link-out"),
    ],
)  # fmt: skip
def test_refused(members: Members, rule: str) -> None:
    assert refusal(archive(*members)) == rule


def test_small_files() -> None:
    """What could be a configuration is kept in mind, within bounds."""
    many = [file(f"{number}.json", b"{" + bytes(1_000_000)) for number in range(70)]
    steps = ArchiveReader(io.BytesIO(), OWN).feed(tar(many))
    with pytest.raises(Denied) as caught:
        list(steps)
    assert denied(caught) == "archive"


def test_steps() -> None:
    """Layers that unpack to much are unpacked in steps, after the piece that held them."""
    bomb = bz2.compress(bytes(60 << 20))
    with io.BytesIO() as sent:
        reader = ArchiveReader(sent, OWN)
        steps = sum(1 for _ in reader.feed(image(config(bytes(60 << 20)), file("l", bomb))))
        assert steps >= 60
        assert reader.finish().names
