"""Files of package managers: any text gives rows or sentences, and what follows ``p4ss`` in an address is in neither."""

from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.egress.hosts import canonical_host
from orchestrator.egress.rules import parse_rule, rule_text
from orchestrator.presets import apt, cargo, go, maven, npm, pip
from orchestrator.presets.side import Side
from orchestrator.presets.urls import BadUrl, rule_of

SIDE = Side({"HOST": "filled.example"}, Path("/home/user"), Path("/work"))
DEFAULTS = ("https://index.example", "https://sums.example")
FILES = (
    (pip.read, "/etc/pip.conf"),
    (npm.read, "/home/user/.npmrc"),
    (apt.read, "/etc/apt/sources.list"),
    (apt.read, "/etc/apt/sources.list.d/a.sources"),
    (apt.read, "/etc/apt/apt.conf"),
    (cargo.read, "/home/user/.cargo/config.toml"),
    (go.read, "/home/user/.config/go/env"),
    (maven.read, "/home/user/.m2/settings.xml"),
)
SEEDS = (
    b"\0[global]\nindex-url = https://u:p4ss@a.example/simple\nextra-index-url =\n  /opt\n  http://localhost:1\n",
    b'\1registry=https://${HOST}/\n@s:registry = "https://u:p4ss@b.example"\n',
    b"\2deb [a=b] http://u:p4ss@a.example/debian x main\ndeb mirror+https://m.example/l x\n",
    b"\3Types: deb\nURIs: https://u:p4ss@a.example\n https://b.example\nEnabled: yes\n",
    b'\4Acquire::http::Proxy "http://u:p4ss@p.example:3142";\n',
    b"\5[source.crates-io]\nreplace-with='a'\n[source.a]\nregistry='sparse+https://u:p4ss@c.example/'\n",
    b"\6GOPROXY=https://u:p4ss@p.example,direct\nGOSUMDB=s.example+1+x https://t.example\nGOPRIVATE=a.example/x,*.b\n",
    b"\7<settings><mirrors><mirror><id>m</id><mirrorOf>*</mirrorOf><url>https://u:p4ss@m.example/</url></mirror></mirrors></settings>",
)
WORDS = (
    b"https://",
    b"http://",
    b":p4ss@",
    b"localhost",
    b"sparse+",
    b"mirror+",
    b"${HOST}",
    b"replace-with",
    b"=",
    b"\n",
    b"[",
    b"]",
    b"]]>",
    b"<url>",
)


def one_input(data: bytes) -> None:
    read, path = FILES[data[0] % len(FILES) if data else 0]
    text = data[1:].decode("utf-8", "replace")
    found = read(SIDE, {Path(path): text}, DEFAULTS)
    assert all("p4ss" not in note for note in found.notes)
    for setting in found.settings:
        try:
            rule = rule_of(setting, "any")
        except BadUrl as refused:
            holds_no_password(str(refused))
            continue
        assert parse_rule(rule_text(rule), rule.origin, private=True) == rule
        holds_no_password(rule_text(rule))
        seen = str(urlsplit(setting.url.strip()).hostname)
        assert canonical_host(f"[{seen}]" if ":" in seen else seen).name == rule.host, "Python reads another host"


def holds_no_password(text: str) -> None:
    assert ":p4ss@" not in text
