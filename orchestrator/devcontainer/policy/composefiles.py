"""Which files compose reads before it prints anything: what came out of them is not told apart in its output. Pure.

The ``env_file`` of a stranger's compose file may lead to any file of this machine, by its path or through a link, and its lines become
variables of the container. So the files are judged as they are written, before compose runs, with all that they include and extend.
"""

import posixpath
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.config.node import Node
from orchestrator.config.yamlfile import parse_yaml
from orchestrator.devcontainer.policy.asks import Ask, Need, never, settle
from orchestrator.devcontainer.policy.grants import Grants, clean_path
from orchestrator.devcontainer.policy.mounts import read_needs
from orchestrator.devcontainer.policy.verdict import Finding, WorkspaceGround
from orchestrator.errors import ConfigError
from orchestrator.guard.sources import BadSource
from orchestrator.guard.sources.compose import interpolate

MAX_FILES = 64
# Compose fetches what is called so, by git or from a registry, with what the user's ssh and helpers know.
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!$)|[^/]*@|github\.com/|.*#", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Named:
    """A file that ``origin`` names as ``written``; ``beside``: folders where a relative path may begin: compose's versions differ.
    ``compose``: it names more itself."""

    origin: str
    what: str
    written: str
    beside: tuple[str, ...]
    compose: bool = False


def judge_files(
    files: Sequence[str],
    environ: Mapping[str, str],
    ground: WorkspaceGround,
    grants: Grants,
    read: Callable[[str], bytes | None],
    real: Callable[[str], str],
) -> tuple[Finding, ...]:
    """``files``: compose files, absolute, the project's first one first; ``environ``: what variables in them may see, ``.env`` too.

    ``read``: a file's bytes, None if there is none; it is asked only for what may be read. ``real``: a path with its links followed.
    A file that our reader refuses may be one that compose takes: it is refused, as what it names is not known.
    """
    folder = posixpath.dirname(files[0]) if files else "/"
    project = "the compose project"
    waiting = deque([_Named(project, ".env", f"{folder}/.env", (folder,))])
    waiting += [_Named(project, "compose file", path, (folder,), compose=True) for path in files]
    asked: list[tuple[str, Ask]] = []
    seen: set[str] = set()
    while waiting:
        named = waiting.popleft()
        for path, ask in _asks(named, ground, real):
            asked.append((named.origin, ask))
            if path is None or path in seen or not named.compose or settle([(named.origin, ask)], grants).findings:
                continue
            seen.add(path)
            if len(seen) > MAX_FILES:
                return settle([*asked, (project, never("its files", f"there are more than {MAX_FILES}"))], grants).findings
            try:
                waiting += _named_by(path, read(path) or b"", folder, environ)
            except ConfigError as problem:
                why = f"what it names is not known, since it cannot be read: {problem.message}"
                asked.append((named.origin, Ask(f"{named.what} {named.written}", needs=(Need("compose:unread-file", why),))))
    return settle(asked, grants).findings


def _asks(named: _Named, ground: WorkspaceGround, real: Callable[[str], str]) -> Iterator[tuple[str | None, Ask]]:
    """Where a file may be, and what reading it there needs."""
    what = f"{named.what} {named.written}"
    if named.written.startswith("~") or "://" in named.written or "\0" in named.written or _REMOTE.match(named.written):
        yield None, never(what, "it is no path that could be judged")
        return
    for path in dict.fromkeys(clean_path(posixpath.join(folder, named.written)) for folder in named.beside):
        if path is None:
            yield None, never(what, "it is no path that could be judged")
        else:
            yield path, Ask(what, needs=read_needs(path, replace(ground, real={**ground.real, path: real(path)})))


def _named_by(path: str, data: bytes, project: str, environ: Mapping[str, str]) -> Iterator[_Named]:
    """The files that a compose file names.

    Raises:
        ConfigError: it cannot be read.
    """
    root = parse_yaml(data, path, aliases=True)
    folders = tuple(dict.fromkeys((posixpath.dirname(path), project)))
    for one in _each(_member(root, "include")):
        base = folders
        if inner := _text(_member(one, "project_directory"), environ):
            base = (*folders, *(posixpath.join(folder, inner) for folder in folders))
        for node in _each(_member(one, "path")) if one.kind == "map" else (one,):
            yield _Named(path, "include", _text(node, environ), base, compose=True)
            beside = tuple(posixpath.join(folder, posixpath.dirname(_text(node, environ)), ".env") for folder in base)
            yield from (_Named(path, ".env", place, ("/",)) for place in beside)
        yield from _env_files(path, _member(one, "env_file"), base, environ)
    services = _member(root, "services")
    for service in _members(services if services.kind == "map" else root):
        yield from _env_files(path, _member(service, "env_file"), folders, environ)
        yield from (_Named(path, "label_file", _text(one, environ), folders) for one in _each(_member(service, "label_file")))
        if other := _text(_member(_member(service, "extends"), "file"), environ):
            yield _Named(path, "extends", other, folders, compose=True)


def _env_files(path: str, node: Node, folders: tuple[str, ...], environ: Mapping[str, str]) -> Iterator[_Named]:
    """A text, a list of texts, or of maps with a ``path``."""
    for one in _each(node):
        yield _Named(path, "env_file", _text(_member(one, "path") if one.kind == "map" else one, environ), folders)


def _each(node: Node) -> tuple[Node, ...]:
    """The items of a list; another value is one itself, nothing is none."""
    return node.items if node.kind == "list" else () if node.kind == "nothing" else (node,)


def _members(node: Node) -> Iterator[Node]:
    """All values of a map, those too that are merged in (``<<``)."""
    for name, value in node.members:
        if name == "<<":
            for one in _each(value):
                yield from _members(one)
        else:
            yield value


def _member(node: Node, name: str) -> Node:
    """Also of what is merged in (``<<``), which is weaker."""
    found = dict(node.members)
    merged = found.get("<<")
    if name in found or merged is None:
        return found.get(name, Node("nothing"))
    return next((value for one in _each(merged) if (value := _member(one, name)).kind != "nothing"), Node("nothing"))


def _text(node: Node, environ: Mapping[str, str]) -> str:
    """Its variables replaced; a name that cannot be known is one that cannot be judged."""
    if node.kind in ("nothing", "list", "map"):
        return "" if node.kind == "nothing" else "\0"
    try:
        return interpolate(node.text, environ)
    except BadSource:
        return "\0"
