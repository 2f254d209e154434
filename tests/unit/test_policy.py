"""The last look at a plan: it may do what the settings grant and nothing else."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.config.document import read_document
from orchestrator.config.layers import Layer, Settings, Source, resolve
from orchestrator.config.task import task_from
from orchestrator.egress.rules import parse_rule
from orchestrator.errors import PolicyRefused
from orchestrator.model.agent import DenyRules
from orchestrator.model.devcontainer import DevcontainerPlan, UserPlan
from orchestrator.model.guard import AllowedImage, GuardPlan
from orchestrator.model.network import Gateway, GitRepo, NetRule, SecretPlan
from orchestrator.model.plan import AgentPlan, AgentText, ChangesPlan, ImagePlan, Plan, RepoPlan
from orchestrator.model.task import Output, TaskSpec
from orchestrator.policy import RULES, refuse, violations
from orchestrator.run.netplan import choose_network

Files = dict[Layer, str]
ID = "sha256:" + "c" * 64
IMAGE = ImagePlan("debian:12", "sha256:" + "a" * 64, ())
GRANTS = """
secrets: [TOKEN, "KEY=file:///k"]
setup_secrets: [SETUP_TOKEN]
secret_hosts: [TOKEN=a.org, KEY=b.org, SETUP_TOKEN=a.org]
network: {mode: allowlist, presets: [pip], allow: [a.org, "GET b.org/x/*"], deny: [evil.a.org], private: [10.0.0.0/8]}
git: {read: [a.org/one], push: [a.org/two]}
sandbox: {expose: [/opt/x]}
guard: {images: ["postgres:15"], mcp: [/home/u/mcp.json], containers: 8}
devcontainer: {grants: ["network:build"]}
"""
SETTLED = ("devcontainer", "settled for a container")


def devcontainer(**changes: object) -> DevcontainerPlan:
    """One that is as it should be, but for ``changes``."""
    found = DevcontainerPlan(
        path=".devcontainer.json", digest="sha256:0", kind="image", features=(), user=UserPlan("vscode", "/home/vscode", "/bin/bash"),
        env=(("A", "1"),), unset=("B",), folder="/workspaces/app/sub", hooks=(), granted=("network:build",), network="default", notes=(),
    )  # fmt: skip
    return replace(found, **changes)  # type: ignore[arg-type]


def settings(text: str = GRANTS, layer: Layer = "user", **more: str) -> Settings:
    files = {layer: text, **more}
    return resolve([Source(name, read_document(body.encode(), name, "config").values) for name, body in files.items()])  # type: ignore[arg-type]


def plan(have: Settings) -> Plan:
    """The plan that takes everything which ``have`` grants, in a container."""
    task = task_from(have, need_agent=False)
    mode = "guarded" if task.docker == "auto" else task.docker
    chosen = choose_network(task, {}, Path("/nonexistent"), Path("/nonexistent"))
    return Plan(
        schema="aienv.plan/1",
        task=task.name,
        repo=RepoPlan("url", "https://example.org/app.git", None, "0" * 40, "main", "key", "app", None, task.submodules, task.lfs),
        agent=AgentPlan("command", ("true",), None, task.tty),
        backend="docker" if task.backend != "local" else "local",
        isolation="container+sandbox" if task.backend != "local" else "sandbox",
        image=IMAGE if task.backend != "local" else None,
        uid=1000,
        gid=1000,
        workspace="/workspaces/app",
        docker=mode,
        network=chosen.network,
        secrets=chosen.secrets,
        env=(("CI", "1"), *task.env),
        limits=task.limits,
        unlimited=(),
        sandbox=task.sandbox,
        seccomp="sha256:" + "b" * 64,
        setup=task.setup,
        checks=task.checks,
        artifacts=task.artifacts,
        output=task.output,
        keep=task.keep,
        require_isolation=task.require_isolation,
        guard=None if mode == "none" else guard_plan(task, mode),
    )


def guard_plan(task: TaskSpec, mode: Any) -> GuardPlan:
    """What takes everything that was granted."""
    images = (
        *(AllowedImage(f"docker.io/library/{name}", None, "guard.images") for name in task.guard.images),
        *(AllowedImage("docker.io/mcp/time:latest", ID, f"mcp {file}") for file in task.guard.mcp),
        AllowedImage("docker.io/library/redis:7", ID, "compose compose.yaml"),
    )
    named = images if mode == "guarded" else ()
    return GuardPlan(
        mode, "unix:///run/docker.sock", (1, 41), named, (), (), task.guard.mcp, task.guard.limits, "freeze", None, task.guard.learn, ()
    )


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        ("{}", "user"),
        (GRANTS, "user"),
        ("backend: local", "flags"),
        ("docker: full", "flags"),
        ("keep: true\ntty: true\nsubmodules: true\nlfs: true\nwith_changes: true", "task file"),
        ("output: {branch: main, push: true}", "flags"),
        ("output: {branch: aienv/x}", "repository"),
        ("require_isolation: container", "repository"),
        ("require_isolation: sandbox\nbackend: local", "flags"),
        ("limits: {memory: 1g}", "repository"),
        ("guard: {containers: 2, memory: 64m, compose: [deploy/compose.yaml]}", "repository"),
        ("docker: none", "repository"),
        ("docker: guarded\nguard: {learn: true, containers: 100}", "user"),
        ("artifacts: [dist/*]\nchecks: [make]", "repository"),
    ],
)
def test_a_plan_of_what_was_granted_passes(text: str, layer: Layer) -> None:
    """The plan that follows from the settings is allowed."""
    have = settings(text, layer)
    assert violations(plan(have), have) == ()


def network(plan: Plan, **members: Any) -> Plan:
    return replace(plan, network=replace(plan.network, **members))


def rule(text: str, origin: str = "network.allow") -> NetRule:
    return replace(parse_rule(text, origin), origin=origin)


def secret(plan: Plan, **members: Any) -> Plan:
    """One credential, for the agent alone, with changes."""
    return replace(plan, secrets=(replace(SecretPlan("TOKEN", "env://TOKEN", ("a.org",), ("agent",)), **members),))


def guard(plan: Plan, **members: Any) -> Plan:
    assert plan.guard is not None
    return replace(plan, guard=replace(plan.guard, **members))


def docker(plan: Plan, mode: Any) -> Plan:
    """Another mode, consistently."""
    return replace(guard(plan, mode=mode, images=()), docker=mode)


def allowing(plan: Plan, reference: str, origin: str, pinned: str | None = None) -> Plan:
    assert plan.guard is not None
    return guard(plan, images=(*plan.guard.images, AllowedImage(reference, pinned, origin)))


def limiting(plan: Plan, **members: Any) -> Plan:
    assert plan.guard is not None
    return guard(plan, limits=replace(plan.guard.limits, **members))


NAMED: dict[str, tuple[Callable[[Plan], Plan], str, str]] = {
    "uid-0": (lambda p: replace(p, uid=0), "uid", "an unprivileged user id, never 0"),
    "gid-0": (lambda p: replace(p, gid=0), "gid", "an unprivileged group id, never 0"),
    "uid-negative": (lambda p: replace(p, uid=-1), "uid", "never 0"),
    "uid-wraps": (lambda p: replace(p, uid=1 << 32), "uid", "never 0"),
    "docker-full": (lambda p: docker(p, "full"), "docker", "--docker full"),
    "docker-unresolved": (lambda p: docker(p, "auto"), "docker", "--docker auto"),
    "network-open": (lambda p: replace(p, network=replace(p.network, mode="open")), "network.mode", "--network open"),
    "network-learn": (lambda p: replace(p, network=replace(p.network, mode="learn")), "network.mode", "--network learn"),
    "host": (lambda p: network(p, allow=(*p.network.allow, rule("c.org"))), "network.allow", "--allow-host c.org"),
    "host-wider": (lambda p: network(p, allow=(*p.network.allow, rule("b.org"))), "network.allow", "--allow-host b.org"),
    "host-port": (lambda p: network(p, allow=(*p.network.allow, rule("a.org:80"))), "network.allow", "--allow-host a.org:80"),
    "host-raw": (lambda p: network(p, allow=(*p.network.allow, rule("tcp://a.org:22"))), "network.allow", "--allow-host tcp://a.org:22"),
    "host-private": (lambda p: network(p, allow=(replace(rule("a.org"), private=True),)), "network.allow", "--allow-host a.org"),
    "host-of-no-preset": (lambda p: network(p, allow=(rule("c.org", "preset npm"),)), "network.allow", "--allow-host c.org"),
    "host-of-no-git": (lambda p: network(p, allow=(rule("a.org:80", "git a.org/one"),)), "network.allow", "--allow-host a.org:80"),
    "host-of-git-wider": (lambda p: network(p, allow=(rule("GET a.org/*", "git a.org/one"),)), "network.allow", "--allow-host"),
    "deny-lost": (lambda p: network(p, deny=()), "network", "all of network.deny"),
    "preset": (lambda p: network(p, presets=("npm",)), "network.presets", "--preset npm"),
    "private": (lambda p: network(p, private=("10.0.0.0/7",)), "network.private", "10.0.0.0/7"),
    "inspected": (lambda p: network(p, inspect=(*p.network.inspect, "bank.org")), "network", "hosts of credentials"),
    "gateway": (lambda p: network(p, gateways=(Gateway("x", "c.org", 443, "", ()),)), "network", "hosts of credentials"),
    "git-read": (lambda p: network(p, git=(GitRepo("a.org", "three", False),), allow=()), "git.read", "--git-read a.org/three"),
    "git-push": (lambda p: network(p, git=(GitRepo("a.org", "one", True),), allow=()), "git.push", "--git-push a.org/one"),
    "ssh": (lambda p: network(p, ssh="a.org"), "git.ssh", "--git-ssh a.org"),
    "no-guard": (lambda p: replace(p, guard=None), "guard", "one for docker mode guarded"),
    "guard-of-none": (lambda p: replace(p, docker="none"), "guard", "one for docker mode none"),
    "guard-looser": (lambda p: guard(p, mode="full", images=()), "guard", "one for docker mode guarded"),
    "guard-reads": (lambda p: replace(guard(p, mode="readonly"), docker="readonly"), "guard", "without images"),
    "guard-image": (lambda p: allowing(p, "docker.io/library/x:1", "guard.images"), "guard.images", "--allow-image docker.io/library/x"),
    "guard-origin": (lambda p: allowing(p, "docker.io/library/x:latest", "agent"), "guard.images", "--allow-image docker.io/library/x"),
    "guard-mcp": (lambda p: allowing(p, "docker.io/library/x:latest", "mcp /w/.mcp.json"), "guard.images", "--allow-image"),
    "guard-pin": (lambda p: allowing(p, "docker.io/library/x:1", "compose compose.yaml", "x:1"), "guard", "pinned by its id"),
    "guard-containers": (lambda p: limiting(p, containers=9), "guard.containers", "add guard: {containers: "),
    "guard-memory": (lambda p: limiting(p, memory_bytes=9 << 30), "guard.memory", "add guard: {memory: "),
    "guard-unlimited": (lambda p: limiting(p, pids=-1), "guard.pids", "add guard: {pids: "),
    "guard-learn": (lambda p: guard(p, learn=True), "guard.learn", "add guard: {learn: true"),
    "secret": (lambda p: secret(p, name="OTHER", source="env://OTHER", hosts=()), "secrets", "--secret OTHER"),
    "secret-source": (lambda p: secret(p, source="file:///x"), "secrets", "--secret TOKEN=file:///x"),
    "secret-host": (lambda p: secret(p, hosts=("b.org",)), "secret_hosts", "--secret-host TOKEN=b.org"),
    "secret-phase": (lambda p: secret(p, phases=("setup",)), "setup_secrets", "--setup-secret TOKEN"),
    "memory": (lambda p: replace(p, limits=replace(p.limits, memory_bytes=5 << 30)), "limits.memory", "--memory 5g"),
    "timeout": (lambda p: replace(p, limits=replace(p.limits, timeout_s=1801.0)), "limits.timeout", "--timeout 30m1s"),
    "forever": (lambda p: replace(p, limits=replace(p.limits, timeout_s=float("inf"))), "limits.timeout", "--timeout"),
    "no-limit": (lambda p: replace(p, limits=replace(p.limits, pids=-1)), "limits.pids", "--pids"),
    "unknown-unlimited": (lambda p: replace(p, unlimited=("everything",)), "unlimited", "names of limits"),
    "unmask": (lambda p: replace(p, sandbox=replace(p.sandbox, unmask=(".env",))), "sandbox.unmask", "unmask"),
    "expose": (lambda p: replace(p, sandbox=replace(p.sandbox, expose=("/opt",))), "sandbox.expose", "expose"),
    "mask-gone": (lambda p: replace(p, sandbox=replace(p.sandbox, mask=p.sandbox.mask[1:])), "sandbox", "all of sandbox.mask"),
    "push": (lambda p: replace(p, output=Output(None, True)), "output.push", "--push"),
    "branch": (lambda p: replace(p, output=Output("main", False)), "output.branch", "--branch main"),
    "branch-odd": (lambda p: replace(p, output=Output("aienv/a..b", False)), "output.branch", "--branch aienv/a..b"),
    "keep": (lambda p: replace(p, keep=True), "keep", "--keep"),
    "tty": (lambda p: replace(p, agent=replace(p.agent, tty=True)), "tty", "tty"),
    "nul": (lambda p: replace(p, agent=replace(p.agent, argv=("a\0b",))), "agent", "NUL"),
    "changes": (lambda p: replace(p, repo=replace(p.repo, changes=ChangesPlan("x", 1))), "with_changes", "--with-changes"),
    "submodules": (lambda p: replace(p, repo=replace(p.repo, submodules=True)), "submodules", "submodules: true"),
    "lfs": (lambda p: replace(p, repo=replace(p.repo, lfs=True)), "lfs", "lfs: true"),
    "password": (lambda p: replace(p, repo=replace(p.repo, location="https://u:p@example.org/a")), "repo", "without user and password"),
    "odd-url": (lambda p: replace(p, repo=replace(p.repo, location="https://[u:p@example.org/a")), "repo", "without user and password"),
    "repo-name": (lambda p: replace(p, repo=replace(p.repo, name="../x"), workspace="/workspaces/../x"), "repo", "a plain name"),
    "repo-dots": (lambda p: replace(p, repo=replace(p.repo, name=".."), workspace="/workspaces/.."), "repo", "a plain name"),
    "workspace": (lambda p: replace(p, workspace="/etc"), "workspace", "/workspaces/<name>"),
    "devcontainer-root": (lambda p: replace(p, devcontainer=devcontainer(user=UserPlan("root", "/home/x", "/bin/sh"))), *SETTLED),
    "devcontainer-name": (lambda p: replace(p, devcontainer=devcontainer(user=UserPlan("a:0", "/home/a", "/bin/sh"))), *SETTLED),
    "devcontainer-home": (lambda p: replace(p, devcontainer=devcontainer(user=UserPlan("a", "/etc", "/bin/sh"))), *SETTLED),
    "devcontainer-home-dots": (lambda p: replace(p, devcontainer=devcontainer(user=UserPlan("a", "/home/..", "/bin/sh"))), *SETTLED),
    "devcontainer-env": (lambda p: replace(p, devcontainer=devcontainer(env=(("A B", "x"),))), *SETTLED),
    "devcontainer-nul": (lambda p: replace(p, devcontainer=devcontainer(env=(("A", "x\0"),))), *SETTLED),
    "devcontainer-unset": (lambda p: replace(p, devcontainer=devcontainer(unset=("",))), *SETTLED),
    "devcontainer-folder": (lambda p: replace(p, devcontainer=devcontainer(folder="/workspaces/app2")), *SETTLED),
    "devcontainer-grant": (
        lambda p: replace(p, devcontainer=devcontainer(granted=("network:build", "gpu"))), "devcontainer.grants", "--grant gpu",
    ),
    "image": (lambda p: replace(p, image=None), "image", "pinned by its id"),
    "image-tag": (lambda p: replace(p, image=replace(IMAGE, id="debian:12")), "image", "pinned by its id"),
    "isolation": (lambda p: replace(p, isolation="sandbox"), "isolation", "what the docker backend gives"),
    "backend-lies": (lambda p: replace(p, backend="local", image=None), "isolation", "what the local backend gives"),
    "floor": (lambda p: replace(p, require_isolation="sandbox"), "require_isolation", "--require-isolation sandbox"),
    "seccomp": (lambda p: replace(p, seccomp="unconfined"), "seccomp", "a filter"),
    "artifacts": (lambda p: replace(p, artifacts=("a/../../b",)), "artifacts", "below the workspace"),
    "env": (lambda p: replace(p, env=(("A=B", "x"),)), "env", "names and values"),
    "task": (lambda p: replace(p, task="../x"), "task", "a task name"),
    "schema": (lambda p: replace(p, schema="aienv.plan/2"), "schema", "aienv.plan/1"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_a_plan_beyond_the_settings_is_refused(name: str) -> None:
    """One step beyond what was granted is one violation, with the line that would allow it or what it must be."""
    change, key, remedy = NAMED[name]
    have = settings(GRANTS + "\nsubmodules: false\nlfs: false")
    found = violations(change(plan(have)), have)
    assert [violation.key for violation in found] == [key]
    assert remedy in found[0].remedy


def test_a_dev_container_that_was_granted_passes() -> None:
    """Also one without any grant."""
    have = settings()
    for found in (devcontainer(), devcontainer(granted=()), devcontainer(folder="/workspaces/app")):
        assert violations(replace(plan(have), devcontainer=found), have) == ()


@pytest.mark.parametrize(
    ("have", "change", "keys"),
    [
        pytest.param(settings("backend: docker"), {"backend": "local", "isolation": "sandbox", "image": None}, ["backend"], id="fall-back"),
        pytest.param(
            settings("backend: local"), {"backend": "docker", "isolation": "container+sandbox", "image": IMAGE}, ["backend"], id="docker"
        ),
        pytest.param(
            settings("require_isolation: container"),
            {"backend": "local", "isolation": "sandbox", "image": None},
            ["require_isolation"],
            id="floor",
        ),
    ],
)
def test_isolation_and_backend(have: Settings, change: dict[str, object], keys: list[str]) -> None:
    """A backend that was not asked for, or that isolates less than required, is refused."""
    found = violations(replace(plan(have), **change), have)  # type: ignore[arg-type]
    assert [violation.key for violation in found] == keys


@pytest.mark.parametrize("layer", ["organisation", "user", "task file", "environment"])
def test_full_docker_only_by_flag(layer: Layer) -> None:
    """A file or variable is not enough for full Docker; the flag is, also on top of a file."""
    have = settings("docker: full", layer)
    found = violations(plan(have), have)
    assert [(violation.key, violation.remedy) for violation in found] == [("docker", "--docker full")]
    both = settings("docker: full", layer, flags="docker: full")
    assert violations(plan(both), both) == ()


def test_refused_asks_of_the_repository_are_violations_of_the_plan() -> None:
    """What the merge of the layers refused comes first."""
    have = settings("network: {mode: open}\nsecrets: [A]", "repository")
    found = violations(plan(have), have)
    assert [violation.key for violation in found] == ["network.mode", "secrets"]


def test_every_member_of_a_plan_has_a_rule() -> None:
    """A new member is refused until somebody has thought about it."""
    assert {field.name for field in fields(Plan)} == set(RULES)


def test_a_member_without_a_rule_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed by default: absence is refusal."""
    have = settings()
    monkeypatch.setattr("orchestrator.policy.RULES", {name: rule for name, rule in RULES.items() if name != "seccomp"})
    assert [violation.key for violation in violations(plan(have), have)] == ["seccomp"]


