"""Looks for addresses other than loopback's."""
# outside: escapes

from attempt import attempt, content


@attempt
def main():
    six = [line for line in content("/proc/net/if_inet6").decode().splitlines() if line.split()[-1] != "lo"]
    tree = content("/proc/net/fib_trie", 1 << 16).decode().splitlines()
    hosts = {tree[at - 1].split()[-1] for at, line in enumerate(tree) if "host LOCAL" in line}
    return six + [address for address in sorted(hosts) if not address.startswith("127.")]
