"""The Docker backend: one container per environment, with the toolbox mounted and the launcher as its command.

The only file that imports the Docker SDK, and only when an engine is needed. What is sent is decided in ``docker_args``;
here it is sent, with a deadline on every call: an engine that stopped answering must not stop us.
"""

import contextlib
import io
import itertools
import platform
import posixpath
import secrets
import socket
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, ClassVar

from orchestrator.backends import docker_args
from orchestrator.backends.docker_args import EngineFacts, ImageFacts
from orchestrator.backends.docker_endpoint import Endpoint, find_endpoint
from orchestrator.backends.docker_reference import parse_reference
from orchestrator.backends.protocol import BackendFacts, Capabilities, EnvironmentRequest, EnvRef
from orchestrator.errors import BackendUnavailable, EnvironmentFailed
from orchestrator.images import base, toolbox
from orchestrator.launcher.client import LauncherClient, listen
from orchestrator.launcher.command import container_command, container_config
from orchestrator.model.plan import BackendName, ImagePlan

CALL_S = 30.0  # one call to a healthy engine takes milliseconds; a loaded machine has been seen to take ten seconds
CHECK_S = 5.0
PULL_STALL_S = 120.0
BUILD_STALL_S = 900.0  # a build step may be silent for long
STREAM_S = 3600.0  # a pull or a build as a whole
RETRY_S = 0.2
GO_FOLDER = 1 << 31  # the bit of a folder in a mode as Go writes it
SETTLE_S = 2.0  # between the end of the launcher's connection and the engine's knowing it
MINIMUM_API, NEWEST_API = (1, 41), (1, 45)  # tried with engines 20.10 and 26.1
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
NOT_SEEN = "bind source path does not exist"

Progress = Callable[[str], None]


def warm() -> None:
    """Load the SDK: a good part of a run's start, which another thread can do while git works."""
    with contextlib.suppress(ImportError):
        import docker  # noqa: F401


class EngineRefused(EnvironmentFailed):
    """The engine answered, with an error. ``status`` is its HTTP status."""

    def __init__(self, what: str, status: int, said: str) -> None:
        super().__init__(f"{what}: {said}", code="engine-refused")
        self.status = status
        self.said = said


class EngineSilent(EnvironmentFailed):
    """The engine is gone, or did not answer in time."""


