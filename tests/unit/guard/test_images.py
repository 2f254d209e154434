"""Which images a session may use, make, name, pull and remove: a row per way of pointing a name elsewhere, and the nearest that passes."""

# ruff: noqa: E501 - a row of a table stays one line

import pytest

from orchestrator.guard.calls import Denied, Object
from orchestrator.guard.images import (
    OwnImages,
    free_tag,
    harmless_changes,
    image_id,
    is_allowed_name,
    judge_commit,
    judge_headers,
    judge_room,
    may_pull,
    may_remove,
    pull_pairs,
)
from orchestrator.model.guard import GuardLimits
from tests.unit.guard.imagesession import BUILT, DEBIAN, FOREIGN, POSTGRES, denied, session

SESSION = session()


def own() -> OwnImages:
    found = OwnImages.of(SESSION.plan)
    found.made(BUILT, ("docker.io/library/app:latest",))
    return found


@pytest.mark.parametrize(
    ("text", "resolved", "expected"),
    [
        pytest.param("debian:12", DEBIAN, DEBIAN, id="allowed"),
        pytest.param("docker.io/library/debian:12", DEBIAN, DEBIAN, id="allowed-in-full"),
        pytest.param("debian:12", FOREIGN, DEBIAN, id="name-was-pointed-elsewhere"),
        pytest.param("debian:12", None, None, id="allowed-and-not-there"),
        pytest.param("debian:13", FOREIGN, None, id="other-tag"),
        pytest.param("debian", FOREIGN, None, id="latest-is-another-tag"),
        pytest.param("evil.example/library/debian:12", FOREIGN, None, id="other-registry"),
        pytest.param("ghcr.io/github/github-mcp-server", FOREIGN, None, id="allowed-and-not-pinned-yet"),
        pytest.param("app", BUILT, BUILT, id="own-tag"),
        pytest.param("app", FOREIGN, BUILT, id="own-tag-was-pointed-elsewhere"),
        pytest.param(DEBIAN, DEBIAN, DEBIAN, id="pinned-id"),
        pytest.param(DEBIAN[7:19], DEBIAN, DEBIAN, id="short-pinned-id"),
        pytest.param(BUILT[7:19], BUILT, BUILT, id="short-own-id"),
        pytest.param(FOREIGN, FOREIGN, None, id="foreign-id"),
        pytest.param(FOREIGN[7:19], FOREIGN, None, id="short-foreign-id"),
        pytest.param("sha256:dd", FOREIGN, None, id="shortest-foreign-id"),
        pytest.param("bbbb", DEBIAN, None, id="a-name-like-an-id-that-is-pinned"),
        pytest.param(f"debian@sha256:{'1' * 64}", DEBIAN, DEBIAN, id="digest-of-the-pinned-image"),
        pytest.param(f"debian@sha256:{'1' * 64}", POSTGRES, None, id="digest-of-another-repository's"),
        pytest.param(f"redis@sha256:{'1' * 64}", DEBIAN, None, id="digest-of-a-foreign-repository"),
        pytest.param("../x", FOREIGN, None, id="no-name"),
    ],
)
def test_image_id(text: str, resolved: str | None, expected: str | None) -> None:
    assert image_id(text, resolved, SESSION, own()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("debian:12", DEBIAN),
        ("app:latest", BUILT),
        (BUILT, BUILT),
        (BUILT[7:], BUILT),
        ("ccc", BUILT),
        ("debian:13", None),
        (FOREIGN, None),
        ("\n", None),
    ],
)
def test_usable(text: str, expected: str | None) -> None:
    """By what is known without the engine: for FROM."""
    assert own().usable(text) == expected


def test_usable_is_one_image() -> None:
    """The beginning of two ids is none."""
    assert OwnImages(ids={"sha256:ab" + "0" * 62, "sha256:ab" + "1" * 62}).usable("sha256:ab") is None


def test_allowed_names() -> None:
    assert is_allowed_name("ghcr.io/github/github-mcp-server", SESSION, own())
    assert is_allowed_name("app", SESSION, own())
    assert not is_allowed_name(DEBIAN, SESSION, own())
    assert not is_allowed_name("debian", SESSION, own())


def test_pinned_once() -> None:
    """A second pull of a name does not change what it means here; and what is pinned does not become the session's own by being built."""
    mine = own()
    mine.pin("docker.io/library/debian:12", FOREIGN)
    mine.made(DEBIAN, ("docker.io/library/mine:latest",))
    assert mine.usable("debian:12") == DEBIAN
    assert DEBIAN not in mine.ids
    with pytest.raises(Denied):
        may_remove(DEBIAN, DEBIAN, SESSION, mine)
    assert may_remove("mine", DEBIAN, SESSION, mine) == "docker.io/library/mine:latest"


