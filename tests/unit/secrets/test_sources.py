"""Sources of credentials: what can be written, what is fetched, and that no message ever holds a value."""

import contextlib
import os
import stat
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import ConfigError
from orchestrator.secrets import sources
from orchestrator.secrets.sources import MAX_VALUE_BYTES, parse_secret, resolve, warnings

CANARY = "canary-Zk39xQ"  # in a message, it would be a leak


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **more}


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("GITHUB_TOKEN", "GITHUB_TOKEN", "env://GITHUB_TOKEN"),
        ("GH_TOKEN=env://GITHUB_TOKEN", "GH_TOKEN", "env://GITHUB_TOKEN"),
        ("A=file:///run/secrets/a", "A", "file:///run/secrets/a"),
        ("A=file://~/.config/a token", "A", "file://~/.config/a token"),
        ("A=cmd://op read op://vault/item/credential", "A", "cmd://op read op://vault/item/credential"),
        ("A=cmd://pass show 'my key'", "A", "cmd://pass show 'my key'"),
        ("A=cmd:///usr/local/bin/get-token --raw=x", "A", "cmd:///usr/local/bin/get-token --raw=x"),
        ("A=keyring://example.org/me", "A", "keyring://example.org/me"),
        ("A=keyring://https://example.org/me", "A", "keyring://https://example.org/me"),
        ("npm_config_userconfig", "npm_config_userconfig", "env://npm_config_userconfig"),
    ],
)
def test_forms(text: str, name: str, source: str) -> None:
    """Each form gives a name and a source that may be shown."""
    assert parse_secret(text) == (name, source)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"ANTHROPIC_API_KEY={CANARY}", id="value"),
        pytest.param(f"ANTHROPIC_API_KEY=sk-ant-api03-{CANARY}{CANARY}", id="known-value"),
        pytest.param(f"sk-ant-api03-{CANARY}{CANARY}", id="value-as-name"),
        pytest.param("ghp_" + CANARY.replace("-", "") * 3, id="value-like-a-name"),
        pytest.param(f"A=env://ghp_{CANARY}", id="value-as-variable"),
        pytest.param(f"A=env://{CANARY}", id="not-a-variable"),
        pytest.param(f"A=https://user:{CANARY}@example.org", id="url"),
        pytest.param(f"A=vault://{CANARY}", id="unknown-scheme"),
        pytest.param(f"A=cmd://printf sk-ant-api03-{CANARY * 2}", id="value-in-command"),
        pytest.param(f"A=cmd://curl -H 'PRIVATE-TOKEN: glpat-{CANARY * 2}' example.org", id="value-in-quotes"),
        pytest.param(f"A=cmd://open '{CANARY}", id="open-quote"),
        pytest.param(f"A=cmd://x\x1b[2J{CANARY}", id="escape"),
        pytest.param(f"A=cmd://x\n{CANARY}", id="newline"),
        pytest.param(f"1A={CANARY}", id="digit-first"),
        pytest.param(f"A B={CANARY}", id="blank-in-name"),
        pytest.param(f"={CANARY}", id="no-name"),
        pytest.param(f"AIENV_X=env://{CANARY}", id="our-name"),
        pytest.param(f"A=cmd://{CANARY}" + "x" * 1000, id="long"),
        pytest.param("A=file://", id="no-path"),
        pytest.param("A=env://", id="no-variable"),
        pytest.param("A=", id="nothing"),
        pytest.param("", id="empty"),
        pytest.param(f"A=keyring://{CANARY}", id="no-user"),
        pytest.param(f"A=keyring://-o/{CANARY}", id="option"),
    ],
)
def test_refused_without_repeating(text: str) -> None:
    """The message says what is wrong and how it is written, and holds nothing that might be a value."""
    with pytest.raises(ConfigError) as caught:
        parse_secret(text)
    assert caught.value.remedy
    assert CANARY not in caught.value.message + caught.value.remedy
    assert CANARY.replace("-", "") not in caught.value.message + caught.value.remedy


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("A=file://token.txt", "an absolute path"),
        ("A=file://~other/token", "an absolute path"),
        ("A=cmd://./get-token", "needs an absolute path"),
        ("A=cmd://bin/get-token", "needs an absolute path"),
    ],
)
def test_no_relative_paths(text: str, because: str) -> None:
    """The current folder may be a stranger's repository: nothing in it is read or started."""
    with pytest.raises(ConfigError, match=because):
        parse_secret(text)


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_any_text(text: str) -> None:
    """Any text is a name and a printable source, or one of our errors."""
    try:
        name, source = parse_secret(text)
    except ConfigError:
        return
    assert name.isidentifier()
    assert source.isprintable()
    assert source.partition("://")[0] in ("env", "file", "cmd", "keyring")


