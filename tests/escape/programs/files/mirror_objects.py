"""Changes the mirror's objects, which every later run of the same repository reads."""
# outside: never

import glob
import os

from attempt import attempt


def ways(path, is_folder):
    if is_folder:
        yield lambda: os.close(os.open(f"{path}/new", os.O_CREAT | os.O_WRONLY))
        yield lambda: os.close(os.open(path, os.O_TMPFILE | os.O_WRONLY, 0o600))
        yield lambda: os.rmdir(path)
    else:
        yield lambda: os.close(os.open(path, os.O_WRONLY))
        yield lambda: os.truncate(path, 0)
        yield lambda: os.unlink(path)
        yield lambda: os.link(path, "hard-object")
    yield lambda: os.chmod(path, 0o777)
    yield lambda: os.utime(path)
    yield lambda: os.rename(path, f"{path}.x")
    yield lambda: os.setxattr(path, "user.x", b"x")


@attempt
def main():
    mirrors = glob.glob("/run/aienv/objects/*")
    if not mirrors:
        return "there is no mirror to try"
    found = []
    for mirror in mirrors:
        for folder, _, files in os.walk(mirror):
            for path, is_folder in ((folder, True), *((os.path.join(folder, name), False) for name in files)):
                for way in ways(path, is_folder):
                    try:
                        way()
                        found.append(path)
                    except OSError:
                        pass
    return found
