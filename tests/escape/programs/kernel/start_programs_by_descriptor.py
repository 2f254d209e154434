"""Starts a program from memory without a name: allowed, but it gets no more than we have."""
# outside: never

import os
import subprocess

from attempt import attempt


@attempt
def main():
    memory = os.memfd_create("program")
    with open("/usr/bin/env", "rb") as source:
        os.write(memory, source.read())
    done = subprocess.run(
        [f"/proc/self/fd/{memory}", "cat", "/proc/self/status"], capture_output=True, text=True, pass_fds=(memory,), timeout=10
    )
    status = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    return None if (status.get("Seccomp"), status.get("CapEff"), status.get("NoNewPrivs")) == ("2", "0" * 16, "1") else str(status)[:200]
