"""Leaves links to the host's files, which whoever copies the workspace might follow."""
# outside: never

import os

from attempt import FACTS, attempt


@attempt
def main():
    os.makedirs("links", exist_ok=True)
    for index, canary in enumerate(FACTS["canaries"]):
        for name, target in (
            (f"absolute-{index}", canary),
            (f"relative-{index}", "../" * 30 + canary.lstrip("/")),
            (f"proc-{index}", f"/proc/self/root{canary}"),
            (f"folder-{index}", os.path.dirname(canary)),
            (f"parent-{index}", f"/proc/self/cwd/../../../{canary}"),
        ):
            os.symlink(target, f"links/{name}")
    os.symlink("/", "links/everything")
    os.symlink("links/everything", "chain")
    os.symlink("chain/" + FACTS["canaries"][0].lstrip("/"), "links/by-chain")
    for name in (".mailmap", ".gitignore"):
        os.symlink(FACTS["canaries"][0], name)
    os.makedirs("ignored", exist_ok=True)
    os.symlink(FACTS["canaries"][0], "ignored/link.log")
