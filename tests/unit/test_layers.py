"""Imports point downward, the core knows no clock and no socket, and starting is cheap. See docs/architecture.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "orchestrator"

# From top to bottom. A name covers what lies below it, unless that is named itself; every module must be covered.
LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("cli", ("cli", "__main__")),
    ("recovery", ("recovery",)),
    ("run", ("run",)),
    ("report", ("report",)),
    (
        "rim",
        ("backends", "broker", "repos", "images", "audit.log", "config.load", "launcher.client",
         "launcher.connect", "launcher.dockerrun", "launcher.hook", "launcher.main", "launcher.prelude",
         "harvest.apply", "harvest.deliver", "harvest.inside", "harvest.obstacles", "harvest.outbox", "harvest.putback",
         "harvest.quarantine", "harvest.receive", "presets.resolve", "trees",
         "egress.attempts", "egress.connect", "egress.own_addresses", "egress.pushes",
         "egress.resolver", "egress.server", "egress.session", "egress.sshagent", "egress.tls", "egress.upstream",
         "wire.exchange", "wire.flows", "wire.listener", "wire.loop", "wire.wires",
         "guard.server", "guard.session", "guard.daemon", "guard.pins", "guard.gate", "guard.gate_program", "guard.publish", "guard.launch",
         "guard.uploads", "guard.sweep", "guard.services", "guard.effects",
         "guard.watching", "guard.alone", "guard.masking", "guard.beneath",
         "guard.plain", "guard.marks", "guard.group", "guard.takeback", "guard.takeback_program",
         "secrets.sources", "secrets.trust",
         "agents.fetch", "agents.install", "agents.moved", "agents.own", "agents.pypi", "agents.relock", "agents.unpack",
         "devcontainer.features.cache", "devcontainer.features.credentials", "devcontainer.features.lockfile", "devcontainer.features.oci",
         "devcontainer.features.resolve", "devcontainer.features.transport", "devcontainer.features.unpack",
         "devcontainer.images.building", "devcontainer.images.command", "devcontainer.images.context", "devcontainer.images.image",
         "devcontainer.images.remoteuid", "devcontainer.images.runner",
         "devcontainer.locate", "devcontainer.load", "devcontainer.engine", "devcontainer.readconfig", "devcontainer.wanted",
         "devcontainer.templates.sources", "devcontainer.templates.writing", "devcontainer.templates.apply",
         "devcontainer.finding", "devcontainer.life", "devcontainer.composefiles", "devcontainer.bounded", "devcontainer.socketapi"),
    ),
    (
        "core",
        ("agents", "policy", "config", "sandbox", "audit", "audit.record", "egress", "launcher", "launcher.command",
         "harvest", "harvest.check", "harvest.executes", "harvest.request", "presets", "secrets", "wire", "guard",
         "devcontainer", "devcontainer.life.hooks", "devcontainer.life.startup", "devcontainer.life.probing", "devcontainer.life.override"),
    ),
    ("model", ("model",)),
    ("errors", ("errors", "")),
)  # fmt: skip

# Values in, values out. The core by its layer; these because they decide and others act.
PURE_BESIDES_CORE = (
    "backends.docker_args", "backends.seccomp_profile", "images.elf", "report.build", "report.plan_text", "report.summary",
    "recovery.diagnosis", "report.agent_lines", "report.text", "repos.changeset", "repos.failures",
    "run.bounds", "run.devcontainer_terms", "run.attempts", "run.environ", "run.steps", "run.verify",
)  # fmt: skip
IMPURE = frozenset(["subprocess", "socket", "docker", "git", "time", "requests", "asyncio", "multiprocessing", "http.client"])

# A library that is heavy or dangerous, and the only places that may import it.
ONLY_IN: Mapping[str, tuple[str, ...]] = {
    "docker": ("backends.docker",),
    "requests": ("backends.docker",),
    "urllib3": ("backends.docker",),
    "git": ("repos",),
    "yaml": ("config.yamlfile",),
    "click": ("cli",),
    "cryptography": ("secrets.authority",),
    "tomli_w": ("agents.documents",),
}

# Imports inside functions, other than of the standard library. A command's module imports what it needs when it is called.
LAZY: Mapping[str, tuple[str, ...]] = {
    "cli": (PACKAGE, "click"),
    "__main__": (f"{PACKAGE}.cli.main",),
    "backends.docker": ("docker", "requests", "urllib3"),  # a third of a second that a local run does not need
    "backends.select": (f"{PACKAGE}.backends.docker", f"{PACKAGE}.backends.local"),  # only the one that is used
    # A run without a network, without Docker or without an agent that asks needs none of it.
    "broker.main": (f"{PACKAGE}.egress", f"{PACKAGE}.broker.docker", f"{PACKAGE}.broker.hooks", f"{PACKAGE}.agents.hookconfig"),
    "egress": (f"{PACKAGE}.egress.tls", f"{PACKAGE}.egress.sshagent"),  # ssl, and the arithmetic of keys: most runs need neither
    "devcontainer.life.whole": (f"{PACKAGE}.devcontainer.life.made",),  # a container that is there needs nothing of it
    "config.document": (f"{PACKAGE}.config.yamlfile",),  # most runs read no file of configuration
    # Most runs name no preset, and have no image of their own; a plain command has no profile.
    "policy": (f"{PACKAGE}.presets", f"{PACKAGE}.guard", f"{PACKAGE}.agents.catalog"),
    "run.netplan": (f"{PACKAGE}.presets.resolve",),
    "run.bring_out": (f"{PACKAGE}.backends.select",),
    # Only the backend that is used, a guard where there is one, and a dev container where somebody asked for it.
    "run.planning": (f"{PACKAGE}.backends", f"{PACKAGE}.guard", f"{PACKAGE}.run", f"{PACKAGE}.devcontainer.policy.grants"),
    # Nearly all runs find their agent installed, and have no manifest.
    "agents.install": (f"{PACKAGE}.agents",),
    "agents.own": (f"{PACKAGE}.agents.manifest",),
    # What only the agents need: a plain command has no profile, no events and no MCP servers.
    "run.agent": (f"{PACKAGE}.agents", f"{PACKAGE}.backends.local"),
    "run.agent_work": (f"{PACKAGE}.agents.events", f"{PACKAGE}.run.agent_output"),
    "run.teardown": (f"{PACKAGE}.guard",),
    "run.execute": (f"{PACKAGE}.guard.usage",),
    "run.docker": (f"{PACKAGE}.guard.sweep", f"{PACKAGE}.guard.takeback"),
    "recovery": (f"{PACKAGE}.guard", f"{PACKAGE}.backends"),  # most runs are without Docker
    "secrets.authority": ("cryptography",),  # a twentieth of a second that only runs with inspected hosts need
}


@dataclass(frozen=True)
class Import:
    """``module`` imports ``target``; ``lazy``: inside a function; ``typing``: only for the type checker."""

    module: str
    target: str
    line: int
    lazy: bool
    typing: bool

    def __str__(self) -> str:
        return f"{self.module or PACKAGE}:{self.line} imports {self.target}"


def name_of(path: Path) -> str:
    """``orchestrator/run/steps.py`` is ``run.steps``; the package itself is the empty name."""
    parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> Mapping[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_bytes()) for path in sorted((ROOT / PACKAGE).rglob("*.py"))}


def imports_in(module: str, node: ast.AST, lazy: bool = False, typing: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside = lazy or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        checked = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test))
        for target in targets_of(child):
            yield Import(module, target, getattr(child, "lineno", 0), lazy, typing)
        yield from imports_in(module, child, inside, checked)


def targets_of(node: ast.AST) -> list[str]:
    """What a statement imports: modules of ours as precisely as they can be told."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, "imports are absolute"
    base = str(node.module)
    if base != PACKAGE and not base.startswith(f"{PACKAGE}."):
        return [base]
    below = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name.removeprefix(f"{PACKAGE}.") in modules() else base for name in below]


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(found for module, tree in modules().items() for found in imports_in(module, tree))


