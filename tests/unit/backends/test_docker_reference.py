"""Names of images: what registries and engines accept, and what must never reach the engine's API."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.backends.docker_reference import Reference, parse_reference
from orchestrator.errors import EnvironmentFailed

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "repository", "version"),
    [
        ("debian", "debian", "latest"),
        ("debian:12", "debian", "12"),
        ("library/node:22-bookworm-slim", "library/node", "22-bookworm-slim"),
        ("localhost:5000/app", "localhost:5000/app", "latest"),
        ("registry:5000/app:v1", "registry:5000/app", "v1"),
        ("[::1]:5000/app", "[::1]:5000/app", "latest"),
        ("MCR.microsoft.com/devcontainers/base:ubuntu", "MCR.microsoft.com/devcontainers/base", "ubuntu"),
        ("registry.example.org/a/b__c/d--e.f", "registry.example.org/a/b__c/d--e.f", "latest"),
        (f"debian@sha256:{HEX}", "debian", f"sha256:{HEX}"),
        (f"registry.example.org/a/b:1.2@sha256:{HEX}", "registry.example.org/a/b", f"sha256:{HEX}"),
        (f"sha256:{HEX}", f"sha256:{HEX}", None),
        ("aienv/base:e912d3e5551a", "aienv/base", "e912d3e5551a"),
    ],
)
def test_names(text: str, repository: str, version: str | None) -> None:
    """Repository and version; the colon of a port is not the colon of a tag."""
    assert parse_reference(text) == Reference(repository, version)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "a b", "UPPER", "Upper/lower", "a:b:c", "a:", "a@", ":tag", "@sha256:00", "/a", "a/", "a//b", "a/./b", "-a", "a-", "é"),
        *("../../containers/json", "a/../../x", "a?force=1", "a#b", "a%2f..", "a\x00", "a\n", "debian:12\n", "http://x/y", "a;b", "$(x)"),
        *(f"debian@sha256:{HEX}0g", "debian@sha256:12", "sha256:12:34", "x" * 256, "a:" + "t" * 129, "a/" * 300 + "a"),
    ],
)
def test_refused(text: str) -> None:
    """Anything else is refused before an engine hears of it, whole lines and long ones too."""
    with pytest.raises(EnvironmentFailed) as caught:
        parse_reference(text)
    assert caught.value.code == "image-name"
    assert len(caught.value.message) < 400


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab./:@-_A[]%?# \n\x00é", max_size=40))
def test_what_passes_is_safe_in_a_path(text: str) -> None:
    """Whatever passes has no character and no part that means something else in a URL."""
    try:
        found = parse_reference(text)
    except EnvironmentFailed:
        return
    assert re.fullmatch(r"[A-Za-z0-9._:/@\[\]-]+", text)
    assert not {"", ".", ".."} & set(found.repository.split("/"))
