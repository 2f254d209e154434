"""``aienv resume``: what an earlier run left, read as what somebody may have written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.cli.resume import _earlier
from orchestrator.config.document import read_document
from orchestrator.config.layers import Source, resolve
from orchestrator.errors import AienvError, NotFound
from orchestrator.model.agent import Native
from orchestrator.model.codec import canonical_json
from orchestrator.model.plan import Plan
from tests.unit.test_policy import plan as whole_plan

RUN = "0123456789"
COMMIT = "a" * 40
REPORT: dict[str, Any] = {"id": "../../x", "agent": {"session": "ses_1.a:b-c"}, "result": {"commit": COMMIT}, "base_commit": "b" * 40}


def plan() -> Plan:
    found = whole_plan(resolve([Source("user", read_document(b"{}", "user", "config").values)]))
    agent = replace(found.agent, profile="claude", model="m1")
    return replace(found, agent=agent, repo=replace(found.repo, kind="path", location="/src/app"))


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One run that ended well, and can be gone on with."""
    monkeypatch.setenv("AIENV_HOME", str(tmp_path))
    from orchestrator.cli.common import paths

    folder = paths().runs / RUN
    (folder / "sessions").mkdir(parents=True)
    (folder / "report.json").write_bytes(canonical_json(REPORT))
    (folder / "plan.json").write_bytes(canonical_json(plan()))
    return folder


def test_what_a_run_goes_on_with() -> None:
    """The folder's own name is the run's, whatever the report says."""
    assert _earlier(RUN) == (Native(RUN, "ses_1.a:b-c"), plan(), COMMIT)


@pytest.mark.parametrize(
    "result",
    [
        pytest.param({}, id="nothing"), pytest.param(None, id="null"), pytest.param([1], id="list"),
        pytest.param({"commit": "--upload-pack=x"}, id="option"), pytest.param({"commit": {"a": 1}}, id="object"),
        pytest.param({"commit": "main"}, id="branch"),
    ],
)  # fmt: skip
def test_without_a_proper_commit(run_folder: Path, result: object) -> None:
    """An empty one means where the run began; one that is none is left."""
    (run_folder / "report.json").write_bytes(canonical_json(REPORT | {"result": result}))
    named = isinstance(result, dict) and "commit" in result
    assert _earlier(RUN)[2] == (None if named else "b" * 40)


@pytest.mark.parametrize(
    ("name", "data", "because"),
    [
        pytest.param("report.json", b"", "no report that can be read", id="empty"),
        pytest.param("report.json", b"{", "no report that can be read", id="cut"),
        pytest.param("report.json", b"\xff\xfe{}", "no report that can be read", id="no-text"),
        pytest.param("report.json", b"[" * 100_000, "no report that can be read", id="deep"),
        pytest.param("report.json", b"[]", "no session", id="list"),
        pytest.param("report.json", b"null", "no session", id="null"),
        pytest.param("report.json", b'{"agent": null}', "no session", id="no-agent"),
        pytest.param("report.json", b'{"agent": [1]}', "no session", id="agent-list"),
        pytest.param("report.json", b'{"agent": {"session": 1}}', "no session", id="session-number"),
        pytest.param("report.json", b'{"agent": {"session": ""}}', "no session", id="session-empty"),
        pytest.param("report.json", b'{"agent": {"session": "--settings=/x"}}', "a name that is none", id="session-option"),
        pytest.param("report.json", b'{"agent": {"session": "a b"}}', "a name that is none", id="session-blank"),
        pytest.param("report.json", b'{"agent": {"session": "a\\u001b[2J"}}', "a name that is none", id="session-escape"),
        pytest.param("report.json", json.dumps({"agent": {"session": "a" * 201}}).encode(), "a name that is none", id="session-long"),
        pytest.param("plan.json", b"[]", "no report that can be read", id="plan-list"),
        pytest.param("plan.json", b"{}", "no report that can be read", id="plan-empty"),
        pytest.param("plan.json", b"1e999", "no report that can be read", id="plan-number"),
    ],
)
def test_refused(run_folder: Path, name: str, data: bytes, because: str) -> None:
    (run_folder / name).write_bytes(data)
    with pytest.raises(NotFound, match=because) as caught:
        _earlier(RUN)
    assert caught.value.remedy
    assert caught.value.message.isprintable()


def test_without_files_or_folder(run_folder: Path) -> None:
    (run_folder / "sessions").rmdir()
    with pytest.raises(NotFound, match="no session"):
        _earlier(RUN)
    (run_folder / "plan.json").unlink()
    with pytest.raises(NotFound, match="no report"):
        _earlier(RUN)


def test_a_bundle_is_not_gone_on_with(run_folder: Path) -> None:
    (run_folder / "plan.json").write_bytes(canonical_json(replace(plan(), repo=replace(plan().repo, kind="url"))))
    with pytest.raises(NotFound, match="is a bundle"):
        _earlier(RUN)


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
_MEMBERS = sorted(json.loads(canonical_json(plan())))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["agent", "result", "base_commit"]), _VALUES, st.sampled_from(_MEMBERS), _VALUES, st.booleans())
def test_any_json_is_read_or_refused(run_folder: Path, member: str, value: object, of_plan: str, broken: object, both: bool) -> None:
    """Never another exception than ours; what comes out is text."""
    (run_folder / "report.json").write_text(json.dumps(REPORT | {member: value}))
    whole = json.loads(canonical_json(plan()))
    (run_folder / "plan.json").write_text(json.dumps(whole | {of_plan: broken} if both else whole))
    try:
        native, found, commit = _earlier(RUN)
    except AienvError:
        return
    assert native.run == RUN
    assert isinstance(found, Plan)
    assert commit is None or set(commit) <= set("0123456789abcdef")


def test_a_number_of_any_size_in_the_limits(run_folder: Path) -> None:
    whole = json.loads(canonical_json(plan()))
    whole["limits"]["timeout_s"] = 10**400
    (run_folder / "plan.json").write_text(json.dumps(whole))
    with pytest.raises(NotFound):
        _earlier(RUN)
