"""Opening what lies below a folder without following a single link, while others may rename what they like.

Of the kernel it needs openat2 (Linux 5.6); where that is missing, each name is opened below the descriptor of the one before.
"""

import ctypes
import errno
import os
import stat
import struct

Identity = tuple[int, int]  # device and inode

_OPENAT2 = 437  # the same number on x86_64 and aarch64
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_TRIES = 64  # openat2 gives up with EAGAIN while others rename; after these the slow way is taken

_libc = ctypes.CDLL(None, use_errno=True)


def identity_of(facts: os.stat_result) -> Identity:
    return facts.st_dev, facts.st_ino


def open_below(root: int, path: str, *, cross: bool = True) -> int:
    """Open ``path`` (O_PATH) below the descriptor ``root``. ELOOP or ENOTDIR where a link stands in the way, EXDEV where a mount does."""
    if not path:
        return os.dup(root)
    how = struct.pack("QQQ", os.O_PATH | os.O_CLOEXEC, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | (0 if cross else _NO_XDEV))
    for _ in range(_TRIES):
        found = _libc.syscall(_OPENAT2, root, os.fsencode(path), how, ctypes.c_size_t(len(how)))
        if found >= 0:
            return int(found)
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR, errno.ENOSYS, errno.EPERM):  # EPERM: a filter that knows no openat2
            raise OSError(number, os.strerror(number), path)
        if number in (errno.ENOSYS, errno.EPERM):
            break
    return open_by_steps(root, path, cross)


def open_by_steps(root: int, path: str, cross: bool = True) -> int:
    """The same without openat2: each name below the descriptor of the one before."""
    here, device = os.dup(root), os.fstat(root).st_dev
    names = path.split("/")
    try:
        for number, name in enumerate(names):
            if name in ("", ".", ".."):
                raise OSError(errno.EINVAL, "not a clean path", path)
            inner = os.O_DIRECTORY if number < len(names) - 1 else 0
            following = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | inner, dir_fd=here)
            os.close(here)
            here = following
            facts = os.fstat(here)
            if stat.S_ISLNK(facts.st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if not cross and facts.st_dev != device:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    except BaseException:  # ^C too: no descriptor is left behind, and the reason goes on
        os.close(here)
        raise
    return here
