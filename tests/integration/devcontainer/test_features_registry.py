"""Features against a real registry on loopback, and against the reference implementation: what it prints of the same features, we print."""

import base64
import copy
import json
import os
import random
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.devcontainer.features import lockfile
from orchestrator.devcontainer.features.cache import Cache
from orchestrator.devcontainer.features.credentials import find
from orchestrator.devcontainer.features.lockfile import LockFile
from orchestrator.devcontainer.features.oci import Registry as Client
from orchestrator.devcontainer.features.order import collated
from orchestrator.devcontainer.features.resolve import FeatureSet, files_of, resolve_features
from orchestrator.devcontainer.features.transport import Transport, Unreachable
from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import AienvError, ConfigError, EnvironmentFailed, NotFound
from tests import clients
from tests.integration.devcontainer import registry as registries
from tests.integration.devcontainer.registry import MANIFEST_TYPE, Registry, archive, digest
from tests.unit.devcontainer.features.test_unpack import kind, tar

DEADLINE_S = 60.0

PUBLISHED: Mapping[str, Mapping[str, Json]] = {
    "ns/col/alpha": {
        "id": "alpha", "version": "1.2.3", "name": "Alpha", "installsAfter": ["{r}/ns/col/gamma"], "containerEnv": {"A": "1"},
        "options": {"version": {"type": "string", "default": "1"}, "flag": {"type": "boolean", "default": True}},
        "customizations": {"vscode": {"extensions": ["x.y"]}}, "legacyIds": ["old-alpha"], "currentId": "alpha",
    },
    "ns/col/old-alpha": {"id": "old-alpha", "version": "1.2.3", "name": "Alpha", "legacyIds": ["old-alpha"], "currentId": "alpha"},
    "ns/col/beta": {
        "id": "beta", "version": "2.0.0", "name": "Beta", "dependsOn": {"{r}/ns/col/alpha:1": {"flag": False}}, "init": True,
        "mounts": ["source=x,target=/x,type=volume"], "postCreateCommand": {"a": "b"},
    },
    "ns/col/gamma": {"id": "gamma", "version": "0.1.0", "name": "Gamma"},
    "ns/col/delta": {"id": "delta", "version": "0.1.0", "name": "D", "dependsOn": {"{r}/ns/col/beta": {}, "{r}/ns/col/gamma": {"v": "2"}}},
    "ns/other/zeta": {"id": "zeta", "version": "0.1.0", "name": "Z", "installsAfter": ["{r}/ns/col/old-alpha"]},
    "ns/other/eta": {"id": "other-name", "version": "0.1.0", "extensions": ["a.b"], "settings": {"a": 1}, "deprecated": True},
    "ns/other/loop": {"id": "loop", "version": "1.0.0", "dependsOn": {"{r}/ns/other/pool": {}}},
    "ns/other/pool": {"id": "pool", "version": "1.0.0", "dependsOn": {"{r}/ns/other/loop": {}}},
}  # fmt: skip
TAGS = {"ns/col/alpha": ("1", "1.2", "1.2.3", "latest"), "ns/col/gamma": ("0", "0.1", "0.1.0", "latest")}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    clients.require(registries.program)
    with registries.running(tmp_path_factory.mktemp("registry")) as found:
        for name, feature in PUBLISHED.items():
            found.publish(name, filled(feature, found.host), tags=TAGS.get(name, ("latest",)))
        yield found


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Registry]:
    clients.require(registries.program)
    (tmp_path / "registry").mkdir()
    with registries.running(tmp_path / "registry") as found:
        yield found


@pytest.fixture(scope="module")
def reference() -> Path:
    command = clients.require(clients.dev_container_cli)
    assert isinstance(command, Path)
    return command


def filled(value: Mapping[str, Json], host: str) -> Mapping[str, Json]:
    found = json.loads(json.dumps(value).replace("{r}", host))
    assert isinstance(found, dict)
    return found


