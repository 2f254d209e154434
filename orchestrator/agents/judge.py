"""What a tool call of an agent wants, and whether the task's deny rules let it. Pure, linear, answers anything with a decision.

A help and a record, not the wall: files are known by their names alone (a link, a copy, a program that reads by itself is not seen
through), commands by how they are written. What must not be read is masked, what must not be reached is refused by the network rules,
whatever is decided here. Closed by default: a call whose shape is not known is refused.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from orchestrator.agents.shellwords import Simple, simple_commands
from orchestrator.model.agent import DenyRules
from orchestrator.model.task import SandboxRules
from orchestrator.sandbox.masks import masked_paths

Kind = Literal["read", "write", "run", "fetch", "other"]

MAX_COMMAND = 64 << 10  # characters of one shell text
MAX_WORDS = 3000
MAX_PATHS = 1000
MAX_PATH_TEXT = 4 << 20  # characters of all names of files of one call, each with its folder
_MAX_PATH = 4096
_MAX_NAMES = 5000  # in one call, also of a command's words
_MAX_WILDCARDS = 4000  # characters
_MAX_DEPTH = 6  # of sh -c within sh -c
_MAX_NESTING = 40  # of JSON

# As config.schema.HARMLESS_FILES.
HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist", ".env.defaults", "*.pub")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call, in no agent's words. ``paths``: files that it would show; ``command``: shell text. ``id``: as the agent names this call,
    before and after; ``ok`` and ``duration_s``: of a call that is over, where the agent says."""

    tool: str
    kind: Kind
    paths: tuple[str, ...] = ()
    command: str | None = None
    cwd: str = "/"
    id: str | None = None
    ok: bool | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Allow:
    pass


@dataclass(frozen=True, slots=True)
class Deny:
    """``rule``: the item of the rules that says so, as it is written there; ``shape`` where the call could not be read."""

    reason: str
    rule: str


# --- what a call is

# Under which arguments a tool names the files that it shows. Edits show what is around them.
_READS: Mapping[str, tuple[str, ...]] = {
    "Read": ("file_path",), "Edit": ("file_path",), "MultiEdit": ("file_path",), "NotebookRead": ("notebook_path",),
    "NotebookEdit": ("notebook_path",), "Grep": ("path", "glob"), "Glob": ("path", "pattern"), "LS": ("path",),
    "read": ("filePath", "path"), "edit": ("filePath", "path"), "grep": ("path", "include"), "glob": ("path", "pattern"),
    "list": ("path",),
    "read_file": ("file_path", "absolute_path", "path"), "read_many_files": ("paths", "include"), "replace": ("file_path",),
    "grep_search": ("path", "dir_path", "include", "include_pattern", "glob"), "search_file_content": ("path", "dir_path", "include"),
    "list_directory": ("path", "dir_path"), "view_image": ("path",),
}  # fmt: skip
_MAY_NAME_NONE = frozenset(["Grep", "Glob", "LS", "grep", "glob", "list", "grep_search", "search_file_content", "list_directory"])
_RUNS = frozenset(["Bash", "bash", "shell", "exec_command", "run_shell_command", "local_shell", "unified_exec", "Monitor"])
_COMMAND_KEYS = ("command", "cmd")
_FETCHES = frozenset(["WebFetch", "WebSearch", "webfetch", "websearch", "web_fetch", "web_search", "google_web_search", "codesearch"])
_WRITES = frozenset(["Write", "write", "write_file", "apply_patch"])
# Of tools that are not known, of MCP servers for one: what usually names files.
_PATH_KEYS = frozenset(
    ["path", "paths", "file", "files", "file_path", "filepath", "filename", "file_paths", "absolute_path", "uri", "source", "notebook_path"]
)


