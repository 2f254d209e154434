"""Dockerfiles: what is sent has one reading, names no image but by its id, and lets the engine fetch nothing."""

# ruff: noqa: E501 - a row of a table stays one line

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.calls import Denied
from orchestrator.guard.dockerfile import Judged, images_of, judge_dockerfile, judge_triggers, rewrite
from orchestrator.guard.dockerlines import MAX_LINE, parse, plain_line
from orchestrator.guard.dockervars import expand
from tests.unit.guard.imagesession import denied

ALLOWED = {"debian:12": "sha256:" + "1" * 64, "own": "2" * 64, "postgres": "3" * 64}
DEBIAN, OWN, POSTGRES = "1" * 64, "2" * 64, "3" * 64


def judged(text: str, arguments: dict[str, str] | None = None, target: str = "") -> Judged:
    return judge_dockerfile(text.encode(), arguments or {}, target, ALLOWED.get)


def sent(text: str, arguments: dict[str, str] | None = None, target: str = "") -> str:
    return judged(text, arguments, target).text.decode()


def refusal(text: str, arguments: dict[str, str] | None = None, target: str = "") -> str:
    with pytest.raises(Denied) as caught:
        judged(text, arguments, target)
    return denied(caught)


BASE = "FROM debian:12\n"
FROM = f"FROM {DEBIAN}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("from debian:12", FROM, id="lower-case"),
        pytest.param("\ufeffFROM debian:12\r\nRUN a \\\r\n  b\r\n", FROM + "RUN a   b\n", id="windows"),
        pytest.param("# syntax=docker/dockerfile:1.7\n# a comment\n\nFROM debian:12", FROM, id="official-syntax"),
        pytest.param("FROM --platform=$BUILDPLATFORM debian:12", FROM, id="platform"),
        pytest.param("FROM scratch\nCOPY a /", 'FROM scratch\nCOPY ["a", "/"]\n', id="scratch"),
        pytest.param("ARG V=12\nFROM debian:$V", f"ARG V=12\n{FROM}", id="arg"),
        pytest.param("ARG V\nFROM debian:${V:-12}", f"ARG V\n{FROM}", id="default"),
        pytest.param(
            "ARG A=deb B='ian:12'\nARG C=\"${A}$B\"\nFROM ${C}", f"ARG A=deb B='ian:12'\nARG C=\"${{A}}$B\"\n{FROM}", id="args-of-args"
        ),
        pytest.param("ARG V=12\nFROM debian:${V:+12}", f"ARG V=12\n{FROM}", id="if-set"),
        pytest.param("FROM debian:12 AS Web\nFROM web", f"FROM {DEBIAN} AS web\nFROM web\n", id="stage"),
        pytest.param("FROM debian:12 AS own\nFROM own", f"FROM {DEBIAN} AS own\nFROM own\n", id="stage-with-the-name-of-an-image"),
        pytest.param("FROM own\nFROM debian:12 AS own", f"FROM {OWN}\nFROM {DEBIAN} AS own\n", id="image-with-the-name-of-a-later-stage"),
        pytest.param(
            "FROM debian:12 AS own\nCOPY --from=own /a /b", f'FROM {DEBIAN} AS own\nCOPY --from={OWN} ["/a", "/b"]\n', id="the-stage-itself"
        ),
        pytest.param(
            "FROM debian:12 AS a\nFROM own\nCOPY --from=A /a /b",
            f'FROM {DEBIAN} AS a\nFROM {OWN}\nCOPY --from=a ["/a", "/b"]\n',
            id="from-stage",
        ),
        pytest.param("FROM debian:12\nFROM own\nCOPY --from=00 /a /b", f'{FROM}FROM {OWN}\nCOPY --from=0 ["/a", "/b"]\n', id="from-number"),
        pytest.param(
            BASE + "COPY --from=postgres --chown=1:$G /a /b", FROM + f'COPY --from={POSTGRES} --chown=1:$G ["/a", "/b"]\n', id="from-image"
        ),
        pytest.param(BASE + 'COPY ["a b", "c", "/d/"]', FROM + 'COPY ["a b", "c", "/d/"]\n', id="json"),
        pytest.param(BASE + "ADD a.tar.gz /", FROM + 'ADD ["a.tar.gz", "/"]\n', id="add"),
        pytest.param(BASE + "ADD $X/a 'b' /", FROM + 'ADD ["./$X/a", "./\'b\'", "/"]\n', id="add-variable"),
        pytest.param(BASE + "ADD ./$X /$Y /", FROM + 'ADD ["./$X", "/$Y", "/"]\n', id="add-variable-below"),
        pytest.param(BASE + "RUN a \\\n# c\n   # d\n\n && b", FROM + "RUN a  && b\n", id="comments-within"),
        pytest.param(BASE + "RUN a \\  \n && b \\", FROM + "RUN a  && b\n", id="ends-in-a-continuation"),
        pytest.param("# escape=`\nFROM debian:12\nRUN dir c:\\\nRUN a `\n b", f"# escape=`\n{FROM}RUN dir c:\\\nRUN a  b\n", id="escape"),
        pytest.param("# c\n# escape=`\nFROM debian:12\nRUN a \\\nb", FROM + "RUN a b\n", id="escape-after-a-comment"),
        pytest.param(BASE + "RUN echo $((1 << 2)) <<<x", FROM + "RUN echo $((1 << 2)) <<<x\n", id="shifts"),
        pytest.param(
            BASE + 'RUN ["a", "b"]\nCMD a\nHEALTHCHECK --interval=5s CMD x',
            FROM + 'RUN ["a", "b"]\nCMD a\nHEALTHCHECK --interval=5s CMD x\n',
            id="others",
        ),
        pytest.param(BASE + "ONBUILD ADD $X /y", FROM + 'ONBUILD ADD ["./$X", "/y"]\n', id="onbuild-add"),
        pytest.param(BASE + "onbuild run make", FROM + "ONBUILD RUN make\n", id="onbuild"),
        pytest.param(BASE + "LABEL a=b\nENV A=é\u00a0", FROM + "LABEL a=b\nENV A=é\n", id="label"),
        pytest.param(BASE + "RUN printf '\x1b[0m'", FROM + "RUN printf '\x1b[0m'\n", id="terminal"),
    ],
)
def test_sent(text: str, expected: str) -> None:
    """One instruction on a line, images by id; and it is a Dockerfile that says the same again."""
    assert sent(text) == expected


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        pytest.param("FROM redis", "image.not-allowed", id="foreign"),
        pytest.param("ARG V=12\nFROM redis:$V", "image.not-allowed", id="foreign-by-arg"),
        pytest.param("FROM debian:12 AS a\nFROM b AS c", "image.not-allowed", id="foreign-second"),
        pytest.param(BASE + "COPY --from=redis / /x", "image.not-allowed", id="copy-from"),
        pytest.param("FROM debian:12 AS a\nCOPY --from=a / /x", "image.not-allowed", id="copy-from-itself"),
        pytest.param("FROM debian:12\nCOPY --from=b / /x\nFROM own AS b", "image.not-allowed", id="copy-from-a-later-stage"),
        pytest.param("# comment\nFROM ${X:-redis}", "image.not-allowed", id="default"),
        pytest.param("FROM sha256:" + "9" * 64, "image.not-allowed", id="id"),
        pytest.param(BASE + "COPY --from=$X / /x", "build.flag", id="copy-from-variable"),
        pytest.param(BASE + "COPY --from= / /x", "build.flag", id="copy-from-nothing"),
        pytest.param(BASE + "COPY --from / /x", "build.flag", id="copy-from-without-value"),
        pytest.param(BASE + 'COPY --from="redis" / /x', "build.flag", id="copy-from-quoted"),
        pytest.param(BASE + "COPY --from=own --from=redis / /x", "build.flag", id="copy-from-twice"),
        pytest.param(BASE + "COPY --FROM=redis / /x", "build.flag", id="copy-from-upper"),
        pytest.param(BASE + "COPY --from=scratch / /x", "build.flag", id="copy-from-scratch"),
        pytest.param(BASE + "COPY --from=0 / /x", "build.dockerfile", id="copy-from-this-number"),
        pytest.param(BASE + "COPY --from=-1 / /x", "image.not-allowed", id="copy-from-negative"),
        pytest.param(BASE + "COPY -- a b", "build.flag", id="double-dash"),
        pytest.param(BASE + "ADD http://x/y /z", "build.add-url", id="url"),
        pytest.param(BASE + "ADD a HTTPS://x/y /z", "build.add-url", id="url-second"),
        pytest.param(BASE + 'ADD ["http://x/y", "/z"]', "build.add-url", id="url-json"),
        pytest.param(BASE + 'ADD "http://x/y" /z', "build.add-url", id="url-quoted"),
        pytest.param(BASE + "ADD \\\nhttp://x/y /z", "build.add-url", id="url-continued"),
        pytest.param(BASE + "ADD git@example.org:a/b.git /z", "build.add-url", id="git"),
        pytest.param(BASE + "ADD a/b.git /z", "build.add-url", id="git-suffix"),
        pytest.param(BASE + "ONBUILD ADD http://x /y", "build.add-url", id="onbuild-url"),
        pytest.param(BASE + 'ADD ["http://x/y","/z"] more', "build.dockerfile", id="json-and-more"),
        pytest.param(BASE + "COPY [a] /z", "build.dockerfile", id="half-a-json"),
        pytest.param(BASE + "RUN --mount=type=bind,from=redis,target=/x ls", "build.buildkit", id="mount"),
        pytest.param(BASE + "RUN --network=host x", "build.buildkit", id="network"),
        pytest.param(BASE + "RUN --security=insecure x", "build.buildkit", id="security"),
        pytest.param(BASE + "RUN \u00a0--mount=type=bind x", "build.buildkit", id="mount-after-an-odd-blank"),
        pytest.param(BASE + "RUN --x y", "build.flag", id="unknown-flag"),
        pytest.param(BASE + "RUN cat <<EOF\nFROM redis\nEOF", "build.heredoc", id="heredoc"),
        pytest.param(BASE + "COPY <<-'EOF' /x\nEOF", "build.heredoc", id="heredoc-copy"),
        pytest.param(BASE + 'COPY ["<<EOF", "/x"]', "build.heredoc", id="heredoc-json"),
        pytest.param(BASE + "ONBUILD RUN 3<<EOF cat", "build.heredoc", id="heredoc-onbuild"),
        pytest.param("# syntax=evil/frontend\nFROM debian:12", "build.syntax", id="syntax"),
        pytest.param("#escape=`\n#SYNTAX = docker.io/docker/dockerfile-upstream:x\nFROM debian:12", "build.syntax", id="syntax-second"),
        pytest.param("# escape=`\n# escape=\\\nFROM debian:12", "build.dockerfile", id="escape-twice"),
        pytest.param("# escape=x\nFROM debian:12", "build.dockerfile", id="escape-odd"),
        pytest.param(BASE + "RUN a \\\\\nFROM redis", "build.dockerfile", id="two-escapes"),
        pytest.param(BASE + "RUN a \\\\\\\n\nFROM own", "build.dockerfile", id="three-escapes"),
        pytest.param(BASE + "RUN a\rFROM redis", "build.dockerfile", id="carriage-return"),
        pytest.param(BASE + "RUN a\x0bFROM redis", "build.dockerfile", id="vertical-tab"),
        pytest.param(BASE + "RUN a\u2028FROM redis", "build.dockerfile", id="line-separator"),
        pytest.param(BASE + "RUN a\x00", "build.dockerfile", id="nul"),
        pytest.param(BASE + "ONBUILD ONBUILD RUN x", "build.onbuild", id="onbuild-onbuild"),
        pytest.param(BASE + "ONBUILD FROM redis", "build.onbuild", id="onbuild-from"),
        pytest.param(BASE + "ONBUILD COPY --from=redis / /x", "build.onbuild", id="onbuild-copy"),
        pytest.param(BASE + "ONBUILD COPY --from=0 / /x", "build.onbuild", id="onbuild-copy-stage"),
        pytest.param(BASE + "ONBUILD RUN --mount=type=bind,from=redis x", "build.buildkit", id="onbuild-mount"),
        pytest.param(BASE + "ONBUILD", "build.instruction", id="onbuild-nothing"),
        pytest.param(BASE + "LABEL dev.aienv.run=x", "labels.reserved", id="label"),
        pytest.param(BASE + "FETCH http://x", "build.instruction", id="unknown"),
        pytest.param(BASE + "ADD\u0130 a b", "build.instruction", id="folded"),
        pytest.param("RUN x\nFROM debian:12", "build.dockerfile", id="before-from"),
        pytest.param("ARG A=1", "build.dockerfile", id="no-from"),
        pytest.param("", "build.dockerfile", id="empty"),
        pytest.param("FROM debian:12 AS a\nFROM own AS A", "build.dockerfile", id="stage-twice"),
        pytest.param("FROM debian:12 AS 0", "build.dockerfile", id="stage-number"),
        pytest.param("FROM debian:12 AS scratch", "build.dockerfile", id="stage-scratch"),
        pytest.param("FROM debian:12 own", "build.dockerfile", id="from-two"),
        pytest.param("FROM ${X", "build.substitution", id="open-brace"),
        pytest.param("FROM ${X%y}", "build.substitution", id="newer-substitution"),
        pytest.param("FROM ${X:?no}", "build.substitution", id="needs"),
        pytest.param("FROM " + "$A" * 5000, "build.substitution", id="long"),
        pytest.param("FROM " + "${A:-" * 20 + "}" * 20, "build.substitution", id="deep"),
        pytest.param(BASE + "RUN " + "x" * MAX_LINE, "build.dockerfile-large", id="long-line"),
        pytest.param(BASE + "COPY " + "é " * (MAX_LINE // 4) + "/", "build.dockerfile-large", id="long-as-json"),
        pytest.param(BASE * 65, "build.dockerfile-large", id="stages"),
        pytest.param(BASE + "RUN x\n" * 2000, "build.dockerfile-large", id="instructions"),
        pytest.param("#" * 300_000, "build.dockerfile-large", id="large"),
    ],
)
def test_refused(text: str, rule: str) -> None:
    assert refusal(text) == rule


