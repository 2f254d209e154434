"""Stand-ins look like the real thing and are worth nothing; the real value goes to its hosts, in its headers, and nowhere else."""

import base64
import random
import string
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.egress.standins import (
    LONGEST_RUN,
    OBVIOUS,
    BoundSecret,
    Scrubber,
    Swapper,
    carries_credentials,
    covers,
    looks_like_value,
    make_stand_in,
    prefix_of,
)
from orchestrator.model.network import Phase

AGENT: tuple[Phase, ...] = ("agent", "check")
ALNUM = string.ascii_letters + string.digits


def chance(seed: int = 1) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def letters(count: int, alphabet: str = ALNUM, seed: int = 7) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=count))


REAL = "sk-ant-api03-" + letters(80, ALNUM + "-_") + "AA"
GITHUB = "ghp_" + letters(36, seed=3)
STAND_IN = make_stand_in(REAL, chance(1))
GITHUB_STAND_IN = make_stand_in(GITHUB, chance(2))
KEY = BoundSecret("ANTHROPIC_API_KEY", STAND_IN, REAL, ("api.anthropic.com",), AGENT)
TOKEN = BoundSecret("GITHUB_TOKEN", GITHUB_STAND_IN, GITHUB, ("api.github.com", "github.com", "*.ghe.example.org:8443"), ("agent",))
SWAPPER = Swapper((KEY, TOKEN))


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        pytest.param(REAL, "sk-ant-api03-", id="anthropic"),
        pytest.param("sk-ant-oat01-" + letters(95), "sk-ant-oat01-", id="claude-oauth"),
        pytest.param("sk-proj-" + letters(156, ALNUM + "-_"), "sk-proj-", id="openai-project"),
        pytest.param("sk-" + letters(48), "sk-", id="openai-old"),
        pytest.param("sk-or-v1-" + letters(64, "0123456789abcdef"), "sk-or-v1-", id="openrouter"),
        pytest.param("ghp_" + letters(36), "ghp_", id="github-classic"),
        pytest.param("gho_" + letters(36), "gho_", id="github-oauth"),
        pytest.param("github_pat_" + letters(22) + "_" + letters(59), "github_pat_", id="github-fine"),
        pytest.param("glpat-" + letters(20, ALNUM + "-_"), "glpat-", id="gitlab"),
        pytest.param("AIza" + letters(35, ALNUM + "-_"), "AIza", id="google"),
        pytest.param("npm_" + letters(36), "npm_", id="npm"),
        pytest.param("hf_" + letters(34, string.ascii_letters), "hf_", id="huggingface"),
        pytest.param("xoxb-1234567890123-1234567890123-" + letters(24), "xoxb-", id="slack"),
        pytest.param("AKIA" + letters(16, string.ascii_uppercase + "234567"), "AKIA", id="aws"),
        pytest.param("gsk_" + letters(52), "gsk_", id="groq"),
        pytest.param(letters(32), "", id="no-prefix"),
        pytest.param(letters(64, "0123456789abcdef"), "", id="hex"),
        pytest.param(letters(20, string.digits), "", id="digits"),
        pytest.param("0f8fad5b-d9cb-469f-a165-70867728950e", "", id="uuid"),
        pytest.param(letters(40, ALNUM + "+/") + "==", "", id="base64"),
    ],
)
def test_form_is_kept(value: str, prefix: str) -> None:
    """Prefix, length and the kind of character at each place are those of the real value; little else is."""
    assert prefix_of(value) == prefix
    made = make_stand_in(value, chance())
    assert made != value
    assert made.startswith(prefix)
    assert len(made) == len(value)
    assert [kind(char) for char in made] == [kind(char) for char in value]
    assert not any(made[at : at + LONGEST_RUN + 1] in value for at in range(len(prefix), len(made) - LONGEST_RUN))


def kind(char: str) -> str:
    return "d" if char.isdigit() else "u" if char.isupper() else "l" if char.islower() else char


