"""From a profile and a task to a start: what is refused, who pays, what comes in which order."""

from dataclasses import replace

import pytest

from orchestrator.agents.catalog import COMMAND, PROFILES
from orchestrator.agents.start import Asked, Place, choose_credential, start
from orchestrator.errors import ConfigError, UsageError
from orchestrator.model.agent import Additions, AgentFile, AgentRules, Credential, DenyRules, Native, Profile, Program
from orchestrator.model.plan import AgentPlan

PLACE = Place(
    ("/x",), (("/c", "/opt/aienv-agents/x"),), "1", "sha256:0", "/usr/bin/python3", "/home/agent", "/workspaces/app", "http://b", "http://s"
)
KEY = Credential("KEY", base="BASE", model="key-model", additions=Additions(words=("--key", "{key}"), env=(("A", "credential"),)))
MINE = Profile(
    "mine", "Mine", Program("image", "", "", "mine"), headless=("run", "{args}", "--", "{prompt}"), model=("-m", "{model}"),
    credentials=(KEY,),
    base=Additions(words=("--base",), env=(("A", "base"), ("B", "{home}")), files=(AgentFile("~/s", "text", "{base_url}"),)),
    modes={"bypass": Additions(words=("--yes",), env=(("A", "mode"),)), "plan": Additions(words=("--plan",))},
)  # fmt: skip


def begun(
    profile: Profile = MINE, prompt: str | None = "fix", tty: bool = False, native: Native | None = None, **rules: object
) -> AgentPlan:
    have = AgentRules(**rules)  # type: ignore[arg-type]
    return start(profile, Asked(prompt, tty, have, profile.credentials[0] if profile.credentials else None, (), native, ()), PLACE)[0]


def test_the_order_of_words() -> None:
    """The profile's, the credential's, the mode's, the model, and the user's last: where two speak, a program hears the last."""
    assert begun(args=("{model}", "--own"), model="m1").argv == (
        "/x", "run", "--base", "--key", "KEY", "--yes", "-m", "m1", "{model}", "--own", "--", "fix",
    )  # fmt: skip
    assert begun().argv[6:8] == ("-m", "key-model")


def test_variables_and_files() -> None:
    """Later parts win; the home is where this user's is."""
    plan = begun()
    assert plan.env == (("A", "mode"), ("B", "/home/agent"))
    assert begun(mode="plan").env == (("A", "credential"), ("B", "/home/agent"))
    assert [(file.path, file.text, file.locked) for file in plan.files] == [("/home/agent/s", "http://b", True)]


@pytest.mark.parametrize(
    ("profile", "asked", "because", "passes"),
    [
        pytest.param(MINE, {"prompt": None}, "has nothing to do", {"prompt": ""}, id="no-prompt"),
        pytest.param(MINE, {"mode": "auto"}, "no permission mode 'auto'", {"mode": "plan"}, id="mode"),
        pytest.param(MINE, {"tty": True}, "no interactive form", {}, id="no-terminal-form"),
        pytest.param(MINE, {"native": Native("r", "s")}, "cannot go on", {}, id="no-session"),
        pytest.param(PROFILES["aider"], {"native": Native("r", "s")}, "cannot go on", {}, id="aider-session"),
        pytest.param(MINE, {"max_turns": 3}, "does not report its turns", {"idle_s": 3.0}, id="turns"),
        pytest.param(PROFILES["codex"], {"max_cost_usd": 1.0}, "does not report what it costs", {"max_turns": 3}, id="cost"),
        pytest.param(PROFILES["codex"], {"mode": "ask"}, "no permission mode 'ask'", {"mode": "bypass"}, id="codex-mode"),
    ],
)
def test_refused(profile: Profile, asked: dict[str, object], because: str, passes: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=because) as caught:
        begun(profile, **asked)  # type: ignore[arg-type]
    assert caught.value.remedy
    begun(profile, **passes)  # type: ignore[arg-type]


