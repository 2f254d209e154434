"""Volumes of a session: folders of the engine's own. Pure.

Options of the local driver go to mount(2): ``o=bind``, an overlay or a block device would read the machine (measured). None pass.
"""

from collections.abc import Mapping

from orchestrator.guard.calls import Object, Session, Usage, deny
from orchestrator.guard.fields import FieldRule, forbidden, judge, matching, one_of
from orchestrator.guard.labels import LABELS, with_own_labels
from orchestrator.guard.mounts import RESERVED_VOLUMES
from orchestrator.guard.quota import admit

VOLUME: Mapping[str, FieldRule] = {
    "Name": matching(r"|[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}", "letters, digits, '_', '.', '-'"),
    "Driver": one_of("", "local", rule="volume.driver", reason="it would act in the engine's place"),
    "DriverOpts": forbidden("volume.options", "they would be options of a mount on the machine", allowed="a plain volume, or a bind"),
    "Labels": LABELS,
    "ClusterVolumeSpec": forbidden("volume.driver", "volumes of a cluster are not for a session"),
}


def judge_create(body: Object, session: Session, usage: Usage) -> Object:
    """The body to forward. Raises Denied."""
    found = judge(VOLUME, body, {})
    name = str(found.get("Name", ""))
    if name.startswith(RESERVED_VOLUMES):
        raise deny("volume.name", f"names that begin with {RESERVED_VOLUMES!r} are the guard's own", field="Name", allowed="another name")
    admit(usage, Usage(volumes=1), session.plan.limits)
    return {**({"Name": name} if name else {}), "Driver": "local", "Labels": with_own_labels(found.get("Labels"), session)}