@pytest.mark.parametrize(
    ("text", "existing", "rule"),
    [
        pytest.param("debian:12", None, "image.tag-allowed", id="allowed-name"),
        pytest.param("docker.io/debian:12", DEBIAN, "image.tag-allowed", id="allowed-name-in-full"),
        pytest.param("ghcr.io/github/github-mcp-server", None, "image.tag-allowed", id="allowed-and-not-there"),
        pytest.param("redis:7", FOREIGN, "image.tag-taken", id="somebody-else's"),
        pytest.param("aienv/base:1", None, "image.tag-reserved", id="aienv's"),
        pytest.param(f"aienv-devcontainer/features:{'1' * 64}", None, "image.tag-reserved", id="of-dev-containers"),
        pytest.param("index.docker.io/aienv-devcontainer/base:x", None, "image.tag-reserved", id="of-dev-containers-in-full"),
        pytest.param(f"x@sha256:{'1' * 64}", None, "image.name", id="digest"),
        pytest.param("X", None, "image.name", id="no-name"),
        pytest.param(DEBIAN, None, "image.name", id="id"),
        pytest.param("feedbeef0123", None, "image.id-like", id="beginning-of-an-id"),
        pytest.param("feedbeef0123:tag", None, "image.id-like", id="beginning-of-an-id-with-a-tag"),
        pytest.param("sha256:feedbeef", None, "image.id-like", id="algorithm"),
    ],
)
def test_tags_that_are_not_free(text: str, existing: str | None, rule: str) -> None:
    with pytest.raises(Denied) as caught:
        free_tag(text, SESSION, own(), existing)
    assert denied(caught) == rule


@pytest.mark.parametrize(
    ("text", "existing"),
    [
        ("redis:7", None),
        ("debian:13", None),
        ("debian-mine:12", None),
        ("app", BUILT),
        ("app", FOREIGN),
        ("aienvx/a", None),
        ("aienv-devcontainers/a", None),
        ("aienv-devcontainer", None),
        ("feedbeef012", None),
        ("feedbeef0123-web", None),
        ("team/feedbeef0123", None),
    ],
)
def test_free_tags(text: str, existing: str | None) -> None:
    """New names, and the session's own again."""
    assert free_tag(text, SESSION, own(), existing).startswith("docker.io/")


def test_room() -> None:
    small = session(limits=GuardLimits(images=1))
    judge_room(small, OwnImages())
    with pytest.raises(Denied) as caught:
        judge_room(small, own())
    assert denied(caught) == "quota.images"


@pytest.mark.parametrize(
    ("text", "image", "tags", "expected"),
    [
        pytest.param("app", BUILT, (), "docker.io/library/app:latest", id="own-tag"),
        pytest.param(BUILT, BUILT, ("app:latest",), BUILT, id="own-id"),
        pytest.param(BUILT[7:19], BUILT, (), BUILT, id="short-own-id"),
        pytest.param(BUILT, BUILT, ("app:latest", "theirs:1"), None, id="own-id-with-somebody's-name"),
        pytest.param("debian:12", DEBIAN, (), None, id="allowed"),
        pytest.param(DEBIAN, DEBIAN, (), None, id="allowed-by-id"),
        pytest.param("theirs:1", BUILT, (), None, id="somebody's-name-of-an-own-image"),
    ],
)
def test_may_remove(text: str, image: str, tags: tuple[str, ...], expected: str | None) -> None:
    if expected is not None:
        assert may_remove(text, image, SESSION, own(), tags) == expected
        return
    with pytest.raises(Denied) as caught:
        may_remove(text, image, SESSION, own(), tags)
    assert denied(caught) == "image.remove"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param([("fromImage", "debian"), ("tag", "12")], "docker.io/library/debian:12", id="cli"),
        pytest.param([("fromImage", "debian:12")], "docker.io/library/debian:12", id="in-one"),
        pytest.param([("fromImage", "debian:12"), ("tag", "12")], "docker.io/library/debian:12", id="twice-the-same"),
        pytest.param([("fromImage", "docker.io/library/debian"), ("tag", "12"), ("platform", "")], "docker.io/library/debian:12", id="in-full"),
        pytest.param([("fromImage", "ghcr.io/github/github-mcp-server"), ("tag", "")], "ghcr.io/github/github-mcp-server:latest", id="no-tag"),
        pytest.param([("fromImage", "debian"), ("tag", "12"), ("platform", "linux/amd64"), ("fromSrc", "")], "docker.io/library/debian:12", id="platform"),
    ],
)  # fmt: skip
def test_pulls(query: list[tuple[str, str]], expected: str) -> None:
    """One image of the list, its tag written out."""
    reference = may_pull(tuple(query), SESSION)
    assert reference == expected
    assert dict(pull_pairs(reference))["tag"]


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        pytest.param([("fromImage", "debian"), ("tag", "13")], "image.not-allowed", id="other-tag"),
        pytest.param([("fromImage", "debian")], "image.not-allowed", id="all-tags"),
        pytest.param([("fromImage", "debian:12"), ("tag", "13")], "image.name", id="two-tags"),
        pytest.param([("fromImage", "debian"), ("tag", f"sha256:{'1' * 64}")], "image.not-allowed", id="digest-as-tag"),
        pytest.param([("fromImage", "debian:12"), ("tag", f"sha256:{'1' * 64}")], "image.name", id="tag-and-digest"),
        pytest.param([("fromImage", f"debian:12@sha256:{'1' * 64}"), ("tag", f"sha256:{'1' * 64}")], "image.name", id="three"),
        pytest.param([("fromImage", "debian"), ("fromImage", "evil"), ("tag", "12")], "query.duplicate", id="twice"),
        pytest.param([("fromImage", "169.254.169.254:80/x")], "image.not-allowed", id="address"),
        pytest.param([("fromSrc", "-"), ("repo", "debian"), ("tag", "12")], "image.import", id="import"),
        pytest.param([("fromSrc", "http://x/y.tar")], "image.import", id="fetch"),
        pytest.param([("fromImage", "debian"), ("tag", "12"), ("fromSrc", "-")], "image.import", id="both"),
        pytest.param([("fromImage", "debian:12"), ("repo", "x")], "query.value", id="repo"),
        pytest.param([("fromImage", "debian:12"), ("changes", "ENTRYPOINT x")], "query.value", id="changes"),
        pytest.param([("fromImage", "debian:12"), ("platform", "windows/amd64")], "query.value", id="windows"),
        pytest.param([("fromImage", "debian:12"), ("all", "1")], "query.unknown", id="unknown"),
        pytest.param([("fromimage", "debian:12")], "query.unknown", id="case"),
        pytest.param([("fromImage", "http://debian:12")], "image.name", id="scheme"),
        pytest.param([], "image.name", id="nothing"),
        pytest.param([("fromImage", DEBIAN)], "image.name", id="id"),
    ],
)
def test_pulls_that_are_refused(query: list[tuple[str, str]], rule: str) -> None:
    with pytest.raises(Denied) as caught:
        may_pull(tuple(query), SESSION)
    assert denied(caught) == rule