@pytest.mark.parametrize("alphabet", ["0123456789abcdef", "0123456789ABCDEF"])
def test_hex_stays_hex(alphabet: str) -> None:
    """A client that reads its key as a number in hex can do so."""
    made = make_stand_in(letters(40, alphabet), chance())
    assert set(made) <= set(alphabet)


def test_jwt_keeps_its_dots() -> None:
    """Three parts that begin as JSON in base64 does."""
    parts = [base64.urlsafe_b64encode(text.encode()).decode().rstrip("=") for text in ('{"alg":"HS256"}', '{"sub":"someone","exp":1}')]
    value = f"{parts[0]}.{parts[1]}.{letters(43)}"
    made = make_stand_in(value, chance())
    assert [len(part) for part in made.split(".")] == [len(part) for part in value.split(".")]
    assert all(part.startswith("eyJ") for part in made.split(".")[:2])
    assert made != value


@pytest.mark.parametrize("value", ["x", "hunter2", "123456789012345", "-" * 40, "aaaa-bbbb", "é" * 30, "1" * 17])
def test_little_makes_an_obvious_one(value: str) -> None:
    """What is short or uniform cannot be told from other text, so its stand-in says what it is."""
    made = make_stand_in(value, chance())
    assert made.startswith(OBVIOUS)
    assert len(made) >= 32


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=120), st.integers(0, 1 << 32))
@settings(max_examples=150)
def test_any_value_gets_one(value: str, seed: int) -> None:
    """Never the value, never short, always the characters of a header; the same chance gives the same one."""
    made = make_stand_in(value, chance(seed))
    assert made != value
    assert value not in made or len(value) < 16
    assert len(made) >= 16
    assert made.isascii()
    assert made.isprintable()
    assert make_stand_in(value, chance(seed)) == made


@pytest.mark.parametrize(
    ("text", "is_value"),
    [
        (REAL, True),
        (GITHUB, True),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln", True),
        ("GITHUB_TOKEN", False),
        ("npm_config_userconfig", False),
        ("hf_token", False),
        ("sk-ant", False),
    ],
)
def test_values_given_as_names(text: str, is_value: bool) -> None:
    """A credential pasted where its name belongs is recognised, so that no message repeats it."""
    assert looks_like_value(text) is is_value


@pytest.mark.parametrize(
    ("bound", "host", "port", "expected"),
    [
        ("api.example.org", "api.example.org", 443, True),
        ("api.example.org", "api.example.org", 80, False),
        ("api.example.org", "api.example.org", 8443, False),
        ("api.example.org:8443", "api.example.org", 8443, True),
        ("api.example.org:8443", "api.example.org", 443, False),
        ("api.example.org", "evil-api.example.org", 443, False),
        ("api.example.org", "api.example.org.evil.test", 443, False),
        ("*.example.org", "a.example.org", 443, True),
        ("*.example.org", "a.b.example.org", 443, True),
        ("*.example.org", "example.org", 443, False),
        ("*.example.org", ".example.org", 443, False),
        ("*.example.org", "aexample.org", 443, False),
        ("*.example.org:8443", "a.example.org", 8443, True),
        ("[2001:db8::1]:8443", "2001:db8::1", 8443, True),
        ("2001:db8::1", "2001:db8::1", 443, True),
        ("[2001:db8::1]", "[2001:db8::1]", 443, True),
        ("10.0.0.5:8443", "10.0.0.5", 8443, True),
    ],
)
def test_bound_hosts(bound: str, host: str, port: int, expected: bool) -> None:
    """A name is the whole name, a port the whole port, a wildcard stops at a dot."""
    assert covers(bound, host, port) is expected


