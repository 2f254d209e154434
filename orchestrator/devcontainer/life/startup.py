"""How the container itself is started: what its first process is, and the words for ``docker run``. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.policy.container import Final


@dataclass(frozen=True, slots=True)
class Made:
    """A container as the policy left it. ``mounts``: the workspace's, as for ``--mount``; ``argv``: for the start script."""

    image: str
    labels: Mapping[str, str]
    environ: Mapping[str, str] = field(repr=False)
    user: str | None
    mounts: Sequence[str]
    final: Final
    entrypoints: Sequence[str]
    argv: Sequence[str] = ()
    gpus: bool = False


def start_script(entrypoints: Sequence[str]) -> str:
    """What a container does: each entrypoint of a feature, then its own command if it has one, then nothing until it is stopped."""
    return "\n".join([
        "echo Container started",
        'trap "exit 0" 15',
        *(entrypoints or [""]),
        'exec "$@"',
        "while sleep 1 & wait $!; do :; done",
    ])  # fmt: skip


def run_words(made: Made, variables: Sequence[str]) -> tuple[str, ...]:
    """For ``docker run``, without the program. ``variables``: the options that give ``made.environ``."""
    return (
        "run", "-d",
        *_each("--mount", made.mounts),
        *_each("-l", [f"{name}={value}" for name, value in made.labels.items()]),
        *variables,
        *(("-u", made.user) if made.user else ()),
        *(("--gpus", "all") if made.gpus else ()),
        *made.final.words(),
        "--entrypoint", "/bin/sh", made.image, "-c", start_script(made.entrypoints), "-", *made.argv,
    )  # fmt: skip


def own_argv(image: Object) -> tuple[str, ...]:
    """ENTRYPOINT and CMD of an image, for a container that keeps them."""
    return (*list_at(image, "Entrypoint"), *list_at(image, "Cmd"))


def list_at(image: Object, key: str) -> tuple[str, ...]:
    """A list of texts in an image's or container's ``Config``."""
    config = image.get("Config")
    value = config.get(key) if isinstance(config, dict) else None
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def texts_of(value: Json) -> tuple[str, ...]:
    """The texts of a list; what is no list has none."""
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]
