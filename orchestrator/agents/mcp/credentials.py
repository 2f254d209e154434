"""Whether a text of a server's configuration holds a literal credential: by the names in it, by known forms, by looking like chance. Pure.

Texts are looked into as deep as they go: JSON, connection strings, shell text, addresses. References (``${NAME}``) are nothing literal.
Closed by default: what is nested too deep, and long words without any order, count as credentials, whatever they are called.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from urllib.parse import unquote

from orchestrator.agents.mcp import REFERENCE
from orchestrator.agents.shellwords import simple_commands
from orchestrator.egress.standins import SHORTEST, looks_like_value

_MAX_DEPTH = 8  # of JSON in shell text in JSON ...
_SHORTEST = 24  # characters of a word that can look like chance

_CREDENTIAL_WORDS = frozenset([
    "TOKEN", "KEY", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASS", "PASSPHRASE", "PWD", "PW", "AUTH", "AUTHORIZATION", "AUTHENTICATION",
    "CREDENTIAL", "CREDENTIALS", "CREDS", "PAT", "BEARER", "COOKIE", "APIKEY", "JWT", "SIG", "SIGNATURE",
])  # fmt: skip
_CREDENTIAL_ENDS = ("TOKEN", "SECRET", "PASSWORD", "APIKEY", "PASSWD", "PASS", "ACCESSKEY", "SECRETKEY", "PRIVATEKEY", "AUTHKEY")
_ORDINARY_WORDS = frozenset(["BYPASS", "COMPASS", "ENCOMPASS", "OVERPASS", "UNDERPASS", "SURPASS", "TRESPASS"])
_NOT_CREDENTIALS = frozenset(["PWD", "OLDPWD"])  # folders
# Of names: their values look like chance, and are no secrets. Unless it is a session's.
_IDENTITY_WORDS = frozenset(["ID", "IDS", "UUID", "GUID", "HASH", "SHA", "SHA256", "DIGEST", "CHECKSUM", "COMMIT", "FINGERPRINT"])
_SESSION_WORDS = frozenset(["SESSION", "SID"])

_HARMLESS_VALUES = frozenset(["", "true", "false", "yes", "no", "on", "off", "none", "null", "0", "1", "bearer", "basic", "token"])
_VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*", re.ASCII)  # of a shell, where shell text is
_PASSWORD_IN_URL = re.compile(r"[A-Za-z0-9+.-]://[^/?#\s@:]*:[^/?#\s@]+@", re.ASCII)
_NAMED = re.compile(r"(-*[A-Za-z][A-Za-z0-9_.-]*)(?:=|:(?!/))(.*)", re.ASCII | re.DOTALL)  # not NAME:/FOLDER, a volume of docker
_PAIR = re.compile(r"\s*([A-Za-z][A-Za-z0-9_.-]*(?: [A-Za-z0-9_.-]+){0,3}) ?= ?(.*)", re.ASCII | re.DOTALL)
_SEPARATORS = re.compile(r"[;&,?#|\n]")  # of connection strings, lists and queries
_BLANK = re.compile(r"\s")

_ADDRESS = re.compile(r"https?://[^\s\"'<>`]+", re.IGNORECASE)
_PINS = re.compile(r"\bsha(?:1|256|384|512)[:-][A-Za-z0-9+/=]{40,}|[@#][0-9a-f]{40}\b", re.ASCII)  # images, packages, commits
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WORD_ENDS = re.compile(r"[\s=:'\"@,;?&#|()<>`\[\]{}]+")
_LONG_WORD = re.compile(rf"[A-Za-z0-9_+/-]{{{_SHORTEST},}}", re.ASCII)
_LONG_SEGMENT = re.compile(rf"[A-Za-z0-9_-]{{{_SHORTEST},}}", re.ASCII)
_FILE_BEGINS = ("/", "./", "../", "~", "\\", "$")
_PIECE = re.compile(r"[A-Za-z0-9]{8,}", re.ASCII)
_SYLLABLE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+", re.ASCII)


def is_credential_name(name: str) -> bool:
    """Whether what bears this name (a variable, a header, an option) is a credential, going by the name."""
    words = _words_of(name)
    named = any(word in _CREDENTIAL_WORDS or (word.endswith(_CREDENTIAL_ENDS) and word not in _ORDINARY_WORDS) for word in words)
    return named and name.upper() not in _NOT_CREDENTIALS


def _words_of(name: str) -> list[str]:
    return [word for word in re.split(r"[^A-Z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()) if word]


def credential_in(name: str, text: str, depth: int = 0) -> str | None:
    """Under which name ``text``, the value of ``name``, holds a literal credential: ``name`` itself or one within; None: it holds none."""
    text = REFERENCE.sub("", text)
    if not _is_literal(text):
        return None
    plain = text.strip()
    if is_credential_name(name) or _by_form(text) or (not _is_identity(name) and _like_chance(text)) or depth > _MAX_DEPTH:
        return name
    if plain[:1] in ("[", "{"):
        try:
            return _in_document(json.loads(plain), depth + 1)
        except ValueError:
            pass  # no JSON: words
        except RecursionError:
            return name
    pairs = (pair for part in _SEPARATORS.split(text) if (pair := _PAIR.fullmatch(part)))
    within = (pair[1] for pair in pairs if is_credential_name(pair[1]) and _is_literal(pair[2]))
    return next(chain(within, (found for _, found in _in_shell_text(text, depth + 1))), None)


def credentials_in_words(words: Sequence[str], depth: int = 0, skip: frozenset[int] = frozenset()) -> Iterator[tuple[int, str]]:
    """Places of words of a command that hold credentials, each with the name in front of it, which may be empty. ``skip``: places not
    looked at. What stands behind an option is judged as its value."""
    value_at = -1
    for place, word in enumerate(words):
        if place in skip:
            continue
        following = words[place + 1] if place + 1 < len(words) else ""
        name, value = _named_value(word, following)
        if not name and place == value_at:
            continue
        if name and "=" not in word and ":" not in word and value:
            value_at = place + 1
        if (found := credential_in(name, value, depth)) is not None:
            yield place, found


def credential_in_address(url: str) -> bool:
    """Also where a name is written with ``%``; who stands in front of ``@`` counts, too."""
    return any("@" in _authority(one) or credential_in("", one) is not None for one in {url, unquote(url)})


def _authority(url: str) -> str:
    return re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]


def _is_literal(value: str) -> bool:
    plain = value.strip().strip("\"'")
    return plain.lower() not in _HARMLESS_VALUES and not _VARIABLE.fullmatch(plain)


def _by_form(text: str) -> bool:
    words = (word for word in re.split(r"[\s=:'\"/@,;?&#]+", text) if len(word) >= SHORTEST)
    return bool(_PASSWORD_IN_URL.search(text)) or any(map(looks_like_value, words))


def _in_document(document: object, depth: int) -> str | None:
    """JSON: names and their values at any depth; lists of words are commands; ``{"name": N, "value": V}`` is N with V."""
    todo: list[tuple[str, object]] = [("", document)]
    while todo:
        name, value = todo.pop()
        if isinstance(value, dict):
            todo += [(str(key), child) for key, child in value.items()]
            if isinstance(value.get("name"), str) and isinstance(value.get("value"), str):
                todo.append((value["name"], value["value"]))
        elif isinstance(value, list):
            words = [word for word in value if isinstance(word, str)]
            found = next((found for _, found in credentials_in_words(words, depth)), None)
            if found is not None:
                return found
            # Strings too: {"tokens": ["x"]}
            todo += [(name, child) for child in value if is_credential_name(name) or not isinstance(child, str)]
        elif isinstance(value, str):
            if credential_in(name, value, depth) is not None:
                return name
        elif value is not None and is_credential_name(name) and _is_literal(str(value)):  # a number
            return name
    return None


def _in_shell_text(text: str, depth: int) -> Iterator[tuple[int, str]]:
    """Its commands, and what they are fed with. One word is no shell text: it would be itself again."""
    if not _BLANK.search(text.strip()):
        name, value = _named_value(text, "")
        if name and value and value != text and credential_in(name, value, depth) is not None:
            yield 0, name
        return
    for command in simple_commands(text):
        yield from credentials_in_words([*command.words, *command.reads], depth)
        yield from credentials_in_words([body for body in command.bodies if body != text], depth)


def _named_value(word: str, following: str) -> tuple[str, str]:
    """What a word of a command gives a value: ``--token=x``, ``--token x``, ``TOKEN=x``, ``Authorization: x``. Nothing: it is a value."""
    found = _NAMED.fullmatch(word)
    if found:
        return found[1].lstrip("-"), found[2].strip()
    if word.startswith("-"):
        return word.lstrip("-"), "" if following.startswith("-") else following
    return "", word


# --- what looks like chance


def _is_identity(name: str) -> bool:
    words = _words_of(name)
    return bool(words) and words[-1] in _IDENTITY_WORDS and not _SESSION_WORDS & frozenset(words)


def _like_chance(text: str) -> bool:
    """Whether a word of ``text``, not counting paths of files, has been drawn rather than written."""
    if len(text) < _SHORTEST:
        return False
    text = _UUID.sub("", _PINS.sub("", text))
    for address in _ADDRESS.findall(text):
        parts = _SEPARATORS.split(address)
        if any(map(_is_drawn, _LONG_SEGMENT.findall(parts[0]))):
            return True
    rest = _ADDRESS.sub(lambda found: " ".join(_query_values(found[0])), text)
    words = (word for word in _WORD_ENDS.split(rest) if not word.startswith(_FILE_BEGINS))
    return any(_is_drawn(one) for word in words for one in _LONG_WORD.findall(word))


def _query_values(address: str) -> Iterator[str]:
    for part in _SEPARATORS.split(address)[1:]:
        name, equals, value = part.partition("=")
        if not equals or not _is_identity(name):
            yield value if equals else name


def _is_drawn(word: str) -> bool:
    """Letters, digits and cases change faster than in names that people give. ``manylinux2014``, ``20250929T101112Z`` and
    ``claude-sonnet-4-5-20250929`` are given."""
    return len(set(word)) >= 8 and sum(len(piece) for piece in _PIECE.findall(word) if _changes_fast(piece)) >= 16


def _changes_fast(piece: str) -> bool:
    syllables = len(_SYLLABLE.findall(piece))
    mixed = bool(re.search("[0-9]", piece)) and bool(re.search("[A-Za-z]", piece))
    return syllables * (3.9 if mixed else 2.9) >= len(piece) and syllables > 3
