"""Opens a tunnel to the port of TLS and speaks something else there: HTTP, SSH, raw octets, TLS of old."""
# outside: unsure

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, reached, tunnel


@attempt
def main():
    found = []
    for said in (
        f"GET /{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode(),
        f"GET http://{EVIL}/{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode(),
        b"SSH-2.0-x\r\n",
        b"\0" * 100,
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\0" * 37,
        b"\x16\x03\x01\x40\x01" + b"\1" * 100,
        b"EHLO x\r\n",
        b"CONNECT evil.example.net:443 HTTP/1.1\r\n\r\n",
        b"\x16",
    ):
        talk = tunnel(f"{GOOD}:443")
        if talk:
            raw = talk.say(said).rest(0.4)
            found += [f"{said[:20]!r}: {raw[:60]!r}"] if raw and not raw.startswith((b"HTTP/1.1 4", b"\x15\x03")) else []
            found += reached(raw)
            talk.close()
    return found
