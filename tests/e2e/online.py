"""The product in the small internet: programs that ask it for things from inside, and what became of their questions."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.product import Aienv, Done

# Asks for each of the things that its argument lists, through the proxy, with nothing but the standard library, and prints the
# answers. A refusal of CONNECT is an answer like any other, which real clients do not show.
ASK = """
import http.client, json, socket, ssl, sys
from urllib.parse import urlsplit
PROXY = ("127.0.0.1", 3128)

def answer(sock, method):
    reply = http.client.HTTPResponse(sock, method=method)
    reply.begin()
    return reply

def told(reply, way):
    headers = {name.lower(): value for name, value in reply.getheaders()}
    return {"way": way, "status": reply.status, "headers": headers, "body": reply.read(4000).decode("latin-1")}

def ask(method, url, headers, body):
    parts = urlsplit(url)
    target = parts._replace(scheme="", netloc="").geturl() or "/"
    secure, bare = parts.scheme == "https", parts.scheme == "tcp"
    place = parts.netloc if parts.port else parts.netloc + ":443"
    with socket.create_connection(PROXY, 60) as sock:
        if secure or bare:
            sock.sendall(f"CONNECT {place} HTTP/1.1\\r\\nHost: {place}\\r\\n\\r\\n".encode())
            opened = answer(sock, "CONNECT")
            if opened.status != 200:
                return told(opened, "connect")
        if bare:
            sock.sendall(body.encode())
            return {"way": "tcp", "body": opened.fp.read(len(body)).decode()}
        if secure:
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
        lines = [f"{method} {target if secure else url} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close", *headers]
        lines += [f"Content-Length: {len(body)}"] if body else []
        sock.sendall("\\r\\n".join([*lines, "", body]).encode())
        return told(answer(sock, method), "request")

answers = []
for method, url, headers, body in json.loads(sys.argv[1]):
    try:
        answers.append(ask(method, url, headers, body))
    except Exception as problem:
        answers.append({"way": "failed", "error": f"{type(problem).__name__}: {problem}"})
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Answer:
    """What came of one question. ``way``: who answered: ``connect`` (the proxy to CONNECT), ``request``, ``tcp``, or ``failed``."""

    way: str
    status: int = 0
    headers: Mapping[str, str] | None = None
    body: str = ""
    error: str = ""

    @property
    def origin(self) -> str | None:
        """The server of the small internet that answered."""
        return (self.headers or {}).get("x-origin")

    @property
    def denied(self) -> str | None:
        """The word for why it was refused."""
        return (self.headers or {}).get("x-aienv-denied")

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Finished:
    """A run that is over, with its report."""

    done: Done
    report: Any

    @property
    def folder(self) -> Path:
        return Path(self.report["folder"])

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """The run's own log."""
        lines = [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]
        return [line for line in lines if not kinds or line["kind"] in kinds]

    @property
    def answers(self) -> list[Answer]:
        """Of an agent that is ``asking``."""
        return [Answer(**one) for one in json.loads(self.done.text.splitlines()[-1])]


def asking(*questions: str, headers: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A command that asks for each of ``questions``: ``[METHOD ]URL[ BODY]``."""
    asked = []
    for question in questions:
        words = question.split(" ", 2)
        method, *rest = words if "://" not in words[0] else ("GET", *question.split(" ", 1))
        asked.append((method, rest[0], headers, rest[1] if len(rest) > 1 else ""))
    return ("python3", "-I", "-c", ASK, json.dumps(asked))


def allow(*hosts: str) -> tuple[str, ...]:
    """Flags."""
    return tuple(word for host in hosts for word in ("--allow-host", host))


def finish(product: Aienv, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Finished:
    """Run, and read the report as the newest run's folder has it."""
    known = set(reports(product))
    done = product.run(*words, env=env, cwd=cwd)
    new = set(reports(product)) - known
    assert len(new) == 1, done.errors
    return Finished(done, json.loads(new.pop().read_text()))


def reports(product: Aienv) -> list[Path]:
    return list((product.home / "runs").glob("*/report.json"))


def ended_steps(product: Aienv) -> dict[str, Any]:
    """The steps that the only run has finished, by name."""
    (journal,) = (product.home / "runs").glob("*/journal.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return {line["step"]: line for line in lines if line.get("state") == "end"}


def shown_flags(done: Done) -> list[list[str]]:
    """The flags that a summary's lines offer, split as a shell would."""
    offers = [line.partition("to allow it: ")[2] for line in done.errors.splitlines() if "to allow it: " in line]
    return [shlex.split(offer) for offer in offers]
