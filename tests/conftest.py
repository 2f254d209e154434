"""What all tests share: engines of our own, and the rule that a required piece may not be skipped.

``AIENV_REQUIRE=docker,bwrap`` names markers whose tests must run: a skip of such a test counts as a failure, so a CI machine
that lost its engine cannot turn green.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests import engine as engines
from tests import internet as internets
from tests.engine import Engine
from tests.internet import Internet


def required(environ: dict[str, str]) -> frozenset[str]:
    """The markers that ``AIENV_REQUIRE`` names."""
    return frozenset(word.strip() for word in environ.get("AIENV_REQUIRE", "").split(",") if word.strip())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    named = required(dict(os.environ)) & {marker.name for marker in item.iter_markers()}
    if report.skipped and named and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"AIENV_REQUIRE={','.join(sorted(named))} forbids this skip: {reason}"
    return report


# Their tests stand alone, so several workers may share one file; elsewhere a file's tests share what is dear to make.
SPREAD = ("tests/faults/test_matrix.py", "tests/unit/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers (``-n 2 --dist loadgroup``), a file is one worker's."""
    for item in items:
        if not item.nodeid.startswith(SPREAD):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and required(dict(os.environ)):
        report.outcome = "failed"
        report.longrepr = f"AIENV_REQUIRE forbids skipping a whole module: {report.longrepr}"
    return report


@contextlib.contextmanager
def engine_or_skip(version: str) -> Iterator[Engine]:
    with contextlib.ExitStack() as undo:
        try:
            engine = undo.enter_context(engines.running(version))
        except (engines.CannotHave, TimeoutError) as problem:
            pytest.skip(str(problem))
        yield engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine 20.10 for the whole session. A test that kills it uses ``own_engine`` instead."""
    with engine_or_skip("20.10") as engine:
        yield engine


@pytest.fixture(scope="session")
def engine26() -> Iterator[Engine]:
    """A Docker engine 26.1 for the whole session."""
    with engine_or_skip("26.1") as engine:
        yield engine


@pytest.fixture(params=["20.10", "26.1"], ids=["engine20", "engine26"])
def any_engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    found = request.getfixturevalue("engine" if request.param == "20.10" else "engine26")
    assert isinstance(found, Engine)
    return found


@pytest.fixture
def own_engine() -> Iterator[Engine]:
    """An engine for one test alone, that the test may kill, suspend and restart."""
    with engine_or_skip("20.10") as engine:
        yield engine


@pytest.fixture(scope="session")
def internet() -> Iterator[Internet]:
    """A small internet of our own for the whole session; its log goes on, so a test looks at what came after its ``mark``."""
    with contextlib.ExitStack() as undo:
        try:
            found = undo.enter_context(internets.running())
        except (engines.CannotHave, subprocess.TimeoutExpired) as problem:
            pytest.skip(str(problem))
        yield found


@pytest.fixture(scope="session")
def test_cache() -> Path:
    """A folder that outlives the session, for what takes long to make (root file systems, the toolbox)."""
    folder = engines.cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def bwrap() -> str:
    """The path of a bubblewrap that works here as an ordinary user."""
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("bubblewrap is not installed: apt-get install bubblewrap")
    user = 65533 if os.geteuid() == 0 else None
    probe = subprocess.run(
        [program, "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"],
        capture_output=True, text=True, timeout=30, check=False, user=user, cwd="/",
    )  # fmt: skip
    if probe.returncode != 0:
        pytest.skip(f"bubblewrap does not work for ordinary users here: {probe.stderr.strip()}")
    return program
