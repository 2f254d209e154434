"""What the way out costs, next to Anthropic's sandbox-runtime (srt), plain bubblewrap and no proxy at all, measured in one go.

    python bench/egress.py [-n 9] [--bytes N] [--seconds S] [--srt FOLDER] [--json FILE]

* start-up: the time from an open environment to the end of ``true`` in a sandbox with a way out: the agent of a run, and each further
  command (a check), against ``srt -c true``, a further command of one srt process that stays (as its library offers), and ``bwrap true``;
* requests per second and MB/s: one client (egress_client.py) inside each sandbox, one server (egress_origin.py) outside, through
  aienv's proxy, through srt's, and directly without a sandbox.

All of it happens in two network namespaces with public-looking addresses, because both proxies refuse private ones, and their own.
What is compared is interleaved. Needs root, npm with node, and what srt needs: socat and ripgrep. srt is installed into a scratch
folder, unless ``--srt`` names one that has it.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
AIENV = ROOT / ".venv" / "bin" / "aienv"
CLIENT, ORIGIN = Path(__file__).with_name("egress_client.py"), Path(__file__).with_name("egress_origin.py")
NAME, ADDRESS, HERE, PORT = "origin.example.org", "93.184.215.14", "93.184.215.2", 8080
PACKAGE = "@anthropic-ai/sandbox-runtime"
DEADLINE_S = 900.0
START_S = 20.0
NOBODY = 65533  # what root becomes for bubblewrap, in aienv as here
PYTHON = shutil.which("python3", path="/usr/bin:/bin") or "/usr/bin/python3"  # one that is there inside of every sandbox
NEEDED = ("ip", "unshare", "nsenter", "npm", "node", "socat", "rg", "bwrap", "git")

# One srt that stays, as a program with its library has it: the sandbox's command is made and run again and again.
SRT_STAYS = """
import { SandboxManager } from %(module)s;
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
await SandboxManager.initialize(JSON.parse(readFileSync(process.argv[2])));
const took = [];
for (let i = 0; i < Number(process.argv[3]) + 1; i++) {
  const begin = performance.now();
  const command = await SandboxManager.wrapWithSandbox('true');
  const { spawn } = await import('node:child_process');
  const code = await new Promise(done => spawn(command, { shell: true, stdio: 'inherit' }).on('exit', done));
  if (code !== 0) throw new Error(`ended with ${code}`);
  took.push((performance.now() - begin) / 1000);
}
console.log(JSON.stringify(took.slice(1)));
await SandboxManager.reset();
process.exit(0);
"""


def command(argv: Sequence[str], **options: Any) -> str:
    """Run to the end; its standard output."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"bench: {' '.join(argv)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


# --- two machines of our own --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """``prefix``: words in front of a command that run it on the client's side."""

    prefix: tuple[str, ...]


@contextlib.contextmanager
def world(scratch: Path) -> Iterator[World]:
    """The client's side and the server's, with a wire between them, the server's name in a hosts file, and the server."""
    with contextlib.ExitStack() as undo:
        here = _holder(undo, "--net", "--mount", "--propagation", "private")
        there = _holder(undo, "--net")
        hosts, switch = scratch / "hosts", scratch / "nsswitch.conf"
        hosts.write_text(f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
        switch.write_text("hosts: files\npasswd: files\ngroup: files\n")
        wire = (
            "ip link set lo up",
            f"ip link add wire0 type veth peer name wire1 netns {there}",
            f"ip addr add {HERE}/24 dev wire0 && ip link set wire0 up",
            f"mount --bind {hosts} /etc/hosts",
            f"[ ! -e /etc/nsswitch.conf ] || mount --bind {switch} /etc/nsswitch.conf",
        )
        command(["nsenter", f"--target={here}", "--net", "--mount", "sh", "-euc", "\n".join(wire)])
        wire = ("ip link set lo up", f"ip addr add {ADDRESS}/24 dev wire1", "ip link set wire1 up")
        command(["nsenter", f"--target={there}", "--net", "sh", "-euc", "\n".join(wire)])
        origin = subprocess.Popen(
            ["nsenter", f"--target={there}", "--net", "--", PYTHON, str(ORIGIN), str(PORT)],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        undo.callback(_end, origin)
        assert origin.stdout is not None
        if origin.stdout.readline() != b"ready\n":
            sys.exit("bench: the server did not start")
        yield World(("nsenter", f"--target={here}", "--net", "--mount", "--wdns=" + str(scratch), "--"))


def _holder(undo: contextlib.ExitStack, *namespaces: str) -> int:
    """A process that sleeps in namespaces of its own, and ends with us."""
    process = subprocess.Popen(["unshare", *namespaces, "--", "setpriv", "--pdeathsig", "KILL", "--", "sleep", "infinity"])
    undo.callback(_end, process)
    limit = time.monotonic() + START_S
    while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"sleep\0"):
        if process.poll() is not None or time.monotonic() > limit:
            sys.exit("bench: no network namespace can be made here")
        time.sleep(0.01)
    return process.pid


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait(START_S)


# --- the subjects -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subjects:
    """How each of the three is started, in front of ``true`` or of the client."""

    world: World
    repository: Path
    environ: Mapping[str, str]
    srt: Path
    settings: Path

    def direct(self, words: Sequence[str]) -> str:
        return command([*self.world.prefix, *words], env=dict(self.environ))

    def through_srt(self, words: Sequence[str]) -> str:
        program = self.srt / "node_modules" / ".bin" / "srt"
        return command([*self.world.prefix, str(program), "--settings", str(self.settings), "-c", " ".join(words)], env=dict(self.environ))

    def through_aienv(self, words: Sequence[str]) -> str:
        return command([*self.world.prefix, *self._aienv("-q"), "--", *words], env=dict(self.environ))

    def run_of_aienv(self, checks: int) -> Any:
        """The report of a run of ``true``, with so many checks that are ``true``."""
        flags = [word for number in range(checks) for word in ("--check", f"true {number}")]
        return json.loads(command([*self.world.prefix, *self._aienv("--json", *flags), "--", "true"], env=dict(self.environ)))

    def _aienv(self, *flags: str) -> list[str]:
        allowed = ("--allow-host", f"http://{NAME}:{PORT}", "--allow-host", f"{NAME}:{PORT}")
        return [str(AIENV), "run", "--repo", str(self.repository), "--backend", "local", "--network", "allowlist", *allowed, *flags]

    def bwrap(self) -> None:
        sandbox = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink",
                   "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--",
                   "true"]  # fmt: skip
        command(sandbox, env={}, cwd="/", user=NOBODY, group=NOBODY, extra_groups=[])

    def srt_that_stays(self, count: int) -> list[float]:
        module = self.srt / "node_modules" / PACKAGE / "dist" / "index.js"
        script = self.settings.with_name("stays.mjs")
        script.write_text(SRT_STAYS % {"module": json.dumps(str(module))})
        said = command([*self.world.prefix, "node", str(script), str(self.settings), str(count)], env=dict(self.environ))
        took: list[float] = json.loads(said.splitlines()[-1])
        return took


def make_subjects(scratch: Path, place: World, srt: Path) -> Subjects:
    repository = scratch / "repository"
    repository.mkdir()
    shutil.copy(CLIENT, repository / CLIENT.name)
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "client"]):
        command(["git", *words], cwd=repository)
    (scratch / "home").mkdir()
    settings = scratch / "srt.json"
    filesystem = {"denyRead": [], "allowWrite": ["/tmp"], "denyWrite": []}
    settings.write_text(json.dumps({"network": {"allowedDomains": [NAME], "deniedDomains": []}, "filesystem": filesystem}))
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(scratch / "home"), "LANG": "C.UTF-8", "DOCKER_HOST": "unix:///nonexistent",
        "XDG_STATE_HOME": str(scratch / "state"), "XDG_CONFIG_HOME": str(scratch / "config"), "XDG_CACHE_HOME": str(scratch / "cache"),
    }  # fmt: skip
    return Subjects(place, repository, environ, srt, settings)


