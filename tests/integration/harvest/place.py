"""A place for harvest tests: a mirror, a clone that borrows from it, an agent and the harvest program, each under bubblewrap.

The argv here is smaller than the product's sandbox on purpose: these tests are about what is brought out.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from orchestrator import trees
from orchestrator.harvest.check import Manifest
from orchestrator.harvest.deliver import deliver
from orchestrator.harvest.receive import read_manifest, receive
from orchestrator.harvest.request import PROGRAM, HarvestLimits, HarvestRequest, config_bytes, harvest_command
from orchestrator.model.record import Delivery, Harvest

AGENT_UID = 65533
RUN_ID = "r1a2b3"
TIME = 1_700_000_000
OBJECTS = "/run/aienv/objects/m"
OUTBOX = "/run/aienv/outbox"
PYTHON = "/usr/bin/python3"
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/sbin", "/etc/alternatives", "/etc/ld.so.cache")
GIT_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@x",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@x",
    "LC_ALL": "C.UTF-8",
}


def sh(script: str, cwd: Path, **env: str) -> str:
    """Run a shell script of the test's own, on the host."""
    done = subprocess.run(["bash", "-euc", script], cwd=cwd, env=GIT_ENV | env, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="surrogateescape").strip()


def bwrap_missing() -> str | None:
    if shutil.which("bwrap") is None or not Path(PYTHON).exists():
        return "bwrap and /usr/bin/python3 are needed: apt install bubblewrap python3"
    return None


