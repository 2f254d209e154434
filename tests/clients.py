"""Real clients and images of real servers for tests of the guard, made without a registry and kept in the tests' cache.

Clients: the docker commands of Debian 12 (20.10) and 13 (26.1 with compose 2.26 and buildx), docker-compose 1.29, testcontainers-python,
the reference dev container CLI. Images: one Debian tree with PostgreSQL, Redis and Python, under the names that applications use.
"""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests import engine as engines
from tests.engine import CannotHave, Engine, built_once, run
from tests.guardian import Guardian

APPS = Path(__file__).with_name("guard_apps")
DEADLINE_S = 120.0

# --- commands ------------------------------------------------------------------------------------------------------------------

NEW_CLIENTS = "docker-cli,docker-compose,docker-buildx"
TESTCONTAINERS = ("testcontainers==4.15.0", "docker==7.2.0")
DEV_CONTAINERS = "@devcontainers/cli@0.89.0"


def docker_cli(version: str) -> Path:
    """The docker command of Debian's release that carries engine ``version``."""
    if version == "26.1":
        return new_clients() / "usr/bin/docker"
    path = Path("/usr/bin/docker")
    if not path.exists() or " 20.10" not in run([str(path), "--version"]).stdout:
        raise CannotHave("Debian 12's docker command is not installed: apt-get install docker.io")
    return path


def new_clients() -> Path:
    """A folder with Debian 13's clients; its programs need no newer libc than Debian 12's."""
    with built_once("clients-trixie", _extract_new_clients) as tree:
        return tree


def _extract_new_clients(target: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise CannotHave("mmdebstrap is not installed: apt-get install mmdebstrap")
    apt = ("--aptopt=APT::Install-Recommends false", *engines.MIRROR_OPTIONS)
    run(["mmdebstrap", "--variant=extract", *apt, f"--include={NEW_CLIENTS}", "--format=directory", "trixie", str(target)])
    target.chmod(0o755)


def plugins(home: Path) -> dict[str, str]:
    """A configuration folder in ``home`` with which ``docker compose`` and ``docker buildx`` are Debian 13's."""
    folder = home / ".docker" / "cli-plugins"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("docker-compose", "docker-buildx"):
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(new_clients() / "usr/libexec/docker/cli-plugins" / name)
    return {"DOCKER_CONFIG": str(folder.parent), "HOME": str(home)}


def compose_one() -> str:
    """docker-compose 1.29, in Python."""
    found = shutil.which("docker-compose")
    if found is None:
        raise CannotHave("docker-compose 1.29 is not installed: apt-get install docker-compose")
    return found


def testcontainers() -> Path:
    """A folder for PYTHONPATH that has testcontainers-python."""

    def build(target: Path) -> None:
        run([sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--target", str(target), *TESTCONTAINERS])

    with built_once("testcontainers-4.15.0", build) as folder:
        return folder


def dev_container_cli() -> Path:
    """The reference dev container CLI."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise CannotHave("npm and node are not installed: apt-get install npm")

    def build(target: Path) -> None:
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(target), DEV_CONTAINERS])

    with built_once("devcontainers-cli-0.89.0", build) as folder:
        return folder / "node_modules/.bin/devcontainer"


# --- images --------------------------------------------------------------------------------------------------------------------

SERVER_PACKAGES = "postgresql-15,redis-server,python3,procps,iproute2"
# The just-in-time compiler of PostgreSQL is most of the tree and is loaded for large queries only.
LEFT_OUT = ("/usr/lib/*/libLLVM*", "/usr/lib/postgresql/*/lib/bitcode/*", "/usr/lib/postgresql/*/lib/llvmjit*", "/usr/share/i18n/*")
POSTGRES_BIN = "/usr/lib/postgresql/15/bin"
SERVERS: Mapping[str, str] = {
    "postgres:15": 'COPY postgres /opt/\nENTRYPOINT ["/opt/postgres"]\nEXPOSE 5432\nSTOPSIGNAL SIGINT\nVOLUME /var/lib/postgresql/data',
    "redis:7": 'CMD ["redis-server", "--protected-mode", "no", "--save", ""]\nEXPOSE 6379\nWORKDIR /data',
    "python:3.11": 'CMD ["python3"]\nENV PYTHONUNBUFFERED=1',
    "testcontainers/ryuk:0.8.1": 'COPY ryuk /opt/\nCMD ["/opt/ryuk"]\nEXPOSE 8080\nENV PYTHONUNBUFFERED=1',
}
TREE = "aienv-test/servers:latest"


def _servers_tree(target: Path) -> None:
    archive = target.with_suffix(".tar")
    quiet = 'mkdir -p "$1/etc/postgresql-common"; echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"'
    run([
        "mmdebstrap", "--variant=minbase", *engines.MIRROR_OPTIONS, *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
        "--aptopt=APT::Install-Recommends false", f"--essential-hook={quiet}", f"--include={SERVER_PACKAGES}",
        "--format=tar", "bookworm", str(archive),
    ])  # fmt: skip
    archive.rename(target)


def servers(engine: Engine) -> tuple[str, ...]:
    """Have PostgreSQL, Redis, Python and the reaper under the names of ``SERVERS``; returns those."""
    with contextlib.closing(engine.client(timeout=300)) as client:
        if not client.images(TREE):
            with built_once("servers-bookworm-1.tar", _servers_tree) as archive:
                engines.import_image(engine, TREE, archive, [f"ENV PATH={POSTGRES_BIN}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
        for name, lines in SERVERS.items():
            if not client.images(name):
                list(client.build(fileobj=_context(f"FROM {TREE}\n{lines}\n"), custom_context=True, tag=name, rm=True, decode=True))
    return tuple(SERVERS)


def _context(dockerfile: str) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        programs = {path.name: path.read_bytes() for path in (APPS / "images").iterdir()}
        for name, content in {"Dockerfile": dockerfile.encode(), **programs}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    stream.seek(0)
    return stream


# --- running them --------------------------------------------------------------------------------------------------------------


def client(
    guard: Guardian,
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    code: int | None = 0,
    stdin: str | bytes | None = None,
    **environ: str,
) -> str:
    """Run a client before the guard; its standard output. ``code``: with which it must end; None: any."""
    done = subprocess.run(
        [*guard.prefix, *map(str, argv)], env=guard.environ(**environ), cwd=cwd, capture_output=True, timeout=DEADLINE_S, check=False,
        input=stdin.encode() if isinstance(stdin, str) else stdin, **({} if stdin is not None else {"stdin": subprocess.DEVNULL}),
    )  # fmt: skip
    output, errors = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    if code is not None and done.returncode != code:
        words = " ".join(map(str, argv))
        pytest.fail(f"{words} ended with {done.returncode}, not {code}:\n{output[-2000:]}{errors[-3000:]}", pytrace=False)
    return output + ("" if code == 0 else errors)


def fetch(guard: Guardian, port: int | str, path: str = "/") -> str:
    """The body of an HTTP answer from a published port of 127.0.0.1."""
    # A published port answers before its program does.
    again = ("--retry", "40", "--retry-all-errors", "--retry-delay", "1", "--retry-max-time", "60")
    return client(guard, ["curl", "-fsS", "--max-time", "20", *again, f"http://127.0.0.1:{port}{path}"])


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A project folder that the engines see, and that any user may enter."""
    with tempfile.TemporaryDirectory(prefix="aienv-project-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def require(make: object) -> object:
    """What ``make`` returns; the test is skipped where the machine cannot have it."""
    assert callable(make)
    try:
        return make()
    except (CannotHave, subprocess.TimeoutExpired) as problem:
        pytest.skip(str(problem))
