#!/bin/sh
# Has git read masked files for us: adding, diffing, stashing, archiving.
# outside: escapes
found=
said=$(for name in .env conf/key.pem .npmrc; do
  git hash-object --stdin < "$name" >/dev/null; git diff --no-index --no-color /dev/null "$name"; git grep --no-index --untracked -h . -- "$name"; tar cf - "$name"
done 2>/dev/null | tr -d '\0' | grep -a MASKED-)
[ -z "$said" ] || found=" $said"
if [ -n "$found" ]; then echo "ESCAPED:$found" | tr '\n' ' ' | head -c 300; echo; else echo "held: git saw them empty"; fi
