"""A compose project as it is run: what ``compose config`` printed, with one service made a dev container. Pure.

One file that was judged is what runs; no file of the repository is read a second time.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.config.node import Node
from orchestrator.config.yamlfile import parse_yaml
from orchestrator.devcontainer import ids
from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.life.startup import Made, start_script
from orchestrator.devcontainer.policy.csvline import BadLine, split
from orchestrator.errors import ConfigError

OWN = "aienv-devcontainer/compose"
_NOT_IN_NAMES = re.compile(r"[^-_a-z0-9]")
_MOUNT_KEYS = {"src": "source", "destination": "target", "dst": "target"}


@dataclass(frozen=True, slots=True)
class Project:
    """``document``: the whole of it; ``service``: the one that becomes the dev container."""

    document: Object
    service: str

    @property
    def table(self) -> Object:
        services = self.document.get("services")
        found = services.get(self.service) if isinstance(services, dict) else None
        if not isinstance(found, dict):
            raise ConfigError(f"Service '{self.service}' configured in devcontainer.json not found in Docker Compose configuration.")
        return found

    def text(self, key: str) -> str | None:
        value = self.table.get(key)
        return value if isinstance(value, str) and value else None

    def volume(self, name: str, project: str) -> str:
        """As the engine will know a volume: compose puts the project before those that have no name of their own."""
        volumes = self.document.get("volumes")
        if not isinstance(volumes, dict) or name not in volumes:
            return name
        told = volumes[name]
        return name if isinstance(told, dict) and (told.get("name") or told.get("external")) else f"{project}_{name}"

    @property
    def is_built(self) -> bool:
        return bool(self.table.get("build"))

    def argv(self, key: str) -> tuple[str, ...] | None:
        """``entrypoint`` or ``command``; None where the service does not say. A text was split by compose, or is one word for a shell."""
        value = self.table.get(key)
        if value is None:
            return None
        if isinstance(value, list):
            return tuple(_unescaped(str(word)) for word in value)
        return tuple(_unescaped(word) for word in str(value).split())


def read_project(config: bytes, service: str) -> Project:
    """
    Raises:
        ConfigError: it is no YAML, or has no such service.
    """
    value = plain(parse_yaml(config, "compose config", aliases=True))
    project = Project(value if isinstance(value, dict) else {}, service)
    project.table  # noqa: B018 - it must be there
    return project


def plain(node: Node) -> Json:
    """As JSON, which compose reads as well."""
    match node.kind:
        case "map":
            return {name: plain(value) for name, value in node.members}
        case "list":
            return [plain(item) for item in node.items]
        case "integer":
            return int(node.text, 0 if re.match("[-+]?0[xo]", node.text) else 10)
        case "number":
            return float(node.text)
        case "truth":
            return node.text.lower() == "true"
        case "nothing":
            return None
        case _:
            return node.text


def project_name(
    environ: Mapping[str, str], env_file: Mapping[str, str], document: Object, first_file: str, is_written: bool = False
) -> str:
    """The name as the reference chooses it. ``first_file``: absolute. ``is_written``: a compose file says it: if none does, compose itself
    calls what lies in ``.devcontainer`` just that."""
    folders = first_file.split("/")[1:-1]
    of_folder = folders[-1] if folders else ""
    if of_folder == ".devcontainer" and len(folders) > 1:
        of_folder = f"{folders[-2]}_devcontainer"
    named = document.get("name")
    chosen = environ.get("COMPOSE_PROJECT_NAME") or env_file.get("COMPOSE_PROJECT_NAME")
    if not chosen and isinstance(named, str) and (is_written or named not in ("devcontainer", plain_name(folders[-1] if folders else ""))):
        chosen = named
    return plain_name(chosen or of_folder) or "default"


def writes_name(compose_file: bytes) -> bool:
    """Whether it says the project's name. One that only compose can read (it may have tags of its own) counts as silent."""
    try:
        return any(key == "name" and value.kind != "nothing" for key, value in parse_yaml(compose_file, "compose", aliases=True).members)
    except ConfigError:
        return False


def plain_name(text: str) -> str:
    return _NOT_IN_NAMES.sub("", text.lower()).lstrip("-_")


def as_named(project: Project, name: str) -> Project:
    """What compose named after the folder, or after ``name:``, named after the project that is run: else all projects whose files lie in
    a folder ``.devcontainer`` would share their volumes and networks."""
    before = project.document.get("name")
    changed: Object = {}
    for kind in ("volumes", "networks", "configs", "secrets"):
        tables = project.document.get(kind)
        if isinstance(tables, dict):
            changed[kind] = {
                key: {**table, "name": f"{name}_{key}"}
                if isinstance(table, dict) and table.get("name") == f"{before}_{key}" and not table.get("external")
                else table
                for key, table in tables.items()
            }
    return Project({**project.document, **changed, **({"name": name} if before is not None else {})}, project.service)


def with_ports(project: Project, ports: Mapping[str, Sequence[Json]]) -> Project:
    """``ports``: by service, in place of its own."""
    services = _table(project.document.get("services"))
    changed: Object = {name: {**_table(services[name]), "ports": [*listed]} for name, listed in ports.items()}
    return Project({**project.document, "services": {**services, **changed}}, project.service)


