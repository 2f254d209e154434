"""Lists connections and listeners of the host's network."""
# outside: escapes

from attempt import FACTS, attempt, content


@attempt
def main():
    port = f":{FACTS['host_port']:04X}"
    return [
        name
        for name in ("tcp", "tcp6")
        if any(line.split()[1].endswith(port) for line in content(f"/proc/net/{name}", 1 << 20).decode().splitlines()[1:])
    ]
