#!/bin/sh
# Starts a sandbox within the sandbox, with the programs for it that the system has.
# outside: escapes
found=
for command in \
  "unshare --user --map-root-user true" \
  "unshare --mount true" \
  "unshare --net true" \
  "bwrap --unshare-user --ro-bind / / true" \
  "bwrap --unshare-all --ro-bind / / --proc /proc true" \
  "/opt/aienv/bin/bwrap --unshare-user --ro-bind / / true" \
  "podman unshare true" \
  "firejail true"
do
  if timeout 10 $command >/dev/null 2>&1; then found="$found [$command]"; fi
done
if [ -n "$found" ]; then echo "ESCAPED:$found"; else echo "held: none of them started"; fi
