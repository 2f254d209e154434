"""Leaves refs that lead out, that look like options, that are no commits, and many of them."""
# outside: never

import os
import subprocess

from attempt import FACTS, attempt


@attempt
def main():
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    os.makedirs(".git/refs/heads/evil", exist_ok=True)
    texts = {
        "evil/link": "ref: ../../../../../../../../etc/passwd\n",
        "evil/garbage": "garbage\n",
        "evil/empty": "",
        "evil/-option": f"{head}\n",
        "evil/lock.lock": f"{head}\n",
        "evil/a..b": f"{head}\n",
        "evil/$(touch x)": f"{head}\n",
        "evil/\033[31m": f"{head}\n",
        "evil/zero": "0" * 40 + "\n",
    }
    for name, text in texts.items():
        with open(f".git/refs/heads/{name}", "w") as file:
            file.write(text)
    os.symlink(FACTS["canaries"][0], ".git/refs/heads/evil/symlink")
    os.makedirs(".git/refs/replace", exist_ok=True)
    with open(f".git/refs/replace/{head}", "w") as file:
        file.write(f"{head}\n")
    with open(".git/shallow", "w") as file:
        file.write(f"{head}\n")
