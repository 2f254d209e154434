"""The command line's contract: exit codes, the JSON document, the agent's bytes."""

# ruff: noqa: E501 - a row of a table stays one line

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.product import (
    REPORT_MEMBERS,
    RESULT_MEMBERS,
    Aienv,
    branches,
    check_members,
    commit,
    end,
    git,
    processes_with,
)

ERROR_STATUS = {4: "refused"}


# --- exit codes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        pytest.param(("--", "sh", "-c", "exit 0"), 0, "succeeded", id="done"),
        pytest.param(("--", "sh", "-c", "exit 7"), 1, "failed", id="agent-fails"),
        pytest.param(("--", "sh", "-c", "kill -9 $$"), 1, "failed", id="agent-kills-itself"),
        pytest.param(("--", "no-such-program"), 1, "failed", id="no-such-program"),
        pytest.param(("--check", "true", "--", "true"), 0, "succeeded", id="check-passes"),
        pytest.param(("--check", "true", "--check", "false", "--", "true"), 1, "failed", id="check-fails"),
        pytest.param(("--check", "exit 3", "--", "false"), 1, "failed", id="both-fail"),
        pytest.param(("--timeout", "1s", "--", "sleep", "60"), 124, "timeout", id="timeout"),
    ],
)
def test_run_ends_with_the_code_of_the_contract(local: Aienv, words: tuple[str, ...], code: int, status: str) -> None:
    """Each way a run can end has its code and its status, and the report says the same as the process."""
    done = local.run("--json", *words)
    assert (done.code, done.document["status"]) == (code, status), done.errors
    check_members(done.document, REPORT_MEMBERS)
    check_members(done.document["result"], RESULT_MEMBERS)


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (("sh", "-c", "exit 0"), 0),
        (("sh", "-c", "exit 255"), 255),
        (("sh", "-c", "kill -TERM $$"), 143),
        (("no-such-program",), 127),
        (("/etc/passwd",), 126),
        (("sh", "-c", "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1"), 1),
    ],
    ids=["zero", "255", "signal", "missing", "not-executable", "words-of-bubblewrap"],
)
def test_the_report_has_the_agents_own_code(product: Aienv, words: tuple[str, ...], exit_code: int) -> None:
    """``exit_code`` is the agent's, as a shell would show it; an agent that talks like bubblewrap is still the agent."""
    report = product.report("--", *words)
    assert (report["exit_code"], report["error"]) == (exit_code, None)


