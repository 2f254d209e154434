"""Streams of real agents, as events; and any bytes at all."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents import events, schema
from orchestrator.agents.events import AgentEvent, Reader, Tokens, as_json, judge, reader
from orchestrator.model.agent import Dialect
from orchestrator.model.codec import canonical_json

CAPTURED = Path(__file__).resolve().parent.parent.parent / "captured" / "agents"
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)


@dataclass(frozen=True)
class Row:
    """``why``: how the verdict's text begins. ``seen``: the events, without those of use. ``tokens``: input, output."""

    name: str
    exit_code: int
    why: str
    seen: str
    turns: int
    tokens: tuple[int, int]
    cost_usd: float | None


ROWS = (
    Row("claude-2.1.330-budget", 1, "Reached maximum budget ($0.3)",
        "start tool:shell error:budget_exhausted end",
        1, (100000, 5000), 0.5),
    Row("claude-2.1.330-cut", 0, "",
        "start tool:shell result:ok error:retry text end",
        2, (480, 64), 0.0032),
    Row("claude-2.1.330-denied", 0, "",
        "start tool:shell denial:shell result:failed text end",
        2, (240, 48), 0.00192),
    Row("claude-2.1.330-error-400", 1, "API Error: 400 no such option",
        "start tool:shell result:ok error:api_error end",
        1, (120, 24), 0.00096),
    Row("claude-2.1.330-error-401", 1, "Failed to authenticate. API Error: 401 bad key",
        "start error:retry error:api_error end",
        0, (0, 0), 0.0),
    Row("claude-2.1.330-error-500", 1, "API Error: 500 overloaded. This is a server-side issue, usua",
        "start error:retry error:api_error end",
        0, (0, 0), 0.0),
    Row("claude-2.1.330-hello", 0, "",
        "start text tool:write result:ok tool:shell result:ok text end",
        3, (1240, 98), 0.00692),
    Row("claude-2.1.330-subagent", 0, "", "start tool:other result:ok text text tool:shell result:ok text text end",
        3, (600, 120), 0.0048),
    Row("claude-2.1.330-hook", 0, "",
        "start tool:shell denial:shell result:failed text end",
        2, (240, 48), 0.00192),
    Row("claude-2.1.330-maxturns", 1, "Reached maximum number of turns (2)",
        "start tool:shell result:ok tool:shell result:ok error:max_turns end",
        2, (240, 48), 0.00192),
    Row("claude-2.1.330-parallel", 0, "",
        "start text tool:shell tool:read tool:shell result:ok result:ok result:failed tool:edit result:ok text end",
        3, (340, 53), 0.00242),
    Row("claude-2.1.330-retry", 0, "",
        "start error:retry text end",
        1, (120, 24), 0.00096),
    Row("codex-0.169.0-cut", 1, "stream disconnected before completion: stream closed before response.completed",
        "start error:notice tool:shell result:ok error:retry error:retry error:retry error:retry error:retry error:- end",
        1, (0, 0), None),
    Row("codex-0.169.0-denied", 0, "",
        "start error:notice text end",
        1, (240, 48), None),
    Row('codex-0.169.0-error-400', 1, '{"error": {"message": "no such option", "type": "invalid_req',
        "start error:notice tool:shell result:ok error:- end",
        1, (0, 0), None),
    Row("codex-0.169.0-error-401", 1, "unexpected status 401 Unauthorized: bad key, url: http://127",
        "start error:notice error:retry error:retry error:retry error:retry error:retry error:- end",
        0, (0, 0), None),
    Row("codex-0.169.0-error-500", 1, "We’re currently experiencing high demand, which may cause temporary errors.",
        "start error:notice error:retry error:retry error:retry error:retry error:retry error:- end",
        0, (0, 0), None),
    Row("codex-0.169.0-hello", 0, "",
        "start error:notice text tool:shell result:ok tool:shell result:ok text end",
        3, (1240, 98), None),
    Row("codex-0.169.0-hook", 0, "",
        "start error:notice error:notice error:notice text end",
        1, (240, 48), None),
    Row("codex-0.169.0-parallel", 0, "",
        "start error:notice text tool:shell result:ok tool:shell result:ok tool:shell result:failed tool:shell result:ok text end",
        5, (340, 53), None),
    Row("codex-0.169.0-retry", 0, "",
        "start error:notice text end",
        1, (120, 24), None),
    Row("gemini-0.61.0-cut", 0, "",
        "start tool:shell result:ok text end",
        2, (240, 48), None),
    Row("gemini-0.61.0-denied", 0, "",
        "start tool:shell denial:shell result:failed text end",
        2, (240, 48), None),
    Row('gemini-0.61.0-error-400', 144, '[API Error: {"error":{"code":400,"message":"prompt is too lo',
        "start tool:shell result:ok error:unknown end",
        1, (120, 24), None),
    Row('gemini-0.61.0-error-401', 145, '[API Error: {"error":{"code":401,"message":"bad key","status":"UNAVAILABLE"}}]',
        "start error:unknown end",
        0, (0, 0), None),
    Row("gemini-0.61.0-hello", 0, "",
        "start text tool:write result:ok tool:shell result:ok text end",
        3, (1240, 98), None),
    Row("gemini-0.61.0-hook", 0, "",
        "start tool:shell denial:shell result:failed text end",
        2, (240, 48), None),
    Row("gemini-0.61.0-maxturns", 53, "Reached max session turns for this session. Increase the num",
        "start tool:shell result:ok tool:shell result:ok error:FatalTurnLimitedError end",
        2, (240, 48), None),
    Row("gemini-0.61.0-parallel", 0, "",
        "start text tool:shell tool:read tool:shell result:ok result:ok result:failed tool:edit result:ok text end",
        3, (340, 53), None),
    Row("gemini-0.61.0-retry", 0, "",
        "start text end",
        1, (120, 24), None),
    Row("opencode-1.18.33-cut", 0, "",
        "start tool:shell result:ok text text end",
        3, (240, 48), 0.00096),
    Row("opencode-1.18.33-denied", 0, "",
        "start tool:shell denial:shell result:failed text end",
        2, (240, 48), 0.00096),
    Row("opencode-1.18.33-error-400", 1, "no such option",
        "start tool:shell result:ok error:APIError end",
        1, (120, 24), 0.00048),
    Row("opencode-1.18.33-error-401", 1, "bad key",
        "start error:APIError end",
        0, (0, 0), None),
    Row("opencode-1.18.33-hello", 0, "",
        "start text tool:write result:ok tool:shell result:ok text end",
        3, (1240, 98), 0.00346),
    Row("opencode-1.18.33-hook", 0, "",
        "start tool:shell denial:shell result:failed text end",
        2, (240, 48), 0.00096),
    Row("opencode-1.18.33-parallel", 0, "",
        "start text tool:shell result:failed tool:shell result:ok tool:read result:ok tool:edit result:ok text end",
        3, (340, 53), 0.00121),
    Row("opencode-1.18.33-retry", 0, "",
        "start text end",
        1, (120, 24), 0.00048),
    Row("pi-0.73.1-cut", 0, "",
        "start tool:shell result:ok text end",
        2, (120, 24), 0.00048),
    Row("pi-0.73.1-error-400", 0, "400 no such option",
        "start tool:shell result:ok error:error end",
        1, (120, 24), 0.00048),
    Row("pi-0.73.1-error-401", 0, "401 bad key",
        "start error:error end",
        0, (0, 0), 0.0),
    Row("pi-0.73.1-error-500", 0, "500 overloaded",
        "start error:error error:retry error:error error:retry error:error error:retry error:error end",
        0, (0, 0), 0.0),
    Row("pi-0.73.1-hello", 0, "",
        "start text tool:write result:ok tool:shell result:ok text end",
        3, (1240, 98), 0.00346),
    Row("pi-0.73.1-parallel", 0, "",
        "start text tool:shell tool:read tool:shell result:ok result:failed result:ok tool:edit result:ok text end",
        3, (340, 53), 0.00121),
    Row("pi-0.73.1-retry", 0, "",
        "start text end",
        1, (120, 24), 0.00048),
    Row("qwen-0.15.10-cut", 0, "API Error: Model stream ended without a finish reason.",
        "start tool:shell result:ok text error:api_error end",
        1, (120, 24), None),
    Row("qwen-0.15.10-denied", 0, "",
        "start tool:shell denial:shell result:failed text end",
        2, (240, 48), None),
    Row("qwen-0.15.10-error-400", 0, "API Error: 400 no such option",
        "start tool:shell result:ok text error:api_error end",
        1, (120, 24), None),
    Row("qwen-0.15.10-error-401", 0, "API Error: 401 bad key",
        "start text error:api_error end",
        0, (0, 0), None),
    Row("qwen-0.15.10-hello", 0, "",
        "start text tool:write result:ok tool:shell result:ok text end",
        3, (1240, 98), None),
    Row("qwen-0.15.10-hook", 0, "",
        "start tool:shell denial:shell result:failed text end",
        2, (240, 48), None),
    Row('qwen-0.15.10-maxturns', 53, "the agent's output broke off before it said how it ended (exit code 53)",
        "start tool:shell result:ok tool:shell result:ok end",
        2, (240, 48), None),
    Row("qwen-0.15.10-parallel", 0, "",
        "start text tool:shell tool:read tool:shell result:ok result:ok result:failed tool:edit result:ok text end",
        3, (340, 53), None),
    Row("qwen-0.15.10-retry", 0, "",
        "start text end",
        1, (240, 48), None),
)  # fmt: skip


