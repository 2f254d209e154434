"""Who runs it and on what machine: an ordinary user, and machines that lack something."""

# ruff: noqa: E501 - a row of a table stays one line

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.product import ROOT, Aienv, Done, branches, git, make_repository

USER = 64999  # an uid without an account: what containers and CI runners often have
SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture
def ordinary(bwrap: str) -> Iterator[Aienv]:
    """The product as an ordinary user with a home of his own, in a repository of his own."""
    if os.geteuid() != 0:
        pytest.skip("the tests run as an ordinary user already; the other cases cover it")
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    python = SYSTEM_PYTHON if not _reachable(sys.executable) else sys.executable
    base = Path(tempfile.mkdtemp(prefix="aienv-user-", dir="/tmp"))
    try:
        home = base / "home"
        home.mkdir()
        repo = make_repository(base / "app")
        for folder, names, files in os.walk(base):
            for path in (folder, *(os.path.join(folder, name) for name in (*names, *files))):
                os.lchown(path, USER, USER)
        base.chmod(0o755)
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": packages,
            "PYTHONDONTWRITEBYTECODE": "1",
            "DOCKER_HOST": "unix:///nonexistent",
        }
        prefix = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--")
        product = Aienv(home / ".local/state/aienv", environ, ("--backend", "local"), (python,), prefix, repo)
        probe = product("--version")
        if probe.code != 0:
            pytest.skip(f"{python} cannot run the product as another user: {probe.errors}")
        yield product
    finally:
        shutil.rmtree(base)


def _reachable(program: str) -> bool:
    path = Path(program).resolve()
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def test_an_ordinary_user(ordinary: Aienv) -> None:
    """Without root: the same run, as the user's own uid, nothing left, folders closed to others."""
    report = ordinary.report("--check", "test -f made", "--", "sh", "-c", "id -u; echo x > made; git add made; git commit -qm made")
    assert report["status"] == "succeeded", report
    assert branches(ordinary.cwd) == [report["result"]["branch"]]
    assert ordinary.run("-q", "--", "id", "-u").text == f"{USER}\n"
    assert list((ordinary.home / "work").iterdir()) == []
    assert stat.S_IMODE((ordinary.home / "runs").stat().st_mode) & 0o077 == 0
    owners = {path.stat().st_uid for path in ordinary.home.parent.rglob("*")}
    assert owners == {USER}


@pytest.mark.slow
def test_an_ordinary_users_verification_attempts_and_box(ordinary: Aienv) -> None:
    """Without root: the same, nothing left; what a box puts into the tree is the user's own."""
    done = ordinary.run("--json", "--attempts", "2", "--check", "cat made", "--", "sh", "-c", "echo x > made")
    assert (done.code, [entry["passed"] for entry in done.document["ranking"]]) == (0, [1, 1]), done.errors
    assert ordinary("box", "--backend", "local", "command", "--", "sh", "-c", "echo x > made").code == 0
    assert (ordinary.cwd / "made").stat().st_uid == USER
    assert list((ordinary.home / "work").iterdir()) == []


def test_an_ordinary_user_is_contained(ordinary: Aienv) -> None:
    """The agent has the user's uid, and still sees nothing of the user's: no home, no processes, no signals, no runs."""
    secret = Path(ordinary.environ["HOME"]) / "secret"
    secret.write_text("s")
    os.chown(secret, USER, USER)
    script = f"cat {secret}; ls {ordinary.home} {ordinary.environ['HOME']}; kill -9 -1; ls /proc | grep -c '^[0-9]'; cat /proc/self/status"
    done = ordinary.run("-q", "--", "sh", "-c", script)
    assert "CapEff:\t0000000000000000" in done.text
    assert "NoNewPrivs:\t1" in done.text
    assert done.errors.count("No such file or directory") == 3


def test_closed_folders_of_the_agent(ordinary: Aienv) -> None:
    """Without root's rights: folders and files of mode 000 are harvested all the same, and removed."""
    script = "mkdir -p a/b/c; echo x > a/b/c/f; echo y > a/g; chmod 000 a/b/c/f a/b/c a/b a/g; chmod 555 a; mkdir dist; echo z > dist/z; chmod 000 dist"
    report = ordinary.report("--", "sh", "-c", script)
    assert report["status"] == "succeeded", report
    assert {file["path"] for file in report["result"]["changed_files"]} >= {"a/b/c/f", "a/g"}
    assert report["teardown"]["left"] == []
    assert list((ordinary.home / "work").iterdir()) == []


def test_a_masked_file_in_a_closed_folder(ordinary: Aienv) -> None:
    """A check does not start where a masked file could be hidden from us; the work is harvested and the reason is told."""
    (ordinary.cwd / "conf").mkdir()
    (ordinary.cwd / "conf/.env").write_text("TOKEN=1\n")
    git("add", "-A", cwd=ordinary.cwd)
    git("commit", "-qm", "env", cwd=ordinary.cwd)
    for folder, names, files in os.walk(ordinary.cwd):
        for path in (folder, *(os.path.join(folder, name) for name in (*names, *files))):
            os.lchown(path, USER, USER)
    report = ordinary.report(
        "--check", "chmod 700 moved; cat moved/.env", "--", "sh", "-c", "mv conf moved; chmod 000 moved; echo x > made"
    )
    assert "TOKEN" not in json.dumps(report["checks"])
    assert report["status"] != "succeeded" or report["checks"][0]["output_tail"] == ""
    assert report["result"]["branch"]


