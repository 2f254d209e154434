"""Writes several requests at once, the denied between allowed ones."""
# outside: never

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, Conversation, origins, reached


@attempt
def main():
    def ask(host, path):
        return f"GET http://{host}/{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

    talk = Conversation().say(ask(GOOD, "pipelining-1") + ask(EVIL, FORBIDDEN) + ask(GOOD, "pipelining-2") + ask(f"{EVIL}:8080", FORBIDDEN))
    raw = b"".join(talk.answer() for _ in range(4))
    assert origins(raw)[:1] == [GOOD], raw
    return reached(raw, GOOD)
