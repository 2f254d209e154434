"""The rim of configuration: read files and variables, find out what TASK means, and hand everything to the pure merge.

Two steps, because the repository's own files are read from its base commit, which is only known once the user's side has said
which repository and ref: ``load_user_side`` first, then ``merge`` with a callback that reads from that commit.
"""

import errno
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from orchestrator.config.document import Document, Given, given, read_document
from orchestrator.config.layers import Layer, Policy, Settings, Source, Violation, resolve
from orchestrator.config.names import TASK_NAME
from orchestrator.config.node import SIZE_LIMIT_BYTES, Node, shown, word, words
from orchestrator.config.schema import KEYS, RESERVED_PREFIXES, RESERVED_VARIABLES, VARIABLES, Key, variable_items, variable_names
from orchestrator.config.starter import starter_task
from orchestrator.config.task import task_from
from orchestrator.config.values import VARIABLE_NAME, nearest
from orchestrator.devcontainer import jsonc
from orchestrator.errors import ConfigError, NotFound, UsageError
from orchestrator.model.paths import ORGANISATION_POLICY, Paths
from orchestrator.model.task import TaskSpec

__all__ = ["Loaded", "UserSide", "load_user_side", "merge", "merge_settings", "starter_task"]

REPOSITORY_CONFIG = ".aienv.yaml"
REPOSITORY_TASKS = ".aienv/tasks"
DEVCONTAINERS = (".devcontainer/devcontainer.json", ".devcontainer.json")
_FILE_SUFFIXES = (".yaml", ".yml", ".json")