REFUSED_BEFORE_A_RUN = [
    pytest.param(("run",), 2, "nothing to do", id="nothing"),
    pytest.param(("run", "--"), 2, "no command after --", id="empty-command"),
    pytest.param(("run", "--bakend", "local", "--", "true"), 2, "--backend", id="option"),
    pytest.param(("run", "--backend", "dokcer", "--", "true"), 2, "perhaps 'docker'", id="backend"),
    pytest.param(("run", "--timeout", "soon", "--", "true"), 2, "soon", id="time"),
    pytest.param(("run", "--env", "1A=x", "--", "true"), 2, "1A", id="variable-name"),
    pytest.param(("run", "--branch", "a..b", "--", "true"), 2, "a..b", id="branch-name"),
    pytest.param(("run", "--tty", "--", "true"), 2, "terminal", id="no-terminal"),
    pytest.param(("run", "--agent", "clade", "fix it"), 2, "perhaps 'claude'", id="agent"),
    pytest.param(("runn",), 2, "perhaps 'run'", id="command"),
    pytest.param(("plan", "no-such-task"), 6, "no-such-task", id="task"),
    pytest.param(("run", "./no/such/task.yaml"), 6, "task.yaml", id="task-file"),
    pytest.param(("run", "--ref", "no-such-ref", "--", "true"), 6, "no-such-ref", id="ref"),
    pytest.param(("run", "--repo", "/no/such/folder", "--", "true"), 6, "/no/such/folder", id="repository"),
    pytest.param(("run", "--repo", "file:///no/such/folder", "--", "true"), 6, "/no/such/folder", id="file-url"),
    pytest.param(("run", "--backend", "docker", "--", "true"), 5, "engine.sock", id="no-engine"),
    pytest.param(("run", "--require-isolation", "container", "--", "true"), 5, "engine.sock", id="container-required"),
    pytest.param(("run", "--backend", "local", "--require-isolation", "container", "--", "true"), 5, "container", id="contradiction"),
    pytest.param(("run", "--backend", "local", "--image", "debian", "--", "true"), 5, "image", id="image-without-engine"),
    pytest.param(("run", "--docker", "guarded", "--", "true"), 5, "--docker none", id="docker-without-an-engine"),
    pytest.param(("run", "--preset", "pipp", "--", "true"), 2, "perhaps 'pip'?", id="preset"),
    pytest.param(("run", "--secret", "SOME_TOKEN", "--", "true"), 2, "--secret-host SOME_TOKEN=HOST", id="secret-without-host"),
    pytest.param(("run", "--secret", "ANTHROPIC_API_KEY", "--", "true"), 4, "--allow-host api.anthropic.com", id="secret-without-rule"),
    pytest.param(("run", "--preset", "anthropic", "--secret", "ANTHROPIC_API_KEY", "--", "true"), 2, "ANTHROPIC_API_KEY", id="secret-unset"),
    pytest.param(("show", "zzz"), 6, "zzz", id="run"),
    pytest.param(("logs", "last"), 6, "last", id="no-runs"),
    pytest.param(("rm", "zzz"), 6, "zzz", id="rm"),
    pytest.param(("stop", "zzz"), 6, "zzz", id="stop"),
    pytest.param(("diff", "zzz"), 6, "zzz", id="diff"),
    pytest.param(("apply", "zzz"), 6, "zzz", id="apply"),
    pytest.param(("gc", "--older-than", "long"), 2, "long", id="age"),
    pytest.param(("gc", "--keep-size", "much"), 2, "much", id="size"),
    pytest.param(("config", "--explain", "limits.memry"), 2, "limits.memory", id="key"),
    pytest.param(("init", "../evil"), 2, "../evil", id="task-name"),
    pytest.param(("init", "x", "--agent", "clade"), 2, "claude", id="init-agent"),
]


@pytest.mark.parametrize(("words", "code", "said"), REFUSED_BEFORE_A_RUN)
def test_errors_before_a_run_have_a_code_a_reason_and_one_document(aienv: Aienv, words: tuple[str, ...], code: int, said: str) -> None:
    """What is wrong before a run exists: the code, a message that names the thing, and with --json one document about it."""
    at = words.index("--") if "--" in words else len(words)
    done = aienv(*words[:at], "--json", *words[at:])
    assert done.code == code, done.errors
    error = done.document["error"]
    assert done.document["status"] == ERROR_STATUS.get(code, "error")
    assert {name: type(error[name]) for name in ("code", "message")} == {"code": str, "message": str}
    assert error["remedy"] is None or isinstance(error["remedy"], str)
    assert said in error["message"] + str(error["remedy"])
    assert error["message"] in done.errors
    assert "Traceback" not in done.errors


def test_a_repository_that_asks_too_much_is_refused(local: Aienv, repo: Path) -> None:
    """A loosening by the repository ends with 4 and the line that would grant it; granted by flag, it is another matter."""
    commit(repo, {".aienv.yaml": "network: {allow: [api.example.org]}\n"})
    done = local.run("--json", "--", "true")
    assert (done.code, done.document["status"]) == (4, "refused")
    assert "api.example.org" in done.document["error"]["message"]
    assert "--allow-host api.example.org" in str(done.document["error"])


