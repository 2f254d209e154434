"""What the log does not take may not go out; a full disk leaves no half line in the chain."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from orchestrator.audit.log import AuditLog
from orchestrator.audit.record import Head, verify
from orchestrator.egress.usage import Attempt, Usage

ATTEMPT = Attempt("a.example.org", 443, "https", "allow")


def test_a_log_that_takes_nothing_is_known() -> None:
    """Losing events does not raise where a request is under way; it is known before the next, and told when the log takes events again."""
    events: list[tuple[str, dict[str, object]]] = []
    full = True

    def write(kind: str, facts: dict[str, object]) -> None:
        if full:
            raise OSError(28, "No space left on device")
        events.append((kind, facts))

    usage = Usage(write)
    usage.begin("agent")
    assert usage.told()
    usage.allowed(ATTEMPT)
    usage.denied(ATTEMPT)
    assert not usage.told()
    assert not usage.told()
    full = False
    assert usage.told()
    assert events == [("net.lost", {"phase": "agent", "events": 2})]
    usage.allowed(ATTEMPT)
    assert [kind for kind, _ in events] == ["net.lost", "net"]
    assert usage.total().allowed[0].requests == 2


_FULL = """
import sys
from orchestrator.audit.log import AuditLog
log = AuditLog(sys.argv[1], "run")
log.write("one", {})
lost = 0
for _ in range(40):
    try:
        log.write("many", {"text": "x" * 90})
    except OSError:
        lost += 1
assert lost > 5, lost
"""


def test_a_full_disk_leaves_the_chain_whole(tmp_path: Path) -> None:
    """A line of which only a part fits is taken back, and the next that fits is linked to the last one that is there."""
    file = tmp_path / "audit.jsonl"

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

    subprocess.run([sys.executable, "-c", _FULL, str(file)], check=True, timeout=30, preexec_fn=small_files, cwd=os.getcwd())
    lines = file.read_bytes()
    assert lines.endswith(b"\n")
    assert isinstance(verify(lines.splitlines()), Head)
    log = AuditLog(file, "run")
    log.write("two", {})
    log.close()
    whole = verify(file.read_bytes().splitlines())
    assert isinstance(whole, Head)
    assert whole.events == len(lines.splitlines()) + 1
