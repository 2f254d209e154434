"""Files of the repository by which it could act on its own: hooks, plugins, servers. Found, and left out unless granted. Pure.

Agents take these without asking when they run unattended. What they are told in prose (AGENTS.md, CLAUDE.md, skills, commands) is theirs
to judge, and stays; unless the prose starts something by itself. A link is followed as the kernel would, within the repository only.
"""

import fnmatch
import hashlib
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.model.agent import ProjectFile

MAX_HOPS = 40  # links in one path, as the kernel has it
MAX_LINK_CHARACTERS = 1 << 20  # in the targets of all links that are followed; the repository chooses how many, and how long
MAX_FOUND = 2000
MAX_REASONS = 20
ANY_FOLDERS = "**"

_HEAD = re.compile(r"---(?:.*?\n---|.*)", re.DOTALL)  # a YAML head; one without an end is all of the text
_ACTING_KEY = re.compile(r"""(?:^|[\s{,?"'])(?:hooks|mcp_?servers)["']?\s*:""", re.IGNORECASE)
_ALIAS = re.compile(r"(?:^|[\s:\[{,?-])[&*!]\S|<<", re.MULTILINE)  # what YAML calls by other names: in prose a false alarm
_RUN_BEFORE = re.compile(r"!`|```!|!\{")  # Claude Code's two forms, and gemini's

_JSON = "{}\n"
_MODULE = "export {}\n"
_EXTENSION = "export default function () {}\n"  # pi fails at one without


def _rows(neutral: str, *globs: str) -> tuple[ProjectFile, ...]:
    return tuple(ProjectFile(glob, neutral) for glob in globs)


# Seen to run something in claude 2.1.330, codex 0.169.0, opencode 1.18.33, gemini 0.61.0, qwen 0.15.10, pi 0.73.1, or read beside what was.
PROJECT_FILES_OF: Mapping[str, tuple[ProjectFile, ...]] = {
    "claude": (
        *_rows(_JSON, ".claude/settings.json", ".claude/settings.local.json", ".mcp.json"),
        # A skill's folder is a plugin with hooks and servers when it says so; in a trusted project only, as interactive ones are. Those of
        # folders below are found when a file there is read.
        *_rows(_JSON, "**/.claude/skills/**/.claude-plugin/*.json", "**/.claude/skills/**/hooks.json"),
        *_rows(_JSON, "**/.claude/skills/**/.mcp.json", "**/.claude/skills/**/.lsp.json"),
        *_rows("", "**/.claude/skills/**/*.md", "**/.claude/agents/**/*.md", "**/.claude/commands/**/*.md"),
        *_rows("", ".claude/workflows/**"),  # carried out, when the model asks for one
    ),
    "codex": (*_rows("", ".codex/config.toml", ".codex/rules/**"), *_rows(_JSON, ".codex/hooks.json")),  # in a trusted project only
    "opencode": (
        *_rows(_JSON, "opencode.json", "opencode.jsonc", ".opencode/opencode.json", ".opencode/opencode.jsonc", ".opencode/package.json"),
        *_rows(_MODULE, ".opencode/plugin/**", ".opencode/plugins/**", ".opencode/tool/**", ".opencode/tools/**"),
    ),
    "gemini": (
        *_rows(_JSON, ".gemini/settings.json", ".gemini/extensions/**"),
        # Variables of a .env become gemini's and qwen's own: BASH_ENV, NODE_OPTIONS, their own settings. It is masked too, unless unmasked.
        *_rows("", ".env", ".gemini/.env", ".gemini/policies/**", ".gemini/agents/**/*.md"),
    ),
    "qwen": (*_rows(_JSON, ".qwen/settings.json", ".qwen/extensions/**"), *_rows("", ".env", ".qwen/.env", ".qwen/agents/**/*.md")),
    "pi": (*_rows(_JSON, ".pi/settings.json"), *_rows(_EXTENSION, ".pi/extensions/**")),
    "aider": _rows("", ".env", ".aider.conf.yml", ".aider.model.settings.yml"),  # not run: commands for tests and linters
}
PROJECT_FILES: tuple[ProjectFile, ...] = tuple(row for rows in PROJECT_FILES_OF.values() for row in rows)


@dataclass(frozen=True, slots=True)
class Found:
    """``name``: as the agent would come to it. ``path``: the regular file that this is, below the workspace; the mount goes there."""

    name: str
    path: str
    neutral: str


@dataclass(frozen=True, slots=True)
class Search:
    """``refused``: reasons, where a link leads out of the repository, or there is too much. A run with one is refused. ``crowded``: that
    there is too much is the only one."""

    found: tuple[Found, ...]
    refused: tuple[str, ...]
    crowded: bool = False


@dataclass(frozen=True, slots=True)
class Neutral:
    """A read-only mount over ``path`` with ``content``. ``digest``: of what the repository has there, empty where that is not known;
    ``grant_text`` would let that in."""

    path: str
    content: str
    digest: str
    grant_text: str | None


