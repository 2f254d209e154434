"""An agent that only prints: each line is text, and its exit code is all that it says about its success."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from orchestrator.agents.dialects.base import Dialect
from orchestrator.agents.schema import AgentEvent


class Text(Dialect):
    structured: ClassVar[bool] = False

    def read(self, line: Mapping[str, object]) -> Iterator[AgentEvent]:
        yield from ()

    def rest(self, exit_code: int | None) -> Iterator[AgentEvent]:
        if exit_code is not None:
            self.result = "error" if exit_code else "success"
            self.why = f"exit code {exit_code}" if exit_code else ""
        yield from ()
