"""Run ids, folders and locks, output, interrupts, masked files, variables, limits."""

# ruff: noqa: E501 - a row of a table stays one line

import os
import re
import select
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import AienvError, EnvironmentFailed, Interrupted, NotFound, UsageError
from orchestrator.model.network import CLOSED, Gateway
from orchestrator.model.paths import Paths, paths_from
from orchestrator.model.plan import AgentPlan, ImagePlan, Plan, RepoPlan
from orchestrator.model.task import Limits, Output, SandboxRules
from orchestrator.report.plan_text import plan_lines
from orchestrator.run import folder as folders
from orchestrator.run.commands import resource_limits
from orchestrator.run.environ import agent_environment
from orchestrator.run.files import write_atomically
from orchestrator.run.interrupts import Interrupts
from orchestrator.run.masked import identities, masked_now
from orchestrator.run.output import OutputSink, TailSink

LIMITS = Limits(2.0, 1 << 30, 100, 1 << 31, 1024, 60.0, 5.0)
REPO = RepoPlan("path", "/r", None, "c" * 40, "main", "key", "app", None, True, True)
PLAN = Plan(
    "aienv.plan/1", "t", REPO, AgentPlan("command", ("true",), None, False), "local", "sandbox", None, 1, 1, "/workspaces/app", "none",
    CLOSED, (), (("GIT_AUTHOR_NAME", "Ann"), ("MINE", "1")), LIMITS, (), SandboxRules((), (), ()), "sha256:0", (), (), (), Output(None, False), False, "any",
)  # fmt: skip


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return paths_from({"AIENV_HOME": str(tmp_path)})


# --- ids and folders --------------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(earlier=st.integers(0, 2**33), later=st.integers(0, 2**33))
def test_ids_are_words_that_sort_by_time(earlier: int, later: int) -> None:
    """Ten characters that fit into a branch, a container's name and a path."""
    first, second = folders.new_run_id(earlier), folders.new_run_id(later)
    assert re.fullmatch(r"[0-9a-z]{10}", first)
    span = len(folders._ALPHABET) ** 6
    if earlier // span == later // span and earlier < later:
        assert first < second


def test_ids_of_runs_in_one_second_sort() -> None:
    """Runs that follow each other sort as they began, although several fit into a second."""
    ids = [folders.new_run_id(1_800_000_000 + step / 20) for step in range(40)]
    assert ids == sorted(ids)


def test_ids_of_one_moment_differ() -> None:
    """Three characters of chance beside the time."""
    assert len({folders.new_run_id(1.0) for _ in range(200)}) > 195


def test_create_lock_finish(paths: Paths) -> None:
    """The mark is locked from its first moment; the lock ends with its holder; finished runs have no mark."""
    folder = folders.run_folder(paths, "a" * 10)
    lock = folders.create(folder)
    assert folders.is_owned(folder)
    owner = folders.owner_of(folder)
    assert owner is not None
    assert owner.pid == os.getpid()
    assert folders.acquire(folder) is None
    assert folders.active_ids(paths) == ["a" * 10]
    lock.release()
    lock.release()
    assert not folders.is_owned(folder)
    again = folders.acquire(folder)
    assert again is not None
    again.finish(folder)
    assert (folders.active_ids(paths), folders.all_ids(paths)) == ([], ["a" * 10])
    assert folders.acquire(folder) is None
    assert oct(folder.run.stat().st_mode & 0o777) == "0o700"


def test_a_waiting_lock_notices_that_the_run_is_over(paths: Paths) -> None:
    """Whoever waited for a run that then finished does not get it."""
    folder = folders.run_folder(paths, "b" * 10)
    lock = folders.create(folder)
    got: list[object] = []
    waiter = threading.Thread(target=lambda: got.append(folders.acquire(folder, 10.0)))
    waiter.start()
    time.sleep(0.1)
    lock.finish(folder)
    waiter.join(10.0)
    assert got == [None]


def test_the_same_id_twice_is_refused(paths: Paths) -> None:
    folder = folders.run_folder(paths, "c" * 10)
    folders.create(folder)
    with pytest.raises(AienvError):
        folders.create(folder)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("aa1", "aa1"),
        ("aa1x", "aa1x"),
        ("ab", "ab2"),
        ("last", "b3"),
        ("a", UsageError),
        ("zz", NotFound),
        ("", NotFound),
        ("../runs", NotFound),
        ("%", NotFound),
    ],
)
def test_find(paths: Paths, wanted: str, found: str | type[AienvError]) -> None:
    """By id, by its beginning, or the last one; several or none is an error with a way out."""
    for run_id in ("aa1", "aa1x", "ab2", "b3"):
        (paths.runs / run_id).mkdir(parents=True)
    if isinstance(found, str):
        assert folders.find(paths, wanted).id == found
        return
    with pytest.raises(found) as problem:
        folders.find(paths, wanted)
    assert problem.value.remedy


