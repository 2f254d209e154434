"""What may leave, as users say it and see it: modes, rules, refusals that teach, reports, and what never leaves in any mode."""

# ruff: noqa: E501 - a row of a table stays one line

import hashlib
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
import yaml

from tests.e2e.online import allow, asking, ended_steps, finish, reports, shown_flags
from tests.e2e.product import Aienv, branches, end, git, processes_with, read_until
from tests.internet import BAD_NAMES, HERE, METADATA, SERVED, WILDCARDS, Internet

ORIGIN = "https://origin.example.org"
ASKED_FOR = ("dns", "udp", "tcp", "tls", "http")  # what the servers note, but of sockets that any program of this machine may find


@pytest.fixture
def online(product: Aienv, internet: Internet) -> Aienv:
    """The product on each backend, on a machine of the small internet."""
    return internet.around(product)


@pytest.fixture
def here(local: Aienv, internet: Internet) -> Aienv:
    """The same on the local backend alone."""
    return internet.around(local)


def owner_of(address: str) -> str:
    """The name that an address of a server has."""
    return next(name for name, addresses in (*SERVED.items(), *WILDCARDS.items()) if address in addresses)


# --- modes ------------------------------------------------------------------------------------------------------------

LOOK_AROUND = """
env | grep -ic -e proxy -e ca.pem
ls /run/aienv | grep -c '^ca'
for port in 3128 3129; do curl -s --noproxy '*' -m 5 http://127.0.0.1:$port/; echo "curl $?"; done
curl -s -m 10 https://origin.example.org/; echo "curl $?"
tail -n +2 /proc/net/tcp /proc/net/tcp6 | grep -c ' 0A '
"""


def test_none(online: Aienv, internet: Internet) -> None:
    """No variables, no certificates, nothing that listens, no name that resolves; the report says so."""
    mark = internet.mark()
    run = finish(online, "--network", "none", "--", "sh", "-c", LOOK_AROUND)
    assert run.done.text.split("\n") == ["0", "0", "curl 7", "curl 7", "curl 6", "0", ""]
    assert run.report["network"] == {"mode": "none", "allowed": [], "denied": [], "credentials": []}
    assert internet.events(mark, *ASKED_FOR) == []


TRY = """
curl -sS https://origin.example.org/echo; echo "curl $?"
curl -s -D - http://origin.example.org/echo
python3 -c 'import urllib.request; urllib.request.urlopen("https://origin.example.org/echo")' 2>&1 | tail -1
"""


def test_an_empty_list_teaches(online: Aienv, internet: Internet) -> None:
    """By default nothing is allowed: clients hear why and what would allow it, nobody is asked for a name, and the offer holds.

    The flag is the one of the summary, word for word; the YAML line is that of the report, in a task file.
    """
    mark = internet.mark()
    run = finish(online, "--", "sh", "-c", TRY)
    curl, http, python = re.fullmatch(r"(.*?curl \d+\n)(.*)\n([^\n]+)\n", run.done.text, re.DOTALL).groups()  # type: ignore[union-attr]
    assert curl == "curl 56\n"
    assert "403" in run.done.errors
    head, _, body = http.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 403 Blocked by aienv: not-allowed (allow with --allow-host origin.example.org:80)")
    assert "X-Aienv-Denied: not-allowed" in head
    told = json.loads(body)
    assert (told["error"], told["host"], told["port"], told["allowed"]) == ("blocked by aienv", "origin.example.org", 80, [])
    assert told["allow_with"] == {"flag": "--allow-host origin.example.org:80", "yaml": "network: {allow: [origin.example.org:80]}"}
    assert "--allow-host origin.example.org)" in python
    assert internet.events(mark, *ASKED_FOR) == []

    denied = {row["port"]: row for row in run.report["network"]["denied"]}
    assert {port: (row["host"], row["count"], row["flag"]) for port, row in denied.items()} == {
        443: ("origin.example.org", 2, "--allow-host origin.example.org"),
        80: ("origin.example.org", 1, "--allow-host origin.example.org:80"),
    }
    flags = shown_flags(run.done)
    assert flags == [["--allow-host", "origin.example.org"], ["--allow-host", "origin.example.org:80"]]
    again = finish(online, *flags[0], *flags[1], "--", "sh", "-c", TRY)
    assert again.done.code == 0
    assert again.done.text.count('"origin": "origin.example.org"') == 2
    assert again.report["network"]["denied"] == []

    task = online.cwd / "task.yaml"
    task.write_text(f"version: 1\n{denied[443]['yaml']}\n")
    by_file = finish(online, str(task), "--", "curl", "-sSf", f"{ORIGIN}/echo")
    assert json.loads(by_file.done.stdout)["origin"] == "origin.example.org"


