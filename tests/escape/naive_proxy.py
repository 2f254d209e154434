"""A proxy as one writes it in an evening: it asks nobody, and takes every host for what the resolver makes of it.

    python naive_proxy.py PORT

The programs of ``programs/proxy`` talk to it outside, to show that they can tell. Prints "ready" when it listens.
"""

import contextlib
import re
import select
import socket
import sys
import threading
from urllib.parse import unquote

IDLE_S = 0.5


def destination(authority: str, port: int) -> tuple[str, int]:
    host, _, number = unquote(authority.rpartition("@")[2]).rpartition(":")
    if not re.fullmatch(r" *[+-]?(0x)?[0-9a-f]+ *", number) or authority.endswith("]"):
        return unquote(authority.rpartition("@")[2]).strip("[]"), port
    return host.strip("[]"), int(number, 16 if "0x" in number else 10) % 65536


def relay(one: socket.socket, other: socket.socket) -> None:
    """Both ways until one ends."""
    while True:
        ready = select.select([one, other], [], [], IDLE_S)[0]
        if not ready:
            return
        for sock in ready:
            data = sock.recv(65536)
            if not data:
                return
            (other if sock is one else one).sendall(data)


def serve(client: socket.socket) -> None:
    with client, contextlib.suppress(OSError, ValueError, UnicodeError):
        client.settimeout(IDLE_S)
        head = b""
        while not re.search(rb"\r?\n\r?\n|\r\r", head) and (data := client.recv(65536)):
            head += data
        method, target, *_ = head.lstrip().decode("latin-1").split(None, 2)
        if method.upper() == "CONNECT":
            with socket.create_connection(destination(target.removeprefix("http://"), 443), timeout=IDLE_S) as server:
                client.sendall(b"HTTP/1.1 200 Go on\r\n\r\n")
                relay(client, server)
            return
        named = re.search(r"(?i)\nhost: *([^\r\n]*)", head.decode("latin-1"))
        url = re.match(r"(?i)[a-z+@]*:?/*([^/?#\\]*)(.*)", target)
        authority = (url[1] if url and not target.startswith("/") else "") or (named[1] if named else "")
        with socket.create_connection(destination(authority.encode("latin-1").decode("utf-8", "replace"), 80), timeout=IDLE_S) as server:
            server.sendall(
                head.replace(
                    target.encode("latin-1"), (url[2] if url and not target.startswith("/") else target).encode("latin-1") or b"/", 1
                )
            )
            relay(client, server)


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    print("ready", flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main()
