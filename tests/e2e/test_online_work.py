"""What agents do all day with a network must work through the proxy, with the clients that they use, told nothing but the environment."""

# ruff: noqa: E501 - a row of a table stays one line

import base64
import hashlib
import io
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.conftest import QUICK_ON_DOCKER
from tests.e2e.online import allow
from tests.e2e.product import Aienv, commit, git, make_repository
from tests.internet import Internet

# Each is a shell script that must end with 0; 77: this place has no such program. Registries are those that this machine uses.
REGISTRIES = {
    "pip": "python3 -m venv /tmp/v || exit 77; /tmp/v/bin/pip install -q --no-input --no-cache-dir iniconfig requests; cd /tmp;"
    " v/bin/python -c 'import iniconfig, requests; from pip._internal.models.index import PyPI; requests.get(PyPI.simple_url + \"/iniconfig/\").raise_for_status()'",
    "pip-download": "command -v pip >/dev/null || exit 77; pip download -q --no-input --no-deps -d /tmp/wheels iniconfig; ls /tmp/wheels/iniconfig*",
    "npm": 'command -v npm >/dev/null || exit 77; mkdir /tmp/n && cd /tmp/n; echo \'{"name": "x"}\' > package.json; npm install --no-audit --no-fund is-number;'
    " node -e 'process.exit(require(\"is-number\")(5) ? 0 : 1)'",
    "npm-view": 'command -v npm >/dev/null || exit 77; cd /tmp; test "$(npm view is-number@7.0.0 version)" = 7.0.0',
    "npx": "command -v npx >/dev/null || exit 77; cd /tmp; npx --yes semver@7.6.0 1.2.3 | grep -q '^1.2.3$'",
    "apt": 'command -v apt-get >/dev/null && test -n "$APT" || exit 77; mkdir -p /tmp/a/etc/apt.conf.d /tmp/a/etc/preferences.d /tmp/a/state/lists/partial /tmp/a/cache/archives/partial;'
    ' echo "deb [trusted=yes] $APT" > /tmp/a/etc/sources.list; touch /tmp/a/state/status;'
    ' printf \'Dir::Etc "/tmp/a/etc";\\nDir::State "/tmp/a/state";\\nDir::Cache "/tmp/a/cache";\\nDir::State::status "/tmp/a/state/status";\\n\' > /tmp/a/conf; export APT_CONFIG=/tmp/a/conf;'
    " apt-get -qq update; ls /tmp/a/state/lists | grep -q Packages; cd /tmp/a; ! apt-cache show tzdata >/dev/null 2>&1 || { apt-get -qq download tzdata; ls tzdata_*.deb; }",
}

