"""What a run did with the network, from its event log: for recovery and for ``aienv policy suggest``. Pure.

The log was written by the broker, but lies in a folder of the user's: a line that is not as expected is left out.
"""

import json
from collections.abc import Iterable
from typing import Any

from orchestrator.egress.usage import Counts
from orchestrator.model.network import Denial, NetworkUse

KINDS = ("net", "cred", "net.summary")
_MARKS = tuple(f'"kind":"{kind}"'.encode() for kind in KINDS)


def network_use(lines: Iterable[bytes]) -> NetworkUse:
    """From the lines of ``audit.jsonl``."""
    counts = Counts()
    for line in lines:
        if not any(mark in line for mark in _MARKS):
            continue
        try:
            _count(counts, json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
    return counts.total()


def _count(counts: Counts, event: dict[str, Any]) -> None:
    if event["kind"] == "net" and event["decision"] == "allow":
        counts.allow(str(event["host"]), int(event["port"]), 1, int(event["out"]), int(event["in"]))
    elif event["kind"] == "net":
        counts.deny(
            Denial(str(event["host"]), int(event["port"]), str(event["rule"]), str(event.get("reason", "")), 1, _text(event.get("flag")),
                   _text(event.get("yaml")))
        )  # fmt: skip
    elif event["kind"] == "cred" and event["outcome"] == "used":
        counts.use(str(event["name"]), str(event["host"]), 1)
    elif event["kind"] == "net.summary":
        _count_beyond(counts, event["beyond"])


def _count_beyond(counts: Counts, beyond: dict[str, Any]) -> None:
    for host, port, requests, bytes_out, bytes_in in beyond["allowed"]:
        counts.allow(str(host), int(port), int(requests), int(bytes_out), int(bytes_in))
    for host, port, rule, reason, count, flag, yaml in beyond["denied"]:
        counts.deny(Denial(str(host), int(port), str(rule), str(reason), int(count), _text(flag), _text(yaml)))
    for name, host, count in beyond["credentials"]:
        counts.use(str(name), str(host), int(count))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
