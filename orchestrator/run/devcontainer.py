"""The environment that a repository's devcontainer.json describes, resolved before the plan: read from the base commit, judged, built.

What a build reads is written from the mirror into a folder of ours: what a commit holds nobody changes under our hands.
"""

import contextlib
import os
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.devcontainer import ids
from orchestrator.devcontainer.features.feature import Feature, Local
from orchestrator.devcontainer.features.resolve import FeatureSet
from orchestrator.devcontainer.images.image import Built
from orchestrator.devcontainer.jsonc import Object
from orchestrator.devcontainer.load import Configuration
from orchestrator.devcontainer.locate import Place
from orchestrator.devcontainer.merge import merge
from orchestrator.devcontainer.policy import container, dockerfeatures, localenv
from orchestrator.devcontainer.policy.container import Entry, Final, WorkspaceGround
from orchestrator.devcontainer.policy.grants import NONE
from orchestrator.devcontainer.policy.verdict import refuse
from orchestrator.devcontainer.variables import id_pass, local_pass
from orchestrator.devcontainer.wanted import wanted_features
from orchestrator.devcontainer.workspace import Workspace
from orchestrator.model.codec import digest
from orchestrator.model.devcontainer import DevcontainerPlan, FeaturePlan, UserPlan
from orchestrator.model.plan import ImagePlan
from orchestrator.repos.gitcmd import git
from orchestrator.run import devcontainer_terms as terms
from orchestrator.run.devbuild import Side, built_of, docker_of
from orchestrator.run.devfile import Devfile, Source, is_folder, known, places, within
from orchestrator.run.exported import exported
from orchestrator.run.files import write_atomically


@dataclass(frozen=True, slots=True)
class Taken:
    """``plan.notes`` are for the report; ``warnings`` for whoever plans."""

    image: ImagePlan
    plan: DevcontainerPlan
    wants_docker: bool
    warnings: tuple[str, ...]


def take(source: Source, devfile: Devfile, side: Side) -> Taken:
    """Build what must be built, and settle what a run takes of the configuration.

    Raises:
        ConfigError: it says what makes no sense. PolicyRefused: it asks for what was not granted, or what a run never gives.
        EnvironmentFailed: an image or a feature cannot be had, or a build failed.
    """
    warnings: list[str] = list(devfile.warnings)
    wanted = places(devfile, source)
    with exported(source.mirror.git_dir, source.commit, wanted, source.hidden) as (folder, notes), docker_of(side, folder) as docker:
        configuration = _configuration(devfile, source, folder, side)
        own = [Entry("devcontainer.json", configuration.config)]
        _judge(own, configuration.config, source, side)  # the file alone, before anything is fetched for it
        features = _features(configuration, side, warnings.append)
        built = built_of(devfile, configuration, features, docker, side)
        feature_plans = tuple(_feature_plan(one, folder, source) for one in (features.features if features else ()))
    image = side.backend.resolve_image(built.image)
    assert image is not None
    return _settled(source, devfile, side, configuration, built, image, feature_plans, (*notes, *dict.fromkeys(warnings)))


def _settled(
    source: Source,
    devfile: Devfile,
    side: Side,
    configuration: Configuration,
    built: Built,
    image: ImagePlan,
    features: tuple[FeaturePlan, ...],
    warnings: tuple[str, ...],
) -> Taken:
    """What the merged configuration comes to."""
    origins = built.origins
    asked = [Entry(origin, configuration.substituted(entry)) for entry, origin in zip(built.entries, origins, strict=True)]
    without_docker = dockerfeatures.satisfied(asked)
    final, said = _judge(without_docker.entries, configuration.config, source, side)
    entries = [one.values for one in without_docker.entries]
    merged = merge(configuration.config, entries)
    env, unset, env_notes = terms.environment(merged, final.env, image.env, localenv.visible(side.environ, side.grants))
    user, user_notes = _user(merged, final, built, image, side)
    folder, folder_notes = terms.place_of(configuration.config, source.workspace)
    if folder != source.workspace and not is_folder(source, folder):
        folder, folder_notes = source.workspace, (f"workspaceFolder {folder!r} is not in the base commit",)
    unseen = localenv.notes(localenv.asked(devfile.raw, *built.entries), side.environ, side.grants)
    left = terms.left_out(final, merged, configuration.config, source.workspace)
    plan = DevcontainerPlan(
        path=devfile.path,
        digest=digest({"file": devfile.raw, "merged": {**merged, "build": None}}),  # build names a folder that is gone by now
        kind="image" if devfile.kind == "image" else "dockerfile",
        features=features,
        user=user,
        env=env,
        unset=unset,
        folder=folder,
        hooks=terms.hooks(entries, [one.origin for one in without_docker.entries]),
        granted=side.words,
        network=terms.build_network(side.grants),
        notes=tuple(dict.fromkeys((*said, *unseen, *without_docker.notes, *left, *user_notes, *folder_notes, *env_notes))),
    )
    return Taken(image, plan, without_docker.wants_docker, warnings)


