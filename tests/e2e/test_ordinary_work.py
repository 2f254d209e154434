"""What agents do all day must keep working inside."""

# ruff: noqa: E501 - a row of a table stays one line

import io
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.e2e.conftest import QUICK_ON_DOCKER
from tests.e2e.product import Aienv, commit, git, make_repository


def wheel() -> bytes:
    """A small wheel, made by hand: nothing has to be fetched."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("tiny.py", "answer = 42\n")
        archive.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(
            "tiny-1.0.dist-info/RECORD",
            "tiny.py,,\ntiny-1.0.dist-info/METADATA,,\ntiny-1.0.dist-info/WHEEL,,\ntiny-1.0.dist-info/RECORD,,\n",
        )
    return data.getvalue()


FILES: dict[str, str | bytes] = {
    "Makefile": "all: prog\n\t./prog\nprog: prog.c\n\t$(CC) -O1 -pthread -o $@ $<\n",
    "prog.c": '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n',
    "test_it.py": "import unittest\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.assertEqual(1, 1)\n",
    "local/package.json": '{"name": "local", "version": "1.0.0", "main": "index.js"}',
    "local/index.js": "module.exports = 42;\n",
    "package.json": '{"name": "app", "version": "1.0.0", "dependencies": {"local": "file:./local"}}',
    "tiny-1.0-py3-none-any.whl": wheel(),
    "README": "hello\n",
}

# Each is a shell script that must end with 0; what it needs besides a shell is named for the skip inside.
WORK = {
    "git": "git status; echo a > a; git add a; git commit -qm a; git checkout -qb side; echo b > b; git add b; git commit -qm b; echo c >> README;"
    " git stash; git stash pop; git commit -qam c; git checkout -q -; echo d > d; git add d; git commit -qm d; git rebase -q side; git log --oneline;"
    " git worktree add -q /tmp/tree side~1; git -C /tmp/tree log -1; git tag v1; git gc -q; git fsck; git describe --tags; git diff HEAD~1 --stat",
    "git-clone": "git clone -q . /tmp/clone; cd /tmp/clone; echo x > x; git add x; git commit -qm x; git push -q origin HEAD:refs/heads/pushed",
    "venv": "python3 -m venv --system-site-packages /tmp/venv || python3 -m venv /tmp/venv; /tmp/venv/bin/python -m pip install -q --no-index ./*.whl;"
    ' test "$(/tmp/venv/bin/python -c "import tiny; print(tiny.answer)")" = 42',
    "unittest": "python3 -m unittest -q test_it",
    "make": "make -j2; make clean 2>/dev/null || true",
    "threads": 'python3 -c "import threading; t = [threading.Thread(target=lambda: None) for _ in range(20)]; [x.start() for x in t]; [x.join() for x in t]"',
    "multiprocessing": 'python3 -c "import multiprocessing as m; p = m.Pool(3); assert p.map(abs, [-1, -2]) == [1, 2]; q = m.Queue(); q.put(1); assert q.get() == 1; l = m.Lock(); l.acquire()"',
    "shared-memory": "python3 -c \"from multiprocessing import shared_memory as s; m = s.SharedMemory(create=True, size=1 << 20); m.close(); m.unlink()\"; echo x > /dev/shm/x",
    "pty": "python3 -c \"import pty, os; assert os.waitstatus_to_exitcode(pty.spawn(['true'])) == 0\"; script -qc 'test -t 0' /dev/null",
    "loopback": "python3 -c \"import socket; s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); a, _ = s.accept(); a.send(b'x'); assert c.recv(1) == b'x'\"",
    "loopback6": "python3 -c \"import socket; s = socket.create_server(('::1', 0), family=socket.AF_INET6); socket.create_connection(s.getsockname()[:2])\"",
    "localhost": "python3 -c \"import socket; assert socket.gethostbyname('localhost') == '127.0.0.1'; socket.if_nameindex()\"",
    "unix-socket": "python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.bind('sock'); s.listen(); c = socket.socket(socket.AF_UNIX); c.connect('sock'); socket.socketpair()\"; rm sock",
    "fifo": "mkfifo pipe; (echo through > pipe &); test \"$(cat pipe)\" = through; rm pipe",
    "locale": "test \"$(printf 'é' | wc -m)\" = 1; python3 -c \"import sys; assert sys.getfilesystemencoding() == 'utf-8'; print('ü')\"; date",
    "archives": "tar czf /tmp/a.tgz .; mkdir /tmp/out; tar xzf /tmp/a.tgz -C /tmp/out; cmp README /tmp/out/README; gzip -k README; gunzip -t README.gz; rm README.gz",
    "sqlite": "python3 -c \"import sqlite3; d = sqlite3.connect('db'); d.execute('pragma journal_mode=wal'); d.execute('create table t(x)'); d.commit(); d.close()\"; rm -f db db-*",
    "names": "touch \"$(printf 'n%.0s' $(seq 255))\"; touch 'a b' 'ü'; ln -s a l; ln README hard; mv README r2; mv r2 README; chmod 755 README; touch -d 2001-01-01 README",
    "five-thousand-files": 'python3 -c "import os; os.mkdir(\'many\'); [open(f\'many/{i}\', \'w\').write(str(i)) for i in range(5000)]"; git add many; git commit -qm many',
    "home-and-tmp": 'echo x > "$HOME/.profile"; mktemp -d; cd; test -w .; test "$(id -un)" = agent; test "$USER" = agent; whoami; hostname || true',
    "processes": "sleep 30 & kill $!; wait $! || true; ps -ef > /dev/null; nproc; ulimit -a > /dev/null; timeout 5 true; nice true; setsid true; nohup true > /dev/null",
    "shell-things": "f=$(mktemp); flock $f true; trap 'echo bye' EXIT; echo /usr/bin/*sh | wc -w; [ -c /dev/null ]; head -c 10 /dev/urandom | od -x; cat /proc/cpuinfo /proc/meminfo /proc/loadavg > /dev/null",
    "asyncio": 'python3 -c "import asyncio, subprocess; asyncio.run(asyncio.create_subprocess_exec(\'true\')); subprocess.run([\'true\'], start_new_session=True, check=True)"',
    "memory-files": 'python3 -c "import os, mmap; f = os.memfd_create(\'x\'); os.ftruncate(f, 4096); mmap.mmap(f, 4096); os.eventfd(0); os.pidfd_open(os.getpid())"',
    "node": "node -e \"const os = require('os'); os.networkInterfaces(); os.cpus(); require('child_process').execSync('true'); new (require('worker_threads').Worker)('1', {eval: true}); console.log(1)\"",
    "npm": "npm install --offline --no-audit --no-fund; test \"$(node -p 'require(\"local\")')\" = 42",
    "pytest": "python3 -m pytest -q test_it.py",
}  # fmt: skip
NEEDS = {"node": "node", "npm": "npm", "make": "gcc"}


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """A repository with something of everything."""
    return make_repository(tmp_path / "workshop", FILES)


@pytest.mark.parametrize("product", QUICK_ON_DOCKER, indirect=True)
def test_ordinary_work(product: Aienv, workshop: Path) -> None:
    """All of the table in one run, each entry in a clone of its own; what failed is named with its last words."""
    lines = ["cd /workspaces/workshop", "git config -f /tmp/gitconfig advice.detachedHead false"]
    for name, script in WORK.items():
        program = NEEDS.get(name)
        guard = f"command -v {program} >/dev/null || exit 77; " if program else ""
        guard += "python3 -c 'import pytest' 2>/dev/null || exit 77; " if name == "pytest" else ""
        commit(workshop, {f"work/{name}.sh": f"{guard}set -e\n{script}\n"})
        lines.append(
            f"git stash -q -u 2>/dev/null; git checkout -q -f --detach start; git clean -qfdx; sh work/{name}.sh > /tmp/said 2>&1; code=$?; "
            f'echo "{name} $code"; [ $code = 0 ] || [ $code = 77 ] || tail -n 4 /tmp/said | sed "s/^/  /"'
        )
    script = "git tag start; " + "; ".join(lines) + "; git stash clear; git checkout -q -f --detach start; git clean -qfdx"
    done = product.run("-q", "--pids", "512", "--memory", "4g", "--", "sh", "-c", script, cwd=workshop)
    assert done.code == 0, done.errors
    ended = dict(line.split() for line in done.text.splitlines() if not line.startswith("  "))
    assert set(ended) == set(WORK), done.text
    assert {name: code for name, code in ended.items() if code not in ("0", "77")} == {}, done.text
    assert sum(code == "0" for code in ended.values()) >= len(WORK) - 4


def test_five_thousand_new_files_come_out(local: Aienv, repo: Path) -> None:
    """A large result, uncommitted."""
    script = "import os\nfor i in range(5000):\n os.makedirs(f'd{i % 50}', exist_ok=True); open(f'd{i % 50}/{i}', 'w').write(str(i))"
    report = local.report("--", "python3", "-c", script)
    assert report["status"] == "succeeded"
    assert len(report["result"]["changed_files"]) == 5000
    assert git("show", f"{report['result']['branch']}:d7/4957", cwd=repo) == "4957"


def test_the_environment_inside(product: Aienv) -> None:
    """The variables of the contract, and none of the host's."""
    done = product.run("-q", "--env", "MINE=a=b c", "--", "env")
    inside = dict(line.split("=", 1) for line in done.text.splitlines())
    assert (inside["AIENV"], inside["CI"], inside["MINE"], inside["HOME"]) == ("1", "1", "a=b c", "/home/agent")
    assert inside["AIENV_RUN_ID"] == product.runs()[-1]["id"]
    assert "LEAK_PROBE" not in inside
    assert {"GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"} <= set(inside)


@pytest.mark.docker
def test_an_image_with_nothing_but_a_shell(aienv: Aienv, engine_with_base: object, repo: Path) -> None:
    """A busybox image has no git and no libc: the run works and its result arrives."""
    from tests import engine as engines
    from tests.engine import Engine

    assert isinstance(engine_with_base, Engine)
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed: apt-get install busybox-static")
    image = engines.image(engine_with_base, "busybox")
    done = aienv(
        "run", "--json", "--backend", "docker", "--image", image, "--check", "test -f made", "--", "sh", "-c", "echo x > made",
        env={"DOCKER_HOST": engine_with_base.address},
    )  # fmt: skip
    assert (done.code, done.document["checks"][0]["exit_code"]) == (0, 0), done.errors
    assert git("show", f"{done.document['result']['branch']}:made", cwd=repo) == "x\n"
