"""Reads and changes the host's name through its settings."""
# outside: escapes

from attempt import FACTS, attempt, content, opened_for_writing


@attempt
def main():
    names = ("hostname", "domainname")
    found = [name for name in names if content(f"/proc/sys/kernel/{name}").decode().strip() == FACTS["hostname"]]
    return found + opened_for_writing(*(f"/proc/sys/kernel/{name}" for name in names))
