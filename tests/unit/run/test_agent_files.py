"""What an agent finds, and what is kept of it: on real folders, with names and kinds of files that an agent may make."""

import hashlib
import os
import shutil
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from orchestrator.agents import project
from orchestrator.agents.project import PROJECT_FILES_OF
from orchestrator.config.document import read_document
from orchestrator.config.layers import Source, resolve
from orchestrator.errors import EnvironmentFailed, PolicyRefused
from orchestrator.model.agent import Native
from orchestrator.model.paths import Paths, paths_from
from orchestrator.model.plan import AgentPlan, AgentText, Plan
from orchestrator.run import agent_files
from orchestrator.run.agent_files import furnish, keep_sessions, left_out
from orchestrator.run.context import Context
from orchestrator.run.folder import RunFolder, run_folder
from tests.unit.test_policy import plan as whole_plan

CLAUDE = AgentPlan("claude", ("true",), None, False, project_files=tuple((row.glob, row.neutral) for row in PROJECT_FILES_OF["claude"]))
HOOKS = b'{"hooks": {}}'


def grant(path: str, content: bytes) -> str:
    return f"{path}@sha256:{hashlib.sha256(content).hexdigest()}"


def put(place: Path, content: bytes = b"x") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


# --- files of the repository -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "content", "covered"),
    [
        pytest.param(".claude/settings.json", HOOKS, True, id="settings"),
        pytest.param(".mcp.json", HOOKS, True, id="servers"),
        pytest.param(".claude/agents/a b\n'\"$(id).md", b"---\nhooks: {}\n---\n", True, id="odd-name"),
        pytest.param(os.fsdecode(b".claude/agents/\xe9\xff.md"), b"---\nhooks: {}\n---\n", True, id="name-that-is-no-text"),
        pytest.param(".claude/agents/-rf.md", b"\0", True, id="option-like"),
        pytest.param(".claude/skills/a/b/c/d/.mcp.json", HOOKS, True, id="below"),
        pytest.param(".claude/settings.json.bak", HOOKS, False, id="another-name"),
        pytest.param("sub/.claude/settings.json", HOOKS, False, id="another-folder"),
        pytest.param("CLAUDE.md", b"---\nhooks: {}\n---\n", False, id="prose"),
        pytest.param(".claude/agents/helper.md", b"# Help\n", False, id="prose-of-a-helper"),
    ],
)
def test_what_acts_is_left_out(tmp_path: Path, path: str, content: bytes, covered: bool) -> None:
    """With the digest of what is there, by which it can be granted; then it stays."""
    put(tmp_path / path, content)
    found = left_out(tmp_path, CLAUDE)
    assert [one.path for one in found] == ([path] if covered else [])
    for one in found:
        assert one.grant_text == grant(path, content)
    assert left_out(tmp_path, replace(CLAUDE, grants=(grant(path, content),))) == ()
    assert len(left_out(tmp_path, replace(CLAUDE, grants=(grant(path, content + b" "),)))) == len(found)


def test_an_agent_without_such_files(tmp_path: Path) -> None:
    put(tmp_path / ".claude/settings.json", HOOKS)
    assert left_out(tmp_path, replace(CLAUDE, project_files=())) == ()


@pytest.mark.parametrize(
    ("glob", "found"),
    [("*.hooks", ["a.hooks"]), ("**/x.hooks", ["sub/x.hooks"]), (".[mn]ine/h", [".mine/h"]), ("sub/*", ["sub/x.hooks"]), ("?", [])],
)
def test_globs_of_an_agent_of_the_users(tmp_path: Path, glob: str, found: list[str]) -> None:
    """Also where the first part is one."""
    for path in ("a.hooks", "sub/x.hooks", ".mine/h"):
        put(tmp_path / path, HOOKS)
    assert [one.path for one in left_out(tmp_path, replace(CLAUDE, project_files=((glob, ""),)))] == found


