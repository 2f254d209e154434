"""Where people run it: odd paths, worktrees, subfolders, folders that cannot be written."""

import os
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.product import Aienv, branches, commit, git, make_repository

WORK = ("--json", "--", "sh", "-c", "cat README; echo x > made && git add made && git commit -qm made")


@pytest.mark.parametrize(
    "name",
    ["with blank", "ünïcode-日本", "-dash", "dot.", "$(touch pwned)", "semi;colon'\"quote", "x" * 200, "back\\slash", "a:b"],
    ids=["blank", "unicode", "dash", "dot", "command", "quotes", "long", "backslash", "colon"],
)
def test_repository_paths(local: Aienv, tmp_path: Path, name: str) -> None:
    """Whatever a folder is called, the run works, and the branch arrives."""
    repo = make_repository(tmp_path / name)
    done = local.run(*WORK, cwd=repo)
    assert done.code == 0, done.errors
    assert git("show", f"{done.document['result']['branch']}:made", cwd=repo) == "x\n"
    assert not (tmp_path / "pwned").exists()
    assert not (repo / "pwned").exists()


def test_a_line_break_in_a_path_is_refused(local: Aienv, tmp_path: Path) -> None:
    """Git keeps such a path in files of lines: refused with the way out, and the terminal sees no raw control character of it."""
    repo = make_repository(tmp_path / "line\nbreak\033[31m")
    done = local.run(*WORK, cwd=repo)
    assert done.code == 6
    assert "rename" in done.document["error"]["remedy"]
    assert "\033" not in done.errors


@pytest.mark.parametrize("name", ["with blank", "ünïcode-日本"], ids=["blank", "unicode"])
def test_repository_paths_in_a_container(product: Aienv, tmp_path: Path, name: str) -> None:
    """The same where paths become mounts."""
    repo = make_repository(tmp_path / name)
    done = product.run(*WORK, cwd=repo)
    assert done.code == 0, done.errors
    assert branches(repo) == [done.document["result"]["branch"]]


@pytest.mark.parametrize(
    "name",
    ["with blank", "ünïcode-日本", "comma,in=it", "a:colon", "/".join(["deep" * 12] * 20)],
    ids=["blank", "unicode", "comma", "colon", "very-long"],
)
def test_state_folders(product: Aienv, tmp_path: Path, name: str) -> None:
    """AIENV_HOME may have blanks, other letters, signs of mount options, and a path longer than a socket's may be."""
    home = tmp_path / "homes" / name
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "toolbox").symlink_to((product.home / "cache" / "toolbox").resolve())
    moved = replace(product, home=home, environ={**product.environ, "AIENV_HOME": str(home)})
    report = moved.run(*WORK).document
    assert report["status"] == "succeeded", report["error"]
    assert Path(report["folder"]).parent == home / "runs"


def test_a_relative_state_folder(local: Aienv, repo: Path) -> None:
    """AIENV_HOME relative to where the command was given."""
    moved = replace(local, environ={**local.environ, "AIENV_HOME": "../relative"})
    assert moved.run("-q", "--", "true").code == 0
    assert (repo.parent / "relative" / "runs").is_dir()


def test_xdg_folders(local: Aienv, repo: Path, tmp_path: Path) -> None:
    """Without AIENV_HOME the base directory specification decides; nothing is written elsewhere in the home folder."""
    environ = {name: value for name, value in local.environ.items() if name != "AIENV_HOME"}
    environ |= {"XDG_STATE_HOME": str(tmp_path / "s"), "XDG_CACHE_HOME": str(tmp_path / "c"), "XDG_CONFIG_HOME": str(tmp_path / "f")}
    assert replace(local, environ=environ).run("-q", "--", "true").code == 0
    assert (tmp_path / "s/aienv/runs").is_dir()
    assert (tmp_path / "c/aienv/mirrors").is_dir()
    assert list(Path(environ["HOME"]).iterdir()) == []


def test_from_a_subfolder_and_from_a_worktree(product: Aienv, repo: Path, tmp_path: Path) -> None:
    """The repository around the current folder counts; in a worktree its own head does, and the branch goes to the shared repository."""
    from_below = product.run("--json", "--", "ls", cwd=repo / "src").document
    assert (from_below["status"], from_below["repo"]) == ("succeeded", str(repo))
    tree = tmp_path / "tree"
    git("worktree", "add", "-q", "-b", "side", str(tree), cwd=repo)
    tip = commit(tree, {"only-here": "x"})
    report = product.run("--json", "--", "sh", "-c", "test -f only-here; echo y > made", cwd=tree).document
    assert (report["status"], report["base_commit"]) == ("succeeded", tip)
    assert git("show", f"{report['result']['branch']}:made", cwd=repo) == "y\n"
    assert git("status", "--porcelain", cwd=tree) == ""


def test_a_bare_repository(local: Aienv, repo: Path, tmp_path: Path) -> None:
    """A bare repository is a repository."""
    bare = tmp_path / "bare.git"
    git("clone", "-q", "--bare", str(repo), str(bare), cwd=tmp_path)
    report = local.run(*WORK, cwd=bare).document
    assert report["status"] == "succeeded", report["error"]
    assert git("show", f"{report['result']['branch']}:made", cwd=bare) == "x\n"


