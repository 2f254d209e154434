"""Registries: challenges, whom credentials reach, mirrors, and what their answers mean. The transport is a stand-in."""

import io
from collections.abc import Callable, Mapping
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.features import references
from orchestrator.devcontainer.features.credentials import Credential
from orchestrator.devcontainer.features.oci import Challenge, Registry, challenge, mirrored, speaks_for
from orchestrator.devcontainer.features.references import OciReference, TarballReference
from orchestrator.devcontainer.features.transport import Answer, Request, Transport, Unreachable
from orchestrator.errors import EnvironmentFailed, NotFound

ME = Credential("me", "pw")
BASIC = "Basic bWU6cHc="


def ref(written: str) -> OciReference:
    found = references.parse(written)
    assert isinstance(found, OciReference)
    return found


class Wire(Transport):
    """Answers as the test says, and remembers what it was asked."""

    def __init__(self, reply: Callable[[Request], Answer]) -> None:
        super().__init__({})
        self.reply = reply
        self.seen: list[Request] = []

    def ask(self, request: Request, most_bytes: int, into: BinaryIO | None = None) -> Answer:
        self.seen.append(request)
        found = self.reply(request)
        if into is not None and found.status == 200:
            into.write(found.body)
        return found

    @property
    def told(self) -> list[tuple[str, str | None]]:
        return [(one.url, one.headers.get("Authorization")) for one in self.seen]


def answers(status: int, body: bytes = b"", url: str = "", **headers: str) -> Callable[[Request], Answer]:
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: Answer(status, found, body, url or request.url)


def guarded(header: str, token: Mapping[str, bytes], status: int = 401) -> Callable[[Request], Answer]:
    """A registry that wants ``Bearer t`` or our Basic; ``token``: what is answered by whom, by the beginning of the address."""

    def reply(request: Request) -> Answer:
        for url, body in token.items():
            if request.url.startswith(url):
                return Answer(200 if body else 401, {}, body, request.url)
        if request.headers.get("Authorization") in ("Bearer t", BASIC):
            return Answer(200, {}, b"{}", request.url)
        return Answer(status, {"www-authenticate": header}, b"", request.url)

    return reply


def told_by(token: bytes) -> Callable[[Request], Answer]:
    return guarded('Bearer realm="https://r.io/t"', {"https://r.io/t": token})


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param('Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull"',
                     Challenge("bearer", "https://ghcr.io/token", "ghcr.io"), id="bearer"),
        pytest.param('Bearer scope="x,y", realm="https://r.io/t", service=r.io', Challenge("bearer", "https://r.io/t", "r.io"),
                     id="any-order"),
        pytest.param('bearer realm="https://r.io/t"', Challenge("bearer", "https://r.io/t", ""), id="no-service"),
        pytest.param('Basic realm="localhost"', Challenge("basic", "localhost", ""), id="basic"),
        pytest.param("Basic", Challenge("basic", "", ""), id="bare-basic"),
        pytest.param('Bearer realm="a\\"b"', Challenge("bearer", 'a"b', ""), id="escaped"),
        pytest.param('Bearer service="x"', None, id="no-realm"),
        pytest.param("Negotiate", None, id="unknown"),
        pytest.param("", None, id="empty"),
    ],
)  # fmt: skip
def test_challenge(header: str, found: Challenge | None) -> None:
    assert challenge(header) == found


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r'Bearer ([a-z]+="[^"]*",?){0,4}', fullmatch=True))
def test_any_challenge(header: str) -> None:
    challenge(header)


@pytest.mark.parametrize(
    ("registry", "realm", "trusted"),
    [
        pytest.param("ghcr.io", "https://ghcr.io/token", True, id="itself"),
        pytest.param("registry-1.docker.io", "https://auth.docker.io/token", True, id="hub"),
        pytest.param("registry.gitlab.com", "https://gitlab.com/jwt/auth", True, id="gitlab"),
        pytest.param("ghcr.io", "https://auth.docker.io/token", False, id="of-another"),
        pytest.param("r.io", "https://ghcr.io/token", False, id="elsewhere"),
        pytest.param("ghcr.io", "https://ghcr.io:8443/token", False, id="port"),
        pytest.param("ghcr.io", "http://ghcr.io/token", False, id="plain"),
        pytest.param("registry-1.docker.io", "http://auth.docker.io/token", False, id="hub-plain"),
        pytest.param("ghcr.io", "https://ghcr.io@evil.io/token", False, id="user"),
        pytest.param("localhost:5000", "http://localhost:5000/token", True, id="loopback"),
        pytest.param("localhost:5000", "http://localhost:5001/token", False, id="loopback-port"),
    ],
)
def test_who_speaks_for_a_registry(registry: str, realm: str, trusted: bool) -> None:
    assert speaks_for(registry, realm) is trusted


