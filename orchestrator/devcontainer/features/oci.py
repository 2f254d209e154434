"""Registries of the OCI distribution specification: manifests, blobs, and the challenge before them; and archives at an address.

The challenge is answered to the registry's own host, or to the few others that are known to speak for it. Any other may be asked for a
token, but without telling it who we are. We ask for ``pull`` of the one repository, whatever the challenge says.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlencode, urlsplit

from orchestrator.devcontainer.features.artifact import MAX_LAYER, MAX_MANIFEST, MEDIA_TYPE
from orchestrator.devcontainer.features.credentials import Credential
from orchestrator.devcontainer.features.references import OciReference, TarballReference, host_of, is_loopback
from orchestrator.devcontainer.features.transport import Answer, Request, Transport, Unreachable, origin
from orchestrator.errors import EnvironmentFailed, NotFound

MAX_TOKEN = 64 << 10

# Hosts that give tokens for a registry elsewhere.
TRUSTED_REALMS: Mapping[str, str] = {
    "docker.io": "auth.docker.io",
    "index.docker.io": "auth.docker.io",
    "registry.docker.io": "auth.docker.io",
    "registry-1.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}

_CHALLENGE = re.compile(r'\s*,?\s*([A-Za-z0-9_-]{1,32})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))', re.ASCII)


@dataclass(frozen=True, slots=True)
class Challenge:
    """``scheme``: in lower case."""

    scheme: str
    realm: str
    service: str


def challenge(header: str) -> Challenge | None:
    """What ``WWW-Authenticate`` asks for; None: nothing that we can answer."""
    scheme, _, rest = header[:4096].strip().partition(" ")
    found: dict[str, str] = {}
    position = 0
    while match := _CHALLENGE.match(rest, position):
        found.setdefault(match[1].lower(), re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3])
        position = match.end()
    scheme = scheme.lower()
    if scheme not in ("basic", "bearer") or (scheme == "bearer" and not found.get("realm")):
        return None
    return Challenge(scheme, found.get("realm", ""), found.get("service", ""))


def speaks_for(registry: str, realm: str) -> bool:
    """Whether who gives tokens at ``realm`` may learn who we are to ``registry``."""
    scheme = "http" if is_loopback(host_of(registry)) else "https"
    if origin(realm) == origin(f"{scheme}://{registry}"):
        return True
    return urlsplit(realm).scheme == "https" and TRUSTED_REALMS.get(registry) == urlsplit(realm).netloc.lower()


def mirrored(reference: OciReference, mirrors: Mapping[str, str]) -> tuple[str, str]:
    """Registry and path that are asked: ``{"ghcr.io/acme": "mirror.example/ghcr/acme"}``, the longest prefix first, whole parts only."""
    whole = f"{reference.registry}/{reference.path}"
    for prefix in sorted(mirrors, key=len, reverse=True):
        if whole.startswith(prefix.rstrip("/") + "/"):
            whole = mirrors[prefix].rstrip("/") + whole.removeprefix(prefix.rstrip("/"))
            break
    registry, _, path = whole.partition("/")
    return registry, path


class Registry:
    """``credentials``: of a host, asked only when it wants some."""

    def __init__(
        self,
        transport: Transport,
        credentials: Callable[[str], Credential | None] = lambda registry: None,
        *,
        mirrors: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._transport = transport
        self._credentials = credentials
        self._mirrors = mirrors or {}
        self._github_token = (environ or {}).get("GITHUB_TOKEN")
        self._granted: dict[tuple[str, str], str] = {}
        self._silent: dict[str, str] = {}

    def manifest(self, reference: OciReference, version: str) -> bytes:
        """The bytes of a manifest, of which nothing has been believed yet.

        Raises:
            Unreachable: the registry is silent.
            NotFound: it has no such feature or version.
            EnvironmentFailed: it does not let us, or does not keep to the rules.
        """
        answer = self._get(reference, f"manifests/{version}", MEDIA_TYPE, MAX_MANIFEST, None)
        told = answer.headers.get("docker-content-digest", "")
        if told.startswith("sha256:") and told != "sha256:" + hashlib.sha256(answer.body).hexdigest():
            problem = f"{reference.registry} sends another manifest of {reference.written!r} than it says it does"
            raise EnvironmentFailed(problem, code="feature-digest")
        return answer.body

    def blob(self, reference: OciReference, digest: str, size: int, into: BinaryIO) -> None:
        """Raises as ``manifest``. Whoever calls compares the digest."""
        self._get(reference, f"blobs/{digest}", "application/octet-stream", size, into)

    def tarball(self, reference: TarballReference, into: BinaryIO) -> None:
        """Raises as ``manifest``."""
        known = self._github_token and urlsplit(reference.url).netloc in ("github.com", "api.github.com")
        headers = {"Authorization": f"Bearer {self._github_token}"} if known else {}
        _check(self._transport.ask(Request(reference.url, headers), MAX_LAYER, into), reference.written)

    def _get(self, reference: OciReference, rest: str, accept: str, most_bytes: int, into: BinaryIO | None) -> Answer:
        registry, path = mirrored(reference, self._mirrors)
        if registry in self._silent:
            raise Unreachable(self._silent[registry])  # where packets are dropped, each feature would wait as long as the first
        try:
            return self._get_from(registry, path, reference, rest, accept, most_bytes, into)
        except Unreachable as problem:
            self._silent[registry] = problem.message
            raise

    def _get_from(
        self, registry: str, path: str, reference: OciReference, rest: str, accept: str, most_bytes: int, into: BinaryIO | None
    ) -> Answer:
        scheme = "http" if is_loopback(host_of(registry)) else "https"
        url = f"{scheme}://{registry}/v2/{path}/{rest}"
        headers = {"Accept": accept}
        if granted := self._granted.get((registry, path)):
            headers["Authorization"] = granted
        answer = self._transport.ask(Request(url, headers), most_bytes, into)
        if answer.status in (401, 403):
            if origin(answer.url) != origin(url):
                raise EnvironmentFailed(f"{registry} redirects to a place that wants credentials of its own", code="feature-redirect")
            authorization = self._answer(registry, path, answer.headers.get("www-authenticate", ""), reference.written)
            self._granted[registry, path] = authorization
            answer = self._transport.ask(Request(url, {**headers, "Authorization": authorization}), most_bytes, into)
        return _check(answer, reference.written)

    def _answer(self, registry: str, path: str, header: str, written: str) -> str:
        """The header with which to ask again."""
        asked = challenge(header)
        if asked is None:
            raise _denied(written, f"and asks for {header[:60]!r}, which we do not speak" if header else "and does not say what it wants")
        credential = self._credentials(registry)
        if asked.scheme == "basic":
            if credential is None or credential.identity:
                raise _denied(written, "without a user and a password")
            return credential.basic()
        token = self._token(registry, path, asked, credential if speaks_for(registry, asked.realm) else None)
        if token is None:
            raise _denied(written, "and gives us no token")
        return f"Bearer {token}"

    def _token(self, registry: str, path: str, asked: Challenge, credential: Credential | None) -> str | None:
        query = {"service": asked.service, "scope": f"repository:{path}:pull"}
        if is_loopback(urlsplit(asked.realm).hostname or "") and not is_loopback(host_of(registry)):
            return None  # a registry elsewhere that would have us ask our own machine
        if credential is not None and credential.identity:
            form = {"client_id": "aienv", "grant_type": "refresh_token", "refresh_token": credential.secret, **query}
            request = Request(asked.realm, {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode())
        else:
            url = asked.realm + ("&" if "?" in asked.realm else "?") + urlencode(query)
            request = Request(url, {"Authorization": credential.basic()} if credential is not None else {})
        answer = self._transport.ask(request, MAX_TOKEN)
        if answer.status in (401, 403) and credential is not None:
            return self._token(registry, path, asked, None)  # what is public stays so with an old password
        return _token_in(answer.body) if answer.status == 200 else None


def _token_in(body: bytes) -> str | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    found = (value.get("token") or value.get("access_token")) if isinstance(value, dict) else None
    return found if isinstance(found, str) and found.isascii() and found.isprintable() and " " not in found else None


def _check(answer: Answer, written: str) -> Answer:
    if 200 <= answer.status < 300:
        return answer
    host = urlsplit(answer.url).netloc
    if answer.status == 404:
        raise NotFound(f"{host} has no feature {written!r}", remedy="see whether name and version are right", code="feature-not-found")
    if answer.status in (401, 403):
        raise _denied(written, f"({answer.status})")
    if answer.status == 429 or answer.status >= 500:
        raise Unreachable(f"{host} answers {answer.status} when it is asked for {written!r}", remedy="try again later")
    raise EnvironmentFailed(f"{host} answers {answer.status} when it is asked for {written!r}", code="feature-answer")


def _denied(written: str, why: str) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"the registry does not let us have the feature {written!r} {why}",
        remedy="see whether the name is right; else docker login HOST, or DEVCONTAINERS_OCI_AUTH=HOST|USER|TOKEN",
        code="feature-denied",
    )
