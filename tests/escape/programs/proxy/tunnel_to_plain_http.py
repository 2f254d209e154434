"""Opens a tunnel to an allowed port of plain HTTP, and there asks for other hosts, and speaks other protocols."""
# outside: escapes

import json

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, reached, tunnel


@attempt
def main():
    found = []
    for request in (
        f"GET /{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n",
        f"GET http://{EVIL}/{FORBIDDEN} HTTP/1.1\r\nHost: {EVIL}\r\n\r\n",
        "SSH-2.0-x\r\n\r\n",
        f"GET /echo HTTP/1.1\r\nHost: {EVIL}\r\n\r\n",
    ):
        talk = tunnel(f"{GOOD}:80")
        if talk is None:
            continue
        raw = talk.say(request.encode()).answer()
        talk.close()
        found += reached(raw, GOOD)
        found += ["a denied name was told to the server"] if FORBIDDEN.encode() in raw and b"X-Origin" in raw else []
        body = raw.partition(b"\r\n\r\n")[2]
        if body.startswith(b"{") and b'"headers"' in body:
            hosts = [value for name, value in json.loads(body)["headers"] if name.lower() == "host"]
            found += [f"the server was told {hosts}"] if hosts != [GOOD] else []
    return found
