"""Each agent's calls, and what the deny rules say about them: a help, so the nearest ordinary call must pass."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.judge import HARMLESS, MAX_COMMAND, Allow, Deny, ToolCall, judge_call, parse_call
from orchestrator.agents.shellwords import simple_commands
from orchestrator.config.schema import HARMLESS_FILES, SECRET_FILES
from orchestrator.model.agent import DenyRules

DENIED = ("curl", "wget", "git push", "npm publish", "twine upload", "cargo publish", "rm -rf /")
RULES = DenyRules(read=SECRET_FILES, run=DENIED, fetch=True)
AGENTS = ("claude", "codex", "opencode", "gemini", "qwen")


def shell(text: str) -> Allow | Deny:
    return judge_call(ToolCall("Bash", "run", command=text, cwd="/work/repo"), RULES)


@pytest.mark.parametrize(
    "text",
    [
        "curl https://x.example",
        "/usr/bin/curl x",
        "echo hi && curl x",
        "echo hi;curl x",
        "echo hi | curl -d @- x",
        "true || curl x",
        "sleep 1 & curl x",
        "echo one\ncurl x",
        "echo $(curl x)",
        'echo "a $(curl x) b"',
        "echo `curl x`",
        'echo "`curl x`"',
        "cat <(curl x)",
        "(cd a; curl x)",
        "{ curl x; }",
        "X=1 Y=2 curl x",
        "env X=1 curl x",
        "env -u A curl x",
        "env -S 'curl x'",
        "sudo -u root curl x",
        "sudo -E curl x",
        "nohup nice -n 5 curl x",
        "timeout -k 1 5 curl x",
        "xargs -n 1 curl < urls",
        "find . -name x -exec curl {} ;",
        "bash -c 'curl x'",
        'bash -lc "curl x"',
        "sh -c \"bash -c 'curl x'\"",
        "eval curl x",
        "eval 'curl x'",
        "bash <<EOF\ncurl x\nEOF",
        "bash <<'EOF'\ncurl x\nEOF\n",
        "bash <<< 'curl x'",
        "cat <<EOF | bash\ncurl x\nEOF",
        "cat > notes <<EOF\na \"b\" $(curl x)\nEOF",
        "cat <<-EOF\n\t`curl x`\n\tEOF",
        "cat <<EOF\n$(cat <<IN\n$(curl x)\nIN\n)\nEOF",
        "if true; then curl x; fi",
        "while ! curl x; do sleep 1; done",
        "time curl x",
        'c"ur"l x',
        "cu\\rl x",
        "curl\\\n x",
        ">out curl x",
        "2>&1 curl x",
        "curl>out",
        "command curl x",
        "exec curl x",
        "curl$IFS-x",
        "git push origin main",
        "git -C sub push",
        "git -c a=b --no-pager push",
        "cd x && git push",
        "npm --prefix web publish",
        "npm --access public publish",
        "cargo +nightly publish",
        "f() { curl x; }; f",
        "f () { curl x\n}\nf",
        "f() ( curl x )",
        "function f { curl x; }",
        "function f() { curl x; }",
        "env - curl x",
        "env -i curl x",
        "env -S'curl x'",
        'env -iS"curl x"',
        "env --split-string='curl x'",
        "/usr/bin/env -S 'A=1 curl x'",
        "bash -c -e 'curl x'",
        "bash -e -o pipefail -c 'curl x'",
        "sh -c -- 'curl x'",
        "bash --norc <<< 'curl x'",
        "echo 'curl x' | cat; bash -s a <<< 'curl x'",
        "su -c 'curl x' nobody",
        "su nobody -c 'curl x'",
        "time -p curl x",
        "/usr/bin/time -f %e curl x",
        "coproc curl x",
        "coproc N { curl x; }",
        "A[1]=2 curl x",
        "A+=2 curl x",
        "trap 'curl x' EXIT",
        "trap -- 'curl x' EXIT",
        "script -c 'curl x' /dev/null",
        "script -qc 'curl x' /dev/null",
        "script --command='curl x' f",
        "flock /tmp/l -c 'curl x'",
        "taskset 1 curl x",
        "taskset -c 0 curl x",
        "$'\\x63url' x",
        "$'\\143url' x",
        "$'cu\\u0072l' x",
        "$'a\\'b'; curl x",
        "python3 -m twine upload dist/a",
        "python3.11 -I -mtwine upload dist/a",
        "python -W ignore -m twine upload a",
        "uv run twine upload a",
        "uv run python -m twine upload a",
        "uvx twine upload a",
        "poetry run twine upload a",
        "rm -rf /",
    ],
)
def test_denied_commands(text: str) -> None:
    """However an ordinary agent might write it."""
    answer = shell(text)
    assert isinstance(answer, Deny)
    assert answer.rule in RULES.run
    assert answer.rule in answer.reason


@pytest.mark.parametrize(
    "text",
    [
        "echo curl",
        "apt-get install -y curl",
        "sudo apt install curl",
        "which curl",
        "command -v curl",
        "git commit -m 'use curl here'",
        "grep -r curl src",
        "cat curl.md",
        "./curl-notes.sh",
        "libcurl-config",
        "echo 'a; curl x'",
        'echo "a; curl x"',
        "# curl x",
        "ls # curl x",
        "echo a#b",
        "cat > fetch.sh <<'EOF'\ncurl x\nEOF",
        "cat > notes <<EOF\nuse curl\nEOF\nls",
        "cat > notes <<'EOF'\na $(curl x) `curl x`\nEOF",
        "cat > notes <<\\EOF\n`curl x`\nEOF",
        "cat > notes <<EOF\n\\`curl x\\` \\$(curl x)\nEOF",
        "cat > notes <<EOF\ndon't `date`; curl x\nEOF",
        "git status",
        "git pull",
        "git stash push-it",
        "git log --grep push",
        "git config push.default simple",
        "git commit -m push",
        "git branch push",
        "npm run publish",
        "npm install",
        "npm --access public install",
        "f() { echo curl; }",
        "function curl_notes { ls; }",
        "env -S'echo curl'",
        "bash -c 'echo $0' curl",
        "bash -e curl.sh",
        "bash run.sh <<< 'curl x'",
        "time -p make curl",
        "coproc N { cat; }",
        "A[1]=curl make",
        "trap - EXIT",
        "trap 'rm -f x' EXIT",
        "script -c 'make curl' log",
        "taskset 1 make curl",
        "$'\\x62url' x",
        "echo $'it\\'s; curl x'",
        "python3 -m pip install twine",
        "python3 -m twine check dist/a",
        "python3 -c 'twine' -m twine upload",
        "python3 tool.py -m twine upload",
        "uv run pytest twine",
        "rm -rf /work/repo/build",
        "find . -name curl",
        "echo $((1+2))",
        "",
        "   ",
    ],
)
def test_nearest_commands_pass(text: str) -> None:
    """A word that is an argument, a text or a comment is no command."""
    assert shell(text) == Allow()


@pytest.mark.parametrize(
    "text",
    [
        "cat .env",
        "cat ./.env",
        "cat sub/../.env",
        "cat /work/repo/.env",
        "cat '.env'",
        'cat ".env"',
        "cat .e\\nv",
        "cat < .env",
        "cat<.env",
        "while read l; do echo $l; done < .env",
        "head -n 3 config/.env.production",
        "cat ~/.ssh/id_ed25519",
        "cat $HOME/.ssh/id_rsa",
        "grep -r KEY ~/.ssh",
        "grep TOKEN .env",
        "grep -e TOKEN .env",
        "cp .env /tmp/x",
        "base64 server.pem",
        "git show HEAD:.env",
        "git diff -- .env",
        "dd if=.env",
        "tar c --file=- .env",
        "tar c --exclude-from=.env src",
        "rg -g .env TODO",
        "source .env",
        ". ./.env && run",
        "cat .e*",
        "cat .en?",
        "cat .[e]nv",
        "cat .ENV",
        "python3 -c \"print(open('.env').read())\"",
        "echo $(cat .env)",
        "bash -c 'cat .env'",
        "cat${IFS}.env",
        "find . -name x -exec cat .env ;",
        "echo ok; cat .netrc",
        "for f in .env .env.local; do cat $f; done",
        "xxd ~/.aws/credentials",
        "cp -t /tmp .env",
        "cp -at/tmp .env",
        "install --target-directory=/tmp .env",
        "git commit -F .env",
        "git commit --file=.env",
        "git tag -F.env v1",
        "git -C . show HEAD:.env",
        "git show mv HEAD:.env",
        "grep -rf .env",
        "grep -f.env x",
        "grep -rne TOKEN .env",
        "sed -ne p .env",
        "find . -name .env -exec cat {} +",
        "find . -name '.env*' -exec sh -c 'cat $1' _ {} ;",
        "find ~/.ssh -type f -exec cat {} +",
        "find . -name .env | xargs cat",
        "find . -name .env | head -1 |\n xargs -n1 base64",
        "cat <<EOF\n$(cat .env)\nEOF",
        "cat $(ls .env)",
        "cat `ls .env`",
        "for f in $(ls -a .env); do cat $f; done",
        'cat "$(find . -name .env)"',
        "node -e 'readFileSync(`.env`)'",
        'node -e "readFileSync(`.env`)"',
        "python3 -Ic \"print(open('.env').read())\"",
        "python3 - <<'EOF'\nprint(open('.env').read())\nEOF",
        "python3 -m json.tool .env",
        "f() { cat .env; }; f",
    ],
)
def test_secret_files_in_commands(text: str) -> None:
    """A word that names such a file, where its content would be shown or carried off."""
    answer = shell(text)
    assert isinstance(answer, Deny)
    assert answer.rule in SECRET_FILES


@pytest.mark.parametrize(
    "text",
    [
        "cat .env.example",
        "cp .env.example .env",
        "cat environment.md",
        "cat README.md",
        "cat env",
        "echo .env >> .gitignore",
        "echo X=1 > .env",
        "touch .env",
        "ls -la ~/.ssh",
        "test -f .env && echo yes",
        "[ -f .env ]",
        "rm -f .env",
        "find . -name .env",
        "git add .env",
        "git commit -m 'ignore .env'",
        "git check-ignore .env",
        "grep '\\.env' -r src",
        "grep -rn process.env src",
        "git grep process.env",
        "sed -i s/.env/x/ README.md",
        "node -e 'console.log(Object.keys(process.env))'",
        "openssl genrsa -out server.key 2048",
        "cat *.md",
        "cat *",
        "cat ~/.ssh/id_rsa.pub",
        "python3 manage.py --settings=prod",
        "npm run env",
        "pytest -k key",
        "cp -t . .env.example",
        "mv a b .env",
        "git commit -F message.txt",
        "git -C sub add .env",
        "git checkout -t origin/env",
        'git commit -m "$(printf \'%s\' .env)"',
        "grep -rf patterns.txt src",
        "find . -name .env -exec rm {} +",
        "find . -not -name .env -type f -exec cat {} +",
        "find . -name '*.py' -exec cat {} +",
        "find . -name .env | wc -l",
        "rg -n TODO --glob '!*.env'",
        "grep -r TODO --exclude=.env src",
        "tar c --exclude .env src",
        "find . -name .env | xargs rm -f",
        "ls .env || xargs cat",
        "x=$(ls .env)",
        '[ -n "$(ls .env)" ]',
        "echo $(dirname .env)",
        "cat $(ls src)",
        "node -e 'f(`src/${name}`)'",
        "python3 - <<'EOF'\nimport os; os.environ['X']\nEOF",
        "cat > a.py <<'EOF'\nopen('.env')\nEOF",
    ],
)
def test_nearest_reads_pass(text: str) -> None:
    """Names alone, files that are made, patterns that are searched for, and what is there to be read."""
    assert shell(text) == Allow()


def _document(agent: str, tool: str, arguments: object) -> dict[str, object]:
    if agent == "opencode":
        return {"hook_event_name": "tool.execute.before", "cwd": "/w", "tool": tool, "call_id": "c1", "args": arguments}
    return {"hook_event_name": "PreToolUse", "cwd": "/w", "tool_name": tool, "tool_use_id": "c1", "tool_input": arguments}


def ask(agent: str, tool: str, arguments: object, rules: DenyRules = RULES) -> Allow | Deny:
    call = parse_call(agent, _document(agent, tool, arguments))
    return call if isinstance(call, Deny) else judge_call(call, rules)


@pytest.mark.parametrize(
    ("agent", "tool", "arguments", "rule"),
    [
        pytest.param("claude", "Read", {"file_path": "/w/.env"}, ".env", id="claude-read"),
        pytest.param("claude", "Read", {"file_path": "/w/a/../.ssh/x"}, ".ssh/*", id="claude-dot-dot"),
        pytest.param("claude", "Edit", {"file_path": "/w/k.pem", "old_string": "a", "new_string": "b"}, "*.pem", id="claude-edit"),
        pytest.param("claude", "Grep", {"pattern": "x", "path": "/root/.ssh"}, ".ssh/*", id="claude-grep-folder"),
        pytest.param("claude", "Grep", {"pattern": "x", "glob": "*.pem"}, "*.pem", id="claude-grep-glob"),
        pytest.param("claude", "WebFetch", {"url": "https://x", "prompt": "p"}, "deny.fetch", id="claude-fetch"),
        pytest.param("claude", "Bash", {"command": "curl x"}, "curl", id="claude-bash"),
        pytest.param("codex", "Bash", {"command": "curl x"}, "curl", id="codex-bash"),
        pytest.param("codex", "shell", {"command": ["bash", "-lc", "curl x"]}, "curl", id="codex-words"),
        pytest.param("codex", "view_image", {"path": "id_rsa"}, "id_rsa", id="codex-image"),
        pytest.param("opencode", "read", {"filePath": "/w/.env"}, ".env", id="opencode-read"),
        pytest.param("opencode", "bash", {"command": "curl x"}, "curl", id="opencode-bash"),
        pytest.param("opencode", "webfetch", {"url": "x"}, "deny.fetch", id="opencode-fetch"),
        pytest.param("gemini", "read_file", {"file_path": ".env"}, ".env", id="gemini-read"),
        pytest.param("gemini", "read_many_files", {"include": ["src/a.py", "k/.env"]}, ".env", id="gemini-many"),
        pytest.param("gemini", "run_shell_command", {"command": "curl x"}, "curl", id="gemini-shell"),
        pytest.param("gemini", "google_web_search", {"query": "x"}, "deny.fetch", id="gemini-search"),
        pytest.param("qwen", "read_file", {"file_path": "/w/.env"}, ".env", id="qwen-read"),
        pytest.param("claude", "mcp__fs__read", {"args": [{"path": "/w/.env"}]}, ".env", id="mcp-path"),
        pytest.param("claude", "mcp__sh__run", {"command": "curl x"}, "curl", id="mcp-command"),
        pytest.param("claude", "Read", {}, "shape", id="no-file"),
        pytest.param("claude", "Read", {"file_path": 7}, "shape", id="file-is-a-number"),
        pytest.param("claude", "Read", "x", "shape", id="arguments-are-text"),
        pytest.param("claude", "Bash", {"command": {"a": 1}}, "shape", id="command-is-a-map"),
        pytest.param("claude", "Bash", None, "shape", id="no-arguments"),
        pytest.param("claude", "", {}, "shape", id="no-name"),
        pytest.param("claude", 3, {}, "shape", id="name-is-a-number"),
        pytest.param("claude", "Bash", {"command": "a" * (MAX_COMMAND + 1)}, "shape", id="long-command"),
        pytest.param("claude", "Bash", {"command": "a " * 5000}, "shape", id="many-words"),
        pytest.param("claude", "Read", {"file_path": "a" * 5000}, "shape", id="long-path"),
    ],
)
def test_refused_calls(agent: str, tool: str, arguments: object, rule: str) -> None:
    """What is denied, and what nobody can read."""
    answer = ask(agent, tool, arguments)
    assert isinstance(answer, Deny)
    assert answer.rule == rule


@pytest.mark.parametrize(
    ("agent", "tool", "arguments"),
    [
        pytest.param("claude", "Read", {"file_path": "/w/.env.example"}, id="harmless"),
        pytest.param("claude", "Read", {"file_path": "/w/src/env.py"}, id="ordinary"),
        pytest.param("claude", "Write", {"file_path": "/w/.env", "content": "A=1"}, id="write"),
        pytest.param("claude", "Glob", {"pattern": "**/*.py"}, id="glob"),
        pytest.param("claude", "Grep", {"pattern": "curl"}, id="grep-without-path"),
        pytest.param("claude", "Bash", {"command": "make test", "description": "curl"}, id="bash"),
        pytest.param("claude", "TodoWrite", {"todos": [{"content": "read .env with curl"}]}, id="other-tool"),
        pytest.param("claude", "mcp__fs__read", {"path": "/w/a.py"}, id="mcp"),
        pytest.param("claude", "Task", None, id="no-arguments"),
        pytest.param("codex", "apply_patch", {"command": "*** Begin Patch\n*** Add File: curl\n+curl x\n*** End Patch"}, id="patch"),
        pytest.param("opencode", "read", {"filePath": "/w/README.md"}, id="opencode-read"),
        pytest.param("gemini", "list_directory", {"dir_path": "."}, id="gemini-list"),
    ],
)
def test_passing_calls(agent: str, tool: str, arguments: object) -> None:
    """The neighbours of what is refused."""
    assert ask(agent, tool, arguments) == Allow()


def test_without_rules_everything_passes() -> None:
    """The rules are the user's; only shapes are ours."""
    none = DenyRules()
    assert ask("claude", "Bash", {"command": "curl x; cat .env"}, none) == Allow()
    assert ask("claude", "Read", {"file_path": ".env"}, none) == Allow()
    assert ask("claude", "WebFetch", {}, none) == Allow()


