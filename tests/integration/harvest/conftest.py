"""What aienv keeps for itself lies in the test's own folder."""

import pytest


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIENV_HOME", str(tmp_path_factory.mktemp("aienv")))
