"""Looks for routes and neighbours."""
# outside: escapes

from attempt import attempt, content


@attempt
def main():
    four = content("/proc/net/route").decode().splitlines()[1:]
    six = [line for line in content("/proc/net/ipv6_route", 1 << 16).decode().splitlines() if line.split()[-1] != "lo"]
    return four + six + content("/proc/net/arp").decode().splitlines()[1:]
