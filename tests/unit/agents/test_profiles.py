"""Every profile of ours, in each way in which it can be started."""

import json
import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from itertools import product

import pytest

from orchestrator.agents.catalog import PROFILES
from orchestrator.agents.install import NODE, lock_name, lock_of
from orchestrator.agents.lock import parse_lock
from orchestrator.agents.start import Asked, Place, start
from orchestrator.agents.words import ARGS, FIELDS
from orchestrator.config.document import read_document
from orchestrator.config.layers import Source, resolve
from orchestrator.config.names import AGENT_NAME, AGENTS
from orchestrator.model.agent import PERMISSION_MODES, AgentRules, Credential, McpServer, Native, PermissionMode, Profile
from orchestrator.model.plan import AgentPlan
from orchestrator.policy import _agents_own_place as is_own_place
from orchestrator.secrets.bindings import KNOWN
from tests.unit.test_policy import plan as whole_plan

AGENT_PROFILES = [profile for name, profile in PROFILES.items() if name != "command"]
PLACE = Place(
    ("/opt/aienv-agents/x/bin/x",), (("/cache/x", "/opt/aienv-agents/x"),), "1.2.3", "sha256:0", "/usr/bin/python3",
    "/home/agent", "/workspaces/app", "http://127.0.0.1:3129/x", "https://api.example.org",
)  # fmt: skip
SESSION = "0199a213-81c0-7800-8aa1-bbab2a035a53"
SERVERS = (
    McpServer("time", "docker", ("docker", "run", "-i", "--rm", "mcp/time"), image="mcp/time"),
    McpServer("web", "http", url="https://mcp.example.org/x", headers=(("Authorization", "Bearer ${WEB_TOKEN}"),)),
)
ODD_PROMPTS = ("-x", "--help", "--", "{model}", "{args}{prompt}", "@/etc/passwd", "two\nlines", "'\"$(id)`id`", "é\udce9")


def asked(profile: Profile, prompt: str | None = "fix it", **changes: object) -> Asked:
    credential = changes.pop("credential", profile.credentials[0] if profile.credentials else None)
    assert credential is None or isinstance(credential, Credential)
    tty, native, servers = changes.pop("tty", False), changes.pop("native", None), changes.pop("servers", ())
    return Asked(prompt, bool(tty), AgentRules(**changes), credential, servers, native, ())  # type: ignore[arg-type]


def every_start(profile: Profile) -> Iterator[AgentPlan]:
    """Each mode with each credential, at a terminal and without, with and without servers and a session."""
    sessions = (None, Native("run1", SESSION)) if profile.resume else (None,)
    modes: list[PermissionMode] = [mode for mode in PERMISSION_MODES if mode in profile.modes]
    for mode, credential, tty, native, servers in product(modes, profile.credentials, (False, True), sessions, ((), SERVERS)):
        yield start(profile, asked(profile, mode=mode, credential=credential, tty=tty, native=native, servers=servers), PLACE)[0]


def test_names_agree() -> None:
    """What a configuration may name, what there is, and what each says of itself."""
    assert set(AGENTS) == set(PROFILES)
    assert all(name == profile.name and AGENT_NAME.fullmatch(name) for name, profile in PROFILES.items())


@pytest.mark.parametrize("profile", [*AGENT_PROFILES, NODE], ids=lambda profile: profile.name)
def test_a_lock_file_has_its_version(profile: Profile) -> None:
    """For both processors, where npm has packages for each."""
    lock = lock_of(profile, {"HOME": "/nonexistent"})
    assert (lock.package, lock.version) == (lock_name(profile.program), profile.program.version)
    if lock.kind == "npm":
        assert lock.packages_for("x64")
        assert lock.packages_for("arm64")


def test_no_lock_file_is_left_over() -> None:
    folder = resources.files("orchestrator.agents") / "data"
    names = {entry.name.removesuffix(".lock.json") for entry in folder.iterdir() if entry.name.endswith(".json")}
    assert names == {*(profile.name for profile in AGENT_PROFILES), "node"}
    assert all(parse_lock((folder / f"{name}.lock.json").read_bytes(), name) for name in names)


@pytest.mark.parametrize("profile", AGENT_PROFILES, ids=lambda profile: profile.name)
def test_nothing_is_left_to_fill_in(profile: Profile) -> None:
    """No word, variable, path or file of any start holds a field; each file can be read in its format."""
    field = re.compile(r"\{(" + "|".join((*FIELDS, "args", "arch", "machine")) + r")\}")
    plans = list(every_start(profile))
    assert plans
    for plan in plans:
        texts = [*plan.argv, *(text for pair in plan.env for text in pair)]
        texts += [text for file in plan.files for text in (file.path, file.text)]
        assert [text for text in texts if field.search(text)] == []
        for file in plan.files:
            if file.path.endswith(".json"):
                json.loads(file.text)
            elif file.path.endswith(".toml"):
                tomllib.loads(file.text)


