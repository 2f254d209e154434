"""What is packed comes out whole, in small steps, and no small thing becomes a large one."""

import bz2
import gzip
import lzma
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.guard.calls import Denied
from orchestrator.guard.packing import STEP, Bound, Unpacker
from tests.unit.guard.imagesession import denied

Pack = Callable[[bytes], bytes]
PACKS: dict[str, Pack] = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "plain": bytes}
each_packing = pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])


def unpacked(data: bytes, step: int = 1 << 20, bound: Bound | None = None) -> list[bytes]:
    unpacker = Unpacker(bound)
    found = [piece for start in range(0, len(data), step) for piece in unpacker.feed(data[start : start + step])]
    return found + list(unpacker.finish())


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(PACKS)), st.lists(st.binary(max_size=3000) | st.just(bytes(STEP)), min_size=1, max_size=3), st.integers(1, 3000)
)
def test_round(kind: str, parts: list[bytes], step: int) -> None:
    """Several streams, one after the other, in any pieces."""
    parts = [b"begin" + parts[0], *parts[1:]]
    pieces = unpacked(b"".join(PACKS[kind](part) for part in parts), step)
    assert b"".join(pieces) == b"".join(parts)
    assert max(map(len, pieces)) <= STEP


@each_packing
def test_zeros(pack: Pack) -> None:
    """Some is free, whatever it is packed to; more is not."""
    assert sum(map(len, unpacked(pack(bytes(64 << 20))))) == 64 << 20
    with pytest.raises(Denied) as caught:
        unpacked(pack(bytes(80 << 20)))
    assert denied(caught) == "archive.ratio"


@pytest.mark.parametrize("step", [1, 100, 1 << 20])
def test_the_bomb_that_was_tried(step: int) -> None:
    """A few KiB of bzip2 for gigabytes: each stream gives a thousand times a thousand of itself."""
    one = bz2.compress(bytes(16 << 20))
    with pytest.raises(Denied) as caught:
        unpacked(one * 50, step)
    assert denied(caught) == "archive.ratio"


@each_packing
def test_empty_streams(pack: Pack) -> None:
    """Some tools end with one; thousands only cost time."""
    assert b"".join(unpacked(pack(b"123456") + pack(b"") * 3)) == b"123456"
    with pytest.raises(Denied) as caught:
        unpacked(pack(b"") * 1000)
    assert denied(caught) == "archive.ratio"


def test_shared_bound() -> None:
    """What is free is free once, for all that is packed in one archive."""
    bound = Bound()
    data = gzip.compress(bytes(30 << 20))
    unpacked(data, bound=bound)
    unpacked(data, bound=bound)
    with pytest.raises(Denied):
        unpacked(data, bound=bound)
    with pytest.raises(Denied) as caught:
        unpacked(data, bound=Bound(1 << 20))
    assert denied(caught) == "archive"


@each_packing
def test_steps_are_taken_one_by_one(pack: Pack) -> None:
    """Nothing is unpacked before it is asked for, so that whoever asks can stop, or let others have their turn."""
    steps = Unpacker().feed(pack(bytes(60 << 20)))
    assert [len(next(steps)) for _ in range(3)] == [STEP] * 3


@each_packing
def test_damaged(pack: Pack) -> None:
    data = pack(b"x" * 10_000)
    for bad in (data[:-1], data[:10], data + b"x", data[:20] + b"\xff\xff\xff\xff" + data[24:]):
        with pytest.raises(Denied):
            unpacked(bad)