class Engine:
    """One Docker engine. Every method is one call, and ends within its deadline. Thread-safe."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._api: str | None = None

    @contextlib.contextmanager
    def _client(self, what: str, timeout_s: float = CALL_S) -> Iterator[Any]:
        """A connection for one call; what goes wrong in the block comes out as one of the two errors above.

        Raises:
            EngineRefused, EngineSilent
        """
        import docker
        import requests
        import urllib3

        try:
            with contextlib.closing(self._connect(docker, timeout_s)) as client:
                yield client
        except docker.errors.APIError as problem:
            status = problem.response.status_code if problem.response is not None else 500
            said = problem.explanation if isinstance(problem.explanation, str) else str(problem.explanation or problem)
            raise EngineRefused(what, status, said.strip()) from problem
        except docker.errors.DockerException as problem:
            raise EngineSilent(f"{what}: the Docker engine at {self.endpoint.address} does not answer: {problem}") from problem
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as problem:
            raise EngineSilent(
                f"{what}: the Docker engine at {self.endpoint.address} does not answer ({type(problem).__name__})",
                remedy="see whether it runs: docker info",
            ) from problem
        except (ValueError, TypeError, KeyError) as problem:
            raise EngineSilent(f"{what}: what is at {self.endpoint.address} does not answer as a Docker engine does") from problem

    def _connect(self, docker: Any, timeout_s: float) -> Any:
        tls: Any = False
        if self.endpoint.tls is not None:
            pem = self.endpoint.tls
            pair = (pem.cert, pem.key) if pem.cert and pem.key else None
            tls = docker.tls.TLSConfig(client_cert=pair, ca_cert=pem.ca, verify=pem.verify)
        timeout = max(1, int(timeout_s))
        if self._api is None:
            with contextlib.closing(docker.APIClient(self.endpoint.address, version="auto", timeout=timeout, tls=tls)) as first:
                self._api = _api_to_speak(first.api_version)
        return docker.APIClient(self.endpoint.address, version=self._api, timeout=timeout, tls=tls)

    # facts

    def version(self) -> dict[str, Any]:
        with self._client("ask for the engine's version", CHECK_S) as client:
            return dict(client.version())

    def info(self) -> dict[str, Any]:
        with self._client("ask what the engine can do", CHECK_S) as client:
            return dict(client.info())

    # images

    def image(self, reference: str) -> dict[str, Any] | None:
        """The engine's own description; None when the image is not there."""
        parse_reference(reference)
        try:
            with self._client(f"look for image {reference!r}") as client:
                return dict(client.inspect_image(reference))
        except EngineRefused as problem:
            if problem.status == 404:
                return None
            raise

    def image_id(self, reference: str) -> str | None:
        """None when the image is not there, or the text is no name of one."""
        try:
            found = self.image(reference)
        except EngineSilent:
            raise
        except EnvironmentFailed:
            return None
        return None if found is None else str(found["Id"])

    def images(self, label: str) -> list[dict[str, Any]]:
        with self._client("list images") as client:
            return [dict(each) for each in client.images(filters={"label": label})]

    def images_named(self, pattern: str) -> list[dict[str, Any]]:
        """Those with a name that matches, as the engine reads patterns: ``*`` is no slash."""
        with self._client("list images") as client:
            return [dict(each) for each in client.images(name=pattern)]

    def pull(self, reference: str, progress: Progress) -> None:
        """Fetch an image with the user's own login."""
        what, wanted = f"pull image {reference!r}", parse_reference(reference)
        if wanted.version is None:
            raise EnvironmentFailed(f"{what}: an id says nothing to a registry", code="image-missing")
        with self._client(what, PULL_STALL_S) as client:
            _follow(what, client.pull(wanted.repository, tag=wanted.version, stream=True, decode=True), lambda line: None)
        progress(f"image {reference}: pulled")

    def build(self, context: bytes, dockerfile: str, name: str, labels: Mapping[str, str], progress: Progress) -> str:
        """Build an image from a tar of its context and the text of its Dockerfile. Returns its id."""
        what = f"build image {name!r}"
        with self._client(what, BUILD_STALL_S) as client:
            stream = io.BytesIO(_with_dockerfile(context, dockerfile))
            options = {
                "custom_context": True,
                "encoding": None,
                "tag": name,
                "labels": dict(labels),
                "rm": True,
                "forcerm": True,
                "decode": True,
            }
            _follow(what, client.build(fileobj=stream, **options), progress)
            return str(client.inspect_image(name)["Id"])

    def import_image(self, stream: IO[bytes], name: str, changes: tuple[str, ...]) -> str:
        """Make an image of a root file system in tar form; ``changes`` are lines of a Dockerfile."""
        wanted = parse_reference(name)
        with self._client(f"import image {name!r}", BUILD_STALL_S) as client:
            client.import_image(src=stream, repository=wanted.repository, tag=wanted.version, changes=list(changes))
            return str(client.inspect_image(name)["Id"])

    def remove_image(self, name: str) -> None:
        with self._client(f"remove image {name!r}") as client:
            client.remove_image(name)

    @contextlib.contextmanager
    def build_and_copy(self, context: bytes, dockerfile: str, folder: str, progress: Progress) -> Iterator[IO[bytes]]:
        """Build an image, and give one folder of it as tar (names begin with the folder's own). Nothing of it stays in the engine."""
        name = f"aienv/toolbox:build-{time.time_ns()}"
        labels = {docker_args.MANAGED: "1", "dev.aienv.image": "toolbox"}
        with contextlib.ExitStack() as undo, tempfile.TemporaryFile() as file:
            undo.callback(self._discard_image, name)
            self.build(context, dockerfile, name, labels, progress)
            with self._client(f"copy {folder} out of the image", BUILD_STALL_S) as client:
                container = client.create_container_from_config({"Image": name, "Labels": labels}, name=None)["Id"]
                undo.callback(self._discard_container, container)
                chunks, _ = client.get_archive(container, folder)
                for chunk in chunks:
                    file.write(chunk)
            file.seek(0)
            yield file

    @contextlib.contextmanager
    def unstarted(self, image: str) -> Iterator[str]:
        """A container of the image with that id, to look at its files: never started, and removed at the end of the block.

        If we are killed in between, ``aienv gc`` knows it as an environment of ours.
        """
        mark = f"look-{secrets.token_hex(4)}"
        labels = {docker_args.MANAGED: "1", docker_args.RUN: mark, docker_args.ROLE: "task"}
        body = {"Image": image, "Labels": labels, "Entrypoint": ["-"], "Cmd": [], "HostConfig": {"NetworkMode": "none"}}
        name = docker_args.container_name(mark, "task")
        with contextlib.ExitStack() as undo:
            undo.callback(self._discard_container, name)
            yield self.create(name, body, CALL_S)

    def file_in(self, container: str, path: str, max_bytes: int) -> bytes | None:
        """A regular file of a container, up to ``max_bytes``; None: there is none, or it is larger."""
        with self._archive(container, path) as found:
            return _lone_file(found[0], max_bytes) if found is not None else None

    def is_folder_in(self, container: str, path: str) -> bool:
        """Whether there is a folder itself at ``path``, not a link to one. Links on the way there count as what they lead to."""
        with self._archive(container, path) as found:
            return found is not None and bool(int(found[1].get("mode") or 0) & GO_FOLDER)

    @contextlib.contextmanager
    def _archive(self, container: str, path: str) -> Iterator[tuple[Iterable[bytes], Mapping[str, Any]] | None]:
        """What is at ``path``, as tar, and what it is; None: nothing."""
        try:
            with self._client(f"look at {path} in the image") as client:
                chunks, facts = client.get_archive(container, path)
                yield chunks, dict(facts)
        except EngineRefused as problem:
            if problem.status != 404 or problem.said.startswith("No such container"):
                raise
            yield None

    def _discard_image(self, name: str) -> None:
        with contextlib.suppress(EnvironmentFailed):
            self.remove_image(name)

    def _discard_container(self, container: str) -> None:
        with contextlib.suppress(EnvironmentFailed):
            self.remove(container, CALL_S)

    # containers

    def create(self, name: str, body: Mapping[str, Any], timeout_s: float) -> str:
        with self._client(f"create container {name}", timeout_s) as client:
            return str(client.create_container_from_config(dict(body), name=name)["Id"])

    def start(self, container: str, timeout_s: float) -> None:
        with self._client("start the container", timeout_s) as client:
            client.start(container)

    def container(self, name: str, timeout_s: float = CALL_S) -> dict[str, Any]:
        with self._client(f"inspect container {name}", timeout_s) as client:
            return dict(client.inspect_container(name))

    def log_tail(self, container: str, lines: int) -> str:
        with self._client("read the container's log", CHECK_S) as client:
            return bytes(client.logs(container, stdout=True, stderr=True, tail=lines)).decode("utf-8", "replace").strip()

    def containers(self, labels: Iterable[str], timeout_s: float = CALL_S) -> list[dict[str, Any]]:
        with self._client("list containers", timeout_s) as client:
            return [dict(each) for each in client.containers(all=True, filters={"label": list(labels)})]

    def kill(self, container: str, timeout_s: float) -> None:
        """End it now, also when it is paused."""
        with self._client("kill the container", timeout_s) as client:
            client.kill(container)

    def unpause(self, container: str, timeout_s: float) -> None:
        with self._client("unpause the container", timeout_s) as client:
            client.unpause(container)

    def remove(self, container: str, timeout_s: float) -> None:
        """With its anonymous volumes."""
        with self._client("remove the container", timeout_s) as client:
            client.remove_container(container, v=True, force=True)


