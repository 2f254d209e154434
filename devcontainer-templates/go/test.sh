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

mkdir m && cd m
printf 'module example.org/m\n\ngo 1.19\n' > go.mod
printf 'package main\n\nimport "fmt"\n\nfunc six() int { return 6 }\n\nfunc main() { fmt.Println(six() * 7) }\n' > main.go
printf 'package main\n\nimport "testing"\n\nfunc TestSix(t *testing.T) {\n\tif six() != 6 {\n\t\tt.Fatal(six())\n\t}\n}\n' > main_test.go
check 'build and run' 42 go run .
check 'test' ok go test ./...
check 'vet and gofmt' fine sh -c 'go vet ./... && test -z "$(gofmt -l .)" && echo fine'
if [ '${templateOption:cgo}' = true ]; then
    mkdir c && printf 'package main\n\n// static int six(void) { return 6; }\nimport "C"\n\nfunc main() { println(C.six() * 7) }\n' > c/main.go
    check 'cgo' 42 go run ./c
fi
