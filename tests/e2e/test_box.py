"""A box: an agent on the project as it lies here, and what it did in the files afterwards."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.product import Aienv, Done, branches, git
from tests.e2e.test_terminal import Screen


def box(aienv: Aienv, script: str, *options: str, cwd: Path | None = None) -> Done:
    return aienv("box", *aienv.options, *options, "command", "--", "sh", "-c", script, cwd=cwd)


@pytest.fixture
def dirty(repo: Path) -> Path:
    """A checkout with something of each kind: staged, changed again, removed, untracked, ignored, secret."""
    (repo / ".gitignore").write_text("*.o\n")
    git("add", ".gitignore", cwd=repo)
    git("commit", "-qm", "ignore", cwd=repo)
    (repo / "README").write_text("hello\nstaged\n")
    git("add", "README", cwd=repo)
    (repo / "README").write_text("hello\nstaged\nunstaged\n")
    (repo / "mine").write_text("mine\n")
    (repo / "scratch").write_text("scratch\n")
    (repo / "a.o").write_text("object\n")
    (repo / ".env").write_text("KEY=secret-of-the-user\n")
    return repo


def test_changes_in_and_out(product: Aienv, dirty: Path) -> None:
    """The agent sees the work tree, its work is in the files afterwards, uncommitted; the index and what is hidden stay as they were."""
    head, staged = git("rev-parse", "HEAD", cwd=dirty), git("diff", "--cached", cwd=dirty)
    script = (
        "set -e; test -z \"$(cat .env)\"; test ! -e a.o; cat README mine; echo agent >> README; echo new > src/new.py; chmod +x mine; "
        "git add -A; git commit -qm 'work of the agent'; echo later > later; rm src/a.py; ln -s README link"
    )
    done = box(product, script)
    assert (done.code, done.text) == (0, "hello\nstaged\nunstaged\nmine\n"), done.errors
    assert (dirty / "README").read_text() == "hello\nstaged\nunstaged\nagent\n"
    assert ((dirty / "src/new.py").read_text(), (dirty / "later").read_text()) == ("new\n", "later\n")
    assert (dirty / "link").readlink() == Path("README")
    assert not (dirty / "src/a.py").exists()
    assert (dirty / "mine").stat().st_mode & 0o100
    assert ((dirty / ".env").read_text(), (dirty / "a.o").read_text()) == ("KEY=secret-of-the-user\n", "object\n")
    assert (git("rev-parse", "HEAD", cwd=dirty), git("diff", "--cached", cwd=dirty)) == (head, staged)
    assert git("log", "-1", "--format=%s", f"{branches(dirty)[0]}~1", cwd=dirty) == "work of the agent\n"
    (before,) = git("for-each-ref", "--format=%(refname)", "refs/aienv/*/before", cwd=dirty).split()
    assert git("show", f"{before}:README", cwd=dirty) == "hello\nstaged\nunstaged\n"
    assert "secret-of-the-user" not in git("grep", "-h", "-e", ".", before, cwd=dirty)
    assert "files   6 files changed, uncommitted" in done.errors


@pytest.mark.parametrize(
    ("file", "code"), [pytest.param("long", 7, id="both"), pytest.param("mine", 0, id="another", marks=pytest.mark.slow)]
)
def test_a_file_that_the_user_changed_meanwhile(local: Aienv, dirty: Path, file: str, code: int) -> None:
    """Where the agent changed it too, nothing is put into the tree, and the way by hand is told. The user's bytes stay in any case."""
    lines = "".join(f"line {number}\n" for number in range(20))
    (dirty / "long").write_text(lines)
    process = _start(local, dirty, "echo agent >> long; echo agent > made; until test -e go; do sleep 0.05; done; rm go")
    (work,) = _wait(lambda: list((local.home / "work").glob("*/workspace/app/made")))
    (dirty / file).write_text("the user's own\n" + lines)
    (work.parent / "go").write_text("")
    ended, said = process.wait(60), process.stderr.read().decode() if process.stderr else ""
    assert (ended, (dirty / file).read_text(), (dirty / "made").exists()) == (code, "the user's own\n" + lines, code == 0), said
    for by_hand in [line.partition("by hand: ")[2] for line in said.splitlines() if "by hand: " in line]:
        subprocess.run(["sh", "-c", by_hand], cwd=dirty, check=True, timeout=30)
        assert (dirty / "long").read_text() == "the user's own\n" + lines + "agent\n"
    assert (dirty / "made").read_text() == "agent\n"


def _start(aienv: Aienv, repo: Path, script: str) -> "subprocess.Popen[bytes]":
    words = aienv.command("box", *aienv.options, "command", "--", "sh", "-c", script)
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, cwd=repo, env=dict(aienv.environ), **quiet)  # type: ignore[call-overload,no-any-return]


def _wait(condition: Callable[[], list[Path]]) -> list[Path]:
    end = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


