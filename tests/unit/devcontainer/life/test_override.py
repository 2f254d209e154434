"""A compose project with a dev container in it."""

import json
from typing import Any

import pytest

from orchestrator.devcontainer.life.override import (
    exposed_mounts,
    project_name,
    read_project,
    with_container,
    with_own_images,
    with_ports,
    without_restart,
    writes_name,
)
from orchestrator.devcontainer.life.startup import Made
from orchestrator.devcontainer.policy.container import Final
from orchestrator.errors import ConfigError

CONFIG = b"""
services:
  app:
    image: i
    build: {context: /w}
    command: [a, $$b]
    environment: {Q: q}
    volumes: ['/w:/w:rw']
    ports: [{target: 80, published: 8080}]
    privileged: false
  db: {image: j, mode: 0o644, on: true, none: null, f: 1.5, n: 007}
volumes: {vv: {}}
"""


def made(**more: Any) -> Made:
    given = {"image": "", "labels": {"l": "$x"}, "environ": {"E": "$y"}, "user": None, "mounts": [], "final": Final(), "entrypoints": []}
    return Made(**{**given, **more})


def app(**more: Any) -> Any:
    command = more.pop("command", None)
    document: Any = with_container(read_project(CONFIG, "app"), made(**more), argv=("$e",), command=command)
    return document["services"]["app"]


def test_kinds_of_values() -> None:
    document: Any = read_project(CONFIG, "db").document
    assert document["services"]["db"] == {"image": "j", "mode": 0o644, "on": True, "none": None, "f": 1.5, "n": 7}


def test_no_such_service() -> None:
    with pytest.raises(ConfigError, match="'web' configured"):
        read_project(CONFIG, "web")


def test_the_service_becomes_the_container() -> None:
    found = app()
    assert found["entrypoint"][:2] == ["/bin/sh", "-c"]
    assert found["entrypoint"][-2:] == ["-", "$$e"]
    assert 'exec "$$@"' in found["entrypoint"][2]
    assert found["environment"] == {"Q": "q", "E": "$$y"}
    assert found["labels"] == {"l": "$$x"}
    assert found["command"] == ["a", "$$b"]
    assert found["image"] == "i"
    assert found["build"] == {"context": "/w"}
    json.dumps(found)


def test_an_image_of_ours_is_not_built() -> None:
    final = Final(init=True, cap_add=("A",), mounts=("type=volume,source=mv,target=/mv",))
    found = app(image="ours", user="dev", command=("x",), final=final)
    assert (found["image"], found["user"], found["command"], found["init"], found["cap_add"]) == ("ours", "dev", ["x"], True, ["A"])
    assert "build" not in found
    assert found["volumes"] == ["/w:/w:rw", "mv:/mv"]


@pytest.mark.parametrize(("mount", "volume"), [
    ('type=bind,"source=/a,b",target=/t,readonly', "/a,b:/t:ro"),
    ('type=bind,"source=/guard",target=/run/guard', "/guard:/run/guard"),
    ("type=bind,src=/a=b,dst=/t", "/a=b:/t"),
    ('type=volume,source=one,target=/a"b', 'one:/a"b'),
])  # fmt: skip
def test_a_mount_with_quotes_keeps_its_source(mount: str, volume: str) -> None:
    """Without one it would become a new, empty volume."""
    assert app(final=Final(mounts=(mount,)))["volumes"] == ["/w:/w:rw", volume]


def test_other_services_stay() -> None:
    document: Any = with_container(read_project(CONFIG, "app"), made(), argv=(), command=None)
    assert document["services"]["db"]["image"] == "j"


def test_ports_are_replaced() -> None:
    document: Any = with_ports(read_project(CONFIG, "app"), {"app": [{"target": 1}]}).document
    assert document["services"]["app"]["ports"] == [{"target": 1}]
    assert document["services"]["db"]["image"] == "j"


def test_what_is_built_has_a_name_of_ours() -> None:
    names = {with_own_images(read_project(CONFIG, "app"), *words).text("image") for words in (("/a", "p"), ("/b", "p"), ("/a", "q"))}
    assert len(names) == 3
    assert all(str(name).startswith("aienv-devcontainer/compose:") for name in names)
    document: Any = with_own_images(read_project(CONFIG, "app"), "/a", "p").document
    assert document["services"]["db"]["image"] == "j"


def test_no_service_starts_by_itself() -> None:
    deploy = b"{replicas: 1, restart_policy: {}}"
    config = b"services: {a: {image: i, restart: always}, b: {image: i, restart: 'no'}, c: {image: i, deploy: %s}}" % deploy
    project, left_out = without_restart(read_project(config, "a"))
    assert left_out == ("a", "c")
    services: Any = project.document["services"]
    assert (services["a"], services["b"]["restart"], services["c"]["deploy"]) == ({"image": "i"}, "no", {"replicas": 1})


@pytest.mark.parametrize(("app", "db", "exposed"), [
    ("/w:/w", "/w/data:/d", [("db", "/w/data", "app")]),
    ("/w:/w:rw", "/w/data:/d:ro", [("db", "/w/data", "app")]),
    ("/w:/w:ro", "/w/data:/d", []),
    ("/w:/w", "/w:/d", []),
    ("/w/d:/w", "/w/data:/d", []),
    ("/w:/w", "named:/d", []),
])  # fmt: skip
def test_mounts_that_another_service_can_replace(app: str, db: str, exposed: list[tuple[str, str, str]]) -> None:
    config = f"services: {{app: {{image: i, volumes: ['{app}']}}, db: {{image: i, volumes: ['{db}']}}}}"
    assert exposed_mounts(read_project(config.encode(), "app")) == exposed


def test_names_of_volumes() -> None:
    config = b"{services: {a: {image: i}}, volumes: {one: {}, two: null, three: {name: x}, four: {external: true}}}"
    project = read_project(config, "a")
    assert [project.volume(name, "p") for name in ("one", "two", "three", "four", "x")] == ["p_one", "p_two", "three", "four", "x"]


@pytest.mark.parametrize(("environ", "env_file", "document", "file", "name"), [
    ({}, {}, {}, "/home/me/My.App/.devcontainer/compose.yml", "myapp_devcontainer"),
    ({}, {}, {}, "/home/me/App/compose.yml", "app"),
    ({}, {}, {"name": "devcontainer"}, "/home/me/app/.devcontainer/c.yml", "app_devcontainer"),
    ({}, {}, {"name": "mine"}, "/home/me/app/.devcontainer/c.yml", "mine"),
    ({}, {"COMPOSE_PROJECT_NAME": "Of.File"}, {"name": "mine"}, "/a/c.yml", "offile"),
    ({"COMPOSE_PROJECT_NAME": "e"}, {"COMPOSE_PROJECT_NAME": "f"}, {"name": "mine"}, "/a/c.yml", "e"),
    ({}, {}, {}, "/---/c.yml", "default"),
])  # fmt: skip
def test_name(environ: dict[str, str], env_file: dict[str, str], document: dict[str, Any], file: str, name: str) -> None:
    assert project_name(environ, env_file, document, file) == name


@pytest.mark.parametrize(("file", "name"), [
    (b"name: ${N}", "devcontainer"), (b"services: {}", "app_devcontainer"), (b"name:", "app_devcontainer"),
    (b"a: !reset []", "app_devcontainer"),
])  # fmt: skip
def test_a_name_that_compose_would_give_itself_counts_where_a_file_says_it(file: bytes, name: str) -> None:
    is_written = writes_name(file)
    assert project_name({}, {}, {"name": "devcontainer"}, "/home/me/app/.devcontainer/c.yml", is_written) == name