JAVA = """
import java.net.URI;
import java.net.http.*;
import java.io.*;
import java.net.*;

public class Fetch {
    public static void main(String[] words) throws Exception {
        HttpClient client = HttpClient.newBuilder().proxy(ProxySelector.getDefault()).build();
        for (String scheme : new String[] {"http", "https"}) {
            var request = HttpRequest.newBuilder(URI.create(scheme + "://origin.example.org/java")).build();
            String said = client.send(request, HttpResponse.BodyHandlers.ofString()).body();
            if (!said.startsWith("origin origin.example.org")) throw new Exception(said);
            var old = (HttpURLConnection) new URL(scheme + "://origin.example.org/java").openConnection();
            if (old.getResponseCode() != 200) throw new Exception(scheme);
        }
    }
}
"""
NODE = """
const http = require('http'), https = require('https'), tls = require('tls');
const proxy = new URL(process.env.HTTP_PROXY);
http.get({host: proxy.hostname, port: proxy.port, path: 'http://origin.example.org/node', headers: {Host: 'origin.example.org'}}, (reply) => {
  if (reply.statusCode !== 200) process.exit(1);
  http.request({host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: 'origin.example.org:443'}).on('connect', (_, socket) => {
    https.get({socket, agent: false, host: 'origin.example.org', path: '/node'}, (answer) => process.exit(answer.statusCode === 200 ? 0 : 1));
  }).end();
});
"""
PYTHON = """
import hashlib, http.client, json, os, ssl, urllib.request
for scheme in ("http", "https"):
    url = f"{scheme}://origin.example.org"
    assert urllib.request.urlopen(f"{url}/python", timeout=20).read() == b"origin origin.example.org /python\\n"
    body = os.urandom(3_000_000)
    request = urllib.request.Request(f"{url}/echo", data=body, method="PUT", headers={"X-Mine": "a, b"})
    told = json.load(urllib.request.urlopen(request, timeout=20))
    assert (told["sha256"], told["size"]) == (hashlib.sha256(body).hexdigest(), len(body))
    assert ["X-Mine", "a, b"] in [[name.title(), value] for name, value in told["headers"]], told["headers"]
    assert len(urllib.request.urlopen(f"{url}/chunked/2000000", timeout=20).read()) == 2_000_000
    assert urllib.request.urlopen(f"{url}/redirect/?to={url}/again", timeout=20).read().endswith(b"/again\\n")
    try:
        urllib.request.urlopen(f"{url}/status/404", timeout=20)
    except urllib.error.HTTPError as problem:
        assert problem.code == 404
"""
FILES: Mapping[str, str] = {"Fetch.java": JAVA, "fetch.js": NODE, "fetch.py": PYTHON, "README": "hello\n"}
AS = "-c user.name=a -c user.email=a@example.org"
WEB = {
    "curl": "curl -fsS http://origin.example.org/a; curl -fsS https://origin.example.org/a; curl -fsSI https://origin.example.org/a; curl -fsSL 'https://origin.example.org/redirect/?to=http://origin.example.org/b';"
    " test \"$(curl -fsS --http1.1 https://origin.example.org/bytes/30000000 | wc -c)\" = 30000000; head -c 5000000 /dev/urandom > /tmp/up; curl -fsS -T /tmp/up https://origin.example.org/echo | grep -q $(sha256sum < /tmp/up | cut -d' ' -f1);"
    " curl -fsS -F file=@/tmp/up http://origin.example.org/echo -o /dev/null; curl -fsS -d a=b -H 'Expect: 100-continue' http://origin.example.org/echo | grep -q a=b; rm /tmp/up",
    "curl-names": "curl -fsS https://v6.example.org/a; curl -fsS https://below.wild.example.org:8443/",
    "curl-parallel": 'test "$(curl -fsS -Z https://origin.example.org/a https://origin.example.org/b https://origin.example.org/c 2>/dev/null | wc -l)" = 3',
    "wget": 'command -v wget >/dev/null || exit 77; wget -qO- http://origin.example.org/a; wget -qO- --ca-certificate "$SSL_CERT_FILE" https://origin.example.org/a',
    "python": "python3 fetch.py",
    "pip-index": "python3 -m venv /tmp/v || exit 77; /tmp/v/bin/pip install -q --no-input --no-cache-dir --index-url https://origin.example.org/files/simple tiny; test \"$(/tmp/v/bin/python -c 'import tiny; print(tiny.answer)')\" = 42",
    "git": f"for s in http https; do git clone -q $s://origin.example.org/git/app.git /tmp/$s; git -C /tmp/$s log --oneline | grep -q first; (cd /tmp/$s && echo $s > $s && git add $s && git {AS} commit -qm $s && git push -q origin HEAD:refs/heads/by-$s-$PLACE); done;"
    " git ls-remote https://origin.example.org/git/app.git | grep -q by-https; git clone -q --depth 1 https://origin.example.org/git/app.git /tmp/shallow; git -C /tmp/shallow fetch -q --unshallow",
    "git-submodule": "git clone -q https://origin.example.org/git/app.git /tmp/with; cd /tmp/with; git submodule add -q https://origin.example.org/git/app.git part; test -f part/README",
    "node": "command -v node >/dev/null || exit 77; node fetch.js",
    "java": "command -v java >/dev/null || exit 77; java Fetch.java",
    "websocket": "python3 -c \"import socket; s = socket.create_connection(('127.0.0.1', 3128), 20); s.sendall(b'GET http://origin.example.org/ws HTTP/1.1\\r\\nHost: origin.example.org\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\n\\r\\n');"
    " f = s.makefile('rwb'); assert b'101' in f.readline(); [None for _ in iter(f.readline, b'\\r\\n')]; f.write(b'\\x81\\x82\\0\\0\\0\\0hi'); f.flush(); assert f.read(4) == b'\\x81\\x02HI'\"",
    "events": "curl -fsSN https://origin.example.org/events/3 | grep -c '^data' | grep -q 3",
    "own-server": "python3 -m http.server 8765 --bind 127.0.0.1 >/dev/null 2>&1 & sleep 0.7; curl -fsS http://127.0.0.1:8765/README | grep -q hello; curl -fsS http://localhost:8765/README; kill $!",
}