def test_not_utf8() -> None:
    with pytest.raises(Denied):
        judge_dockerfile(b"FROM debian:12\nRUN \xff", {}, "", ALLOWED.get)


def test_build_arguments_win() -> None:
    """Only over what ARG declares."""
    assert judged("ARG B=redis\nFROM $B", {"B": "own"}).images == ("sha256:" + OWN,)
    assert judged("ARG B\nFROM $B", {"B": "own"}).images == ("sha256:" + OWN,)
    assert refusal("ARG B=debian:12\nFROM $B", {"B": "redis"}) == "image.not-allowed"
    assert refusal("FROM $B", {"B": "own"}) == "image.not-allowed"


def test_target() -> None:
    """What comes after the target is not built, and so not judged as an image; but there must be such a stage."""
    text = "FROM debian:12 AS A\nRUN x\nFROM redis AS b\nCOPY --from=a / /"
    assert sent(text, target="a") == f"FROM {DEBIAN} AS a\nRUN x\n"
    assert sent(text, target="0") == f"FROM {DEBIAN} AS a\nRUN x\n"
    assert refusal(text, target="b") == "image.not-allowed"
    assert refusal(text, target="c") == refusal(text, target="2") == "build.target"
    assert refusal("FROM debian:12 AS a\nRUN cat <<EOF", target="a") == "build.heredoc"


