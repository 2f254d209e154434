"""Real files of package managers, and the addresses that each client would use because of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.presets import apt, cargo, go, maven, npm, pip
from orchestrator.presets.side import Found, Side

HOME = Path("/home/user")
DEFAULT = ("https://index.example/simple",)
DEFAULTS = ("https://proxy.example", "https://sums.example")

Reader = Callable[[Side, Mapping[Path, str], Sequence[str]], Found]


def side(**environ: str) -> Side:
    return Side(environ, HOME, Path("/here"))


def urls(found: Found) -> list[str]:
    return [setting.url for setting in found.settings]


def read(reader: Reader, files: Mapping[str, str], defaults: Sequence[str] = DEFAULT, **environ: str) -> Found:
    return reader(side(**environ), {Path(path): text for path, text in files.items()}, defaults)


GLOBAL, USER, SITE = "/etc/pip.conf", "/home/user/.config/pip/pip.conf", "/venv/pip.conf"
MIRROR = "[global]\nindex-url = https://mirror.example/simple\n"


@pytest.mark.parametrize(
    ("files", "environ", "expected"),
    [
        pytest.param({}, {}, [*DEFAULT], id="nothing"),
        pytest.param({GLOBAL: MIRROR}, {}, ["https://mirror.example/simple"], id="mirror"),
        pytest.param({GLOBAL: MIRROR, USER: "[global]\nindex_url: https://own.example/\n"}, {}, ["https://own.example/"], id="user-wins"),
        pytest.param({GLOBAL: MIRROR}, {"PIP_INDEX_URL": "https://env.example/"}, ["https://env.example/"], id="variable-wins"),
        pytest.param({GLOBAL: MIRROR}, {"PIP_INDEX_URL": ""}, ["https://mirror.example/simple"], id="empty-variable"),
        pytest.param({}, {"PIP_EXTRA_INDEX_URL": "https://a.example https://b.example"},
                     [*DEFAULT, "https://a.example", "https://b.example"], id="two-extra"),
        pytest.param({GLOBAL: "[global]\nextra-index-url =\n    https://a.example\n    https://b.example\n"}, {},
                     [*DEFAULT, "https://a.example", "https://b.example"], id="extra-lines"),
        pytest.param({GLOBAL: "[global]\nfind-links = https://links.example/x\nno-index = true\n"}, {}, ["https://links.example/x"],
                     id="only-links"),
        pytest.param({GLOBAL: "[install]\nindex-url = https://install.example\n"}, {}, ["https://install.example", *DEFAULT],
                     id="one-command"),
        pytest.param({USER: MIRROR, "/here/p.conf": "[global]\ntimeout = 5\n"}, {"PIP_CONFIG_FILE": "p.conf"}, [*DEFAULT],
                     id="named-file-hides-the-user's"),
        pytest.param({GLOBAL: MIRROR, "/here/p.conf": "[global]\n"}, {"PIP_CONFIG_FILE": "p.conf"}, ["https://mirror.example/simple"],
                     id="named-file-keeps-the-global"),
        pytest.param({USER: MIRROR}, {"PIP_CONFIG_FILE": "missing.conf"}, ["https://mirror.example/simple"], id="named-file-missing"),
        pytest.param({GLOBAL: "no section\n", USER: MIRROR}, {}, ["https://mirror.example/simple"], id="broken-file"),
    ],
)  # fmt: skip
def test_pip(files: dict[str, str], environ: dict[str, str], expected: list[str]) -> None:
    """Files and variables in pip's own order."""
    found = read(pip.read, files, **environ)
    assert urls(found) == expected
    assert bool(found.notes) == ("no section" in files.get(GLOBAL, ""))


