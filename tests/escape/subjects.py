"""Who tries: the programs of this folder in one run, on each backend, started by root and by an ordinary user; and outside of any."""

import contextlib
import ctypes
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.images import toolbox
from tests.e2e.product import Aienv, Done, make_repository
from tests.engine import CannotHave, Engine, alive, start_time
from tests.escape import driver
from tests.internet import BAD_NAMES, GREETINGS, HERE, HERE6, HOST_PORT, RESOLVER, SERVED, Internet

FOLDER = Path(__file__).parent
PROGRAMS = FOLDER / "programs"
NAMES = tuple(driver.programs(PROGRAMS))
USER, USER_GROUP = 64999, 64998  # numbers without accounts, as containers and CI runners often have
SUBJECTS = ("local-root", "local-user", "docker-root", "docker-user", "docker26-root")
SYSTEM_PYTHON = "/usr/bin/python3"
MASKED = (".env", "conf/key.pem", ".npmrc")
CANARY = "CANARY-4f1c7a"
MEMORY_CANARY = "MEMORY-CANARY-b81e09"
TOKEN_PREFIX = "esc-live-"
TOKEN = f"{TOKEN_PREFIX}7Qd0aXk2vN81mZr5tYc3"
# Allowed by name, whatever their addresses are: those must be refused.
BADLY_NAMED = (
    *BAD_NAMES,
    "metadata.example.org",
    "private.example.org",
    "shared.example.org",
    "documentation.example.org",
    "link-local.example.org",
)
ALLOWED = (
    "origin.example.org", "http://origin.example.org", "*.wild.example.org", "http://*.wild.example.org",
    *(f"GET {scheme}{name}/public/*" for name in ("other.example.org", "untrusted.example.org", "v6.example.org") for scheme in ("", "http://")),
    *(rule for name in BADLY_NAMED for rule in (name, f"http://{name}", f"http://{name}:8080")),
)  # fmt: skip
DENIED = ("blocked.wild.example.org",)
SECRETS = (
    "--secret", "ESCAPE_TOKEN=env://REAL_TOKEN", "--secret-host", "ESCAPE_TOKEN=other.example.org",
    "--secret", "OPENAI_API_KEY=env://REAL_TOKEN", "--secret-host", "OPENAI_API_KEY=other.example.org/public/api",
)  # fmt: skip
SERVICE = ("openai", "other.example.org")  # what the gateway leads to
LIMITS = {"cpus": 1, "pids": 200, "disk": 1 << 30, "open_files": 1 << 16}
IPC_CREAT, IPC_RMID = 0o1000, 0


@dataclass(frozen=True)
class Outcome:
    """What came of one run of the programs. ``said``: by program. ``seen``: what reached a server meanwhile. ``victim_lived``: and had
    its share of the machine."""

    subject: str
    said: Mapping[str, str]
    done: Done
    report: Any
    seen: Sequence[Mapping[str, Any]]
    witness: Path
    victim_lived: bool
    took_s: float
    slowest: Sequence[tuple[float, str]]


@dataclass
class Host:
    """Things of this machine that a run must not touch, made once: files, memory, queues, names."""

    folder: Path
    public_file: Path
    memory_file: Path
    ipc_key: int
    queue: str
    undo: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


