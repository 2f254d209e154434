"""Every fuzz target holds for its seeds and for what hypothesis makes of them; the long runs are by hand, see ``run.py``."""

import importlib
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.run import TARGETS, counts, target_names

NAMES = target_names()


def target(name: str) -> ModuleType:
    return importlib.import_module(f"{TARGETS}.{name}")


def test_there_are_targets() -> None:
    """So that the tests below cannot be empty."""
    assert {"hosts", "presets", "rules"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_seeds(name: str) -> None:
    """The seeds are inputs of the right kind: what they assert holds."""
    for seed in (b"", *getattr(target(name), "SEEDS", ())):
        assert target(name).one_input(seed) is None


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_input(name: str, data: st.DataObject) -> None:
    """Pieces of seeds and words put together anew, and plain bytes."""
    module = target(name)
    pieces = [*getattr(module, "SEEDS", ()), *getattr(module, "WORDS", ()), b"\0"]
    cut = st.sampled_from(pieces).flatmap(lambda piece: st.integers(0, len(piece)).map(lambda end: piece[:end]))
    module.one_input(data.draw(st.lists(st.sampled_from(pieces) | cut | st.binary(max_size=4), max_size=5).map(b"".join)))


def test_counts() -> None:
    """The numbers are those of the fuzzer's last lines."""
    log = "#8\tpulse  cov: 10 ft: 12 corp: 3/21b\n#99\tDONE   cov: 42 ft: 99 corp: 7/54b\nstat::number_of_executed_units: 99\n"
    assert counts(log) == {"number_of_executed_units": 99, "edges": 42, "kept": 7}
    assert counts("") == {"edges": 0, "kept": 0}
