"""Parameters: each in its table, each once, each in one form."""

import pytest

from orchestrator.guard import queries as q
from orchestrator.guard.calls import Denied
from orchestrator.guard.queries import judge


@pytest.mark.parametrize(
    ("rule", "value", "forwarded"),
    [
        (q.flag, "1", "1"), (q.flag, "true", "1"), (q.flag, "True", "1"), (q.flag, "0", "0"), (q.flag, "False", "0"), (q.flag, "", "0"),
        (q.flag, "none", "0"), (q.flag, "yes", "1"), (q.false, "False", "0"), (q.number, "10", "10"), (q.number, "-1", "-1"),
        (q.moment, "1700000000.123", "1700000000.123"), (q.moment, "2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"), (q.moment, "5m", "5m"),
        (q.tail, "all", "all"), (q.tail, "100", "100"), (q.signal, "SIGTERM", "SIGTERM"), (q.signal, "9", "9"),
        (q.condition, "removed", "removed"), (q.condition, "next-exit", "next-exit"), (q.ps_arguments, "aux", "aux"),
        (q.ps_arguments, "-ef", "-ef"), (q.ps_arguments, "-eo pid,comm", "-eo pid,comm"), (q.ps_arguments, "", ""),
        (q.ps_arguments, "-aux", "-aux"), (q.ps_arguments, "-o pid,cmd", "-o pid,cmd"), (q.ps_arguments, "axo pid", "axo pid"),
        (q.ps_arguments, "-eo pid,user,%cpu,args", "-eo pid,user,%cpu,args"), (q.amount, "20000000000", "20000000000"),
        (q.detach_keys, "ctrl-p,ctrl-q", "ctrl-p,ctrl-q"), (q.name, "/web", "/web"), (q.name, "my_app-web.1", "my_app-web.1"),
        (q.name, "deadbeef", "deadbeef"), (q.name, "deadbeefcafe-1", "deadbeefcafe-1"), (q.name, "a" * 65, "a" * 65),
        (q.path, "/etc/passwd", "/etc/passwd"),
    ],
)  # fmt: skip
def test_passes(rule: q.QueryRule, value: str, forwarded: str) -> None:
    assert judge((("x", value),), {"x": rule}) == {"x": forwarded}


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (q.false, "1"), (q.false, "yes"), (q.number, "1e3"), (q.number, "9" * 10), (q.number, ""), (q.tail, "all;"), (q.signal, "TERM;ls"),
        (q.signal, "x" * 17), (q.condition, "running"), (q.ps_arguments, "e"), (q.ps_arguments, "auxe"), (q.ps_arguments, "eww"),
        (q.ps_arguments, "-o args=x"), (q.ps_arguments, "-p 1"), (q.ps_arguments, "aux --forest"),
        (q.ps_arguments, "-eo args,pid"), (q.ps_arguments, "-eo user,pid"), (q.ps_arguments, "-eo pid,comm,user"),
        (q.ps_arguments, "-eo pid,args,cmd"), (q.ps_arguments, "-eo pid,environ"), (q.ps_arguments, "-eo pid,ucmd,user"),
        (q.ps_arguments, "-eo pid,pid"), (q.ps_arguments, "ef"), (q.ps_arguments, "ax"), (q.ps_arguments, "-e -o pid"),
        (q.ps_arguments, "-eo"), (q.ps_arguments, "-eo pid,"), (q.name, "-x"), (q.name, "a/b"),
        (q.name, "web\n"), (q.name, ""), (q.path, "a\0b"), (q.path, ""), (q.scope, "swarm"), (q.text, "a\rb"), (q.detach_keys, "\x1b"),
    ],
)  # fmt: skip
def test_refused(rule: q.QueryRule, value: str) -> None:
    with pytest.raises(Denied) as caught:
        judge((("x", value),), {"x": rule})
    assert caught.value.denial.rule == "query.value"


@pytest.mark.parametrize("name", ["deadbeefcafe", "/deadbeefcafe", "123456789012", "a" * 64])
def test_no_name_stands_before_an_id(name: str) -> None:
    """An engine looks for names first: whoever writes the beginning of an id would get the client's container."""
    with pytest.raises(Denied) as caught:
        judge((("name", name),), {"name": q.name})
    assert caught.value.denial.rule == "name.id-like"


def test_flags_that_mean_nothing_are_not_forwarded() -> None:
    assert judge((("trunc_cmd", "1"), ("all", "1")), {"trunc_cmd": q.unused, "all": q.flag}) == {"all": "1"}


@pytest.mark.parametrize("value", ["", "0", "false", "False", "None", "[]"])
def test_unknown_and_empty_is_dropped(value: str) -> None:
    """Python clients send what they have no value for."""
    assert judge((("new-in-2030", value), ("v", "1")), {"v": q.flag}) == {"v": "1"}


@pytest.mark.parametrize("pair", [("fromSrc", "http://x/"), ("version", "2"), ("V", "1"), ("privileged", "1")])
def test_unknown_with_a_value_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(Denied):
        judge((pair,), {"v": q.flag})


def test_twice_is_refused() -> None:
    with pytest.raises(Denied):
        judge((("v", "0"), ("v", "1")), {"v": q.flag})
