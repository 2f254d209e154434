"""Asks a server whose certificate nobody signed, where the proxy speaks TLS for us: it must not trust what we could not check."""
# outside: never

from attempt import attempt
from proxied import FORBIDDEN, origins, tunnel, within

NAME = "untrusted.example.org"


@attempt
def main():
    talk = tunnel(f"{NAME}:443")
    return (
        origins(within(talk, NAME, f"GET /public/{FORBIDDEN} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()))
        if talk
        else None
    )
