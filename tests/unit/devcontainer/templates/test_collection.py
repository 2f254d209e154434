"""Each of our own templates keeps to the format, to what its README says, and to what we would allow of a stranger's."""

import glob
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from orchestrator.devcontainer.jsonc import Json, Object
from orchestrator.devcontainer.load import Asked, load
from orchestrator.devcontainer.templates import content
from orchestrator.devcontainer.templates.apply import Request, apply
from orchestrator.devcontainer.templates.manifest import TemplateOption
from orchestrator.devcontainer.templates.sources import own

ROOT = Path(__file__).parents[4] / "devcontainer-templates"
TEMPLATES = {template.about.id: template for template in own()}
AGENTS = ("claude", "codex", "gemini", "opencode")

# Nothing of this is needed, so nothing of this is asked for.
ASKS_MUCH = (
    "privileged", "capAdd", "securityOpt", "runArgs", "mounts", "workspaceMount", "initializeCommand", "appPort", "forwardPorts",
    "features", "containerUser", "remoteEnv", "hostRequirements",
)  # fmt: skip


def others(option: TemplateOption) -> list[str]:
    """Values beside the default."""
    values = ("true", "false") if option.kind == "boolean" else (*option.enum, *option.proposals)
    return [value for value in values if value != option.default]


def cases() -> Iterator[tuple[str, Mapping[str, str]]]:
    for name, template in TEMPLATES.items():
        yield name, {}
        for option, about in template.about.options.items():
            yield from ((name, {option: value}) for value in others(about))


@pytest.mark.parametrize(("name", "options"), [pytest.param(*case, id="-".join([case[0], *case[1].values()])) for case in cases()])
def test_resolves(name: str, options: Mapping[str, str], tmp_path: Path) -> None:
    """With its defaults, and with any other value of each option: read without a warning, no hole left, nothing asked for that is much."""
    project = tmp_path / "project"
    project.mkdir()
    warnings: list[str] = []
    files = apply(Request(name, project, options), project, {}, tmp_path / "cache", warnings.append)["files"]
    assert isinstance(files, list)
    assert sorted(str(path) for path in project.rglob("*") if path.is_file()) == sorted(str(project / str(path)) for path in files)
    assert not [path for path in project.rglob("*") if path.is_file() and "templateOption" in path.read_text()]
    found = load(Asked(str(project)), {})
    assert (found.warnings, warnings) == ((), [])
    assert not set(found.config) & set(ASKS_MUCH)
    assert found.config["remoteUser"] == "dev"
    check_files(found.config, project / ".devcontainer")


def check_files(config: Object, folder: Path) -> None:
    """What the configuration names is there, and nothing else is."""
    names = {path.name for path in folder.iterdir()} - {"devcontainer.json"}
    if "dockerComposeFile" in config:
        services = yaml.safe_load((folder / str(config["dockerComposeFile"])).read_text())["services"]
        named = {str(config["dockerComposeFile"]), *(service["build"]["dockerfile"] for service in services.values())}
        assert config["service"] in services
    else:
        build = config["build"]
        assert isinstance(build, dict)
        named = {str(build["dockerfile"])}
    copied = {found for name in named for found in re.findall(r"^COPY (\S+) ", (folder / name).read_text(), re.MULTILINE)}
    assert names == named | copied


@pytest.mark.parametrize("name", TEMPLATES)
def test_form(name: str) -> None:
    """Each option has a default, words, and a hole; each hole an option; and the README names them with their defaults."""
    about, folder = TEMPLATES[name].about, ROOT / name
    readme = (folder / "README.md").read_text()
    raw: Mapping[str, Json] = json.loads((folder / "devcontainer-template.json").read_text())
    assert folder.name == about.id
    assert {"id", "version", "name", "description", "options", "platforms", "keywords", "optionalPaths"} == set(raw)
    assert re.fullmatch(r"\d+\.\d+\.\d+", about.version)
    text = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert set(re.findall(r"\$\{templateOption:(\w+)\}", text)) == set(about.options)
    for option, one in about.options.items():
        assert one.default is not None
        assert one.description
        assert f"| `{option}` | `{one.default}` | {one.description} |" in readme
        assert one.default in (*one.enum, *one.proposals) or one.kind == "boolean"
    assert f"aienv templates apply {name}" in readme


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/.devcontainer/Dockerfile*")), ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_dockerfiles(path: Path) -> None:
    """One base, Debian's packages, no script from the network, a user at the end."""
    text = path.read_text()
    lines = re.sub(r"\\\n", "", text).splitlines()
    assert [line for line in lines if line.startswith("FROM")] == ["FROM ${templateOption:baseImage}"]
    assert all("rm -rf /var/lib/apt/lists/*" in line for line in lines if "apt-get install" in line)
    assert "--no-install-recommends" in text
    assert not re.search(r"curl .*\||wget|--allow-unauthenticated|trusted=yes|sudo|ADD http", text)
    assert [line for line in lines if line.startswith("USER")][-1] in ("USER dev", "USER postgres")
    assert ("npm install" in text) == (path.parts[-3] in (*AGENTS, "node"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_tests(name: str, tmp_path: Path) -> None:
    """test.sh is a script that sh can read, whatever the options."""
    for options in [{}, *(options for other, options in cases() if other == name)]:
        values = content.choose(TEMPLATES[name].about.options, options, name)
        (tmp_path / "test.sh").write_bytes(content.replaced((ROOT / name / "test.sh").read_bytes(), values))
        subprocess.run(["sh", "-n", tmp_path / "test.sh"], check=True, timeout=10)
    assert (ROOT / name / "test.sh").stat().st_mode & 0o111


def test_compose() -> None:
    """The database is reached by its neighbour alone, and waited for."""
    text = content.replaced((ROOT / "compose-postgres/.devcontainer/docker-compose.yml").read_bytes(), {"database": "app"})
    found = yaml.safe_load(text)
    assert set(found) == {"services", "volumes"}
    app, db = found["services"]["app"], found["services"]["db"]
    assert not {"ports", "privileged", "cap_add", "network_mode", "devices", "security_opt", "pid", "ipc"} & (set(app) | set(db))
    assert app["volumes"] == ["..:/workspace"]
    assert db["volumes"] == ["database:/var/lib/postgresql/data"]
    assert app["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert "pg_isready" in db["healthcheck"]["test"]
    assert app["environment"]["DATABASE_URL"].endswith("@db:5432/app")
    assert db["environment"]["POSTGRES_DB"] == "app"


@pytest.mark.parametrize("name", AGENTS)
def test_agents(name: str) -> None:
    """A version is chosen, and no key is in the files: only its name."""
    version = TEMPLATES[name].about.options["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", str(version.default))
    text = (ROOT / name / ".devcontainer/devcontainer.json").read_text()
    assert '"secrets"' in text
    assert "localEnv" not in text


def test_all_are_installed() -> None:
    """The patterns of package data reach every file of every template."""
    package = ROOT.parent / "orchestrator/devcontainer/templates"
    settings = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["orchestrator.devcontainer.templates"]
    # As setuptools looks: hidden files count.
    found = {path for pattern in patterns for path in glob.glob(str(package / pattern), recursive=True, include_hidden=True)}
    assert {Path(path).resolve() for path in found if Path(path).is_file()} == {path for path in ROOT.rglob("*") if path.is_file()}
