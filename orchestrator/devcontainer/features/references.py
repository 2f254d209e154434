"""How a configuration names a feature: three forms, closed by default. Pure.

    ghcr.io/devcontainers/features/node:1      in a registry; also ``@sha256:...``; without either it is ``:latest``
    ./tools                                    a folder beside the configuration
    https://example.org/devcontainer-feature-tools.tgz

Registry references are read in lower case as a whole, as the reference implementation reads them.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrator.errors import ConfigError

MAX_LENGTH = 512
MAX_HOPS = 16  # of ``/`` in a registry's path
FORMS = "REGISTRY/NAMESPACE/NAME[:TAG|@DIGEST], ./FOLDER or https://HOST/.../devcontainer-feature-NAME.tgz"

DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?", re.ASCII)
_PATH = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)+", re.ASCII)
_TAG = re.compile(r"[a-z0-9_][a-z0-9._-]{0,127}", re.ASCII)
_TARBALL = re.compile(r"devcontainer-feature-([A-Za-z0-9_-]+)\.tgz", re.ASCII)
_URL = re.compile(r"[A-Za-z0-9._~:/?&=+,;@!$'()*%-]+", re.ASCII)
_VERSION = re.compile(r"[:@][^/]*$")

# Owners that moved: what they published is asked for at the new place.
_MOVED: Mapping[str, str] = {"devcontainers-contrib": "devcontainers-extra"}

# Names from before features had registries, and what they became. We say so and go no further: a bare name says nothing of where from.
_BEFORE: Mapping[str, str] = {
    **{name: name for name in (
        "aws-cli", "azure-cli", "desktop-lite", "docker-in-docker", "docker-from-docker", "dotnet", "git", "git-lfs", "github-cli", "java",
        "kubectl-helm-minikube", "node", "powershell", "python", "ruby", "rust", "sshd", "terraform", "common-utils", "go",
    )},
    "golang": "go", "common": "common-utils", "gradle": "java", "maven": "java", "jupyterlab": "python",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class OciReference:
    """``written``: by the user. ``name``: of the feature, the last part of the path. Exactly one of ``tag`` and ``digest`` is set."""

    written: str
    registry: str
    namespace: str
    name: str
    tag: str | None
    digest: str | None
    written_namespace: str

    @property
    def resource(self) -> str:
        """Without a version; what order and equality look at."""
        return f"{self.registry}/{self.written_namespace}/{self.name}"

    @property
    def path(self) -> str:
        """In the registry's own addresses."""
        return f"{self.namespace}/{self.name}"

    @property
    def version(self) -> str:
        return self.digest or self.tag or "latest"

    @property
    def scheme(self) -> str:
        return "http" if is_loopback(host_of(self.registry)) else "https"

    @property
    def without_version(self) -> str:
        return _VERSION.sub("", self.written)


@dataclass(frozen=True, slots=True)
class LocalReference:
    """``path``: from the folder of the configuration; it may begin with ``..``, whoever looks it up says how far."""

    written: str
    path: str

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)


@dataclass(frozen=True, slots=True)
class TarballReference:
    written: str
    url: str
    name: str


Reference = OciReference | LocalReference | TarballReference


def parse(written: str) -> Reference:
    """Raises ConfigError: it is of no form that we know, or holds what no name has."""
    if not written or len(written) > MAX_LENGTH:
        raise _bad(written, f"has {len(written)} characters, not 1 to {MAX_LENGTH}")
    if not written.isprintable() or any(one.isspace() for one in written) or "\\" in written:
        raise _bad(written, "holds a blank, a backslash or a control character")
    if "/" not in written:
        raise _bare(written)
    if written.startswith("https://"):
        return _tarball(written)
    if written.startswith(("./", "../", "/")):
        return _local(written)
    return _oci(written)


def host_of(authority: str) -> str:
    return authority.rpartition(":")[0] if ":" in authority else authority


def is_loopback(host: str) -> bool:
    """This machine itself: the one place that is spoken to without TLS."""
    return host == "localhost" or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", host, re.ASCII) is not None


def _local(written: str) -> LocalReference:
    if written.startswith("/"):
        raise _bad(written, "is an absolute path", remedy="name a folder beside devcontainer.json: ./FOLDER")
    path = posixpath.normpath(written)
    if posixpath.basename(path) in ("", ".", ".."):
        raise _bad(written, "names no folder of a feature")
    return LocalReference(written, path)


def _tarball(written: str) -> TarballReference:
    try:
        parts = urlsplit(written)
        port, host = parts.port, (parts.hostname or "").lower()
    except ValueError:
        raise _bad(written, "is no address") from None
    if not _URL.fullmatch(written) or parts.username is not None or not _HOST.fullmatch(host):
        raise _bad(written, "is no plain address: https://HOST/PATH, without a user and a fragment")
    if ".." in parts.path.split("/") or "%2e" in parts.path.lower():
        raise _bad(written, "has a path that goes back")
    name = _TARBALL.fullmatch(parts.path.rpartition("/")[2])
    if name is None:
        raise _bad(written, "does not end with devcontainer-feature-NAME.tgz")
    authority = host if port in (None, 443) else f"{host}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return TarballReference(written, f"https://{authority}{parts.path}{query}", name[1])


def _oci(written: str) -> OciReference:
    text = written.lower()
    if text != written and not written.isascii():
        raise _bad(written, "holds letters that no registry has")
    resource, at, digest = text.rpartition("@")
    tag: str | None = None
    if at:
        if not DIGEST.fullmatch(digest):
            raise _bad(written, "has a digest that is not sha256: and 64 hex digits")
    else:
        resource, tag = text, "latest"
        before, colon, after = text.rpartition(":")
        if colon and "/" not in after:
            resource, tag = before, after
            if not _TAG.fullmatch(tag):
                raise _bad(written, f"has a tag {tag!r} that no registry takes")
    registry, _, path = resource.partition("/")
    if not _HOST.fullmatch(registry):
        raise _bad(written, f"has {registry[:80]!r} where a registry should stand")
    if "." not in registry and host_of(registry) != "localhost":
        raise _bad(
            written, f"names the repository of a GitHub user, or a registry {registry!r} without a domain",
            remedy=f"write the registry out, such as ghcr.io/{resource}",
        )  # fmt: skip
    if not _PATH.fullmatch(path) or path.count("/") > MAX_HOPS:
        raise _bad(written, f"has {path[:80]!r} where NAMESPACE/NAME should stand")
    namespace, _, name = path.rpartition("/")
    owner, slash, rest = namespace.partition("/")
    return OciReference(written, registry, _MOVED.get(owner, owner) + slash + rest, name, tag, digest if at else None, namespace)


def _bare(written: str) -> ConfigError:
    known = _BEFORE.get(re.split("[:@]", written)[0])
    remedy = f"write ghcr.io/devcontainers/features/{known}:1" if known else f"for a folder beside devcontainer.json write ./{written[:80]}"
    return _bad(written, "is a bare name, which says nothing of where it comes from", remedy=remedy)


def _bad(written: str, problem: str, remedy: str | None = None) -> ConfigError:
    return ConfigError(f"the feature {written[:120]!r} {problem}", remedy=remedy or f"write {FORMS}", code="feature-reference")
