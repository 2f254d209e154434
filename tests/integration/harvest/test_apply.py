"""``aienv apply`` loses nothing of the user's: neither what git keeps nor what it ignores."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from orchestrator.errors import HarvestFailed
from orchestrator.harvest.apply import apply
from tests.integration.harvest.place import sh

BASE = """
git init -q -b main; git config user.name u; git config user.email u@x
printf '.env\\nbuild\\nlocal.db\\nnotes\\n' > .gitignore
mkdir -p src deep/er; echo a > a.txt; echo b > src/b.txt; echo c > deep/er/c; ln -s a.txt link
git add .; git commit -qm base
"""


@pytest.fixture
def user(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    sh(BASE, folder)
    return folder


def result(user: Path, script: str, name: str = "run") -> Path:
    """The run folder of an agent that did ``script`` in a clone of the user's repository."""
    agent, run = user.parent / "agent", user.parent / name
    sh(f"git clone -q {user} {agent}", user.parent)
    run.mkdir()
    sh(f"git config user.name a; git config user.email a@x; {script}; git add -f -A; git commit -qm agent", agent)
    sh(f"git diff --binary --full-index --no-renames HEAD~1 HEAD > {run}/result.patch", agent)
    shutil.rmtree(agent)
    return run


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file, link and folder of a work tree, nested git folders included; of the top's git folder the index and the refs."""
    found: dict[str, tuple[int, bytes]] = {}
    for where, folders, files in os.walk(folder):
        if Path(where) == folder:
            folders.remove(".git")
        for name in (*folders, *files):
            path = os.path.join(where, name)
            mode = os.lstat(path).st_mode
            link, plain = stat.S_ISLNK(mode), stat.S_ISREG(mode)
            content = os.fsencode(os.readlink(path)) if link else Path(path).read_bytes() if plain else b""
            found[os.path.relpath(path, folder)] = (mode, content)
    return {**found, "the index": (0, sh("git ls-files --stage", folder).encode())}


NESTED = "mkdir notes; cd notes; git init -q; git config user.name u; git config user.email u@x; echo mine > n; git add n; git commit -qm n"


@pytest.mark.parametrize(
    ("mine", "agents", "named"),
    [
        pytest.param("echo secret > .env", "echo agent > .env", ".env", id="ignored-file"),
        pytest.param("echo secret > .env", "ln -s /etc/passwd .env", ".env", id="ignored-file-by-a-link"),
        pytest.param("echo secret > .env", "mkdir .env; echo x > .env/x", ".env", id="ignored-file-by-a-folder"),
        pytest.param("mkdir build; echo only > build/keep", "ln -s /tmp build", "build/keep", id="ignored-folder-by-a-link"),
        pytest.param("mkdir build; echo only > build/keep", "echo file > build", "build/keep", id="ignored-folder-by-a-file"),
        pytest.param("mkdir -p build/x/y; echo only > build/x/y/z", "echo file > build", "build/x/y/z", id="deep-in-an-ignored-folder"),
        pytest.param(
            "mkdir build; echo only > build/keep", "mkdir build; echo agent > build/keep", "build/keep", id="in-an-ignored-folder"
        ),
        pytest.param("ln -s ../outside build", "mkdir build; echo agent > build/keep", "build", id="ignored-link-to-a-folder"),
        pytest.param("ln -s nowhere build", "mkdir build; echo agent > build/keep", "build", id="ignored-dangling-link"),
        pytest.param("ln -s nowhere .env", "echo agent > .env", ".env", id="ignored-dangling-link-by-a-file"),
        pytest.param(NESTED, "echo file > notes", "notes/", id="nested-repository-by-a-file"),
        pytest.param(NESTED, "ln -s . notes", "notes/", id="nested-repository-by-a-link"),
        pytest.param(NESTED, "mkdir notes; echo q > notes/q", "notes", id="into-a-nested-repository"),
        pytest.param("echo ig > src/local.db", "git rm -rq src; echo file > src", "src/local.db", id="ignored-beside-a-tracked-file"),
        pytest.param(
            "rm -r src; ln -s ../outside src; echo src >> .git/info/exclude",
            "echo more >> src/b.txt",
            "src",
            id="tracked-folder-now-a-link",
        ),
        pytest.param("git update-index --assume-unchanged a.txt; echo mine > a.txt", "echo agent > a.txt", "a.txt", id="assumed-unchanged"),
        pytest.param("git update-index --skip-worktree a.txt; echo mine > a.txt", "echo agent > a.txt", "a.txt", id="skip-worktree"),
        pytest.param(
            "rm link; mkdir link; echo mine > link/x; echo link >> .git/info/exclude",
            "rm link; echo agent > link",
            "link",
            id="tracked-link-now-a-folder",
        ),
        pytest.param("echo mine > new; git add -N new", "echo agent > new", "new", id="intended"),
    ],
)
def test_what_is_in_the_way_stays(user: Path, mine: str, agents: str, named: str) -> None:
    """What git ignores stays as it is, byte for byte, and so does the whole tree: the result is refused and can be merged later."""
    run = result(user, agents)
    outside = user.parent / "outside"
    outside.mkdir()
    (outside / "keep").write_text("outside\n")
    (outside / "b.txt").write_text("b\n")
    sh(mine, user)
    before = everything(user)
    with pytest.raises(HarvestFailed, match="nothing was changed") as caught:
        apply(run, user, branch="aienv/fix-r1")
    assert named in caught.value.message
    assert caught.value.code == "conflict"
    assert "branch aienv/fix-r1" in (caught.value.remedy or "")
    assert ("move it away first" in (caught.value.remedy or "")) == ("in the way" in str(caught.value) or "of its own" in str(caught.value))
    assert everything(user) == before
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"keep": "outside\n", "b.txt": "b\n"}


