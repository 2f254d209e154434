"""From the file to values."""

from pathlib import Path

import pytest

from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.load import Asked, load, modern, read
from orchestrator.devcontainer.variables import container_pass, id_pass
from orchestrator.errors import ConfigError


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param({"image": "i"}, {"image": "i"}, id="nothing old"),
        pytest.param({"extensions": ["a"]}, {"customizations": {"vscode": {"extensions": ["a"]}}}, id="extensions"),
        pytest.param({"extensions": "a"}, {"customizations": {"vscode": {"extensions": ["a"]}}}, id="one extension"),
        pytest.param({"settings": {"a": 1}}, {"customizations": {"vscode": {"settings": {"a": 1}}}}, id="settings"),
        pytest.param({"devPort": 1}, {"customizations": {"vscode": {"devPort": 1}}}, id="devPort"),
        pytest.param({"extensions": ["a"], "customizations": {"x": 1, "vscode": {"extensions": ["b"]}}},
                     {"customizations": {"x": 1, "vscode": {"extensions": ["b", "a"]}}}, id="extensions add up"),
        pytest.param({"settings": {"a": 1, "b": 1}, "customizations": {"vscode": {"settings": {"a": 2}}}},
                     {"customizations": {"vscode": {"settings": {"a": 2, "b": 1}}}}, id="new settings are stronger"),
        pytest.param({"devPort": 1, "customizations": {"vscode": {"devPort": 2}}},
                     {"devPort": 1, "customizations": {"vscode": {"devPort": 2}}}, id="the new devPort stays, and the old one too"),
        pytest.param({"extensions": [], "customizations": "junk"}, {"extensions": [], "customizations": "junk"}, id="no place to move to"),
        pytest.param({"extensions": None, "settings": ""}, {"extensions": None, "settings": ""}, id="nothing said"),
    ],
)  # fmt: skip
def test_modern(config: Object, expected: Object) -> None:
    before = str(config)
    assert modern(config) == expected
    assert str(config) == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{\n "image" "i"}', "f.json:2:10: expected ':', found '\"i\"'"),
        (b"\xff{}", "f.json is not valid UTF-8, at byte 0"),
        (b"[]", "Dev container config (f.json) must contain a JSON object literal."),
        (b"// x", "f.json:1:5: is empty"),
    ],
)
def test_refused(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(data, "f.json")
    assert caught.value.message == message


def test_warnings() -> None:
    _, warnings = read(b'{"image": "a",\n "image": "b", "x": 1}', "f.json")
    assert warnings == ("f.json:2:2: 'image' stands twice, this one counts", "f.json: x is not known")


def test_not_too_many_warnings() -> None:
    _, warnings = read(b'{"image": "i"' + b', "image": "i"' * 1000 + b"}", "f.json")
    assert len(warnings) == 21
    assert warnings[-1] == "f.json: 980 more keys stand twice"


def lay(folder: Path, text: str) -> Asked:
    (folder / ".devcontainer.json").write_text(text)
    return Asked(str(folder))


def test_load(tmp_path: Path) -> None:
    asked = lay(
        tmp_path, '{"image": "${localEnv:I}", "workspaceFolder": "/w/${localWorkspaceFolderBasename}", "a": "${containerWorkspaceFolder}"}'
    )
    found = load(asked, {"I": "debian"})
    name = tmp_path.name
    assert found.config == {"image": "debian", "workspaceFolder": f"/w/{name}", "a": f"/w/{name}"}
    assert found.raw["image"] == "${localEnv:I}"
    assert found.workspace is not None
    assert found.workspace.folder == f"/w/{name}"
    assert found.placed({})["configFilePath"] == {
        "$mid": 1, "fsPath": f"{tmp_path}/.devcontainer.json", "path": f"{tmp_path}/.devcontainer.json", "scheme": "vscode-fileHost",
    }  # fmt: skip


def test_passes_hold_for_what_comes_later(tmp_path: Path) -> None:
    found = load(lay(tmp_path, '{"image": "i", "a": "${devcontainerId}"}'), {"X": "x"}).then(id_pass("7")).then(container_pass({"P": "p"}))
    assert found.config["a"] == "7"
    assert found.substituted({"a": "${localEnv:X}${devcontainerId}${containerEnv:P}"}) == {"a": "x7p"}


def test_no_file_was_asked_for() -> None:
    found = load(Asked(), {"X": "x"})
    assert (found.config, found.place, found.workspace) == ({}, None, None)
    assert found.substituted({"a": "${localEnv:X}${localWorkspaceFolder}"}) == {"a": "x${localWorkspaceFolder}"}


def test_override(tmp_path: Path) -> None:
    """The place is the one it would have had."""
    (tmp_path / "o.json").write_text('{"image": "o"}')
    found = load(Asked(str(tmp_path), override=str(tmp_path / "o.json")), {})
    assert found.config == {"image": "o"}
    assert found.place is not None
    assert found.place.path == f"{tmp_path}/.devcontainer/devcontainer.json"