@pytest.mark.parametrize(
    ("header", "sent", "arrives"),
    [
        pytest.param("x-api-key", STAND_IN, REAL, id="x-api-key"),
        pytest.param("Authorization", f"Bearer {STAND_IN}", f"Bearer {REAL}", id="bearer"),
        pytest.param("authorization", f"token {STAND_IN}", f"token {REAL}", id="token"),
        pytest.param("Authorization", basic("x-access-token", STAND_IN), basic("x-access-token", REAL), id="basic-password"),
        pytest.param("Authorization", basic(STAND_IN, ""), basic(REAL, ""), id="basic-user"),
        pytest.param("Authorization", basic(STAND_IN, "x-oauth-basic"), basic(REAL, "x-oauth-basic"), id="basic-user-of-two"),
        pytest.param("Cookie", f"a=1; session={STAND_IN}; b=2", f"a=1; session={REAL}; b=2", id="cookie"),
        pytest.param("X-Goog-Api-Key", STAND_IN, REAL, id="google"),
        pytest.param("PRIVATE-TOKEN", STAND_IN, REAL, id="gitlab"),
        pytest.param("api-key", STAND_IN, REAL, id="azure"),
        pytest.param("Ocp-Apim-Subscription-Key", STAND_IN, REAL, id="azure-apim"),
        pytest.param("Cookie", f"t={quote(STAND_IN, safe='').replace('-', '%2D')}", f"t={quote(REAL, safe='')}", id="percent"),
        pytest.param(
            "Authorization",
            "Bearer " + base64.urlsafe_b64encode(f"me?:{STAND_IN}".encode()).decode().rstrip("="),
            "Bearer " + base64.urlsafe_b64encode(f"me?:{REAL}".encode()).decode().rstrip("="),
            id="base64url",
        ),
    ],
)
def test_swapped_towards_its_host(header: str, sent: str, arrives: str) -> None:
    """The host gets what a client with the real value would have sent; other headers stay."""
    result = SWAPPER.swap((("Accept", "*/*"), (header, sent)), "api.anthropic.com", 443, "agent")
    assert result.headers == (("Accept", "*/*"), (header, arrives))
    assert (result.used, result.misplaced) == (("ANTHROPIC_API_KEY",), ())


@pytest.mark.parametrize(
    ("host", "port", "phase", "because"),
    [
        pytest.param("evil.example.org", 443, "agent", "not bound to evil.example.org:443", id="host"),
        pytest.param("api.anthropic.com", 80, "agent", "not bound to api.anthropic.com:80", id="port"),
        pytest.param("api.anthropic.com", 443, "setup", "not for the phase 'setup'", id="phase"),
    ],
)
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(STAND_IN, id="plain"),
        pytest.param(f"Bearer {STAND_IN}", id="bearer"),
        pytest.param(basic("me", STAND_IN), id="basic"),
        pytest.param(base64.b64encode(b"12" + STAND_IN.encode()).decode(), id="base64-shifted"),
        pytest.param("".join(f"%{ord(char):02x}" for char in STAND_IN), id="percent"),
        pytest.param("".join(f"%25{ord(char):02X}" for char in STAND_IN), id="percent-twice"),
        pytest.param(STAND_IN.encode().hex(), id="hex"),
    ],
)
def test_misplaced_elsewhere(host: str, port: int, phase: Phase, because: str, sent: str) -> None:
    """Towards any other place it is named and stays a stand-in, however it was written."""
    headers = (("X-Thing", sent),)
    result = SWAPPER.swap(headers, host, port, phase)
    assert (result.headers, result.used, result.misplaced) == (headers, (), ("ANTHROPIC_API_KEY",))
    assert because in result.reason
    assert STAND_IN not in result.reason


@pytest.mark.parametrize(
    "header",
    ["Origin", "Referer", "User-Agent", "Access-Control-Request-Headers", "Idempotency-Key", "X-CSRF-Token", "X-Forwarded-For",
     "X-Request-Id", "Sec-WebSocket-Protocol", "Proxy-Authorization", "If-None-Match", "Host", "Accept"],
)  # fmt: skip
def test_headers_that_servers_repeat(header: str) -> None:
    """An echo would hand the real value to the agent: not even the bound host gets it there."""
    assert not carries_credentials(header)
    result = SWAPPER.swap(((header, STAND_IN),), "api.anthropic.com", 443, "agent")
    assert result.headers == ((header, STAND_IN),)
    assert result.misplaced == ("ANTHROPIC_API_KEY",)
    assert "carries no credentials" in result.reason


