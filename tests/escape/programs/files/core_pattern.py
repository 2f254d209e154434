"""Opens the setting that names the program the kernel starts, as root and outside, for a crashed process."""
# outside: escapes

from attempt import attempt, opened_for_writing


@attempt
def main():
    prefixes = ("", "/proc/self/root", "/proc/1/root", "/proc/thread-self/root")
    return opened_for_writing(
        *(f"{prefix}/proc/sys/kernel/{name}" for prefix in prefixes for name in ("core_pattern", "modprobe", "poweroff_cmd"))
    )