@pytest.mark.slow
def test_what_was_never_committed_is_not_removed(local: Aienv, dirty: Path) -> None:
    """Neither when the agent removes it nor when it ignores it; what was committed is removed."""
    done = box(local, "rm scratch src/a.py; echo mine >> .gitignore")
    assert (done.code, (dirty / "scratch").read_text(), (dirty / "mine").read_text()) == (0, "scratch\n", "mine\n"), done.errors
    assert not (dirty / "src/a.py").exists()
    assert [line.split()[2] for line in done.errors.splitlines() if line.startswith("aienv: kept ")] == ["mine:", "scratch:"]


def test_no_repository(local: Aienv, tmp_path: Path) -> None:
    """Said, with the way out; nothing is made."""
    (tmp_path / "plain").mkdir()
    done = box(local, "true", cwd=tmp_path / "plain")
    assert (done.code, local.runs()) == (6, [])
    assert "git init" in done.errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("--ref", "HEAD", "command", "--", "true"), "--ref is not for aienv box", id="ref"),
        pytest.param(("command",), "there is no command", id="no-command", marks=pytest.mark.slow),
        pytest.param(("command", "--"), "there is no command", id="no-command-after", marks=pytest.mark.slow),
        pytest.param(("claude",), "needs a terminal", id="no-terminal"),
    ],
)
def test_refused(local: Aienv, words: tuple[str, ...], said: str) -> None:
    """Before anything is made."""
    done = local("box", *local.options, *words)
    assert (done.code, local.runs()) == (2, [])
    assert said in done.errors


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    opened: list[Screen] = []
    yield opened
    for screen in opened:
        screen.close()


def test_in_a_terminal(local: Aienv, repo: Path, screens: list[Screen]) -> None:
    """A shell in a box: keys in, and its work in the files; it has hours of time where nobody set a limit."""
    words = local.command("box", *local.options, "command", "--", "bash", "--norc", "-i")
    screens.append(Screen(words, dict(local.environ), repo))
    screens[0].until(rb"\$ ")
    screens[0].type(b"test -t 0 && echo typed > made; exit\r")
    assert screens[0].end() == 0, screens[0].seen
    assert (repo / "made").read_text() == "typed\n"
    assert git("status", "--porcelain", cwd=repo) == "?? made\n"
    (run,) = local.runs()
    assert local("show", run["id"], "--json").document["plan"]["limits"]["timeout_s"] == 12 * 3600


@pytest.mark.slow
def test_by_a_shim(local: Aienv, repo: Path, tmp_path: Path) -> None:
    """Installed, found, called with words of the agent's own, removed."""
    done = local("shim", "install", "command", "--dir", str(tmp_path / "bin"), "--json")
    assert done.document["installed"][0]["path"] == str(tmp_path / "bin" / "command-box")
    called = subprocess.run(
        [tmp_path / "bin" / "command-box", "sh", "-c", "echo $0 > made", "a b"], cwd=repo, env={**local.environ, "AIENV_BACKEND": "local"},
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (called.returncode, (repo / "made").read_text()) == (0, "a b\n"), called.stderr
    assert local("shim", "ls", "--dir", str(tmp_path / "bin"), "--json").document[0]["agent"] == "command"
    assert local("shim", "rm", "--dir", str(tmp_path / "bin")).code == 0
    assert list((tmp_path / "bin").iterdir()) == []


@pytest.mark.slow
def test_a_repository_without_a_commit(local: Aienv, tmp_path: Path) -> None:
    """Its files are changes, all of them."""
    (tmp_path / "empty").mkdir()
    git("init", "-q", cwd=tmp_path / "empty")
    (tmp_path / "empty" / "mine").write_text("mine\n")
    done = box(local, "echo agent >> mine; echo new > new", cwd=tmp_path / "empty")
    assert (done.code, (tmp_path / "empty" / "mine").read_text()) == (0, "mine\nagent\n"), done.errors
    assert git("status", "--porcelain", cwd=tmp_path / "empty") == "?? mine\n?? new\n"


@pytest.mark.slow
def test_ended_early(local: Aienv, repo: Path) -> None:
    """TERM or a failing agent: what was done is in the files all the same."""
    assert box(local, "echo x > made; exit 3").code == 1
    process = _start(local, repo, "echo y >> made; echo ready > ready; sleep 600")
    _wait(lambda: list((local.home / "work").glob("*/workspace/app/ready")))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert (repo / "made").read_text() == "x\ny\n"


@pytest.mark.slow
def test_nothing_done(local: Aienv, dirty: Path) -> None:
    """The files are as they were, to the moment of their last change."""
    stamps = {name: (dirty / name).stat().st_mtime_ns for name in ("README", "mine", ".env")}
    done = box(local, "true")
    assert (done.code, "files   as they were" in done.errors) == (0, True), done.errors
    assert {name: (dirty / name).stat().st_mtime_ns for name in stamps} == stamps


@pytest.mark.slow
def test_something_ignored_is_in_the_way(local: Aienv, dirty: Path) -> None:
    """What git does not keep is not overwritten."""
    done = box(local, "echo agent > a.o; git add -f a.o; git commit -qm o; echo x > made")
    assert (done.code, (dirty / "a.o").read_text(), (dirty / "made").exists()) == (7, "object\n", False), done.errors
