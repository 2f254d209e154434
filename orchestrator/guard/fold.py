"""Which names a daemon takes for the same one: its decoder compares keys by simple case folding. Pure.

``hostconfig``, ``HoſtConfig`` (U+017F) and ``NetworKMode`` with a Kelvin sign (U+212A) all reach the field that they resemble (measured).
"""


def fold(name: str) -> str:
    """Equal for two names exactly when Go's ``strings.EqualFold`` holds for them (of the letters that this Python's Unicode has: no later
    one resembles an ASCII letter)."""
    return "".join(map(_fold, name))


def _fold(char: str) -> str:
    """Character by character: full folding, which makes two letters of one (ß, İ), is not what Go does."""
    if char == "\N{LATIN CAPITAL LETTER SHARP S}":
        return "ß"  # its pair, by a mapping that exists for simple folding alone
    for form in (char.casefold(), char.lower()):
        if len(form) == 1:
            return form
    return char
