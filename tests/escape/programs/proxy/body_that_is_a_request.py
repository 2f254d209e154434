"""Sends a body that looks like requests, longer and shorter than it says."""
# outside: never

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, Conversation, reached


@attempt
def main():
    hidden = f"GET http://{EVIL}/{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode()
    found = []
    for length in (len(hidden), len(hidden) - 10, 0, 10):
        talk = Conversation().say(f"POST http://{GOOD}/body HTTP/1.1\r\nHost: {GOOD}\r\nContent-Length: {length}\r\n\r\n".encode() + hidden)
        found += reached(talk.answer() + talk.rest(0.3), GOOD)
        talk.close()
    # A server may answer before the body has come; what comes then is still the body.
    talk = Conversation().say(
        f"POST http://{GOOD}/status/400 HTTP/1.1\r\nHost: {GOOD}\r\nContent-Length: {2 * len(hidden)}\r\n\r\n".encode() + hidden
    )
    first = talk.more(0.3)
    talk.say(hidden)
    return found + reached(talk.rest(0.5) if first else talk.answer(), GOOD)
