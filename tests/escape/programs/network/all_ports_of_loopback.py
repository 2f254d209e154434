"""Tries the ports of loopback that anything usually listens at: nothing answers but proxy and gateway."""
# outside: escapes

from attempt import FACTS, answering, attempt

USUAL = (*range(1, 1100), 2375, 2376, 3000, 3306, 5000, 5432, 6379, 6443, 8000, 8080, 8443, 9000, 9090, 9229, 10250, 11434, 27017)


@attempt
def main():
    ports = [port for port in (*USUAL, FACTS["host_port"]) if port not in FACTS["own_ports"]]
    found = []
    for start in range(0, len(ports), 200):
        found += answering(*((address, port) for address in ("127.0.0.1", "::1") for port in ports[start : start + 200]), milliseconds=200)
    return found