@dataclass(slots=True)
class DockerEnvironment:
    ref: EnvRef
    launcher: LauncherClient
    engine: Engine
    seen: list[int | None] = field(default_factory=list)

    def host_pid(self) -> int | None:
        """Asked once. The engine counts in its own namespace, so the process must also look like the container's."""
        if not self.seen:
            self.seen.append(_host_pid(self.engine, str(self.ref.native_id)))
        return self.seen[0]

    def describe_end(self) -> str:
        limit = time.monotonic() + SETTLE_S
        while (text := _end_of(self.engine, str(self.ref.native_id))) is None:
            if time.monotonic() > limit:
                return "the container still runs, but its launcher has gone"
            time.sleep(RETRY_S)
        return text


class DockerBackend:
    """Containers of one engine. ``cache`` holds the toolbox; ``say`` takes lines for people."""

    name: ClassVar[BackendName] = "docker"

    def __init__(self, cache: Path, environ: Mapping[str, str], say: Progress, address: str | None = None) -> None:
        self._cache = cache
        self._environ = environ
        self._say = say
        self._address = address
        self._found: Engine | None = None
        self._facts: EngineFacts | None = None

    @property
    def engine(self) -> Engine:
        """The engine that the environment names.

        Raises:
            BackendUnavailable: the name leads nowhere.
        """
        if self._found is None:
            self._found = Engine(find_endpoint(self._address, self._environ))
        return self._found

    def check(self) -> BackendFacts:
        endpoint = self.engine.endpoint
        _knock(endpoint)
        try:
            version, info = self.engine.version(), self.engine.info()
        except EnvironmentFailed as problem:
            raise BackendUnavailable(
                f"the Docker engine at {endpoint.address} does not work: {problem.message}",
                remedy="see what it says: docker info",
                code="engine-broken",
            ) from problem
        facts = self._facts = engine_facts(version, info)
        _refuse_unusable(endpoint, facts, info)
        details = (
            ("api", facts.api),
            ("machine", facts.machine),
            ("cgroup", str(info.get("CgroupVersion") or "1")),
            ("storage", str(info.get("Driver") or "")),
            ("security", ", ".join(_security_names(info)) or "none"),
            ("chosen by", endpoint.source),
        )
        capabilities = Capabilities("container+sandbox", images=True, unlimited=docker_args.unlimited(facts))
        return BackendFacts("docker", endpoint.address, facts.version, capabilities, details)

    def resolve_image(self, reference: str | None) -> ImagePlan | None:
        name = reference if reference is not None else base.ensure(self.engine, self._cache, self._say).name
        found = self.engine.image(name)
        if found is None:
            self._pull(name)
            found = self.engine.image(name)
        if found is None:
            raise EnvironmentFailed(f"image {name!r} was pulled, and is not there", code="image-missing")
        facts = image_facts(found)
        _refuse_foreign(name, facts)
        return ImagePlan(name, facts.id, facts.env)

    def _pull(self, reference: str) -> None:
        self._say(f"image {reference}: not here yet, pulling")
        try:
            self.engine.pull(reference, self._say)
        except EnvironmentFailed as problem:
            raise EnvironmentFailed(
                f"image {reference!r} is not in the Docker engine, and cannot be pulled: {problem.message}",
                remedy="check the name, docker login for a private registry, or docker pull it beforehand",
                code="image-missing",
            ) from problem

    def open(self, request: EnvironmentRequest) -> DockerEnvironment:
        if request.image is None:
            raise EnvironmentFailed("the Docker backend needs an image")
        if self._facts is None:
            self.check()
        folders = request.folders
        config = container_config(request.workspace, tuple(name for name, _ in folders.objects), folders.home is not None)
        tree = toolbox.ensure(self._cache, self._say, engine=self.engine)  # the first time on a machine it takes as long as it takes
        deadline = time.monotonic() + request.deadline_s
        found = self.engine.image(request.image.id)
        if found is None:
            raise EnvironmentFailed(
                f"image {request.image.reference!r} ({request.image.id}) is no longer in the Docker engine", code="image-missing"
            )
        with contextlib.closing(listen(request.folders.control, request.uid, request.gid)) as listener:
            container = self._start(request, image_facts(found), str(tree), container_command(config), deadline)
            client = listener.accept(_left(deadline), lambda: _end_of(self.engine, container))
        try:
            _refuse_moved_folders(client, request)
        except EnvironmentFailed:
            client.close()
            raise
        return DockerEnvironment(EnvRef(request.run_id, request.role, "docker", container), client, self.engine)

    def _start(self, request: EnvironmentRequest, image: ImageFacts, tree: str, command: tuple[str, ...], deadline: float) -> str:
        facts = self._facts
        assert facts is not None
        name = docker_args.container_name(request.run_id, request.role)
        body = docker_args.create_arguments(request, image, facts, tree, command)
        try:
            container = self.engine.create(name, body, _left(deadline))
            self.engine.start(container, _left(deadline))
        except EngineRefused as problem:
            if facts.init and "docker-init" in problem.said:
                # No init in this engine: the launcher reaps what it is left with, so it can be process 1 itself.
                self._facts = replace(facts, init=False)
                self.destroy(EnvRef(request.run_id, request.role, "docker", None), _left(deadline))
                return self._start(request, image, tree, command, deadline)
            raise _explained(problem, self.engine.endpoint) from problem
        return container

    def survey(self) -> Iterable[EnvRef]:
        for found in self.engine.containers([f"{docker_args.MANAGED}=1"]):
            labels = docker_args.labels_of(found.get("Labels") or {})
            if labels is not None:
                yield EnvRef(labels[0], "harvest" if labels[1] == "harvest" else "task", "docker", str(found["Id"]))

    def destroy(self, ref: EnvRef, deadline_s: float = 20.0) -> tuple[str, ...]:
        deadline = time.monotonic() + deadline_s
        removed: dict[str, str] = {}
        for attempt in itertools.count():
            time.sleep(RETRY_S if attempt > 1 else 0)  # the second look comes at once: usually all is gone by then
            try:
                left = self._of(ref, _left(deadline))
                if not left:
                    return tuple(removed.values())
                for container, name in left.items():
                    removed[container] = f"container {name}"
                    self._end(container, deadline)
                problem: EnvironmentFailed | None = None
            except EnvironmentFailed as failed:
                problem = failed  # the engine is being restarted, or another removal goes on
            if time.monotonic() >= deadline:
                said = f": {problem.message}" if problem else ""
                raise EnvironmentFailed(
                    f"the container of run {ref.run_id} could not be removed within {deadline_s:.0f} s{said}",
                    remedy="when the Docker engine answers again: aienv gc",
                    code="left-behind",
                )
        raise AssertionError("the loop above ends by return or raise")

    def _of(self, ref: EnvRef, timeout_s: float) -> dict[str, str]:
        """Id -> name of the containers of this run and role, whatever state they are in."""
        labels = [f"{docker_args.MANAGED}=1", f"{docker_args.RUN}={ref.run_id}", f"{docker_args.ROLE}={ref.role}"]
        found = self.engine.containers(labels, timeout_s)
        return {str(each["Id"]): str((each.get("Names") or ["?"])[0]).lstrip("/") for each in found}

    def _end(self, container: str, deadline: float) -> None:
        """Kill first: removing a running container waits for its own stop signal in some engines."""
        for step in (self.engine.unpause, self.engine.kill, self.engine.remove):
            with contextlib.suppress(EngineRefused):  # not paused, not running, gone, being removed: the next look tells
                step(container, _left(deadline))


