"""Compares this place's names with the host's: host name, machine id, boot id of a container's host."""
# outside: escapes

import socket

from attempt import FACTS, attempt, content


@attempt
def main():
    found = [socket.gethostname()] if socket.gethostname() == FACTS["hostname"] else []
    identity = FACTS["machine_id"].encode()
    return found + [path for path in ("/etc/machine-id", "/var/lib/dbus/machine-id") if identity and content(path).strip() == identity]