def test_refuse_names_each_reason_and_its_way_out() -> None:
    """One reason is one sentence; several are a list, without repetition."""
    have = settings("docker: full\nsecrets: [A, B]", "repository")
    found = violations(plan(have), have)
    with pytest.raises(PolicyRefused) as caught:
        refuse([*found, found[0]])
    assert caught.value.message == (
        "3 things are not granted:"
        "\n  docker: repository:1 asks for full, granted is auto (allowed by: --docker full)"
        "\n  secrets: repository:2 asks for A, granted is [] (allowed by: --secret A)"
        "\n  secrets: repository:2 asks for B, granted is [] (allowed by: --secret B)"
    )
    assert caught.value.remedy == "--docker full; --secret A; --secret B"
    assert caught.value.exit_code == 4
    with pytest.raises(PolicyRefused) as single:
        refuse(found[:1])
    assert (single.value.message, single.value.remedy) == ("docker: repository:1 asks for full, granted is auto", "--docker full")


def test_nothing_to_refuse() -> None:
    """Without violations the run goes on."""
    have = settings()
    found = violations(plan(have), have)
    refuse(found)
    assert found == ()


# --- the agent -----------------------------------------------------------------------------------------------------------

GRANT = ".mcp.json@sha256:" + "0" * 64
AGENT = f"""
agent: claude
prompt: fix it
permission_mode: auto
agent_files: ["{GRANT}"]
deny: {{read: ["*.key"], run: [git push], fetch: true, except: [sudo]}}
limits: {{cost: 5, turns: 20, idle: 60s}}
"""


