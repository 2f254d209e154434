"""Everything below a git folder that no bundle carries, so that it is kept raw: closed by default, what is left out is listed here."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from orchestrator.harvest.inside.files import CLOSED, FILE, FOLDER, OTHER, everything_below, kind_at, read_file
from orchestrator.harvest.inside.gitfolder import common_folder
from orchestrator.harvest.inside.job import Job
from orchestrator.harvest.inside.repo import Repo
from orchestrator.harvest.inside.words import Trouble, is_oid, show

NAMED = 5  # left-over files in the note about them
SMALL_BYTES = 1024 * 1024  # git's own notes to itself are shorter
LOG_LINE = re.compile(rb"[0-9a-f]{40,64} [0-9a-f]{40,64} [^\n\t]*<[^\n<>\t]*> [0-9]+ [-+][0-9]{4}(\t[^\n]*)?")
PACK_PART = re.compile(rb"objects/pack/([^/]+)\.(pack|idx|rev|bitmap|mtimes|keep|promisor)")

# What ``git init`` puts into every folder, by SHA-1: a description, a list of exclusions and samples of hooks.
TEMPLATES = frozenset(
    (
        "9635f1b7e12c045212819dd934d809ef07efa2f4",
        "c879df015d97615050afa7b9641e3352a1e701ac",
        "4de88eb95a5e93fd27e78b5fb3b5231a8d8917dd",
        "ee1ed5aad98a435f2020b6de35c173b75d9affac",
        "0ec0ec9ac11111433d17ea79e0ae8cec650dcfa4",
        "b614c2f63da7dca9f1db2e7ade61ef30448fc96c",
        "f208287c1a92525de9f5462e905a9d31de1e2d75",
        "a79d057388ee2c2fe6561d7697f1f5efcff96f23",
        "04c64e58bc25c149482ed45dbd79e40effb89eb7",
        "a599b773b930ca83dbc3a5c7c13059ac4a6eaedc",
        "288efdc0027db4cfd8b7c47c4aeddba09b6ded12",
        "705a17d259e7896f0082fe2e9f2c0c3b127be5ac",
        "2584806ba147152ae005cb675aa4f01d5d068456",
        "508240328c8b55f8157c93c43bf5e291e5d2fbcb",
        "730e6bd5225478bab6147b7a62a6e2ae21d40507",
    )
)
# Settings that a clone begins with; any other line was written by somebody.
PLAIN_SETTING = re.compile(
    rb"""\[(core|extensions|advice|gc)\]|\[(remote|branch|submodule)\ "[^"\n]*"\]"""
    rb"""|(repositoryformatversion|filemode|bare|logallrefupdates|symlinks|ignorecase|objectformat|active|auto)\ ?=\ ?[0-9a-z]{1,8}"""
    rb"""|(detachedHead|addEmbeddedRepo)\ =\ false|(worktree|url|fetch|remote|merge)\ ?=\ ?\S{1,400}"""
)


class Leftover(NamedTuple):
    """A git folder whose leftovers go into salvage.tar below ``name``."""

    repo: Repo
    name: bytes


def keep_leftovers(job: Job, opened: list[Leftover]) -> None:
    """For all repositories that were brought out, at the end: then it is known which folders below ``.git`` were."""
    folders = frozenset(one.repo.folder for one in opened if one.repo.folder is not None)
    for repo, name in opened:
        if repo.folder is None or repo.hurt:
            continue  # its whole folder is kept raw
        left = list(_Folder(repo, folders - {repo.folder}).leftovers())
        job.to_salvage.extend((repo.folder + b"/" + path, name + b"/" + path) for path in left)
        told = [path for path in left if path != b"config" or not repo.where]
        if told:
            among = ", ".join(f".git/{show(path)}" for path in told[:NAMED])
            repo.note(f"no bundle carries {among}{f' and {len(told) - NAMED} more' if len(told) > NAMED else ''}: they lie in salvage.tar")


