"""Names of features: what each form means, and what is of none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.devcontainer.features.references import (
    LocalReference,
    OciReference,
    TarballReference,
    is_loopback,
    parse,
)
from orchestrator.errors import ConfigError

HEX = "4ef08c9c3b708f3c2faecc5a898b39736423dd639f09f2a9f8bf9b0b9252ef0a"


def ref(written: str) -> OciReference:
    found = parse(written)
    assert isinstance(found, OciReference)
    return found


@pytest.mark.parametrize(
    ("written", "registry", "namespace", "name", "tag", "digest"),
    [
        pytest.param("ghcr.io/devcontainers/features/go:latest", "ghcr.io", "devcontainers/features", "go", "latest", None, id="tag"),
        pytest.param("ghcr.io/devcontainers/features/go", "ghcr.io", "devcontainers/features", "go", "latest", None, id="no-tag"),
        pytest.param("ghcr.io/devcontainers/features/go:1.2.3", "ghcr.io", "devcontainers/features", "go", "1.2.3", None, id="version"),
        pytest.param(f"ghcr.io/my-org/my-features/my-feat@sha256:{HEX}", "ghcr.io", "my-org/my-features", "my-feat", None, f"sha256:{HEX}",
                     id="digest"),
        pytest.param("ghcr.io/DeVContainERS/Features/Docker-FROM-Docker", "ghcr.io", "devcontainers/features", "docker-from-docker",
                     "latest", None, id="upper-case"),
        pytest.param("docker.io:8001/a/b/c:1.3.4", "docker.io:8001", "a/b", "c", "1.3.4", None, id="port-and-tag"),
        pytest.param("docker.io:8001/a/b/c", "docker.io:8001", "a/b", "c", "latest", None, id="port"),
        pytest.param(f"docker.io:8001/a/b/c@sha256:{HEX}", "docker.io:8001", "a/b", "c", None, f"sha256:{HEX}", id="port-and-digest"),
        pytest.param("localhost:5000/ns/x", "localhost:5000", "ns", "x", "latest", None, id="localhost"),
        pytest.param("127.0.0.1:5000/ns/x:1", "127.0.0.1:5000", "ns", "x", "1", None, id="loopback"),
        pytest.param("ghcr.io/a/b.c_d-e/f", "ghcr.io", "a/b.c_d-e", "f", "latest", None, id="separators"),
        pytest.param("ghcr.io/devcontainers-contrib/features/x:1", "ghcr.io", "devcontainers-extra/features", "x", "1", None,
                     id="moved-owner"),
    ],
)  # fmt: skip
def test_registry(written: str, registry: str, namespace: str, name: str, tag: str | None, digest: str | None) -> None:
    found = ref(written)
    assert (found.registry, found.namespace, found.name, found.tag, found.digest) == (registry, namespace, name, tag, digest)
    assert found.path == f"{namespace}/{name}"
    assert found.version == (digest or tag)
    assert found.written == written


def test_resource_is_where_it_was_asked_for() -> None:
    """Also of an owner that moved: that is what the reference prints and compares."""
    found = ref("ghcr.io/devcontainers-contrib/features/x:1")
    assert (found.resource, found.path) == ("ghcr.io/devcontainers-contrib/features/x", "devcontainers-extra/features/x")


@pytest.mark.parametrize(
    ("written", "without"),
    [
        pytest.param("ghcr.io/a/b/C:1.2", "ghcr.io/a/b/C", id="tag"),
        pytest.param("localhost:5000/a/b", "localhost:5000/a/b", id="port"),
        pytest.param("localhost:5000/a/b:1", "localhost:5000/a/b", id="port-and-tag"),
        pytest.param(f"ghcr.io/a/b@sha256:{HEX}", "ghcr.io/a/b", id="digest"),
    ],
)
def test_without_version(written: str, without: str) -> None:
    assert ref(written).without_version == without


@pytest.mark.parametrize(
    ("written", "scheme"),
    [
        pytest.param("ghcr.io/a/b", "https", id="elsewhere"),
        pytest.param("localhost:5000/a/b", "http", id="localhost"),
        pytest.param("127.0.0.2/a/b", "http", id="loopback"),
        pytest.param("localhost.example.org/a/b", "https", id="looks-like-localhost"),
        pytest.param("127.0.0.1.example.org/a/b", "https", id="looks-like-loopback"),
        pytest.param("10.0.0.1:5000/a/b", "https", id="private"),
    ],
)
def test_plain_http_for_this_machine_alone(written: str, scheme: str) -> None:
    assert ref(written).scheme == scheme


@pytest.mark.parametrize(
    ("written", "path", "name"),
    [
        pytest.param("./tools", "tools", "tools", id="plain"),
        pytest.param("./a/../b/", "b", "b", id="dots"),
        pytest.param("../shared", "../shared", "shared", id="beside"),
        pytest.param("./.devcontainer/x", ".devcontainer/x", "x", id="from-a-root-file"),
    ],
)
def test_local(written: str, path: str, name: str) -> None:
    assert parse(written) == LocalReference(written, path)
    assert LocalReference(written, path).name == name


@pytest.mark.parametrize(
    ("written", "url", "name"),
    [
        pytest.param("https://example.org/r/devcontainer-feature-my_tool-2.tgz", None, "my_tool-2", id="plain"),
        pytest.param(
            "https://Example.org:443/devcontainer-feature-a.tgz", "https://example.org/devcontainer-feature-a.tgz", "a", id="normal"
        ),
        pytest.param("https://example.org:8443/devcontainer-feature-a.tgz?x=1", None, "a", id="port-and-query"),
    ],
)
def test_tarball(written: str, url: str | None, name: str) -> None:
    assert parse(written) == TarballReference(written, url or written, name)


@pytest.mark.parametrize(
    ("written", "because"),
    [
        pytest.param("", "0 characters", id="empty"),
        pytest.param("x" * 600, "600 characters", id="long"),
        pytest.param("git", "bare name", id="bare"),
        pytest.param("fish:1", "bare name", id="bare-with-tag"),
        pytest.param("common-utils", "bare name", id="bare-of-an-official-one"),
        pytest.param("octocat/features/x", "GitHub user", id="github-releases"),
        pytest.param("octocat/features/x@v1", "digest", id="github-releases-with-version"),
        pytest.param("localhostevil:5000/a/b", "without a domain", id="begins-with-localhost"),
        pytest.param("ghcr.io/x", "NAMESPACE/NAME", id="one-part"),
        pytest.param("ghcr.io/:latest", "NAMESPACE/NAME", id="no-path"),
        pytest.param("ghcr.io/a//b/c", "NAMESPACE/NAME", id="two-slashes"),
        pytest.param("ghcr.io/a/../c", "NAMESPACE/NAME", id="dot-dot"),
        pytest.param("ghcr.io/a/%2e%2e/c", "NAMESPACE/NAME", id="percent"),
        pytest.param("ghcr.io/a/b/c?x=1", "NAMESPACE/NAME", id="query"),
        pytest.param("ghcr.io/a/b/c#x", "NAMESPACE/NAME", id="fragment"),
        pytest.param("ghcr.io/devco%ntainers/x/y", "NAMESPACE/NAME", id="odd-namespace"),
        pytest.param("ghcr.io/a/b/c:latest:latest", "NAMESPACE/NAME", id="two-tags"),
        pytest.param("ghcr.io/a/docker-from@docker:latest", "digest", id="odd-name"),
        pytest.param(f"ghcr.io/a/b/c@sha100:{HEX}", "digest", id="algorithm"),
        pytest.param(f"ghcr.io/a/b/c@{HEX}", "digest", id="no-algorithm"),
        pytest.param("ghcr.io/a/b/c@sha256:abc", "digest", id="short-digest"),
        pytest.param("ghcr.io/a/b/c:" + "x" * 129, "tag", id="long-tag"),
        pytest.param("ghcr.io/a/b/c:-x", "tag", id="odd-tag"),
        pytest.param("user:secret@ghcr.io/a/b", "digest", id="user"),
        pytest.param("ghcr.io:/a/b/c", "registry", id="empty-port"),
        pytest.param("ghcr..io/a/b", "registry", id="empty-label"),
        pytest.param("-x.io/a/b", "registry", id="option"),
        pytest.param("[::1]:5000/a/b", "registry", id="ipv6"),
        pytest.param("http://example.org/devcontainer-feature-x.tgz", "registry", id="http"),
        pytest.param("HTTPS://example.org/devcontainer-feature-x.tgz", "registry", id="upper-scheme"),
        pytest.param("ghcr.io/a/b\nX: y", "control character", id="newline"),
        pytest.param("ghcr.io/a b/c", "blank", id="blank"),
        pytest.param("ghcr.io\\a\\b", "backslash", id="backslash"),
        pytest.param("ghcr.io/a/b\u212a", "letters", id="folds-to-k"),
        pytest.param("/etc/feature", "absolute", id="absolute"),
        pytest.param("./", "no folder", id="here"),
        pytest.param("./x/..", "no folder", id="here-again"),
        pytest.param("../..", "no folder", id="up"),
        pytest.param("https://example.org/x.tgz", "devcontainer-feature-NAME.tgz", id="tarball-name"),
        pytest.param("https://example.org/devcontainer-feature-.tgz", "devcontainer-feature-NAME.tgz", id="tarball-empty-name"),
        pytest.param("https://u:p@example.org/devcontainer-feature-x.tgz", "plain address", id="tarball-user"),
        pytest.param("https://example.org/devcontainer-feature-x.tgz#y", "plain address", id="tarball-fragment"),
        pytest.param("https://example.org/a/../devcontainer-feature-x.tgz", "goes back", id="tarball-dot-dot"),
        pytest.param("https://example.org/a/%2E%2e/devcontainer-feature-x.tgz", "goes back", id="tarball-percent"),
        pytest.param("https://example.org:99999/devcontainer-feature-x.tgz", "no address", id="tarball-port"),
        pytest.param("https:///devcontainer-feature-x.tgz", "plain address", id="tarball-no-host"),
    ],
)  # fmt: skip
def test_refused(written: str, because: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(written)
    assert because in caught.value.message
    assert caught.value.remedy


def test_bare_names_say_what_they_became() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("golang@1")
    assert caught.value.remedy == "write ghcr.io/devcontainers/features/go:1"


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.from_regex(r"[a-z.:/@%-]{1,30}", fullmatch=True), st.text("ghcrio./:@_-\\ A\0", max_size=30)))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except ConfigError:
        return
    assert found.written == text
    if isinstance(found, OciReference):
        assert ".." not in found.path.split("/")
        assert found.resource == found.resource.lower()
        assert found.scheme == "https" or is_loopback(found.registry.partition(":")[0])
