"""Text from outside, made safe to show on a terminal. Pure."""

from collections.abc import Sequence


def printable(text: str) -> str:
    """Control characters and lone surrogates as visible escapes: a file name must not drive the user's terminal."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "surrogateescape").decode("ascii", "replace")
        if not 0xD800 <= ord(character) <= 0xDFFF
        else f"\\x{ord(character) & 0xFF:02x}"
        for character in text
    )


def plural(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "es" if word.endswith("s") else "s")


def duration(seconds: float) -> str:
    """``0.8 s``, ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """``512 B``, ``3.4 MiB``."""
    number, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    for unit in units:
        if number < 1024 or unit == units[-1]:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError("unreachable")


def columns(table: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines, each column as wide as its widest cell; safe for a terminal."""
    widths = [max(len(printable(row[column])) for row in table) for column in range(len(table[0]))]
    return ["  ".join(f"{printable(cell):<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