def test_images() -> None:
    """As named after substitution, for a pull before the build; and once each."""
    text = b"ARG V=12\nFROM debian:$V AS a\nFROM a\nCOPY --from=redis / /\nCOPY --from=redis /b /\nFROM scratch\n"
    assert images_of(text, {}) == ("debian:12", "redis")
    assert rewrite(text, {"debian:12": DEBIAN, "redis": OWN}).decode().count(OWN) == 2


@pytest.mark.parametrize("trigger", ["RUN make", 'ADD ["./$X", "/y"]', "COPY . /app", "ADD a.tar /", "ENV A=1", 'add ["/$X", "/y"]'])
def test_triggers(trigger: str) -> None:
    """What an image's own ONBUILD may say."""
    judge_triggers([trigger])


@pytest.mark.parametrize(
    "trigger",
    ["COPY --from=redis / /x", "ADD http://x /y", "ADD $X /y", 'ADD "$X" /y', 'ADD ["$X", "/y"]', 'ADD ["http://x","/y"] z', "FROM redis", "ONBUILD RUN x",
     "RUN a\nCOPY --from=redis / /", "# escape=`\nRUN x", "RUN --mount=from=redis x", "COPY <<EOF /x", "", "RUN \ud800"],
)  # fmt: skip
def test_triggers_that_are_refused(trigger: str) -> None:
    with pytest.raises(Denied):
        judge_triggers(["RUN make", trigger])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a$B", "ab"), ("${B}c", "bc"), ("'$B'", "$B"), ('"$B x"', "b x"), ("\\$B", "$B"), ("${C:-$B}", "b"), ("${E-x}", ""), ("${E:-x}", "x"), ("${E+x}", "x"),
     ("${E:+x}", ""), ("${C+x}", ""), ("${B:+${B}${B}}", "bb"), ("$C", ""), ('"\\"\\x"', '"\\x')],
)  # fmt: skip
def test_expand(text: str, expected: str) -> None:
    assert expand(text, {"B": "b", "E": ""}, "\\") == expected


