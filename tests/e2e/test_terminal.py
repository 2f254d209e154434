"""--tty: the agent has the user's terminal, under a real pseudo-terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.product import DEADLINE_S, Aienv, branches, git


class Screen:
    """The user's side: types, reads, resizes."""

    def __init__(self, argv: list[str], environ: dict[str, str], cwd: Path, rows: int = 31, columns: int = 97) -> None:
        self.master, slave = pty.openpty()
        self._size(slave, rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave  # kept open: the settings are asked for after the end

        def lead() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=cwd, preexec_fn=lead)
        self.seen = b""

    def _size(self, descriptor: int, rows: int, columns: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows: int, columns: int) -> None:
        self._size(self.master, rows, columns)

    def until(self, pattern: bytes) -> bytes:
        """What was shown up to ``pattern``; it is then forgotten."""
        end = time.monotonic() + DEADLINE_S / 2
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < end, f"{pattern!r} never came: {self.seen!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    break
        assert found, f"{pattern!r} never came: {self.seen!r}"
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before

    def read(self, seconds: float) -> None:
        """Take what comes for some time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 65536)

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def end(self) -> int:
        deadline = time.monotonic() + DEADLINE_S / 2
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536)
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    opened: list[Screen] = []
    yield opened
    for screen in opened:
        screen.close()


def open_screen(screens: list[Screen], aienv: Aienv, repo: Path, *words: str) -> Screen:
    screens.append(Screen(aienv.command("run", *aienv.options, *words), dict(aienv.environ), repo))
    return screens[-1]


def test_the_agent_has_the_terminal(product: Aienv, repo: Path, screens: list[Screen]) -> None:
    """Its size, its keys, its ^C, its changes of size; and afterwards the terminal is as it was."""
    script = (
        "tty; stty size; read -r line; echo got:$line; trap 'echo INTR; over=1' INT; echo waiting; "
        'while [ -z "$over" ]; do sleep 0.05; done; '
        "trap 'stty size; exit 0' WINCH; echo resize; while :; do sleep 0.05; done"
    )
    screen = open_screen(screens, product, repo, "--tty", "--", "sh", "-c", script)
    assert b"/dev/console" in screen.until(rb"31 97")
    screen.type(b"typed\r")
    screen.until(rb"got:typed")
    screen.until(rb"waiting")
    screen.type(b"\x03")  # to the agent, not to us
    screen.until(rb"INTR")
    screen.until(rb"resize")
    screen.resize(40, 120)
    screen.until(rb"40 120")
    assert screen.end() == 0, screen.seen
    assert termios.tcgetattr(screen.slave) == screen.before


def test_the_terminal_of_a_shell(local: Aienv, repo: Path, screens: list[Screen]) -> None:
    """An interactive shell has job control, and its end ends the run with its work."""
    screen = open_screen(screens, local, repo, "--tty", "--", "bash", "--norc", "-i")
    screen.until(rb"\$ ")
    # exec: a ^Z that meets a shell between vfork and exec stops the child alone, and its parent hangs in the kernel
    screen.type(b"echo x > made; sh -c 'echo is\"\"-tty; exec sleep 500'\r")
    screen.until(rb"is-tty")
    screen.type(b"\x1a")
    screen.until(rb"Stopped")
    screen.type(b"disown -a; exit 0\r")
    assert screen.end() == 0, screen.seen
    assert git("show", f"{branches(repo)[0]}:made", cwd=repo) == "x\n"


def test_a_signal_gives_the_terminal_back(local: Aienv, repo: Path, screens: list[Screen]) -> None:
    """TERM to aienv while the terminal is raw: harvested, 130, and the terminal is as it was."""
    screen = open_screen(screens, local, repo, "--tty", "--", "sh", "-c", "echo x > made; echo ready; sleep 600")
    screen.until(rb"ready")
    screen.process.send_signal(signal.SIGTERM)
    assert screen.end() == 130, screen.seen
    assert termios.tcgetattr(screen.slave) == screen.before
    assert len(branches(repo)) == 1


def test_ctrl_c_without_tty_is_ours(local: Aienv, repo: Path, screens: list[Screen]) -> None:
    """^C at a real terminal reaches the whole foreground group; the agent gets our TERM, the broker lives, the work is harvested."""
    screen = open_screen(
        screens, local, repo, "--", "sh", "-c", "trap 'echo x > flushed; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    )
    screen.until(rb"ready")
    screen.type(b"\x03")
    assert screen.end() == 130, screen.seen
    assert git("show", f"{branches(repo)[0]}:flushed", cwd=repo) == "x\n"


def test_the_user_hangs_up(local: Aienv, repo: Path) -> None:
    """The terminal window is closed while the agent has it: the run ends by itself, harvested."""
    screen = Screen(
        local.command("run", *local.options, "--tty", "--", "sh", "-c", "echo x > made; echo ready; sleep 600"), dict(local.environ), repo
    )
    screen.until(rb"ready")
    os.close(screen.slave)
    os.close(screen.master)
    assert screen.process.wait(DEADLINE_S / 2) == 130
    assert len(branches(repo)) == 1
