"""What ``aienv doctor`` says of real and of strange surroundings. More of it in test_words and test_users."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.product import Aienv


@pytest.fixture
def mute_engine(tmp_path: Path) -> Iterator[str]:
    """An engine that takes connections and never answers."""
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(path))
        sock.listen(16)
        held = []

        def accept() -> None:
            while True:
                try:
                    held.append(sock.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"unix://{path}"
        sock.shutdown(socket.SHUT_RDWR)
        thread.join(5.0)
        for connection in held:
            connection.close()


def test_the_document(local: Aienv) -> None:
    """Every check with every member; what is not fine has a cause and a cure."""
    document = local("doctor", "--json").document
    assert document["schema"] == "aienv.doctor/1"
    ids = [check["id"] for check in document["checks"]]
    assert len(ids) == len(set(ids)) > 20
    for check in document["checks"]:
        assert set(check) == {"id", "name", "status", "detail", "cause", "remedy"}
        assert re.fullmatch(r"[a-z-]+", check["id"])
        if check["status"] != "ok":
            assert check["cause"]
            assert check["remedy"]


def test_a_mute_engine_holds_nothing_up(local: Aienv, mute_engine: str) -> None:
    """It is told as the failure of one backend; the other still counts."""
    begin = time.monotonic()
    done = local("doctor", "--json", env={"DOCKER_HOST": mute_engine})
    assert time.monotonic() - begin < 60
    docker = next(check for check in done.document["checks"] if check["id"] == "backend-docker")
    assert docker["status"] == "failed"
    assert "answer" in docker["detail"]
    assert (done.code, done.document["usable"]) == (0, True)


def test_what_people_see(local: Aienv) -> None:
    """One line for each check, its cause and cure below where it is not fine."""
    lines = local("doctor").text.splitlines()
    marks = [line[:4] for line in lines if not line.startswith("      ")]
    assert set(marks) <= {"ok  ", "warn", "FAIL"}
    assert len(marks) > 20
    failed = next(number for number, line in enumerate(lines) if line.startswith("FAIL  backend docker: no Docker engine at"))
    assert lines[failed + 1] == "      install and start Docker, set DOCKER_HOST, or choose --backend local"