def agent_settings(text: str = "", layer: Layer = "user", agent: str = AGENT) -> Settings:
    return settings(text or "{}", "organisation", **{layer: agent})


def with_agent(have: Settings, **members: Any) -> Plan:
    """A plan that takes all that an agent brings along, but for ``members``."""
    read, run = (tuple(item for item in cast(tuple[str, ...], have[key].value) if item != "sudo") for key in ("deny.read", "deny.run"))
    deny = DenyRules(read, run, True)
    agent = AgentPlan(
        "claude", ("claude",), "fix it", False, mode="auto", credential="ANTHROPIC_API_KEY", hosts=("api.anthropic.com",),
        mounts=(("/cache/claude", "/opt/aienv-agents/claude"),), env=(("A", "1"),), settings="claude", dialect="claude", deny=deny,
        files=(AgentText("/etc/claude-code/managed-settings.json", "{}", True), AgentText("/home/agent/.claude/x.json", "{}", False)),
        grants=(GRANT,), max_cost_usd=5.0, max_turns=20, idle_s=60.0,
    )  # fmt: skip
    found = replace(plan(have), agent=replace(agent, **members))
    own = SecretPlan("ANTHROPIC_API_KEY", "env://ANTHROPIC_API_KEY", ("api.anthropic.com",), ("agent", "check"))
    return network(replace(found, secrets=(own,)), allow=(rule("api.anthropic.com", "agent claude"),))