def test_header_names_are_looked_at() -> None:
    """A stand-in as the name of a header is misplaced too."""
    result = SWAPPER.swap(((STAND_IN, "x"),), "api.anthropic.com", 443, "agent")
    assert result.misplaced == ("ANTHROPIC_API_KEY",)


def test_one_misplaced_holds_back_all() -> None:
    """A request that carries somebody else's stand-in goes out with no real value at all."""
    headers = (("x-api-key", STAND_IN), ("Cookie", GITHUB_STAND_IN))
    result = SWAPPER.swap(headers, "api.anthropic.com", 443, "agent")
    assert (result.headers, result.used, result.misplaced) == (headers, (), ("GITHUB_TOKEN",))


def test_several_secrets_for_one_host() -> None:
    """Each stand-in becomes its own value."""
    both = Swapper((KEY, BoundSecret("SESSION", "s" * 20, "real-session", ("api.anthropic.com",), AGENT)))
    result = both.swap((("x-api-key", STAND_IN), ("Cookie", "s" * 20)), "api.anthropic.com", 443, "agent")
    assert result.headers == (("x-api-key", REAL), ("Cookie", "real-session"))
    assert result.used == ("ANTHROPIC_API_KEY", "SESSION")


def test_without_secrets_nothing_happens() -> None:
    """No secret, no swap, and nothing is found anywhere."""
    swapper = Swapper(())
    assert swapper.swap((("a", "b"),), "example.org", 443, "agent").headers == (("a", "b"),)
    assert swapper.misplaced_in(b"/a?b=c") == ()
    assert Scrubber(()).feed(b"abc") == b"abc"


@pytest.mark.parametrize(
    "target",
    [
        f"/v1/models?key={STAND_IN}",
        f"/{quote(STAND_IN, safe='').replace('s', '%73')}/x",
        "/log/" + base64.urlsafe_b64encode(b"x" + STAND_IN.encode()).decode(),
        "/?d=" + base64.b64encode(STAND_IN.encode() + b"rest").decode().replace("/", "%2F").replace("+", "%2B"),
        "/" + STAND_IN.encode().hex().upper(),
    ],
)
def test_found_in_targets(target: str) -> None:
    """A request target must hold no stand-in, in no common form."""
    assert SWAPPER.misplaced_in(target.encode()) == ("ANTHROPIC_API_KEY",)


def test_ordinary_targets_pass() -> None:
    """The nearest that must pass: the prefix alone, another key of the same form."""
    assert SWAPPER.misplaced_in(b"/v1/messages?beta=true&prefix=sk-ant-api03-") == ()
    assert SWAPPER.misplaced_in(make_stand_in(REAL, chance(99)).encode()) == ()


