"""Templates from a real registry, and against the reference implementation: what it writes of the same template, we write."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.devcontainer.jsonc import Json, parse
from orchestrator.devcontainer.options import parse as parse_words
from orchestrator.devcontainer.templates.apply import Request, apply, request_of
from orchestrator.devcontainer.templates.options import TEMPLATES_APPLY, long
from orchestrator.devcontainer.templates.sources import own
from orchestrator.errors import AienvError, EnvironmentFailed, NotFound
from tests import clients
from tests.integration.devcontainer import registry as registries
from tests.integration.devcontainer.registry import Registry
from tests.unit.devcontainer.features.test_unpack import kind, tar

DEADLINE_S = 60.0
COLLECTION = Path(__file__).parents[3] / "devcontainer-templates"

ABOUT: Mapping[str, Json] = {
    "id": "one", "version": "1.0.2", "name": "One", "description": "d", "optionalPaths": [".github/*"],
    "options": {
        "v": {"type": "string", "proposals": ["a", "b"], "default": "a"}, "e": {"type": "string", "enum": ["x", "y"], "default": "x"},
        "b": {"type": "boolean", "default": "true"}, "c": {"type": "boolean", "default": "false"}, "none": {"type": "string"},
    },
}  # fmt: skip
CONFIG = """// top
{
	"name": "One", // c1
	"image": "debian:${templateOption:v}",
	/* before */
	"containerEnv": {"E": "${templateOption: e }", "B": "${templateOption:b}${templateOption:c}", "N": "<${templateOption:nope}>",
		"L": "${localEnv:HOME}", "ND": "<${templateOption:none}>", "odd": "${ templateOption:v} ${templateOption:a-b} $v"}, // tail
	// last
}
"""
FILES: Mapping[str, str] = {
    "devcontainer-template.json": json.dumps(ABOUT), "README.md": "${templateOption:v}", "NOTES.md": "n",
    "run.sh": "#!/bin/sh\n${templateOption:v}\n",
    ".devcontainer/devcontainer.json": CONFIG, ".github/dependabot.yml": "d", "sub/README.md": "${templateOption:v}",
    "sub/devcontainer-template.json": "x", "sub/deep/a": "ü ${templateOption:v}\r\n", "A": "", "z": "",
}  # fmt: skip
TWO: Mapping[str, str] = {
    "devcontainer-template.json": '{"id": "two", "version": "1.0.0", "name": "Two", "description": "", "options": {}}',
    ".devcontainer.json": '{"image": "x", "features": {"r/n/own:1": {"a": "b"}, "r/n/same:1": {"old": "1"}}}',
}
THREE: Mapping[str, str] = {
    "devcontainer-template.json": '{"id": "three", "version": "1.0.0", "name": "Three", "description": ""}',
    ".devcontainer/devcontainer.json": '{\n  // c\n  "image": "x" // d\n}', ".devcontainer/other/file": "f",
}


def lay(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        path.chmod(0o755 if name.endswith(".sh") else 0o644)


def found_in(folder: Path) -> Mapping[str, tuple[bytes, bool]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), os.access(path, os.X_OK) and path.stat().st_mode & 0o100 != 0)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def reference() -> Path:
    command = clients.require(clients.dev_container_cli)
    assert isinstance(command, Path)
    return command


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Iterator[Registry]:
    """Filled by the reference: our own collection, and three that are odd."""
    clients.require(registries.program)
    folder = tmp_path_factory.mktemp("templates")
    for name, files in {"one": FILES, "two": TWO, "three": THREE}.items():
        lay(folder / "src" / name, files)
    with registries.running(folder) as found:
        for source in (folder / "src", COLLECTION):
            done = command(reference, "publish", str(source), "-r", found.host, "-n", "ns/col", home=folder)
            assert done.returncode == 0, done.stderr
        yield found


def command(reference: Path, *words: str, home: Path) -> subprocess.CompletedProcess[str]:
    argv = (str(reference), "templates", *words)
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=environ, stdin=subprocess.DEVNULL, cwd=home
    )


def ours(words: Sequence[str], home: Path) -> Json:
    """What is printed; None: an error."""
    try:
        return apply(request_of(parse_words(long(words), TEMPLATES_APPLY), home), home, {}, home / "cache", lambda text: None)
    except AienvError:
        return None


@dataclass(frozen=True)
class Case:
    """``{r}``: the registry. ``before``: what is in the project."""

    name: str
    template: str
    words: Sequence[str] = ()
    before: Mapping[str, str] | None = None


FEATURES = '[{"id": "r/n/new:1", "options": {"v": "2"}}, {"id": "r/n/same:1"}]'
CASES = (
    Case("defaults", "one"),
    Case("values", "one:1.0", ["-a", '{"v": "zz", "b": "false", "c": "true", "none": "n", "nope": "known"}']),
    Case("outside-the-enum", "one:latest", ["--template-args", '{"e": "q"}']),
    Case("empty-value", "one", ["-a", '{"v": ""}']),
    Case("omitted", "one", ["--omit-paths", '[".github/*", "run.sh", "sub/deep/*", "A", "sub", "absent"]']),
    Case("features", "one", ["-f", FEATURES]),
    Case("features-beside-its-own", "two", ["-f", FEATURES]),
    Case("features-where-none-are", "three", ["-f", FEATURES]),
    Case("overwrites", "two", [], {".devcontainer.json": "old", "mine": "mine"}),
    Case("no-options", "three", ["-a", '{"x": "y"}']),
    Case("not-published", "four"),
    Case("no-such-tag", "one:9"),
    Case("bad-arguments", "one", ["-a", "nope"]),
    Case("arguments-of-another-type", "one", ["-a", '{"b": true}']),
    Case("bad-features", "one", ["-f", '{"r/n/f": {}}']),
    Case("bad-paths", "one", ["--omit-paths", '{"a": 1}']),
)


@pytest.mark.parametrize("case", [pytest.param(one, id=one.name) for one in CASES])
def test_as_the_reference(case: Case, tmp_path: Path, published: Registry, reference: Path) -> None:
    """The same files, the same words on standard output, and errors where it has some."""
    words = ["-t", f"{published.host}/ns/col/{case.template}", *case.words]
    for name in ("theirs", "ours"):
        lay(tmp_path / name, case.before or {})
    done = command(reference, "apply", "-w", str(tmp_path / "theirs"), *words, home=tmp_path)
    found = ours(["-w", "ours", *words], tmp_path)
    assert found == (json.loads(done.stdout) if done.returncode == 0 else None), done.stderr
    left, right = found_in(tmp_path / "ours"), found_in(tmp_path / "theirs")
    assert left.keys() == right.keys()
    for name in left:
        if "-f" in case.words and name.endswith("devcontainer.json"):  # each has its own way with blanks
            assert parse(left[name][0].decode()).value == parse(right[name][0].decode()).value
            assert [text in left[name][0] for text in (b"// c", b"// d", b"/* before */")] == [
                text in right[name][0] for text in (b"// c", b"// d", b"/* before */")
            ]
        else:
            assert left[name] == right[name]


@pytest.mark.parametrize("name", [template.about.id for template in own()])
def test_our_own_from_a_registry(name: str, tmp_path: Path, published: Registry) -> None:
    """Published by the reference, ours are what they were, with the test that ours leave behind."""
    for project in ("here", "there"):
        (tmp_path / project).mkdir()
    apply(Request(name, tmp_path / "here"), tmp_path, {}, tmp_path / "cache", lambda text: None)
    remote = f"{published.host}/ns/col/{name}:1"
    apply(Request(remote, tmp_path / "there", omit=["test.sh"]), tmp_path, {}, tmp_path / "cache", lambda text: None)
    assert found_in(tmp_path / "here") == found_in(tmp_path / "there")


def test_our_own_by_the_reference(tmp_path: Path, published: Registry, reference: Path) -> None:
    """It writes what we write."""
    done = command(
        reference, "apply", "-w", str(tmp_path / "theirs"), "-t", f"{published.host}/ns/col/java", "-a", '{"jdk": "21"}', "--omit-paths",
        '["test.sh"]', home=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (tmp_path / "ours").mkdir()
    apply(Request("java", tmp_path / "ours", {"jdk": "21"}), tmp_path, {}, tmp_path / "cache", lambda text: None)
    assert found_in(tmp_path / "ours") == found_in(tmp_path / "theirs")


# --- where we differ, or go further ------------------------------------------------------------------------------------------------


@pytest.fixture
def own_registry(tmp_path: Path) -> Iterator[Registry]:
    clients.require(registries.program)
    (tmp_path / "registry").mkdir()
    with registries.running(tmp_path / "registry") as found:
        yield found


def get(registry: Registry, name: str, tmp_path: Path, warnings: list[str] | None = None) -> Json:
    (tmp_path / "p").mkdir(exist_ok=True)
    request = Request(f"{registry.host}/{name}", tmp_path / "p", force=True)
    return apply(request, tmp_path, {}, tmp_path / "cache", (warnings if warnings is not None else []).append)


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(tar(("devcontainer-template.json", b'{"id": "x"}'), ("../../x", b"")), id="dot-dot"),
        pytest.param(tar(("devcontainer-template.json", b'{"id": "x"}'), ("x", b""), change=kind(b"2", "/etc")), id="links"),
        pytest.param(b"no archive at all", id="no archive"),
    ],
)
def test_hostile_archives(layer: bytes, own_registry: Registry, tmp_path: Path) -> None:
    own_registry.publish("ns/x", {"id": "x"}, layer=layer)
    with pytest.raises(EnvironmentFailed, match="template") as caught:
        get(own_registry, "ns/x", tmp_path)
    assert caught.value.code == "template-archive"
    assert not list((tmp_path / "p").iterdir())


def test_a_feature_is_no_template(own_registry: Registry, tmp_path: Path) -> None:
    own_registry.publish("ns/f", {"id": "f", "version": "1.0.0"})
    with pytest.raises(NotFound, match=r"has no devcontainer-template\.json"):
        get(own_registry, "ns/f", tmp_path)


def test_git_hooks_are_refused(own_registry: Registry, tmp_path: Path) -> None:
    """What a template brings there, git would run."""
    about = ("devcontainer-template.json", b'{"id": "x"}')
    own_registry.publish("ns/x", {"id": "x"}, layer=tar(about, (".git/hooks/pre-commit", b"#!/bin/sh\n")))
    with pytest.raises(AienvError, match="git would run"):
        get(own_registry, "ns/x", tmp_path)


def test_bytes_stay(own_registry: Registry, tmp_path: Path) -> None:
    """The reference reads each file as text and spoils what is none."""
    data = bytes(range(256)) + b"${templateOption:x}"
    own_registry.publish("ns/x", {"id": "x"}, layer=tar(("devcontainer-template.json", b'{"id": "x"}'), ("logo.png", data)))
    get(own_registry, "ns/x", tmp_path)
    assert (tmp_path / "p/logo.png").read_bytes() == data


def test_false_is_a_default(own_registry: Registry, tmp_path: Path) -> None:
    """Written without quotes; the reference takes it for none."""
    about = b'{"id": "x", "options": {"b": {"type": "boolean", "default": false}}}'
    own_registry.publish("ns/x", {"id": "x"}, layer=tar(("devcontainer-template.json", about), ("a", b"${templateOption:b}")))
    get(own_registry, "ns/x", tmp_path)
    assert (tmp_path / "p/a").read_text() == "false"


def test_without_the_registry(own_registry: Registry, tmp_path: Path) -> None:
    """What was fetched once is applied again while the registry is silent, with a word about it."""
    own_registry.publish("ns/x", {"id": "x"}, layer=tar(("devcontainer-template.json", b'{"id": "x"}'), ("a", b"1")))
    first = get(own_registry, "ns/x", tmp_path)
    own_registry.stop()
    warnings: list[str] = []
    assert get(own_registry, "ns/x", tmp_path, warnings) == first == {"files": ["./a"]}
    assert "the template" in warnings[0]
    with pytest.raises(EnvironmentFailed):
        get(own_registry, "ns/y", tmp_path)


def test_no_link_is_followed(own_registry: Registry, tmp_path: Path) -> None:
    """Also for the reference's words, which overwrite."""
    own_registry.publish("ns/x", {"id": "x"}, layer=tar(("devcontainer-template.json", b'{"id": "x"}'), (".devcontainer/a", b"1")))
    (tmp_path / "outside").mkdir()
    (tmp_path / "p").mkdir()
    (tmp_path / "p/.devcontainer").symlink_to("../outside")
    assert ours(["-w", "p", "-t", f"{own_registry.host}/ns/x"], tmp_path) is None
    assert not list((tmp_path / "outside").iterdir())
