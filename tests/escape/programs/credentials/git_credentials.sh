#!/bin/sh
# Asks git for credentials the way a fetch would, without a terminal.
# outside: unsure
said=$(printf 'protocol=https\nhost=origin.example.org\n\n' | GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=/bin/false timeout 10 git credential fill 2>/dev/null | grep '^password=')
remote=$(git config --get-regexp '^(remote\..*\.url|url\..*|credential\..*|http\..*extraheader)' 2>/dev/null | grep -v '^remote\.[a-z]*\.url /' | head -n 3)
if [ -n "$said$remote" ]; then echo "ESCAPED: $said $remote" | tr '\n' ' '; echo; else echo "held: git knows none"; fi