@dataclass
class Place:
    """``root`` holds user/ (the user's repository), mirror.git, work/ (the clone), outbox/, run/ and quarantine.git."""

    root: Path
    base: str | None = None
    known_refs: tuple[tuple[str, str], ...] = ()
    masked: tuple[str, ...] = ()
    masked_inodes: tuple[int, ...] = ()
    artifacts: tuple[str, ...] = ()
    shallow: tuple[str, ...] = ()
    lfs: bool = False
    limits: HarvestLimits = field(default_factory=HarvestLimits)
    objects: bool = True

    @property
    def user(self) -> Path:
        return self.root / "user"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def mirror(self) -> Path:
        return self.root / "mirror.git"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox"

    @property
    def run_dir(self) -> Path:
        return self.root / "run"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine.git"

    def start(
        self, script: str = "echo one > a.txt; mkdir -p src; echo two > src/b.txt; git add .; git commit -qm base", form: str = "sha1"
    ) -> "Place":
        """The user's repository by ``script`` (run after ``git init``), the mirror, and the agent's clone."""
        self.user.mkdir()
        sh(f"git init -q -b main --object-format={form} .; git config user.name u; git config user.email u@x; {script}", self.user)
        sh("git clone -q --mirror user mirror.git", self.root)
        head = subprocess.run(
            ["git", "rev-parse", "-q", "--verify", "HEAD"], cwd=self.user, env=GIT_ENV, capture_output=True, text=True, check=False
        )
        self.base = head.stdout.strip() or None
        self.clone(form)
        return self

    def clone(self, form: str = "sha1") -> None:
        sh(
            f"git init -q -b main --template= --object-format={form} work; mkdir -p work/.git/objects/info work/.git/info work/.git/hooks",
            self.root,
        )
        (self.work / ".git/objects/info/alternates").write_text(OBJECTS + "\n")
        env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.mirror / "objects")}
        if self.base:
            refs = sh("git for-each-ref '--format=%(refname) %(objectname)'", self.mirror).splitlines()
            self.known_refs = tuple((name, oid) for name, oid in (line.split(" ") for line in refs))
            (self.work / ".git/packed-refs").write_text("".join(f"{oid} {name}\n" for name, oid in self.known_refs))
            sh("git reset -q --hard", self.work, **env)
        sh(f"chown -R {AGENT_UID}:{AGENT_UID} work", self.root)

    def _bwrap(self, *more: str) -> list[str]:
        system = [word for path in SYSTEM for word in ("--ro-bind-try", path, path)]
        mirror = ["--ro-bind", str(self.mirror / "objects"), OBJECTS] if self.objects else []
        return [
            "bwrap",
            "--unshare-all",
            "--die-with-parent",
            "--cap-drop",
            "ALL",
            *system,
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
            *mirror,
            *more,
        ]

    def _run(self, argv: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            argv, env={}, user=AGENT_UID, group=AGENT_UID, extra_groups=[], capture_output=True, timeout=timeout_s, check=False
        )

    def agent(self, script: str, **env: str) -> str:
        """What the agent does: a shell script in the workspace."""
        settings = [word for name, value in (GIT_ENV | env).items() for word in ("--setenv", name, value)]
        argv = self._bwrap(
            "--bind", str(self.work), "/workspaces/app", "--chdir", "/workspaces/app", *settings, "--", "bash", "-euc", script
        )
        done = self._run(argv, 120)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode(errors="surrogateescape").strip()

    def request(self) -> HarvestRequest:
        return HarvestRequest(
            workspace="/workspaces/app",
            outbox=OUTBOX,
            base=self.base,
            objects=(OBJECTS,) if self.objects else (),
            run_id=RUN_ID,
            task="fix it",
            time=TIME,
            masked=self.masked,
            masked_inodes=self.masked_inodes,
            artifacts=self.artifacts,
            known_refs=self.known_refs,
            shallow=self.shallow,
            lfs=self.lfs,
            limits=self.limits,
            deadline_s=60.0,
        )

    def inside(self, request: HarvestRequest | None = None) -> float:
        """Run the harvest program; seconds that it took."""
        shutil.rmtree(self.outbox, ignore_errors=True)
        self.outbox.mkdir()
        os.chown(self.outbox, AGENT_UID, AGENT_UID)
        (self.root / "config.json").write_bytes(config_bytes(request or self.request()))
        shutil.copytree(PROGRAM, self.root / "harvest", dirs_exist_ok=True)
        argv = self._bwrap(
            "--ro-bind",
            str(self.work),
            "/workspaces/app",
            "--bind",
            str(self.outbox),
            OUTBOX,
            "--ro-bind",
            str(self.root / "harvest"),
            "/run/aienv/harvest",
            "--ro-bind",
            str(self.root / "config.json"),
            "/run/aienv/config.json",
            "--setenv",
            "PATH",
            "/usr/bin:/bin",
            "--",
            *harvest_command(PYTHON, "/run/aienv/harvest", "/run/aienv/config.json"),
        )
        started = time.monotonic()
        done = self._run(argv, 120)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        assert not done.stderr, done.stderr.decode(errors="replace")
        return time.monotonic() - started

    def manifest(self) -> Manifest:
        return read_manifest(self.outbox)

    def receive(self) -> Harvest:
        """The host's part."""
        objects = (self.mirror / "objects",) if self.objects else ()
        return receive(
            self.outbox,
            self.run_dir,
            self.quarantine,
            run_id=RUN_ID,
            base=self.base,
            objects=objects,
            known_refs=self.known_refs,
            shallow=self.shallow,
            limits=self.limits,
        )

    def harvest(self) -> Harvest:
        """Both parts."""
        self.inside()
        return self.receive()

    def deliver(self, harvest: Harvest, branch: str = "aienv/fix-r1") -> Delivery:
        return deliver(harvest, self.run_dir, self.quarantine, self.user, RUN_ID, branch)

    def git(self, *args: str) -> str:
        """Git in the quarantine."""
        done = subprocess.run(
            ["git", *args], cwd=self.quarantine, env=GIT_ENV | {"GIT_DIR": str(self.quarantine)}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout.decode(errors="surrogateescape").removesuffix("\n")

    def files(self, ref: str) -> dict[str, str]:
        """path -> mode of one harvested ref."""
        listing = self.git("ls-tree", "-r", "-z", f"refs/aienv-out/{ref}")
        return {line.split("\t", 1)[1]: line.split(" ", 1)[0] for line in listing.split("\0") if line}

    def text(self, ref: str, path: str) -> str:
        return self.git("cat-file", "blob", f"refs/aienv-out/{ref}:{path}")

    def holds(self, contents: str) -> bool:
        """Whether a blob with these contents can be reached from a harvested ref."""
        kind = "sha256" if self.base and len(self.base) == 64 else "sha1"
        import hashlib

        data = contents.encode("utf-8", "surrogateescape")
        oid = hashlib.new(kind, b"blob %d\0" % len(data) + data).hexdigest()
        return oid in self.git("rev-list", "--objects", "--no-object-names", "--glob=refs/aienv-out/*").split()


@contextmanager
def new_place(**settings: object) -> Iterator[Place]:
    """A place of its own that every uid can reach, removed at the end."""
    problem = bwrap_missing()
    if problem:
        pytest.skip(problem)
    root = Path(tempfile.mkdtemp(prefix="harvest-test-"))
    root.chmod(0o755)
    try:
        yield replace(Place(root), **settings)  # type: ignore[arg-type]
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", str(root)], check=False, capture_output=True)
        with suppress(OSError):
            trees.remove(root)


def names(harvest: Harvest) -> set[str]:
    return {ref.name for ref in harvest.refs}


def changed(harvest: Harvest) -> dict[str, str]:
    return {file.path: file.status for file in harvest.changed_files}


def raw_manifest(place: Place) -> dict[str, object]:
    loaded: dict[str, object] = json.loads((place.outbox / "manifest.json").read_bytes())
    return loaded
