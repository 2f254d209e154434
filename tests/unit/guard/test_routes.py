"""What is spoken: whole paths, by method, closed by default; and less in mode readonly."""

import pytest

from orchestrator.guard.calls import Denied, Reply
from orchestrator.guard.decide import State, decide, route_call
from orchestrator.guard.registry import Registry
from orchestrator.guard.routes import ROUTES, Route, find
from orchestrator.guard.target import parse_target
from orchestrator.model.guard import GuardMode
from tests.unit.guard.bodies import SESSION


def segments(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))


def refusal(method: str, path: str, mode: GuardMode = "guarded") -> str:
    with pytest.raises(Denied) as caught:
        find(method, segments(path), mode)
    return caught.value.denial.rule


@pytest.mark.parametrize(
    ("method", "path", "route", "ref"),
    [
        ("GET", "/_ping", "system.ping", ""),
        ("GET", "/containers/json", "containers.list", ""),
        ("POST", "/containers/create", "containers.create", ""),
        ("GET", "/containers/web/json", "containers.inspect", "web"),
        ("GET", "/containers/json/json", "containers.inspect", "json"),
        ("DELETE", "/containers/create", "containers.remove", "create"),
        ("POST", "/exec/abc/start", "exec.start", "abc"),
        ("GET", "/images/json", "images.list", ""),
        ("GET", "/images/get", "images.save", ""),
        ("GET", "/images/busybox/json", "images.inspect", "busybox"),
        ("GET", "/images/docker.io/library/x:1/json", "images.inspect", "docker.io/library/x:1"),
        ("DELETE", "/images/team/app:1", "images.remove", "team/app:1"),
        ("POST", "/images/team/app:1/tag", "images.tag", "team/app:1"),
        ("GET", "/networks/app_default", "networks.inspect", "app_default"),
        ("POST", "/networks/prune", "networks.prune", ""),
        ("DELETE", "/volumes/data", "volumes.remove", "data"),
        ("POST", "/build", "build", ""),
        ("POST", "/build/prune", "build.prune", ""),
    ],
)
def test_found(method: str, path: str, route: str, ref: str) -> None:
    found, named = find(method, segments(path), "guarded")
    assert (found.id, named) == (route, ref)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/swarm/init"), ("GET", "/swarm"), ("GET", "/services"), ("POST", "/services/create"), ("GET", "/secrets"),
        ("POST", "/secrets/create"), ("GET", "/configs"), ("GET", "/nodes"), ("GET", "/tasks"), ("GET", "/plugins"),
        ("POST", "/plugins/pull"), ("GET", "/plugins/privileges"), ("POST", "/plugins/x/enable"), ("GET", "/debug/vars"),
        ("GET", "/debug/pprof/cmdline"), ("POST", "/containers/web/checkpoints"), ("GET", "/containers/web/checkpoints"),
        ("POST", "/containers/web/copy"), ("PUT", "/volumes/data"), ("GET", "/libpod/info"), ("POST", "/libpod/containers/create"),
        ("PATCH", "/containers/web"), ("POST", "/containers/web"), ("PUT", "/containers/web/json"), ("GET", "/"),
        ("OPTIONS", "/containers/json"), ("GET", "/containers"), ("GET", "/containers/web"), ("GET", "/images"), ("POST", "/commit/x"),
        ("GET", "/events/x"),
        ("POST", "/distribution/x/json"), ("GET", "/build"), ("HEAD", "/info"), ("DELETE", "/networks"), ("CONNECT", "/grpc"),
    ],
)  # fmt: skip
def test_not_spoken(method: str, path: str) -> None:
    """Whatever is not a row, known to the daemon or not."""
    assert refusal(method, path) == "route"


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        ("POST", "/session", "build.session"),
        ("POST", "/grpc", "build.grpc"),
        ("POST", "/auth", "system.auth"),
        ("GET", "/distribution/busybox/json", "images.distribution"),
        ("GET", "/images/search", "images.search"),
        ("POST", "/images/team/app/push", "images.push"),
        ("GET", "/containers/web/attach/ws", "containers.attach-ws"),
    ],
)
def test_refused_with_a_reason(method: str, path: str, rule: str) -> None:
    """Calls that clients do make say why they are not for here."""
    assert refusal(method, path) == rule
    assert refusal(method, path, "readonly") == rule


def test_buildkit_names_the_way_out() -> None:
    with pytest.raises(Denied, match="DOCKER_BUILDKIT=0"):
        find("POST", ("session",), "guarded")


@pytest.mark.parametrize("route", [one for one in ROUTES if one.refused is None], ids=lambda one: f"{one.method}-{one.template}")
def test_readonly_only_looks(route: Route) -> None:
    """Everything that changes something, carries files out, or attaches is for mode guarded."""
    path = route.template.replace("{id}", "x").replace("{name...}", "x")
    if route.readonly:
        assert route.method in ("GET", "HEAD")
        assert route.answer != "hijack"
        assert find(route.method, segments(path), "readonly")[0].id == route.id
    else:
        assert refusal(route.method, path, "readonly") == "mode.readonly"
        assert find(route.method, segments(path), "guarded")[0].id == route.id


@pytest.mark.parametrize("template", ["/containers/{id}/export", "/containers/{id}/archive", "/images/get", "/images/{name...}/get"])
def test_whole_file_systems_are_not_for_looking(template: str) -> None:
    assert not any(route.readonly for route in ROUTES if route.template == template)


@pytest.mark.parametrize("version", ["/v1.41", "/v1.51"])
def test_nobody_s_build_cache_is_pruned(version: str) -> None:
    """``docker system prune`` ends well, and nothing of it reaches the engine."""
    where = parse_target(f"{version}/build/prune?filters=%7B%7D&all=1&keep-storage=0")
    answer = decide(route_call("POST", where, SESSION), {}, State(SESSION, Registry()))
    assert isinstance(answer, Reply)
    assert answer.body == {"CachesDeleted": None, "SpaceReclaimed": 0}
