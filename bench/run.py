"""What a run costs, next to what it stands on: medians and ratios, measured in one go.

    python bench/run.py [-n 9] [--backend local|docker|all] [--json FILE]

* local: ``aienv run --backend local -- true`` on a repository of 100 files, against ``git clone`` + ``bwrap true`` + removing the clone;
* docker: ``aienv run --backend docker -- true`` against create + start + wait + remove of the same image, over the engine's API with no
  SDK between. The engine is the one that DOCKER_HOST names, else one of our own (as root);
* start-up: ``aienv --version`` and ``--help`` against an interpreter that does nothing.

What is compared is interleaved (A B A B ...), so that a machine that gets slower gets slower for both. Every figure is wall time
in seconds as the caller sees it, process start included.
"""

import argparse
import contextlib
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
AIENV = ROOT / ".venv" / "bin" / "aienv"
FILES = 100
FILE_BYTES = 2000
DEADLINE_S = 600.0
NOBODY = 65533  # what root becomes for bubblewrap, in aienv as here

Act = Callable[[], Any]


def timed(act: Act) -> tuple[float, Any]:
    begin = time.perf_counter()
    value = act()
    return time.perf_counter() - begin, value


def interleaved(count: int, acts: Mapping[str, Act]) -> dict[str, list[tuple[float, Any]]]:
    """Each act once to warm up, then all of them in turn, ``count`` times: (seconds, value) of each."""
    for act in acts.values():
        act()
    found: dict[str, list[tuple[float, Any]]] = {name: [] for name in acts}
    for _ in range(count):
        for name, act in acts.items():
            found[name].append(timed(act))
    return found


def command(argv: list[str], **options: Any) -> bytes:
    """Run to the end; its standard output."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(argv)} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout


def make_repository(target: Path) -> Path:
    target.mkdir()
    for number in range(FILES):
        file = target / f"folder{number % 10}" / f"file{number}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"line of file {number}\n" * (FILE_BYTES // 20))
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "files"]):
        command(["git", *words], cwd=target)
    return target


def aienv_run(repository: Path, backend: str, environ: Mapping[str, str]) -> Act:
    argv = [str(AIENV), "run", "--backend", backend, "--json", "--quiet", "--", "true"]
    return lambda: json.loads(command(argv, cwd=repository, env=environ))


# --- what it stands on -----------------------------------------------------------------------------------------------


def clone_and_bwrap(repository: Path, scratch: Path) -> Act:
    """A person's own way: clone, a sandbox around the command, remove."""
    clone = scratch / "clone"
    sandbox = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink",
               "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
               "--bind", str(clone), "/work", "--chdir", "/work", "--", "true"]  # fmt: skip
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}

    def act() -> None:
        command(["git", "clone", "-q", "--no-hardlinks", str(repository), str(clone)])
        command(sandbox, env={}, cwd="/", **user)
        shutil.rmtree(clone)

    return act


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


