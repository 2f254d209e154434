"""An agent of the user's own: added from a manifest, and run like any other; what a repository brings is not one."""

from pathlib import Path

from tests.e2e.product import ROOT, Aienv

NOTE_TAKER = ROOT / "examples/agents/note-taker.yaml"


def test_note_taker(product: Aienv) -> None:
    """The prompt arrives as one word, whatever is in it, and the agent's commit comes out."""
    assert product("agents", "add", str(NOTE_TAKER)).code == 0
    done = product.run("--json", "--agent", "note-taker", "Remember $(id) the 'milk'; --now")
    assert done.code == 0, done.errors
    report = done.document
    assert (report["status"], [file["path"] for file in report["result"]["changed_files"]]) == ("succeeded", ["NOTES.md"])
    assert not report["result"]["uncommitted"]
    assert "+Remember $(id) the 'milk'; --now\n" in product("diff", "last").text


def test_of_the_repository(local: Aienv, repo: Path) -> None:
    """A manifest says what is installed and which variables are keys; a repository has no say in that."""
    for folder in (".aienv/agents", "agents", ".config/aienv/agents"):
        (repo / folder).mkdir(parents=True)
        (repo / folder / "note-taker.yaml").write_bytes(NOTE_TAKER.read_bytes())
    done = local.run("--with-changes", "--agent", "note-taker", "Remember the milk")
    assert done.code == 2
    assert "unknown agent 'note-taker'" in done.errors