def test_learn_then_allow_just_that(here: Aienv, internet: Internet) -> None:
    """What ``policy suggest`` prints, as a task's network, lets the same command pass and nothing else."""
    script = (
        "curl -sSf https://origin.example.org/ && curl -sSf http://other.example.org:8080/ && curl -sSf https://a.wild.example.org:8443/"
    )
    learnt = finish(here, "--network", "learn", "--", "sh", "-c", script)
    assert learnt.done.code == 0, learnt.done.errors
    offered = next(line for line in learnt.done.errors.splitlines() if "learnt  3 places: aienv " in line)
    suggested = here(*offered.partition("places: aienv ")[2].split()).text
    assert yaml.safe_load(suggested) == {
        "network": {"mode": "allowlist", "allow": ["a.wild.example.org:8443", "origin.example.org", "other.example.org:8080"]}
    }
    task = here.cwd / "learnt.yaml"
    task.write_text(f"version: 1\n{suggested}")
    assert finish(here, str(task), "--", "sh", "-c", script).done.text == learnt.done.text
    questions = asking("https://b.wild.example.org:8443/", "https://other.example.org:8443/", f"{ORIGIN}/")
    other = finish(here, str(task), "--", *questions)
    assert [(answer.status, answer.denied) for answer in other.answers] == [(403, "not-allowed"), (403, "port"), (200, None)]
    as_json = here("policy", "suggest", learnt.report["id"], "--json").document
    assert as_json["network"] == {
        "mode": "allowlist",
        "presets": [],
        "private": [],
        "allow": ["a.wild.example.org:8443", "origin.example.org", "other.example.org:8080"],
    }


def test_suggestions_keep_what_hosts_do_not_say(here: Aienv) -> None:
    """A mirror of pip with a private address, a private network that was named, bare bytes: the suggestion lets them pass again."""
    conf = Path(here.environ["HOME"]) / ".config/pip/pip.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("[global]\nindex-url = https://private.example.org/simple\n")
    words = ("https://private.example.org/simple", "https://shared.example.org/", "tcp://origin.example.org:7000 bytes")
    network = ("--network", "learn", "--preset", "pip", "--allow-private", "100.64.0.0/24", *allow("tcp://origin.example.org:7000"))
    ways = ["request", "request", "tcp"]
    assert [answer.way for answer in finish(here, *network, "--", *asking(*words)).answers] == ways
    task = here.cwd / "learnt.yaml"
    task.write_text(f"version: 1\n{here('policy', 'suggest', 'last').text}")
    again = finish(here, str(task), "--", *asking(*words))
    assert ([answer.way for answer in again.answers], again.report["network"]["denied"]) == (ways, [])


# --- rules ------------------------------------------------------------------------------------------------------------