def dialect_of(name: str) -> Dialect:
    return next(dialect for dialect in DIALECTS if name.startswith(f"{dialect}-"))


def stream(name: str) -> bytes:
    return (CAPTURED / f"{name}.jsonl").read_bytes()


def read(dialect: Dialect, data: bytes, exit_code: int | None = 0) -> tuple[list[AgentEvent], Reader]:
    one = reader(dialect)
    return [*one.feed(data), *one.finish(exit_code)], one


def short(event: AgentEvent) -> str:
    match event.kind:
        case "tool" | "denial":
            return f"{event.kind}:{event.tool}"
        case "result":
            return "result:ok" if event.ok else "result:failed"
        case "error":
            return f"error:{event.status or '-'}"
    return event.kind


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_captured(row: Row) -> None:
    """What each program did with each reply of the model, and whether that was a success, whatever its exit code."""
    seen, one = read(dialect_of(row.name), stream(row.name), row.exit_code)
    assert " ".join(short(event) for event in seen if event.kind != "usage") == row.seen
    use = one.use
    assert (use.turns, (use.tokens.input, use.tokens.output)) == (row.turns, row.tokens)
    assert use.cost_usd == pytest.approx(row.cost_usd)
    verdict = judge(use, row.exit_code)
    assert verdict.success is not bool(row.why)
    assert verdict.text.startswith(row.why)
    assert use.tool_calls == row.seen.count("tool:")
    assert use.denials == row.seen.count("denial:")


