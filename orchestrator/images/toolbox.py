"""The toolbox: python3, git, bubblewrap and all they need, as one read-only tree for ``/opt/aienv`` in any Linux image.

It must run where there is no glibc at all, and an image must not get code of its own into our programs. So the tree has its
own
loader, which every program names (``/opt/aienv/ld.so``), and in that loader and the C library the paths of the system
(library folders, cache, preload list, converters) are replaced by paths in the tree. No variable has to be set.

    bin/{python3,git,bwrap,git-lfs}    ld.so    lib/*.so*    lib/python3.N/    git/ (git's own programs)    shell/bash
    lib/aienv/{launcher.py,prelude.py,gate.py,takeback.py,orchestrator/,harvest/}    templates/ (empty)    manifest.json

Made from Debian packages without root (``apt-get download``, ``dpkg-deb -x``), or by an engine from ``images/toolbox/Dockerfile``
where there is no apt. The big part, the base tree, is made once; a tree with another launcher shares its files by hard links.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from orchestrator.errors import EnvironmentFailed
from orchestrator.images import elf

INSIDE = "/opt/aienv"
LOADER = f"{INSIDE}/ld.so"
_PACKAGE = Path(__file__).resolve().parent.parent
_COMMAND_S = 300.0
_SMOKE_S = 30.0
_UNUSED_S = 14 * 86400.0  # trees that no run has asked for since; a run may hold one for as long as it lasts

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Machine:
    """What differs between processors: ``triplet`` is Debian's library folder, ``loader`` the file name of glibc's loader."""

    triplet: str
    loader: str


MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "aarch64": Machine("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
}

# {python} is the distribution's own version, such as python3.11. Libraries come with the programs that need them.
PACKAGES = (
    *("{python}-minimal", "lib{python}-minimal", "lib{python}-stdlib"),
    *("git", "bubblewrap"),
    *("libc6", "zlib1g", "libexpat1", "libpcre2-8-0", "libcap2", "libselinux1", "libffi8"),
    *("libstdc++6", "libgcc-s1"),
    *("bash", "libtinfo6"),
)
OPTIONAL_PACKAGES = ("git-lfs",)

# What agents' programs and node's modules need (agents/install.py); they run with our loader in images that have no glibc.
AGENT_LIBRARIES = (
    *("libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libresolv.so.2"),
    *("libstdc++.so.6", "libgcc_s.so.1"),
)

# Parts of the standard library that nothing of ours imports.
UNUSED_MODULES = frozenset(
    ["ctypes/test", "dbm", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "sqlite3", "test", "tkinter", "turtledemo", "venv"]
)


class Builder(Protocol):
    """What an engine must do for us where there is no apt: build an image, and give one folder of it as tar."""

    def build_and_copy(self, context: bytes, dockerfile: str, folder: str, progress: Progress) -> AbstractContextManager[IO[bytes]]: ...


def ensure(
    cache: Path,
    progress: Progress,
    *,
    engine: Builder | None = None,
    programs: Mapping[str, bytes] | None = None,
    rebuild: bool = False,
) -> Path:
    """The tree to mount at ``/opt/aienv``; made when it is missing (seconds), else found (under a millisecond).

    ``programs`` are the files of ``lib/aienv`` by their paths in it (default: this package's launcher and harvest). ``rebuild`` fetches
    the packages anew.

    Raises:
        EnvironmentFailed: the packages cannot be had, or what came out of them does not run.
    """
    programs = own_programs() if programs is None else programs
    home = cache / "toolbox"
    tree = home / _key(_recipe(), programs)
    if not rebuild and _touched(tree):
        return tree
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "lock"):
        if not rebuild and _touched(tree):
            return tree
        base = _base(home, progress, engine, rebuild)
        with _fresh(home) as partial:
            _share(base, partial)
            _add_programs(partial, programs)
            _replace(partial, tree)
        _forget_unused(home, keep={tree.name, base.name})
    return tree


def own_programs() -> dict[str, bytes]:
    """The launcher, its prelude, the foot in a network, what takes files back, and the harvest program of this package."""
    harvest = {f"harvest/{path.name}": path.read_bytes() for path in sorted((_PACKAGE / "harvest" / "inside").glob("*.py"))}
    others = {"launcher.py": "launcher/main.py", "prelude.py": "launcher/prelude.py", "gate.py": "guard/gate_program.py"}
    others |= {"takeback.py": "guard/takeback_program.py", "orchestrator/trees.py": "trees.py"}
    return {**{name: (_PACKAGE / file).read_bytes() for name, file in others.items()}, "orchestrator/__init__.py": b"", **harvest}


def machine() -> Machine:
    """This machine's row.

    Raises:
        EnvironmentFailed: an unknown processor.
    """
    name = platform.machine()
    if name not in MACHINES:
        raise EnvironmentFailed(f"no toolbox is known for the processor {name!r}, only for {', '.join(MACHINES)}")
    return MACHINES[name]


def _recipe() -> str:
    """Changes when a tree of another kind would come out."""
    text = b"".join((_PACKAGE / "images" / name).read_bytes() for name in ("toolbox.py", "elf.py"))
    return _key(platform.machine(), {"recipe": text})


def _key(label: str, parts: Mapping[str, bytes]) -> str:
    hashed = hashlib.sha256(label.encode())
    for name, data in sorted(parts.items()):
        hashed.update(f"\0{name}\0{len(data)}\0".encode() + data)
    return hashed.hexdigest()[:20]


# --- the cache -------------------------------------------------------------------------------------------------------


def _touched(tree: Path) -> bool:
    """Whether the tree is there; then its time is set, so that it counts as used."""
    try:
        os.utime(tree)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _fresh(home: Path) -> Iterator[Path]:
    """An empty folder next to the target, gone afterwards unless it was renamed."""
    partial = Path(tempfile.mkdtemp(prefix="new-", dir=home))
    partial.chmod(0o755)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(partial: Path, tree: Path) -> None:
    if tree.exists():
        old = tree.with_name(f"old-{os.getpid()}-{tree.name}")
        tree.rename(old)
        partial.rename(tree)
        shutil.rmtree(old, ignore_errors=True)
    else:
        partial.rename(tree)


def _forget_unused(home: Path, keep: set[str]) -> None:
    for entry in home.iterdir():
        if entry.is_dir() and entry.name not in keep and time.time() - entry.stat().st_mtime > _UNUSED_S:
            shutil.rmtree(entry, ignore_errors=True)


def _share(base: Path, target: Path) -> None:
    """The base's files as hard links; nobody writes into either tree."""
    shutil.copytree(base, target, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
    for folder, _, _ in os.walk(target):
        os.chmod(folder, 0o755)


def _add_programs(tree: Path, programs: Mapping[str, bytes]) -> None:
    folder = tree / "lib" / "aienv"
    for name, data in programs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    _compile(tree, folder)
    _settle_modes(folder)


# --- the base tree ---------------------------------------------------------------------------------------------------


def _base(home: Path, progress: Progress, engine: Builder | None, rebuild: bool) -> Path:
    base = home / f"base-{_recipe()}"
    if base.exists() and not rebuild:
        os.utime(base)
        return base
    with _fresh(home) as partial:
        if shutil.which("apt-get") and shutil.which("dpkg-deb"):
            build(partial, progress)
        elif engine is not None:
            build_by_engine(partial, engine, progress)
        else:
            raise EnvironmentFailed(
                "the toolbox is made from Debian packages, and this machine has no apt-get",
                remedy="let a Docker engine make it: aienv images build toolbox",
                code="toolbox-missing",
            )
        _replace(partial, base)
    return base


def build(target: Path, progress: Progress) -> None:
    """Make a base tree in the empty folder ``target`` from Debian packages; needs apt-get and dpkg-deb, not root.

    Raises:
        EnvironmentFailed: a package cannot be had, or a program does not run.
    """
    here = machine()
    with tempfile.TemporaryDirectory(prefix="packages-", dir=target.parent) as scratch:
        packages, root = Path(scratch, "packages"), Path(scratch, "root")
        packages.mkdir()
        python = _python_version()
        progress(f"toolbox: fetching {python}, git and bubblewrap from the distribution's packages")
        _download(packages, [name.format(python=python) for name in PACKAGES])
        for name in OPTIONAL_PACKAGES:
            with contextlib.suppress(EnvironmentFailed):
                _download(packages, [name])
        found = sorted(packages.glob("*.deb"))
        for package in found:
            _run(["dpkg-deb", "-x", str(package), str(root)])
        progress("toolbox: putting the tree together")
        try:
            _assemble(root, target, here, python)
        except (elf.ElfError, OSError) as problem:
            raise EnvironmentFailed(f"the toolbox cannot be made from these packages: {problem}", code="toolbox-missing") from problem
        names = [package.name.removesuffix(".deb").replace("%3a", ":") for package in found]
        (target / "manifest.json").write_text(json.dumps({"machine": platform.machine(), "packages": names}, indent=1) + "\n")
    _compile(target, target / "lib" / python)
    _settle_modes(target)
    _smoke(target)
    progress(f"toolbox: ready, {_size_mib(target)} MiB")


def build_by_engine(target: Path, engine: Builder, progress: Progress) -> None:
    """The same through a Docker engine, for machines without apt."""
    progress("toolbox: building in the Docker engine")
    with (
        engine.build_and_copy(engine_context(), dockerfile(), INSIDE, progress) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        for member in archive:
            _unpack(archive, member, target)
    _settle_modes(target)
    _smoke(target)


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """One entry below the archive's only folder: folders, plain files and links, as the tree has them and no more."""
    parts = Path(member.name).parts[1:]
    path = target.joinpath(*parts)
    if not parts or ".." in parts:
        return
    if member.isdir():
        path.mkdir(exist_ok=True)
    elif member.issym():
        path.symlink_to(member.linkname)
    elif member.isreg() and (source := archive.extractfile(member)) is not None:
        with source, open(path, "xb") as file:
            shutil.copyfileobj(source, file)


def dockerfile() -> str:
    """The Dockerfile of the engine's way; the same as ``images/toolbox/Dockerfile``."""
    return (_PACKAGE / "images" / "data" / "toolbox.Dockerfile").read_text()


def engine_context() -> bytes:
    """The files that the Dockerfile copies, as tar."""
    stream = io.BytesIO()
    names = (
        "orchestrator/__init__.py",
        "orchestrator/errors.py",
        *(f"orchestrator/images/{name}.py" for name in ("__init__", "elf", "toolbox")),
    )
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in names:
            data = (_PACKAGE.parent / name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _python_version() -> str:
    shown = _run(["apt-cache", "show", "--no-all-versions", "python3-minimal"])
    match = re.search(r"^(?:Pre-)?Depends:.*?\b(python3\.\d+)-minimal\b", shown, re.MULTILINE)
    if match is None:
        raise EnvironmentFailed(
            "the distribution's python3-minimal names no python version", remedy="run: apt-get update", code="toolbox-missing"
        )
    return match[1]


def _download(folder: Path, names: list[str]) -> None:
    # As root, apt would fetch as a user of its own, which cannot write here.
    as_root = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    _run(["apt-get", "download", "-qq", *as_root, *names], cwd=folder)


def _run(argv: list[str], cwd: Path | None = None, timeout_s: float = _COMMAND_S) -> str:
    try:
        done = subprocess.run(
            argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", **_proxies(os.environ)},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise EnvironmentFailed(f"{argv[0]} could not be run: {problem}", code="toolbox-missing") from problem
    if done.returncode != 0:
        raise EnvironmentFailed(
            f"the toolbox cannot be made: {' '.join(argv[:3])} ended with {done.returncode}: {done.stderr.strip()[-400:]}",
            remedy="check that the machine reaches its package server, and run: apt-get update",
            code="toolbox-missing",
        )
    return done.stdout


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.lower() in ("http_proxy", "https_proxy", "no_proxy")}


# --- from packages to a tree -----------------------------------------------------------------------------------------


def _assemble(root: Path, target: Path, here: Machine, python: str) -> None:
    libraries = _libraries(root, here)
    for folder in ("bin", "lib", "git", "shell", "templates"):
        (target / folder).mkdir()
    shutil.copy(libraries[here.loader], target / "ld.so")
    shutil.copy(root / "usr/bin" / python, target / "bin/python3")
    for name in ("git", "bwrap", "git-lfs"):
        if name != "git-lfs" or (root / "usr/bin" / name).exists():
            shutil.copy(root / "usr/bin" / name, target / "bin" / name)
    shutil.copy(_found(root, "bin/bash", "usr/bin/bash"), target / "shell/bash")
    _standard_library(root / "usr/lib" / python, target / "lib" / python, frozenset(libraries))
    _git_programs(root / "usr/lib/git-core", target)
    for name in _closure(target, libraries):
        if name != here.loader:
            shutil.copy(libraries[name], target / "lib" / name)
    (target / "lib" / here.loader).symlink_to("../ld.so")  # the C library itself is linked against its loader
    for program in (*sorted((target / "bin").iterdir()), target / "shell/bash"):
        _rewrite(program, lambda data: elf.with_interpreter(data, LOADER))
    _rewrite(target / "ld.so", lambda data: loader_moved(data, here.triplet))
    _rewrite(target / "lib/libc.so.6", lambda data: libc_moved(data, here.triplet))
    _rewrite(target / "bin/git", git_moved)


def loader_moved(data: bytes, triplet: str) -> bytes:
    """A loader that looks for libraries in the tree alone.

    The table of the system's folders has four entries of fixed length. The last two are too short for our path; they lead to
    /sys, which the kernel fills and where no image can put a file.
    """
    folders = [f"/lib/{triplet}/", f"/usr/lib/{triplet}/", "/lib/", "/usr/lib/"]
    ours = [*(elf.stretched(f"{INSIDE}/lib/", len(folder)) for folder in folders[:2]), "/sys/", "/sys/////"]
    data = _replaced(data, "\0".join(folders), "\0".join(ours))
    for name, new in (("/etc/ld.so.cache", f"{INSIDE}/cache"), ("/etc/ld.so.preload", f"{INSIDE}/preload")):
        data = elf.redirected(data, name, elf.stretched(new, len(name)))
    return data


def libc_moved(data: bytes, triplet: str) -> bytes:
    """A C library that loads no character converter and no locale of the image."""
    gconv = f"/usr/lib/{triplet}/gconv"
    for name, new in (
        (gconv, f"{INSIDE}/gconv"),
        (f"{gconv}/gconv-modules.cache", f"{INSIDE}/gconv.cache"),
        ("/usr/lib/locale", f"{INSIDE}/loc"),
        ("/usr/lib/locale/locale-archive", f"{INSIDE}/locale-archive"),
    ):
        data = elf.redirected(data, name, elf.stretched(new, len(name)))
    return data


def git_moved(data: bytes) -> bytes:
    """A git that starts its own helpers from the tree and reads no settings of the image."""
    for name, new in (
        ("/usr/lib/git-core", f"{INSIDE}/git"),
        ("/etc/gitconfig", f"{INSIDE}/cfg"),
        ("/etc/gitattributes", f"{INSIDE}/attrs"),
        ("share/git-core/templates", f"{INSIDE}/templates"),
    ):
        data = elf.redirected(data, name, elf.stretched(new, len(name)))
    return data


def _replaced(data: bytes, old: str, new: str) -> bytes:
    if len(old) != len(new) or old.encode() + b"\0" not in data:
        raise elf.ElfError("the loader's table of library folders is not as expected")
    return data.replace(old.encode() + b"\0", new.encode() + b"\0")


def _rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    try:
        path.write_bytes(change(path.read_bytes()))
    except elf.ElfError as problem:
        raise elf.ElfError(f"{path.name}: {problem}") from problem


def _libraries(root: Path, here: Machine) -> dict[str, Path]:
    """File name -> file, of all shared libraries in the packages."""
    folders = (root / "lib" / here.triplet, root / "usr/lib" / here.triplet)
    return {
        path.name: path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if ".so" in path.name and path.exists()
    }


def _found(root: Path, *names: str) -> Path:
    """The first that is there; distributions differ in where /bin is."""
    return next((root / name for name in names if (root / name).is_file()), root / names[-1])


def _standard_library(source: Path, target: Path, libraries: frozenset[str]) -> None:
    def unwanted(folder: str, names: list[str]) -> set[str]:
        inner = os.path.relpath(folder, source)
        paths = {name: name if inner == "." else f"{inner}/{name}" for name in names}
        return {name for name, path in paths.items() if path in UNUSED_MODULES or name == "__pycache__" or path == "sitecustomize.py"}

    shutil.copytree(source, target, ignore=unwanted, symlinks=False, ignore_dangling_symlinks=True)
    for module in sorted((target / "lib-dynload").glob("*.so")):
        if not set(elf.parse(module.read_bytes()).needed) <= libraries:
            module.unlink()  # needs a library that we do not carry, such as OpenSSL or readline


def _git_programs(source: Path, target: Path) -> None:
    """Names for git's built-in commands; what is a script or speaks to the network stays out."""
    (target / "git/git").symlink_to("../bin/git")
    if (target / "bin/git-lfs").exists():
        (target / "git/git-lfs").symlink_to("../bin/git-lfs")
    for entry in sorted(source.iterdir()):
        if entry.is_symlink() and os.readlink(entry) == "git":
            (target / "git" / entry.name).symlink_to("git")


def _closure(target: Path, libraries: Mapping[str, Path]) -> list[str]:
    """The names of all libraries that the tree's programs and modules, and agents, need, also through each other."""
    if missing := [name for name in AGENT_LIBRARIES if name not in libraries]:
        raise elf.ElfError(f"{', '.join(missing)}: in none of the packages")
    wanted: list[str] = list(AGENT_LIBRARIES)
    programs = (*(target / "bin").iterdir(), target / "shell/bash")
    todo = [*programs, *target.glob("lib/python3*/lib-dynload/*.so"), *(libraries[name] for name in wanted)]
    while todo:
        path = todo.pop()
        for name in elf.parse(path.read_bytes()).needed:
            if name not in libraries:
                raise elf.ElfError(f"{path.name} needs {name}, which is in none of the packages")
            if name not in wanted:
                wanted.append(name)
                todo.append(libraries[name])
    return wanted


def _compile(tree: Path, folder: Path) -> None:
    """Byte code next to the sources in ``folder``: inside, the tree is read-only, and compiling at each start would cost seconds."""
    # Unchecked: the files of a tree never change, and their times do not survive every copy.
    _run_inside(
        tree,
        [
            "-m",
            "compileall",
            "-q",
            "-j1",
            "--invalidation-mode",
            "unchecked-hash",
            "-s",
            str(tree),
            "-p",
            INSIDE,
            str(folder),
        ],
    )


def _run_inside(tree: Path, arguments: list[str], program: str = "python3") -> str:
    """Run a program of the tree here, where it is not mounted at its place: through its loader, named explicitly."""
    flags = ["-I", "-S", "-X", "utf8"] if program == "python3" else []
    return _run(
        [str(tree / "ld.so"), "--library-path", str(tree / "lib"), str(tree / "bin" / program), *flags, *arguments], timeout_s=_SMOKE_S
    )


def _settle_modes(tree: Path) -> None:
    """Nobody writes here any more, not even the owner by mistake."""
    for folder, _, names in os.walk(tree):
        os.chmod(folder, 0o755)
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o555 if path.parent.name in ("bin", "shell") or path == tree / "ld.so" else 0o444)


def _smoke(tree: Path) -> None:
    modules = "ctypes, fcntl, hashlib, json, resource, select, selectors, socket, struct, subprocess, tarfile, termios, zlib"
    _run_inside(tree, ["-c", f"import {modules}; hashlib.sha256(b'').hexdigest()"])
    for program in ("git", "bwrap", "../shell/bash"):
        _run_inside(tree, ["--version"], program)


def _size_mib(tree: Path) -> int:
    return sum(path.lstat().st_size for path in tree.rglob("*")) >> 20


def main(argv: list[str]) -> int:
    """``python -m orchestrator.images.toolbox FOLDER``: make a base tree in the new folder; the Dockerfile runs this."""
    target = Path(argv[0]).absolute()
    target.mkdir(parents=True)
    try:
        build(target, lambda line: print(line, file=sys.stderr))
    except EnvironmentFailed as problem:
        print(f"toolbox: {problem.message}", file=sys.stderr)
        return problem.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