def parse_call(agent: str, document: object) -> ToolCall | Deny:
    """``document``: what ``agent`` gave its hook, from JSON; Deny: nobody can tell what it is."""
    if not isinstance(document, dict):
        return _shape("the hook's input is no JSON object")
    names = ("tool", "args") if agent == "opencode" else ("tool_name", "tool_input")
    tool, given = document.get(names[0]), document.get(names[1])
    if not isinstance(tool, str) or not tool or len(tool) > 200:
        return _shape(f"the hook's input has no {names[0]}")
    arguments: Mapping[str, object] = given if isinstance(given, dict) else {}
    if not isinstance(given, dict) and given is not None and tool in (*_READS, *_RUNS):
        return _shape(f"the arguments of {tool!r} are no JSON object")
    cwd = document.get("cwd")
    identity = document.get("call_id" if agent == "opencode" else "tool_use_id")
    kind, paths, command = _wants(tool, arguments)
    if kind == "read" and not paths and tool not in _MAY_NAME_NONE:
        return _shape(f"{tool!r} names no file in a way that is known")
    if kind == "run" and command is None:
        return _shape(f"{tool!r} has no command in a way that is known")
    if len(paths) > MAX_PATHS or any(len(path) > _MAX_PATH for path in paths):
        return _shape(f"{tool!r} names more files than are looked through, or with longer names")
    ok, duration_s = _outcome(document)
    return ToolCall(
        tool,
        kind,
        paths,
        command,
        cwd=cwd if isinstance(cwd, str) and cwd.startswith("/") and len(cwd) <= _MAX_PATH else "/",
        id=identity if isinstance(identity, str) and len(identity) <= 200 else None,
        ok=ok,
        duration_s=duration_s,
    )


def _shape(reason: str) -> Deny:
    return Deny(f"aienv cannot judge this call: {reason}", "shape")


def _wants(tool: str, arguments: Mapping[str, object]) -> tuple[Kind, tuple[str, ...], str | None]:
    if tool in _FETCHES:
        return "fetch", (), None
    if tool in _RUNS:
        return "run", (), next((text for key in _COMMAND_KEYS if (text := _command(arguments.get(key))) is not None), None)
    if tool in _WRITES:
        return "write", (), None
    if tool in _READS:
        return "read", tuple(path for key in _READS[tool] for path in _texts(arguments.get(key))), None
    # Somebody else's tool: what looks like a file or a command is judged as one.
    command = next((text for key in _COMMAND_KEYS if (text := _command(arguments.get(key))) is not None), None)
    return "other", tuple(_named_files(arguments)), command