@contextlib.contextmanager
def host_things() -> Iterator[Host]:
    """Files that everybody may read, shared memory, semaphores and queues that everybody may use."""
    libc = ctypes.CDLL(None, use_errno=True)
    with contextlib.ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="aienv-escape-", dir="/tmp"))
        undo.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        host = Host(folder, folder / "public", Path("/dev/shm") / folder.name, 0x5E000000 | os.getpid(), f"/{folder.name}")
        for path in (host.public_file, host.memory_file):
            path.write_text(CANARY)
            path.chmod(0o666)
            undo.callback(path.unlink)
        for get, control, words in ((libc.shmget, libc.shmctl, (4096,)), (libc.semget, libc.semctl, (1,)), (libc.msgget, libc.msgctl, ())):
            number = get(host.ipc_key, *words, IPC_CREAT | 0o666)
            if number < 0:
                raise CannotHave(f"shared memory cannot be made: {os.strerror(ctypes.get_errno())}")
            undo.callback(control, number, *((0, IPC_RMID) if get is libc.semget else (IPC_RMID, None)))
        queues = ctypes.CDLL("librt.so.1", use_errno=True)
        queue = queues.mq_open(host.queue.encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
        if queue < 0:
            raise CannotHave(f"a message queue cannot be made: {os.strerror(ctypes.get_errno())}")
        undo.callback(queues.mq_unlink, host.queue.encode())
        undo.callback(os.close, queue)
        yield host


VICTIM = """
import os, signal, sys, time
def hit(number, frame):
    os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY))
for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD):
        signal.signal(number, hit)
print("ready", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def victim(uid: int, witness: Path, word: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of the user as whom the agent works: a signal that reaches it leaves a file."""
    process = subprocess.Popen(
        [SYSTEM_PYTHON, "-I", "-S", "-c", VICTIM, str(witness / "signalled"), word], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        user=uid, group=uid, extra_groups=[], cwd="/", env={"LEAK_PROBE": "value-of-the-host"}, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def priority(pid: int) -> tuple[int, int]:
    """What a process may have of the processors and of the disk."""
    ioprio_get = {"x86_64": 252, "aarch64": 31}[os.uname().machine]
    return os.getpriority(os.PRIO_PROCESS, pid), ctypes.CDLL(None).syscall(ioprio_get, 1, pid)


def give(path: Path, uid: int, gid: int) -> None:
    """The whole tree to that user."""
    for folder, names, files in os.walk(path):
        for one in (folder, *(os.path.join(folder, name) for name in (*names, *files))):
            os.lchown(one, uid, gid)


def reachable(program: str) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in Path(program).resolve().parents)


def make_target(path: Path) -> Path:
    """A repository with the programs, and files that are masked."""
    files: dict[str, str | bytes] = dict.fromkeys(MASKED, "MASKED-7d2\n")
    files |= {"conf/open.txt": "x\n", "README": "hello\n", "driver.py": (FOLDER / "driver.py").read_bytes()}
    files |= {f"programs/{name}": (PROGRAMS / name).read_bytes() for name in (*NAMES, "attempt.py", "trap.py", "proxied.py")}
    files |= {".gitignore": "*.log\n"}
    return make_repository(path, files)


def facts(subject: str, base: Path, host: Host, internet: Internet, engine: str, victim_pid: int, pid: int) -> dict[str, Any]:
    """Where things of the host are, for the programs. ``pid``: a process in the host's namespaces as aienv has them."""
    return {
        "home": str(base / "user"), "state": str(base / "home"), "canaries": [str(base / "user/.ssh/id_ed25519"), str(host.public_file)],
        "public_files": [str(host.public_file), str(host.memory_file)], "hostname": os.uname().nodename, "machine_id": machine_id(),
        "victim": victim_pid, "victim_word": f"victim-{subject}", "survivor": survivor(base),
        "ipc_key": host.ipc_key, "queue": host.queue[1:],
        "sockets": [path for path in internet.unix if not path.startswith("@")], "engine": engine, "masked": MASKED,
        "abstract": next(name for name in internet.unix if name.startswith("@"))[1:], "host_port": HOST_PORT,
        "namespaces": {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("user", "mnt", "pid", "net", "ipc", "uts")},
        "host_words": ["value-of-the-host"], "turned_words": [MEMORY_CANARY[::-1], TOKEN[::-1]], "turned_token": TOKEN[::-1],
        "own_ports": [3128, 3129], "service": SERVICE, "witness": str(base / "witness"), **LIMITS,
        "address": {
            "origin": SERVED["origin.example.org"], "evil": SERVED["evil.example.net"], "private": SERVED["private.example.org"],
            "host": (HERE, HERE6), "resolver": (RESOLVER,),
        },
    }  # fmt: skip


def survivor(base: Path) -> str:
    """Seconds that no other process of this machine sleeps."""
    return f"600.{sum(map(ord, base.name)) * 7919 + os.getpid()}"


def machine_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/etc/machine-id").read_text().strip()
    return ""


def sleeping(word: str) -> list[int]:
    """Processes ``sleep WORD`` of the whole machine."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cmdline").read_bytes().split(b"\0")[:2] == [b"sleep", word.encode()]:
                    found.append(int(entry.name))
    return found


@contextlib.contextmanager
def product(subject: str, base: Path, internet: Internet, engine: Engine | None, cache: Path) -> Iterator[Aienv]:
    """aienv as the subject has it, in a repository with the programs, started on the small internet's machine."""
    place, user = subject.split("-")
    (base / "home" / "cache").mkdir(parents=True)
    tools = toolbox.ensure(cache, lambda line: None)  # takes seconds to make, and is the same for all
    if user == "root":
        (base / "home" / "cache" / "toolbox").symlink_to(cache / "toolbox")
    else:
        shutil.copytree(tools, base / "home" / "cache" / "toolbox" / tools.name, symlinks=True)
    (base / "user" / ".ssh").mkdir(parents=True)
    (base / "user" / ".ssh" / "id_ed25519").write_text(CANARY)
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(base / "user"), "AIENV_HOME": str(base / "home"), "LANG": "C.UTF-8",
        "LEAK_PROBE": "value-of-the-host", "LEAK_MEMORY": MEMORY_CANARY, "REAL_TOKEN": TOKEN, "SSH_AUTH_SOCK": internet.unix[1],
        "DOCKER_HOST": engine.address if engine else "unix:///nonexistent",
    }  # fmt: skip
    prefix: tuple[str, ...] = ()
    python = sys.executable
    if user == "user":
        packages = next(path for path in sys.path if path.endswith("site-packages"))
        python = sys.executable if reachable(sys.executable) else SYSTEM_PYTHON
        environ |= {"PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"}
        prefix = ("setpriv", f"--reuid={USER}", f"--regid={USER}", f"--groups={USER_GROUP}", "--")
        give(base, USER, USER)
    words: tuple[str, ...] = (
        "--cpus",
        str(LIMITS["cpus"]),
        "--pids",
        str(LIMITS["pids"]),
        "--disk",
        f"{LIMITS['disk'] >> 30}g",
        "--timeout",
        "5m",
    )
    words += tuple(word for rule in ALLOWED for word in ("--allow-host", rule)) + tuple(
        word for rule in DENIED for word in ("--deny-host", rule)
    )
    made = Aienv(
        base / "home",
        environ,
        ("--backend", place.removesuffix("26"), *words, *SECRETS),
        (python,),
        (*internet.prefix, *prefix),
        base / "app",
    )
    with contextlib.ExitStack() as undo:
        if engine and user == "user":
            socket = engine.address.removeprefix("unix://")
            before = os.stat(socket)
            undo.callback(os.chown, socket, before.st_uid, before.st_gid)
            os.chown(socket, 0, USER_GROUP)
        probe = made("--version")
        if probe.code != 0:
            pytest.skip(f"{python} cannot run the product as another user: {probe.errors}")
        yield made


