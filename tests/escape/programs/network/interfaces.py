"""Lists interfaces: loopback, and those that the kernel makes in every new place, without an address."""
# outside: escapes

import socket

from attempt import attempt

KERNEL = {"lo", "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"}


@attempt
def main():
    return [name for _, name in socket.if_nameindex() if name not in KERNEL]
