"""Makes set-user-id programs, as a file and in memory, and looks as whom they run."""
# outside: unsure

import os
import shutil
import subprocess

from attempt import SCRATCH, attempt


@attempt
def main():
    program, copied = shutil.which("id"), f"{SCRATCH}/id"
    memory = os.memfd_create("id", 0)
    with open(program, "rb") as source:
        data = source.read()
    os.write(memory, data)
    with open(copied, "wb") as copy:
        copy.write(data)
    os.chmod(copied, 0o6755)
    os.fchmod(memory, 0o6755)
    said = []
    for path in (copied, f"/proc/self/fd/{memory}"):
        done = subprocess.run([path, "-u"], capture_output=True, pass_fds=(memory,), timeout=10)
        said.append(done.stdout.decode().strip())
    os.unlink(copied)
    return "root" if "0" in said else None