@pytest.mark.parametrize("profile", AGENT_PROFILES, ids=lambda profile: profile.name)
def test_its_files_stand_where_the_policy_has_them(profile: Profile) -> None:
    have = resolve([Source("user", read_document(b"{}", "user", "config").values)])
    whole = whole_plan(have)
    found = {file.path: file for plan in every_start(profile) for file in plan.files}
    assert [path for path, file in found.items() if not is_own_place(whole, file)] == []


@pytest.mark.parametrize("prompt", ODD_PROMPTS)
@pytest.mark.parametrize("profile", AGENT_PROFILES, ids=lambda profile: profile.name)
def test_a_prompt_is_the_end_of_one_word(profile: Profile, prompt: str) -> None:
    """As it is, and never where the program would take it for an option."""
    ways = [asked(profile, prompt)]
    if profile.resume:
        ways.append(asked(profile, prompt, native=Native("run1", SESSION)))
    if any("{prompt}" in word for word in profile.interactive):
        ways += [asked(profile, prompt, tty=True), asked(profile, prompt, tty=True, native=Native("run1", SESSION))]
    for way in ways:
        argv = start(profile, way, PLACE)[0].argv
        assert argv[-1].endswith(prompt)
        front = argv[-1].removesuffix(prompt)
        assert front == " " or front.endswith("=") or (not front and "--" in argv[:-1]), argv


@pytest.mark.parametrize("profile", AGENT_PROFILES, ids=lambda profile: profile.name)
def test_without_a_prompt_nothing_is_left_of_it(profile: Profile) -> None:
    """At a terminal, the words end where the prompt would begin."""
    for native in (None, Native("run1", SESSION)) if profile.resume_interactive else (None,):
        told = start(profile, asked(profile, "TOLD", tty=True, native=native), PLACE)[0].argv
        argv = start(profile, asked(profile, None, tty=True, native=native), PLACE)[0].argv
        without = told[:-1] if told[-1].endswith("TOLD") else told
        # A "--" of which nothing would follow goes with it.
        assert argv == (without[:-1] if without[-1:] == ("--",) else without)


@pytest.mark.parametrize("profile", [profile for profile in AGENT_PROFILES if profile.resume], ids=lambda profile: profile.name)
@pytest.mark.parametrize("tty", [False, True])
def test_a_session_is_named(profile: Profile, tty: bool) -> None:
    """Gemini's name is its place in a list; there is one only in a home of its own."""
    argv = start(profile, asked(profile, tty=tty, native=Native("run1", SESSION)), PLACE)[0].argv
    assert ("latest" if profile.name == "gemini" else SESSION) in argv
    assert SESSION not in start(profile, asked(profile, tty=tty), PLACE)[0].argv
    assert bool(profile.resume) == bool(profile.resume_interactive)
    assert profile.sessions


@pytest.mark.parametrize("profile", AGENT_PROFILES, ids=lambda profile: profile.name)
def test_a_model_is_named(profile: Profile) -> None:
    """The task's before the credential's."""
    argv = start(profile, asked(profile, model="provider/m1"), PLACE)[0].argv
    assert any("provider/m1" in word for word in argv)
    assert not any("{model}" in word for word in start(profile, asked(profile), PLACE)[0].argv)
    first = profile.credentials[0].model
    assert first is None or not any(first in word for word in argv)


@pytest.mark.parametrize("profile", AGENT_PROFILES, ids=lambda profile: profile.name)
def test_modes_and_credentials_are_ones_that_we_know(profile: Profile) -> None:
    """Each credential has a host, and its variable is one that our gateway tells."""
    assert set(profile.modes) <= set(PERMISSION_MODES)
    assert "bypass" in profile.modes
    for credential in profile.credentials:
        gateway = KNOWN[credential.name].gateway
        assert gateway is not None, credential.name
        assert credential.base in dict(gateway.variables), credential.name
    assert profile.headless.count(ARGS) == 1


@pytest.mark.parametrize("profile", AGENT_PROFILES, ids=lambda profile: profile.name)
def test_the_model_is_reached_where_the_gateway_is(profile: Profile) -> None:
    """A file or variable that names the service has the address that was handed in, for each credential."""
    for credential in profile.credentials:
        plan, _ = start(profile, asked(profile, credential=credential), PLACE)
        texts = "".join([*(value for _, value in plan.env), *(file.text for file in plan.files)])
        wanted = {part for part in ("base_url", "service_url") if f"{{{part}}}" in repr(credential.additions)}
        assert [part for part in wanted if str(getattr(PLACE, part)) not in texts] == []
