"""Who we are to a registry. In this order, and always from the user's side, never from a repository:

DEVCONTAINERS_OCI_AUTH=HOST|USER|TOKEN,...      docker's config.json and the helpers that it names      GITHUB_TOKEN for ghcr.io
"""

import base64
import binascii
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.devcontainer.jsonc import BadJson, Json, Object, parse

HELPER_S = 10.0
MAX_CONFIG = 1 << 20
MAX_HELPER = 64 << 10
_HELPER = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
# docker login of the Docker Hub writes another name than that of the registry.
_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HUB_KEY = "https://index.docker.io/v1/"

Helper = Callable[[str, str], bytes | None]
"""(name, registry) -> what ``docker-credential-NAME get`` prints; None: it has nothing."""


@dataclass(frozen=True, slots=True)
class Credential:
    """``identity``: the secret is a token that is exchanged for others, and there is no user."""

    user: str
    secret: str = field(repr=False)
    identity: bool = False

    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


def find(registry: str, environ: Mapping[str, str], helper: Helper | None = None) -> Credential | None:
    """None: anonymously. ``helper``: how to ask one; ours runs the program."""
    for entry in environ.get("DEVCONTAINERS_OCI_AUTH", "").split(","):
        parts = entry.strip().split("|")
        if len(parts) == 3 and parts[0] == registry:
            return Credential(parts[1], parts[2])
    if found := from_docker(registry, docker_config(environ), helper or (lambda name, host: ask_helper(name, host, environ))):
        return found
    token = environ.get("GITHUB_TOKEN")
    if registry == "ghcr.io" and token and environ.get("GITHUB_HOST", "github.com") in ("", "github.com"):
        return Credential("USERNAME", token)
    return None


def docker_config(environ: Mapping[str, str]) -> Object:
    """Empty where there is none, or where somebody else may write it: it names programs that we would run."""
    folder = environ.get("DOCKER_CONFIG") or (os.path.join(environ["HOME"], ".docker") if environ.get("HOME") else "")
    if not os.path.isabs(folder):
        return {}
    try:
        with Path(folder, "config.json").open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
                return {}
            value = parse(file.read(MAX_CONFIG).decode("utf-8")).value
    except (OSError, UnicodeDecodeError, BadJson):
        return {}
    return value if isinstance(value, dict) else {}


def from_docker(registry: str, config: Object, helper: Helper) -> Credential | None:
    """What docker's configuration says of a registry: its own helper, else the store of all, else what is written there."""
    keys = (registry, f"https://{registry}", *((_HUB_KEY,) if registry in _HUB else ()))
    helpers, auths = _object(config, "credHelpers"), _object(config, "auths")
    named = next((helpers[key] for key in keys if key in helpers), config.get("credsStore"))
    if isinstance(named, str) and _HELPER.fullmatch(named):
        for key in keys:
            if found := _from_helper(helper(named, key)):
                return found
    for key in keys:
        if found := _from_entry(_object(auths, key)):
            return found
    return None


def ask_helper(name: str, registry: str, environ: Mapping[str, str]) -> bytes | None:
    try:
        done = subprocess.run(
            (f"docker-credential-{name}", "get"), input=registry.encode(), env=dict(environ),
            capture_output=True, timeout=HELPER_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 and len(done.stdout) <= MAX_HELPER else None


def _from_helper(output: bytes | None) -> Credential | None:
    try:
        value = parse((output or b"").decode("utf-8"), comments=False).value
    except (UnicodeDecodeError, BadJson):
        return None
    user, secret = (value.get("Username"), value.get("Secret")) if isinstance(value, dict) else (None, None)
    if not isinstance(user, str) or not isinstance(secret, str) or not secret:
        return None
    return Credential("", secret, identity=True) if user == "<token>" else Credential(user, secret)


def _from_entry(entry: Object) -> Credential | None:
    token, auth = entry.get("identitytoken"), entry.get("auth")
    if isinstance(token, str) and token:
        return Credential("", token, identity=True)
    try:
        user, colon, secret = base64.b64decode(auth if isinstance(auth, str) else "", validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return Credential(user, secret.rstrip("\0")) if colon else None


def _object(value: Object, key: str) -> dict[str, Json]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}