def test_every_captured_stream_is_in_the_table() -> None:
    """A new one must say what it proves."""
    names = {path.name.removesuffix(".jsonl") for path in CAPTURED.glob("*.jsonl") if not path.name.endswith("-hooks.jsonl")}
    assert names == {row.name for row in ROWS}


SAID = "I will add a file."
DONE = "All done: hello.txt is committed."
COMMIT = "git add -A && git -c user.name=A -c user.email=a@example.invalid commit -q -m 'Add hello.txt' && git log --format=%s | head -1"


def test_claude_in_full() -> None:
    """Every field of every event."""
    seen, _ = read("claude", stream("claude-2.1.330-hello"))
    session, model = seen[0].session, "claude-opus-5-5"
    assert session is not None
    path = "/workspaces/app/hello.txt"
    written = f"File created successfully at: {path} (file state is current in your context \u2014 no need to Read it back)"
    write = {"name": "Write", "tool": "write", "call": "toolu_fake00000"}
    shell = {"name": "Bash", "tool": "shell", "call": "toolu_fake00100"}
    last = {"model": model, "tokens": tokens(1240, 98), "cost_usd": 0.00692, "turns": 3}
    assert [without_schema(event) for event in seen] == [
        {"kind": "start", "session": session, "model": model},
        {"kind": "usage", "model": model, "tokens": tokens(1000, 1), "turns": 1},
        {"kind": "text", "text": SAID},
        {"kind": "tool", **write, "input": {"file_path": path, "content": "hello\n"}},
        {"kind": "result", **write, "text": written, "ok": True},
        {"kind": "usage", "model": model, "tokens": tokens(1120, 2), "turns": 2},
        {"kind": "tool", **shell, "input": {"command": COMMIT}},
        {"kind": "result", **shell, "text": "Add hello.txt", "ok": True},
        {"kind": "usage", "model": model, "tokens": tokens(1240, 3), "turns": 3},
        {"kind": "text", "text": DONE},
        {"kind": "usage", **last},
        {"kind": "end", "ok": True, "session": session, "status": "success", **last},
    ]


