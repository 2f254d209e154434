"""The entries of the label ``devcontainer.metadata`` of an image that is made, and who asked for each. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.devcontainer import metadata
from orchestrator.devcontainer.images.quoting import label_text
from orchestrator.devcontainer.jsonc import Object


@dataclass(frozen=True, slots=True)
class Label:
    """``entries``: the weakest first, no variables replaced; ``origins``: of each; ``problem``: of the label below, then none."""

    entries: tuple[Object, ...]
    origins: tuple[str, ...]
    problem: str = ""

    def labels(self, more: Mapping[str, str]) -> Mapping[str, str]:
        """For the image. ``more``: others, which are weaker.

        Raises:
            ConfigError: it is too long.
        """
        return {**more, metadata.LABEL: label_text(self.entries)}


def label_of(base: str, labels: Mapping[str, str], features: Sequence[Object], config: Object) -> Label:
    """``labels``: of the image ``base``; ``features``: their entries; ``config``: as written. What says nothing is no entry."""
    found = metadata.read_label(labels)
    pairs = (
        *((entry, f"image label of {base}") for entry in found.entries),
        *((entry, f"feature {entry.get('id')}") for entry in features),
        (metadata.pick(config, metadata.OF_CONFIG), "devcontainer.json"),
    )
    kept = [pair for pair in pairs if pair[0]]
    return Label(tuple(entry for entry, _ in kept), tuple(origin for _, origin in kept), found.problem)


def label_words(labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word for name, value in labels.items() for word in ("--label", f"{name}={value}"))
