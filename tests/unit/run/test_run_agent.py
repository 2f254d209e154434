"""Which agent, what comes with it, and where it reaches its model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.install import Installed
from orchestrator.config.document import read_document
from orchestrator.config.layers import Layer, Settings, Source, resolve
from orchestrator.config.task import task_from
from orchestrator.egress.rules import parse_rule
from orchestrator.errors import AienvError, ConfigError, PolicyRefused, UsageError
from orchestrator.model.agent import McpServer, Native, Profile
from orchestrator.model.devcontainer import UserPlan
from orchestrator.model.network import Gateway
from orchestrator.run.agent import Around, ChosenAgent, choose_agent, plan_agent, session_of
from orchestrator.run.netplan import choose_network

KEY = {"ANTHROPIC_API_KEY": "x"}


def have(**layers: str) -> Settings:
    files: dict[Layer, str] = {name.replace("_", " "): text for name, text in layers.items()}  # type: ignore[misc]
    return resolve([Source(name, read_document(text.encode(), name, "config").values) for name, text in files.items()])


def chosen(settings: Settings, environ: dict[str, str] = KEY, home: Path = Path("/nonexistent")) -> ChosenAgent:
    return choose_agent(task_from(settings, need_agent=False), settings, {"HOME": str(home), **environ}, None)


@pytest.mark.parametrize(
    ("settings", "environ", "secrets", "hosts"),
    [
        pytest.param(have(flags="agent: claude\nprompt: x"), KEY, ("ANTHROPIC_API_KEY",), ("api.anthropic.com",), id="flag"),
        pytest.param(have(user="agent: claude\nprompt: x"), KEY, ("ANTHROPIC_API_KEY",), ("api.anthropic.com",), id="user"),
        pytest.param(
            have(flags="agent: claude\nprompt: x\nsecrets: ['ANTHROPIC_API_KEY=file:///k']"), {}, ("ANTHROPIC_API_KEY=file:///k",),
            ("api.anthropic.com",), id="source",
        ),
        pytest.param(
            have(flags="agent: claude\nprompt: x\nsecret_hosts: ['ANTHROPIC_API_KEY=llm.example.org:8443/v1', 'X=y.org']"), KEY,
            ("ANTHROPIC_API_KEY",), ("llm.example.org:8443",), id="another-service",
        ),
        pytest.param(
            have(repository="agent: claude\nprompt: x", user="secrets: [ANTHROPIC_API_KEY]"), {},
            ("ANTHROPIC_API_KEY",), (), id="repository",
        ),
        pytest.param(
            have(repository="agent: claude\nprompt: x", flags="agent: claude"), KEY, ("ANTHROPIC_API_KEY",), ("api.anthropic.com",),
            id="repository-and-user",
        ),
    ],
)  # fmt: skip
def test_what_comes_with_an_agent(settings: Settings, environ: dict[str, str], secrets: tuple[str, ...], hosts: tuple[str, ...]) -> None:
    """Its credential and the hosts of this; for a repository's choice only what the user gave by name."""
    found = chosen(settings, environ)
    assert (found.task.secrets.agent, found.hosts) == (secrets, hosts)
    assert found.profile is not None
    assert found.profile.name == "claude"


@pytest.mark.parametrize(
    ("settings", "environ", "kind", "because"),
    [
        pytest.param(have(repository="agent: claude\nprompt: x"), KEY, ConfigError, "yours to give", id="repository"),
        pytest.param(have(repository_task="agent: claude\nprompt: x"), KEY, ConfigError, "yours to give", id="repository-task"),
        pytest.param(have(flags="agent: claude\nprompt: x"), {}, ConfigError, "needs a credential", id="none"),
        pytest.param(have(flags="agent: cluade\nprompt: x"), KEY, ConfigError, "perhaps 'claude'", id="near-miss"),
    ],
)
def test_refused(settings: Settings, environ: dict[str, str], kind: type[AienvError], because: str) -> None:
    with pytest.raises(kind, match=because) as caught:
        chosen(settings, environ)
    assert caught.value.remedy


def test_a_plain_command_brings_nothing() -> None:
    settings = have(flags="command: [make]")
    assert chosen(settings) == ChosenAgent(task_from(settings, need_agent=False), None)


def test_mcp_configurations_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing one and a folder; an empty one of the user's passes."""
    for path in ("~/none.json", str(tmp_path)):
        with pytest.raises(ConfigError, match="cannot be read"):
            chosen(have(flags=f"agent: claude\nprompt: x\nmcp: ['{path}']"), home=tmp_path)
    (tmp_path / "mine.json").write_text('{"mcpServers": {}}')
    assert chosen(have(flags="agent: claude\nprompt: x\nmcp: [~/mine.json]"), home=tmp_path).servers == ()


