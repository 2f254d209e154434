"""Which engine is meant, for real layouts of environment and context files."""

import hashlib
import json
from pathlib import Path

import pytest

from orchestrator.backends.docker_endpoint import DEFAULT_SOCKET, find_endpoint
from orchestrator.errors import BackendUnavailable

REMOTE = "tcp://10.0.0.1:2376"


def home_with(folder: Path, current: str | None, contexts: dict[str, object], tls_for: str | None = None) -> dict[str, str]:
    """A home as ``docker context create`` and ``docker context use`` leave it."""
    docker = folder / ".docker"
    docker.mkdir()
    (docker / "config.json").write_text(json.dumps({"auths": {}, **({"currentContext": current} if current else {})}))
    for name, meta in contexts.items():
        key = hashlib.sha256(name.encode()).hexdigest()
        place = docker / "contexts" / "meta" / key
        place.mkdir(parents=True)
        (place / "meta.json").write_text(meta if isinstance(meta, str) else json.dumps(meta))
        if name == tls_for:
            secrets = docker / "contexts" / "tls" / key / "docker"
            secrets.mkdir(parents=True)
            for pem in ("ca", "cert", "key"):
                (secrets / f"{pem}.pem").write_text("x")
    return {"HOME": str(folder)}


def meta(host: str, **more: object) -> dict[str, object]:
    return {"Name": "x", "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False, **more}}}


@pytest.mark.parametrize(
    ("explicit", "environ", "address"),
    [
        pytest.param("unix:///a.sock", {"DOCKER_HOST": "unix:///b.sock"}, "unix:///a.sock", id="named"),
        pytest.param(None, {"DOCKER_HOST": "unix:///b.sock", "DOCKER_CONTEXT": "work"}, "unix:///b.sock", id="host-before-context"),
        pytest.param(None, {"DOCKER_CONTEXT": "work"}, "unix:///work.sock", id="context-variable"),
        pytest.param(None, {}, "unix:///current.sock", id="current-context"),
        pytest.param(None, {"DOCKER_CONTEXT": "default"}, DEFAULT_SOCKET, id="default-context"),
    ],
)
def test_order(tmp_path: Path, explicit: str | None, environ: dict[str, str], address: str) -> None:
    """The order is docker's own."""
    home = home_with(tmp_path, "current", {"work": meta("unix:///work.sock"), "current": meta("unix:///current.sock")})
    assert find_endpoint(explicit, {**home, **environ}).address == address


def test_nothing_is_set(tmp_path: Path) -> None:
    """No file, no variable: the usual socket."""
    found = find_endpoint(None, {"HOME": str(tmp_path)})
    assert (found.address, found.tls, found.socket_path) == (DEFAULT_SOCKET, None, "/var/run/docker.sock")


def test_other_config_folder(tmp_path: Path) -> None:
    """DOCKER_CONFIG moves the folder."""
    home_with(tmp_path, "c", {"c": meta("unix:///c.sock")})
    assert find_endpoint(None, {"HOME": "/nonexistent", "DOCKER_CONFIG": str(tmp_path / ".docker")}).address == "unix:///c.sock"


def test_tls_of_a_context(tmp_path: Path) -> None:
    """A context's certificates are used, and its wish not to verify as well."""
    found = find_endpoint(None, home_with(tmp_path, "c", {"c": meta(REMOTE, SkipTLSVerify=True)}, tls_for="c"))
    assert found.tls is not None
    assert found.tls.verify is False
    assert Path(str(found.tls.cert)).name == "cert.pem"


def test_tls_of_the_environment(tmp_path: Path) -> None:
    """DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, as docker reads them."""
    for pem in ("ca", "cert", "key"):
        (tmp_path / f"{pem}.pem").write_text("x")
    found = find_endpoint(None, {"DOCKER_HOST": REMOTE, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)})
    assert found.tls is not None
    assert (found.tls.verify, found.tls.ca) == (True, str(tmp_path / "ca.pem"))
    assert find_endpoint(None, {"DOCKER_HOST": REMOTE}).tls is None


@pytest.mark.parametrize(
    ("current", "contexts", "code"),
    [
        pytest.param("gone", {}, "context-missing", id="deleted-context"),
        pytest.param("c", {"c": "{not json"}, "context-broken", id="broken-file"),
        pytest.param("c", {"c": {"Name": "c", "Endpoints": {}}}, "context-broken", id="no-docker-endpoint"),
        pytest.param("c", {"c": {"Endpoints": {"docker": "unix:///x"}}}, "context-broken", id="odd-shape"),
        pytest.param("c", {"c": meta("ssh://me@host")}, "engine-remote", id="ssh"),
        pytest.param("c", {"c": meta("npipe:////./pipe/docker")}, "engine-address", id="windows-pipe"),
    ],
)
def test_refused(tmp_path: Path, current: str, contexts: dict[str, object], code: str) -> None:
    """A context that leads nowhere is named, with the way out; never the default engine instead."""
    with pytest.raises(BackendUnavailable) as caught:
        find_endpoint(None, home_with(tmp_path, current, contexts))
    assert caught.value.code == code
    assert caught.value.remedy


def test_broken_config_file(tmp_path: Path) -> None:
    """An unreadable config.json is an error of ours, not a traceback."""
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BackendUnavailable, match=r"config\.json"):
        find_endpoint(None, {"DOCKER_CONFIG": str(tmp_path)})


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    """Engines know no passwords; the message must not show one."""
    with pytest.raises(BackendUnavailable) as refused:
        find_endpoint(None, {"DOCKER_HOST": "tcp://user:hunter2@127.0.0.1:9"})
    assert refused.value.code == "engine-address"
    assert "hunter2" not in refused.value.message
