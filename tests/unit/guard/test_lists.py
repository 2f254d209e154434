"""Lists hold what the client may see, on answers of real engines."""

from typing import Any

import pytest

from orchestrator.guard import lists
from tests.unit.guard.captured_answers import ENGINES, INSIDE, Recorded, leaks, recorded


@pytest.fixture(params=ENGINES)
def one(request: pytest.FixtureRequest) -> Recorded:
    return recorded(str(request.param))


def test_containers(one: Recorded) -> None:
    """Own ones, with ports, mounts and networks as they were asked for; neither the helper nor somebody else's."""
    found: Any = lists.show_containers(one.answers["containers"], one.view())
    assert sorted(row["Names"][0] for row in found) == ["/brief", "/created", "/joined", "/published", "/web"]
    assert leaks(one.answers["containers"], one) != []
    assert leaks(found, one) == []
    web = next(row for row in found if row["Names"] == ["/web"])
    assert web["Ports"] == [{"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}]
    assert (web["Image"], web["HostConfig"]) == ("busybox", {"NetworkMode": "default"})
    assert list(web["NetworkSettings"]["Networks"]) == ["bridge"]
    assert f"{INSIDE}/src" in [point["Source"] for point in web["Mounts"]]


def test_limit_counts_own_ones(one: Recorded) -> None:
    """``docker ps -l`` where the engine must not count."""
    found: Any = lists.show_containers(one.answers["containers"], one.view(), limit=1)
    assert [row["Names"] for row in found] == [["/brief"]]
    assert len(lists.show_containers(one.answers["containers"], one.view(), limit=0)) == 5
    assert len(lists.show_containers(one.answers["containers"], one.view(), limit=-1)) == 5


def test_containers_from_before(one: Recorded) -> None:
    found: Any = lists.show_containers(one.answers["containers"], one.view(containers={}, adopted=frozenset([one.scene["web"]])))
    assert [row["Names"] for row in found] == [["/web"]]
    assert found[0]["Ports"] == []


def test_names_of_links_are_not_shown(one: Recorded) -> None:
    row: Any = {"Id": one.scene["web"], "Names": ["/stranger/db", "/web"]}
    assert lists.show_containers([row], one.view()) == [{"Id": one.scene["web"], "Names": ["/web"]}]


def test_networks(one: Recorded) -> None:
    """The engine's own bridge and host are not to be had; the session's network is what clients call bridge."""
    found: Any = lists.show_networks(one.answers["networks"], one.view())
    assert sorted(row["Name"] for row in found) == ["app_default", "bridge", "none"]
    assert next(row["Id"] for row in found if row["Name"] == "bridge") == one.scene["session"]
    assert leaks(found, one) == []


def test_volumes(one: Recorded) -> None:
    found: Any = lists.show_volumes(one.answers["volumes"], one.view())
    assert {"app_data"} < {row["Name"] for row in found["Volumes"]}
    assert len(found["Volumes"]) == 2
    assert leaks(found, one) == []
    assert lists.show_volumes({"Volumes": None, "Warnings": None}, one.view()) == {"Volumes": [], "Warnings": None}


def test_images(one: Recorded) -> None:
    found: Any = lists.show_images(one.answers["images"], one.view())
    assert sorted(tag for row in found for tag in row["RepoTags"]) == ["aienv-test/busybox:latest", "app_web:latest"]
    assert leaks(found, one) == []


def test_a_filter_cannot_find_names_of_others(one: Recorded) -> None:
    """``reference=somebody/*``: the engine lists the image with the names that matched."""
    hit: Any = {"Id": one.scene["built"], "RepoTags": ["somebody/stolen:2"], "RepoDigests": []}
    unnamed: Any = {"Id": one.scene["built"], "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}
    assert lists.show_images([hit], one.view()) == []
    assert lists.show_images([unnamed], one.view()) == [{"Id": one.scene["built"], "RepoTags": [], "RepoDigests": []}]


def test_df(one: Recorded) -> None:
    """Sums are of own things, and there is no build cache of others."""
    found: Any = lists.show_df(one.answers["df"], one.view())
    assert leaks(one.answers["df"], one) != []
    assert leaks(found, one) == []
    assert len(found["Containers"]) == 5
    assert len(found["Images"]) == 2
    assert found["BuildCache"] == []
    assert sorted(row["Containers"] for row in found["Images"]) == [0, 5]
    assert found["LayersSize"] == sum(row["Size"] for row in found["Images"])
    assert {row["Name"] for row in found["Volumes"]} > {"app_data"}
    assert "Images" not in lists.show_df({"Volumes": None}, one.view())


def test_prune(one: Recorded) -> None:
    mine, foreign = one.scene["brief"], one.scene["foreign"]
    answer: Any = {"ContainersDeleted": [mine, foreign], "SpaceReclaimed": 3}
    assert lists.show_prune(answer, one.view()) == {"ContainersDeleted": [mine], "SpaceReclaimed": 3}
    for name in ("containers", "networks", "volumes", "images"):
        assert leaks(lists.show_prune(one.answers[f"prune {name}"], one.view()), one) == []
    assert lists.show_prune({"NetworksDeleted": ["app_default", "other_net"]}, one.view()) == {"NetworksDeleted": ["app_default"]}
    rows: Any = [{"Untagged": "other/private:1"}, {"Deleted": one.scene["foreign_image"]}, {"Deleted": one.scene["built"]}]
    assert lists.show_prune({"ImagesDeleted": rows}, one.view()) == {"ImagesDeleted": [{"Deleted": one.scene["built"]}]}


@pytest.mark.parametrize("answer", [None, {}, [], [1, None], "x", {"message": "no"}])
def test_odd_answers(one: Recorded, answer: Any) -> None:
    for show in (lists.show_containers, lists.show_networks, lists.show_images):
        assert show(answer, one.view()) == []
    assert lists.show_volumes(answer, one.view())["Volumes"] == []
