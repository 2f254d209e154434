"""The addresses of this machine, asked of the kernel: none of them may be dialled."""

import ipaddress
import socket
import struct

from orchestrator.egress.hosts import Address

_RTM_NEWADDR, _RTM_GETADDR, _NLM_F_DUMP = 20, 22, 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEADER = struct.Struct("=IHHII")
_DEADLINE_S = 5.0


def own_addresses() -> frozenset[Address]:
    """Raises OSError: the kernel does not say."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as asked:
        asked.settimeout(_DEADLINE_S)
        asked.sendto(_HEADER.pack(_HEADER.size + 8, _RTM_GETADDR, _NLM_F_DUMP, 1, 0) + bytes(8), (0, 0))
        found: set[Address] = set()
        while _read(asked.recv(1 << 18), found):
            pass
    return frozenset(found)


def _read(answer: bytes, found: set[Address]) -> bool:
    """Take the addresses of one datagram; whether more follow."""
    position = 0
    while position + _HEADER.size <= len(answer):
        length, kind, _, _, _ = _HEADER.unpack_from(answer, position)
        if kind == _NLMSG_DONE:
            return False
        if kind == _NLMSG_ERROR or length < _HEADER.size:
            raise OSError("the kernel does not tell this machine's addresses")
        if kind == _RTM_NEWADDR:
            found |= _addresses(answer[position + _HEADER.size + 8 : position + length])
        position += length + -length % 4
    return True


def _addresses(attributes: bytes) -> set[Address]:
    found: set[Address] = set()
    position = 0
    while position + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, position)
        value = attributes[position + 4 : position + length]
        if kind in (_IFA_ADDRESS, _IFA_LOCAL) and len(value) in (4, 16):
            # On a point-to-point link the first of the two is the other side's; refusing that too does no harm.
            found.add(ipaddress.ip_address(value))
        if length < 4:
            break
        position += length + -length % 4
    return found
