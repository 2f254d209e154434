"""From names of presets to rows: facts with sources, passwords nowhere, and no file that stops a run."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.egress.rules import parse_rule, rule_text
from orchestrator.errors import ConfigError
from orchestrator.presets import facts
from orchestrator.presets.resolve import MAX_FILE_BYTES, Resolved, known, resolve
from orchestrator.presets.side import Setting
from orchestrator.presets.urls import BadUrl, rule_of

CLIENTS = ("apt", "cargo", "go", "maven", "npm", "pip")
SERVICES = ("anthropic", "github", "google", "openai")


def resolved(home: Path, *names: str, **environ: str) -> Resolved:
    # No programs and no files but those below: what is installed on this machine must not decide.
    return resolve(names, {"PATH": str(home), **environ}, home, home, home / "root")


def items(found: Resolved) -> list[str]:
    return [rule_text(rule) for rule in found.rules]


def default_items(name: str) -> list[str]:
    """What a preset allows where nothing is configured, from its file of facts."""
    preset = facts.presets()[name]
    urls = preset.defaults.items if preset.defaults else ()
    hosts = [rule_text(rule_of(Setting(url.removeprefix("sparse+"), "default"), name)) for url in urls]
    more = [item for host in hosts if host in preset.leads_to for item in preset.leads_to[host].items]
    return [*hosts, *more, *(item for fact in preset.allow for item in fact.items)]


def test_the_presets() -> None:
    """All that the documentation names, and another name for some."""
    assert known() == tuple(sorted((*CLIENTS, *SERVICES)))
    assert facts.names()["pypi"] == "pip"


@pytest.mark.parametrize("name", sorted((*CLIENTS, *SERVICES)))
def test_facts_have_sources(name: str) -> None:
    """Each fact names the page that says so; package managers have defaults, services have rows, none of them wide."""
    preset = facts.presets()[name]
    stated = [*([preset.defaults] if preset.defaults else []), *preset.leads_to.values(), *preset.allow]
    assert stated
    assert all(fact.source.startswith("https://") and fact.items for fact in stated)
    assert (preset.defaults is not None, bool(preset.allow)) == (name in CLIENTS, name in SERVICES)
    rows = [parse_rule(item, "") for fact in (*preset.leads_to.values(), *preset.allow) for item in fact.items]
    assert not any(rule.host.startswith("*") for rule in rows)


@pytest.mark.parametrize("name", [*CLIENTS, *SERVICES])
def test_without_configuration(name: str, tmp_path: Path) -> None:
    """A preset allows its defaults and where they lead; only package managers' hosts may be private."""
    found = resolved(tmp_path, name)
    assert items(found) == default_items(name)
    assert len(found.warnings) == (name == "apt")  # Debian's packages are a guess, and that is told
    assert {rule.private for rule in found.rules} == {name in CLIENTS}
    assert all(rule.origin.startswith(f"preset {name}") for rule in found.rules)


def test_names(tmp_path: Path) -> None:
    """An alias is the preset; a name counts once; the order is kept."""
    assert resolved(tmp_path, "github", "pypi", "pip", "github") == resolved(tmp_path, "github", "pip")
    assert resolved(tmp_path) == Resolved((), ())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("gogle", "perhaps 'google'?"), ("gihtub", "perhaps 'github'?"), ("\x1b[2J", "unknown preset '\\x1b[2J'"), ("", "unknown preset ''")],
)
def test_unknown_names(name: str, hint: str, tmp_path: Path) -> None:
    """An unknown name is an error with the nearest one."""
    with pytest.raises(ConfigError) as refused:
        resolved(tmp_path, name)
    assert hint in refused.value.message
    assert refused.value.message.isprintable()
    assert "pip" in str(refused.value.remedy)


def test_a_mirror_brings_nothing_along(tmp_path: Path) -> None:
    """The public index's file host belongs to the public index alone; beside it, both are there."""
    index = facts.presets()["pip"].defaults
    assert index is not None
    assert items(resolved(tmp_path, "pip", PIP_INDEX_URL="https://mirror.example/simple")) == ["mirror.example"]
    both = resolved(tmp_path, "pip", PIP_INDEX_URL="https://mirror.example:8443/simple", PIP_EXTRA_INDEX_URL=index.items[0])
    assert items(both) == ["mirror.example:8443", *default_items("pip")]


