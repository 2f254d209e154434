"""Asks, on one connection that is kept, first for an allowed host and then for a denied one."""
# outside: never

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, Conversation, reached, status


@attempt
def main():
    talk = Conversation()
    first = talk.say(f"GET http://{GOOD}/allowed-then-denied HTTP/1.1\r\nHost: {GOOD}\r\n\r\n".encode()).answer()
    assert status(first) == 200, first
    second = talk.say(f"GET http://{EVIL}/{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode()).answer()
    third = b""
    try:
        third = talk.say(f"GET http://{GOOD}:8080/{FORBIDDEN} HTTP/1.1\r\nHost: {GOOD}\r\n\r\n".encode()).answer()
    except OSError:
        pass
    fourth = Conversation().say(
        f"GET http://{GOOD}/echo HTTP/1.1\r\nHost: {GOOD}\r\n\r\nGET /{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode()
    )
    raw = fourth.answer() + fourth.answer()
    return (
        reached(second + third)
        + reached(raw, GOOD)
        + (["a request without a host went to the last one"] if FORBIDDEN.encode() in raw and status(second) != 403 else [])
    )