def test_from_environment(tmp_path: Path) -> None:
    """From the environment that is handed in, not from our own."""
    assert resolve("env://TOKEN", environ(tmp_path, TOKEN="abc"), name="A") == "abc"
    with pytest.raises(ConfigError, match="secret A: the variable PATH_TO_NOWHERE is not set") as caught:
        resolve("env://PATH_TO_NOWHERE", environ(tmp_path), name="A")
    assert "export PATH_TO_NOWHERE" in str(caught.value.remedy)


@pytest.mark.parametrize("content", [b"abc", b"abc\n", b"abc\r\n"])
def test_from_file(tmp_path: Path, content: bytes) -> None:
    """One line's end is taken off; ``~`` is the user's home; a symlink is followed, as mounted secrets are symlinks."""
    (tmp_path / "real").write_bytes(content)
    (tmp_path / "token").symlink_to("real")
    assert resolve(f"file://{tmp_path}/token", environ(tmp_path), name="A") == "abc"
    assert resolve("file://~/token", environ(tmp_path), name="A") == "abc"


def test_files_that_are_none(tmp_path: Path) -> None:
    """A missing file, a folder, and a FIFO that would block for ever."""
    os.mkfifo(tmp_path / "fifo")
    for path, because in (("missing", "No such file"), ("", "no regular file"), ("fifo", "no regular file")):
        with pytest.raises(ConfigError, match=because):
            resolve(f"file://{tmp_path}/{path}", environ(tmp_path), name="A")


def test_warns_of_readable_files(tmp_path: Path) -> None:
    """A token that everybody can read is used, with a warning."""
    token = tmp_path / "token"
    token.write_text("abc")
    token.chmod(stat.S_IRUSR)
    assert warnings("file://~/token", environ(tmp_path), name="A") == ()
    token.chmod(0o644)
    assert "chmod 600" in warnings("file://~/token", environ(tmp_path), name="A")[0]
    assert warnings("file://~/missing", environ(tmp_path), name="A") == ()
    assert warnings("env://A", environ(tmp_path), name="A") == ()


