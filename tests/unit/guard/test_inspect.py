"""What inspect shows, on answers of real engines."""

import json
from typing import Any

import pytest

from orchestrator.guard.calls import Object, PathMap, Shown
from orchestrator.guard.inspect import show_container
from orchestrator.guard.shownthings import show_exec, show_history, show_image, show_network, show_volume
from orchestrator.guard.view import ShownContainer, View
from tests.unit.guard.captured_answers import ENGINES, HOST, INSIDE, Recorded, leaks, recorded, session


@pytest.fixture(params=ENGINES)
def one(request: pytest.FixtureRequest) -> Recorded:
    return recorded(str(request.param))


def shown(one: Recorded, key: str, **changes: Any) -> Any:
    return show_container(one.answers[f"container {key}"], one.view(**changes))


@pytest.mark.parametrize("key", ["web", "published", "joined", "created", "brief", "web sized"])
def test_nothing_of_the_machine_or_of_others(one: Recorded, key: str) -> None:
    """No string of the answer is one of the machine's or of somebody else's thing."""
    assert leaks(one.answers[f"container {key}"], one) != []
    assert leaks(shown(one, key), one) == []


def test_ports_are_where_they_can_be_reached(one: Recorded) -> None:
    """What the client asked for is there again, and the exposed port that nobody published too."""
    web = shown(one, "web")
    assert web["NetworkSettings"]["Ports"] == {"53/udp": None, "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}
    assert web["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    assert web["HostConfig"]["PublishAllPorts"] is False


def test_no_ports_when_it_does_not_run(one: Recorded) -> None:
    made = ShownContainer(Shown(port_bindings={"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}), {80: (("", 8080),)})
    created = shown(one, "created", containers={one.scene["created"]: made})
    assert created["NetworkSettings"]["Ports"] == {}
    assert created["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}


def test_ports_that_the_engine_published() -> None:
    """On a network that the user named, Docker opens them, on the machine's loopback."""
    answer: Object = {
        "Id": "c1", "State": {"Running": True}, "Config": {"ExposedPorts": {"80/tcp": {}}},
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "48080"}]}},
    }  # fmt: skip
    for own_network, expected in [(False, [{"HostIp": "127.0.0.1", "HostPort": "48080"}]), (True, None)]:
        found: Any = show_container(answer, View(session(own_network=own_network), {"c1": ShownContainer(Shown())}))
        assert found["NetworkSettings"]["Ports"] == {"80/tcp": expected}


def test_an_address_that_was_left_open_reads_as_with_docker() -> None:
    answer: Object = {"Id": "c1", "State": {"Running": True}, "NetworkSettings": {"Ports": {}}}
    found: Any = show_container(answer, View(session(), {"c1": ShownContainer(Shown(), {80: (("", 1), ("::", 1))})}))
    assert found["NetworkSettings"]["Ports"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "1"}, {"HostIp": "::", "HostPort": "1"}]}


def test_mounts_are_what_was_asked(one: Recorded) -> None:
    """A bind, a pinned path (here a sub-path of a volume, there a bind), the socket, a volume, an anonymous one, memory."""
    web = shown(one, "web")
    assert web["HostConfig"]["Binds"] == [f"{INSIDE}/src:/src:ro", "/var/run/docker.sock:/var/run/docker.sock", "app_data:/data"]
    assert [mount["Type"] for mount in web["HostConfig"]["Mounts"]] == ["bind", "tmpfs"]
    points = {point["Destination"]: point for point in web["Mounts"]}
    assert points["/src"] | {"Propagation": ""} == {
        "Type": "bind", "Source": f"{INSIDE}/src", "Destination": "/src", "Mode": "ro", "RW": False, "Propagation": "",
    }  # fmt: skip
    assert (points["/conf"]["Type"], points["/conf"]["Source"], points["/conf"]["RW"]) == ("bind", f"{INSIDE}/conf", True)
    assert points["/var/run/docker.sock"]["Source"] == "/var/run/docker.sock"
    assert (points["/data"]["Type"], points["/data"]["Name"], points["/data"]["Source"]) == ("volume", "app_data", "")
    assert len(points["/anonymous"]["Name"]) == 64
    assert points["/scratch"]["Type"] == "tmpfs"


