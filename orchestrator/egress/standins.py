"""Stand-ins: what a command inside holds in place of a credential, and putting the real one in its place. Pure.

A stand-in has the prefix, the length and at each place the kind of character of the real value, so that a client that checks the form
of its key is content and no length changes. It is worth nothing: only the broker, which sits outside, knows what it stands for.

The real value is written only into headers that carry credentials (``carries_credentials``), only towards the hosts that the credential is
bound to, and only for the phases that may use it. Other headers are left out on purpose: servers repeat some of them in their answer
(``Origin``, ``Access-Control-Request-Headers``, ``Idempotency-Key``), which would hand the value to the agent. A stand-in anywhere else is
misplaced: the caller refuses such a request, and records it.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

from orchestrator.model.network import Phase

Headers = Sequence[tuple[str, str]]  # in their order; bytes above 0x7f as the latin-1 characters of the same number

# What tells the kind of a key, and is known to everybody. The longest that fits is kept.
PREFIXES: tuple[str, ...] = (
    "sk-ant-api03-", "sk-ant-oat01-", "sk-ant-ort01-", "sk-ant-admin01-", "sk-ant-sid01-", "sk-ant-",  # Anthropic
    "sk-proj-", "sk-svcacct-", "sk-admin-", "sk-or-v1-", "sk-", "sess-",  # OpenAI, OpenRouter, those that follow them
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_",  # GitHub
    "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glsoat-", "glft-", "glagent-",  # GitLab
    "AIza", "AQ.", "ya29.",  # Google
    "npm_", "pypi-", "hf_", "dckr_pat_",
    "xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xapp-", "xoxe.xoxp-", "xoxe-",  # Slack
    "AKIA", "ASIA", "gsk_", "xai-", "csk-", "pplx-", "tvly-", "nvapi-", "tgp_v1_", "fw_", "r8_", "lin_api_", "sntrys_", "sntryu_", "ntn_",
    "sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_", "dop_v1_", "hvs.", "ATATT3x", "SG.", "figd_", "shpat_",
)  # fmt: skip

SHORTEST = 16  # characters; a shorter stand-in might turn up by chance
ENTROPY_BITS = 64.0  # of a stand-in beyond its fixed parts; with less, by chance again
LONGEST_RUN = 6  # characters that value and stand-in may share in one run
OBVIOUS = "aienv-stand-in-"
_TRIES = 64

_LOWER, _UPPER, _DIGITS = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*", re.ASCII)


def prefix_of(value: str) -> str:
    """The well-known beginning of ``value``, or an empty text."""
    return max((prefix for prefix in PREFIXES if value.startswith(prefix)), key=len, default="")


def looks_like_value(text: str) -> bool:
    """Whether ``text`` looks like a credential itself where the name or the place of one was expected."""
    prefix = prefix_of(text)
    rest = text[len(prefix) :]
    if _JWT.match(text):
        return True
    if set(prefix) & set("-."):
        return len(rest) >= SHORTEST
    # npm_config_userconfig is a name, npm_4Xk9... is not
    return bool(prefix) and any(re.search("[0-9]", run) for run in re.findall(f"[A-Za-z0-9]{{{SHORTEST},}}", rest))


def make_stand_in(value: str, chance: Callable[[int], bytes]) -> str:
    """A stand-in for ``value``. ``chance(n)`` gives n unpredictable bytes, as ``os.urandom`` does.

    Values that are too short or too uniform get a longer one that says what it is.
    """
    kept = _kept(value)
    alphabets = _alphabets(value, kept)
    bits = sum(math.log2(len(letters)) for letters in alphabets if letters)
    if len(value) >= SHORTEST and bits >= ENTROPY_BITS:
        for _ in range(_TRIES):
            made = "".join(_pick(letters, chance) if letters else char for char, letters in zip(value, alphabets, strict=True))
            if not _shares_run(value, made, kept):
                return made
    return OBVIOUS + "".join(_pick(_LOWER + _DIGITS, chance) for _ in range(24))


def _kept(value: str) -> frozenset[int]:
    """The places that stay as they are because they say only what kind of value it is: a prefix; dots and beginnings of a JWT."""
    if _JWT.fullmatch(value):
        second = value.index(".") + 1
        return frozenset([*range(3), *range(second - 1, second + 3), value.index(".", second)])
    return frozenset(range(len(prefix_of(value))))


def _alphabets(value: str, kept: frozenset[int]) -> list[str]:
    """For each place the characters that may stand there; an empty text keeps what there is."""
    body = "".join(char for place, char in enumerate(value) if place not in kept and char.isalnum())
    few = re.fullmatch("[0-9a-f]*", body), re.fullmatch("[0-9A-F]*", body)
    lower, upper = (_LOWER[:6], _UPPER) if few[0] else (_LOWER, _UPPER[:6]) if few[1] else (_LOWER, _UPPER)
    return ["" if place in kept else _alphabet(char, lower, upper) for place, char in enumerate(value)]


def _alphabet(char: str, lower: str, upper: str) -> str:
    return lower if char in _LOWER else upper if char in _UPPER else _DIGITS if char in _DIGITS else ""


def _pick(letters: str, chance: Callable[[int], bytes]) -> str:
    return letters[int.from_bytes(chance(4), "big") % len(letters)]  # the bias of a modulus of 2**32 does not matter here


def _shares_run(value: str, made: str, kept: frozenset[int]) -> bool:
    """Whether a run of ``made`` that is not all kept stands in ``value`` too."""
    runs = (place for place in range(len(made) - LONGEST_RUN) if not kept.issuperset(range(place, place + LONGEST_RUN + 1)))
    return made == value or any(made[place : place + LONGEST_RUN + 1] in value for place in runs)


@dataclass(frozen=True, slots=True)
class BoundSecret:
    """A credential as the broker holds it. ``hosts``: as in ``SecretPlan``; without a port, 443. Neither value shows in a ``repr``."""

    name: str
    stand_in: str = field(repr=False)
    value: str = field(repr=False)
    hosts: tuple[str, ...]
    phases: tuple[Phase, ...]

    def goes_to(self, host: str, port: int, phase: Phase) -> bool:
        """Whether the real value may go there; ``host`` canonical."""
        return phase in self.phases and any(covers(bound, host, port) for bound in self.hosts)


def covers(bound: str, host: str, port: int) -> bool:
    """Whether ``bound`` (``host``, ``host:port``, ``*.host``, ``[v6]:port``) means this place; ``*`` is one label or more."""
    name, bound_port = split_bound(bound)
    host = host.removeprefix("[").removesuffix("]")
    if port != bound_port:
        return False
    return host.endswith(name[1:]) and len(host) > len(name) - 1 if name.startswith("*.") else host == name


def split_bound(bound: str) -> tuple[str, int]:
    """``host:port`` in two; 443 when there is no port. An IPv6 address stands in brackets when it has one."""
    name, colon, port = bound.rpartition(":")
    if not colon or (":" in name and not name.startswith("[")):
        return bound.removeprefix("[").removesuffix("]"), 443
    return (name.removeprefix("[").removesuffix("]"), int(port)) if port.isdecimal() else (bound.removeprefix("[").removesuffix("]"), 443)


@dataclass(frozen=True, slots=True)
class SwapResult:
    """``headers``: with real values, unless something is misplaced: then as they came. ``used``, ``misplaced``: names of secrets.

    ``reason``: why something is misplaced, for people; holds no value. ``encoded``: what was written in base64, and what stood there.
    """

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    used: tuple[str, ...]
    misplaced: tuple[str, ...]
    reason: str = ""
    encoded: tuple[tuple[str, str], ...] = field(default=(), repr=False)


# A header carries credentials when its name ends so (after nothing, or after a dash). The rest never gets a real value.
_ENDINGS = (
    "authorization", "authentication", "auth", "cookie", "token", "api-key", "apikey", "api-token", "auth-key", "access-key", "secret",
    "secret-key", "private-key", "subscription-key", "application-key", "app-key", "license-key", "password", "credential", "credentials",
)  # fmt: skip
# Servers repeat these, or they are not the client's own: hop-by-hop, or made by the browser's rules.
_NEVER = re.compile(r"^(access-control-|proxy-|sec-|set-|x-forwarded-)|csrf|xsrf|idempot|correlation|continuation|request-token")


def carries_credentials(header: str) -> bool:
    """Whether a real value may be written into a header of this name."""
    name = header.lower()
    return not _NEVER.search(name) and any(name == ending or name.endswith("-" + ending) for ending in _ENDINGS)


class Swapper:
    """Puts real values in the place of stand-ins, and finds stand-ins that are where they do not belong."""

    def __init__(self, secrets: Iterable[BoundSecret]) -> None:
        self._secrets = tuple(secrets)
        self._needles = [(secret, _forms(secret.stand_in)) for secret in self._secrets]
        self._answers = {secret.value: secret.stand_in for secret in self._secrets}

    def swap(self, headers: Headers, host: str, port: int, phase: Phase) -> SwapResult:
        """The headers of one request for ``host`` (canonical) as they may go there."""
        came = tuple(headers)
        if not self._found("\n".join(f"{name}\n{value}" for name, value in came).encode("latin-1", "replace")):
            return SwapResult(came, (), ())
        used: dict[str, None] = {}
        misplaced: dict[str, str] = {}
        encoded: dict[str, str] = {}
        swapped = []
        for name, value in came:
            found = self._found(f"{name}\n{value}".encode("latin-1", "replace"))
            allowed = [one for one in found if one.goes_to(host, port, phase) and carries_credentials(name)]
            table = {one.stand_in: one.value for one in allowed}
            swapped.append((name, rewrite(value, table)))
            encoded.update((new, token) for token in _BASE64.findall(value) if (new := _inside(token, table)) != token)
            used.update(dict.fromkeys(one.name for one in allowed))
            # What the real values themselves look like is no matter of ours, so they are left out when looking for leftovers.
            rest = rewrite(value, dict.fromkeys(table, ""))
            for one in self._found(f"{name}\n{rest}".encode("latin-1", "replace")):
                misplaced.setdefault(one.name, _why(one, name, host, port, phase))
        if misplaced:
            return SwapResult(came, (), tuple(misplaced), "; ".join(misplaced.values()))
        return SwapResult(tuple(swapped), tuple(used), (), encoded=tuple(encoded.items()))

    def misplaced_in(self, data: bytes) -> tuple[str, ...]:
        """Names of the secrets whose stand-in stands in ``data`` (a request target, say): as it is, percent-encoded, in base64 or hex."""
        return tuple(dict.fromkeys(secret.name for secret in self._found(data)))

    def scrub(self, headers: Headers) -> tuple[tuple[str, str], ...]:
        """The headers of an answer with stand-ins in the place of real values: some services repeat what they were sent."""
        return tuple((name, rewrite(value, self._answers)) for name, value in headers)

    def _found(self, data: bytes) -> list[BoundSecret]:
        texts = [data]
        if b"%" in data:
            texts.append(unquote_to_bytes(data))
            texts.append(unquote_to_bytes(texts[-1]))
        return [secret for secret, forms in self._needles if any(form in text for text in texts for form in forms)]


def _why(secret: BoundSecret, header: str, host: str, port: int, phase: Phase) -> str:
    if not any(covers(bound, host, port) for bound in secret.hosts):
        return f"{secret.name} is not bound to {host}:{port}"
    if phase not in secret.phases:
        return f"{secret.name} is not for the phase {phase!r}"
    if not carries_credentials(header):
        return f"{secret.name} stands in a header that carries no credentials"
    return f"{secret.name} stands in a header in a form that is not understood"


class Scrubber:
    """Takes real values out of the body of an answer, piece by piece, without changing its length.

    For bodies that are not compressed. It holds back only what may be the beginning of a value, so that events arrive when they are sent.
    ``encoded``: further texts that hold a value, and what to put there (``SwapResult.encoded``): who repeats ``Basic ...`` repeats it.
    """

    SHORTEST = 8  # bytes; shorter values would be found where they are not

    def __init__(self, secrets: Iterable[BoundSecret], encoded: Iterable[tuple[str, str]] = ()) -> None:
        texts = [(one.value, one.stand_in) for one in secrets if len(one.value) >= self.SHORTEST]
        texts += encoded
        pairs = [(form(value).encode(), form(made).encode()) for value, made in texts for form in _REPEATED]
        pairs.sort(key=lambda pair: -len(pair[0]))  # of two values of which one begins as the other, the longer first
        self._table = {value: made if len(made) == len(value) else b"*" * len(value) for value, made in pairs}
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What may be passed on now."""
        clean = self._held + data
        for value, made in self._table.items():
            clean = clean.replace(value, made)
        kept = max((_overlap(clean, value) for value in self._table), default=0)
        self._held = clean[len(clean) - kept :]
        return clean[: len(clean) - kept]

    def finish(self) -> bytes:
        """What was held back: the body ended, so it was no value."""
        held, self._held = self._held, b""
        return held


