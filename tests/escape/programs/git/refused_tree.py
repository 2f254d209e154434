"""Commits a tree whose names lead out or into git's own folder: checking it out would write hooks."""
# outside: never

import hashlib
import os
import subprocess
import zlib

from attempt import attempt
from trap import command


def store(kind, data):
    whole = b"%s %d\0%s" % (kind.encode(), len(data), data)
    name = hashlib.sha1(whole).hexdigest()
    path = f".git/objects/{name[:2]}/{name[2:]}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(zlib.compress(whole))
    return name


def tree(*entries):
    return store("tree", b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(value)) for mode, name, value in entries))


@attempt
def main():
    hook = store("blob", f"#!/bin/sh\n{command('forged-tree')}\n".encode())
    hooks = tree((b"100755", b"post-checkout", hook))
    parent = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    for index, entries in enumerate(
        (
            ((b"40000", b".git", tree((b"40000", b"hooks", hooks))),),
            ((b"40000", b"..", tree((b"100644", b"outside", hook))),),
            ((b"120000", b".gitmodules", store("blob", b"/etc/passwd")),),
            ((b"100644", b"a/../../b", hook),),
        )
    ):
        text = f"tree {tree(*entries)}\nparent {parent}\nauthor a <a@example.org> 1 +0000\ncommitter a <a@example.org> 1 +0000\n\nforged\n"
        with open(f".git/refs/heads/forged-{index}", "w") as file:
            file.write(store("commit", text.encode()) + "\n")
