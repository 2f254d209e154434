"""A session with a few images on its list."""

from dataclasses import replace

import pytest

from orchestrator.guard.calls import Denied, PathMap, Session
from orchestrator.model.guard import AllowedImage, GuardLimits, GuardPlan

DEBIAN, POSTGRES, BUILT, FOREIGN = (f"sha256:{digit * 64}" for digit in "abcd")
LIMITS = GuardLimits()


def session(
    *, limits: GuardLimits = LIMITS, network: str | None = "n" * 64, proxy: str | None = None, cgroup: str | None = None
) -> Session:
    images = (
        AllowedImage("docker.io/library/debian:12", DEBIAN, "flag"),
        AllowedImage("docker.io/library/postgres:16", POSTGRES, "compose.yaml"),
        AllowedImage("ghcr.io/github/github-mcp-server:latest", None, ".mcp.json"),
    )
    plan = GuardPlan("guarded", "unix:///x", (1, 41), images, (), (), (), limits, "freeze", cgroup, False, ())
    made = Session("s1", plan, (PathMap("/workspaces/p", "/srv/p"),), network=network, network_name="aienv-s1")
    return replace(made, proxy=proxy, no_proxy=("web", "db"))


def denied(caught: pytest.ExceptionInfo[Denied]) -> str:
    return caught.value.denial.rule