def _overlap(data: bytes, value: bytes) -> int:
    """The length of the longest end of ``data`` that is a beginning of ``value``, but not all of it."""
    return next((size for size in range(min(len(value) - 1, len(data)), 0, -1) if data.endswith(value[:size])), 0)


def rewrite(text: str, table: Mapping[str, str]) -> str:
    """``text`` with the keys of ``table`` replaced: as they are, percent-encoded, and inside base64 (``Basic``, and others)."""
    return _replaced(_BASE64.sub(lambda token: _inside(token[0], table), text), table) if table else text


def _replaced(text: str, table: Mapping[str, str]) -> str:
    for key, value in table.items():
        text = text.replace(key, value)
        if "%" in text:
            text = _percent_form(key).sub(quote(value, safe=""), text)
    return text


_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}", re.ASCII)
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
# How services write a text into what they answer: as it is, in addresses and forms, in JSON of two manners, in HTML.
_REPEATED: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    lambda text: quote(text, safe=""),
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    lambda text: text.translate(_HTML),
)


def _inside(token: str, table: Mapping[str, str]) -> str:
    """``token`` decoded, rewritten and encoded in the same manner; as it was when there is nothing to rewrite."""
    bare = token.rstrip("=")
    manner = b"-_" if re.search("[-_]", bare) else b"+/"
    try:
        decoded = base64.b64decode(bare + "=" * (-len(bare) % 4), manner, validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return token
    changed = _replaced(decoded, table)
    if changed == decoded:
        return token
    encoded = base64.b64encode(changed.encode("latin-1"), manner).decode("ascii")
    return encoded if token.endswith("=") or len(bare) % 4 == 0 else encoded.rstrip("=")


def _percent_form(key: str) -> re.Pattern[str]:
    return re.compile("".join(f"(?:{re.escape(char)}|%{ord(char):02x}|%{ord(char):02X})" for char in key))


def _forms(stand_in: str) -> set[bytes]:
    """What ``stand_in`` looks like in the middle of other text: as it is, in hex, in base64 at each of the three alignments."""
    raw = stand_in.encode("latin-1")
    forms = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        whole = (before + len(raw)) * 8 // 6  # characters that depend on nothing behind it
        for manner in (b"+/", b"-_"):
            forms.add(base64.b64encode(b"\0" * before + raw, manner)[skipped:whole])
    return forms