def test_places_of_pip() -> None:
    """From the weakest to the strongest, as ``pip config debug`` lists them."""
    variables = {"XDG_CONFIG_DIRS": "/a:/b", "XDG_CONFIG_HOME": "/x", "VIRTUAL_ENV": "/venv", "PIP_CONFIG_FILE": "~/p"}
    names = ["/a/pip/pip.conf", "/b/pip/pip.conf", GLOBAL, "/home/user/.pip/pip.conf", "/x/pip/pip.conf", SITE, "/home/user/p"]
    assert [str(path) for path in pip.places(side(**variables))] == names
    assert [str(path) for path in pip.places(side())] == ["/etc/xdg/pip/pip.conf", GLOBAL, "/home/user/.pip/pip.conf", USER]
    assert pip.places(side(PIP_CONFIG_FILE="/dev/null")) == ()


NPM_GLOBAL, NPM_USER = "/usr/etc/npmrc", "/home/user/.npmrc"


@pytest.mark.parametrize(
    ("files", "environ", "expected"),
    [
        pytest.param({}, {}, [*DEFAULT], id="nothing"),
        pytest.param({NPM_USER: "registry=https://npm.example/\n"}, {}, ["https://npm.example/"], id="registry"),
        pytest.param({NPM_GLOBAL: "registry=https://g.example/\n", NPM_USER: "registry = https://u.example/ ; ours\n"}, {},
                     ["https://u.example/"], id="user-wins"),
        pytest.param({NPM_USER: "registry=https://u.example/\n"}, {"NPM_CONFIG_REGISTRY": "https://e.example/"}, ["https://e.example/"],
                     id="variable"),
        pytest.param({}, {"npm_config_registry": "https://e.example/"}, ["https://e.example/"], id="variable-in-small-letters"),
        pytest.param({NPM_USER: "@corp:registry=https://corp.example/npm/\n; registry=https://x.example\n# registry=x\n"}, {},
                     [*DEFAULT, "https://corp.example/npm/"], id="scope"),
        pytest.param({NPM_USER: "registry=https://${HOST}/npm/\n"}, {"HOST": "filled.example"}, ["https://filled.example/npm/"],
                     id="filled-in"),
        pytest.param({NPM_USER: "registry=https://${HOST}/npm/\n"}, {}, ["https://${HOST}/npm/"], id="not-filled-in"),
        pytest.param({NPM_USER: 'registry="https://quoted.example/"\n'}, {}, ["https://quoted.example/"], id="quoted"),
        pytest.param({NPM_USER: "//npm.example/:_authToken=t0ken\nregistry=\n"}, {}, [*DEFAULT], id="token-and-empty"),
        pytest.param({NPM_USER: "[other]\nregistry=https://x.example\n"}, {}, [*DEFAULT], id="section"),
    ],
)  # fmt: skip
def test_npm(files: dict[str, str], environ: dict[str, str], expected: list[str]) -> None:
    """Registries of scopes come along; the default one only where no other takes its place."""
    found = read(npm.read, files, **environ)
    assert urls(found) == expected
    assert "t0ken" not in repr(found)


def test_places_of_npm() -> None:
    """Built in, global, the user's; never the project's."""
    with_node = Side({"NPM_CONFIG_USERCONFIG": "/u/npmrc"}, HOME, Path("/here"), {"node": Path("/opt/node/bin/node")})
    built_in = "/opt/node/lib/node_modules/npm/npmrc"
    assert [str(path) for path in npm.places(with_node)] == [
        built_in, "/usr/share/nodejs/npm/npmrc", "/opt/node/etc/npmrc", "/u/npmrc",
    ]  # fmt: skip
    assert [str(path) for path in npm.places(side(npm_config_globalconfig="/g"))] == ["/usr/share/nodejs/npm/npmrc", "/g", NPM_USER]


LIST, SOURCES, CONF = "/etc/apt/sources.list", "/etc/apt/sources.list.d/x.sources", "/etc/apt/apt.conf.d/80x"
STANZA = "Types: deb\n# a comment\nURIs: http://a.example/debian\n https://b.example/debian\nSuites: x\n"


