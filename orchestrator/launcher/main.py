"""The launcher: starts each command under bubblewrap, outside of it, at the place (a container or the host).

    python3 -I -S launcher.py CONFIG-JSON

Standard library only: in a container it runs from the toolbox, where nothing of ours exists but this file and ``prelude.py``
beside it. It speaks frames over one stream socket: ``>IBI`` (payload length, type, process id) and a payload. Type 0 is a
JSON message, 1 is standard output (or input, towards us), 2 is standard error. When the connection ends, every process it
started ends.

A message ``run`` has the data of the options' descriptors attached to its first byte, as descriptors.

A command of the agent's begins as the prelude: what that found out goes to the owner in a message ``ready``, with its
listening sockets attached to the message's first byte. The command starts when the owner answers ``go``.

On request a *porter* is forked for a running command: it makes listening sockets on the loopback of that command's sandbox and
hands them out (``guard.gate_program``). The far end of its channel goes to the owner in a message ``porter``.

It is single-threaded: one selector over the socket, the pipes of the processes, and their timers.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import marshal
import os
import platform
import resource
import selectors
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from typing import Any

FRAME = struct.Struct(">IBI")
MESSAGE, STDOUT, STDERR = 0, 1, 2
CHUNK = 65536
ORPHAN_GRACE_S = 1.0  # the owner is gone: a short TERM, so that files are closed, then KILL
DRAIN_S = 2.0  # after the end of a process its pipes end too; a descriptor held elsewhere must not hang us
OOM_SCORE = "500"  # of 1000: as if it held half of all memory besides what it does hold
STAGE = "/mnt"
CLONE_NEWNS, MS_RDONLY, MS_REC, MS_SLAVE, MS_BIND = 0x00020000, 1, 0x4000, 1 << 19, 0x1000
PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 38, 36, 1, 4
CLONE_NEWUSER, CLONE_NEWNET, NS_GET_USERNS = 0x10000000, 0x40000000, 0xB701
CAPABILITY_VERSION, CAP_NET_BIND_SERVICE = 0x20080522, 1 << 10

NAMESPACES = ("ipc", "mnt", "net", "pid", "user", "uts")
READY_S = 20.0  # a prelude takes some ten milliseconds; a loaded machine has been seen to take seconds
SOCKETS_AT_MOST = 8
DESCRIPTORS_AT_ONCE = 253  # as many as the kernel lets anyone send
PORTERS_AT_MOST = 4  # for one command; a single one is used
MARSHAL_VERSION = 4  # what every Python since 3.4 reads

# What the prelude is started with: its program and its task are read from one descriptor.
BOOT = """import marshal, sys
with open(int(sys.argv[1]), "rb") as file:
    names = {"__name__": "prelude"}
    exec(marshal.load(file), names)
    task = marshal.load(file)
names["main"](task)
"""


class Wire:
    """The socket, read without blocking and written with back-pressure."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()
        self._descriptors: list[int] = []

    def send(self, kind: int, process: int, payload: bytes) -> None:
        self.sock.sendall(FRAME.pack(len(payload), kind, process) + payload)

    def message(self, process: int, **members: object) -> None:
        self.send(MESSAGE, process, json.dumps(members).encode())

    def hand_over(self, process: int, descriptors: list[int], **members: object) -> None:
        """A message with descriptors on its first byte."""
        payload = json.dumps(members).encode()
        data = FRAME.pack(len(payload), MESSAGE, process) + payload
        if rest := data[socket.send_fds(self.sock, [data], descriptors) :]:
            self.sock.sendall(rest)

    def receive(self) -> list[tuple[int, int, bytes]] | None:
        """The frames that one read completes; None at the end of the stream."""
        data, descriptors, _, _ = socket.recv_fds(self.sock, CHUNK, DESCRIPTORS_AT_ONCE)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors += descriptors
        if not data:
            return None
        self._buffer += data
        frames = []
        while len(self._buffer) >= FRAME.size:
            length, kind, process = FRAME.unpack_from(self._buffer)
            if len(self._buffer) < FRAME.size + length:
                break
            frames.append((kind, process, bytes(self._buffer[FRAME.size : FRAME.size + length])))
            del self._buffer[: FRAME.size + length]
        return frames


    def take(self, count: int) -> list[int]:
        """The descriptors of a message that names so many."""
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return taken


