"""What a refused client is told: why, and the one line that would allow it. Pure.

Agents read the answer and act on it, and many clients show no more than the status line; so all three say something: the status line,
the header and the body.
"""

import json
from dataclasses import dataclass

from orchestrator.egress.rules import Decision, rule_text
from orchestrator.model.network import NetworkPlan

HEADER = "X-Aienv-Denied"
_MAX_ALLOWED = 50
_PHRASES = {400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
            417: "Expectation Failed", 431: "Request Header Fields Too Large", 501: "Not Implemented", 502: "Bad Gateway",
            504: "Gateway Timeout", 505: "HTTP Version Not Supported"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal. ``rule``: a stable word; ``status`` 403 means a decision, others that something is wrong with request or server.

    ``plain``: as plain text, the only form that git shows; ``git_report``: the answer to a push, of which git shows no other.
    """

    status: int
    rule: str
    reason: str
    host: str = ""
    port: int = 0
    flag: str | None = None
    yaml: str | None = None
    plain: bool = False
    git_report: bytes = b""


class Refused(Exception):
    """Ends the handling of a request with an answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def refused(decision: Decision, host: str, port: int) -> Refused:
    return Refused(Refusal(403, decision.rule, decision.reason, host, port, decision.flag, decision.yaml))


def answer(refusal: Refusal, plan: NetworkPlan, *, close: bool, head_only: bool = False) -> bytes:
    """The whole answer. ``head_only``: to a HEAD request."""
    status, kind, body = _content(refusal, plan)
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        *([f"{HEADER}: {refusal.rule}"] if refusal.status == 403 else []),
        *(["Connection: close"] if close else []),
    ]
    return "\r\n".join(lines).encode("ascii", "replace") + b"\r\n\r\n" + (b"" if head_only else body)


def _content(refusal: Refusal, plan: NetworkPlan) -> tuple[str, str, bytes]:
    """Status line, type and body."""
    if refusal.git_report:
        return "200 OK", "application/x-git-receive-pack-result", refusal.git_report
    status = f"{refusal.status} {_phrase(refusal)}"
    if refusal.plain:
        return status, "text/plain", f"blocked by aienv: {refusal.reason}\n".encode()
    return status, "application/json", json.dumps(_document(refusal, plan), indent=1).encode() + b"\n"


def unknown_service(name: str, plan: NetworkPlan, *, close: bool) -> bytes:
    """The gateway's answer to a path that names no service."""
    services = {gateway.name: f"/{gateway.name}/ is https://{gateway.host}{gateway.base_path}/" for gateway in plan.gateways}
    document = {"error": "unknown service", "service": name[:100], "services": services}
    body = json.dumps(document, indent=1).encode() + b"\n"
    head = f"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return (head + ("Connection: close\r\n\r\n" if close else "\r\n")).encode("ascii") + body


def _document(refusal: Refusal, plan: NetworkPlan) -> dict[str, object]:
    if refusal.status != 403:
        error = "upstream failed" if refusal.status in (502, 504) else "bad request"
        return {"error": error, "host": refusal.host, "port": refusal.port, "rule": refusal.rule, "reason": refusal.reason}
    return {
        "error": "blocked by aienv",
        "host": refusal.host,
        "port": refusal.port,
        "rule": refusal.rule,
        "reason": refusal.reason,
        "allow_with": None if refusal.flag is None else {"flag": refusal.flag, "yaml": refusal.yaml},
        "allowed": list(dict.fromkeys(rule_text(rule) for rule in plan.allow))[:_MAX_ALLOWED],
    }


def _phrase(refusal: Refusal) -> str:
    """Some clients show nothing but this line."""
    if refusal.status != 403:
        return _PHRASES.get(refusal.status, "Refused")
    advice = f" (allow with {refusal.flag})" if refusal.flag is not None and len(refusal.flag) < 120 else ""
    return "Blocked by aienv: " + "".join(char if " " <= char < "\x7f" else "?" for char in refusal.rule + advice)
