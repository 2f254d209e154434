"""The variables that lead programs to the proxy, and who may change them."""

from dataclasses import replace

import pytest

from orchestrator.model.network import CLOSED, NetRule, NetworkPlan
from orchestrator.model.plan import ImagePlan
from orchestrator.run.environ import CA_JKS, CA_PEM, CONNECT_PROGRAM, agent_environment, proxy_environment
from orchestrator.run.network import NoNetwork, inputs, listeners
from tests.unit.run.test_run_pieces import PLAN

ALLOW = replace(CLOSED, mode="allowlist")
PROXY = "http://127.0.0.1:3128"
RAW = NetRule("db.example.org", (5432,), (), None, True, False, "flag")


def agent(network: NetworkPlan = ALLOW, extra: tuple[tuple[str, str], ...] = (), **env: str) -> dict[str, str]:
    return dict(agent_environment(replace(PLAN, env=tuple(env.items())), "run", network, extra, "/opt/aienv/bin/python3"))


def test_without_a_way_out_nothing_says_so() -> None:
    """Mode none: a program that sees a proxy would wait for it."""
    assert proxy_environment(CLOSED) == {}
    assert {name for name in agent(CLOSED) if "PROXY" in name.upper() or "CERT" in name or "JAVA" in name} == set()
    assert (listeners(CLOSED), inputs(NoNetwork())) == ({}, ())


@pytest.mark.parametrize("mode", ["allowlist", "learn", "open"])
@pytest.mark.parametrize(
    "name",
    [
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "npm_config_proxy", "npm_config_https_proxy",
        "YARN_HTTPS_PROXY", "CARGO_HTTP_PROXY",
    ],
)  # fmt: skip
def test_every_mode_with_a_way_out_has_the_same(mode: str, name: str) -> None:
    """The list may be empty: then the proxy says so, at once."""
    assert proxy_environment(replace(CLOSED, mode=mode))[name] == PROXY  # type: ignore[arg-type]
    found = replace(CLOSED, mode=mode)  # type: ignore[arg-type]
    assert listeners(found) == {"proxy": 3128, "gateway": 3129}
    assert listeners(replace(found, ssh="git.example.org"))["ssh"] == "/run/ssh-agent.sock"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NO_PROXY", "localhost,127.0.0.1,::1"),
        ("NODE_USE_ENV_PROXY", "1"),
        ("SSL_CERT_FILE", CA_PEM),
        ("REQUESTS_CA_BUNDLE", CA_PEM),
        ("CURL_CA_BUNDLE", CA_PEM),
        ("NODE_EXTRA_CA_CERTS", CA_PEM),
        ("GIT_SSL_CAINFO", CA_PEM),
        ("PIP_CERT", CA_PEM),
        ("CARGO_HTTP_CAINFO", CA_PEM),
        ("npm_config_cafile", CA_PEM),
        ("AWS_CA_BUNDLE", CA_PEM),
    ],
)
def test_what_programs_are_told(name: str, value: str) -> None:
    assert proxy_environment(ALLOW)[name] == value


def test_java_is_told_by_the_one_variable_that_it_reads() -> None:
    """Both schemes, Maven's switch, the trust store; what the task wants of the JVM comes after, so that it wins."""
    options = agent(JAVA_TOOL_OPTIONS="-Xmx1g -Dhttp.proxyHost=mine")["JAVA_TOOL_OPTIONS"].split()
    assert options[:4] == [
        "-Dhttp.proxyHost=127.0.0.1", "-Dhttp.proxyPort=3128", "-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=3128",
    ]  # fmt: skip
    assert f"-Djavax.net.ssl.trustStore={CA_JKS}" in options
    assert options[-2:] == ["-Xmx1g", "-Dhttp.proxyHost=mine"]
    assert agent(CLOSED, JAVA_TOOL_OPTIONS="-Xmx1g")["JAVA_TOOL_OPTIONS"] == "-Xmx1g"


@pytest.mark.parametrize(
    ("network", "has"),
    [
        pytest.param(ALLOW, False, id="none"),
        pytest.param(replace(ALLOW, ssh="git.example.org"), True, id="ssh"),
        pytest.param(replace(ALLOW, allow=(RAW,)), True, id="raw-rule"),
        pytest.param(replace(ALLOW, allow=(replace(RAW, raw=False),)), False, id="ordinary-rule"),
        pytest.param(replace(CLOSED, ssh="git.example.org"), False, id="no-way-out"),
    ],
)
def test_ssh_goes_through_the_proxy_only_where_it_may_go(network: NetworkPlan, has: bool) -> None:
    """Then its program is inside too."""
    command = agent(network).get("GIT_SSH_COMMAND")
    known = " -o GlobalKnownHostsFile=/run/aienv/known_hosts" if network.ssh else ""
    assert command == (f"ssh -o ProxyCommand='/opt/aienv/bin/python3 -I -S {CONNECT_PROGRAM} 3128 %h %p'{known}" if has else None)
    brought = dict(inputs(NoNetwork(network)))
    assert set(brought) == ({CONNECT_PROGRAM} if has else set())


def test_who_wins() -> None:
    """Image < ours < the network's < the task's; but nobody moves the proxy."""
    image = ImagePlan("i", "sha256:1", (("HTTPS_PROXY", "http://image"), ("PIP_CERT", "/image"), ("API_KEY", "image"), ("FROM_IMAGE", "1")))
    plan = replace(PLAN, image=image, env=(("https_proxy", "http://task"), ("NO_PROXY", "*"), ("PIP_CERT", "/task"), ("MINE", "task")))
    env = dict(agent_environment(plan, "run", ALLOW, (("API_KEY", "stand-in"), ("MINE", "session"))))
    assert (env["HTTPS_PROXY"], env["https_proxy"], env["NO_PROXY"]) == (PROXY, PROXY, "localhost,127.0.0.1,::1")
    assert (env["PIP_CERT"], env["API_KEY"], env["MINE"], env["FROM_IMAGE"]) == ("/task", "stand-in", "task", "1")
    closed = dict(agent_environment(plan, "run"))
    assert (closed["https_proxy"], closed["HTTPS_PROXY"]) == ("http://task", "http://image")
