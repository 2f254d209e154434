"""Files of a repository by which an agent could be made to act."""

# ruff: noqa: E501 - a row of a table stays one line

import hashlib
import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.project import PROJECT_FILES, PROJECT_FILES_OF, Found, acts, find, granted, neutralised
from orchestrator.model.agent import ProjectFile


def paths(files: list[str], links: dict[str, str] | None = None, start: str = "", agent: str = "claude") -> list[str]:
    search = find(files, links or {}, PROJECT_FILES_OF[agent], start)
    assert search.refused == ()
    return [one.path for one in search.found]


@pytest.mark.parametrize(
    ("agent", "path"),
    [
        ("claude", ".claude/settings.json"), ("claude", ".claude/settings.local.json"), ("claude", ".mcp.json"), ("codex", ".codex/config.toml"), ("codex", ".codex/hooks.json"),
        ("opencode", "opencode.json"), ("opencode", "opencode.jsonc"), ("opencode", ".opencode/opencode.jsonc"), ("opencode", ".opencode/plugin/a.ts"), ("opencode", ".opencode/plugins/d/a.js"), ("opencode", ".opencode/tool/a.js"),
        ("claude", ".claude/skills/a/SKILL.md"), ("claude", ".claude/skills/a/.claude-plugin/plugin.json"), ("claude", ".claude/skills/a/hooks/hooks.json"), ("claude", ".claude/skills/a/.mcp.json"), ("claude", ".claude/agents/x.md"), ("claude", ".claude/commands/d/x.md"),
        ("gemini", ".gemini/settings.json"), ("gemini", ".gemini/extensions/x/gemini-extension.json"), ("gemini", ".gemini/.env"), ("gemini", ".env"), ("qwen", ".env"), ("qwen", ".qwen/settings.json"), ("pi", ".pi/extensions/e.ts"), ("pi", ".pi/settings.json"),
    ],
)  # fmt: skip
def test_found(agent: str, path: str) -> None:
    assert paths([path, "README.md"], agent=agent) == [path]


@pytest.mark.parametrize(
    "path",
    ["AGENTS.md", "CLAUDE.md", ".claude/settings.json.md", "x/.claude/settings.json", ".claude/notes/settings.json", "mcp.json", ".claude", "GEMINI.md", ".opencode/plugin"],
)  # fmt: skip
def test_left_alone(path: str) -> None:
    """Instructions, other names, and folders where the agent does not start."""
    for agent in PROJECT_FILES_OF:
        assert paths([path], agent=agent) == []


def test_start_in_a_folder() -> None:
    """Agents read the folder in which they start, and some those above it."""
    files = [".mcp.json", "a/.mcp.json", "a/b/.mcp.json", "a/c/.mcp.json"]
    assert paths(files, start="a/b") == [".mcp.json", "a/.mcp.json", "a/b/.mcp.json"]


@pytest.mark.parametrize(
    ("links", "real"),
    [
        pytest.param({".claude": "conf/x"}, "conf/x/settings.json", id="folder"),
        pytest.param({".claude": "one", "one": "./conf"}, "conf/settings.json", id="two-hops"),
        pytest.param({".claude/settings.json": "../shared/s.json"}, "shared/s.json", id="file"),
        pytest.param({".claude": "a/../conf", "a": "deep/down"}, "deep/conf/settings.json", id="dots-behind-a-link-are-the-kernel's"),
        pytest.param({".claude": "here/conf", "here": "."}, "conf/settings.json", id="root"),
    ],
)
def test_links_are_followed(links: dict[str, str], real: str) -> None:
    """A mount goes over what a link points to: no mount can cover the link itself."""
    assert paths([real, "deep/down/x"], links) == [real]