class Project:
    """A folder with a configuration, and both ways to read its features."""

    def __init__(self, folder: Path, config: Mapping[str, Json], local: Mapping[str, Mapping[str, Json]], host: str = "") -> None:
        self.folder = folder
        self.cache = folder.parent / "cache"
        self.told: list[str] = []
        self.config = filled(config, host)
        self.place = folder / ".devcontainer"
        self.place.mkdir(parents=True)
        (self.place / "devcontainer.json").write_text(json.dumps({"image": "debian:bookworm", **self.config}))
        for name, feature in local.items():
            (self.place / name).mkdir(parents=True)
            (self.place / name / "devcontainer-feature.json").write_text(json.dumps(filled(feature, host)))
            (self.place / name / "install.sh").write_text("#!/bin/sh\n")

    @property
    def lock_path(self) -> Path:
        return lockfile.path_beside(self.place / "devcontainer.json")

    def fetch(self, environ: Mapping[str, str] | None = None, mirrors: Mapping[str, str] | None = None) -> Cache:
        known = environ or {}
        client = Client(Transport(known, deadline_s=20), lambda host: find(host, known), mirrors=mirrors, environ=known)
        return Cache(self.cache, client, self.told.append)

    def ours(
        self,
        fetch: Cache | None = None,
        *,
        additional: Mapping[str, Json] | None = None,
        lock: LockFile | None = None,
        frozen: bool = False,
    ) -> FeatureSet:
        asked, order = self.config.get("features"), self.config.get("overrideFeatureInstallOrder", [])
        assert isinstance(asked, dict)
        assert isinstance(order, list)
        return resolve_features(
            asked, config_folder=self.place, workspace=self.folder, override_order=[str(one) for one in order], additional=additional or {},
            fetch=fetch or self.fetch(), lock=lock or lockfile.read(self.lock_path), frozen=frozen,
        )  # fmt: skip

    def theirs(self, reference: Path, *words: str, **environ: str) -> Json:
        """``featuresConfiguration``; None when it fails."""
        argv = ("read-configuration", "--workspace-folder", str(self.folder), "--include-features-configuration", "--docker-path", "true")
        done = self.command(reference, *argv, *words, **environ)
        if done.returncode != 0:
            return None
        found: Json = json.loads(done.stdout)["featuresConfiguration"]
        return found

    def command(self, reference: Path, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **environ}
        return subprocess.run(
            (str(reference), *argv), capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=environ, stdin=subprocess.DEVNULL
        )


def without_places(found: Json) -> list[Json]:
    """Each has a folder of its own for what it fetched."""
    whole = copy.deepcopy(found)
    assert isinstance(whole, dict)
    assert isinstance(whole.pop("dstFolder"), str)
    sets = whole.pop("featureSets")
    assert whole == {}
    assert isinstance(sets, list)
    for one in sets:
        assert isinstance(one, dict)
        features = one["features"]
        assert isinstance(features, list)
        assert isinstance(features[0], dict)
        assert isinstance(features[0].pop("cachePath"), str)
    return sets


@dataclass(frozen=True)
class Case:
    """``{r}``: the registry. ``fails``: both refuse it."""

    name: str
    features: Mapping[str, Json]
    local: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    override: Sequence[str] = ()
    additional: Mapping[str, Json] = field(default_factory=dict)
    fails: bool = False
    quick: bool = False


def local(**said: Json) -> Mapping[str, Json]:
    return {"id": "l", "version": "1.0.0", "name": "L", **said}


