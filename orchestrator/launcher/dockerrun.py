"""``docker run -i`` for MCP servers, in environments that have no Docker client. The standard library alone; started as
``python3 -I -S dockerrun.py run [OPTIONS] IMAGE [COMMAND...]``.

It asks the guard, which decides; here nothing is decided. Standard input goes to the container, its output comes back, and its exit code is
ours. Options that are not in the table end it with 125, as docker does, and are named.
"""

import http.client
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

ERROR = 125
CHUNK = 65536
CONNECT_S = 60.0
_SIZES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_SHORT = {"-e": "--env", "-v": "--volume", "-w": "--workdir", "-u": "--user", "-m": "--memory", "-l": "--label", "-h": "--hostname",
          "-i": "--interactive", "-t": "--tty", "-d": "--detach", "-q": "--quiet", "-p": "--publish"}  # fmt: skip
# A server is always attached to, has no terminal, and is removed when it ends; images are never pulled by it.
_NO_MATTER = frozenset(["--interactive", "--tty", "--rm", "--quiet", "--sig-proxy"])
_NO_MATTER_VALUES = frozenset(["--pull", "--platform", "--log-driver", "--attach", "-a"])


class Failed(Exception):
    """Why there is no container."""


def size(text: str) -> int:
    unit = text[-1:].lower()
    return int(float(text[:-1] if unit in _SIZES else text) * _SIZES.get(unit, 1))


def set_at(*path: str, read: Callable[[str], object] = str) -> Callable[[dict[str, Any], str], None]:
    def put(body: dict[str, Any], value: str) -> None:
        for name in path[:-1]:
            body = body.setdefault(name, {})
        body[path[-1]] = read(value)

    return put


def add_to(*path: str, read: Callable[[str], object] = str) -> Callable[[dict[str, Any], str], None]:
    def put(body: dict[str, Any], value: str) -> None:
        for name in path[:-1]:
            body = body.setdefault(name, {})
        body.setdefault(path[-1], []).append(read(value))

    return put


def variable(body: dict[str, Any], value: str) -> None:
    name, equals, _ = value.partition("=")
    if equals:
        body.setdefault("Env", []).append(value)
    elif name in os.environ:  # as docker has it: the client's own
        body.setdefault("Env", []).append(f"{name}={os.environ[name]}")


def label(body: dict[str, Any], value: str) -> None:
    name, _, text = value.partition("=")
    body.setdefault("Labels", {})[name] = text


def mount(text: str) -> dict[str, object]:
    names = {"type": "Type", "source": "Source", "src": "Source", "target": "Target", "dst": "Target", "destination": "Target"}
    found: dict[str, object] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if key in ("readonly", "ro"):
            found["ReadOnly"] = value not in ("false", "0")
        elif key in names and equals:
            found[names[key]] = value
        else:
            raise Failed(f"--mount {text!r}: {key!r} is not known here")
    return found


VALUES: dict[str, Callable[[dict[str, Any], str], None]] = {
    "--env": variable,
    "--label": label,
    "--volume": add_to("HostConfig", "Binds"),
    "--mount": add_to("HostConfig", "Mounts", read=mount),
    "--network": set_at("HostConfig", "NetworkMode"),
    "--net": set_at("HostConfig", "NetworkMode"),
    "--workdir": set_at("WorkingDir"),
    "--user": set_at("User"),
    "--hostname": set_at("Hostname"),
    "--entrypoint": set_at("Entrypoint", read=lambda text: [text] if text else []),
    "--memory": set_at("HostConfig", "Memory", read=size),
    "--cpus": set_at("HostConfig", "NanoCpus", read=lambda text: int(float(text) * 1e9)),
    "--pids-limit": set_at("HostConfig", "PidsLimit", read=int),
    "--cap-drop": add_to("HostConfig", "CapDrop"),
    "--cap-add": add_to("HostConfig", "CapAdd"),
    "--security-opt": add_to("HostConfig", "SecurityOpt"),
    "--tmpfs": lambda body, value: body.setdefault("HostConfig", {}).setdefault("Tmpfs", {}).update([value.partition(":")[::2]]),
}
FLAGS: dict[str, Callable[[dict[str, Any], str], None]] = {
    "--init": set_at("HostConfig", "Init", read=bool),
    "--read-only": set_at("HostConfig", "ReadonlyRootfs", read=bool),
    "--privileged": set_at("HostConfig", "Privileged", read=bool),
}


