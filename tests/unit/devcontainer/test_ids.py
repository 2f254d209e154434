"""Ids of containers; the long ones were made by the reference's own function."""

import pytest

from orchestrator.devcontainer.ids import default_labels, devcontainer_id, labels_of
from orchestrator.errors import UsageError


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param({"a": "b"}, "1mqafr5h2iu6dhh3k1m4vtnuhml2uiec4s7bntt1v0f25ao63i1n", id="one"),
        pytest.param({"n": "110"}, "00iamu8frjb7p05n1jq35gne1mo5np6hklvn86h6eiaja91ha0js", id="padded with zeros"),
        pytest.param(
            {"\ufb01": "1", "\U0001f600": "2"}, "0da6dc2qhqa5pov266anenfes8n6oasrje41ntbktb4i8onetlin", id="sorted as JavaScript sorts"
        ),
        pytest.param(
            default_labels("/w/ü", "/w/ü/.devcontainer/devcontainer.json"),
            "0f5alo4pm8an0sj8r8n2roufff6ih8g4tg71jrhvv66hfq5n3s49",
            id="usual",
        ),
    ],
)
def test_id(labels: dict[str, str], expected: str) -> None:
    assert devcontainer_id(labels) == expected
    assert devcontainer_id(dict(reversed(labels.items()))) == expected


def test_labels() -> None:
    assert labels_of(("a=b", "c=d=e")) == {"a": "b", "c": "d=e"}
    for word in ("x", "=b", "a=", ""):
        with pytest.raises(UsageError, match="name=value"):
            labels_of((word,))
