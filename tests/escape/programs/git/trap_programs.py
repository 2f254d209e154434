"""Leaves programs and modules with the names of those that the host's side starts and imports."""
# outside: never

import os

from attempt import attempt
from trap import command


@attempt
def main():
    os.makedirs("planted", exist_ok=True)
    for folder in (".", "planted", ".git"):
        for name in ("git", "python3", "sh", "ssh", "bwrap", "git-lfs", "post-checkout", "reference-transaction"):
            path = os.path.join(folder, name)
            with open(path, "w") as file:
                file.write(f"#!/bin/sh\n{command('program-' + name)}\n")
            os.chmod(path, 0o755)
        for name in ("sitecustomize.py", "usercustomize.py", "orchestrator.py", "json.py", "git.py"):
            with open(os.path.join(folder, name), "w") as file:
                file.write(f"import os\nos.system({command('module')!r})\n")