def test_a_broken_user_configuration_names_file_and_line(local: Aienv) -> None:
    """A wrong key in the user's file: code 2, with file, line and the nearest key."""
    (local.home / "config.yaml").write_text("keep: false\nlimits:\n  memry: 4g\n")
    done = local.run("--json", "--", "true")
    assert done.code == 2
    assert "config.yaml:3" in done.document["error"]["message"]
    assert "memory" in str(done.document["error"])


def test_no_repository_here(local: Aienv, tmp_path: Path) -> None:
    """Outside of any repository: 6, and what to do."""
    (tmp_path / "empty").mkdir()
    done = local.run("--json", "--", "true", cwd=tmp_path / "empty")
    assert (done.code, done.document["error"]["code"]) == (6, "not-found")
    assert done.document["error"]["remedy"]


def test_the_image_that_is_nowhere(request: pytest.FixtureRequest, aienv: Aienv) -> None:
    """An image that is neither local nor pullable: 3, by its name."""
    engine = request.getfixturevalue("engine")
    done = aienv(
        "run", "--json", "--backend", "docker", "--image", "nowhere.invalid/none:1", "--", "true", env={"DOCKER_HOST": engine.address}
    )
    assert (done.code, done.document["status"]) == (3, "error")
    assert "nowhere.invalid/none:1" in done.document["error"]["message"]


test_the_image_that_is_nowhere = pytest.mark.docker(test_the_image_that_is_nowhere)


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_a_whole_run(product: Aienv, repo: Path) -> None:
    """New, changed and deleted files come back as a branch on the base commit; the user's own tree is not touched; nothing is left."""
    base = git("rev-parse", "HEAD", cwd=repo).strip()
    report = product.report("--env", "GREETING=good day", "--", "sh", "-c", 'echo "$GREETING" > new; rm src/a.py; echo more >> README')
    check_members(report, REPORT_MEMBERS)
    assert report["base_commit"] == base
    assert {(file["status"], file["path"]) for file in report["result"]["changed_files"]} == {
        ("A", "new"),
        ("D", "src/a.py"),
        ("M", "README"),
    }
    branch = report["result"]["branch"]
    assert branches(repo) == [branch]
    assert git("show", f"{branch}:new", cwd=repo) == "good day\n"
    assert git("rev-parse", f"{branch}^", cwd=repo).strip() == base
    assert git("status", "--porcelain", cwd=repo) == ""
    assert git("rev-parse", "HEAD", cwd=repo).strip() == base
    assert git("remote", cwd=repo) == ""
    assert report["teardown"]["left"] == []
    folder = Path(report["folder"])
    assert json.loads((folder / "report.json").read_text()) == report
    assert sorted(path.name for path in (product.home / "work").iterdir()) == []
    assert sorted(path.name for path in (product.home / "active").iterdir()) == []
    assert processes_with(report["id"]) == []


def test_output_is_byte_exact(product: Aienv) -> None:
    """Binary output without a final newline, on both streams, each to its own; the log has both."""
    script = "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done; printf 'err\\377' >&2"
    done = product.run("--quiet", "--", "sh", "-c", script)
    assert done.stdout == bytes(range(256))
    assert done.stderr == b"err\xff"
    log = product("logs", "last").stdout
    assert sorted(log) == sorted(bytes(range(256)) + b"err\xff")


def test_ten_megabytes_pass_unchanged(product: Aienv) -> None:
    """Long output arrives whole, in the pipe and in the log."""
    done = product.run("--quiet", "--", "sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' 'x'; printf end")
    assert done.code == 0
    wanted = hashlib.sha256(b"x" * 10_000_000 + b"end").hexdigest()
    assert hashlib.sha256(done.stdout).hexdigest() == wanted
    assert hashlib.sha256(product("logs", "last").stdout).hexdigest() == wanted


