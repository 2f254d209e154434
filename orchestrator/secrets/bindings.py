"""Where a credential may go: a table for names that everybody knows, ``secret_hosts`` for the rest. Pure.

A credential without a host is refused: it would be a stand-in that never becomes real. So is one whose hosts this run cannot reach.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.egress.hosts import BadHost, Host, canonical_host, parse_authority
from orchestrator.egress.rules import Ask, decide, must_inspect
from orchestrator.egress.standins import covers, split_bound
from orchestrator.errors import ConfigError
from orchestrator.model.network import PHASES, Gateway, GitRepo, NetworkPlan, Phase, SecretPlan

HTTPS = 443


@dataclass(frozen=True, slots=True)
class Service:
    """``hosts``: where clients send the credential. ``gateway``: for clients that read their base address from a variable.

    ``git``: a host where git would send it; bound only when repositories there are named (git.read, git.push), for there its requests
    are judged.
    """

    hosts: tuple[str, ...]
    gateway: Gateway | None = None
    git: str | None = None


def _service(name: str, host: str, **variables: str) -> Service:
    """One host, and variables with the path that clients expect behind it."""
    return Service((host,), Gateway(name, host, HTTPS, "", tuple(variables.items())))


# Names of variables and default addresses as the vendors' own clients have them; the source stands behind each row.
_ANTHROPIC = _service(
    "anthropic", "api.anthropic.com", ANTHROPIC_BASE_URL=""
)  # code.claude.com/docs/en/env-vars; PyPI anthropic _client.py
_OPENAI = _service("openai", "api.openai.com", OPENAI_BASE_URL="/v1", OPENAI_API_BASE="/v1")  # PyPI openai _client.py; the second: litellm
_GEMINI = _service(  # PyPI google-genai _base_url.py and _api_client.py; the second: litellm
    "gemini", "generativelanguage.googleapis.com", GOOGLE_GEMINI_BASE_URL="", GEMINI_API_BASE=""
)
_GITHUB = Service(  # docs.github.com/en/rest; the variable is that of GitHub's own runners
    ("api.github.com", "uploads.github.com"),
    Gateway("github", "api.github.com", HTTPS, "", (("GITHUB_API_URL", ""),)),
    "github.com",
)
_GITLAB = Service(("gitlab.com",))  # docs.gitlab.com/api/rest: the API and git have one host
_NPM = Service(("registry.npmjs.org",))  # docs.npmjs.com/cli/configuring-npm/npmrc
_HUGGING_FACE = Service(("huggingface.co",))  # PyPI huggingface_hub constants.py; large files come from signed addresses without a token
_DASHSCOPE = Service(("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"))  # PyPI dashscope common/env.py

KNOWN: Mapping[str, Service] = {
    "ANTHROPIC_API_KEY": _ANTHROPIC,
    "ANTHROPIC_AUTH_TOKEN": _ANTHROPIC,
    "CLAUDE_CODE_OAUTH_TOKEN": _ANTHROPIC,  # Claude Code sends it as Bearer to ANTHROPIC_BASE_URL too (seen: 2.1.330)
    "OPENAI_API_KEY": _OPENAI,
    "CODEX_API_KEY": _OPENAI,  # developers.openai.com/codex: `codex exec`
    "OPENROUTER_API_KEY": _service("openrouter", "openrouter.ai", OPENROUTER_API_BASE="/api/v1"),  # PyPI openrouter; variable: litellm
    "DEEPSEEK_API_KEY": _service("deepseek", "api.deepseek.com", DEEPSEEK_API_BASE=""),  # api-docs.deepseek.com; variable: litellm
    "GROQ_API_KEY": _service("groq", "api.groq.com", GROQ_BASE_URL="", GROQ_API_BASE="/openai/v1"),  # PyPI groq _client.py; second: litellm
    "MISTRAL_API_KEY": _service(
        "mistral", "api.mistral.ai", MISTRAL_API_BASE="/v1"
    ),  # PyPI mistralai sdkconfiguration.py; variable: litellm
    "XAI_API_KEY": _service("xai", "api.x.ai", XAI_API_BASE="/v1"),  # docs.x.ai; variable: litellm
    "CEREBRAS_API_KEY": _service("cerebras", "api.cerebras.ai", CEREBRAS_BASE_URL=""),  # PyPI cerebras-cloud-sdk _client.py
    "FIREWORKS_API_KEY": Service(("api.fireworks.ai",)),  # PyPI fireworks-ai _client.py
    "TOGETHER_API_KEY": Service(("api.together.ai", "api.together.xyz")),  # PyPI together _client.py; the second: earlier releases
    "MOONSHOT_API_KEY": Service(("api.moonshot.ai",)),  # platform.moonshot.ai; variable MOONSHOT_API_BASE only in litellm
    "DASHSCOPE_API_KEY": _DASHSCOPE,
    "QWEN_API_KEY": _DASHSCOPE,
    "CO_API_KEY": Service(("api.cohere.com",)),  # PyPI cohere environment.py
    "TAVILY_API_KEY": Service(("api.tavily.com",)),  # PyPI tavily-python
    "GEMINI_API_KEY": _GEMINI,
    "GOOGLE_API_KEY": _GEMINI,
    "GITHUB_TOKEN": _GITHUB,
    "GH_TOKEN": _GITHUB,
    "GITHUB_PERSONAL_ACCESS_TOKEN": _GITHUB,  # github.com/github/github-mcp-server
    "GITLAB_TOKEN": _GITLAB,
    "NPM_TOKEN": _NPM,
    "NODE_AUTH_TOKEN": _NPM,
    "HF_TOKEN": _HUGGING_FACE,
    "HUGGING_FACE_HUB_TOKEN": _HUGGING_FACE,
}

_BASE = re.compile(r"(/[A-Za-z0-9._~-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class AskedSecret:
    """One item of ``secrets`` or ``setup_secrets``, parsed."""

    name: str
    source: str
    phases: tuple[Phase, ...]


@dataclass(frozen=True, slots=True)
class PlannedSecrets:
    """``inspect``: hosts and wildcards whose TLS has to be terminated for these."""

    secrets: tuple[SecretPlan, ...]
    gateways: tuple[Gateway, ...]
    inspect: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Bound:
    """One item of ``secret_hosts``. ``base``: with a leading slash, or empty."""

    name: str
    host: Host
    wildcard: bool
    port: int
    base: str

    @property
    def text(self) -> str:
        authority = self.host.text if self.port == HTTPS else self.host.with_port(self.port)
        return f"*.{authority}" if self.wildcard else authority


def plan_secrets(asked: Iterable[AskedSecret], secret_hosts: Iterable[str], repos: Iterable[GitRepo] = ()) -> PlannedSecrets:
    """Bind what is asked for. Hosts that ``secret_hosts`` gives a name stand in place of the table's; names that nobody asked for are left.

    ``repos``: those that git may reach.

    Raises:
        ConfigError: a name is bound to no host, or in two ways.
    """
    bound = [parse_binding(text) for text in dict.fromkeys(secret_hosts)]
    git_hosts = {repo.host for repo in repos}
    gateways: dict[str, Gateway] = {}
    secrets = []
    for one in _merged(asked):
        mine = [binding for binding in bound if binding.name == one.name]
        service = _service_of(one.name, mine)
        hosts = (*service.hosts, service.git) if service.git in git_hosts and service.git else service.hosts
        secrets.append(SecretPlan(one.name, one.source, hosts, one.phases))
        if (gateway := service.gateway) and gateways.setdefault(gateway.name, gateway) != gateway:
            message = f"secret {one.name}: the gateway {gateway.name!r} already leads to {gateways[gateway.name].host}"
            raise ConfigError(message, remedy=f"bind both names to the same host: --secret-host {one.name}=HOST")
    inspect = sorted({_inspected(host) for secret in secrets for host in secret.hosts})
    return PlannedSecrets(tuple(secrets), tuple(gateways[name] for name in sorted(gateways)), tuple(inspect))


def parse_binding(text: str) -> _Bound:
    """``NAME=HOST[:PORT][/BASE]``; ``*.HOST`` stands for every name below.

    Raises:
        ConfigError: it is none.
    """
    name, equals, place = text.partition("=")
    remedy = "write NAME=HOST, NAME=HOST:PORT or NAME=HOST/BASE/PATH, such as GITLAB_TOKEN=gitlab.example.org"
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        raise ConfigError(f"{text[:80]!a} does not bind a secret to a host", remedy=remedy)
    if "://" in place:
        raise ConfigError(f"secret {name}: a host is bound without 'https://': {place[:80]!a}", remedy=remedy)
    authority, slash, base = place.partition("/")
    wildcard = authority.startswith("*.")
    try:
        host, port = parse_authority(authority.removeprefix("*."), HTTPS)
    except BadHost as problem:
        raise ConfigError(f"secret {name}: {authority[:80]!a} is no host: {problem.reason}", remedy=remedy) from None
    if wildcard and (host.address is not None or "." not in host.name):
        raise ConfigError(f"secret {name}: {authority[:80]!a} covers too much", remedy="name a domain, such as *.example.org")
    base = (slash + base).rstrip("/")
    if not _BASE.fullmatch(base) or {".", ".."} & set(base.split("/")) or (wildcard and base):
        raise ConfigError(f"secret {name}: {place[:120]!a} has a base path that is none", remedy=remedy)
    return _Bound(name, host, wildcard, port, base)


def _merged(asked: Iterable[AskedSecret]) -> list[AskedSecret]:
    """Sorted by name; one name may have another source in another phase, but not two in one."""
    by_source: dict[tuple[str, str], set[Phase]] = {}
    for one in asked:
        by_source.setdefault((one.name, one.source), set()).update(one.phases)
    merged = [AskedSecret(*key, tuple(phase for phase in PHASES if phase in phases)) for key, phases in sorted(by_source.items())]
    for number, one in enumerate(merged):
        for other in merged[:number]:
            if other.name == one.name and set(other.phases) & set(one.phases):
                message = f"secret {one.name} has two sources, {other.source} and {one.source}, in one phase"
                raise ConfigError(message, remedy="give it one, or different ones to secrets and setup_secrets")
    return merged


def _service_of(name: str, bound: Sequence[_Bound]) -> Service:
    known = KNOWN.get(name)
    if not bound:
        if known is None:
            remedy = f"bind it: --secret-host {name}=HOST (in a file: secret_hosts: [{name}=HOST])"
            raise ConfigError(f"secret {name} is bound to no host, so its value could go nowhere", remedy=remedy)
        return known
    hosts = tuple(dict.fromkeys(binding.text for binding in bound))
    with_base = [binding for binding in bound if binding.base]
    if known is None or known.gateway is None:
        if with_base:
            message = (
                f"secret {name}: no variable is known from which programs read its base address, so {with_base[0].base} has no meaning"
            )
            raise ConfigError(message, remedy=f"bind the host alone: --secret-host {name}={with_base[0].text}")
        return Service(hosts)
    if len(with_base) > 1:
        raise ConfigError(f"secret {name} has two base paths", remedy="give one of its hosts a base path, the others none")
    single = [binding for binding in (*with_base, *bound) if not binding.wildcard]
    return Service(hosts, _moved(known.gateway, single[0]) if single else None)


def _moved(gateway: Gateway, to: _Bound) -> Gateway:
    """The gateway to another host; a base path stands for what clients have as their whole base address."""
    moved = replace(gateway, host=to.host.text, port=to.port)
    if not to.base:
        return moved
    return replace(moved, base_path=to.base, variables=tuple((variable, "") for variable, _ in gateway.variables))


def _inspected(bound: str) -> str:
    return split_bound(bound)[0]


def brokering_problems(network: NetworkPlan, secrets: Iterable[SecretPlan]) -> list[tuple[str, str]]:
    """Why credentials could not reach the hosts that they are bound to, as (message, remedy); empty: all is well.

    A run with such a problem must not start: inside, everything would look right, and each request would fail.
    """
    secrets = tuple(secrets)
    problems = []
    for secret in secrets:
        refusals = [_refusal(network, bound) for bound in secret.hosts]
        if all(refusals):
            reason, remedy = next(filter(None, refusals))
            problems.append((f"secret {secret.name} cannot be used: {reason}", remedy))
        for bound in secret.hosts:
            if not _looked_into(network, bound):
                message = f"secret {secret.name} cannot be used: TLS to {bound} is not terminated, so nothing can be added inside"
                problems.append((message, "this is a defect of aienv; please report it"))
    for repo in network.git:
        host, port = split_bound(repo.host)
        if not any(covers(bound, host, port) for secret in secrets for bound in secret.hosts):
            message = f"git may reach {repo.host}/{repo.path}, but no secret is bound to {repo.host}"
            problems.append((message, f"--secret NAME --secret-host NAME={repo.host}"))
        elif refusal := _refusal(network, repo.host):
            problems.append((f"git cannot reach {repo.host}/{repo.path}: {refusal[0]}", refusal[1]))
    return problems


def brokering_warnings(network: NetworkPlan, secrets: Iterable[SecretPlan]) -> tuple[str, ...]:
    """What works and may be more than was meant: a credential without TLS; one for pushes to ``aienv/`` that can change every branch
    through an API."""
    warnings = []
    for secret in secrets:
        clear = [bound for bound in secret.hosts if split_bound(bound)[1] == 80]
        warnings += [f"secret {secret.name} goes to {bound} without TLS: everybody on the way can read it" for bound in clear]
        pushed_to = {bound for bound in secret.hosts for repo in network.git if repo.push and covers(bound, *split_bound(repo.host))}
        elsewhere = [bound for bound in secret.hosts if bound not in pushed_to and _refusal(network, bound) is None]
        if pushed_to and elsewhere:
            host = sorted(pushed_to)[0]
            warnings.append(
                f"secret {secret.name} goes to {elsewhere[0]} too, where it can change any branch, not only those below aienv/; "
                f"for git alone: --secret-host {secret.name}={host}"
            )
    return tuple(warnings)


def _refusal(network: NetworkPlan, bound: str) -> tuple[str, str] | None:
    """Reason and remedy, when nothing that ``bound`` means can be reached."""
    name, port = split_bound(bound)
    if name.startswith("*."):
        return _wildcard_refusal(network, name, port)
    decision = decide(network, Ask("connect", _host(name), port))
    if decision.allowed:
        return None
    return decision.reason, decision.flag or "remove the rule that denies it"


def _wildcard_refusal(network: NetworkPlan, name: str, port: int) -> tuple[str, str] | None:
    """A wildcard is reachable when a rule names it, something above it, or something below it."""
    rows = [rule for rule in network.allow if not rule.raw and (not rule.ports or port in rule.ports)]
    below = any(rule.host.endswith(name[1:]) or (rule.host.startswith("*.") and name.endswith(rule.host[1:])) for rule in rows)
    if network.mode != "none" and (below or network.mode in ("learn", "open")):
        return None
    authority = name if port == HTTPS else f"{name}:{port}"
    mode = "--network allowlist " if network.mode == "none" else ""
    return f"{authority} is not on the list of allowed hosts", f"{mode}--allow-host '{authority}'"


def _looked_into(network: NetworkPlan, bound: str) -> bool:
    name = split_bound(bound)[0]
    if name.startswith("*."):
        return any(pattern.startswith("*.") and name.endswith(pattern[1:]) for pattern in network.inspect)
    return must_inspect(network, _host(name))


def _host(name: str) -> Host:
    return canonical_host(f"[{name}]" if ":" in name else name)