# What stands before and behind "--", for each kind of command that may run the programs.
STRICT = "ESCAPE_STRICT=1 python3 driver.py programs"
COMMANDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "agent": ((), ("python3", "driver.py", "programs")),
    "setup": (("--setup", STRICT), ("true",)),
    "check": (("--check", STRICT), ("true",)),
}


def try_everything(
    subject: str, programs: str, host: Host, internet: Internet, engine: Engine | None, cache: Path, phase: str = "agent"
) -> Outcome:
    """One run of all programs, or of those whose names begin so; by the agent, a setup command or a check.

    Open files of the host are left open for it, as careless programs do.
    """
    base = host.folder / "-".join([subject, phase, *programs.replace("/", "-").split()])[:100]
    base.mkdir()
    (base / "witness").mkdir()
    (base / "witness").chmod(0o777)
    make_target(base / "app")
    user = USER if subject.endswith("user") else 65533 if subject.startswith("local") else 1000
    with product(subject, base, internet, engine, cache) as aienv, victim(user, base / "witness", f"victim-{subject}") as process:
        address = engine.address.removeprefix("unix://") if engine else "/nonexistent"
        words = json.dumps(facts(subject, base, host, internet, address, process.pid, internet.here))
        mark, began, share = internet.mark(), time.monotonic(), priority(process.pid)
        with open(host.public_file) as leaked, open_folder("/") as root:
            variables = ("--env", f"ESCAPE_FACTS={words}", "--env", f"ESCAPE_ONLY={programs}")
            before, command = COMMANDS[phase]
            done = run(aienv, (leaked.fileno(), root), *variables, "--artifact", "artifacts/**", *before, "--", *command)
        took = time.monotonic() - began
        lived = process.poll() is None and priority(process.pid) == share
        rows = aienv.runs()
        report = json.loads((base / "home/runs" / rows[0]["id"] / "report.json").read_text()) if rows else {}
    lines = read_lines(done.stdout)
    slowest = sorted(((line["ms"] / 1000, line["program"]) for line in lines), reverse=True)[:8]
    said = {line["program"]: line["said"] for line in lines}
    return Outcome(subject, said, done, report, internet.events(mark), base / "witness", lived, took, slowest)


