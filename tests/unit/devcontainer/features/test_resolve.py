"""From names to a feature set: folders of the configuration, a stand-in for all that is elsewhere."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from orchestrator.devcontainer.features import artifact
from orchestrator.devcontainer.features.lockfile import Locked, LockFile
from orchestrator.devcontainer.features.references import OciReference, TarballReference
from orchestrator.devcontainer.features.resolve import FeatureSet, files_of, resolve_features
from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import AienvError, ConfigError, NotFound

LAYER = "sha256:" + "1" * 64
URL = "https://example.org/devcontainer-feature-tar.tgz"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Shelf:
    """A ``Fetch`` that has what it was given: by name without a version -> devcontainer-feature.json."""

    def __init__(self, root: Path, published: Mapping[str, Mapping[str, Json]], annotated: bool = True) -> None:
        self.root = root
        self.annotated = annotated
        self.published = published
        self.asked: list[str] = []

    def manifest(self, reference: OciReference, digest_: str | None) -> tuple[bytes, str]:
        self.asked.append(reference.written)
        feature = self.published.get(reference.resource)
        if feature is None:
            raise NotFound(f"no {reference.written}")
        data = json.dumps({
            "config": {"mediaType": artifact.CONFIG_TYPE}, "layers": [{"digest": LAYER, "size": 1}],
            "annotations": {artifact.ANNOTATION: json.dumps(feature)} if self.annotated else None,
        }).encode()  # fmt: skip
        if digest_ is not None and digest_ != digest(data):
            raise NotFound(f"no {digest_}")
        return data, digest(data)

    def layer(self, reference: OciReference, digest: str, size: int) -> Path:
        return self._folder(digest, self.published[reference.resource])

    def tarball(self, reference: TarballReference, digest: str | None) -> tuple[Path, str]:
        return self._folder(digest or LAYER, self.published[reference.url]), digest or LAYER

    def place(self, digest: str) -> Path:
        return self.root / digest.removeprefix("sha256:")

    def _folder(self, digest: str, feature: Mapping[str, Json]) -> Path:
        self.place(digest).mkdir(parents=True, exist_ok=True)
        (self.place(digest) / "devcontainer-feature.json").write_text(json.dumps(feature))
        return self.place(digest)


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / ".devcontainer"
        self.config.mkdir(parents=True)
        self.shelf = Shelf(folder.parent / "cache", {})

    def local(self, path: str, **said: Json) -> Path:
        place = self.config / path
        place.mkdir(parents=True)
        (place / "devcontainer-feature.json").write_text(json.dumps({"id": place.name, "version": "1.0.0", "name": place.name, **said}))
        return place

    def resolve(
        self,
        asked: Mapping[str, Json],
        *,
        override: Sequence[str] = (),
        additional: Mapping[str, Json] | None = None,
        lock: LockFile | None = None,
        frozen: bool = False,
        config: Path | None = None,
    ) -> FeatureSet:
        return resolve_features(
            asked, config_folder=config or self.config, workspace=self.folder, override_order=override, additional=additional or {},
            fetch=self.shelf, lock=lock, frozen=frozen,
        )  # fmt: skip

    def names(self, asked: Mapping[str, Json], **others: Sequence[str]) -> list[str]:
        return [one.written for one in self.resolve(asked, override=others.get("override", ())).features]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "w")


def test_nothing(project: Project) -> None:
    found = project.resolve({}, frozen=True)
    assert (found.configuration(), found.metadata(), found.features) == (None, [], ())


def test_configuration(project: Project) -> None:
    """The shape of the reference, see the differential test."""
    place = project.local("loc", options={"a": {"type": "string", "default": "b"}})
    project.shelf.published = {"r.io:5000/ns/b": {"id": "b", "version": "1.2.3", "init": True}, URL: {"id": "tar"}}
    found = project.resolve({"r.io:5000/NS/b:1": "x", "./loc": {"a": 1}, URL: True}).configuration()
    assert isinstance(found, dict)
    sets = found["featureSets"]
    assert isinstance(sets, list)
    local, tarball, oci = sets
    assert local == {
        "sourceInformation": {"type": "file-path", "resolvedFilePath": str(place), "userFeatureId": "./loc"},
        "features": [{
            "id": "loc", "version": "1.0.0", "name": "loc", "options": {"a": {"type": "string", "default": "b"}},
            "included": True, "value": {"a": 1}, "cachePath": str(place), "consecutiveId": "loc_0",
        }],
        "internalVersion": "2",
    }  # fmt: skip
    assert tarball == {
        "sourceInformation": {"type": "direct-tarball", "tarballUri": URL, "userFeatureId": URL},
        "features": [{
            "id": "tar", "name": URL, "included": True, "value": True,
            "cachePath": str(project.shelf.place(LAYER)), "consecutiveId": "tar_1",
        }],
        "internalVersion": "2",
        "computedDigest": LAYER,
    }  # fmt: skip
    assert isinstance(oci, dict)
    source = oci["sourceInformation"]
    assert isinstance(source, dict)
    assert source["featureRef"] == {
        "scheme": "https", "id": "b", "owner": "ns", "namespace": "ns", "registry": "r.io:5000", "resource": "r.io:5000/ns/b",
        "path": "ns/b",
        "version": "1", "tag": "1",
    }  # fmt: skip
    assert (source["userFeatureId"], source["userFeatureIdWithoutVersion"]) == ("r.io:5000/NS/b:1", "r.io:5000/NS/b")
    assert source["manifestDigest"] == oci["computedDigest"]
    assert oci["features"] == [{
        "id": "b", "version": "1.2.3", "init": True, "included": True, "value": "x", "cachePath": str(project.shelf.place(LAYER)),
        "consecutiveId": "b_2",
    }]  # fmt: skip
    assert found["dstFolder"] == str(project.shelf.root)


def test_metadata(project: Project) -> None:
    """In order of installation, each under the name that the user wrote, with what the label holds and no more."""
    project.local("b", privileged=False, capAdd=["SYS_PTRACE"], containerEnv={"A": "1"}, postCreateCommand="x", customizations={"v": {}},
                  mounts=["type=volume,target=/x"], entrypoint="/e", securityOpt=["a"], init=True, onCreateCommand={"x": "y"})  # fmt: skip
    project.local("a", dependsOn={"./b": {}})
    assert project.resolve({"./a": {}}).metadata() == [
        {
            "id": "./b", "onCreateCommand": {"x": "y"}, "postCreateCommand": "x", "init": True, "privileged": False,
            "capAdd": ["SYS_PTRACE"], "securityOpt": ["a"], "entrypoint": "/e", "mounts": ["type=volume,target=/x"],
            "customizations": {"v": {}},
        },
        {"id": "./a"},
    ]  # fmt: skip


def test_what_nobody_asked_for_is_not_looked_up(project: Project) -> None:
    """All official features name others in installsAfter: to fetch those would need the network for nothing."""
    project.local("a", installsAfter=["ghcr.io/devcontainers/features/common-utils", "./gone"])
    assert project.names({"./a": {}}, override=["ghcr.io/x/y", "./gone"]) == ["./a"]
    assert project.shelf.asked == []


def test_each_name_is_looked_up_once(project: Project) -> None:
    project.shelf.published = {"r.io/ns/b": {"id": "b"}}
    project.local("a", dependsOn={"r.io/ns/b:1": {"x": "1"}})
    assert len(project.resolve({"./a": {}, "r.io/ns/b:1": {"x": "2"}}).features) == 3
    assert project.shelf.asked == ["r.io/ns/b:1"]


def test_without_an_annotation_the_layer_says_it(project: Project) -> None:
    project.shelf.published, project.shelf.annotated = {"r.io/ns/b": {"id": "named", "init": True}}, False
    assert project.resolve({"r.io/ns/b": {}}).metadata() == [{"id": "r.io/ns/b", "init": True}]


def test_additional(project: Project) -> None:
    """What the configuration names stays as it is there; the rest is not for the lock file."""
    project.shelf.published = {"r.io/ns/a": {"id": "a"}, "r.io/ns/b": {"id": "b"}}
    found = project.resolve({"r.io/ns/a": {"x": "1"}}, additional={"r.io/ns/a": {"x": "2"}, "r.io/ns/b": {}})
    assert [(one.written, one.value) for one in found.features] == [("r.io/ns/a", {"x": "1"}), ("r.io/ns/b", {})]
    assert list(found.lock().features) == ["r.io/ns/a"]


def test_files(project: Project) -> None:
    place = project.local("a")
    project.shelf.published = {"r.io/ns/b": {"id": "b"}, URL: {"id": "tar"}}
    found = project.resolve({"./a": {}, "r.io/ns/b": {}, URL: {}})
    assert [files_of(one, project.shelf) for one in found.features] == [place, project.shelf.place(LAYER), project.shelf.place(LAYER)]


@pytest.mark.parametrize(
    ("config", "written", "place"),
    [
        pytest.param(".devcontainer", "./x", ".devcontainer/x", id="beside"),
        pytest.param(".devcontainer", "./deep/x", ".devcontainer/deep/x", id="deeper"),
        pytest.param(".devcontainer/web", "./x", ".devcontainer/web/x", id="in-a-folder-of-it"),
        pytest.param(".devcontainer/web", "../x", ".devcontainer/x", id="above-but-inside"),
        pytest.param(".", "./.devcontainer/x", ".devcontainer/x", id="root-file"),
    ],
)
def test_local_folders(project: Project, config: str, written: str, place: str) -> None:
    project.local(place.removeprefix(".devcontainer/"))
    found = project.resolve({written: {}}, config=project.folder / config).configuration()
    assert str(project.folder / place) in json.dumps(found)


@pytest.mark.parametrize(
    ("config", "written"),
    [
        pytest.param(".devcontainer", "../x", id="out"),
        pytest.param(".devcontainer", "./a/../../x", id="out-in-the-middle"),
        pytest.param(".devcontainer", "../.devcontainerx/x", id="begins-alike"),
        pytest.param(".", "./x", id="root-file-beside-the-folder"),
        pytest.param("elsewhere", "./x", id="a-configuration-elsewhere"),
        pytest.param(".devcontainer", "./link", id="link"),
        pytest.param(".devcontainer", "./through/x", id="below-a-link"),
        pytest.param(".devcontainer", "./linked-file", id="the-file-is-a-link"),
    ],
)
def test_local_folders_outside(project: Project, config: str, written: str) -> None:
    """They exist, and are refused nevertheless."""
    for name in ("x", ".devcontainerx/x", "elsewhere/x"):
        (project.folder / name).mkdir(parents=True)
        (project.folder / name / "devcontainer-feature.json").write_text('{"id": "x"}')
    (project.config / "link").symlink_to(project.folder / "x")
    (project.config / "through").symlink_to(project.folder)
    (project.config / "linked-file").mkdir()
    (project.config / "linked-file/devcontainer-feature.json").symlink_to(project.folder / "x/devcontainer-feature.json")
    with pytest.raises(ConfigError, match=r"not below|leads out"):
        project.resolve({written: {}}, config=project.folder / config)


def test_a_link_that_stays_inside(project: Project) -> None:
    project.local("x")
    (project.config / "link").symlink_to("x")
    assert project.names({"./link": {}}) == ["./link"]


def test_a_fifo_does_not_hold_us(project: Project) -> None:
    (project.config / "x").mkdir()
    os.mkfifo(project.config / "x/devcontainer-feature.json")
    with pytest.raises(ConfigError):
        project.resolve({"./x": {}})


@pytest.mark.parametrize(
    ("asked", "error", "because"),
    [
        pytest.param({"./gone": {}}, NotFound, "there is no devcontainer-feature.json", id="not-there"),
        pytest.param({"r.io/ns/gone": {}}, NotFound, "r.io/ns/gone", id="not-published"),
        pytest.param({"git": {}}, ConfigError, "bare name", id="bare"),
        pytest.param({"./bad": {}}, ConfigError, "JSON", id="broken"),
        pytest.param({"./a": []}, ConfigError, "takes a version", id="options"),
        pytest.param({"./after": {}}, ConfigError, "bare name", id="bare-in-installs-after"),
        pytest.param({"./needs": {}}, ConfigError, "not below", id="depends-on-what-is-outside"),
    ],
)
def test_errors(project: Project, asked: Mapping[str, Json], error: type[AienvError], because: str) -> None:
    project.local("a")
    project.local("after", installsAfter=["common-utils"])
    project.local("needs", dependsOn={"../x": {}})
    (project.local("bad") / "devcontainer-feature.json").write_text("{")
    with pytest.raises(error, match=because):
        project.resolve(asked)


def test_lock(project: Project) -> None:
    """It is what a second resolution is held to, by digest."""
    project.shelf.published = {"r.io/ns/b": {"id": "b", "version": "1.0.0"}}
    first = project.resolve({"r.io/ns/b:1": {}})
    lock = first.lock()
    assert project.resolve({"r.io/ns/b:1": {}}, lock=lock, frozen=True).lock() == lock
    project.shelf.published = {"r.io/ns/b": {"id": "b", "version": "1.1.0"}}
    with pytest.raises(NotFound):
        project.resolve({"r.io/ns/b:1": {}}, lock=lock)
    assert project.resolve({"r.io/ns/b": {}}, lock=lock).lock().features["r.io/ns/b"].version == "1.1.0"


@pytest.mark.parametrize(
    ("lock", "because"),
    [
        pytest.param(None, "Lockfile does not exist", id="none"),
        pytest.param(LockFile({}), "Lockfile does not match", id="empty"),
        pytest.param(LockFile({"r.io/ns/b": Locked("9", "x", LAYER)}), "no sha256", id="another-digest"),
    ],
)
def test_frozen(project: Project, lock: LockFile | None, because: str) -> None:
    project.shelf.published = {"r.io/ns/b": {"id": "b"}}
    with pytest.raises(AienvError, match=because):
        project.resolve({"r.io/ns/b": {}}, lock=lock, frozen=True)


def test_frozen_with_local_features_alone(project: Project) -> None:
    """They are in no lock file; yet there must be one."""
    project.local("a")
    assert project.resolve({"./a": {}}, lock=LockFile({}), frozen=True).features
    with pytest.raises(ConfigError):
        project.resolve({"./a": {}}, frozen=True)


def test_two_digests(project: Project) -> None:
    project.shelf.published = {"r.io/ns/b": {"id": "b"}}
    written = f"r.io/ns/b@sha256:{'2' * 64}"
    with pytest.raises(ConfigError, match="another digest"):
        project.resolve({written: {}}, lock=LockFile({written: Locked("1", "x", LAYER)}))


def test_warnings(project: Project) -> None:
    project.local("a", deprecated=True, currentId="b", options={"v": {"type": "string", "enum": ["1"]}})
    found = project.resolve({"./a": {"v": "2", "w": "x"}}).warnings
    assert len(found) == 4
    assert all("'./a'" in one for one in found)