def parse(words: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """Name and body for the engine, from the words behind ``run``.

    Raises:
        Failed: an option is not known, has no value or a wrong one; or there is no image.
    """
    body: dict[str, Any] = {"HostConfig": {"AutoRemove": True}}
    name = None
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        option, equals, value = rest.pop(0).partition("=")
        if not option.startswith("--") and len(option) > 2:  # -it, -eNAME
            first, after = option[:2], option[2:] + equals + value
            if _SHORT.get(first) in VALUES or first in _NO_MATTER_VALUES:
                option, equals, value = first, "=", after
            else:
                rest.insert(0, "-" + after)
                option, equals, value = first, "", ""
        option = _SHORT.get(option, option)
        if option in _NO_MATTER or option in FLAGS:
            if option in FLAGS and value not in ("false", "0"):
                FLAGS[option](body, "yes")
            continue
        if option not in VALUES and option not in _NO_MATTER_VALUES and option != "--name":
            raise Failed(f"unknown option {option}: known here are {', '.join(sorted((*VALUES, *FLAGS)))}")
        if not equals:
            if not rest:
                raise Failed(f"{option} needs a value")
            value = rest.pop(0)
        if option == "--name":
            name = value
        elif option in VALUES:
            try:
                VALUES[option](body, value)
            except ValueError:
                raise Failed(f"{option}: {value!r} is no number") from None
    if not rest:
        raise Failed("no image is named")
    body |= {"Image": rest[0], "OpenStdin": True, "StdinOnce": True, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
    if rest[1:]:
        body["Cmd"] = rest[1:]
    return name, body


class Engine(http.client.HTTPConnection):
    def connect(self) -> None:
        address = os.environ.get("DOCKER_HOST", "")
        if not address.startswith("unix://"):
            raise Failed("there is no Docker socket here (DOCKER_HOST)")
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(address.removeprefix("unix://"))


def call(method: str, path: str, body: object = None, wanted: Sequence[int] = (200, 201, 204)) -> Any:
    engine = Engine("docker")
    headers = {"Content-Type": "application/json"} if body is not None else {}
    engine.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = engine.getresponse()
    text = answer.read()
    if answer.status not in wanted:
        try:
            raise Failed(str(json.loads(text)["message"]))
        except (ValueError, KeyError, TypeError):
            raise Failed(f"the engine answers {answer.status}") from None
    return json.loads(text) if text.strip() else None


def attach(container: str) -> tuple[socket.socket, bytes]:
    """The container's streams, and what of its output came with the answer."""
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))
    path = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    head = f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    stream.sendall(head.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = stream.recv(CHUNK)
        if not piece or len(answer) > CHUNK:
            raise Failed("the engine did not open the container's streams")
        answer += piece
    top, _, rest = answer.partition(b"\r\n\r\n")
    if top.split(b" ")[1] not in (b"101", b"200"):
        raise Failed(f"the engine did not open the container's streams: {rest[:300].decode('utf-8', 'replace')}")
    return stream, rest


def pump(stream: socket.socket, buffered: bytes) -> None:
    """Our input to the container, its output to us, until it has ended."""
    buffer = bytearray(buffered)
    reading = True
    while True:
        while len(buffer) >= 8:
            kind, length = struct.unpack(">BxxxI", buffer[:8])
            if len(buffer) < 8 + length:
                break
            write(2 if kind == 2 else 1, bytes(buffer[8 : 8 + length]))
            del buffer[: 8 + length]
        ready, _, _ = select.select([stream.fileno(), *([0] if reading else [])], [], [])
        if stream.fileno() in ready:
            piece = stream.recv(CHUNK)
            if not piece:
                return
            buffer += piece
        if 0 in ready:
            data = os.read(0, CHUNK)
            if data:
                stream.sendall(data)
            else:
                reading = False
                stream.shutdown(socket.SHUT_WR)


def write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def main(words: Sequence[str]) -> int:
    container = None
    try:
        if not words or words[0] != "run":
            raise Failed("only 'run' is known here")
        name, body = parse(words[1:])
        container = call("POST", "/containers/create" + (f"?name={name}" if name else ""), body)["Id"]

        def end(_number: int, _frame: FrameType | None) -> None:
            call("POST", f"/containers/{container}/kill", wanted=(204, 404, 409))

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, end)
        stream, rest = attach(container)
        waiting = Engine("docker")  # asked before the start: a container that removes itself is soon nobody's
        waiting.request("POST", f"/containers/{container}/wait?condition=next-exit")
        call("POST", f"/containers/{container}/start")
        pump(stream, rest)
        return int(json.loads(waiting.getresponse().read())["StatusCode"])
    except (Failed, OSError, ValueError, KeyError, http.client.HTTPException) as problem:
        print(f"docker run: {problem}", file=sys.stderr)
        return ERROR


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