def _command(value: object) -> str | None:
    """Shell text; a list of words is written as one."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value):
        return " ".join("'" + word.replace("'", "'\\''") + "'" for word in value)
    return None


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(one for one in value if isinstance(one, str) and one) if isinstance(value, list) else ()


def _named_files(arguments: Mapping[str, object]) -> Iterator[str]:
    todo: list[tuple[object, int]] = [(arguments, 0)]
    while todo:
        value, depth = todo.pop()
        children: Iterable[tuple[object, object]] = value.items() if isinstance(value, dict) else ()
        for key, child in children:
            if isinstance(key, str) and key.lower() in _PATH_KEYS:
                yield from (text.removeprefix("file://") for text in _texts(child))
            if isinstance(child, (dict, list)) and depth < _MAX_NESTING:
                todo.append((child, depth + 1))
        if isinstance(value, list):
            todo += [(child, depth + 1) for child in value if isinstance(child, (dict, list)) and depth < _MAX_NESTING]


def _outcome(document: Mapping[str, object]) -> tuple[bool | None, float | None]:
    """How a call went, from the hook after it; nothing where the agent does not say."""
    duration = document.get("duration_ms")
    seconds = duration / 1000 if isinstance(duration, (int, float)) and not isinstance(duration, bool) and 0 <= duration < 1e9 else None
    metadata = document.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("exit"), int):
        return metadata["exit"] == 0, seconds
    answer = document.get("tool_response")
    if isinstance(answer, dict):
        for key, bad in (("is_error", True), ("interrupted", True), ("success", False)):
            if answer.get(key) is bad:
                return False, seconds
        if answer.get("error") not in (None, "", False, {}, []):
            return False, seconds
        return True, seconds
    return None, seconds


# --- what the rules say


def judge_call(call: ToolCall, rules: DenyRules) -> Allow | Deny:
    """Deny names the first rule that refuses it."""
    if call.kind == "fetch" and rules.fetch:
        return Deny(f"{call.tool} is denied by this run's policy: nothing here reads the web", "deny.fetch")
    files = _Files(call.cwd, rules.read)
    try:
        for path in call.paths:
            if glob := files.denied(path):
                return _denied_by(glob, path)
        return Allow() if call.command is None else _judge_text(call.command, files, rules, 0)
    except _TooLarge:
        return _shape("it is too large to be judged: too many names of files, or too long ones; do it in parts")


def _denied_by(glob: str, path: str) -> Deny:
    return Deny(f"{path[:200]!r} is denied by this run's policy: {glob!r} holds secrets", glob)


def _judge_text(text: str, files: "_Files", rules: DenyRules, depth: int) -> Allow | Deny:
    if not rules.run and not rules.read:
        return Allow()
    if len(text) > MAX_COMMAND:
        return _shape(f"the command is longer than {MAX_COMMAND:,} characters; write it to a file and run that")
    if depth > _MAX_DEPTH:
        return _shape("shells within shells; write the command to a file and run that")
    commands = simple_commands(text)
    if sum(len(command.words) for command in commands) > MAX_WORDS:
        return _shape(f"the command has more than {MAX_WORDS:,} words; write it to a file and run that")
    fed = any(_is_fed(words) for command in commands if (words := _effective(command.words)))
    _mark_handed_on(commands)
    for command in commands:
        answer = _judge_command(command, fed, files, rules, depth)
        if isinstance(answer, Deny):
            return answer
    return Allow()


def _judge_command(command: Simple, fed: bool, files: "_Files", rules: DenyRules, depth: int) -> Allow | Deny:
    started = list(_starts(command.words))
    for words in started:
        for rule in rules.run:
            if _begins(words, rule.split()):
                return Deny(f"{rule!r} is denied by this run's policy", rule)
    for word in (*command.reads, *_shown_files(command, started)):
        for path in _path_parts(word):
            if glob := files.denied(path):
                return _denied_by(glob, path)
    scripts = dict.fromkeys([*(text for words in started for text in _scripts(words)), *_started_texts(command.words)])
    # As between double quotes, but that these stand for themselves.
    expanded = [": \"" + body.replace('"', "") + '"' for body in command.expanded if "$(" in body or "`" in body]
    for text in (*scripts, *(command.bodies if fed else ()), *expanded):
        answer = _judge_text(text, files, rules, depth + 1)
        if isinstance(answer, Deny):
            return answer
    return Allow()


# --- commands

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\[[^\]]*\])?\+?=")
_KEYWORDS = frozenset(["!", "{", "}", "if", "then", "elif", "else", "while", "until", "do", "coproc", "builtin"])
# Programs that start another: their options with a value, and how many words stand before the other's name.
_WRAPPERS: Mapping[str, tuple[str, int]] = {
    "sudo": ("-u -g -h -p -C -D -R -T --user --group", 0), "doas": ("-u -C", 0), "env": ("-u -C --unset --chdir", 0), "command": ("", 0),
    "exec": ("-a", 0), "nohup": ("", 0), "setsid": ("", 0), "nice": ("-n", 0), "ionice": ("-c -n -p", 0), "stdbuf": ("-i -o -e", 0),
    "timeout": ("-k -s --signal --kill-after", 1), "xargs": ("-n -I -P -L -d -E -s -a", 0), "busybox": ("", 0), "watch": ("-n", 0),
    "strace": ("-o -e -p -s", 0), "chroot": ("", 1), "flock": ("-w", 1), "unshare": ("", 0), "npx": ("-p --package", 0),
    "parallel": ("-j", 0), "time": ("-f -o", 0), "taskset": ("", 1), "chrt": ("-T -P -D", 1), "setpriv": ("", 0), "gosu": ("", 1),
    "su-exec": ("", 1), "runuser": ("-u -g -G", 0), "fakeroot": ("", 0), "unbuffer": ("", 0), "nsenter": ("-t -S -G", 0),
    "ltrace": ("-o -e -p -s", 0), "uvx": ("--from --with -p --python", 0), "bunx": ("", 0),
}  # fmt: skip
# The same with a word of their own in front.
_RUNNERS = frozenset([
    ("uv", "run"), ("poetry", "run"), ("pipenv", "run"), ("pipx", "run"), ("hatch", "run"), ("pdm", "run"), ("bundle", "exec"),
    ("npm", "exec"), ("pnpm", "exec"), ("pnpm", "dlx"), ("yarn", "dlx"), ("yarn", "exec"), ("mise", "exec"),
])  # fmt: skip
_SHELLS = frozenset(["sh", "bash", "dash", "zsh", "ksh", "ash", "fish"])
_SHELL_OPTIONS_WITH_VALUE = frozenset(["-o", "+o", "-O", "+O", "--rcfile", "--init-file"])
_TAKE_SCRIPT = frozenset(["su", "script", "runuser", "flock"])  # behind -c, wherever it stands
_EXEC_WORDS = frozenset(["-exec", "-execdir", "-ok", "-okdir"])
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
_SPLIT_STRING = re.compile(r"(?:-[A-Za-z0]*S|--split-string=)(.+)", re.DOTALL)
_SPLIT_OPTION = re.compile(r"-[A-Za-z0-9]*S|--split-string")
_OPTIONS_WITH_VALUE: Mapping[str, frozenset[str]] = {
    "git": frozenset(["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env", "--attr-source"]),
    "npm": frozenset([
        "--prefix", "-C", "-w", "--workspace", "--registry", "--tag", "--access", "--otp", "--loglevel", "--userconfig", "--globalconfig",
        "--cache", "--scope", "--before", "--omit", "--include", "--auth-type", "--script-shell",
    ]),
    "cargo": frozenset(["--manifest-path", "--config", "-Z", "-C", "--color"]),
}  # fmt: skip


def _effective(words: list[str]) -> list[str]:
    """Without keywords, assignments and programs that start the rest; at last the words of the program that works."""
    at = 0
    while at < len(words):
        name = posixpath.basename(words[at])
        if words[at] == "function" or (words[at] == "coproc" and words[at + 2 : at + 3] == ["{"]):
            at += 2
        elif words[at] in _KEYWORDS or _ASSIGNMENT.match(words[at]):
            at += 1
        elif name == "command" and words[at + 1 : at + 2] in (["-v"], ["-V"]):
            return []  # asks whether there is one
        elif name in _WRAPPERS and at + 1 < len(words):
            at = _after_wrapper(words, at, *_WRAPPERS[name])
        elif (name, *words[at + 1 : at + 2]) in _RUNNERS and at + 2 < len(words):
            at = _after_wrapper(words, at + 1, "-p --package --with --python", 0)
        elif _PYTHON.fullmatch(name) and (module := _module(words, at)) is not None:
            return module
        else:
            break
    return words[at:]


def _module(words: list[str], at: int) -> list[str] | None:
    """``python -m twine upload`` is ``twine upload``."""
    for number in range(at + 1, len(words)):
        if words[number] == "-m":
            return words[number + 1 :]
        if words[number].startswith("-m"):
            return [words[number][2:], *words[number + 1 :]]
        if not words[number].startswith("-") and words[number - 1] not in ("-W", "-X"):
            break
        if "c" in words[number] and words[number].startswith("-"):
            break
    return None


def _after_wrapper(words: list[str], at: int, options: str, positions: int) -> int:
    valued = options.split()
    at += 1
    while at < len(words):
        if words[at] in valued:
            at += 2
        elif words[at].startswith("-") or _ASSIGNMENT.match(words[at]):
            at += 1
        elif positions:
            at, positions = at + 1, positions - 1
        else:
            break
    return at


def _starts(words: list[str]) -> Iterator[list[str]]:
    """Each program that these words start: also behind ``find -exec``."""
    yield _effective(words)
    if "find" in (posixpath.basename(word) for word in words[:4]):
        places = [number for number, word in enumerate(words) if word in _EXEC_WORDS]
        for number, place in enumerate(places):
            yield _effective(words[place + 1 : places[number + 1] if number + 1 < len(places) else len(words)])


def _begins(words: list[str], rule: list[str]) -> bool:
    """Word by word, the program by its name wherever it lies; options in between do not matter."""
    if not rule or not words or posixpath.basename(words[0]) != posixpath.basename(rule[0]):
        return False
    if words[1 : len(rule)] == rule[1:]:
        return True
    valued = _OPTIONS_WITH_VALUE.get(posixpath.basename(words[0]), frozenset())
    at, wanted = 1, 1
    while at < len(words) and wanted < len(rule):
        if words[at] == rule[wanted]:
            wanted += 1
        elif words[at] in valued:
            at += 1
        elif not words[at].startswith(("-", "+")):
            return False
        at += 1
    return wanted == len(rule)


def _scripts(words: list[str]) -> Iterator[str]:
    """Shell text in the arguments of a program."""
    if not words:
        return
    name = posixpath.basename(words[0])
    if name == "eval":
        yield " ".join(words[1:])
    elif name == "trap":
        yield from [word for word in words[1:] if word != "--"][:1]
    elif name in _SHELLS:
        yield from _shell_script(words)
    elif name in _TAKE_SCRIPT:
        yield from _behind_c(words)
    elif any(blank in words[0] for blank in " \t\n"):  # env -S 'curl x'
        yield words[0]


def _shell_script(words: list[str]) -> Iterator[str]:
    """What a shell runs with ``-c``: the first word that is no option, as in ``sh -c -e -- 'x'``."""
    has_script, at = False, 1
    while at < len(words) and words[at].startswith(("-", "+")):
        has_script |= words[at].startswith("-") and not words[at].startswith("--") and "c" in words[at]
        has_script |= words[at] == "--command"  # fish
        at += 2 if words[at] in _SHELL_OPTIONS_WITH_VALUE else 1
    if has_script:
        yield from words[at : at + 1]


def _behind_c(words: list[str]) -> Iterator[str]:
    for before, word in pairwise(words):
        if before in ("--command", "--session-command") or (re.fullmatch("-[A-Za-z]*c", before) and not word.startswith("-")):
            yield word
        elif word.startswith("--command="):
            yield word.partition("=")[2]


def _started_texts(words: list[str]) -> Iterator[str]:
    """Shell text in the arguments of programs that start others: ``env -S'curl x'``, ``script -c 'curl x' f``."""
    names = [posixpath.basename(word) for word in words]
    if "env" in names:
        yield from (found[1] for word in words if (found := _SPLIT_STRING.fullmatch(word)))
        yield from (word for before, word in pairwise(words) if _SPLIT_OPTION.fullmatch(before) and " " in word)
    if not _TAKE_SCRIPT.isdisjoint(names):
        yield from _behind_c(words)


def _is_fed(words: list[str]) -> bool:
    """A shell that reads what it does from its standard input."""
    if posixpath.basename(words[0]) not in _SHELLS and posixpath.basename(words[0]) != "su":
        return False
    options = [word for word in words[1:] if word.startswith("-") and not word.startswith("--")]
    has_script = any("c" in word for word in options)
    others = [word for word in words[1:] if not word.startswith("-") and word != "/dev/stdin"]
    return not has_script and (not others or any("s" in word for word in options))


# --- files

# What only names its files, or makes them.
_SHOW_NOTHING = frozenset(
    [":", "echo", "printf", "ls", "rm", "touch", "mkdir", "rmdir", "test", "[", "[[", "chmod", "chown", "stat", "cd", "export", "unset",
     "find", "which", "type", "basename", "dirname", "realpath", "case", "pushd", "local", "declare", "ssh-keygen"]
)  # fmt: skip
_GIT_SHOWS_NOTHING = frozenset(["add", "rm", "check-ignore", "ls-files", "status", "commit", "mv", "checkout", "restore", "clean", "tag"])
_GIT_READS = frozenset(["-F", "--file", "-t", "--template"])
_NAMES_FILES = frozenset(["ls", "echo", "printf", "realpath", "readlink"])  # whose output another command may open
_FIND_NAMES = frozenset(["-name", "-iname", "-path", "-ipath", "-wholename", "-iwholename"])
_LAST_IS_MADE = frozenset(["cp", "mv", "ln", "install", "rsync"])
_TARGET_FIRST = re.compile(r"-[A-Za-z]*t.*|--target-directory(?:=.*)?", re.DOTALL)
_PATTERN_FIRST = frozenset(["grep", "egrep", "fgrep", "rg", "ag", "ack", "sed", "awk", "gawk"])
_TAKES_CODE: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("python", "python3", "node", "ruby", "perl", "php", "bun", "deno"), frozenset(["-c", "-e", "-r", "-p", "eval"])),
}
_CODE_OPTION = re.compile(r"-[A-Za-z]*[ce]")
_IN_CODE = re.compile(r"""['"`]([^\s'"`]+)""")  # process.env is no file, open('.env') is
_NOT_READ_NEXT = frozenset(["-o", "-out", "-keyout", "--output", "--exclude", "--exclude-dir"])
_LEFT_OUT = ("!", "--exclude=", "--exclude-dir=")  # rg -g '!.env'
_PARTS = re.compile(r"[=:@,]")
_PATTERN_OPTION = re.compile(r"-[A-Za-z]*e|--regexp|--expression")
_SEARCH_VALUES = frozenset(["-g", "--glob", "--iglob", "--include", "-A", "-B", "-C", "-m"])
_PATTERN_GIVEN = re.compile(r"-e.+|--regexp=.*|--expression=.*|-[A-Za-z]*f|-f.+|--file(?:=.*)?", re.DOTALL)