def find(files: Iterable[str], links: Mapping[str, str], rows: tuple[ProjectFile, ...], start: str = "") -> Search:
    """What of a repository the ``rows`` name. ``files``: paths of regular files; ``links``: path and target of symbolic links; ``start``:
    the folder in which the agent starts, for agents also read the folders above it."""
    tree = _Tree(files, links)
    found: dict[str, Found] = {}
    refused: dict[str, None] = {}
    for base in _folders_down_to(start):
        for row in rows:
            for name in tree.walk(base, tuple(row.glob.split("/")), top=True):
                real = tree.resolve(name)
                if real is None:
                    refused[f"{name!a} is a link out of the repository, in a circle, or one of too many"] = None
                elif real in tree.files and len(found) <= MAX_FOUND:
                    found.setdefault(real, Found(name, real, row.neutral))
    crowded = len(found) > MAX_FOUND
    if crowded:
        refused[f"it has more than {MAX_FOUND} files by which an agent acts"] = None
    return Search(tuple(found.values())[:MAX_FOUND], tuple(refused)[:MAX_REASONS], crowded and len(refused) == 1)


def neutralised(
    found: Iterable[Found], content_of: Callable[[str], bytes | None], grants: tuple[str, ...]
) -> tuple[Neutral, ...]:
    """What is left out. ``content_of``: what stands at a path; None: it is too large or cannot be read, and cannot be granted then."""
    left_out = []
    for one in found:
        content = content_of(one.path)
        digest = hashlib.sha256(content).hexdigest() if content is not None else ""
        if (content is None or acts(one.path, content)) and not granted(grants, one.path, digest):
            left_out.append(Neutral(one.path, one.neutral, digest, _grant_text(one.path, digest) if digest else None))
    return tuple(left_out)


def acts(path: str, content: bytes) -> bool:
    """Whether a file does something by itself. All do but prose: there, only hooks and servers in its head, and commands in its text that
    are run before a model reads it. In doubt, yes: the words may stand there for another reason."""
    if not path.lower().endswith(".md"):
        return True
    if b"\0" in content:
        return True
    text = content.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    head = _HEAD.match(text)
    if _RUN_BEFORE.search(text):
        return True
    return head is not None and ("\\" in head[0] or bool(_ACTING_KEY.search(head[0]) or _ALIAS.search(head[0][3:])))


def granted(grants: tuple[str, ...], path: str, digest: str) -> bool:
    """Whether ``PATH@sha256:HEX`` is among the grants: that file with that content."""
    return bool(digest) and _grant_text(path, digest) in grants


def _grant_text(path: str, digest: str) -> str:
    return f"{path}@sha256:{digest}"


def _folders_down_to(start: str) -> tuple[str, ...]:
    steps = [step for step in posixpath.normpath(start).split("/") if step not in ("", ".")]
    return tuple("/".join(steps[:depth]) for depth in range(len(steps) + 1))


class _Tree:
    """Names of a repository, with links followed. Names are below its root, which is the empty one."""

    def __init__(self, files: Iterable[str], links: Mapping[str, str]) -> None:
        self.files, self.links = frozenset(files), links
        self.children: dict[str, set[str]] = {"": set()}
        self._resolved: dict[str, tuple[str, int] | None] = {"": ("", 0)}
        self._steps_left = MAX_LINK_CHARACTERS
        for path in (*self.files, *links):
            self._add(path)

    def _add(self, path: str) -> None:
        while path:
            folder, _, name = path.rpartition("/")
            known = folder in self.children
            self.children.setdefault(folder, set()).add(name)
            if known:
                return
            path = folder

    def resolve(self, name: str) -> str | None:
        """Where ``name`` really stands; None: outside, or in a circle. What does not exist stands where it is said."""
        if name not in self._resolved:
            folder, _, last = name.rpartition("/")
            start = self._resolved.get(folder) if folder else ("", 0)
            self._resolved[name] = self._step_by_step(*start, [last]) if start else self._step_by_step("", 0, name.split("/")[::-1])
        found = self._resolved[name]
        return found[0] if found else None

    def _step_by_step(self, real: str, hops: int, steps: list[str]) -> tuple[str, int] | None:
        """``steps``: the last comes first."""
        while steps:
            step = steps.pop()
            if step in ("", "."):
                continue
            if step == "..":
                if not real:
                    return None
                real = real.rpartition("/")[0]
                continue
            target = self.links.get(_join(real, step))
            if target is None:
                real = _join(real, step)
                continue
            hops += 1
            self._steps_left -= len(target)
            if target.startswith("/") or hops > MAX_HOPS or self._steps_left < 0:
                return None
            steps.extend(target.split("/")[::-1])
        return real, hops

    def walk(self, base: str, glob: tuple[str, ...], top: bool = False) -> Iterator[str]:
        """Names below ``base`` that fit, and every one at which a link leads outside. ``top``: it is where the agent starts, or above."""
        real = self.resolve(base)
        if real is None or not glob:
            yield base
        elif glob[0] == ANY_FOLDERS:
            yield from self._any_folders(base, glob[1:], top)
        else:
            for name in sorted(self.children.get(real, ())):
                if fnmatch.fnmatchcase(name, glob[0]):
                    yield from self.walk(_join(base, name), glob[1:])

    def _any_folders(self, base: str, rest: tuple[str, ...], top: bool) -> Iterator[str]:
        """Each folder below is looked at once, by whichever name: links make as many names as they like. Without ``rest``, all files.
        ``top``: of the whole repository, in which links that lead nowhere are nobody's affair."""
        folders, seen = [base], set[str]()
        while folders:
            folder = folders.pop()
            real = self.resolve(folder)
            if real is None and top and rest:
                continue
            if real is None or (real not in self.children and folder != base and not rest):
                yield folder
            elif real in self.children and real not in seen:
                seen.add(real)
                folders.extend(_join(folder, name) for name in sorted(self.children[real], reverse=True))
                if rest:
                    yield from self.walk(folder, rest)


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
