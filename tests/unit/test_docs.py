"""What the documents say is true as far as a machine can tell: commands parse, links lead somewhere, tables are complete."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from orchestrator.cli.main import COMMANDS, command_line
from orchestrator.errors import AienvError
from orchestrator.model.guard import NO_DOCKER_USE
from orchestrator.model.network import NO_USE
from orchestrator.model.record import Harvest, Teardown
from orchestrator.model.report import AuditFacts, RunRecord
from orchestrator.report.build import report_document
from orchestrator.run.steps import Step

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(
    page for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/README.md")) if page.is_file()
)
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def shell_lines() -> Iterator[tuple[str, str]]:
    """Each line of each block marked ``sh``, with its page."""
    for page in PAGES:
        for block in SHELL.findall(page.read_text()):
            yield from ((name(page), line.strip()) for line in block.splitlines() if line.strip())


def first_command(line: str) -> list[str]:
    """The words up to a pipe, a redirection or the next command."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    return list(itertools.takewhile(lambda word: not set(word) <= set("|&;<>()"), reader))


def aienv_lines() -> list[tuple[str, str]]:
    return [(page, line) for page, line in shell_lines() if first_command(line)[:1] == ["aienv"]]


def parse(words: list[str]) -> None:
    """Let click read a command line, without carrying it out.

    Raises:
        click.ClickException, AienvError: it is wrong.
    """
    command: click.Command | None = command_line
    context: click.Context | None = None
    while isinstance(command, click.Group):
        context = click.Context(command, parent=context, info_name=command.name)
        _, command, words = command.resolve_command(context, words)
    assert command is not None
    command.make_context(command.name, words, parent=context)


@pytest.mark.parametrize(("page", "line"), aienv_lines())
def test_command_lines_parse(page: str, line: str) -> None:
    """Every ``aienv`` line in a block marked ``sh`` is one that the program takes."""
    parse(first_command(line)[1:])


def test_there_are_command_lines() -> None:
    """So that the test above cannot be empty."""
    assert len(aienv_lines()) >= 10
    assert {page for page, _ in aienv_lines()} >= {"README.md", "examples/hello/README.md"}


@pytest.mark.parametrize("words", [["runn"], ["run", "--bakend", "local"], ["rm"], ["images", "bild"]])
def test_wrong_lines_are_noticed(words: list[str]) -> None:
    """The parser of the test is the program's own."""
    with pytest.raises((click.ClickException, AienvError)):
        parse(words)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every linked file exists."""
    links = [link.partition("#")[0] for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_scripts_and_targets_exist(page: Path) -> None:
    """Every script and every make target in a block marked ``sh`` is there."""
    makefile = (ROOT / "Makefile").read_text()
    for block in SHELL.findall(page.read_text()):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["make"]:
                targets = [word for word in words[1:] if "=" not in word]
                assert [target for target in targets if f"\n{target}:" not in makefile] == []
            elif words and "/" in words[0]:
                assert (ROOT / words[0]).is_file()


def test_readme_names_every_command() -> None:
    """A new command is told to those who read the first page."""
    table = (ROOT / "README.md").read_text().partition("## Commands")[2]
    assert [command for command in COMMANDS if f"`aienv {command}`" not in table and f"`{command}`" not in table] == []


def test_architecture_names_every_step() -> None:
    """In the order of the journal."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert re.findall(r"^\| `([a-z]+)` \|", text.partition("## Life of a run")[2], re.MULTILINE) == [step.value for step in Step]


def subclasses(kind: type[AienvError]) -> Iterator[type[AienvError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from subclasses(below)


def test_every_exit_code_is_documented() -> None:
    """Those of the errors, and those of a run's end."""
    text = (ROOT / "docs" / "exit-codes.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert documented == {0, 1, 124, *(kind.exit_code for kind in subclasses(AienvError))}


def test_the_report_is_documented() -> None:
    """Every member of the document and of its result has a row, and no row is left over."""
    text = (ROOT / "docs" / "report.md").read_text()
    record = RunRecord(
        id="r", task="t", status="succeeded", backend="local", isolation="sandbox", plan_digest="d", repo="/r", base_commit=None,
        docker_mode="none", network_mode="none", network=NO_USE, docker=NO_DOCKER_USE, outcome=None,
        harvest=Harvest(None, None, None, False, (), (), (), (), None, None, ()),
        delivery=None, setup=(), checks=(), audit=AuditFacts("a", "h", 0), timings={}, teardown=Teardown((), ()), error=None, unlimited=(),
        notes=(), kept=None, recovered=False, folder="/f",
    )  # fmt: skip
    document = report_document(record)
    above, _, below = text.partition("## `result`")
    for part, members in ((above, document), (below, document["result"])):
        rows = [row for cell in re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE) for row in re.findall(r"`(\w+)`", cell)]
        assert sorted(rows) == sorted(members)


def test_no_page_names_a_machine() -> None:
    """Paths and hosts of whoever wrote a page are of no use to its readers."""
    machine = re.compile(r"/(?:root|home/(?!agent))\w*/|\b(?:10|192\.168)\.\d+\.\d+|localhost:\d+")
    assert [name(page) for page in PAGES if machine.search(page.read_text())] == []
