"""Asks the proxy itself, as if it were a web server, and through itself."""
# outside: unsure

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, connects, exchange, get, origins, proxy_address, status


@attempt
def main():
    found = []
    for target, host in (
        ("/", GOOD),
        ("/", EVIL),
        (f"/{FORBIDDEN}", EVIL),
        ("*", EVIL),
        ("/debug", "localhost"),
        ("/config", "127.0.0.1"),
        ("/metrics", "localhost"),
        ("", EVIL),
    ):
        for method in ("GET", "POST", "OPTIONS"):
            raw = exchange(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
            if origins(raw) or status(raw) in range(200, 400):
                found.append(f"{method} {target} for {host}: {status(raw)} {origins(raw)}")
    port = proxy_address()[1]
    for url in (f"http://127.0.0.1:{port}/", f"http://localhost:{port}/", f"http://[::1]:{port}/", "http://127.0.0.1:3129/"):
        found += [url] if status(get(url)) in range(200, 400) else []
    return found + connects(f"127.0.0.1:{port}", f"localhost:{port}")
