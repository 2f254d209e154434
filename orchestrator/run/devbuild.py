"""The image of a run's dev container: built before the plan, from files of ours, with a Dockerfile that was judged (docs/adr/0023)."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from orchestrator.backends.docker import DockerBackend
from orchestrator.devcontainer import locate
from orchestrator.devcontainer.engine import Docker, Unasked
from orchestrator.devcontainer.features.resolve import FeatureSet
from orchestrator.devcontainer.images import dockerfile as recipes
from orchestrator.devcontainer.images import naming
from orchestrator.devcontainer.images.building import BuildFailed
from orchestrator.devcontainer.images.image import Built, How, make_image
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.wanted import feature_cache
from orchestrator.errors import BackendUnavailable, EnvironmentFailed, NotFound, PolicyRefused
from orchestrator.guard.calls import Denied
from orchestrator.guard.dockerfile import judge_dockerfile, judge_triggers
from orchestrator.model.task import Limits
from orchestrator.report.progress import Progress
from orchestrator.repos import tree
from orchestrator.repos.scratch import scratch
from orchestrator.run import devcontainer_terms as terms
from orchestrator.run.devfile import Devfile

BUILD_S = 3600.0
MARK = f'LABEL {naming.LABEL}="1"'  # what a failed build leaves is known as ours by it
CPU_PERIOD_US, SHM = 100_000, "64m"

_CHATTER = re.compile(r"\s*(--->|Removing intermediate|Successfully )")  # of the classic builder, about itself
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Side:
    """The user's side: the engine, the caches, what variables there are, the words that were granted, and what a run may use: a build of
    its image, too."""

    backend: DockerBackend
    cache: Path
    environ: Mapping[str, str]
    grants: Grants
    limits: Limits
    words: tuple[str, ...]
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDocker(Docker):
    """The ``docker`` command for the run's own engine. Images come as those of a run do."""

    backend: DockerBackend

    def image(self, name: str) -> Object:
        if naming.is_ours(name):
            why = f"{name!r} is below the name that images of aienv's own have, which a repository cannot use"
            raise PolicyRefused(why, remedy="name the image that it was made of", code="devcontainer-image")
        wanted = f"sha256:{name}" if _HEX.fullmatch(name) else name
        self.backend.resolve_image(wanted)
        return cast(Object, self.backend.engine.image(wanted))


@contextlib.contextmanager
def docker_of(side: Side, folder: Path) -> Iterator[RunDocker]:
    """Without the user's own settings: credentials are for pulling, which is done before; a proxy's address would be seen in the build."""
    endpoint = side.backend.engine.endpoint
    with scratch("docker") as home:
        environ = {
            **{name: side.environ[name] for name in ("PATH", "HOME", "SSH_AUTH_SOCK") if name in side.environ},
            "DOCKER_CONFIG": str(home),
            "DOCKER_HOST": endpoint.address,
        }
        if (tls := endpoint.tls) is not None:
            for name, file in (("ca.pem", tls.ca), ("cert.pem", tls.cert), ("key.pem", tls.key)):
                if file:
                    (home / name).symlink_to(file)
            environ |= {"DOCKER_CERT_PATH": str(home), "DOCKER_TLS_VERIFY" if tls.verify else "DOCKER_TLS": "1"}
        yield RunDocker(environ, str(folder), lambda line: None, backend=side.backend)


