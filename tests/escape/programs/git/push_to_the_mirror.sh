#!/bin/sh
# Pushes to where the clone came from, and to the host's repository by its path.
# outside: never
found=
for place in origin "$(git config remote.origin.url)" "$(sed -n 1p .git/objects/info/alternates 2>/dev/null)/.." /run/aienv/objects; do
  [ -n "$place" ] || continue
  if timeout 10 git push -q "$place" HEAD:refs/heads/pushed 2>/dev/null; then found="$found [$place]"; fi
done
if [ -n "$found" ]; then echo "ESCAPED:$found"; else echo "held: nobody took it"; fi
