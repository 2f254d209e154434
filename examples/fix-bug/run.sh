#!/usr/bin/env bash
# A bug, an agent that fixes it, and a check that decides. Options go to aienv run: examples/fix-bug/run.sh --backend local
#
# AIENV_FAKE_MODEL=FOLDER: talk HTTP to the scripted model server in that folder (fake_model.py) instead of playing the script.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

sources=("$here/repository" "$here/agent.py" "$here/model.json")
command=()
fake_model=${AIENV_FAKE_MODEL:-}
unset AIENV_FAKE_MODEL    # ours, not a setting of aienv
if [ -n "$fake_model" ]; then
  # A run has no network, so the server runs beside the agent: on a socket in the sandbox's own /tmp.
  sources+=("$fake_model/fake_model.py" "$here/with-model.sh")
  command=(-- sh with-model.sh python3 agent.py --model unix:/tmp/model.sock 'The tests of durations.py fail. Find out why, fix it, and commit.')
fi
repository=$(new_repository durations "${sources[@]}")
cd "$repository"

show "$aienv" run "$@" "$here/task.yaml" "${command[@]}"
show git log --oneline --branches
show "$aienv" diff last
show git status --short    # the checkout itself was not touched
