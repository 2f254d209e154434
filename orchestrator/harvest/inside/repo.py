"""One repository on its way out: what it holds, and the commits that we make of it."""

import os
import stat
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from orchestrator.harvest.inside.files import Tree, walk
from orchestrator.harvest.inside.gitfolder import Found, common_folder, read_git_folder
from orchestrator.harvest.inside.job import Job
from orchestrator.harvest.inside.ourgit import Git
from orchestrator.harvest.inside.words import Trouble, plain_name, show


class Ref(NamedTuple):
    """One ref of the bundle; ``origin`` says where the agent had it."""

    name: str
    oid: str
    origin: str


class Repo:
    """One repository on its way out: the workspace itself, or one nested in it.

    ``root`` is its work tree (None: it has lost it), ``folder`` its git folder (None: it has none), ``where`` its path in the workspace.
    """

    def __init__(
        self, job: Job, root: bytes | None, folder: bytes | None, base: str | None, where: bytes, scratch: bytes, linked: bool
    ) -> None:
        self.job, self.root, self.folder, self.base, self.where, self.linked = job, root, folder, base, where, linked
        self.config = job.config
        prefix = where + b"/" if where else b""
        self.masked = tuple(one[len(prefix) :] for one in self.config.masked if one.startswith(prefix))
        self.refs: list[Ref] = []
        self.hurt = False
        self.uncommitted = False
        self.worktree: str | None = None
        self.worktree_tree: str | None = None
        self.disk = walk(root, self.config.masked_inodes) if root is not None else Tree({}, [], [], [], [], [], False)
        self.found = (
            read_git_folder(folder, self.damage, own_refs=not linked) if folder is not None else Found(None, None, {}, [], {}, [], [])
        )
        self.git = Git(self.config, scratch, self._width(), self.config.objects, self._excludes(), job.ends)
        self.raw_packs: set[bytes] = set()
        self.shadows = self._shadow_stores()
        self.borrow()
        self.known: dict[str, tuple[str, str]] = {}
        self.hosts: list[str] = []  # commits that the host has anyway, so the bundle leaves out what they reach
        self._look_up()

    def note(self, text: str) -> None:
        self.job.note(f"{show(self.where)}: {text}" if self.where else text)

    def damage(self, text: str) -> None:
        """Something of ``.git`` cannot be brought out by git: it stays in the raw copy."""
        self.hurt = True
        self.note(text)

    # beginnings

    def _width(self) -> int:
        oids = (self.base, self.found.head, *self.found.refs.values())
        return next((len(oid) // 2 for oid in oids if oid), 20)

    def _shadow_stores(self) -> list[bytes]:
        shadows = []
        if self.found.beyond:
            self.job.incomplete(f"{len(self.found.beyond)} object folders are not searched, among them {show(self.found.beyond[0])}")
        for store in self.found.stores:
            if store not in self.config.objects:
                try:
                    shadow, odd = self.git.shadow(store)
                except OSError as problem:
                    self.damage(f"objects cannot be listed: {problem.strerror}")
                    continue
                shadows.append(shadow)
                for name in self.git.index_packs(shadow):
                    self.raw_packs.add(name)
                    self.note(f"pack {show(name)} has no index and is not whole, so it is kept raw")
                if odd:
                    self.damage(f"{len(odd)} entries among the objects are no regular files, for example {show(odd[0])}")
        return shadows

    def borrow(self) -> None:
        """Let our git find the objects of the mirrors and of the agent."""
        self.git.borrow([*self.config.objects, *self.shadows])

    def _excludes(self) -> bytes | None:
        """The clone's own ``info/exclude``, as a plain list of patterns."""
        path = common_folder(self.folder) + b"/info/exclude" if self.folder is not None else b""
        return path if path and os.path.isfile(path) and not os.path.islink(path) else None

    def _look_up(self) -> None:
        """Which of the named objects exist. A missing base means that nothing can be left out of the bundle."""
        oids = {
            oid
            for oid in (self.base, self.found.head, *self.found.refs.values(), *self.found.stash)
            if oid and len(oid) == 2 * self.git.width
        }
        begun = set(self.config.known_refs.values()) if not self.where else set()
        asked = oids | begun
        asked.update(f"{oid}^{{tree}}" for oid in (self.base, self.found.head) if oid)
        asked.update(f"{oid}^{{commit}}" for name, oid in self.found.refs.items() if name.startswith((b"refs/tags/", b"refs/notes/")))
        try:
            self.known = self.git.check(asked)
        except Trouble as problem:
            self.damage(f"the named objects cannot be looked up: {problem}")
            self.git.borrow(self.config.objects)
            self.known = self.git.check({one for one in asked if self.base and one.startswith(self.base)})
            self.borrow()
        if self.base is not None and self.kind(self.base) != "commit":
            self.note(f"the base commit {self.base} is missing, so the bundle holds the whole history")
            self.base = None
        self.hosts = [
            *([self.base] if self.base else []),
            *sorted(oid for oid in begun - {self.base} if self.kind(oid) in ("commit", "tag")),
        ]
        if self.found.head is not None and self.kind(self.found.head) != "commit":
            self.damage(f"HEAD names {self.found.head}, which is no commit that can be read")
            self.found = self.found._replace(head=None)

    def kind(self, oid: str) -> str | None:
        """The type of a named object; None when it does not exist."""
        return self.known[oid][1] if oid in self.known else None

    @property
    def head(self) -> str | None:
        return self.found.head

    def in_mirror(self, oids: Iterable[str]) -> set[str]:
        """Those objects that the host has anyway."""
        asked = set(oids)
        known: set[str] = set()
        for store in self.config.objects if asked else ():
            known.update(self.git.check(asked - known, store=store))
        return known

    # files on disk

    def facts(self, path: bytes) -> os.stat_result | None:
        """``lstat``; None for what cannot be read, which then makes the harvest incomplete."""
        whole = (self.root or b"") + b"/" + path
        try:
            facts = os.lstat(whole)
        except OSError:
            self.job.unreadable_path(self.where, path)
            return None
        if stat.S_ISREG(facts.st_mode) and not facts.st_mode & stat.S_IRUSR and not os.access(whole, os.R_OK):
            self.job.unreadable_path(self.where, path)
            return None
        return facts

    def hash_files(self, paths: Sequence[bytes], *, store: bool = True) -> dict[bytes, str]:
        """path -> object of regular files, stored or only named; without those that cannot be read."""
        try:
            return (self.git.hash_files if store else self.git.name_files)(self.root or b"", paths)
        except Trouble:
            if len(paths) == 1:
                self.job.unreadable_path(self.where, paths[0])
                return {}
        half = len(paths) // 2
        return self.hash_files(paths[:half], store=store) | self.hash_files(paths[half:], store=store)

    # commits of ours

    def commit(self, tree: str, parents: Sequence[str], subject: str) -> str:
        """Store a commit. The same state gives the same commits, byte for byte: author and time come from the configuration."""
        who = f"{self.config.author[0]} <{self.config.author[1]}> {self.config.time} +0000"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {who}", f"committer {who}", "", subject]
        body = f"\nAIenv-Run: {plain_name(self.config.run_id)}\nAIenv-Task: {plain_name(self.config.task)}\n"
        return self.git.add(b"commit", ("\n".join(lines) + "\n" + body).encode("utf-8", "replace"))

    def add(self, name: str, oid: str, origin: str) -> None:
        self.refs.append(Ref(name, oid, origin[:300]))

    def set_worktree(self, tree: str, parent: str | None) -> None:
        self.worktree = self.commit(tree, [parent] if parent else [], f"Uncommitted work of run {plain_name(self.config.run_id)}")
        self.worktree_tree = tree
        self.uncommitted = True
        self.refs = [ref for ref in self.refs if ref.name != "worktree"]
        self.add("worktree", self.worktree, "files on disk")

    def tree_of(self, commit: str) -> str | None:
        found = self.known.get(f"{commit}^{{tree}}")
        return found[0] if found else None
