"""What a repository may decide about a setting. Each rule answers with the parts of an ask that nobody granted.

A rule never sees who asks: it compares what the repository asks for with what the user's side has.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from orchestrator.egress.rules import parse_rule

# Variables that steer programs, credentials or our own doors instead of the project; a repository must not set these.
STEERING = re.compile(
    r"LD_.*|DYLD_.*|PATH|HOME|SHELL|IFS|ENV|BASH_ENV|PROMPT_COMMAND|PS4|TMPDIR|XDG_.*|SSH_.*|GIT_.*|DOCKER_.*|COMPOSE_.*|CONTAINER_.*|BUILDKIT_.*"
    r"|PYTHON(PATH|HOME|STARTUP)|NODE_(OPTIONS|PATH|EXTRA_CA_CERTS)|PERL5(LIB|OPT)|RUBY(LIB|OPT)|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS"
    r"|.*_PROXY|.*_(BASE_URL|API_BASE|ENDPOINT|ENDPOINT_URL)|.*_(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)|.*_CA_(BUNDLE|FILE|CERTS?)|SSL_.*"
    r"|AWS_.*|AZURE_.*|GOOGLE_.*|ANTHROPIC_.*|OPENAI_.*|GEMINI_.*|CLAUDE.*|CODEX_.*|OPENCODE.*|QWEN_.*|AIDER_.*",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """``words`` for the manual; ``refused(asked, have)`` gives the parts of ``asked`` that go beyond ``have``.

    A part is the whole value of a plain key, an item of a list, or a (name, value) of a map.
    """

    words: str
    refused: Callable[[object, object], tuple[object, ...]]


def _plain(words: str, allows: Callable[[object, object], bool]) -> Rule:
    return Rule(words, lambda asked, have: () if asked == have or allows(asked, have) else (asked,))


def _items(value: object) -> tuple[object, ...]:
    return cast(tuple[object, ...], value or ())


def at_least(*order: str) -> Rule:
    """A choice as strict as what the user has, or stricter; ``order`` goes from loose to strict."""
    return _plain("stricter only", lambda asked, have: order.index(str(asked)) >= order.index(str(have)))


def same_strictness(rank: dict[str, int]) -> Rule:
    """Like ``at_least``, for choices of which several are equally strict; a higher rank is stricter."""
    return _plain("stricter only", lambda asked, have: rank[str(asked)] >= rank[str(have)])


def host_covers(granted: str, asked: str) -> bool:
    """Whether a granted rule of ``network.allow`` already allows an asked one: the same, or a wildcard over it, with the same ports."""
    if granted == asked:
        return True
    have, want = parse_rule(granted, ""), parse_rule(asked, "")
    same = (have.ports, have.raw) == (want.ports, want.raw) and not have.methods and have.path is None
    below = have.host.startswith("*.") and want.host.removeprefix("*.").endswith(have.host[1:])
    return same and (have.host == want.host or below)


def _ungranted_hosts(asked: object, have: object) -> tuple[object, ...]:
    return tuple(item for item in _items(asked) if not any(host_covers(str(granted), str(item)) for granted in _items(have)))


def _steering_variables(asked: object, have: object) -> tuple[object, ...]:
    pairs = cast(tuple[tuple[str, str], ...], asked)
    return tuple(pair for pair in pairs if STEERING.fullmatch(pair[0]) and pair not in _items(have))


FREE = Rule("may set", lambda asked, have: ())
NEVER = _plain("may not set", lambda asked, have: False)
ONLY_FALSE = _plain("may only say `false`", lambda asked, have: asked is False)
ONLY_TRUE = _plain("may only say `true`", lambda asked, have: asked is True)
AT_MOST = _plain("lower only", lambda asked, have: have is None or cast(float, asked) <= cast(float, have))  # None: no limit at all
BRANCH = _plain("may set below `aienv/`", lambda asked, have: str(asked).startswith("aienv/"))
GRANTED_ITEMS = Rule("only what you granted", lambda asked, have: tuple(item for item in _items(asked) if item not in _items(have)))
GRANTED_HOSTS = Rule("only what you granted", _ungranted_hosts)
MAY_ADD = Rule("may add", lambda asked, have: ())
PLAIN_VARIABLES = Rule("may add; not such as steer programs or hold credentials", _steering_variables)
