"""The table of keys: one row per setting. What is not a row is refused.

A row says how a value is read, what holds when nobody sets it, what a repository may decide, and how layers combine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

from orchestrator.config import names, tighten, values
from orchestrator.config.node import Node, word, words
from orchestrator.config.tighten import Rule
from orchestrator.config.values import Parser, nearest
from orchestrator.devcontainer.policy.grants import parse_grant

Merge = Literal["replace", "append", "map"]

# Names of files that usually hold credentials. A masked file that turns out to be harmless costs one line of `unmask`.
SECRET_FILES = (
    ".env", ".env.*", "*.env", ".envrc",
    "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", ".ssh/*", ".gnupg/*",
    ".npmrc", ".pypirc", ".netrc", "_netrc", ".git-credentials", ".pgpass", ".my.cnf", ".htpasswd", ".vault-token", ".terraformrc",
    "credentials.json", "service-account*.json", "service_account*.json", "client_secret*.json", "application_default_credentials.json",
    "kubeconfig", ".kube/config", ".aws/credentials", ".docker/config.json", ".azure/*", ".config/gh/hosts.yml",
    ".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials", "*.tfstate", "*.tfstate.backup",
)  # fmt: skip
# Beginnings of commands that agents are told not to run: what fetches or speaks to others by itself, and what publishes.
DENIED_COMMANDS = ("curl", "wget", "nc", "ncat", "telnet", "ssh", "scp", "npm publish", "twine upload", "cargo publish")
HARMLESS_FILES = (".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults", "*.pub")


@dataclass(frozen=True, slots=True)
class Key:
    """One setting.

    ``shape`` describes values for people. ``default`` is written like a value on the command line; None means unset.
    ``flag`` is the option that sets it (lists: one item each time). ``separator`` splits the items of a list in a variable;
    None: no variable sets this key. ``format`` writes a plain value as its parser reads it.
    """

    name: str
    shape: str
    parse: Parser
    default: str | tuple[str, ...] | None
    repository: Rule
    doc: str
    flag: str | None = None
    merge: Merge = "replace"
    separator: str | None = ","
    format: Callable[[object], str] = str

    @property
    def is_list(self) -> bool:
        return isinstance(self.default, tuple)

    def default_value(self) -> object:
        """The built-in value, read by the same parser as everybody's."""
        if self.default is None:
            return () if self.name == "command" else None
        return self.parse(words(self.default) if isinstance(self.default, tuple) else word(self.default))


def _choice(name: str, *choices: str, default: str | None, rule: Rule, doc: str, flag: str | None = None) -> Key:
    return Key(name, " \\| ".join(choices), values.one_of(*choices), default, rule, doc, flag)


def _size(name: str, low: int, default: str, doc: str, flag: str | None = None) -> Key:
    def write(value: object) -> str:
        return values.format_size(cast(int, value))

    return Key(name, "size", values.size(low), default, tighten.AT_MOST, doc, flag, format=write)


def _duration(name: str, low: float, high: float, default: str, doc: str, flag: str | None = None) -> Key:
    def write(value: object) -> str:
        return values.format_duration(cast(float, value))

    return Key(name, "duration", values.duration(low, high), default, tighten.AT_MOST, doc, flag, format=write)


def _amount(name: str, low: int, high: int, default: str, doc: str) -> Key:
    return Key(name, "whole number", values.whole(low, high), default, tighten.AT_MOST, doc)


def _flagged(name: str, default: str, doc: str, flag: str | None = None) -> Key:
    return Key(name, "true or false", values.truth, default, tighten.ONLY_FALSE, doc, flag)


def _protected(name: str, default: str, doc: str) -> Key:
    return Key(name, "true or false", values.truth, default, tighten.ONLY_TRUE, doc)


_FREE, _NEVER, _LESS, _GRANTED = tighten.FREE, tighten.NEVER, tighten.AT_MOST, tighten.GRANTED_ITEMS
_TEMPLATE = values.matching(names.TEMPLATE_NAME, "a template name", "use lower-case letters, digits, '.', '_' and '-'")
_IMAGE = values.matching(names.IMAGE_REFERENCE, "an image reference", "write it as name:tag or name@sha256:...")
# `auto` becomes readonly or guarded by what the base commit holds, so a repository that may have auto may have guarded.
_DOCKER_STRICTNESS = {"full": 0, "guarded": 1, "auto": 1, "readonly": 2, "none": 3}

