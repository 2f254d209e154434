"""The program that agents run before and after every tool call: it asks the run's broker, and refuses when nobody answers.

    python3 -I -S hook.py AGENT pre|post  < the agent's JSON

One line of JSON goes over the socket, one comes back: orchestrator/broker/hooks.py. Exit code 0: the call goes on (and what is printed is
told to the model, where the agent allows it); 2, with the reason on standard error: it does not. Every agent of ours reads these two so.

It stands alone, mounted read-only beside the agent: standard library only, and little of it, since it is started twice for each call.
"""

import json
import socket
import sys

SOCKET = "/run/aienv-hook.sock"
REFUSED = 2
DEADLINE_S = 25.0  # the agents wait longer: orchestrator/agents/permissions.py
MAX_STDIN = 16 << 20
MAX_LINE = 4 << 20  # what the broker takes
MAX_ANSWER = 64 << 10
_SHORT = 2000  # characters of each text in a tool's answer that is too long to send


class Failed(Exception):
    """Why the call is refused."""


def main(arguments: list[str], path: str = SOCKET) -> int:
    try:
        agent, phase = arguments
        document = read(phase)
        answer = ask(path, line(agent, phase, document))
        if answer.get("decision") != "allow":
            reason = str(answer.get("reason") or "the run's policy denies this call")
            raise Failed(reason if reason.startswith("aienv: ") else f"aienv: {reason}")  # by which a refusal of ours is known
        tell(document, answer.get("context"))
    except Failed as problem:
        return refuse(str(problem))
    except Exception as problem:  # noqa: BLE001 - another exit code than 2 would let the call through
        return refuse(f"aienv: the policy program failed ({type(problem).__name__}), so the call is refused")
    return 0


def read(phase: str) -> object:
    data = sys.stdin.buffer.read(MAX_STDIN + 1)
    if len(data) > MAX_STDIN:
        raise Failed("aienv: this call is too large to be judged")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise Failed("aienv: this call cannot be read, so it is refused") from None
    if phase == "post" and len(data) > MAX_LINE // 2 and isinstance(document, dict):
        for name in ("tool_response", "metadata"):
            document[name] = shortened(document.get(name))
    return document


def shortened(value: object) -> object:
    """What a tool answered, without its bulk: the call itself is over."""
    if isinstance(value, str):
        return value[:_SHORT]
    if isinstance(value, dict):
        return {key: child[:_SHORT] if isinstance(child, str) else child for key, child in value.items() if is_small(child)}
    return None


def is_small(value: object) -> bool:
    return isinstance(value, (str, int, float, bool)) or value is None


def line(agent: str, phase: str, document: object) -> bytes:
    data = json.dumps({"agent": agent, "phase": phase, "document": document}).encode() + b"\n"
    if len(data) > MAX_LINE:
        raise Failed("aienv: this call is too large to be judged; write large files in parts")
    return data


def ask(path: str, question: bytes) -> dict[str, object]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(DEADLINE_S)
            sock.connect(path)
            sock.sendall(question)
            data = b""
            while not data.endswith(b"\n") and len(data) <= MAX_ANSWER and (more := sock.recv(MAX_ANSWER)):
                data += more
    except OSError as problem:
        raise Failed(f"aienv: the run's policy does not answer ({problem}), so the call is refused") from None
    try:
        answer = json.loads(data) if data.endswith(b"\n") else None
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise Failed("aienv: the run's policy gave no answer, so the call is refused")
    return answer


def tell(document: object, context: object) -> None:
    """Words for the model, as claude, codex, gemini, qwen and our plugin of opencode take them."""
    event = document.get("hook_event_name") if isinstance(document, dict) else None
    if isinstance(context, str) and context and isinstance(event, str):
        print(json.dumps({"hookSpecificOutput": {"hookEventName": event, "additionalContext": context}}))
        sys.stdout.flush()


def refuse(text: str) -> int:
    try:
        sys.stderr.write(text.encode("ascii", "backslashreplace").decode() + "\n")
        sys.stderr.flush()
    except OSError:
        pass
    return REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
