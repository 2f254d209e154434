"""Names an allowed host in the request line and a denied one in the Host field: the server must be told the first."""
# outside: escapes

import json

from attempt import attempt
from proxied import EVIL, GOOD, get, reached


@attempt
def main():
    found = []
    for host in (EVIL, f"{GOOD}\r\nHost: {EVIL}", f"{GOOD}, {EVIL}", f"{GOOD}:80@{EVIL}", ""):
        raw = get(f"http://{GOOD}/echo", host=host or "\t")
        found += reached(raw, GOOD)
        body = raw.partition(b"\r\n\r\n")[2]
        if body.startswith(b"{") and b'"headers"' in body:
            hosts = [value for name, value in json.loads(body)["headers"] if name.lower() == "host"]
            found += [f"the server was told {hosts}"] if hosts != [GOOD] else []
    return found