@contextlib.contextmanager
def open_folder(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def run(aienv: Aienv, descriptors: Sequence[int], *words: str) -> Done:
    """``aienv run`` with open files that it did not ask for."""
    done = subprocess.run(
        aienv.command("run", *aienv.options, *words), cwd=aienv.cwd, env=dict(aienv.environ), stdin=subprocess.DEVNULL, capture_output=True,
        timeout=200, check=False, pass_fds=tuple(descriptors),
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def read_lines(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith(b'{"program"')]


@contextlib.contextmanager
def naive_proxy(internet: Internet) -> Iterator[None]:
    """A proxy that lets everything through, where aienv's would listen."""
    command = [*internet.prefix, SYSTEM_PYTHON, "-I", "-S", str(FOLDER / "naive_proxy.py"), "3128"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def try_outside(host: Host, internet: Internet) -> Mapping[str, str]:
    """The programs as root on the small internet's machine, with no sandbox but a table of mounts of their own."""
    base = host.folder / "outside"
    base.mkdir()
    (base / "witness").mkdir()
    (base / "witness").chmod(0o777)
    make_target(base / "app")
    (base / "user" / ".ssh").mkdir(parents=True)
    (base / "user" / ".ssh" / "id_ed25519").write_text(CANARY)
    (base / "home").mkdir()
    with victim(USER, base / "witness", "victim-outside") as process:
        found = facts("outside", base, host, internet, internet.unix[1], process.pid, internet.here)
        words = json.dumps({**found, "wait": 0.6})  # whoever is let through need not wait for a refusal
        environ = {
            "PATH": os.environ["PATH"], "HOME": str(base / "user"), "ESCAPE_FACTS": words, "LEAK_PROBE": "value-of-the-host",
            "SSH_AUTH_SOCK": internet.unix[1], "TMPDIR": str(base / "scratch"),
            "HTTP_PROXY": "http://127.0.0.1:3128", "ESCAPE_TOKEN": TOKEN,
        }  # fmt: skip
        (base / "scratch").mkdir()
        command = [*internet.prefix, SYSTEM_PYTHON, "driver.py", "programs", "outside"]
        with open_folder("/") as root, naive_proxy(internet):
            done = subprocess.run(
                command, cwd=base / "app", env=environ, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=(root,), timeout=200,
                check=False,
            )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {line["program"]: line["said"] for line in read_lines(done.stdout)}


__all__ = [
    "BAD_NAMES",
    "GREETINGS",
    "NAMES",
    "SUBJECTS",
    "Host",
    "Outcome",
    "alive",
    "host_things",
    "start_time",
    "try_everything",
    "try_outside",
]
