#!/bin/sh
# Sends echo requests with the system's ping and traceroute.
# outside: unsure
found=
for address in 127.0.0.1 93.184.215.14 172.17.0.1 192.0.2.1; do
  for program in ping ping6 traceroute; do
    command -v $program >/dev/null || continue
    case $address in 127.*) continue ;; esac
    if timeout 3 $program -c 1 -W 1 $address >/dev/null 2>&1; then found="$found [$program $address]"; fi
  done
done
if [ -n "$found" ]; then echo "ESCAPED:$found"; else echo "held: nobody answered"; fi
