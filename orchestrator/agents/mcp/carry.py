"""What of the operator's servers may go in. Literal credentials never do. Pure.

Where the task has a secret of the name, the reference to its stand-in stands in place of the value; else the server is a problem, and no
message repeats the value.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from orchestrator.agents.mcp import REFERENCE, VARIABLE
from orchestrator.agents.mcp.credentials import credential_in, credential_in_address, credentials_in_words, is_credential_name
from orchestrator.egress.hosts import BadHost, parse_authority
from orchestrator.guard.sources.mcp import run_of
from orchestrator.model.agent import McpServer
from orchestrator.secrets.bindings import KNOWN

Problem = tuple[str, str]  # message, remedy

_DEFAULT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*):-([^}]*)\}", re.ASCII)  # claude
_FILLED_IN = re.compile(r"\$\{[^}]*\}|\{file:[^}]*\}")

_SCHEME = re.compile(r"(?:Bearer|Basic|Token|ApiKey) +(?=\S+$)", re.IGNORECASE)
_LOOPBACK = frozenset(["localhost", "127.0.0.1", "::1", "0.0.0.0"])


@dataclass(frozen=True, slots=True)
class Carried:
    """``servers``: as they may go in. ``problems``: message and way out of each that may not; with one, the run is refused."""

    servers: tuple[McpServer, ...]
    problems: tuple[Problem, ...]


def carry(found: Iterable[McpServer], secrets: frozenset[str]) -> Carried:
    """Servers without any credential of the operator's. ``secrets``: names of variables that hold stand-ins inside."""
    kept: list[McpServer] = []
    problems: list[Problem] = []
    for server in found:
        before = len(problems)
        carried = _Carrier(server, secrets, problems).carried()
        if len(problems) == before:
            kept.append(carried)
    return Carried(tuple(kept), tuple(problems))


class _Carrier:
    """One server on its way in; problems are gathered, so that a person sees all of them at once."""

    def __init__(self, server: McpServer, secrets: frozenset[str], problems: list[Problem]) -> None:
        self.server, self.secrets, self.problems = server, secrets, problems
        self.env = dict(server.env)
        self.settled: set[int] = set()  # numbers of words that name variables

    def carried(self) -> McpServer:
        words = self._docker_words() if self.server.kind == "docker" else self.server.command
        self._judge_words(words)
        env = tuple((name, self._value(name, name, value, "variable")) for name, value in self.env.items())
        headers = tuple((name, self._header(name, value)) for name, value in self.server.headers)
        if self.server.url is not None:
            self._judge_url(self.server.url)
        return replace(self.server, command=words, env=env, headers=headers)

    def _docker_words(self) -> tuple[str, ...]:
        """``-e NAME=value`` becomes ``-e NAME``, and the value one of the docker command's own variables, which are judged next."""
        words = list(self.server.command)
        run = run_of(words)
        for option in run.options if run else ():
            name, equals, value = option.value.partition("=")
            if option.name not in ("-e", "--env") or not VARIABLE.fullmatch(name):
                continue
            self.settled |= {option.word, option.word - (option.offset == 0)}
            if equals:
                words[option.word] = words[option.word][: option.offset] + name
                self.env[name] = value
            elif is_credential_name(name) or name in self.secrets:
                self.env.setdefault(name, f"${{{name}}}")  # some agents hand on only what is named
        return tuple(words)

    def _value(self, secret: str, name: str, text: str, what: str) -> str:
        """``text``, or the reference to the stand-in of ``secret`` in its place."""
        text = _DEFAULT.sub(lambda found: f"${{{found[1]}}}" if found[1] in self.secrets else found[2], text)
        self._judge_references(name, text, what)
        scheme, literal = _without_scheme(text)
        found = credential_in(name, literal)
        if found is None:
            return text
        if secret in self.secrets:
            return f"{scheme}${{{secret}}}"
        if found == name:
            self._problem(f"its {what} {name} holds a credential", secret)
        else:
            self._problem_within(f"its {what} {name} holds a credential{_behind(found)}")
        return ""

    def _header(self, name: str, text: str) -> str:
        return self._value(secret_of_header(self.server.name, name), name, text, "header")

    def _judge_references(self, name: str, text: str, what: str) -> None:
        for unclear in _FILLED_IN.findall(REFERENCE.sub("", text)):
            self.problems.append((
                f"MCP server {self.server.name!r}: its {what} {name} holds {ascii(unclear)[1:-1][:60]}, which only an editor fills in",
                "write the value, or a variable as ${NAME}",
            ))  # fmt: skip
        for reference in REFERENCE.findall(text):
            if (is_credential_name(name) or is_credential_name(reference)) and reference not in self.secrets:
                self._problem(f"its {what} {name} refers to {reference}, which the environment does not have", reference)

    def _judge_words(self, words: tuple[str, ...]) -> None:
        """Words of a command cannot refer to a stand-in for every agent, so a credential among them has no way in."""
        for place, word in enumerate(words):
            if place not in self.settled:
                self._judge_references(f"word {place + 1}", word, "command's")
        for place, name in credentials_in_words([_without_scheme(word)[1] for word in words], skip=frozenset(self.settled)):
            where = _behind(name) if is_credential_name(name) else f" in word {place + 1}"
            remedy = "give it to the server by a variable in its env; " + _way_in("NAME", self._host())
            self.problems.append((f"MCP server {self.server.name!r}: its command holds a credential{where}", remedy))

    def _judge_url(self, url: str) -> None:
        self._judge_references("url", url, "address")
        place = _place(url)
        if place is None:
            self.problems.append((f"MCP server {self.server.name!r}: its address is none of http or https", "write it as https://HOST/PATH"))
            return
        if credential_in_address(REFERENCE.sub("", url)):
            remedy = f"give it by a header instead, and {_way_in(secret_of_header(self.server.name, 'Authorization'), place[1])}"
            self.problems.append((f"MCP server {self.server.name!r}: its address holds a credential", remedy))

    def _problem(self, text: str, secret: str) -> None:
        self.problems.append((f"MCP server {self.server.name!r}: {text}", _way_in(secret, self._host())))

    def _problem_within(self, text: str) -> None:
        """A stand-in for the whole text would not be read: it goes in place of the credential alone."""
        secret = secret_of_header(self.server.name, "Authorization")
        remedy = f"write ${{{secret}}} in its place, and {_way_in(secret, self._host())}"
        self.problems.append((f"MCP server {self.server.name!r}: {text}", remedy))

    def _host(self) -> str:
        place = _place(self.server.url) if self.server.url else None
        return place[1] if place else "HOST"


