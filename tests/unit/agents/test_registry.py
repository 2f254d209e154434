"""Where packages come from, by real lines of ``.npmrc``."""

import pytest

from orchestrator.agents.lock import NpmPackage
from orchestrator.agents.registry import Source, proxied, without_users


def package(name: str, version: str = "1.0.0") -> NpmPackage:
    return NpmPackage(f"node_modules/{name}", name, version, "", 1)


@pytest.mark.parametrize(
    ("values", "name", "url"),
    [
        pytest.param({}, "left-pad", "https://public.example/left-pad/-/left-pad-1.0.0.tgz", id="default"),
        pytest.param({}, "@a/b", "https://public.example/@a/b/-/b-1.0.0.tgz", id="scoped"),
        pytest.param({"registry": "https://npm.corp/repo/"}, "@a/b", "https://npm.corp/repo/@a/b/-/b-1.0.0.tgz", id="mirror"),
        pytest.param({"@a:registry": "https://a.corp", "registry": "https://b.corp"}, "@a/b", "https://a.corp/@a/b/-/b-1.0.0.tgz", id="a"),
        pytest.param({"@a:registry": "https://a.corp"}, "a", "https://public.example/a/-/a-1.0.0.tgz", id="not-the-scope"),
    ],
)
def test_url(values: dict[str, str], name: str, url: str) -> None:
    assert Source(values, "https://public.example/").url(package(name)) == url


def test_version_is_quoted() -> None:
    """A plus sign is part of a version."""
    assert Source({}, "https://x").url(package("a", "1.0.0+b")).endswith("a-1.0.0%2Bb.tgz")


@pytest.mark.parametrize(
    ("values", "sent"),
    [
        pytest.param({"//npm.corp/repo/:_authToken": "T"}, "Bearer T", id="token"),
        pytest.param({"//npm.corp/repo:_authToken": "T"}, "Bearer T", id="no-slash"),
        pytest.param({"//npm.corp/:_authToken": "T"}, "Bearer T", id="whole-host"),
        pytest.param({"//npm.corp/:_authToken": "far", "//npm.corp/repo/:_authToken": "near"}, "Bearer near", id="the-longest-wins"),
        pytest.param({"//npm.corp/repo/:_auth": "dTpw"}, "Basic dTpw", id="pair"),
        pytest.param({"//npm.corp/repo/:username": "u", "//npm.corp/repo/:_password": "cA=="}, "Basic dTpw", id="password-in-base64"),
        pytest.param({"//npm.corp:4873/:_authToken": "T"}, None, id="another-port"),
        pytest.param({"//other.corp/repo/:_authToken": "T"}, None, id="another-host"),
        pytest.param({"//npm.corp/rep/:_authToken": "T"}, None, id="another-folder"),
        pytest.param({"_authToken": "T"}, None, id="for-no-registry"),
    ],
)
def test_credentials(values: dict[str, str], sent: str | None) -> None:
    """A token goes to the registry that it is for, and nowhere else."""
    assert Source(values, "").headers("https://npm.corp/repo/@a/b/-/b-1.0.0.tgz").get("Authorization") == sent


def test_no_credential_is_shown() -> None:
    assert "SECRET" not in repr(Source({"//x/:_authToken": "SECRET"}, "https://x"))


def test_proxies() -> None:
    """npm's own settings win; without them the environment's stay."""
    assert proxied({"https-proxy": "http://p:1", "noproxy": "a"}, {"https_proxy": "http://q:2"})["https_proxy"] == "http://p:1"
    assert proxied({"proxy": "null"}, {"https_proxy": "http://q:2"})["https_proxy"] == "http://q:2"


@pytest.mark.parametrize("written", ["https://me:p%40ss@npm.corp/repo", "https://me:p%40ss@npm.corp/repo/"])
def test_user_in_the_address(written: str) -> None:
    """It becomes a credential for that registry, and stands in no address, which messages repeat."""
    source = Source(without_users({"registry": written, "loglevel": "a://b@c"}), "")
    url = source.url(package("a"))
    assert url == "https://npm.corp/repo/a/-/a-1.0.0.tgz"
    assert source.headers(url) == {"Authorization": "Basic bWU6cEBzcw=="}
    assert source.headers("https://npm.corp/other/a/-/a-1.0.0.tgz") == {}
