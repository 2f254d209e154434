"""Runs set-user-id programs and looks whether one of them becomes root."""
# outside: unsure

import os
import shutil
import stat
import subprocess

from attempt import attempt


@attempt
def main():
    found = []
    for name in ("su", "sudo", "passwd", "mount", "newgrp", "chsh", "newuidmap", "newgidmap", "pkexec", "fusermount3", "ping"):
        path = shutil.which(name)
        if path and os.stat(path).st_mode & (stat.S_ISUID | stat.S_ISGID):
            with subprocess.Popen(
                [path, "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                try:
                    with open(f"/proc/{process.pid}/status") as status:
                        ids = [line.split()[1:] for line in status if line.startswith(("Uid:", "Gid:"))]
                    if any("0" in words for words in ids):
                        found.append(name)
                except (OSError, ProcessLookupError):
                    pass
                process.kill()
    done = subprocess.run(["su", "-c", "id -u"], input=b"", capture_output=True, timeout=10) if shutil.which("su") else None
    return found + (["su"] if done and done.stdout.strip() == b"0" else [])