def test_helpers_of_claude() -> None:
    """What a helper says is set apart, is no turn of the agent's and not its last word; the agent begins and ends once."""
    seen, one = read("claude", stream("claude-2.1.330-subagent"))
    started = next(event.call for event in seen if event.name == "Agent")
    assert [event.text for event in seen if event.kind == "text" and event.parent == started] == ["Inner begins.", "inner done"]
    assert [event.text for event in seen if event.kind == "text" and event.parent is None] == ["outer done", "Done."]
    assert (one.use.turns, one.use.final_text) == (3, "Done.")


@pytest.mark.parametrize(
    ("name", "command", "why"),
    [
        ("codex-0.169.0-denied", "/bin/bash -lc 'git push origin main'", "policy forbids commands starting with `git push`"),
        ("codex-0.169.0-hook", "git push origin main", "aienv: git push is denied by deny.run"),
    ],
)
def test_denials_of_codex_are_in_its_standard_error(name: str, command: str, why: str) -> None:
    """Whatever the pieces; the call and the reply to its refusal are two turns."""
    aside, out = (CAPTURED / f"{name}.stderr").read_bytes(), stream(name)
    for piece in (1, 50, 10_000):
        one = reader("codex")
        seen = [event for at in range(0, len(aside), piece) for event in one.feed_aside(aside[at : at + piece])]
        seen += [*one.feed(out), *one.finish(0)]
        denied = [event for event in seen if event.kind == "denial"]
        assert denied == [AgentEvent("denial", why, tool="shell", name="exec_command", input={"command": command}, ok=False)]
        assert (one.use.denials, one.use.turns) == (1, 2)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_other_words_on_standard_error_are_no_events(dialect: Dialect) -> None:
    one = reader(dialect)
    assert one.feed_aside(b'warning: error=none\n{"type":"result"}\n\xff\n' + b"x" * (events.LINE_BYTES + 5) + b"\nlast") == []
    assert [event.kind for event in one.finish(None)] == ["end"]


@pytest.mark.parametrize(
    ("used", "text", "why"),
    [
        pytest.param(0, "x" * 100_000 + "[API Error: 503 [overloaded]]", "API Error: 503 [overloaded]", id="after-a-long-text"),
        pytest.param(0, "[API Error: 503]\nand then it went on", None, id="in-the-middle"),
        pytest.param(9, "The log says [API Error: 503]", None, id="quoted-by-a-model"),
    ],
)
def test_an_error_in_a_success_of_qwen(used: int, text: str, why: str | None) -> None:
    """Only at the very end, and only after a reply that used nothing: others may speak of such errors."""
    usage = {"input_tokens": used, "output_tokens": used}
    message = {"type": "assistant", "message": {"content": [{"type": "text", "text": text}], "usage": usage}}
    result = {"type": "result", "subtype": "success", "is_error": False, "result": text}
    _, one = read("qwen", b"".join(json.dumps(line).encode() + b"\n" for line in (message, result)))
    assert one.use.error == why


def test_opencode_in_full() -> None:
    """A tool and its result come together; the cost grows with each step."""
    seen, _ = read("opencode", stream("opencode-1.18.33-denied"))
    session = seen[0].session
    assert session is not None
    tool = {"name": "bash", "tool": "shell", "call": "call_fake00000"}
    refused = seen[2].text
    assert refused.startswith("The user has specified a rule which prevents you from using this specific tool call.")
    assert [without_schema(event) for event in seen] == [
        {"kind": "start", "session": session},
        {"kind": "tool", **tool, "input": {"command": "git push origin main"}},
        {"kind": "denial", **tool, "text": refused, "ok": False},
        {"kind": "result", **tool, "text": refused, "ok": False},
        {"kind": "usage", "tokens": tokens(120, 24), "cost_usd": 0.00048, "turns": 1},
        {"kind": "text", "text": "I could not push."},
        {"kind": "usage", "tokens": tokens(240, 48), "cost_usd": 0.00096, "turns": 2},
        {"kind": "end", "ok": True, "session": session, "status": "success", "tokens": tokens(240, 48), "cost_usd": 0.00096, "turns": 2},
    ]


def tokens(input: int, output: int) -> dict[str, int]:
    return {"input": input, "output": output, "cache_read": 0, "cache_write": 0}


