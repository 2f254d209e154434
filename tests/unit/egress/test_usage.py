"""Events and counts: bounded, complete, and the same when they are read back from the log."""

import json
import threading

from orchestrator.audit.record import EMPTY, append
from orchestrator.egress.summary import network_use
from orchestrator.egress.usage import MAX_EVENTS, MAX_ROWS, MAX_SUMMARY_ROWS, OTHERS, SUMMARY_EVERY, Attempt, Usage
from orchestrator.model.network import NO_USE, Denial, HostUse, NetworkUse

Events = list[tuple[str, dict[str, object]]]


def started() -> tuple[Usage, Events]:
    events: Events = []
    usage = Usage(lambda kind, facts: events.append((kind, facts)))
    usage.begin("agent")
    return usage, events


def as_log(events: Events) -> list[bytes]:
    """The lines of a log that holds these events, and others."""
    head, lines = EMPTY, []
    others: Events = [("run.begin", {"kind_of": "net"}), ("run.end", {})]
    for kind, facts in [others[0], *events, others[1]]:
        line, head = append(head, 1.0, "run", kind, facts)
        lines.append(line.rstrip(b"\n"))
    return lines


def allowed(host: str, port: int = 443, out: int = 1, came: int = 2) -> Attempt:
    return Attempt(host, port, "connect", "allow", bytes_out=out, bytes_in=came)


def refused(host: str, rule: str = "not-allowed") -> Attempt:
    return Attempt(host, 443, "connect", rule, reason=f"{host} no", flag=f"--allow-host {host}", yaml="x")


def test_rows() -> None:
    """One row for each host and port, for each host, port and rule, for each credential and host."""
    usage, events = started()
    for host in ("b.example", "a.example", "b.example"):
        usage.allowed(allowed(host))
    usage.denied(refused("c.example"))
    usage.denied(refused("c.example"))
    usage.denied(refused("c.example", "tls-name"))
    usage.credential("KEY", "a.example", "used")
    usage.credential("KEY", "c.example", "refused")
    wanted = NetworkUse(
        (HostUse("a.example", 443, 1, 1, 2), HostUse("b.example", 443, 2, 2, 4)),
        (
            Denial("c.example", 443, "not-allowed", "c.example no", 2, "--allow-host c.example", "x"),
            Denial("c.example", 443, "tls-name", "c.example no", 1, "--allow-host c.example", "x"),
        ),
        (("KEY", "a.example", 1),),
    )
    assert usage.total() == wanted
    usage.end_phase()
    assert network_use(as_log(events)) == wanted
    assert [kind for kind, _ in events] == ["net"] * 6 + ["cred"] * 2 + ["net.summary"]


def test_an_event_holds_what_is_known() -> None:
    """Nothing that is not, and long texts in part."""
    usage, events = started()
    usage.allowed(Attempt("a.example", 80, "http", "allow", "GET", "/" + "x" * 5000, address="192.0.2.1", status=200, seconds=0.12345678))
    usage.denied(Attempt("h" * 5000, 80, "http", "bad-host", reason="r" * 5000))
    (_, first), (_, second) = events
    assert first == {
        "phase": "agent", "decision": "allow", "rule": "allow", "host": "a.example", "port": 80, "scheme": "http", "address": "192.0.2.1",
        "method": "GET", "path": first["path"], "status": 200, "out": 0, "in": 0, "seconds": 0.1235,
    }  # fmt: skip
    assert str(first["path"]).endswith("xxx...")
    assert all(len(str(value)) <= 500 for event in (first, second) for value in event.values())


def test_beyond_the_bound_only_counts() -> None:
    """No event is written any more, and no count is lost, neither here nor in the log."""
    usage, events = started()
    for number in range(MAX_EVENTS + 40):
        usage.allowed(allowed(f"h{number % 7}.example"))
        usage.credential("KEY", "a.example", "used")
    usage.denied(refused("late.example"))
    usage.end_phase()
    assert len(events) == 2 * MAX_EVENTS + 1
    assert network_use(as_log(events)) == usage.total()
    assert sum(row.requests for row in usage.total().allowed) == MAX_EVENTS + 40
    usage.begin("check")
    usage.denied(refused("later.example"))
    usage.end_phase()
    assert network_use(as_log(events)) == usage.total()
    assert [facts["phase"] for kind, facts in events if kind == "net.summary"] == ["agent", "check"]


def test_counts_reach_the_log_while_a_phase_lasts() -> None:
    """A broker that is killed loses only what came since."""
    usage, events = started()
    for _ in range(MAX_EVENTS + SUMMARY_EVERY):
        usage.allowed(allowed("a.example"))
    assert [kind for kind, _ in events].count("net.summary") == 1
    assert network_use(as_log(events)).allowed[0].requests >= MAX_EVENTS + SUMMARY_EVERY - 1


def test_rows_are_bounded() -> None:
    """Whoever makes up names fills neither memory nor the log."""
    usage, events = started()
    for number in range(MAX_ROWS + 300):
        usage.denied(refused(f"h{number}.example"))
        usage.allowed(allowed(f"a{number}.example"))
    use = usage.total()
    assert len(use.allowed) == MAX_ROWS + 1
    assert next(row for row in use.allowed if row.host == OTHERS).requests == 300
    assert next(row for row in use.denied if row.host == OTHERS).count == 300
    for number in range(MAX_EVENTS):
        usage.allowed(allowed(f"b{number % 1000}.example"))
    usage.end_phase()
    summary = events[-1][1]
    assert isinstance(summary["beyond"], dict)
    assert len(summary["beyond"]["allowed"]) == MAX_SUMMARY_ROWS + 1
    again = network_use(as_log(events))
    assert sum(row.requests for row in again.allowed) == sum(row.requests for row in usage.total().allowed)


def test_a_log_that_was_changed() -> None:
    """Lines that are not as expected are left out."""
    usage, events = started()
    usage.allowed(allowed("a.example"))
    lines = as_log(events)
    event = json.loads(lines[1])
    broken = [b'{"kind":"net"', b'{"kind":"net"}', b'[{"kind":"net"}]', b'{"kind":"net.summary","beyond":{"allowed":[[1]]}}', b"\xff"]
    broken += [json.dumps({**event, "port": "x"}, separators=(",", ":")).encode(), b'{"kind":"cred","outcome":"used"}']
    assert network_use([*broken, *lines, *broken]).allowed == (HostUse("a.example", 443, 1, 1, 2),)
    assert network_use([]) == NO_USE


def test_from_several_threads() -> None:
    """Counts are whole: one thread writes while another one reads."""
    usage, _ = started()

    def write() -> None:
        for _ in range(500):
            usage.allowed(allowed("a.example"))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        usage.total()
    assert usage.total().allowed[0].requests == 2000


def test_credentials_are_bounded() -> None:
    """A credential that is bound to every name below a domain is used for as many names as the agent thinks of."""
    usage = Usage(lambda kind, facts: None)
    for number in range(MAX_ROWS + 50):
        usage.credential("TOKEN", f"{number}.example.org", "used")
    rows = usage.total().credentials
    assert len(rows) == MAX_ROWS + 1
    assert ("TOKEN", OTHERS, 50) in rows
