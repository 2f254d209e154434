"""The options of ``build``, and the lock file beside a configuration."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.devcontainer.features.lockfile import LockFile, read
from orchestrator.devcontainer.features.resolve import Fetch
from orchestrator.devcontainer.images.command import how_of, lock_of
from orchestrator.devcontainer.images.image import How
from orchestrator.devcontainer.images.options import BUILD
from orchestrator.devcontainer.load import Asked, Configuration, load
from orchestrator.devcontainer.options import parse
from orchestrator.devcontainer.policy.grants import NONE
from orchestrator.devcontainer.wanted import wanted_features, write_lock
from orchestrator.errors import AienvError, ConfigError, UsageError


def how(*words: str) -> How:
    return how_of(parse(words, BUILD), Path("/c"), NONE, cast(Fetch, None), lambda text: None)


def test_options() -> None:
    found = how(
        "--image-name", "a:1", "--image-name", "b", "--label", "x=y=z", "--label", "n", "--cache-from", "c", "--cache-to", "d",
        "--no-cache", "--platform", "linux/amd64", "--buildkit", "never",
    )  # fmt: skip
    assert (found.names, found.labels, found.cache_from, found.cache_to) == (("a:1", "b"), {"x": "y=z", "n": ""}, ("c",), "d")
    assert (found.no_cache, found.platform, found.buildkit, found.labelled) == (True, "linux/amd64", "never", True)
    assert found.options() == ("--no-cache", "--platform", "linux/amd64")
    assert how().options() == ()


@pytest.mark.parametrize("words", [("--output", "type=local,dest=x"), ("--push",)])
def test_what_there_is_not(words: tuple[str, ...]) -> None:
    with pytest.raises((UsageError, ConfigError)):
        how(*words)


def test_push_of_a_name() -> None:
    assert how("--push", "--image-name", "r/x:1").names == ("r/x:1",)


@pytest.mark.parametrize(
    ("words", "lock"),
    [
        ((), "honour"),
        (("--no-lockfile",), "ignore"),
        (("--frozen-lockfile",), "frozen"),
        (("--experimental-frozen-lockfile",), "frozen"),
    ],
)
def test_lock(words: tuple[str, ...], lock: str) -> None:
    assert lock_of(parse(words, BUILD)) == lock


@pytest.mark.parametrize("other", ["--frozen-lockfile", "--write-lockfile", "--experimental-lockfile"])
def test_no_lock_file_and_one(other: str) -> None:
    with pytest.raises(UsageError, match="mutually exclusive"):
        lock_of(parse(("--no-lockfile", other), BUILD))


def test_unused_options_say_so() -> None:
    notes = parse(("--user-data-folder", "/x", "--omit-syntax-directive"), BUILD).notes
    assert len(notes) == 2


# --- the lock file -------------------------------------------------------------------------------------------------------------


def configuration(folder: Path, lock: Mapping[str, Any] | None = None) -> Configuration:
    place = folder / ".devcontainer"
    (place / "fa").mkdir(parents=True, exist_ok=True)
    (place / "fa/devcontainer-feature.json").write_text('{"id": "fa", "version": "1.0.0", "name": "f"}')
    (place / "devcontainer.json").write_text('{"image": "i", "features": {"./fa": {}}}')
    if lock is not None:
        (place / "devcontainer-lock.json").write_text(json.dumps(lock))
    return load(Asked(str(folder)), {})


@pytest.mark.parametrize("lock", ["honour", "ignore", "frozen"])
def test_a_lock_file_that_says_just_this(tmp_path: Path, lock: Any) -> None:
    found = wanted_features(configuration(tmp_path, {"features": {}}), {}, {}, tmp_path / "cache", print, lock)
    assert [one.written for one in found.features] == ["./fa"]


def test_a_broken_one_counts_unless_nobody_looks(tmp_path: Path) -> None:
    broken = configuration(tmp_path, {"features": 5})
    with pytest.raises(ConfigError, match=r"devcontainer-lock\.json has no object 'features'"):
        wanted_features(broken, {}, {}, tmp_path / "cache", print)
    assert wanted_features(broken, {}, {}, tmp_path / "cache", print, "ignore").features


def test_frozen_wants_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Lockfile does not exist"):
        wanted_features(configuration(tmp_path), {}, {}, tmp_path / "cache", print, "frozen")
    other = configuration(tmp_path, {"features": {"r.example/a/b:1": {"integrity": "sha256:" + "0" * 64}}})
    with pytest.raises(AienvError, match="Lockfile does not match"):
        wanted_features(other, {}, {}, tmp_path / "cache", print, "frozen")


def test_written_only_where_asked(tmp_path: Path) -> None:
    found = configuration(tmp_path)
    features = wanted_features(found, {}, {}, tmp_path / "cache", print)
    path = tmp_path / ".devcontainer/devcontainer-lock.json"
    assert not path.exists()
    assert write_lock(found, features) == path
    assert read(path) == LockFile({})
    with pytest.raises(ConfigError, match="there is none"):
        write_lock(load(Asked(), {}), features)
