"""``build.options``: words for ``docker build``, of engines 20.10 to 28 and its plugin buildx, judged and written anew. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.devcontainer.jsonc import Json
from orchestrator.devcontainer.policy.asks import Ask, Need, never, settle
from orchestrator.devcontainer.policy.grants import Grants
from orchestrator.devcontainer.policy.mounts import read_needs
from orchestrator.devcontainer.policy.options import Row, Rule, asks, dropped, fine, fine_if, needs, refused, written
from orchestrator.devcontainer.policy.runargs import is_ours
from orchestrator.devcontainer.policy.verdict import Finding, WorkspaceGround

KIND = "build-option"


@dataclass(frozen=True, slots=True)
class BuildVerdict:
    """``options``: to be given to ``docker build`` in place of the file's; only to be used without findings."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    options: tuple[str, ...]


def judge(options: Json, grants: Grants, origin: str = "devcontainer.json") -> BuildVerdict:
    """``options``: ``build.options`` as it stands in the file, variables replaced. Never raises: what cannot be read is a finding."""
    words: Sequence[Json] = options if isinstance(options, list) else [] if options is None else [options]
    asked: list[Ask] = [] if isinstance(options, (list, type(None))) else [never("build.options", "it is no list")]
    asked += asks(words, WorkspaceGround(()), ROWS, KIND)
    settled = settle(((origin, ask) for ask in asked), grants)
    return BuildVerdict(settled.findings, settled.notes, settled.words("run_args"))


def judge_paths(
    paths: Mapping[str, str], ground: WorkspaceGround, grants: Grants, origin: str = "devcontainer.json"
) -> tuple[Finding, ...]:
    """What a build reads of this machine. ``paths``: what it is, for people (``build.context``), to an absolute, clean path."""
    return settle(((origin, Ask(f"{what} {path}", needs=read_needs(path, ground))) for what, path in paths.items()), grants).findings


def _needs(why: str) -> Rule:
    return needs(why, KIND)


def _fine_if(pattern: str, why: str) -> Rule:
    return fine_if(pattern, why, KIND)


def _dropped(why: str, quiet: str | None = None) -> Rule:
    return dropped(why, KIND, quiet=quiet)


def _argument(name: str, value: str, ground: WorkspaceGround) -> Ask:
    variable, equals, _ = value.partition("=")
    if not variable:
        return never(f"--{name} {value}", "it names no argument")
    if equals:
        return Ask(f"--{name} {value}", words=written(name, value))
    why = "an argument without a value has this machine's"
    return Ask(f"--{name} {value}", words=written(name, value), needs=(Need(f"localEnv:{variable}", why),), instead=())


def _label(name: str, value: str, ground: WorkspaceGround) -> Ask:
    if is_ours(value.partition("=")[0]):
        why = "images are found by such labels"
        return Ask(f"--{name} {value}", words=written(name, value), needs=(Need(f"{KIND}:--{name}", why),), instead=())
    return fine(name, value, ground)


_READS = _needs("it reads files of this machine, wherever they are")
_WRITES = _needs("it writes files of this machine, or to a registry")
_CREDENTIALS = _needs("it hands credentials of this machine to the build")
_OURS = "aienv names the image and the Dockerfile itself"
_OTHERS = _needs("it reaches this machine's own network, or names its own addresses")
# An image, or what buildx says of one; a folder of this machine is neither.
CACHE = r"[A-Za-z0-9][A-Za-z0-9._/:@,-]*|type=inline|type=registry,ref=[^,=\"]*|ref=[^,=\"]*,type=registry"

ROWS: Mapping[str, Row] = {
    "add-host": Row(_OTHERS),
    "allow": Row(_needs("it gives the build rights that containers do not have")),
    "annotation": Row(fine),
    "attest": Row(_needs("a program of an image that it names would see the result")),
    "build-arg": Row(_argument),
    "build-context": Row(_READS),
    "builder": Row(_needs("it builds elsewhere")),
    "cache-from": Row(_fine_if(CACHE, "it reads files of this machine")),
    "cache-to": Row(_WRITES),
    "call": Row(refused("nothing would be built")),
    "cgroup-parent": Row(_needs("the build would escape the limits of its group")),
    "check": Row(refused("nothing would be built"), switch=True),
    "compress": Row(fine, switch=True),
    "cpu-period": Row(fine),
    "cpu-quota": Row(fine),
    "cpu-shares": Row(fine, "c"),
    "cpuset-cpus": Row(fine),
    "cpuset-mems": Row(fine),
    "debug": Row(fine, "D", switch=True),
    "device": Row(_needs("it gives devices of this machine to the build")),
    "disable-content-trust": Row(fine, switch=True),
    "file": Row(_dropped(_OURS), "f"),
    "force-rm": Row(fine, switch=True),
    "help": Row(refused("nothing would be built"), switch=True),
    "iidfile": Row(_WRITES),
    "isolation": Row(_fine_if("|default", "it chooses another kind of walls")),
    "label": Row(_label),
    "load": Row(_dropped(_OURS, quiet="true"), switch=True),
    "memory": Row(fine, "m"),
    "memory-swap": Row(fine),
    "metadata-file": Row(_WRITES),
    "network": Row(_fine_if("|none|default|bridge", "it reaches this machine's own network, or other containers")),
    "no-cache": Row(fine, switch=True),
    "no-cache-filter": Row(fine),
    "output": Row(_WRITES, "o"),
    "platform": Row(fine),
    "policy": Row(_READS),
    "progress": Row(fine),
    "provenance": Row(_fine_if("true|false|mode=(min|max)", "it steers what describes the image")),
    "pull": Row(fine, switch=True),
    "push": Row(_WRITES, switch=True),
    "quiet": Row(fine, "q", switch=True),
    "rm": Row(fine, switch=True),
    "sbom": Row(_fine_if("true|false", "a program of an image that it names would see the result")),
    "secret": Row(_CREDENTIALS),
    "security-opt": Row(_needs("it takes away a part of the build's walls")),
    "shm-size": Row(fine),
    "squash": Row(fine, switch=True),
    "ssh": Row(_CREDENTIALS),
    "stream": Row(fine, switch=True),
    "tag": Row(_dropped(_OURS), "t"),
    "target": Row(refused("another stage would be built than was looked at: write build.target")),
    "ulimit": Row(fine),
}
