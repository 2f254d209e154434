"""Targets, against a lenient reader: only Denied is raised, and what passes is what any server sees, in that one spelling."""

import re
from urllib.parse import parse_qsl, unquote_to_bytes

from orchestrator.guard.calls import Denied
from orchestrator.guard.target import parse_target

SEEDS = (
    b"/v1.41/containers/json?all=1&filters=%7B%7D",
    b"/images/docker.io/library/x:tag/json",
    b"/v1.41/%63ontainers/json",
    b"/containers/../swarm",
    b"/containers/x%2fy/json",
    b"http://docker/v1.41/info",
    b"/build?t=a&t=b;c=d+e%2b",
)
WORDS = (
    b"/v1.41", b"%2e", b"%2f", b"%5c", b"%00", b"//", b"/../", b"/./", b"?", b"#", b";", b"&", b"=", b"+", b"%", b"%c3%bc", b"%ff",
    b"/v1.41.0",
)  # fmt: skip

NEEDS_NONE = frozenset(b"ABCXYZabcxyz0189-._~/")


def one_input(data: bytes) -> None:
    text = data.decode("latin-1")
    refused = None
    try:
        found = parse_target(text)
    except Denied as caught:
        refused = caught.denial
    if refused is not None:
        assert refused.rule.startswith("target.")
        assert refused.message.isprintable()
        return
    path, _, query = text.partition("?")
    plain = unquote_to_bytes(path).decode()
    version = () if found.version is None else (f"v{found.version[0]}.{found.version[1]}",)
    assert tuple(plain.split("/")) == ("", *version, *found.segments)
    assert not {"", ".", ".."} & set(found.segments)
    assert not set("\\\0\n\r;") & set(plain)
    assert not {unquote_to_bytes(escape) for escape in re.findall("%..", path)} & {bytes([code]) for code in NEEDS_NONE}
    assert list(found.query) == parse_qsl(query, keep_blank_values=True)