# --- what the engine's answers mean ----------------------------------------------------------------------------------


def engine_facts(version: Mapping[str, Any], info: Mapping[str, Any]) -> EngineFacts:
    """The parts of ``/version`` and ``/info`` that matter here."""
    return EngineFacts(
        version=str(version.get("Version") or "unknown"),
        api=str(version.get("ApiVersion") or "0"),
        machine=str(info.get("Architecture") or ""),
        cpus=int(info.get("NCPU") or 1),
        apparmor="apparmor" in _security_names(info),
        selinux="selinux" in _security_names(info),
        init=True,
        memory_limit=bool(info.get("MemoryLimit")),
        swap_limit=bool(info.get("SwapLimit")),
        cpu_limit=bool(info.get("CpuCfsQuota")),
        pids_limit=bool(info.get("PidsLimit")),
    )


def image_facts(found: Mapping[str, Any]) -> ImageFacts:
    """The parts of an image's description that matter here; any of them may be missing."""
    config = found.get("Config") or {}
    pairs = (str(word).partition("=") for word in config.get("Env") or ())
    return ImageFacts(
        id=str(found["Id"]),
        os=str(found.get("Os") or "linux"),
        machine=str(found.get("Architecture") or ""),
        env=tuple((name, value) for name, _, value in pairs),
        volumes=tuple(sorted(str(path) for path in config.get("Volumes") or ())),
    )


