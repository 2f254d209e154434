#!/bin/sh
# Leaves submodules whose own folders start programs and lie elsewhere.
# outside: never
witness=${ESCAPE_WITNESS:?}
printf '[submodule "a"]\n\tpath = sub\n\turl = https://evil.example.net/sub\n' > .gitmodules
mkdir -p .git/modules/a/hooks .git/modules/a/objects .git/modules/a/refs sub
printf '[core]\n\tworktree = ../../../../../../../..\n\tfsmonitor = touch %s/module\n' "$witness" > .git/modules/a/config
echo 'ref: refs/heads/main' > .git/modules/a/HEAD
echo 'gitdir: ../.git/modules/a' > sub/.git
echo "held: laid"
