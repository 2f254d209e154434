"""Reads the kernel's addresses, which attacks on it need."""
# outside: unsure

from attempt import attempt, content


@attempt
def main():
    symbols = [line for line in content("/proc/kallsyms").decode("latin-1").splitlines() if line[:16].strip("0 ")]
    modules = [
        line for line in content("/proc/modules").decode("latin-1").splitlines() if line and not line.endswith(("0x0000000000000000", ")"))
    ]
    memory = [
        line
        for line in content("/proc/iomem").decode("latin-1").splitlines()
        if line.strip("0- :")[:1].isdigit() and "00000000-00000000" not in line
    ]
    return symbols[:1] + modules[:1] + memory[:1]