def without_schema(event: AgentEvent) -> dict[str, object]:
    document: dict[str, object] = dict(as_json(event))
    assert document.pop("schema") == events.SCHEMA
    return document


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_stream_that_breaks_off_is_no_success(row: Row) -> None:
    """Cut before the line that says how it ended, with exit code 0; what repeats that line goes with it."""
    lines = stream(row.name).splitlines(keepends=True)
    last = {"pi-": 3, "claude-2.1.330-subagent": 2}
    keep = next((count for name, count in last.items() if row.name.startswith(name)), 1)
    _, one = read(dialect_of(row.name), b"".join(lines[:-keep]))
    assert not judge(one.use, 0).success


@pytest.mark.parametrize("dialect", [dialect for dialect in DIALECTS if dialect != "text"])
def test_saying_nothing_is_no_success(dialect: Dialect) -> None:
    seen, one = read(dialect, b"")
    assert [event.kind for event in seen] == ["end"]
    assert judge(one.use, 0) == events.Verdict(False, "the agent said nothing")


@pytest.mark.parametrize(
    ("exit_code", "success", "text"),
    [(0, True, ""), (3, False, "exit code 3"), (None, False, "the agent was ended before it was done")],
)
def test_a_command_is_judged_by_its_exit_code(exit_code: int | None, success: bool, text: str) -> None:
    """It has no stream; each line is text, also one that looks like an event."""
    seen, one = read("text", b'working\n{"type":"result"}\nlast', exit_code)
    assert [event.text for event in seen if event.kind == "text"] == ["working", '{"type":"result"}', "last"]
    assert judge(one.use, exit_code) == events.Verdict(success, text)
    assert one.use.final_text == "last"


@pytest.mark.parametrize(
    ("line", "event"),
    [
        pytest.param(b"npm warn something\n", AgentEvent("text", "npm warn something"), id="no-json"),
        pytest.param(b'{"type":"text"\r\n', AgentEvent("text", '{"type":"text"'), id="half-an-object"),
        pytest.param(b"[1, 2]\n", AgentEvent("text", "[1, 2]"), id="array"),
        pytest.param(b'{"type": NaN}\n', AgentEvent("text", '{"type": NaN}'), id="nan"),
        pytest.param(b'{"a": %s}\n' % (b"9" * 5000), AgentEvent("text", '{"a": %s}' % ("9" * 5000)), id="number-too-long"),
        pytest.param(b"\xff\x1b[2J\n", AgentEvent("text", "\\xff\x1b[2J"), id="no-utf-8"),
    ],
)
@pytest.mark.parametrize("dialect", [dialect for dialect in DIALECTS if dialect != "text"])
def test_lines_that_are_no_events_are_text(dialect: Dialect, line: bytes, event: AgentEvent) -> None:
    assert reader(dialect).feed(line) == [event]


def test_deep_nesting_is_text() -> None:
    """Python's parser gives up with an error of its own."""
    line = b'{"type":' + b"[" * 200_000 + b"\n"
    (event,) = reader("claude").feed(line)
    assert (event.kind, event.text[:8]) == ("text", '{"type":')


def test_a_line_that_is_too_long_is_left_out() -> None:
    """Its beginning and its size are told, whatever pieces it comes in; the next line is read."""
    line = b'{"type":"text","part":{"text":"' + b"x" * events.LINE_BYTES + b'"}}\n'
    after = b'{"type":"text","part":{"text":"next"}}\n'
    for piece in (1 << 30, 70_000, 4099):
        one, data = reader("opencode"), line + after
        seen = [event for at in range(0, len(data), piece) for event in one.feed(data[at : at + piece])]
        assert [event.kind for event in seen] == ["text", "text"]
        assert seen[0].text.startswith(f"[a line of {len(line) - 1:,} bytes is left out; it begins: ")
        assert len(seen[0].text) < 400
        assert seen[1].text == "next"


def test_pi_may_repeat_itself_at_any_length() -> None:
    """Its last line has the whole conversation, and is no text of the agent's."""
    noise = b'{"type":"agent_end","messages":["' + b"x" * (2 * events.LINE_BYTES) + b'"]}\n'
    assert reader("pi").feed(noise) == []