def install_srt(folder: Path) -> Path:
    command(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE])
    return folder


# --- measuring ----------------------------------------------------------------------------------------------------------


def timed(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def start_up(subjects: Subjects, count: int) -> dict[str, float]:
    """Seconds, medians."""
    rows: dict[str, list[float]] = {name: [] for name in ("bwrap true, no way out", "srt -c true", "aienv: the agent of a run")}
    for number in range(count + 1):
        took = (
            timed(subjects.bwrap),
            timed(lambda: subjects.through_srt(["true"])),
            subjects.run_of_aienv(0)["timings"]["agent"],
        )
        for name, seconds in zip(rows, took, strict=True):
            rows[name] += [seconds] if number else []  # the first of each warms up
    rows["srt: a further command of one process"] = subjects.srt_that_stays(count)
    rows["aienv: a further command of one run"] = [check["duration_s"] for check in subjects.run_of_aienv(count + 1)["checks"]][1:]
    return {name: statistics.median(values) for name, values in rows.items()}


def through_proxies(subjects: Subjects, count: int, bytes_: int, seconds: float) -> dict[str, dict[str, float]]:
    """Figure -> way -> median."""
    words = (PYTHON, CLIENT.name, NAME, str(PORT), str(bytes_), str(seconds))
    outside = (PYTHON, str(subjects.repository / CLIENT.name), *words[2:])
    ways: dict[str, Callable[[], str]] = {
        "direct": lambda: subjects.direct(outside),
        "srt": lambda: subjects.through_srt(outside),
        "aienv": lambda: subjects.through_aienv(words),
    }
    found: dict[str, dict[str, list[float]]] = {}
    for number in range(count):
        for way, act in ways.items():
            for figure, value in json.loads(act().strip().splitlines()[-1]).items():
                found.setdefault(figure, {}).setdefault(way, []).append(value)
        print(f"  round {number + 1} of {count}", file=sys.stderr)
    return {figure: {way: statistics.median(values) for way, values in rows.items()} for figure, rows in found.items()}


def show_start_up(rows: Mapping[str, float]) -> None:
    print("\nstart-up of a sandbox, seconds (medians)")
    for name, seconds in rows.items():
        print(f"  {name:<40} {seconds:8.3f}")
    ratio = rows["aienv: the agent of a run"] / rows["srt -c true"]
    further = rows["aienv: a further command of one run"] / rows["srt: a further command of one process"]
    print(f"  {'aienv / srt, first command':<40} {ratio:8.2f}")
    print(f"  {'aienv / srt, further commands':<40} {further:8.2f}")


def show_ways(rows: Mapping[str, Mapping[str, float]]) -> None:
    heads = f"{'direct':>9} {'srt':>9} {'aienv':>9}  {'srt/dir':>7} {'aienv/dir':>9} {'aienv/srt':>9}"
    print(f"\n{'through the way out (medians)':<42} {heads}")
    for name, ways in rows.items():
        direct, srt, aienv = ways["direct"], ways["srt"], ways["aienv"]
        ratios = f"{srt / direct:7.2f} {aienv / direct:9.2f} {aienv / srt:9.2f}"
        print(f"  {name:<40} {direct:9,.1f} {srt:9,.1f} {aienv:9,.1f}  {ratios}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-n", type=int, default=9, help="measurements of each (default 9)")
    parser.add_argument("--bytes", type=int, default=1 << 30, help="size of a large body (default 1 GiB)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long requests are counted (default 3)")
    parser.add_argument("--srt", type=Path, metavar="FOLDER", help="where npm has installed srt already")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: network namespaces with addresses of their own need root")
    if missing := [program for program in NEEDED if shutil.which(program) is None]:
        packages = "iproute2 util-linux nodejs npm socat ripgrep bubblewrap git"
        sys.exit(f"bench: not installed: {', '.join(missing)} (Debian: apt install {packages})")
    if not AIENV.exists():
        sys.exit("bench: there is no .venv; make setup")
    print(f"medians of {options.n}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the start")
    with contextlib.ExitStack() as undo:
        scratch = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="aienv-bench-")))
        scratch.chmod(0o755)  # root becomes another user for bubblewrap
        srt = options.srt.resolve() if options.srt else install_srt(scratch / "srt")
        subjects = make_subjects(scratch, undo.enter_context(world(scratch)), srt)
        result: dict[str, Any] = {"n": options.n, "processors": os.cpu_count(), "load": os.getloadavg()[0], "bytes": options.bytes}
        result["start_up"] = start_up(subjects, options.n)
        show_start_up(result["start_up"])
        result["ways"] = through_proxies(subjects, options.n, options.bytes, options.seconds)
        show_ways(result["ways"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
