"""Begins HTTP/2, with the proxy and within a tunnel, where no rule could look at requests."""
# outside: never

from attempt import attempt
from proxied import GOOD, OTHER, Conversation, exchange, lenient, reached, tunnel, within

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


@attempt
def main():
    found = reached(exchange(PREFACE))
    talk = Conversation().say(PREFACE)
    found += ["the proxy answered with frames"] if talk.rest(0.5).startswith(b"\0\0") else []
    context = lenient()
    context.set_alpn_protocols(["h2"])
    talk = tunnel(f"{OTHER}:443")  # its requests are judged one by one, so its TLS ends at the proxy
    if talk:
        raw = within(talk, OTHER, PREFACE, context)
        found += ["frames within TLS that is looked into"] if raw.startswith(b"\0\0") else []
    talk = tunnel(f"{GOOD}:80")
    if talk:
        found += ["frames within a tunnel for plain HTTP"] if talk.say(PREFACE).rest(0.5).startswith(b"\0\0") else []
    return found
