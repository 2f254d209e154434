"""Where templates come from, and what is no template."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.devcontainer.templates import sources
from orchestrator.devcontainer.templates.content import File
from orchestrator.devcontainer.templates.sources import Template, fetch, own
from orchestrator.errors import AienvError, ConfigError, EnvironmentFailed, NotFound


def get(name: str, here: Path) -> Template:
    return fetch(name, here, {}, here / "cache", lambda text: None)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / ".devcontainer/deep").mkdir(parents=True)
    (folder / "devcontainer-template.json").write_text('{"id": "web", "version": "1"}')
    (folder / ".devcontainer/devcontainer.json").write_text("{}")
    (folder / ".devcontainer/deep/x").write_text("x")
    (folder / "run.sh").write_text("r")
    (folder / "run.sh").chmod(0o755)
    (folder / "empty").mkdir()
    return folder


def test_ours() -> None:
    """By name, with the name as id; their test.sh is for us."""
    names = ["claude", "codex", "compose-postgres", "cpp", "gemini", "go", "java", "node", "opencode", "polyglot", "python", "rust"]
    assert [template.about.id for template in own()] == names
    assert all(".devcontainer/devcontainer.json" in template.files and "test.sh" not in template.files for template in own())
    assert get("python", Path("/")).about.id == "python"


@pytest.mark.parametrize("name", ["./mine", "../{top}/mine", "{whole}/mine", "./mine/"])
def test_a_folder(name: str, mine: Path, tmp_path: Path) -> None:
    """Each folder's files before what lies deeper, as in an archive."""
    found = get(name.format(top=tmp_path.name, whole=tmp_path), tmp_path)
    assert found.about.id == "web"
    assert list(found.files) == ["devcontainer-template.json", "run.sh", ".devcontainer/devcontainer.json", ".devcontainer/deep/x"]
    assert found.files["run.sh"] == File(b"r", executable=True)


def test_the_folder_that_one_is_in(mine: Path) -> None:
    assert get(".", mine).about.id == "web"


@pytest.mark.parametrize(
    ("name", "error", "because"),
    [
        pytest.param("pyton", NotFound, "no template 'pyton', perhaps 'python'?", id="near miss"),
        pytest.param("zzz", NotFound, "no template 'zzz'; there are claude, codex", id="far miss"),
        pytest.param("", NotFound, "no template ''", id="empty"),
        pytest.param("Python", NotFound, "perhaps 'python'?", id="another case"),
        pytest.param("./absent", NotFound, "'./absent' is no folder", id="no folder"),
        pytest.param("./mine/.devcontainer", NotFound, "has no devcontainer-template.json", id="not a template"),
        pytest.param("./mine/run.sh", NotFound, "is no folder", id="a file"),
        pytest.param("acme/web", ConfigError, "the template 'acme/web' names the repository of a GitHub user", id="no registry"),
        pytest.param("ghcr.io/a/b:&", ConfigError, "the template 'ghcr.io/a/b:&'", id="bad tag"),
        pytest.param("https://e.org/devcontainer-feature-x.tgz", ConfigError, "is an address of an archive", id="archive"),
        pytest.param("python/../go", ConfigError, "the template", id="back"),
    ],
)
def test_no_such_template(name: str, error: type[AienvError], because: str, mine: Path, tmp_path: Path) -> None:
    with pytest.raises(error) as caught:
        get(name, tmp_path)
    assert because in caught.value.message
    assert "feature" not in caught.value.code


def link(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")


def link_to_folder(folder: Path) -> None:
    (folder / ".devcontainer/deep/link").symlink_to("/etc")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def large(folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate(sources.MAX_BYTES + 1)


def many(folder: Path) -> None:
    for number in range(sources.MAX_FILES + 1):
        (folder / f"f{number}").touch()


def deep(folder: Path) -> None:
    (folder / "/".join("d" * (sources.MAX_DEPTH + 3))).mkdir(parents=True)


def broken(folder: Path) -> None:
    (folder / "devcontainer-template.json").write_text("{")


@pytest.mark.parametrize("damage", [link, link_to_folder, pipe, large, many, deep, broken])
def test_what_is_refused(damage: Callable[[Path], None], mine: Path, tmp_path: Path) -> None:
    damage(mine)
    with pytest.raises(ConfigError, match="mine"):
        get("./mine", tmp_path)


def test_without_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Somebody copied the package without them."""
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    with pytest.raises(EnvironmentFailed, match="has no templates"):
        own()