@pytest.mark.parametrize(
    ("files", "expected", "notes"),
    [
        pytest.param({LIST: "deb http://a.example/debian stable main # main\n"}, ["http://a.example/debian"], 0, id="one-line"),
        pytest.param({LIST: "deb [ arch=amd64 signed-by=/k ] https://a.example/ s m\n"}, ["https://a.example/"], 0, id="options"),
        pytest.param({LIST: "deb-src http://s.example/ s m\n#deb http://no.example s m\n"}, ["http://s.example/"], 0, id="source"),
        pytest.param({SOURCES: STANZA}, ["http://a.example/debian", "https://b.example/debian"], 0, id="deb822"),
        pytest.param({SOURCES: "Enabled: no\n" + STANZA + "\nTypes: deb\nuris: http://c.example\n"}, ["http://c.example"], 0,
                     id="disabled"),
        pytest.param({LIST: "deb mirror+https://m.example/list s m\n"}, ["https://m.example/list"], 1, id="mirror-list"),
        pytest.param({LIST: "deb mirror://m.example/list s m\n"}, ["http://m.example/list"], 1, id="old-mirror-list"),
        pytest.param({LIST: "deb cdrom:[Disc]/ s m\ndeb http://a.example s m\n"}, ["cdrom:[Disc]/", "http://a.example"], 0, id="disc"),
        pytest.param({}, [*DEFAULT], 1, id="nothing"),
        pytest.param({LIST: "deb http://a.example s m\n", CONF: 'Acquire::http::Proxy "http://p.example:3142";\n'},
                     ["http://a.example"], 1, id="proxy"),
        pytest.param({LIST: "deb http://a.example s m\n", CONF: 'Acquire { http { Proxy "http://p.example"; }; };\n'},
                     ["http://a.example"], 1, id="nested-proxy"),
        pytest.param({LIST: "deb http://a.example s m\n", CONF: '// Acquire::http::Proxy "http://p.example";\n'},
                     ["http://a.example"], 0, id="proxy-commented-out"),
        pytest.param({LIST: "deb http://a.example s m\n", CONF: 'Acquire::http::Proxy::a.example "DIRECT";\n'},
                     ["http://a.example"], 0, id="no-proxy"),
        pytest.param({LIST: "deb http://a.example s m\n", "/etc/apt/sources.list.d/b@d.list": "deb http://x.example s m\n"},
                     ["http://a.example"], 0, id="ignored-name"),
    ],
)  # fmt: skip
def test_apt(files: dict[str, str], expected: list[str], notes: int) -> None:
    """Both formats of sources, and what apt leaves out."""
    found = read(apt.read, files)
    assert urls(found) == expected
    assert len(found.notes) == notes


CARGO = "/home/user/.cargo/config.toml"


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        pytest.param("", {}, [*DEFAULT], id="nothing"),
        pytest.param('[registries]\ncorp = { index = "sparse+https://c.example/index/" }\n', {},
                     [*DEFAULT, "https://c.example/index/"], id="registry"),
        pytest.param('[source.crates-io]\nreplace-with = "m"\n[source.m]\nregistry = "sparse+https://m.example/"\n', {},
                     ["https://m.example/"], id="replaced"),
        pytest.param('[source.crates-io]\nreplace-with = "a"\n[source.a]\nreplace-with = "b"\n[source.b]\nregistry = "https://b.example"\n',
                     {}, ["https://b.example"], id="replaced-twice"),
        pytest.param('[source.crates-io]\nreplace-with = "v"\n[source.v]\ndirectory = "vendor"\n', {}, ["file:vendor"], id="vendored"),
        pytest.param('[source.crates-io]\nregistry = "https://r.example"\n', {}, ["https://r.example"], id="written-anew"),
        pytest.param('[source.a]\nreplace-with = "b"\n[source.b]\nreplace-with = "a"\n', {}, [*DEFAULT], id="circle"),
        pytest.param('[source."https://u:p4ss@g.example/x"]\ngit = "https://g.example/x"\nreplace-with = "m"\n'
                     '[source.m]\ngit = "git+https://m.example/x"\n', {}, ["https://m.example/x", *DEFAULT], id="git"),
        pytest.param("", {"CARGO_REGISTRIES_CORP_INDEX": "sparse+https://e.example/"}, [*DEFAULT, "https://e.example/"], id="variable"),
        pytest.param("source = 5\nregistries = []\n[http]\nproxy = 3\n", {}, [*DEFAULT], id="other-shapes"),
    ],
)  # fmt: skip
def test_cargo(text: str, environ: dict[str, str], expected: list[str]) -> None:
    """Sources that replace others, and registries by name."""
    found = read(cargo.read, {CARGO: text}, **environ)
    assert urls(found) == expected
    assert found.notes == ()
    assert "p4ss" not in repr(found)