R = "{r}/ns/col"
O = "{r}/ns/other"  # noqa: E741
CASES = (
    Case("all-forms", {f"{R}/beta": {}, f"{R}/Alpha:1.2": "2", "./loc": {"a": "b"}, f"{R}/gamma:0": {}},
         {"loc": {"id": "locx", "extensions": ["foo.bar"], "settings": {"a": 1}, "privileged": False}}, quick=True),
    Case("declared-order", {"./fc": {}, "./fa": {}, "./fb": {}}, dict.fromkeys(("fa", "fb", "fc"), local())),
    Case("collation", {"./b": {}, "./A-1": {}, "./a_1": {}, "./a1": {}, "./B": {}, "./a.1": {}},
         dict.fromkeys(("b", "A-1", "a_1", "a1", "B", "a.1"), local()), quick=True),
    Case("deep", {f"{R}/delta": {}}, quick=True),
    Case("soft-dependency", {f"{R}/alpha": {}, f"{R}/gamma": {}}),
    Case("soft-dependency-not-asked-for", {f"{R}/alpha": {}}),
    Case("old-name-is-followed", {f"{O}/zeta": {}, f"{R}/alpha": {}}, quick=True),
    Case("old-name-is-asked-for", {f"{O}/zeta": {}, f"{R}/old-alpha": {}}),
    Case("old-and-new-name", {f"{R}/old-alpha": {}, f"{R}/alpha": {}}),
    Case("another-id", {f"{O}/eta": {}}),
    Case("same-digest-two-tags", {f"{R}/alpha:1": {}, f"{R}/alpha:1.2.3": {}}),
    Case("same-digest-other-options", {f"{R}/alpha:1": {}, f"{R}/alpha:1.2": {"flag": True}, f"{R}/alpha:latest": "2"}, quick=True),
    Case("value-true-and-empty", {f"{R}/gamma": True, f"{R}/gamma:0": {}, f"{R}/gamma:0.1": "x"}),
    Case("value-false", {f"{R}/alpha": False}),
    Case("value-null", {f"{R}/alpha": None}, fails=True),
    Case("value-number", {f"{R}/alpha": 3}),
    Case("override", {"./a": {}, "./b": {}, "./c": {}}, dict.fromkeys("abc", local()), ["./c"]),
    Case("override-all", {"./a": {}, "./b": {}, "./c": {}}, dict.fromkeys("abc", local()), ["./c", "./a", "./b"]),
    Case("override-oci", {f"{R}/alpha": {}, f"{R}/gamma": {}, f"{O}/zeta": {}, "./a": {}}, {"a": local()}, [f"{O}/zeta", f"{R}/gamma"]),
    Case("override-does-not-beat-depends-on", {f"{R}/beta": {}, "./a": {}}, {"a": local()}, [f"{R}/beta"], quick=True),
    Case("override-lifts-a-dependency", {f"{R}/beta": {}, "./a": {}}, {"a": local()}, [f"{R}/alpha"]),
    Case("local-depends-on-oci", {"./a": {}}, {"a": local(dependsOn={"{r}/ns/col/gamma": {"v": "1"}})}),
    Case("local-depends-on-local", {"./a": {}},
         {"a": local(dependsOn={"./b": {}}), "b": local(dependsOn={"./c": {"x": "y"}}), "c": local()}),
    Case("local-after-oci", {"./a": {}, f"{R}/gamma:0": {}}, {"a": local(installsAfter=["{r}/ns/col/gamma"])}),
    Case("kinds-in-one-round", {f"{R}/gamma": {}, "./z": {}, "./a": {}, f"{O}/eta": {}}, {"a": local(), "z": local()}),
    Case("options-in-order", {"./a": {}}, {
        "a": local(dependsOn={"./b": {"x": "b"}, "./c": {}}), "b": local(),
        "c": local(dependsOn={"./b": {"x": "a"}, "./d": {}}), "d": local(dependsOn={"./b": {"x": "a", "y": True}, "./e": {}}),
        "e": local(dependsOn={"./b": {}, "./f": {}}), "f": local(dependsOn={"./b": {"x": "a", "y": False}}),
    }),
    Case("additional", {f"{R}/gamma": {"v": "1"}}, additional={f"{R}/gamma": {"v": "2"}, f"{R}/alpha": {}}),
    Case("all-properties", {"./a": {}}, {"a": local(
        description="d", documentationURL="u", licenseURL="l", keywords=["k"], init=True, privileged=True, capAdd=["A"], securityOpt=["b"],
        entrypoint="/e", mounts=[{"source": "s", "target": "/t", "type": "volume"}], onCreateCommand=["a", "b"], postStartCommand="p",
        containerEnv={"PATH": "/x:${PATH}"}, options={"o": {"type": "string", "proposals": ["1"], "default": "1"}}, unknown={"x": None},
    )}, quick=True),
    Case("circle", {f"{O}/loop": {}}, fails=True, quick=True),
    Case("circle-soft", {"./a": {}, "./b": {}}, {"a": local(installsAfter=["./b"]), "b": local(installsAfter=["./a"])}, fails=True),
    Case("not-published", {f"{R}/nothing": {}}, fails=True),
    Case("no-such-tag", {f"{R}/gamma:9": {}}, fails=True),
    Case("not-there", {"./nothing": {}}, fails=True),
    Case("outside", {"../a": {}}, fails=True),
    Case("absolute", {"/a": {}}, fails=True),
    Case("bare", {"fish": {}}, fails=True),
    Case("bare-in-installs-after", {"./a": {}}, {"a": local(installsAfter=["common-utils"])}, fails=True),
    Case("digest-that-is-not-there", {f"{R}/gamma@sha256:{'0' * 64}": {}}, fails=True),
)  # fmt: skip


