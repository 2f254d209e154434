"""The attack corpus and everyday clients through the guard and through what others have written, as a table for docs/docker.md.

    python bench/guard_peers.py [--bw-docker-guard FILE] [--wollomatic FILE] [--buildkite FILE] [--buddelkiste PYTHON] [--json FILE]

haproxy with a socket proxy's rules, the bare engine and our guard are always there; the others are programs that somebody has built
(github.com/vossiman/bw-AICode, wollomatic/socket-proxy, buildkite/sockguard) or a Python that has buddelkiste. Each has an engine of its
own, because some attacks ruin one, and a configuration as its documents recommend for work: what clients need is let through.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.guard_ways import SECTIONS, Way, guard, haproxy, program
from tests import engine
from tests.engine import Engine
from tests.guardian import inside
from tests.integration.guard import attacking
from tests.integration.guard.corpus import Row, rows

IMAGE = attacking.IMAGE
DEADLINE_S = 30.0
Open = Callable[[Engine, Path], "contextlib.AbstractContextManager[Way]"]

BUDDELKISTE = """
import sys, time
from pathlib import Path
from buddelkiste.docker_proxy import DockerProxyPolicy, DockerProxyServer
listen, engine, image, project = sys.argv[1:]
denied = ("commit", "swarm", "plugins", "session")
policy = DockerProxyPolicy(images=(image,), allow_binds=(project,), on_unknown_image="deny", api_deny=denied)
DockerProxyServer(Path(listen), Path(engine), policy, policy_key="peers").start()
time.sleep(1e9)
"""


def raw(target: Engine, project: Path) -> "contextlib.AbstractContextManager[Way]":
    return contextlib.nullcontext(Way("engine", str(target.root / "engine.sock"), 0))


def ours(target: Engine, project: Path) -> "contextlib.AbstractContextManager[Way]":
    return guard(target, project, "--allow-image", IMAGE)


def plain_proxy(target: Engine, project: Path) -> "contextlib.AbstractContextManager[Way]":
    return haproxy(target)


def other(name: str, words: Callable[[Engine, Path, Path], tuple[str, ...]]) -> Open:
    """A program; ``words(engine, project, folder)``: its command line, which makes ``folder/docker.sock``."""

    @contextlib.contextmanager
    def open_it(target: Engine, project: Path) -> Iterator[Way]:
        with tempfile.TemporaryDirectory(prefix="aienv-peer-", dir="/tmp") as text:
            folder = Path(text)
            path = folder / "docker.sock"
            home = {"XDG_STATE_HOME": text, "XDG_RUNTIME_DIR": text, "HOME": text}
            with program(words(target, project, folder), path, folder / "log", **home) as pid:
                yield Way(name, str(path), pid)

    return open_it


def bw_docker_guard(file: Path) -> Open:
    def words(target: Engine, project: Path, folder: Path) -> tuple[str, ...]:
        config = {"project_dir": str(project), "allowed_images": [IMAGE], "allowed_networks": [], "volume_mount_root": str(project)}
        (folder / "config.json").write_text(json.dumps(config))
        real = str(target.root / "engine.sock")
        return (str(file), "-config", f"{folder}/config.json", "-socket", f"{folder}/docker.sock", "-docker-socket", real)

    return other("bw-docker-guard", words)


def wollomatic(file: Path) -> Open:
    def words(target: Engine, project: Path, folder: Path) -> tuple[str, ...]:
        allowed = rf"(/v1\..{{1,2}})?/({'|'.join(SECTIONS)}).*"
        methods = tuple(f"-allow{method}={allowed}" for method in ("GET", "HEAD", "POST", "PUT", "DELETE"))
        real = f"-socketpath={target.root}/engine.sock"
        return (str(file), *methods, f"-allowbindmountfrom={project}", real, f"-proxysocketendpoint={folder}/docker.sock")

    return other("wollomatic/socket-proxy", words)


def buildkite(file: Path) -> Open:
    def words(target: Engine, project: Path, folder: Path) -> tuple[str, ...]:
        real = f"{target.root}/engine.sock"
        ours = ("-allow-bind", str(project), "-owner-label", "us")
        return (str(file), "-filename", f"{folder}/docker.sock", "-upstream-socket", real, *ours)

    return other("buildkite/sockguard", words)


def buddelkiste(python: Path) -> Open:
    def words(target: Engine, project: Path, folder: Path) -> tuple[str, ...]:
        return (str(python), "-c", BUDDELKISTE, f"{folder}/docker.sock", f"{target.root}/engine.sock", IMAGE, str(project))

    return other("buddelkiste docker-proxy", words)


# --- everyday work ---------------------------------------------------------------------------------------------------------------

COMPOSE = f"""version: "3.8"
services:
  one:
    image: {IMAGE}
    command: sleep 600
    volumes: [data:/data, ".:/project"]
  two:
    image: {IMAGE}
    command: sleep 600
    depends_on: [one]
    ports: ["127.0.0.1:0:80"]
volumes:
  data: {{}}
