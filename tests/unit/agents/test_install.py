"""Installing from a registry of ours on loopback: real archives, a real server, real folders."""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.agents import install
from orchestrator.agents.lock import Lock, NpmPackage, dump
from orchestrator.errors import ConfigError, EnvironmentFailed
from orchestrator.images import elf
from orchestrator.images.toolbox import LOADER
from orchestrator.model.agent import Profile, Program
from tests.unit.agents.test_unpack import archive

PROGRAM = Path("/bin/true").read_bytes()


class Registry:
    """Archives by path. ``asked``: (path, Authorization) in the order they came. ``slow``: paths that send half and wait."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.files: dict[str, bytes] = {}
        self.statuses: dict[str, int] = {}
        self.slow: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []
        self.reached, self.over = threading.Event(), threading.Event()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = handler.path
        self.asked.append((path, handler.headers.get("Authorization")))
        data = self.files.get(path, b"")
        handler.send_response(self.statuses.get(path, 200 if path in self.files else 404))
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if path in self.slow:
            handler.wfile.write(data[: len(data) // 2])
            handler.wfile.flush()
            self.reached.set()
            self.over.wait(60)
            return
        handler.wfile.write(data)


@pytest.fixture
def registry() -> Iterator[Registry]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                found.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Registry(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield found
    found.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@dataclasses.dataclass
class Machine:
    """A user's side: variables, a cache, and the folder of own lock files."""

    home: Path
    registry: Registry

    @property
    def environ(self) -> dict[str, str]:
        moved = {"HOME": str(self.home), "AIENV_HOME": str(self.home / "aienv"), "PATH": os.environ["PATH"]}
        return {**moved, "npm_config_registry": self.registry.url}

    @property
    def cache(self) -> Path:
        return self.home / "aienv/cache"

    def publish(self, name: str, version: str, data: bytes) -> NpmPackage:
        self.registry.files[f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"] = data
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
        return NpmPackage(f"node_modules/{name}", name, version, integrity, len(data))

    def lock(self, name: str, lock: Lock) -> None:
        path = install.user_lock(name, self.environ)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dump(lock))

    def ensure(self, profile: Profile, variant: install.Variant = "host") -> install.Installed:
        return install.ensure(profile, self.cache, self.environ, lambda text: None, variant)

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.cache / "agents").iterdir() if path.name != "locks")


@pytest.fixture
def machine(tmp_path: Path, registry: Registry) -> Machine:
    return Machine(tmp_path, registry)


TOOL = Profile("tool", "A tool", Program("npm", "tool", "1.0.0", "node_modules/tool/bin/tool"), headless=("{prompt}",))


def tool(machine: Machine, version: str = "1.0.0", **dependencies: bytes) -> Lock:
    """A package with a real program and a script, perhaps with others; locked and published."""
    data = archive(("package/bin/tool", PROGRAM, {"mode": 0o644}), ("package/install.sh", b"touch /tmp/never", {"mode": 0o755}))
    packages = [machine.publish("tool", version, data), *(machine.publish(name, "1.0.0", made) for name, made in dependencies.items())]
    lock = Lock("npm", "tool", version, npm=tuple(packages))
    machine.lock("tool", lock)
    return lock


