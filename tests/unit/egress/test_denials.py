"""What a refused client is told."""

import json

import pytest

from orchestrator.egress.config import EgressConfig, Leaf, TlsConfig, as_plain, parse
from orchestrator.egress.denials import Refusal, answer, unknown_service
from orchestrator.egress.rules import parse_rule
from orchestrator.egress.standins import BoundSecret
from orchestrator.model.network import CLOSED, Gateway, NetworkPlan
from orchestrator.wire.http1 import parse_response_head

PLAN = NetworkPlan(
    "allowlist", (), (parse_rule("a.example.org", "x"), parse_rule("GET b.example.org:8443/x/*", "x")), (), (), (),
    (Gateway("svc", "a.example.org", 443, "/v1", ()),), (), None, (),
)  # fmt: skip
BLOCKED = Refusal(403, "not-allowed", "c.example.org is not on the list", "c.example.org", 443, "--allow-host c.example.org", "network: {}")


def document(data: bytes) -> dict[str, object]:
    head, _, body = data.partition(b"\r\n\r\n")
    parsed = parse_response_head(head + b"\r\n\r\n", "GET")
    assert (parsed.length, dict(parsed.fields)["Content-Type"]) == (len(body), "application/json")
    found = json.loads(body)
    assert isinstance(found, dict)
    return found


def test_a_denial_teaches() -> None:
    """Status line, header and body: each by itself says that it was aienv, and why."""
    data = answer(BLOCKED, PLAN, close=False)
    assert data.startswith(b"HTTP/1.1 403 Blocked by aienv: not-allowed (allow with --allow-host c.example.org)\r\n")
    assert b"\r\nX-Aienv-Denied: not-allowed\r\n" in data
    assert document(data) == {
        "error": "blocked by aienv", "host": "c.example.org", "port": 443, "rule": "not-allowed",
        "reason": "c.example.org is not on the list", "allow_with": {"flag": "--allow-host c.example.org", "yaml": "network: {}"},
        "allowed": ["a.example.org", "GET b.example.org:8443/x/*"],
    }  # fmt: skip


def test_what_nothing_allows() -> None:
    """No advice is given that would not help."""
    found = document(answer(Refusal(403, "address", "metadata", "m.example.org", 80), PLAN, close=True))
    assert found["allow_with"] is None


@pytest.mark.parametrize(("status", "error"), [(502, "upstream failed"), (504, "upstream failed"), (400, "bad request")])
def test_what_is_no_denial(status: int, error: str) -> None:
    """Neither a header nor a list: the client did nothing that a rule forbids."""
    data = answer(Refusal(status, "x", "because", "a.example.org", 443), PLAN, close=True)
    assert b"X-Aienv-Denied" not in data
    assert b"\r\nConnection: close\r\n" in data
    assert document(data) == {"error": error, "host": "a.example.org", "port": 443, "rule": "x", "reason": "because"}


def test_git_is_told_in_its_own_way() -> None:
    """Git shows a body of plain text, and of an answer to a push its server's report alone."""
    head, _, body = answer(Refusal(403, "git", "team/app may be read", plain=True), PLAN, close=True).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Blocked by aienv: git\r\nContent-Type: text/plain\r\n")
    assert body == b"blocked by aienv: team/app may be read\n"
    head, _, body = answer(Refusal(403, "git", "no", git_report=b"0000"), PLAN, close=True).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-receive-pack-result\r\n")
    assert b"X-Aienv-Denied: git" in head
    assert body == b"0000"


def test_nothing_breaks_the_status_line() -> None:
    """Whatever stands in a rule or a flag."""
    data = answer(Refusal(403, "x", "y", "h", 1, "--allow-host 'a\r\nSet-Cookie: x é'", ""), CLOSED, close=False)
    assert data.partition(b"\r\n")[0] == b"HTTP/1.1 403 Blocked by aienv: x (allow with --allow-host 'a??Set-Cookie: x ?')"


def test_to_head_no_body() -> None:
    """Its length is told all the same."""
    assert answer(BLOCKED, PLAN, close=False, head_only=True).endswith(b"\r\n\r\n")


def test_services() -> None:
    """A wrong path at the gateway names the right ones."""
    assert document(unknown_service("x" * 500, PLAN, close=True))["services"] == {"svc": "/svc/ is https://a.example.org/v1/"}


def test_configuration_there_and_back() -> None:
    """As one line of JSON; neither a ``repr`` nor a complaint holds a value."""
    secret = BoundSecret("KEY", "stand-in", "sk-very-secret", ("a.example.org",), ("agent",))
    config = EgressConfig("run", PLAN, (secret,), TlsConfig((Leaf(("a.example.org",), "CERT", "PRIVATE"),)), None, None)
    plain = json.loads(json.dumps(as_plain(config)))
    assert parse(plain) == config
    assert "very-secret" not in repr(config)
    assert "PRIVATE" not in repr(config)
    plain["secrets"][0]["value"] = ["sk-very-secret"]
    with pytest.raises(ValueError, match=r"secrets\[0\].value: expected str") as caught:
        parse(plain)
    assert "very-secret" not in str(caught.value)