def test_a_server_with_a_key_of_its_own_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"mcpServers": {"a": {"command": "x", "env": {"API_TOKEN": "secret-value-1234567890"}}}}')
    with pytest.raises(PolicyRefused) as caught:
        chosen(have(flags="agent: claude\nprompt: x\nmcp: [~/mine.json]"), home=tmp_path)
    assert "secret-value" not in str(caught.value)


# --- the plan's part ------------------------------------------------------------------------------------------------------


PLAIN = task_from(have(flags="command: [make]"), need_agent=False)


def around(**network: Any) -> Around:
    """A network without rules, but for what is given."""
    plan = choose_network(PLAIN, {}, Path("/nonexistent"), Path("/nonexistent")).network
    entry, mounts = ("/opt/aienv-agents/claude/claude",), (("/c", "/opt/aienv-agents/claude"),)

    def install(profile: Profile) -> Installed:
        return Installed(Path("/c"), entry, mounts, "1", "sha256:0")

    user = UserPlan("agent", "/home/agent", "/bin/sh")
    return Around("local", replace(plan, **network), None, user, "/workspaces/app", "/usr/bin/python3", install)


CLAUDE = have(flags="agent: claude\nprompt: x")
WEB = McpServer("web", "http", url="https://mcp.example.org/x")
TIME = McpServer("time", "docker", ("docker", "run", "-i", "--rm", "mcp/time"), image="mcp/time")


@pytest.mark.parametrize(
    ("server", "allow", "because", "remedy"),
    [
        pytest.param(WEB, (), "'web' cannot be reached", "--allow-host mcp.example.org", id="host"),
        pytest.param(WEB, ("other.example.org",), "'web' cannot be reached", "--allow-host mcp.example.org", id="another-host"),
        pytest.param(WEB, ("mcp.example.org:8443",), "'web' cannot be reached", "--allow-host mcp.example.org", id="another-port"),
        pytest.param(TIME, (), "is a container, and docker is none", "--docker guarded", id="container"),
    ],
)
def test_servers_that_could_only_fail(server: McpServer, allow: tuple[str, ...], because: str, remedy: str) -> None:
    """Told before anything starts; a server that can be reached passes."""
    found = replace(chosen(CLAUDE), servers=(server,))
    rules = tuple(parse_rule(text, "network.allow") for text in allow)
    with pytest.raises(PolicyRefused, match=because) as caught:
        plan_agent(found, around(mode="allowlist", allow=rules), None)
    assert remedy in str(caught.value.remedy)


def test_a_server_that_can_be_reached() -> None:
    found = replace(chosen(CLAUDE), servers=(WEB,))
    rules = (parse_rule("mcp.example.org", "network.allow"),)
    plan, _ = plan_agent(found, around(mode="allowlist", allow=rules), None)
    assert plan.servers == ("web",)


def test_a_plain_command_has_no_session() -> None:
    settings = have(flags="command: [make]")
    found = chosen(settings)
    assert plan_agent(found, around(), None)[0].argv == ("make",)
    with pytest.raises(UsageError, match="no session to go on with"):
        plan_agent(found, around(), Native("r", "s"))


@pytest.mark.parametrize(
    ("gateways", "base", "service"),
    [
        pytest.param((), None, None, id="none"),
        pytest.param((Gateway("o", "b.org", 443, "", (("OTHER_URL", ""),)),), None, None, id="another"),
        pytest.param((Gateway("o", "b.org", 443, "", (("OPENAI_BASE_URL", "/v1"),)),), "/o/v1", "https://b.org/v1", id="path"),
        pytest.param((Gateway("o", "b.org", 8443, "", (("OPENAI_BASE_URL", ""),)),), "/o", "https://b.org:8443", id="port"),
        pytest.param((Gateway("o", "b.org", 443, "/x/v1", (("OPENAI_BASE_URL", ""),)),), "/o", "https://b.org/x/v1", id="base-path"),
    ],
)
def test_where_the_model_is(gateways: tuple[Gateway, ...], base: str | None, service: str | None) -> None:
    """Codex by our gateway, qwen by the service's own address."""
    for name, wanted in (("codex", base), ("qwen", service)):
        settings = have(flags=f"agent: {name}\nprompt: x")
        found = chosen(settings, {"OPENAI_API_KEY": "x"})
        plan, _ = plan_agent(found, around(gateways=gateways), None)
        texts = " ".join([*(file.text for file in plan.files), *(value for _, value in plan.env)])
        if wanted is None:
            assert "b.org" not in texts
            assert "127.0.0.1" not in texts
        else:
            assert wanted in texts


@pytest.mark.parametrize(
    ("report", "session"),
    [
        ({"agent": {"session": "s1"}}, "s1"), ({"agent": {"session": ""}}, None), ({"agent": {"session": 1}}, None),
        ({"agent": {}}, None), ({"agent": None}, None), ({"agent": [1]}, None), ({}, None),
    ],
)  # fmt: skip
def test_the_session_of_a_report(report: dict[str, object], session: str | None) -> None:
    assert session_of(report) == session
