"""Real agents against a scripted model: the programs are installed by the product, the model stands in the small internet, behind TLS."""



import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.product import ROOT, Aienv, Done
from tests.internet import Internet

# What this machine needs to reach its registry.
_OF_THE_NETWORK = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"),
)
_INSTALLED: set[str] = set()  # by this process
MODEL_HOST, MODEL_PORT = "origin.example.org", 9444
SERVICE = f"{MODEL_HOST}:{MODEL_PORT}"


@dataclass(frozen=True)
class Kind:
    """How a test starts one agent. ``key``: the credential; ``base``: behind the service's address; ``model``: by name, for those with no
    default that the scripted model has. ``words``: of its own, for a model that it does not know."""

    name: str
    key: str
    base: str = ""
    model: str | None = None
    words: tuple[str, ...] = ()

    def flags(self) -> tuple[str, ...]:
        chosen = ("--model", self.model) if self.model else ()
        own = (part for word in self.words for part in ("--agent-arg", word))
        return ("--agent", self.name, "--secret-host", f"{self.key}={SERVICE}{self.base}", *chosen, *own)


KINDS = (
    Kind("claude", "ANTHROPIC_API_KEY"),
    Kind("codex", "OPENAI_API_KEY", "/v1", "fake-model"),
    Kind("opencode", "OPENAI_API_KEY", "/v1", "openai/gpt-5"),
    Kind("gemini", "GEMINI_API_KEY", "", "gemini-2.5-flash"),
    Kind("qwen", "OPENAI_API_KEY", "/v1", "fake-model"),
    Kind("pi", "OPENAI_API_KEY", "/v1", "gpt-5"),
    Kind("aider", "OPENAI_API_KEY", "/v1", "openai/fake-model", ("--edit-format", "diff")),
    Kind("mini-swe-agent", "OPENAI_API_KEY", "/v1", "openai/fake-model"),
)
BY_NAME = {kind.name: kind for kind in KINDS}


def script(*turns: object) -> str:
    """A prompt that carries the model's part."""
    return "FAKE-SCRIPT: " + json.dumps(list(turns))


HELLO = script(
    {"write": {"path": "hello.txt", "content": "hello from an agent\n"}},
    {"shell": "git add hello.txt && git commit -qm 'Add hello' && echo committed"},
    {"say": "All done."},
)


@dataclass(frozen=True)
class Model:
    """The scripted model: ``log`` has a line for each request."""

    log: Path
    internet: Internet

    def asked(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@contextmanager
def scripted_model(internet: Internet, log: Path) -> Iterator[Model]:
    folder = Path(os.environ.get("AIENV_FAKE_MODEL") or ROOT.parent / "shared" / "fake_model").absolute()
    if not (folder / "fake_model.py").exists():
        pytest.skip("no scripted model server: set AIENV_FAKE_MODEL to the folder that holds fake_model.py")
    words = (folder / "fake_model.py", "--host", "0.0.0.0", "--port", MODEL_PORT, "--log", log)
    tls = ("--tls", internet.folder / "server.pem", internet.folder / "server.key")
    enter = ("nsenter", "--target", internet.there, "--net", "--", "setpriv", "--pdeathsig", "KILL", "--")
    command = [str(word) for word in (*enter, sys.executable, "-B", "-I", *words, *tls)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        assert str(MODEL_PORT).encode() in process.stdout.readline()
        try:
            yield Model(log, internet)
        finally:
            process.kill()


@dataclass(frozen=True)
class Ran:
    done: Done
    report: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return Path(self.report["folder"])

    def transcript(self) -> list[Any]:
        return [json.loads(line) for line in (self.folder / "transcript.jsonl").read_text().splitlines()]

    def audit(self, *kinds: str) -> list[Any]:
        events = [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]
        return [event for event in events if event["kind"] in kinds]


def run_agent(product: Aienv, kind: Kind, prompt: str, *flags: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ran:
    """One headless run, with a key that nobody else has."""
    key = {kind.key: f"sk-test-{secrets.token_hex(24)}"}
    done = product.run("--json", *kind.flags(), *flags, prompt, env={**key, **(env or {})}, cwd=cwd)
    return Ran(done, done.document)


def installed(product: Aienv, names: Sequence[str], cache: Path) -> None:
    """The programs are fetched once for all tests: their folder is the tests' own cache."""
    (cache / "agents").mkdir(exist_ok=True)
    place = product.home / "cache" / "agents"
    if not place.exists():
        place.symlink_to(cache / "agents")
    own = {name: value for name, value in os.environ.items() if name.lower().startswith("npm_config_") or name in _OF_THE_NETWORK}
    for name in (name for name in names if name not in _INSTALLED):
        done = product("agents", "test", name, "--backend", "local", env={"HOME": os.environ["HOME"], **own})
        if done.code != 0:
            pytest.skip(f"{name} cannot be installed: {done.errors.strip()[-300:]}")
        _INSTALLED.add(name)
