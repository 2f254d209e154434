"""A template into a project: fetched, its options chosen, its files filled and written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.devcontainer.jsonc import BadJson, Json, Object, parse
from orchestrator.devcontainer.options import Parsed
from orchestrator.devcontainer.templates import content, edit
from orchestrator.devcontainer.templates.content import File
from orchestrator.devcontainer.templates.sources import Template, fetch
from orchestrator.devcontainer.templates.writing import write
from orchestrator.errors import ConfigError, EnvironmentFailed, NotFound, UsageError


@dataclass(frozen=True, slots=True)
class Request:
    """``template``: as ``sources.fetch`` reads it. ``folder``: absolute, of the project. ``options``: name -> value.

    ``features``: reference -> options, for devcontainer.json. ``omit``: paths of the template, ``FOLDER/*`` is all below.
    ``strict``: options are checked; else whatever is given counts, as in the reference. ``force``: over files that are there.
    ``make``: the project's folder is made if it is missing."""

    template: str
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, Json] = field(default_factory=dict)
    omit: Sequence[str] = ()
    strict: bool = True
    force: bool = False
    make: bool = False


def apply(request: Request, here: Path, environ: Mapping[str, str], cache: Path, warn: Callable[[str], None]) -> Object:
    """Write the files; what the reference prints of it. ``here``, ``environ``, ``cache``: as for ``sources.fetch``.

    Raises:
        AienvError: whatever it is, nothing was written.
    """
    files = prepare(request, fetch(request.template, here, environ, cache, warn), warn)
    return put(request, files)


def prepare(request: Request, template: Template, warn: Callable[[str], None]) -> Mapping[str, File]:
    """The files as they will be. Nothing is read or written.

    Raises:
        UsageError: an option that the template has not, or a value that it does not take.
        ConfigError: the template's own files are wrong.
    """
    about = template.about
    if request.strict:
        values = content.choose(about.options, request.options, content.which(about, request.template))
    else:
        values = content.loosely(about.options, request.options)
    files = dict(content.written(template.files, values, request.omit))
    if not files:
        raise ConfigError(f"nothing is left of {content.which(about, request.template)} to write", remedy="leave out less")
    path = content.configuration_in(tuple(files))
    if path is None:
        if request.features:
            raise ConfigError(f"{content.which(about, request.template)} brings no devcontainer.json that features could be added to")
        return files
    files[path] = _configuration(files[path], request, path, warn)
    return files


def put(request: Request, files: Mapping[str, File]) -> Object:
    """Write ``files``, all or none.

    Raises:
        NotFound: the folder is not there.
        UsageError: files are there already, or something is in the way.
        EnvironmentFailed: the disk does not take them.
    """
    if request.make:
        try:
            request.folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise EnvironmentFailed(f"cannot make {request.folder}: {problem.strerror}", code="template-write") from None
    if not request.folder.is_dir():
        raise NotFound(f"{request.folder} is no folder", remedy="make it, or name another with --workspace-folder")
    write(request.folder, files, force=request.force)
    return {"files": [f"./{path}" for path in files]}


def _configuration(file: File, request: Request, path: str, warn: Callable[[str], None]) -> File:
    """devcontainer.json with features; and a look whether what the options made of it can be read."""
    try:
        text = file.data.decode("utf-8")
        parse(text)
    except UnicodeDecodeError as problem:
        raise ConfigError(f"the template's {path} is not valid UTF-8, at byte {problem.start}") from None
    except BadJson as problem:
        message = f"with these options the template's {path} is no JSON, {problem}"
        if request.strict or request.features:
            raise ConfigError(message, remedy="see whether a value holds a quotation mark or a backslash") from None
        warn(message)
        return file
    return File(edit.with_features(text, request.features, path).encode("utf-8"), file.executable)


# --- the reference's command line ------------------------------------------------------------------------------------


def request_of(parsed: Parsed, here: Path) -> Request:
    """``parsed``: by ``templates.options.TEMPLATES_APPLY``. Files that are there are overwritten, as there; links are not followed.

    Raises:
        UsageError: an option is missing, or no JSON of its form.
    """
    template = parsed.text("template-id")
    if template is None:
        raise UsageError("Missing required argument: template-id")
    arguments = _json(parsed, "template-args", {})
    if not isinstance(arguments, dict) or not all(isinstance(one, str) for one in arguments.values()):
        raise UsageError("--template-args is no JSON object of texts")
    omit = _json(parsed, "omit-paths", [])
    if not isinstance(omit, list) or not all(isinstance(one, str) for one in omit):
        raise UsageError("--omit-paths is no JSON list of texts")
    return Request(
        template,
        here / (parsed.text("workspace-folder") or "."),
        {name: str(value) for name, value in arguments.items()},
        _features(_json(parsed, "features", [])),
        [str(one) for one in omit],
        strict=False,
        force=True,
        make=True,
    )


def _features(value: Json) -> Mapping[str, Json]:
    found: dict[str, Json] = {}
    for one in value if isinstance(value, list) else [None]:
        name = one.get("id") if isinstance(one, dict) else None
        options = (one.get("options") if isinstance(one, dict) else None) or {}
        if not isinstance(name, str) or not name or not isinstance(options, dict):
            raise UsageError('--features is no JSON list of {"id": NAME, "options": {...}}')
        found[name] = options
    return found


def _json(parsed: Parsed, name: str, default: Json) -> Json:
    text = parsed.text(name)
    if text is None:
        return default
    try:
        return parse(text).value
    except BadJson as problem:
        raise UsageError(f"--{name} is no JSON: {problem}") from None