def wheel() -> bytes:
    """A small wheel with true hashes."""
    members = {
        "tiny.py": b"answer = 42\n",
        "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for name, data in members.items()
    ]
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("tiny-1.0.dist-info/RECORD", "\n".join([*rows, "tiny-1.0.dist-info/RECORD,,\n"]))
    return data.getvalue()


def work(product: Aienv, repo: Path, table: Mapping[str, str], *words: str) -> dict[str, tuple[int, str]]:
    """All of the table in one run: by name the exit code and the last words."""
    commit(repo, {**FILES, **{f"work/{name}.sh": f"set -e\n{script}\n" for name, script in table.items()}})
    lines = [
        f'sh work/{name}.sh > /tmp/said 2>&1; echo "{name} $?"; tail -n 6 /tmp/said | cut -c1-300 | sed "s/^/  /"; rm -rf /tmp/v /tmp/n'
        for name in table
    ]  # fmt: skip
    done = product.run("-q", "--memory", "4g", *words, "--", "sh", "-c", "; ".join(lines), cwd=repo)
    assert done.code == 0, done.errors
    ended: dict[str, tuple[int, str]] = {}
    name = ""
    for line in done.text.splitlines():
        if line.startswith("  "):
            ended[name] = (ended[name][0], ended[name][1] + line + "\n")
        else:
            name, code = line.split()
            ended[name] = (int(code), "")
    assert set(ended) == set(table), done.text
    return ended


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "workshop", FILES)


def registry_answers(folder: Path) -> bool:
    """Whether this machine itself reaches a registry: without it no run can."""
    words = [sys.executable, "-m", "pip", "--isolated", "download", "-q", "--no-deps", "--no-cache-dir", "-d", str(folder), "iniconfig"]
    return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 0


def apt_source() -> str:
    """The smallest of this machine's package sources, as ``URI SUITE COMPONENT``; nothing where there is no apt."""
    if shutil.which("apt-get") is None:
        return ""
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    sources = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False).stdout.splitlines()
    return next((source for source in sorted(sources) if "-updates" in source), "")


@pytest.mark.parametrize("product", QUICK_ON_DOCKER, indirect=True)
def test_package_managers(product: Aienv, workshop: Path, tmp_path: Path) -> None:
    """pip, npm, npx and apt with the registries of this machine, allowed by their presets alone."""
    if not registry_answers(tmp_path):
        pytest.skip("this machine reaches no package registries")
    presets = [word for name in ("pip", "npm", "apt") for word in ("--preset", name)]
    ended = work(product, workshop, REGISTRIES, "--env", f"APT={apt_source()}", *presets)
    assert {name: said for name, (code, said) in ended.items() if code not in (0, 77)} == {}
    assert sum(code == 0 for code, _ in ended.values()) >= 3


@pytest.mark.parametrize("product", QUICK_ON_DOCKER, indirect=True)
def test_web_clients(product: Aienv, internet: Internet, workshop: Path) -> None:
    """curl, wget, Python, pip, git, Node, Java, web sockets and event streams; and servers of one's own on loopback."""
    (internet.files / "simple" / "tiny").mkdir(parents=True, exist_ok=True)
    (internet.files / "simple" / "tiny" / "tiny-1.0-py3-none-any.whl").write_bytes(wheel())
    bare = internet.git / "app.git"
    if not bare.exists():
        git(
            "clone",
            "-q",
            "--bare",
            str(make_repository(workshop.parent / "served", {"README": "served\n"})),
            str(bare),
            cwd=workshop.parent,
        )
    place = product.options[1]
    hosts = ("origin.example.org", "http://origin.example.org", "v6.example.org", "*.wild.example.org:8443")
    ended = work(internet.around(product), workshop, WEB, "--env", f"PLACE={place}", *allow(*hosts))
    assert {name: said for name, (code, said) in ended.items() if code not in (0, 77)} == {}
    assert sum(code == 0 for code, _ in ended.values()) >= len(WEB) - 4
    assert {f"refs/heads/by-{scheme}-{place}" for scheme in ("http", "https")} <= set(
        git("for-each-ref", "--format=%(refname)", cwd=bare).split()
    )
