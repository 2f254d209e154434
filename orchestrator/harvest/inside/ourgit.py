"""Git, on a repository of ours: no configuration, hook, filter, alias, graft or replace ref of the agent is ever in force."""

import hashlib
import os
import re
import subprocess
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.harvest.inside.config import Config
from orchestrator.harvest.inside.index import build_index
from orchestrator.harvest.inside.objects import parse_listing
from orchestrator.harvest.inside.words import Trouble, quoted, show

FEW = 100  # so few files are stored without a look at which of them are new

NEUTRAL = """\
[core]
    bare = true
    autocrlf = false
    safecrlf = false
    fsmonitor = false
    untrackedCache = false
    hooksPath = /dev/null
    attributesFile = /dev/null
    protectHFS = false
    protectNTFS = false
    bigFileThreshold = 16m
    compression = 1
    looseCompression = 1
    commitGraph = false
    multiPackIndex = false
    fsync = none
    logAllRefUpdates = false
[pack]
    threads = 1
    windowMemory = 64m
    useBitmaps = false
[gc]
    auto = 0
"""


def neutral_config(*, sha256: bool, excludes: bytes | None) -> bytes:
    """The whole configuration of our repository; names that git cannot hold are kept out by ``holdable``, not by git."""
    lines = [NEUTRAL.encode(), b"[core]\n    repositoryformatversion = %d\n" % sha256]
    if excludes is not None and b"\n" not in excludes:
        lines.append(b'    excludesFile = "%s"\n' % excludes.replace(b"\\", b"\\\\").replace(b'"', b'\\"'))
    if sha256:
        lines.append(b"[extensions]\n    objectFormat = sha256\n")
    return b"".join(lines)