def _shown_files(command: Simple, started: Iterable[list[str]]) -> Iterator[str]:
    """Words that may name files whose content the programs of a command show or carry off."""
    for found in started:
        if not found:
            continue
        name, rest = posixpath.basename(found[0]), found[1:]
        if name == "find":
            programs = {posixpath.basename(word) for before, word in pairwise(found) if before in _EXEC_WORDS}
            if _is_opened(command.within) or not programs <= _SHOW_NOTHING:
                yield from _looked_for(found)
        elif name in _NAMES_FILES and _is_opened(command.within):
            yield from (word for word in rest if not any(blank in word for blank in " \t\n"))
        elif name == "git" and (rest := _without_options(rest))[:1] and rest[0] in _GIT_SHOWS_NOTHING:
            yield from (word for before, word in pairwise(rest) if before in _GIT_READS)
            yield from (word[2:] for word in rest if word.startswith("-F"))
            yield from (word for word in rest if word.startswith(("--file=", "--template=")))
        elif name not in _SHOW_NOTHING:
            yield found[0]
            yield from _arguments(name, rest)
            if name in _TAKES_CODE and all(word.startswith("-") for word in rest):
                yield from (text for body in command.bodies for text in _IN_CODE.findall(body))


def _arguments(name: str, rest: list[str]) -> Iterator[str]:
    if name in _LAST_IS_MADE and (name == "rsync" or not any(map(_TARGET_FIRST.fullmatch, rest))):
        rest = rest[:-1]
    if name in _PATTERN_FIRST or (name == "git" and rest[:1] == ["grep"]):
        rest = _without_pattern(rest[1:] if name == "git" else rest)
    code = _TAKES_CODE.get(name, frozenset())
    for before, word in zip(("", *rest), rest, strict=False):
        if before in code or (code and _CODE_OPTION.fullmatch(before)):
            yield from _IN_CODE.findall(word)
        elif before not in _NOT_READ_NEXT and not word.startswith(_LEFT_OUT) and not any(blank in word for blank in " \t\n"):
            yield word


