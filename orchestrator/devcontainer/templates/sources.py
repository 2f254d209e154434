"""Where templates come from: our own, a folder, a registry. What is read is files in memory, and nothing but files.

    python                       our own, part of this package
    ./templates/mine             a folder, also /absolute and ../beside
    ghcr.io/acme/templates/web   in a registry; :TAG or @sha256:... as for features
"""

import contextlib
import difflib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from orchestrator.devcontainer.features import artifact, references
from orchestrator.devcontainer.features.cache import Cache
from orchestrator.devcontainer.features.credentials import find
from orchestrator.devcontainer.features.oci import Registry
from orchestrator.devcontainer.features.references import OciReference
from orchestrator.devcontainer.features.transport import Transport
from orchestrator.devcontainer.templates import manifest
from orchestrator.devcontainer.templates.content import File
from orchestrator.devcontainer.templates.manifest import Manifest
from orchestrator.errors import AienvError, ConfigError, EnvironmentFailed, NotFound

MAX_FILES = 2000
MAX_BYTES = 32 << 20
MAX_DEPTH = 32

TEST = "test.sh"  # of our own templates: for whoever changes the template, not for the project


@dataclass(frozen=True, slots=True)
class Template:
    """``files``: by their path, with those that describe it. ``origin``: where it was read."""

    about: Manifest
    files: Mapping[str, File]
    origin: str


def own() -> tuple[Template, ...]:
    """All of ours, by name."""
    return tuple(_own(_collection() / name) for name in _names())


def fetch(name: str, here: Path, environ: Mapping[str, str], cache: Path, warn: Callable[[str], None]) -> Template:
    """``here``: what a folder's path starts from. ``cache``: the folder of what registries gave before.

    Raises:
        NotFound: there is none of that name.
        ConfigError: a name of no form that we know, or a template that breaks the format.
        EnvironmentFailed: it cannot be fetched.
    """
    if name.startswith(("./", "../", "/")) or name in (".", ".."):
        folder = here / name
        if not folder.is_dir():
            raise NotFound(f"{name!r} is no folder", remedy=f"name the folder that has {manifest.NAME}", code="template-not-found")
        return _in_folder(folder, name)
    if "/" in name:
        with _spoken_of_as_template():
            return _in_registry(name, environ, cache, warn)
    if name not in _names():
        raise _unknown(name)
    return _own(_collection() / name)


def _collection() -> Path:
    """Files of this package; it is never installed as an archive."""
    path = Path(str(resources.files("orchestrator.devcontainer.templates").joinpath("data")))
    if not path.is_dir():
        raise EnvironmentFailed("this installation of aienv has no templates", remedy="install it again", code="templates-missing")
    return path


def _names() -> list[str]:
    return sorted(path.name for path in _collection().iterdir() if (path / manifest.NAME).is_file())


def _own(path: Path) -> Template:
    found = _in_folder(path, path.name)
    return Template(found.about, {name: file for name, file in found.files.items() if name != TEST}, "built in")


def _unknown(name: str) -> NotFound:
    names = _names()
    close = difflib.get_close_matches(name, names, n=1)
    remedy = "aienv templates ls lists ours; a folder is written ./FOLDER, one of a registry REGISTRY/NAMESPACE/NAME"
    perhaps = f", perhaps {close[0]!r}?" if close else f"; there are {', '.join(names)}"
    return NotFound(f"no template {name[:80]!r}{perhaps}", remedy=remedy, code="template-not-found")


def _in_registry(name: str, environ: Mapping[str, str], cache: Path, warn: Callable[[str], None]) -> Template:
    reference = references.parse(name)
    if not isinstance(reference, OciReference):
        raise ConfigError(f"the template {name[:120]!r} is an address of an archive", remedy="name it by REGISTRY/NAMESPACE/NAME")
    registry = Registry(Transport(environ), lambda host: find(host, environ), environ=environ)
    known = Cache(cache, registry, lambda text: warn(_reworded(text)))
    data, digest = known.manifest(reference, None)
    layer = artifact.read(data, name)
    found = _in_folder(known.layer(reference, layer.layer, layer.size), name)
    return Template(found.about, found.files, f"{reference.resource}@{digest}")


@contextlib.contextmanager
def _spoken_of_as_template() -> Iterator[None]:
    """Registries and their cache are those of features, and so are the words of their errors."""
    try:
        yield
    except AienvError as problem:
        problem.message = _reworded(problem.message)
        problem.args = (problem.message,)
        problem.remedy = _reworded(problem.remedy) if problem.remedy else None
        problem.code = problem.code.replace("feature-", "template-")
        raise


def _reworded(text: str) -> str:
    return re.sub(r"\b(a|the|no) feature\b", r"\1 template", text)


# --- files -----------------------------------------------------------------------------------------------------------


def _in_folder(folder: Path, name: str) -> Template:
    files = dict(_files(folder, name))
    about = files.get(manifest.NAME)
    if about is None:
        raise NotFound(f"{name!r} has no {manifest.NAME}", remedy="name the folder of one template", code="template-not-found")
    return Template(manifest.read(about.data, f"{name}/{manifest.NAME}"), files, str(folder))


def _files(folder: Path, name: str) -> Iterator[tuple[str, File]]:
    """Those of each folder before what lies deeper, as an archive has them."""
    left = MAX_BYTES
    for count, path in enumerate(_walk(folder, "", name)):
        if count >= MAX_FILES:
            raise ConfigError(f"the template {name!r} has more than {MAX_FILES} files")
        file = _read(folder, path, left, name)
        left -= len(file.data)
        yield path, file


def _walk(folder: Path, below: str, name: str) -> Iterator[str]:
    if below.count("/") > MAX_DEPTH:
        raise ConfigError(f"the template {name!r} has folders deeper than {MAX_DEPTH} levels")
    try:
        entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
    except OSError as problem:
        raise ConfigError(f"the template {name!r} cannot be read: {problem.strerror}") from None
    for entry in entries:
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            raise ConfigError(f"the template {name!r} holds {below + entry.name!r}, which is a link or no file", remedy="put files there")
    for entry in entries:
        if entry.is_file(follow_symlinks=False):
            yield below + entry.name
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder, f"{below}{entry.name}/", name)


def _read(folder: Path, path: str, left: int, name: str) -> File:
    try:
        # A pipe or a link that took the file's place meanwhile is not waited for, and not followed.
        with open(os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read(left + 1) if stat.S_ISREG(mode) else b""
    except OSError as problem:
        raise ConfigError(f"the template {name!r}: {path!r} cannot be read: {problem.strerror}") from None
    if len(data) > left:
        raise ConfigError(f"the template {name!r} has more than {MAX_BYTES >> 20} MiB")
    return File(data, bool(mode & stat.S_IXUSR))
