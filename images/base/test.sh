#!/bin/sh
# Proves what the README says about the base image.  usage: test.sh IMAGE   (DOCKER_HOST chooses the engine)
set -eu
image=${1:?usage: test.sh IMAGE}

inside() { docker run --rm --network none --read-only --tmpfs /tmp:exec --user "$1" "$image" sh -euc "$2"; }

check() { # NAME UID SCRIPT EXPECTED
    answer=$(inside "$2" "$3") || { echo "FAIL $1: ended with $?"; exit 1; }
    case $answer in
        *"$4"*) echo "ok   $1" ;;
        *) echo "FAIL $1: expected '$4', got '$answer'"; exit 1 ;;
    esac
}

check 'user is agent, not root'  ''        'id -un'                                                   agent
check 'home of its own'          ''        'echo "$HOME"; pwd'                                        /home/agent
check 'works as any other user'  4321:4321 'HOME=/tmp git init -q /tmp/r && echo fine'                fine
check 'git commits'              1000:1000 'export HOME=/tmp; git init -q /tmp/r; cd /tmp/r; git -c user.name=a -c user.email=a@b commit -qm x --allow-empty; git log --format=%s' x
check 'python and venv'          1000:1000 'python3 -m venv /tmp/v; /tmp/v/bin/python -c "import sys; print(sys.prefix)"' /tmp/v
check 'a compiler'               1000:1000 'echo "int main(){return 0;}" >/tmp/a.c; cc /tmp/a.c -o /tmp/a; /tmp/a; echo fine' fine
check 'node'                     1000:1000 'node -e "console.log(6*7)"'                               42
check 'small tools'              1000:1000 'rg --version; jq --version; curl --version; bwrap --version; less --version; ps' bubblewrap
check 'no set-uid surprise'      1000:1000 'find /usr /bin -xdev -perm -4000 -name bwrap | wc -l'           0
check 'labels'                   ''        "echo $(docker image inspect --format '{{index .Config.Labels "dev.aienv.image"}}' "$image")" base