def _mark_handed_on(commands: list[Simple]) -> None:
    """What is piped to ``xargs`` stands among the words of what it starts."""
    seen: set[int] = set()
    for command in commands:
        if id(command.pipeline) not in seen and any(posixpath.basename(word) in ("xargs", "parallel") for word in command.words[:4]):
            seen.add(id(command.pipeline))
            for other in command.pipeline:
                if other is command:
                    break
                other.within = command


def _is_opened(outer: Simple | None) -> bool:
    """Whether a command opens what another writes among its words: ``cat $(ls .env)``, but not ``x=$(ls .env)``."""
    words = _effective(outer.words) if outer else []
    name = posixpath.basename(words[0]) if words else ""
    if name == "git":
        return _without_options(words[1:])[:1] != [] and _without_options(words[1:])[0] not in _GIT_SHOWS_NOTHING
    return bool(words) and name not in _SHOW_NOTHING


def _looked_for(words: list[str]) -> Iterator[str]:
    """Where ``find`` begins, and the names that it looks for."""
    first = next((number for number, word in enumerate(words) if number and word.startswith(("-", "!", "("))), len(words))
    yield from words[1:first]
    behind = [number for number, word in enumerate(words[:-1]) if number and word in _FIND_NAMES and words[number - 1] not in ("!", "-not")]
    yield from (words[number + 1] for number in behind)


