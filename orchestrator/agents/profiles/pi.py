"""pi, on Node: small, fast, without permissions of its own."""

from orchestrator.agents.project import PROJECT_FILES_OF
from orchestrator.model.agent import Additions, AgentFile, Credential, Document, Profile, Program

SETTINGS = "~/.pi/agent/models.json"


def _provider(name: str, path: str = "") -> Additions:
    document: Document = {"providers": {name: {"baseUrl": "{base_url}" + path}}}
    return Additions(words=("--provider", name), files=(AgentFile(SETTINGS, "json", document, locked=False),))


PROFILE = Profile(
    name="pi",
    title="pi",
    program=Program(
        "npm", "@mariozechner/pi-coding-agent", "0.73.1", "node_modules/@mariozechner/pi-coding-agent/dist/cli.js", runtime="node"
    ),
    # It knows no "--", and takes a word that begins with "-" or "@" for an option or a file: a blank in front makes it a text.
    headless=("--mode", "json", "{args}", "-p", " {prompt}"),
    interactive=("{args}", " {prompt}"),
    resume=("--mode", "json", "--session", "{session}", "{args}", "-p", " {prompt}"),
    resume_interactive=("--session", "{session}", "{args}", " {prompt}"),
    model=("--model", "{model}"),
    credentials=(
        Credential("ANTHROPIC_API_KEY", base="ANTHROPIC_BASE_URL", model="claude-sonnet-4-5", additions=_provider("anthropic")),
        Credential("OPENAI_API_KEY", base="OPENAI_BASE_URL", model="gpt-5", additions=_provider("openai")),
    ),
    base=Additions(env=(("PI_OFFLINE", "1"), ("PI_TELEMETRY", "0"))),
    sessions=(".pi/agent/sessions",),
    project_files=PROJECT_FILES_OF["pi"],
    dialect="pi",
    settings="pi",
)