def test_what_a_finished_call_says() -> None:
    """Claude gives a time, opencode an exit code, others neither."""
    stopped = {"duration_ms": 1500, "tool_response": {"interrupted": True}}
    claude = parse_call("claude", {**_document("claude", "Bash", {"command": "x"}), **stopped})
    opencode = parse_call("opencode", {**_document("opencode", "bash", {"command": "x"}), "metadata": {"exit": 1}})
    gemini = parse_call("gemini", {**_document("gemini", "read_file", {"file_path": "x"}), "tool_response": {"llmContent": "x"}})
    assert isinstance(claude, ToolCall)
    assert isinstance(opencode, ToolCall)
    assert isinstance(gemini, ToolCall)
    assert (claude.ok, claude.duration_s, claude.id) == (False, 1.5, "c1")
    assert (opencode.ok, opencode.duration_s) == (False, None)
    assert gemini.ok is True


def test_the_harmless_are_the_same_everywhere() -> None:
    """The core's layers keep this table twice."""
    assert HARMLESS == HARMLESS_FILES


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.sampled_from(["command", "path", "file_path", "x"]), children),
    max_leaves=15,
)
TOOLS = st.sampled_from(["Read", "Bash", "Grep", "read_many_files", "shell", "WebFetch", "mcp__x__y", "apply_patch", ""]) | JSON


