"""Lists who listens in this place: the proxy and the gateway at most, and nothing that it did not start itself."""
# outside: escapes

from attempt import FACTS, attempt, content


@attempt
def main():
    found = []
    for name in ("tcp", "tcp6", "udp", "udp6"):
        for line in content(f"/proc/net/{name}", 1 << 20).decode().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            port = int(local.rpartition(":")[2], 16)
            if (state == "0A" or name.startswith("udp")) and port not in FACTS["own_ports"]:
                found.append(f"{name} {port}")
    return found
