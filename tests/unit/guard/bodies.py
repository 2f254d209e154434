"""A session, and what the names in tests' bodies lead to in it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast

import pytest

from orchestrator.guard.calls import CreateContainer, Denial, Denied, Json, Known, Object, PathMap, Reference, Session, Thing, Usage
from orchestrator.guard.container import judge_create, references
from orchestrator.guard.mounts import parse_mounts
from orchestrator.guard.ports import parse_ports
from orchestrator.guard.strictjson import encode, parse
from orchestrator.model.guard import GuardLimits, GuardPlan, Pinning

IMAGE, NET, BACK, DB = "sha256:" + "1" * 64, "2" * 64, "3" * 64, "4" * 64
LIMITS = GuardLimits()
PLAN = GuardPlan(
    mode="guarded", daemon="unix:///run/docker.sock", api=(1, 51), images=(), services=(), compose=(), mcp=(), limits=LIMITS,
    pinning="descriptor", cgroup_parent=None, learn=False, warnings=(),
)  # fmt: skip
SESSION = Session(
    id="run1", plan=PLAN, maps=(PathMap("/workspaces/app", "/srv/runs/1/app"),), sockets=("/run/docker.sock", "/var/run/docker.sock"),
    network=NET, network_name="aienv-run1", proxy="http://aienv-egress:3128", no_proxy=("localhost", "db"),
)  # fmt: skip

OWN: Mapping[tuple[Literal["image", "network", "container", "volume"], str], Thing] = {
    ("image", "app"): Thing("image", IMAGE, "app"),
    ("network", "aienv-run1"): Thing("network", NET, "aienv-run1"),
    ("network", "back"): Thing("network", BACK, "back"),
    ("container", "db"): Thing("container", DB, "db"),
    ("container", DB[:12]): Thing("container", DB, "db"),
    ("volume", "data"): Thing("volume", "data", "data"),
}


def found(body: Object) -> Known:
    """As the rim answers: None for what is not this session's."""
    return {reference: OWN.get((cast("Literal['image']", reference.kind), reference.text)) for reference in references(body)}


def sent(body: Object) -> Object:
    """``body`` after the way over the wire."""
    return parse(encode(body))


def create(
    body: Object, session: Session = SESSION, usage: Usage | None = None, known: Known | None = None
) -> tuple[Object, CreateContainer]:
    """What becomes of a container with ``body``, for which an image is named here."""
    body = sent({"Image": "app", **body})
    names = found(body) if known is None else known
    judge_create(body, None, None, names, session, Usage(), (), ())  # first: the readers of mounts and ports refuse odd bodies, too
    return judge_create(body, None, None, names, session, usage or Usage(), parse_mounts(body, names, session), parse_ports(body))


def host(value: Object, session: Session = SESSION) -> Object:
    """The HostConfig that is forwarded for one of a client."""
    return cast(Object, create({"HostConfig": value}, session)[0]["HostConfig"])


def refused(body: Object, session: Session = SESSION, usage: Usage | None = None) -> Denial:
    with pytest.raises(Denied) as caught:
        create(body, session, usage)
    assert caught.value.denial.message.isprintable()
    return caught.value.denial


def pinned_by(pinning: Pinning) -> Session:
    return replace(SESSION, plan=replace(PLAN, pinning=pinning))


def limited(**limits: float) -> Session:
    return replace(SESSION, plan=replace(PLAN, limits=replace(LIMITS, **limits)))  # type: ignore[arg-type]


def thing(kind: Literal["container"], name: str, full_id: str) -> dict[Reference, Thing | None]:
    return {Reference(kind, name): Thing(kind, full_id, name)}


__all__ = [
    "BACK",
    "DB",
    "IMAGE",
    "LIMITS",
    "NET",
    "PLAN",
    "SESSION",
    "Json",
    "create",
    "found",
    "host",
    "limited",
    "pinned_by",
    "refused",
    "sent",
]