def raw_container(address: str, image: str) -> Act:
    """The engine's own price: four calls."""
    path = address.removeprefix("unix://")

    def call(connection: UnixConnection, method: str, target: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body)
        connection.request(method, f"/v1.41{target}", data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            sys.exit(f"bench: the engine answered {answer.status} to {method} {target}: {text!r}")
        return json.loads(text) if text else None

    def act() -> None:
        with contextlib.closing(UnixConnection(path)) as connection:
            body = {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
            container = call(connection, "POST", "/containers/create", body)["Id"]
            call(connection, "POST", f"/containers/{container}/start")
            call(connection, "POST", f"/containers/{container}/wait")
            call(connection, "DELETE", f"/containers/{container}?force=1&v=1")

    return act


@contextlib.contextmanager
def engine_address() -> Iterator[str]:
    """The engine that DOCKER_HOST names, else one of our own with the base image in it."""
    if address := os.environ.get("DOCKER_HOST"):
        yield address
        return
    from tests import engine as engines

    try:
        with engines.running() as engine:
            engines.image(engine, "base")
            yield engine.address
    except engines.CannotHave as problem:
        sys.exit(f"bench: no engine: {problem}; set DOCKER_HOST, or choose --backend local")


# --- measuring -------------------------------------------------------------------------------------------------------


def median(values: list[float]) -> float:
    return statistics.median(values)


def compared(count: int, ours: Act, theirs: Act) -> dict[str, Any]:
    found = interleaved(count, {"ours": ours, "theirs": theirs})
    seconds = {name: [one for one, _ in runs] for name, runs in found.items()}
    reports = [report for _, report in found["ours"]]
    phases = {name: median([report["timings"].get(name, 0.0) for report in reports]) for name in reports[0]["timings"]}
    total = phases.pop("total")
    return {
        "aienv": median(seconds["ours"]),
        "aienv_best": min(seconds["ours"]),
        "baseline": median(seconds["theirs"]),
        "baseline_best": min(seconds["theirs"]),
        "ratio": median(seconds["ours"]) / median(seconds["theirs"]),
        "phases": phases,
        "between_phases": median([report["timings"]["total"] - sum_of_phases(report) for report in reports]),
        "outside": median([took - report["timings"]["total"] for took, report in found["ours"]]),
        "inside": total,
    }


def sum_of_phases(report: Any) -> float:
    return sum(seconds for name, seconds in report["timings"].items() if name != "total")


def start_up(count: int) -> dict[str, float]:
    python = str(ROOT / ".venv" / "bin" / "python")
    acts = {
        "python -c pass": lambda: command([python, "-c", "pass"]),
        "aienv --version": lambda: command([str(AIENV), "--version"]),
        "aienv --help": lambda: command([str(AIENV), "--help"]),
    }
    return {name: median([seconds for seconds, _ in runs]) for name, runs in interleaved(count, acts).items()}


def show(title: str, against: str, figures: Mapping[str, Any]) -> None:
    print(f"\n{title}")
    print(f"  aienv     {figures['aienv']:7.3f} s   (best {figures['aienv_best']:.3f})")
    print(f"  {against:<9} {figures['baseline']:7.3f} s   (best {figures['baseline_best']:.3f})")
    print(f"  ratio     {figures['ratio']:7.2f}")
    rows = [*figures["phases"].items(), ("between phases", figures["between_phases"]), ("start and end of the process", figures["outside"])]
    print("  where it goes (medians)")
    for name, seconds in rows:
        print(f"    {name:<30} {seconds:7.3f} s {100 * seconds / figures['aienv']:5.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-n", type=int, default=9, help="measurements of each (default 9)")
    parser.add_argument("--backend", choices=("local", "docker", "all"), default="all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    if not AIENV.exists():
        sys.exit("bench: there is no .venv; make setup")
    result: dict[str, Any] = {"n": options.n, "processors": os.cpu_count(), "load": os.getloadavg()[0]}
    print(f"medians of {options.n}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    with contextlib.ExitStack() as undo:
        scratch = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="aienv-bench-")))
        scratch.chmod(0o755)  # root becomes another user for bubblewrap
        repository = make_repository(scratch / "repository")
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AIENV")}
        environ |= {"XDG_STATE_HOME": str(scratch / "state"), "XDG_CONFIG_HOME": str(scratch / "config")}
        environ["XDG_CACHE_HOME"] = str(ROOT / ".cache")
        result["start_up"] = start_up(options.n)
        print("\nstart-up")
        for name, seconds in result["start_up"].items():
            print(f"  {name:<16} {seconds:7.3f} s")
        if options.backend in ("local", "all"):
            result["local"] = compared(options.n, aienv_run(repository, "local", environ), clone_and_bwrap(repository, scratch))
            show(f"local: a run of true on {FILES} files, against git clone + bwrap true", "by hand", result["local"])
        if options.backend in ("docker", "all"):
            address = undo.enter_context(engine_address())
            ours = aienv_run(repository, "docker", {**environ, "DOCKER_HOST": address})
            ours()  # makes what is missing: image, toolbox
            from orchestrator.images import base

            result["docker"] = compared(options.n, ours, raw_container(address, base.reference()))
            show("docker: a run of true, against create + start + wait + remove of the same image", "raw", result["docker"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
