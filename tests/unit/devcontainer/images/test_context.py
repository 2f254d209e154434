"""The build context of features: the same for the same files, and nothing from outside of them."""

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from orchestrator.devcontainer.features.feature import Feature, Local
from orchestrator.devcontainer.features.manifest import read
from orchestrator.devcontainer.images import context
from orchestrator.devcontainer.images.context import Part, leads_out, pack
from orchestrator.devcontainer.images.layer import Step
from orchestrator.errors import ConfigError, NotFound


def feature(folder: Path, name: str = "f") -> Feature:
    manifest = read(json.dumps({"id": name}), "x", name=name)
    return Feature(f"./{name}", Local(str(folder)), {}, manifest, {})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / ".devcontainer/f"
    (made / "lib").mkdir(parents=True)
    (made / "install.sh").write_text("#!/bin/sh\n")
    (made / "lib/b").write_bytes(b"\0b")
    (made / "lib/a").symlink_to("../install.sh")
    return made


def part(folder: Path) -> Part:
    return Part(Step(0, feature(folder)), folder, b"A='x'\n", folder.parent)


def packed(folder: Path, dockerfile: str = "FROM x\n") -> tuple[bytes, str]:
    file, digest = pack(dockerfile, [part(folder)], folder.parent.parent / "scratch")
    with file:
        return file.read(), digest


def test_what_is_in_it(folder: Path) -> None:
    data, _ = packed(folder)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        assert [one.name for one in members] == [
            "Dockerfile", "0", "0/begin.sh", "0/values", "0/f_0", "0/f_0/install.sh", "0/f_0/lib", "0/f_0/lib/a", "0/f_0/lib/b",
        ]  # fmt: skip
        assert {(one.uid, one.gid, one.uname, one.mtime) for one in members} == {(0, 0, "", 0)}
        assert {one.mode for one in members if one.isfile()} == {0o644, 0o755}
        assert archive.getmember("0/f_0/install.sh").mode == 0o755
        found = archive.extractfile("0/f_0/lib/b")
        assert found is not None
        assert found.read() == b"\0b"
    assert list((folder.parent.parent / "scratch").iterdir()) == []


def test_the_same_for_the_same_files(folder: Path) -> None:
    before = packed(folder)
    os.utime(folder / "install.sh", (5, 5))
    (folder / "install.sh").chmod(0o600)
    assert packed(folder) == before
    (folder / "lib/b").write_bytes(b"c")
    assert packed(folder)[1] != before[1]
    (folder / "lib/b").write_bytes(b"\0b")
    assert packed(folder)[1] == before[1]
    assert packed(folder, "FROM y\n")[1] != before[1]


@pytest.mark.parametrize(
    ("link", "target", "out"),
    [
        ("a", "b", False),
        ("a", ".", False),
        ("x/a", "../b", False),
        ("x/y/a", "../../b", False),
        ("x/y/a", "../../../b", True),
        ("a", "..", True),
        ("a", "x/../../b", True),
        ("a", "/etc/passwd", True),
        ("a", "..b", False),
    ],
)
def test_links(link: str, target: str, out: bool) -> None:
    assert leads_out(link, target) is out


def test_links_that_lead_out_are_refused(folder: Path) -> None:
    (folder / "lib/out").symlink_to("../../secret")
    with pytest.raises(ConfigError, match=r"'./f' holds the link 'lib/out', which leads out of it to '../../secret'"):
        packed(folder)


def test_a_folder_behind_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "install.sh").write_text("")
    (folder.parent / "g").symlink_to("../outside")
    with pytest.raises(ConfigError, match="is behind a link that leads out of"):
        packed(folder.parent / "g")
    (folder.parent / "h").symlink_to("f")
    assert packed(folder.parent / "h")[0]


def test_devices_and_pipes_are_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(ConfigError, match=r"'pipe', which is no file, folder or link"):
        packed(folder)


def test_no_install_script(folder: Path) -> None:
    (folder / "install.sh").unlink()
    with pytest.raises(NotFound, match=r"has no install\.sh"):
        packed(folder)


def test_too_much(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "MAX_FILES", 3)
    with pytest.raises(ConfigError, match="more than 3 files"):
        packed(folder)
    monkeypatch.setattr(context, "MAX_FILES", 4)
    assert packed(folder)
    monkeypatch.setattr(context, "MAX_BYTES", 5)
    with pytest.raises(ConfigError, match="more than 0 MiB"):
        packed(folder)