def is_below(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.") if prefix else name == ""


def layer_of(module: str) -> int:
    """The number of a module's layer, 0 at the top: that of the longest name which covers it."""
    covering = [(len(name), number) for number, (_, names) in enumerate(LAYERS) for name in names if is_below(module, name)]
    assert covering, f"module {module} belongs to no layer"
    return max(covering)[1]


def ours(found: Import) -> str | None:
    """The name of a module of ours that is imported; the package itself counts as the bottom."""
    if found.target == PACKAGE:
        return ""
    return found.target.removeprefix(f"{PACKAGE}.") if found.target.startswith(f"{PACKAGE}.") else None


def test_every_module_has_a_layer() -> None:
    """A new package must be placed; and the table names nothing that is gone."""
    assert len(modules()) > 50
    for module in modules():
        assert layer_of(module) >= 0
    for _, names in LAYERS:
        assert [name for name in names if name not in modules()] == []


def test_imports_point_downward() -> None:
    """Also those inside functions and those for the type checker."""
    upward = [str(found) for found in all_imports() if (name := ours(found)) is not None and layer_of(name) < layer_of(found.module)]
    assert upward == []


def test_no_cycles() -> None:
    """Within a layer, too, there is an order. Imports inside functions are not counted: they are what breaks a cycle."""
    graph: dict[str, set[str]] = {module: set() for module in modules()}
    for found in all_imports():
        name = ours(found)
        if name and not found.lazy and not found.typing and not is_below(found.module, name):
            graph[found.module].add(name)
    while free := {module for module, needs in graph.items() if not needs & graph.keys()}:
        graph = {module: needs for module, needs in graph.items() if module not in free}
    assert graph == {}


PURE = [module for module in modules() if LAYERS[layer_of(module)][0] in ("core", "model", "errors") or module in PURE_BESIDES_CORE]


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_do_not_act(module: str) -> None:
    """What decides starts no process, opens no socket and asks no clock: it is tested with values."""
    acts = [str(found) for found in all_imports() if found.module == module and found.target in IMPURE]
    assert acts == []


def test_pure_modules_exist() -> None:
    """A renamed module must not drop out of the list unseen."""
    assert [name for name in PURE_BESIDES_CORE if name not in modules()] == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_libraries_stay_where_they_belong(library: str) -> None:
    """The Docker SDK is imported in one file; the others in one package."""
    users = {found.module for found in all_imports() if is_below(found.target, library)}
    assert {user for user in users if not any(is_below(user, place) for place in ONLY_IN[library])} == set()


def test_imports_inside_functions_are_listed() -> None:
    """An import inside a function hides a dependency; each has its reason in the list."""
    hidden = [
        str(found)
        for found in all_imports()
        if found.lazy
        and found.target.partition(".")[0] not in sys.stdlib_module_names
        and not any(is_below(found.module, place) and any(is_below(found.target, one) for one in LAZY[place]) for place in LAZY)
    ]
    assert hidden == []


COMMAND_LINE = "from orchestrator.cli.main import run_command_line; run_command_line"


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        pytest.param("import orchestrator", ("docker", "git", "yaml", "click", "json", "subprocess"), id="package"),
        pytest.param(f"{COMMAND_LINE}(['--version'])", ("docker", "git", "yaml"), id="version"),
        pytest.param(f"{COMMAND_LINE}(['--help'])", ("docker", "git", "yaml"), id="help"),
        pytest.param(f"{COMMAND_LINE}(['run', '--help'])", ("docker", "git", "yaml"), id="run-help"),
        pytest.param("import orchestrator.broker.main", ("docker", "git", "yaml", "click", "requests"), id="broker"),
    ],
)
def test_starting_is_light(code: str, forbidden: tuple[str, ...]) -> None:
    """What nothing needs yet is not loaded, asked of a real interpreter."""
    ask = f"import sys\n{code}\nsys.stdout.write('\\nLOADED ' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.rpartition("LOADED ")[2].split()
    assert PACKAGE in loaded
    assert {name for name in forbidden if name in loaded} == set()


def test_the_rules_notice() -> None:
    """The reader of imports sees each form; a rule that sees nothing would hold for ever."""
    tree = ast.parse(
        "import time\n"
        "from orchestrator.run import steps\n"
        "if TYPE_CHECKING:\n    from orchestrator.errors import AienvError\n"
        "def late():\n    import docker.errors\n"
    )
    found = {(one.target, one.lazy, one.typing) for one in imports_in("model", tree)}
    assert found == {
        ("time", False, False),
        ("orchestrator.run.steps", False, False),
        ("orchestrator.errors", False, True),
        ("docker.errors", True, False),
    }
