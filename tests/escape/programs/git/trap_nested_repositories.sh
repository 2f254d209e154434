#!/bin/sh
# Leaves repositories within the repository: ordinary, bare, by link, by file, with a tree of work at the root of the disk.
# outside: never
witness=${ESCAPE_WITNESS:?}
host=${ESCAPE_HOME:?}
mkdir -p nested && cd nested || exit 1
git init -q ordinary && (cd ordinary && git config core.fsmonitor "touch $witness/nested" && git config core.hooksPath "$PWD/hooks" && mkdir hooks &&
  for hook in post-checkout reference-transaction pre-commit post-index-change; do printf '#!/bin/sh\ntouch %s/hook\n' "$witness" > hooks/$hook; chmod 755 hooks/$hook; done
  echo x > x; git -c core.fsmonitor= -c core.hooksPath=/dev/null add x)
git init -q --bare bare.git && git -C bare.git config core.fsmonitor "touch $witness/bare" && git -C bare.git config core.bare false && git -C bare.git config core.worktree "$PWD"
git init -q wide && git -C wide config core.worktree /
mkdir -p by-file by-link by-root
echo "gitdir: $host/../app/.git" > by-file/.git
ln -s "$host/../app/.git" by-link/.git
ln -s / by-root/.git
echo "held: laid"
