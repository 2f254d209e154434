"""The proxy, spoken to octet by octet. Every server of the small internet names itself in a field ``X-Origin``: who reached whom shows."""

import os
import re
import socket
import ssl
import struct
import time
from urllib.parse import urlsplit

from attempt import FACTS

GOOD, OTHER, EVIL = "origin.example.org", "other.example.org", "evil.example.net"
FORBIDDEN = "must-not-arrive"  # a path with this word in a server's log is an escape, whatever the program says
WAIT_S = FACTS.get("wait", 2.5)


def proxy_address():
    found = urlsplit(os.environ["HTTP_PROXY"])
    return found.hostname, found.port


class Conversation:
    """One connection to the proxy (or another address), that reads whole answers."""

    def __init__(self, address=None):
        self.sock = socket.create_connection(address or proxy_address(), timeout=WAIT_S)
        self.data = b""

    def say(self, *parts):
        for part in parts:
            self.sock.sendall(part)
        return self

    def more(self, seconds=WAIT_S):
        """False at the end, or when nothing comes in time."""
        self.sock.settimeout(max(0.05, seconds))
        try:
            piece = self.sock.recv(65536)
        except OSError:
            return False
        self.data += piece
        return bool(piece)

    def answer(self):
        """The next whole answer as octets; what there is at the end of the connection."""
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                return self.take(len(self.data))
        head = self.data.partition(b"\r\n\r\n")[0]
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        bare = re.match(rb"HTTP/1\.[01] (1..|204|304)", head) or (
            re.match(rb"HTTP/1\.[01] 200", head) and not length and b"chunked" not in head.lower()
        )
        size = len(head) + 4 + (int(length[1]) if length and not bare else 0)
        if b"chunked" in head.lower():
            while b"\r\n0\r\n\r\n" not in self.data[len(head) :] and self.more():
                pass
            size = self.data.find(b"\r\n0\r\n\r\n", len(head)) + 7
        while len(self.data) < size and self.more():
            pass
        return self.take(size)

    def take(self, size):
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def rest(self, seconds=1.0):
        """All that comes until the end, or until nothing more does."""
        while self.more(seconds):
            pass
        return self.take(len(self.data))

    def close(self):
        self.sock.close()


def exchange(*parts, answers=1, address=None):
    """Send the parts, and read so many answers."""
    talk = Conversation(address)
    try:
        talk.say(*parts)
        return b"".join(talk.answer() for _ in range(answers))
    except OSError:
        return talk.data
    finally:
        talk.close()


def get(url, *fields, method="GET", host=None, answers=1, body=b""):
    """An ordinary request to the proxy; ``url`` as octets or text, taken as it is."""
    line = url if isinstance(url, bytes) else url.encode()
    name = (host or "x") if host is not None else line.partition(b"//")[2].partition(b"/")[0].decode("latin-1")
    head = method.encode() + b" " + line + b" HTTP/1.1\r\nHost: " + name.encode("latin-1") + b"\r\n"
    return exchange(head + b"".join(field + b"\r\n" for field in fields) + b"Connection: close\r\n\r\n" + body, answers=answers)


def origins(raw):
    """Who answered."""
    return [name.decode() for name in re.findall(rb"(?i)x-origin: ([^\r\n]*)", raw)]


def status(raw):
    found = re.match(rb"HTTP/1\.[01] (\d{3})", raw)
    return int(found[1]) if found else 0


def reached(raw, *allowed):
    """Those who answered and must not have, and greetings of other protocols."""
    found = [name for name in origins(raw) if name not in allowed]
    return found + [word.decode() for word in (b"SSH-2.0-small", b"220 small-internet") if word in raw]


def tunnel(authority, *fields, host=None):
    """A conversation within a tunnel, or None where it was refused; ``authority`` as octets or text."""
    target = authority if isinstance(authority, bytes) else authority.encode()
    talk = Conversation()
    talk.say(
        b"CONNECT "
        + target
        + b" HTTP/1.1\r\nHost: "
        + (host.encode() if host else target)
        + b"\r\n"
        + b"".join(field + b"\r\n" for field in fields)
        + b"\r\n"
    )
    if status(talk.answer()) == 200:
        return talk
    talk.close()
    return None


def connects(*authorities, path=f"/tunnel/{FORBIDDEN}"):
    """Those that the proxy opens a tunnel to and that answer there: with TLS, with HTTP or with a greeting."""
    found = []
    for authority in authorities:
        talk = tunnel(authority)
        if talk is None:
            continue
        try:
            said = talk.rest(0.3)
            if not said:
                name = authority.decode("latin-1") if isinstance(authority, bytes) else authority
                host = name.rpartition(":")[0].strip("[]") or name
                said = within(talk, host, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1", "replace"))
            found += [f"{authority!r}: {who}" for who in reached(said)]
        finally:
            talk.close()
    return found


def within(talk, name, request=None, context=None, whole=False):
    """Speak TLS in a tunnel and ask for something; nothing where TLS does not come about.

    The first answer, or with ``whole`` all that comes until the end.
    """
    context = context or lenient()
    asked = request or f"GET /tunnel/{FORBIDDEN} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
    data = b""
    try:
        talk.sock.settimeout(WAIT_S)
        with context.wrap_socket(talk.sock, server_hostname=name) as secure:
            secure.sendall(asked)
            while piece := secure.recv(65536):
                data += piece
                if not whole and b"\r\n\r\n" in data and b"chunked" not in data.lower() and complete(data):
                    break
    except (OSError, ValueError, TypeError):
        pass  # no TLS, or a name that no library would ask for, or nothing more
    return data


def complete(data):
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    return bool(length) and len(body) >= int(length[1])


def lenient():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def first_message(name, *extensions):
    """The first message of TLS as a client says it, with more extensions (number, octets)."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = lenient().wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    record = outgoing.read()
    body = record[9:]  # record header 5, handshake header 4
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + struct.unpack(">H", body[at : at + 2])[0]
    at += 1 + body[at]
    listed = body[at + 2 :] + b"".join(struct.pack(">HH", number, len(data)) + data for number, data in extensions)
    body = body[:at] + struct.pack(">H", len(listed)) + listed
    return b"\x01" + struct.pack(">I", len(body))[1:] + body


def records(message, *sizes):
    """The message cut into TLS records of these sizes; the last takes the rest."""
    parts, at = [], 0
    for size in (*sizes, len(message)):
        piece = message[at : at + size]
        at += size
        if piece:
            parts.append(b"\x16\x03\x01" + struct.pack(">H", len(piece)) + piece)
    return parts


def greeted(authority, *parts, pause=0.0):
    """Octets that come back in a tunnel after these: from a TLS server they begin with 0x16 (its hello)."""
    talk = tunnel(authority)
    if talk is None:
        return b""
    try:
        for part in parts:
            talk.say(part)
            time.sleep(pause)
        talk.more(2.0)
        return talk.data
    except OSError:
        return b""
    finally:
        talk.close()
