"""Lists accounts: inside there are two, none of them the host's."""
# outside: escapes

from attempt import attempt, content


@attempt
def main():
    names = [line.split(b":")[0].decode() for line in content("/etc/passwd", 1 << 16).splitlines()]
    return [name for name in names if name not in ("agent", "nobody")]
