"""One policy in each agent's own format. That the real programs obey is in docs/agents-permissions.md; here: that this is what they get."""

import json
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agents.permissions import HOOK_TIMEOUT_S, HookPlace, permissions
from orchestrator.config.schema import HARMLESS_FILES, SECRET_FILES
from orchestrator.model.agent import Additions, DenyRules, Dialect, Document, Value

RULES = DenyRules(read=(".env", ".ssh/*", "keys/", "a/**/b.pem"), run=("curl", "git push"), fetch=True)
NOTHING = DenyRules()
HOOKS = HookPlace(("/usr/bin/python3", "-I", "-S", "/run/aienv/hook.py"), "claude", "aienv-7f3a")
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)


def document(additions: Additions, path: str) -> Document:
    found = next(file for file in additions.files if file.path == path)
    assert isinstance(found.content, dict)
    assert found.locked
    return found.content


def at(value: Value, *steps: str | int) -> Value:
    for step in steps:
        value = value[step]  # type: ignore[index]
    return value


def test_claude() -> None:
    """From the root of the file system; bypassing stays possible, since the sandbox is the wall."""
    settings = document(permissions("claude", RULES, HOOKS), "/etc/claude-code/managed-settings.json")
    assert at(settings, "permissions") == {
        "deny": [
            "Read(//**/.env)", "Read(//**/.ssh/*)", "Read(//**/keys/**)", "Read(//**/a/**/b.pem)",
            "Bash(curl:*)", "Bash(git push:*)", "WebFetch", "WebSearch",
        ]
    }  # fmt: skip
    assert settings["allowManagedHooksOnly"] is True
    hook = at(settings, "hooks", "PreToolUse", 0)
    command = "/usr/bin/python3 -I -S /run/aienv/hook.py claude pre || { [ $? = 2 ] || echo 'aienv: call refused' >&2; exit 2; }"
    assert hook == {"matcher": "*", "hooks": [{"type": "command", "command": command, "timeout": HOOK_TIMEOUT_S}]}
    assert at(settings, "hooks", "PostToolUse", 0, "matcher") == "*"


def test_codex() -> None:
    """Requirements, which no other configuration of codex weakens."""
    content = document(permissions("codex", RULES, HOOKS), "/etc/codex/requirements.toml")
    assert at(content, "rules", "prefix_rules", 1) == {
        "pattern": [{"token": "git"}, {"token": "push"}],
        "decision": "forbidden",
        "justification": "aienv: git push is denied (deny.run)",
    }
    assert at(content, "hooks", "managed_dir") == "/run/aienv"
    assert (content["allow_managed_hooks_only"], content["features"]) == (True, {"hooks": True})
    assert content["allowed_web_search_modes"] == []
    assert "permissions" not in content, "with it, codex does not start without its own sandbox"


def test_opencode() -> None:
    """The last row that fits decides; a star of its goes over slashes."""
    additions = permissions("opencode", RULES, HOOKS)
    settings = document(additions, "/etc/opencode/opencode.json")
    permission = settings["permission"]
    assert at(permission, "bash") == {"*": "allow", "curl": "deny", "curl *": "deny", "git push": "deny", "git push *": "deny"}
    read = at(permission, "read")
    assert isinstance(read, dict)
    assert next(iter(read)) == "*"
    assert {".env", "*/.env", "keys/*", "*/keys/*", "a/*/b.pem"} <= read.keys()
    assert (at(permission, "webfetch"), at(permission, "websearch")) == ("deny", "deny")
    (plugin,) = (file for file in additions.files if file.format == "text")
    assert settings["plugin"] == [f"file://{plugin.path}"]
    assert 'const PRE = ["/usr/bin/python3", "-I", "-S", "/run/aienv/hook.py", "claude", "pre"]' in str(plugin.content)


def test_gemini() -> None:
    """A policy file of the administrator's, and hooks in the system's settings."""
    additions = permissions("gemini", RULES, HOOKS)
    table = at(document(additions, "/run/aienv/agent/gemini-policy.toml"), "rule")
    assert isinstance(table, list)
    assert additions.words == ("--admin-policy", "/run/aienv/agent/gemini-policy.toml")
    assert {"toolName": "run_shell_command", "commandPrefix": "git push", "decision": "deny", "priority": 900,
            "denyMessage": "aienv: git push is denied (deny.run)"} in table  # fmt: skip
    assert {at(row, "toolName") for row in table} >= {"web_fetch", "google_web_search", "read_file"}
    hooks = document(additions, "~/.gemini/settings.json")
    assert at(hooks, "hooksConfig", "enabled") is True
    assert at(hooks, "hooks", "BeforeTool", 0, "hooks", 0, "timeout") == HOOK_TIMEOUT_S * 1000
    assert at(hooks, "hooks", "AfterTool", 0, "hooks", 0, "name") == "aienv-7f3a", "by another name it could be switched off"


def test_qwen() -> None:
    """Claude's rules at gemini's kind of place; its hooks cannot be switched off from elsewhere."""
    settings = document(permissions("qwen", RULES, HOOKS), "/etc/qwen-code/settings.json")
    deny = at(settings, "permissions", "deny")
    assert isinstance(deny, list)
    assert {"Read(//**/.env)", "Bash(curl)", "Bash(curl *)", "WebFetch"} <= {str(item) for item in deny}
    assert settings["disableAllHooks"] is False


