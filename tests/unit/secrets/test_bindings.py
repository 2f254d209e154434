"""Each credential has hosts, and a run that could not use one says so before it starts."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.egress.rules import parse_rule
from orchestrator.errors import ConfigError
from orchestrator.model.network import CLOSED, Gateway, GitRepo, NetRule, NetworkPlan, Phase, SecretPlan
from orchestrator.secrets.bindings import (
    KNOWN,
    AskedSecret,
    PlannedSecrets,
    brokering_problems,
    brokering_warnings,
    parse_binding,
    plan_secrets,
)

AGENT: tuple[Phase, ...] = ("agent", "check")


def ask(name: str, source: str | None = None, phases: tuple[Phase, ...] = AGENT) -> AskedSecret:
    return AskedSecret(name, source or f"env://{name}", phases)


def rules(*texts: str) -> tuple[NetRule, ...]:
    return tuple(parse_rule(text, "here") for text in texts)


def plan(*allow: str, inspect: Sequence[str] = (), deny: Sequence[str] = (), git: Sequence[GitRepo] = ()) -> NetworkPlan:
    denied = tuple(parse_rule(text, "there", deny=True) for text in deny)
    return replace(CLOSED, mode="allowlist", allow=rules(*allow), deny=denied, inspect=tuple(inspect), git=tuple(git))


def test_known_names_are_consistent() -> None:
    """Each gateway leads to a host that the credential is bound to; no two gateways share a name or a variable unless they are one."""
    gateways = {service.gateway for service in KNOWN.values() if service.gateway}
    for service in KNOWN.values():
        assert service.hosts
        assert service.gateway is None or service.gateway.host in service.hosts
    variables = [variable for gateway in gateways for variable, _ in gateway.variables]
    assert len({gateway.name for gateway in gateways}) == len(gateways)
    assert len(set(variables)) == len(variables)


@pytest.mark.parametrize(
    ("name", "hosts", "variable"),
    [
        ("ANTHROPIC_API_KEY", ("api.anthropic.com",), ("ANTHROPIC_BASE_URL", "")),
        ("CLAUDE_CODE_OAUTH_TOKEN", ("api.anthropic.com",), ("ANTHROPIC_BASE_URL", "")),
        ("OPENAI_API_KEY", ("api.openai.com",), ("OPENAI_BASE_URL", "/v1")),
        ("GEMINI_API_KEY", ("generativelanguage.googleapis.com",), ("GOOGLE_GEMINI_BASE_URL", "")),
        ("GITHUB_TOKEN", ("api.github.com", "uploads.github.com"), ("GITHUB_API_URL", "")),
        ("OPENROUTER_API_KEY", ("openrouter.ai",), ("OPENROUTER_API_BASE", "/api/v1")),
    ],
)
def test_known_names(name: str, hosts: tuple[str, ...], variable: tuple[str, str]) -> None:
    """A name from the table needs nothing else."""
    planned = plan_secrets([ask(name)], [])
    assert planned.secrets == (SecretPlan(name, f"env://{name}", hosts, AGENT),)
    assert variable in planned.gateways[0].variables
    assert planned.inspect == hosts


def test_git_hosts_only_with_repositories() -> None:
    """The token goes to github.com only where the repositories that git may reach there are named: those requests are judged."""
    repos = [GitRepo("github.com", "team/app", True), GitRepo("gitlab.com", "team/app", False)]
    (secret,) = plan_secrets([ask("GITHUB_TOKEN")], [], repos).secrets
    assert secret.hosts == ("api.github.com", "uploads.github.com", "github.com")
    (secret,) = plan_secrets([ask("GITHUB_TOKEN")], [], repos[1:]).secrets
    assert secret.hosts == ("api.github.com", "uploads.github.com")
    (secret,) = plan_secrets([ask("GITHUB_TOKEN")], ["GITHUB_TOKEN=github.com"], repos).secrets
    assert secret.hosts == ("github.com",)


@pytest.mark.parametrize(
    ("allow", "hosts", "push", "warned"),
    [
        pytest.param(("github.com", "api.github.com"), (), True, True, id="both"),
        pytest.param(("github.com",), (), True, False, id="api-not-reachable"),
        pytest.param(("github.com", "api.github.com"), ("GITHUB_TOKEN=github.com",), True, False, id="git-alone"),
        pytest.param(("github.com", "api.github.com"), (), False, False, id="read-only"),
    ],
)
def test_warns_of_wide_tokens(allow: tuple[str, ...], hosts: tuple[str, ...], push: bool, warned: bool) -> None:
    """A rule for pushes means little when the same token may change branches through an API."""
    repo = GitRepo("github.com", "team/app", push)
    planned = plan_secrets([ask("GITHUB_TOKEN")], hosts, [repo])
    found = brokering_warnings(plan(*allow, inspect=planned.inspect, git=[repo]), planned.secrets)
    assert bool(found) is warned
    assert not warned or "--secret-host GITHUB_TOKEN=github.com" in found[0]


def test_warns_of_credentials_without_tls() -> None:
    """Whoever binds one to port 80 is told what that means; another port has TLS."""
    planned = plan_secrets([ask("COMPANY_TOKEN")], ["COMPANY_TOKEN=a.example.org:80", "COMPANY_TOKEN=a.example.org:8080"])
    (found,) = brokering_warnings(plan("http://a.example.org", inspect=planned.inspect), planned.secrets)
    assert found == "secret COMPANY_TOKEN goes to a.example.org:80 without TLS: everybody on the way can read it"


def test_names_that_nobody_knows() -> None:
    """Without a host it is refused with the line that binds it; with one it passes, without a gateway."""
    with pytest.raises(ConfigError, match="secret COMPANY_TOKEN is bound to no host") as caught:
        plan_secrets([ask("COMPANY_TOKEN")], [])
    assert "--secret-host COMPANY_TOKEN=HOST" in str(caught.value.remedy)
    planned = plan_secrets([ask("COMPANY_TOKEN")], ["COMPANY_TOKEN=api.Example.org", "COMPANY_TOKEN=*.example.org:8443", "OTHER=x.org"])
    assert planned == PlannedSecrets(
        (SecretPlan("COMPANY_TOKEN", "env://COMPANY_TOKEN", ("api.example.org", "*.example.org:8443"), AGENT),),
        (),
        ("*.example.org", "api.example.org"),
    )


@pytest.mark.parametrize(
    ("name", "hosts", "bound", "gateway"),
    [
        pytest.param(
            "ANTHROPIC_API_KEY", ["ANTHROPIC_API_KEY=gateway.example.org"], ("gateway.example.org",),
            Gateway("anthropic", "gateway.example.org", 443, "", (("ANTHROPIC_BASE_URL", ""),)), id="host",
        ),
        pytest.param(
            "ANTHROPIC_API_KEY", ["ANTHROPIC_API_KEY=gateway.example.org:8443/llm/anthropic/"], ("gateway.example.org:8443",),
            Gateway("anthropic", "gateway.example.org", 8443, "/llm/anthropic", (("ANTHROPIC_BASE_URL", ""),)), id="base",
        ),
        pytest.param(
            "OPENAI_API_KEY", ["OPENAI_API_KEY=gateway.example.org"], ("gateway.example.org",),
            Gateway("openai", "gateway.example.org", 443, "", (("OPENAI_BASE_URL", "/v1"), ("OPENAI_API_BASE", "/v1"))), id="own-path",
        ),
        pytest.param(
            "OPENAI_API_KEY", ["OPENAI_API_KEY=gateway.example.org/api/v3"], ("gateway.example.org",),
            Gateway("openai", "gateway.example.org", 443, "/api/v3", (("OPENAI_BASE_URL", ""), ("OPENAI_API_BASE", ""))), id="whole-base",
        ),
        pytest.param(
            "GITHUB_TOKEN", ["GITHUB_TOKEN=github.com", "GITHUB_TOKEN=ghe.example.org/api/v3"], ("github.com", "ghe.example.org"),
            Gateway("github", "ghe.example.org", 443, "/api/v3", (("GITHUB_API_URL", ""),)), id="enterprise",
        ),
        pytest.param("OPENAI_API_KEY", ["OPENAI_API_KEY=*.example.org"], ("*.example.org",), None, id="wildcard-has-no-gateway"),
        pytest.param("GITLAB_TOKEN", ["GITLAB_TOKEN=10.1.2.3:8443"], ("10.1.2.3:8443",), None, id="address"),
        pytest.param("GITLAB_TOKEN", ["GITLAB_TOKEN=[2001:db8::1]"], ("[2001:db8::1]",), None, id="ipv6"),
    ],
)  # fmt: skip
def test_hosts_of_ones_own(name: str, hosts: list[str], bound: tuple[str, ...], gateway: Gateway | None) -> None:
    """What the user binds stands in place of the table, and the gateway leads there."""
    planned = plan_secrets([ask(name)], hosts)
    assert planned.secrets[0].hosts == bound
    assert planned.gateways == ((gateway,) if gateway else ())


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "does not bind"),
        ("api.example.org", "does not bind"),
        ("A B=api.example.org", "does not bind"),
        ("A=", "the host is empty"),
        ("A=https://api.example.org", "without 'https://'"),
        ("A=user:pass@example.org", "user name"),
        ("A=api.example.org:0", "port"),
        ("A=api.example.org:99999", "port"),
        ("A=0x7f.1", "no host"),
        ("A=exa mple.org", "no host"),
        ("A=*", "no host"),
        ("A=*.org", "covers too much"),
        ("A=*.10.0.0.1", "covers too much"),
        ("A=a.*.example.org", "no host"),
        ("A=api.example.org/../x", "base path"),
        ("A=api.example.org/a?b", "base path"),
        ("A=api.example.org//a", "base path"),
        ("A=api.example.org/%2e%2e", "base path"),
        ("A=*.example.org/base", "base path"),
    ],
)
def test_bindings_that_are_none(text: str, because: str) -> None:
    """Each is refused with the way to write it."""
    with pytest.raises(ConfigError, match=because) as caught:
        parse_binding(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("asked", "hosts", "because"),
    [
        pytest.param([ask("A"), ask("A", "file:///a")], ["A=example.org"], "two sources", id="two-sources"),
        pytest.param(
            [ask("A", phases=("setup",)), ask("A", "file:///a"), ask("A", "file:///b", ("setup",))],
            ["A=example.org"], "two sources", id="third",
        ),
        pytest.param([ask("A")], ["A=example.org/v1"], "no variable is known", id="base-for-unknown"),
        pytest.param([ask("OPENAI_API_KEY")], ["OPENAI_API_KEY=a.org/1", "OPENAI_API_KEY=b.org/2"], "two base paths", id="two-bases"),
        pytest.param(
            [ask("ANTHROPIC_API_KEY"), ask("ANTHROPIC_AUTH_TOKEN")], ["ANTHROPIC_AUTH_TOKEN=gw.example.org"], "already leads", id="gateways"
        ),
    ],
)  # fmt: skip
def test_contradictions(asked: list[AskedSecret], hosts: list[str], because: str) -> None:
    """What would have two meanings has none."""
    with pytest.raises(ConfigError, match=because):
        plan_secrets(asked, hosts)


def test_phases() -> None:
    """The same source in several phases is one secret; another source for the setup is another."""
    planned = plan_secrets([ask("GITHUB_TOKEN"), ask("GITHUB_TOKEN", phases=("setup",))], [])
    assert [(one.source, one.phases) for one in planned.secrets] == [("env://GITHUB_TOKEN", ("setup", "agent", "check"))]
    planned = plan_secrets([ask("GITHUB_TOKEN"), ask("GITHUB_TOKEN", "cmd://gh auth token", ("setup",))], [])
    assert [(one.source, one.phases) for one in planned.secrets] == [("cmd://gh auth token", ("setup",)), ("env://GITHUB_TOKEN", AGENT)]
    assert len(planned.gateways) == 1


SECRET = SecretPlan("TOKEN", "env://TOKEN", ("api.example.org", "git.example.org:8443"), AGENT)
WILD = SecretPlan("WILD", "env://WILD", ("*.example.org",), AGENT)
INSPECT = ("api.example.org", "git.example.org", "*.example.org")


@pytest.mark.parametrize(
    ("network", "secret"),
    [
        pytest.param(plan("api.example.org", inspect=INSPECT), SECRET, id="listed"),
        pytest.param(plan("git.example.org:8443", inspect=INSPECT), SECRET, id="one-of-two"),
        pytest.param(plan("GET api.example.org/v1/*", inspect=INSPECT), SECRET, id="by-path"),
        pytest.param(plan("*.example.org", inspect=INSPECT), SECRET, id="by-wildcard"),
        pytest.param(replace(plan(inspect=INSPECT), mode="open"), SECRET, id="open"),
        pytest.param(replace(plan(inspect=INSPECT), mode="learn"), WILD, id="learn"),
        pytest.param(plan("a.example.org", inspect=INSPECT), WILD, id="one-below"),
        pytest.param(plan("*.example.org", inspect=INSPECT), WILD, id="the-same-wildcard"),
        pytest.param(plan("*.b.example.org", inspect=INSPECT), WILD, id="narrower-wildcard"),
    ],
)
def test_usable(network: NetworkPlan, secret: SecretPlan) -> None:
    """Reachable at one of its hosts, and looked into: nothing to say."""
    assert brokering_problems(network, [secret]) == []


@pytest.mark.parametrize(
    ("network", "secret", "because", "remedy"),
    [
        pytest.param(replace(CLOSED, inspect=INSPECT), SECRET, "no network", "--network allowlist --allow-host api.example.org", id="none"),
        pytest.param(plan("pypi.org", inspect=INSPECT), SECRET, "not on the list", "--allow-host api.example.org", id="not-listed"),
        pytest.param(plan("api.example.org:8443", inspect=INSPECT), SECRET, "at port 8443, not at 443", "--allow-host", id="port"),
        pytest.param(plan("tcp://api.example.org:443", inspect=INSPECT), SECRET, "tcp://", "--allow-host", id="raw"),
        pytest.param(
            plan("api.example.org", inspect=INSPECT, deny=["*.example.org"]), SECRET, "is denied by", "remove the rule", id="denied"
        ),
        pytest.param(
            plan("api.example.org", inspect=["git.example.org"]), SECRET, "TLS to api.example.org is not", "report it", id="blind"
        ),
        pytest.param(
            replace(CLOSED, inspect=INSPECT), WILD, "not on the list", "--network allowlist --allow-host '*.example.org'", id="wild-none"
        ),
        pytest.param(
            plan("example.com", "example.org", inspect=INSPECT), WILD, "not on the list", "--allow-host '*.example.org'", id="wild"
        ),
        pytest.param(plan("tcp://a.example.org:443", inspect=INSPECT), WILD, "not on the list", "--allow-host", id="wild-raw"),
    ],
)
def test_not_usable(network: NetworkPlan, secret: SecretPlan, because: str, remedy: str) -> None:
    """The run must not start: each says which secret, why, and what would help."""
    problems = brokering_problems(network, [secret])
    assert problems
    assert secret.name in problems[0][0]
    assert because in problems[0][0]
    assert remedy in problems[0][1]


def test_git_needs_a_credential_and_a_way() -> None:
    """A repository on the list without a secret for its host, or behind a closed door."""
    repo = GitRepo("api.example.org", "team/app", False)
    assert brokering_problems(plan("api.example.org", inspect=INSPECT, git=[repo]), [SECRET]) == []
    (without,) = brokering_problems(plan("api.example.org", inspect=INSPECT, git=[repo]), [])
    assert without == ("git may reach api.example.org/team/app, but no secret is bound to api.example.org",
                       "--secret NAME --secret-host NAME=api.example.org")  # fmt: skip
    (closed,) = brokering_problems(plan("git.example.org:8443", inspect=INSPECT, git=[repo]), [SECRET])
    assert "git cannot reach api.example.org/team/app" in closed[0]
    assert closed[1] == "--allow-host api.example.org"
