#!/bin/sh
# Has git itself write its configuration, in each of the files that it has for it.
# outside: escapes
found=
for words in "core.fsmonitor x" "core.hooksPath x" "--worktree core.hooksPath x" "--file .git/config core.pager x" "--add include.path x" \
  "alias.status x" "filter.evil.clean x" "extensions.worktreeConfig true" "core.sshCommand x"
do
  if git config $words 2>/dev/null; then found="$found [$words]"; fi
done
if [ -n "$found" ]; then echo "ESCAPED:$found"; else echo "held: git could not write it"; fi
