"""Parsers of names: of hosts, paths, repositories, revisions, branches, tasks. Each is a ``values.Parser``.

Many of these end up as an argument of git or in a path, so none begins with a dash and none climbs out of its folder.
"""

import re
from collections.abc import Sequence

from orchestrator.config.node import Node, shown
from orchestrator.config.values import VARIABLE_NAME, BadValue, nearest, one_line
from orchestrator.egress.addresses import BadNetwork, parse_network
from orchestrator.egress.hosts import BadHost, canonical_host
from orchestrator.egress.rules import BadRule, parse_rule, rule_text
from orchestrator.errors import ConfigError
from orchestrator.secrets.bindings import parse_binding

# Agents with a profile of ours; the user's manifests add others.
AGENTS = ("claude", "codex", "opencode", "gemini", "qwen", "pi", "aider", "mini-swe-agent", "command")
TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
TEMPLATE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
IMAGE_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}", re.ASCII)
SECRET_SOURCE = re.compile(r"(env://[A-Za-z_][A-Za-z0-9_]*|file://.+|cmd://.+|keyring://[^/]+/.+)", re.ASCII)
AGENT_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,127}", re.ASCII)
_PLAIN_WORD = re.compile(r"[A-Za-z0-9._+=/:@,-]+", re.ASCII)
_GRANTED_FILE = re.compile(r"[^@]+@sha256:[0-9a-f]{64}", re.ASCII)
_URL_PATH = re.compile(r"[A-Za-z0-9._~/-]{1,300}", re.ASCII)
URL_SCHEMES = ("https", "http", "ssh", "git", "file")


def allowing_rule(node: Node) -> str:
    """One item of ``network.allow``, in its one spelling (docs/network.md)."""
    return _rule(node, deny=False)


def denying_rule(node: Node) -> str:
    """One item of ``network.deny``, where no port means every port."""
    return _rule(node, deny=True)


def _rule(node: Node, *, deny: bool) -> str:
    text = one_line(node, "a host name", numbers=True)
    try:
        return rule_text(parse_rule(text, "", deny=deny), deny=deny)
    except BadRule as problem:
        raise BadValue(str(problem), problem.remedy) from problem


def plain_host(node: Node) -> str:
    """A host name without port or wildcard."""
    text = one_line(node, "a host name")
    try:
        return canonical_host(text).name
    except BadHost as problem:
        raise BadValue(f"{shown(text)} is not a host name: {problem}", "write it as git.example.org") from problem


def network(node: Node) -> str:
    """A network as CIDR that may be dialled when it is named; a single address is a network of one."""
    text = one_line(node, "a network", numbers=True)
    try:
        return str(parse_network(text))
    except BadNetwork as problem:
        raise BadValue(str(problem), "write it as 172.20.0.0/16 or fd00::/8") from problem


def secret(node: Node) -> str:
    """``NAME``, or ``NAME=SOURCE``. The value itself never stands in a configuration."""
    text = one_line(node, "the name of a credential")
    name, given, source = text.partition("=")
    if not VARIABLE_NAME.fullmatch(name):
        raise BadValue(f"{shown(name)} is not a variable name", "use letters, digits and _; not a digit first")
    if given and not SECRET_SOURCE.fullmatch(source):
        # The text is not shown: it may be the value itself.
        kinds = f"{name}=env://VARIABLE, file:///PATH, cmd://COMMAND or keyring://SERVICE/USER"
        raise BadValue(f"{name} has something after '=' that is no source of a credential", f"write {kinds}; never the value itself")
    return text


def secret_host(node: Node) -> str:
    """``NAME=HOST``, ``NAME=HOST:PORT`` or ``NAME=HOST/BASE/PATH``: where a credential may go."""
    try:
        bound = parse_binding(one_line(node, "NAME=HOST"))
    except ConfigError as problem:
        raise BadValue(problem.message, problem.remedy) from problem
    return f"{bound.name}={bound.text}{bound.base}"


def git_repository(node: Node) -> str:
    """``HOST/PATH`` of a repository, without ``.git``; a whole https URL is taken too."""
    text = one_line(node, "HOST/PATH")
    authority, _, path = text.removeprefix("https://").partition("/")
    path = path.strip("/").removesuffix(".git")
    try:
        host = canonical_host(authority)
    except BadHost as problem:
        raise BadValue(f"{shown(text)}: {problem}", "write it as github.com/example/app") from problem
    if not path or not _URL_PATH.fullmatch(path) or any(part in ("", ".", "..") for part in path.split("/")):
        raise BadValue(f"{shown(text)} names no repository", "write it as github.com/example/app")
    return f"{host.name}/{path}"


def inside_pattern(node: Node) -> str:
    """A path or glob below the workspace: relative, no ``..``."""
    text = one_line(node, "a path inside the workspace", numbers=True)
    if text.startswith(("/", "~")) or ".." in text.split("/"):
        raise BadValue(f"{shown(text)} leaves the workspace", "write it relative to the top of the repository")
    return text