_ROWS = (
    # What to do.
    Key("name", "name", names.task_name, None, _FREE, "Name of the task, for people and for the branch name."),
    Key("repo", "path or URL", names.repository, None, _NEVER, "The repository; unset: the one around the current folder.", "--repo"),
    Key("ref", "branch, tag or commit", names.revision, None, _NEVER, "Where to start; unset: what is checked out.", "--ref"),
    Key("agent", "name", names.agent_name, None, _FREE, "Which agent works: `aienv agents ls`; `command` runs plain commands.", "--agent"),
    Key("prompt", "text", values.many_lines, None, _FREE, "What the agent is told."),
    Key("command", "list of words", values.command, None, _FREE, "The command of `agent: command`; on the command line after `--`.",
        separator=None),
    Key("model", "name", names.model_name, None, _FREE, "Which model the agent uses, as the agent itself names it.", "--model"),
    Key("agent_args", "list of words", values.list_of(values.many_lines, 100), (), _GRANTED,
        "Further words of the agent's own command line.", "--agent-arg", "append", None),
    _choice("permission_mode", "bypass", "auto", "ask", "plan", default="bypass", rule=tighten.at_least("bypass", "auto", "ask", "plan"),
            doc="What the agent asks before it acts; `bypass`: nothing, since the sandbox is the wall.", flag="--permission-mode"),
    Key("deny.read", "list of globs", values.list_of(names.inside_pattern), SECRET_FILES, tighten.MAY_ADD,
        "Files that the agent's tools are told not to read; beside `sandbox.mask`, which hides them.", merge="append"),
    Key("deny.run", "list of commands", values.list_of(names.command_words, 200), DENIED_COMMANDS, tighten.MAY_ADD,
        "Beginnings of commands that the agent's tools are told not to run: `git push`.", "--deny-run", merge="append"),
    Key("deny.except", "list of globs and commands", values.list_of(values.many_lines, 200), (), _GRANTED,
        "Items of `deny.read` and `deny.run` that do not hold.", merge="append", separator=None),
    _protected("deny.fetch", "true", "No tool of the agent that reads the web."),
    _protected("hooks", "true", "Ask aienv before and after each tool call, and write each into the log."),
    Key("mcp", "list of paths", values.list_of(names.user_file, 20), (), _GRANTED,
        "Your own MCP configurations, of any agent, whose servers are carried in.", "--mcp-config", merge="append"),
    Key("agent_files", "list of PATH@sha256:HEX", values.list_of(names.granted_file, 100), (), _GRANTED,
        "Files of the repository with hooks, plugins or servers that the agent may take, each with that very content.",
        "--agent-file", "append"),
    Key("setup", "list of shell commands", values.list_of(values.many_lines, 100), (), _FREE,
        "Run before the agent, in the environment; one that fails ends the run.", "--setup", "append", "\n"),
    Key("checks", "list of shell commands", values.list_of(values.many_lines, 100), (), _FREE,
        "Run after the agent, in the environment; one that fails makes the run fail.", "--check", "append", "\n"),
    Key("verify", "list of shell commands", values.list_of(values.many_lines, 100), (), _FREE,
        "Run after all else, in a clean environment that has the result and nothing else of the run; one that fails makes the run fail.",
        "--verify", "append", "\n"),
    Key("artifacts", "list of paths or globs", values.list_of(names.inside_pattern), (), _FREE,
        "Files that are copied to the run's folder.", "--artifact", "append"),
    Key("env", "map of names and values", values.variables, (), tighten.PLAIN_VARIABLES,
        "Variables in the environment. For credentials use `secrets`.", "--env", "map", "\n"),
    _flagged("with_changes", "false", "Carry uncommitted changes of the checkout in.", "--with-changes"),
    _flagged("submodules", "true", "Fetch submodules, from the addresses that the repository names."),
    _flagged("lfs", "true", "Fetch large files (git-lfs) instead of leaving pointers."),
    # Where to do it.
    _choice("backend", "auto", "docker", "local", default="auto", rule=tighten.at_least("local", "auto", "docker"),
            doc="`auto` takes Docker when an engine answers, else bubblewrap on this machine.", flag="--backend"),
    _choice("require_isolation", "any", "sandbox", "container", default="any", rule=tighten.at_least("any", "sandbox", "container"),
            doc="The least isolation that will do; with less the run does not start.", flag="--require-isolation"),
    Key("environment.image", "image reference", _IMAGE, None, _FREE, "Container image; one of image, template, devcontainer.", "--image"),
    Key("environment.template", "name", _TEMPLATE, None, _FREE, "A ready-made environment by name.", "--template"),
    Key("environment.devcontainer", "auto, none or path", names.inside_pattern, None, _FREE,
        "A devcontainer.json of the repository; `auto` looks where they usually are, `none` does not.", "--devcontainer"),
    Key("devcontainer.grants", "list of grants", values.list_of(parse_grant, 200), (), _GRANTED,
        "What the repository's devcontainer.json may have, word by word: `network:build`, `localEnv:NAME`...", "--grant", "append"),
    Key("limits.cpus", "number", values.number(0.1, 1024), "2", _LESS, "Processors, fractions allowed.", "--cpus",
        format=lambda value: f"{value:g}"),
    _size("limits.memory", 16 << 20, "4g", "Memory of the whole environment.", "--memory"),
    Key("limits.pids", "whole number", values.whole(16, 4_194_304), "512", _LESS, "Processes and threads at a time.", "--pids"),
    _size("limits.disk", 1 << 20, "10g", "Size of the workspace.", "--disk"),
    _size("limits.output", 64 << 10, "256m", "What is kept of a command's output in the run's folder: its beginning and its end."),
    Key("limits.open_files", "whole number", values.whole(64, 1 << 20), "4096", _LESS, "Open files per process."),
    _duration("limits.timeout", 0.1, 30 * 86400, "30m", "Wall time of the agent.", "--timeout"),
    Key("limits.idle", "duration", values.duration(1, 30 * 86400), None, tighten.AT_MOST,
        "How long an agent may say nothing at all; unset: as long as it likes.", "--idle-timeout",
        format=lambda value: values.format_duration(cast(float, value))),
    Key("limits.cost", "number", values.number(0.0001, 1_000_000), None, tighten.AT_MOST,
        "US dollars that the agent may spend, by its own account.", "--max-cost", format=lambda value: f"{value:g}"),
    Key("limits.turns", "whole number", values.whole(1, 1_000_000), None, tighten.AT_MOST,
        "Answers of the model.", "--max-turns"),
    _duration("limits.grace", 0, 3600, "10s", "Time between TERM and KILL."),
    # What it can reach.
    _choice("docker", "auto", "none", "readonly", "guarded", "full", default="auto", rule=tighten.same_strictness(_DOCKER_STRICTNESS),
            doc="What the agent may do with Docker; `full` only by the flag.", flag="--docker"),
    Key("guard.images", "list of image references", values.list_of(_IMAGE, 200), (), _GRANTED,
        "Images that the agent's containers may use, beside those that compose files, Dockerfiles, devcontainer.json and MCP files name.",
        "--allow-image", "append"),
    Key("guard.mcp", "list of paths", values.list_of(names.user_file, 20), (), _GRANTED,
        "Your own MCP configurations (`~/.claude.json`, `~/.codex/config.toml`...): images of Docker servers in them are allowed.",
        merge="append"),
    Key("guard.compose", "list of paths", values.list_of(names.inside_pattern, 20), (), tighten.MAY_ADD,
        "Compose files of the repository; unset: the usual names at its top.", merge="append"),
    _flagged("guard.learn", "false", "Let images pass that you could allow, and list them: `aienv guard explain --policy`."),
    _amount("guard.containers", 1, 1000, "32", "Containers of the agent, at a time."),
    _size("guard.memory", 16 << 20, "8g", "Memory of all these containers together; one that asks for none has `512m`."),
    Key("guard.cpus", "number", values.number(0.1, 1024), "4", _LESS, "Processors of all these containers together.",
        format=lambda value: f"{value:g}"),
    _amount("guard.pids", 16, 4_194_304, "4096", "Processes and threads of all these containers together; one that asks for none has 256."),
    _amount("guard.volumes", 0, 1000, "32", "Volumes of the agent, at a time."),
    _amount("guard.networks", 0, 100, "12", "Networks of the agent, at a time."),
    _amount("guard.execs", 0, 1000, "64", "Commands in containers (`docker exec`), at a time."),
    _amount("guard.ports", 0, 1000, "128", "Published ports, at a time."),
    _choice("network.mode", "none", "allowlist", "learn", "open", default="allowlist",
            rule=tighten.at_least("open", "learn", "allowlist", "none"),
            doc="`allowlist` reaches the named hosts, `learn` all and lists them, `open` all.", flag="--network"),
    Key("network.presets", "list of names", values.list_of(_TEMPLATE, 100), (), _GRANTED,
        "Named groups of hosts: `pip`, `npm`, `apt`, `cargo`, `go`, `maven`, `github`, `anthropic`, `openai`, `google`.",
        "--preset", "append"),
    Key("network.allow", "list of rules", values.list_of(names.allowing_rule), (), tighten.GRANTED_HOSTS,
        "`api.example.org`, `*.example.org:8443`, `GET,HEAD api.example.org/repos/*`, `tcp://db.example.org:5432`.",
        "--allow-host", "append", ";"),
    Key("network.deny", "list of rules", values.list_of(names.denying_rule), (), tighten.MAY_ADD,
        "Like `network.allow`; a denial wins.", "--deny-host", "append", ";"),
    Key("network.private", "list of networks", values.list_of(names.network), (), _GRANTED,
        "Addresses that allowed names may have although they are not public: `172.20.0.0/16`.", "--allow-private", "append"),
    Key("secrets", "list of names", values.list_of(names.secret, 100), (), _GRANTED,
        "Credentials of agent and checks: `NAME`, or `NAME=env://VAR`, `file://`, `cmd://`, `keyring://`. The values stay on your side.",
        "--secret", "append", "\n"),
    Key("setup_secrets", "list of names", values.list_of(names.secret, 100), (), _GRANTED,
        "Credentials of the `setup` commands.", "--setup-secret", "append", "\n"),
    Key("secret_hosts", "list of NAME=HOST", values.list_of(names.secret_host, 100), (), _GRANTED,
        "Where a credential may go, for names that aienv does not know: `MY_TOKEN=api.example.org`.", "--secret-host", "append"),
    Key("git.read", "list of HOST/PATH", values.list_of(names.git_repository, 100), (), _GRANTED,
        "Private repositories that git may read over https with a credential: `github.com/example/app`.", "--git-read", "append"),
    Key("git.push", "list of HOST/PATH", values.list_of(names.git_repository, 100), (), _GRANTED,
        "The same, and push to `aienv/*` branches.", "--git-push", "append"),
    Key("git.ssh", "host name", names.plain_host, None, _NEVER,
        "The one host that your ssh agent signs for, through a socket inside; unset: no such socket.", "--git-ssh"),
    Key("sandbox.mask", "list of globs", values.list_of(names.inside_pattern), SECRET_FILES, tighten.MAY_ADD,
        "Files of the workspace that the agent cannot read.", merge="append"),
    Key("sandbox.unmask", "list of globs", values.list_of(names.inside_pattern), HARMLESS_FILES, _GRANTED,
        "Exceptions from `sandbox.mask`.", merge="append"),
    Key("sandbox.expose", "list of absolute paths", values.list_of(names.host_folder, 100), (), _GRANTED,
        "Folders of this machine, readable at the same path (local backend).", merge="append"),
    _flagged("tty", "false", "Give the agent a terminal."),
    # What comes out.
    Key("output.branch", "branch name", names.branch, None, tighten.BRANCH,
        "Branch for the result; unset: `aienv/<task>-<id>`.", "--branch"),
    _flagged("output.push", "false", "Push the branch to the remote too.", "--push"),
    _flagged("keep", "false", "Keep the environment after the run.", "--keep"),
)  # fmt: skip

