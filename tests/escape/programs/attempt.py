"""What the programs share. Each makes one attempt, prints one line, "held: <why>" or "ESCAPED: <what>", and ends with 0.

    @attempt
    def main():
        return "what could be done that must not be"      # anything empty: it was held

An ``OSError`` is an answer of the kernel: held. Anything else that is raised is a mistake of the program: it prints "BROKEN" and
ends with 1. ``FACTS`` says where things of the host are; a program that needs none of it runs by hand as well.

A line ``# outside: ...`` below a program's purpose says what it finds without any sandbox, as root: ``escapes``; ``unsure``, where
that depends on the machine; ``never``, where trying would do harm or makes no sense.
"""

import ctypes
import errno
import json
import os
import select
import socket
import time
import traceback

FACTS = json.loads(os.environ.get("ESCAPE_FACTS", "{}"))
SCRATCH = os.environ.get("TMPDIR", "/tmp")
LIBC = ctypes.CDLL(None, use_errno=True)
REFUSED = (errno.EPERM, errno.ENOSYS)

NUMBERS = {  # x86_64, aarch64
    "ioctl": (16, 29), "socket": (41, 198), "socketpair": (53, 199), "clone": (56, 220), "clone3": (435, 435), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "process_madvise": (440, 440), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "setns": (308, 268), "unshare": (272, 97), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_file_load": (320, 294),
    "kexec_load": (246, 104), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "syslog": (103, 116),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "ioperm": (173, None), "iopl": (172, None), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "lookup_dcookie": (212, 18), "nfsservctl": (180, 42),
    "uselib": (134, None), "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "adjtimex": (159, 171), "modify_ldt": (154, None), "vhangup": (153, 58), "move_pages": (279, 239),
    "mbind": (237, 235), "migrate_pages": (256, 238), "set_mempolicy": (238, 237), "set_mempolicy_home_node": (450, 450),
    "vmsplice": (278, 75), "memfd_secret": (447, 447), "seccomp": (317, 277), "capset": (126, 91), "prctl": (157, 167),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "ioprio_set": (251, 30), "mlockall": (151, 230), "mmap": (9, 222),
    "execveat": (322, 281), "memfd_create": (319, 279), "statmount": (457, 457), "listmount": (458, 458), "listns": (470, 470),
    "mq_open": (240, 180), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "setresuid": (117, 147), "setresgid": (119, 149),
    "setgroups": (116, 159), "kill": (62, 129), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "setpriority": (141, 140),
}  # fmt: skip


class Held(Exception):
    """It was held, and this is why."""


def attempt(function):
    """Run the attempt and say what came of it."""
    said, code = "", 0
    try:
        found = function()
        said = f"ESCAPED: {found}" if found else "held: nothing came of it"
    except Held as reason:
        said = f"held: {reason}"
    except OSError as problem:
        said = f"held: {errno.errorcode.get(problem.errno or 0, type(problem).__name__)} {problem.strerror or problem}"
    except Exception:  # noqa: BLE001 - whatever is wrong with an attempt, the others go on
        said, code = f"BROKEN: {traceback.format_exc()[-600:]!r}", 1
    print(said.replace("\n", " ")[:600], flush=True)
    if code:
        raise SystemExit(code)
    return function


def number(name):
    """A system call's number here; ``Held`` where this machine has no such call."""
    column = {"x86_64": 0, "aarch64": 1}.get(os.uname().machine)
    found = None if column is None else NUMBERS[name][column]
    if found is None:
        raise Held(f"no {name} on this machine")
    return found


def call(name, *arguments):
    """(result, errno) of a system call."""
    ctypes.set_errno(0)
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = LIBC.syscall(ctypes.c_long(number(name) if isinstance(name, str) else name), *words)
    return result, ctypes.get_errno()


def not_refused(*calls, refused=REFUSED):
    """Of (name, arguments...) those that the kernel did not refuse outright: they went beyond the filter."""
    found = []
    for name, *arguments in calls:
        try:
            result, problem = call(name, *arguments)
        except Held:
            continue
        if result != -1 or problem not in refused:
            found.append(f"{name}: {'result ' + str(result) if result != -1 else errno.errorcode.get(problem, problem)}")
    return found


def readable(*paths):
    """Those that can be read and hold something."""
    return [path for path in paths if content(path)]


def content(path, size=4096):
    """The beginning of a file; nothing where it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(size)
    except OSError:
        return b""


def opened_for_writing(*paths):
    """Those that could be opened; nothing is written."""
    found = []
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY))
            found.append(path)
        except OSError:
            pass
    return found


def takes_files(*folders):
    """Folders in which a file can be made; it has no name and is gone at once."""
    found = []
    for folder in folders:
        try:
            os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            found.append(folder)
        except OSError as problem:
            if problem.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL) and os.access(folder, os.W_OK):
                found.append(folder)
    return found


def connects(family, address, kind=socket.SOCK_STREAM, seconds=3):
    """Connect; the address when somebody answers."""
    with socket.socket(family, kind) as sock:
        sock.settimeout(seconds)
        sock.connect(address)
    return f"connected to {address!r}"


GUARD = "/run/docker.sock"


def is_guard(path):
    """Whether it is the socket that a run has on purpose, and what answers there lets nothing through: not even what any engine takes."""
    if os.path.realpath(path) != GUARD:
        return False
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(3)
        try:
            sock.connect(GUARD)
            sock.sendall(b"POST /v1.41/volumes/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            answer = sock.recv(4096)
        except OSError:
            return False
    return answer.startswith(b"HTTP/1.1 403 ") and b"[mode.readonly]" in answer


def answering(*addresses, milliseconds=300):
    """Of (address, port) those where somebody takes a connection; all are tried at the same time."""
    waiting, found = {}, []
    for address, port in addresses:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.setblocking(False)
        if sock.connect_ex((address, port)) in (0, errno.EINPROGRESS):
            waiting[sock.fileno()] = (sock, (address, port))
        else:
            sock.close()
    poller = select.poll()
    for descriptor in waiting:
        poller.register(descriptor, select.POLLOUT)
    end = time.monotonic() + milliseconds / 1000
    while waiting and (left := end - time.monotonic()) > 0:
        for descriptor, _ in poller.poll(1000 * left):
            sock, address = waiting.pop(descriptor)
            poller.unregister(descriptor)
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.append(f"{address[0]} {address[1]}")
            sock.close()
    return found


def every(attempts, *arguments):
    """What each of several ways says, without those that the kernel refuses."""
    found = []
    for one in attempts:
        try:
            if said := one(*arguments):
                found.append(said)
        except OSError:
            pass
    return found


def made(family, kind=socket.SOCK_STREAM, protocol=0):
    """Make a socket; words when the kernel gives one."""
    with socket.socket(family, kind, protocol):
        return f"a socket of family {family}, type {kind}, protocol {protocol}"