def test_more_than_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused, with a way out that leads out; what is granted does not count."""
    monkeypatch.setattr(agent_files, "MAX_COVERED", 2)
    for name in ("settings.json", "settings.local.json"):
        put(tmp_path / ".claude" / name, HOOKS)
    assert len(left_out(tmp_path, CLAUDE)) == 2
    put(tmp_path / ".mcp.json", HOOKS)
    with pytest.raises(PolicyRefused, match="3 of its files would act by themselves") as caught:
        left_out(tmp_path, CLAUDE)
    assert (caught.value.exit_code, caught.value.remedy) == (4, agent_files.FEWER)
    assert len(left_out(tmp_path, replace(CLAUDE, grants=(grant(".mcp.json", HOOKS),)))) == 2


@pytest.mark.parametrize("link", [False, True])
def test_more_than_is_looked_at(tmp_path: Path, link: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a word of links where there is none."""
    monkeypatch.setattr(project, "MAX_FOUND", 2)
    for name in ("1.md", "2.md", "3.md"):
        put(tmp_path / ".claude/agents" / name)
    if link:
        (tmp_path / ".mcp.json").symlink_to("/etc/passwd")
    with pytest.raises(PolicyRefused, match="more than 2 files by which an agent acts") as caught:
        left_out(tmp_path, CLAUDE)
    assert ("remove the link" in (caught.value.remedy or "")) is link


def test_a_large_file_cannot_be_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_files, "MAX_GRANTED_BYTES", 8)
    put(tmp_path / ".mcp.json", b"123456789")
    put(tmp_path / ".claude/settings.json", b"12345678")
    assert {one.path: one.grant_text is None for one in left_out(tmp_path, CLAUDE)} == {".mcp.json": True, ".claude/settings.json": False}


@pytest.mark.parametrize(
    ("links", "covered"),
    [
        pytest.param({".mcp.json": "servers/mine.json"}, "servers/mine.json", id="file"),
        pytest.param({".claude": "servers"}, "servers/settings.json", id="folder"),
        pytest.param({".claude": "one", "one": "two", "two": "servers"}, "servers/settings.json", id="chain"),
        pytest.param({".claude": "servers/../servers/."}, "servers/settings.json", id="dots"),
        pytest.param({".mcp.json": "nowhere"}, None, id="to-nothing"),
        pytest.param({"other": "/etc"}, None, id="another-name-may-lead-anywhere"),
    ],
)
def test_links_are_followed_within_the_repository(tmp_path: Path, links: dict[str, str], covered: str | None) -> None:
    """The mount goes over the file that is meant."""
    for name in ("mine.json", "settings.json"):
        put(tmp_path / "servers" / name, HOOKS)
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    assert [one.path for one in left_out(tmp_path, CLAUDE)] == ([covered] if covered else [])


@pytest.mark.parametrize(
    "links",
    [
        pytest.param({".mcp.json": "/etc/passwd"}, id="absolute"),
        pytest.param({".mcp.json": "../outside"}, id="above"),
        pytest.param({".claude": "../x"}, id="folder-above"),
        pytest.param({".claude": "a", "a": ".claude"}, id="circle"),
        pytest.param({".claude": ".claude"}, id="itself"),
    ],
)
def test_links_that_lead_out_are_refused(tmp_path: Path, links: dict[str, str]) -> None:
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    with pytest.raises(PolicyRefused, match="link out of the repository") as caught:
        left_out(tmp_path, CLAUDE)
    assert caught.value.remedy


def test_a_link_in_a_circle_hides_nothing(tmp_path: Path) -> None:
    """It is an error to look at one, and the repository chooses what stands beside it."""
    put(tmp_path / ".claude/settings.json", HOOKS)
    put(tmp_path / ".mcp.json", HOOKS)
    for number in range(20):
        (tmp_path / f".claude/{number}").symlink_to(str(number))
        (tmp_path / f"{number}").symlink_to(str(number))
    assert sorted(one.path for one in left_out(tmp_path, CLAUDE)) == [".claude/settings.json", ".mcp.json"]


def test_what_is_no_plain_file_is_covered_and_not_read(tmp_path: Path) -> None:
    """A pipe would never answer."""
    (tmp_path / ".claude").mkdir()
    os.mkfifo(tmp_path / ".claude/settings.json")
    assert [(one.path, one.grant_text) for one in left_out(tmp_path, CLAUDE)] == [(".claude/settings.json", None)]


