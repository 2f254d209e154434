"""Leaves a container behind: nothing of it runs at its end."""

import os

from testcontainers.core.container import DockerContainer, Reaper


def reaper_knows_us():
    """testcontainers does not look whether its first line was heard; a proxy of ports accepts before the reaper listens."""
    Reaper.get_instance()
    try:
        return Reaper._socket.recv(4) == b"ACK\n"
    except OSError:
        return False


while not reaper_knows_us():
    Reaper.delete_instance()
container = DockerContainer("aienv-test/busybox:latest").with_command("sleep 600").start()
print(container.get_wrapped_container().id, flush=True)
os._exit(9)
