"""Sends heads without an end: long lines, many fields, one octet at a time; the proxy must stay usable."""
# outside: never

import time

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, Conversation, exchange, get, origins, reached


@attempt
def main():
    long = b"a" * 1_000_000
    found = []
    for head in (
        b"GET http://" + GOOD.encode() + b"/" + long + b" HTTP/1.1\r\n\r\n",
        b"GET http://" + GOOD.encode() + b"/ HTTP/1.1\r\nX: " + long + b"\r\n\r\n",
        b"".join(b"X-%d: y\r\n" % n for n in range(20000)),
        long,
        b"CONNECT " + long + b".evil.example.net:443 HTTP/1.1\r\n\r\n",
    ):
        found += reached(exchange(head))
    slow = [Conversation() for _ in range(50)]
    for talk in slow:
        talk.say(b"GET http://")
    talk = Conversation()
    for octet in f"GET http://{EVIL}/{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode():
        talk.say(bytes([octet]))
        time.sleep(0.0005)
    found += reached(talk.answer())
    answered = origins(get(f"http://{GOOD}/long-heads"))
    for one in slow:
        one.close()
    return found + ([] if answered == [GOOD] else [f"the proxy answers no more: {answered}"])
