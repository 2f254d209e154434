"""What was written down is read again, whatever a killed writer left."""

from pathlib import Path

import pytest

from orchestrator.guard.marks import FILE, Mark, note, noted

ONE, TWO = Mark("docker.io/library/a:1", "sha256:" + "1" * 64), Mark("", "sha256:" + "2" * 64)


def test_the_last_comes_first_and_once(tmp_path: Path) -> None:
    note(tmp_path, [ONE, TWO])
    note(tmp_path, [ONE])
    assert noted(tmp_path) == (ONE, TWO)


@pytest.mark.parametrize("tail", [b'{"name": "x', b"\xff\xfe", b"[]\n", b'{"name": "x"}\n', b"null\n"])
def test_half_a_line_is_passed_over(tmp_path: Path, tail: bytes) -> None:
    note(tmp_path, [ONE])
    with (tmp_path / FILE).open("ab") as file:
        file.write(tail)
    assert noted(tmp_path) == (ONE,)


def test_nothing_was_written(tmp_path: Path) -> None:
    assert noted(tmp_path) == ()


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        note(tmp_path, [ONE])
    assert not (tmp_path / "elsewhere").exists()
