"""The ELF reader: real programs, hand-made ones, and anything at all."""

import contextlib
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.images import elf

INTERP = b"/lib64/ld-linux-x86-64.so.2\0"


def tiny(interp: bytes = INTERP, needed: tuple[bytes, ...] = (b"libc.so.6", b"libm.so.6")) -> bytes:
    """A small file with a loader path, a string table and a dynamic section, laid out as linkers do."""
    strings = b"\0" + b"".join(name + b"\0" for name in needed)
    offsets = [strings.index(name + b"\0") for name in needed]
    at_interp = 64 + 3 * 56
    at_strings = at_interp + len(interp)
    at_dynamic = at_strings + len(strings)
    base = 0x400000
    dynamic = [*((1, offset) for offset in offsets), (5, base + at_strings), (10, len(strings)), (0, 0)]
    table = b"".join(struct.pack("<qQ", *entry) for entry in dynamic)
    size = at_dynamic + len(table)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    segments = b"".join(
        struct.pack("<IIQQQQQQ", kind, 4, offset, base + offset, 0, length, length, 8)
        for kind, offset, length in ((1, 0, size), (3, at_interp, len(interp)), (2, at_dynamic, len(table)))
    )
    return header + segments + interp + strings + table


def test_hand_made() -> None:
    """Machine, loader and libraries are read."""
    found = elf.parse(tiny())
    assert found.machine == elf.MACHINES["x86_64"]
    assert found.interpreter is not None
    assert found.interpreter[2] == "/lib64/ld-linux-x86-64.so.2"
    assert found.needed == ("libc.so.6", "libm.so.6")


def test_real_program() -> None:
    """The same names as readelf shows, for a program of this machine."""
    program = shutil.which("git") or "/bin/ls"
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed: apt-get install binutils")
    shown = subprocess.run(["readelf", "-ld", program], capture_output=True, text=True, check=True).stdout
    found = elf.parse(Path(program).read_bytes())
    assert list(found.needed) == [line.rpartition("[")[2].rstrip("]") for line in shown.splitlines() if "(NEEDED)" in line]
    assert found.interpreter is not None
    assert f"interpreter: {found.interpreter[2]}]" in shown


def test_patched_program_runs(tmp_path: Path) -> None:
    """A program with another loader starts through that loader."""
    source = Path("/bin/true").resolve()
    before = elf.parse(source.read_bytes())
    assert before.interpreter is not None
    loader = Path(f"/tmp/ld{os.getpid()}")
    loader.symlink_to(before.interpreter[2])
    try:
        program = tmp_path / "true"
        program.write_bytes(elf.with_interpreter(source.read_bytes(), str(loader)))
        program.chmod(0o755)
        assert subprocess.run([program], check=False).returncode == 0
        loader.unlink()
        with pytest.raises(FileNotFoundError):
            subprocess.run([program], check=False)
    finally:
        loader.unlink(missing_ok=True)


def test_length_is_kept() -> None:
    """No offset moves: the file is as long as before, and all else is the same."""
    data = tiny()
    changed = elf.with_interpreter(data, "/opt/aienv/ld.so")
    assert len(changed) == len(data)
    assert elf.parse(changed).needed == elf.parse(data).needed
    assert elf.parse(changed).interpreter == (64 + 3 * 56, len(INTERP), "/opt/aienv/ld.so")


def test_room_is_checked() -> None:
    """The longest path that fits passes, one more character does not."""
    room = len(INTERP) - 1
    assert b"/" + b"x" * (room - 1) in elf.with_interpreter(tiny(), "/" + "x" * (room - 1))
    with pytest.raises(elf.ElfError, match="there is room for"):
        elf.with_interpreter(tiny(), "/" + "x" * room)


@pytest.mark.parametrize(
    ("data", "because"),
    [
        pytest.param(b"", "not a 64-bit", id="empty"),
        pytest.param(b"#!/bin/sh\n", "not a 64-bit", id="script"),
        pytest.param(b"\x7fELF\x01\x01\x01" + bytes(60), "not a 64-bit", id="32-bit"),
        pytest.param(b"\x7fELF\x02\x02\x01" + bytes(60), "not a 64-bit", id="big-endian"),
        pytest.param(tiny()[:200], "outside", id="cut-off"),
        pytest.param(tiny(interp=b"/no/nul"), "odd loader path", id="loader-without-end"),
        pytest.param(tiny(interp=b"/a\0/b\0"), "odd loader path", id="two-loaders-in-one"),
        pytest.param(tiny(interp=b"/\xff\0"), "not ASCII", id="not-ascii"),
        pytest.param(tiny()[:56] + struct.pack("<H", 9999) + tiny()[58:], "program header", id="too-many-segments"),
    ],
)
def test_refused(data: bytes, because: str) -> None:
    """What is not as expected is refused, with the reason."""
    with pytest.raises(elf.ElfError, match=because):
        elf.parse(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_is_answered(data: st.DataObject) -> None:
    """Whatever bytes a file holds, the answer is a value or our own error."""
    damaged = bytearray(tiny())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with contextlib.suppress(elf.ElfError):
        found = elf.parse(cut)
        assert len(found.segments) <= 256
        assert all(name.isascii() for name in found.needed)


def test_redirected() -> None:
    """Whole strings only: the tail of a longer one stays."""
    data = b"x\0/etc/a\0/usr/etc/a\0/etc/a\0"
    assert elf.redirected(data, "/etc/a", "/opt/b") == b"x\0/opt/b\0/usr/etc/a\0/opt/b\0"
    with pytest.raises(elf.ElfError, match="does not hold"):
        elf.redirected(data, "/etc/b", "/opt/b")
    with pytest.raises(elf.ElfError, match="not as long"):
        elf.redirected(data, "/etc/a", "/opt/long")


@pytest.mark.parametrize(
    ("path", "length", "wanted"),
    [("/opt/aienv/lib/", 15, "/opt/aienv/lib/"), ("/opt/aienv/lib/", 18, "/opt////aienv/lib/"), ("/opt/aienv/x", 13, "/opt//aienv/x")],
)
def test_stretched(path: str, length: int, wanted: str) -> None:
    """Doubled slashes name the same file."""
    assert elf.stretched(path, length) == wanted
    with pytest.raises(elf.ElfError):
        elf.stretched(path, len(path) - 1)