def test_files_appear_whole(tmp_path: Path) -> None:
    """Written beside and renamed; a link in the way is replaced, not followed."""
    target = tmp_path / "file"
    target.symlink_to(tmp_path / "elsewhere")
    write_atomically(target, b"x" * 100_000)
    assert target.read_bytes() == b"x" * 100_000
    assert not target.is_symlink()
    assert not (tmp_path / "elsewhere").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- output -----------------------------------------------------------------------------------------------------------


def test_a_full_pipe_holds_the_writer_until_it_is_detached(tmp_path: Path) -> None:
    """Nothing is dropped while somebody may still read; once the run is being stopped the log alone counts."""
    reader, writer = os.pipe()
    sink = OutputSink(tmp_path / "log", writer, writer, quiet=False, limit=1 << 20)
    data = b"x" * 300_000
    thread = threading.Thread(target=sink.stdout, args=(data,))
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    sink.detach()
    thread.join(10.0)
    assert not thread.is_alive()
    assert (tmp_path / "log").read_bytes() == data
    assert sink.bytes == len(data)
    sink.close()
    os.close(reader)
    os.close(writer)


def test_a_slow_reader_gets_every_byte(tmp_path: Path) -> None:
    """In order, on one stream."""
    reader, writer = os.pipe()
    sink = OutputSink(tmp_path / "log", writer, writer, quiet=False, limit=1 << 20)
    data = os.urandom(200_000)
    thread = threading.Thread(target=lambda: (sink.stdout(data[:150_000]), sink.stderr(data[150_000:])))
    thread.start()
    seen = b""
    while len(seen) < len(data):
        assert select.select([reader], [], [], 10.0)[0]
        seen += os.read(reader, 7001)
    thread.join(10.0)
    assert seen == data
    sink.close()
    os.close(reader)
    os.close(writer)


def test_a_reader_that_goes_away_and_a_full_disk(tmp_path: Path) -> None:
    """Neither ends the agent: the one is forgotten, the other is told."""
    reader, writer = os.pipe()
    os.close(reader)
    sink = OutputSink(tmp_path / "log", writer, writer, quiet=False, limit=1 << 20)
    sink.stdout(b"one")
    sink.stdout(b"two")
    assert (tmp_path / "log").read_bytes() == b"onetwo"
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, sink._log._file)
    sink.stdout(b"three")
    assert "from byte 6" in str(sink.log_problem)
    sink.close()
    os.close(full)
    os.close(writer)


def test_a_tail_keeps_the_end_and_the_file_all(tmp_path: Path) -> None:
    sink = TailSink(tmp_path / "log", limit=1 << 20, keep=4)
    sink.stdout(b"abc")
    sink.stderr(b"def")
    sink.close()
    assert (sink.tail, (tmp_path / "log").read_bytes()) == (b"cdef", b"abcdef")


# --- interrupts -------------------------------------------------------------------------------------------------------


def test_signals_become_messages() -> None:
    """In order, with whatever else arrives; None when nothing comes in time."""
    interrupts = Interrupts()
    before = signal.getsignal(signal.SIGINT)
    with interrupts.installed():
        signal.raise_signal(signal.SIGINT)
        interrupts.inbox.put("ended")
        signal.raise_signal(signal.SIGTERM)
        assert [interrupts.message(1.0) for _ in range(3)] == ["signal", "ended", "signal"]
        assert interrupts.message(0.0) is None
        assert interrupts.message(-5.0) is None
    assert interrupts.count == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_while_abortable_a_signal_raises() -> None:
    """As long as nothing of the agent's exists, the way out is to undo; a signal that came before counts too."""
    interrupts = Interrupts()
    with interrupts.installed():
        with pytest.raises(Interrupted), interrupts.abortable():
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted), interrupts.abortable():
            raise AssertionError("not reached")
        signal.raise_signal(signal.SIGINT)
        assert interrupts.message(1.0) == "signal"


