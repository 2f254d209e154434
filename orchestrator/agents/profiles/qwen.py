"""Qwen Code, on Node, with any service that speaks OpenAI's chat completions.

It asks the proxy for loopback addresses too, so it goes to the service's own address, where the broker adds the credential.
"""

from orchestrator.agents.project import PROJECT_FILES_OF
from orchestrator.model.agent import Additions, AgentFile, Credential, Profile, Program

SETTINGS = "/etc/qwen-code/settings.json"

PROFILE = Profile(
    name="qwen",
    title="Qwen Code",
    program=Program("npm", "@qwen-code/qwen-code", "0.15.10", "node_modules/@qwen-code/qwen-code/cli.js", runtime="node"),
    headless=("--output-format", "stream-json", "{args}", "--prompt={prompt}"),
    interactive=("{args}", "--prompt-interactive={prompt}"),
    resume=("--output-format", "stream-json", "--resume", "{session}", "{args}", "--prompt={prompt}"),
    resume_interactive=("--resume", "{session}", "{args}", "--prompt-interactive={prompt}"),
    model=("--model", "{model}"),
    modes={
        "bypass": Additions(words=("--approval-mode", "yolo")),
        "auto": Additions(words=("--approval-mode", "auto-edit")),
        "ask": Additions(words=("--approval-mode", "default")),
        "plan": Additions(words=("--approval-mode", "plan")),
    },
    credentials=(
        Credential(
            "OPENAI_API_KEY",
            base="OPENAI_BASE_URL",
            model="qwen3-coder-plus",
            additions=Additions(env=(("OPENAI_BASE_URL", "{service_url}"),)),
        ),
    ),
    base=Additions(
        words=("--auth-type", "openai"),
        files=(AgentFile(SETTINGS, "json", {"privacy": {"usageStatisticsEnabled": False}, "general": {"enableAutoUpdate": False}}),),
    ),
    sessions=(".qwen/projects", ".qwen/tmp"),
    project_files=PROJECT_FILES_OF["qwen"],
    dialect="qwen",
    settings="qwen",
)
