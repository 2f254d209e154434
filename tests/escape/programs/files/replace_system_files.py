"""Removes and replaces files of the system by renaming over them."""
# outside: never

import os
import tempfile

from attempt import attempt


@attempt
def main():
    found = []
    for path in ("/etc/hosts", "/etc/passwd", "/usr/bin/env", "/bin/sh", "/opt/aienv/bin/bwrap", "/etc/ld.so.preload"):
        for folder in {os.path.dirname(path), tempfile.gettempdir()}:
            try:
                replacement = os.path.join(folder, "replacement")
                os.close(os.open(replacement, os.O_CREAT | os.O_WRONLY, 0o755))
                os.rename(replacement, path)
                found.append(path)
            except OSError:
                pass
        try:
            os.unlink(path)
            found.append(path)
        except OSError:
            pass
    return found
