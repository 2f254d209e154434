#!/usr/bin/env bash
# make demo: real tasks from clone to removed environment, in what is here: examples/demo.sh [own-engine|local]
#
# In a container where a Docker engine answers, or where we may start one of our own (as root); else under bubblewrap.
# The runs' files lie in a temporary folder; what takes long to make is kept in .cache.
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
say() { printf '\n=== %s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

state=$(mktemp -d)
engine=
finish() {
  code=$?
  trap - EXIT
  [ -z "$engine" ] || .venv/bin/python tests/engine.py stop --root "$engine" || code=1
  rm -rf "$state"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

test_cache=${AIENV_TEST_CACHE:-$root/.cache/test}
export XDG_CACHE_HOME=$root/.cache XDG_STATE_HOME=$state/state XDG_CONFIG_HOME=$state/config
for name in ${!AIENV*}; do unset "$name"; done    # settings of the user's would change what is shown

.ci/setup run || exit 3
aienv=.venv/bin/aienv

engine_answers() { .venv/bin/python - <<'END'
import os, sys
from pathlib import Path
from orchestrator.backends.docker import DockerBackend
from orchestrator.errors import AienvError
try:
    facts = DockerBackend(Path(os.devnull), os.environ, lambda text: None).check()
except AienvError as problem:
    sys.exit(f"demo: {problem.message}")
print(f"demo: Docker engine {facts.version} answers at {facts.address}")
END
}

start_engine() {
  [ "$(id -u)" -eq 0 ] || { echo 'demo: an engine of our own needs root' >&2; return 1; }
  .ci/setup run engine || return 1
  engine=$(mktemp -d /tmp/aienv-demo-XXXXXX)
  DOCKER_HOST=$(AIENV_TEST_CACHE=$test_cache .venv/bin/python tests/engine.py start --root "$engine") || { rm -rf "$engine"; engine=; return 1; }
  export DOCKER_HOST
  echo "demo: a Docker engine of our own answers at $DOCKER_HOST; it ends with the demonstration"
  say 'The base image (made from Debian packages: a minute or two, once; then kept in .cache)'
  AIENV_TEST_CACHE=$test_cache .venv/bin/python tests/engine.py load --root "$engine" --image base || return 1
}

case "${1:-best}" in
  own-engine) start_engine || fail 'no engine could be started, see above' && backend=docker ;;
  local) backend=local ;;
  best)
    if engine_answers; then
      backend=docker
      command -v mmdebstrap >/dev/null || .ci/setup run engine || true    # only needed where the engine reaches no registry
    elif start_engine; then backend=docker
    else backend=local; echo 'demo: so this runs under bubblewrap on this machine, without a container' >&2
    fi ;;
  *) fail "unknown word '$1': own-engine, local, or nothing" ;;
esac

export AIENV=$root/$aienv AIENV_BACKEND=$backend
if ! "$aienv" doctor; then
  fail 'no task can run here; the lines above name the cause and the cure'
fi

say "A command on a fresh clone ($backend)"
examples/hello/run.sh || fail 'the hello example did not work'

say "A bug, fixed by an agent, judged by the tests ($backend)"
examples/fix-bug/run.sh || fail 'the fix-bug example did not work'

say 'What is left: finished runs, and nothing else'
"$aienv" ps --all
[ "$("$aienv" ps --json)" = '[]' ] || fail 'aienv ps shows a run that is not finished'
[ -z "$(ls -A "$state/state/aienv/work" "$state/state/aienv/active" | grep -v ':$' || true)" ] || fail 'a work folder is left'
if [ "$backend" = docker ]; then
  containers=$(.venv/bin/python - <<'END'
import os
from pathlib import Path
from orchestrator.backends.docker import DockerBackend
print(len(list(DockerBackend(Path(os.devnull), os.environ, lambda text: None).survey())))
END
)
  echo "containers of ours: $containers"
fi
echo 'work folders: 0'
say "Done on $backend. Try it in a repository of yours: $root/$aienv run -- make test"