def test_a_checked_out_submodule_is_not_replaced(user: Path, tmp_path: Path) -> None:
    """A submodule is the user's repository: a file in its place is refused, as is a file inside it."""
    sh(
        "git init -q -b main lib; cd lib; git config user.name u; git config user.email u@x; echo l > l; git add l; git commit -qm l",
        tmp_path,
    )
    sh(f"git -c protocol.file.allow=always submodule -q add {tmp_path}/lib lib; git commit -qm lib; echo mine > lib/untracked", user)
    for number, script in enumerate(("git rm -q lib; echo file > lib", "git rm -q lib; mkdir lib; echo q > lib/q")):
        run = result(user, script, f"run-{number}")
        before = everything(user)
        with pytest.raises(HarvestFailed, match="'lib"):
            apply(run, user)
        assert everything(user) == before


@pytest.mark.parametrize(
    ("mine", "agents"),
    [
        pytest.param("true", "git rm -rq src; echo file > src", id="folder-by-a-file"),
        pytest.param("true", "rm a.txt; mkdir a.txt; echo x > a.txt/x", id="file-by-a-folder"),
        pytest.param("true", "rm link; mkdir link; echo x > link/x", id="link-by-a-folder"),
        pytest.param("true", "rm link; echo file > link; rm a.txt; ln -s src a.txt", id="kinds-change"),
        pytest.param("echo secret > .env; mkdir build; echo only > build/keep", "echo agent > other; echo x >> deep/er/c", id="elsewhere"),
        pytest.param("mkdir build; echo only > build/keep", "mkdir build; echo agent > build/other", id="beside-an-ignored-file"),
        pytest.param("mkdir -p build/empty", "echo file > build", id="empty-folders-hold-nothing"),
        pytest.param(NESTED, "echo agent > other", id="beside-a-nested-repository"),
        pytest.param("echo ig > src/local.db", "git rm -rq src", id="ignored-beside-what-goes"),
    ],
)
def test_what_is_not_in_the_way_fits(user: Path, mine: str, agents: str) -> None:
    """The nearest results that do fit are staged, and whatever the user had is still there."""
    run = result(user, agents)
    sh(mine, user)
    ignored = sh("git ls-files -o -z | tr '\\0' '\\n'", user)
    assert apply(run, user).files
    assert sh("git ls-files -o -z | tr '\\0' '\\n'", user) == ignored
    assert sh("git diff", user) == ""
