#!/bin/sh
# Proves that a toolbox runs in any Linux image.  usage: test.sh TREE IMAGE...   (DOCKER_HOST chooses the engine)
set -eu
tree=${1:?usage: test.sh TREE IMAGE...}
shift

inside() { # IMAGE PROGRAM ARGUMENT...
    image=$1 program=$2
    shift 2
    docker run --rm --network none --read-only --user 1000:1000 --volume "$tree:/opt/aienv:ro" --entrypoint "/opt/aienv/bin/$program" "$image" "$@"
}

# The files that a running python has mapped: all of them must be the toolbox's own.
foreign='import ctypes, json, socket, zlib
maps = {line.split()[-1] for line in open("/proc/self/maps") if "/" in line}
print("foreign", sorted(path for path in maps if not path.startswith("/opt/aienv/")))'

for image in "$@"; do
    answer=$(inside "$image" python3 -I -S -c "$foreign")
    [ "$answer" = 'foreign []' ] || { echo "FAIL python3 in $image: $answer"; exit 1; }
    inside "$image" git --version >/dev/null || { echo "FAIL git in $image"; exit 1; }
    inside "$image" bwrap --version >/dev/null || { echo "FAIL bwrap in $image"; exit 1; }
    inside "$image" ../shell/bash -c : || { echo "FAIL bash in $image"; exit 1; }
    echo "ok   $image"
done