RULES = (
    *allow("origin.example.org", "*.wild.example.org", "v6.example.org", "GET,HEAD other.example.org/echo*", "other.example.org:8443"),
    *allow("http://other.example.org", "tcp://origin.example.org:7000", "evil.example.net", "nobody.example.org"),
    *("--deny-host", "evil.example.net", "--deny-host", "x.wild.example.org", "--deny-host", "DELETE v6.example.org"),
)
# question, who answers (or the word of the refusal), and how it was refused
ASKED = (
    ("https://origin.example.org/echo", "origin.example.org", ""),
    ("POST https://origin.example.org/echo some words", "origin.example.org", ""),
    ("https://ORIGIN.example.org:443/", "origin.example.org", ""),
    ("http://origin.example.org/echo", "port", "request"),
    ("https://origin.example.org:8443/", "port", "connect"),
    ("https://a.wild.example.org/", "*.wild.example.org", ""),
    ("https://wild.example.org/", "not-allowed", "connect"),
    ("https://a.wild.example.org.evil.example.net/", "not-allowed", "connect"),
    ("https://x.wild.example.org/", "deny-rule", "connect"),
    ("https://evil.example.net/", "deny-rule", "connect"),
    ("http://evil.example.net/", "deny-rule", "request"),
    ("https://other.example.org:8443/", "other.example.org", ""),
    ("http://other.example.org/", "other.example.org", ""),
    ("https://other.example.org/echo", "other.example.org", ""),
    ("HEAD https://other.example.org/echo/2?x=1", "other.example.org", ""),
    ("POST https://other.example.org/echo x", "method-or-path", "request"),
    ("https://other.example.org/status/204", "method-or-path", "request"),
    ("https://other.example.org/echo/../status/204", "method-or-path", "request"),
    ("https://other.example.org/echo%2f..%2fstatus", "method-or-path", "request"),
    ("https://v6.example.org/", "v6.example.org", ""),
    ("DELETE https://v6.example.org/", "deny-rule", "request"),
    ("https://[2606:2800:21f::14]/", "address-literal", "connect"),
    ("http://93.184.215.14/", "address-literal", "request"),
    ("http://[::ffff:93.184.215.14]/", "bad-host", "request"),
    ("http://0x5db8d70e/", "bad-host", "request"),
)  # fmt: skip


def test_rules(online: Aienv, internet: Internet) -> None:
    """Each row of the list means what it says; the report counts what went out and what did not; the log has every attempt."""
    mark = internet.mark()
    questions = [question for question, *_ in ASKED]
    run = finish(online, *RULES, "--", *asking(*questions, "tcp://origin.example.org:7000 bare bytes", "https://nobody.example.org/"))
    *web, bare, nobody = run.answers
    seen = [(answer.denied or answer.origin, answer.way if answer.denied else "") for answer in web]
    assert seen == [(who, way) for _, who, way in ASKED], [(ask[0], one) for ask, one in zip(ASKED, web, strict=True)]
    assert (bare.way, bare.body) == ("tcp", "bare bytes")
    assert (nobody.status, nobody.denied, nobody.document["error"]) == (502, None, "upstream failed")  # allowed, and not there
    assert run.done.code == 0

    reached = {event["server"] for event in internet.events(mark, "http")}
    assert {owner_of(address) for address in reached} == {"origin.example.org", "other.example.org", "*.wild.example.org", "v6.example.org"}
    looked_up = {event["name"] for event in internet.events(mark, "dns")}
    assert looked_up == {"origin.example.org", "other.example.org", "a.wild.example.org", "v6.example.org", "nobody.example.org"}

    allowed = {(row["host"], row["port"]): row for row in run.report["network"]["allowed"]}
    assert {place: row["requests"] for place, row in allowed.items()} == {
        ("origin.example.org", 443): 3, ("origin.example.org", 7000): 1, ("a.wild.example.org", 443): 1, ("other.example.org", 8443): 1,
        ("other.example.org", 80): 1, ("other.example.org", 443): 2, ("v6.example.org", 443): 1, ("nobody.example.org", 443): 1,
    }  # fmt: skip
    assert (allowed["origin.example.org", 7000]["bytes_out"], allowed["origin.example.org", 7000]["bytes_in"]) == (10, 10)
    answered = [row for (host, port), row in allowed.items() if host != "nobody.example.org" and port != 7000]
    assert all(row["bytes_in"] > 100 and row["bytes_out"] > 30 for row in answered), answered
    denied = {(row["host"], row["port"], row["rule"]): row["count"] for row in run.report["network"]["denied"]}
    assert denied[("other.example.org", 443, "method-or-path")] == 4
    assert denied[("x.wild.example.org", 443, "deny-rule")] == 1
    events = run.events("net")
    assert len(events) == len(ASKED) + 2
    inside = next(event for event in events if event.get("method") == "HEAD")
    assert {name: inside[name] for name in ("phase", "decision", "rule", "host", "port", "scheme", "method", "path", "status")} == {
        "phase": "agent", "decision": "allow", "rule": "allow", "host": "other.example.org", "port": 443, "scheme": "https", "method": "HEAD",
        "path": "/echo/2", "status": 200,
    }  # fmt: skip
    assert next(event for event in events if event["host"] == "nobody.example.org")["rule"] == "unresolved"
    assert inside["address"] in ("93.184.215.15", "2606:2800:21f::15")