def project_of(case: Case, tmp_path: Path, host: str) -> Project:
    config: dict[str, Json] = {"features": dict(case.features)}
    if case.override:
        config["overrideFeatureInstallOrder"] = list(case.override)
    return Project(tmp_path / "w", config, case.local, host)


@pytest.mark.parametrize("case", [pytest.param(one, id=one.name, marks=() if one.quick else pytest.mark.slow) for one in CASES])
def test_as_the_reference(case: Case, tmp_path: Path, published: Registry, reference: Path) -> None:
    project = project_of(case, tmp_path, published.host)
    additional = filled(case.additional, published.host)
    theirs = project.theirs(reference, *(("--additional-features", json.dumps(additional)) if additional else ()))
    if case.fails:
        assert theirs is None
        with pytest.raises(AienvError):
            project.ours(additional=additional)
        return
    assert without_places(project.ours(additional=additional).configuration()) == without_places(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_any_graph_as_the_reference(seed: int, tmp_path: Path, published: Registry, reference: Path) -> None:
    """Dependencies, soft ones, options and overrides at random, of folders and the registry."""
    dice = random.Random(seed)
    names = [*(f"./{one}" for one in "abcdE_"), f"{published.host}/ns/col/gamma", f"{published.host}/ns/col/alpha:1"]
    options: list[Json] = [{}, {}, {"x": "1"}, {"x": "2"}, {"x": True}, {"x": "1", "y": "1"}, "1"]

    def some(most: int) -> dict[str, Json]:
        return {name: dice.choice(options) for name in dice.sample(names, dice.randint(0, most))}

    folders = {
        one: local(dependsOn=some(2) if dice.random() < 0.5 else {}, installsAfter=dice.sample(names[:7], dice.randint(0, 2)))
        for one in "abcdE_"
    }
    config: dict[str, Json] = {"features": some(5) or {"./a": {}}}
    if dice.random() < 0.5:
        config["overrideFeatureInstallOrder"] = [*dice.sample(names, dice.randint(1, 3))]
    project = Project(tmp_path / "w", config, folders)
    theirs = project.theirs(reference)
    if theirs is None:
        with pytest.raises(ConfigError, match="wait for each other"):
            project.ours()
    else:
        assert without_places(project.ours().configuration()) == without_places(theirs)


def test_collation_as_by_node(reference: Path) -> None:
    """The locale of the reference decides in which order things are installed."""
    dice = random.Random(1)
    alphabet = [chr(one) for one in range(32, 127)]
    words = ["".join(dice.choices(alphabet + list("aAbB-./_") * 8, k=dice.randint(1, 8))) for _ in range(1500)]
    code = "process.stdout.write(JSON.stringify(JSON.parse(require('fs').readFileSync(0,'utf8')).sort((a,b)=>a.localeCompare(b))))"
    done = subprocess.run(
        ("node", "-e", code),
        input=json.dumps(words),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert json.loads(done.stdout) == sorted(words, key=collated)


def test_published_by_the_reference(tmp_path: Path, own: Registry, reference: Path) -> None:
    """``features publish`` fills the registry, with several tags and old names; both read it alike, and the lock file is the same."""
    published: Mapping[str, Mapping[str, Json]] = {
        "one": {"id": "one", "version": "1.2.3", "name": "One", "legacyIds": ["first"]},
        "two": {
            "id": "two", "version": "0.1.0", "name": "Two", "dependsOn": {"{r}/me/col/one:1": {}}, "installsAfter": ["{r}/me/col/first"],
        },
    }  # fmt: skip
    for name, feature in published.items():
        folder = tmp_path / "src" / name
        folder.mkdir(parents=True)
        (folder / "devcontainer-feature.json").write_text(json.dumps(filled(feature, own.host)))
        (folder / "install.sh").write_text("#!/bin/sh\n")
    features: Json = {"{r}/me/col/two:0.1": {}, "{r}/me/col/one:1.2": {"x": "y"}, "{r}/me/col/first": {}}
    project = Project(tmp_path / "w", {"features": features}, {}, own.host)
    done = project.command(reference, "features", "publish", str(tmp_path / "src"), "-r", own.host, "-n", "me/col")
    assert done.returncode == 0, done.stderr
    ours = project.ours()
    assert without_places(ours.configuration()) == without_places(project.theirs(reference))
    told = project.command(reference, "upgrade", "--workspace-folder", str(project.folder), "--dry-run", "--docker-path", "true")
    assert json.loads(told.stdout) == json.loads(ours.lock().text())
    assert told.stdout.strip() == ours.lock().text().strip()
    for one in ours.features:
        assert (files_of(one, project.fetch()) / "install.sh").read_text() == "#!/bin/sh\n"


def test_lock_file_holds_back(tmp_path: Path, own: Registry) -> None:
    """It is taken at its word though the tag has moved on; the reference reads it when it builds."""
    own.publish("ns/x", {"id": "x", "version": "1.0.0"}, tags=("1", "latest"))
    project = Project(tmp_path / "w", {"features": {"{r}/ns/x:1": {}}}, {}, own.host)
    lockfile.write(project.lock_path, project.ours().lock())
    own.publish("ns/x", {"id": "x", "version": "1.1.0"}, tags=("1", "latest"))
    shutil.rmtree(project.cache)
    ours = project.ours(frozen=True)
    assert '"version": "1.0.0"' in json.dumps(ours.configuration())
    project.lock_path.unlink()
    assert '"version": "1.1.0"' in json.dumps(project.ours().configuration())
    with pytest.raises(ConfigError, match="Lockfile does not exist"):
        project.ours(frozen=True)


def test_without_the_registry_the_second_time(tmp_path: Path, own: Registry) -> None:
    own.publish("ns/x", {"id": "x", "version": "1.0.0"}, annotated=False)
    project = Project(tmp_path / "w", {"features": {"{r}/ns/x": {}}}, {}, own.host)
    first = project.ours()
    assert project.told == []
    own.stop()
    assert project.ours().configuration() == first.configuration()
    assert len(project.told) == 1
    assert "as it was last" in project.told[0]
    assert project.ours(lock=first.lock(), frozen=True).configuration() == first.configuration()
    assert len(project.told) == 1
    shutil.rmtree(project.cache)
    with pytest.raises(Unreachable):
        project.ours()


def test_what_is_not_what_its_digest_says(tmp_path: Path, own: Registry) -> None:
    """The registry's own disk was changed."""
    feature = {"id": "x", "version": "1.0.0"}
    own.publish("ns/x", feature)
    project = Project(tmp_path / "w", {"features": {"{r}/ns/x": {}}}, {}, own.host)
    found = project.ours()
    data = archive(feature)
    own.file_of(digest(data)).write_bytes(data[:-1] + b"x")
    with pytest.raises(EnvironmentFailed, match="digest"):
        files_of(found.features[0], project.fetch())
    assert not list((project.cache / "content").iterdir())


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(tar(("../../../escaped", b"x")), id="leads-out"),
        pytest.param(tar(("x", b""), change=kind(b"2", "/etc")), id="link"),
        pytest.param(tar(("install.sh", b"")), id="without-its-file"),
        pytest.param(b"no tar", id="no-tar"),
    ],
)
def test_hostile_layers(tmp_path: Path, own: Registry, layer: bytes) -> None:
    own.publish("ns/x", {"id": "x"}, layer=layer, annotated=False)
    project = Project(tmp_path / "w", {"features": {"{r}/ns/x": {}}}, {}, own.host)
    with pytest.raises((EnvironmentFailed, NotFound)):
        project.ours()
    assert not list(tmp_path.rglob("escaped"))
    assert not list((project.cache / "tmp").iterdir())