class Git:
    """A bare repository in the outbox that borrows objects. Made by writing files, so nothing of a template gets in."""

    def __init__(self, config: Config, folder: bytes, width: int, borrowed: Sequence[bytes], excludes: bytes | None, ends: float) -> None:
        self.folder, self.width, self.ends = folder, width, ends
        self.program = config.git
        for part in (b"", b"/objects", b"/objects/info", b"/objects/pack", b"/refs", b"/info"):
            os.makedirs(folder + part, exist_ok=True)
        self.write(b"HEAD", b"ref: refs/heads/none\n")
        self.write(b"config", neutral_config(sha256=width == 32, excludes=excludes))
        self.borrow(borrowed)
        if config.shallow:
            self.write(b"shallow", "".join(f"{one}\n" for one in config.shallow).encode())
        self._index_number = 0
        self._shadows = 0

    def write(self, name: bytes, data: bytes) -> None:
        with open(self.folder + b"/" + name, "wb") as file:
            file.write(data)

    def borrow(self, stores: Sequence[bytes]) -> None:
        """Look for objects in ``stores`` from now on."""
        self.write(b"objects/info/alternates", b"".join(store + b"\n" for store in stores))

    def shadow(self, store: bytes) -> tuple[bytes, list[bytes]]:
        """A folder of links to the object files in the agent's ``store``; and what was left out because it is no regular file.

        Git never sees the agent's own ``info/alternates``, and never opens a pipe where it expects an object.
        """
        self._shadows += 1
        target = self.folder + b"/shadow.%d" % self._shadows
        os.makedirs(target)
        odd: list[bytes] = []
        for fan in sorted(os.listdir(store)):
            if fan != b"pack" and not re.fullmatch(rb"[0-9a-f]{2}", fan):
                continue
            try:
                with os.scandir(store + b"/" + fan) as entries:
                    kinds = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
                plain = not os.path.islink(store + b"/" + fan)
            except OSError:
                odd.append(fan)
                continue
            if plain and all(kinds.values()) and (fan != b"pack" or not _unindexed(kinds)):
                os.symlink(store + b"/" + fan, target + b"/" + fan)
                continue
            os.makedirs(target + b"/" + fan)
            for name, regular in kinds.items():
                if regular:
                    os.symlink(store + b"/" + fan + b"/" + name, target + b"/" + fan + b"/" + name)
                else:
                    odd.append(fan + b"/" + name)
        return target, odd

    def index_packs(self, shadow: bytes) -> list[bytes]:
        """Make the indexes that packs have lost, beside the links in ``shadow``; names (without ``.pack``) for which that fails."""
        folder = shadow + b"/pack"
        if os.path.islink(folder) or not os.path.isdir(folder):
            return []
        failed = []
        for name in _unindexed(os.listdir(folder)):
            try:
                self.run("index-pack", "--no-rev-index", folder + b"/" + name + b".pack")
            except Trouble:
                failed.append(name)
        return failed

    def run(
        self,
        *args: str | bytes,
        stdin: bytes = b"",
        tree: bytes | None = None,
        index: bytes | None = None,
        store: bytes | None = None,
        sink: int = subprocess.PIPE,
    ) -> bytes:
        """Output of one git.

        Raises:
            Trouble: it failed, could not start, or took too long.
        """
        env: dict[str, str | bytes] = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_GRAFT_FILE": "/dev/null",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
            "LC_ALL": "C",
            "GIT_DIR": self.folder,
            **{name: os.environ[name] for name in ("GIT_EXEC_PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ},
        }
        if tree is not None:
            env["GIT_WORK_TREE"] = tree
        if index is not None:
            env["GIT_INDEX_FILE"] = index
        if store is not None:
            env["GIT_OBJECT_DIRECTORY"] = store
        try:
            done = subprocess.run(
                (self.program, "--no-pager", "--literal-pathspecs", *args),
                input=stdin,
                stdout=sink,
                stderr=subprocess.PIPE,
                env=env,
                cwd=tree or self.folder,
                timeout=max(1.0, self.ends - time.monotonic()),
                check=False,
            )
        except subprocess.TimeoutExpired as problem:
            raise Trouble(f"git {show(os.fsencode(args[0]))} took too long") from problem
        except OSError as problem:
            raise Trouble(f"git does not start: {problem}") from problem
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise Trouble(f"git {show(os.fsencode(args[0]))}: {show(os.fsencode(said[-1])) if said else f'exit {done.returncode}'}")
        return done.stdout or b""

    def check(self, names: Iterable[str], store: bytes | None = None) -> dict[str, tuple[str, str]]:
        """name -> (object, type) for those of ``names`` that exist."""
        asked = sorted(set(names))
        if not asked:
            return {}
        lines = self.run("cat-file", "--batch-check", "--buffer", stdin="".join(f"{name}\n" for name in asked).encode(), store=store).split(
            b"\n"
        )
        found = {}
        for name, line in zip(asked, lines, strict=False):
            words = line.decode("utf-8", "replace").split(" ")
            if len(words) == 3 and words[1] in ("commit", "tree", "blob", "tag"):
                found[name] = (words[0], words[1])
        return found

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        """object -> its length in bytes, of those that exist."""
        asked = sorted(set(oids))
        if not asked:
            return {}
        text = self.run("cat-file", "--batch-check=%(objectname) %(objectsize)", "--buffer", stdin="\n".join(asked).encode() + b"\n")
        words = (line.decode("ascii", "replace").split(" ") for line in text.split(b"\n"))
        return {word[0]: int(word[1]) for word in words if len(word) == 2 and word[1].isdigit()}

    def contents(self, oids: Iterable[str]) -> dict[str, bytes]:
        """object -> its bytes; for small objects. One that is damaged ends the answer, so the rest is missing from it."""
        asked = sorted(set(oids))
        if not asked:
            return {}
        try:
            data = self.run("cat-file", "--batch", "--buffer", stdin="".join(f"{oid}\n" for oid in asked).encode())
        except Trouble:
            return (
                {}
                if len(asked) == 1
                else {oid: text for one in asked for oid, text in self.contents([one]).items()}
                if len(asked) <= 100
                else {}
            )
        found, position = {}, 0
        for oid in asked:
            end = data.find(b"\n", position)
            words = data[position:end].split(b" ")
            position = end + 1
            if end >= 0 and len(words) == 3 and words[2].isdigit():
                found[oid] = data[position : position + int(words[2])]
                position += int(words[2]) + 1
        return found

    def add(self, kind: bytes, data: bytes) -> str:
        """Store one object and return its name."""
        whole = kind + b" %d\0" % len(data) + data
        oid = (hashlib.sha1 if self.width == 20 else hashlib.sha256)(whole).hexdigest()
        folder = self.folder + b"/objects/" + oid[:2].encode()
        path = folder + b"/" + oid[2:].encode()
        if not os.path.exists(path):
            os.makedirs(folder, exist_ok=True)
            with open(path + b".new", "wb") as file:
                file.write(zlib.compress(whole, 1))
            os.rename(path + b".new", path)
        return oid

    def hash_files(self, root: bytes, paths: Sequence[bytes]) -> dict[bytes, str]:
        """Store the bytes of regular files as they are; path -> object."""
        if len(paths) <= FEW:
            return self._hash(root, paths, "-w")
        # Git writes an object again that it finds in a folder which it may not write; so of many files only the new ones are stored.
        oids = self.name_files(root, paths)
        known = self.check(oids.values())
        self._hash(root, [path for path in paths if oids[path] not in known], "-w")
        return oids

    def name_files(self, root: bytes, paths: Sequence[bytes]) -> dict[bytes, str]:
        """The names that the bytes of regular files would have as objects; path -> object."""
        return self._hash(root, paths)

    def _hash(self, root: bytes, paths: Sequence[bytes], *options: str) -> dict[bytes, str]:
        if not paths:
            return {}
        listing = b"".join(quoted(path) + b"\n" for path in paths)
        out = self.run("hash-object", *options, "--no-filters", "--stdin-paths", stdin=listing, tree=root)
        return dict(zip(paths, out.decode().split(), strict=True))

    def index_file(self, entries: Mapping[bytes, tuple[int, str]]) -> bytes:
        """A fresh index with ``entries``; its path."""
        self._index_number += 1
        name = b"index.%d" % self._index_number
        self.write(name, build_index(entries, self.width))
        return self.folder + b"/" + name

    def tree(self, entries: Mapping[bytes, tuple[int, str]]) -> str:
        """Store the tree that holds ``entries``."""
        return self.run("write-tree", index=self.index_file(entries)).decode().strip()

    def listed(self, treeish: str, paths: Sequence[bytes] = ()) -> dict[bytes, tuple[int, str]]:
        """path -> (mode, object) of all files of a commit, or of those below ``paths``."""
        return dict(parse_listing(self.run("ls-tree", "-r", "-z", "--full-tree", treeish, "--", *paths)))

    def reachable(self, tips: Iterable[str], without: Iterable[str]) -> set[str]:
        """All objects that ``tips`` need and ``without`` do not.

        Raises:
            Trouble: something is missing or damaged on the way.
        """
        asked = "".join(f"{tip}\n" for tip in tips) + "".join(f"^{tip}\n" for tip in without)
        return set(self.run("rev-list", "--objects", "--no-object-names", "--stdin", stdin=asked.encode()).decode().split())


def _unindexed(names: Iterable[bytes]) -> list[bytes]:
    """Packs among the files of a folder that have no index, so that git passes over them; without their ``.pack``."""
    held = set(names)
    return sorted(name[:-5] for name in held if name.endswith(b".pack") and name[:-5] + b".idx" not in held)
