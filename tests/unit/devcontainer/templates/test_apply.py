"""A template into a project, and the reference's words for it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.options import parse
from orchestrator.devcontainer.templates.apply import Request, apply, request_of
from orchestrator.devcontainer.templates.options import TEMPLATES_APPLY, long
from orchestrator.errors import AienvError, ConfigError, NotFound, UsageError

CONFIG = '{\n\t"image": "debian:${templateOption:v}" // c\n}\n'
FILES = {
    "devcontainer-template.json": '{"id": "t", "version": "1.0.0", "options": {"v": {"type": "string", "default": "12"}}}',
    "README.md": "about",
    ".devcontainer/devcontainer.json": CONFIG,
    ".github/x.yml": "x",
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """With the template ``t`` and a project ``p``."""
    for path, text in FILES.items():
        (tmp_path / "t" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "t" / path).write_text(text)
    (tmp_path / "p").mkdir()
    return tmp_path


def do(request: Request, place: Path, warnings: list[str] | None = None) -> Object:
    return apply(request, place, {}, place / "cache", (warnings if warnings is not None else []).append)


def by_words(words: Sequence[str], place: Path, warnings: list[str] | None = None) -> Object:
    return do(request_of(parse(long(words), TEMPLATES_APPLY), place), place, warnings)


def test_applied(place: Path) -> None:
    found = do(Request("./t", place / "p", {"v": "13"}, {"r/n/f:1": {}}, [".github/*"]), place)
    assert found == {"files": ["./.devcontainer/devcontainer.json"]}
    assert (place / "p/.devcontainer/devcontainer.json").read_text() == (
        '{\n\t"image": "debian:13", // c\n\t"features": {\n\t\t"r/n/f:1": {}\n\t}\n}\n'
    )


@pytest.mark.parametrize(
    ("request_", "error", "because"),
    [
        pytest.param(Request("./t", Path("p"), {"w": "1"}), UsageError, "the template './t' ('t') has no option 'w'", id="option"),
        pytest.param(Request("./t", Path("p"), {"v": '"'}), ConfigError, "devcontainer.json is no JSON, line 2, column", id="breaks out"),
        pytest.param(Request("./t", Path("p"), omit=[".devcontainer/*", ".github/*"]), ConfigError, "nothing is left", id="nothing left"),
        pytest.param(
            Request("./t", Path("p"), features={"a": {}}, omit=[".devcontainer/*"]), ConfigError, "no devcontainer.json", id="features"
        ),
        pytest.param(Request("./t", Path("absent")), NotFound, "absent is no folder", id="no project"),
        pytest.param(Request("./t", Path("t/README.md")), NotFound, "is no folder", id="a file"),
    ],
)
def test_refused(request_: Request, error: type[AienvError], because: str, place: Path) -> None:
    """And nothing is written."""
    target = place / request_.folder
    with pytest.raises(error) as caught:
        do(Request(request_.template, target, request_.options, request_.features, request_.omit), place)
    assert because in caught.value.message
    assert not list((place / "p").iterdir())


def test_twice(place: Path) -> None:
    do(Request("./t", place / "p"), place)
    with pytest.raises(UsageError, match="there already"):
        do(Request("./t", place / "p", {"v": "13"}), place)
    do(Request("./t", place / "p", {"v": "13"}, force=True), place)
    assert "debian:13" in (place / "p/.devcontainer/devcontainer.json").read_text()


def test_the_references_words(place: Path) -> None:
    """It makes the folder, overwrites, and takes options that nobody declared."""
    words = ["-w", "new/deep", "-t=./t", "-a", '{"v": "13", "z": "1"}', "-f", '[{"id": "r/n/f:1", "options": {"a": "b"}}, {"id": "r/n/g"}]']
    for _ in range(2):
        assert by_words([*words, "--omitPaths", '[".github/*"]'], place) == {"files": ["./.devcontainer/devcontainer.json"]}
    assert '"r/n/f:1": {\n\t\t\t"a": "b"\n\t\t},\n\t\t"r/n/g": {}' in (place / "new/deep/.devcontainer/devcontainer.json").read_text()


def test_the_reference_writes_what_is_no_json(place: Path) -> None:
    warnings: list[str] = []
    by_words(["-w", "p", "-t", "./t", "-a", '{"v": "\\""}'], place, warnings)
    assert "no JSON" in warnings[0]
    assert 'debian:""' in (place / "p/.devcontainer/devcontainer.json").read_text()


@pytest.mark.parametrize(
    ("words", "because"),
    [
        ([], "Missing required argument: template-id"),
        (["-t", "./t", "-a", "nope"], "--template-args is no JSON: "),
        (["-t", "./t", "-a", "[1]"], "--template-args is no JSON object of texts"),
        (["-t", "./t", "-a", '{"v": true}'], "--template-args is no JSON object of texts"),
        (["-t", "./t", "-f", '{"a": {}}'], "--features is no JSON list"),
        (["-t", "./t", "-f", "[1]"], "--features is no JSON list"),
        (["-t", "./t", "-f", '[{"id": "a", "options": []}]'], None),
        (["-t", "./t", "-f", '[{"id": "a", "options": "1"}]'], "--features is no JSON list"),
        (["-t", "./t", "--omit-paths", '"x"'], "--omit-paths is no JSON list of texts"),
        (["-x"], "Unknown argument: -x"),
    ],
)
def test_bad_words(words: Sequence[str], because: str | None, place: Path) -> None:
    if because is None:
        by_words(["-w", "p", *words], place)
        return
    with pytest.raises(UsageError) as caught:
        by_words(["-w", "p", *words], place)
    assert because in caught.value.message
    assert not list((place / "p").iterdir())


@pytest.mark.parametrize(
    ("words", "longer"),
    [
        (["-w", "x", "-t=y"], ("--workspace-folder", "x", "--template-id=y")),
        (["--features", "-a"], ("--features", "--template-args")),
        (["-wx", "--w", "w"], ("-wx", "--w", "w")),
    ],
)
def test_short_words(words: Sequence[str], longer: Sequence[str]) -> None:
    assert long(words) == longer
