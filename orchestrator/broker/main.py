"""The broker process. Few imports: standard library and the event log.

    python -I -S -c '...' FD RUN_ID RUN_FOLDER RECOVER-COMMAND-JSON

Lines of JSON come in over FD: ``{"event": KIND, "facts": {...}}``, ``{"sync": N}`` (answered with the head) and
``{"end": true}``. The end of the stream without ``end`` means that the main process was killed.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

from orchestrator.audit.log import AuditLog

_MAX_LINE = 1 << 20


def serve(sock: socket.socket, log: AuditLog) -> bool:
    """Write what comes until the end; True when the main process said goodbye."""
    with sock.makefile("rb") as lines:
        while line := lines.readline(_MAX_LINE):
            message = json.loads(line)
            if "event" in message:
                log.write(message["event"], message["facts"])
                continue
            log.sync()
            answer = {"events": log.head.events, "head": log.head.hash}
            sock.sendall(json.dumps(answer).encode() + b"\n")
            if "end" in message:
                return True
    return False


def main(arguments: list[str]) -> int:
    descriptor, run_id, folder, recover = int(arguments[0]), arguments[1], Path(arguments[2]), json.loads(arguments[3])
    # ^C and a closed terminal are the main process's to handle; we are what remains when it cannot.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    log = AuditLog(folder / "audit.jsonl", run_id)
    said_goodbye = False
    with socket.socket(fileno=descriptor) as sock:
        sock.sendall(b'{"ready": true}\n')
        try:
            said_goodbye = serve(sock, log)
        except (OSError, ValueError) as problem:
            log.write("broker.error", {"message": str(problem)})
    if said_goodbye:
        log.close()
        return 0
    log.write("main.lost", {})
    log.close()
    os.execv(recover[0], recover)
    return 125


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
