"""AIENV_REQUIRE: a required test that is skipped is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import required

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = """
import pytest
@pytest.mark.docker
def test_marked(): pytest.skip("no engine here")
def test_plain(): pytest.skip("whatever")
@pytest.mark.bwrap
@pytest.mark.xfail
def test_expected(): assert False
@pytest.fixture
def missing(): pytest.skip("no bwrap here")
@pytest.mark.bwrap
def test_by_fixture(missing): pass
"""


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        pytest.param("", "3 skipped, 1 xfailed", id="nothing-required"),
        pytest.param("docker", "1 failed, 2 skipped, 1 xfailed", id="docker"),
        pytest.param("docker, bwrap", "1 failed, 1 skipped, 1 xfailed, 1 error", id="both"),
    ],
)
def test_skips(tmp_path: Path, value: str, summary: str) -> None:
    """Only tests with a required marker fail; an expected failure stays one."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n docker\n bwrap\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "test_suite.py"]
    environ = {**os.environ, "AIENV_REQUIRE": value, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert summary in done.stdout.splitlines()[-1]
    assert ("no engine here" in done.stdout) or not value


def test_required() -> None:
    """Blanks and empty words are nothing."""
    assert required({"AIENV_REQUIRE": " docker ,,bwrap"}) == {"docker", "bwrap"}
    assert required({}) == frozenset()