def test_files_of_the_home_folder(tmp_path: Path) -> None:
    """What lies where clients look is read; the origin names the file as people do."""
    (tmp_path / ".config/go").mkdir(parents=True)
    (tmp_path / ".config/pip").mkdir()
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = http://mirror.example/simple\n")
    (tmp_path / ".npmrc").write_text("registry=https://npm.example/\n")
    (tmp_path / ".cargo").mkdir()
    (tmp_path / ".cargo/config.toml").write_text('[source.crates-io]\nreplace-with="m"\n[source.m]\nregistry="sparse+https://m.example/"\n')
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2/settings.xml").write_text(
        "<settings><mirrors><mirror><mirrorOf>*</mirrorOf><url>https://maven.example/</url></mirror></mirrors></settings>"
    )
    (tmp_path / ".config/go/env").write_text("GOPROXY=https://go.example\nGOSUMDB=off\n")
    found = resolved(tmp_path, *CLIENTS[1:])
    assert items(found) == ["m.example", "go.example", "maven.example", "npm.example", "mirror.example:80"]
    assert found.rules[-1].origin == "preset pip: index-url in ~/.config/pip/pip.conf"


def test_files_of_the_machine(tmp_path: Path) -> None:
    """Those of all users count, too, and apt's are in folders."""
    for folder in ("root/etc/apt/sources.list.d", "root/etc/maven"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "root/etc/pip.conf").write_text("[global]\nindex-url = https://pip.example\n")
    (tmp_path / "root/etc/apt/sources.list.d/a.sources").write_text("Types: deb\nURIs: http://apt.example/debian\nSuites: x\n")
    (tmp_path / "root/etc/apt/sources.list.d/b.list").write_text("deb https://u:p@more.example/ x main\n")
    (tmp_path / "root/etc/apt/sources.list.d/c.list.disabled").write_text("deb https://no.example/ x main\n")
    found = resolved(tmp_path, "pip", "apt")
    assert items(found) == ["pip.example", "more.example", "apt.example:80"]
    assert found.warnings == ()


def test_files_of_a_repository_do_not_count(tmp_path: Path) -> None:
    """A repository may ask for hosts in its configuration; files in it grant none."""
    home, repository = tmp_path / "home", tmp_path / "repository"
    for folder in (home, repository / ".cargo", repository / ".m2"):
        folder.mkdir(parents=True)
    (repository / ".npmrc").write_text("registry=https://evil.example/\n")
    (repository / "pip.conf").write_text("[global]\nindex-url = https://evil.example\n")
    (repository / ".cargo/config.toml").write_text('[registries]\nx = { index = "https://evil.example" }\n')
    found = resolve(CLIENTS, {"PATH": str(home)}, home, repository, tmp_path / "root")
    assert "evil.example" not in [rule.host for rule in found.rules]


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("https://index.example/simple", "index.example", id="https"),
        pytest.param("http://index.example/simple", "index.example:80", id="http"),
        pytest.param("HTTPS://INDEX.example:8443", "index.example:8443", id="port"),
        pytest.param(f"https://user:{SECRET}@index.example/simple", "index.example", id="password"),
        pytest.param(f"https://{SECRET}@index.example", "index.example", id="token"),
        pytest.param(f"https://a@{SECRET}@index.example", "index.example", id="two-ats"),
        pytest.param(f"https://index.example/{SECRET}/simple?t={SECRET}#{SECRET}", "index.example", id="token-in-path"),
        pytest.param("https://[2001:db8::1]/simple", "[2001:db8::1]", id="ipv6"),
        pytest.param("https://10.1.2.3/simple", "10.1.2.3", id="address"),
    ],
)
def test_addresses(url: str, expected: str) -> None:
    """A row has the host and the port of an address, and nothing else of it."""
    rule = rule_of(Setting(url, "index-url in ~/pip.conf"), "pip")
    assert rule_text(rule) == expected
    assert SECRET not in repr(rule)