def test_a_detached_head(local: Aienv, repo: Path) -> None:
    """The user's HEAD names no branch."""
    git("checkout", "-q", "--detach", cwd=repo)
    report = local.run(*WORK).document
    assert report["status"] == "succeeded"
    assert git("rev-parse", "HEAD", cwd=repo).strip() == report["base_commit"]


def test_a_state_folder_that_cannot_be_made(aienv: Aienv, tmp_path: Path) -> None:
    """A file where the folder should be: our error, with the way out, and no traceback."""
    (tmp_path / "file").write_text("")
    moved = replace(aienv, environ={**aienv.environ, "AIENV_HOME": str(tmp_path / "file" / "home")})
    for words in (("run", "--json", "--backend", "local", "--", "true"), ("ps", "--json"), ("gc", "--json"), ("doctor", "--json")):
        done = moved(*words)
        assert "Traceback" not in done.errors, words
        assert isinstance(done.document, dict | list), words
    done = moved("run", "--json", "--backend", "local", "--", "true")
    assert done.code in (3, 125)
    assert str(tmp_path / "file") in done.document["error"]["message"]


def test_a_read_only_repository(local: Aienv, repo: Path, tmp_path: Path) -> None:
    """Where the result cannot be delivered the run says so, and the work is in the bundle or the kept workspace."""
    mount = tmp_path / "readonly"
    mount.mkdir()
    inside = (
        f"mount --bind {repo} {mount} && mount -o remount,ro,bind {mount} && cd {mount} && "
        'exec "$@"'
    )  # fmt: skip
    words = local.command("run", "--backend", "local", *WORK)
    if os.geteuid() != 0:
        pytest.skip("a read-only mount needs root: run the tests as root")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside, "sh", *words], env=dict(local.environ), capture_output=True, timeout=60, check=False
    )
    import json

    report = json.loads(done.stdout)
    assert "Traceback" not in done.stderr.decode()
    assert branches(repo) == []
    where = report["result"]["bundle"] or report["kept"]
    assert where, report
    assert Path(where).exists()
    assert report["status"] == "error" or "read-only" in str(report["notes"]).lower() + str(report["error"]).lower()


def test_the_repository_vanishes_meanwhile(local: Aienv, repo: Path, tmp_path: Path) -> None:
    """Deleted while the agent works: the work is still somewhere, and the code is not 0."""
    done = local.run(
        "--json", "--", "sh", "-c", "echo x > made",
        env={"AIENV_FAULT": "agent:end", "AIENV_FAULT_COMMAND": f"mv '{repo}' '{tmp_path}/gone'"},
    )  # fmt: skip
    shutil.move(tmp_path / "gone", repo)
    assert done.code != 0
    assert "Traceback" not in done.errors
    report = done.document
    where = report["result"]["bundle"] or report["kept"]
    assert where
    assert Path(where).exists()


def test_folders_of_a_run_are_closed_to_others(local: Aienv) -> None:
    """What an agent wrote and said is its user's: nobody else's."""
    report = local.report("--keep", "--", "sh", "-c", "echo secret")
    folder = Path(report["folder"])
    for path in (folder, folder / "agent.log", folder / "report.json", folder / "plan.json", folder / "journal.jsonl", folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_repository_of_another_user(local: Aienv, repo: Path) -> None:
    """Root in somebody else's repository: git's own rule about ownership does not stop the run, and no hook of it runs."""
    if os.geteuid() != 0:
        pytest.skip("needs root: run the tests as root")
    hooks = repo / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-commit", "pre-receive", "update", "post-update", "fsmonitor"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {repo}/hook-ran\n")
        (hooks / name).chmod(0o755)
    git("config", "core.fsmonitor", str(hooks / "fsmonitor"), cwd=repo)
    git("config", "core.hooksPath", str(hooks), cwd=repo)
    for folder, names, files in os.walk(repo):
        for name in (*names, *files):
            os.lchown(os.path.join(folder, name), 65532, 65532)
    os.chown(repo, 65532, 65532)
    (repo / "hook-ran").unlink(missing_ok=True)
    done = local.run("--json", "--with-changes", "--", "sh", "-c", "echo x > made")
    assert "Traceback" not in done.errors
    assert not (repo / "hook-ran").exists()
    if done.code == 0:
        assert len(branches(repo)) == 1
    else:
        assert done.document["error"]["remedy"]


def test_large_and_odd_trees(local: Aienv, tmp_path: Path) -> None:
    """Long names, names that are no UTF-8, links, an empty folder's file, an executable: in and out unchanged."""
    repo = make_repository(tmp_path / "odd")
    (repo / ("n" * 255)).write_text("long\n")
    (repo / "link").symlink_to("README")
    (repo / "dangling").symlink_to("/no/where")
    with open(os.path.join(os.fsencode(repo), b"latin-\xe9"), "wb") as file:
        file.write(b"x\n")
    commit(repo, {"deep/" * 20 + "file": "x\n"})
    report = local.run(
        "--json", "--", "sh", "-c", "ls -R | wc -l; readlink link dangling; printf y > \"$(printf 'new-\\351')\"", cwd=repo
    ).document
    assert report["status"] == "succeeded", report
    assert len(report["result"]["changed_files"]) == 1
    assert git("diff", "--stat", f"main..{report['result']['branch']}", cwd=repo).count("|") == 1
