"""Asks the kernel by doing: what an ordinary process may do here, as one JSON object of names and errno (0: it works).

    python3 -I -S kernel_probe.py UID

A process of its own, because what it tries cannot be taken back: root becomes UID first, then come namespaces and mounts, which
end with it. ``landlock`` is the version of its interface, or a negative errno.
"""

import ctypes
import errno
import fcntl
import json
import os
import platform
import socket
import struct
import sys
from collections.abc import Callable

SECCOMP = {"x86_64": 317, "aarch64": 277}
CLOSE_RANGE, LANDLOCK_CREATE_RULESET = 436, 444  # the same on every architecture
NEWUSER, NEWNS, NEWNET, NEWIPC, NEWUTS = 0x10000000, 0x00020000, 0x40000000, 0x08000000, 0x04000000
MS_REC, MS_SLAVE = 0x4000, 1 << 19
PR_SET_DUMPABLE = 4
SECCOMP_GET_ACTION_AVAIL, SECCOMP_GET_NOTIF_SIZES, SECCOMP_RET_USER_NOTIF = 2, 3, 0x7FC00000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
FOLDER = "/tmp"

LIBC = ctypes.CDLL(None, use_errno=True)


def error_of(result: int) -> int:
    return 0 if result >= 0 else ctypes.get_errno()


def attempt(act: Callable[..., object], *arguments: object) -> int:
    """The errno that a call of Python's ends with."""
    try:
        act(*arguments)
    except OSError as problem:
        return problem.errno or errno.EIO
    except AttributeError:
        return errno.ENOSYS
    return 0


def become(uid: int) -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # a change of user closes our own /proc files, which the maps are


def seccomp(found: dict[str, int]) -> None:
    number = SECCOMP.get(platform.machine())
    if number is None:
        return
    action = ctypes.c_uint32(SECCOMP_RET_USER_NOTIF)
    found["seccomp_notify"] = error_of(LIBC.syscall(number, SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(action)))
    sizes = ctypes.create_string_buffer(8)
    found["seccomp_filter"] = error_of(LIBC.syscall(number, SECCOMP_GET_NOTIF_SIZES, 0, sizes))


def write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP) + bytes(24))


def mount(source: bytes | None, target: str, kind: bytes | None, flags: int, data: bytes | None) -> int:
    return error_of(LIBC.mount(source, target.encode(), kind, flags, data))


def namespaces(found: dict[str, int]) -> None:
    """A user namespace, and in it what bubblewrap needs: maps, a network, mounts; then an overlay."""
    uid, gid = os.getuid(), os.getgid()
    found["user_namespace"] = error_of(LIBC.unshare(NEWUSER))
    if found["user_namespace"]:
        return
    attempt(write, "/proc/self/setgroups", "deny")
    found["id_maps"] = attempt(write, "/proc/self/uid_map", f"0 {uid} 1") or attempt(write, "/proc/self/gid_map", f"0 {gid} 1")
    found["namespaces"] = error_of(LIBC.unshare(NEWNS | NEWNET | NEWIPC | NEWUTS))
    if found["namespaces"]:
        return
    found["loopback"] = attempt(loopback_up)
    found["mount"] = mount(None, "/", None, MS_REC | MS_SLAVE, None) or mount(b"tmpfs", FOLDER, b"tmpfs", 0, b"size=1m")
    if not found["mount"]:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{FOLDER}/{name}")
        options = f"lowerdir={FOLDER}/lower,upperdir={FOLDER}/upper,workdir={FOLDER}/work,userxattr".encode()
        found["overlay"] = mount(b"overlay", f"{FOLDER}/merged", b"overlay", 0, options)


def main() -> None:
    become(int(sys.argv[1]))
    found = {
        "memfd": attempt(lambda: os.close(os.memfd_create("probe"))),
        "pidfd": attempt(lambda: os.close(os.pidfd_open(os.getpid()))),
        "close_range": error_of(LIBC.syscall(CLOSE_RANGE, ctypes.c_uint(0xFFFFFFFE), ctypes.c_uint(0xFFFFFFFF), 0)),
    }
    version = LIBC.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    found["landlock"] = version if version >= 0 else -ctypes.get_errno()
    seccomp(found)
    namespaces(found)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