PIECES = st.sampled_from([
    "FROM ", "debian:12", "redis", " AS ", "a", "\n", "\\", "`", "\\\n", "# escape=`\n", "# c\n", "ADD ", "http://x", "$", "${A:-", "}", "COPY ", "--from=", "0",
    '["', '", "', '"]', "RUN ", "<<EOF", "ONBUILD ", "ARG ", "A=", "'", '"', " ", "\t", "\r\n", "\u00a0", "scratch", "own", "LABEL x=",
])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_what_is_sent_says_the_same_again(text: str) -> None:
    """Our own form is read back as it was written, and holds no name of an image, no address for ADD and no second reading."""
    try:
        found = judged(BASE + text)
    except Denied:
        return
    again = parse(found.text)
    assert "".join(f"{plain_line(one)}\n" for one in again.instructions) == found.text.decode().removeprefix("# escape=`\n")
    stages: set[str] = set()
    for one in again.instructions:
        if one.word == "FROM":
            assert one.rest.split()[0] in {DEBIAN, OWN, "scratch"} | stages
            stages.add(one.rest.split()[-1])
        if one.word == "ADD":
            assert not any(source.lower().startswith(("http", "$", '"', "'", "\\")) for source in json.loads(one.rest)[:-1])
    kept = {DEBIAN: DEBIAN, OWN: OWN}
    assert judge_dockerfile(found.text, {}, "", kept.get).text == found.text
