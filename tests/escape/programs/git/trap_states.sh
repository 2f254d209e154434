#!/bin/sh
# Leaves a rebase, a merge and a bisection half done, whose next steps are commands.
# outside: never
witness=${ESCAPE_WITNESS:?}
mkdir -p .git/rebase-merge .git/sequencer
printf 'exec touch %s/rebase\n' "$witness" > .git/rebase-merge/git-rebase-todo
git rev-parse HEAD | tee .git/rebase-merge/onto .git/rebase-merge/orig-head > .git/sequencer/head
echo refs/heads/main > .git/rebase-merge/head-name
printf 'touch %s/bisect\n' "$witness" > .git/BISECT_RUN
echo "held: laid"
