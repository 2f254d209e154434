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

check 'the agent starts' '' gemini --version
check 'its version' "$(test '${templateOption:version}' = latest || echo '${templateOption:version}')" gemini --version
check 'node' 42 node -e 'console.log(6 * 7)'
check 'tools' 42 sh -c 'echo 42 > f && rg --no-filename 4 f | jq .'
check 'more tools' bubblewrap sh -c 'bwrap --version && patch --version && python3 --version && file --version'
check 'commits' first sh -c 'git init -q r && cd r && git -c user.name=a -c user.email=a@example.org commit -qm first --allow-empty && git log --format=%s'
