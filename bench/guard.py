"""What the Docker guard costs, next to the engine's own socket and to haproxy as a socket proxy, measured in one go.

    python bench/guard.py [--quick] [--mib N] [--engine 20.10|26.1] [--json FILE]

Small requests (medians, milliseconds): GET /_ping on a kept connection and on a new one, a list of 12 containers, an inspection, a
container's life (create, wait, start, remove), ``exec`` with its tunnel and half close. Streams (MB/s): an archive into a container and
out of it, logs, a build context. Then the most memory that the guard has had. What is compared is interleaved. Needs root, an engine
(docker.io, mmdebstrap for 26.1), haproxy and busybox-static. ``--quick``: small sizes and counts.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import guard_client as client
from bench.guard_client import Connection, V, ask
from bench.guard_ways import Way, guard, haproxy, peak_mib
from tests import clients, engine
from tests.engine import Engine

IMAGE = "aienv-test/busybox:latest"
CONTAINERS = 12
Rows = dict[str, dict[str, list[float]]]
BLOCK = 20  # small requests of one way, before the next way has its turn


# --- what is measured ------------------------------------------------------------------------------------------------------------


def small(ways: Sequence[Way], box: Mapping[str, str], count: int) -> Rows:
    """Milliseconds of each small request on each way."""
    kept = {way.name: Connection(way.socket) for way in ways}
    figures: dict[str, Callable[[Way], object]] = {
        "GET /_ping, kept connection": lambda way: kept[way.name].ask("GET", "/_ping"),
        "GET /_ping, new connection": lambda way: ask(way.socket, "GET", "/_ping"),
        f"list of {CONTAINERS} containers": lambda way: kept[way.name].ask("GET", f"{V}/containers/json"),
        "inspect a container": lambda way: kept[way.name].ask("GET", f"{V}/containers/{box[way.name]}/json"),
    }
    try:
        return interleaved(figures, ways, count, BLOCK)
    finally:
        for connection in kept.values():
            connection.close()


def lives(ways: Sequence[Way], box: Mapping[str, str], count: int) -> Rows:
    figures: dict[str, Callable[[Way], object]] = {
        "create, wait, start, remove": lambda way: client.life(way.socket, IMAGE),
        "exec with input that ends": lambda way: client.exec_round_trip(way.socket, box[way.name]),
    }
    return interleaved(figures, ways, count, 1)


def interleaved(figures: Mapping[str, Callable[[Way], object]], ways: Sequence[Way], count: int, block: int) -> Rows:
    found: Rows = {}
    for figure, act in figures.items():
        for _ in range(max(1, count // block)):
            for way in ways:
                rows = found.setdefault(figure, {}).setdefault(way.name, [])
                for _ in range(block):
                    begin = time.perf_counter()
                    with contextlib.suppress(client.Failed):  # haproxy opens no tunnel: it has no figure then
                        act(way)
                        rows.append((time.perf_counter() - begin) * 1000)
    return found


def streams(ways: Sequence[Way], box: Mapping[str, str], talker: Mapping[str, str], size: int, count: int) -> Rows:
    """MB per second of each stream on each way."""

    def archive_in(way: Way) -> int:
        with Connection(way.socket) as connection:
            connection.upload("PUT", f"{V}/containers/{box[way.name]}/archive?path=/tmp", client.archive(size))
        return size

    def archive_out(way: Way) -> int:
        with Connection(way.socket) as connection:
            return connection.download(f"{V}/containers/{box[way.name]}/archive?path=/tmp/large")

    def logs(way: Way) -> int:
        with Connection(way.socket) as connection:
            return connection.download(f"{V}/containers/{talker[way.name]}/logs?stdout=1")

    figures = {"archive in": archive_in, "archive out": archive_out, "logs": logs}
    found: Rows = {}
    for figure, act in figures.items():
        for _ in range(count):
            for way in ways:
                begin = time.perf_counter()
                moved = act(way)
                found.setdefault(figure, {}).setdefault(way.name, []).append(moved / 1e6 / (time.perf_counter() - begin))
    return found


def contexts(ways: Sequence[Way], size: int, count: int) -> dict[str, list[float]]:
    """MB per second of a build context with a Dockerfile that only names the image."""
    found: dict[str, list[float]] = {way.name: [] for way in ways}
    archive = client.archive(size, f"FROM {IMAGE}\n".encode())
    for _ in range(count):
        for way in ways:
            with Connection(way.socket) as connection:
                begin = time.perf_counter()
                connection.upload("POST", f"{V}/build?q=1", archive)
                found[way.name].append(size / 1e6 / (time.perf_counter() - begin))
    return found


# --- the world -------------------------------------------------------------------------------------------------------------------


def prepare(ways: Sequence[Way], log_bytes: int) -> tuple[dict[str, str], dict[str, str]]:
    """``CONTAINERS`` that sleep, all made through the guard so that every way shows the same; one to work in; one that has talked."""
    through = next(way for way in ways if way.name == "guard").socket

    def start(command: list[str]) -> str:
        host = {"NetworkMode": "none", "Memory": 64 << 20, "PidsLimit": 64}
        made = ask(through, "POST", f"{V}/containers/create", {"Image": IMAGE, "Cmd": command, "HostConfig": host})
        ask(through, "POST", f"{V}/containers/{made['Id']}/start")
        return str(made["Id"])

    boxes = [start(["sleep", "100000"]) for _ in range(CONTAINERS)]
    talker = start(["sh", "-c", f"yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c {log_bytes}"])
    ask(through, "POST", f"{V}/containers/{talker}/wait")
    return {way.name: boxes[0] for way in ways}, {way.name: talker for way in ways}


def show(title: str, rows: Mapping[str, Mapping[str, float]], form: str) -> None:
    print(f"\n{title:<34} {'raw':>9} {'haproxy':>9} {'guard':>9}  {'guard - raw':>11} {'guard/raw':>9} {'guard/haproxy':>13}")
    for name, ways in rows.items():
        cells = " ".join(format(ways[way], form) if way in ways else f"{'broken':>9}" for way in ("raw", "haproxy", "guard"))
        raw, ours, other = ways.get("raw"), ways.get("guard"), ways.get("haproxy")
        assert raw is not None
        ratios = f"{ours - raw:11.3f} {ours / raw:9.2f} {f'{ours / other:13.2f}' if other else ''}" if ours is not None else ""
        print(f"  {name:<32} {cells}  {ratios}")


def medians(rows: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, float]]:
    return {figure: {way: statistics.median(values) for way, values in ways.items() if values} for figure, ways in rows.items()}


def measure(target: Engine, options: argparse.Namespace) -> dict[str, Any]:
    quick = options.quick
    size = (options.mib or (32 if quick else 500)) * 1_000_000
    result: dict[str, Any] = {"engine": target.version, "bytes": size, "load": os.getloadavg()[0], "processors": os.cpu_count()}
    with contextlib.ExitStack() as undo:
        project = undo.enter_context(clients.scratch())
        raw = Way("raw", str(target.root / "engine.sock"), target.state.daemon)
        ours = undo.enter_context(guard(target, project, "--allow-image", IMAGE))
        ways = (raw, undo.enter_context(haproxy(target)), ours)
        box, talker = prepare(ways, min(size // 10, 50_000_000))
        result["small_ms"] = medians(small(ways, box, 100 if quick else 400))
        result["lives_ms"] = medians(lives(ways, box, 3 if quick else 12))
        show("small requests, ms (medians)", {**result["small_ms"], **result["lives_ms"]}, "9.3f")
        result["guard_mib_before"] = peak_mib(ours.pid)
        found = medians(streams(ways, box, talker, size, 1 if quick else 3))
        found["build context"] = {way: statistics.median(values) for way, values in contexts(ways, size, 1 if quick else 3).items()}
        result["streams_mb_per_s"] = found
        show("streams, MB/s (medians)", found, "9.1f")
        result["guard_mib_after"] = peak_mib(ours.pid)
        print(f"\nthe guard's peak memory, MiB: {result['guard_mib_before']:.1f} before the streams, {result['guard_mib_after']:.1f} after")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes and counts")
    parser.add_argument("--mib", type=int, help="millions of bytes of archives and contexts (default 500)")
    parser.add_argument("--engine", choices=tuple(engine.SUITES), default="20.10", help="which engine (default 20.10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    try:
        with engine.running(options.engine) as target:
            engine.image(target, "busybox")
            result = measure(target, options)
    except engine.CannotHave as problem:
        sys.exit(f"bench: {problem}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
