"""Real Docker engines for tests, demonstrations and measurements, each apart from every other engine of the machine.

An engine has its own data root, exec root, socket, containerd, cgroup parent and network namespace. Version 20.10 is
Debian 12's, 26.1 is Debian 13's; the one that is not installed runs from a root file system that mmdebstrap makes once
and that is kept in the cache (``AIENV_TEST_CACHE``, else ``$XDG_CACHE_HOME/aienv-test``).

    python tests/engine.py start --root DIR [--version 20.10|26.1]     prints the address (a DOCKER_HOST)
    python tests/engine.py stop --root DIR                             stops it and removes DIR
    python tests/engine.py load --root DIR --image debian|busybox|musl|base   imports a small image without a registry

An engine's network namespace has no way out: a pull fails at once, which is what the tests want to see.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

SUITES: Mapping[str, str] = {"20.10": "bookworm", "26.1": "trixie"}  # Debian's release that carries the engine
ENGINE_PACKAGES: Mapping[str, str] = {
    "20.10": "docker.io,iptables,mount,ca-certificates",  # the client is part of docker.io in bookworm
    "26.1": "docker.io,docker-cli,iptables,mount,ca-certificates",
}
MIRROR_OPTIONS = (
    "--aptopt=Acquire::Languages none",
    "--aptopt=Acquire::Retries 3",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)
START_S = 60.0
STOP_S = 20.0
# All others are seen by an engine with a root of its own at the same path, so that it finds the source of a bind mount.
NOT_SHARED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "var", "boot", "dev", "proc", "sys", "run", "lost+found")


class CannotHave(Exception):
    """The machine cannot provide this; the message is the sentence that a skipped test shows."""


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where root file systems are kept between test runs."""
    if chosen := environ.get("AIENV_TEST_CACHE"):
        return Path(chosen)
    base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/root"), ".cache")
    return Path(base) / "aienv-test"


@contextlib.contextmanager
def built_once(name: str, build: Callable[[Path], None]) -> Iterator[Path]:
    """The cached folder or file ``name``; ``build(path)`` makes it when it is missing. Safe against a second builder."""
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / name
    with open(cache / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            partial = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache)) / "new"
            try:
                build(partial)
                partial.rename(target)
            finally:
                shutil.rmtree(partial.parent, ignore_errors=True)
    yield target


def run(argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; a failure carries what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=options.pop("timeout", 600), check=False, **options)
    if done.returncode != 0:
        raise CannotHave(f"{' '.join(argv[:6])} failed ({done.returncode}): {done.stderr.strip()[-600:]}")
    return done


def debian_tree(target: Path, suite: str, variant: str, include: str = "") -> None:
    """A Debian root file system from Debian's own packages."""
    if shutil.which("mmdebstrap") is None:
        raise CannotHave("mmdebstrap is not installed: apt-get install mmdebstrap")
    argv = ["mmdebstrap", f"--variant={variant}", *MIRROR_OPTIONS]
    if include:
        argv.append(f"--include={include}")
    run([*argv, "--format=directory" if not target.name.endswith(".tar") else "--format=tar", suite, str(target)], timeout=900)
    target.chmod(0o755)


# --- the engine ------------------------------------------------------------------------------------------------------


@dataclass
class State:
    """What ``stop`` must know, written to ``<root>/engine.json`` before anything is started."""

    version: str
    own_root: bool
    owner: int  # process whose death ends the engine; 0: stays until it is stopped
    owner_start: str
    holder: int = 0
    holder_start: str = ""
    daemon: int = 0
    daemon_start: str = ""


