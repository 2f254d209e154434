"""Parsers of single values: a ``Node`` in, a Python value out, or ``BadValue`` with the reason and the nearest choice.

They know nothing of keys, files or layers. Texts that end up in a command, a path or a terminal never hold control characters.
"""

import difflib
import re
import shlex
from collections.abc import Callable, Iterable

from orchestrator.config.node import KIND_NAMES, Node, shown

Parser = Callable[[Node], object]

VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)

# One argument or variable of a Linux process holds at most 128 KiB; more would fail late, in exec.
TEXT_LIMIT_BYTES = 120_000

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s?(b|[kmgt](?:i?b)?)?", re.ASCII | re.IGNORECASE)
_UNIT_BYTES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION = re.compile(
    r"(?:(?P<d>[0-9]{1,6})d)?(?:(?P<h>[0-9]{1,8})h)?(?:(?P<m>[0-9]{1,8})m)?(?:(?P<s>[0-9]{1,9}(?:\.[0-9]{1,6})?)s)?", re.ASCII
)
_UNIT_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_SHELL_SIGNS = frozenset("|&;<>()$`*?~#\n")


class BadValue(ValueError):
    """A value that its key does not take. The text is the whole reason; ``remedy`` the way out."""

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy


def nearest(text: str, choices: Iterable[str]) -> str:
    """``, perhaps 'docker'?`` when one of ``choices`` is close to ``text``, else an empty text."""
    by_lower = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(text[:80].lower(), by_lower, n=1, cutoff=0.6)
    return f", perhaps {by_lower[found[0]]!r}?" if found else ""


def scalar(node: Node, wanted: str) -> str:
    """The characters of a scalar.

    Raises:
        BadValue: a list, a map or nothing; or characters that no setting may hold.
    """
    if node.kind == "nothing":
        raise BadValue(f"expected {wanted}, found nothing", "give a value or leave the line out")
    if node.kind in ("list", "map"):
        raise BadValue(f"expected {wanted}, found {KIND_NAMES[node.kind]}")
    if "\0" in node.text:
        raise BadValue("holds a NUL character")
    if any("\ud800" <= char <= "\udfff" for char in node.text):
        raise BadValue("is not valid Unicode text")
    if len(node.text.encode("utf-8")) > TEXT_LIMIT_BYTES:
        raise BadValue(f"is longer than {TEXT_LIMIT_BYTES} bytes")
    return node.text


def one_line(node: Node, wanted: str = "text", *, numbers: bool = False) -> str:
    """Text of one line, not empty, without blanks at its ends. ``numbers``: also take 1.0 and true, as written."""
    text = scalar(node, wanted)
    if node.kind not in ("text", "word") and not numbers:
        raise BadValue(f"expected {wanted}, found {KIND_NAMES[node.kind]} {shown(text)}", f'quote it: "{shown(text)}"')
    if not text.strip():
        raise BadValue(f"expected {wanted}, found an empty text")
    if any(not char.isprintable() for char in text):
        raise BadValue(f"holds a character that cannot be printed: {shown(text)}")
    return text.strip()


def many_lines(node: Node) -> str:
    """Text that may have several lines, such as a prompt."""
    text = scalar(node, "text")
    if node.kind not in ("text", "word"):
        raise BadValue(f"expected text, found {KIND_NAMES[node.kind]} {shown(text)}", f'quote it: "{shown(text)}"')
    if not text.strip():
        raise BadValue("expected text, found an empty text")
    if any((ord(char) < 32 and char not in "\t\r\n") or char == "\x7f" for char in text):
        raise BadValue("holds a control character")
    return text


def truth(node: Node) -> bool:
    text = scalar(node, "true or false").lower()
    if node.kind == "truth" or (node.kind == "word" and text in ("true", "false")):
        return text == "true"
    if node.kind == "word" and text in ("1", "0", "yes", "no", "on", "off"):
        return text in ("1", "yes", "on")
    hint = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}.get(text)
    raise BadValue(f"expected true or false, found {shown(node.text)}" + (f", perhaps {hint}?" if hint else ""))


def one_of(*choices: str) -> Parser:
    """Exactly one of ``choices``."""

    def parse(node: Node) -> str:
        text = scalar(node, f"one of {', '.join(choices)}")
        if text in choices:
            return text
        raise BadValue(f"unknown choice {shown(text)}{nearest(text, choices)}", f"choose one of {', '.join(choices)}")

    return parse


def matching(pattern: re.Pattern[str], wanted: str, rule: str) -> Parser:
    """Text of one line that ``pattern`` matches whole; ``rule`` says in words what that means."""

    def parse(node: Node) -> str:
        text = one_line(node, wanted)
        if not pattern.fullmatch(text):
            raise BadValue(f"{shown(text)} is not {wanted}", rule)
        return text

    return parse


def size(low: int, high: int = 1 << 50) -> Parser:
    """Bytes, from ``512m``, ``4g``, ``1.5GiB`` or a plain number. All units are powers of 1024, as Docker has them."""

    def parse(node: Node) -> int:
        text = scalar(node, "a size such as 512m or 4g").strip()
        found = _SIZE.fullmatch(text)
        if not found or node.kind == "truth":
            raise BadValue(f"{shown(text)} is not a size", "write a number and a unit, such as 512m or 4g")
        count = int(float(found[1]) * _UNIT_BYTES[(found[2] or "b")[0].lower()])
        if not low <= count <= high:
            unit = "" if found[2] else f"; without a unit it means bytes, perhaps {found[1]}g?"
            raise BadValue(f"{shown(text)} is not between {format_size(low)} and {format_size(high)}{unit}")
        return count

    return parse


