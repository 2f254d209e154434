"""The reference's ``templates apply``: its words. Pure."""

from collections.abc import Mapping, Sequence

from orchestrator.devcontainer.options import Option

SHORT: Mapping[str, str] = {"-w": "--workspace-folder", "-t": "--template-id", "-a": "--template-args", "-f": "--features"}

TEMPLATES_APPLY: Mapping[str, Option] = {
    "workspace-folder": Option("text", "Where to write.  [default: here]"),
    "template-id": Option("text", "REGISTRY/NAMESPACE/NAME[:TAG], a folder, or the name of one of our own; must be given."),
    "template-args": Option("text", "Values of its options, as a JSON object of texts."),
    "features": Option("text", 'Features to add, as a JSON list of {"id": ..., "options": {...}}.'),
    "omit-paths": Option("text", "What to leave out, as a JSON list of paths; FOLDER/* is all below it."),
    "log-level": Option("text", "What goes to standard error.", choices=("info", "debug", "trace")),
    "tmp-dir": Option("text", "A folder for temporary files.", unused="files are made where they will stay"),
    "oci-auth-hardening": Option("switch", "Be strict with registries.", unused="credentials go to the registry's own host in any case"),
    "allow-cross-origin-auth-host": Option("text", "A registry's other host.", many=True, unused="registries have no exceptions here"),
}


def long(words: Sequence[str]) -> tuple[str, ...]:
    """``-w DIR`` is ``--workspace-folder DIR``, for ``orchestrator.devcontainer.options.parse``."""
    found: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        found.append(SHORT[name] + equals + value if name in SHORT else word)
    return tuple(found)
