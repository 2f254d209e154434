"""The promise itself: whatever sequence of git commands and edits an agent runs, every byte of it is reachable from the bundle."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.harvest.place import Place, new_place, sh

pytestmark = pytest.mark.bwrap

FILES = st.sampled_from(["a.txt", "src/b.txt", "new", "d/e/f", "ig.log", "sp ace", "n/x", "link"])
BRANCHES = st.sampled_from(["main", "one", "two/three"])

OPERATIONS = st.one_of(
    FILES.map(lambda f: f"mkdir -p \"$(dirname '{f}')\"; echo $((N=N+1)) > '{f}'"),
    FILES.map(lambda f: f"echo $((N=N+1)) >> '{f}'; git add '{f}'"),
    FILES.map(lambda f: f"rm -rf '{f}'"),
    FILES.map(lambda f: f"git rm -rq --cached '{f}'"),
    FILES.map(lambda f: f"git mv '{f}' moved$((N=N+1))"),
    FILES.map(lambda f: f"chmod +x '{f}'"),
    FILES.map(lambda f: f"rm -rf '{f}'; ln -s target$((N=N+1)) '{f}'"),
    FILES.map(lambda f: f"git update-index --skip-worktree '{f}'"),
    BRANCHES.map(lambda b: f"git checkout -q {b} || git checkout -qb {b}"),
    BRANCHES.map(lambda b: f"git branch -D {b}"),
    BRANCHES.map(lambda b: f"git merge -q -m m {b}"),
    BRANCHES.map(lambda b: f"git rebase -q {b}"),
    st.sampled_from(
        [
            "git add -A",
            "git commit -qam c$((N=N+1))",
            "git add -A; git commit -qm c$((N=N+1))",
            "git commit -q --amend -m a$((N=N+1))",
            "git stash -q",
            "git stash -qu",
            "git stash pop -q",
            "git stash drop -q",
            "git reset -q --hard HEAD~1",
            "git reset -q HEAD~1",
            "git checkout -q --detach",
            "git checkout -q --orphan o$((N=N+1))",
            "git tag t$((N=N+1))",
            "git tag -a -m t t$((N=N+1))",
            "git notes add -m n$((N=N+1))",
            "git cherry-pick HEAD~1",
            "git revert --no-edit HEAD",
            "git gc -q",
            "git repack -qad",
            "git pack-refs --all",
            "git reflog expire --expire=now --all",
            "git worktree add -q wt$((N=N+1))",
            "echo '*.log' >> .gitignore",
            "git init -q n; (cd n; echo $((N=N+1)) > inner; git add inner; git commit -qm inner)",
            "git clean -qfd",
            "git hash-object -w --stdin < a.txt",
        ]
    ),
)

# All blobs in the agent's own store, and what all files on disk would be, nested work trees included.
CENSUS = """
for g in $(find . -name .git -type d) ; do
  git --git-dir=$g cat-file --batch-all-objects --batch-check='%(objecttype) %(objectname)' | sed -n 's/^blob //p'
done
find . -name .git -prune -o -type f -print0 | xargs -0 -r -n 50 git hash-object --no-filters
"""


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(OPERATIONS, min_size=8, max_size=40))
def test_every_blob_is_reachable(operations: list[str]) -> None:
    """Blobs of commits, index, stashes, untracked and ignored files: all are in the bundle, or were in the repository before."""
    with new_place() as place:
        place.start()
        place.agent(
            "N=1000; set +e; exec 2>/dev/null; " + "; ".join(f"{operation}\n" for operation in operations).replace("\n;", "\n") + "\ntrue"
        )
        written = set(place.agent(CENSUS).split())
        harvest = place.harvest()
        assert harvest.complete, harvest.notes
        missing = written - _reachable(place)
        assert not missing, (missing, harvest.refs, harvest.notes)


def _reachable(place: Place) -> set[str]:
    known = sh("git rev-list --objects --no-object-names --all", place.mirror).split()
    found = place.git("rev-list", "--objects", "--no-object-names", "--glob=refs/aienv-out/*").split()
    inner = []
    for bundle in sorted((place.run_dir / "nested").glob("*.bundle")) if (place.run_dir / "nested").exists() else ():
        target = place.root / (bundle.name + ".git")
        sh(f"git clone -q --mirror --reference {place.quarantine} {bundle} {target}", place.root)
        inner += sh("git rev-list --objects --no-object-names --all", target).split()
    return {*known, *found, *inner}
