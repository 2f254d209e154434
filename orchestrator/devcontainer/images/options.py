"""The options of ``devcontainer build``: the reference's own, and ours. Pure."""

from collections.abc import Mapping

from orchestrator.devcontainer.options import Option

BUILD: Mapping[str, Option] = {
    "workspace-folder": Option("text", "The folder.  [default: here]"),
    "config": Option("text", "Its file.  [default: .devcontainer/devcontainer.json or .devcontainer.json]"),
    "grant": Option("text", "Allow what a configuration may not have by itself, such as mount:/home/me/data; may be repeated.", many=True),
    "image-name": Option("text", "A name for the image; may be repeated.  [default: one of ours]", many=True),
    "no-cache": Option("switch", "Build without a cache."),
    "cache-from": Option("text", "An image to take layers from; may be repeated.", many=True),
    "cache-to": Option("text", "Where BuildKit puts its cache."),
    "buildkit": Option("text", "Whether BuildKit is used.", choices=("auto", "never")),
    "platform": Option("text", "The platform to build for."),
    "label": Option("text", "One more label NAME=VALUE of the image; may be repeated.", many=True),
    "push": Option("switch", "Push the names given with --image-name to their registries."),
    "output": Option("text", "Where else the image goes; it stays in the engine here, docker save brings it out."),
    "additional-features": Option("text", "More features, as a JSON object."),
    "no-lockfile": Option("switch", "Look at no lock file."),
    "frozen-lockfile": Option("switch", "Take just what the lock file says, or fail."),
    "write-lockfile": Option("switch", "Write the lock file beside the configuration."),
    "experimental-lockfile": Option("switch", "An older name.", older_of="write-lockfile"),
    "experimental-frozen-lockfile": Option("switch", "An older name.", older_of="frozen-lockfile"),
    "docker-path": Option("text", "The docker command."),
    "docker-compose-path": Option("text", "The docker-compose command, where docker has no compose."),
    "log-level": Option("text", "What goes to standard error.", choices=("info", "debug", "trace")),
    "log-format": Option("text", "How it is written.", choices=("text", "json")),
    "user-data-folder": Option("text", "A folder for data that last.", unused="what lasts lies in our own folders"),
    "skip-feature-auto-mapping": Option("switch", "For tests of the reference.", unused="names without a registry are never mapped"),
    "skip-persisting-customizations-from-features": Option("switch", "Leave them out of the label."),
    "omit-syntax-directive": Option("switch", "For tests of the reference.", unused="none is added"),
    "oci-auth-hardening": Option("switch", "Be strict with registries.", unused="credentials go to the registry's own host in any case"),
    "allow-cross-origin-auth-host": Option("text", "A registry's other host.", many=True, unused="registries have no exceptions here"),
}
