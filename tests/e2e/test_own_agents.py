"""An agent of the user's own: added from a manifest, and run like any other; what a repository brings is not one."""

import json
import time
from pathlib import Path

import pytest

from tests.e2e.product import ROOT, Aienv, commit, git

NOTE_TAKER = ROOT / "examples/agents/note-taker.yaml"


def test_note_taker(product: Aienv) -> None:
    """The prompt arrives as one word, whatever is in it, and the agent's commit comes out."""
    assert product("agents", "add", str(NOTE_TAKER)).code == 0
    done = product.run("--json", "--agent", "note-taker", "Remember $(id) the 'milk'; --now")
    assert done.code == 0, done.errors
    report = done.document
    assert (report["status"], [file["path"] for file in report["result"]["changed_files"]]) == ("succeeded", ["NOTES.md"])
    assert not report["result"]["uncommitted"]
    assert "+Remember $(id) the 'milk'; --now\n" in product("diff", "last").text


def test_of_the_repository(local: Aienv, repo: Path) -> None:
    """A manifest says what is installed and which variables are keys; a repository has no say in that."""
    for folder in (".aienv/agents", "agents", ".config/aienv/agents"):
        (repo / folder).mkdir(parents=True)
        (repo / folder / "note-taker.yaml").write_bytes(NOTE_TAKER.read_bytes())
    done = local.run("--with-changes", "--agent", "note-taker", "Remember the milk")
    assert done.code == 2
    assert "unknown agent 'note-taker'" in done.errors


LOOKER = """version: 1
title: Looker
program: {image: sh}
headless: [-c, 'cat .acts/* .acting/* | sort | uniq -c; cat config/*/.env; true', looker, "{prompt}"]
project_files:
  - {glob: ".acts/**", neutral: "left out\\n"}
  - {glob: ".acting/*", neutral: "nothing\\n"}
"""


def look(product: Aienv, tmp_path: Path, files: dict[str, str]) -> tuple[int, str, str]:
    """(exit code, what the agent sees, what people are told) of files of the repository by which it could act."""
    commit(product.cwd, files)
    (tmp_path / "looker.yaml").write_text(LOOKER)
    assert product("agents", "add", str(tmp_path / "looker.yaml")).code == 0
    done = product.run("--agent", "looker", "Look around")
    return done.code, " ".join(done.text.split()), done.errors


@pytest.mark.parametrize("count", [60, 300])
def test_many_files_by_which_it_could_act(product: Aienv, tmp_path: Path, count: int) -> None:
    """Each is covered by what the agent's manifest says; they look the same to git."""
    files = {f".acts/{number}.js": f"acts {number}\n" for number in range(count)} | {".acting/1": "acts\n"}
    code, seen, errors = look(product, tmp_path, files)
    assert code == 0, errors
    assert seen == f"{count} left out 1 nothing"
    assert "acts" not in seen


def test_too_many_files_by_which_it_could_act(local: Aienv, tmp_path: Path) -> None:
    """Refused before anything starts."""
    code, seen, errors = look(local, tmp_path, {f".acts/{number}.js": "acts\n" for number in range(1001)})
    assert (code, seen) == (4, "")
    assert "1,001 of its files would act by themselves" in errors
    assert "remove files by which agents act" in errors


def test_many_masked_files(local: Aienv, tmp_path: Path) -> None:
    """All are empty to it."""
    code, seen, errors = look(local, tmp_path, {f"config/{number}/.env": "SECRET\n" for number in range(300)} | {".acts/1": "acts\n"})
    assert code == 0, errors
    assert "left out" in seen
    assert "SECRET" not in seen


SLEEPER = """version: 1
title: Sleeper
program: {image: sh}
headless:
  - -c
  - |
    mkdir -p ~/.sleeper/s && echo dreamt > ~/.sleeper/s/night
    echo '{"type":"system","subtype":"init","session_id":"s-1","model":"m1","tools":[]}'
    echo work > work; touch ready; sleep 300
  - sleeper
  - "{prompt}"
resume:
  - -c
  - |
    cat ~/.sleeper/s/night work > again
    echo '{"type":"system","subtype":"init","session_id":"s-1","model":"m1","tools":[]}'
    echo '{"type":"assistant","message":{"role":"assistant","content":[{"type":"text","text":"up"}]},"session_id":"s-1"}'
    echo '{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"done","session_id":"s-1","total_cost_usd":0}'
  - sleeper
  - "{session}"
  - "{prompt}"
sessions: [.sleeper/s]
dialect: claude
"""


def test_its_session_after_a_kill(product: Aienv, tmp_path: Path) -> None:
    """``kill -9`` of aienv: whoever finishes the run keeps the session too, and the agent goes on with it, on top of its work."""
    (tmp_path / "sleeper.yaml").write_text(SLEEPER)
    assert product("agents", "add", str(tmp_path / "sleeper.yaml")).code == 0
    process = product.start("--agent", "sleeper", "Sleep and dream")
    deadline = time.monotonic() + 60
    while not list(product.home.glob("work/*/workspace/*/ready")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)
    while not list(product.home.glob("runs/*/report.json")) and time.monotonic() < deadline + 60:
        time.sleep(0.05)  # the broker finishes it
    done = product("resume", "last", "Go on", "--json")
    assert done.code == 0, done.errors
    assert [file["path"] for file in done.document["result"]["changed_files"]] == ["again"]
    branch = done.document["result"]["branch"]
    assert git("show", f"{branch}:again", cwd=product.cwd) == "dreamt\nwork\n"
    first = json.loads((product.home / "runs" / done.document["agent"]["native"] / "report.json").read_bytes())
    told = {name: first["agent"][name] for name in ("profile", "session", "model")}
    assert told == {"profile": "sleeper", "session": "s-1", "model": "m1"}
    assert (first["status"], first["recovered"]) == ("interrupted", True)
    assert Path(first["agent"]["sessions"], ".sleeper/s/night").read_text() == "dreamt\n"
