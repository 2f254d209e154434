"""From what was asked for to all that will be installed, with what each waits for. Pure: looking up is handed in.

``dependsOn`` is followed as far as it leads; ``installsAfter`` only ever names.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrator.devcontainer.features.feature import Feature, Node, Target
from orchestrator.devcontainer.features.order import compare
from orchestrator.devcontainer.jsonc import Json
from orchestrator.errors import ConfigError

MAX_FEATURES = 128  # a chain of dependencies that others publish must end somewhere


@dataclass(slots=True)
class _Found:
    feature: Feature
    follows: tuple[Target, ...]
    needs: list[Feature] = field(default_factory=list)


def build(asked: Mapping[str, Json], look: Callable[[str, Json], Feature], aim: Callable[[str], Target]) -> tuple[Node, ...]:
    """Each feature once for each set of options that it is asked for with.

    Raises:
        ConfigError: more than ``MAX_FEATURES``; and what ``look`` and ``aim`` raise.
    """
    found: list[_Found] = []
    waiting: deque[tuple[str, Json, _Found | None]] = deque((written, value, None) for written, value in asked.items())
    while waiting:
        written, value, parent = waiting.popleft()
        feature = look(written, value)
        if parent is not None:
            parent.needs.append(feature)
        if any(compare(feature, one.feature) == 0 for one in found):
            continue
        if len(found) == MAX_FEATURES:
            raise ConfigError(
                f"more than {MAX_FEATURES} features are to be installed, {written!r} is one too many",
                remedy="ask for fewer, or see what their 'dependsOn' leads to",
                code="feature-count",
            )
        here = _Found(feature, tuple(aim(one) for one in feature.manifest.installs_after))
        found.append(here)
        waiting.extend((one, options, here) for one, options in feature.manifest.depends_on.items())
    return tuple(Node(one.feature, tuple(one.needs), one.follows) for one in found)
