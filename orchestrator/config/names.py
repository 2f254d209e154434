"""Parsers of names: of hosts, paths, repositories, revisions, branches, tasks. Each is a ``values.Parser``.

Many of these end up as an argument of git or in a path, so none begins with a dash and none climbs out of its folder.
"""

import re
from collections.abc import Sequence

from orchestrator.config.node import Node, shown
from orchestrator.config.values import BadValue, one_line

TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
TEMPLATE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
IMAGE_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}", re.ASCII)
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*(:[0-9]{{1,5}})?", re.ASCII)
URL_SCHEMES = ("https", "http", "ssh", "git", "file")


def host(node: Node) -> str:
    """A host name with an optional port; ``*.`` in front stands for all names below. Lower case."""
    text = one_line(node, "a host name").lower().rstrip(".")
    if "/" in text:
        inner = text.split("://")[-1].split("/")[0]
        raise BadValue(f"{shown(text)} is not a host name" + (f", perhaps {inner!r}?" if HOST.fullmatch(inner) else ""))
    if text == "*" or re.fullmatch(r"\*\.[^.]*", text):
        raise BadValue(f"{shown(text)} covers too much", "name a domain, such as *.example.org, or use network.mode: open")
    name, _, port = text.partition(":")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name.rpartition(".")[2]) or text.startswith("["):  # 0x7f.1 is one too
        raise BadValue(f"{shown(text)} is an address", "name the host: addresses are not matched")
    if not HOST.fullmatch(text) or len(name) > 253:
        hint = "write names of other scripts as xn--..." if not text.isascii() else "write it as api.example.org or api.example.org:8443"
        raise BadValue(f"{shown(text)} is not a host name", hint)
    if port and not 1 <= int(port) <= 65535:
        raise BadValue(f"{shown(text)} has a port that does not exist")
    return text


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