# --- machines that lack something --------------------------------------------------------------------------------------


def in_namespace(aienv: Aienv, uid: int, setup: str, *words: str) -> Done:
    """Run the product after ``setup`` in a user and mount namespace of its own."""
    command = aienv.command(*words)
    done = subprocess.run(
        ["unshare", "--user", f"--map-user={uid}", f"--map-group={uid}", "--keep-caps", "--mount", "sh", "-c", f'{setup}; exec "$@"', "sh", *command],
        cwd=aienv.cwd, env=dict(aienv.environ), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def test_user_namespaces_forbidden(local: Aienv) -> None:
    """user.max_user_namespaces=0: refused with 5, the exact setting and the command that cures it, in run and in doctor."""
    setup = "echo 0 > /proc/sys/user/max_user_namespaces"
    probe = subprocess.run(["unshare", "--user", "--map-root-user", "sh", "-c", setup], capture_output=True, check=False, timeout=20)
    if probe.returncode != 0:
        pytest.skip("this machine does not let a nested user namespace set its limits")
    done = in_namespace(local, 1000, setup, "run", "--json", "--backend", "local", "--", "true")
    assert done.code == 5, done.errors
    assert done.document["error"]["code"] == "no-user-namespaces"
    assert "user.max_user_namespaces=0" in done.document["error"]["message"]
    assert "sysctl -w user.max_user_namespaces=" in done.document["error"]["remedy"]
    doctor = in_namespace(local, 1000, setup, "doctor", "--json")
    check = next(check for check in doctor.document["checks"] if check["name"] == "backend local")
    assert (check["status"], "user.max_user_namespaces=0" in check["detail"]) == ("failed", True)


def test_root_of_a_user_namespace_with_one_uid(local: Aienv) -> None:
    """Root that cannot become anybody else does not start bubblewrap as root: refused with 5 and the way out."""
    done = in_namespace(local, 0, "true", "run", "--json", "--backend", "local", "--", "true")
    assert (done.code, done.document["error"]["code"]) == (5, "bwrap-broken"), done.errors
    assert "ordinary user" in done.document["error"]["remedy"]


def test_bubblewrap_is_missing(local: Aienv, tmp_path: Path) -> None:
    """Not in PATH: 5, and how to install it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("git", "sh"):
        (folder / program).symlink_to(shutil.which(program) or "")
    poor = replace(local, environ={**local.environ, "PATH": str(folder)})
    done = poor.run("--json", "--", "true")
    assert (done.code, done.document["error"]["code"]) == (5, "bwrap-missing")
    assert "apt install bubblewrap" in done.document["error"]["remedy"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("#!/bin/sh\necho bubblewrap 0.4.0\n", "bwrap-old", id="old"),
        pytest.param("#!/bin/sh\n[ \"$1\" = --version ] && echo bubblewrap 0.8.0 && exit\necho 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n", "no-user-namespaces", id="refuses"),
        pytest.param("not a program", "bwrap-broken", id="no-program"),
    ],
)  # fmt: skip
def test_bubblewrap_that_does_not_work(local: Aienv, tmp_path: Path, script: str, code: str) -> None:
    """A binary that is there proves nothing: what it does when it is run decides."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "bwrap").write_text(script)
    (folder / "bwrap").chmod(0o755)
    for parent in (tmp_path, *[parent for parent in tmp_path.parents if parent.name.startswith(("pytest", "popen"))]):
        parent.chmod(0o755)
    poor = replace(local, environ={**local.environ, "PATH": f"{folder}:{local.environ['PATH']}"})
    done = poor.run("--json", "--", "true")
    assert "Traceback" not in done.errors
    assert (done.code, done.document["error"]["code"]) == (5, code), done.errors


def test_bubblewrap_set_uid(local: Aienv, tmp_path: Path) -> None:
    """A set-uid bubblewrap is refused, with the command that cures it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(shutil.which("bwrap") or "", folder / "bwrap")
    (folder / "bwrap").chmod(0o4755)
    done = replace(local, environ={**local.environ, "PATH": f"{folder}:{local.environ['PATH']}"}).run("--json", "--", "true")
    assert (done.code, done.document["error"]["code"]) == (5, "bwrap-setuid")
    assert f"chmod u-s {folder}/bwrap" in done.document["error"]["remedy"]


def test_git_is_missing(local: Aienv, tmp_path: Path) -> None:
    """No git: an error of ours that names it, and doctor knows."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("bwrap", "sh"):
        (folder / program).symlink_to(shutil.which(program) or "")
    poor = replace(local, environ={**local.environ, "PATH": str(folder)})
    done = poor.run("--json", "--", "true")
    assert "Traceback" not in done.errors
    assert done.code in (3, 5, 6)
    assert "git" in done.document["error"]["message"]
    doctor = poor("doctor", "--json")
    assert (doctor.code, doctor.document["usable"]) == (5, False)


def test_auto_falls_back_and_says_so(aienv: Aienv, bwrap: str) -> None:
    """--backend auto without an engine: the local sandbox, with a warning that names the cause; the report says which isolation."""
    assert ROOT.is_dir()
    assert bwrap
    done = aienv("run", "--json", "--", "true")
    assert (done.code, done.document["backend"], done.document["isolation"]) == (0, "local", "sandbox")
    assert "no container" in done.errors
    assert "engine.sock" in done.errors
