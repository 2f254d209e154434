"""Which image a Dockerfile stands on; the facts are those of the reference's own table."""

# ruff: noqa: E501 - a row of a table stays one line

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.stages import base_image, platform_arguments

CLOUD = "ARG cloud\nFROM {}azure-cli:latest{}\n"


@pytest.mark.parametrize(
    ("text", "arguments", "target", "image"),
    [
        pytest.param("FROM image1\nUSER user1\n", {}, None, "image1", id="simple"),
        pytest.param('ARG B="image2"\nFROM ${B}\nARG U=u\nUSER $U\n', {}, None, "image2", id="argument"),
        pytest.param('ARG B="image2"\nFROM ${B}\n', {"B": "image3"}, None, "image3", id="argument given"),
        pytest.param("FROM image1 as stage1\nFROM stage3 as stage2\nFROM image3 as stage3\nFROM image4 as stage4\n", {}, "stage2", "image3",
                     id="several stages"),
        pytest.param('\nARG B="ubuntu:latest"\n\nFROM "${B}"\n', {}, None, "ubuntu:latest", id="quoted"),
        pytest.param(CLOUD.format("${cloud:+mcr.microsoft.com/}", ""), {"cloud": "true"}, None, "mcr.microsoft.com/azure-cli:latest", id="plus, set"),
        pytest.param(CLOUD.format("${cloud:+mcr.microsoft.com/}", ""), {}, None, "azure-cli:latest", id="plus, not set"),
        pytest.param(CLOUD.format("${cloud:-mcr.microsoft.com/}", ""), {"cloud": "ghcr.io/"}, None, "ghcr.io/azure-cli:latest", id="minus, set"),
        pytest.param(CLOUD.format("${cloud:-mcr.microsoft.com/}", ""), {}, None, "mcr.microsoft.com/azure-cli:latest", id="minus, not set"),
        pytest.param(CLOUD.format('"${cloud:+"mcr.microsoft.com/"}', '"'), {"cloud": "true"}, None, "mcr.microsoft.com/azure-cli:latest",
                     id="plus, quoted"),
        pytest.param(CLOUD.format('"${cloud:+"mcr.microsoft.com/"}', '"'), {}, None, "azure-cli:latest", id="plus, quoted, not set"),
        pytest.param(CLOUD.format('${cloud:-"mcr.microsoft.com/"}', " as label"), {}, None, "mcr.microsoft.com/azure-cli:latest",
                     id="minus, quoted, with a name"),
        pytest.param("FROM --platform=$BUILDPLATFORM base:$TARGETARCH AS x\n", {}, None, "base:arm64", id="platform"),
        pytest.param("from a\nfrom b\n", {}, None, "b", id="lower case, the last"),
        pytest.param("FROM \\\n  a \\\n# between\n  AS x\nFROM b\n", {}, "x", "a", id="over lines"),
        pytest.param("ARG A=one\nARG B=$A:two\nFROM $B\n", {}, None, "one:two", id="an argument in another"),
        pytest.param("# FROM no\n\t FROM a\nRUN echo FROM b\n", {}, None, "a", id="comment, indent, no instruction"),
        pytest.param("FROM a as a\n", {}, None, None, id="a circle"),
        pytest.param("FROM a as b\nFROM b as a\n", {}, None, None, id="a longer circle"),
        pytest.param("FROM a\n", {}, "none", None, id="no such stage"),
        pytest.param("", {}, None, None, id="empty"),
        pytest.param("FROM scratch\n", {}, None, "scratch", id="scratch"),
    ],
)  # fmt: skip
def test_base(text: str, arguments: dict[str, str], target: str | None, image: str | None) -> None:
    assert base_image(text, arguments, target, platform_arguments("linux", "arm64")) == image


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["FROM ", "ARG ", "a", "=", "$", "{", "}", ":-", '"', "\n", "\\\n", " as ", "b"]), max_size=15).map("".join)
)
def test_any_text(text: str) -> None:
    base_image(text, {"a": "$b", "b": "$a"}, None)


def test_arguments_do_not_grow_without_end() -> None:
    lines = ["ARG a0=" + "x" * 4000, *(f"ARG a{number}=${{a{number - 1}}}${{a{number - 1}}}" for number in range(1, 60)), "FROM $a59"]
    assert len(base_image("\n".join(lines), {}) or "") <= 4096
