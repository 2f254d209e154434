"""Attacks on a Docker daemon through its API, each with what must become of it, and the nearest harmless calls."""

from tests.integration.guard.attacks.differentials import differentials
from tests.integration.guard.attacks.hijacks import hijacks
from tests.integration.guard.attacks.images import images
from tests.integration.guard.attacks.mounts import mounts
from tests.integration.guard.attacks.others import others
from tests.integration.guard.attacks.privilege import privilege
from tests.integration.guard.attacks.row import REFUSED, Mode, Row, V, http

__all__ = ["REFUSED", "Mode", "Row", "http", "rows"]

DOCKER0 = {"Name": "@EVIL@", "Options": {"com.docker.network.bridge.name": "docker0"}}
LAST = Row("network-takes-docker0", "networks", http("POST", f"{V}/networks/create", DOCKER0))
LATE = (
    "remove-", "volume-remove", "write-", "prune-", "disconnect-", "readonly-own-", "tag-onto", "commit-onto", "import", "dockerfile-",
    "build-tag", "ok-build",
)  # fmt: skip


def rows() -> tuple[Row, ...]:
    """All of them; the one that would take the daemon's default bridge away comes last, those that remove things before it."""
    found = [*mounts(), *privilege(), *images(), *differentials(), *hijacks(), *others()]
    return (*sorted(found, key=lambda row: row.id.startswith(LATE)), LAST)
