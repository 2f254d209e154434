"""A command run to its end, with bounds: time, and how much it may say. What does not end in time ends with all that it started."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO, cast

MAX_OUTPUT = 64 << 20  # bytes of each stream
CHUNK = 1 << 16


class TooMuch(Exception):
    """It said more than it may, and was ended."""


def run(
    words: Sequence[str], *, environ: Mapping[str, str], folder: str, deadline_s: float, data: bytes = b"", pass_fds: Sequence[int] = (),
    limit: int = MAX_OUTPUT,
) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
    """
    Raises:
        OSError: it cannot be run.
        ValueError: a word holds a NUL, which no command can have.
        subprocess.TimeoutExpired: it was ended at its deadline.
        TooMuch: it was ended for saying too much.
    """
    end = time.monotonic() + deadline_s
    process = subprocess.Popen(
        words, env=dict(environ), cwd=folder, stdin=subprocess.PIPE if data else subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, pass_fds=pass_fds, start_new_session=True,
    )  # fmt: skip
    with process:
        try:
            out, err = _talk(process, data, end, limit)
            process.wait(max(0.0, end - time.monotonic()))
        except BaseException:  # ^C too: it ends with all that it started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(list(words), process.returncode, out, err)


def _talk(process: "subprocess.Popen[bytes]", data: bytes, end: float, limit: int) -> tuple[bytes, bytes]:
    """All that it says on both streams, while it is given ``data``."""
    assert process.stdout is not None
    assert process.stderr is not None
    said: dict[IO[bytes], bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    left = memoryview(data)
    with selectors.DefaultSelector() as ready:
        for stream in said:
            ready.register(stream, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            ready.register(process.stdin, selectors.EVENT_WRITE)
        while ready.get_map():
            remaining = end - time.monotonic()
            if remaining <= 0:
                raise subprocess.TimeoutExpired(process.args, 0)
            for key, _ in ready.select(remaining):
                stream = cast(IO[bytes], key.fileobj)
                if stream is process.stdin:
                    left = _given(process.stdin, left)
                    if not left:
                        ready.unregister(process.stdin)
                        process.stdin.close()
                    continue
                if part := os.read(stream.fileno(), CHUNK):
                    said[stream] += part
                    if len(said[stream]) > limit:
                        raise TooMuch
                else:
                    ready.unregister(stream)
    return bytes(said[process.stdout]), bytes(said[process.stderr])


def _given(stream: IO[bytes], left: memoryview) -> memoryview:
    """What is still to be given; nothing where nobody takes it any more."""
    try:
        return left[os.write(stream.fileno(), left[:CHUNK]) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]
