"""``read-configuration`` of the reference dev container CLI and ours, side by side: equal, but for the differences that ``cases`` names."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import run_command_line
from tests import clients
from tests.integration.devcontainer.cases import CASES, ENVIRON, QUICK, Answer, Case

pytestmark = pytest.mark.xdist_group("devcontainer-reference")

FAKE_DOCKER = Path(__file__).with_name("fake_docker.sh")
DEADLINE_S = 60.0


class Laid:
    """A case on the disk: the folder, and the engine of files."""

    def __init__(self, case: Case, root: Path) -> None:
        self.folder = root / "project"
        self.fake = root / "fake"
        self.case = case
        self.fake.mkdir(parents=True)
        files = dict(case.files)
        if case.config is not None:
            files[".devcontainer/devcontainer.json"] = case.config if isinstance(case.config, str) else json.dumps(case.config)
        for name, content in files.items():
            _write(self.folder / name, self._filled(content))
        self.folder.mkdir(exist_ok=True)
        for name, answer in case.fake.items():
            _write(self.fake / name, self._filled(answer if isinstance(answer, str) else json.dumps(answer)))
        if case.git:
            subprocess.run(["git", "init", "-q", str(self.folder)], check=True, timeout=DEADLINE_S)
        if case.name == "core-worktree":
            subprocess.run(["git", "-C", str(self.folder), "config", "core.worktree", str(root)], check=True, timeout=DEADLINE_S)

    @property
    def words(self) -> list[str]:
        where = [] if self.case.folder == "-" else ["--workspace-folder", os.path.join(self.folder, self.case.folder)]
        words = ["read-configuration", *where, *(self._filled(word) for word in self.case.words)]
        return [*words, "--docker-path", str(FAKE_DOCKER)]

    @property
    def environ(self) -> dict[str, str]:
        return {**ENVIRON, "FAKE": str(self.fake), "GIT_CONFIG_NOSYSTEM": "1", "AIENV_HOME": str(self.fake / "home")}

    def _filled(self, text: str) -> str:
        return text.replace("{folder}", str(self.folder))


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="")


class Reference:
    """The quick cases are asked for at once, two at a time; the others when they are wanted."""

    def __init__(self, command: Path, root: Path) -> None:
        self.command = command
        self.pool = ThreadPoolExecutor(2)
        self.laid = {case.name: Laid(case, root / case.name) for case in CASES}
        self.answers = {case.name: self._ask(case.name) for case in CASES if not case.slow}

    def answer(self, name: str) -> Answer:
        return (self.answers.get(name) or self._ask(name)).result()

    def _ask(self, name: str) -> "Future[Answer]":
        return self.pool.submit(self._run, self.laid[name])

    def _run(self, laid: Laid) -> Answer:
        done = subprocess.run(
            [self.command, *laid.words], env={**os.environ, **laid.environ}, cwd=laid.fake,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout) if done.returncode == 0 else None


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    command = clients.require(clients.dev_container_cli)
    assert isinstance(command, Path)
    made = Reference(command, tmp_path_factory.mktemp("cases"))
    yield made
    made.pool.shutdown(cancel_futures=True)


def ours(words: list[str], capfd: pytest.CaptureFixture[str]) -> Answer:
    capfd.readouterr()
    code = run_command_line(["devcontainer", *words])
    output, errors = capfd.readouterr()
    assert code in (0, 1)
    if code == 1:
        assert output == ""
        assert errors
        return None
    assert output.endswith("\n")
    assert output.count("\n") == 1
    found: dict[str, Any] = json.loads(output)
    return found


def comparable(answer: Answer) -> Answer:
    """Without what we leave out in any case: docs/devcontainer.md, differences."""
    if answer is None:
        return None
    answer.pop("ociAuthDiagnostics", None)
    merged = answer.get("mergedConfiguration") or {}
    if (merged.get("hostRequirements") or {}).get("memory") == "-Infinity":
        del merged["hostRequirements"]
    features = answer.get("featuresConfiguration") or {"featureSets": []}
    for one in features["featureSets"]:
        for feature in one["features"]:
            feature.pop("cachePath", None)  # a copy in a folder that is named after the moment
    features.pop("dstFolder", None)
    return answer


def parameters() -> list[Any]:
    return [pytest.param(case, id=case.name, marks=[pytest.mark.slow] if case.slow else []) for case in CASES]


@pytest.mark.parametrize("case", parameters())
def test_as_the_reference(case: Case, reference: Reference, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    laid = reference.laid[case.name]
    theirs = comparable(reference.answer(case.name))
    set_environ(monkeypatch, laid.environ)
    monkeypatch.chdir(laid.fake)
    found = comparable(ours(laid.words, capfd))
    if case.differs:
        assert found != theirs, "no difference any more"
        assert case.ours is None or case.ours(found)
    else:
        assert found == theirs


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [(), ("--mount-git-worktree-common-dir",), ("--mount-git-worktree-common-dir", "--mount-workspace-git-root", "false")], ids=str
)
@pytest.mark.parametrize(("tree", "relative"), [("linked", True), ("trees/deep", True), ("linked", False)])
@pytest.mark.parametrize("below", ["", "/sub"])
def test_linked_work_trees(
    reference: Reference,
    words: tuple[str, ...],
    tree: str,
    relative: bool,
    below: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Work trees of git, with the absolute paths that it writes and with relative ones."""
    repository, linked = tmp_path / "repo", tmp_path / tree
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(repository))
    for command in (
        ("git", "init", "-q", str(repository)),
        (*git, "commit", "-q", "--allow-empty", "-m", "x"),
        (*git, "worktree", "add", "-q", str(linked)),
    ):
        subprocess.run(command, check=True, timeout=DEADLINE_S, capture_output=True)
    if relative:
        target = (linked / ".git").read_text().removeprefix("gitdir: ").strip()
        _write(linked / ".git", f"gitdir: {os.path.relpath(target, linked)}\n")
    _write(linked / f".{below}/.devcontainer.json", '{"image": "i"}')
    argv = ["read-configuration", "--workspace-folder", f"{linked}{below}", "--docker-path", str(FAKE_DOCKER), *words]
    set_environ(monkeypatch, {"FAKE": str(tmp_path), "AIENV_HOME": str(tmp_path / "home")})
    done = subprocess.run([reference.command, *argv], stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=True)
    assert ours(argv, capfd) == comparable(json.loads(done.stdout))


def set_environ(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_cases_are_cases() -> None:
    """Names are unique, at least sixty cases, and the quick ones stay quick."""
    assert len({case.name for case in CASES}) == len(CASES) >= 60
    assert {case.name for case in CASES} >= QUICK
    assert len(QUICK) <= 40
