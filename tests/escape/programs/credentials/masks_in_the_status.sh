#!/bin/sh
# Looks whether the masks show as changes, which would carry them into the result.
# outside: never
said=$(git status --porcelain -- .env conf/key.pem .npmrc 2>&1)
if [ -n "$said" ]; then echo "ESCAPED: $said" | tr '\n' ' '; echo; else echo "held: nothing shows"; fi