def test_mirror(tmp_path: Path, own: Registry) -> None:
    """Only where it is asked changes; names, order and lock file do not."""
    own.publish("mirrors/acme/x", {"id": "x", "version": "1.0.0"}, tags=("1",))
    project = Project(tmp_path / "w", {"features": {"ghcr.io/acme/x:1": {}}}, {})
    found = project.ours(project.fetch(mirrors={"ghcr.io": f"{own.host}/mirrors"}))
    assert list(found.lock().features) == ["ghcr.io/acme/x:1"]
    assert found.lock().features["ghcr.io/acme/x:1"].resolved.startswith("ghcr.io/acme/x@sha256:")


def test_tarball(tmp_path: Path, reference: Path) -> None:
    data = archive({"id": "tool", "version": "1.0.0", "installsAfter": ["./a"], "privileged": True})
    certificate = clients.require(lambda: registries.certificate(tmp_path))
    assert isinstance(certificate, Path)
    ours_tls, theirs_tls = ssl.create_default_context(cafile=certificate), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs_tls.load_cert_chain(certificate)

    def reply(path: str, headers: Mapping[str, str]) -> registries.Reply:
        if path == "/old/devcontainer-feature-tool.tgz":
            return 302, {"Location": "/r/devcontainer-feature-tool.tgz"}, b""
        return (200, {}, data) if path == "/r/devcontainer-feature-tool.tgz" else (404, {}, b"")

    with registries.little(reply, theirs_tls) as (port, seen):
        url = f"https://localhost:{port}/r/devcontainer-feature-tool.tgz"
        project = Project(tmp_path / "w", {"features": {url: {"v": "1"}, "./a": {}}}, {"a": local()})
        fetch = Cache(project.cache, Client(Transport({}, context=ours_tls, deadline_s=20)), project.told.append)
        ours = project.ours(fetch)
        assert without_places(ours.configuration()) == without_places(project.theirs(reference, NODE_EXTRA_CA_CERTS=str(certificate)))
        assert ours.lock().features[url].integrity == digest(data)
        with pytest.raises(EnvironmentFailed, match="digest"):
            project.ours(fetch, lock=lockfile.parsed(json.dumps({"features": {url: {"integrity": digest(b"other")}}}).encode(), "lock"))
        elsewhere = Project(tmp_path / "v", {"features": {url.replace("/r/", "/old/"): {}}}, {})
        assert elsewhere.ours(fetch).features[0].manifest.id == "tool"
        asked = len(seen)
        with pytest.raises(Unreachable, match="certificate"):
            Project(tmp_path / "own" / "v", {"features": {url: {}}}, {}).ours()
        assert len(seen) == asked