@pytest.mark.parametrize(
    ("url", "because"),
    [
        pytest.param("/opt/wheels", "sandbox.expose", id="folder"),
        pytest.param("file:///opt/simple", "sandbox.expose", id="file"),
        pytest.param("wheels", "sandbox.expose", id="relative"),
        pytest.param("ssh://git@host.example/x", "neither an http", id="ssh"),
        pytest.param(f"ftp://u:{SECRET}@host.example/x", "neither an http", id="ftp"),
        pytest.param("http://localhost:3141/root/pypi", "network.private", id="localhost"),
        pytest.param(f"http://u:{SECRET}@127.0.0.1:3141/", "network.private", id="loopback"),
        pytest.param("https://[::1]/", "network.private", id="loopback-ipv6"),
        pytest.param("https://x.localhost/", "network.private", id="below-localhost"),
        pytest.param("http://0.0.0.0/", "network.private", id="unspecified"),
        pytest.param("https:///simple", "names no host", id="no-host"),
        pytest.param("https:simple", "one way", id="no-slashes"),
        pytest.param("https://${HOST}/simple", "names no host", id="not-filled-in"),
        pytest.param("https://127.1/", "names no host", id="short-address"),
        pytest.param(f"https://user:{SECRET}", "names no host", id="password-as-port"),
        pytest.param(f"https://user:12/{SECRET}@index.example/", "one way", id="slash-in-password"),
        pytest.param(f"https://user:{SECRET}\\@index.example/", "one way", id="backslash-in-password"),
        pytest.param(f"https://u:[{SECRET}@index.example/", "one way", id="bracket-in-password"),
        pytest.param("https://index.example\\x/simple", "one way", id="backslash"),
        pytest.param(f"https://index.example:{SECRET}/", "names no host", id="bad-port"),
    ],
)
def test_addresses_without_a_row(url: str, because: str) -> None:
    """What the environment cannot use is told with the way out, and without the address."""
    with pytest.raises(BadUrl, match=because) as refused:
        rule_of(Setting(url, "index-url in ~/pip.conf"), "pip")
    assert str(refused.value).startswith("index-url in ~/pip.conf")
    assert SECRET not in str(refused.value)
    rule_of(Setting("https://index.example/simple", "near"), "pip")


def test_one_bad_entry_is_a_warning(tmp_path: Path) -> None:
    """The rest of the preset still counts."""
    found = resolved(tmp_path, "pip", PIP_EXTRA_INDEX_URL=f"http://u:{SECRET}@localhost:3141/x /opt/wheels https://b.example")
    assert items(found) == [*default_items("pip"), "b.example"]
    assert len(found.warnings) == 2
    assert all(warning.startswith("preset pip: extra-index-url in $PIP_EXTRA_INDEX_URL") for warning in found.warnings)
    assert SECRET not in repr(found)


@pytest.mark.parametrize("kind", ["pipe", "folder", "large", "bytes", "loop"])
def test_files_that_cannot_be_read(kind: str, tmp_path: Path) -> None:
    """No file makes the launch wait, fail or read without end."""
    path = tmp_path / ".npmrc"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    elif kind == "bytes":
        path.write_bytes(b"registry=https://\xff\xfe")
    else:
        path.symlink_to(path)
    found = resolved(tmp_path, "npm")
    assert items(found) == default_items("npm")
    assert len(found.warnings) == 1
    assert "~/.npmrc cannot be read" in found.warnings[0]


def test_a_file_that_is_just_small_enough(tmp_path: Path) -> None:
    """The nearest to the one that is too large."""
    line = b"registry=https://npm.example/\n"
    (tmp_path / ".npmrc").write_bytes(line + b"#" * (MAX_FILE_BYTES - len(line)))
    assert items(resolved(tmp_path, "npm")) == ["npm.example"]


@settings(max_examples=100)
@given(st.text(max_size=60) | st.text(st.sampled_from("htps:/@[]a1.%\\?#-"), max_size=30).map("https://".__add__))
def test_any_address(url: str) -> None:
    """Every address is a row that the configuration could hold, or a sentence of one line."""
    try:
        rule = rule_of(Setting(url, "x"), "pip")
    except BadUrl as refused:
        assert "\n" not in str(refused)  # noqa: PT017
        return
    assert parse_rule(rule_text(rule), rule.origin, private=True) == rule