@pytest.mark.parametrize(
    ("mirrors", "place"),
    [
        pytest.param({}, ("ghcr.io", "acme/f/x"), id="none"),
        pytest.param({"ghcr.io": "mirror.io"}, ("mirror.io", "acme/f/x"), id="host"),
        pytest.param({"ghcr.io": "mirror.io:5000/ghcr/"}, ("mirror.io:5000", "ghcr/acme/f/x"), id="host-to-prefix"),
        pytest.param({"ghcr.io": "a.io", "ghcr.io/acme": "b.io/acme"}, ("b.io", "acme/f/x"), id="longest"),
        pytest.param({"ghcr.io/ac": "b.io"}, ("ghcr.io", "acme/f/x"), id="whole-parts"),
    ],
)
def test_mirrors(mirrors: Mapping[str, str], place: tuple[str, str]) -> None:
    assert mirrored(ref("ghcr.io/acme/f/x:1"), mirrors) == place


def test_anonymous() -> None:
    wire = Wire(answers(200, b"{}"))
    assert Registry(wire).manifest(ref("ghcr.io/a/b:1"), "1") == b"{}"
    assert wire.told == [("https://ghcr.io/v2/a/b/manifests/1", None)]
    assert wire.seen[0].headers["Accept"] == "application/vnd.oci.image.manifest.v1+json"


def test_bearer() -> None:
    """We ask to pull the one repository, whatever the challenge would have us ask, and keep the token."""
    wire = Wire(
        guarded(
            'Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:x:pull,push"',
            {"https://ghcr.io/token": b'{"token": "t"}'},
        )
    )
    registry = Registry(wire, lambda host: ME)
    registry.manifest(ref("ghcr.io/a/b:1"), "1")
    registry.blob(ref("ghcr.io/a/b:1"), "sha256:0", 10, io.BytesIO())
    assert wire.told == [
        ("https://ghcr.io/v2/a/b/manifests/1", None),
        ("https://ghcr.io/token?service=ghcr.io&scope=repository%3Aa%2Fb%3Apull", BASIC),
        ("https://ghcr.io/v2/a/b/manifests/1", "Bearer t"),
        ("https://ghcr.io/v2/a/b/blobs/sha256:0", "Bearer t"),
    ]


def test_access_token_and_anonymous_realm_elsewhere() -> None:
    """A foreign realm is asked, but not told who we are."""
    wire = Wire(guarded('Bearer realm="https://auth.evil.io/t?x=1",service="s"', {"https://auth.evil.io": b'{"access_token": "t"}'}))
    Registry(wire, lambda host: ME).manifest(ref("ghcr.io/a/b:1"), "1")
    assert wire.told[1] == ("https://auth.evil.io/t?x=1&service=s&scope=repository%3Aa%2Fb%3Apull", None)


def test_identity_token_is_exchanged() -> None:
    wire = Wire(guarded('Bearer realm="https://r.io/oauth2/token",service="r.io"', {"https://r.io/oauth2/token": b'{"access_token": "t"}'}))
    Registry(wire, lambda host: Credential("", "refresh", identity=True)).manifest(ref("r.io/a/b:1"), "1")
    assert (
        wire.seen[1].body == b"client_id=aienv&grant_type=refresh_token&refresh_token=refresh&service=r.io&scope=repository%3Aa%2Fb%3Apull"
    )


def test_an_old_password_does_not_lock_out_of_what_is_public() -> None:
    def reply(request: Request) -> Answer:
        if request.url.startswith("https://r.io/token"):
            return Answer(401 if "Authorization" in request.headers else 200, {}, b'{"token": "t"}', request.url)
        return guarded('Bearer realm="https://r.io/token",service="s"', {})(request)

    wire = Wire(reply)
    Registry(wire, lambda host: ME).manifest(ref("r.io/a/b:1"), "1")
    assert [secret for _, secret in wire.told] == [None, BASIC, None, "Bearer t"]


def test_basic() -> None:
    wire = Wire(guarded('Basic realm="x"', {}))
    Registry(wire, lambda host: ME if host == "r.io" else None).manifest(ref("r.io/a/b:1"), "1")
    assert [secret for _, secret in wire.told] == [None, BASIC]


