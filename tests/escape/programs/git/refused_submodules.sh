#!/bin/sh
# Commits submodules that start programs when they are fetched, and names that lead elsewhere.
# outside: never
witness=${ESCAPE_WITNESS:?}
printf '[submodule "a"]\n\tpath = sub\n\turl = ext::touch %s/ext\n\tupdate = !touch %s/update\n[submodule "../../../evil"]\n\tpath = ../../evil\n\turl = ./x\n[submodule "c"]\n\tpath = -u./payload\n\turl = -u./payload\n' \
  "$witness" "$witness" > .gitmodules
git add .gitmodules && git commit -q -m submodules && echo "held: committed"