class Process:
    """One command under bubblewrap."""

    def __init__(self, number: int, child: "subprocess.Popen[bytes]", init_pid: int, status: int) -> None:
        self.number = number
        self.child = child
        self.status = status  # bubblewrap reports here; closed early it would die of SIGPIPE
        self.init_pid = init_pid  # the sandbox's pid 1, in our numbering
        self.outputs: dict[int, int] = {}  # descriptor -> frame type
        self.stdin: int | None = None
        self.pending = bytearray()
        self.stdin_closing = False
        self.kill_at: float | None = None
        self.ended_at: float | None = None
        self.first_error = b""
        self.wrote = False
        self.tty = False
        self.prelude = False
        self.channel: socket.socket | None = None  # to the prelude, until the command may start
        self.heard = b""
        self.sockets: list[int] = []
        self.ready_by: float | None = None  # None: it has told already, or there is no prelude
        self.failure: str | None = None
        self.network = _network_of(init_pid)
        self.lifelines: list[int] = []  # of its porters: each ends when ours is closed

    def signal_agent(self, number: int) -> None:
        """To the command and its process group; its descendants elsewhere follow at the end of the namespace.

        The group may be led by the sandbox's pid 1, which takes no signal from us but KILL.
        """
        for group in {_group(pid) for pid in _children(self.init_pid)} - {0}:
            _kill_group(group, number)

    def kill(self) -> None:
        """Everything in the sandbox: its pid 1 takes the whole namespace along."""
        _kill(self.init_pid, signal.SIGKILL)
        _kill(self.child.pid, signal.SIGKILL)

    def fail(self, message: str) -> None:
        """Its command never started, and never will."""
        self.failure = self.failure or message
        self.ready_by = None
        self.kill()

    def drop_sockets(self) -> None:
        while self.sockets:
            os.close(self.sockets.pop())

    def drop_porters(self) -> None:
        while self.lifelines:
            os.close(self.lifelines.pop())

    def go(self) -> None:
        if self.channel is not None and self.ready_by is None and self.failure is None:
            with contextlib.suppress(OSError):  # it is gone: its end comes by itself
                self.channel.sendall(b"go")
            self.channel.close()
            self.channel = None

    def stop(self, grace_s: float) -> None:
        self.signal_agent(signal.SIGTERM)
        self.kill_at = min(self.kill_at or float("inf"), time.monotonic() + grace_s)


