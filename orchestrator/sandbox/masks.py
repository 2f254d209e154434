"""Which workspace files are hidden from the agent: patterns in, a decision per path out.

A pattern without a slash is matched against the file's name, one with a slash against its path below the workspace
(``*`` does not cross a slash, ``**`` does). A slash at the end means everything below that folder. ``unmask`` wins over
``mask``. Matching is case-insensitive: ``.ENV`` is as secret as ``.env``.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from orchestrator.model.task import SandboxRules


def masked_paths(paths: Iterable[str], rules: SandboxRules) -> tuple[str, ...]:
    """The paths (below the workspace, with ``/``) that ``rules`` hide, sorted."""
    hidden, shown = _matcher(rules.mask), _matcher(rules.unmask)
    return tuple(sorted(path for path in paths if hidden(path) and not shown(path)))


@lru_cache(maxsize=64)
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    tidy = [_tidy(pattern) for pattern in patterns]
    names = [_regex(pattern) for pattern in tidy if "/" not in pattern]
    whole = [_regex(pattern) for pattern in tidy if "/" in pattern]
    by_name = re.compile("|".join(names), re.IGNORECASE | re.DOTALL) if names else None
    by_path = re.compile("|".join(f"(?:.*/)?(?:{one})" for one in whole), re.IGNORECASE | re.DOTALL) if whole else None

    def matches(path: str) -> bool:
        name = path.rpartition("/")[2]
        return bool((by_name and by_name.fullmatch(name)) or (by_path and by_path.fullmatch(path)))

    return matches


def _tidy(pattern: str) -> str:
    """``./a//b/`` as ``a/b/**``."""
    steps = [step for step in pattern.split("/") if step not in ("", ".")]
    return "/".join([*steps, "**"] if pattern.endswith("/") else steps)


def _regex(pattern: str) -> str:
    """A glob as a regular expression: ``**`` any, ``*`` and ``?`` within one name, ``[...]`` a class."""
    out, index = [], 0
    while index < len(pattern):
        if pattern.startswith("**", index):
            out.append(".*")
            index += 2
            continue
        character = pattern[index]
        close = pattern.find("]", index + 2) if character == "[" else -1
        if close > 0:
            out.append(_class(pattern[index + 1 : close]))
            index = close
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)))
        index += 1
    return "".join(out)


def _class(body: str) -> str:
    """``[...]``: characters and ranges, every sign as itself; a range that ends before it begins holds nothing."""
    outside, index, inside = body[0] in "!^", 0, []
    body = body[1:] if outside else body
    while index < len(body):
        if body[index + 1 : index + 2] == "-" and index + 2 < len(body):
            low, high = body[index], body[index + 2]
            inside += [f"{re.escape(low)}-{re.escape(high)}"] if low <= high else []
            index += 3
        else:
            inside.append(re.escape(body[index]))
            index += 1
    if outside:
        return f"[^/{''.join(inside)}]"
    return f"[{''.join(inside)}]" if inside else "(?!)"