def test_open_is_not_everything(online: Aienv, internet: Internet) -> None:
    """In the mode ``open`` every public host is within reach, and no other address, by whatever name: not this machine, not its network."""
    names = [*BAD_NAMES, *(f"{name}.example.org" for name in ("metadata", "private", "shared", "documentation", "link-local"))]
    sometimes = ("mixed.example.org", "rebind.example.org", "rebind-back.example.org")
    refused = [name for name in names if name not in sometimes]
    questions = [f"http://{name}:8080/" for name in refused] + [f"https://{name}/" for name in refused]
    literal = [f"http://{METADATA}/", "http://127.0.0.1:8080/", "http://[::1]:8080/", f"http://{HERE}:8080/", "https://10.9.8.7/"]
    public = ["https://evil.example.net/", "https://b.wild.example.org:8443/"]
    half_public = [f"http://{name}:8080/" for name in sometimes]
    words = [*questions, *literal, *public, *half_public]
    mark = internet.mark()
    run = finish(online, "--network", "open", "--", *asking(*words))
    answers = dict(zip(words, run.answers, strict=True))
    assert {ask: answers[ask].denied for ask in questions} == dict.fromkeys(questions, "address")
    assert {ask: answers[ask].denied for ask in literal} == dict.fromkeys(literal, "address-literal")
    assert [answers[ask].origin for ask in public] == ["evil.example.net", "*.wild.example.org"]
    assert {answers[ask].origin for ask in half_public} <= {"origin.example.org", None}  # the public one of their addresses, or none
    heard = internet.events(mark, "tcp", "udp", "tls", "http")
    assert {event["place"] for event in heard} == {"there"}
    assert {owner_of(event["server"]) for event in heard} <= {"evil.example.net", "*.wild.example.org", "origin.example.org"}
    private = next(row for row in run.report["network"]["denied"] if row["host"] == "private.example.org")
    assert private["flag"] in ("--allow-private 10.9.8.7/32", "--allow-private fd00:9:8::7/128")
    loopback = next(row for row in run.report["network"]["denied"] if row["host"] == "metadata.example.org")
    assert (loopback["flag"], loopback["yaml"]) == (None, None)


def test_private_addresses_that_the_user_named(here: Aienv, internet: Internet) -> None:
    """``--allow-private`` opens that network to names that are allowed, and nothing of the machine itself."""
    asked = {
        "https://private.example.org/": "private.example.org",
        "https://shared.example.org/": "address",
        "http://loopback.example.org:8080/": "address",
        "http://10.9.8.7/": "address-literal",
        f"{ORIGIN}/": "not-allowed",
    }
    hosts = allow("private.example.org", "shared.example.org", "loopback.example.org:8080")
    mark = internet.mark()
    run = finish(here, *hosts, "--allow-private", "10.9.8.0/24", "--", *asking(*asked))
    assert [answer.origin or answer.denied for answer in run.answers] == list(asked.values())
    assert {event["server"] for event in internet.events(mark, "tcp")} == {"10.9.8.7"}


@pytest.mark.parametrize("network", ["0.0.0.0/0", "169.254.169.254", "fe80::/10", "10.9.8.7/24", "everything"])
def test_private_networks_that_are_none(local: Aienv, network: str) -> None:
    """Refused when the command line is read, not when a run is half way."""
    done = local.run("--allow-private", network, "--", "true")
    assert (done.code, done.stdout) == (2, b"")
    assert done.errors.startswith("aienv: --allow-private: "), done.errors
    assert not (local.home / "runs").exists()