# --- registries that want to know who we are ---------------------------------------------------------------------------------------

FEATURE: Mapping[str, Json] = {"id": "x", "version": "1.0.0"}
LAYER = archive(FEATURE)
MANIFEST = json.dumps({
    "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
    "config": {"mediaType": "application/vnd.devcontainers", "digest": digest(b"{}"), "size": 2},
    "layers": [{"mediaType": registries.LAYER_TYPE, "digest": digest(LAYER), "size": len(LAYER)}],
}).encode()  # fmt: skip
BASIC = "Basic " + base64.b64encode(b"me:token").decode()


def held(path: str) -> registries.Reply:
    if path == "/v2/ns/x/manifests/latest":
        return 200, {}, MANIFEST
    return (200, {}, LAYER) if path == f"/v2/ns/x/blobs/{digest(LAYER)}" else (404, {}, b"")


def basic(path: str, headers: Mapping[str, str]) -> registries.Reply:
    return held(path) if headers.get("authorization") == BASIC else (401, {"WWW-Authenticate": 'Basic realm="test"'}, b"who are you")


def bearer(path: str, headers: Mapping[str, str]) -> registries.Reply:
    host = headers["host"]
    if path.startswith("/token?"):
        given = {BASIC: b'{"token": "mine"}', None: b'{"token": "anonymous"}'}.get(headers.get("authorization"))
        return (200, {}, given) if given else (401, {}, b"")
    if headers.get("authorization") == "Bearer mine":
        return held(path)
    return 401, {"WWW-Authenticate": f'Bearer realm="http://{host}/token",service="test",scope="repository:ns/x:pull,push"'}, b""