def _judge(entries: Sequence[Entry], config: Object, source: Source, side: Side) -> tuple[Final, tuple[str, ...]]:
    ground = WorkspaceGround((source.workspace,))
    bare, granted = (container.judge(entries, config, ground, grants) for grants in (NONE, side.grants))
    refused, notes = terms.settle(bare.findings, granted.findings)
    refuse(refused)
    return granted.final, notes


def _configuration(devfile: Devfile, source: Source, folder: Path, side: Side) -> Configuration:
    """With all variables that are known before a container is there; paths of the Dockerfile lead into ``folder``."""
    seen = known(devfile, source, localenv.visible(side.environ, side.grants))
    identity = ids.devcontainer_id(ids.default_labels(source.location, devfile.path))
    raw = within(devfile, source, folder)
    start = Configuration(
        raw=raw,
        config=raw,
        passes=(),
        root=str(folder),
        place=Place(str(folder / devfile.path), "file"),
        workspace=Workspace(source.workspace, None),
    )
    return start.then(local_pass(seen)).then(id_pass(identity))


def _features(configuration: Configuration, side: Side, warn: Callable[[str], None]) -> FeatureSet | None:
    if not configuration.config.get("features"):
        return None
    return wanted_features(configuration, {}, side.environ, side.cache / "features", warn, closed=terms.closed_network(side.grants))


def _feature_plan(feature: Feature, folder: Path, source: Source) -> FeaturePlan:
    if not isinstance(feature.source, Local):
        return FeaturePlan(feature.written, feature.source.digest)
    below = os.path.relpath(feature.source.place, folder)
    asked = git(("rev-parse", "--verify", "--quiet", f"{source.commit}:{below}"), git_dir=source.mirror.git_dir, check=False)
    return FeaturePlan(feature.written, f"git:{asked.text}")


# --- the user ---------------------------------------------------------------------------------------------------------------------


def _user(merged: Object, final: Final, built: Built, image: ImagePlan, side: Side) -> tuple[UserPlan, tuple[str, ...]]:
    asked = [merged.get("remoteUser"), merged.get("containerUser"), final.user, built.user]
    name = next((one for one in asked if isinstance(one, str) and one), "")
    if name.partition(":")[0] in ("", "root", "0"):
        return terms.user_of(name, b"", explicit=name not in ("", built.user))
    user, notes = terms.user_of(name, _passwd(image.id, side), explicit=True)
    return replace(user, skeleton=_is_folder_in_image(image.id, user.home, side)), notes


def _passwd(image: str, side: Side) -> bytes:
    engine = side.backend.engine
    return _looked_up(image, "passwd", lambda container: engine.file_in(container, "/etc/passwd", terms.MAX_PASSWD) or b"", side)


def _is_folder_in_image(image: str, home: str, side: Side) -> bool:
    """A folder itself: through a link the image would choose which folder of its container a run's home begins as."""
    engine = side.backend.engine
    places = (posixpath.dirname(home), home)

    def look(container: str) -> bytes:
        return b"folder" if all(engine.is_folder_in(container, place) for place in places) else b""

    return bool(_looked_up(image, f"home-{posixpath.basename(home)}", look, side))


def _looked_up(image: str, name: str, look: Callable[[str], bytes], side: Side) -> bytes:
    """Something of an image's files; looked up once, since an id always means the same files."""
    kept = side.cache / "devcontainer" / "looked-up" / f"{image.removeprefix('sha256:')}-{name}"
    with contextlib.suppress(FileNotFoundError):
        return kept.read_bytes()
    with side.backend.engine.unstarted(image) as container:
        found = look(container)
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(kept, found)
    return found