def without_restart(project: Project) -> tuple[Project, tuple[str, ...]]:
    """No service starts again by itself: the engine would resolve its mounts again when nobody looks. Also whose restart is left out."""
    services = _table(project.document.get("services"))
    changed: Object = {}
    for name, table in services.items():
        found = dict(_table(table))
        deploy = _table(found.get("deploy"))
        if found.pop("restart", "no") in ("no", None) and "restart_policy" not in deploy:
            continue
        if "deploy" in found:
            found["deploy"] = {key: value for key, value in deploy.items() if key != "restart_policy"}
        changed[name] = found
    return Project({**project.document, "services": {**services, **changed}}, project.service), tuple(changed)


def exposed_mounts(project: Project) -> list[tuple[str, str, str]]:
    """(service, source, other service): folders of this machine that a service mounts, and another one can put a link in the place of,
    because it may write the folder above. Services start one after the other, and each mount is resolved when its service starts."""
    binds = {name: list(_binds(table)) for name, table in _table(project.document.get("services")).items()}
    return [
        (name, source, other)
        for name, listed in binds.items()
        for source, _ in listed
        for other, theirs in binds.items()
        if other != name and any(writable and source.startswith(f"{above.rstrip('/')}/") for above, writable in theirs)
    ]


def _binds(service: Json) -> Iterator[tuple[str, bool]]:
    """Sources that are folders of this machine, and whether they may be written."""
    for one in _list(_table(service).get("volumes")):
        if isinstance(one, dict) and one.get("type") == "bind":
            yield str(one.get("source")), one.get("read_only") is not True
        elif isinstance(one, str) and one.startswith("/") and ":" in one:
            source, _, rest = one.partition(":")
            yield source, "ro" not in rest.partition(":")[2].split(",")


def with_own_images(project: Project, folder: str, name: str) -> Project:
    """What is built has a name of ours: the one in ``image`` may be that of an image which others use."""
    services = _table(project.document.get("services"))
    changed: Object = {
        service: {**table, "image": f"{OWN}:{_digest(folder, name, service)}"}
        for service, table in services.items()
        if isinstance(table, dict) and table.get("build")
    }
    return Project({**project.document, "services": {**services, **changed}}, project.service)


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()[:32]


def with_container(project: Project, made: Made, *, argv: Sequence[str], command: Sequence[str] | None) -> Object:
    """The document whose service is the dev container. ``argv``: for the start script; ``command``: None leaves the service's own."""
    table: Object = {
        **project.table,
        "entrypoint": [_escaped(word) for word in ("/bin/sh", "-c", start_script(made.entrypoints), "-", *argv)],
        "environment": {**_table(project.table.get("environment")), **{name: _escaped(value) for name, value in made.environ.items()}},
        "labels": {**_table(project.table.get("labels")), **{name: _escaped(value) for name, value in made.labels.items()}},
    }
    if command is not None:
        table["command"] = [_escaped(word) for word in command]
    if made.image:
        table["image"] = made.image
        table.pop("build", None)
    if made.user:
        table["user"] = made.user
    for key, wanted in (("init", made.final.init), ("privileged", made.final.privileged)):
        if wanted:
            table[key] = True
    for key, listed in (("cap_add", made.final.cap_add), ("security_opt", made.final.security_opt)):
        if listed:
            table[key] = [*_list(project.table.get(key)), *listed]
    volumes, named = _volumes([*made.final.mounts, *made.mounts])
    if volumes:
        table["volumes"] = [*_list(project.table.get("volumes")), *volumes]
    services = project.document["services"]
    assert isinstance(services, dict)
    found: Object = {**project.document, "services": {**services, project.service: table}}
    found["volumes"] = {name: _labelled(told, made.labels) for name, told in _table(project.document.get("volumes")).items()}
    if named:
        found["volumes"] = {**{name: _labelled(told, made.labels) for name, told in named.items()}, **_table(found["volumes"])}
    return found


def _labelled(volume: Json, labels: Mapping[str, str]) -> Json:
    """A volume of the project, with the label by which it is known whose it is."""
    table = _table(volume)
    if table.get("external"):
        return volume
    own = {name: _escaped(value) for name, value in labels.items() if name == ids.OF_FOLDER}
    return {**table, "labels": {**_table(table.get("labels")), **own}}


def _volumes(mounts: Sequence[str]) -> tuple[list[Json], Object]:
    """In compose's short form, which every version knows, and the volumes among them that have a name."""
    found: list[Json] = []
    named: Object = {}
    for mount in mounts:
        fields = _mount_fields(mount)
        kind, source, target = (fields.get(key, "") for key in ("type", "source", "target"))
        if kind == "tmpfs":
            found.append({"type": "tmpfs", "target": _escaped(target)})
            continue
        if kind == "volume" and source:
            named[source] = {"external": True} if fields.get("external") == "true" else None
        read_only = ":ro" if "readonly" in fields or "ro" in fields else ""
        found.append(_escaped(f"{source}:{target}{read_only}" if source else target))
    return found, named


def _mount_fields(mount: str) -> Mapping[str, str]:
    """As docker reads ``--mount``: quotes hold a field with commas together, and a value may have ``=`` in it."""
    try:
        words = split(mount)
    except BadLine:
        words = mount.split(",")
    pairs = (word.partition("=") for word in words)
    return {_MOUNT_KEYS.get(name, name): value for name, _, value in pairs}


def _escaped(text: str) -> str:
    """Compose replaces variables in what it reads."""
    return text.replace("$", "$$")


def _unescaped(text: str) -> str:
    return text.replace("$$", "$")


def _table(value: Json) -> Object:
    """A table, or a list of ``NAME=value``; a name alone has no value."""
    if isinstance(value, list):
        pairs = (str(word).partition("=") for word in value)
        return {name: given if equals else None for name, equals, given in pairs}
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
