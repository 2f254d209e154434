"""Published ports: on the loopback, unless another address was granted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.ports import ask_app_port, ask_port, parse


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("127.0.0.1:80:8080", "127.0.0.1:80:8080"),
        ("127.0.0.1::80", "127.0.0.1::80"),
        ("127.1.2.3:80:80/udp", "127.1.2.3:80:80/udp"),
        ("[::1]:80:80", "[::1]:80:80"),
        ("::1:80:80", "[::1]:80:80"),
        ("127.0.0.1:8000-8010:9000-9010", "127.0.0.1:8000-8010:9000-9010"),
        ("127.0.0.1:080:80/TCP", "127.0.0.1:80:80"),
        ("published=127.0.0.1:80,target=8080", "127.0.0.1:80:8080"),
    ],
)
def test_local(text: str, written: str) -> None:
    ask = ask_port(text)
    assert (ask.words, ask.needs) == ((written,), ())


@pytest.mark.parametrize(
    ("text", "granted", "grant", "instead"),
    [
        ("80", "0.0.0.0::80", "port:0.0.0.0:0", "127.0.0.1::80"),
        ("80:8080", "0.0.0.0:80:8080", "port:0.0.0.0:80", "127.0.0.1:80:8080"),
        (":80:8080", "0.0.0.0:80:8080", "port:0.0.0.0:80", "127.0.0.1:80:8080"),
        ("0.0.0.0:80:8080/udp", "0.0.0.0:80:8080/udp", "port:0.0.0.0:80", "127.0.0.1:80:8080/udp"),
        ("[::]:80:8080", "[::]:80:8080", "port::::80", "127.0.0.1:80:8080"),
        ("192.168.0.1:80:80", "192.168.0.1:80:80", "port:192.168.0.1:80", "127.0.0.1:80:80"),
        ("80-90:80-90", "0.0.0.0:80-90:80-90", "port:0.0.0.0:80-90", "127.0.0.1:80-90:80-90"),
        ("published=80,target=8080,protocol=udp", "0.0.0.0:80:8080/udp", "port:0.0.0.0:80", "127.0.0.1:80:8080/udp"),
    ],
)
def test_others(text: str, granted: str, grant: str, instead: str) -> None:
    ask = ask_port(text)
    assert (ask.words, [need.grant for need in ask.needs], ask.instead) == ((granted,), [grant], (instead,))


def test_an_address_in_the_other_family_is_not_local() -> None:
    assert ask_port("[::ffff:127.0.0.1]:80:80").instead == ("127.0.0.1:80:80",)


@pytest.mark.parametrize("text", ["", "a", "80:", "70000", "localhost:80:80", "1.2.3:80:80", "80/icmp", "80/", "90-80:90-80", "127.0.0.1:80:80:80", "fe80::1%eth0:80:80", "published=80,new=1", "-1:80", "８０"])  # fmt: skip # noqa: E501
def test_unreadable(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)
    assert [need.grant for need in ask_port(text).needs] == [None]


@pytest.mark.parametrize(
    ("value", "word", "grant"),
    [
        (3000, "127.0.0.1:3000:3000", None),
        ("3000:3001", "0.0.0.0:3000:3001", "port:0.0.0.0:3000"),
        ("127.0.0.1:1:1", "127.0.0.1:1:1", None),
    ],
)
def test_app_port(value: Json, word: str, grant: str | None) -> None:
    ask = ask_app_port(value)
    assert (ask.words, [need.grant for need in ask.needs]) == ((word,), [grant] if grant else [])


@pytest.mark.parametrize("value", [True, 3000.5, None, {}, ["3000"], 99999])
def test_no_app_port(value: Json) -> None:
    assert [need.grant for need in ask_app_port(value).needs] == [None]


@given(st.one_of(st.text(), st.text("0123456789:.[]-/abcdefudtcp=,", max_size=30)))
def test_any_text_is_answered(text: str) -> None:
    """What is written instead is on the loopback."""
    ask = ask_port(text)
    for word in ask.instead or (() if ask.needs else ask.words):
        assert parse(word).local