@pytest.mark.parametrize("dialect", ["pi", "text"])
def test_agents_without_permissions_say_so(dialect: Dialect) -> None:
    """Nothing is written for them, and people are told."""
    additions = permissions(dialect, RULES, HOOKS)
    assert additions == Additions(notes=additions.notes)
    assert "the sandbox and the network rules hold alone" in additions.notes[0]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_rules_no_denials(dialect: Dialect) -> None:
    """Without rules and hooks nothing is denied, and nothing is to be told."""
    additions = permissions(dialect, NOTHING, None, project_hooks=True)
    assert additions == Additions()


@pytest.mark.parametrize(("dialect", "key"), [("claude", "allowManagedHooksOnly"), ("codex", "allow_managed_hooks_only")])
def test_granted_hooks_of_the_repository_stay_on(dialect: Dialect, key: str) -> None:
    """A user who granted a file of the repository's wants it to act."""
    (with_grant,) = permissions(dialect, RULES, HOOKS, project_hooks=True).files
    (without,) = permissions(dialect, RULES, HOOKS).files
    assert key in without.content
    assert key not in with_grant.content


@pytest.mark.parametrize("dialect", ["claude", "codex", "gemini", "opencode", "qwen"])
def test_without_hooks_what_is_weaker_is_told(dialect: Dialect) -> None:
    """Only the hook looks into ``bash -c``."""
    assert permissions(dialect, RULES, HOOKS).notes == ()
    assert any("bash -c" in note for note in permissions(dialect, RULES, None).notes)


def _gemini_patterns(*globs: str) -> list[re.Pattern[str]]:
    table = at(document(permissions("gemini", DenyRules(read=globs), None), "/run/aienv/agent/gemini-policy.toml"), "rule")
    assert isinstance(table, list)
    return [re.compile(str(at(row, "argsPattern"))) for row in table]


def _gemini_denies(glob: str, path: str) -> bool:
    return any(pattern.search(json.dumps({"file_path": path})) for pattern in _gemini_patterns(glob))


@pytest.mark.parametrize(
    ("glob", "path", "denied"),
    [
        pytest.param(".env", ".env", True, id="here"),
        pytest.param(".env", "/w/sub/.env", True, id="below"),
        pytest.param(".env", "/w/sub/x.env", False, id="another-name"),
        pytest.param(".env", "/w/.env/readme", False, id="a-folder-of-that-name"),
        pytest.param("*.pem", "k/my.pem", True, id="star"),
        pytest.param("*.pem", "k/my.pem.txt", False, id="star-ends"),
        pytest.param(".ssh/*", "/root/.ssh/id", True, id="folder"),
        pytest.param(".ssh/*", "/root/.ssh/a/b", False, id="one-level"),
        pytest.param(".ssh/", "/root/.ssh/a/b", True, id="everything-below"),
        pytest.param(".ssh/*", "/root/my.ssh/id", False, id="another-folder"),
        pytest.param("a/**/b.pem", "a/x/y/b.pem", True, id="any-folders"),
        pytest.param("a/**/b.pem", "a/b.pem", True, id="no-folders"),
        pytest.param("k[0-9].pem", "k7.pem", True, id="class"),
        pytest.param("k[!0-9].pem", "k7.pem", False, id="class-of-others"),
    ],
)
def test_gemini_reads(glob: str, path: str, denied: bool) -> None:
    """Its rules match a call's arguments as JSON text."""
    assert _gemini_denies(glob, path) is denied


def test_gemini_takes_no_groups() -> None:
    """It drops a rule whose pattern repeats inside a group, and says so on standard error only."""
    assert all("(" not in pattern.pattern.replace("\\(", "") for pattern in _gemini_patterns(*SECRET_FILES, "a/**/b", "**"))


@pytest.mark.parametrize("name", HARMLESS_FILES[:-1])
def test_harmless_neighbours_are_not_denied(name: str) -> None:
    """Formats without exceptions would otherwise hide ``.env.example``, which agents are told to read."""
    assert not any(_gemini_denies(glob, name) for glob in SECRET_FILES)
    assert any(_gemini_denies(glob, ".env.production") for glob in SECRET_FILES)


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=20), max_size=5), st.sampled_from(DIALECTS))
def test_any_rules_can_be_written(texts: list[str], dialect: Dialect) -> None:
    """What comes out is a document, whatever the words are; gemini's patterns compile."""
    additions = permissions(dialect, DenyRules(tuple(texts), tuple(texts)), HOOKS)
    for file in additions.files:
        json.dumps(file.content)
    if dialect == "gemini":
        _gemini_patterns(*texts) if texts else None


def test_a_program_that_is_not_there_refuses() -> None:
    """Agents take every exit code of a hook but 2 for consent, so the shell says 2."""
    import subprocess

    for argv, code in ((("/nonexistent/python",), 2), (("/bin/sh", "-c", "exit 1"), 2), (("/bin/sh", "-c", "exit 0"), 0)):
        done = subprocess.run(["sh", "-c", HookPlace(argv, "claude").shell("pre")], capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == code
        assert ("refused" in done.stderr) is (code == 2)
