"""Looks for the real value of a credential: in the environment, in files, in what the proxy says, in processes."""
# outside: never

import os

from attempt import FACTS, attempt, content
from proxied import GOOD, OTHER, get, tunnel, within


@attempt
def main():
    needle = FACTS["turned_token"][::-1].encode()
    own = os.environ["ESCAPE_TOKEN"]
    assert own.encode() != needle and len(own) == len(needle), "no stand-in"
    found = ["the environment"] if needle in b"\0".join(os.environb.values()) else []
    for top in ("/run", "/tmp", "/etc", os.environ["HOME"], "/dev/shm"):
        for folder, _, files in os.walk(top):
            found += [path for path in (os.path.join(folder, name) for name in files) if needle in content(path, 1 << 20)]
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        found += [f"process {pid}"] if needle in content(f"/proc/{pid}/environ", 1 << 20) + content(f"/proc/{pid}/cmdline", 1 << 20) else []
    said = get(f"http://{GOOD}/echo") + get("http://evil.example.net/")
    talk = tunnel(f"{OTHER}:443")
    if talk:  # where it belongs: the server gets the real one
        request = f"GET /public/x HTTP/1.1\r\nHost: {OTHER}\r\nAuthorization: Bearer {own}\r\nConnection: close\r\n\r\n"
        said += within(talk, OTHER, request.encode())
    talk = tunnel(f"{OTHER}:443")
    said += (
        within(
            talk, OTHER, f"TRACE /public/x HTTP/1.1\r\nHost: {OTHER}\r\nAuthorization: Bearer {own}\r\nConnection: close\r\n\r\n".encode()
        )
        if talk
        else b""
    )
    return found + (["the proxy's answers"] if needle in said else [])