def test_one_bad_entry_is_a_warning(here: Aienv) -> None:
    """A configuration of pip that is none, a mirror whose name nobody knows: said, and the run goes on without them."""
    home = Path(here.environ["HOME"])
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_bytes(b"[global\n\xff\x00 index-url = = https://[::\n")
    (home / ".npmrc").write_text("registry=https://npm.nobody.example.org/\n@team:registry=not a url\n")
    presets = ("--preset", "pip", "--preset", "npm", *allow("origin.example.org"))
    run = finish(here, *presets, "--", *asking(f"{ORIGIN}/", "https://npm.nobody.example.org/x"))
    assert run.done.code == 0, run.done.errors
    assert run.answers[0].origin == "origin.example.org"
    assert (run.answers[1].status, run.answers[1].document["rule"]) == (502, "unresolved")
    warned = [line for line in run.done.errors.splitlines() if "preset" in line]
    assert any("pip.conf" in line for line in warned), run.done.errors
    assert any("@team:registry" in line for line in warned), run.done.errors


def test_the_plan_says_what_may_leave(here: Aienv, tmp_path: Path) -> None:
    """For people and as JSON; twice the same bytes, with presets and credentials; the credential is not even read."""
    absent = tmp_path / "absent"
    words = (
        *RULES, "--preset", "pip", "--preset", "github", "--allow-private", "10.9.8.0/24", "--secret", f"API_TOKEN=file://{absent}",
        "--secret-host", "API_TOKEN=origin.example.org", "--git-push", "origin.example.org/private-git/app", "--", "true",
    )  # fmt: skip
    first, second = (here("plan", *here.options, "--json", *words) for _ in range(2))
    assert first.code == 0, first.errors
    assert first.stdout == second.stdout
    network = first.document["plan"]["network"]
    assert {"origin.example.org", "other.example.org"} <= set(network["inspect"])
    text = here("plan", *here.options, *words).text
    for said in (
        "network:     allowlist", "allow:     *.wild.example.org", "allow:     GET,HEAD other.example.org/echo*", "(preset github)", "pypi",
        "deny:      x.wild.example.org", "private:   10.9.8.0/24", "inspect:   origin.example.org", "git:       origin.example.org/private-git/app, push to aienv/*",
        f"secret:    API_TOKEN from file://{absent} for origin.example.org (agent, check)",
    ):  # fmt: skip
        assert said in text, text


# --- what passes ------------------------------------------------------------------------------------------------------

BIG = 200_000_000
# Down to a digest, up from a file; what arrived is what the server says it saw.
CARRY = """
set -e
head -c {size} /dev/zero > /tmp/big
for place in {places}; do
    curl -sSf $place/bytes/{size} | sha256sum
    curl -sSf -T /tmp/big $place/echo | python3 -c 'import json, sys; seen = json.load(sys.stdin); print(seen["sha256"], seen["size"])'
done
"""
WAYS = allow("*.wild.example.org", "GET,PUT,POST other.example.org/*", "http://origin.example.org")  # tunnel, opened, in the open


