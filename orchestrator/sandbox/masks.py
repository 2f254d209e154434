"""Which workspace files are hidden from the agent: patterns in, a decision per path out.

A pattern without a slash is matched against the file's name, one with a slash against its path below the workspace, at any
depth. ``*`` and ``?`` stay within one name; ``**`` as a whole name stands for any number of folders; a slash at the end means
everything below that folder. ``unmask`` wins over ``mask``. Matching is case-insensitive: ``.ENV`` is as secret as ``.env``.

Patterns come from repositories too, so matching must not take long, whatever they say: names are matched without
backtracking over more than one ``*``, folders by going back to the last ``**`` only.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from orchestrator.model.task import SandboxRules

ANY_FOLDERS = "**"


def masked_paths(paths: Iterable[str], rules: SandboxRules) -> tuple[str, ...]:
    """The paths (below the workspace, with ``/``) that ``rules`` hide, sorted."""
    hidden, shown = _matcher(rules.mask), _matcher(rules.unmask)
    return tuple(sorted(path for path in paths if hidden(path) and not shown(path)))


@lru_cache(maxsize=64)
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    steps = [_steps(pattern) for pattern in dict.fromkeys(patterns)]
    names = [_name_regex(one[0]) for one in steps if len(one) == 1 and one[0] != ANY_FOLDERS]
    by_name = re.compile("|".join(names), re.IGNORECASE | re.DOTALL) if names else None
    by_path = [(ANY_FOLDERS, *(_compiled(step) for step in one)) for one in steps if len(one) > 1 or one == (ANY_FOLDERS,)]

    def matches(path: str) -> bool:
        if by_name is not None and by_name.fullmatch(path.rpartition("/")[2]):
            return True
        folders = path.split("/") if by_path else []
        return any(_fits(pattern, folders) for pattern in by_path)

    return matches


def _steps(pattern: str) -> tuple[str, ...]:
    """``./a//b/`` and ``a/b/**`` as ``("a", "b", "**", "*")``: everything below, not the folder's own name."""
    steps = tuple(step for step in pattern.split("/") if step not in ("", "."))
    if pattern.endswith("/") or (len(steps) > 1 and steps[-1] == ANY_FOLDERS):
        return (*(steps[:-1] if steps[-1:] == (ANY_FOLDERS,) else steps), ANY_FOLDERS, "*")
    return steps or ("",)


def _compiled(step: str) -> "re.Pattern[str] | str":
    return step if step == ANY_FOLDERS else re.compile(_name_regex(step), re.IGNORECASE | re.DOTALL)


def _fits(pattern: "tuple[re.Pattern[str] | str, ...]", path: list[str]) -> bool:
    """Whole names against whole names. After a failure only the last ``**`` takes one name more: that is always enough."""
    at, name, star, resume = 0, 0, -1, 0
    while name < len(path):
        step = pattern[at] if at < len(pattern) else None
        if isinstance(step, str):
            star, resume = at, name
            at += 1
        elif step is not None and step.fullmatch(path[name]):
            at, name = at + 1, name + 1
        elif star >= 0:
            resume += 1
            at, name = star + 1, resume
        else:
            return False
    return all(isinstance(step, str) for step in pattern[at:])


def _name_regex(glob: str) -> str:
    """One name: after each ``*`` the earliest fit of the next part is as good as any (atomic), the last part ends the name."""
    parts = [_fixed(part) for part in re.split(r"\*+", glob)] if "[" not in glob else _parts_with_classes(glob)
    if len(parts) == 1:
        return parts[0]
    first, *middle, last = parts
    return first + "".join(f"(?>[^/]*?{part})" for part in middle) + f"[^/]*{last}"


def _parts_with_classes(glob: str) -> list[str]:
    """Split at ``*`` outside of ``[...]``."""
    parts, index, current = [], 0, ""
    while index < len(glob):
        close = glob.find("]", index + 2) if glob[index] == "[" else -1
        if close > 0:
            current += _class(glob[index + 1 : close])
            index = close
        elif glob[index] == "*":
            parts.append(current)
            current = ""
            while glob[index + 1 : index + 2] == "*":
                index += 1
        else:
            current += _fixed(glob[index])
        index += 1
    return [*parts, current]


def _fixed(text: str) -> str:
    return "".join("[^/]" if character == "?" else re.escape(character) for character in text)


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