ReadRepositoryFile = Callable[[str], bytes | None]
ListRepositoryTasks = Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True)
class UserSide:
    """Everything but the repository's own files.

    ``task_name``: a task of the repository, still to be read. ``default_name``: what to call the task when nobody names it.
    ``user_config`` is the file that remedies name.
    """

    sources: tuple[Source, ...]
    policy: Policy | None
    task_name: str | None
    default_name: str | None
    warnings: tuple[str, ...]
    user_config: str

    @property
    def repo(self) -> str | None:
        """Which repository; None: the one around the current folder. A repository cannot change it, so it is known now."""
        return cast(str | None, self._trusted()["repo"].value)

    @property
    def ref(self) -> str | None:
        """Which ref; None: what is checked out."""
        return cast(str | None, self._trusted()["ref"].value)

    @property
    def grants(self) -> tuple[str, ...]:
        """What dev containers may have, ``devcontainer.grants``."""
        return cast(tuple[str, ...], self._trusted()["devcontainer.grants"].value)

    def _trusted(self) -> Settings:
        return resolve(self.sources, self.policy, self.user_config)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The task, where each of its values comes from, what was asked for in vain, and what people should know."""

    task: TaskSpec
    settings: Settings
    violations: tuple[Violation, ...]
    warnings: tuple[str, ...]


def load_user_side(
    paths: Paths,
    environ: Mapping[str, str],
    flags: Mapping[str, object],
    task_arg: str | None,
    command: Sequence[str],
    cwd: Path,
    *,
    organisation: Path = ORGANISATION_POLICY,
) -> UserSide:
    """Read the organisation's policy, the user's configuration, the task file, the variables and the flags.

    ``flags``: dotted keys with text, bool, number or list of text; None and an empty list mean that the flag was not given.
    ``command``: the words after ``--``. TASK (``task_arg``) is a file when it looks like a path, the prompt when it has blanks
    in it, else the name of a task of the repository. A file in a folder ``.aienv/tasks`` is the repository's, named or not.

    Raises:
        ConfigError: a file, variable or flag is wrong.
        UsageError: TASK is none of the three, or two of them are given.
        NotFound: the task file does not exist.
    """
    policy_document = _optional_file(organisation, "policy")
    user_document = _optional_file(paths.user_config, "config")
    prompt, task_file, task_name = _meaning_of_task(task_arg, cwd)
    variables, warnings = _from_environ(environ)
    sources = [
        Source("flags", _from_flags(flags, prompt, tuple(command), environ)),
        Source("environment", variables),
    ]
    for layer, document in (("organisation", policy_document), ("user", user_document)):
        if document is not None:
            sources.append(Source(cast(Layer, layer), document.values))
    if task_file is not None:
        sources.append(_task_source(task_file, cast(str, task_arg)))
    folders: dict[Layer, Path] = {"organisation": organisation.parent, "user": paths.config}
    if task_file is not None:
        folders["task file"] = folders["repository task"] = task_file.parent
    return UserSide(
        sources=tuple(_with_absolute_repo(source, folders.get(source.layer, cwd), environ.get("HOME")) for source in sources),
        policy=Policy(str(organisation), policy_document.locked) if policy_document else None,
        task_name=task_name,
        default_name=task_name or (task_file.stem if task_file else None),
        warnings=tuple(warnings),
        user_config=str(paths.user_config),
    )


def merge_settings(
    user_side: UserSide,
    read_repository_file: ReadRepositoryFile,
    list_repository_tasks: ListRepositoryTasks = lambda: (),
) -> Settings:
    """All layers together. ``read_repository_file`` answers with a file of the base commit, None where it is missing.

    Raises:
        ConfigError: a file of the repository is wrong.
        NotFound: the repository has no task of that name.
    """
    sources = list(user_side.sources)
    if (customized := _customizations(read_repository_file)) is not None:
        sources.append(Source("repository", customized.values))
    data = read_repository_file(REPOSITORY_CONFIG)  # the later of one layer is the stronger
    if data is not None:
        sources.append(Source("repository", read_document(data, REPOSITORY_CONFIG, "config").values))
    if user_side.task_name is not None:
        sources.append(_repository_task(user_side.task_name, read_repository_file, list_repository_tasks))
    return resolve(sources, user_side.policy, user_side.user_config)


def merge(
    user_side: UserSide,
    read_repository_file: ReadRepositoryFile,
    list_repository_tasks: ListRepositoryTasks = lambda: (),
    *,
    need_agent: bool = True,
) -> Loaded:
    """All layers together, as a task. The caller refuses when there are violations.

    Raises:
        ConfigError: a file of the repository is wrong, or settings contradict each other.
        NotFound: the repository has no task of that name.
    """
    settings = merge_settings(user_side, read_repository_file, list_repository_tasks)
    task = task_from(settings, default_name=user_side.default_name, need_agent=need_agent)
    return Loaded(task, settings, settings.violations, (*user_side.warnings, *settings.warnings))


def _customizations(read: ReadRepositoryFile) -> Document | None:
    """``customizations.aienv`` of the devcontainer.json in its usual place. A file that cannot be read says nothing here: only a run that
    takes its container minds.

    Raises:
        ConfigError: what stands there is no map of settings.
    """
    name, data = next(((name, data) for name in DEVCONTAINERS if (data := read(name)) is not None), ("", b""))
    try:
        value = jsonc.parse(data.decode("utf-8")).value
    except (UnicodeDecodeError, jsonc.BadJson):
        return None
    for key in ("customizations", "aienv"):
        if not isinstance(value, dict) or key not in value:
            return None
        value = value[key]
    return read_document(json.dumps(value).encode(), f"{name} (customizations.aienv)", "config")


def _meaning_of_task(task_arg: str | None, cwd: Path) -> tuple[str | None, Path | None, str | None]:
    """(prompt, file, name): at most one is not None."""
    if task_arg is None:
        return None, None, None
    if not task_arg.strip():
        raise UsageError("TASK is empty", remedy="give a task file, a task name, or a prompt in quotes")
    # A bare word is a name even where a file is called so: in a strange repository the file would be trusted like your own.
    if ("/" in task_arg or task_arg.endswith(_FILE_SUFFIXES)) and _is_file(cwd / task_arg):
        return None, cwd / task_arg, None
    if len(task_arg.split()) > 1:
        return task_arg, None, None
    if "/" in task_arg or task_arg.endswith(_FILE_SUFFIXES):
        raise NotFound(f"there is no task file {shown(task_arg)}", remedy="check the path; a task of the repository is named without .yaml")
    if not TASK_NAME.fullmatch(task_arg):
        raise UsageError(f"{shown(task_arg)} is no task file, no task name and no prompt", remedy="a prompt needs a blank in it")
    return None, None, task_arg


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for a name, or NUL: a prompt, then
        return False


def _task_source(path: Path, label: str) -> Source:
    parts = path.resolve().parent.parts
    ours = parts[-2:] == tuple(REPOSITORY_TASKS.split("/"))
    document = read_document(_read(path), label, "task")
    return Source("repository task" if ours else "task file", document.values)


def _repository_task(name: str, read: ReadRepositoryFile, list_tasks: ListRepositoryTasks) -> Source:
    path = f"{REPOSITORY_TASKS}/{name}.yaml"
    data = read(path)
    if data is None:
        names = sorted(list_tasks())
        have = f"it has {', '.join(shown(other) for other in names[:30])}" if names else "it has none"
        raise NotFound(
            f"the repository has no task {name!r}{nearest(name, names)} ({have}, at its base commit)",
            remedy=f"commit {path}, name a file as ./{name}, or write a prompt with a blank in it",
        )
    return Source("repository task", read_document(data, path, "task").values)


def _optional_file(path: Path, form: str) -> Document | None:
    try:
        data = _read(path)
    except NotFound:
        return None
    return read_document(data, str(path), "policy" if form == "policy" else "config")


def _read(path: Path) -> bytes:
    """At most one byte more than a file may have, so that a large one is refused without being read."""
    try:
        with open(path, "rb", opener=lambda name, mode: os.open(name, mode | os.O_NONBLOCK)) as file:  # a FIFO must not keep us
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path}: is not a file", remedy="put a file there, or remove it")
            return file.read(SIZE_LIMIT_BYTES + 1)
    except OSError as problem:
        if problem.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NotFound(f"there is no file {path}", remedy="check the path") from problem
        # Not to be taken for "no policy": what cannot be read may forbid something.
        raise ConfigError(f"{path}: cannot be read: {problem.strerror}", remedy="make the file readable, or remove it") from problem


def _from_environ(environ: Mapping[str, str]) -> tuple[dict[str, Given], list[str]]:
    found: dict[str, Given] = {}
    warnings = []
    for name in sorted(name for name in environ if name.startswith("AIENV_")):
        if name in RESERVED_VARIABLES or name.startswith(RESERVED_PREFIXES) or not environ[name].strip():
            continue
        key = VARIABLES.get(name)
        if key is None:
            warnings.append(_unknown_variable(name))
            continue
        one = given(key, variable_items(key, environ[name]), name)
        other = found.get(key.name)
        if other is not None and other.value != one.value:
            raise ConfigError(f"{other.where} and {name} set {key.name} to different values", remedy="keep one of them")
        found[key.name] = one
    return found, warnings


def _unknown_variable(name: str) -> str:
    silent = {spelling for key in KEYS.values() if key.separator is None for spelling in variable_names(key)}
    if name in silent:
        return f"the variable {name} has no effect: this key cannot be set by a variable"
    return f"the variable {shown(name)} is not known{nearest(name, VARIABLES)}"


def _from_flags(
    flags: Mapping[str, object], prompt: str | None, command: tuple[str, ...], environ: Mapping[str, str]
) -> dict[str, Given]:
    found: dict[str, Given] = {}
    for name, value in flags.items():
        if name not in KEYS:
            raise UsageError(f"unknown key {shown(name)}{nearest(name, KEYS)}", remedy="aienv config lists all keys")
        key = KEYS[name]
        if value is None or value == [] or value == ():
            continue
        found[name] = given(key, _flag_node(key, value, environ), key.flag or name)
    if prompt is not None:
        if "prompt" in found:
            raise UsageError("two prompts are given", remedy="keep one of them")
        found["prompt"] = given(KEYS["prompt"], word(prompt), "TASK")
    if command:
        if "agent" in found and found["agent"].value != "command":
            raise UsageError(f"a command stands after -- and --agent {found['agent'].value} is given", remedy="drop one of them")
        found["agent"] = given(KEYS["agent"], word("command"), "--")
        found["command"] = given(KEYS["command"], words(command), "--")
    return found


def _flag_node(key: Key, value: object, environ: Mapping[str, str]) -> Node:
    if isinstance(value, bool):
        return Node("truth", str(value).lower())
    if isinstance(value, (list, tuple)):
        return words([_with_value(str(item), environ) if key.merge == "map" else str(item) for item in value])
    return word(str(value))


def _with_value(item: str, environ: Mapping[str, str]) -> str:
    """``--env NAME`` hands the variable of that name on."""
    if "=" in item or not VARIABLE_NAME.fullmatch(item):
        return item
    if item not in environ:
        raise UsageError(f"--env {item}: there is no such variable here", remedy=f"set it, or write --env {item}=VALUE")
    return f"{item}={environ[item]}"


def _with_absolute_repo(source: Source, folder: Path, home: str | None) -> Source:
    """A relative path means relative to the file that says it, or to the current folder; ``~/`` is the home folder."""
    repo = source.values.get("repo")
    text = repo.value if repo is not None else None
    if repo is None or not isinstance(text, str) or ":" in text.partition("/")[0]:  # a URL or host:path
        return source
    base = Path(home) / text[2:] if home and text.startswith("~/") else folder.absolute() / text
    return replace(source, values={**source.values, "repo": replace(repo, value=os.path.normpath(base))})
