"""Lists shared memory, semaphores and queues that somebody else made."""
# outside: escapes

from attempt import attempt, content


@attempt
def main():
    return [name for name in ("shm", "sem", "msg") if content(f"/proc/sysvipc/{name}").count(b"\n") > 1]
