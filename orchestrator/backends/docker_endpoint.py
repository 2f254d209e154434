"""Which Docker engine is meant: the address given, ``DOCKER_HOST``, the current docker context, or the usual socket."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import BackendUnavailable

DEFAULT_SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Tls:
    """File names of PEM files; ``verify``: check the engine's certificate."""

    ca: str | None
    cert: str | None
    key: str | None
    verify: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``source`` says who chose the address, for messages."""

    address: str
    tls: Tls | None
    source: str

    @property
    def socket_path(self) -> str | None:
        """The path of a local socket; None for anything else."""
        return self.address.removeprefix("unix://") if self.address.startswith("unix://") else None


def find_endpoint(explicit: str | None, environ: Mapping[str, str]) -> Endpoint:
    """The engine that ``docker`` itself would talk to, unless one was named.

    Raises:
        BackendUnavailable: a context that does not exist or cannot be read, or a kind of address that cannot work.
    """
    if explicit:
        return _usable(Endpoint(explicit, _environ_tls(environ), "--docker-host"))
    if address := environ.get("DOCKER_HOST"):
        return _usable(Endpoint(address, _environ_tls(environ), "DOCKER_HOST"))
    folder = _config_folder(environ)
    name, source = _context_name(folder, environ)
    if name and name != "default":
        return _usable(_context(folder, name, source))
    return Endpoint(DEFAULT_SOCKET, None, "default")


def _usable(endpoint: Endpoint) -> Endpoint:
    scheme = endpoint.address.partition("://")[0]
    if "@" in endpoint.address and scheme != "ssh":
        raise BackendUnavailable(
            f"{endpoint.source} names a Docker engine with a user or password in its address",  # and is not repeated here
            remedy="leave it out: engines know certificates only (DOCKER_CERT_PATH)",
            code="engine-address",
        )
    if scheme == "ssh":
        raise BackendUnavailable(
            f"the Docker engine of {endpoint.source} is on another machine ({endpoint.address}), which cannot mount folders of this one",
            remedy="choose an engine on this machine (docker context use default), or --backend local",
            code="engine-remote",
        )
    if scheme not in ("unix", "tcp", "http", "https"):
        raise BackendUnavailable(
            f"{endpoint.source} names the Docker engine {endpoint.address!r}, which is no unix:// or tcp:// address",
            remedy="set DOCKER_HOST to an address such as unix:///var/run/docker.sock, or unset it",
            code="engine-address",
        )
    return endpoint


def _environ_tls(environ: Mapping[str, str]) -> Tls | None:
    """TLS as the environment asks for it: any value of DOCKER_TLS_VERIFY but the empty one means yes."""
    folder, verify = environ.get("DOCKER_CERT_PATH"), bool(environ.get("DOCKER_TLS_VERIFY"))
    if not folder and not verify:
        return None
    base = Path(folder) if folder else _config_folder(environ)
    return _pem_files(base, verify)


def _pem_files(folder: Path, verify: bool) -> Tls:
    files = {name: str(path) if (path := folder / f"{name}.pem").is_file() else None for name in ("ca", "cert", "key")}
    return Tls(files["ca"], files["cert"], files["key"], verify)


def _config_folder(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or "/", ".docker"))


def _context_name(folder: Path, environ: Mapping[str, str]) -> tuple[str, str]:
    if name := environ.get("DOCKER_CONTEXT"):
        return name, "DOCKER_CONTEXT"
    file = folder / "config.json"
    settings = _read_object(file) if file.exists() else {}
    return str(settings.get("currentContext") or ""), str(file)


def _context(folder: Path, name: str, source: str) -> Endpoint:
    key = hashlib.sha256(name.encode()).hexdigest()
    file = folder / "contexts" / "meta" / key / "meta.json"
    if not file.exists():
        raise BackendUnavailable(
            f"{source} names the docker context {name!r}, which does not exist",
            remedy="docker context ls shows what there is; docker context use default goes back",
            code="context-missing",
        )
    endpoints = _read_object(file).get("Endpoints")
    found = endpoints.get("docker") if isinstance(endpoints, dict) else None
    host = found.get("Host") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(host, str) or not host:
        raise BackendUnavailable(
            f"the docker context {name!r} ({file}) names no engine", remedy=f"docker context inspect {name}", code="context-broken"
        )
    secrets = folder / "contexts" / "tls" / key / "docker"
    tls = _pem_files(secrets, verify=not found.get("SkipTLSVerify", False)) if secrets.is_dir() else None
    return Endpoint(host, tls, f"docker context {name!r}")


def _read_object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise BackendUnavailable(
            f"{file} cannot be read: {problem}", remedy="correct the file, or set DOCKER_HOST", code="context-broken"
        ) from problem
    return value if isinstance(value, dict) else {}
