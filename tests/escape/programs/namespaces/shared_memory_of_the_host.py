"""Attaches shared memory, semaphores and queues of the host by their numbers."""
# outside: escapes

from attempt import FACTS, attempt, call


@attempt
def main():
    key = FACTS["ipc_key"]
    return [name for name, words in (("shmget", (key, 0, 0)), ("semget", (key, 0, 0)), ("msgget", (key, 0))) if call(name, *words)[0] >= 0]
