"""Lock files: what is written is read back; what is odd is refused with its key."""

import json
import re
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.lock import CPUS, Lock, NpmPackage, PypiPackage, dump, from_npm, from_pip, parse_lock, sha512_of
from orchestrator.errors import ConfigError

SHA512 = "sha512-" + "A" * 86 + "=="
NPM = Lock(
    "npm",
    "@google/gemini-cli",
    "0.61.0",
    npm=(
        NpmPackage("node_modules/@google/gemini-cli", "@google/gemini-cli", "0.61.0", SHA512, 20772697),
        NpmPackage("node_modules/a/node_modules/@b/c", "@b/c", "1.0.0-rc.1+x", SHA512, 1, ("arm64",)),
    ),
)
PYPI = Lock("pypi", "aider-chat", "0.86.2", pypi=(PypiPackage("aider-chat", "0.86.2", "ab" * 32),), python="3.11", machine="x86_64")


@pytest.mark.parametrize("lock", [pytest.param(NPM, id="npm"), pytest.param(PYPI, id="pypi")])
def test_round_trip(lock: Lock) -> None:
    """The file says it all, and its digest is that of what it says."""
    assert parse_lock(dump(lock), "x") == lock
    assert parse_lock(dump(lock).replace(b"\n", b"\r\n "), "x").digest == lock.digest


def test_order_does_not_count() -> None:
    """Two locks of the same packages are one folder."""
    assert Lock("npm", NPM.package, NPM.version, npm=NPM.npm[::-1]).digest == NPM.digest


def test_processors() -> None:
    """A package for another processor is left out."""
    assert [one.path for one in NPM.packages_for("x64")] == ["node_modules/@google/gemini-cli"]
    assert len(NPM.packages_for("arm64")) == 2


def changed(**entry: object) -> bytes:
    document = json.loads(dump(NPM))
    document["packages"][1].update(entry)
    return json.dumps(document).encode()


def whole(**keys: object) -> bytes:
    return json.dumps(json.loads(dump(NPM)) | keys).encode()


@pytest.mark.parametrize(
    ("data", "because"),
    [
        pytest.param(b"", "no JSON", id="empty"),
        pytest.param(b"[" * 100_000, "no JSON", id="deep"),
        pytest.param(b"[]", "schema", id="list"),
        pytest.param(whole(schema="other/1"), "schema", id="other-schema"),
        pytest.param(whole(kind="deb"), "kind", id="kind"),
        pytest.param(whole(registry="https://example.org"), "registry: unknown key", id="a-registry-has-no-place"),
        pytest.param(whole(packages=[]), "packages", id="no-packages"),
        pytest.param(whole(packages=[json.loads(dump(NPM))["packages"][0]] * 2), "one place", id="twice"),
        pytest.param(changed(path="node_modules/../../etc"), "packages.1.path", id="climbs"),
        pytest.param(changed(path="/etc"), "packages.1.path", id="absolute"),
        pytest.param(changed(path="bin/claude"), "packages.1.path", id="elsewhere"),
        pytest.param(changed(path="node_modules/.bin"), "packages.1.path", id="dot"),
        pytest.param(changed(path="node_modules/a\n"), "packages.1.path", id="newline"),
        pytest.param(changed(name="../x"), "packages.1.name", id="name"),
        pytest.param(changed(version="1/../.."), "packages.1.version", id="version"),
        pytest.param(changed(version=""), "packages.1.version", id="no-version"),
        pytest.param(changed(integrity="sha1-AAAA"), "packages.1.integrity", id="weak-digest"),
        pytest.param(changed(integrity="sha512-AAAA"), "packages.1.integrity", id="short-digest"),
        pytest.param(changed(integrity=None), "packages.1.integrity", id="no-digest"),
        pytest.param(changed(bytes=0), "packages.1.bytes", id="no-size"),
        pytest.param(changed(bytes=True), "packages.1.bytes", id="size-true"),
        pytest.param(changed(bytes=1 << 40), "packages.1.bytes", id="huge"),
        pytest.param(changed(cpu="x64"), "packages.1.cpu", id="cpu-text"),
        pytest.param(changed(resolved="https://example.org/x.tgz"), "packages.1.resolved: unknown key", id="an-address-has-no-place"),
    ],
)
def test_refused(data: bytes, because: str) -> None:
    """Nothing is guessed, and nothing leads out of the folder."""
    with pytest.raises(ConfigError, match=f"^my.lock.json: .*{because}"):
        parse_lock(data, "my.lock.json")


