"""What the main process tells the broker about an agent's hooks: one line of JSON."""

from dataclasses import dataclass

from orchestrator.model.agent import DenyRules, Dialect
from orchestrator.model.codec import from_plain, to_plain

# In which answers an agent takes words for its model: tried with the real programs.
TELLS: dict[Dialect, tuple[str, ...]] = {
    "claude": ("pre", "post"),
    "codex": ("pre", "post"),
    "gemini": ("post",),
    "qwen": ("post",),
    "opencode": ("post",),
    "pi": (),
    "text": (),
}


@dataclass(frozen=True, slots=True)
class HooksConfig:
    """``agent``: the name that events carry, whatever a client says; ``dialect``: how its calls are written."""

    agent: str
    dialect: Dialect
    rules: DenyRules


def parse(plain: object) -> HooksConfig:
    """Raises ValueError: a member is missing, unknown or of another type."""
    return from_plain(HooksConfig, plain)


def as_plain(config: HooksConfig) -> dict[str, object]:
    return dict(to_plain(config))