class Launcher:
    def __init__(self, config: dict[str, Any], wire: Wire) -> None:
        self.config = config
        self.wire = wire
        self.selector = selectors.DefaultSelector()
        self.processes: dict[int, Process] = {}
        self.orphaned = False
        self.prelude = _prelude_program(config["tools"]["python"])
        self.place = {"namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}}

    def serve(self) -> None:
        """Until the owner is gone and every process has ended."""
        self.selector.register(self.wire.sock, selectors.EVENT_READ, None)
        wakeup, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.lose_owner())
        self.selector.register(wakeup, selectors.EVENT_READ, "wakeup")
        while self.processes or not self.orphaned:
            for key, _ in self.selector.select(self.next_timer()):
                self.handle(key)
            self.check_timers()

    def handle(self, key: selectors.SelectorKey) -> None:
        if key.data is None:
            self.read_wire()
        elif key.data == "wakeup":
            os.read(key.fd, CHUNK)
            self.reap()
        elif key.data[0] == "in":
            self.write_stdin(key.data[1])
        elif key.data[0] == "prelude":
            self.listen(key.data[1])
        else:
            self.copy_output(key.data[1], key.fd)

    def read_wire(self) -> None:
        try:
            frames = self.wire.receive()
        except OSError:
            frames = None
        if frames is None:
            self.lose_owner()
            return
        for kind, number, payload in frames:
            if kind == STDOUT:
                self.feed(number, payload)
            else:
                self.obey(number, json.loads(payload))

    def lose_owner(self) -> None:
        if not self.orphaned:
            self.orphaned = True
            self.selector.unregister(self.wire.sock)
        for process in self.processes.values():
            process.stop(ORPHAN_GRACE_S)

    def obey(self, number: int, message: dict[str, Any]) -> None:
        operation = message["op"]
        if operation == "run":
            self.run(number, message)
            return
        process = self.processes.get(number)
        if process is None:
            return  # it ended while the request was on its way
        if operation == "go":
            process.go()
        elif operation == "stop":
            process.stop(float(message["grace_s"]))
        elif operation == "kill":
            process.kill()
        elif operation == "signal":
            process.signal_agent(int(message["signal"]))
        elif operation == "porter":
            self.porter(process)
        elif operation == "resize" and process.stdin is not None:
            _resize(process.stdin, message)
            process.signal_agent(signal.SIGWINCH)
        elif operation == "eof":
            process.stdin_closing = True
            self.write_stdin(process)

    # --- starting -----------------------------------------------------------------------------------------------------

    def run(self, number: int, message: dict[str, Any]) -> None:
        try:
            self.start(number, message)
        except (OSError, ValueError, subprocess.SubprocessError) as problem:
            self.wire.message(number, ev="failed", message=f"the sandbox could not be started: {problem}")

    def start(self, number: int, message: dict[str, Any]) -> None:
        with contextlib.ExitStack() as given:  # what the child gets is closed here in any case
            sent = [_given(given, descriptor) for descriptor in self.wire.take(len(message["data"]))]
            if len(sent) < len(message["data"]):
                raise OSError(f"of {len(message['data'])} files only {len(sent)} came with the request")
            data = dict(zip(message["data"], sent, strict=True))
            streams, ours = self.open_streams(message)
            for stream in {value for value in streams.values() if value >= 0}:
                given.callback(os.close, stream)
            status_read, status_write = os.pipe2(os.O_CLOEXEC)
            block_read, block_write = os.pipe2(os.O_CLOEXEC)
            options = [str(data[word["fd"]]) if isinstance(word, dict) else word for word in message["options"]]
            options += ["--json-status-fd", str(_given(given, status_write)), "--block-fd", str(_given(given, block_read))]
            # In a descriptor, not in the process list: values of --setenv are nobody else's business.
            arguments = _given(given, _memory("args", b"".join(os.fsencode(word) + b"\0" for word in options)))
            command, passed, channel = self.command(message, given)
            child = subprocess.Popen(
                [self.config["bwrap"], "--args", str(arguments), "--", *command],
                env=self.config["bwrap_env"],  # pid 1 of the sandbox shows it: nothing of ours may be in it
                pass_fds=(*data.values(), arguments, status_write, block_read, *passed),
                start_new_session=True,
                cwd="/",
                stdin=streams["stdin"],
                stdout=streams["stdout"],
                stderr=streams["stderr"],
            )
        init_pid = _init_pid(status_read)
        if init_pid:
            _limit(init_pid, message["rlimits"])
            _pin(init_pid, message["processors"])
            _offer(init_pid)
        process = Process(number, child, init_pid or child.pid, status_read)
        os.close(block_write)
        if channel is not None:
            channel.setblocking(False)
            process.prelude, process.channel, process.ready_by = True, channel, time.monotonic() + READY_S
            self.selector.register(channel, selectors.EVENT_READ, ("prelude", process))
        self.register(process, ours, message)

    def command(self, message: dict[str, Any], given: contextlib.ExitStack) -> tuple[list[str], list[int], socket.socket | None]:
        """What bubblewrap starts, the descriptors that it needs, and our end of the channel to it."""
        if message["prelude"] is None:
            return message["argv"], [], None
        ours, theirs = socket.socketpair()
        channel = _given(given, theirs.detach())
        task = {**message["prelude"], "channel": channel, "argv": message["argv"], "tty": bool(message["tty"])}
        program = _given(given, _memory("prelude", self.prelude + marshal.dumps(task, MARSHAL_VERSION)))
        command = [self.config["tools"]["python"], "-I", "-S", "-X", "utf8", "-c", BOOT, str(program)]
        return command, [channel, program], ours

    def open_streams(self, message: dict[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
        """(what the child gets, what we keep)."""
        if message["tty"]:
            master, slave = os.openpty()
            _resize(master, message["tty"])
            return {"stdin": slave, "stdout": slave, "stderr": slave}, {"terminal": master}
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        ours = {"out": out_read, "err": err_read}
        if message["stdin"] != "pipe":
            return {"stdin": subprocess.DEVNULL, "stdout": out_write, "stderr": err_write}, ours
        in_read, in_write = os.pipe2(os.O_CLOEXEC)
        return {"stdin": in_read, "stdout": out_write, "stderr": err_write}, {**ours, "in": in_write}

    def register(self, process: Process, ours: dict[str, int], message: dict[str, Any]) -> None:
        process.tty = bool(message["tty"])
        for name, descriptor in ours.items():
            os.set_blocking(descriptor, False)
            if name in ("in", "terminal"):
                process.stdin = descriptor
            if name != "in":
                process.outputs[descriptor] = STDERR if name == "err" else STDOUT
                self.selector.register(descriptor, selectors.EVENT_READ, ("out", process))
        self.processes[process.number] = process
        self.wire.message(process.number, ev="started", pid=process.init_pid)
        self.reap()

    def listen(self, process: Process) -> None:
        """What the prelude says: one line of JSON, with its listening sockets."""
        channel = process.channel
        assert channel is not None
        try:
            data, descriptors, _, _ = socket.recv_fds(channel, CHUNK, SOCKETS_AT_MOST)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        process.heard += data
        process.sockets += descriptors
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if data and not process.heard.endswith(b"\n"):
            return
        self.selector.unregister(channel)
        try:
            found = json.loads(process.heard) if data else {"error": ""}
        except ValueError:
            found = {"error": "what starts first inside cannot be understood"}
        process.ready_by = None
        if "error" in found:
            process.fail(found["error"])
            return
        try:
            self.wire.hand_over(process.number, process.sockets, ev="ready", facts=found, place=self.place, sockets=len(process.sockets))
        except OSError:
            self.lose_owner()
        process.drop_sockets()

    def porter(self, process: Process) -> None:
        """Only after its command may start: until then what its network holds is judged from inside."""
        try:
            if process.channel is not None or process.failure is not None or process.ended_at is not None:
                raise OSError("its command does not run")
            if len(process.lifelines) >= PORTERS_AT_MOST:
                raise OSError("it has had enough of them")
            entered = None if self.config["container"] else _enterable(process)
            with contextlib.ExitStack() as given:
                for descriptor in entered or ():
                    _given(given, descriptor)
                ours, theirs = (given.enter_context(sock) for sock in socket.socketpair())
                lifeline, kept = os.pipe2(os.O_CLOEXEC)
                _given(given, lifeline)
                process.lifelines.append(kept)
                launcher = os.getpid()
                if os.fork() == 0:
                    _be_porter(theirs, lifeline, entered, launcher)
                self.wire.hand_over(process.number, [ours.fileno()], ev="porter")
        except OSError as problem:
            self.wire.message(process.number, ev="porter", error=str(problem))

    # --- streams ------------------------------------------------------------------------------------------------------

    def feed(self, number: int, payload: bytes) -> None:
        process = self.processes.get(number)
        if process is not None and process.stdin is not None:
            process.pending += payload
            self.write_stdin(process)

    def write_stdin(self, process: Process) -> None:
        if process.stdin is None:
            return
        try:
            while process.pending:
                del process.pending[: os.write(process.stdin, process.pending[:CHUNK])]
        except BlockingIOError:
            self.want_write(process, True)
            return
        except OSError:
            process.pending.clear()
            process.stdin_closing = True
        self.want_write(process, False)
        if process.stdin_closing and not process.tty:
            os.close(process.stdin)
            process.stdin = None

    def want_write(self, process: Process, wanted: bool) -> None:
        descriptor = process.stdin
        if descriptor is None:
            return
        if process.tty:
            self.selector.modify(descriptor, selectors.EVENT_READ, ("out", process))  # a slow reader is retried on its output
            return
        registered = descriptor in self.selector.get_map()
        if wanted and not registered:
            self.selector.register(descriptor, selectors.EVENT_WRITE, ("in", process))
        elif not wanted and registered:
            self.selector.unregister(descriptor)

    def copy_output(self, process: Process, descriptor: int) -> None:
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return
        except OSError as problem:
            if problem.errno != errno.EIO:  # a terminal whose last user is gone
                raise
            data = b""
        if not data:
            self.close_output(process, descriptor)
            return
        kind = process.outputs[descriptor]
        self.note(process, kind, data)
        self.emit(kind, process.number, data)
        if process.tty and process.pending:
            self.write_stdin(process)

    def note(self, process: Process, kind: int, data: bytes) -> None:
        """Keep the start of the error output: bubblewrap's own complaint is told apart by it."""
        if kind == STDERR and len(process.first_error) < 2048:
            process.first_error += data[:2048]
        process.wrote = process.wrote or kind == STDOUT

    def emit(self, kind: int, number: int, payload: bytes) -> None:
        if self.orphaned:
            return
        try:
            self.wire.send(kind, number, payload)
        except OSError:
            self.lose_owner()

    def close_output(self, process: Process, descriptor: int) -> None:
        self.selector.unregister(descriptor)
        process.outputs.pop(descriptor, None)
        os.close(descriptor)
        if descriptor == process.stdin:
            process.stdin = None
        self.finish(process)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def reap(self) -> None:
        for process in list(self.processes.values()):
            if process.ended_at is None and process.child.poll() is not None:
                process.ended_at = time.monotonic()
                process.drop_porters()
                self.finish(process)
        known = {process.child.pid for process in self.processes.values() if process.ended_at is None}
        _reap_strangers(known)

    def finish(self, process: Process) -> None:
        """Report the end once the process is gone and its output is drained."""
        if process.ended_at is None or (process.outputs and time.monotonic() - process.ended_at < DRAIN_S):
            return
        for descriptor in list(process.outputs):
            self.selector.unregister(descriptor)
            os.close(descriptor)
            process.outputs.pop(descriptor)
            if descriptor == process.stdin:
                process.stdin = None
        if process.stdin is not None:
            self.want_write(process, False)
            os.close(process.stdin)
            process.stdin = None
        if self.processes.pop(process.number, None) is not None:
            self.hang_up(process)
            began = _began(process.status)
            os.close(process.status)
            if not self.orphaned:
                self.report_end(process, began)

    def hang_up(self, process: Process) -> None:
        """The channel of a process that ended before its command started."""
        process.drop_sockets()
        if process.channel is None:
            return
        if process.channel.fileno() in self.selector.get_map():
            self.selector.unregister(process.channel)
        process.channel.close()
        process.channel = None
        process.failure = process.failure or ""

    def report_end(self, process: Process, began: bool) -> None:
        code = process.child.returncode
        complaint = process.first_error.decode("utf-8", "replace").strip()
        alone = code == 1 and not process.wrote and "\n" not in complaint and not process.prelude
        try:
            if process.failure is not None:
                message = process.failure or complaint or f"what starts first inside ended with code {code}"
                self.wire.message(process.number, ev="failed", message=message)
            elif alone and complaint.startswith("bwrap: execvp "):
                missing = complaint.endswith("No such file or directory")
                self.wire.message(process.number, ev="exit", code=127 if missing else 126)
            elif not began and code > 0:
                self.wire.message(process.number, ev="failed", message=complaint or f"bubblewrap ended with code {code}")
            else:
                self.wire.message(process.number, ev="exit", code=128 - code if code < 0 else code)
        except OSError:
            self.lose_owner()

    def next_timer(self) -> float | None:
        moments = [process.kill_at for process in self.processes.values() if process.kill_at is not None]
        moments += [process.ready_by for process in self.processes.values() if process.ready_by is not None]
        moments += [process.ended_at + DRAIN_S for process in self.processes.values() if process.ended_at is not None]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def check_timers(self) -> None:
        now = time.monotonic()
        for process in list(self.processes.values()):
            if process.kill_at is not None and now >= process.kill_at:
                process.kill_at = None
                process.kill()
            if process.ready_by is not None and now >= process.ready_by:
                process.fail(f"nothing came from inside within {READY_S:.0f} s")
            if process.ended_at is not None:
                self.finish(process)


# --- the operating system ---------------------------------------------------------------------------------------------


def _prelude_program(python: str) -> bytes:
    """For the same interpreter compiled, once for all commands; for another one as text."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prelude.py")
    with open(path, encoding="utf-8") as file:
        source = file.read()
    same = os.path.realpath(python) == os.path.realpath(sys.executable)
    return marshal.dumps(compile(source, "prelude", "exec", dont_inherit=True) if same else source, MARSHAL_VERSION)


def _given(given: contextlib.ExitStack, descriptor: int) -> int:
    given.callback(os.close, descriptor)
    return descriptor


def _memory(name: str, data: bytes) -> int:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _init_pid(status: int) -> int | None:
    """The pid of the sandbox's pid 1, from bubblewrap's first status document; None when it failed before."""
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(status, 1)
        if not data:
            return None
        line += data
    pid: int = json.loads(line)["child-pid"]
    return pid


def _began(status: int) -> bool:
    """Whether the command was started: bubblewrap tells an exit code only then, whatever the command wrote on its error output."""
    os.set_blocking(status, False)
    try:
        return b'"exit-code"' in os.read(status, CHUNK)
    except BlockingIOError:
        return False


def _without_core_dumps() -> None:
    """No file, and no program of the machine's either: one that ``core_pattern`` names is started, as root and outside of every
    sandbox, at a limit of 0 too; at 1 the kernel takes it for a dump of that program itself, and starts none."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    except (OSError, ValueError):  # whoever started us allows even less
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit(pid: int, limits: dict[str, int]) -> None:
    """Limits for the sandbox alone: set from outside, since bubblewrap's own user namespace counts them apart."""
    for name, value in limits.items():
        kind = getattr(resource, name)
        try:
            resource.prlimit(pid, kind, (value, value))
        except (PermissionError, ValueError):
            hard = resource.prlimit(pid, kind)[1]
            resource.prlimit(pid, kind, (hard, hard) if hard != resource.RLIM_INFINITY and hard < value else (value, value))
        except ProcessLookupError:
            return


def _offer(pid: int) -> None:
    """When memory runs out the kernel ends what is in the sandbox, not the launcher and not the machine's other programs."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "w") as file:
        file.write(OOM_SCORE)


def _pin(pid: int, processors: int | None) -> None:
    """At most this many processors, drawn by chance so that runs side by side do not all take the first."""
    have = sorted(os.sched_getaffinity(0))
    if processors is not None and processors < len(have):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, sorted(have, key=lambda _: os.urandom(4))[:processors])


def _children(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return _children_by_scan(pid)
    except (OSError, ValueError):
        return []


def _children_by_scan(parent: int) -> list[int]:
    """For kernels without ``children`` files."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    if int(file.read().rpartition(")")[2].split()[1]) == parent:
                        found.append(int(name))
            except (OSError, ValueError):
                continue
    return found


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _kill_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _network_of(pid: int) -> str:
    """Which network namespace it is in, from a moment when the pid is surely its own."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/net")
    return ""


def _enterable(process: Process) -> tuple[int, int]:
    """(the user namespace that owns its network, its network), open."""
    network = os.open(f"/proc/{process.init_pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not process.network or _network_of(process.init_pid) != process.network or process.network == os.readlink("/proc/self/ns/net"):
            raise OSError("its network is gone")
        # Only whoever is mighty in the owner may enter: we are, because our user made it.
        return fcntl.ioctl(network, NS_GET_USERNS), network
    except OSError:
        os.close(network)
        raise


def _be_porter(sock: socket.socket, lifeline: int, entered: tuple[int, int] | None, launcher: int) -> None:
    """In a forked child; never returns. Outside the sandbox's pid namespace: nothing inside can see it, signal it or trace it."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        libc = _libc()
        if entered is not None:
            _check(libc.setns(entered[0], CLONE_NEWUSER), "entering the user namespace")
            _check(libc.setns(entered[1], CLONE_NEWNET), "entering the network")
        _keep_only(libc, CAP_NET_BIND_SERVICE if entered else 0)  # ports below 1024, of that network alone
        _check(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "dumpable")
        _check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "death signal")  # after what would clear it
        if os.getppid() == launcher:
            _close_all_but({sock.fileno(), lifeline})
            names: dict[str, Any] = {"__name__": "gate"}
            exec(_gate_program(), names)
            names["Gate"](sock, ("127.0.0.1",), dials=False, lifeline=lifeline).serve()
    except BaseException as problem:  # noqa: BLE001 - a child of ours must not go on as the launcher
        with contextlib.suppress(BaseException):
            sock.sendall(json.dumps({"error": str(problem) or type(problem).__name__}).encode() + b"\n")
    finally:
        os._exit(0)