HEADER_NAMES = st.sampled_from(["Authorization", "x-api-key", "Cookie", "X-Thing", "Referer"])
PIECES = st.one_of(
    st.sampled_from([STAND_IN, GITHUB_STAND_IN, "Basic ", "Bearer ", "%", "=", ":", "é"]),
    st.sampled_from([basic("a", STAND_IN), base64.b64encode(STAND_IN.encode()).decode(), quote(STAND_IN, safe="")]),
    st.sampled_from([STAND_IN[:50], STAND_IN[50:]]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
)
VALUES = st.lists(PIECES, max_size=4).map("".join)


@given(st.lists(st.tuples(HEADER_NAMES, VALUES), max_size=4))
@settings(max_examples=300)
def test_no_real_value_elsewhere(headers: list[tuple[str, str]]) -> None:
    """Whatever is sent to a host that nothing is bound to, it never gets a real value, in clear or in base64."""
    result = SWAPPER.swap(headers, "evil.example.org", 443, "agent")
    assert result.headers == tuple(headers)
    assert result.used == ()


@given(st.lists(st.tuples(HEADER_NAMES, VALUES), max_size=4))
@settings(max_examples=300)
def test_swapped_or_misplaced(headers: list[tuple[str, str]]) -> None:
    """Towards the bound host no stand-in remains in what may go out, and the other credential's value never appears."""
    result = SWAPPER.swap(headers, "api.anthropic.com", 443, "agent")
    out = "\n".join(f"{name}: {value}" for name, value in result.headers)
    assert GITHUB not in out
    assert base64.b64encode(GITHUB.encode()).decode()[:30] not in out
    if result.misplaced:
        assert result.headers == tuple(headers)
    else:
        assert STAND_IN not in out
        assert SWAPPER.misplaced_in(out.encode("latin-1")) == ()


def test_answers_are_scrubbed() -> None:
    """A service that repeats what it was sent tells the agent nothing new."""
    headers = (("X-Echo", f"Bearer {REAL}"), ("X-Basic", basic("a", REAL)), ("Server", "x"))
    assert SWAPPER.scrub(headers) == (("X-Echo", f"Bearer {STAND_IN}"), ("X-Basic", basic("a", STAND_IN)), ("Server", "x"))


@given(st.lists(st.sampled_from([REAL, GITHUB, REAL[:30], REAL[40:], GITHUB[:-1], "x", "\n\n", "ghp_"]), max_size=8), st.data())
@settings(max_examples=200)
def test_bodies_are_scrubbed_in_pieces(parts: list[str], data: st.DataObject) -> None:
    """However the body is cut, the real values are gone, everything else is there, and the length is the same."""
    body = "".join(parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    scrubber = Scrubber((KEY, TOKEN))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    out = b"".join(scrubber.feed(piece) for piece in pieces) + scrubber.finish()
    assert out == body.replace(REAL.encode(), STAND_IN.encode()).replace(GITHUB.encode(), GITHUB_STAND_IN.encode())


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        pytest.param(basic("a", STAND_IN), lambda header: header, id="basic"),
        pytest.param(basic("a", STAND_IN).rstrip("="), lambda header: header, id="without-padding"),
        pytest.param(basic("ab", STAND_IN), lambda header: header, id="another-alignment"),
        pytest.param(basic("a?>~~~", STAND_IN + "~~??"), lambda header: header.replace("/", "\\/"), id="in-json-of-php"),
        pytest.param(basic("a", STAND_IN), lambda header: quote(header, safe=""), id="in-an-address"),
    ],
)
def test_repeated_in_base64(sent: str, shown: Callable[[str], str]) -> None:
    """A service whose answer's body shows the header that it was sent shows what the client sent, also where that was base64."""
    result = SWAPPER.swap((("Authorization", sent),), "api.anthropic.com", 443, "agent")
    arrived = dict(result.headers)["Authorization"]
    assert arrived != sent
    scrubber = Scrubber((KEY,), result.encoded)
    body = f"<{shown(arrived)}>".encode()
    assert scrubber.feed(body[:30]) + scrubber.feed(body[30:]) + scrubber.finish() == f"<{shown(sent)}>".encode()


def test_events_are_not_held_back() -> None:
    """Only what may be the beginning of a value waits for more."""
    scrubber = Scrubber((KEY, TOKEN))
    assert scrubber.feed(b"data: 1\n\n") == b"data: 1\n\n"
    assert scrubber.feed(b"data: gh") == b"data: "
    assert scrubber.feed(b"i\n\n") == b"ghi\n\n"


def test_other_lengths_are_starred() -> None:
    """A value whose stand-in is longer leaves its own length behind, so that Content-Length holds."""
    secret = BoundSecret("PIN", make_stand_in("hunter2222", chance()), "hunter2222", ("example.org",), AGENT)
    assert Scrubber((secret,)).feed(b"<hunter2222>") == b"<**********>"


def test_nothing_shows_in_a_repr() -> None:
    """Neither value nor stand-in is printed by accident."""
    result = SWAPPER.swap((("x-api-key", STAND_IN),), "api.anthropic.com", 443, "agent")
    assert REAL not in repr(KEY) + repr(result)
    assert STAND_IN not in repr(KEY) + repr(result)
