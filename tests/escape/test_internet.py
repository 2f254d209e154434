"""The small internet is one: from the user's machine everything in it can be reached, so that a sandbox has something to hold back."""

import json
import subprocess
from typing import Any

import pytest

from tests.internet import HERE, METADATA, Internet

LOOK = """
import json, socket, sys, urllib.request
answers = {}
for url in sys.argv[1:]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            answers[url] = answer.headers["X-Origin"]
    except OSError as problem:
        answers[url] = type(getattr(problem, "reason", problem)).__name__
print(json.dumps(answers))
"""


def look(internet: Internet, *urls: str) -> Any:
    """Who answers at each URL, seen from the user's machine."""
    words = [*internet.prefix, "python3", "-I", "-c", LOOK, *urls]
    done = subprocess.run(words, capture_output=True, timeout=60, check=True, cwd="/")
    return json.loads(done.stdout)


@pytest.mark.bwrap
def test_everything_is_within_reach(internet: Internet) -> None:
    """Names, both families, TLS; and the metadata service, loopback and a private network, which no sandbox should see."""
    wanted = {
        "http://origin.example.org/": "origin.example.org",
        "https://origin.example.org/": "origin.example.org",
        "https://a.wild.example.org:8443/": "*.wild.example.org",
        "https://evil.example.net/": "evil.example.net",
        "http://[2606:2800:21f::16]/": "v6.example.org",
        "http://private.example.org/": "private.example.org",
        f"http://{METADATA}/latest/meta-data/": "metadata.example.org",
        "http://127.0.0.1:8080/": "loopback",
        "http://[::1]:8080/": "loopback",
        f"http://{HERE}/": "self",
        "https://untrusted.example.org/": "SSLCertVerificationError",
        "http://nobody.example.org/": "gaierror",
    }
    mark = internet.mark()
    assert look(internet, *wanted) == wanted
    asked = {event["name"] for event in internet.events(mark, "dns")}
    assert {"origin.example.org", "nobody.example.org"} <= asked
    assert {event["sni"] for event in internet.events(mark, "tls")} >= {"origin.example.org", "a.wild.example.org", "evil.example.net"}


@pytest.mark.bwrap
def test_it_leads_nowhere_else(internet: Internet) -> None:
    """No address of the real world or of this machine's network can be reached from it."""
    assert look(internet, "http://192.0.2.1/", "http://172.17.0.1/") == dict.fromkeys(
        ("http://192.0.2.1/", "http://172.17.0.1/"), "OSError"
    )
