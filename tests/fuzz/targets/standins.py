"""Stand-ins in headers: whatever is sent, no real value goes where it does not belong, and no stand-in goes to a host that is not its own.

The input is lines of ``name: value``; the words below put stand-ins into it in many forms.
"""

import base64
import random
from urllib.parse import quote

from orchestrator.egress.standins import BoundSecret, Scrubber, Swapper, carries_credentials, looks_like_value, make_stand_in

_CHANCE = random.Random(1)
REAL, OTHER = "sk-ant-api03-RealRealReal0123456789-_RealRealReal", "correct horse/battery+staple%41=="
STAND_IN, OTHER_STAND_IN = make_stand_in(REAL, _CHANCE.randbytes), make_stand_in(OTHER, _CHANCE.randbytes)
SECRETS = (
    BoundSecret("KEY", STAND_IN, REAL, ("api.example.org",), ("agent",)),
    BoundSecret("OTHER", OTHER_STAND_IN, OTHER, ("other.example.org",), ("agent", "check")),
)
SWAPPER = Swapper(SECRETS)

_RAW = STAND_IN.encode()
WORDS = (
    _RAW, OTHER_STAND_IN.encode(), b"authorization: Basic ", b"x-api-key: ", b"cookie: ", b"origin: ", b"Bearer ", b"\n", b"%", b"=",
    base64.b64encode(b"user:" + _RAW), base64.urlsafe_b64encode(_RAW), quote(STAND_IN).replace("-", "%2D").encode(),
    base64.b64encode(base64.b64encode(_RAW)), _RAW.hex().encode(), _RAW[:20], _RAW[20:],
)  # fmt: skip
SEEDS = tuple(b"x-api-key: " + word for word in WORDS) + tuple(b"authorization: Basic " + word for word in WORDS)


def one_input(data: bytes) -> None:
    lines = (line.partition(": ") for line in data.decode("latin-1").split("\n"))
    headers = tuple((name, value) for name, _, value in lines)
    for host in ("api.example.org", "other.example.org", "evil.example.org"):
        check_swap(headers, host)
    check_scrubbed(data)
    looks_like_value(data.decode("latin-1"))


def check_swap(headers: tuple[tuple[str, str], ...], host: str) -> None:
    result = SWAPPER.swap(headers, host, 443, "agent")
    out = "\n".join(f"{name}: {value}" for name, value in result.headers)
    if result.misplaced or host == "evil.example.org":
        assert result.headers == headers
        assert not result.used
        return
    # A stand-in's own host may get it in an encoding inside an encoding: it is worth nothing there, as everywhere.
    left = SWAPPER.misplaced_in(out.encode("latin-1"))
    assert all(secret.goes_to(host, 443, "agent") for secret in SECRETS if secret.name in left)
    sent = "\n".join(f"{name}: {value}" for name, value in headers)
    for secret in SECRETS:  # a value may stand in the input by chance, but it is added only towards its host, and to its headers
        if not secret.goes_to(host, 443, "agent"):
            assert out.count(secret.value) <= sent.count(secret.value)
    assert all(now == was for (name, was), (_, now) in zip(headers, result.headers, strict=True) if not carries_credentials(name))


def check_scrubbed(data: bytes) -> None:
    scrubber = Scrubber(SECRETS)
    whole = scrubber.feed(data) + scrubber.finish()
    pieces = Scrubber(SECRETS)
    assert b"".join(pieces.feed(data[at : at + 7]) for at in range(0, len(data), 7)) + pieces.finish() == whole
    assert len(whole) == len(data)
    assert not any(secret.value.encode() in whole for secret in SECRETS)
