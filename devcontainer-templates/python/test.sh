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

check 'python' 42 python -c 'print(6 * 7)'
check 'the virtual environment is active' /home/dev/.venv python -c 'import sys; print(sys.prefix)'
check 'pip installs there' /home/dev/.venv pip --version
check 'another environment' "$work/v" sh -c "python3 -m venv $work/v && $work/v/bin/python -c 'import sys; print(sys.prefix)'"
check 'TLS and SQLite' fine python -c 'import ssl, sqlite3; ssl.create_default_context(); print("fine")'
if [ '${templateOption:buildTools}' = true ]; then
    printf '#include <Python.h>\nint main(void) { Py_Initialize(); return PyRun_SimpleString("print(6 * 7)") || Py_FinalizeEx(); }\n' > a.c
    check 'compiler and headers' 42 sh -c 'cc a.c -o a $(python3-config --cflags --embed --ldflags) && ./a'
fi
