#!/usr/bin/env bash
# Run a command on a fresh clone, and look at what came back. Options go to aienv run: examples/hello/run.sh --backend local
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

repository=$(new_repository greetings "$here/repository")
cd "$repository"

show "$aienv" run "$@" "$here/task.yaml"
show git branch --list
show "$aienv" diff last
show git status --short    # the checkout itself was not touched
