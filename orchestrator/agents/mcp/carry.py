"""What of the operator's servers may go in. Literal credentials never do. Pure.

Where the task has a secret of the name, the reference to its stand-in stands in place of the value; else the server is a problem, and no
message repeats the value.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlsplit

from orchestrator.agents.mcp import REFERENCE, VARIABLE
from orchestrator.egress.hosts import BadHost, parse_authority
from orchestrator.egress.standins import looks_like_value
from orchestrator.guard.sources.mcp import run_of
from orchestrator.model.agent import McpServer
from orchestrator.secrets.bindings import KNOWN

Problem = tuple[str, str]  # message, remedy

_DEFAULT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*):-([^}]*)\}", re.ASCII)  # claude
_FILLED_IN = re.compile(r"\$\{[^}]*\}|\{file:[^}]*\}")

_CREDENTIAL_WORDS = frozenset([
    "TOKEN", "KEY", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASS", "PASSPHRASE", "PWD", "PW", "AUTH", "AUTHORIZATION", "AUTHENTICATION",
    "CREDENTIAL", "CREDENTIALS", "PAT", "BEARER", "COOKIE", "APIKEY", "JWT", "SIG", "SIGNATURE",
])  # fmt: skip
_CREDENTIAL_ENDS = ("TOKEN", "SECRET", "PASSWORD", "APIKEY", "PASSWD")
_NOT_CREDENTIALS = frozenset(["PWD", "OLDPWD"])  # folders
_HARMLESS_VALUES = frozenset(["", "true", "false", "yes", "no", "on", "off", "none", "0", "1"])
_PASSWORD_IN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s@]*:[^/?#\s@]+@", re.ASCII)
_SCHEME = re.compile(r"(?:Bearer|Basic|Token|ApiKey) +(?=\S+$)", re.IGNORECASE)
_NAMED = re.compile(r"(-*[A-Za-z][A-Za-z0-9_.-]*)(?:=|:(?!/))(.*)", re.ASCII | re.DOTALL)  # not NAME:/FOLDER, a volume of docker
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


def is_credential_name(name: str) -> bool:
    """Whether what bears this name (a variable, a header, an option) is a credential, going by the name."""
    words = [word for word in re.split(r"[^A-Z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()) if word]
    return name.upper() not in _NOT_CREDENTIALS and any(word in _CREDENTIAL_WORDS or word.endswith(_CREDENTIAL_ENDS) for word in words)


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
        if not _is_credential(name, literal):
            return text
        if secret in self.secrets:
            return f"{scheme}${{{secret}}}"
        self._problem(f"its {what} {name} holds a credential", secret)
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
            if place in self.settled:
                continue
            self._judge_references(f"word {place + 1}", word, "command's")
            name, value = _named_value(word, words[place + 1] if place + 1 < len(words) else "")
            if _is_credential(name, _without_scheme(value)[1]):
                where = f"behind {name[:60]!r}" if is_credential_name(name) else f"in word {place + 1}"
                remedy = "give it to the server by a variable in its env; " + _way_in("NAME", self._host())
                self.problems.append((f"MCP server {self.server.name!r}: its command holds a credential {where}", remedy))

    def _judge_url(self, url: str) -> None:
        self._judge_references("url", url, "address")
        place = _place(url)
        if place is None:
            self.problems.append((f"MCP server {self.server.name!r}: its address is none of http or https", "write it as https://HOST/PATH"))
            return
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        hidden = "@" in parts.netloc or any(_is_credential(name, value) for name, value in query)
        if hidden or any(map(looks_like_value, parts.path.split("/"))):
            remedy = f"give it by a header instead, and {_way_in(secret_of_header(self.server.name, 'Authorization'), place[1])}"
            self.problems.append((f"MCP server {self.server.name!r}: its address holds a credential", remedy))

    def _problem(self, text: str, secret: str) -> None:
        self.problems.append((f"MCP server {self.server.name!r}: {text}", _way_in(secret, self._host())))

    def _host(self) -> str:
        place = _place(self.server.url) if self.server.url else None
        return place[1] if place else "HOST"


def _is_credential(name: str, text: str) -> bool:
    by_name = is_credential_name(name) and text.strip().lower() not in _HARMLESS_VALUES
    return by_name or bool(_PASSWORD_IN_URL.search(text)) or any(map(looks_like_value, re.split(r"[\s=:'\"/@,;]+", text)))


def _without_scheme(text: str) -> tuple[str, str]:
    """``Bearer `` and the like in front, and what is literal behind it."""
    found = _SCHEME.match(text)
    scheme = found[0] if found else ""
    return scheme, REFERENCE.sub("", text[len(scheme) :])


def _named_value(word: str, following: str) -> tuple[str, str]:
    """What a word of a command gives a value: ``--token=x``, ``--token x``, ``TOKEN=x``, ``Authorization: x``. Nothing: it is a value."""
    found = _NAMED.fullmatch(word)
    if found:
        return found[1].lstrip("-"), found[2].strip()
    if word.startswith("-"):
        return word.lstrip("-"), "" if following.startswith("-") else following
    return "", word


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