def _without_scheme(text: str) -> tuple[str, str]:
    """``Bearer `` and the like in front, and what is literal behind it."""
    found = _SCHEME.match(text)
    scheme = found[0] if found else ""
    return scheme, REFERENCE.sub("", text[len(scheme) :])


def _behind(name: str) -> str:
    return f" behind {name[:60]!r}" if is_credential_name(name) else " within its text"


def secret_of_header(server: str, header: str) -> str:
    """The name of the secret for a header with a literal credential: GH_TOKEN for the Authorization of ``gh``."""
    last = "TOKEN" if header.lower() == "authorization" else re.sub(r"[^A-Za-z0-9]", "_", header)
    name = f"{server}_{last}".replace("-", "_").upper()
    return name if VARIABLE.fullmatch(name) else f"MCP_{name}"


def _way_in(secret: str, host: str) -> str:
    """Where a secret may go is known for some names."""
    bound = "" if secret in KNOWN else f" --secret-host {secret}={host}"
    return f"hand in a stand-in for it: --secret {secret}=env://{secret}{bound}"


def needed_rules(found: Iterable[McpServer]) -> tuple[tuple[str, str], ...]:
    """Server and network rule, for servers at an address. One at a loopback address needs none: the environment has its own."""
    places = ((server.name, _place(server.url)) for server in found if server.url is not None)
    return tuple((name, place[0]) for name, place in places if place is not None and place[1] not in _LOOPBACK)


def _place(url: str) -> tuple[str, str] | None:
    """The network rule for an address, and its host; None: it is none."""
    try:
        parts = urlsplit(url)
        host, port = parse_authority(parts.netloc.rpartition("@")[2], {"https": 443, "http": 80}[parts.scheme])
    except (ValueError, KeyError, BadHost):
        return None
    authority = host.text if port == 443 else host.with_port(port)
    return authority, host.text.strip("[]")