def _gate_program() -> Any:
    """Beside us in the toolbox; in the package a neighbour's."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "gate.py")
    if not os.path.exists(path):
        path = os.path.join(os.path.dirname(here), "guard", "gate_program.py")
    with open(path, encoding="utf-8") as file:
        return compile(file.read(), "gate", "exec", dont_inherit=True)


def _keep_only(libc: ctypes.CDLL, mask: int) -> None:
    """Capabilities of this process: these of those that it has, and it can get no others."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    now = (ctypes.c_uint32 * 6)()
    _check(libc.capget(header, now), "capabilities")
    kept = now[1] & mask
    _check(libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)), "capabilities")


def _close_all_but(kept: set[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(int(name))


def _reap_strangers(known: set[int]) -> None:
    """As pid 1 or subreaper we inherit orphans; those of ``subprocess`` are its own to reap."""
    while True:
        try:
            info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if info is None or info.si_pid in known:
            return
        os.waitpid(info.si_pid, os.WNOHANG)


def _resize(terminal: int, size: dict[str, int]) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size["rows"], size["columns"], 0, 0))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def stage(sources: dict[str, str]) -> dict[str, str]:
    """Make every source reachable for an unprivileged user, in a mount namespace of our own.

    Root's folders are closed to the user that we become. Nothing remains: the namespace ends with us.
    """
    libc = _libc()
    handles = {name: os.open(path, os.O_PATH | os.O_CLOEXEC) for name, path in sources.items()}
    _check(libc.unshare(CLONE_NEWNS), "unshare")
    _check(libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None), "mount /")
    # Bound to descriptors of the old namespace it would be refused: look the paths up again, in ours, and compare.
    staged = {}
    targets = {name: f"{STAGE}/{index}" for index, name in enumerate(sources)}
    inner = {name: os.open(path, os.O_PATH | os.O_CLOEXEC) for name, path in sources.items()}
    for name, handle in inner.items():
        if os.path.samestat(os.fstat(handle), os.fstat(handles[name])):
            continue
        raise OSError(errno.ESTALE, f"{sources[name]} changed while it was mounted")
    _check(libc.mount(b"aienv", STAGE.encode(), b"tmpfs", 0, b"mode=0755,size=64k"), "mount tmpfs")
    for name, target in targets.items():
        if os.path.isdir(f"/proc/self/fd/{inner[name]}"):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
        _check(libc.mount(f"/proc/self/fd/{inner[name]}".encode(), target.encode(), None, MS_BIND | MS_REC, None), f"bind {target}")
        staged[name] = target
    for handle in (*handles.values(), *inner.values()):
        os.close(handle)
    return staged