def files(*texts: str) -> dict[str, Any]:
    return {"files": tuple(AgentText(text, "", True) for text in texts)}


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({}, id="all"),
        pytest.param({"grants": ()}, id="without-grants"),
        pytest.param({"max_cost_usd": 0.5, "max_turns": 1, "idle_s": 1.0}, id="tighter"),
        pytest.param({"mounts": (), "env": (), "files": ()}, id="of-the-image"),
        pytest.param({"credential": "ANTHROPIC_API_KEY", "hosts": ("api.anthropic.com",), "model": "any"}, id="model"),
        pytest.param(files("/run/aienv/agent/p.toml", "/etc/codex/config.toml", "/home/agent/.a/b c/d"), id="files"),
    ],
)
def test_what_an_agent_brings_along_passes(members: dict[str, Any]) -> None:
    have = agent_settings()
    assert violations(with_agent(have, **members), have) == ()


@pytest.mark.parametrize(
    ("members", "key", "remedy"),
    [
        pytest.param({"mode": "bypass"}, "permission_mode", "--permission-mode bypass", id="mode"),
        pytest.param({"grants": (GRANT, ".x@sha256:" + "1" * 64)}, "agent_files", "--agent-file .x@", id="grant"),
        pytest.param({"grants": (GRANT[:-1] + "1",)}, "agent_files", "--agent-file", id="grant-of-another-content"),
        pytest.param({"argv": ("a\0",)}, "agent", "NUL", id="nul"),
        pytest.param({"tty": True}, "tty", "tty", id="tty"),
        pytest.param({"deny": None}, "agent", "with hooks", id="no-hooks"),
        pytest.param({"max_cost_usd": None}, "agent", "limits.cost", id="no-cost"),
        pytest.param({"max_cost_usd": 5.01}, "agent", "limits.cost", id="cost"),
        pytest.param({"max_cost_usd": float("nan")}, "agent", "limits.cost", id="cost-of-nothing"),
        pytest.param({"max_turns": 21}, "agent", "limits.turns", id="turns"),
        pytest.param({"idle_s": 0.0}, "agent", "limits.idle", id="idle"),
        pytest.param({"mounts": (("/c", "/opt/aienv-agents"),)}, "agent", "below /opt/aienv-agents", id="mount-over-all"),
        pytest.param({"mounts": (("/c", "/opt/aienv-agents/../x"),)}, "agent", "below /opt/aienv-agents", id="mount-dots"),
        pytest.param({"mounts": (("/c", "/usr/bin"),)}, "agent", "below /opt/aienv-agents", id="mount-elsewhere"),
        pytest.param(files("/etc/passwd"), "agent", "agent's own settings", id="file-etc"),
        pytest.param(files("/etc/codex/../passwd"), "agent", "agent's own settings", id="file-dots"),
        pytest.param(files("/etc/codex/a/b"), "agent", "agent's own settings", id="file-below"),
        pytest.param(files("/etc/codex/.."), "agent", "agent's own settings", id="file-is-above"),
        pytest.param(files("/home/agent/../x"), "agent", "agent's own settings", id="file-out-of-home"),
        pytest.param(files("/home/agent"), "agent", "agent's own settings", id="file-is-home"),
        pytest.param(files("/home/agent2/x"), "agent", "agent's own settings", id="file-of-another"),
        pytest.param(files("/workspaces/app/x"), "agent", "agent's own settings", id="file-in-workspace"),
        pytest.param(files("/run/aienv/hook.py"), "agent", "agent's own settings", id="file-is-the-hook"),
        pytest.param({"hosts": ("api.anthropic.com", "c.org")}, "agent", "rules that claude needs", id="host"),
    ],
)
def test_an_agent_beyond_the_settings_is_refused(members: dict[str, Any], key: str, remedy: str) -> None:
    have = agent_settings()
    found = violations(with_agent(have, **members), have)
    assert [violation.key for violation in found] == [key]
    assert remedy in found[0].remedy