def test_nothing_was_asked(one: Recorded) -> None:
    """What the guard itself mounts, as empty files over secrets, is among the mounts, and was not asked for."""
    web = shown(one, "web", containers={one.scene["web"]: ShownContainer(Shown())})
    assert web["HostConfig"]["Binds"] is None
    assert web["HostConfig"]["Mounts"] is None
    assert {point["Destination"] for point in web["Mounts"]} == {"/src", "/conf", "/data", "/scratch", "/anonymous", "/var/run/docker.sock"}
    assert not any(word in json.dumps(web) for word in ("/srv/", "aienv-r1-project"))


def test_a_container_that_was_there_before(one: Recorded) -> None:
    """Nothing is known of what was asked: paths are mapped where they can be, else they are blank."""
    web = shown(one, "web", containers={}, adopted=frozenset([one.scene["web"]]))
    points = {point["Destination"]: point for point in web["Mounts"]}
    assert points["/src"]["Source"] == f"{INSIDE}/src"
    assert points["/var/run/docker.sock"]["Source"] == ""
    assert web["HostConfig"]["Binds"] == [f"{INSIDE}/src:/src:ro", "app_data:/data"]
    assert web["NetworkSettings"]["Ports"] == {"53/udp": None, "80/tcp": None}
    assert "aienv-r1-project" not in json.dumps(web)
    foreign = show_container(one.answers["container foreign"], one.view(adopted=frozenset([one.scene["foreign"]])))
    text = json.dumps(foreign)
    assert not any(word in text for word in ("/srv/", "other_data", "other_net", "45432"))


def test_the_own_network_is_bridge(one: Recorded) -> None:
    """With the flat members that Docker fills for its default network, and no host name for its interface."""
    web = shown(one, "web")
    assert list(web["NetworkSettings"]["Networks"]) == ["bridge"]
    endpoint = web["NetworkSettings"]["Networks"]["bridge"]
    assert endpoint["NetworkID"] == one.scene["session"]
    assert endpoint["IPAddress"].startswith("172.")
    assert web["NetworkSettings"]["IPAddress"] == endpoint["IPAddress"]
    assert "www" in endpoint["Aliases"]


@pytest.mark.parametrize(
    ("key", "mode", "networks"),
    [
        pytest.param("web", "default", ["bridge"], id="default"),
        pytest.param("published", "app_default", ["app_default"], id="own-network"),
        pytest.param("joined", "container:web", [], id="container"),
        pytest.param("created", "default", ["bridge"], id="never-started"),
        pytest.param("brief", "none", ["none"], id="none"),
    ],
)
def test_network_as_asked(one: Recorded, key: str, mode: str, networks: list[str]) -> None:
    found = shown(one, key)
    assert found["HostConfig"]["NetworkMode"] == mode
    assert list(found["NetworkSettings"]["Networks"]) == networks


def test_network_mode_of_what_nobody_asked(one: Recorded) -> None:
    """Of containers from before: names for ids, other containers only where they may be seen."""
    nothing = ShownContainer(Shown())
    assert shown(one, "published", containers={one.scene["published"]: nothing})["HostConfig"]["NetworkMode"] == "app_default"
    seen = {one.scene["joined"]: nothing, one.scene["web"]: nothing}
    assert shown(one, "joined", containers=seen)["HostConfig"]["NetworkMode"] == f"container:{one.scene['web']}"
    assert shown(one, "joined", containers={one.scene["joined"]: nothing})["HostConfig"]["NetworkMode"] == ""


def test_what_the_guard_added_is_not_there(one: Recorded) -> None:
    web = shown(one, "web")
    assert web["Config"]["Env"] == ["APP=1"]
    assert web["Config"]["Labels"] == {"com.docker.compose.service": "web"}
    assert web["Config"]["Image"] == "busybox"
    named = ShownContainer(Shown(env=("HTTP_PROXY", "NO_PROXY")))
    assert shown(one, "web", containers={one.scene["web"]: named})["Config"]["Env"] == ["APP=1"]


def test_unknown_members_are_left_out() -> None:
    """Also plain ones, at each level: a string of a newer engine may be a path."""
    answer: Object = {
        "Id": "c1", "Next": "/x", "State": {"Running": True, "Next": 1}, "Config": {"Next": {}}, "HostConfig": {"Next": None, "Memory": 1},
        "NetworkSettings": {"Next": "", "Networks": {}},
    }  # fmt: skip
    assert "Next" not in json.dumps(show_container(answer, View(session(), {"c1": ShownContainer(Shown())})))