def _security_names(info: Mapping[str, Any]) -> list[str]:
    """``name=seccomp,profile=default`` -> ``seccomp``; older engines gave the bare word."""
    words = [str(option).split(",")[0] for option in info.get("SecurityOptions") or ()]
    return [word.removeprefix("name=") for word in words]


def _api_to_speak(theirs: str) -> str:
    return theirs if _numbers(theirs) < NEWEST_API else ".".join(map(str, NEWEST_API))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _follow(what: str, events: Iterable[Any], progress: Progress) -> None:
    """The events of a pull or a build, to their end.

    Raises:
        EngineRefused: one of them is an error. EngineSilent: there is no end.
    """
    limit = time.monotonic() + STREAM_S
    for event in events:
        if time.monotonic() > limit:
            raise EngineSilent(f"{what}: not done after {STREAM_S / 60:.0f} minutes")
        if not isinstance(event, dict):
            continue
        if event.get("error"):
            raise EngineRefused(what, 500, str(event["error"]).strip())
        if line := str(event.get("stream") or "").strip():
            progress(line)


def _lone_file(chunks: Iterable[bytes], max_bytes: int) -> bytes | None:
    """The regular file that a tar of one member holds; None if it holds something else, or more."""
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) > max_bytes + (64 << 10):  # and what a tar has around it
            return None
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            member = archive.next()
            file = archive.extractfile(member) if member is not None and member.isreg() and member.size <= max_bytes else None
            return file.read() if file is not None else None
    except tarfile.TarError:
        return None


