"""Maps the first page, where errors of the kernel used to look for data."""
# outside: unsure

from attempt import attempt, call


@attempt
def main():
    result, _ = call("mmap", 0, 4096, 3, 0x32, -1, 0)
    return "mapped at 0" if result == 0 else None