def test_an_input_is_bounded() -> None:
    """Texts, values and depth of what a tool is asked."""
    deep: object = "bottom"
    for _ in range(50):
        deep = [deep]
    wide: dict[str, object] = {"a": "x" * 200_000, "b": list(range(100_000)), "c": deep, "d": 1e308 * 10, "e": 10**400}
    wide["f"] = {str(n) * 900: n for n in range(999)}
    kept = schema.bounded(wide)
    assert len(canonical_json(kept)) < 150_000
    assert isinstance(kept["a"], str)
    assert kept["a"].endswith("[167,232 more characters]")
    assert schema.bounded(["ls", "-l"]) == {"value": ["ls", "-l"]}
    assert schema.bounded({"command": "ls", "n": None, "ok": True, "at": 1.5}) == {"command": "ls", "n": None, "ok": True, "at": 1.5}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Read", "read"), ("grep_search", "read"), ("Write", "write"), ("write_file", "write"), ("replace", "edit"), ("apply_patch", "edit"),
     ("Bash", "shell"), ("run_shell_command", "shell"), ("WebFetch", "fetch"), ("google_web_search", "fetch"), ("mcp__pg__ping", "mcp"),
     ("mcp_pg_ping", "mcp"), ("pg_ping", "other"), ("Task", "other")],
)  # fmt: skip
def test_kinds_of_tools(name: str, kind: str) -> None:
    assert schema.tool_kind(name) == kind


def test_a_cached_input_is_counted_once() -> None:
    """Codex, Gemini and Qwen tell the cached tokens among the input, Claude, opencode and pi beside it."""
    lines: dict[Dialect, object] = {
        "codex": {"type": "turn.completed", "usage": {"input_tokens": 100, "cached_input_tokens": 80, "output_tokens": 5}},
        "gemini": {"type": "result", "status": "success", "stats": {"input_tokens": 100, "cached": 80, "output_tokens": 5}},
        "qwen": {"type": "result", "usage": {"input_tokens": 100, "cache_read_input_tokens": 80, "output_tokens": 5}},
        "claude": {"type": "result", "usage": {"input_tokens": 20, "cache_read_input_tokens": 80, "output_tokens": 5}},
        "opencode": {"type": "step_finish", "part": {"tokens": {"input": 20, "output": 4, "reasoning": 1, "cache": {"read": 80}}}},
        "pi": {"type": "message_end", "message": {"role": "assistant", "usage": {"input": 20, "output": 5, "cacheRead": 80}}},
    }
    for dialect, line in lines.items():
        one = reader(dialect)
        one.feed(json.dumps(line).encode() + b"\n")
        assert (dialect, one.use.tokens) == (dialect, Tokens(20, 5, 80))


ALL = {dialect: b"".join(stream(row.name) for row in ROWS if dialect_of(row.name) == dialect) for dialect in DIALECTS}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Dialect, bytes]:
    """Real lines with a value of theirs replaced by any other, and bytes between them."""
    dialect = draw(st.sampled_from(DIALECTS))
    lines = ALL[dialect].splitlines() or [b"text"]
    out = []
    for _ in range(draw(st.integers(0, 6))):
        line = draw(st.sampled_from(lines))
        if line.startswith(b"{"):
            document = json.loads(line)
            spoil(document, draw)
            line = json.dumps(document).encode()
        out.append(draw(st.sampled_from([line, line[: len(line) // 2], draw(st.binary(max_size=30))])))
    return dialect, b"\n".join(out)


def spoil(document: object, draw: st.DrawFn) -> None:
    while isinstance(document, (dict, list)) and document:
        key = draw(st.sampled_from(sorted(document))) if isinstance(document, dict) else draw(st.integers(0, len(document) - 1))
        if not isinstance(document[key], (dict, list)) or draw(st.booleans()):
            document[key] = draw(values)
            return
        document = document[key]


@given(mutated(), st.lists(st.integers(0, 3000), max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_bytes_in_any_pieces(case: tuple[Dialect, bytes], cuts: list[int]) -> None:
    """The same events, never an exception, one end; each event is canonical JSON of a bounded size."""
    dialect, data = case
    whole, one = read(dialect, data)
    other, at = reader(dialect), 0
    pieces = []
    for cut in sorted(cuts):
        pieces += other.feed(data[at:cut])
        at = max(at, cut)
    pieces += [*other.feed(data[at:]), *other.finish(0)]
    assert pieces == whole
    assert other.use == one.use
    assert [event.kind for event in whole].count("end") == 1
    assert whole[-1].kind == "end"
    assert other.finish(0) == []
    for event in whole:
        line = canonical_json(as_json(event))
        assert len(line) < 1 << 20
        json.loads(line)
    judge(one.use, 0)