class Engine:
    """One dockerd. ``address`` is what ``DOCKER_HOST`` takes."""

    def __init__(self, root: Path, version: str = "20.10", *, tied: bool = False, options: Sequence[str] = ()) -> None:
        """``tied``: end the engine with this process, however it ends; ``options``: more words for dockerd."""
        if version not in SUITES:
            raise CannotHave(f"no engine {version!r} is known, only {', '.join(SUITES)}")
        self.root = root
        self.version = version
        self.options = tuple(options)
        self.state = State(version, own_root=_installed_version() != version, owner=os.getpid() if tied else 0, owner_start="")
        if tied:
            self.state.owner_start = start_time(os.getpid())
        self.address = f"unix://{root}/engine.sock"

    # start and stop

    def start(self) -> Engine:
        """Start the engine and wait until it answers.

        Raises:
            CannotHave: with the last lines of the engine's log.
        """
        if os.geteuid() != 0:
            raise CannotHave("an engine of one's own needs root: run the tests as root")
        for program in ("unshare", "nsenter", "setpriv", "ip"):
            if shutil.which(program) is None:
                raise CannotHave(f"{program} is not installed")
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)  # other users must be able to reach the socket's folder, to be refused by the socket itself
        self._write()
        if not alive(self.state.holder, self.state.holder_start):
            self._hold_namespaces()
        self._launch()
        self._await_answer()
        return self

    def _hold_namespaces(self) -> None:
        """A process that sleeps in the engine's namespaces, so that they outlive a killed engine as on a real machine."""
        mounts = ("--mount", "--propagation", "private") if self.state.own_root else ()
        holder = subprocess.Popen(
            ["unshare", "--net", *mounts, "--", *self._tie("KILL"), "sleep", "infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.state.holder, self.state.holder_start = holder.pid, start_time(holder.pid)
        self._write()
        ours = os.readlink("/proc/self/ns/net")
        _until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != ours and _command(holder.pid)[:1] == ["sleep"], 10, "namespaces")
        run([*self._enter(), "ip", "link", "set", "lo", "up"])
        if self.state.own_root:
            with built_once(f"engine-{self.version}-with-mount", self._build_tree) as tree:
                run([*self._enter(), "sh", "-euc", _mount_script(tree, self.root)])

    def _build_tree(self, target: Path) -> None:
        debian_tree(target, SUITES[self.version], "essential", ENGINE_PACKAGES[self.version])

    def _enter(self) -> list[str]:
        mounts = ["--mount"] if self.state.own_root else []
        return ["nsenter", "--target", str(self.state.holder), "--net", *mounts, "--"]

    def _tie(self, name: str) -> list[str]:
        return ["setpriv", "--pdeathsig", name, "--"] if self.state.owner else []

    def _launch(self) -> None:
        root = self.root
        for stale in (root / "engine.sock", root / "engine.pid", root / "exec" / "containerd" / "containerd.pid"):
            stale.unlink(missing_ok=True)
        command = [
            "dockerd", "--host", self.address, "--data-root", str(root / "data"), "--exec-root", str(root / "exec"),
            "--pidfile", str(root / "engine.pid"), "--cgroup-parent", self.cgroup_parent, "--group", "root", *self.options,
        ]  # fmt: skip
        environ = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(root), "TMPDIR": ""}
        with open(root / "dockerd.log", "ab") as log:
            daemon = subprocess.Popen(
                [*self._enter(), *self._tie("TERM"), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environ,
            )  # fmt: skip
        self.state.daemon, self.state.daemon_start = daemon.pid, start_time(daemon.pid)
        self._write()

    def _await_answer(self) -> None:
        def answers() -> bool:
            if not alive(self.state.daemon, self.state.daemon_start):
                raise CannotHave(f"dockerd {self.version} ended at once: {self.log_tail()}")
            with contextlib.suppress(Exception), contextlib.closing(self.client(timeout=5)) as client:
                client.ping()
                return True
            return False

        try:
            _until(answers, START_S, "dockerd")
        except TimeoutError:
            raise CannotHave(f"dockerd {self.version} does not answer within {START_S:.0f} s: {self.log_tail()}") from None

    def kill(self) -> None:
        """Kill dockerd with SIGKILL and wait until it is gone. Containers go on until the next start, as on a real machine."""
        self._signal_daemon(signal.SIGKILL)
        _until(lambda: not alive(self.state.daemon, self.state.daemon_start), STOP_S, "dockerd's end")

    def revive(self) -> None:
        """Start dockerd again if it has died. From the main thread: the engine ends with the thread that started it."""
        if not alive(self.state.daemon, self.state.daemon_start):
            self.restart()

    def suspend(self) -> None:
        """Stop the daemon with SIGSTOP: it accepts connections and never answers."""
        self._signal_daemon(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_daemon(signal.SIGCONT)

    def _signal_daemon(self, number: signal.Signals) -> None:
        if alive(self.state.daemon, self.state.daemon_start):
            os.kill(self.state.daemon, number)

    def restart(self) -> None:
        """Start again on the same data after ``kill``, or after an ordinary stop of the daemon."""
        self._terminate_daemon()
        self._launch()
        self._await_answer()

    def _terminate_daemon(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not alive(self.state.daemon, self.state.daemon_start):
                return
            self._signal_daemon(number)
            with contextlib.suppress(TimeoutError):
                _until(lambda: not alive(self.state.daemon, self.state.daemon_start), STOP_S, "dockerd's end")

    def stop(self) -> None:
        """Stop everything that belongs to the engine and remove its folder. May be called twice."""
        self.resume()
        with contextlib.suppress(Exception), contextlib.closing(self.client(timeout=15)) as client:
            for container in client.containers(all=True):
                client.remove_container(container["Id"], force=True, v=True)
        self._terminate_daemon()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _until(lambda: not self.processes(), STOP_S, "the engine's processes' end")
        if alive(self.state.holder, self.state.holder_start):
            os.kill(self.state.holder, signal.SIGKILL)
            _until(lambda: not alive(self.state.holder, self.state.holder_start), STOP_S, "the holder's end")
        _unmount_below(self.root)
        _remove_cgroups(self.cgroup_parent)
        shutil.rmtree(self.root)

    # what it is made of

    @property
    def cgroup_parent(self) -> str:
        return "/aienv-test-" + str(self.root).strip("/").replace("/", "-")

    def processes(self) -> list[int]:
        """Living processes in the engine's network namespace (dockerd, containerd, shims, proxies) and all they started."""
        try:
            space = os.readlink(f"/proc/{self.state.holder}/ns/net")
        except OSError:
            return []
        if space == os.readlink("/proc/self/ns/net"):  # the holder's pid is someone else's by now
            return []
        parents: dict[int, int] = {}
        members: set[int] = set()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                if stat[0] in "ZX":
                    continue
                parents[int(entry)] = int(stat[1])
                if os.readlink(f"/proc/{entry}/ns/net") == space:
                    members.add(int(entry))
        while more := {pid for pid, parent in parents.items() if parent in members} - members:
            members |= more
        return sorted(members - {self.state.holder})

    def log_tail(self, size: int = 1500) -> str:
        with contextlib.suppress(OSError):
            return (self.root / "dockerd.log").read_text(errors="replace")[-size:]
        return "(no log)"

    def client(self, timeout: float = 60) -> Any:
        """A low-level client of the Docker SDK; close it."""
        import docker

        return docker.APIClient(base_url=self.address, version="auto", timeout=int(timeout))

    def environ(self) -> dict[str, str]:
        """The environment that makes a client use this engine."""
        return {**os.environ, "DOCKER_HOST": self.address}

    def _write(self) -> None:
        partial = self.root / "engine.json.new"
        partial.write_text(json.dumps(asdict(self.state)))
        partial.rename(self.root / "engine.json")

    @classmethod
    def found(cls, root: Path) -> Engine:
        """The engine that was started with this root, perhaps by another process."""
        state = State(**json.loads((root / "engine.json").read_text()))
        engine = cls(root, state.version)
        engine.state = state
        return engine


@contextlib.contextmanager
def running(version: str = "20.10", options: Sequence[str] = ()) -> Iterator[Engine]:
    """An engine in a temporary folder for as long as the block runs; it also ends when this process is killed."""
    sweep()
    engine = Engine(Path(tempfile.mkdtemp(prefix="aienv-engine-", dir="/tmp")), version, tied=True, options=options)
    try:
        yield engine.start()
    finally:
        engine.stop()


def sweep() -> None:
    """Remove what a killed test run left: engines whose owner is dead."""
    for file in Path("/tmp").glob("aienv-engine-*/engine.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            engine = Engine.found(file.parent)
            if engine.state.owner and not alive(engine.state.owner, engine.state.owner_start):
                engine.stop()


def _installed_version() -> str:
    """The major and minor version of the machine's own dockerd, or nothing."""
    program = shutil.which("dockerd", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        return ""
    words = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout.split()
    return ".".join(words[2].split(".")[:2]) if len(words) > 2 else ""


def _mount_script(tree: Path, root: Path) -> str:
    """Shell text that makes the cached tree, below a private layer and with the machine's folders, the namespace's root.

    It must be the real root: in a mere chroot the kernel refuses user namespaces, also to the containers.
    """
    new = root / "root"
    folders = [entry.name for entry in os.scandir("/") if entry.is_dir(follow_symlinks=False)]
    shared = ["proc", "sys", "dev", *(name for name in sorted(folders) if name not in NOT_SHARED), "var/tmp"]
    lines = [
        f"mkdir -p {new} {root}/upper/old {root}/work",
        f"mount -t overlay overlay -o lowerdir={tree},upperdir={root}/upper,workdir={root}/work {new}",
        *(f"mkdir -p {new}/{name}; mount --rbind /{name} {new}/{name}" for name in shared),
        f"cd {new}",
        "pivot_root . old",
        "exec chroot . umount --lazy /old",
    ]
    return "\n".join(lines)


# --- processes and mounts --------------------------------------------------------------------------------------------


def start_time(pid: int) -> str:
    """A process's start in clock ticks: with the pid it names one process for good. Empty when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def alive(pid: int, started: str) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    if pid <= 0:
        return False
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] == "Z":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            return False
        return fields[19] == started
    return False


def _command(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def _until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)


def mounts_below(root: Path) -> list[str]:
    """Mount points at or below ``root`` in our mount namespace, the innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    plain = [point.encode().decode("unicode_escape") for point in points]
    return [point for point in reversed(plain) if point == str(root) or point.startswith(f"{root}/")]


def _unmount_below(root: Path) -> None:
    for point in mounts_below(root):
        subprocess.run(["umount", "--lazy", point], capture_output=True, timeout=30, check=False)


def _remove_cgroups(parent: str) -> None:
    groups = [Path("/sys/fs/cgroup", parent.lstrip("/")), *Path("/sys/fs/cgroup").glob(f"*/{parent.lstrip('/')}")]
    for group in groups:
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


# --- images without a registry ---------------------------------------------------------------------------------------


def import_image(engine: Engine, name: str, rootfs: Path, changes: Sequence[str] = ()) -> str:
    """Make image ``name`` from a folder or a tar file; ``changes`` are Dockerfile lines (ENV, USER, VOLUME...). Returns its id."""
    with contextlib.closing(engine.client(timeout=300)) as client, contextlib.ExitStack() as undo:
        if rootfs.is_dir():
            stream: IO[bytes] = undo.enter_context(tempfile.TemporaryFile())
            with tarfile.open(fileobj=stream, mode="w") as archive:
                archive.add(rootfs, arcname=".", filter=_owned_by_root)
            stream.seek(0)
        else:
            stream = undo.enter_context(open(rootfs, "rb"))
        repository, _, tag = name.partition(":")
        client.import_image(src=stream, repository=repository, tag=tag or "latest", changes=list(changes) or None)
        return str(client.inspect_image(name)["Id"])


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def busybox_tree(target: Path) -> None:
    """One static program and links to it: no libc, no loader, no /etc at all."""
    source = shutil.which("busybox")
    if source is None:
        raise CannotHave("busybox is not installed: apt-get install busybox-static")
    binaries = target / "bin"
    binaries.mkdir(parents=True)
    shutil.copy(source, binaries / "busybox")
    for applet in run([source, "--list"]).stdout.split():
        if applet != "busybox":
            (binaries / applet).symlink_to("busybox")
    (target / "tmp").mkdir()
    (target / "tmp").chmod(0o1777)


def musl_tree(target: Path) -> None:
    """An image as Alpine makes them, without Alpine: musl is the only libc, and ``/bin/hello`` is linked against it.

    Debian's musl package brings the loader; musl-dev and the machine's compiler make the program.
    """
    if shutil.which("gcc") is None or shutil.which("apt-get") is None:
        raise CannotHave("a musl image needs gcc and apt-get")
    busybox_tree(target)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        run(["apt-get", "download", "-qq", "musl", "musl-dev"], cwd=work)
        for package in sorted(work.glob("*.deb")):
            run(["dpkg-deb", "-x", str(package), str(work / "root")])
        loader = next((work / "root/lib").glob("ld-musl-*.so.1"))
        library = next(path for path in (work / "root/usr/lib").glob("*-linux-musl") if path.is_dir())
        source = work / "hello.c"
        source.write_text('#include <stdio.h>\nint main(void) { puts("hello from musl"); return 0; }\n')
        (target / "lib").mkdir()
        run([
            "gcc", "-nostdinc", "-isystem", f"{work}/root/usr/include/{library.name}", "-nostdlib", "-no-pie", "-fno-stack-protector",
            "-U_FORTIFY_SOURCE", f"-Wl,-dynamic-linker,/lib/{loader.name}", "-o", str(target / "bin/hello"),
            f"{library}/crt1.o", f"{library}/crti.o", str(source), f"-L{work}/root/lib/{library.name}", "-lc", f"{library}/crtn.o",
        ])  # fmt: skip
        shutil.copy((work / "root/lib" / loader.name).resolve(), target / "lib" / loader.name)
    (target / "etc").mkdir()
    (target / "etc/alpine-release").write_text("musl test image\n")


IMAGES: Mapping[str, tuple[str, Callable[[Path], None]]] = {
    "busybox": ("busybox-tree", busybox_tree),
    "musl": ("musl-tree", musl_tree),
    "debian": ("debian-bookworm.tar", lambda path: debian_tree(path.with_suffix(".tar"), "bookworm", "minbase")),
}


def image(engine: Engine, kind: str, name: str | None = None, changes: Sequence[str] = ()) -> str:
    """Have one of the small images as ``aienv-test/<kind>`` (or ``name``), or ``base`` under its own name. Returns the name."""
    if kind == "base":
        return _base_image(engine)
    name = name or f"aienv-test/{kind}:latest"
    file, build = IMAGES[kind]

    def build_at(path: Path) -> None:
        build(path)
        if path.with_suffix(".tar").exists():  # mmdebstrap chooses its format by the suffix
            path.with_suffix(".tar").rename(path)

    with contextlib.closing(engine.client()) as client:
        if client.images(name):
            return name
    with built_once(file, build_at) as tree:
        import_image(engine, name, tree, changes)
    return name


def _base_image(engine: Engine) -> str:
    """aienv's own base image, from a root file system that is kept in the cache."""
    from orchestrator.backends.docker import Engine as Rim
    from orchestrator.backends.docker_endpoint import Endpoint
    from orchestrator.errors import AienvError
    from orchestrator.images import base

    rim = Rim(Endpoint(engine.address, None, "tests"))
    if rim.image(base.reference()) is None:
        try:
            with built_once(base.reference().replace("/", "-").replace(":", "-") + ".tar", base.bootstrap) as archive:
                base.import_archive(rim, archive)
        except AienvError as problem:
            raise CannotHave(problem.message) from problem
    return base.reference()


# --- command ---------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python tests/engine.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("verb", choices=("start", "stop", "load"))
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--version", choices=tuple(SUITES), default="20.10")
    parser.add_argument("--image", choices=(*IMAGES, "base"), default="debian")
    parser.add_argument("--name", help="the name that the loaded image gets")
    options = parser.parse_args(argv)
    root: Path = options.root.absolute()
    try:
        if options.verb == "start":
            engine = Engine(root, options.version)
            try:
                print(engine.start().address)
            except (CannotHave, TimeoutError):
                engine.stop()
                raise
        elif options.verb == "load":
            print(image(Engine.found(root), options.image, options.name))
        elif (root / "engine.json").exists():
            Engine.found(root).stop()
    except (CannotHave, TimeoutError) as problem:
        print(f"engine: {problem}", file=sys.stderr)
        return 1
    except OSError as problem:
        print(f"engine: {problem}", file=sys.stderr)  # also what the Docker SDK raises
        return 1
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.exit(main(sys.argv[1:]))