def test_logins_are_dropped() -> None:
    kept, dropped = judge_headers([("X-Registry-Auth", "e30="), ("x-registry-config", "e30="), ("Accept", "*/*")])
    assert kept == ()
    assert dropped == ("X-Registry-Auth", "x-registry-config")


CONTAINER = "f" * 64


def commit(*query: tuple[str, str], body: Object | None = None) -> tuple[tuple[tuple[str, str], ...], Object, str | None]:
    return judge_commit(query, body, CONTAINER, SESSION, own())


def test_commit() -> None:
    """The full id, a free name, our labels last."""
    pairs, body, reference = commit(
        ("container", "web"), ("repo", "snap"), ("tag", "1"), ("comment", "c"), ("author", ""), ("pause", "True"),
        ("changes", 'CMD ["x"]'), ("changes", "ENV A=1\nWORKDIR /srv"), body={"Hostname": "", "Env": None, "Labels": {}, "Tty": False},
    )  # fmt: skip
    assert reference == "docker.io/library/snap:1"
    assert body == {}
    assert pairs[:3] == (("container", CONTAINER), ("repo", "docker.io/library/snap"), ("tag", "1"))
    changes = [value for key, value in pairs if key == "changes"]
    assert changes[:3] == ['CMD ["x"]', "ENV A=1", "WORKDIR /srv"]
    assert {'LABEL dev.aienv.run=""', 'LABEL dev.aienv.image-run="s1"'} <= set(changes[3:])
    assert commit(("container", "web"))[2] is None


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        pytest.param([("repo", "debian"), ("tag", "12")], "image.tag-allowed", id="onto-an-allowed-name"),
        pytest.param([("repo", "x"), ("changes", "ONBUILD COPY --from=secret / /")], "commit.changes", id="onbuild"),
        pytest.param([("changes", "RUN x")], "commit.changes", id="run"),
        pytest.param([("changes", "FROM x")], "commit.changes", id="from"),
        pytest.param([("changes", "LABEL dev.aienv.run=other")], "labels.reserved", id="label"),
        pytest.param([("changes", "CMD x\\\\\nENV A=1")], "build.dockerfile", id="continued"),
        pytest.param([("changes", "# escape=`\nCMD x")], "commit.changes", id="escape"),
        pytest.param([("comment", "a\nb")], "query.value", id="lines"),
        pytest.param([("config", "x")], "query.unknown", id="unknown"),
    ],
)
def test_commits_that_are_refused(query: list[tuple[str, str]], rule: str) -> None:
    with pytest.raises(Denied) as caught:
        commit(*query)
    assert denied(caught) == rule


def test_commit_takes_no_settings() -> None:
    with pytest.raises(Denied) as caught:
        commit(body={"OnBuild": ["COPY --from=secret / /"]})
    assert denied(caught) == "commit.config"


def test_changes() -> None:
    assert harmless_changes(" \n") == ()
    assert harmless_changes("cmd a \\\n b") == ("CMD a  b",)
