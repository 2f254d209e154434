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

check 'psql' psql psql --version
check 'the database answers' 42 psql "$DATABASE_URL" --tuples-only --command 'SELECT 6 * 7'
check 'its name' '${templateOption:database}' psql "$DATABASE_URL" --tuples-only --command 'SELECT current_database()'
check 'a table' fine psql "$DATABASE_URL" --tuples-only --command "CREATE TEMPORARY TABLE t AS SELECT 'fine' AS a; SELECT a FROM t"
check 'a wrong password is refused' 'authentication failed' sh -c 'psql "$(echo "$DATABASE_URL" | sed s/:dev@/:wrong@/)" --command "SELECT 1" || true'
