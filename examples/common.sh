# What the examples share; sourced, not run. Leaves $aienv (the command), $scratch (a folder that goes away at the end).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The command of this tree; AIENV names another one. In a fresh clone it is made first.
find_aienv() {
  if [ -n "${AIENV:-}" ]; then echo "$AIENV"; return; fi
  "$root/.ci/setup" run >&2 || exit 3
  echo "$root/.venv/bin/aienv"
}

aienv=$(find_aienv)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# new_repository NAME SOURCE...: a git repository $scratch/NAME with one commit of what lies in SOURCE... (folders or files).
new_repository() {
  local target="$scratch/$1" source
  shift
  mkdir -p "$target"
  for source in "$@"; do
    if [ -d "$source" ]; then cp -R "$source/." "$target/"; else cp "$source" "$target/"; fi
  done
  git -C "$target" init --quiet --initial-branch=main
  git -C "$target" add --all
  git -C "$target" -c user.name='A user' -c user.email=user@example.org commit --quiet --message='Begin'
  echo "$target"
}

# show COMMAND...: print it as one would type it, then run it.
show() {
  printf '\n$ %s\n' "${*/#$aienv/aienv}" >&2
  "$@"
}