def _with_dockerfile(context: bytes, dockerfile: str) -> bytes:
    """The context with one more file; a tar ends with zero blocks, so the file is put in front."""
    stream, data = io.BytesIO(), dockerfile.encode()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
        with tarfile.open(fileobj=io.BytesIO(context)) as given:
            for entry in given:
                archive.addfile(entry, given.extractfile(entry) if entry.isreg() else None)
    return stream.getvalue()


def _knock(endpoint: Endpoint) -> None:
    """Tell apart the ways in which a local socket does not answer; the SDK's message is the same for all.

    Raises:
        BackendUnavailable
    """
    if endpoint.socket_path is None:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(CHECK_S)
        try:
            sock.connect(endpoint.socket_path)
        except FileNotFoundError:
            raise BackendUnavailable(
                f"no Docker engine at {endpoint.address} ({endpoint.source}): there is no such socket",
                remedy="install and start Docker, set DOCKER_HOST, or choose --backend local",
                code="engine-missing",
            ) from None
        except PermissionError:
            raise BackendUnavailable(
                f"the Docker engine's socket {endpoint.socket_path} is closed to this user",
                remedy="have yourself added to its group: sudo usermod -aG docker $USER, then log in again; or choose --backend local",
                code="engine-permission",
            ) from None
        except OSError as problem:
            raise BackendUnavailable(
                f"no Docker engine answers at {endpoint.address} ({endpoint.source}): {problem.strerror or problem}",
                remedy="start Docker, or choose --backend local",
                code="engine-down",
            ) from None


