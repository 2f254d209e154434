"""Looks for sockets of container engines, of the message bus, and of the engine that this run came from."""
# outside: escapes

import os
import socket

from attempt import FACTS, attempt, connects, every, is_guard

USUAL = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
    "/run/snapd.socket",
    "/var/lib/lxd/unix.socket",
    "/run/user/1000/bus",
    "/run/user/0/bus",
    "/tmp/.X11-unix/X0",
    "/run/user/1000/wayland-0",
    "/run/user/1000/podman/podman.sock",
)


@attempt
def main():
    paths = [path for path in (*USUAL, *FACTS["sockets"], FACTS["engine"]) if not is_guard(path)]
    return [path for path in paths if os.path.lexists(path)] + every([lambda path=path: connects(socket.AF_UNIX, path) for path in paths])
