"""The order in which features are installed: rounds of those that wait for nothing any more. Pure.

Facts of the reference implementation's code, where that and the specification differ: fewest options first; the order of declaration counts
for nothing; texts are compared as its locale does (digits before letters, ``a`` before ``A`` before ``b``), not byte by byte.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.devcontainer.features.feature import Feature, Local, Node, Oci, Tarball, Target, satisfies
from orchestrator.devcontainer.features.options import Asked, Value
from orchestrator.errors import ConfigError

_PUNCTUATION = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
_WEIGHTS: Mapping[str, int] = {one: place for place, one in enumerate(_PUNCTUATION + "0123456789abcdefghijklmnopqrstuvwxyz", start=1)}


def collated(text: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """A key that sorts like the root collation of Unicode, for ASCII; other letters come after these."""
    return tuple(_WEIGHTS.get(one.lower(), 0x100 + ord(one)) for one in text), tuple("A" <= one <= "Z" for one in text)


def compare(a: Feature, b: Feature) -> int:
    """Below 0: ``a`` comes first; 0: they are one and the same."""
    first, second = a.source, b.source
    if isinstance(first, Oci) and isinstance(second, Oci):
        return _compare_oci(a, first, b, second)
    if (isinstance(first, Local) and isinstance(second, Local)) or (isinstance(first, Tarball) and isinstance(second, Tarball)):
        return _text(first.place, second.place) or compare_options(a.value, b.value)
    return _text(a.written, b.written) or (-1 if type(first).__name__ < type(second).__name__ else 1)


def _compare_oci(a: Feature, first: Oci, b: Feature, second: Oci) -> int:
    options = compare_options(a.value, b.value)
    if first.digest == second.digest and options == 0:
        return 0
    one, other = first.reference, second.reference
    places = _text(f"{one.registry}/{one.written_namespace}", f"{other.registry}/{other.written_namespace}")
    if places:
        return places
    if not set(a.manifest.aliases) & set(b.manifest.aliases) and one.name != other.name:
        return _text(one.name, other.name)
    tags = _text(one.tag, other.tag) if one.tag and other.tag else 0
    return tags or options or _text(first.digest, second.digest)


def compare_options(a: Asked, b: Asked) -> int:
    if isinstance(a, dict) and isinstance(b, dict):
        if len(a) != len(b):
            return len(a) - len(b)
        for key, other in zip(sorted(a), sorted(b), strict=True):
            if found := _text(key, other) or _value(a[key], b[other]):
                return found
        return 0
    if isinstance(a, dict) or isinstance(b, dict):
        return _text(_kind(a), _kind(b))
    return _value(a, b)


def _value(a: Value, b: Value) -> int:
    if isinstance(a, str) and isinstance(b, str):
        return _text(a, b)
    if _kind(a) != _kind(b) or isinstance(a, str) or isinstance(b, str):
        return _text(_kind(a), _kind(b))
    return (a > b) - (a < b)


def _kind(value: Asked | Value) -> str:
    """As JavaScript names it."""
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "object" if isinstance(value, dict) else "number"


def _text(a: str, b: str) -> int:
    first, second = collated(a), collated(b)
    return (first > second) - (first < second)


def install_order(nodes: Sequence[Node], override: Sequence[Target]) -> tuple[Feature, ...]:
    """``override``: what shall come as early as it can, the first of all first.

    Raises:
        ConfigError: some wait for each other; the circle is named.
    """
    waiting = [_without_idle(node, nodes) for node in nodes]
    done: list[Feature] = []
    while waiting:
        ready = [node for node in waiting if all(_installed(need, done) for need in node.needs) and _follows(node, done)]
        if not ready:
            raise _circle(waiting)
        highest = max(_priority(node, override) for node in ready)
        chosen = [node.feature for node in ready if _priority(node, override) == highest]
        waiting = [node for node in waiting if not any(compare(node.feature, one) == 0 for one in chosen)]
        done += sorted(chosen, key=functools.cmp_to_key(compare))
    return tuple(done)


def _without_idle(node: Node, nodes: Sequence[Node]) -> Node:
    """To follow what nobody installs is to follow nothing."""
    return replace(node, follows=tuple(one for one in node.follows if any(satisfies(other.feature, one) for other in nodes)))


def _installed(need: Feature, done: Sequence[Feature]) -> bool:
    return any(compare(need, one) == 0 for one in done)


def _follows(node: Node, done: Sequence[Feature]) -> bool:
    return all(any(satisfies(one, target) for one in done) for target in node.follows)


def _priority(node: Node, override: Sequence[Target]) -> int:
    return max((len(override) - place for place, target in enumerate(override) if target.is_exactly(node.feature)), default=0)


def _circle(waiting: Sequence[Node]) -> ConfigError:
    """Each that waits has one before it that waits too, so going back must end in a circle."""
    path = [waiting[0]]
    while (before := _before(path[-1], waiting)) not in path:
        path.append(before)
    circle = [*path[path.index(before) :], before]
    words = " -> ".join(node.feature.written for node in circle)
    return ConfigError(
        f"features wait for each other: {words}",
        remedy="leave one of them out, or take away one 'dependsOn' or 'installsAfter'",
        code="feature-circle",
    )


def _before(node: Node, waiting: Sequence[Node]) -> Node:
    """One that ``node`` waits for."""
    for other in waiting:
        if _installed(other.feature, node.needs) or any(satisfies(other.feature, target) for target in node.follows):
            return other
    return node
