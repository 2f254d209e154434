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

check 'a compiler' 42 sh -c 'printf "#include <stdio.h>\nint main(void) { return printf(\"%%d\", 6 * 7) != 2; }\n" > a.c && cc a.c -o a && ./a'
check 'small tools' 42 sh -c 'echo 42 > f && rg --no-filename 4 f | jq .'
if [ '${templateOption:python}' = true ]; then
    check 'Python' 42 sh -c 'python -m venv v && v/bin/python -c "print(6 * 7)"'
fi
if [ '${templateOption:node}' = true ]; then
    check 'Node.js' 42 node -e 'console.log(6 * 7)'
    check 'npm' . npm --version
fi
if [ '${templateOption:go}' = true ]; then
    printf 'package main\n\nfunc main() { println(6 * 7) }\n' > six.go
    check 'Go' 42 go run six.go
fi
if [ '${templateOption:rust}' = true ]; then
    printf 'fn main() { println!("{}", 6 * 7); }\n' > six.rs
    check 'Rust' 42 sh -c 'rustc six.rs -o six && ./six'
    check 'cargo' cargo cargo --version
fi
if [ '${templateOption:java}' = true ]; then
    printf 'public class Six { public static void main(String[] a) { System.out.println(6 * 7); } }\n' > Six.java
    check 'Java' 42 sh -c 'javac Six.java && java -cp . Six'
fi
