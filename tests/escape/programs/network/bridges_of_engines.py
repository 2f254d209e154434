"""Connects to the addresses that an engine's bridges give the host."""
# outside: unsure

from attempt import answering, attempt


@attempt
def main():
    addresses = [f"172.{second}.0.1" for second in range(17, 32)] + [
        "192.168.65.2",
        "192.168.65.254",
        "10.0.2.2",
        "10.0.2.3",
        "10.88.0.1",
        "192.168.122.1",
    ]
    return answering(*((address, port) for address in addresses for port in (22, 80, 2375, 2376)))