def become(uid: int, gid: int) -> None:
    """Give root up for good: bubblewrap started by the real uid 0 keeps kernel uid 0, which opens sysctl files."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid):
        raise OSError(errno.EPERM, "root privileges could not be given up")


def _entries(folder: str) -> list[dict[str, str]]:
    entries = []
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    for name in names:
        path = os.path.join(folder, name)
        if os.path.islink(path):
            entries.append({"name": name, "kind": "link", "target": os.readlink(path)})
        elif os.access(path, os.R_OK):
            entries.append({"name": name, "kind": "dir" if os.path.isdir(path) else "file", "target": ""})
    return entries


def facts(config: dict[str, Any], sources: dict[str, str]) -> dict[str, object]:
    return {
        "container": config["container"],
        "root": _entries("/"),
        "etc": _entries("/etc"),
        "proc": [name for name in ("keys", "timer_list") if os.path.exists(f"/proc/{name}")],
        "sources": sources,
        "visible": [[sources[name], path] for name, path in config["visible"]],
        "python": config["tools"]["python"],
        "git": config["tools"]["git"],
        "uid": os.getuid(),
        "gid": os.getgid(),
        "machine": platform.machine(),
    }


def main() -> int:
    config = json.loads(sys.argv[1])
    os.umask(0o022)
    if config["connect"] is not None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(config["connect"])
    else:
        sock = socket.socket(fileno=config["fd"])
    wire = Wire(sock)
    try:
        sources = stage(config["sources"]) if config["become"] else config["sources"]
        if config["become"]:
            become(*config["become"])
        libc = _libc()
        _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _without_core_dumps()
        wire.message(0, ev="hello", version=1, pid=os.getpid(), facts=facts(config, sources))
    except OSError as problem:
        wire.message(0, ev="failed", message=f"the launcher could not prepare the place: {problem}")
        return 1
    Launcher(config, wire).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