KEYS: Mapping[str, Key] = {row.name: row for row in _ROWS}
GROUPS: Mapping[str, tuple[str, ...]] = {
    group: tuple(name for name in KEYS if name.startswith(group + "."))
    for group in dict.fromkeys(name.partition(".")[0] for name in KEYS if "." in name)
}

# Only one of these can hold; a higher layer that sets one of them replaces whichever a lower layer has set.
ENVIRONMENT_CHOICES = GROUPS["environment"]

# Variables that mean something else, to us or to our tests; they are no settings.
RESERVED_VARIABLES = ("AIENV", "AIENV_HOME", "AIENV_RUN_ID", "AIENV_REQUIRE", "AIENV_TEST_CACHE", "AIENV_FAKE_MODEL")
RESERVED_PREFIXES = ("AIENV_FAULT", "AIENV_CACHE")


def variable_names(key: Key) -> tuple[str, str]:
    """The two spellings of a key's variable: ``AIENV_LIMITS_MEMORY`` and ``AIENV_LIMITS__MEMORY``."""
    upper = key.name.upper()
    return "AIENV_" + upper.replace(".", "_"), "AIENV_" + upper.replace(".", "__")


VARIABLES: Mapping[str, Key] = {name: key for key in _ROWS if key.separator is not None for name in variable_names(key)}


def key_named(name: str) -> Key:
    """The row of a dotted key.

    Raises:
        values.BadValue: there is none; with the nearest one.
    """
    if name not in KEYS:
        raise values.BadValue(f"unknown key {name[:80]!r}{nearest(name, KEYS)}", "aienv config lists all keys")
    return KEYS[name]


def expand(name: str) -> tuple[str, ...]:
    """The keys that a key or a group stands for. One environment choice stands for all of them.

    Raises:
        values.BadValue: neither a key nor a group.
    """
    if name in GROUPS:
        return GROUPS[name]
    key = key_named(name)
    return ENVIRONMENT_CHOICES if key.name in ENVIRONMENT_CHOICES else (key.name,)


def variable_items(key: Key, text: str) -> Node:
    """The value of a variable as a node: lists are split at the key's separator, blanks around items go."""
    if not key.is_list:
        return word(text)
    return words([item.strip() for item in text.split(key.separator or ",") if item.strip()])