@pytest.mark.parametrize(
    "links",
    [
        pytest.param({".claude": "/home/agent"}, id="absolute"), pytest.param({".claude": "../outside"}, id="above"), pytest.param({".mcp.json": ".mcp.json"}, id="itself"),
        pytest.param({".claude": "b", "b": ".claude"}, id="circle"), pytest.param({".claude/settings.json": "/etc/passwd"}, id="file"),
        pytest.param({".claude": "x/y", "x": "a/../../.."}, id="dots"),
    ],
)  # fmt: skip
def test_links_out_are_refused(links: dict[str, str]) -> None:
    search = find(["README.md"], links, PROJECT_FILES_OF["claude"])
    assert search.found == ()
    assert len(search.refused) == 1


@pytest.mark.parametrize(
    "links", [{"out": "/etc"}, {".claude/output-styles": "../../x"}, {".claude": "nowhere"}, {".claude/settings.json": "gone"}, {"CLAUDE.md": "/x"}]
)
def test_other_links_do_not_matter(links: dict[str, str]) -> None:
    """Those elsewhere; and one that leads to nothing in the repository: what comes to be there is the agent's own doing."""
    assert paths(["README.md"], links) == []


def test_links_in_any_folder() -> None:
    """``**``, and links that multiply names without end."""
    links = {".opencode/plugin/again": ".", ".opencode/plugin/up": "..", ".opencode/plugin/other": "../../lib"}
    assert sorted(paths([".opencode/plugin/p.js", "lib/q/r.js"], links, agent="opencode")) == [".opencode/plugin/p.js", "lib/q/r.js"]
    many = {f"d{depth}/{side}": f"../d{depth + 1}" for depth in range(30) for side in "ab"}
    assert paths(["d30/p.js"], {**many, ".opencode/plugin": "../d0"}, agent="opencode") == ["d30/p.js"]


def test_deep() -> None:
    assert len(paths([".opencode/plugin/" + "d/" * 1500 + "p.js"], agent="opencode")) == 1


@pytest.mark.parametrize(
    "links",
    [
        pytest.param({f".claude/skills/d{n}/l": f"../d{(n + 1) % 5000}" for n in range(5000)}, id="ring"),
        pytest.param({f"a{n}": f"a{n + 1}/x" + "/y" * 1500 for n in range(40)} | {f".claude/skills/{n}": "../../a0" for n in range(2000)}, id="long"),
        pytest.param({f"a{n}": f"a{n + 1}/../" * 900 + "x" for n in range(40)} | {".claude": "a0"}, id="many"),
    ],
)  # fmt: skip
def test_links_that_cost(links: dict[str, str]) -> None:
    """Each would take longer than the run; what is followed in all has a limit."""
    search = find([".mcp.json"], links, PROJECT_FILES_OF["claude"])
    assert [one.path for one in search.found] == [".mcp.json"]
    assert 1 <= len(search.refused) <= 20


def test_too_many() -> None:
    search = find([f".opencode/plugin/{number}.js" for number in range(3000)], {}, PROJECT_FILES_OF["opencode"])
    assert len(search.found) == 2000
    assert "more than 2000" in search.refused[0]


FOUND = (Found(".mcp.json", "shared/mcp.json", "{}\n"),)
CONTENT = b'{"mcpServers": {}}'
HEX = hashlib.sha256(CONTENT).hexdigest()
GRANT = f"shared/mcp.json@sha256:{HEX}"


def test_neutral() -> None:
    """The grant names the file that has the content, not the link."""
    (one,) = neutralised(FOUND, {"shared/mcp.json": CONTENT}.get, ())
    assert (one.path, one.content, one.digest, one.grant_text) == ("shared/mcp.json", "{}\n", HEX, GRANT)
    assert neutralised(FOUND, {"shared/mcp.json": CONTENT}.get, (GRANT,)) == ()


def test_content_that_is_not_known() -> None:
    """Too large, or not readable: left out, and nothing grants it."""
    (one,) = neutralised(FOUND, lambda _: None, (GRANT, "shared/mcp.json@sha256:"))
    assert (one.digest, one.grant_text) == ("", None)


