"""What is known of a container before anything is done with it: its configuration, its labels, its session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.devcontainer import ids
from orchestrator.devcontainer.engine import Docker, container_environ, image_labels
from orchestrator.devcontainer.finding import Found, Wanted
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.life.guarded import Guards
from orchestrator.devcontainer.life.hooks import ONCE
from orchestrator.devcontainer.life.record import Records
from orchestrator.devcontainer.life.session import Log, Session, Settings
from orchestrator.devcontainer.load import Configuration, load
from orchestrator.devcontainer.metadata import OF_CONFIG, OF_CONFIG_LATER, pick, read_label
from orchestrator.devcontainer.policy import localenv
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.variables import container_pass, environ_of, id_pass, substitute

CONFIG_ORIGIN = "devcontainer.json"


@dataclass(frozen=True, slots=True)
class Rim:
    """What it works with. ``environ``: the caller's, of which a configuration sees what was granted."""

    environ: Mapping[str, str] = field(repr=False)
    docker: Docker
    records: Records
    guards: Guards
    log: Log


def read(wanted: Wanted, grants: Grants, rim: Rim) -> tuple[Configuration, Mapping[str, str]]:
    """The configuration with its own id, and the labels of its container. Variables of this machine are seen where they were granted.

    Raises:
        ConfigError: the file cannot be understood.
    """
    configuration = load(wanted.file, localenv.visible(rim.environ, grants))
    for warning in configuration.warnings:
        rim.log.warn(warning)
    for note in localenv.notes(localenv.asked(configuration.raw), rim.environ, grants):
        rim.log.warn(note)
    if wanted.id_labels:
        labels = ids.labels_of(wanted.id_labels)
    else:
        labels = ids.default_labels(wanted.file.folder or "", configuration.place.path if configuration.place else None)
    return configuration.then(id_pass(ids.devcontainer_id(labels))), labels


def session_of(
    found: Found, configuration: Configuration, settings: Settings, rim: Rim, *, features: Sequence[Object] = ()
) -> Session:
    """What is known of a container, for commands in it: its label's entries and what of the file still counts."""
    assert found.container is not None
    environ = environ_of(container_environ(found.container))
    known = configuration.then(container_pass(environ))
    labels = image_labels(found.container)
    label = read_label(labels)
    if label.problem:
        rim.log.warn(label.problem)
    own = [known.substituted(one) for one in label.entries]
    of_file = pick(known.config, OF_CONFIG_LATER if own and _all_in(found.labels, labels) else OF_CONFIG)
    entries = [*own, *(known.substituted(one) for one in features), *([of_file] if of_file else [])]
    origins = [_origin(entry) for entry in own]
    owed: Object = {}
    if own and _all_in(found.labels, labels) and "id" not in own[-1]:
        origins[-1] = CONFIG_ORIGIN
        owed = _owed(own[-1], known.config)
    origins += [_origin(one) for one in features] + ([CONFIG_ORIGIN] if of_file else [])
    entries = [_object(substitute(entry, container_pass(environ))) for entry in entries]
    with_hooks = [{**entry, **owed} if number == len(own) - 1 else entry for number, entry in enumerate(entries)]
    return Session(rim.docker, Found(found.container, found.labels), known, entries, with_hooks, origins, rim.records, settings, rim.log)


def _owed(entry: Object, config: Object) -> Object:
    """Hooks of ``entry``, which the file once gave, as the file has them now: one that failed can be corrected there."""
    if not pick(config, OF_CONFIG):
        return {}
    return {hook: config.get(hook) for hook, since in ONCE.items() if since == "created" and hook in entry}


def configurations(session: Session, plain: bool, merged: bool) -> Object:
    """What ``--include-configuration`` and ``--include-merged-configuration`` add."""
    configuration = session.configuration
    found: Object = {}
    if plain:
        found["configuration"] = configuration.placed(configuration.config)
    if merged:
        found["mergedConfiguration"] = configuration.placed(session.merged)
    return found


def _all_in(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(name) for name in wanted)


def _origin(entry: Object) -> str:
    name = entry.get("id")
    return f"Feature '{name}'" if isinstance(name, str) else "the image"


def _object(value: Json) -> Object:
    assert isinstance(value, dict)
    return value
