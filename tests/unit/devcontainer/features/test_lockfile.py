"""The lock file: read strictly, written as the reference writes it."""

import json
import os
from pathlib import Path

import pytest

from orchestrator.devcontainer.features import lockfile, manifest, references
from orchestrator.devcontainer.features.feature import Feature, Local, Oci, Tarball
from orchestrator.devcontainer.features.lockfile import Locked, LockFile
from orchestrator.errors import ConfigError

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
URL = "https://example.org/devcontainer-feature-t.tgz"


def oci(written: str, digest: str, **said: object) -> Feature:
    reference = references.parse(written)
    assert isinstance(reference, references.OciReference)
    found = manifest.read(json.dumps({"id": "x", "version": "1.2.3", **said}), written, name="x")
    return Feature(written, Oci(reference, digest, digest, 1, {}), {}, found, {})


PLAIN = manifest.read('{"id": "t", "version": "0.1.0"}', "t", name="t")
FEATURES = (
    oci("ghcr.io/ns/node:1", A, dependsOn={"ghcr.io/ns/git": {}}),
    oci("ghcr.io/ns/git", B),
    Feature("./local", Local("/w/.devcontainer/local"), {}, PLAIN, {}),
    Feature(URL, Tarball(URL, B), {}, PLAIN, {}),
)


def test_written_as_by_the_reference(tmp_path: Path) -> None:
    path = tmp_path / "devcontainer-lock.json"
    path.symlink_to(tmp_path / "elsewhere")
    lockfile.write(path, lockfile.of(FEATURES, frozenset()))
    assert not (tmp_path / "elsewhere").exists()
    assert path.read_text() == json.dumps({"features": {
        "ghcr.io/ns/git": {"version": "1.2.3", "resolved": f"ghcr.io/ns/git@{B}", "integrity": B},
        "ghcr.io/ns/node:1": {"version": "1.2.3", "resolved": f"ghcr.io/ns/node@{A}", "integrity": A, "dependsOn": ["ghcr.io/ns/git"]},
        URL: {"version": "0.1.0", "resolved": URL, "integrity": B},
    }}, indent=2) + "\n"  # fmt: skip
    assert lockfile.read(path) == lockfile.of(FEATURES, frozenset())
    assert [one.name for one in tmp_path.iterdir()] == ["devcontainer-lock.json"]


def test_what_a_command_line_added_is_left_out() -> None:
    assert list(lockfile.of(FEATURES, frozenset([URL, "ghcr.io/ns/git"])).features) == ["ghcr.io/ns/node:1"]


@pytest.mark.parametrize(
    ("config", "name"),
    [
        pytest.param("devcontainer.json", "devcontainer-lock.json", id="in-a-folder"),
        pytest.param(".devcontainer.json", ".devcontainer-lock.json", id="at-the-root"),
    ],
)
def test_path(config: str, name: str) -> None:
    assert lockfile.path_beside(Path("/w") / config) == Path("/w") / name


def test_none(tmp_path: Path) -> None:
    assert lockfile.read(tmp_path / "devcontainer-lock.json") is None


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("fifo", "folder"):
        with pytest.raises(ConfigError):
            lockfile.read(tmp_path / name)


def test_empty_is_one_that_holds_nothing() -> None:
    assert lockfile.parsed(b" \n", "lock") == LockFile({})


def test_integrity() -> None:
    lock = LockFile({"ghcr.io/ns/git": Locked("1", "x", A)})
    assert lock.integrity("ghcr.io/ns/git") == A
    assert lock.integrity("ghcr.io/ns/git:1") is None


@pytest.mark.parametrize(
    ("data", "because"),
    [
        pytest.param(b"[]", "no object 'features'", id="list"),
        pytest.param(b'{"features": []}', "no object 'features'", id="features"),
        pytest.param(b'{"features": {"a": 1}}', "not an object", id="entry"),
        pytest.param(b'{"features": {"a": {"version": "1"}}}', "no digest", id="no-integrity"),
        pytest.param(b'{"features": {"a": {"integrity": "sha256:../x"}}}', "no digest", id="integrity"),
        pytest.param(b'{"features": {"a": {"integrity": "%s", "version": 1}}}' % A.encode(), "wrong type", id="version"),
        pytest.param(b'{"features": {}} // x', "not JSON", id="comment"),
        pytest.param(b"\xff", "UTF-8", id="bytes"),
        pytest.param(b" " * (1 << 21), "bytes", id="large"),
    ],
)
def test_refused(data: bytes, because: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lockfile.parsed(data, "devcontainer-lock.json")
    assert because in caught.value.message