@pytest.mark.parametrize(
    ("value", "because"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        (f"{CANARY}\nb", "more than one line"),
        (f"{CANARY}\n\n", "more than one line"),
        (f"{CANARY}\tb", "control character"),
        (f"{CANARY}\x1b", "control character"),
        (f"{CANARY}\x00", "control character"),
        (f" {CANARY}", "blank"),
        (f"{CANARY} ", "blank"),
        (f"{CANARY}é", "not ASCII"),
        ("\ufeff" + CANARY, "not ASCII"),
        (CANARY * (MAX_VALUE_BYTES // len(CANARY) + 1), "longer than"),
    ],
)
def test_values_that_no_header_carries(tmp_path: Path, value: str, because: str) -> None:
    """Each kind of bad value is named, and the value is not repeated."""
    (tmp_path / "token").write_bytes(value.encode())
    with pytest.raises(ConfigError, match=because) as caught:
        resolve("file://~/token", environ(tmp_path), name="A")
    assert CANARY not in caught.value.message + str(caught.value.remedy)
    assert "secret A" in caught.value.message
    assert "file://~/token" in caught.value.message


def test_the_longest_value(tmp_path: Path) -> None:
    """The nearest that must pass."""
    (tmp_path / "token").write_text("x" * MAX_VALUE_BYTES + "\n")
    assert resolve("file://~/token", environ(tmp_path), name="A") == "x" * MAX_VALUE_BYTES


def test_from_command(tmp_path: Path) -> None:
    """Words, no shell; the user's environment; no input; the home folder, not the current one."""
    tool = script(tmp_path / "tool", 'cat; echo "$1|$TOKEN|$PWD"')
    line = f"cmd://{tool} 'a  $HOME;b'"
    assert resolve(line, environ(tmp_path, TOKEN="t"), name="A") == f"a  $HOME;b|t|{tmp_path}"


def test_command_that_fails(tmp_path: Path) -> None:
    """Its complaint is shown, its output never, not even where the complaint repeats it."""
    tool = script(tmp_path / "tool", f"echo {CANARY}; echo 'no session, sign in: {CANARY}' >&2; printf '\\033[2J' >&2; exit 3")
    with pytest.raises(ConfigError, match="exit code 3: no session, sign in") as caught:
        resolve(f"cmd://{tool}", environ(tmp_path), name="A")
    assert CANARY not in caught.value.message
    assert caught.value.message.isprintable()


def test_command_that_is_none(tmp_path: Path) -> None:
    """A program that does not exist is named."""
    with pytest.raises(ConfigError, match="no-such-program cannot be started: No such file"):
        resolve("cmd://no-such-program x", environ(tmp_path), name="A")


@pytest.mark.parametrize("text", ["sleep 60", "sleep 60 & echo abc", "trap '' TERM HUP; echo abc; sleep 60"])
def test_command_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A program that does not end, or leaves something that holds its output, is ended with all its children."""
    monkeypatch.setattr(sources, "COMMAND_DEADLINE_S", 0.5)
    monkeypatch.setattr(sources, "_KILL_GRACE_S", 0.5)
    tool = script(tmp_path / "tool", f"echo $$ > {tmp_path}/pid; {text}")
    with pytest.raises(ConfigError, match="gave no answer"):
        resolve(f"cmd://{tool}", environ(tmp_path), name="A")
    group = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 5  # the kernel ends what it was told to kill when it comes to it
    while living(group) and time.monotonic() < until:
        time.sleep(0.01)
    assert living(group) == []


def living(group: int) -> list[str]:
    """Processes of a group that still run; one that nobody has waited for yet does not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
            if int(pgrp) == group and state not in "ZX":
                found.append(path.parent.name)
    return found


def test_command_with_a_flood(tmp_path: Path) -> None:
    """Endless output ends the reading of it, not our memory."""
    tool = script(tmp_path / "tool", "head -c 3000000 /dev/zero | tr '\\0' x")
    with pytest.raises(ConfigError, match="longer than"):
        resolve(f"cmd://{tool}", environ(tmp_path), name="A")


def test_from_python_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's keyring is asked in a process of its own; what it prints is the value."""
    package = tmp_path / "site" / "keyring"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys\nassert sys.argv[1] == 'get'\nprint('|'.join(sys.argv[2:]))\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    value = resolve("keyring://https://example.org/me", environ(tmp_path, PYTHONPATH=str(tmp_path / "site")), name="A")
    assert value == "https://example.org|me"


def test_keyring_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository that carries a ``keyring`` module is not asked for secrets."""
    (tmp_path / "keyring.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with pytest.raises(ConfigError):
        resolve("keyring://example.org/me", {"PATH": "/nonexistent", "HOME": str(tmp_path)}, name="A")
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(sources._keyring_is_here(), reason="Python's keyring package is installed here, and asked first")
def test_from_secret_tool(tmp_path: Path) -> None:
    """Without the package, secret-tool with the attributes under which the package stores."""
    (tmp_path / "bin").mkdir()
    script(tmp_path / "bin" / "secret-tool", 'printf "%s" "$*"')
    there = environ(tmp_path, PATH=f"{tmp_path}/bin:/bin:/usr/bin")
    assert resolve("keyring://example.org/me", there, name="A") == "lookup service example.org username me"
    with pytest.raises(ConfigError, match="neither Python's keyring package nor secret-tool"):
        resolve("keyring://example.org/me", environ(tmp_path, PATH="/nonexistent"), name="A")