@pytest.mark.parametrize(
    ("path", "digest"), [("shared/mcp.json", "b" * 64), ("x/shared/mcp.json", HEX), ("mcp.json", HEX), ("shared/mcp.json", ""), ("shared/mcp.json", HEX[:-1])]
)  # fmt: skip
def test_not_granted(path: str, digest: str) -> None:
    """Another content, another file, or one that nobody could read."""
    assert granted((GRANT,), "shared/mcp.json", HEX)
    assert not granted((GRANT, "shared/mcp.json@sha256:"), path, digest)


@pytest.mark.parametrize(
    "text",
    [
        "---\nname: x\nhooks:\n  Stop: []\n---\nbody", "---\nmcpServers:\n  - a\n---\n", "---\nmcp_servers: {}\n---\n", '---\n{"name": "x", "hooks": {}}\n---\n', "---\n? hooks\n: {}\n---\n", "\ufeff---\r\nhooks : {}\r\n---\r\n",
        '---\n"\\x68ooks": {}\n---\n', "---\nname: x\nhooks: {}", "run !`make evil` first", "---\nname: x\n---\nrun !`id`", "```!\nid\n```", "h\0o\0o\0k\0s\0",
    ],
)  # fmt: skip
def test_prose_that_acts(text: str) -> None:
    assert acts(".claude/skills/x/SKILL.md", text.encode())


@pytest.mark.parametrize("head", ["description: &k hooks\n*k :\n  PreToolUse: []", "a: &h [hooks]\n? *h\n: 1", "x: !!str hooks", "<<: {a: 1}"])
def test_heads_that_call_things_by_other_names(head: str) -> None:
    """YAML can say 'hooks' without the word and its colon."""
    assert acts(".claude/skills/x/SKILL.md", f"---\nname: x\n{head}\n---\ntext".encode())


@pytest.mark.parametrize(
    ("path", "acting"),
    [
        ("sub/deep/.claude/skills/x/SKILL.md", True), (".claude/workflows/a.js", True), ("sub/.claude/agents/a.md", True),
        ("sub/.claude/settings.json", False), ("sub/claude/skills/x/SKILL.md", False),
    ],
)  # fmt: skip
def test_folders_below(path: str, acting: bool) -> None:
    """Claude finds skills of a folder when it reads a file there; settings it does not."""
    found = find([path, "README.md"], {"docs/gone": "/nowhere", "broken": "missing"}, PROJECT_FILES_OF["claude"])
    assert [one.path for one in found.found] == ([path] if acting else [])
    assert found.refused == ()


@pytest.mark.parametrize(
    "text",
    ["", "# Title\nUse React hooks: they help", "---\nname: x\ndescription: about git hooks and MCP servers\n---\nhooks: prose", "run `make` now!", "--- hm", "---\nallowed-tools: Bash(*)\n---\nGo!"],
)  # fmt: skip
def test_prose(text: str) -> None:
    """Skills, commands and agents that only tell a model something stay; the same as a program does not."""
    assert not acts(".claude/skills/x/SKILL.md", text.encode())
    assert acts(".opencode/plugin/x.js", text.encode())
    assert neutralised((Found("a.md", "a.md", ""),), lambda _: text.encode(), ()) == ()


@pytest.mark.parametrize("row", PROJECT_FILES, ids=lambda row: row.glob)
def test_neutral_contents_are_valid(row: ProjectFile) -> None:
    """In the format of the file: an empty file where JSON is wanted ends some agents."""
    if row.neutral.startswith("{"):
        assert json.loads(row.neutral) == {}
    elif row.glob.endswith(".toml"):
        assert tomllib.loads(row.neutral) == {}
    else:
        assert row.neutral == "" or row.neutral.startswith("export ")


NAMES = st.lists(st.sampled_from([".claude", "settings.json", "a", "..", ".", "", ".mcp.json"]), min_size=1, max_size=4).map("/".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(NAMES, max_size=6), st.dictionaries(NAMES, NAMES, max_size=6))
def test_any_tree(files: list[str], links: dict[str, str]) -> None:
    search = find(files, links, PROJECT_FILES)
    assert all(one.path in files for one in search.found)
