"""Lists abstract sockets of others, and tries the names of the message bus and the window system."""
# outside: escapes

import socket

from attempt import attempt, connects, content, every


@attempt
def main():
    listed = [line.split()[-1] for line in content("/proc/net/unix", 1 << 20).decode("latin-1").splitlines()[1:] if " @" in line]
    usual = ("/tmp/.X11-unix/X0", "/tmp/dbus-0", "/tmp/.ICE-unix/1", "/containerd-shim/default/x/shim.sock@", "snap.lxd", "docker/metrics")
    return listed + every([lambda name=name: connects(socket.AF_UNIX, "\0" + name) for name in usual])
