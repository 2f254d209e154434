"""Runs inside: tries to get out, and prints what came of each attempt as one JSON object: name -> "held: ..." or "ESCAPED: ...".

Standard library only; started by test_containment with the workspace as the current folder.
"""

# ruff: noqa: E501 - a row of a table stays one line

import ctypes
import errno
import fcntl
import glob
import json
import os
import resource
import socket
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
RESULTS = {}


def probe(function):
    try:
        said = function()
        RESULTS[function.__name__] = f"ESCAPED: {said}" if said else "held"
    except OSError as problem:
        RESULTS[function.__name__] = f"held: {errno.errorcode.get(problem.errno, problem.errno)}"
    except Exception as problem:  # noqa: BLE001 - a probe that is wrong must not end the others
        RESULTS[function.__name__] = f"BROKEN: {problem!r}"
    return function


def call(number, *arguments):
    """The errno of a system call that must fail; 0 when it did not."""
    ctypes.set_errno(0)
    return ctypes.get_errno() if LIBC.syscall(number, *arguments) == -1 else 0


def read_text(path):
    with open(path, errors="replace") as file:
        return file.read()


def opened(path, flags=os.O_RDONLY):
    descriptor = os.open(path, flags)
    os.close(descriptor)
    return f"{path} could be opened"


@probe
def not_root():
    return 0 in (*os.getresuid(), *os.getresgid()) and f"ids {os.getresuid()} {os.getresgid()}"


