"""Packages from the user's own npm registry: size and digest are checked as they come, and nothing of them is run.

Several at a time; the first that fails ends the others.
"""

import contextlib
import hashlib
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import BinaryIO, cast

from orchestrator.agents.lock import NpmPackage, sha512_of
from orchestrator.agents.registry import Source, proxied, without_users
from orchestrator.devcontainer.features.transport import Request, Transport, Unreachable
from orchestrator.errors import EnvironmentFailed
from orchestrator.presets.resolve import npm_settings

THREADS = 4
DEADLINE_S = 900.0  # of one package; the largest has more than 100 MiB
PAUSES_S = (0.5, 2.0)  # before another try where the registry did not answer, or said that it is busy
MAX_UNKNOWN_BYTES = 1 << 30  # where a lock is being made and no size is known yet

Say = Callable[[str], None]
Put = Callable[[NpmPackage, Path], None]


class Fetcher:
    """``source``: where packages come from. ``scratch``: a folder for archives; each is gone after it was ``put``."""

    def __init__(self, source: Source, transport: Transport, scratch: Path) -> None:
        self._source = source
        self._transport = transport
        self._scratch = scratch
        self._stop = threading.Event()

    def fetch(self, packages: Sequence[NpmPackage], put: Put, say: Say, what: str) -> None:
        """Give each package's archive to ``put``, in any order, from several threads.

        Raises:
            EnvironmentFailed: a package cannot be had, or is another one than the lock says.
        """
        total, came, told = max(1, sum(one.size_bytes for one in packages)), 0, 0
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
        try:
            work = {pool.submit(self._one, package, put): package for package in packages}
            for done in as_completed(work):
                done.result()
                came += work[done].size_bytes
                if (quarter := 4 * came // total) > told and len(packages) > 1:
                    told = quarter
                    say(f"{what}: {25 * quarter} % of {max(1, total >> 20)} MiB")
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)

    def _one(self, package: NpmPackage, put: Put) -> None:
        with tempfile.NamedTemporaryFile(dir=self._scratch) as file:
            self.download(package, cast(BinaryIO, file))
            file.flush()
            put(package, Path(file.name))

    def download(self, package: NpmPackage, file: BinaryIO) -> int:
        """The archive into ``file``; its size. A size of 0 in ``package`` is one that is not known yet.

        Raises:
            EnvironmentFailed: as for ``fetch``.
        """
        url = self._source.url(package)
        for pause_s in (*PAUSES_S, None):
            file.seek(0)
            file.truncate()
            checked = _Checked(file, self._stop)
            try:
                status = self._asked(url, package, checked)
            except Unreachable as problem:
                if pause_s is None or self._stop.is_set():
                    raise EnvironmentFailed(
                        f"{package.name} {package.version} cannot be fetched: {problem.message}", remedy=_REMEDY, code="agent-fetch"
                    ) from None
            else:
                if status == 200:
                    return _judged(package, checked)
                if pause_s is None or not (status == 429 or status >= 500):
                    raise _refusal(package, self._source.registry(package.name), status)
            self._stop.wait(pause_s)
        raise AssertionError("unreachable")

    def _asked(self, url: str, package: NpmPackage, into: "_Checked") -> int:
        most = package.size_bytes or MAX_UNKNOWN_BYTES
        try:
            return self._transport.ask(Request(url, self._source.headers(url)), most, cast(BinaryIO, into)).status
        except Unreachable:
            raise
        except EnvironmentFailed as problem:
            raise EnvironmentFailed(f"{package.name}: {problem.message}", remedy=_REMEDY, code="agent-fetch") from None


_REMEDY = "see that the registry of your npm configuration (npm config get registry) can be reached, by https, with your proxy"


class _Checked:
    """A file that counts and digests what is written into it, and takes nothing more once somebody said stop."""

    def __init__(self, file: BinaryIO, stop: threading.Event) -> None:
        self._file = file
        self._stop = stop
        self.size_bytes = 0
        self.sha512 = hashlib.sha512()

    def write(self, data: bytes) -> int:
        if self._stop.is_set():
            raise InterruptedError("another package failed")
        self.size_bytes += len(data)
        self.sha512.update(data)
        return self._file.write(data)


def _judged(package: NpmPackage, checked: _Checked) -> int:
    if checked.sha512.digest() != sha512_of(package.integrity) or (package.size_bytes and checked.size_bytes != package.size_bytes):
        raise EnvironmentFailed(
            f"what the registry sent for {package.name} {package.version} is not what the lock file names: the digests differ",
            remedy="do not use it; ask who runs the registry, or look at what changed and run: aienv agents update",
            code="agent-digest",
        )
    return checked.size_bytes


def _refusal(package: NpmPackage, registry: str, status: int) -> EnvironmentFailed:
    host = registry.partition("://")[2].rpartition("@")[2].partition("/")[0]
    why = {401: "it wants to know who you are", 403: "you may not have it", 404: "it does not have it"}.get(status, f"status {status}")
    remedy = {401: "log in: npm login", 404: "let the registry mirror the package, or choose another version: aienv agents update"}
    return EnvironmentFailed(
        f"the registry {host} does not give {package.name} {package.version}: {why}", remedy=remedy.get(status, _REMEDY), code="agent-fetch"
    )


@contextlib.contextmanager
def fetcher(environ: Mapping[str, str], scratch: Path, say: Say) -> Iterator[Fetcher]:
    """By the user's npm configuration, proxies and certificate authorities; the project's ``.npmrc`` is not read."""
    home = Path(environ.get("HOME") or "/")
    values, default, warnings = npm_settings(environ, home, home)
    for warning in warnings:
        say(warning)
    source = Source(without_users(values), default)
    trusted = ssl.create_default_context()
    for file in (source.authorities(), environ.get("NODE_EXTRA_CA_CERTS")):
        if file:
            try:
                trusted.load_verify_locations(file)
            except OSError as problem:
                say(f"certificate authorities cannot be read, they do not count: {problem.strerror}: {file}")
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=scratch) as folder:
        yield Fetcher(source, Transport(proxied(values, environ), context=trusted, deadline_s=DEADLINE_S), Path(folder))


__all__ = ["Fetcher", "Put", "Say", "fetcher"]
