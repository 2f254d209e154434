"""The container's filter in the kernel: each row of the profile, called for real."""

import json
import platform
from typing import Any

import pytest

from tests import engine as engines
from tests.engine import Engine
from tests.integration.docker.places import python_output

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of the calls below are x86_64's"),
]

OK, EPERM, ENOSYS, EINVAL, EAFNOSUPPORT = 0, 1, 38, 22, 97

# name -> (number, arguments, answers that prove the row). A call that passes the filter may still fail in the kernel, with another error.
CALLS: dict[str, tuple[int, tuple[int | str, ...], set[int]]] = {
    "unshare one user namespace": (272, (0x10000000,), {OK}),
    "unshare user and mount namespaces": (272, (0x10020000,), {EPERM}),
    "unshare a network namespace": (272, (0x40000000,), {EPERM}),
    "clone with a cgroup namespace": (56, (0x02000000 | 17, 0, 0, 0, 0), {EPERM}),
    "clone3": (435, (0, 0), {ENOSYS}),
    "setns": (308, (0, 0), {EPERM}),
    "chroot": (161, (0,), {EPERM}),
    "sethostname": (170, (0, 0), {EPERM}),
    "keyctl": (250, (0, 0, 0, 0, 0), {EPERM}),
    "bpf": (321, (0, 0, 0), {EPERM}),
    "perf_event_open": (298, (0, 0, 0, 0, 0), {EPERM}),
    "userfaultfd": (323, (0,), {EPERM}),
    "io_uring_setup": (425, (1, 0), {EPERM}),
    "open_tree": (428, (0, 0, 0), {EPERM}),
    "fsopen": (430, (0, 0), {EPERM}),
    "mount_setattr": (442, (0, 0, 0, 0, 0), {EPERM}),
    "open_by_handle_at": (304, (0, 0, 0), {EPERM}),
    "socket unix": (41, (1, 1, 0), {OK}),
    "socket inet": (41, (2, 1, 0), {OK}),
    "socket inet6": (41, (10, 1, 0), {OK, EAFNOSUPPORT}),
    "socket netlink": (41, (16, 3, 0), {OK}),
    "socket packet": (41, (17, 3, 0), {EPERM}),
    "socket alg": (41, (38, 5, 0), {EPERM}),
    "socket vsock": (41, (40, 1, 0), {EPERM}),
    "socket with high bits": (41, (0x100000028, 1, 0), {EPERM}),
    "socketpair unix": (53, (1, 1, 0, "buffer"), {OK}),
    "socketpair tipc": (53, (30, 1, 0, "buffer"), {EPERM}),
    "listmount": (458, (0, 0, 0, 0), {ENOSYS}),
    "a call that does not exist yet": (900, (0,), {ENOSYS}),
}

SCRIPT = """
import ctypes, json, os
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(64)
calls = json.loads(CALLS)
answers = {}
for name, (number, arguments) in calls.items():
    reader, writer = os.pipe()
    if os.fork() == 0:  # each in a process of its own: some change the caller
        ctypes.set_errno(0)
        words = [ctypes.addressof(buffer) if word == "buffer" else word for word in arguments]
        result = libc.syscall(ctypes.c_long(number), *[ctypes.c_ulong(word) for word in words])
        if number == 56 and result == 0:
            os._exit(0)
        os.write(writer, str(ctypes.get_errno() if result == -1 else 0).encode())
        os._exit(0)
    os.close(writer)
    os.wait()
    answers[name] = int(os.read(reader, 16))
    os.close(reader)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, int]]:
    """Per engine, filled by the first test that asks."""
    return {}


@pytest.mark.parametrize("call", CALLS)
def test_call(any_engine: Engine, answers: dict[str, dict[str, int]], call: str) -> None:
    """The answer is the row's: allowed, refused as not permitted, or as not there."""
    if any_engine.version not in answers:
        name = engines.image(any_engine, "busybox")
        sent = json.dumps(json.dumps({each: [number, list(arguments)] for each, (number, arguments, _) in CALLS.items()}))
        answers[any_engine.version] = dict[str, Any](python_output(any_engine, name, SCRIPT.replace("CALLS", sent)))
    assert answers[any_engine.version][call] in CALLS[call][2]
