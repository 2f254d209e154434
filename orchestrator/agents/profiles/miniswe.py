"""mini-swe-agent: one tool, the shell. A Python package; the environment must have its version of Python."""

from orchestrator.model.agent import Additions, Credential, Profile, Program

PROFILE = Profile(
    name="mini-swe-agent",
    title="mini-swe-agent",
    # litellm imports mcp, and does not ask for it.
    program=Program("pypi", "mini-swe-agent", "2.4.6", "mini", runtime="python", extra=("mcp",)),
    headless=("--yolo", "--exit-immediately", "--output", "{home}/.mini/trajectory.json", "{args}", "--task={prompt}"),
    interactive=("{args}",),
    model=("--model", "{model}"),
    credentials=(
        Credential("ANTHROPIC_API_KEY", base="ANTHROPIC_BASE_URL", model="anthropic/claude-sonnet-4-5"),
        Credential("OPENAI_API_KEY", base="OPENAI_BASE_URL", model="openai/gpt-5"),
        Credential("GEMINI_API_KEY", base="GEMINI_API_BASE", model="gemini/gemini-2.5-pro"),
        Credential("OPENROUTER_API_KEY", base="OPENROUTER_API_BASE", model="openrouter/anthropic/claude-sonnet-4.5"),
    ),
    base=Additions(
        env=(
            ("MSWEA_CONFIGURED", "true"),
            ("MSWEA_COST_TRACKING", "ignore_errors"),
            ("MSWEA_SILENT_STARTUP", "1"),
            ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
        ),
    ),
    sessions=(".mini",),
)