def docker_config(folder: Path, host: str) -> dict[str, str]:
    folder.mkdir()
    path = folder / "config.json"
    path.write_text(json.dumps({"auths": {host: {"auth": BASIC.removeprefix("Basic ")}}}))
    path.chmod(0o600)
    return {"DOCKER_CONFIG": str(folder)}


@pytest.mark.parametrize("reply", [pytest.param(basic, id="basic"), pytest.param(bearer, id="bearer")])
@pytest.mark.parametrize("source", ["variable", "docker"])
def test_credentials(tmp_path: Path, reply: registries.Replier, source: str) -> None:
    with registries.little(reply) as (port, seen):
        host = f"127.0.0.1:{port}"
        environ = {"DEVCONTAINERS_OCI_AUTH": f"{host}|me|token"} if source == "variable" else docker_config(tmp_path / "docker", host)
        project = Project(tmp_path / "w", {"features": {f"{host}/ns/x": {}}}, {})
        assert project.ours(project.fetch(environ)).features[0].manifest.version == "1.0.0"
        assert seen[0] == ("/v2/ns/x/manifests/latest", None)
        assert len([path for path, _ in seen if path.startswith("/v2/")]) == 3
        assert all("scope=repository%3Ans%2Fx%3Apull" in path for path, _ in seen if path.startswith("/token"))
        with pytest.raises(EnvironmentFailed, match="does not let us"):
            Project(tmp_path / "v", {"features": {f"{host}/ns/y": {}, f"{host}/ns/x": {}}}, {}).ours()


def test_credentials_do_not_follow_a_redirect(tmp_path: Path) -> None:
    """To another port is to another place: it is refused here, where both would be plain HTTP."""
    with registries.little(lambda path, headers: held(path)) as (other, elsewhere):

        def away(path: str, headers: Mapping[str, str]) -> registries.Reply:
            found = basic(path, headers)
            return (307, {"Location": f"http://127.0.0.1:{other}{path}"}, b"") if found[0] == 200 and "/blobs/" in path else found

        with registries.little(away) as (port, _):
            host = f"127.0.0.1:{port}"
            project = Project(tmp_path / "w", {"features": {f"{host}/ns/x": {}}}, {})
            with pytest.raises(EnvironmentFailed, match="redirects to"):
                project.ours(project.fetch({"DEVCONTAINERS_OCI_AUTH": f"{host}|me|token"}))
        assert elsewhere == []


def test_two_at_once(tmp_path: Path, published: Registry) -> None:
    """They share a cache and do not mix."""
    projects = [
        Project(tmp_path / str(number) / "w", {"features": {f"{R}/delta": {"n": str(number)}}}, {}, published.host) for number in range(4)
    ]
    found: list[str] = []

    def work(project: Project) -> None:
        project.cache = tmp_path / "cache"
        ours = project.ours()
        folders = [files_of(one, project.fetch()) for one in ours.features]
        found.extend(f"{one.manifest.id} {json.loads((folder / 'devcontainer-feature.json').read_text())['id']}"
                     for one, folder in zip(ours.features, folders, strict=True))  # fmt: skip

    threads = [threading.Thread(target=work, args=(one,)) for one in projects]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(set(found)) == ["alpha alpha", "beta beta", "delta delta", "gamma gamma"]
    assert len(found) == 16
