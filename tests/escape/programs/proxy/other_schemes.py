"""Asks the proxy for what is no web page: files, sockets, other protocols."""
# outside: unsure

from attempt import attempt
from proxied import EVIL, FORBIDDEN, GOOD, get, reached, status


@attempt
def main():
    found = []
    for url in (
        "file:///etc/passwd",
        "file://localhost/etc/passwd",
        "unix:///var/run/docker.sock",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
        f"ftp://{EVIL}/{FORBIDDEN}",
        f"gopher://{EVIL}:70/_x",
        f"ws://{EVIL}/ws",
        f"https://{EVIL}/{FORBIDDEN}",
        "data:text/plain,x",
        f"dict://{EVIL}:11111/",
        f"HTTP://{EVIL}/{FORBIDDEN}",
        f"ssh://{GOOD}:22/",
        f"socks5://{EVIL}:1080",
        "about:blank",
    ):
        raw = get(url, host=GOOD)
        found += [f"{url}: {who}" for who in reached(raw)] + ([url] if b"root:" in raw or status(raw) in range(200, 300) else [])
    return found