def test_at_a_terminal_a_prompt_may_be_missing() -> None:
    profile = replace(MINE, interactive=("{args}", "--", "{prompt}"))
    assert begun(profile, None, tty=True).argv[-2:] == ("-m", "key-model")
    assert begun(profile, "--help", tty=True).argv[-2:] == ("--", "--help")


def test_claude_hears_of_its_limit() -> None:
    argv = begun(PROFILES["claude"], max_cost_usd=1.5).argv
    assert argv[argv.index("--max-budget-usd") + 1] == "1.5"
    assert "--max-budget-usd" not in begun(PROFILES["claude"]).argv


@pytest.mark.parametrize(
    ("name", "hooks", "has"),
    [("claude", True, True), ("claude", False, False), ("codex", True, True), ("pi", True, False), ("aider", True, False)],
)
def test_hooks_are_judged_where_there_are_some(name: str, hooks: bool, has: bool) -> None:
    deny = DenyRules(("*.key",), ("git push",), True)
    assert begun(PROFILES[name], hooks=hooks, deny=deny).deny == (deny if has else None)


def test_trust_comes_with_a_grant() -> None:
    """Of the agent's own files only."""
    grant = ".codex/hooks.json@sha256:" + "0" * 64
    assert "trust_level" in "".join(file.text for file in begun(PROFILES["codex"], grants=(grant,)).files)
    for other in ((), ("x/.codex/hooks.json@sha256:" + "0" * 64,), (".claude/settings.json@sha256:" + "0" * 64,)):
        assert "trust_level" not in "".join(file.text for file in begun(PROFILES["codex"], grants=other).files)


CLAUDE = PROFILES["claude"]
OAUTH = {"CLAUDE_CODE_OAUTH_TOKEN": "x"}


@pytest.mark.parametrize(
    ("profile", "named", "environ", "by_user", "found"),
    [
        pytest.param(CLAUDE, (), {"ANTHROPIC_API_KEY": "x"}, True, "ANTHROPIC_API_KEY", id="the-users"),
        pytest.param(CLAUDE, (), {"ANTHROPIC_API_KEY": "", **OAUTH}, True, "CLAUDE_CODE_OAUTH_TOKEN", id="an-empty-one-is-none"),
        pytest.param(CLAUDE, ("CLAUDE_CODE_OAUTH_TOKEN",), {"ANTHROPIC_API_KEY": "x"}, True, "CLAUDE_CODE_OAUTH_TOKEN", id="named-first"),
        pytest.param(CLAUDE, ("ANTHROPIC_API_KEY",), {}, False, "ANTHROPIC_API_KEY", id="named-for-a-repository"),
        pytest.param(COMMAND, (), {"ANTHROPIC_API_KEY": "x"}, True, None, id="needs-none"),
    ],
)
def test_who_pays(profile: Profile, named: tuple[str, ...], environ: dict[str, str], by_user: bool, found: str | None) -> None:
    credential = choose_credential(profile, named, environ, by_user)
    assert (credential.name if credential is not None else None) == found


@pytest.mark.parametrize(
    ("named", "environ", "by_user", "because", "remedy"),
    [
        pytest.param((), {}, True, "needs a credential", "export ANTHROPIC_API_KEY=", id="none"),
        pytest.param(("OTHER",), {"OTHER": "x"}, True, "needs a credential", "--secret ANTHROPIC_API_KEY=", id="another"),
        pytest.param((), OAUTH, False, "yours to give", "--secret CLAUDE_CODE_OAUTH_TOKEN", id="chosen-by-the-repository"),
        pytest.param((), {}, False, "needs a credential", "export", id="repository-and-none"),
    ],
)
def test_nobody_pays(named: tuple[str, ...], environ: dict[str, str], by_user: bool, because: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=because) as caught:
        choose_credential(CLAUDE, named, environ, by_user)
    assert remedy in str(caught.value.remedy)