# --- sessions ------------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """What these functions take of a context."""

    paths: Paths
    folder: RunFolder
    plan: Plan
    notes: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder.home

    def kept(self) -> dict[str, bytes]:
        root = self.folder.run / "sessions"
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def keep(self) -> str | None:
        return keep_sessions(cast(Context, self))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    paths = paths_from({"AIENV_HOME": str(tmp_path / "aienv"), "HOME": str(tmp_path)})
    found = whole_plan(resolve([Source("user", read_document(b"{}", "user", "config").values)]))
    folder = run_folder(paths, "0123456789")
    folder.home.mkdir(parents=True)
    folder.run.mkdir(parents=True)
    own = replace(found.agent, profile="claude", sessions=(".own/s", ".more"))
    return Run(paths, folder, replace(found, agent=own, uid=os.geteuid() or 1000, gid=os.getegid() or 1000))


def test_plain_files_are_kept(run: Run) -> None:
    """As they are, for nobody else; nothing from beside the folders."""
    put(run.home / ".own/s/a/b.jsonl", b"1")
    put(run.home / ".more/-x", b"")
    put(run.home / ".own/secret", b"no")
    name = os.fsdecode(b"\xe9\n")
    put(run.home / ".more" / name, b"2")
    run.keep()
    assert run.kept() == {".own/s/a/b.jsonl": b"1", ".more/-x": b"", f".more/{name}": b"2"}
    assert run.notes == []
    assert (run.folder.run / "sessions/.own/s/a/b.jsonl").stat().st_mode & 0o777 == 0o600


def test_nothing_to_keep(run: Run) -> None:
    (run.home / ".more/empty").mkdir(parents=True)
    assert run.keep() is None
    assert not (run.folder.run / "sessions").exists()
    assert run.notes == []


def test_links_and_odd_kinds_are_left(run: Run, tmp_path: Path) -> None:
    """Neither a link nor what it names, nor a pipe that would never answer, nor a socket."""
    outside = put(tmp_path / "outside/secret", b"secret").parent
    folder = run.home / ".own/s"
    put(folder / "plain", b"1")
    (folder / "file-link").symlink_to(outside / "secret")
    (folder / "folder-link").symlink_to(outside)
    (folder / "circle").symlink_to(".")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        os.rename(tmp_path / "sock", folder / "sock")
    run.keep()
    assert run.kept() == {".own/s/plain": b"1"}
    assert run.notes == []


