"""The environment variables of a command inside: a closed list, nothing of the host's unless named. Pure."""

import re

from orchestrator.launcher.command import TOOLBOX
from orchestrator.model.devcontainer import UserPlan
from orchestrator.model.guard import SOCKET_INSIDE, SOCKET_NAMES
from orchestrator.model.network import CLOSED, PROXY_PORT, NetworkPlan
from orchestrator.model.plan import Plan
from orchestrator.sandbox.argv import BASE_PATH, HOME, OURS, USER

# An image may set variables that change how a program is loaded; our own programs run beside the agent's.
_NEVER_FROM_IMAGE = ("LD_", "PYTHON", "GLIBC_", "GIT_", "MALLOC_", "DOCKER_", "BUILDX_", "BUILDKIT_", "COMPOSE_", "AIENV")

# Of a dev container's: what names the user and the run stays ours. What else we set comes later, and so is stronger.
_OURS = re.compile(r"HOME|USER|LOGNAME|AIENV.*", re.ASCII)
_KEPT = frozenset(["HOME", "USER", "LOGNAME", "AIENV", "AIENV_RUN_ID", "PATH"])

_BASH = f"{TOOLBOX}/shell"  # Claude Code, Gemini CLI and Qwen Code run no command without bash, and small images have none

CA_PEM, CA_JKS = f"{OURS}/ca.pem", f"{OURS}/ca.jks"  # the user's own trusted authorities, and the run's
CONNECT_PROGRAM = f"{OURS}/connect.py"
KNOWN_HOSTS = f"{OURS}/known_hosts"  # the keys of the one host that the ssh agent inside signs for
_PROXY = f"http://127.0.0.1:{PROXY_PORT}"

# The only way out: a task that said otherwise would only wait for nothing.
_FIXED = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _PROXY),
    # curl and wget read http_proxy in small letters only, others in capitals only
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), _PROXY),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1"),
}
# For those that do not look at these variables by themselves.
_CLIENTS = {
    "NODE_USE_ENV_PROXY": "1",  # Node's own fetch and http, since 22.21 and 24.5
    "npm_config_proxy": _PROXY,  # over an .npmrc of the project with another proxy
    "npm_config_https_proxy": _PROXY,
    "npm_config_noproxy": "localhost,127.0.0.1,::1",
    "YARN_HTTP_PROXY": _PROXY,  # Yarn since 2 has settings of its own alone
    "YARN_HTTPS_PROXY": _PROXY,
    "CARGO_HTTP_PROXY": _PROXY,  # over git's and cargo's configuration files
}
_TRUST = dict.fromkeys(
    (
        "SSL_CERT_FILE",  # OpenSSL, Python's ssl, Go, Ruby, uv
        "REQUESTS_CA_BUNDLE",  # Python's requests, which brings a list of its own
        "PIP_CERT",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "NODE_EXTRA_CA_CERTS",  # beside the list inside Node
        "npm_config_cafile",
        "DENO_CERT",
        "CARGO_HTTP_CAINFO",
        "AWS_CA_BUNDLE",
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    ),
    CA_PEM,
)
# The JVM reads no variable but this. Each start of one then says "Picked up JAVA_TOOL_OPTIONS: ..." on its error output: the
# price of reaching every JVM (Gradle's daemon and its workers, sbt, tests), where MAVEN_OPTS and GRADLE_OPTS reach one each.
_JAVA = " ".join(
    [
        *(f"-D{scheme}.proxyHost=127.0.0.1 -D{scheme}.proxyPort={PROXY_PORT}" for scheme in ("http", "https")),
        # Maven since 3.9, and since 4, heeds the lines above only then.
        "-Daether.connector.http.useSystemProperties=true",
        "-Daether.transport.apache.useSystemProperties=true",
        f"-Djavax.net.ssl.trustStore={CA_JKS}",
    ]
)


def needs_connect(network: NetworkPlan) -> bool:
    """Whether ssh may have somewhere to go, and so needs the program that asks the proxy for it (``CONNECT_PROGRAM``)."""
    return network.mode != "none" and (network.ssh is not None or any(rule.raw for rule in network.allow))


