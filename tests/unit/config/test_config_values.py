"""Parsers of single values: what they take, what they refuse and with which words."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.config import names, values
from orchestrator.config.names import branch_problem
from orchestrator.config.node import Node, word, words
from orchestrator.config.schema import KEYS
from orchestrator.config.values import BadValue

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("4g", 4 * GIB),
        ("4G", 4 * GIB),
        ("4GiB", 4 * GIB),
        ("4 gb", 4 * GIB),
        ("512MiB", 512 << 20),
        ("512m", 512 << 20),
        ("1.5g", GIB * 3 // 2),
        ("67108864", 64 << 20),
        ("65536k", 64 << 20),
        ("1t", 1 << 40),
    ],
)
def test_sizes(text: str, count: int) -> None:
    """All the spellings that people use for a size mean powers of 1024."""
    assert KEYS["limits.memory"].parse(word(text)) == count


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("4q", "is not a size"),
        ("-4g", "is not a size"),
        ("4g4m", "is not a size"),
        ("", "is not a size"),
        ("٤g", "is not a size"),
        ("1e9", "is not a size"),
        ("inf", "is not a size"),
        ("0", "is not between 16m and"),
        ("15m", "is not between 16m and"),
        ("4", "without a unit it means bytes, perhaps 4g?"),
        ("9999999999t", "is not between"),
    ],
)
def test_sizes_refused(text: str, because: str) -> None:
    """What is no size, and what no machine has, is refused."""
    with pytest.raises(BadValue) as caught:
        KEYS["limits.memory"].parse(word(text))
    assert because in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800.0), ("90s", 90.0), ("1h30m", 5400.0), ("2d", 172800.0), ("45", 45.0), ("0.5s", 0.5), ("1h0m1s", 3601.0)],
)
def test_durations(text: str, seconds: float) -> None:
    """Durations are numbers with units, or plain seconds."""
    assert KEYS["limits.timeout"].parse(word(text)) == seconds


@pytest.mark.parametrize("text", ["30 m", "m30", "30m1h", "1:30", "-5s", "", "0", "nan", "31d", "1w", "５m"])
def test_durations_refused(text: str) -> None:
    """Units out of order, no time at all, and forever are refused."""
    with pytest.raises(BadValue, match="is not"):
        KEYS["limits.timeout"].parse(word(text))


@pytest.mark.parametrize(
    ("key", "node", "because"),
    [
        ("backend", word("dokcer"), "unknown choice dokcer, perhaps 'docker'?"),
        ("network.mode", word("allow-list"), "perhaps 'allowlist'?"),
        ("docker", Node("truth", "true"), "unknown choice true"),
        ("docker", Node("nothing", ""), "found nothing"),
        ("limits.pids", Node("text", "512"), "expected a whole number"),
        ("limits.pids", word("1.5"), "expected a whole number"),
        ("limits.pids", word("15"), "is not between 16 and"),
        ("limits.cpus", word("0"), "is not between 0.1 and"),
        ("limits.cpus", Node("truth", "true"), "expected a number"),
        ("keep", Node("text", "yes"), "perhaps true?"),
        ("keep", Node("integer", "1"), "perhaps true?"),
        ("prompt", Node("integer", "5"), "found a whole number 5"),
        ("prompt", word("a\x1b[2Jb"), "control character"),
        ("prompt", word("x" * 130_000), "is longer than"),
        ("name", word("../up"), "is not a task name"),
        ("name", word("a..b"), "is not a task name"),
        ("name", word("-x"), "is not a task name"),
        ("name", word("x" * 64), "is not a task name"),
        ("secrets", words(["A-B"]), "is not a variable name"),
        ("secrets", word("TOKEN"), "expected a list, found TOKEN"),
        ("env", words(["1A=2"]), "is not a variable name"),
        ("env", words(["A"]), "expected NAME=VALUE"),
        ("env", words(["AIENV_HOME=/"]), "is set by aienv itself"),
        ("ref", word("--upload-pack=x"), "is not a branch, tag or commit"),
        ("ref", word("a b"), "is not a branch, tag or commit"),
        ("repo", word("ext::sh -c id"), "is not a repository"),
        ("repo", word("--help"), "is not a repository"),
        ("repo", word("gopher://example.org/x"), "is not a repository"),
        ("artifacts", words(["../etc"]), "leaves the workspace"),
        ("artifacts", words(["/etc/passwd"]), "leaves the workspace"),
        ("sandbox.expose", words(["/"]), "cannot be exposed"),
        ("sandbox.expose", words(["/./"]), "cannot be exposed"),
        ("sandbox.expose", words(["opt"]), "is not an absolute path"),
        ("sandbox.expose", words(["/opt/../root"]), "is not an absolute path"),
        ("environment.image", word("-v /:/host"), "is not an image reference"),
        ("environment.template", word("Py thon"), "is not a template name"),
        ("environment.devcontainer", word("../other/devcontainer.json"), "leaves the workspace"),
        ("agent", word("Claude"), "perhaps 'claude'?"),
        ("model", word("-x"), "is not the name of a model"),
        ("deny.run", words(["rm -rf $HOME"]), "is not the beginning of a command"),
        ("agent_files", words([".mcp.json"]), "is not PATH@sha256:HEX"),
        ("agent_files", words(["../x@sha256:" + "0" * 64]), "is not PATH@sha256:HEX"),
    ],
)
def test_values_refused(key: str, node: Node, because: str) -> None:
    """A wrong type, a bad name and a value that climbs out are refused, with the nearest choice where there is one."""
    with pytest.raises(BadValue) as caught:
        KEYS[key].parse(node)
    assert because in str(caught.value)


@pytest.mark.parametrize(
    ("key", "node", "value"),
    [
        ("backend", word("docker"), "docker"),
        ("limits.pids", Node("integer", "512"), 512),
        ("limits.pids", word("16"), 16),
        ("limits.cpus", word("0.5"), 0.5),
        ("keep", Node("truth", "True"), True),
        ("keep", word("on"), True),
        ("keep", word("0"), False),
        ("prompt", word("Fix it.\n\tThen test — please."), "Fix it.\n\tThen test — please."),
        ("name", word("x" * 63), "x" * 63),
        ("name", Node("number", "1.2"), "1.2"),
        ("secrets", words(["A_B", "A_B", "c"]), ("A_B", "c")),
        ("env", words(["B=", "A=1=2"]), (("A", "1=2"), ("B", ""))),
        ("env", Node("map", members=(("PORT", Node("integer", "0x1F")),)), (("PORT", "0x1F"),)),
        ("ref", Node("number", "1.0"), "1.0"),
        ("ref", word("v1^{commit}"), "v1^{commit}"),
        ("repo", word("git@example.org:a/b.git"), "git@example.org:a/b.git"),
        ("repo", word("ssh://git@example.org/a.git"), "ssh://git@example.org/a.git"),
        ("repo", word("../other"), "../other"),
        ("artifacts", words(["dist/*", "a..b"]), ("dist/*", "a..b")),
        ("sandbox.expose", words(["/opt//tools/./x/"]), ("/opt/tools/x",)),
        ("environment.image", word("registry.example.org/library/python:3.12"), "registry.example.org/library/python:3.12"),
        ("environment.image", word("a@sha256:" + "0" * 64), "a@sha256:" + "0" * 64),
        ("environment.devcontainer", word(".devcontainer/x/devcontainer.json"), ".devcontainer/x/devcontainer.json"),
    ],
)
def test_values(key: str, node: Node, value: object) -> None:
    """The nearest neighbours of what is refused are taken."""
    assert KEYS[key].parse(node) == value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pytest -q", "command: [pytest, -q]"),
        ("echo 'a b' 1", 'command: [echo, a b, "1"]'),
        ("make && make test", 'command: [sh, -c, "make && make test"]'),
        ("echo 'open", 'command: [sh, -c, "'),
    ],
)
def test_command_as_text_shows_the_list(text: str, shown: str) -> None:
    """A command is a list of words; who writes text is shown the list that was meant."""
    with pytest.raises(BadValue, match="expected a list of words, found text") as caught:
        KEYS["command"].parse(Node("text", text))
    assert shown in str(caught.value.remedy)


def test_command_words() -> None:
    """Words may repeat, be empty or look like numbers and truth: `[true]` is a program."""
    node = Node("list", items=(Node("truth", "true"), Node("integer", "010"), Node("text", ""), Node("text", ""), Node("text", "a\nb")))
    assert KEYS["command"].parse(node) == ("true", "010", "", "", "a\nb")


@pytest.mark.parametrize(
    "node", [Node("list"), words([""]), words(["a", "b\0c"]), Node("list", items=(Node("nothing", "~"),)), Node("map")]
)
def test_commands_refused(node: Node) -> None:
    """No program, nothing as a word, NUL."""
    with pytest.raises(BadValue, match=r"expected|empty|NUL"):
        KEYS["command"].parse(node)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("API.Example.org", "api.example.org"),
        ("*.example.org", "*.example.org"),
        ("example.org:8443", "example.org:8443"),
        ("registry", "registry"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("example.org.", "example.org"),
        ("1.example.org", "1.example.org"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:8080", "[::1]:8080"),
        ("example.org:443", "example.org"),
        ("http://example.org", "example.org:80"),
        ("https://example.org/v1/*", "example.org/v1/*"),
        ("get,HEAD api.example.org/repos/*", "GET,HEAD api.example.org/repos/*"),
        ("tcp://db.example.org:5432", "tcp://db.example.org:5432"),
    ],
)
def test_hosts(text: str, host: str) -> None:
    """Each rule has one spelling."""
    assert names.allowing_rule(word(text)) == host


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("https://user:pw@api.example.org/v1", "not repeated here"),
        ("ftp://api.example.org", "is not a scheme"),
        ("*", "covers every host"),
        ("*.org", "covers too much"),
        ("127.1", "is not a host"),
        ("0x7f.1", "is not a host"),
        ("2130706433", "is not a host"),
        ("::1", "is not a host"),
        ("a  b", "is not a host, nor methods and a host"),
        ("bücher.example", "is not a host"),
        ("*example.org", "is not a host"),
        ("a.*.org", "is not a host"),
        ("example.org:99999", "is not a host"),
        ("example.org:", "is not a host"),
        ("-a.org", "is not a host"),
        ("a..org", "is not a host"),
        ("user@example.org", "not repeated here"),
        ("a" * 64 + ".org", "is not a host"),
        ("example.org:0", "is not a host"),
        ("CONNECT a.org", "only opens a tunnel"),
        ("a.org/x?y=1", "no query"),
        ("a.org/x/../y", "never matches"),
        ("tcp://a.org", "has a port"),
    ],
)
def test_hosts_refused(text: str, because: str) -> None:
    """What could be read in two ways, and what covers half of the world, are no rules."""
    with pytest.raises(BadValue, match=because.replace("?", r"\?")):
        names.allowing_rule(word(text))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "HEAD",
        "-x",
        "a b",
        "a\tb",
        "a\x7fb",
        "a~b",
        "a^b",
        "a:b",
        "a?b",
        "a*b",
        "a[b",
        "a\\b",
        "/a",
        "a/",
        "a//b",
        "a..b",
        "a@{b",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "a.",
        "aienv/a.lock",
        "aienv/",
    ],
)
def test_branches_refused_as_git_refuses_them(name: str) -> None:
    """Each of these git refuses too."""
    assert branch_problem(name) is not None
    assert not git_takes(name)


@pytest.mark.parametrize(
    "name", ["main", "aienv/x", "a.b", "a-b/c_d", "a@b", "@", "a{b", "ünicode", "a.lockx", "a/b.c", "head", "a,b;c|d&e"]
)
def test_branches_taken_as_git_takes_them(name: str) -> None:
    """The nearest neighbours pass, here and in git."""
    assert branch_problem(name) is None
    assert git_takes(name)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="a./@{-~lock^ \\*H", max_size=8))
def test_branch_rules_agree_with_git(name: str) -> None:
    """Whatever the characters, git and we agree."""
    assert (branch_problem(name) is None) == git_takes(name)


def git_takes(name: str) -> bool:
    """What the git program says; names that git would expand (`@{-1}`) it refuses without a repository."""
    if name.startswith("-") or name == "HEAD":
        return (
            subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True, timeout=30, check=False, cwd="/").returncode
            == 0
        )
    return subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], capture_output=True, timeout=30, check=False).returncode == 0


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KEYS)), st.text(max_size=40))
def test_any_word_gives_a_value_or_a_refusal(key: str, text: str) -> None:
    """No text makes a parser fail in another way, and what it takes it takes again when written back."""
    try:
        value = KEYS[key].parse(word(text))
    except BadValue:
        return
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert KEYS[key].parse(word(KEYS[key].format(value))) == pytest.approx(value)
    assert value is not None


@pytest.mark.parametrize(("seconds", "text"), [(5400, "1h30m"), (10.0, "10s"), (0.5, "0.5s"), (0, "0s"), (172800, "2d")])
def test_format_duration(seconds: float, text: str) -> None:
    """Durations are written as they are read."""
    assert values.format_duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(4 * GIB, "4g"), (1 << 20, "1m"), (1000, "1000b"), (GIB * 3 // 2, "1536m"), (0, "0b")])
def test_format_size(count: int, text: str) -> None:
    """Sizes are written in the largest unit that loses nothing."""
    assert values.format_size(count) == text


@pytest.mark.parametrize("key", sorted(KEYS))
def test_defaults_pass_their_own_parser(key: str) -> None:
    """A built-in value is one that a user could have written."""
    row = KEYS[key]
    value = row.default_value()
    assert (value is None or value == ()) == (row.default is None or row.default == ())