@probe
def status_fields():
    status = dict(line.split(":\t", 1) for line in read_text("/proc/self/status").splitlines() if ":\t" in line)
    wanted = {"NoNewPrivs": "1", "Seccomp": "2", **{f"Cap{kind}": "0" * 16 for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")}}
    return {name: status[name] for name in wanted if status[name] != wanted[name]}


@probe
def environment_of_pid_1():
    data = read_text("/proc/1/environ").encode()
    return b"value-of-the-host" in data and data


@probe
def own_environment():
    return [
        name for name, value in os.environ.items() if "value-of-the-host" in value or name in ("DOCKER_HOST", "AIENV_HOME", "SSH_AUTH_SOCK")
    ]


@probe
def other_processes():
    ours = {os.getpid(), os.getppid(), 1, 2}
    found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in found if pid not in ours]


@probe
def host_files():
    return [
        path
        for path in (
            "/root",
            "/home/user",
            "/etc/shadow",
            "/etc/ssh",
            "/etc/aienv",
            "/etc/sudoers",
            "/etc/machine-id",
            "/boot/vmlinuz",
            sys.argv[1],
        )
        if os.path.exists(path) and (os.path.isfile(path) or os.listdir(path))
    ]


@probe
def passwd_is_synthetic():
    return len(open("/etc/passwd").read().splitlines()) != 2 and open("/etc/passwd").read()


@probe
def engine_sockets():
    return [
        path
        for path in (
            "/var/run/docker.sock",
            "/run/docker.sock",
            "/run/containerd/containerd.sock",
            "/run/podman/podman.sock",
            "/run/dbus/system_bus_socket",
        )
        if os.path.exists(path)
    ]


@probe
def sockets_in_run():
    return [os.path.join(folder, name) for folder, _, names in os.walk("/run") for name in names if "objects" not in folder]


@probe
def network_interfaces():
    return [
        name
        for _, name in socket.if_nameindex()
        if name not in ("lo", "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0")
    ]


@probe
def routes():
    return open("/proc/net/route").read().splitlines()[1:]


def connects(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.connect(address)
    return f"connected to {address}"


@probe
def reach_an_address():
    return connects(socket.AF_INET, ("192.0.2.1", 80))


@probe
def reach_the_bridge():
    return connects(socket.AF_INET, ("172.17.0.1", 22))


@probe
def reach_metadata():
    return connects(socket.AF_INET, ("169.254.169.254", 80))


@probe
def reach_ipv6():
    return connects(socket.AF_INET6, ("2001:db8::1", 80))


@probe
def reach_the_hosts_loopback():
    return connects(socket.AF_INET, ("127.0.0.1", int(sys.argv[2])))


@probe
def datagram_out():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("192.0.2.1", 53))
    return "sent"


@probe
def names_are_resolved():
    try:
        return socket.getaddrinfo("example.org", 80)
    except socket.gaierror:
        return None


@probe
def hosts_abstract_socket():
    return connects(socket.AF_UNIX, "\0" + sys.argv[3])


@probe
def abstract_sockets_listed():
    return [line for line in open("/proc/net/unix").read().splitlines()[1:] if "@" in line]


def refused_family(family, kind=socket.SOCK_STREAM, protocol=0):
    with socket.socket(family, kind, protocol):
        return f"family {family} type {kind} protocol {protocol}"


FAMILIES = {
    "alg": (38, socket.SOCK_SEQPACKET),
    "vsock": (40, socket.SOCK_STREAM),
    "packet": (17, socket.SOCK_RAW),
    "xdp": (44, socket.SOCK_RAW),
    "bluetooth": (31, socket.SOCK_RAW),
    "tipc": (30, socket.SOCK_STREAM),
    "rds": (21, socket.SOCK_SEQPACKET),
    "can": (29, socket.SOCK_RAW),
    "kcm": (41, socket.SOCK_DGRAM),
    "smc": (43, socket.SOCK_STREAM),
    "raw4": (2, socket.SOCK_RAW, 1),
    "raw6": (10, socket.SOCK_RAW, 58),
    "ping": (2, socket.SOCK_DGRAM, 1),
    "mptcp": (2, socket.SOCK_STREAM, 262),
    "sctp": (2, socket.SOCK_STREAM, 132),
    "audit-netlink": (16, socket.SOCK_RAW, 9),
    "netfilter": (16, socket.SOCK_RAW, 12),
    "kobject": (16, socket.SOCK_RAW, 15),
}
for _name, _words in FAMILIES.items():

    def _family(words=_words):
        return refused_family(*words)

    _family.__name__ = f"socket_{_name}"
    probe(_family)

CALLS = {  # x86_64
    "mount": (165, b"none", b"/tmp", b"tmpfs", 0, 0), "umount2": (166, b"/tmp", 2), "pivot_root": (155, b"/tmp", b"/tmp"), "chroot": (161, b"/tmp"),
    "unshare_user": (272, 0x10000000), "unshare_mount": (272, 0x20000), "setns": (308, 0, 0), "ptrace": (101, 0, 0, 0, 0), "keyctl": (250, 0, -3, 0),
    "add_key": (248, b"user", b"x", b"y", 1, -3), "bpf": (321, 0, 0, 0), "io_uring_setup": (425, 1, ctypes.create_string_buffer(120)),
    "userfaultfd": (323, 0), "perf_event_open": (298, 0, 0, 0, 0, 0), "process_vm_readv": (310, 1, 0, 0, 0, 0, 0), "kcmp": (312, 1, 1, 0, 0, 0),
    "open_tree": (428, -100, b"/", 1), "fsopen": (430, b"tmpfs", 0), "move_mount": (429, -100, b"/", -100, b"/", 0), "name_to_handle_at": (303, -100, b"/", 0, 0, 0),
    "open_by_handle_at": (304, 3, 0, 0), "fanotify_init": (300, 0, 0), "init_module": (175, 0, 0, 0), "kexec_load": (246, 0, 0, 0, 0), "swapon": (167, b"/tmp", 0),
    "syslog": (103, 10, 0, 0), "acct": (163, 0), "sethostname": (170, b"x", 1), "settimeofday": (164, 0, 0), "personality_free_modify_ldt": (154, 0, 0, 0),
    "clone_newuser": (56, 0x10000011, 0, 0, 0, 0), "clone3": (435, ctypes.create_string_buffer(88), 88), "memfd_secret": (447, 0), "pidfd_getfd": (438, 0, 0, 0),
    "quotactl": (179, 0, 0, 0, 0), "lookup_dcookie": (212, 0, 0, 0), "vmsplice": (278, 1, 0, 0, 0), "mount_setattr": (442, -1, b"", 0, 0, 0),
}  # fmt: skip
if os.uname().machine == "x86_64":
    for _name, _words in CALLS.items():

        def _call(words=_words):
            number = call(*words)
            return number not in (errno.EPERM, errno.ENOSYS) and f"errno {number}"

        _call.__name__ = f"call_{_name}"
        probe(_call)


@probe
def typing_into_the_terminal():
    _master, slave = os.openpty()
    fcntl.ioctl(slave, 0x5412, b"x")
    return "TIOCSTI"


@probe
def typing_into_the_terminal_with_high_bits():
    _master, slave = os.openpty()
    return call(16, slave, ctypes.c_ulong(0x1_0000_5412), b"x") != errno.EPERM and "TIOCSTI with high bits"


@probe
def descriptors():
    return [
        f"{number} -> {os.readlink(f'/proc/self/fd/{number}')}"
        for number in map(int, os.listdir("/proc/self/fd"))
        if number > 2
        and os.path.exists(f"/proc/self/fd/{number}")
        and not os.readlink(f"/proc/self/fd/{number}").startswith(("/proc", "/dev/pts", "/dev/ptmx"))
    ]


@probe
def core_dumps():
    return resource.getrlimit(resource.RLIMIT_CORE) != (0, 0) and resource.getrlimit(resource.RLIMIT_CORE)


def writes(path):
    with open(path, "w") as file:
        file.write("x")
    return f"{path} could be written"


UNWRITABLE = (
    "/x",
    "/dev/x",
    "/etc/x",
    "/usr/x",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/proc/1/oom_score_adj",
    "/workspaces/x",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/self/uid_map",
    ".git/config",
    ".git/hooks/post-commit",
    ".git/info/exclude",
    ".git/info/attributes",
)
for _name in UNWRITABLE:

    def _write(path=_name):
        return writes(path)

    _write.__name__ = f"write {_name}"
    probe(_write)


@probe
def sys_is_absent_or_read_only():
    if not os.path.exists("/sys/kernel"):
        return None
    return writes("/sys/kernel/uevent_helper")


@probe
def tmpfs_sizes():
    found = {}
    for folder in ("/tmp", "/run", "/dev/shm", os.environ["HOME"]):
        facts = os.statvfs(folder)
        if facts.f_blocks * facts.f_frsize > 1 << 30:
            found[folder] = facts.f_blocks * facts.f_frsize
    return found


@probe
def move_git():
    os.rename(".git", "git-moved")
    return "moved"


@probe
def move_git_config():
    os.rename(".git/config", ".git/config.old")
    return "moved"


@probe
def move_hooks():
    os.rename(".git/hooks", ".git/hooks.old")
    return "moved"


@probe
def git_config_command():
    done = subprocess.run(["git", "config", "core.fsmonitor", "touch /tmp/x"], capture_output=True)
    return done.returncode == 0 and "git config wrote"


@probe
def masked_contents():
    return [path for path in (".env", "conf/key.pem", ".npmrc") if open(path, "rb").read()]


for _name in (".env", "conf/key.pem"):

    def _unlink(path=_name):
        os.unlink(path)
        return "removed"

    _unlink.__name__ = f"remove {_name}"
    probe(_unlink)

    def _over(path=_name):
        open("replacement", "w").close()
        os.rename("replacement", path)
        return "replaced"

    _over.__name__ = f"replace {_name}"
    probe(_over)

    def _hard(path=_name):
        os.link(path, "hard")
        return open("hard").read()

    _hard.__name__ = f"hard link {_name}"
    probe(_hard)

    def _write_mask(path=_name):
        return writes(path)

    _write_mask.__name__ = f"write mask {_name}"
    probe(_write_mask)


@probe
def masks_in_git_status():
    return subprocess.run(["git", "status", "--porcelain", "--ignored"], capture_output=True, text=True).stdout.replace(
        "?? replacement\n", ""
    )


def attempts(path):
    """Each way of changing a file or folder."""
    yield (
        lambda: os.close(os.open(path, os.O_WRONLY)) if os.path.isfile(path) else os.close(os.open(f"{path}/new", os.O_CREAT | os.O_WRONLY))
    )
    yield lambda: os.chmod(path, 0o777)
    yield lambda: os.truncate(path, 0)
    yield lambda: os.utime(path)
    yield lambda: os.link(path, "hard-object")
    yield lambda: os.rename(path, f"{path}.x")
    yield lambda: os.unlink(path) if os.path.isfile(path) else os.rmdir(path)


@probe
def mirror_objects():
    found = []
    for mirror in glob.glob("/run/aienv/objects/*"):
        for folder, names, files in os.walk(mirror):
            for path in [folder, *(os.path.join(folder, name) for name in (*names, *files))]:
                for attempt in attempts(path):
                    try:
                        attempt()
                        found.append(path)
                    except OSError:
                        pass
    return found


@probe
def there_are_mirror_objects():
    return not glob.glob("/run/aienv/objects/*/*") and "nothing to try"


@probe
def devices():
    return [
        name
        for name in os.listdir("/dev")
        if name
        not in (
            "null",
            "zero",
            "full",
            "random",
            "urandom",
            "tty",
            "pts",
            "ptmx",
            "shm",
            "fd",
            "stdin",
            "stdout",
            "stderr",
            "core",
            "console",
        )
    ]


@probe
def make_a_device():
    os.mknod("/tmp/device", 0o600 | 0o060000, os.makedev(8, 0))
    return "made"


@probe
def set_user_id_programs():
    for program in ("/usr/bin/su", "/usr/bin/passwd", "/bin/mount"):
        if os.path.exists(program) and os.stat(program).st_mode & 0o4000:
            done = subprocess.run(["/usr/bin/su", "-c", "id -u"], input="", capture_output=True, text=True, timeout=20)
            return done.stdout.strip() == "0" and "su"
    return None


@probe
def parent_of_pid_1():
    return opened("/proc/1/root/etc/shadow")


@probe
def kill_the_launcher():
    try:
        os.kill(1, 9)
    except OSError:
        return
    time.sleep(0.2)
    return  # we still live: pid 1 of a namespace takes no KILL from inside


@probe
def keys():
    return open("/proc/keys").read() + open("/proc/timer_list").read()


@probe
def landed_in_a_cgroup_that_can_be_written():
    return [path for path in glob.glob("/sys/fs/cgroup/*/release_agent") if os.access(path, os.W_OK)]


@probe
def other_sessions_ipc():
    return open("/proc/sysvipc/shm").read().splitlines()[1:]


print(json.dumps(RESULTS))
