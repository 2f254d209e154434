"""The recipes: one list of packages for both ways, the same files in the package as in ``images/``."""

import re
from pathlib import Path

import pytest

from orchestrator.images import base, elf, toolbox

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("shown", "packaged"),
    [
        ("images/base/Dockerfile", "base.Dockerfile"),
        ("images/base/packages.txt", "base-packages.txt"),
        ("images/toolbox/Dockerfile", "toolbox.Dockerfile"),
    ],
)
def test_packaged_copies(shown: str, packaged: str) -> None:
    """An installed aienv builds from the very files that people read in ``images/``."""
    assert (REPOSITORY / shown).read_bytes() == (REPOSITORY / "orchestrator/images/data" / packaged).read_bytes()


def test_packages() -> None:
    """Plain Debian names without comments, each once."""
    names = base.packages()
    assert {"git", "python3", "build-essential", "bubblewrap"} <= set(names)
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names)


def test_bases_are_pinned() -> None:
    """By digest; a tag can be moved."""
    for text in (base.dockerfile(), toolbox.dockerfile()):
        assert re.fullmatch(r"debian@sha256:[0-9a-f]{64}", base.parent(text))
    with pytest.raises(ValueError, match="ARG BASE"):
        base.parent("FROM debian\n")


def test_settings_are_those_of_the_dockerfile() -> None:
    """An import applies what the Dockerfile sets, and nothing that it runs."""
    lines = base.settings(base.dockerfile())
    assert "USER agent" in lines
    assert "LABEL dev.aienv.managed=1" in lines
    assert not any(line.startswith(("RUN", "COPY", "ARG", "FROM", "#")) for line in lines)


def test_name_follows_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another list of packages is another image."""
    before = base.reference()
    assert re.fullmatch(r"aienv/base:[0-9a-f]{12}", before)
    monkeypatch.setattr(base, "packages_text", lambda: "git\n")
    assert base.reference() != before


LOADER_TABLE = b"\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0"


def test_loader_looks_nowhere_else() -> None:
    """Folders, cache and preload list of the loader all lead into the tree, or to where no image can put a file."""
    data = b"code" + LOADER_TABLE + b"x\0/etc/ld.so.cache\0y\0/etc/ld.so.preload\0"
    moved = toolbox.loader_moved(data, "x86_64-linux-gnu")
    assert len(moved) == len(data)
    strings = [text for text in moved.decode().split("\0") if text.startswith("/")]
    assert all(text.replace("//", "/").startswith(("/opt/", "/sys/")) for text in strings)
    assert len(strings) == 6


def test_other_loader_is_refused() -> None:
    """A loader whose table looks different must not be used half-moved."""
    with pytest.raises(elf.ElfError, match="table of library folders"):
        toolbox.loader_moved(b"\0/etc/ld.so.cache\0/etc/ld.so.preload\0", "x86_64-linux-gnu")
    with pytest.raises(elf.ElfError, match=r"ld\.so\.preload"):
        toolbox.loader_moved(LOADER_TABLE + b"\0/etc/ld.so.cache\0", "x86_64-linux-gnu")


def test_every_processor_fits() -> None:
    """The paths in the tree are short enough for the folders of each processor that is listed."""
    for here in toolbox.MACHINES.values():
        table = b"\0" + b"\0".join(p.encode() for p in (f"/lib/{here.triplet}/", f"/usr/lib/{here.triplet}/", "/lib/", "/usr/lib/")) + b"\0"
        moved = toolbox.loader_moved(table + b"\0/etc/ld.so.cache\0/etc/ld.so.preload\0", here.triplet)
        assert moved.count(b"aienv/lib/\0") == 2


def test_git_reads_nothing_of_the_image() -> None:
    """Its settings, templates and helpers are those of the tree."""
    data = b"\0/usr/lib/git-core\0a\0/etc/gitconfig\0b\0/etc/gitattributes\0c\0share/git-core/templates\0"
    moved = toolbox.git_moved(data)
    assert b"/usr/" not in moved
    assert b"/etc/" not in moved
    assert len(moved) == len(data)


def test_context_of_the_engine_way() -> None:
    """The Dockerfile's COPY finds what it needs to run the recipe."""
    assert b"orchestrator/images/toolbox.py" in toolbox.engine_context()
    assert b"orchestrator/errors.py" in toolbox.engine_context()
