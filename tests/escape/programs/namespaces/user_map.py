"""Writes maps of users and groups: its own, its children's, the first process's."""
# outside: unsure

from attempt import attempt, every


def write(pid, name, text):
    with open(f"/proc/{pid}/{name}", "w") as file:
        file.write(text)
    return f"{pid} {name} {text}"


@attempt
def main():
    return every(
        [
            lambda pid=pid, name=name, text=text: write(pid, name, text)
            for pid in ("self", "1")
            for name in ("uid_map", "gid_map", "projid_map")
            for text in ("0 0 1\n", "0 0 4294967295\n", "0 1000 1\n")
        ]
    )
