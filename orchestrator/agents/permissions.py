"""One set of deny rules and one hook, written for each agent: in its own format, at a place that it cannot change. Pure.

The sandbox and the egress broker are the wall; what stands here keeps an honest agent from stumbling over it, tells it why, and lets every
tool call be seen. What an agent's own format cannot say is a note, never silence. Each place was tried with the real program and with a
clone that says the opposite: docs/agents-permissions.md.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from orchestrator.model.agent import FILES_INSIDE, HOOK_PROGRAM, Additions, AgentFile, DenyRules, Dialect, Document, Value

CLAUDE_SETTINGS = "/etc/claude-code/managed-settings.json"
CODEX_REQUIREMENTS = "/etc/codex/requirements.toml"
OPENCODE_SETTINGS = "/etc/opencode/opencode.json"
OPENCODE_PLUGIN = f"{FILES_INSIDE}/aienv-hooks.js"
# Not /etc/gemini-cli: it takes that only from uid 0, which nobody has in a sandbox. This file is read-only, too.
GEMINI_SETTINGS = "~/.gemini/settings.json"
GEMINI_POLICY = f"{FILES_INSIDE}/gemini-policy.toml"
QWEN_SETTINGS = "/etc/qwen-code/settings.json"

HOOK_COMMAND = ("python3", "-I", "-S", HOOK_PROGRAM)  # where nothing better is known inside

# The hook program gives up after orchestrator/launcher/hook.py's deadline and refuses; an agent that gave up before it would let the call
# through, so it waits twice as long.
HOOK_TIMEOUT_S = 60
_PRIORITY = 900  # of gemini's rules: above --yolo, within the range of one file

# Their formats have no exceptions, so the usual harmless neighbours of this one glob (.env.example) are kept out of it by hand.
_SPELLED_OUT: Mapping[str, tuple[str, ...]] = {
    ".env.*": (".env.local", ".env.*.local", ".env.dev", ".env.development", ".env.test", ".env.ci", ".env.stag*", ".env.prod*",
               ".env.live", ".env.secret*", ".env.backup", ".env.bak", ".env.old"),
}  # fmt: skip

_SHELL_ONLY = "its own rules see a command only as it is written: 'bash -c ...' and programs that start others pass them"


@dataclass(frozen=True, slots=True)
class HookPlace:
    """``argv``: the hook program's command inside, without its arguments; ``agent``: the name that it is told.

    ``name``: what gemini and qwen call the hook. Gemini lets any settings, a trusted repository's too, switch off a hook by its name, so a
    run should have one that nobody can know before.
    """

    argv: tuple[str, ...]
    agent: str
    name: str = "aienv"

    def command(self, phase: str) -> tuple[str, ...]:
        return (*self.argv, self.agent, phase)

    def shell(self, phase: str) -> str:
        """For agents that run their hooks by a shell. They take every code but 2 for consent, also that of a program that is not there."""
        return f"{shlex.join(self.command(phase))} || {{ [ $? = 2 ] || echo 'aienv: call refused' >&2; exit 2; }}"


def permissions(dialect: Dialect, rules: DenyRules, hooks: HookPlace | None, *, project_hooks: bool = False) -> Additions:
    """What is added to an agent's start so that it knows ``rules`` and asks ``hooks``.

    ``project_hooks``: the user granted hooks of the repository, so those are not switched off where an agent could.
    """
    return _DIALECTS[dialect](rules, hooks, project_hooks)


def _claude(rules: DenyRules, hooks: HookPlace | None, project_hooks: bool) -> Additions:
    # "//" is the root of the file system; without it a rule holds below the current folder only.
    deny = [f"Read(//**/{_everything_below(glob)})" for glob in _globs(rules)]
    deny += [f"Bash({words}:*)" for words in rules.run]
    deny += ["WebFetch", "WebSearch"] if rules.fetch else []
    settings: Document = {}
    if deny:
        settings["permissions"] = {"deny": _values(deny)}
    if not project_hooks:
        settings["allowManagedHooksOnly"] = True
    if hooks is not None:
        settings["hooks"] = {event: [_matching("*", hooks.shell(phase))] for event, phase in _EVENTS}
    notes = (f"claude: {_SHELL_ONLY}",) if rules.run and hooks is None else ()
    return Additions(files=(AgentFile(CLAUDE_SETTINGS, "json", settings),) if settings else (), notes=notes)


def _codex(rules: DenyRules, hooks: HookPlace | None, project_hooks: bool) -> Additions:
    requirements: Document = {}
    if not project_hooks:
        requirements["allow_managed_hooks_only"] = True
    if rules.fetch:
        requirements["allowed_web_search_modes"] = []  # "disabled" is always allowed
    if hooks is not None:
        # What is typed into a shell that goes on (write_stdin) is not asked about. Without such shells (unified_exec) every command would
        # be stopped after ten seconds, so there are some.
        requirements["features"] = {"hooks": True}
        folder = hooks.argv[-1].rpartition("/")[0]
        requirements["hooks"] = {"managed_dir": folder, **{event: [_matching(".*", hooks.shell(phase))] for event, phase in _EVENTS}}
    if rules.run:
        requirements["rules"] = {"prefix_rules": [_codex_rule(words) for words in rules.run]}
    notes = []
    if rules.read and hooks is None:
        # permissions.filesystem.deny_read exists, but with it codex refuses to start without its own sandbox.
        notes.append("codex: files are denied by the hook alone, and hooks are off")
    if rules.run and hooks is None:
        notes.append(f"codex: {_SHELL_ONLY}")
    return Additions(files=(AgentFile(CODEX_REQUIREMENTS, "toml", requirements),) if requirements else (), notes=tuple(notes))


def _codex_rule(words: str) -> Value:
    pattern: list[Value] = [{"token": word} for word in words.split()]
    return {"pattern": pattern, "decision": "forbidden", "justification": f"aienv: {words} is denied (deny.run)"}


def _opencode(rules: DenyRules, hooks: HookPlace | None, project_hooks: bool) -> Additions:
    del project_hooks  # there is no switch that knows ours from others
    permission: Document = {}
    if rules.read:
        permission["read"] = _denied(name for glob in _globs(rules) for name in _opencode_names(glob))
    if rules.run:
        permission["bash"] = _denied(text for words in rules.run for text in (words, f"{words} *"))
    if rules.fetch:
        permission |= {"webfetch": "deny", "websearch": "deny"}
    settings: Document = {"permission": permission} if permission else {}
    files: tuple[AgentFile, ...] = ()
    if hooks is not None:
        settings["plugin"] = [f"file://{OPENCODE_PLUGIN}"]
        files = (AgentFile(OPENCODE_PLUGIN, "text", _opencode_plugin(hooks)),)
    if settings:
        files = (AgentFile(OPENCODE_SETTINGS, "json", settings), *files)
    notes = (f"opencode: {_SHELL_ONLY}; 'cat' of a denied file too", _OPENCODE_ORDER) if hooks is None and permission else ()
    return Additions(files=files, notes=notes)


# It merges objects by key and lets the last row decide, so whoever names a key first chooses its place. OPENCODE_DISABLE_PROJECT_CONFIG
# would help, and would keep AGENTS.md from the agent, too. A plugin that refuses cannot be overruled.
_OPENCODE_ORDER = "opencode: an opencode.json of the repository can undo its own rules; only the hook cannot be undone, and hooks are off"


def _gemini(rules: DenyRules, hooks: HookPlace | None, project_hooks: bool) -> Additions:
    del project_hooks
    table: list[Value] = [
        _gemini_rule(tool, "this file is denied (deny.read)", argsPattern=_json_string_regex(glob))
        for glob in _globs(rules)
        for tool in _GEMINI_READERS
    ]
    table += [_gemini_rule("run_shell_command", f"{words} is denied (deny.run)", commandPrefix=words) for words in rules.run]
    if rules.fetch:
        table += [_gemini_rule(tool, "reading the web is denied (deny.fetch)") for tool in ("web_fetch", "google_web_search")]
    files: tuple[AgentFile, ...] = ()
    words: tuple[str, ...] = ()
    if table:
        files, words = (AgentFile(GEMINI_POLICY, "toml", {"rule": table}),), ("--admin-policy", GEMINI_POLICY)
    if hooks is not None:
        events = {"BeforeTool": "pre", "AfterTool": "post"}
        asked = {event: [_named(".*", hooks, phase)] for event, phase in events.items()}
        files = (*files, AgentFile(GEMINI_SETTINGS, "json", {"hooksConfig": {"enabled": True}, "hooks": dict(asked)}))
    notes = (f"gemini: {_SHELL_ONLY}; 'cat' of a denied file too",) if hooks is None and (rules.run or rules.read) else ()
    return Additions(words=words, files=files, notes=notes)


_GEMINI_READERS = ("read_file", "read_many_files", "grep_search", "search_file_content")


def _gemini_rule(tool: str, text: str, **condition: str) -> Value:
    return {"toolName": tool, **condition, "decision": "deny", "priority": _PRIORITY, "denyMessage": f"aienv: {text}"}


def _qwen(rules: DenyRules, hooks: HookPlace | None, project_hooks: bool) -> Additions:
    del project_hooks
    deny = [f"Read(//**/{_everything_below(glob)})" for glob in _globs(rules)]
    deny += [text for words in rules.run for text in (f"Bash({words})", f"Bash({words} *)")]
    deny += ["WebFetch", "WebSearch"] if rules.fetch else []
    settings: Document = {"permissions": {"deny": _values(deny)}} if deny else {}
    if hooks is not None:
        settings["disableAllHooks"] = False
        settings["hooks"] = {event: [_named("*", hooks, phase)] for event, phase in _EVENTS}
    notes = (f"qwen: {_SHELL_ONLY}",) if rules.run and hooks is None else ()
    return Additions(files=(AgentFile(QWEN_SETTINGS, "json", settings),) if settings else (), notes=notes)


def _without(name: str) -> Callable[[DenyRules, HookPlace | None, bool], Additions]:
    def nothing(rules: DenyRules, hooks: HookPlace | None, project_hooks: bool) -> Additions:
        del project_hooks
        if rules == DenyRules() and hooks is None:
            return Additions()
        return Additions(notes=(f"{name} has no permissions and no hooks: the sandbox and the network rules hold alone",))

    return nothing


_DIALECTS: Mapping[Dialect, Callable[[DenyRules, HookPlace | None, bool], Additions]] = {
    "claude": _claude,
    "codex": _codex,
    "opencode": _opencode,
    "gemini": _gemini,
    "qwen": _qwen,
    "pi": _without("pi"),
    "text": _without("this agent"),
}

_EVENTS = (("PreToolUse", "pre"), ("PostToolUse", "post"))


def _matching(matcher: str, command: str) -> Value:
    return {"matcher": matcher, "hooks": [{"type": "command", "command": command, "timeout": HOOK_TIMEOUT_S}]}


def _named(matcher: str, hooks: HookPlace, phase: str) -> Value:
    """As gemini and qwen have it: with a name, and in milliseconds."""
    hook: Document = {"name": hooks.name, "type": "command", "command": hooks.shell(phase), "timeout": HOOK_TIMEOUT_S * 1000}
    return {"matcher": matcher, "hooks": [hook]}


def _values(texts: list[str]) -> Value:
    return list[Value](texts)


def _globs(rules: DenyRules) -> tuple[str, ...]:
    """As files are told to the agents: below any folder, without ``./``."""
    spelled = (one for glob in rules.read for one in _SPELLED_OUT.get(glob, (glob,)))
    return tuple(dict.fromkeys("/".join(step for step in glob.split("/") if step != ".").lstrip("/") for glob in spelled))


def _everything_below(glob: str) -> str:
    return f"{glob}**" if glob.endswith("/") else glob


def _denied(patterns: Iterable[str]) -> Value:
    """The last row that fits decides."""
    return {"*": "allow", **dict.fromkeys(patterns, "deny")}


def _opencode_names(glob: str) -> tuple[str, str]:
    """Its ``*`` goes over slashes, so one pattern covers all depths; a path without a folder needs another."""
    name = re.sub(r"\*+", "*", f"{glob}*" if glob.endswith("/") else glob)
    return name, f"*/{name}"


def _json_string_regex(glob: str) -> str:
    """Where in a call's arguments, which gemini matches as JSON, a string names such a file.

    Gemini drops a rule with a repetition inside a group, so there are no groups; ``**`` may end within a name.
    """
    steps = _everything_below(glob).split("/")
    return '[/"]' + "/".join('[^"]*' if step == "**" else _name_regex(step) for step in steps).replace('[^"]*/', '[^"]*') + '"'


_PIECES = re.compile(r"(\*+|\?|\[[!^]?[^\]\[\\/\"]+\])")


def _name_regex(name: str) -> str:
    return "".join(_piece(piece) for piece in _PIECES.split(name))


def _piece(piece: str) -> str:
    if piece.startswith("*"):
        return '[^"/]*'
    if piece == "?":
        return '[^"/]'
    if piece.startswith("[") and piece.endswith("]"):
        return f"[^{piece[2:]}" if piece[1] in "!^" else piece
    return re.escape(piece)


def _opencode_plugin(hooks: HookPlace) -> str:
    return _PLUGIN.replace("@PRE@", _js(hooks.command("pre"))).replace("@POST@", _js(hooks.command("post")))


def _js(words: tuple[str, ...]) -> str:
    return json.dumps(list(words))


# Without a program that answers 0 there is no call. What it prints is the same JSON that the other agents read.
_PLUGIN = """\
// aienv: asks the run's policy program before and after every tool call.
import { spawn } from "node:child_process"

