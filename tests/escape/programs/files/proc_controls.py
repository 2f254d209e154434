"""Opens what can be written below /proc besides the settings: sysrq, interrupts, buses, memory ranges."""
# outside: escapes

import os

from attempt import attempt, opened_for_writing


@attempt
def main():
    paths = [
        "/proc/sysrq-trigger",
        "/proc/mtrr",
        "/proc/latency_stats",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi/scsi",
        "/proc/asound/x",
    ]
    for top in ("/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/driver", "/proc/tty"):
        paths += [os.path.join(folder, name) for folder, _, files in os.walk(top) for name in files]
    return opened_for_writing(*paths)
