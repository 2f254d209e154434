"""Claude Code: the native program, the Messages API through the gateway."""

from orchestrator.agents.project import PROJECT_FILES_OF
from orchestrator.model.agent import Additions, Credential, Profile, Program

_STREAM = ("-p", "--output-format", "stream-json", "--verbose")

PROFILE = Profile(
    name="claude",
    title="Claude Code",
    program=Program(
        "npm", "@anthropic-ai/claude-code-linux-{arch}", "2.1.330", "node_modules/@anthropic-ai/claude-code-linux-{arch}/claude"
    ),
    headless=(*_STREAM, "{args}", "--", "{prompt}"),
    interactive=("{args}", "--", "{prompt}"),
    resume=(*_STREAM, "--resume", "{session}", "{args}", "--", "{prompt}"),
    resume_interactive=("--resume", "{session}", "{args}", "--", "{prompt}"),
    model=("--model", "{model}"),
    modes={
        "bypass": Additions(words=("--dangerously-skip-permissions",)),
        # Without this variable the classifier is off where telemetry is.
        "auto": Additions(words=("--permission-mode", "auto"), env=(("CLAUDE_CODE_AUTO_MODE_SERVER", "0"),)),
        "ask": Additions(words=("--permission-mode", "manual")),
        "plan": Additions(words=("--permission-mode", "plan")),
    },
    credentials=(
        Credential("ANTHROPIC_API_KEY", base="ANTHROPIC_BASE_URL"),
        Credential("CLAUDE_CODE_OAUTH_TOKEN", base="ANTHROPIC_BASE_URL"),
        Credential("ANTHROPIC_AUTH_TOKEN", base="ANTHROPIC_BASE_URL"),
    ),
    base=Additions(
        env=(
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),  # telemetry, updates, error reports: nothing but the API is asked
            ("CLAUDE_CONFIG_DIR", "{home}/.claude"),  # its .claude.json too: all of a session in one folder
            ("CLAUDE_CODE_MAX_RETRIES", "3"),  # it would repeat a refused key for minutes
            ("DISABLE_AUTOUPDATER", "1"),
        ),
    ),
    sessions=(".claude/projects",),
    project_files=PROJECT_FILES_OF["claude"],
    dialect="claude",
    settings="claude",
)