const PRE = @PRE@
const POST = @POST@
const LIMIT_MS = 45000

function ask(words, document) {
  return new Promise((resolve) => {
    let out = "", err = "", over = false
    const end = (code, text) => { if (!over) { over = true; clearTimeout(timer); resolve({ code, out, err: text || err }) } }
    const child = spawn(words[0], words.slice(1), { stdio: ["pipe", "pipe", "pipe"] })
    const timer = setTimeout(() => { child.kill("SIGKILL"); end(2, "aienv: the policy program did not answer") }, LIMIT_MS)
    child.on("error", () => end(2, "aienv: the policy program did not run, so the call is refused"))
    child.stdout.on("data", (data) => { out += data })
    child.stderr.on("data", (data) => { err += data })
    child.on("close", (code) => end(code, code === 0 || err ? "" : "aienv: the policy program failed, so the call is refused"))
    child.stdin.on("error", () => {})
    child.stdin.end(JSON.stringify(document))
  })
}

function context(out) {
  try { return JSON.parse(out).hookSpecificOutput.additionalContext || "" } catch { return "" }
}

export const AienvHooks = async ({ directory }) => ({
  "tool.execute.before": async (input, output) => {
    const answer = await ask(PRE, { hook_event_name: "tool.execute.before", cwd: directory, tool: input.tool,
      session_id: input.sessionID, call_id: input.callID, args: output.args })
    if (answer.code !== 0) throw new Error(answer.err.trim())
  },
  "tool.execute.after": async (input, output) => {
    const answer = await ask(POST, { hook_event_name: "tool.execute.after", cwd: directory, tool: input.tool,
      session_id: input.sessionID, call_id: input.callID, args: input.args, title: output.title, metadata: output.metadata })
    const text = answer.code === 0 ? context(answer.out) : answer.err.trim()
    if (text && typeof output.output === "string") output.output += "\\n" + text
  },
})
"""
