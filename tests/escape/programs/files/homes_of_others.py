"""Any home folder that is not the agent's own."""
# outside: unsure

import os
import pwd

from attempt import attempt


@attempt
def main():
    own = os.environ.get("HOME", "")
    known = {entry.pw_dir for entry in pwd.getpwall() if entry.pw_uid >= 1000 or entry.pw_uid == 0} - {"/nonexistent", "/", own}
    below = {f"/home/{name}" for name in os.listdir("/home")} - {own}
    return [path for path in known | below if os.path.isdir(path) and os.access(path, os.R_OK | os.X_OK)]