def _without_options(words: list[str]) -> list[str]:
    """From the first word that is git's own command."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in _OPTIONS_WITH_VALUE["git"] else 1
    return words[at:]


def _without_pattern(words: list[str]) -> list[str]:
    """What ``grep`` looks for is no file; the file that it takes this from is."""
    explicit = {number for number, word in enumerate(words) if _PATTERN_OPTION.fullmatch(word)}
    if explicit or any(map(_PATTERN_GIVEN.fullmatch, words)):
        return [word for number, word in enumerate(words) if number - 1 not in explicit]
    pairs = enumerate(pairwise(["", *words]))
    first = next((number for number, (before, word) in pairs if not word.startswith("-") and before not in _SEARCH_VALUES), len(words))
    return [*words[:first], *words[first + 1 :]]


def _path_parts(word: str) -> list[str]:
    """``--file=.env``, ``HEAD:.env``, ``@.env``, ``-f.env``."""
    attached = [word[2:]] if word.startswith("-") and not word.startswith("--") else []
    return list(dict.fromkeys([word, *_PARTS.split(word), *attached]))


class _TooLarge(Exception):
    """What one call names is more than is looked at."""


class _Files:
    """What the rules say of the files that one call names, from its folder; bounded for all of them together."""

    def __init__(self, cwd: str, globs: tuple[str, ...]) -> None:
        self._globs = globs
        self._cwd = posixpath.normpath(cwd) if globs else "/"
        self._depth = _depth_that_counts(globs)
        self._left = MAX_PATH_TEXT
        self._wildcards_left = _MAX_WILDCARDS
        self._seen: set[str] = set()

    def denied(self, path: str) -> str | None:
        """The glob that denies a file of that name, or a folder whose files it denies. Where links lead is not known here.

        Raises:
            _TooLarge: nobody knows.
        """
        if not path or not self._globs or path in self._seen:
            return None
        self._seen.add(path)
        self._left -= len(path) + len(self._cwd)
        if len(path) > _MAX_PATH or self._left < 0 or len(self._seen) > _MAX_NAMES:
            raise _TooLarge
        whole = posixpath.normpath(path[1:] if path.startswith("~") else posixpath.join(self._cwd, path)).lstrip("/")
        if self._depth is not None:
            whole = "/".join(whole.rsplit("/", self._depth)[-self._depth :])
        elif (steps := whole.count("/") * len(self._globs)) > 0:
            self._left -= steps * 10  # each is compared, which takes longer than reading it
        for candidate in (whole, f"{whole}/any"):
            if masked_paths((candidate,), SandboxRules(self._globs, HARMLESS, ())):
                return next((one for one in self._globs if masked_paths((candidate,), SandboxRules((one,), HARMLESS, ()))), self._globs[0])
        return self._meant_by_wildcard(whole)

    def _meant_by_wildcard(self, path: str) -> str | None:
        """``cat .e*``: a shell's pattern that fits a hidden file of the list. Others (``*.json``) fit too much to mean one."""
        name = path.rpartition("/")[2]
        if not name.startswith(".") or not any(sign in name for sign in "*?["):
            return None
        self._wildcards_left -= len(name)
        if self._wildcards_left < 0:
            raise _TooLarge
        plain = [glob for glob in self._globs if "/" not in glob and not any(sign in glob for sign in "*?[")]
        return next((glob for glob in plain if masked_paths((glob,), SandboxRules((name,), (), ()))), None)


@lru_cache(maxsize=8)
def _depth_that_counts(globs: tuple[str, ...]) -> int | None:
    """How many names at the end of a path decide, as globs fit at any depth; None: all of them."""
    if any("**" in glob or glob.endswith("/") for glob in globs):
        return None
    return max((glob.count("/") for glob in globs), default=0) + 2
