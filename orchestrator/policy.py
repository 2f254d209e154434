"""Whether a plan may be carried out: each member of ``Plan`` has a row that compares it with the settings.

The settings say what was granted, the plan says what will be done; between the two lies code that could be wrong. A member of
the plan that has no row here is refused, so a new one cannot walk past.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import NoReturn, cast
from urllib.parse import urlsplit

from orchestrator.config.layers import REPOSITORY_LAYERS, Settings, Violation, remedy_for, value_text
from orchestrator.config.names import TASK_NAME, branch_problem
from orchestrator.config.schema import KEYS
from orchestrator.config.values import VARIABLE_NAME
from orchestrator.errors import PolicyRefused
from orchestrator.model.plan import Plan
from orchestrator.model.task import Limits

Rule = Callable[[Plan, Settings], Iterable[Violation]]

ISOLATION_OF_BACKEND = {"docker": ("container+sandbox",), "local": ("sandbox",), "memory": ("sandbox", "container+sandbox")}
ENOUGH_ISOLATION = {
    "any": ("sandbox", "container+sandbox"),
    "sandbox": ("sandbox", "container+sandbox"),
    "container": ("container+sandbox",),
}
DOCKER_WITHIN = {
    "none": ("none",),
    "readonly": ("none", "readonly"),
    "auto": ("none", "readonly", "guarded"),
    "guarded": ("none", "readonly", "guarded"),
    "full": ("none", "readonly", "guarded", "full"),
}
NETWORK_ORDER = ("none", "allowlist", "learn", "open")
LIMIT_KEYS = {
    "cpus": "limits.cpus", "memory_bytes": "limits.memory", "pids": "limits.pids", "disk_bytes": "limits.disk",
    "open_files": "limits.open_files", "timeout_s": "limits.timeout", "grace_s": "limits.grace",
    "output_bytes": "limits.output",
}  # fmt: skip
HIGHEST_ID = 0xFFFF_FFFE  # the one above means "unchanged" to the kernel


def violations(plan: Plan, settings: Settings) -> tuple[Violation, ...]:
    """Everything that forbids ``plan``: asks that were refused when the layers were merged, then the rows below."""
    found = list(settings.violations)
    for field in fields(Plan):
        found += RULES.get(field.name, _without_rule(field.name))(plan, settings)
    return tuple(found)


def refuse(found: Iterable[Violation]) -> None:
    """Stop here when there are violations.

    Raises:
        PolicyRefused: names each of them and the line that would allow it.
    """
    reasons = tuple(dict.fromkeys(found))
    if reasons:
        _raise(reasons)


def _raise(reasons: tuple[Violation, ...]) -> NoReturn:
    remedies = "; ".join(dict.fromkeys(reason.remedy for reason in reasons))
    if len(reasons) == 1:
        raise PolicyRefused(str(reasons[0]), remedy=remedies)
    lines = "".join(f"\n  {reason} (allowed by: {reason.remedy})" for reason in reasons)
    raise PolicyRefused(f"{len(reasons)} things are not granted:{lines}", remedy=remedies)


def _without_rule(member: str) -> Rule:
    return lambda plan, settings: [_broken(member, "something", "nothing: no rule judges it")]


def _broken(member: str, planned: str, allowed: str) -> Violation:
    """The plan does what no setting can ask for: our own mistake, or a plan from elsewhere."""
    return Violation(member, planned, allowed, "the plan", f"report this with the output of aienv plan: {member} must be {allowed}")


def _must(member: str, holds: Callable[[Plan], bool], allowed: str) -> Rule:
    """A rule about the plan alone."""
    return lambda plan, settings: () if holds(plan) else [_broken(member, ascii(getattr(plan, member))[:80], allowed)]


def _only_asked(key: str, planned: Callable[[Plan], tuple[object, ...]]) -> Rule:
    """A list that holds nothing but what the settings hold."""

    def judge(plan: Plan, settings: Settings) -> Iterable[Violation]:
        granted = cast(tuple[object, ...], settings[key].value)
        for item in planned(plan):
            if item not in granted:
                yield _beyond(settings, key, item)

    return judge


def _only_when(key: str, planned: Callable[[Plan], bool]) -> Rule:
    """Something that happens only when the user's side has said so."""

    def judge(plan: Plan, settings: Settings) -> Iterable[Violation]:
        setting = settings[key]
        if planned(plan) and (setting.value is not True or setting.layer in REPOSITORY_LAYERS):
            yield _beyond(settings, key, True)

    return judge


