"""aider: edits as blocks of text, commits of its own, no tools. A Python package; the environment must have its version of Python."""

from orchestrator.agents.project import PROJECT_FILES_OF
from orchestrator.model.agent import Additions, AgentFile, Credential, Profile, Program

PROFILE = Profile(
    name="aider",
    title="aider",
    program=Program("pypi", "aider-chat", "0.86.2", "aider", runtime="python"),
    headless=("--yes-always", "--no-pretty", "--no-stream", "{args}", "--message={prompt}"),
    interactive=("{args}",),
    model=("--model", "{model}"),
    credentials=(
        Credential("ANTHROPIC_API_KEY", base="ANTHROPIC_BASE_URL", model="anthropic/claude-sonnet-4-5"),
        Credential("OPENAI_API_KEY", base="OPENAI_BASE_URL", model="openai/gpt-5"),
        Credential("GEMINI_API_KEY", base="GEMINI_API_BASE", model="gemini/gemini-2.5-pro"),
        Credential("OPENROUTER_API_KEY", base="OPENROUTER_API_BASE", model="openrouter/anthropic/claude-sonnet-4.5"),
        Credential("DEEPSEEK_API_KEY", base="DEEPSEEK_API_BASE", model="deepseek/deepseek-chat"),
    ),
    base=Additions(
        words=("--no-check-update", "--analytics-disable", "--no-show-release-notes", "--no-show-model-warnings", "--no-gitignore"),
        env=(("LITELLM_LOCAL_MODEL_COST_MAP", "True"),),
        # Without a name there it would write one into the clone's own configuration, which is closed; the author is the run's.
        files=(AgentFile("~/.gitconfig", "text", "[user]\n\tname = aienv agent\n\temail = agent@aienv.invalid\n", locked=False),),
    ),
    leavings=(".aider*",),
    project_files=PROJECT_FILES_OF["aider"],
)