@pytest.mark.parametrize("text", ["x = ", "a = " + "[" * 5000, "\0"])
def test_broken_cargo(text: str) -> None:
    """What is no TOML is told, and the default counts."""
    found = read(cargo.read, {CARGO: text})
    assert urls(found) == [*DEFAULT]
    assert len(found.notes) == 1


def test_places_of_cargo() -> None:
    """The older name of the file wins, as cargo warns that it does."""
    assert [str(path) for path in cargo.places(side(CARGO_HOME="/c"))] == ["/c/config.toml", "/c/config"]
    registry = '[registries]\nx = {{ index = "https://{}.example" }}\n'
    both = {"/c/config.toml": registry.format("new"), "/c/config": registry.format("old")}
    assert urls(read(cargo.read, both)) == [*DEFAULT, "https://old.example"]


GOENV = "/home/user/.config/go/env"


@pytest.mark.parametrize(
    ("text", "environ", "expected", "notes"),
    [
        pytest.param("", {}, [*DEFAULTS], 0, id="nothing"),
        pytest.param("GOPROXY=https://p.example,direct\n", {}, ["https://p.example", DEFAULTS[1]], 0, id="file"),
        pytest.param("GOPROXY=https://p.example\n", {"GOPROXY": "https://e.example|https://f.example"},
                     ["https://e.example", "https://f.example", DEFAULTS[1]], 0, id="variable-wins"),
        pytest.param("", {"GOPROXY": ""}, [*DEFAULTS], 0, id="empty"),
        pytest.param("", {"GOPROXY": "direct"}, [DEFAULTS[1]], 1, id="direct"),
        pytest.param("", {"GOPROXY": "off"}, [], 0, id="off"),
        pytest.param("", {"GOSUMDB": "off"}, DEFAULTS[:1], 0, id="no-checksums"),
        pytest.param("", {"GOSUMDB": "sums.corp.example+1234+abc"}, [DEFAULTS[0], "https://sums.corp.example"], 0, id="named-database"),
        pytest.param("", {"GOSUMDB": "sums.corp.example+1234+abc https://s.example/db"}, [DEFAULTS[0], "https://s.example/db"], 0,
                     id="database-elsewhere"),
        pytest.param("", {"GOPRIVATE": "git.corp.example/team,none"}, [*DEFAULTS, "https://git.corp.example"], 0, id="private"),
        pytest.param("", {"GOPRIVATE": "*.corp.example"}, [*DEFAULTS], 1, id="private-pattern"),
        pytest.param("", {"GOPRIVATE": "a.example", "GONOPROXY": "b.example"}, [*DEFAULTS, "https://b.example"], 0, id="no-proxy-wins"),
    ],
)  # fmt: skip
def test_go(text: str, environ: dict[str, str], expected: list[str], notes: int) -> None:
    """Proxies, the checksum database, and hosts that are asked directly."""
    found = read(go.read, {GOENV: text}, DEFAULTS, **environ)
    assert urls(found) == [*expected]
    assert len(found.notes) == notes


def test_places_of_go() -> None:
    """The toolchain's own, then the user's."""
    with_go = Side({}, HOME, Path("/here"), {"go": Path("/usr/lib/go/bin/go")})
    assert [str(path) for path in go.places(with_go)] == ["/usr/lib/go/go.env", GOENV]
    assert go.places(side(GOENV="off")) == ()
    assert go.places(side(GOENV="/e", GOROOT="/r")) == (Path("/r/go.env"), Path("/e"))


M2 = "/home/user/.m2/settings.xml"
XMLNS = '<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0">'