def host_folder(node: Node) -> str:
    """An absolute path on the host without ``..``; not the root folder."""
    text = one_line(node, "an absolute path")
    if not text.startswith("/") or ".." in text.split("/"):
        raise BadValue(f"{shown(text)} is not an absolute path")
    if not text.strip("/."):
        raise BadValue("the root folder cannot be exposed", "name the folders that are needed")
    return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))


def user_file(node: Node) -> str:
    """A file on the user's side: absolute, or below the home folder as ``~/...``."""
    text = one_line(node, "a path")
    if not text.startswith(("/", "~/")) or ".." in text.split("/"):
        raise BadValue(f"{shown(text)} is neither an absolute path nor below ~/")
    return text


def agent_name(node: Node) -> str:
    """The name of a profile: one of ours, or a manifest's. Whether there is one is known only where the manifests are."""
    text = one_line(node, "the name of an agent")
    if not AGENT_NAME.fullmatch(text):
        raise BadValue(f"{shown(text)} is not the name of an agent{nearest(text, AGENTS)}", "aienv agents ls lists them")
    return text


def model_name(node: Node) -> str:
    text = one_line(node, "the name of a model", numbers=True)
    if not _MODEL_NAME.fullmatch(text):
        raise BadValue(f"{shown(text)} is not the name of a model", "write it as the agent's own option takes it, such as provider/model")
    return text


def command_words(node: Node) -> str:
    """The beginning of a command: plain words with one blank between them, which no shell would change."""
    text = one_line(node, "the beginning of a command")
    words = text.split()
    if any(not _PLAIN_WORD.fullmatch(word) for word in words):
        raise BadValue(f"{shown(text)} is not the beginning of a command", "write plain words, such as git push")
    return " ".join(words)


def granted_file(node: Node) -> str:
    """``PATH@sha256:HEX``: a file of the repository with one content."""
    text = one_line(node, "a file of the repository and its digest")
    path = text.rpartition("@")[0]
    if not _GRANTED_FILE.fullmatch(text) or path.startswith(("/", "~")) or ".." in path.split("/"):
        raise BadValue(f"{shown(text)} is not PATH@sha256:HEX", "take it from the message of the run that left the file out")
    return text


def repository(node: Node) -> str:
    """A path or URL of a repository. Transports that run programs (``ext::``) are not on the list."""
    text = one_line(node, "a path or URL")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)(://|::)", text, re.ASCII)
    if text.startswith("-") or (scheme and (scheme[2] == "::" or scheme[1].lower() not in URL_SCHEMES)):
        raise BadValue(f"{shown(text)} is not a repository", f"give a path, user@host:path, or a URL with {', '.join(URL_SCHEMES)}")
    return text


def revision(node: Node) -> str:
    """A branch, tag or commit. ``1.0`` may be written without quotes."""
    text = one_line(node, "a branch, tag or commit", numbers=True)
    if text.startswith("-") or any(char in text for char in " :?*[\\") or ".." in text:
        raise BadValue(f"{shown(text)} is not a branch, tag or commit")
    return text


def branch(node: Node) -> str:
    """A branch name that git takes."""
    text = one_line(node, "a branch name")
    if problem := branch_problem(text):
        raise BadValue(f"{shown(text)} is not a branch name: {problem}")
    return text


def task_name(node: Node) -> str:
    """A name that fits into a branch name and a folder name."""
    text = one_line(node, "a name", numbers=True)
    if not TASK_NAME.fullmatch(text) or ".." in text:
        rule = "use up to 63 letters, digits, '.', '_' and '-'; no '..'; a letter or digit first"
        raise BadValue(f"{shown(text)} is not a task name", rule)
    return text


def branch_problem(name: str) -> str | None:
    """Why ``git check-ref-format --branch`` would refuse ``name``; None when it would not."""
    parts = name.split("/")
    rules: Sequence[tuple[bool, str]] = (
        (not name, "it is empty"),
        (name == "HEAD", "it is reserved"),
        (name.startswith("-"), "it begins with '-'"),
        (any(ord(char) <= 32 or ord(char) == 127 for char in name), "it holds a blank or control character"),
        (any(char in "~^:?*[\\" for char in name), "it holds one of ~ ^ : ? * [ \\"),
        ("" in parts, "it has an empty part"),
        (".." in name, "it holds '..'"),
        ("@{" in name, "it holds '@{'"),
        (any(part.startswith(".") for part in parts), "a part begins with '.'"),
        (any(part.endswith(".lock") for part in parts), "a part ends with '.lock'"),
        (name.endswith("."), "it ends with '.'"),
        (len(name.encode("utf-8", "replace")) > 200, "it is longer than 200 bytes"),
    )
    return next((why for broken, why in rules if broken), None)
