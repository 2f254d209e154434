"""JSON with comments and commas before a closing bracket, as editors write it, and no more than that. Every error has its place. Pure."""

import json
import math
import re
from bisect import bisect_right
from dataclasses import dataclass

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Object = dict[str, Json]

MAX_BYTES = 1 << 20
MAX_DEPTH = 64  # readers and writers of values call themselves
MAX_NUMBER = 400  # digits: Python refuses to read integers of some thousands

_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")'
    r"|(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<blank>[ \t\r\n]+)"
    r"|(?P<mark>[{}\[\],:])|(?P<word>[A-Za-z0-9+.-]+)",
    re.DOTALL,
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<part>\.[0-9]+)?(?P<power>[eE][+-]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None}
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Both count from 1; ``column`` counts characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}"


class BadJson(ValueError):
    """A text that is no JSON with comments. ``reason`` is without the place."""

    def __init__(self, reason: str, place: Place) -> None:
        super().__init__(f"{place}: {reason}")
        self.reason = reason
        self.place = place


@dataclass(frozen=True, slots=True)
class Repeated:
    """A key that stands twice in one object; ``place``: of the later one, which wins."""

    key: str
    place: Place


@dataclass(frozen=True, slots=True)
class Document:
    value: Json
    repeated: tuple[Repeated, ...]


def parse(text: str, *, comments: bool = True) -> Document:
    """The one value in ``text``. ``comments``: let them and trailing commas through.

    Raises:
        BadJson: with the place and what was expected there.
    """
    return _Reader(text.removeprefix("\ufeff"), comments).document()


@dataclass(frozen=True, slots=True)
class _Token:
    """``kind``: a mark itself, ``string``, ``word`` or ``end``."""

    kind: str
    text: str
    start: int


class _Reader:
    """One pass from left to right; ``token`` is the next one that counts."""

    def __init__(self, text: str, comments: bool) -> None:
        self.text = text
        self.comments = comments
        self.position = 0
        self.repeated: list[Repeated] = []
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.token = self._next()

    def document(self) -> Document:
        if self.token.kind == "end":
            raise self._bad("is empty")
        value = self._value(0)
        if self.token.kind != "end":
            raise self._expected("the end")
        return Document(value, tuple(self.repeated))

    def _value(self, depth: int) -> Json:
        if depth > MAX_DEPTH:
            raise self._bad(f"is nested deeper than {MAX_DEPTH} levels")
        token = self.token
        if token.kind == "{":
            return self._object(depth)
        if token.kind == "[":
            return self._list(depth)
        if token.kind == "string":
            return self._string()
        if token.kind == "word":
            value = self._word()
            self._step()
            return value
        raise self._expected("a value")

    def _object(self, depth: int) -> Object:
        found: Object = {}
        self._step()
        while self.token.kind != "}":
            if self.token.kind != "string":
                raise self._expected("a key in double quotes" + ("" if found else " or '}'"))
            start = self.token.start
            key = self._string()
            if key in found:
                self.repeated.append(Repeated(key, self._place(start)))
            self._take(":", "':'")
            found[key] = self._value(depth + 1)
            if not self._more("}"):
                break
        self._take("}", "',' or '}'")
        return found

    def _list(self, depth: int) -> list[Json]:
        found: list[Json] = []
        self._step()
        while self.token.kind != "]":
            found.append(self._value(depth + 1))
            if not self._more("]"):
                break
        self._take("]", "',' or ']'")
        return found

    def _more(self, closing: str) -> bool:
        """Whether a comma leads to one more; a comma before ``closing`` leads to none."""
        if self.token.kind != ",":
            return False
        self._step()
        if self.token.kind == closing and not self.comments:
            raise self._expected("a value")
        return self.token.kind != closing

    def _string(self) -> str:
        try:
            value = json.loads(self.token.text)
        except ValueError as problem:
            raise self._bad(f"a text with a bad escape ({str(problem).partition(':')[0].lower()})") from None
        assert isinstance(value, str)
        self._step()
        return value

    def _word(self) -> Json:
        word = self.token.text
        if word in _WORDS:
            return _WORDS[word]
        number = _NUMBER.fullmatch(word)
        if number is None or len(word) > MAX_NUMBER:
            raise self._expected("a value")
        if number["part"] is None and number["power"] is None:
            return int(word)
        value = float(word)
        if math.isinf(value):
            raise self._bad("the number is too large")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value  # 1.0 is 1, as in JavaScript

    def _take(self, kind: str, what: str) -> None:
        if self.token.kind != kind:
            raise self._expected(what)
        self._step()

    def _step(self) -> None:
        self.token = self._next()

    def _next(self) -> _Token:
        while self.position < len(self.text):
            match = _TOKEN.match(self.text, self.position)
            if match is None or (match.lastgroup == "comment" and not self.comments):
                raise BadJson(self._strange(), self._place(self.position))
            start, self.position = self.position, match.end()
            if match.lastgroup in ("string", "word"):
                return _Token(match.lastgroup, match[0], start)
            if match.lastgroup == "mark":
                return _Token(match[0], match[0], start)
        return _Token("end", "", len(self.text))

    def _strange(self) -> str:
        rest = self.text[self.position : self.position + 2]
        if rest == "/*":
            return "a comment that does not end"
        if rest[0] == '"':
            return "a text that does not end on its line"
        if rest[0] == "'":
            return "texts and keys stand in double quotes"
        return f"{rest[0]!r} has no place here"

    def _expected(self, what: str) -> BadJson:
        text = self.token.text
        shown = "the end of the file" if self.token.kind == "end" else repr(text[:_SHOWN] + ("..." if len(text) > _SHOWN else ""))
        return self._bad(f"expected {what}, found {shown}")

    def _bad(self, reason: str) -> BadJson:
        return BadJson(reason, self._place(self.token.start))

    def _place(self, position: int) -> Place:
        line = bisect_right(self.lines, position)
        return Place(line, position - self.lines[line - 1] + 1)
