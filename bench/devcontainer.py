"""What dev containers cost: ours, the reference CLI, and raw docker, on one engine, measured in one go.

    python bench/devcontainer.py [-n 7] [--json FILE]

* ``up`` with an image, without a container (cold) and with one that runs (warm); against ``docker run -d`` and nothing;
* ``exec true``, against ``docker exec true``;
* ``up`` with a Dockerfile and two local features: nothing cached, and layers cached but no container; against ``docker build`` of four
  such instructions.

The engine is one of our own, 20.10 (as root, for its network namespace). The reference runs with its legacy builder (``--buildkit never``).
What is compared is interleaved, see bench/run.py. Seconds as the caller sees them.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.run import AIENV, command, timed  # noqa: E402
from tests import clients, engine  # noqa: E402

IMAGE = "aienv-test/debian:latest"
FEATURE = {"id": "", "version": "1.0.0", "options": {"v": {"type": "string", "default": "d"}}}
SIDES = ("aienv", "reference", "docker")


class Place:
    """One side's own copy of the workspaces, so that nobody finds another's container."""

    def __init__(self, root: Path, side: str, reference: str, environ: Mapping[str, str]) -> None:
        self.side, self.environ = side, dict(environ)
        self.plain, self.built = root / side / "plain", root / side / "built"
        self.program = [str(AIENV), "devcontainer"] if side == "aienv" else [reference]
        self.legacy = [] if side == "aienv" else ["--buildkit", "never"]
        self.nonce = 0
        (self.plain / ".devcontainer").mkdir(parents=True)
        (self.plain / ".devcontainer/devcontainer.json").write_text(json.dumps({"image": IMAGE}))
        for name in ("fa", "fb"):
            folder = self.built / ".devcontainer" / name
            folder.mkdir(parents=True)
            (folder / "devcontainer-feature.json").write_text(json.dumps({**FEATURE, "id": name}))
        config = {"build": {"dockerfile": "Dockerfile"}, "features": {"./fa": {}, "./fb": {}}}
        (self.built / ".devcontainer/devcontainer.json").write_text(json.dumps(config))
        self.fresh()

    def fresh(self) -> None:
        """Nothing that is cached fits."""
        self.nonce += 1
        marked = f"echo {self.side} {self.nonce} {os.getpid()}"
        (self.built / ".devcontainer/Dockerfile").write_text(f"FROM {IMAGE}\nRUN {marked} >/one\nRUN {marked} >/two\n")
        for name in ("fa", "fb"):
            (self.built / ".devcontainer" / name / "install.sh").write_text(f"{marked} >/{name}\n")

    def docker(self, *words: str) -> str:
        return command(["docker", *words], env=self.environ).decode().strip()

    def gone(self) -> None:
        for folder in (self.plain, self.built):
            if found := self.docker("ps", "-aq", "--filter", f"label=devcontainer.local_folder={folder}").split():
                self.docker("rm", "-f", *found)
        if self.side == "docker" and (found := self.docker("ps", "-aq", "--filter", "label=bench").split()):
            self.docker("rm", "-f", *found)

    def up(self, folder: Path) -> None:
        if self.side != "docker":
            command([*self.program, "up", "--workspace-folder", str(folder), *self.legacy], env=self.environ)
        elif folder == self.plain:
            self.docker("run", "-d", "-l", "bench", "-v", f"{folder}:/workspaces/plain", IMAGE, "sleep", "1000")
        else:
            lines = (self.built / ".devcontainer/Dockerfile").read_text() + f"RUN echo {self.nonce} a >/a\nRUN echo {self.nonce} b >/b\n"
            (self.built / "Dockerfile").write_text(lines)
            self.docker("build", "-q", str(self.built))

    def exec(self) -> None:
        if self.side == "docker":
            self.docker("exec", self.docker_container(), "true")
        else:
            command([*self.program, "exec", "--workspace-folder", str(self.plain), "true"], env=self.environ)

    def docker_container(self) -> str:
        if not hasattr(self, "container"):
            self.container = self.docker("ps", "-q", "--filter", "label=bench")
        return self.container


def measured(places: Mapping[str, Place], count: int) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}

    def note(row: str, place: Place, seconds: float) -> None:
        found.setdefault(row, {}).setdefault(place.side, []).append(seconds)

    for number in range(count + 1):  # the first time warms up
        for place in places.values():
            place.gone()
            vars(place).pop("container", None)
            cold = timed(lambda place=place: place.up(place.plain))[0]
            if place.side == "docker":
                place.docker_container()
                warm = 0.0
            else:
                warm = timed(lambda place=place: place.up(place.plain))[0]
            run = timed(place.exec)[0]
            place.fresh()
            first = timed(lambda place=place: place.up(place.built))[0]
            place.gone()
            second = timed(lambda place=place: place.up(place.built))[0]
            place.gone()
            if number:
                rows = {"up, cold": cold, "up, warm": warm, "exec true": run, "build, first": first, "build, second": second}
                for row, seconds in rows.items():
                    note(row, place, seconds)
    return found


AIMS = {"up, cold": 0.5, "up, warm": 0.25, "exec true": 0.2, "build, first": None, "build, second": 0.6}


def shown(found: Mapping[str, Mapping[str, list[float]]]) -> Iterator[str]:
    yield f"{'':<15}" + "".join(f"{side:>12}" for side in SIDES) + f"{'to reference':>14}{'aim':>7}"
    for row, sides in found.items():
        medians = {side: statistics.median(sides[side]) for side in SIDES}
        ratio = medians["aienv"] / medians["reference"]
        aim = AIMS[row]
        yield f"{row:<15}" + "".join(f"{medians[side]:>12.3f}" for side in SIDES) + f"{ratio:>13.2f}x{f'{aim}x' if aim else '':>7}"


def main() -> None:
    parser = argparse.ArgumentParser(description="what dev containers cost")
    parser.add_argument("-n", type=int, default=7, help="times that each is measured")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    reference = clients.dev_container_cli()
    with contextlib.ExitStack() as undo:
        root = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="aienv-bench-")))
        one = undo.enter_context(engine.running("20.10"))
        engine.image(one, "debian")
        environ = {**os.environ, "DOCKER_HOST": one.address, "AIENV_HOME": str(root / "home"), "DOCKER_BUILDKIT": "0"}
        places = {side: Place(root, side, str(reference), environ) for side in SIDES}
        found = measured(places, options.n)
        for place in places.values():
            place.gone()
    print("\n".join(shown(found)))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
