"""What an agent prints: the same events whatever the pieces, each of a bounded size, and one end."""

import json
from pathlib import Path
from typing import get_args

from orchestrator.agents.events import judge, reader
from orchestrator.agents.schema import as_json
from orchestrator.model.agent import Dialect
from orchestrator.model.codec import canonical_json
from orchestrator.report.agent_lines import AgentLines

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
_CAPTURED = sorted((Path(__file__).resolve().parent.parent.parent / "captured" / "agents").glob("*-parallel.jsonl"))
SEEDS = tuple(
    bytes([number]) + path.read_bytes()[:20_000]
    for path in _CAPTURED
    for number, dialect in enumerate(DIALECTS)
    if path.name.startswith(f"{dialect}-")
)
WORDS = (
    b'"type":"', b'"result"', b'"usage":{', b'"input_tokens":', b"1e999", b"NaN", b"\\ud800", b"null", b"[[[[",
    b'"is_error":true', b"\n", b"-1",
)  # fmt: skip


def one_input(data: bytes) -> None:
    """The first byte chooses the dialect."""
    if not data:
        return
    dialect, data = DIALECTS[data[0] % len(DIALECTS)], data[1:]
    one, other, lines = reader(dialect), reader(dialect), AgentLines()
    events = [*one.feed(data), *one.finish(0)]
    assert [event for at in range(0, len(data), 7) for event in other.feed(data[at : at + 7])] + other.finish(0) == events
    assert [event.kind for event in events].count("end") == 1
    judge(one.use, 0)
    for event in events:
        assert len(canonical_json(as_json(event))) < 1 << 20
        json.loads(canonical_json(as_json(event)))
        assert all(line.isprintable() for line in lines.of(event))