@pytest.mark.parametrize("answer", [{}, {"Id": 3}, {"State": []}, {"Mounts": {}, "Config": None, "NetworkSettings": [], "HostConfig": "x"}])
def test_odd_answers(answer: Object) -> None:
    """Never an exception: what cannot be shown is not."""
    show_container(answer, View(session()))


def test_sentences_of_the_engine() -> None:
    """A start that failed names the source of a mount, or a container."""
    foreign = "ab" * 32
    state: Object = {"Error": f'mount {HOST}/src: no such file; "{HOST}" in use by {foreign}'}
    found: Any = show_container({"Id": "c1", "State": state}, View(session(), {"c1": ShownContainer(Shown())}))
    assert found["State"]["Error"] == f'mount {INSIDE}/src: no such file; "{INSIDE}" in use by (hidden)'


def test_nothing_of_others(one: Recorded) -> None:
    """Nobody should have asked; if somebody did, the answer is empty."""
    view = one.view()
    assert show_container(one.answers["container foreign"], view) == {}
    assert show_container(one.answers["container gate"], view) == {}
    assert show_network(one.answers["network foreign_network"], view) == {}
    assert show_image(one.answers["image foreign_image"], view) == {}
    assert show_exec(one.answers["exec foreign_exec"], view) == {}


def test_nested_maps() -> None:
    view = View(session=session())
    inner = (PathMap("/workspaces/app", "/h/app"), PathMap("/cache", "/h/app/cache"))
    view = View(session=type(view.session)(**{**_fields(view.session), "maps": inner}))
    assert [view.inside(path) for path in ("/h/app", "/h/app/x", "/h/app/cache/y", "/h/app-evil", "/h", None)] == [
        "/workspaces/app", "/workspaces/app/x", "/cache/y", None, None, None,
    ]  # fmt: skip


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def test_network(one: Recorded) -> None:
    """The own one is bridge; the helper that stands in it is no member; docker-compose 1 compares Options and Labels."""
    found: Any = show_network(one.answers["network session"], one.view())
    assert leaks(found, one) == []
    assert found["Name"] == "bridge"
    assert list(found["Containers"]) == [one.scene["web"]]
    assert found["IPAM"]["Config"][0]["Subnet"]  # testcontainers looks for its own address in it
    app: Any = show_network(one.answers["network app"], one.view())
    assert app["Name"] == "app_default"
    assert app["Options"] == {}
    assert app["Labels"] == {"com.docker.compose.project": "app"}
    assert list(app["Containers"]) == [one.scene["published"]]
    assert leaks(app, one) == []


def test_volume(one: Recorded) -> None:
    found: Any = show_volume(one.answers["volume app_data"], one.view())
    assert (found["Name"], found["Mountpoint"], found["Labels"]) == ("app_data", "", {"com.docker.compose.volume": "data"})
    assert leaks(found, one) == []
    assert show_volume({"Options": {"type": "none", "device": "/etc"}}, one.view()) == {"Options": None}
    assert show_volume({"Options": {"type": "tmpfs", "o": "size=1m"}}, one.view()) == {"Options": {"type": "tmpfs", "o": "size=1m"}}


def test_image(one: Recorded) -> None:
    """Only the names that may be seen, and a parent that may."""
    found: Any = show_image(one.answers["image built"], one.view())
    assert found["RepoTags"] == ["app_web:latest"]
    assert found["Parent"] == one.scene["image"]
    assert leaks(found, one) == []
    alone: Any = show_image(one.answers["image built"], one.view(images=frozenset([one.scene["built"]])))
    assert alone["Parent"] == ""
    layers: Any = show_history(one.answers["history"], one.view(images=frozenset([one.scene["built"]])))
    assert [(layer["Id"], layer["Tags"]) for layer in layers] == [
        (one.scene["built"], ["app_web:latest"]), ("<missing>", ["aienv-test/busybox:latest"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("app_web:latest", True), ("app_web:1", False), ("app_web@sha256:" + "a" * 64, True), ("other@sha256:" + "a" * 64, False),
        ("<none>:<none>", False), ("docker.io/library/app_web", True), (None, False),
    ],
)  # fmt: skip
def test_names_of_images(one: Recorded, name: str | None, seen: bool) -> None:
    assert one.view().has_tag(name) is seen


def test_exec(one: Recorded) -> None:
    found: Any = show_exec(one.answers["exec exec"], one.view())
    assert found["ContainerID"] == one.scene["web"]
    assert found["ProcessConfig"]["entrypoint"] == "sh"
    assert found["Running"] is True
