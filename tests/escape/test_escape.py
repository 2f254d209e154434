"""All ways out that we know of, each a small program (see programs/attempt.py): held on each backend, for root and for others."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.e2e.product import branches, git, processes_with
from tests.escape import driver, subjects
from tests.escape.conftest import Try
from tests.escape.subjects import BADLY_NAMED, CANARY, NAMES, PROGRAMS, SUBJECTS, TOKEN, TOKEN_PREFIX, Host, Outcome
from tests.internet import SERVED

Outcomes = Callable[[str], Outcome]
MARKS = {"local": (pytest.mark.bwrap,), "docker": (pytest.mark.docker,), "docker26": (pytest.mark.docker, pytest.mark.slow)}
EACH = [pytest.param(subject, marks=MARKS[subject.split("-")[0]], id=subject) for subject in SUBJECTS]
SOME = [pytest.param("local-root", marks=MARKS["local"]), pytest.param("docker-user", marks=MARKS["docker"])]
TOGETHER = tuple(name for name in NAMES if not name.startswith(driver.REFUSED))
# What a machine may be unable to hold; the report must say so.
LIMITED = {"resources/more_processors.py": "cpus"}
FORBIDDEN = "must-not-arrive"  # in the paths of what the programs may not reach
CHANGING = ("rebind.example.org", "rebind-back.example.org")  # names that are good at times
WELL_NAMED = ("origin.example.org", "other.example.org", "untrusted.example.org", "v6.example.org")
INSPECTED = ("other.example.org", "untrusted.example.org", "v6.example.org")
# Where connections may arrive: the allowed hosts, at their ports.
REACHABLE = {
    *((address, port) for name in WELL_NAMED for address in SERVED[name] for port in (80, 443)),
    (SERVED["origin.example.org"][0], 8080),  # names that change
}
ASKED_FOR = {"origin.example.org", "other.example.org", "mixed.example.org:8080", *(f"{name}:8080" for name in CHANGING)}


@pytest.mark.parametrize("program", TOGETHER)
@pytest.mark.parametrize("subject", EACH)
def test_held(outcomes: Outcomes, subject: str, program: str) -> None:
    """One attempt, from inside."""
    outcome = outcomes(subject)
    said = outcome.said.get(program, f"nothing; the run ended with {outcome.done.code}: {outcome.done.errors[-800:]}")
    if said.startswith("ESCAPED") and LIMITED.get(program, "-") in outcome.report["unlimited"]:
        return  # this machine cannot hold it, and the report says so
    assert said.startswith("held"), said


@pytest.mark.parametrize("subject", EACH)
def test_nothing_came_of_it_on_the_host(outcomes: Outcomes, host: Host, subject: str) -> None:
    """Seen from outside: no program of the agent's ran, no signal arrived, nothing was changed, nothing is left."""
    outcome = outcomes(subject)
    base = outcome.witness.parent
    assert outcome.report["status"] == "succeeded", outcome.report["error"]
    assert outcome.report["teardown"]["left"] == []
    assert [path.name for path in outcome.witness.iterdir()] == []
    assert outcome.victim_lived
    assert subjects.sleeping(subjects.survivor(base)) == []
    assert processes_with(str(base)) == []
    assert (host.public_file.read_text(), host.memory_file.read_text()) == (CANARY, CANARY)
    assert {path.name for path in (base / "user").rglob("*")} - {".docker", ".cache"} == {".ssh", "id_ed25519"}
    assert list((base / "home" / "work").iterdir()) == []


@pytest.mark.parametrize("subject", EACH)
def test_the_users_repository_is_as_it_was(outcomes: Outcomes, subject: str) -> None:
    """The result is one branch beside the others; hooks, configuration, index and files are the user's."""
    outcome = outcomes(subject)
    app = outcome.witness.parent / "app"
    assert branches(app) == [outcome.report["result"]["branch"]]
    assert git("status", "--porcelain", "--ignored", cwd=app) == ""
    assert git("rev-parse", "HEAD", cwd=app).strip() == outcome.report["base_commit"]
    assert [path.name for path in (app / ".git" / "hooks").iterdir() if not path.name.endswith(".sample")] == []
    assert "fsmonitor" not in (app / ".git" / "config").read_text()
    assert not (app / ".git" / "objects" / "info" / "alternates").exists()
    assert not (app / ".git" / "commondir").exists()


@pytest.mark.parametrize("subject", EACH)
def test_nothing_of_the_host_is_in_the_result(outcomes: Outcomes, subject: str) -> None:
    """Links that lead to the host's files were not followed: not for the branch, the patch, artifacts, logs or what else is kept."""
    outcome = outcomes(subject)
    base = outcome.witness.parent
    app, folder = base / "app", Path(outcome.report["folder"])
    holding = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and CANARY.encode() in path.read_bytes()]
    assert holding == []
    names = git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)", cwd=app).splitlines()
    blobs = [name.split()[0] for name in names if name.endswith("blob")]
    assert len(blobs) > len(TOGETHER)
    assert [name for name in blobs if CANARY.encode() in git("cat-file", "blob", name, cwd=app).encode()] == []


@pytest.mark.parametrize("subject", EACH)
def test_nothing_kept_is_set_user_id_or_a_link_outward(outcomes: Outcomes, subject: str) -> None:
    """What is kept of a run are plain files and folders of the user's own."""
    outcome = outcomes(subject)
    folder = Path(outcome.report["folder"])
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), path
        assert not mode & (stat.S_ISUID | stat.S_ISGID), path
    assert (folder / "artifacts" / "artifacts" / "plain").read_text() == "plain\n"


