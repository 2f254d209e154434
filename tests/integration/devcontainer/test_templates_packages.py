"""Our templates built from Debian's packages, and their test.sh run inside: the Dockerfile's lines in a tree of Debian, without an engine.

Slow, and needs root, mmdebstrap and the network: the test engines have no way out, so a build with apt cannot run in them.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.devcontainer.templates import content
from orchestrator.devcontainer.templates.sources import TEST, own
from tests import engine as engines
from tests.engine import CannotHave, built_once

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3] / "devcontainer-templates"
STEP_S = 1200.0
TEMPLATES = {template.about.id: template for template in own()}

# Beside the defaults: each option with another value.
OTHERS = [
    ("python", {"baseImage": "debian:trixie", "buildTools": "false"}),
    ("node", {"version": "22"}),
    ("node", {"baseImage": "debian:bookworm"}),
    ("go", {"baseImage": "debian:bookworm", "cgo": "false"}),
    ("rust", {"baseImage": "debian:bookworm", "lints": "false"}),
    ("java", {"baseImage": "debian:trixie", "jdk": "25", "buildTool": "ant"}),
    ("cpp", {"baseImage": "debian:trixie", "clang": "true"}),
    ("polyglot", {"baseImage": "debian:bookworm", "node": "false", "java": "false"}),
    ("compose-postgres", {"baseImage": "debian:trixie", "database": "postgres_dev"}),
]
CASES = [*((name, {}) for name in TEMPLATES), *OTHERS]


@dataclass
class Tree:
    """A root file system, and what the Dockerfile said of who runs in it."""

    path: Path
    user: str = "root"
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
    build: dict[str, str] = field(default_factory=dict)

    def command(self, script: str, user: str) -> list[str]:
        """As ``user``, in processes of its own; its home is what the tree's passwd says."""
        lines = (self.path / "etc/passwd").read_text().splitlines()
        home = next(line.split(":")[5] for line in lines if line.startswith(f"{user}:"))
        words = [f"{name}={value}" for name, value in {**self.environ, "HOME": home}.items()]
        inner = shlex.join(["chroot", f"--userspec={user}:", str(self.path), "env", "-i", *words, "sh", "-c", script])
        mounts = f"mount -t proc proc {self.path}/proc && mount --bind /dev {self.path}/dev"
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", f"{mounts} && exec {inner}"]

    def run(self, script: str, user: str, more: Mapping[str, str] | None = None) -> str:
        """``more``: variables of this command alone."""
        argv = Tree(self.path, environ={**self.environ, **(more or {})}).command(script, user)
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=STEP_S, check=False
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout[-4000:]}"
        return done.stdout


def base(suite: str) -> Path:
    if os.getuid() != 0 or shutil.which("mmdebstrap") is None:
        raise CannotHave("building trees needs root and mmdebstrap")

    def build(target: Path) -> None:
        engines.debian_tree(target.with_suffix(".tar"), suite, "minbase")
        target.with_suffix(".tar").rename(target)

    with built_once(f"minbase-{suite}.tar", build) as path:
        return path


def built(dockerfile: str, context: Path, target: Path) -> Tree:
    """Each instruction that our templates use, as an engine would do it."""
    tree = Tree(target)
    text = re.sub(r"\\\n", "", "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#")))
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        name, _, value = rest.partition("=")
        if word == "FROM":
            target.mkdir()
            engines.run(["tar", "-xf", str(base(rest.partition(":")[2].removesuffix("-slim"))), "-C", str(target)])
            shutil.copy("/etc/resolv.conf", target / "etc/resolv.conf")
            (target / "etc/dpkg/dpkg.cfg.d/fast").write_text("force-unsafe-io\n")
            if authorities := os.environ.get("NODE_EXTRA_CA_CERTS"):  # this machine's registry may have one of its own
                shutil.copy(authorities, target / "opt/authorities.pem")
                tree.build["NODE_EXTRA_CA_CERTS"] = "/opt/authorities.pem"
        elif word == "ARG":
            tree.build[name] = value
        elif word == "ENV":
            tree.environ[name] = re.sub(r"\$(\w+)", lambda found: tree.environ[found[1]], value)
        elif word == "RUN":
            tree.run(rest, tree.user, tree.build)
        elif word == "COPY":
            source, place = rest.split()
            shutil.copy(context / source, target / place.removeprefix("/"))
        elif word == "USER":
            tree.user = rest
        else:
            assert word in ("STOPSIGNAL", "CMD"), line
    return tree


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """Trees are large: gone at once, not with the third session after this one."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "options"), [pytest.param(*case, id="-".join([case[0], *case[1].values()])) for case in CASES])
def test_builds_and_works(name: str, options: Mapping[str, str], room: Path) -> None:
    template = TEMPLATES[name]
    values = content.choose(template.about.options, options, name)
    files = content.written(template.files, values)
    context = room / "context"
    context.mkdir()
    for path, file in files.items():
        (context / Path(path).name).write_bytes(file.data)
    script = content.replaced((ROOT / name / TEST).read_bytes(), values)
    try:
        tree = built((context / "Dockerfile").read_text(), context, room / "tree")
    except CannotHave as problem:
        pytest.skip(str(problem))
    (tree.path / "opt/test.sh").write_bytes(script)
    if name == "compose-postgres":
        answer = with_database(tree, built((context / "Dockerfile.db").read_text(), context, room / "db"), values["database"])
    else:
        answer = tree.run("sh /opt/test.sh", tree.user)
    print(answer)
    assert answer.count("\nok ") + answer.startswith("ok ") >= 5
    assert "FAIL" not in answer
    assert tree.user == "dev"


def with_database(app: Tree, db: Tree, database: str) -> str:
    """Both in one network of their own, where the name ``db`` leads to this machine."""
    (app.path / "etc/hosts").write_text("127.0.0.1 localhost db\n")
    (db.path / "etc/hosts").write_text("127.0.0.1 localhost\n")
    app.environ["DATABASE_URL"] = f"postgresql://dev:dev@db:5432/{database}"
    db.environ |= {"POSTGRES_USER": "dev", "POSTGRES_PASSWORD": "dev", "POSTGRES_DB": database}
    serve = shlex.join(db.command("exec sh /usr/local/bin/db-start.sh", db.user))
    healthy = shlex.join(db.command(f"pg_isready -q --host=localhost --username=dev --dbname={database}", db.user))
    test = shlex.join(app.command("sh /opt/test.sh", app.user))
    wait = f"for i in $(seq 60); do if {healthy}; then break; fi; sleep 0.5; done"
    both = f"ip link set lo up; {serve} >{db.path}/log 2>&1 & {wait}; {test}; code=$?; kill %1 2>/dev/null; exit $code"
    argv = ["unshare", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", both]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=STEP_S, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + (db.path / "log").read_text()
    return done.stdout
