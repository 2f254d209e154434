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

printf 'cmake_minimum_required(VERSION 3.20)\nproject(six C CXX)\nadd_executable(six six.cpp)\nenable_testing()\nadd_test(NAME six COMMAND six)\n' > CMakeLists.txt
printf '#include <iostream>\nint main() { auto six = [] { return 6; }; std::cout << six() * 7 << "\\n"; }\n' > six.cpp
check 'CMake and Ninja' 42 sh -c 'cmake -G Ninja -B build . >/dev/null && cmake --build build >/dev/null && ./build/six'
check 'CTest' '100% tests passed' ctest --test-dir build
check 'C' 42 sh -c 'printf "#include <stdio.h>\nint main(void) { return printf(\"%%d\", 6 * 7) != 2; }\n" > a.c && cc -Wall -Werror a.c -o a && ./a'
check 'make' fine sh -c 'printf "all:\n\t@echo fine\n" > Makefile && make'
check 'GDB' 'GNU gdb' gdb --version
if [ '${templateOption:clang}' = true ]; then
    check 'Clang' 42 sh -c 'clang++ -std=c++17 six.cpp -o six2 && ./six2'
    check 'its tools' version sh -c 'clangd --version && clang-format --version && clang-tidy --version'
fi