@pytest.mark.parametrize("members", [{"read": ()}, {"run": ()}, {"fetch": False}], ids=["read", "run", "fetch"])
def test_no_denial_is_lost(members: dict[str, Any]) -> None:
    """But for what was lifted."""
    have = agent_settings()
    whole = with_agent(have)
    assert whole.agent.deny is not None
    less = replace(whole.agent.deny, **members)
    assert {violation.key for violation in violations(with_agent(have, deny=less), have)} == {"agent"}


def test_another_agent_than_the_settings_have() -> None:
    have = agent_settings(agent=AGENT.replace("agent: claude", "agent: codex"))
    assert "agent" in [violation.key for violation in violations(with_agent(have), have)]


def test_hooks_that_were_switched_off() -> None:
    have = agent_settings(agent=AGENT + "hooks: false\n")
    assert violations(with_agent(have, deny=None), have) == ()


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"])
def test_a_credential_that_is_not_the_agents_own(name: str) -> None:
    """The user's choice of an agent hands over its credentials, and no other."""
    have = agent_settings()
    other = replace(with_agent(have, credential=name, hosts=()), secrets=(), network=plan(have).network)
    assert [violation.key for violation in violations(other, have)] == ["agent"]


@pytest.mark.parametrize(
    ("members", "passes"),
    [
        pytest.param({}, True, id="its-own"),
        pytest.param({"source": "file:///k"}, False, id="another-source"),
        pytest.param({"source": "env://OTHER"}, False, id="another-variable"),
        pytest.param({"phases": ("setup", "agent")}, False, id="setup"),
        pytest.param({"name": "OTHER", "source": "env://OTHER", "hosts": ()}, False, id="another"),
        pytest.param({"hosts": ("evil.org",)}, False, id="another-host"),
    ],
)
def test_its_own_credential(members: dict[str, Any], passes: bool) -> None:
    """Without a word in the settings, when the user chose the agent; from the variable of its name, for the agent and its checks."""
    have = agent_settings()
    whole = with_agent(have)
    assert (violations(replace(whole, secrets=(replace(whole.secrets[0], **members),)), have) == ()) == passes