def digest(piece: bytes, size: int) -> str:
    """Of ``piece`` again and again."""
    made = hashlib.sha256()
    for _ in range(size // len(piece)):
        made.update(piece)
    made.update(piece[: size % len(piece)])
    return made.hexdigest()


def test_large_bodies(here: Aienv) -> None:
    """200 MB each way through a tunnel and through plain HTTP, and where TLS is opened: every byte, and counted."""
    places = "https://a.wild.example.org http://origin.example.org https://other.example.org"
    run = finish(here, *WAYS, "--", "sh", "-c", CARRY.format(size=BIG, places=places))
    assert run.done.code == 0, run.done.errors
    down, up = digest(bytes(range(256)) * 256, BIG), digest(bytes(65536), BIG)
    assert run.done.text.splitlines() == [f"{down}  -", f"{up} {BIG}"] * 3
    for row in run.report["network"]["allowed"]:
        assert BIG < row["bytes_in"] < 1.05 * BIG, row
        assert BIG < row["bytes_out"] < 1.05 * BIG, row


# Each way: events with the moment when each came, beside the moment when the server sent it; then words over a WebSocket.
LIVE = """
import json, os, socket, ssl, sys, time
from http.client import HTTPResponse
def connect(url):
    scheme, _, host = url.partition("://")
    sock = socket.create_connection(("127.0.0.1", 3128), 30)
    if scheme == "http":
        return sock, url, host
    sock.sendall(f"CONNECT {host}:443 HTTP/1.1\\r\\nHost: {host}:443\\r\\n\\r\\n".encode())
    opened = HTTPResponse(sock, method="CONNECT"); opened.begin(); assert opened.status == 200, opened.read()
    return ssl.create_default_context().wrap_socket(sock, server_hostname=host), "", host
for url in sys.argv[1:]:
    sock, prefix, host = connect(url)
    sock.sendall(f"GET {prefix}/events/6 HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
    events = HTTPResponse(sock); events.begin()
    came = [(float(line.split()[2]), time.time()) for line in events if line.startswith(b"data:")]
    sock, prefix, host = connect(url)
    upgrade = "Upgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=="
    sock.sendall(f"GET {prefix}/ws HTTP/1.1\\r\\nHost: {host}\\r\\n{upgrade}\\r\\n\\r\\n".encode())
    heard = sock.makefile("rb")
    status = heard.readline().split()[1].decode()
    while heard.readline().strip(): pass
    said = []
    for word in (b"one", b"two"):
        mask = os.urandom(4)
        sock.sendall(bytes([0x81, 0x80 | len(word)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(word)))
        said.append(heard.read(2 + len(word))[2:].decode())
    print(json.dumps({"events": came, "socket": [status, *said]}))
"""


def test_live_connections(here: Aienv, internet: Internet) -> None:
    """Server-sent events come one by one, a WebSocket answers, ``Expect: 100-continue`` is heard: in the open, in a tunnel, opened."""
    places = ("http://origin.example.org", "https://a.wild.example.org", "https://other.example.org")
    run = finish(here, *WAYS, "--", "python3", "-c", LIVE, *places)
    assert run.done.code == 0, run.done.errors
    for line in map(json.loads, run.done.text.splitlines()):
        assert len(line["events"]) == 6
        assert line["events"][0][1] < line["events"][-1][0], "the first arrived before the last was sent"
        assert line["socket"] == ["101", "ONE", "TWO"]
    ask = "curl -sSv -H 'Expect: 100-continue' -d x=1 $place/echo 2>&1 | grep -c 'HTTP/1.1 100'"
    expects = f"for place in {' '.join(places)}; do {ask}; done"
    assert finish(here, *WAYS, "--", "sh", "-c", expects).done.text == "1\n1\n1\n"


# --- what is left -----------------------------------------------------------------------------------------------------

DOWNLOADS = """
echo work > work
curl -sSf https://origin.example.org/echo > /dev/null
curl -sS https://evil.example.net/ 2> /dev/null
curl -sS --limit-rate 2m -o /tmp/part https://origin.example.org/bytes/4000000000 &
until [ -s /tmp/part ]; do sleep 0.05; done
echo ready
wait
"""


@pytest.mark.parametrize("victim", ["main", "broker"])
def test_killed_while_something_is_fetched(online: Aienv, victim: str) -> None:
    """kill -9 of our own processes in the middle of a transfer: nothing lives on, the work is harvested, the requests are in the report."""
    process = online.start("--allow-host", "origin.example.org", "--", "sh", "-c", DOWNLOADS)
    read_until(process, b"ready")
    (run,) = online("ps", "--json").document
    broker = ended_steps(online)["broker"]["pid"]
    os.kill(process.pid if victim == "main" else broker, signal.SIGKILL)
    done = end(process)
    deadline = time.monotonic() + 60
    while not list((online.home / "runs").glob("*/report.json")) or processes_with(run["id"]):
        assert time.monotonic() < deadline, (done.errors, processes_with(run["id"]))
        time.sleep(0.1)
    (report,) = [json.loads(file.read_text()) for file in reports(online)]
    if victim == "broker":
        assert (done.code, report["status"], report["error"]["code"]) == (3, "error", "environment-lost")
    else:
        assert (report["status"], report["recovered"]) == ("interrupted", True)
    assert git("show", f"{branches(online.cwd)[0]}:work", cwd=online.cwd) == "work\n"
    (allowed,) = report["network"]["allowed"]
    assert (allowed["host"], allowed["requests"]) == ("origin.example.org", 1 if victim == "broker" else 2)
    assert [row["host"] for row in report["network"]["denied"]] == ["evil.example.net"]
    assert list((online.home / "work").iterdir()) == []