def duration(low: float, high: float) -> Parser:
    """Seconds, from ``30m``, ``90s``, ``1h30m`` or a plain number."""

    def parse(node: Node) -> float:
        text = scalar(node, "a duration such as 90s or 1h30m").strip()
        plain = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text, re.ASCII)
        found = _DURATION.fullmatch(text)
        if node.kind == "truth" or not text or not (plain or found):
            raise BadValue(f"{shown(text)} is not a duration", "write a number and a unit, such as 90s, 30m or 1h30m")
        parts = found.groupdict() if found else {}
        seconds = float(text) if plain else sum(float(count) * _UNIT_SECONDS[unit] for unit, count in parts.items() if count)
        if not low <= seconds <= high:
            raise BadValue(f"{shown(text)} is not between {format_duration(low)} and {format_duration(high)}")
        return seconds

    return parse


def whole(low: int, high: int) -> Parser:
    """A whole number."""

    def parse(node: Node) -> int:
        text = scalar(node, "a whole number").strip()
        if node.kind not in ("integer", "word") or not re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
            raise BadValue(f"expected a whole number, found {shown(text)}")
        if not low <= int(text) <= high:
            raise BadValue(f"{shown(text)} is not between {low} and {high}")
        return int(text)

    return parse


def number(low: float, high: float) -> Parser:
    """A number, perhaps with a fraction."""

    def parse(node: Node) -> float:
        text = scalar(node, "a number").strip()
        if node.kind not in ("integer", "number", "word") or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text, re.ASCII):
            raise BadValue(f"expected a number, found {shown(text)}")
        if not low <= float(text) <= high:
            raise BadValue(f"{shown(text)} is not between {low:g} and {high:g}")
        return float(text)

    return parse


def list_of(parse: Callable[[Node], object], most: int = 1000) -> Parser:
    """A list whose items ``parse`` takes; what stands there twice counts once."""

    def parse_list(node: Node) -> tuple[object, ...]:
        if node.kind != "list":
            found = KIND_NAMES[node.kind] if node.kind in ("nothing", "map") else shown(node.text)
            hint = None if node.kind in ("nothing", "map") else f"write it as a list: [{_flow_word(node.text.strip())}]"
            raise BadValue(f"expected a list, found {found}", hint)
        if len(node.items) > most:
            raise BadValue(f"has more than {most} items")
        return tuple(dict.fromkeys(parse(item) for item in node.items))

    return parse_list


def command(node: Node) -> tuple[str, ...]:
    """A command as a list of words; they may repeat, be empty, and look like numbers."""
    if node.kind == "list":
        if not node.items:
            raise BadValue("expected a list of words, found an empty list")
        argv = tuple(scalar(item, "a word") for item in node.items)
        if not argv[0].strip():
            raise BadValue("the first word, the program, is empty")
        return argv
    if node.kind in ("map", "nothing"):
        raise BadValue(f"expected a list of words, found {KIND_NAMES[node.kind]}")
    raise BadValue("expected a list of words, found text", f"write it as a list: command: {list_form(node.text)}")


def list_form(text: str) -> str:
    """The list that somebody meant who wrote a command as text: ``pytest -q`` is ``[pytest, -q]``."""
    try:
        argv = ["sh", "-c", text.strip()] if _SHELL_SIGNS & set(text.strip()) else shlex.split(text)
    except ValueError:  # an open quote: only a shell can say what that means
        argv = ["sh", "-c", text.strip()]
    return "[" + ", ".join(_flow_word(item) for item in argv) + "]"


def _flow_word(text: str) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9./_+=-]*[A-Za-z/_][A-Za-z0-9./_+= -]*", text, re.ASCII)
    return text if plain and len(text) < 200 else '"' + shown(text, 200).strip("'\"").replace('"', '\\"') + '"'


def variables(node: Node) -> tuple[tuple[str, str], ...]:
    """Names and values, sorted, from a map or (command line) from a list of ``NAME=VALUE``."""
    if node.kind == "list":
        pairs = [_assignment(item) for item in node.items]
    elif node.kind == "map":
        pairs = [(name, scalar(item, "text")) for name, item in node.members]
    else:
        raise BadValue(f"expected a map of names and values, found {KIND_NAMES[node.kind]}", "write it as env: {NAME: value}")
    for name, _ in pairs:
        if not VARIABLE_NAME.fullmatch(name):
            raise BadValue(f"{shown(name)} is not a variable name", "use letters, digits and _; not a digit first")
        if name == "AIENV" or name.startswith("AIENV_"):
            raise BadValue(f"{shown(name)} is set by aienv itself", "choose another name")
    return tuple(sorted(dict(pairs).items()))


def _assignment(node: Node) -> tuple[str, str]:
    name, equals, value = scalar(node, "NAME=VALUE").partition("=")
    if not equals:
        raise BadValue(f"expected NAME=VALUE, found {shown(name)}")
    return name, value


def format_size(count: int) -> str:
    """``4g`` for 4294967296."""
    for unit in ("t", "g", "m", "k"):
        if count and count % _UNIT_BYTES[unit] == 0:
            return f"{count // _UNIT_BYTES[unit]}{unit}"
    return f"{count}b"


def format_duration(seconds: float) -> str:
    """``1h30m`` for 5400."""
    seconds = float(seconds)
    if not seconds.is_integer() or seconds == 0:
        return f"{seconds:g}s"
    left, words = int(seconds), ""
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(_UNIT_SECONDS[unit]))
        words += f"{count}{unit}" if count else ""
    return words