def test_an_ignored_hangup_stays_ignored() -> None:
    """nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        interrupts = Interrupts()
        with interrupts.installed():
            signal.raise_signal(signal.SIGHUP)
            assert interrupts.message(0.0) is None
    finally:
        signal.signal(signal.SIGHUP, before)


# --- masked files, variables, limits ----------------------------------------------------------------------------------


def test_masked_files_are_found_where_they_are_now(tmp_path: Path) -> None:
    """Moved folders are followed, links are not, other files of the same name are not meant."""
    work = tmp_path / "work"
    (work / "conf/deep").mkdir(parents=True)
    (work / "conf/deep/.env").write_text("secret")
    (work / "plain").write_text("x")
    known = identities(work, ["conf/deep/.env"])
    assert masked_now(work, known) == ("conf/deep/.env",)
    (work / "conf").rename(work / "moved")
    (work / "conf").symlink_to(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/.env").write_text("not ours")
    (work / "other").mkdir()
    (work / "other/.env").write_text("the agent's own")
    assert masked_now(work, known) == ("moved/deep/.env",)
    assert masked_now(work, ()) == ()
    assert masked_now(tmp_path / "none", ()) == ()


def test_a_closed_folder_is_an_error_or_passed_over(tmp_path: Path) -> None:
    """For a check it must be known; a harvest that cannot read there either goes on."""
    (tmp_path / ".env").write_text("x")
    known = identities(tmp_path, [".env"])
    gone = tmp_path / "gone"
    with pytest.raises(EnvironmentFailed):
        masked_now(gone, known)
    assert masked_now(gone, known, skip_closed=True) == ()


def test_bash_for_agents() -> None:
    """In a container an agent finds ours behind the image's; a command of the user's own sees the image as it is, and so does the host."""
    image, agent = ImagePlan("i", "sha256:1", (("PATH", "/app/bin"),)), replace(PLAN.agent, profile="claude")
    assert dict(agent_environment(replace(PLAN, image=image, agent=agent), "r"))["PATH"] == "/app/bin:/opt/aienv/shell"
    assert dict(agent_environment(replace(PLAN, image=image), "r"))["PATH"] == "/app/bin"
    assert "aienv" not in dict(agent_environment(replace(PLAN, agent=agent), "r"))["PATH"]


def test_variables_inside() -> None:
    """Ours win over the image's, the task's over ours; what steers loaders and programs of ours never comes from an image."""
    image = ImagePlan(
        "i",
        "sha256:1",
        (("PATH", "/app/bin"), ("LD_PRELOAD", "/x.so"), ("HOME", "/root"), ("GIT_DIR", "/x"), ("DOCKER_HOST", "tcp://x"), ("APP", "1")),
    )
    env = dict(agent_environment(replace(PLAN, image=image), "run1"))
    assert (env["PATH"], env["HOME"], env["APP"], env["MINE"], env["AIENV_RUN_ID"], env["AIENV"]) == (
        "/app/bin",
        "/home/agent",
        "1",
        "1",
        "run1",
        "1",
    )
    assert {"LD_PRELOAD", "GIT_DIR", "DOCKER_HOST"} & set(env) == set()
    assert list(agent_environment(PLAN, "r")) == sorted(agent_environment(PLAN, "r"))


@pytest.mark.parametrize(
    ("container", "wanted"),
    [
        (True, {"RLIMIT_NOFILE": 1024, "RLIMIT_FSIZE": 1 << 31}),
        (False, {"RLIMIT_NOFILE": 1024, "RLIMIT_FSIZE": 1 << 31, "RLIMIT_NPROC": 100, "RLIMIT_DATA": 1 << 30}),
    ],
)
def test_resource_limits(container: bool, wanted: dict[str, int]) -> None:
    """Where there is an engine it limits processes and memory; else the kernel's own limits do what they can."""
    assert resource_limits(PLAN, container) == wanted


@pytest.mark.parametrize(
    ("environ", "state", "cache"),
    [
        ({"AIENV_HOME": "/a"}, "/a", "/a/cache"),
        ({"HOME": "/h"}, "/h/.local/state/aienv", "/h/.cache/aienv"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "relative"}, "/s/aienv", "/h/.cache/aienv"),
        ({}, "/.local/state/aienv", "/.cache/aienv"),
        ({"AIENV_HOME": "", "HOME": "/h"}, "/h/.local/state/aienv", "/h/.cache/aienv"),
    ],
)
def test_where_files_live(environ: dict[str, str], state: str, cache: str) -> None:
    """The base directory specification, or one folder for all."""
    found = paths_from(environ)
    assert (str(found.state), str(found.cache)) == (state, cache)


def test_a_plan_shows_each_way_out() -> None:
    """Networks that names may lead to, the ssh agent, gateways: what a user grants stands in the text that is read before a run."""
    gateway = Gateway("svc", "api.example.org", 443, "/v1", (("SVC_BASE_URL", ""),))
    network = replace(CLOSED, mode="allowlist", private=("172.20.0.0/16",), ssh="git.example.org", gateways=(gateway,))
    text = "\n".join(plan_lines(replace(PLAN, network=network), "sha256:0"))
    for shown in ("172.20.0.0/16: allowed names", "signs logins to git.example.org", "SVC_BASE_URL: https://api.example.org/v1"):
        assert shown in text
