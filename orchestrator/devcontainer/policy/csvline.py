"""One line of comma-separated fields, as docker reads those of ``--mount`` (Go's encoding/csv) and as it is written for it. Pure."""

import re

_FIELD = re.compile(r'"(?P<quoted>(?:[^"]|"")*)"(?=,|\Z)|(?P<plain>[^",]*)(?=,|\Z)')
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class BadLine(ValueError):
    """A text that is no such line."""


def split(text: str) -> list[str]:
    """The fields.

    Raises:
        BadLine: a quote that has no end or no business there; a control character (docker reads no second line).
    """
    if not text:
        raise BadLine("is empty")
    if _CONTROL.search(text):
        raise BadLine("holds a control character")
    fields: list[str] = []
    position = 0
    while True:
        match = _FIELD.match(text, position)
        if match is None:
            raise BadLine("has a quote where none can be")
        quoted = match["quoted"]
        fields.append(match["plain"] if quoted is None else quoted.replace('""', '"'))
        if match.end() == len(text):
            return fields
        position = match.end() + 1


def join(fields: list[str]) -> str:
    """``split`` gives ``fields`` again."""
    return ",".join('"' + one.replace('"', '""') + '"' if "," in one or '"' in one else one for one in fields)