@pytest.mark.parametrize("link", [".own", ".own/s"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(run: Run, tmp_path: Path, link: str) -> None:
    """The other folder is kept all the same."""
    put(tmp_path / "outside/s/secret", b"secret")
    put(run.home / ".more/plain", b"1")
    (run.home / link).parent.mkdir(parents=True, exist_ok=True)
    (run.home / link).symlink_to(tmp_path / ("outside" if link == ".own" else "outside/s"))
    run.keep()
    assert run.kept() == {".more/plain": b"1"}


def test_a_file_in_the_place_of_a_folder(run: Run) -> None:
    put(run.home / ".own", b"x")
    put(run.home / ".more", b"x")
    run.keep()
    assert run.kept() == {}


def test_deep_trees_end_somewhere(run: Run) -> None:
    here = run.home / ".more"
    for depth in range(60):
        put(here / "f", str(depth).encode())
        here /= "d"
    run.keep()
    assert len(run.kept()) == agent_files.MAX_SESSION_DEPTH + 1
    assert "left out: 1 folder more than 20 deep" in " ".join(run.notes)
    furnish(earlier(run), ())


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        ("MAX_SESSION_BYTES", "left out: 2 files for which there was no room"),
        ("MAX_SESSION_FILES", "left out: what comes after the first 3 files and folders"),
    ],
)
def test_too_much_is_cut_and_told(run: Run, bound: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept can be gone on with."""
    monkeypatch.setattr(agent_files, bound, 3)
    for number in range(5):
        put(run.home / f".more/{number}", b"1")
    assert run.keep() == str(run.folder.run / "sessions")
    assert sorted(run.kept()) == [".more/0", ".more/1", ".more/2"]
    assert ["only a part was kept" in note and note.endswith(said) for note in run.notes] == [True]
    furnish(earlier(run), ())


def test_as_many_files_as_are_kept_can_be_gone_on_with(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is one for all folders of a profile, and the folders that lead to them do not count."""
    monkeypatch.setattr(agent_files, "MAX_SESSION_FILES", 6)
    for number in range(5):
        put(run.home / f".own/s/{number}/f")
        put(run.home / f".more/{number}")
    run.keep()
    assert len(run.kept()) == 3
    furnish(earlier(run), ())


def test_a_file_that_is_too_large_is_left_out_alone(run: Run) -> None:
    """A sparse one costs its maker nothing; what comes behind it is kept."""
    put(run.home / ".more/a")
    os.truncate(run.home / ".more/a", 10 << 30)
    put(run.home / ".more/b")
    os.truncate(run.home / ".more/b", agent_files.MAX_SESSION_FILE_BYTES + 1)
    put(run.home / ".more/c", b"1")
    run.keep()
    assert run.kept() == {".more/c": b"1"}
    assert "left out: 2 files of more than 64 MiB each" in " ".join(run.notes)
    furnish(earlier(run), ())


def test_keeping_may_be_repeated(run: Run) -> None:
    """A recovery follows one that was killed."""
    put(run.home / ".more/a/b", b"whole")
    run.keep()
    (run.folder.run / "sessions/.more/a/b").write_bytes(b"wh")
    assert run.keep() is not None
    assert run.kept() == {".more/a/b": b"whole"}


def test_as_much_as_there_is_room_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is one for all folders."""
    monkeypatch.setattr(agent_files, "MAX_SESSION_BYTES", 6)
    put(run.home / ".own/s/a", b"123")
    put(run.home / ".more/b", b"123")
    run.keep()
    assert len(run.kept()) == 2
    assert run.notes == []
    put(run.home / ".more/c", b"4")
    run.keep()
    assert run.notes != []


def test_many_folders(run: Run) -> None:
    """Side by side they hold no descriptors."""
    for number in range(2000):
        (run.home / f".more/{number}").mkdir(parents=True)
    put(run.home / ".more/1999/f")
    run.keep()
    assert len(run.kept()) == 1
    assert run.notes == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything: run the tests as an ordinary user")
def test_what_is_closed_is_passed_over(run: Run) -> None:
    put(run.home / ".more/a/x").parent.chmod(0)
    put(run.home / ".more/b").chmod(0)
    put(run.home / ".more/c", b"1")
    run.keep()
    (run.home / ".more/a").chmod(0o700)
    assert run.kept() == {".more/c": b"1"}


def earlier(run: Run) -> Context:
    """Going on with what was just kept."""
    shutil.rmtree(run.paths.runs / "earlier000", ignore_errors=True)
    shutil.copytree(run.folder.run, run.paths.runs / "earlier000")
    return going_on(run)


# --- the home ------------------------------------------------------------------------------------------------------------


def going_on(run: Run, earlier: str = "earlier000", *files: AgentText) -> Context:
    agent = replace(run.plan.agent, native=Native(earlier, "s1"), files=files)
    return cast(Context, replace(run, plan=replace(run.plan, agent=agent)))


def test_a_kept_session_is_there_again(run: Run) -> None:
    """And files of ours that are not locked, over it."""
    put(run.home / ".own/s/a.jsonl", b"1")
    run.keep()
    os.rename(run.folder.run, run.paths.runs / "earlier000")
    (run.home / ".own/s/a.jsonl").unlink()
    settings = AgentText("/home/agent/.own/settings.json", "{}\n", locked=False)
    furnish(going_on(run, "earlier000", settings, AgentText("/etc/x.json", "{}", locked=True)), ())
    assert (run.home / ".own/s/a.jsonl").read_bytes() == b"1"
    assert (run.home / ".own/settings.json").read_text() == "{}\n"
    if os.geteuid() == 0:
        assert {path.stat().st_uid for path in run.home.rglob("*")} == {run.plan.uid}


def test_a_session_that_is_gone(run: Run) -> None:
    with pytest.raises(EnvironmentFailed, match="has no session of its agent") as caught:
        furnish(going_on(run), ())
    assert caught.value.code == "no-session"


def test_a_session_that_is_too_much(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has put more there than is ever kept."""
    monkeypatch.setattr(agent_files, "MAX_SESSION_FILES", 3)
    monkeypatch.setattr(agent_files, "MAX_SESSION_ROOTS", 0)
    for number in range(4):
        put(run.paths.runs / f"earlier000/sessions/{number}")
    with pytest.raises(EnvironmentFailed, match="too much to go on with"):
        furnish(going_on(run), ())
    monkeypatch.setattr(agent_files, "MAX_SESSION_FILES", 4)
    furnish(going_on(run), ())
