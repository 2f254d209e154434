"""What is asked for: CONFIG.json, which ``harvest/request.py`` writes on the host. Pure."""

import json
import os
from typing import NamedTuple

from orchestrator.harvest.inside.words import plain_name


class Limits(NamedTuple):
    """How much may come out: of changed files and of each bundle, of artifacts, of ignored files; ``files`` counts each of these."""

    bundle_bytes: int
    artifact_bytes: int
    ignored_bytes: int
    files: int


class Config(NamedTuple):
    """The request, with paths as bytes: a file name need not be text. All paths are those inside the sandbox."""

    workspace: bytes
    outbox: bytes
    base: str | None  # the commit that the agent began with
    objects: tuple[bytes, ...]  # object folders of mirrors: what the host has anyway
    masked: tuple[bytes, ...]  # relative to the workspace, without slashes at the ends
    masked_inodes: frozenset[int]
    git: str
    artifacts: tuple[bytes, ...]  # patterns, see ``artifacts.matches``
    run_id: str
    task: str
    author: tuple[str, str]  # name and address, for our commits
    time: int  # seconds since 1970, for our commits
    limits: Limits
    lfs: bool  # whether pointers are made for files that the rules give to git-lfs
    shallow: tuple[str, ...]  # commits at which the mirror's history is cut
    known_refs: dict[bytes, str]  # refs that the clone began with
    deadline_s: float


def config_from(raw: bytes) -> Config:
    """The configuration; written by our own host side, so a fault is a KeyError or ValueError that ends the program."""
    plain = json.loads(raw)
    name, email = plain["author"]
    return Config(
        workspace=os.fsencode(plain["workspace"]),
        outbox=os.fsencode(plain["outbox"]),
        base=plain["base"],
        objects=tuple(os.fsencode(one) for one in plain["objects"]),
        masked=tuple(os.fsencode(one).strip(b"/") for one in plain["masked"]),
        masked_inodes=frozenset(plain.get("masked_inodes", ())),
        git=plain["git"],
        artifacts=tuple(os.fsencode(one) for one in plain["artifacts"]),
        run_id=plain["run_id"],
        task=plain["task"],
        author=(plain_name(name), plain_name(email)),
        time=int(plain["time"]),
        limits=Limits(**plain["limits"]),
        lfs=bool(plain.get("lfs", False)),
        shallow=tuple(plain.get("shallow", ())),
        known_refs={os.fsencode(name): oid for name, oid in plain.get("known_refs", ())},
        deadline_s=float(plain.get("deadline_s", 600.0)),
    )
