#!/usr/bin/env bash
# What a CI job does: run a task, let its checks decide, keep the report. Options go to aienv run: examples/ci/run.sh --backend local
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

repository=$(new_repository words "$here/repository")
cd "$repository"

# A task whose check passes: 0. One whose agent is content, but whose check is not: 1.
expect() {
  local wanted=$1 code=0
  shift
  show "$@" > "$scratch/report.json" || code=$?
  echo "exit code $code, $(grep -o '"status": "[a-z]*"' "$scratch/report.json")"
  [ "$code" -eq "$wanted" ] || { echo "expected $wanted" >&2; exit 1; }
}
expect 0 "$aienv" run "$@" --json --quiet sort-words
expect 1 "$aienv" run "$@" --json --quiet add-word
show git branch --list    # both results are there: a failing check loses no work
