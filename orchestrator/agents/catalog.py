"""The agents that aienv knows, by name. The user's own are manifests (``agents.own``)."""

from collections.abc import Mapping

from orchestrator.agents.profiles import aider, claude, codex, gemini, miniswe, opencode, pi, qwen
from orchestrator.model.agent import Profile, Program

COMMAND = Profile(name="command", title="a command line", program=Program("image", "", "", "sh"), headless=())

PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        claude.PROFILE, codex.PROFILE, opencode.PROFILE, gemini.PROFILE, qwen.PROFILE, pi.PROFILE, aider.PROFILE, miniswe.PROFILE, COMMAND,
    )
}  # fmt: skip