JSON = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["schema", "kind", "packages", "path", "cpu"]) | st.text(), inner),
)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(data: bytes) -> None:
    """A lock, or our own error in one line."""
    with pytest.raises(ConfigError) as caught:
        parse_lock(data, "x")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["claude", "codex", "opencode", "gemini", "qwen", "pi", "aider", "mini-swe-agent", "node"])
def test_shipped(name: str) -> None:
    """The files that come with us are read, hold the agent itself, and name no address."""
    data = (resources.files("orchestrator.agents") / "data" / f"{name}.lock.json").read_bytes()
    lock = parse_lock(data, name)
    assert dump(lock) == data
    assert not re.search(rb"https?:", data)
    assert lock.package in {*(one.name for one in lock.npm), *(one.name for one in lock.pypi)}
    assert lock.kind == "pypi" or lock.packages_for("x64")


PACKAGE_LOCK = {
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "root"},
        "node_modules/a": {"version": "1.0.0", "integrity": "sha1-x " + SHA512, "resolved": "https://r/a.tgz"},
        "node_modules/codex-linux-x64": {"name": "codex", "version": "1-x64", "integrity": SHA512, "os": ["linux"], "cpu": ["x64"]},
        "node_modules/both": {"version": "1", "integrity": SHA512, "cpu": ["x64", "arm64", "ia32"]},
        "node_modules/not-win": {"version": "1", "integrity": SHA512, "os": ["!win32"]},
        "node_modules/dev": {"version": "1", "integrity": SHA512, "dev": True},
        "node_modules/bundled": {"version": "1", "inBundle": True},
        "node_modules/mac": {"version": "1", "integrity": SHA512, "os": ["darwin"]},
        "node_modules/musl": {"version": "1", "integrity": SHA512, "libc": ["musl"]},
        "node_modules/riscv": {"version": "1", "integrity": SHA512, "cpu": ["riscv64"]},
        "node_modules/not-linux": {"version": "1", "integrity": SHA512, "os": ["!linux"]},
    },
}


def test_from_npm() -> None:
    """Aliases keep their real name; what is for other machines or for development is left out."""
    assert [(one.path.removeprefix("node_modules/"), one.name, one.cpu) for one in from_npm(PACKAGE_LOCK)] == [
        ("a", "a", ()),
        ("both", "both", ()),
        ("codex-linux-x64", "codex", ("x64",)),
        ("not-win", "not-win", ()),
    ]
    assert set(CPUS.values()) == {"x64", "arm64"}


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"resolved": "git+ssh://git@example.org/x", "version": "1.0.0"}, id="git"),
        pytest.param({"link": True, "resolved": "../x"}, id="folder"),
        pytest.param({"version": "1", "integrity": "sha1-AAAA"}, id="sha1-alone"),
    ],
)
def test_from_npm_refused(entry: dict[str, object]) -> None:
    """What has no strong digest cannot be locked."""
    with pytest.raises(ValueError):
        from_npm({"packages": {"node_modules/x": entry}})


def test_from_pip() -> None:
    """Names in pip's one spelling."""
    item = {"metadata": {"name": "Ruamel.Yaml_x", "version": "1"}, "download_info": {"archive_info": {"hashes": {"sha256": "ab" * 32}}}}
    assert from_pip({"install": [item]}) == (PypiPackage("ruamel-yaml-x", "1", "ab" * 32),)
    with pytest.raises(ValueError, match="sha256"):
        from_pip({"install": [item | {"download_info": {"dir_info": {}}}]})


def test_sha512() -> None:
    assert sha512_of(SHA512) == bytes(64)
    with pytest.raises(ValueError, match="no sha512"):
        sha512_of("sha512-" + "A" * 85 + "!==")
