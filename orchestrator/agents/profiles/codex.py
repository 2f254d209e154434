"""Codex: the static program, the Responses API through the gateway, as a provider of its own: that asks for no login."""

from orchestrator.agents.project import PROJECT_FILES_OF
from orchestrator.model.agent import Additions, AgentFile, Credential, Profile, Program

SETTINGS = "/etc/codex/config.toml"


def _provider(key: str) -> Additions:
    provider = {"name": "OpenAI", "base_url": "{base_url}", "env_key": key, "wire_api": "responses"}
    return Additions(files=(AgentFile(SETTINGS, "toml", {"model_provider": "aienv", "model_providers": {"aienv": dict(provider)}}),))


PROFILE = Profile(
    name="codex",
    title="Codex",
    program=Program(
        "npm",
        "@openai/codex",
        "0.169.0",
        "node_modules/@openai/codex-linux-{arch}/vendor/{machine}-unknown-linux-musl/bin/codex",
    ),
    headless=("exec", "--json", "--skip-git-repo-check", "{args}", "--", "{prompt}"),
    interactive=("{args}", "--", "{prompt}"),
    resume=("exec", "{args}", "resume", "--json", "--skip-git-repo-check", "--", "{session}", "{prompt}"),
    resume_interactive=("resume", "{args}", "--", "{session}", "{prompt}"),
    model=("--model", "{model}"),
    # Its other modes need its own sandbox, which cannot be made inside ours.
    modes={"bypass": Additions(words=("--dangerously-bypass-approvals-and-sandbox",))},
    credentials=(
        Credential("OPENAI_API_KEY", base="OPENAI_BASE_URL", additions=_provider("OPENAI_API_KEY")),
        Credential("CODEX_API_KEY", base="OPENAI_BASE_URL", additions=_provider("CODEX_API_KEY")),
    ),
    base=Additions(
        files=(
            AgentFile(
                SETTINGS,
                "toml",
                {
                    "check_for_update_on_startup": False,
                    "web_search": "disabled",  # the service would do it, past our rules for the network
                    "analytics": {"enabled": False},
                    "features": {"plugins": False, "apps": False},
                    "otel": {"metrics_exporter": "none"},
                },
            ),
        ),
    ),
    sessions=(".codex/sessions",),
    project_files=PROJECT_FILES_OF["codex"],
    dialect="codex",
    settings="codex",
)