def _beyond(settings: Settings, key: str, value: object) -> Violation:
    row = KEYS[key]
    listed = row.is_list
    asked = value_text(row, (value,) if listed else value)
    return Violation(key, asked, settings[key].text, "the plan", remedy_for(row, (value,) if listed else value, "the user configuration"))


def _all(*rules: Rule) -> Rule:
    return lambda plan, settings: [found for rule in rules for found in rule(plan, settings)]


def _free(plan: Plan, settings: Settings) -> Iterable[Violation]:
    """Nothing about this member can loosen anything."""
    return ()


def _repo(plan: Plan, settings: Settings) -> Iterable[Violation]:
    repo = plan.repo
    if repo.kind == "url" and "@" in repo.location and _has_password(repo.location):
        yield _broken("repo", "a URL with a password", "without user and password")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", repo.name, re.ASCII) or repo.name in (".", ".."):
        yield _broken("repo", ascii(repo.name)[:80], "a plain name")
    for key, used in (("submodules", repo.submodules), ("lfs", repo.lfs), ("with_changes", repo.changes is not None)):
        if used and settings[key].value is not True:
            yield _beyond(settings, key, True)


def _has_password(location: str) -> bool:
    try:
        return urlsplit(location).password is not None
    except ValueError:  # what cannot be taken apart may hide one
        return True


def _backend(plan: Plan, settings: Settings) -> Iterable[Violation]:
    asked = settings["backend"].value
    if asked not in ("auto", plan.backend):
        yield _beyond(settings, "backend", plan.backend)


def _isolation(plan: Plan, settings: Settings) -> Iterable[Violation]:
    if plan.isolation not in ISOLATION_OF_BACKEND.get(plan.backend, ()):
        yield _broken("isolation", plan.isolation, f"what the {plan.backend} backend gives")
    setting = settings["require_isolation"]
    if plan.isolation not in ENOUGH_ISOLATION.get(str(setting.value), ()):
        remedy = "start Docker and use --backend docker, or ask for less: --require-isolation sandbox"
        yield Violation("require_isolation", plan.isolation, f"{setting.value} ({setting.where})", f"the {plan.backend} backend", remedy)


def _image(plan: Plan, settings: Settings) -> Iterable[Violation]:
    if plan.backend == "docker" and (plan.image is None or not re.fullmatch(r"sha256:[0-9a-f]{64}", plan.image.id)):
        yield _broken("image", "an image that is not pinned", "pinned by its id, sha256:...")


def _docker(plan: Plan, settings: Settings) -> Iterable[Violation]:
    setting = settings["docker"]
    if plan.docker not in DOCKER_WITHIN.get(str(setting.value), ()):
        yield _beyond(settings, "docker", plan.docker)
    elif plan.docker == "full" and not any(entry.layer == "flags" and entry.given.value == "full" for entry in setting.entries):
        # Full Docker is root on the host: a file that was written once must not be enough.
        yield Violation("docker", "full", "guarded", setting.where, "--docker full")


def _network_mode(plan: Plan, settings: Settings) -> Iterable[Violation]:
    if NETWORK_ORDER.index(plan.network.mode) > NETWORK_ORDER.index(str(settings["network.mode"].value)):
        yield _beyond(settings, "network.mode", plan.network.mode)