@pytest.mark.parametrize("subject", EACH)
def test_the_terminal_sees_no_control_characters(outcomes: Outcomes, subject: str) -> None:
    """File names, refs and messages of the agent's are shown so that a terminal takes them for text."""
    done = outcomes(subject).done
    assert b"\033" not in done.stderr
    assert not {chr(byte) for byte in done.stderr if byte < 0x20} - {"\n", "\t"}


@pytest.mark.parametrize("subject", EACH)
def test_what_the_servers_saw(outcomes: Outcomes, subject: str) -> None:
    """Only what is allowed, at the addresses that are public; no name was asked for that need not be; no credential went astray."""
    seen = outcomes(subject).seen
    assert {(event["server"], event["port"]) for event in seen if event["kind"] == "tcp"} <= REACHABLE
    assert [event for event in seen if event["place"] == "here" or event["kind"] in ("udp", "unix")] == []
    names = {event["name"] for event in seen if event["kind"] == "dns"}
    assert names <= {*BADLY_NAMED, *WELL_NAMED}, names
    requests = [event for event in seen if event["kind"] == "http"]
    assert "/allowed-then-denied" in {event["target"] for event in requests}  # the way that is open is open
    assert [event["target"] for event in requests if FORBIDDEN in event["target"]] == []
    looked_into = [event for event in requests if not event["secure"] or event["sni"] in INSPECTED]
    assert {tuple(event["host"]) for event in looked_into} <= {(host,) for host in ASKED_FOR}
    assert {event["sni"] for event in seen if event["kind"] == "tls"} <= {None, "mixed.example.org", *WELL_NAMED, *CHANGING}
    with_credential = [event for event in requests if TOKEN_PREFIX in str(event)]
    assert {(event["secure"], event["sni"], TOKEN in str(event)) for event in with_credential} == {(True, "other.example.org", True)}


@pytest.mark.parametrize("subject", EACH)
def test_the_credential_is_nowhere(outcomes: Outcomes, subject: str) -> None:
    """Its value is in no file of the run's, no log, no audit event and no word on the terminal."""
    outcome = outcomes(subject)
    base = outcome.witness.parent
    files = [path for path in (base / "home").rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    assert TOKEN.encode() not in outcome.done.stdout + outcome.done.stderr


@pytest.mark.bwrap
@pytest.mark.parametrize("program", [name for name in NAMES if driver.outside(PROGRAMS / name) == "escapes"])
def test_it_can_tell(outside: Mapping[str, str], program: str) -> None:
    """Where nothing holds it, the same program reports an escape: one that always says "held" proves nothing."""
    assert outside[program].startswith("ESCAPED"), outside[program]


@pytest.mark.parametrize("subject", SOME)
@pytest.mark.parametrize("program", [name for name in NAMES if name.startswith(driver.REFUSED)])
def test_refused_as_a_whole(attempt: Try, subject: str, program: str) -> None:
    """A result that would do harm where it is checked out is not taken: no branch, no object, and the workspace is kept for a look."""
    outcome = attempt(subject, program)
    app = outcome.witness.parent / "app"
    assert outcome.said[program].startswith("held"), outcome.said
    assert (outcome.done.code, outcome.report["error"]["code"], outcome.report["result"]["branch"]) == (7, "harvest", None)
    assert branches(app) == []
    assert [path.name for path in outcome.witness.iterdir()] == []
    assert b"\033" not in outcome.done.stderr
    objects = git("cat-file", "--batch-all-objects", "--batch-check=%(objecttype)", cwd=app).splitlines()
    assert objects.count("commit") == 1


@pytest.mark.parametrize("subject", SOME)
@pytest.mark.parametrize("phase", ["setup", "check"])
def test_setup_and_checks_get_no_further(attempt: Try, subject: str, phase: str) -> None:
    """The commands before and after the agent are confined as it is."""
    outcome = attempt(subject, "files processes kernel namespaces sockets network proxy/denied credentials", phase)
    done = outcome.report["setup" if phase == "setup" else "checks"]
    assert [(command["exit_code"], command["output_tail"]) for command in done] == [(0, "")]
    assert outcome.report["status"] == "succeeded", outcome.report["error"]
    assert [path.name for path in outcome.witness.iterdir()] == []
    assert outcome.victim_lived


@pytest.mark.bwrap
def test_no_program_is_broken_outside(outside: Mapping[str, str]) -> None:
    """Those whose answer depends on the machine give one all the same."""
    assert {name: said for name, said in outside.items() if said.startswith("BROKEN")} == {}


@pytest.mark.parametrize("program", NAMES)
def test_each_says_what_it_is_for(program: str) -> None:
    """A purpose, and what it finds outside; no two are the same."""
    text = (PROGRAMS / program).read_text()
    lines = text.splitlines()
    assert driver.outside(PROGRAMS / program) in ("escapes", "unsure", "never")
    assert lines[0].startswith('"""') if program.endswith(".py") else lines[:1] == ["#!/bin/sh"]
    assert os.path.getsize(PROGRAMS / program) < 8192


def test_there_are_many() -> None:
    """More than the least that was asked for."""
    assert len(NAMES) >= 110
    assert len({(PROGRAMS / name).read_bytes() for name in NAMES}) == len(NAMES)