"""


def everyday(target: Engine, way: Way, project: Path) -> dict[str, bool]:
    """Which clients do their work. ``box`` is a container that the client itself starts."""
    (project / "compose.yaml").write_text(COMPOSE)
    (project / "Dockerfile").write_text(f"FROM {IMAGE}\nCMD echo built\n")
    environ = {"PATH": "/usr/bin:/bin:/usr/sbin", "HOME": "/tmp", "DOCKER_HOST": f"unix://{way.socket}", "DOCKER_BUILDKIT": "0"}

    def works(text: str, wanted: str = "") -> bool:
        argv = [*inside(target), "sh", "-euc", text]
        try:
            done = subprocess.run(argv, env=environ, cwd=project, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0 and wanted in done.stdout

    result = {
        "run": works(f"docker run --rm {IMAGE} echo hello", "hello"),
        "run -i": works(f"echo word | docker run -i --rm {IMAGE} cat", "word"),
        "run -v": works(f"docker run --rm -v $PWD:/x {IMAGE} ls /x", "compose.yaml"),
        "exec": works(f"docker run -d --name box {IMAGE} sleep 600; docker exec box echo inside", "inside"),
        "exec -i": works("echo word | docker exec -i box cat", "word"),
        "logs -f": works(f"docker run -d --name talker {IMAGE} sh -c 'echo said'; docker logs -f talker", "said"),
        "cp": works("docker cp compose.yaml box:/tmp/; docker cp box:/tmp/compose.yaml copied"),
        "build": works("docker build -t peer-built:1 .; docker run --rm peer-built:1", "built"),
        "network": works(f"docker network create n1; docker run --rm --network n1 {IMAGE} true; docker network rm n1"),
        "volume": works(f"docker volume create v1; docker run --rm -v v1:/v {IMAGE} touch /v/x; docker volume rm v1"),
        "compose": works("c='docker-compose -p peer'; $c up -d; $c exec -T one echo up; $c down -v -t 0", "up"),
    }
    works("docker rm -f box talker")
    return result


# --- the corpus ------------------------------------------------------------------------------------------------------------------


def attack(target: Engine, way: Way, project: Path) -> dict[str, Any]:
    """Which attacks win, by section, and which harmless calls are refused."""
    won, broken = dict[str, str](), dict[str, str]()
    with attacking.world(target, way.socket, project) as world:
        world.own()
        for row in (row for row in rows() if row.mode == "guarded"):
            answer = world.try_row(row)
            if row.attack and (why := world.won(row, answer)):
                won[row.id] = why
            elif not row.attack and not (200 <= answer.status < 300 or answer.status == 304):
                broken[row.id] = answer.data[:300].decode("latin-1")
            world.tidy(row)
            _mend(world, row)
    return {"won": won, "broken": broken}


def _mend(world: attacking.World, row: Row) -> None:
    """Make again what an attack has taken away."""
    with contextlib.suppress(Exception):
        if row.section in ("ownership", "prune", "mounts", "images", "networks", "hijack"):
            world.prepare()
        if not world.raw.inspect_container("own-box")["State"]["Running"]:
            world.raw.restart("own-box", timeout=0)


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown."""
    judged = [row for row in rows() if row.mode == "guarded"]
    attacks = Counter(row.section for row in judged if row.attack)
    harmless = sum(not row.attack for row in judged)
    sections = tuple(attacks)
    lines = [
        f"| | attacks that win, of {sum(attacks.values())} | {' | '.join(f'{name} ({attacks[name]})' for name in sections)} "
        f"| harmless calls refused, of {harmless} | clients that break |",
        "| --- |" + " ---: |" * (len(sections) + 2) + " --- |",
    ]
    by_id = {row.id: row.section for row in judged}
    for name, result in results.items():
        won = Counter(by_id[identity] for identity in result["won"])
        clients = ", ".join(f"`{client}`" for client, works in result["clients"].items() if not works) or "none"
        cells = " | ".join(str(won[section]) for section in sections)
        lines.append(f"| {name} | {len(result['won'])} | {cells} | {len(result['broken'])} | {clients} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("bw-docker-guard", "wollomatic", "buildkite", "buddelkiste"):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome there")
    options = parser.parse_args()
    attacking.ANSWER_S = 3.0  # some attacks make an engine ask a server that is not there, again and again
    peers: dict[str, Open] = {"the engine's own socket": raw, "haproxy, docker-socket-proxy's rules": plain_proxy}
    for name, (file, make) in {
        "wollomatic/socket-proxy": (options.wollomatic, wollomatic), "buildkite/sockguard": (options.buildkite, buildkite),
        "buddelkiste docker-proxy": (options.buddelkiste, buddelkiste), "bw-docker-guard": (options.bw_docker_guard, bw_docker_guard),
    }.items():  # fmt: skip
        if file is not None:
            peers[name] = make(file)
    peers["aienv guard"] = ours
    results: dict[str, dict[str, Any]] = {}
    for name, open_it in peers.items():
        print(name, file=sys.stderr)
        with engine.running() as target, attacking.project_with_links() as project:
            engine.image(target, "busybox")
            with open_it(target, project) as way:
                clients = everyday(target, way, project)
                results[name] = {"clients": clients, **attack(target, way, project)}
        print(table(results).splitlines()[-1], file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