def built_of(devfile: Devfile, configuration: Configuration, features: FeatureSet | None, docker: RunDocker, side: Side) -> Built:
    """
    Raises:
        AienvError: an image or a feature cannot be had, was refused, or could not be built.
    """
    pinned = _judge_dockerfile(devfile, configuration, docker) if devfile.kind == "dockerfile" else {}
    network = terms.build_network(side.grants)
    how = How(
        cache=side.cache / "devcontainer",
        grants=side.grants,
        fetch=feature_cache(side.environ, side.cache / "features", side.progress.say, terms.closed_network(side.grants)),
        log=lambda line: side.progress.say(line) if not _CHATTER.match(line) else None,
        buildkit="never",  # it has frontends of the Dockerfile's choice, and caches that all builds share
        network="none" if network == "none" else None,
        deadline_s=BUILD_S,
        limits=build_limits(side.limits),
        stands_on=lambda details: _judge_base(details, devfile.path),
    )
    try:
        built = make_image(configuration, features, docker, how)
    except Unasked as problem:
        raise BackendUnavailable(
            f"{devfile.path} needs an image to be built: {problem.message}",
            remedy="install the docker command, or build the image elsewhere and name it with --image",
            code=problem.code,
        ) from problem
    except BuildFailed as problem:
        if network != "none":
            raise
        way = f"what a build runs has no network unless you grant it: --grant {terms.BUILD_NETWORK}; or build it, and use --image"
        raise EnvironmentFailed(problem.message, remedy=way, code=problem.code) from problem
    return replace(built, origins=tuple(_HEX.sub(lambda match: pinned.get(match[0], match[0]), one) for one in built.origins))


def build_limits(limits: Limits) -> tuple[str, ...]:
    """Words for ``docker build``; an engine that cannot keep one says so and goes on. Pure."""
    memory = str(limits.memory_bytes)
    return (
        "--memory", memory, "--memory-swap", memory,  # memory and swap together: no swap at all
        "--cpu-period", str(CPU_PERIOD_US), "--cpu-quota", str(max(1000, int(limits.cpus * CPU_PERIOD_US))),  # less is an error
        "--shm-size", SHM,
    )  # fmt: skip


def _judge_base(details: Object, where: str) -> None:
    """An image below ours: what it has the builder do, the engine does, with the engine's own network and the user's own images."""
    with _refused_as_policy(where):
        judge_triggers(_triggers(details))


def _triggers(details: Object) -> Sequence[str]:
    config = details.get("Config")
    found = config.get("OnBuild") if isinstance(config, dict) else None
    return [str(one) for one in found] if isinstance(found, list) else []


@contextlib.contextmanager
def _refused_as_policy(name: str) -> Iterator[None]:
    try:
        yield
    except Denied as problem:
        denial = problem.denial
        where = f" ({denial.field})" if denial.field else ""
        way = f"allowed: {denial.allowed}; or build" if denial.allowed else "build"
        remedy = f"{way} the image yourself, and name it with --image"
        raise PolicyRefused(f"{name}{where}: {denial.reason}", remedy=remedy, code="devcontainer-build") from None


def _judge_dockerfile(devfile: Devfile, configuration: Configuration, docker: RunDocker) -> Mapping[str, str]:
    """The Dockerfile in our folder, as a guard would let it through: for the classic builder, its images by their ids, nothing fetched.

    Gives the names that stood there, by the digits that stand there now.
    """
    found = recipes.recipe(configuration.config, os.path.dirname(configuration.place.path if configuration.place else "/"))
    assert found is not None
    assert configuration.root is not None
    name = os.path.relpath(os.path.realpath(found.dockerfile), configuration.root)
    data = locate.read_file(os.path.join(configuration.root, name))
    if data is None or name.startswith("../"):
        raise NotFound(f"{devfile.path}: the base commit has no Dockerfile {name!r}", remedy="commit it, or correct build.dockerfile")
    triggers: dict[str, Sequence[str]] = {}
    names: dict[str, str] = {}

    def pinned(image: str) -> str | None:
        details = docker.image(image)
        triggers[image] = _triggers(details)
        names.setdefault(str(details["Id"]).removeprefix("sha256:"), image)
        return str(details["Id"])

    with _refused_as_policy(name):
        judged = judge_dockerfile(data, found.arguments, found.target or "", pinned, MARK)
        for one in triggers.values():
            judge_triggers(one)
    with tree.opened(Path(configuration.root)) as root:
        tree.write_file(root, os.fsencode(name), (judged.text,), executable=False, mtime_s=0.0)
    return names