class _Folder:
    """One git folder, judged entry by entry."""

    def __init__(self, repo: Repo, others: frozenset[bytes]) -> None:
        self.repo, self.others = repo, others
        self.folder = repo.folder or b""
        self.top = not repo.where
        # Refs, logs and objects of a folder that says that they lie elsewhere were not looked at.
        self.own = common_folder(self.folder) == self.folder
        self.collected = self.own and not repo.linked
        self._sure = {*repo.known, *repo.found.refs.values()}
        self._messages: frozenset[bytes] | None = None

    def leftovers(self) -> Iterator[bytes]:
        """Paths relative to the folder, of files and links."""
        start = len(self.folder) + 1
        for path, kind in everything_below(self.folder, self.others):
            name = path[start:]
            if kind == CLOSED:
                self.repo.job.closed(path)
            elif kind not in (FOLDER, OTHER) and not self._carried(name, kind):
                yield name

    def _carried(self, name: bytes, kind: str) -> bool:
        first = name.partition(b"/")[0]
        if self.top and self.own and first in (b"config", b"hooks", b"info"):
            return True  # the agent could not write there
        if kind != FILE:
            return self.collected and name == b"HEAD" and self.repo.found.head_name is not None
        if name in (b"HEAD", b"index"):
            return True
        if first == b"objects":
            return self.collected and self._object(name)
        if name.startswith(b"lfs/objects/"):
            return self.collected and self.repo.root is not None and re.fullmatch(rb"[0-9a-f]{64}", name[-64:]) is not None
        if name == b"packed-refs":
            return self.collected
        return self._housekeeping(name, first)

    def _object(self, name: bytes) -> bool:
        width = 2 * self.repo.git.width - 2
        if re.fullmatch(rb"objects/[0-9a-f]{2}/[0-9a-f]{%d}" % width, name):
            return True
        part = PACK_PART.fullmatch(name)
        if part is not None and part[2] in (b"keep", b"promisor"):
            return self._text(name) == b""
        if part is not None:
            return part[1] not in self.repo.raw_packs and kind_at(self.folder, b"objects/pack/" + part[1] + b".pack") == FILE
        starts = {b"objects/info/commit-graph": b"CGPH", b"objects/pack/multi-pack-index": b"MIDX"}
        if name in starts:
            return self._begins(name, starts[name])
        if name == b"objects/info/packs":
            return self._lines(name, lambda line: re.fullmatch(rb"P pack-[0-9a-f]{40,64}\.pack", line) is not None)
        if name == b"objects/info/alternates":
            return self._lines(name, lambda line: os.path.realpath(os.path.join(self.folder + b"/objects", line)) in self._searched)
        return False

    @property
    def _searched(self) -> set[bytes]:
        return {*self.repo.found.stores, *(os.path.realpath(store) for store in self.repo.config.objects), *self.repo.config.objects}

    def _housekeeping(self, name: bytes, first: bytes) -> bool:
        """Git's notes to itself, as long as they say nothing that the bundle does not say."""
        text = self._text(name)
        if text is None or (b"/" in name and first not in (b"refs", b"logs", b"hooks", b"info") and text):
            return False  # the folders of a rebase, and of repositories that were not opened, are only of use as a whole
        if not text.strip() and (name.endswith(b".lock") or first in (b"FETCH_HEAD", b"MERGE_RR", b"MERGE_MODE", b"gc.pid")):
            return True
        if first == b"logs":
            return self._lines(name, lambda line: LOG_LINE.fullmatch(line) is not None)
        if first == b"refs" and text.startswith(b"ref:"):
            return self.collected and (text[4:].strip() in self.repo.found.refs or name.startswith(b"refs/remotes/"))
        if first == b"refs" and not self.collected:
            return False
        if first in (b"commondir", b"gitdir"):
            return self.repo.linked and len(text.splitlines()) == 1
        if first == b"gc.log":
            return self._lines(name, lambda line: line.startswith((b"error:", b"warning:", b"fatal:")))
        if first == b"config" and self.repo.base is not None:
            return self._lines(name, lambda line: PLAIN_SETTING.fullmatch(line.strip()) is not None)
        if name.endswith(b"_EDITMSG") or first in (b"MERGE_MSG", b"SQUASH_MSG"):
            return text.strip() in self._said()
        if hashlib.sha1(text).hexdigest() in TEMPLATES:
            return True
        oids = text.split()
        return bool(oids) and len(oids) <= 100 and all(is_oid(oid) for oid in oids) and self._exist(oids)

    def _exist(self, oids: list[bytes]) -> bool:
        names = {oid.decode() for oid in oids} - self._sure
        return not names or names <= self.repo.git.check(names).keys()

    def _said(self) -> frozenset[bytes]:
        """The messages of the commits that are brought out."""
        if self._messages is None:
            asked = "".join(f"{ref.oid}\n" for ref in self.repo.refs) + "".join(f"^{oid}\n" for oid in self.repo.hosts)
            try:
                text = self.repo.git.run("rev-list", "--format=%B%x00", "--stdin", stdin=asked.encode()) if self.repo.refs else b""
            except Trouble:
                text = b""
            self._messages = frozenset(_message(part) for part in text.split(b"\0\n")) - {b""}
        return self._messages

    def _text(self, name: bytes) -> bytes | None:
        try:
            return read_file(self.folder + b"/" + name, SMALL_BYTES)
        except Trouble:
            return None

    def _begins(self, name: bytes, start: bytes) -> bool:
        with open(self.folder + b"/" + name, "rb") as file:
            return file.read(len(start)) == start

    def _lines(self, name: bytes, fine: Callable[[bytes], bool]) -> bool:
        try:
            text = read_file(self.folder + b"/" + name, 64 * SMALL_BYTES) or b""
        except Trouble:
            return False
        return all(fine(line) for line in text.split(b"\n") if line)


def _message(shown: bytes) -> bytes:
    """What follows the line ``commit <object>``."""
    return shown.partition(b"\n")[2].strip()
