"""Gemini CLI, on Node, through the gateway."""

from orchestrator.agents.project import PROJECT_FILES_OF
from orchestrator.model.agent import Additions, AgentFile, Credential, Profile, Program

SETTINGS = "~/.gemini/settings.json"  # the system-wide one would have to belong to uid 0, which nobody has inside

PROFILE = Profile(
    name="gemini",
    title="Gemini CLI",
    program=Program("npm", "@google/gemini-cli", "0.61.0", "node_modules/@google/gemini-cli/bundle/gemini.js", runtime="node"),
    headless=("--output-format", "stream-json", "{args}", "--prompt={prompt}"),
    interactive=("{args}", "--prompt-interactive={prompt}"),
    resume=("--output-format", "stream-json", "--resume", "latest", "{args}", "--prompt={prompt}"),
    resume_interactive=("--resume", "latest", "{args}", "--prompt-interactive={prompt}"),
    model=("--model", "{model}"),
    modes={
        "bypass": Additions(words=("--approval-mode", "yolo")),
        "auto": Additions(words=("--approval-mode", "auto_edit")),
        "ask": Additions(words=("--approval-mode", "default")),
        "plan": Additions(words=("--approval-mode", "plan")),
    },
    # Without a model it asks a router first which one to take.
    credentials=(
        Credential("GEMINI_API_KEY", base="GOOGLE_GEMINI_BASE_URL", model="gemini-2.5-pro"),
        Credential("GOOGLE_API_KEY", base="GOOGLE_GEMINI_BASE_URL", model="gemini-2.5-pro"),
    ),
    base=Additions(
        words=("--skip-trust",),  # else it ends with 55; what the repository could do with the trust is left out (agents.project)
        files=(
            AgentFile(
                SETTINGS,
                "json",
                {
                    "security": {"auth": {"selectedType": "gemini-api-key"}},
                    "privacy": {"usageStatisticsEnabled": False},
                    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
                },
            ),
        ),
    ),
    sessions=(".gemini/tmp", ".gemini/history"),
    project_files=PROJECT_FILES_OF["gemini"],
    dialect="gemini",
    settings="gemini",
)