def mirror(of: str, url: str = "https://m.example/maven", more: str = "") -> str:
    return f"<mirrors><mirror><id>m</id><mirrorOf>{of}</mirrorOf><url>{url}</url>{more}</mirror></mirrors>"


def profile(activation: str, more: str = "") -> str:
    repository = "<repositories><repository><id>corp</id><url>https://r.example/</url></repository></repositories>"
    return f"<profiles><profile><id>p</id>{activation}{repository}</profile></profiles>{more}"


ALWAYS = "<activation><activeByDefault>true</activeByDefault></activation>"


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        pytest.param("", [*DEFAULT], id="nothing"),
        pytest.param(mirror("*"), ["https://m.example/maven"], id="mirror-of-all"),
        pytest.param(mirror("central"), ["https://m.example/maven"], id="mirror-of-central"),
        pytest.param(mirror("external:*"), ["https://m.example/maven"], id="mirror-of-external"),
        pytest.param(mirror("*,!central"), ["https://m.example/maven", *DEFAULT], id="mirror-but-central"),
        pytest.param(mirror("external:http:*", "http://0.0.0.0/", "<blocked>true</blocked>"), [*DEFAULT], id="blocker"),
        pytest.param(mirror("*", "https://${env.MIRROR}/x"), ["https://filled.example/x"], id="filled-in"),
        pytest.param(profile(ALWAYS), ["https://r.example/", *DEFAULT], id="active-profile"),
        pytest.param(profile("", "<activeProfiles><activeProfile>p</activeProfile></activeProfiles>"), ["https://r.example/", *DEFAULT],
                     id="named-profile"),
        pytest.param(profile(""), [*DEFAULT], id="inactive-profile"),
        pytest.param(mirror("corp") + profile(ALWAYS), ["https://m.example/maven", *DEFAULT], id="mirrored-profile"),
    ],
)  # fmt: skip
def test_maven(inside: str, expected: list[str]) -> None:
    """Mirrors take a repository's place, with a namespace or without."""
    for root in (XMLNS, "<settings>"):
        found = read(maven.read, {M2: f'<?xml version="1.0"?>{root}{inside}</settings>'}, MIRROR="filled.example")
        assert (urls(found), found.notes) == (expected, ())


BOMB = '<!DOCTYPE settings [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><settings>&b;</settings>'


@pytest.mark.parametrize(
    "text", [BOMB, "<settings>", "<project/>", "", "x", "<a>" * 200_000, '<!DOCTYPE s SYSTEM "/etc/passwd"><settings/>']
)
def test_broken_maven(text: str) -> None:
    """What is broken, or holds a document type, is told; nothing grows and no other file is read."""
    found = read(maven.read, {M2: text})
    assert urls(found) == [*DEFAULT]
    assert len(found.notes) == 1


READERS: list[tuple[Reader, str, str]] = [
    (pip.read, USER, "[global]\nindex-url=https:/@ \t$%{}"),
    (npm.read, NPM_USER, "@a:registry=\"'\\${};#[]\n "),
    (apt.read, LIST, "deb [a=b] http://#\n\t "),
    (apt.read, SOURCES, "URIs: http://\nEnabled no\n\t "),
    (cargo.read, CARGO, "[source.a]\nreplace-with='\"=\n{}"),
    (go.read, GOENV, "GOPROXY=|,GOSUMDB GOPRIVATE\n*/+ "),
    (maven.read, M2, "<settings><mirrors>/&;!DOCTYPE\n"),
]


@settings(max_examples=60)
@given(st.data())
@pytest.mark.parametrize(("reader", "path", "letters"), [pytest.param(*row, id=f"{row[1]}") for row in READERS])
def test_any_text(reader: Reader, path: str, letters: str, data: st.DataObject) -> None:
    """No text of a file makes a reader fail."""
    text = data.draw(st.text(st.sampled_from(letters), max_size=80) | st.text(max_size=80))
    found = reader(side(), {Path(path): text}, DEFAULTS)
    assert all(setting.url and setting.where for setting in found.settings)
