"""Leaves, where artifacts are taken from, links to the host's files, pipes that never end, and names that lead out."""
# outside: never

import os

from attempt import FACTS, attempt


@attempt
def main():
    os.makedirs("artifacts/deep", exist_ok=True)
    for index, canary in enumerate(FACTS["canaries"]):
        os.symlink(canary, f"artifacts/link-{index}")
        os.symlink(os.path.dirname(canary), f"artifacts/folder-{index}")
    os.symlink("/", "artifacts/deep/root")
    os.symlink("..", "artifacts/deep/up")
    os.mkfifo("artifacts/pipe")
    os.link("README", "artifacts/hard")
    with open("artifacts/plain", "w") as file:
        file.write("plain\n")
    for name in ("$(touch x)", "-rf", "a\nb", "\033]0;owned\007"):
        with open(f"artifacts/{name}", "w"):
            pass
