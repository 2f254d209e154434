"""Which Dockerfiles need BuildKit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.devcontainer.images.buildkit import Need, instructions_of, needs_buildkit


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("FROM a\nRUN --mount=type=cache,target=/x true\n", 2, "RUN --mount"),
        ("FROM a\nrun --mount=type=secret,id=x --network=none true\n", 2, "RUN --mount"),
        ("FROM a\nRUN --network=none true\n", 2, "RUN --network"),
        ("FROM a\nRUN --security=insecure true\n", 2, "RUN --security"),
        ("FROM a\nCOPY --link a b\n", 2, "COPY --link"),
        ("FROM a\nCOPY --chown=a --chmod=755 a b\n", 2, "COPY --chmod"),
        ("FROM a\nCOPY --parents a b\n", 2, "COPY --parents"),
        ("FROM a\nADD --checksum=sha256:1 http://x y\n", 2, "ADD --checksum"),
        ("FROM a\nADD https://example.com/x.git#v1 /y\n", 2, "ADD of a git repository"),
        ("FROM a\nADD git@example.com:x/y /y\n", 2, "ADD of a git repository"),
        ("FROM a\nRUN <<EOF\ntrue\nEOF\n", 2, "RUN <<EOF"),
        ("FROM a\nRUN python3 <<'E'\nx\nE\n", 2, "RUN <<E"),
        ("FROM a\nCOPY <<-X /x\n\ta\n\tX\n", 2, "COPY <<X"),
        ("FROM a\nONBUILD RUN --mount=type=cache,target=/x true\n", 2, "ONBUILD"),
        ("FROM --platform=$BUILDPLATFORM a\n", 1, "FROM with BUILDPLATFORM"),
        ("FROM a\nARG TARGETARCH\n", 2, "ARG with TARGETARCH"),
        ("FROM a\nRUN \\\n  # c\n\n  --mount=type=cache,target=/x true\n", 2, "RUN --mount"),
        ("# escape=`\nFROM a\nRUN `\n --mount=type=cache,target=/x true\n", 3, "RUN --mount"),
        ("\ufeffFROM a\r\nRUN --mount=type=cache,target=/x true\r\n", 2, "RUN --mount"),
    ],
)
def test_needed(text: str, line: int, what: str) -> None:
    found = needs_buildkit(text)
    assert found is not None
    assert found.line == line
    assert found.what == what or what == "ONBUILD"
    assert not found.soft


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nRUN true\n",
        "FROM --platform=linux/amd64 a AS b\nCOPY --from=b --chown=x:y a b\nADD --chown=x a b\n",
        "FROM a\nHEALTHCHECK --interval=5s CMD true\n",
        "FROM a\nRUN git --mount x\n",
        "FROM a\nRUN x --mount=type=cache\n",
        "FROM a\nRUN cat <<<word\n",
        "FROM a\nRUN echo $((1<<2))\n",
        "FROM a\nCMD cat <<EOF\n",
        'FROM a\nRUN ["cat", "<<EOF"]\n',
        "FROM a\n# RUN --mount=x\nRUN true\n",
        "FROM a\n# syntax=docker/dockerfile:1\nRUN true\n",
        "FROM a\nARG MY_TARGET\n",
        "",
        "\\\n",
    ],
)
def test_not_needed(text: str) -> None:
    assert needs_buildkit(text) is None


def test_syntax_is_wished_for() -> None:
    assert needs_buildkit("# syntax=docker/dockerfile:1\nFROM a\n") == Need(1, "# syntax=docker/dockerfile:1", soft=True)
    assert needs_buildkit("#escape=\\\n#syntax = x/y\nFROM a\n") == Need(2, "# syntax=x/y", soft=True)
    assert needs_buildkit("# syntax=x/y\nFROM a\nRUN --mount=type=tmpfs true\n") == Need(3, "RUN --mount")


def test_here_documents_are_no_instructions() -> None:
    found = instructions_of("FROM a\nRUN <<A <<B\nCOPY --link x y\nA\nADD z\nB\nUSER x\n")
    assert [(one.line, one.word) for one in found] == [(1, "FROM"), (2, "RUN"), (7, "USER")]


@given(st.text(alphabet=st.sampled_from("FROMRUN <\\`#='\"-\n\t\rEAx$[]"), max_size=200))
def test_any_text_has_an_answer(text: str) -> None:
    needs_buildkit(text)
