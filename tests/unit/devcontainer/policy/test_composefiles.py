"""Files that compose would read: by their paths, through links, in files that are included or extended."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer.policy.composefiles import MAX_FILES, judge_files
from orchestrator.devcontainer.policy.grants import NONE, Grants
from orchestrator.devcontainer.policy.verdict import WorkspaceGround

GROUND = WorkspaceGround(("/w",))
LINKS = {"/w/f/link": "/home/me/.aws/credentials", "/w/f/linked.yml": "/etc/x.yml"}
FIRST = "/w/f/compose.yml"


def of(
    text: str, others: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None, grants: Grants = NONE
) -> list[str | None]:
    files = {FIRST: text, **(others or {})}
    asked: list[str] = []

    def read(path: str) -> bytes | None:
        asked.append(path)
        return files[path].encode() if path in files else None

    found = judge_files([FIRST], environ or {}, GROUND, grants, read, lambda path: LINKS.get(path, path))
    assert all(path.startswith("/w/") or grants.words for path in asked), "nothing else may be read"
    return [one.grant for one in found]


def service(text: str) -> str:
    return "services: {a: {" + text + "}}"


@pytest.mark.parametrize(
    ("text", "grants"),
    [
        (service("env_file: ../../etc/x"), ["mount:/etc/x"]),
        (service("env_file: [/etc/x]"), ["mount:/etc/x"]),
        (service("env_file: [{path: /etc/x, required: false}]"), ["mount:/etc/x"]),
        (service("env_file: link"), ["mount:/home/me/.aws/credentials"]),
        (service("env_file: ./x/../link"), ["mount:/home/me/.aws/credentials"]),
        (service("env_file: ~/x"), [None]),
        (service("env_file: [[x]]"), [None]),
        (service("env_file: '${HOME?}/x'"), [None]),
        (service("env_file: '${X}/x'"), ["mount:/x"]),
        (service("env_file: '${X:-/etc}/x'"), ["mount:/etc/x"]),
        (service("label_file: /etc/x"), ["mount:/etc/x"]),
        (service("extends: {file: /etc/x, service: b}"), ["mount:/etc/x"]),
        (service("extends: {file: linked.yml, service: b}"), ["mount:/etc/x.yml"]),
        ("include: [/etc/x]", ["mount:/etc/x", "mount:/etc/.env"]),
        ("include: [{path: [a.yml], env_file: /etc/x}]", ["mount:/etc/x"]),
        ("include: [{path: a.yml, project_directory: /etc}]", ["mount:/etc/a.yml", "mount:/etc/.env"]),
        ("include: ['https://example.org/x.git']", [None, None]),  # and its .env
        ("x: !reset null", ["compose:unread-file"]),
        ("a: 1\n---\nb: 1", ["compose:unread-file"]),
        ("[", ["compose:unread-file"]),
        ("x: &x {env_file: /etc/x}\nservices: {a: {<<: *x}}", ["mount:/etc/x"]),
        ("a: {env_file: /etc/x}", ["mount:/etc/x"]),  # the first form of compose files
        # What passes.
        (service("env_file: [x.env, ../y.env, ./z/../z.env]"), []),
        (service("env_file: '${X:-.env}'"), []),
        (service("label_file: x, extends: {service: b}"), []),
        (service("extends: b"), []),
        (service("image: x"), []),
        ("include: [a.yml]", []),
        ("", []),
        ("services: 7", []),
    ],
)
def test_files(text: str, grants: list[str | None]) -> None:
    assert of(text) == grants
    words = [one for one in grants if one is not None]
    assert of(text, grants=Grants.of(words)) == [one for one in grants if one is None]


def test_the_file_itself_and_its_variables() -> None:
    """Both may be links; or lie elsewhere from the start."""
    real = {FIRST: "/etc/x", "/w/f/.env": "/etc/y"}
    found = judge_files([FIRST, "/w/../z"], {}, GROUND, NONE, lambda path: None, lambda path: real.get(path, path))
    assert [one.grant for one in found] == ["mount:/etc/y", "mount:/etc/x", "mount:/z"]


def test_files_of_files() -> None:
    others = {"/w/g/b.yml": "services: {b: {env_file: ../../etc/x, extends: {file: c.yml}}}", "/w/g/c.yml": "include: [../f/link]"}
    found = of(service("extends: {file: ../g/b.yml}"), others)
    assert found == ["mount:/etc/x", "mount:/home/me/.aws/credentials"]


def test_circles_end() -> None:
    assert of("include: [compose.yml]") == []


def test_there_are_not_too_many() -> None:
    assert of(f"include: [{', '.join(f'{number}.yml' for number in range(MAX_FILES))}]") == [None]


@given(st.text(), st.dictionaries(st.text(max_size=3), st.text(max_size=3)))
def test_any_text_is_answered(text: str, environ: Mapping[str, str]) -> None:
    for name in ("env_file", "extends", "include"):
        data = f"{text}\n{name}: {text}\nservices: {{a: {{{name}: {text}}}}}".encode(errors="replace")
        judge_files([FIRST], environ, GROUND, NONE, lambda path, data=data: data, lambda path: path)  # type: ignore[misc]
