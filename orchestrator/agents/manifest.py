"""A user's own agent as a file of about twenty lines, without code: YAML in, ``Profile`` out. Pure.

It is the user's (``<configuration>/agents/NAME.yaml``) and never read from a repository: it decides what is installed, which variables
hold credentials, and which hosts are reached.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn, cast, get_args

from orchestrator.agents.lock import MAX_PACKAGES
from orchestrator.agents.manifestvalues import (
    NPM,
    PROGRAM_NAME,
    PYPI,
    below_home,
    entry_path,
    extra_package,
    file_path,
    glob,
    plain,
    variable,
    variables,
    word_list,
)
from orchestrator.config.names import allowing_rule
from orchestrator.config.node import KIND_NAMES, Node, shown
from orchestrator.config.values import BadValue, list_of, nearest, one_line, one_of, scalar, truth
from orchestrator.config.yamlfile import parse_yaml
from orchestrator.errors import ConfigError
from orchestrator.model.agent import (
    PERMISSION_MODES,
    Additions,
    AgentFile,
    Credential,
    Dialect,
    Document,
    FileFormat,
    PermissionMode,
    Profile,
    Program,
    ProjectFile,
    Runtime,
)

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
RESERVED = frozenset(["command", "node"])

Parse = Callable[[Node], object]


def parse_manifest(data: bytes, source: str, name: str) -> Profile:
    """``name``: that of the file, without its ending; it is the agent's.

    Raises:
        ConfigError: with file, line, key and, where there is one, the nearest valid choice.
    """
    root = parse_yaml(data, source)
    if not NAME.fullmatch(name) or name in RESERVED:
        _refuse(source, 1, "", BadValue(f"{shown(name)} is no name for an agent", "use up to 40 small letters, digits and '-'"))
    members = _members(root, source, "", (*_KEYS, "version", "program", "modes", "credentials", "files", "project_files"))
    version = members.get("version")
    if version is None or version.text != "1":
        _refuse(source, version.line if version else 1, "version", BadValue("is not 1", "begin the file with version: 1"))
    values = {key: _value(parse, members[key], source, key) for key, parse in _KEYS.items() if key in members}
    if "program" not in members or "headless" not in members:
        missing = "program" if "program" not in members else "headless"
        _refuse(source, 1, missing, BadValue("is missing", _EXAMPLES[missing]))
    headless = _words(values, "headless")
    if not any("{prompt}" in word for word in headless):
        problem = BadValue("does not hold {prompt}", "name the place of the prompt: " + _EXAMPLES["headless"])
        _refuse(source, members["headless"].line, "headless", problem)
    env = cast(tuple[tuple[str, str], ...], values.get("env", ()))
    return Profile(
        name=name,
        title=str(values.get("title", name)),
        program=_program(members["program"], source),
        headless=headless,
        interactive=_words(values, "interactive"),
        resume=_words(values, "resume"),
        resume_interactive=_words(values, "resume_interactive"),
        model=_words(values, "model"),
        modes=_modes(members.get("modes"), source),
        credentials=tuple(_credential(one, source, i) for i, one in enumerate(_items(members.get("credentials"), source, "credentials"))),
        base=Additions(_words(values, "args"), env, _files(members.get("files"), source, "files")),
        hosts=_words(values, "hosts"),
        sessions=_words(values, "sessions"),
        leavings=_words(values, "leavings"),
        project_files=tuple(
            _project_file(one, source, i) for i, one in enumerate(_items(members.get("project_files"), source, "project_files"))
        ),
        dialect=cast(Dialect, values.get("dialect", "text")),
        settings=cast(Dialect, values.get("settings", "text")),
    )


# --- keys -------------------------------------------------------------------------------------------------------------

_DIALECTS = get_args(Dialect)
_KEYS: Mapping[str, Parse] = {
    "title": one_line,
    "headless": word_list,
    "interactive": word_list,
    "resume": word_list,
    "resume_interactive": word_list,
    "model": word_list,
    "args": word_list,
    "env": variables,
    "hosts": list_of(allowing_rule, 100),
    "sessions": list_of(below_home, 100),
    "leavings": list_of(one_line, 100),
    "dialect": one_of(*_DIALECTS),
    "settings": one_of(*_DIALECTS),
}
_EXAMPLES = {
    "program": "write program: {npm: NAME@VERSION, entry: node_modules/NAME/...}, {pypi: NAME==VERSION, entry: NAME} or {image: NAME}",
    "headless": "headless: [-p, '{prompt}']",
}


# --- parts -----------------------------------------------------------------------------------------------------------


def _program(node: Node, source: str) -> Program:
    members = _members(node, source, "program", ("npm", "pypi", "image", "entry", "runtime", "extra"))
    kinds = [kind for kind in ("npm", "pypi", "image") if kind in members]
    if len(kinds) != 1:
        _refuse(source, node.line, "program", BadValue("needs one of npm, pypi and image", _EXAMPLES["program"]))
    kind, key = kinds[0], f"program.{kinds[0]}"
    text = str(_value(one_line, members[kind], source, key))
    allowed = ("image",) if kind == "image" else ("pypi", "entry", "extra") if kind == "pypi" else ("npm", "entry", "runtime", "extra")
    _only(members, source, "program", allowed)
    if kind == "image":
        if not PROGRAM_NAME.fullmatch(text):
            _refuse(source, members[kind].line, key, BadValue(f"{shown(text)} is no name of a program", "write it as on a command line"))
        return Program("image", "", "", text)
    found = (NPM if kind == "npm" else PYPI).fullmatch(text)
    if found is None:
        form = "NAME@1.2.3" if kind == "npm" else "NAME==1.2.3"
        _refuse(source, members[kind].line, key, BadValue(f"{shown(text)} names no package in one version", f"write it as {form}"))
    if "entry" not in members:
        _refuse(source, node.line, "program.entry", BadValue("is missing", _EXAMPLES["program"]))
    entry = str(_value(entry_path, members["entry"], source, "program.entry"))
    extra: tuple[str, ...] = ()
    if "extra" in members:
        extra = cast(tuple[str, ...], _value(list_of(extra_package, MAX_PACKAGES), members["extra"], source, "program.extra"))
    if kind == "pypi":
        return Program("pypi", found[1], found[2], entry, "python", extra)
    runtime = _value(one_of("none", "node"), members["runtime"], source, "program.runtime") if "runtime" in members else "none"
    return Program("npm", found[1], found[2], entry, cast(Runtime, runtime), extra)


def _modes(node: Node | None, source: str) -> Mapping[PermissionMode, Additions]:
    if node is None:
        return {"bypass": Additions()}
    found: dict[PermissionMode, Additions] = {}
    for name, inner in _members(node, source, "modes", PERMISSION_MODES).items():
        key = f"modes.{name}"
        parts = _members(inner, source, key, ("args", "env"))
        args = _value(word_list, parts["args"], source, f"{key}.args") if "args" in parts else ()
        env = _value(variables, parts["env"], source, f"{key}.env") if "env" in parts else ()
        additions = Additions(cast(tuple[str, ...], args), cast(tuple[tuple[str, str], ...], env))
        found[cast(PermissionMode, name)] = additions
    if not found:
        _refuse(source, node.line, "modes", BadValue("has no mode", f"name some of {', '.join(PERMISSION_MODES)}, or leave the line out"))
    return found


def _credential(node: Node, source: str, number: int) -> Credential:
    key = f"credentials.{number}"
    if node.kind in ("text", "word"):
        return Credential(str(_value(variable, node, source, key)))
    members = _members(node, source, key, ("name", "base", "model", "args", "env", "files"))
    if "name" not in members:
        _refuse(source, node.line, f"{key}.name", BadValue("is missing", "write credentials: [{name: MY_API_KEY, base: MY_BASE_URL}]"))
    args = _value(word_list, members["args"], source, f"{key}.args") if "args" in members else ()
    env = _value(variables, members["env"], source, f"{key}.env") if "env" in members else ()
    files = _files(members.get("files"), source, f"{key}.files")
    additions = Additions(cast(tuple[str, ...], args), cast(tuple[tuple[str, str], ...], env), files)
    return Credential(
        str(_value(variable, members["name"], source, f"{key}.name")),
        str(_value(variable, members["base"], source, f"{key}.base")) if "base" in members else None,
        str(_value(one_line, members["model"], source, f"{key}.model")) if "model" in members else None,
        additions,
    )


def _files(node: Node | None, source: str, key: str) -> tuple[AgentFile, ...]:
    return tuple(_file(item, source, f"{key}.{number}") for number, item in enumerate(_items(node, source, key)))


def _file(node: Node, source: str, key: str) -> AgentFile:
    members = _members(node, source, key, ("path", "format", "content", "locked"))
    for wanted in ("path", "content"):
        if wanted not in members:
            _refuse(source, node.line, f"{key}.{wanted}", BadValue("is missing", "a file has path, format and content"))
    path = str(_value(file_path, members["path"], source, f"{key}.path"))
    kind = "text"
    if "format" in members:
        kind = str(_value(one_of(*get_args(FileFormat)), members["format"], source, f"{key}.format"))
    content = members["content"]
    if content.kind not in (("text", "word") if kind == "text" else ("map",)):
        wanted = "text" if kind == "text" else "a map"
        problem = BadValue(f"expected {wanted} for the format {kind}, found {KIND_NAMES[content.kind]}")
        _refuse(source, content.line, f"{key}.content", problem)
    value = _value(plain, content, source, f"{key}.content")
    locked = bool(_value(truth, members["locked"], source, f"{key}.locked")) if "locked" in members else True
    return AgentFile(path, cast(FileFormat, kind), cast(Document | str, value), locked)


def _project_file(node: Node, source: str, number: int) -> ProjectFile:
    key = f"project_files.{number}"
    members = _members(node, source, key, ("glob", "neutral"))
    if "glob" not in members:
        _refuse(source, node.line, f"{key}.glob", BadValue("is missing", "write project_files: [{glob: .my/hooks.json, neutral: '{}'}]"))
    neutral = str(_value(lambda one: scalar(one, "text"), members["neutral"], source, f"{key}.neutral")) if "neutral" in members else ""
    return ProjectFile(str(_value(glob, members["glob"], source, f"{key}.glob")), neutral)


# --- walking ---------------------------------------------------------------------------------------------------------


def _members(node: Node, source: str, path: str, known: Iterable[str]) -> dict[str, Node]:
    known = tuple(known)
    if node.kind != "map":
        _refuse(source, max(node.line, 1), path, BadValue(f"expected a map with {', '.join(known)}, found {KIND_NAMES[node.kind]}"))
    for name, member in node.members:
        if name not in known:
            inner = f"{path}.{shown(name)}" if path else shown(name)
            _refuse(source, member.line, inner, BadValue(f"unknown key{nearest(name, known)}", f"valid here: {', '.join(known)}"))
    return dict(node.members)


def _only(members: Mapping[str, Node], source: str, path: str, allowed: tuple[str, ...]) -> None:
    for name, member in members.items():
        if name not in allowed:
            problem = BadValue(f"has no meaning beside {allowed[0]}", f"valid here: {', '.join(allowed)}")
            _refuse(source, member.line, f"{path}.{name}", problem)


def _items(node: Node | None, source: str, path: str) -> tuple[Node, ...]:
    if node is None:
        return ()
    if node.kind != "list" or len(node.items) > 100:
        _refuse(source, node.line, path, BadValue(f"expected a list of at most 100 items, found {KIND_NAMES[node.kind]}"))
    return node.items


def _words(values: Mapping[str, object], key: str) -> tuple[str, ...]:
    return cast(tuple[str, ...], values.get(key, ()))


def _value(parse: Parse, node: Node, source: str, path: str) -> object:
    try:
        return parse(node)
    except BadValue as problem:
        _refuse(source, node.line, path, problem)


def _refuse(source: str, line: int, path: str, problem: BadValue) -> NoReturn:
    raise ConfigError(f"{source}:{line}: {path + ': ' if path else ''}{problem}", remedy=problem.remedy) from problem
