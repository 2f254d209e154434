"""Values to canonical JSON and back."""

# ruff: noqa: E501 - a row of a table stays one line

import json
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model.codec import canonical_json, digest, from_plain, to_plain
from orchestrator.model.plan import Plan
from orchestrator.model.record import Harvest, Outcome
from orchestrator.model.task import Limits
from orchestrator.run.context import Workspace

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
KINDS = st.sampled_from([Plan, Harvest, Outcome, Limits, Workspace])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=KINDS)
def test_round_trip(data: st.DataObject, kind: type) -> None:
    """Any value of a type of ours comes back equal, through real JSON, and equal values have one digest."""
    st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
    st.register_type_strategy(str, TEXT)
    value = data.draw(st.from_type(kind))
    encoded = canonical_json(value)
    back = from_plain(kind, json.loads(encoded))
    assert back == value
    assert canonical_json(back) == encoded
    assert digest(back) == digest(value)


LIMITS = to_plain(Limits(1.0, 1, 1, 1, 1, 1.0, 1.0))
OUTCOME = to_plain(Outcome(None, None, "exited", 1.0))


@pytest.mark.parametrize(
    ("kind", "plain"),
    [
        (Limits, None), (Limits, []), (Limits, {}), (Limits, {**LIMITS, "more": 1}), (Limits, {**LIMITS, "pids": "1"}), (Limits, {**LIMITS, "pids": True}),
        (Limits, {**LIMITS, "pids": 1.5}), (Limits, {**LIMITS, "cpus": "x"}), (Limits, {**LIMITS, "cpus": None}), (Limits, dict.fromkeys(list(LIMITS)[:-1], 1)),
        (Outcome, {**OUTCOME, "reason": "gone"}), (Outcome, {**OUTCOME, "reason": ["exited"]}), (Outcome, {**OUTCOME, "exit_code": "1"}), (Plan, {}), (Plan, 3),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(kind: type, plain: object) -> None:
    """A missing, unknown or wrong member is a ValueError with its path."""
    with pytest.raises(ValueError, match=r"\$"):
        from_plain(kind, plain)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(plain=JSON, kind=KINDS)
def test_any_json_is_a_value_or_a_value_error(plain: object, kind: type) -> None:
    """Files that were damaged end in our own error."""
    names = [field.name for field in fields(kind)]
    for candidate in (plain, dict.fromkeys(names, plain)):
        try:
            from_plain(kind, candidate)
        except ValueError:
            continue


def test_canonical_means_one_way() -> None:
    """Sorted keys, no blanks, UTF-8, no NaN."""
    assert canonical_json({"b": 1, "a": ["ü", None]}) == '{"a":["ü",null],"b":1}'.encode()
    with pytest.raises(ValueError):
        canonical_json({"x": float("nan")})


@pytest.mark.parametrize("name", ["latin-\udce9", "\udc80", "ok"])
def test_names_that_are_no_utf8(name: str) -> None:
    """File names of any bytes have a digest, and different ones differ."""
    assert digest([name]) != digest([name + "x"])
    assert json.loads(canonical_json([name])) == [name]