def test_credentials_are_those_of_the_mirror() -> None:
    asked: list[str] = []
    wire = Wire(guarded('Basic realm="x"', {}))
    Registry(wire, lambda host: asked.append(host) or ME, mirrors={"ghcr.io": "mirror.io/g"}).manifest(ref("ghcr.io/a/b:1"), "1")  # type: ignore[func-returns-value]
    assert asked == ["mirror.io"]
    assert wire.told[-1] == ("https://mirror.io/v2/g/a/b/manifests/1", BASIC)


@pytest.mark.parametrize(
    ("reply", "credential", "because"),
    [
        pytest.param(guarded('Basic realm="x"', {}), None, "without a user", id="basic-without-a-credential"),
        pytest.param(guarded("Negotiate", {}), ME, "we do not speak", id="unknown-scheme"),
        pytest.param(guarded("", {}), ME, "does not say", id="no-challenge"),
        pytest.param(told_by(b""), ME, "no token", id="token-refused"),
        pytest.param(told_by(b'{"token": "a b"}'), ME, "no token", id="token-with-a-blank"),
        pytest.param(told_by(b'{"token": "x\\r\\nY: z"}'), ME, "no token", id="token-with-a-line"),
        pytest.param(told_by(b"<html>"), ME, "no token", id="token-page"),
        pytest.param(guarded('Bearer realm="http://127.0.0.1/t"', {"http://127.0.0.1": b'{"token": "t"}'}), ME, "no token",
                     id="realm-here"),
        pytest.param(told_by(b'{"token": "wrong"}'), ME, "(401)", id="token-is-not-taken"),
        pytest.param(guarded('Basic realm="x"', {}, 403), None, "without a user", id="403"),
        pytest.param(answers(401, url="https://cdn.io/x", www_authenticate='Basic realm="x"'), ME, "credentials of its own",
                     id="after-a-redirect"),
    ],
)  # fmt: skip
def test_denied(reply: Callable[[Request], Answer], credential: Credential | None, because: str) -> None:
    wire = Wire(reply)
    with pytest.raises(EnvironmentFailed) as caught:
        Registry(wire, lambda host: credential).manifest(ref("r.io/a/b:1"), "1")
    assert because in caught.value.message
    assert not isinstance(caught.value, Unreachable)
    assert all(url.startswith("https://r.io/") for url, secret in wire.told if secret is not None)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(404, NotFound, id="404"),
        pytest.param(429, Unreachable, id="429"),
        pytest.param(503, Unreachable, id="503"),
        pytest.param(418, EnvironmentFailed, id="418"),
        pytest.param(302, EnvironmentFailed, id="302-without-a-place"),
    ],
)
def test_statuses(status: int, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        Registry(Wire(answers(status))).manifest(ref("r.io/a/b:1"), "1")
    assert isinstance(caught.value, Unreachable) is (error is Unreachable)


def test_a_silent_registry_is_asked_once() -> None:
    def reply(request: Request) -> Answer:
        if request.url.startswith("https://r.io/"):
            raise Unreachable("https://r.io cannot be reached: no whole answer in time")
        return Answer(200, {}, b"{}", request.url)

    wire = Wire(reply)
    registry = Registry(wire)
    for one in ("r.io/a/b:1", "r.io/a/c:1"):
        with pytest.raises(Unreachable, match="in time"):
            registry.manifest(ref(one), "1")
    assert registry.manifest(ref("s.io/a/b:1"), "1") == b"{}"
    assert [url for url, _ in wire.told] == ["https://r.io/v2/a/b/manifests/1", "https://s.io/v2/a/b/manifests/1"]


def test_a_digest_that_the_registry_itself_gainsays() -> None:
    wire = Wire(answers(200, b"{}", docker_content_digest="sha256:" + "0" * 64))
    with pytest.raises(EnvironmentFailed, match="another manifest"):
        Registry(wire).manifest(ref("r.io/a/b:1"), "1")


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        pytest.param("https://example.org/devcontainer-feature-x.tgz", None, id="plain"),
        pytest.param("https://github.com/o/r/releases/devcontainer-feature-x.tgz", "Bearer gh", id="github"),
        pytest.param("https://github.com.evil.io/devcontainer-feature-x.tgz", None, id="like-github"),
        pytest.param("https://localhost:5000/devcontainer-feature-x.tgz", None, id="here"),
    ],
)
def test_tarball(url: str, secret: str | None) -> None:
    reference = references.parse(url)
    assert isinstance(reference, TarballReference)
    wire, into = Wire(answers(200, b"data")), io.BytesIO()
    Registry(wire, environ={"GITHUB_TOKEN": "gh"}).tarball(reference, into)
    assert (wire.told, into.getvalue()) == ([(url, secret)], b"data")
