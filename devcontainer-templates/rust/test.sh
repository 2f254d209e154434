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

export CARGO_NET_OFFLINE=true
cargo new --quiet --vcs none six && cd six
printf 'fn six() -> i32 {\n    6\n}\n\nfn main() {\n    println!("{}", six() * 7);\n}\n\n#[test]\nfn is_six() {\n    assert_eq!(six(), 6);\n}\n' > src/main.rs
check 'build and run' 42 cargo run --quiet
check 'test' '1 passed' cargo test --quiet
check 'OpenSSL' fine sh -c 'pkg-config --exists openssl && echo fine'
if [ '${templateOption:lints}' = true ]; then
    check 'rustfmt' fine sh -c 'cargo fmt --check && echo fine'
    check 'clippy' fine sh -c 'cargo clippy --quiet -- -D warnings && echo fine'
fi