def _limits(plan: Plan, settings: Settings) -> Iterable[Violation]:
    for field in fields(Limits):
        key, planned = LIMIT_KEYS[field.name], getattr(plan.limits, field.name)
        if not 0 <= planned <= cast(float, settings[key].value):
            yield _beyond(settings, key, planned)


def _unlimited(plan: Plan, settings: Settings) -> Iterable[Violation]:
    known = {*LIMIT_KEYS, *LIMIT_KEYS.values(), *(key.partition(".")[2] for key in LIMIT_KEYS.values())}
    for name in plan.unlimited:
        if name not in known:
            yield _broken("unlimited", ascii(name)[:80], "names of limits")


def _masks(plan: Plan, settings: Settings) -> Iterable[Violation]:
    for pattern in cast(tuple[str, ...], settings["sandbox.mask"].value):
        if pattern not in plan.sandbox.mask:
            yield _broken("sandbox", f"no mask for {pattern}", "all of sandbox.mask")


def _output(plan: Plan, settings: Settings) -> Iterable[Violation]:
    branch, setting = plan.output.branch, settings["output.branch"]
    if branch is None:
        return
    own = branch == setting.value and setting.layer not in REPOSITORY_LAYERS
    if branch_problem(branch) or not (own or branch.startswith("aienv/")):
        yield _beyond(settings, "output.branch", branch)


def _floor(plan: Plan, settings: Settings) -> Iterable[Violation]:
    if plan.require_isolation != settings["require_isolation"].value:
        yield _beyond(settings, "require_isolation", plan.require_isolation)


def _proper_variables(plan: Plan) -> bool:
    return all(VARIABLE_NAME.fullmatch(name) and "\0" not in value for name, value in plan.env)


RULES: Mapping[str, Rule] = {
    "schema": _must("schema", lambda plan: plan.schema == "aienv.plan/1", "aienv.plan/1"),
    "task": _must("task", lambda plan: TASK_NAME.fullmatch(plan.task) is not None and ".." not in plan.task, "a task name"),
    "repo": _repo,
    "agent": _all(
        _must("agent", lambda plan: all("\0" not in word for word in plan.agent.argv), "free of NUL characters"),
        _only_when("tty", lambda plan: plan.agent.tty),
    ),
    "backend": _backend,
    "isolation": _isolation,
    "image": _image,
    # bubblewrap started as the real root is a way out of it; and root in the container is one step from root outside.
    "uid": _must("uid", lambda plan: 0 < plan.uid <= HIGHEST_ID, "an unprivileged user id, never 0"),
    "gid": _must("gid", lambda plan: 0 < plan.gid <= HIGHEST_ID, "an unprivileged group id, never 0"),
    "workspace": _must("workspace", lambda plan: plan.workspace == f"/workspaces/{plan.repo.name}", "/workspaces/<name>"),
    "docker": _docker,
    "network": _all(
        _network_mode,
        _only_asked("network.presets", lambda plan: plan.network.presets),
        _only_asked("network.allow", lambda plan: plan.network.allow),
    ),
    "secrets": _only_asked("secrets", lambda plan: plan.secrets),
    "env": _must("env", _proper_variables, "names and values of variables"),
    "limits": _limits,
    "unlimited": _unlimited,
    "sandbox": _all(
        _masks,
        _only_asked("sandbox.unmask", lambda plan: plan.sandbox.unmask),
        _only_asked("sandbox.expose", lambda plan: plan.sandbox.expose),
    ),
    "seccomp": _must("seccomp", lambda plan: plan.seccomp not in ("", "none", "unconfined"), "a filter"),
    "checks": _free,  # they run in the environment, as the agent does
    "artifacts": _must("artifacts", lambda plan: not any(_leaves(pattern) for pattern in plan.artifacts), "below the workspace"),
    "output": _all(_output, _only_when("output.push", lambda plan: plan.output.push)),
    "keep": _only_when("keep", lambda plan: plan.keep),
    "require_isolation": _floor,
}


def _leaves(pattern: str) -> bool:
    return pattern.startswith("/") or ".." in pattern.split("/")
