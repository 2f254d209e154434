"""What holds from one command to the next, and in the result: masks, git's guards, limits. What an agent may try within one command
is in tests/escape."""

from pathlib import Path

import pytest

from tests.e2e.product import Aienv, branches, commit, git, make_repository


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A repository with secret files."""
    repo = make_repository(tmp_path / "target")
    commit(repo, {".env": "TOKEN=1\n", ".npmrc": "token\n", "conf/key.pem": "KEY\n", "conf/open.txt": "x\n"})
    return repo


SUBMODULE_ESCAPE = (
    "mv .git/modules .git/old; mkdir -p .git/modules/lib/hooks .git/modules/lib/info; "
    "ln -s ../../../../../etc/machine-id .git/modules/lib/config; true"
)


def test_a_check_sees_no_more_than_the_agent(local: Aienv, target: Path, tmp_path: Path) -> None:
    """What the agent moves or links cannot open anything for the checks, whose sandbox is made anew after it."""
    planted = tmp_path / "planted"
    planted.mkdir(mode=0o777)
    planted.chmod(0o777)
    library = make_repository(tmp_path / "lib")
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", "--name", "lib", str(library), "lib", cwd=target)
    git("commit", "-qm", "submodule", cwd=target)
    git("config", "protocol.file.allow", "always", cwd=target)
    report = local.run(
        "--json",
        "--check", "cat .env moved/key.pem; cat .git/modules/lib/config",
        "--check", "test ! -s moved/key.pem && test -e moved/open.txt",
        "--", "sh", "-c", f"mv conf moved; ln -s /oldroot{planted} conf; {SUBMODULE_ESCAPE}",
        cwd=target,
    ).document  # fmt: skip
    first, second = report["checks"]
    assert "KEY" not in first["output_tail"]
    assert "TOKEN" not in first["output_tail"]
    assert Path("/etc/machine-id").read_text().strip() not in first["output_tail"] or not Path("/etc/machine-id").exists()
    assert (second["exit_code"], second["output_tail"]) == (0, "")
    assert list(planted.iterdir()) == []


def test_masked_files_are_never_part_of_a_result(product: Aienv, target: Path) -> None:
    """Not as deletions, not as empty files, not when everything is added, not when their folder is moved."""
    (target / "local.env").write_text("UNTRACKED=1\n")
    script = "mkdir made; echo x > made/x; mv conf moved; git add -A; git commit -qm all; cat local.env; git status --porcelain"
    report = product.run("--json", "--with-changes", "--", "sh", "-c", script, cwd=target).document
    assert report["status"] == "succeeded", report
    branch = report["result"]["branch"]
    changed = {file["path"] for file in report["result"]["changed_files"]}
    assert {path for path in changed if path.endswith((".env", ".pem", ".npmrc"))} <= {"conf/key.pem", "moved/key.pem"}
    assert git("show", f"{branch}:.env", cwd=target) == "TOKEN=1\n"
    assert "UNTRACKED=" not in git("log", "-p", branch, cwd=target)
    assert branches(target) == [branch]


def test_what_is_staged_of_a_masked_file_is_nowhere_inside(product: Aienv, target: Path) -> None:
    """Staged secrets come in neither as files nor as objects of git; the report says that they stayed behind."""
    for name in (".env", "new.env"):
        (target / name).write_text("STAGED_CANARY=1\n")
    (target / "plain").write_text("plain\n")
    git("add", "-f", ".env", "new.env", "plain", cwd=target)
    script = (
        "cat .env new.env; git show :.env; git show :new.env; git show :plain; for o in $(git cat-file --batch-all-objects"
        " --batch-check='%(objectname)'); do git cat-file -p $o; done | grep -a -c STAGED_CANARY"
    )
    done = product.run("-q", "--with-changes", "--", "sh", "-c", script, cwd=target)
    assert b"STAGED_CANARY" not in done.stdout
    assert done.stdout.endswith(b"plain\n0\n")
    report = product.run("--json", "--with-changes", "--", "true", cwd=target).document
    said = [note for note in report["notes"] if "is masked, so what you staged of it was not brought along" in note]
    assert len(said) == 2, report["notes"]
    assert git("show", ":new.env", cwd=target) == "STAGED_CANARY=1\n"


def test_unmask_shows_a_file(local: Aienv, target: Path) -> None:
    """The user's own exception holds; the rest stays hidden."""
    (local.home / "config.yaml").write_text("sandbox: {unmask: [.npmrc]}\n")
    done = local.run("-q", "--", "sh", "-c", "cat .npmrc .env conf/key.pem", cwd=target)
    assert done.stdout == b"token\n"


def test_a_repository_cannot_unmask(local: Aienv, target: Path) -> None:
    """A repository that asks to unhide a file is refused."""
    commit(target, {".aienv.yaml": "sandbox: {unmask: ['.env']}\n"})
    assert local.run("-q", "--", "cat", ".env", cwd=target).code == 4


@pytest.mark.parametrize(
    ("option", "script"),
    [
        pytest.param("--pids=40", "i=0; while [ $i -lt 200 ]; do sleep 30 & i=$((i+1)); done; wait", id="processes"),
        pytest.param("--memory=96m", "python3 -c 'x = bytearray(400 << 20)'", id="memory"),
        pytest.param("--disk=1m", "head -c 3000000 /dev/zero > big", id="file-size"),
    ],
)
def test_limits_hold(product: Aienv, option: str, script: str) -> None:
    """More than a limit allows fails for the agent; the run itself ends well."""
    report = product.report(option, "--timeout", "20s", "--", "sh", "-c", script)
    assert report["status"] in ("failed", "timeout")
    assert report["error"] is None
    assert report["teardown"]["left"] == []


def test_what_is_not_limited_is_said(local: Aienv) -> None:
    """The local backend names the limits that it cannot hold."""
    assert set(local.report("--", "true")["unlimited"]) <= {"memory", "disk", "cpus", "pids"}


def test_tmp_is_bounded_and_gone(product: Aienv) -> None:
    """/tmp takes no more than its size, and nothing of it is on the host."""
    done = product.run(
        "-q", "--", "sh", "-c", "head -c 700000000 /dev/zero > /tmp/big; echo $?; rm /tmp/big; echo x > /tmp/aienv-probe-file"
    )
    assert done.stdout == b"1\n"
    assert not Path("/tmp/aienv-probe-file").exists()


def test_a_hostile_repository_is_harvested_without_running_its_words(local: Aienv, repo: Path, tmp_path: Path) -> None:
    """Filters, fsmonitor, hooks, aliases, textconv and pagers that the agent sets up do not run on the host."""
    witness = tmp_path / "witness"
    script = (
        "for h in post-checkout pre-commit reference-transaction; do printf '#!/bin/sh\\ntouch %s\\n' > /tmp/$h; done;"
        f"echo '* filter=evil diff=evil' > .gitattributes; export GIT_CONFIG_GLOBAL=/tmp/g;"
        f"git config -f /tmp/g filter.evil.clean 'touch {witness}; cat'; git config -f /tmp/g diff.evil.textconv 'touch {witness}; cat';"
        "echo x > made; git add -A; git commit -qm evil;"
        f"mkdir nested; cd nested; git init -q .; git config core.fsmonitor 'touch {witness}'; echo y > y; git add y; git commit -qm y"
    )
    report = local.report("--", "sh", "-c", script)
    assert report["status"] == "succeeded", report
    local("diff", "last")
    assert not witness.exists()