@pytest.mark.parametrize("layer", ["repository", "repository task"])
def test_a_repository_cannot_mean_a_credential(layer: Layer) -> None:
    """It may choose the agent; what comes with it is the user's to give."""
    chosen = "agent: claude\nprompt: x"
    have = settings("permission_mode: auto", "organisation", **{layer: chosen})
    found = violations(with_agent(have, grants=()), have)
    assert {violation.key for violation in found} == {"network.allow", "secrets"}
    granted = "permission_mode: auto\nsecrets: [ANTHROPIC_API_KEY]\nnetwork: {allow: [api.anthropic.com]}"
    given = settings(granted, "user", **{layer: chosen})
    assert violations(with_agent(given, grants=()), given) == ()


@pytest.mark.parametrize(
    ("brought", "passes"),
    [
        pytest.param(rule("api.anthropic.com", "agent claude"), True, id="its-own"),
        pytest.param(rule("api.anthropic.com", "agent codex"), False, id="of-another-agent"),
        pytest.param(rule("api.anthropic.com:80", "agent claude"), False, id="port"),
        pytest.param(rule("tcp://api.anthropic.com:22", "agent claude"), False, id="raw"),
        pytest.param(replace(rule("api.anthropic.com", "agent claude"), private=True), False, id="private"),
        pytest.param(rule("*.anthropic.com", "agent claude"), False, id="wider"),
    ],
)
def test_hosts_that_come_with_it(brought: NetRule, passes: bool) -> None:
    have = agent_settings()
    assert (violations(network(with_agent(have), allow=(brought,)), have) == ()) == passes


@pytest.mark.parametrize(
    "members",
    [{"env": (("A", "1"),)}, {"mounts": (("/c", "/opt/aienv-agents/x"),)}, {"servers": ("x",)}, {"credential": "TOKEN"},
     {"hosts": ("a.org",)}, files("/home/agent/x")],
    ids=lambda members: next(iter(members)),
)  # fmt: skip
def test_a_plain_command_has_none_of_it(members: dict[str, Any]) -> None:
    have = settings()
    found = violations(replace(plan(have), agent=replace(plan(have).agent, **members)), have)
    assert [violation.key for violation in found] == ["agent"]