def test_json_keeps_standard_output_for_the_document(local: Aienv) -> None:
    """With --json what the agent prints goes to standard error, whatever it looks like."""
    done = local.run("--json", "--", "sh", "-c", "echo '{\"fake\": 1}'; echo err >&2")
    assert done.document["status"] == "succeeded"
    assert b'{"fake": 1}\n' in done.stderr
    assert b"err\n" in done.stderr


def test_a_reader_that_goes_away_does_not_end_the_run(local: Aienv, repo: Path) -> None:
    """``aienv run | head -c 10``: the agent's work is still harvested, the log has all of it, no traceback is shown."""
    process = local.start("--", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; echo done > made")
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    process.stdout = None
    done = end(process)
    assert done.code == 0, done.errors
    assert "Traceback" not in done.errors
    assert git("show", f"{branches(repo)[0]}:made", cwd=repo) == "done\n"
    assert len(local("logs", "last").stdout) == 220_000


def test_a_reader_of_logs_that_goes_away(local: Aienv) -> None:
    """``aienv logs | head``: no complaint."""
    local.run("-q", "--", "sh", "-c", "head -c 3000000 /dev/zero")
    process = subprocess.Popen(local.command("logs", "last"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(local.environ))
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    process.stdout = None
    done = end(process)
    assert (done.code, done.stderr) == (0, b"")


def test_standard_output_closed_from_the_start(local: Aienv, repo: Path) -> None:
    """``aienv run >&-``: the run is done as always."""
    words = local.command("run", *local.options, "--", "sh", "-c", "echo out; echo x > made")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *words], env=dict(local.environ), cwd=repo, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(branches(repo)) == 1


def test_quiet_says_nothing_of_its_own(local: Aienv) -> None:
    """--quiet leaves only the agent's streams."""
    done = local.run("--quiet", "--", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_people_see_phases_and_a_summary(local: Aienv) -> None:
    """Without --quiet: phase lines and at the end outcome, branch and report, all on standard error."""
    done = local.run("--check", "true", "--", "sh", "-c", "echo x > made")
    assert done.stdout == b""
    for said in ("cloning", "harvesting", "succeeded", "result", "check   passed: true", "report.json"):
        assert said in done.errors


def test_hostile_names_do_not_reach_the_terminal(local: Aienv) -> None:
    """A file name with escape sequences is shown, not obeyed: in the summary, in show, in diff --stat."""
    local.run(
        "-q",
        "--",
        "sh",
        "-c",
        "printf x > \"$(printf 'evil\\033]0;owned\\007\\033[2J')\"; mkdir -p .vscode; printf y > \"$(printf '.vscode/\\033[31mtasks.json')\"",
    )
    for words in (("show", "last"), ("diff", "--stat", "last"), ("ps", "--all")):
        done = local(*words)
        assert b"\033" not in done.stdout + done.stderr, words
    assert b"evil" in local("diff", "--stat", "last").stdout
    summary = local.run("--", "sh", "-c", "mkdir -p .vscode; printf y > \"$(printf '.vscode/\\033[31mtasks.json')\"")
    assert b"\033" not in summary.stderr


def test_checks_are_reported_one_by_one(product: Aienv) -> None:
    """Every check runs after the agent, in the environment, and sees what the agent wrote."""
    report = product.report("--check", "cat made", "--check", "echo no; exit 9", "--", "sh", "-c", "echo yes > made")
    assert [(check["command"], check["exit_code"], check["output_tail"]) for check in report["checks"]] == [
        ("cat made", 0, "yes\n"),
        ("echo no; exit 9", 9, "no\n"),
    ]
    assert report["status"] == "failed"


def test_what_a_check_writes_is_not_the_result(local: Aienv, repo: Path) -> None:
    """The branch holds the agent's work alone."""
    report = local.report("--check", "echo no > by-check", "--", "sh", "-c", "echo yes > made")
    assert git("ls-tree", "--name-only", report["result"]["branch"], cwd=repo).split() == ["README", "made", "src"]


def test_artifacts_come_out(product: Aienv) -> None:
    """Files that match --artifact, ignored ones too, lie in the run's folder."""
    report = product.report(
        "--artifact", "dist/*.txt", "--", "sh", "-c", "mkdir dist; echo 1 > dist/a.txt; echo 2 > dist/b.bin; echo '*' > dist/.gitignore"
    )
    assert report["result"]["artifacts"] == ["dist/a.txt"]
    assert (Path(report["folder"]) / "artifacts/dist/a.txt").read_text() == "1\n"


def test_keep_then_rm(product: Aienv, repo: Path) -> None:
    """--keep leaves the workspace, ps shows it, rm removes everything but the branch."""
    report = product.report("--keep", "--", "sh", "-c", "echo x > made")
    kept = Path(report["kept"])
    assert (kept / "made").read_text() == "x\n"
    rows = product("ps", "--json").document
    assert [(row["id"], row["state"], row["workspace"]) for row in rows] == [(report["id"], "kept", str(kept))]
    assert "refs/aienv/" in git("for-each-ref", cwd=repo)
    removed = product("rm", report["id"], "--json")
    assert removed.document == {"removed": [report["id"]]}
    assert not kept.exists()
    assert product.runs() == []
    assert "refs/aienv/" not in git("for-each-ref", cwd=repo)
    assert branches(repo) == [report["result"]["branch"]]


def test_the_branch_by_name(local: Aienv, repo: Path) -> None:
    """--branch names the result; a second run of that name does not overwrite the first one's work."""
    first = local.report("--branch", "fix/one", "--", "sh", "-c", "echo 1 > made")
    assert (first["status"], first["result"]["branch"]) == ("succeeded", "fix/one")
    tip = git("rev-parse", "fix/one", cwd=repo)
    second = local.report("--branch", "fix/one", "--", "sh", "-c", "echo 2 > made")
    assert git("rev-parse", "fix/one", cwd=repo) == tip
    assert second["result"]["branch"] != "fix/one"
    assert git("show", f"{second['result']['commit']}:made", cwd=repo) == "2\n"


def test_the_checked_out_branch_is_never_written(local: Aienv, repo: Path) -> None:
    """--branch with the name of the branch that the user has checked out leaves it where it is."""
    before = git("rev-parse", "main", cwd=repo)
    report = local.report("--branch", "main", "--", "sh", "-c", "echo 1 > made")
    assert git("rev-parse", "main", cwd=repo) == before
    assert git("status", "--porcelain", cwd=repo) == ""
    assert git("show", f"{report['result']['commit']}:made", cwd=repo) == "1\n"


def test_with_changes_brings_the_dirty_tree(product: Aienv, repo: Path) -> None:
    """Staged, unstaged, untracked and deleted files are there for the agent, and its result builds on them."""
    (repo / "README").write_text("changed\n")
    (repo / "untracked").write_text("u\n")
    (repo / "staged").write_text("s\n")
    git("add", "staged", cwd=repo)
    (repo / "src/a.py").unlink()
    seen = product.run("-q", "--with-changes", "--", "sh", "-c", "cat README untracked staged; ls src 2>/dev/null; echo x > made")
    assert (seen.code, seen.stdout) == (0, b"changed\nu\ns\n")
    clean = product.run("-q", "--", "sh", "-c", "cat README; ls")
    assert clean.stdout == b"hello\nREADME\nsrc\n"


def test_repositories_by_address(local: Aienv, repo: Path, tmp_path: Path) -> None:
    """--repo with a path and with a file:// address: both are repositories of this machine, and get the branch."""
    (tmp_path / "elsewhere").mkdir()
    by_path = local.run("--json", "--repo", str(repo), "--", "sh", "-c", "echo x > made", cwd=tmp_path / "elsewhere").document
    assert by_path["status"] == "succeeded"
    assert branches(repo) == [by_path["result"]["branch"]]
    by_url = local.run("--json", "--repo", f"file://{repo}", "--", "sh", "-c", "echo y > made", cwd=tmp_path / "elsewhere").document
    assert by_url["status"] == "succeeded"
    assert branches(repo) == sorted([by_path["result"]["branch"], by_url["result"]["branch"]])


def test_refs(local: Aienv, repo: Path) -> None:
    """--ref takes a branch, a tag, a commit and a short commit."""
    first = git("rev-parse", "HEAD", cwd=repo).strip()
    git("tag", "v1", cwd=repo)
    git("branch", "old", cwd=repo)
    commit(repo, {"later": "x"})
    for ref in ("v1", "old", first, first[:10], "HEAD~1"):
        report = local.report("--ref", ref, "--", "sh", "-c", "test ! -e later")
        assert (report["status"], report["base_commit"]) == ("succeeded", first), ref


def test_an_empty_repository(product: Aienv, tmp_path: Path) -> None:
    """A repository without a commit: the agent's files become its first one, on a branch."""
    empty = tmp_path / "empty"
    empty.mkdir()
    git("init", "-q", cwd=empty)
    report = product.run("--json", "--", "sh", "-c", "echo x > made", cwd=empty).document
    assert (report["status"], report["base_commit"]) == ("succeeded", None)
    assert git("show", f"{report['result']['branch']}:made", cwd=empty) == "x\n"


def test_a_run_that_changes_nothing(local: Aienv, repo: Path) -> None:
    """No change, no branch."""
    report = local.report("--", "true")
    assert (report["result"]["branch"], report["result"]["changed_files"], report["result"]["uncommitted"]) == (None, [], False)
    assert branches(repo) == []


def test_commits_of_the_agent_are_kept_as_they_are(product: Aienv, repo: Path) -> None:
    """Its own commits come out with their messages, by the user's name."""
    git("config", "user.name", "Ann Other", cwd=repo)
    git("config", "user.email", "ann@example.org", cwd=repo)
    report = product.report("--", "sh", "-c", "echo 1 > a && git add a && git commit -qm one && echo 2 > a && git commit -qam two")
    assert report["result"]["uncommitted"] is False
    assert git("log", "--format=%s %an", f"main..{report['result']['branch']}", cwd=repo).splitlines() == ["two Ann Other", "one Ann Other"]


def test_diff_and_apply(local: Aienv, repo: Path) -> None:
    """diff prints a patch that git takes; apply stages it in the user's tree, once."""
    local.run("-q", "--", "sh", "-c", "printf 'a\\0b' > binary; echo more >> README; chmod +x src/a.py; rm -f none")
    patch = local("diff", "last").stdout
    checked = subprocess.run(
        ["git", "apply", "--check", "--binary", "-"], cwd=repo, input=patch, capture_output=True, check=False, timeout=30
    )
    assert checked.returncode == 0, checked.stderr
    assert local("diff", "last", "--json").document["changed_files"]
    done = local("apply", "last", "--json")
    assert done.code == 0, done.errors
    assert git("diff", "--cached", "--name-status", cwd=repo).split() == ["M", "README", "A", "binary", "M", "src/a.py"]
    assert (repo / "binary").read_bytes() == b"a\0b"


def test_apply_that_does_not_fit_changes_nothing(local: Aienv, repo: Path) -> None:
    """A conflict with the user's own edits: an error, the tree as it was, the work still on its branch."""
    report = local.report("--", "sh", "-c", "echo agent > README; echo x > other")
    (repo / "README").write_text("user\n")
    before = git("status", "--porcelain", cwd=repo)
    done = local("apply", "last", "--json")
    assert done.code in range(1, 8)
    assert isinstance(done.document["error"]["message"], str)
    assert git("status", "--porcelain", cwd=repo) == before
    assert (repo / "README").read_text() == "user\n"
    assert git("show", f"{report['result']['branch']}:README", cwd=repo) == "agent\n"
