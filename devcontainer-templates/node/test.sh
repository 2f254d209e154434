#!/bin/sh
# Run inside of the container, as its user: proves that what the README names is there and works.   usage: sh test.sh
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

check() { # NAME EXPECTED COMMAND...
    name=$1 expected=$2
    shift 2
    answer=$("$@" 2>&1) || { echo "FAIL $name: ended with $?: $answer"; exit 1; }
    case $answer in
        *"$expected"*) echo "ok   $name" ;;
        *) echo "FAIL $name: expected '$expected', got '$answer'"; exit 1 ;;
    esac
}

check 'not root' dev id -un
check 'a home that can be written' fine sh -c 'echo fine > "$HOME/.probe" && cat "$HOME/.probe" && rm "$HOME/.probe"'
check 'git' 'git version' git --version

check 'node' 42 node -e 'console.log(6 * 7)'
check 'a module' fine sh -c 'echo "export const a = \"fine\"" > a.mjs && node --input-type=module -e "import {a} from \"$PWD/a.mjs\"; console.log(a)"'
check 'npm' . npm --version
mkdir p && printf '{"name": "p", "version": "1.0.0", "bin": "p.js"}' > p/package.json && printf '#!/usr/bin/env node\nconsole.log("global fine")\n' > p/p.js
check 'a global package, without root' 'global fine' sh -c 'npm install --global --offline --no-fund --no-audit ./p >/dev/null && p && npm uninstall --global p >/dev/null'
if [ '${templateOption:version}' != debian ]; then
    check 'the version' 'v${templateOption:version}' node --version
fi
