"""Durations as people write them: ``90s``, ``5m``, ``1h30m``."""

import re

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse(text: str) -> int:
    """Seconds that ``text`` stands for.

    Raises:
        ValueError: it is not a duration.
    """
    found = re.match(r"(\d+)([smhd])", text)
    if found is None:
        raise ValueError(f"not a duration: {text!r}")
    return int(found[1]) * SECONDS[found[2]]