def _refuse_unusable(endpoint: Endpoint, facts: EngineFacts, info: Mapping[str, Any]) -> None:
    """Engines in which our container would be something else than we promise.

    Raises:
        BackendUnavailable
    """
    local = "choose another engine with DOCKER_HOST, or --backend local"
    names = _security_names(info)
    if _numbers(facts.api) < MINIMUM_API:
        wanted = ".".join(map(str, MINIMUM_API))
        raise BackendUnavailable(
            f"the Docker engine {facts.version} at {endpoint.address} is too old: it speaks API {facts.api}, {wanted} is needed",
            remedy="update it to 20.10 or newer, or choose --backend local",
            code="engine-old",
        )
    if str(info.get("OSType") or "linux") != "linux":
        raise BackendUnavailable(
            f"the Docker engine at {endpoint.address} runs {info['OSType']} containers", remedy=local, code="engine-os"
        )
    if facts.machine not in ("", platform.machine()):
        raise BackendUnavailable(
            f"the Docker engine at {endpoint.address} runs on {facts.machine}, this machine is {platform.machine()}",
            remedy=local,
            code="engine-machine",
        )
    if "seccomp" not in names:
        raise BackendUnavailable(f"the Docker engine at {endpoint.address} has no seccomp", remedy=local, code="engine-seccomp")
    for name, what in (("rootless", "runs rootless"), ("userns", "maps user ids (userns-remap)")):
        if name in names:
            raise BackendUnavailable(
                f"the Docker engine at {endpoint.address} {what}: inside, the workspace would belong to another user",
                remedy=local,
                code="engine-userns",
            )


def _refuse_foreign(name: str, image: ImageFacts) -> None:
    wanted = ARCHITECTURES.get(platform.machine(), platform.machine())
    if image.os != "linux" or image.machine not in ("", wanted):
        raise EnvironmentFailed(
            f"image {name!r} is for {image.os}/{image.machine}, this machine runs linux/{wanted}",
            remedy=f"docker pull --platform linux/{wanted} {name}, or choose another image",
            code="image-machine",
        )


def _refuse_moved_folders(client: LauncherClient, request: EnvironmentRequest) -> None:
    """Our folders must lie where they seem to lie: through a link of the image's they could be in a place that the agent writes.

    Raises:
        EnvironmentFailed
    """
    ours = {"opt", "run", request.workspace.strip("/").split("/")[0]}
    for entry in client.facts.root:
        if entry.name in ours and entry.kind == "link":
            raise EnvironmentFailed(
                f"in this image /{entry.name} is a link (to {posixpath.join('/', entry.target)!r}), and aienv needs a folder there",
                remedy="choose another image, or make it a folder in yours",
                code="image-links",
            )


def _explained(problem: EngineRefused, endpoint: Endpoint) -> EnvironmentFailed:
    if NOT_SEEN in problem.said:
        folder = problem.said.rpartition(NOT_SEEN)[2].lstrip(": ").strip()
        return EnvironmentFailed(
            f"the Docker engine at {endpoint.address} does not see this machine's folder {folder}",
            remedy="use an engine that runs on this machine itself, or --backend local",
            code="engine-remote",
        )
    return problem


def _host_pid(engine: Engine, container: str) -> int | None:
    """The container's first process, where it is one of this machine's that we can see."""
    try:
        pid = int((engine.container(container, CHECK_S).get("State") or {}).get("Pid") or 0)
        groups = Path(f"/proc/{pid}/cgroup").read_text() if pid > 1 else ""
    except (EnvironmentFailed, OSError, ValueError):
        return None
    return pid if container in groups else None


def _end_of(engine: Engine, container: str) -> str | None:
    """Why the container is no longer running, in words; None while it runs."""
    try:
        state = engine.container(container, CHECK_S).get("State") or {}
        if state.get("Running"):
            return None
        said = engine.log_tail(container, 5)
    except EngineRefused as problem:
        return "the container is gone: someone else removed it" if problem.status == 404 else problem.message
    except EnvironmentFailed as problem:
        return problem.message
    if state.get("OOMKilled"):
        return "the container ran out of memory and was killed; raise limits.memory"
    words = f"the container ended with code {state.get('ExitCode')}"
    return ": ".join(word for word in (words, str(state.get("Error") or ""), said) if word)


def _left(deadline: float) -> float:
    """Seconds until ``deadline``, at least one: a call that is sent must have a chance to be answered."""
    return max(1.0, deadline - time.monotonic())