@given(st.sampled_from(AGENTS), TOOLS, JSON, JSON)
def test_any_document_is_answered(agent: str, tool: object, arguments: object, response: object) -> None:
    """A decision, whatever the agent or who speaks for it sends."""
    for document in ({**_document(agent, "", arguments), "tool": tool, "tool_name": tool, "tool_response": response}, arguments):
        call = parse_call(agent, document)
        answer = call if isinstance(call, Deny) else judge_call(call, RULES)
        assert isinstance(answer, (Allow, Deny))


SHELL = st.text(alphabet="ab .;&|<>()$`'\"\\\n{}-=#*?[]~/c\udc80\x00", max_size=200)


@given(SHELL)
@settings(max_examples=300)
def test_any_shell_text_is_answered(text: str) -> None:
    """And no word is made up: each comes from the text."""
    assert isinstance(shell(text), (Allow, Deny))
    letters = set(text)
    assert all(set(word) <= letters for command in simple_commands(text) for word in command.words)


@given(SHELL)
def test_a_command_on_a_line_of_its_own_is_found(text: str) -> None:
    """Unless what stands before it leaves something open."""
    if any(sign in text for sign in "'\"`\\<$("):
        return
    assert isinstance(shell(f"{text}\ncurl x"), Deny)


@pytest.mark.parametrize(
    "unit",
    [
        "$(", "`", '"$(', "<<a\n", "((", "\\", "'", "a=", ".a* ", "../", "bash -c ", "env ", "find -exec ", "=:@,", "$'\\x63", "f() { ",
        "a|", "xargs|ls|", "python -m ", "cat $(ls ", "sh -c -- ", "trap 'a' ", "env -S'a' ", "coproc a { ", "uv run ", "A[",
        "find ! -name a -exec b ", "script -c ", "cat <<a\n$(", "<<a ", "<<a\n`",
    ],
)  # fmt: skip
def test_long_hostile_texts_are_answered(unit: str) -> None:
    """Text that could make a reader go back and forth is read once: the longest that is read at all does not hold up the suite."""
    assert isinstance(shell(unit * (MAX_COMMAND // len(unit))), (Allow, Deny))
    assert isinstance(judge_call(ToolCall("Read", "read", (unit * (4000 // len(unit)),)), RULES), (Allow, Deny))


FOLDERS = DenyRules(read=("secrets/", "a/**/key", ".env"))


@pytest.mark.parametrize(
    ("paths", "cwd", "rules", "answer"),
    [
        pytest.param(["/" * 190] * 999, "/" * 3000, RULES, Allow(), id="slashes"),
        pytest.param([f"{'a/' * 90}{number}" for number in range(999)], "/a" * 1500, RULES, Allow(), id="deep"),
        pytest.param([f"{'a/' * 2000}{number}" for number in range(999)], "/a" * 1500, RULES, "shape", id="too-deep"),
        pytest.param([f"{'a/' * 90}{number}" for number in range(999)], "/a" * 1500, FOLDERS, "shape", id="deep-and-every-folder-counts"),
        pytest.param([f".{'a*' * 90}{number}" for number in range(999)], "/w", RULES, "shape", id="wildcards"),
        pytest.param([f"src/package/module{number}.py" for number in range(999)], "/workspaces/project", FOLDERS, Allow(), id="ordinary"),
        pytest.param([*["src/a.py"] * 998, ".env"], "/workspaces/project", RULES, ".env", id="the-last-one"),
        pytest.param(["/w/secrets/a/b/c"], "/w", FOLDERS, "secrets/", id="below-a-folder"),
        pytest.param(["b"], "/w/secrets/a", FOLDERS, "secrets/", id="in-a-folder"),
        pytest.param(["../../x/key"], "/w/a/b/c", FOLDERS, "a/**/key", id="any-folders"),
        pytest.param(["../x/id"], "/home/u/.ssh/y", RULES, Allow(), id="beside-two-names"),
        pytest.param(["../id"], "/home/u/.ssh/y", RULES, ".ssh/*", id="two-names"),
    ],
)
def test_many_names_of_files(paths: list[str], cwd: str, rules: DenyRules, answer: object) -> None:
    """All of one call are judged, or it is refused: what comes is bounded."""
    given = judge_call(ToolCall("Read", "read", tuple(paths), cwd=cwd), rules)
    assert (given.rule if isinstance(given, Deny) else given) == answer


def test_many_names_in_a_command() -> None:
    """Also parts of words are names."""
    assert shell("cat " + "".join(f"{number}:" for number in range(1000))) == Allow()
    answer = shell("cat " + "".join(f"{number}:" for number in range(10_000)))
    assert isinstance(answer, Deny)
    assert "too large to be judged" in answer.reason
