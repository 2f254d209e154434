"""Qwen Code, ``--output-format stream-json``. Read from the streams of 0.15.10.

Its lines look like Claude's, and mean something else: each block has an id of its own, and the last of a reply has the reply's tokens,
with those of the cache among the input. An error of the API is a ``success`` whose text ends with ``[API Error: ...]`` and which used
nothing. No stream says that the turns are used up: its exit code does.
"""

import re
from collections.abc import Mapping

from orchestrator.agents.dialects.claude import Claude
from orchestrator.agents.schema import Tokens, record, word, words

_ERROR_MOST = 2000
_API_ERROR = re.compile(r"\[(API Error: [^\n]*)\]\Z")
_EXITED = re.compile(r"Command exited with code: [^0]")


class Qwen(Claude):
    def __init__(self) -> None:
        super().__init__()
        self._last = Tokens()

    def counts(self, message: Mapping[str, object], parent: str | None) -> bool:
        self.model = self.model or word(message.get("model"))
        self._last = self.used(record(message.get("usage")))
        if not self._last.all:
            return False
        self.tokens += self._last
        self.turns += parent is None
        return True

    def used(self, usage: Mapping[str, object]) -> Tokens:
        said = super().used(usage)
        return Tokens(max(0, said.input - said.cache_read), said.output, said.cache_read)

    def is_denial(self, text: str) -> bool:
        return super().is_denial(text) or "is denied by permission rules" in text[:300]

    def is_failure(self, text: str) -> bool:
        return _EXITED.match(text) is not None

    def hidden_failure(self, result: object) -> str | None:
        found = _API_ERROR.search(result[-_ERROR_MOST:]) if isinstance(result, str) else None
        return words(found[1]) if found is not None and not self._last.all else None