def test_install(machine: Machine) -> None:
    """A folder that nobody writes to, with a program that runs; the second time nobody is asked."""
    lock = tool(machine, dep=archive(("package/index.js", b"x", {})))
    made = machine.ensure(TOOL)
    assert made.folder.name == f"tool-1.0.0-{lock.digest[:12]}"
    assert made.entry == ("/opt/aienv-agents/tool/node_modules/tool/bin/tool",)
    assert made.mounts == ((str(made.folder), "/opt/aienv-agents/tool"),)
    assert (made.version, made.digest) == ("1.0.0", f"sha256:{lock.digest}")
    files = [path for path in made.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert all(not path.stat().st_mode & 0o222 for path in files)
    subprocess.run([made.folder / "bin/tool"], check=True)
    assert (made.folder / "node_modules/dep/index.js").read_bytes() == b"x"
    machine.registry.files.clear()
    assert machine.ensure(TOOL) == made == install.installed(TOOL, machine.cache, machine.environ)
    assert len(machine.registry.asked) == 2


def test_nothing_installed(machine: Machine) -> None:
    assert install.installed(TOOL, machine.cache, machine.environ) is None
    tool(machine)
    assert install.installed(TOOL, machine.cache, machine.environ) is None
    assert machine.registry.asked == []


def test_container(machine: Machine) -> None:
    """The program names the toolbox's loader; the rest are the very files of the other folder; it is found again."""
    tool(machine)
    plain, moved = machine.ensure(TOOL), machine.ensure(TOOL, "container")
    assert moved.folder.name == plain.folder.name + "-container"
    assert moved.entry == plain.entry
    program = elf.parse((moved.folder / "node_modules/tool/bin/tool").read_bytes())
    assert program.interpreter is not None
    assert program.interpreter[2] == LOADER
    assert stat.S_IMODE((moved.folder / "node_modules/tool/bin/tool").stat().st_mode) == 0o555
    assert (plain.folder / "node_modules/tool/bin/tool").read_bytes() == PROGRAM
    assert (moved.folder / "node_modules/tool/install.sh").samefile(plain.folder / "node_modules/tool/install.sh")
    assert machine.ensure(TOOL, "container") == moved


def test_container_of_a_static_program(machine: Machine) -> None:
    """What names no loader is the same folder."""
    data = archive(("package/bin/tool", b"#!/bin/sh\n", {}))
    machine.lock("tool", Lock("npm", "tool", "1.0.0", npm=(machine.publish("tool", "1.0.0", data),)))
    assert machine.ensure(TOOL, "container") == machine.ensure(TOOL)


def test_node(machine: Machine) -> None:
    """node is one more folder, shared by all that need it, and runs the entry."""
    profile = dataclasses.replace(TOOL, program=dataclasses.replace(TOOL.program, runtime="node"))
    tool(machine)
    name = install.lock_name(install.NODE.program)
    package = machine.publish(name, "22.0.0", archive(("package/bin/node", PROGRAM, {"mode": 0o755})))
    machine.lock("node", Lock("npm", name, "22.0.0", npm=(package,)))
    made = machine.ensure(profile)
    assert made.entry == ("/opt/aienv-agents/node/bin/node", "/opt/aienv-agents/tool/node_modules/tool/bin/tool")
    assert [inside for _, inside in made.mounts] == ["/opt/aienv-agents/tool", "/opt/aienv-agents/node"]
    assert (made.folder / "bin/tool").read_text().startswith("#!/bin/sh\nexec /opt/aienv-agents/node/bin/node ")
    assert os.readlink(Path(made.mounts[1][0], "bin/node")).endswith("bin/node")
    assert made.digest not in (machine.ensure(TOOL).digest, machine.ensure(install.NODE).digest)


def test_image() -> None:
    """A program of the environment: nothing is installed or mounted."""
    profile = Profile("mine", "Mine", Program("image", "", "", "my-agent"), headless=())
    made = install.ensure(profile, Path("/nonexistent"), {}, lambda text: None, "container")
    assert (made.entry, made.mounts, made.version, made.digest) == (("my-agent",), (), "", "")


@pytest.mark.parametrize(
    ("change", "because"),
    [
        pytest.param({"integrity": "sha512-" + "A" * 86 + "=="}, "digests differ", id="another-digest"),
        pytest.param({"size_bytes": 10}, "more than the 10 bytes", id="larger"),
        pytest.param({"size_bytes": 1 << 20}, "digests differ", id="smaller"),
        pytest.param({"version": "9.9.9"}, "it does not have it", id="no-such-version"),
    ],
)
def test_wrong_package(machine: Machine, change: dict[str, str], because: str) -> None:
    """What is not exactly the locked package is not installed, and leaves nothing."""
    lock = tool(machine)
    machine.lock("tool", dataclasses.replace(lock, npm=(dataclasses.replace(lock.npm[0], **change),)))  # type: ignore[arg-type]
    with pytest.raises(EnvironmentFailed, match=because) as caught:
        machine.ensure(TOOL)
    assert caught.value.remedy
    assert machine.names() == []
    tool(machine)
    assert machine.ensure(TOOL).folder.is_dir()


@pytest.mark.parametrize(("status", "because"), [(401, "who you are"), (403, "may not"), (418, "status 418")])
def test_refused_by_the_registry(machine: Machine, status: int, because: str) -> None:
    tool(machine)
    machine.registry.statuses["/tool/-/tool-1.0.0.tgz"] = status
    with pytest.raises(EnvironmentFailed, match=because):
        machine.ensure(TOOL)


def test_no_registry(machine: Machine, registry: Registry) -> None:
    """Nobody listens: one message with the way out, after a few tries."""
    tool(machine)
    registry.url = "http://127.0.0.1:1"
    with pytest.raises(EnvironmentFailed, match=r"tool 1\.0\.0 cannot be fetched") as caught:
        machine.ensure(TOOL)
    assert "npm config get registry" in str(caught.value.remedy)


def test_credentials_and_scopes(machine: Machine) -> None:
    """The user's ``.npmrc`` says from where, and with which token; a project's does not count."""
    package = machine.publish("@corp/tool", "1.0.0", archive(("package/bin/tool", PROGRAM, {})))
    address = machine.registry.url.removeprefix("http:")
    (machine.home / ".npmrc").write_text(f"@corp:registry={machine.registry.url}\n{address}/:_authToken=${{TOKEN}}\n")
    machine.lock("tool", Lock("npm", "@corp/tool", "1.0.0", npm=(package,)))
    profile = dataclasses.replace(TOOL, program=Program("npm", "@corp/tool", "1.0.0", "node_modules/@corp/tool/bin/tool"))
    environ = {**machine.environ, "npm_config_registry": "http://127.0.0.1:1", "TOKEN": "T0"}
    install.ensure(profile, machine.cache, environ, lambda text: None, "host")
    assert machine.registry.asked == [("/@corp/tool/-/tool-1.0.0.tgz", "Bearer T0")]


def test_hostile_archive(machine: Machine) -> None:
    """Although its digest is the locked one."""
    package = machine.publish("tool", "1.0.0", archive(("package/../../../x", b"1", {})))
    machine.lock("tool", Lock("npm", "tool", "1.0.0", npm=(package,)))
    with pytest.raises(EnvironmentFailed, match="leads out"):
        machine.ensure(TOOL)
    assert machine.names() == []


def test_no_entry(machine: Machine) -> None:
    tool(machine)
    profile = dataclasses.replace(TOOL, program=dataclasses.replace(TOOL.program, entry="node_modules/tool/tool.js"))
    with pytest.raises(EnvironmentFailed, match=r"holds no node_modules/tool/tool\.js"):
        machine.ensure(profile)


def test_no_lock(machine: Machine) -> None:
    """A profile without a lock file, and one with that of another package."""
    with pytest.raises(ConfigError, match="has no lock file"):
        machine.ensure(dataclasses.replace(TOOL, name="unheard-of"))
    tool(machine)
    with pytest.raises(ConfigError, match="is for tool"):
        machine.ensure(dataclasses.replace(TOOL, program=dataclasses.replace(TOOL.program, package="other")))


KILLED = """
import sys
from pathlib import Path
from orchestrator.agents import install
from tests.unit.agents.test_install import TOOL
install.ensure(TOOL, Path(sys.argv[1]), dict(pair.split("=", 1) for pair in sys.argv[2:]), print, "host")
"""


def test_killed(machine: Machine) -> None:
    """A process that dies half-way leaves nothing that is taken for whole; the next one installs, and clears away."""
    tool(machine)
    path = "/tool/-/tool-1.0.0.tgz"
    machine.registry.slow.add(path)
    words = [f"{name}={value}" for name, value in machine.environ.items()]
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(machine.cache), *words], cwd=Path(__file__).parents[3])
    assert machine.registry.reached.wait(60)
    assert [name[:10] for name in machine.names()] == ["new-tool-1"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert install.installed(TOOL, machine.cache, machine.environ) is None
    machine.registry.slow.clear()
    made = machine.ensure(TOOL)
    assert machine.names() == [made.folder.name]
    subprocess.run([made.folder / "bin/tool"], check=True)


def test_at_the_same_time(machine: Machine) -> None:
    """Of several that want the same, one fetches."""
    tool(machine)
    found: list[install.Installed] = []
    threads = [threading.Thread(target=lambda: found.append(machine.ensure(TOOL))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(machine.registry.asked) == 1


def test_damaged(machine: Machine) -> None:
    """Somebody removed a part: it is made anew."""
    tool(machine)
    made = machine.ensure(TOOL)
    (made.folder / "about.json").unlink()
    shutil.rmtree(made.folder / "node_modules")
    machine.ensure(TOOL)
    assert machine.names() == [made.folder.name]
    subprocess.run([made.folder / "bin/tool"], check=True)


def aged(folder: Path) -> None:
    old = folder.stat().st_mtime - 30 * 86400
    os.utime(folder, (old, old))


def test_old_versions_go(machine: Machine) -> None:
    """When another version is installed, what no run has used for two weeks; and on request all."""
    tool(machine)
    first = machine.ensure(TOOL)
    tool(machine, "1.1.0")
    second = machine.ensure(TOOL)
    assert machine.names() == sorted([first.folder.name, second.folder.name])
    aged(first.folder)
    tool(machine, "1.2.0")
    third = machine.ensure(TOOL)
    assert machine.names() == sorted([second.folder.name, third.folder.name])
    assert install.remove("tool", machine.cache, keep=frozenset([third.folder.name])) == (second.folder.name,)
    assert install.remove("other", machine.cache) == ()
    assert install.remove("tool", machine.cache) == (third.folder.name,)


def test_sweep(machine: Machine) -> None:
    """By age; what is being made stays, and what is not ours."""
    tool(machine)
    made = machine.ensure(TOOL)
    (machine.cache / "agents/new-tool-1.0.0-abc").mkdir()
    (machine.cache / "agents/somebody").mkdir()
    assert install.sweep(machine.cache, 86400.0) == ()
    aged(made.folder)
    machine.ensure(TOOL)  # used again
    assert install.sweep(machine.cache, 86400.0) == ()
    aged(made.folder)
    assert install.sweep(machine.cache, 86400.0) == (made.folder.name,)
    assert machine.names() == ["new-tool-1.0.0-abc", "somebody"]
    assert install.sweep(machine.cache / "nowhere", 0.0) == ()