def proxy_environment(network: NetworkPlan, python: str = "python3") -> dict[str, str]:
    """What makes programs use the proxy and trust its authority; nothing where there is no way out.

    ``CA_PEM`` and ``CA_JKS`` must be there for every mode but ``none``: Java takes a missing trust store for an empty one.
    ``python`` is an interpreter inside, for git over ssh. Known to need more than variables: apt (the proxy it takes from
    http_proxy, an authority only from its configuration) and wget (its authority likewise).
    """
    if network.mode == "none":
        return {}
    known = f" -o GlobalKnownHostsFile={KNOWN_HOSTS}" if network.ssh is not None else ""
    connect = f"ssh -o ProxyCommand='{python} -I -S {CONNECT_PROGRAM} {PROXY_PORT} %h %p'{known}"
    ssh = {"GIT_SSH_COMMAND": connect} if needs_connect(network) else {}
    return {**_FIXED, **_CLIENTS, **_TRUST, **ssh, "JAVA_TOOL_OPTIONS": _JAVA}


def agent_environment(
    plan: Plan, run_id: str, network: NetworkPlan = CLOSED, extra: tuple[tuple[str, str], ...] = (), python: str = "python3"
) -> tuple[tuple[str, str], ...]:
    """Image first, then ours, then the dev container's, then the network's, then what the task names; sorted by name.

    ``extra``: the network session's own. The task may change what is trusted, but not where the proxy is; Java's options are
    added to those that the task has.
    """
    proxy = proxy_environment(network, python)
    env = {"PATH": BASE_PATH, "LANG": "C.UTF-8"}
    env |= {name: value for name, value in plan.image.env if not name.startswith(_NEVER_FROM_IMAGE)} if plan.image else {}
    user, own, unset = _devcontainer(plan)
    env |= {
        "HOME": user.home,
        "USER": user.name,
        "LOGNAME": user.name,
        "SHELL": user.shell,
        "TMPDIR": "/tmp",
        "TERM": "xterm-256color" if plan.agent.tty else "dumb",
        "CI": "1",
        "AIENV": "1",
        "AIENV_RUN_ID": run_id,
    }
    env = {name: value for name, value in env.items() if name not in unset} | own
    env |= proxy | dict(extra) | dict(plan.env)
    env |= {name: value for name, value in proxy.items() if name in _FIXED}
    java = [options[name] for options in (proxy, own, dict(plan.env)) if (name := "JAVA_TOOL_OPTIONS") in options]
    env |= {"JAVA_TOOL_OPTIONS": " ".join(java)} if java else {}
    if plan.image is not None and plan.agent.profile != "command" and env.get("PATH"):
        env["PATH"] += f":{_BASH}"  # what the image has comes first
    return tuple(sorted(env.items()))


def _devcontainer(plan: Plan) -> tuple[UserPlan, dict[str, str], frozenset[str]]:
    """Who the agent is called, a dev container's variables, and those that it takes away: never who it is, or that it is in here."""
    found = plan.devcontainer
    if found is None:
        return USER, {}, frozenset()
    return found.user, {name: value for name, value in found.env if not _OURS.fullmatch(name)}, frozenset(found.unset) - _KEPT


def docker_environment(plan: Plan, run_id: str) -> tuple[tuple[str, str], ...]:
    """What makes Docker's clients use the guard, and names that no other run has; nothing where there is no guard."""
    if plan.guard is None:
        return ()
    name = re.sub(r"[^a-z0-9_-]+", "-", plan.repo.name.lower()).strip("-_") or "app"
    return (
        # Not /var/run: it leads to /run in nearly all images, in some it is a folder of its own, or missing.
        ("DOCKER_HOST", f"unix://{SOCKET_INSIDE}"),
        *((name, "0") for name in ("DOCKER_BUILDKIT", "COMPOSE_DOCKER_CLI_BUILD")),  # its own protocol is not judged, docs/docker.md
        # The same compose file beside the user's own, and in ten runs at once.
        ("COMPOSE_PROJECT_NAME", f"{name}-{run_id.lower()}"),
        # Published ports are here, and not at the bridge's gateway; nor at ::1, which localhost is for some clients.
        ("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1"),
        ("TESTCONTAINERS_CONNECTION_MODE", "docker_host"),  # nor at containers' own addresses, which Python's takes in a container
        ("TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE", SOCKET_NAMES[-1]),
    )


def harvest_environment() -> tuple[tuple[str, str], ...]:
    """For our own program inside the sandbox."""
    return (("HOME", HOME), ("LANG", "C.UTF-8"), ("PATH", f"/opt/aienv/bin:{BASE_PATH}"))
