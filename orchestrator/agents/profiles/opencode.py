"""opencode: the native program; any of three services, by the credential that there is."""

from orchestrator.agents.project import PROJECT_FILES_OF
from orchestrator.model.agent import Additions, AgentFile, Credential, Profile, Program

SETTINGS = "/etc/opencode/opencode.json"


def _provider(name: str, key: str, path: str = "") -> Additions:
    options = {"baseURL": "{base_url}" + path, "apiKey": f"{{env:{key}}}"}
    return Additions(files=(AgentFile(SETTINGS, "json", {"provider": {name: {"options": dict(options)}}}),))


PROFILE = Profile(
    name="opencode",
    title="opencode",
    program=Program("npm", "opencode-linux-{arch}", "1.18.33", "node_modules/opencode-linux-{arch}/bin/opencode"),
    headless=("run", "--format", "json", "{args}", "--", "{prompt}"),
    interactive=("{args}", "--prompt={prompt}"),
    resume=("run", "--format", "json", "--session", "{session}", "{args}", "--", "{prompt}"),
    resume_interactive=("--session", "{session}", "{args}", "--prompt={prompt}"),
    model=("--model", "{model}"),
    modes={"bypass": Additions(words=("--auto",)), "plan": Additions(words=("--agent", "plan"))},
    credentials=(
        Credential(
            "ANTHROPIC_API_KEY",
            base="ANTHROPIC_BASE_URL",
            model="anthropic/claude-sonnet-4-5",
            additions=_provider("anthropic", "ANTHROPIC_API_KEY", "/v1"),
        ),
        Credential("OPENAI_API_KEY", base="OPENAI_BASE_URL", model="openai/gpt-5", additions=_provider("openai", "OPENAI_API_KEY")),
        Credential(
            "OPENROUTER_API_KEY",
            base="OPENROUTER_API_BASE",
            model="openrouter/anthropic/claude-sonnet-4.5",
            additions=_provider("openrouter", "OPENROUTER_API_KEY"),
        ),
    ),
    base=Additions(
        env=(
            ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
            ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
            ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
            ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1"),
            ("npm_config_fetch_retries", "0"),  # it looks for a package at each start, and works without it
        ),
        files=(AgentFile(SETTINGS, "json", {"autoupdate": False, "share": "disabled"}),),
    ),
    sessions=(".local/share/opencode",),
    leavings=(".opencode/.gitignore", ".opencode/node_modules", ".opencode/bun.lock"),
    project_files=PROJECT_FILES_OF["opencode"],
    dialect="opencode",
    settings="opencode",
)
